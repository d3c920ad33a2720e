//! `[delivery]`: how messages are sent, retried and given up.

use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use keyherald_core::subscription;
use url::Url;

use super::Purpose;
use super::keys::{Keys, Section};

/// `[delivery]`
#[derive(Clone, Debug, PartialEq)]
pub struct Delivery {
    /// Waits before each attempt: the first entry is the first attempt.
    pub retry_schedule: Vec<Duration>,
    /// Each wait is lengthened by a random share of itself, up to this one (0 to 1).
    pub jitter: f64,
    /// Time for one attempt, until the answer is complete.
    pub attempt_timeout: Duration,
    /// Time to connect, within the attempt.
    pub connect_timeout: Duration,
    /// What happens to a message whose schedule has ended.
    pub on_exhausted: OnExhausted,
    /// Most attempts of one subscription at the same time.
    pub in_flight_max: usize,
    /// Most subscriptions of a project.
    pub subscriptions_max: u32,
    /// Private networks that receivers may be in; all others are refused after name resolution.
    pub allow_private_networks: Vec<IpNet>,
    /// Whether receivers may be spoken to without TLS.
    pub allow_http: bool,
    /// Whether messages may be printed on the server's terminal. No key of the file: `dev` allows it, nothing else.
    pub allow_console: bool,
    /// How long it is known which attempts were made. Zero: not at all.
    pub attempts_kept: Duration,
    /// When a whole subscription pauses.
    pub breaker: Breaker,
    /// As whom messages are published to topics of Google Cloud.
    pub google: Google,
}

/// `[delivery.google]`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Google {
    /// The key of a service account, as Google gives it out.
    pub credentials_file: Option<PathBuf>,
    /// The API of Pub/Sub; none: the one of all regions.
    pub endpoint: Option<Url>,
    /// Whether the endpoint is one that wants to know nobody: an emulator.
    pub without_credentials: bool,
}

impl Google {
    /// Whether anything can be published.
    pub fn is_set(&self) -> bool {
        self.credentials_file.is_some() || self.without_credentials
    }
}

/// What happens to a message that was tried as often as the schedule says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnExhausted {
    /// It becomes a dead letter, and the customer's next message is sent.
    Skip,
    /// The customer's messages wait until someone resumes them.
    Hold,
}

/// `[delivery.breaker]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Breaker {
    /// Failures in a row, over all customers, that open it.
    pub failures: u32,
    /// How long it stays open the first time; doubled each time it opens again at once.
    pub open: Duration,
    /// The longest that it stays open.
    pub open_max: Duration,
}

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

impl Default for Delivery {
    fn default() -> Self {
        // The schedule that Standard Webhooks gives as its example: ten attempts in three days.
        let schedule = [0, 5, 5 * MINUTE, 30 * MINUTE, 2 * HOUR, 5 * HOUR, 10 * HOUR, 14 * HOUR, 20 * HOUR, 24 * HOUR];
        Self {
            retry_schedule: schedule.map(Duration::from_secs).to_vec(),
            jitter: 0.2,
            attempt_timeout: Duration::from_secs(15),
            connect_timeout: Duration::from_secs(5),
            on_exhausted: OnExhausted::Skip,
            in_flight_max: 64,
            subscriptions_max: subscription::PER_PROJECT_MAX,
            allow_private_networks: Vec::new(),
            allow_http: false,
            allow_console: false,
            attempts_kept: Duration::from_secs(14 * DAY),
            breaker: Breaker::default(),
            google: Google::default(),
        }
    }
}

impl Default for Breaker {
    fn default() -> Self {
        Self { failures: 10, open: Duration::from_secs(MINUTE), open_max: Duration::from_secs(15 * MINUTE) }
    }
}

impl Section for Delivery {
    fn keys(&mut self, keys: &mut Keys<'_>) {
        let shortest = Duration::from_millis(10);
        keys.list("retry_schedule", &mut self.retry_schedule, 1..=100);
        keys.within("jitter", &mut self.jitter, 0.0..=1.0);
        keys.within("attempt_timeout", &mut self.attempt_timeout, shortest..=Duration::from_secs(5 * MINUTE));
        keys.within("connect_timeout", &mut self.connect_timeout, shortest..=Duration::from_secs(5 * MINUTE));
        let words = [("skip", OnExhausted::Skip), ("hold", OnExhausted::Hold)];
        keys.choice("on_exhausted", &mut self.on_exhausted, &words);
        keys.within("in_flight_max", &mut self.in_flight_max, 1..=10_000);
        keys.within("subscriptions_max", &mut self.subscriptions_max, 1..=1_000);
        keys.list("allow_private_networks", &mut self.allow_private_networks, 0..=100);
        keys.value("allow_http", &mut self.allow_http);
        keys.within("attempts_kept", &mut self.attempts_kept, Duration::ZERO..=Duration::from_secs(400 * DAY));
        keys.section("breaker", &mut self.breaker);
        keys.section("google", &mut self.google);
        if let Some(purpose) = keys.purpose() {
            self.allow_console = purpose == Purpose::Develop;
        }
        if self.retry_schedule.iter().any(|wait| *wait > Duration::from_secs(30 * DAY)) {
            keys.refuse("retry_schedule", "no wait may be longer than 30d", None);
        }
        if self.connect_timeout > self.attempt_timeout {
            keys.refuse("connect_timeout", "is longer than attempt_timeout, which includes it", None);
        }
    }
}

impl Section for Google {
    fn keys(&mut self, keys: &mut Keys<'_>) {
        keys.optional("credentials_file", &mut self.credentials_file);
        keys.optional("endpoint", &mut self.endpoint);
        keys.value("without_credentials", &mut self.without_credentials);
        if self.without_credentials && self.credentials_file.is_some() {
            keys.refuse("without_credentials", "does not go with credentials_file", None);
        }
        if self.without_credentials && self.endpoint.is_none() {
            let hint = Some("such as endpoint = \"http://127.0.0.1:8085\"".into());
            keys.refuse("without_credentials", "is for an emulator, and needs its endpoint", hint);
        }
        let Some(endpoint) = &self.endpoint else { return };
        if !self.is_set() {
            keys.refuse(
                "endpoint",
                "needs credentials_file",
                Some("or without_credentials = true for an emulator".into()),
            );
        }
        // An access token would be readable on its way.
        if endpoint.scheme() != "https" && !self.without_credentials {
            keys.refuse("endpoint", "must begin with https://", None);
        }
    }
}

impl Section for Breaker {
    fn keys(&mut self, keys: &mut Keys<'_>) {
        let (second, day) = (Duration::from_secs(1), Duration::from_secs(DAY));
        keys.within("failures", &mut self.failures, 1..=10_000);
        keys.within("open", &mut self.open, second..=day);
        keys.within("open_max", &mut self.open_max, second..=day);
        if self.open > self.open_max {
            keys.refuse("open", "is longer than open_max", None);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::config::{Config, Environment, Purpose};

    fn google(text: &str) -> Result<super::Google, String> {
        let read = Config::read(&format!("[delivery.google]\n{text}"), None, Environment::of([]), Purpose::Maintain);
        read.map(|config| config.delivery.google).map_err(|problems| problems.to_string())
    }

    #[test]
    fn google_is_known_by_a_key_or_is_an_emulator() {
        assert!(!google("").unwrap().is_set());
        assert!(google("credentials_file = \"/run/google.json\"").unwrap().is_set());
        let regional = "credentials_file = \"g.json\"\nendpoint = \"https://europe-west1-pubsub.googleapis.com\"";
        assert_eq!(google(regional).unwrap().endpoint.unwrap().host_str(), Some("europe-west1-pubsub.googleapis.com"));
        let emulator = google("without_credentials = true\nendpoint = \"http://127.0.0.1:8085\"").unwrap();
        assert!(emulator.is_set());
        for (text, told) in [
            ("without_credentials = true", "needs its endpoint"),
            ("endpoint = \"https://pubsub.googleapis.com\"", "needs credentials_file"),
            ("credentials_file = \"g.json\"\nendpoint = \"http://pubsub.googleapis.com\"", "must begin with https://"),
            (
                "credentials_file = \"g.json\"\nwithout_credentials = true\nendpoint = \"https://x.example\"",
                "does not go with credentials_file",
            ),
            ("key = 1", "delivery.google.key"),
        ] {
            let said = google(text).unwrap_err();
            assert!(said.contains(told), "{said}");
        }
    }
}
