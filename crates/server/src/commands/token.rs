//! `keyherald token mint`: a token for a caller of a tenant's Naviga API.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use keyherald_core::Micros;
use keyherald_core::id::ProjectKey;
use serde_json::{Map, Value};

use super::{load, print};
use crate::boot;
use crate::cli::{Token, TokenMint};
use crate::clock::Moments;
use crate::complaint::Complaint;
use crate::config::{Config, Jwt, Purpose};
use crate::jwt::{Algorithm, SigningKey};

/// Largest file that is read as a key, in bytes.
const KEY_BYTES_MAX: usize = 64 * 1024;

/// Prints a token.
pub fn run(command: Token) -> Result<ExitCode, Complaint> {
    let Token::Mint(options) = command;
    let config = load(&options.file, Purpose::Maintain)?;
    let TokenMint { project, source_system, expires, key_file, key_id, .. } = options;
    let caller = Caller { source_system, expires, key_file: key_file.as_deref(), key_id };
    print(&mint(&config, &project, &caller, Moments::of_system().now())?);
    Ok(ExitCode::SUCCESS)
}

/// For whom a token is made.
#[derive(Default)]
pub(super) struct Caller<'a> {
    pub source_system: Option<String>,
    pub expires: Option<Duration>,
    pub key_file: Option<&'a Path>,
    pub key_id: Option<String>,
}

/// A token that the project's tenant takes.
pub(super) fn mint(
    config: &Config,
    project: &ProjectKey,
    caller: &Caller<'_>,
    now: Micros,
) -> Result<String, Complaint> {
    let tenants = || config.projects.iter().filter_map(|project| Some((&project.key, project.naviga.as_ref()?)));
    let Some((_, tenant)) = tenants().find(|(key, _)| *key == project) else {
        let known: Vec<String> = tenants().map(|(key, _)| key.to_string()).collect();
        let hint =
            if known.is_empty() { "no project has one".into() } else { format!("these have: {}", known.join(", ")) };
        return Err(Complaint::new(format!("project {project} has no [projects.naviga]")).hint(hint));
    };
    let is_known = |name: &String| tenant.source_systems.iter().any(|known| known.eq_ignore_ascii_case(name));
    if let Some(name) =
        caller.source_system.as_ref().filter(|name| !tenant.source_systems.is_empty() && !is_known(name))
    {
        let hint = format!("known: {}", tenant.source_systems.join(", "));
        return Err(Complaint::new(format!("{name:?} is none of the tenant's source_systems")).hint(hint));
    }
    let key = signing_key(&tenant.jwt, caller.key_file)?;
    let signed = key.sign(&claims(&tenant.jwt, caller, now), caller.key_id.as_deref());
    signed.map_err(|error| Complaint::because("the token cannot be signed", &error))
}

fn signing_key(jwt: &Jwt, key_file: Option<&Path>) -> Result<SigningKey, Complaint> {
    let algorithm = boot::algorithm(jwt).ok_or_else(|| Complaint::new("jwt is incomplete"))?;
    match (algorithm, &jwt.secret, key_file) {
        (Algorithm::Hs256, Some(secret), None) => Ok(SigningKey::secret(secret.reveal())),
        (Algorithm::Hs256, ..) => {
            Err(Complaint::new("tokens of this tenant are signed with its secret").hint("leave --key-file out"))
        }
        (Algorithm::Rs256 | Algorithm::Es256, _, None) => {
            let name = algorithm.as_str();
            Err(Complaint::new(format!("tokens of this tenant are signed with a private key, by {name}"))
                .hint("name its file: --key-file issuer.pem"))
        }
        (Algorithm::Rs256 | Algorithm::Es256, _, Some(file)) => {
            let unusable = format!("{} cannot be used for {}", file.display(), algorithm.as_str());
            let text = std::fs::read(file).map_err(|error| Complaint::because(&unusable, &error))?;
            if text.len() > KEY_BYTES_MAX {
                return Err(Complaint::new(format!("{} is larger than {KEY_BYTES_MAX} bytes", file.display())));
            }
            SigningKey::of_pem(&text, algorithm).map_err(|error| Complaint::because(&unusable, &error))
        }
    }
}

fn claims(jwt: &Jwt, caller: &Caller<'_>, now: Micros) -> Map<String, Value> {
    let now_s = now.0 / Micros::SECOND;
    let ends = caller.expires.map(|life| now_s.saturating_add(i64::try_from(life.as_secs()).unwrap_or(i64::MAX)));
    let all = [
        ("iss", jwt.issuer.clone().map(Value::from)),
        ("aud", jwt.audience.clone().map(Value::from)),
        ("sub", caller.source_system.clone().map(Value::from)),
        ("iat", Some(now_s.into())),
        ("exp", ends.map(Value::from)),
    ];
    all.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Environment;
    use crate::jwt::{Refused, Unverified};

    const SECRET: &str = "0123456789abcdef0123456789abcdef";
    const RSA_PEM: &str = include_str!("../jwt/testing/rsa.pem");
    const NOW: Micros = Micros(1_800_000_000_000_000);

    fn config(jwt: &str) -> Config {
        let text = format!(
            "[[projects]]\nkey = \"demo\"\n[projects.naviga]\nclient_group = \"G\"\nclient = \"C\"\npaper = \"P\"\n\
             source_systems = [\"Panel\"]\njwt = {jwt}\n[[projects]]\nkey = \"other\"\n"
        );
        let variables = Environment::of([("JWT".into(), SECRET.into())]);
        Config::read(&text, None, variables, Purpose::Maintain).unwrap()
    }

    fn minted(config: &Config, project: &str, caller: &Caller<'_>) -> Result<String, String> {
        mint(config, &project.parse().unwrap(), caller, NOW).map_err(|complaint| complaint.to_string())
    }

    #[tokio::test]
    async fn the_tenant_takes_what_is_made_for_it_until_it_ends() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("rsa.pem");
        std::fs::write(&file, RSA_PEM).unwrap();
        let by_key =
            format!("{{ algorithm = \"RS256\", public_key_file = {:?}, issuer = \"us\" }}", file.display().to_string());
        let by_secret = "{ algorithm = \"HS256\", secret_env = \"JWT\", audience = \"them\" }";
        for (jwt, key_file) in [(by_secret, None), (by_key.as_str(), Some(file.as_path()))] {
            let config = config(jwt);
            let expires = Some(Duration::from_mins(1));
            let caller = Caller { source_system: Some("panel".into()), expires, key_file, key_id: None };
            let token = minted(&config, "demo", &caller).unwrap();
            let tenant = boot::tenants(&config).unwrap().find("G", "C", "P").unwrap();
            assert_eq!(tenant.callers.verify(&token, NOW).await, Ok(()));
            let late = tenant.callers.verify(&token, NOW.plus(Micros::MINUTE)).await;
            assert_eq!(late, Err(Unverified::Refused(Refused::Expired)));
            let other = minted(&config, "other", &caller).unwrap_err();
            assert!(other.contains("project other has no [projects.naviga]") && other.contains("demo"), "{other}");
        }
    }

    #[test]
    fn what_cannot_be_made_is_said_with_what_to_do() {
        let by_secret = config("{ algorithm = \"HS256\", secret_env = \"JWT\" }");
        let stranger = Caller { source_system: Some("Stranger".into()), ..Caller::default() };
        assert!(minted(&by_secret, "demo", &stranger).unwrap_err().contains("known: Panel"));
        let with_key = Caller { key_file: Some(Path::new("k.pem")), ..Caller::default() };
        assert!(minted(&by_secret, "demo", &with_key).unwrap_err().contains("leave --key-file out"));
        let by_key = config("{ algorithm = \"ES256\", public_key_file = \"p.pem\" }");
        assert!(minted(&by_key, "demo", &Caller::default()).unwrap_err().contains("--key-file"));
        assert!(minted(&by_key, "demo", &with_key).unwrap_err().contains("k.pem cannot be used for ES256"));
    }
}
