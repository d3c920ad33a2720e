//! The server's own account at Google Cloud, of a configuration.

use serde::Deserialize;
use url::Url;
use zeroize::Zeroizing;

use crate::complaint::Complaint;
use crate::config::Config;
use crate::connector::{AccessSecret, Net, ServiceAccount, ServiceAccountSettings};
use crate::destination::pubsub::{Google, GoogleSettings};
use crate::outbound::client::{ClientSettings, http_client};
use crate::outbound::guard::{Guard, addresses_in};

/// The API that every region has.
const ENDPOINT: &str = "https://pubsub.googleapis.com";
/// What tokens are asked for: to publish and to consume. There is no narrower one; what the account may do is its roles'.
const SCOPE: &str = "https://www.googleapis.com/auth/pubsub";
/// Longest answer of the token endpoint in bytes.
const TOKEN_BYTES_MAX: usize = 64 * 1024;

/// The key of a service account, as Google gives it out.
#[derive(Deserialize)]
struct Credentials {
    r#type: String,
    client_email: String,
    private_key_id: Option<String>,
    private_key: String,
    token_uri: String,
}

/// The account. `None`: there is none. Calls nobody.
pub(super) fn google(config: &Config) -> Result<Option<Google>, Complaint> {
    let (delivery, google) = (&config.delivery, &config.delivery.google);
    if !google.is_set() {
        return Ok(None);
    }
    let account = google.credentials_file.as_ref().map(|path| {
        let what = format!("[delivery.google] credentials_file {}", path.display());
        let text =
            std::fs::read_to_string(path).map(Zeroizing::new).map_err(|error| Complaint::because(&what, &error))?;
        account(config, &what, &text)
    });
    let cannot = || Complaint::new("[delivery.google] endpoint cannot be used");
    let endpoint = match &google.endpoint {
        Some(endpoint) => endpoint.clone(),
        None => Url::parse(ENDPOINT).map_err(|_| cannot())?,
    };
    // The operator's own word: an address that stands in it is one that may be called.
    let guard = Guard::new([delivery.allow_private_networks.clone(), addresses_in(&endpoint)].concat());
    let client = ClientSettings {
        guard: guard.clone(),
        connect_timeout: delivery.connect_timeout,
        attempt_timeout: delivery.attempt_timeout,
        idle_max: delivery.in_flight_max,
        tls: None,
    };
    let http = http_client(&client).map_err(|error| Complaint::because("[delivery.google] cannot be used", &error))?;
    let (attempt_timeout, account) = (delivery.attempt_timeout, account.transpose()?);
    Ok(Some(Google::new(GoogleSettings { endpoint, http, guard, attempt_timeout, account })))
}

/// What a key file says, or what is wrong with it, without anything of it.
fn account(config: &Config, what: &str, text: &str) -> Result<ServiceAccount, Complaint> {
    let wrong = |why: &str| Complaint::new(format!("{what}: {why}"));
    let key: Credentials =
        serde_json::from_str(text).map_err(|_| wrong("is not the key of a service account in JSON"))?;
    if key.r#type != "service_account" {
        return Err(wrong("is not of the type service_account, which is the only one that is known here"));
    }
    let settings = ServiceAccountSettings {
        token_url: Url::parse(&key.token_uri).map_err(|_| wrong("has a token_uri that is no URL"))?,
        issuer: key.client_email,
        key_id: key.private_key_id,
        key: AccessSecret::new(key.private_key),
        scope: SCOPE.to_owned(),
    };
    let net = Net {
        connect_timeout: config.delivery.connect_timeout,
        total_timeout: config.delivery.attempt_timeout,
        response_bytes_max: TOKEN_BYTES_MAX,
        allow_insecure_http: config.delivery.allow_http,
        ..Net::default()
    };
    ServiceAccount::new(settings, &net).map_err(|error| Complaint::because(what, &error))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::config::{Environment, Purpose};

    const RSA_PEM: &str = include_str!("../jwt/testing/rsa.pem");

    fn complaint(key: &str) -> Option<String> {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("google.json");
        std::fs::write(&path, key).unwrap();
        let text = format!("[delivery.google]\ncredentials_file = \"{}\"\n", path.display());
        let config = Config::read(&text, None, Environment::of([]), Purpose::Maintain).unwrap();
        google(&config).err().map(|complaint| complaint.to_string())
    }

    #[test]
    fn a_key_is_read_at_the_start_and_nothing_of_it_is_told() {
        let key = json!({
            "type": "service_account", "project_id": "p", "private_key_id": "k1", "private_key": RSA_PEM,
            "client_email": "keyherald@p.iam.gserviceaccount.com", "token_uri": "https://oauth2.googleapis.com/token",
        });
        assert_eq!(complaint(&key.to_string()), None);
        for (field, value, told) in [
            ("type", "authorized_user", "type service_account"),
            ("private_key", "hush", "private key in PEM form"),
            ("token_uri", "http://oauth2.example/hush", "https://"),
            ("token_uri", "hush", "token_uri"),
        ] {
            let mut wrong = key.clone();
            wrong[field] = value.into();
            let said = complaint(&wrong.to_string()).unwrap();
            assert!(said.contains(told) && said.contains("credentials_file") && !said.contains("hush"), "{said}");
        }
        let config = Config::read(
            "[delivery.google]\ncredentials_file = \"/nowhere/google.json\"\n",
            None,
            Environment::of([]),
            Purpose::Maintain,
        );
        assert!(google(&config.unwrap()).err().unwrap().to_string().contains("/nowhere/google.json"));
    }
}
