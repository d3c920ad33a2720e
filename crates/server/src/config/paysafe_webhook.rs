//! `[projects.paysafe.webhook]`: where a brand's events go, and how (paysafe.md 2 and 6.2).

use std::time::Duration;

use keyherald_core::body_signature::SigningSecret;
use keyherald_core::credentials_event::ChangeType;

use super::keys::{Keys, Section};
use super::secret::{KeyNames, Secret};

/// `[projects.paysafe.webhook]`
#[derive(Clone, Debug)]
pub struct PaysafeWebhook {
    /// The root that the paths of events follow. None: those with a URL of their own go there, others nowhere.
    pub base_url: Option<String>,
    /// URLs of single types.
    pub events: PaysafeEvents,
    /// Whether bodies are signed.
    pub signing: bool,
    /// What they are signed with. None: what was made here when the first event could be sent.
    pub secret: Option<Secret>,
    /// What they will be signed with. To promote it is to swap the two.
    pub next_secret: Option<Secret>,
    /// Which of the two published forms.
    pub payload_profile: PayloadProfile,
    /// What is told of changes.
    pub event_types: Vec<ChangeType>,
    /// Whether a reset by a mailed token counts as a recovery, too.
    pub events_for_token_resets: bool,
    /// Time to connect, within an attempt.
    pub connect_timeout: Duration,
    /// Time for one attempt, until the answer is complete.
    pub total_timeout: Duration,
    /// Statuses that are tried on without end, besides 408, 425, 429 and 5xx.
    pub retry_statuses: Vec<u16>,
    /// The waits between attempts.
    pub backoff: Backoff,
    /// Refusals (other 4xx) after which an event is put aside.
    pub park_other_4xx_after: u32,
    /// Attempts after which it is, whatever they ended with. None: there is no such number.
    pub max_attempts: Option<u32>,
    /// Age at which it is. None: there is none.
    pub max_age: Option<Duration>,
    /// Longest wait that a receiver can ask for.
    pub retry_after_cap: Duration,
    /// How long an event can be sent again.
    pub resend_retention: Duration,
    /// Whether facts about the delivery are sent as headers.
    pub extra_headers: bool,
    /// Whether bodies have more members than the contract's.
    pub extensions: bool,
}

/// `projects.paysafe.webhook.events`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PaysafeEvents {
    /// Of the Customer Credentials Event.
    pub customer_credentials: PaysafeEvent,
    /// Of the Customer Data Verification Event.
    pub customer_data_verification: PaysafeEvent,
}

/// `projects.paysafe.webhook.events.EVENT`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PaysafeEvent {
    /// Used as it is. None: the root and the event's path.
    pub url: Option<String>,
}

/// `projects.paysafe.webhook.payload_profile`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PayloadProfile {
    /// The schema's.
    #[default]
    Schema,
    /// The endpoint's.
    Endpoint,
}

/// `projects.paysafe.webhook.backoff`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// Longest wait before the second attempt; doubled with each.
    pub base: Duration,
    /// It grows no further than this.
    pub cap: Duration,
    /// Whether each wait is drawn from all up to the longest one.
    pub jitter: bool,
}

const HOUR: Duration = Duration::from_hours(1);
const DAY: Duration = Duration::from_hours(24);

impl Default for PaysafeWebhook {
    fn default() -> Self {
        Self {
            base_url: None,
            events: PaysafeEvents::default(),
            signing: true,
            secret: None,
            next_secret: None,
            payload_profile: PayloadProfile::default(),
            event_types: vec![ChangeType::PasswordRecovery],
            events_for_token_resets: false,
            connect_timeout: Duration::from_secs(3),
            total_timeout: Duration::from_secs(10),
            retry_statuses: Vec::new(),
            backoff: Backoff::default(),
            park_other_4xx_after: 20,
            max_attempts: None,
            max_age: None,
            retry_after_cap: DAY,
            resend_retention: 30 * DAY,
            extra_headers: false,
            extensions: false,
        }
    }
}

impl Default for Backoff {
    fn default() -> Self {
        Self { base: Duration::from_secs(5), cap: HOUR, jitter: true }
    }
}

static SECRET: KeyNames = KeyNames { inline: "secret", file: "secret_file", variable: "secret_env", masked: None };
static NEXT: KeyNames =
    KeyNames { inline: "next_secret", file: "next_secret_file", variable: "next_secret_env", masked: None };

const HOW_TO_MAKE_ONE: &str = "make one with `openssl rand -base64 256`, or leave it out: then one is made, and \
    `keyherald events secret` shows it";

impl Section for PaysafeWebhook {
    fn keys(&mut self, keys: &mut Keys<'_>) {
        keys.optional("base_url", &mut self.base_url);
        keys.section("events", &mut self.events);
        keys.value("signing", &mut self.signing);
        keys.optional_secret(&SECRET, &mut self.secret);
        keys.optional_secret(&NEXT, &mut self.next_secret);
        let words = [("schema", PayloadProfile::Schema), ("endpoint", PayloadProfile::Endpoint)];
        keys.choice("payload_profile", &mut self.payload_profile, &words);
        keys.list("event_types", &mut self.event_types, 0..=ChangeType::ALL.len());
        keys.value("events_for_token_resets", &mut self.events_for_token_resets);
        let (shortest, longest) = (Duration::from_millis(10), Duration::from_mins(1));
        keys.within("connect_timeout", &mut self.connect_timeout, shortest..=longest);
        keys.within("total_timeout", &mut self.total_timeout, shortest..=longest);
        keys.list("retry_statuses", &mut self.retry_statuses, 0..=100);
        keys.section("backoff", &mut self.backoff);
        keys.within("park_other_4xx_after", &mut self.park_other_4xx_after, 1..=100_000);
        keys.optional("max_attempts", &mut self.max_attempts);
        keys.optional("max_age", &mut self.max_age);
        keys.within("retry_after_cap", &mut self.retry_after_cap, Duration::from_secs(1)..=30 * DAY);
        keys.within("resend_retention", &mut self.resend_retention, DAY..=400 * DAY);
        keys.value("extra_headers", &mut self.extra_headers);
        keys.value("extensions", &mut self.extensions);
        self.check(keys);
    }
}

impl PaysafeWebhook {
    fn check(&self, keys: &mut Keys<'_>) {
        for (names, secret) in [(&SECRET, &self.secret), (&NEXT, &self.next_secret)] {
            let readable = secret.as_ref().filter(|secret| secret.is_readable());
            if let Some(Err(error)) = readable.map(|secret| SigningSecret::parse(secret.reveal())) {
                keys.refuse_secret(names, &error.to_string(), HOW_TO_MAKE_ONE);
            }
        }
        if self.next_secret.is_some() && self.secret.is_none() {
            keys.refuse_secret(&NEXT, "comes after another: give that as secret_file or secret_env", HOW_TO_MAKE_ONE);
        }
        if self.connect_timeout > self.total_timeout {
            keys.refuse("connect_timeout", "is longer than total_timeout, which includes it", None);
        }
        if let Some(status) = self.retry_statuses.iter().find(|status| !(300..=599).contains(*status)) {
            keys.refuse("retry_statuses", format!("{status} is no status of a failure"), None);
        }
        if self.max_attempts == Some(0) {
            keys.refuse("max_attempts", "must be 1 or more, or absent", None);
        }
    }
}

impl Section for PaysafeEvents {
    fn keys(&mut self, keys: &mut Keys<'_>) {
        keys.section("customer_credentials", &mut self.customer_credentials);
        keys.section("customer_data_verification", &mut self.customer_data_verification);
    }
}

impl Section for PaysafeEvent {
    fn keys(&mut self, keys: &mut Keys<'_>) {
        keys.optional("url", &mut self.url);
    }
}

impl Section for Backoff {
    fn keys(&mut self, keys: &mut Keys<'_>) {
        keys.within("base", &mut self.base, Duration::from_secs(1)..=HOUR);
        keys.within("cap", &mut self.cap, Duration::from_secs(1)..=DAY);
        keys.choice("jitter", &mut self.jitter, &[("full", true), ("none", false)]);
        if self.base > self.cap {
            keys.refuse("base", "is longer than cap", None);
        }
    }
}
