//! `PaysafeWebhook`: a partner's endpoints by the rules of Paysafe's contract (paysafe.md 2.1 to 2.3).
//!
//! Its subscriptions are made by the configuration alone; no draft can ask for it. What is delivered are bodies that were
//! rendered when they happened, each to the path of its type. It is never given up and never disabled: what can pass is
//! tried without end, and what is refused often enough is put aside until somebody asks for it again.

mod send;

use std::collections::BTreeMap;
use std::sync::Arc;

use keyherald_core::body_signature::SigningSecret;
use keyherald_core::delivery::Persistence;
use keyherald_core::event::EventType;
use keyherald_core::{Ctx, Micros};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use url::Url;
use zeroize::Zeroizing;

use super::webhook::check_url;
use super::{CannotOpen, Context, Destination, Invalid, Kind, Policy, Rules, Validated};
use crate::outbound::client::{ClientSettings, http_client};

/// Idle connections kept to one partner.
const IDLE_MAX: usize = 8;

/// The kind.
#[derive(Clone, Copy, Debug)]
pub struct PaysafeWebhook;

impl PaysafeWebhook {
    /// Its name in the store.
    pub const NAME: &'static str = "PaysafeWebhook";
}

/// What is stored of an endpoint besides its secrets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Settings {
    /// Where events of each type go, by the type's name.
    pub urls: BTreeMap<String, String>,
    /// Whether bodies are signed.
    pub is_signed: bool,
    /// Whether the headers of paysafe.md 8.1 are sent.
    pub extra_headers: bool,
    /// Statuses that are tried on without end, besides those that always are.
    pub retry_statuses: Vec<u16>,
    /// Time to connect, in milliseconds.
    pub connect_timeout_ms: u32,
    /// Time for one attempt, until the answer is complete, in milliseconds.
    pub total_timeout_ms: u32,
    /// Longest wait before the second attempt, in seconds.
    pub base_s: u32,
    /// Longest wait of all, in seconds.
    pub cap_s: u32,
    /// Whether waits are drawn.
    pub is_jittered: bool,
    /// Longest wait that a receiver can ask for, in seconds.
    pub retry_after_cap_s: u32,
    /// Refusals after which an event is put aside.
    pub park_other_4xx_after: u32,
    /// Attempts after which it is, whatever they ended with.
    pub max_attempts: Option<u32>,
    /// Age at which it is, in seconds.
    pub max_age_s: Option<u32>,
}

impl Settings {
    /// As they are stored.
    pub fn stored(&self) -> Map<String, Value> {
        match serde_json::to_value(self) {
            Ok(Value::Object(settings)) => settings,
            _ => Map::new(), // cannot be: it is a struct of texts and numbers
        }
    }

    fn read(stored: &Map<String, Value>) -> Option<Self> {
        Self::deserialize(Value::Object(stored.clone())).ok()
    }

    fn persistence(&self) -> Persistence {
        let micros = |seconds: u32| i64::from(seconds) * Micros::SECOND;
        Persistence {
            base: micros(self.base_s),
            cap: micros(self.cap_s),
            is_jittered: self.is_jittered,
            retry_after_max: micros(self.retry_after_cap_s),
            refusals_max: self.park_other_4xx_after,
            attempts_max: self.max_attempts,
            age_max: self.max_age_s.map(micros),
        }
    }
}

/// The secrets of one partner: what is signed with, and what will be.
#[derive(Clone)]
pub struct Secrets {
    /// Makes the `Signature`.
    pub active: SigningSecret,
    /// Makes nothing but a second signature with time, so that its receiver can be told before it counts.
    pub next: Option<SigningSecret>,
}

impl Secrets {
    /// A new secret, for a partner with whom none was exchanged yet.
    pub fn new(ctx: &mut Ctx) -> Self {
        Self { active: SigningSecret::new(ctx), next: None }
    }

    /// As they are sealed: a line each.
    pub fn lines(&self) -> Zeroizing<Vec<u8>> {
        let mut lines = self.active.reveal_with(|text| Zeroizing::new(text.as_bytes().to_vec()));
        if let Some(next) = &self.next {
            lines.push(b'\n');
            next.reveal_with(|text| lines.extend_from_slice(text.as_bytes()));
        }
        lines
    }

    /// What [`Secrets::lines`] wrote.
    pub fn read(lines: &[u8]) -> Option<Self> {
        let mut lines = std::str::from_utf8(lines).ok()?.lines().map(|line| SigningSecret::parse(line).ok());
        let (active, next) = (lines.next()??, lines.next());
        Some(Self { active, next: next.flatten() })
    }
}

impl Kind for PaysafeWebhook {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn is_available(&self, _: &Policy) -> bool {
        false
    }

    fn rules(&self, settings: &Map<String, Value>) -> Rules {
        let persistence = Settings::read(settings).map(|settings| settings.persistence()).unwrap_or_default();
        Rules { gone_disables: false, persistence: Some(persistence) }
    }

    fn validate(&self, _: &Map<String, Value>, _: &Policy, _: &mut Ctx) -> Result<Validated, Invalid> {
        Err(Invalid { field: "type", text: "it is set up in the server's configuration".to_owned() })
    }

    fn open(
        &self,
        settings: &Map<String, Value>,
        secret: Option<&[u8]>,
        context: &Context,
    ) -> Result<Arc<dyn Destination>, CannotOpen> {
        let settings = Settings::read(settings).ok_or(CannotOpen("its settings do not read"))?;
        let secrets = match (settings.is_signed, secret) {
            (false, _) => None,
            (true, None) => return Err(CannotOpen("it has no secret")),
            (true, Some(lines)) => Some(Secrets::read(lines).ok_or(CannotOpen("its secret does not read"))?),
        };
        let mut urls = Vec::new();
        for event_type in EventType::ALL {
            let Some(url) = settings.urls.get(event_type.as_str()) else { continue };
            // What was allowed when the subscription was made may not be allowed any more.
            let url = check_url(url, &context.policy).map_err(|_| CannotOpen("its URL is not allowed"))?;
            urls.push((event_type, url));
        }
        let millis = |millis: u32| std::time::Duration::from_millis(millis.into());
        let client = ClientSettings {
            guard: context.policy.guard.clone(),
            connect_timeout: millis(settings.connect_timeout_ms),
            attempt_timeout: millis(settings.total_timeout_ms),
            idle_max: IDLE_MAX,
            tls: None,
        };
        let http = http_client(&client).map_err(|_| CannotOpen("no HTTP client can be made"))?;
        let guard = context.policy.guard.clone();
        Ok(Arc::new(send::Endpoint { urls, secrets, settings, http, guard }))
    }
}

/// Why an endpoint's URL cannot be used; `None` if it can.
pub fn wrong_url(url: &str, policy: &Policy) -> Option<String> {
    check_url(url, policy).err().map(|invalid| invalid.text)
}

/// Where events of a type go: to the root's path for them, unless they have a URL of their own.
pub fn url_of(base: Option<&str>, own: Option<&str>, event_type: EventType) -> Option<String> {
    match (own, base) {
        (Some(own), _) => Some(own.to_owned()),
        (None, Some(base)) => Some(format!("{}{}", base.trim_end_matches('/'), event_type.path())),
        (None, None) => None,
    }
}

/// The URL of one of an endpoint's types.
fn of_type(urls: &[(EventType, Url)], event_type: EventType) -> Option<&Url> {
    urls.iter().find(|(known, _)| *known == event_type).map(|(_, url)| url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_goes_below_the_root_or_to_a_url_of_its_own() {
        let credentials = EventType::CustomerCredentials;
        for base in ["https://partner.example/hooks", "https://partner.example/hooks/"] {
            let url = url_of(Some(base), None, credentials);
            assert_eq!(url.as_deref(), Some("https://partner.example/hooks/credentials/events"));
        }
        let own = "https://other.example/x/?a=1";
        assert_eq!(url_of(Some("https://partner.example"), Some(own), credentials).as_deref(), Some(own));
        let data = url_of(Some("https://partner.example"), None, EventType::CustomerDataVerification);
        assert_eq!(data.as_deref(), Some("https://partner.example/customers/data-verifications/events"));
        assert_eq!(url_of(None, None, credentials), None);
    }

    #[test]
    fn secrets_read_back() {
        let mut ctx = Ctx::new(Micros(0), [1; 32]);
        let one = Secrets::new(&mut ctx);
        let both = Secrets { next: Some(SigningSecret::new(&mut ctx)), ..one.clone() };
        let again = Secrets::read(&one.lines()).unwrap();
        assert_eq!((again.active.sign(b"x"), again.next.is_none()), (one.active.sign(b"x"), true));
        let again = Secrets::read(&both.lines()).unwrap();
        let signed = |secret: &Option<SigningSecret>| secret.as_ref().map(|secret| secret.sign(b"x"));
        assert_eq!(signed(&again.next), signed(&both.next));
        assert!(Secrets::read(b"").is_none() && Secrets::read(b"hunter2").is_none());
    }
}
