//! `[node]`: what this process does where several share a PostgreSQL database.

use std::time::Duration;

use keyherald_core::lease;

use super::Config;
use super::keys::{Keys, Section};

/// `[node]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// What it does.
    pub role: Role,
    /// What it is called, by nobody else at the same time. A node that starts under a name takes up at once what the one
    /// before it under this name left when it died; without a name it waits until the lease of that one has run out.
    pub name: Option<String>,
    /// How long a node may be silent before others deliver what it did.
    pub lease: Duration,
}

/// What a process does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Everything.
    All,
    /// Serves requests. Others deliver the messages.
    Api,
    /// Delivers messages and removes what has had its time. Serves `/health` alone.
    Relay,
}

impl Role {
    const WORDS: [(&'static str, Self); 3] = [("all", Self::All), ("api", Self::Api), ("relay", Self::Relay)];

    /// Its word.
    pub fn as_str(self) -> &'static str {
        Self::WORDS.iter().find(|(_, role)| *role == self).map_or("", |(word, _)| word)
    }

    /// Whether it serves requests.
    pub fn serves(self) -> bool {
        self != Self::Relay
    }

    /// Whether it delivers and cleans up.
    pub fn relays(self) -> bool {
        self != Self::Api
    }
}

impl Default for Node {
    fn default() -> Self {
        Self { role: Role::All, name: None, lease: Duration::from_secs(40) }
    }
}

impl Section for Node {
    fn keys(&mut self, keys: &mut Keys<'_>) {
        keys.choice("role", &mut self.role, &Role::WORDS);
        keys.optional("name", &mut self.name);
        keys.within("lease", &mut self.lease, Duration::from_secs(1)..=Duration::from_mins(15));
        let is_word = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte);
        let is_name = |name: &String| (1..=100).contains(&name.len()) && name.bytes().all(is_word);
        if !self.name.as_ref().is_none_or(is_name) {
            keys.refuse("name", "must be 1 to 100 of a-z, A-Z, 0-9, -, _, . and :", None);
        }
    }
}

/// What an attempt may take beyond its own time-out before it is cut off.
const BACKSTOP: Duration = Duration::from_secs(1);

impl Config {
    /// How long an attempt to deliver may take, whatever its destination.
    pub fn attempt_max(&self) -> Duration {
        let brands = self.projects.iter().filter_map(|project| project.paysafe.as_ref());
        let longest =
            brands.map(|brand| brand.webhook.total_timeout).fold(self.delivery.attempt_timeout, Duration::max);
        longest + BACKSTOP
    }

    /// Attempts must suit the lease, where there is one.
    pub(super) fn check_lease(&self, keys: &mut Keys<'_>) {
        let url = &self.store.url;
        let has_leases = url.is_readable() && !url.reveal().starts_with("sqlite:");
        let micros = |time: Duration| i64::try_from(time.as_micros()).unwrap_or(i64::MAX);
        let attempt_max = self.attempt_max();
        if has_leases && !lease::suits(micros(self.node.lease), micros(attempt_max)) {
            let what = format!(
                "must be more than {} s: twice the longest time-out of a delivery ([delivery] attempt_timeout, or total_timeout \
                 of a brand's webhook) and two seconds. A node whose lease is not renewed sends nothing that could outlast it",
                (attempt_max * 2).as_secs_f64()
            );
            keys.refuse_inside("node", ".lease", what, None);
        }
    }
}
