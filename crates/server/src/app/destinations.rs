//! Check and complete a subscription's destination.

use keyherald_core::signature::WebhookSecret;
use keyherald_core::subscription::DestinationSettings;
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use super::App;

/// A destination that can be used.
pub struct Accepted {
    /// What readers of the subscription may see.
    pub settings: DestinationSettings,
    /// What is sealed: whatever deliveries are signed or authenticated with.
    pub secret: Option<Zeroizing<Vec<u8>>>,
    /// Fields that only the answer to the creation shows.
    pub shown_once: Map<String, Value>,
}

/// A destination that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DestinationRefused {
    /// There is no such kind.
    UnknownKind {
        /// Those that there are.
        known: Vec<&'static str>,
    },
    /// Its settings are wrong; in clear text for the caller.
    Settings(String),
}

impl App {
    /// Has a destination's kind check its settings.
    pub fn accept_destination(
        &self,
        kind: &str,
        mut settings: Map<String, Value>,
    ) -> Result<Accepted, DestinationRefused> {
        if kind != "Webhook" {
            return Err(DestinationRefused::UnknownKind { known: vec!["Webhook"] });
        }
        let refuse = |text: &str| DestinationRefused::Settings(text.to_owned());
        let url = settings.get("url").and_then(Value::as_str).filter(|url| url.starts_with("http"));
        let url = url.ok_or_else(|| refuse("destination.url: expected a URL"))?.to_owned();
        let secret = match settings.remove("secret") {
            None => WebhookSecret::new(&mut self.ctx()),
            Some(Value::String(text)) => {
                WebhookSecret::parse(&text).map_err(|error| refuse(&format!("destination.secret: {error}")))?
            }
            Some(_) => return Err(refuse("destination.secret: expected a text")),
        };
        let shown = secret.reveal_with(str::to_owned);
        let public = [("url".to_owned(), Value::from(url))].into_iter().collect();
        Ok(Accepted {
            settings: DestinationSettings { kind: kind.to_owned(), settings: public },
            secret: Some(Zeroizing::new(shown.clone().into_bytes())),
            shown_once: [("secret".to_owned(), Value::from(shown))].into_iter().collect(),
        })
    }
}
