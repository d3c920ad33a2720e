//! `[store]`: which database.

use std::time::Duration;

use url::Url;

use super::keys::{Keys, Section};
use super::secret::{KeyNames, Secret};

/// `[store]`
#[derive(Clone, Debug)]
pub struct Store {
    /// `sqlite:PATH` or `postgres://...`; may hold a password.
    pub url: Secret,
    /// A standby of a PostgreSQL, which message queries are read from; may hold a password.
    pub replica_url: Option<Secret>,
    /// How far behind it may be.
    pub replica_staleness_max: Duration,
    /// PostgreSQL connections, each with a thread; and a quarter as many to a replica.
    pub connections: usize,
    /// SQLite reader threads, besides the one for callers' queries. A read takes some tens of microseconds, and each
    /// thread half a megabyte: one is enough for ten thousand reads a second.
    pub readers: usize,
}

/// The database when none is configured: a file in the working directory.
const DEFAULT_URL: &str = "sqlite:keyherald.db";

impl Default for Store {
    fn default() -> Self {
        Self {
            url: Secret::inline(DEFAULT_URL, DEFAULT_URL),
            replica_url: None,
            replica_staleness_max: Duration::from_secs(5),
            connections: 16,
            readers: 1,
        }
    }
}

static URL: KeyNames = KeyNames { inline: "url", file: "url_file", variable: "url_env", masked: Some(masked) };
static REPLICA: KeyNames =
    KeyNames { inline: "replica_url", file: "replica_url_file", variable: "replica_url_env", masked: Some(masked) };

impl Section for Store {
    fn keys(&mut self, keys: &mut Keys<'_>) {
        keys.secret(&URL, &mut self.url);
        keys.optional_secret(&REPLICA, &mut self.replica_url);
        let (least, most) = (Duration::from_millis(500), Duration::from_mins(1));
        keys.within("replica_staleness_max", &mut self.replica_staleness_max, least..=most);
        keys.within("connections", &mut self.connections, 1..=256);
        keys.within("readers", &mut self.readers, 1..=64);
        if self.url.is_readable()
            && let Err(what) = check(self.url.reveal())
        {
            let hint = r#"use "sqlite:keyherald.db" or "postgres://user@host:5432/database""#;
            keys.refuse_secret(&URL, what, hint);
        }
        let Some(replica) = self.replica_url.as_ref().filter(|replica| replica.is_readable()) else { return };
        let hint = r#"use "postgres://user@host:5432/database", or leave it out"#;
        if self.url.reveal().starts_with("sqlite:") {
            keys.refuse_secret(&REPLICA, "needs a PostgreSQL as [store] url: a SQLite file has no standby", hint);
        } else if let Err(what) = check_replica(replica.reveal()) {
            keys.refuse_secret(&REPLICA, what, hint);
        }
    }
}

fn check_replica(url: &str) -> Result<(), &'static str> {
    if url.starts_with("sqlite:") { Err("must begin with postgres://") } else { check(url) }
}

/// Checks the form only; texts never repeat the URL.
fn check(url: &str) -> Result<(), &'static str> {
    if let Some(path) = url.strip_prefix("sqlite:") {
        return if path.trim().is_empty() { Err("names no SQLite file") } else { Ok(()) };
    }
    if !(url.starts_with("postgres://") || url.starts_with("postgresql://")) {
        return Err("must begin with sqlite: or postgres://");
    }
    let parsed = Url::parse(url).map_err(|_| "is not a readable postgres:// URL")?;
    if parsed.has_host() { Ok(()) } else { Err("names no host") }
}

/// The URL with its passwords replaced.
fn masked(url: &str) -> String {
    if url.starts_with("sqlite:") {
        return url.to_owned();
    }
    let Ok(mut parsed) = Url::parse(url) else { return "***".into() };
    if parsed.password().is_some() && parsed.set_password(Some("***")).is_err() {
        return "***".into();
    }
    let pairs: Vec<(String, String)> = parsed.query_pairs().into_owned().collect();
    if pairs.iter().any(|(name, _)| name.contains("password")) {
        let mask = |(name, value): (String, String)| {
            let value = if name.contains("password") { "***".into() } else { value };
            (name, value)
        };
        parsed.query_pairs_mut().clear().extend_pairs(pairs.into_iter().map(mask));
    }
    parsed.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_masked_wherever_they_stand() {
        assert_eq!(masked("sqlite:/data/kh.db"), "sqlite:/data/kh.db");
        assert_eq!(masked("postgres://kh:hunter2@db/kh?sslmode=require"), "postgres://kh:***@db/kh?sslmode=require");
        let in_query = masked("postgres://db/kh?user=kh&password=hunter2");
        assert!(!in_query.contains("hunter2") && in_query.contains("user=kh"), "{in_query}");
        assert_eq!(masked("postgres://kh:hunter2@[broken"), "***");
    }

    #[test]
    fn only_known_engines() {
        assert!(check("sqlite:a.db").is_ok());
        assert!(check("postgresql://localhost/kh").is_ok());
        for wrong in ["", "a.db", "sqlite:", "mysql://localhost/kh", "postgres://", "postgres:///kh"] {
            assert!(check(wrong).is_err(), "{wrong}");
        }
    }
}
