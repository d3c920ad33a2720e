//! A server for trying out and for tests: known credentials, data in a folder, receivers on private addresses, mail and
//! SMS in a mailbox in memory.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use keyherald_core::client::Scopes;
use keyherald_core::id::ProjectKey;
use keyherald_core::provider::ProviderLink;
use keyherald_core::secret::TokenDigest;

use crate::app::Call;
use crate::boot::{self, Around, Extras, Running};
use crate::clock::Moments;
use crate::complaint::Complaint;
use crate::config::{self, Config, Environment, Purpose};
use crate::mail::Mailbox;

mod mailbox;
mod paysafe;
mod provider;
mod users;

pub use self::paysafe::ready as paysafe_ready;
pub use self::provider::{Provider, User};

/// A server for trying out: known credentials, data in a folder, receivers on private addresses.
#[derive(Clone, Debug)]
pub struct Development {
    folder: PathBuf,
    listen: String,
    store: Option<String>,
    no_mail: bool,
    provider_url: Option<String>,
    credentials_webhook: Option<String>,
}

/// The mail and SMS that the project `demo` sends, to the mailbox.
const MAIL: &str = r#"
            [projects.mail]
            send = ["password_changed", "email_changed", "new_email", "reset_password", "verify_email", "verification_code"]
            contact = "help@shop.example"
            links = { reset_password = "https://shop.example/reset-password#token={token}", verify_email = "https://shop.example/verify-email#token={token}" }
            [projects.sms]
            send = ["password_changed", "verification_code"]
"#;

impl Development {
    /// The API client's id.
    pub const CLIENT_ID: &'static str = "demo-client";
    /// The API client's secret: known to everybody, for development only.
    pub const CLIENT_SECRET: &'static str = "demo-secret";
    /// The tenant of the Naviga API: client group, client and paper.
    pub const NAVIGA_CODE: &'static str = "DEMO";
    /// The identity provider, where there is one.
    pub const PROVIDER: &'static str = "demo-idp";
    /// The project.
    pub const PROJECT: &'static str = "demo";

    /// On any free port of this machine.
    pub fn in_folder(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
            listen: "127.0.0.1:0".to_owned(),
            store: None,
            no_mail: false,
            provider_url: None,
            credentials_webhook: None,
        }
    }

    /// On this address and with this database instead of a SQLite file in the folder.
    #[must_use]
    pub fn with(self, listen: SocketAddr, store: Option<String>) -> Self {
        Self { listen: listen.to_string(), store, ..self }
    }

    /// Without mail.
    #[must_use]
    pub fn without_mail(self) -> Self {
        Self { no_mail: true, ..self }
    }

    /// With an identity provider for the tenant's users.
    #[must_use]
    pub fn with_provider(self, provider: &Provider) -> Self {
        Self { provider_url: Some(provider.url().to_owned()), ..self }
    }

    /// With an endpoint that is told of credentials that change, if it is one.
    #[must_use]
    pub fn with_credentials_webhook(self, url: Option<String>) -> Self {
        Self { credentials_webhook: url, ..self }
    }

    /// Makes the folder and its keys if they are not there, and reads the configuration that they mean.
    /// `KEYHERALD__...` variables count here too.
    pub fn config(&self) -> Result<Config, Complaint> {
        let unusable = |error: &std::io::Error| {
            Complaint::because(&format!("the data folder {} cannot be used", self.folder.display()), error)
        };
        std::fs::create_dir_all(&self.folder).map_err(|error| unusable(&error))?;
        let (key_file, jwt_file) = (self.folder.join("sealing.key"), self.folder.join("naviga-jwt.key"));
        for file in [&key_file, &jwt_file] {
            if !file.exists() {
                write_new_key(file).map_err(|error| unusable(&error))?;
            }
        }
        let quoted = |text: String| toml::Value::String(text).to_string();
        let database = format!("sqlite:{}", self.folder.join("keyherald.db").display());
        let text = format!(
            r#"
            [server]
            listen = {listen}
            {public_url}
            [store]
            url = {store}
            # One that is started again after it died goes on at once.
            [node]
            name = "dev"
            [metrics]
            listen = "127.0.0.1:0"
            [secrets]
            sealing_keys = [{{ id = "development", key_file = {key_file} }}]
            [delivery]
            allow_http = true
            allow_private_networks = ["0.0.0.0/0", "::/0"]
            # Faster than in production: whoever tries it out does not want to wait.
            retry_schedule = ["0s", "250ms", "1s", "2s", "5s", "10s", "30s", "1m", "5m", "1h", "6h", "1d"]
            breaker = {{ failures = 10, open = "1s", open_max = "30s" }}
            [[projects]]
            key = "demo"
            name = "Demo"
            messages = {{ enabled = true }}
            {mail}
            [projects.recovery]
            {paysafe}
            [projects.naviga]
            client_group = "{code}"
            client = "{code}"
            paper = "{code}"
            change_password_url = "https://paper.example/password"
            jwt = {{ algorithm = "HS256", secret_file = {jwt_file} }}
            {provider}
            "#,
            // Its secret counts for nothing at a provider of ours: any file will do.
            provider = self.provider_url.clone().map(|url| provider(url, &jwt_file)).unwrap_or_default(),
            paysafe = paysafe::settings(self.no_mail, self.credentials_webhook.as_deref()),
            code = Self::NAVIGA_CODE,
            jwt_file = quoted(jwt_file.display().to_string()),
            mail = if self.no_mail { "" } else { MAIL },
            // For the links of mail. A port that is still to be found is in none.
            public_url = match self.listen.rsplit_once(':') {
                None | Some((_, "0")) => String::new(),
                Some(_) => format!("public_url = {}", quoted(format!("http://{}", self.listen))),
            },
            listen = quoted(self.listen.clone()),
            store = quoted(self.store.clone().unwrap_or(database)),
            key_file = quoted(key_file.display().to_string()),
        );
        Ok(Config::read(&text, Some("development settings".into()), Environment::of_process(), Purpose::Develop)?)
    }
}

/// The tenant's provider: on this machine, and so without TLS and on a private address.
fn provider(url: String, secret_file: &Path) -> String {
    format!(
        r#"
            user_provider = "{name}"
            [providers.{name}]
            kind = "auth0"
            base_url = {url}
            client_id = "{name}"
            client_secret_file = {secret_file}
            connection = "demo"
            allow_insecure_http = true
            net = {{ allow_private = true }}
            # In memory: nobody needs to be spared.
            limits = {{ rps = 1000, burst = 1000, max_in_flight = 100 }}
        "#,
        name = Development::PROVIDER,
        url = toml::Value::String(url),
        secret_file = toml::Value::String(secret_file.display().to_string()),
    )
}

/// A new key that only its owner can read. Written aside and renamed: half a key would be lost data.
fn write_new_key(path: &Path) -> std::io::Result<()> {
    use base64::Engine;
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let mut key = zeroize::Zeroizing::new([0_u8; 32]);
    getrandom::fill(key.as_mut_slice()).map_err(std::io::Error::other)?;
    let text = zeroize::Zeroizing::new(base64::engine::general_purpose::STANDARD.encode(*key));
    let aside = path.with_extension("new");
    let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&aside)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&aside, path)
}

/// Whether the tenant's users are at the provider for trying out.
pub fn has_provider(config: &Config) -> bool {
    let provider = |project: &config::Project| project.naviga.as_ref()?.user_provider.clone();
    config.projects.iter().filter_map(provider).any(|provider| provider.to_string() == Development::PROVIDER)
}

/// Says which user of the provider a customer is, as an import does for those whom a shop brings along.
pub async fn link(running: &Running, customer: &str, user: &str) -> Result<(), Complaint> {
    let wrong = |what: &str| Complaint::new(format!("the customer cannot be linked: {what}"));
    let project: ProjectKey = Development::PROJECT.parse().map_err(|why: String| Complaint::new(why))?;
    let id = customer.parse().map_err(|_| wrong("no id"))?;
    let provider = Development::PROVIDER.parse().map_err(|_| wrong("no provider"))?;
    let link = ProviderLink { provider, user: user.parse().map_err(|_| wrong("no user"))? };
    match running.app.link_customer(Call::on(project), id, link).await {
        Ok(true) => Ok(()),
        Ok(false) => Err(wrong("another customer is that user")),
        Err(failure) => Err(Complaint::because("the customer cannot be linked", &failure)),
    }
}

/// Starts a development server: [`boot::start`], and the client and the mailbox that everybody knows.
pub async fn start(config: &Config, moments: Moments) -> Result<Running, Complaint> {
    let mailbox = Mailbox::default();
    let routes = mailbox::routes(&mailbox);
    let project: ProjectKey = Development::PROJECT.parse().map_err(|why: String| Complaint::new(why))?;
    // The layer has a place for none: it links customers, and that only where there is whom to link them with.
    let named_by_us: Around = users::named_by_us;
    let around = has_provider(config).then_some(named_by_us);
    let running = boot::start_with(config, moments, Extras { mailbox: Some(mailbox), routes, around }).await?;
    let scopes = Scopes::parse(&format!("manage_project:{project}"));
    let secret = TokenDigest::of(Development::CLIENT_SECRET);
    running
        .app
        .put_client(project, Development::CLIENT_ID.into(), "development client".into(), secret, scopes)
        .await
        .map_err(|failure| Complaint::because("the development client cannot be set up", &failure))?;
    paysafe::put_clients(&running).await?;
    Ok(running)
}
