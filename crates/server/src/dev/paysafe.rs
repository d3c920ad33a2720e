//! The development server's brand of Paysafe's wallet contract: clients that everybody knows, and a partner if one is named.

use keyherald_core::client::Scopes;
use keyherald_core::id::ProjectKey;
use keyherald_core::secret::TokenDigest;
use serde_json::{Value, json};

use super::Development;
use crate::boot::Running;
use crate::complaint::Complaint;

/// Its identity in paths.
const BRAND: &str = "demo";
/// What a partner's back end has.
const ADMIN: Client = Client { id: "demo-admin", secret: "demo-admin-secret", scope: "wallet_admin" };
/// What its app has.
const CONFIGURATION: Client = Client { id: "demo-app", secret: "demo-app-secret", scope: "wallet_setup" };

struct Client {
    id: &'static str,
    secret: &'static str,
    scope: &'static str,
}

/// Its part of the configuration.
pub(super) fn settings(no_mail: bool, credentials_webhook: Option<&str>) -> String {
    // Without mail there is nobody but the partner to tell a code.
    let mode = if no_mail { "partner" } else { "server" };
    let url = credentials_webhook.map(|url| format!("base_url = {}", toml::Value::String(url.to_owned())));
    format!(
        r#"
            [projects.paysafe]
            brand = "{BRAND}"
            required_identifiers = {{ any_of = ["EMAIL", "MOBILE"] }}
            delivery_mode = "{mode}"
            [projects.paysafe.webhook]
            {url}
            # Faster than in production, and told of more: whoever tries it out does not want to wait.
            backoff = {{ base = "1s", cap = "5s" }}
            events_for_token_resets = true
            # It is a shop besides, and whoever tries that out signs one customer in many times at once.
            [projects.throttle]
            enabled = false
        "#,
        url = url.unwrap_or_default(),
    )
}

/// Makes sure of its clients.
pub(super) async fn put_clients(running: &Running) -> Result<(), Complaint> {
    let project = project()?;
    for Client { id, secret, scope } in [ADMIN, CONFIGURATION] {
        let scopes = Scopes::parse(&format!("{scope}:{project}"));
        let put = running.app.put_client(project.clone(), id.into(), id.into(), TokenDigest::of(secret), scopes).await;
        put.map_err(|failure| Complaint::because("the brand's clients cannot be set up", &failure))?;
    }
    Ok(())
}

/// What whoever tries it out must know. The webhook's secret is null where there is no webhook.
pub async fn ready(running: &Running) -> Result<Value, Complaint> {
    let secret = running.app.signing_secret(project()?, str::to_owned).await;
    let secret = secret.map_err(|failure| Complaint::because("the webhook's secret cannot be read", &failure))?;
    Ok(json!({
        "brand": BRAND,
        "adminClientId": ADMIN.id,
        "adminClientSecret": ADMIN.secret,
        "configurationClientId": CONFIGURATION.id,
        "configurationClientSecret": CONFIGURATION.secret,
        "webhookSecret": secret,
    }))
}

fn project() -> Result<ProjectKey, Complaint> {
    Development::PROJECT.parse().map_err(|why: String| Complaint::new(why))
}
