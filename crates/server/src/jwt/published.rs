//! Keys that an issuer publishes at a URL: fetched when they are needed, kept, and looked for again when a token names one
//! that is not among them.
//!
//! What was fetched last is used for as long as nothing newer comes: an issuer that cannot be reached locks nobody out.

use std::sync::{Arc, RwLock};
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;
use url::Url;

use super::{Algorithm, KeySet};
use crate::outbound::client::{ClientSettings, NoClient, http_client};
use crate::outbound::guard::{Guard, addresses_in};

/// Longest key set.
const SET_BYTES_MAX: usize = 256 * 1024;

/// Where the keys are, and how often they are looked for.
#[derive(Clone, Debug)]
pub struct PublishedSettings {
    /// Where.
    pub url: Url,
    /// What they sign with.
    pub algorithm: Algorithm,
    /// Whether the URL's name may lead to private addresses.
    pub allow_private: bool,
    /// How long they are used before somebody looks whether there are others: this is how long a withdrawn key lives on.
    pub fresh_for: Duration,
    /// At most one look in this time, however many tokens name unknown keys.
    pub again_after: Duration,
    /// Time for one look.
    pub timeout: Duration,
}

impl PublishedSettings {
    /// With the usual times.
    pub fn new(url: Url, algorithm: Algorithm) -> Self {
        Self {
            url,
            algorithm,
            allow_private: false,
            fresh_for: Duration::from_mins(10),
            again_after: Duration::from_secs(5),
            timeout: Duration::from_secs(3),
        }
    }
}

/// The keys at a URL.
pub struct Published {
    settings: PublishedSettings,
    guard: Guard,
    http: reqwest::Client,
    known: RwLock<Option<Known>>,
    /// When it was looked last, well or not. Whoever looks holds it.
    looked: Mutex<Option<Instant>>,
}

#[derive(Clone)]
struct Known {
    keys: Arc<KeySet>,
    since: Instant,
}

impl Published {
    /// Fetches nothing yet.
    pub fn new(settings: PublishedSettings) -> Result<Self, NoClient> {
        let guard = if settings.allow_private { Guard::open() } else { Guard::new(addresses_in(&settings.url)) };
        let http = http_client(&ClientSettings {
            guard: guard.clone(),
            connect_timeout: settings.timeout,
            attempt_timeout: settings.timeout,
            idle_max: 1,
            tls: None,
        })?;
        Ok(Self { settings, guard, http, known: RwLock::default(), looked: Mutex::default() })
    }

    /// The keys, as new as they must be for a token that names `id`. `None`: there were never any.
    pub(super) async fn keys(&self, id: Option<&str>) -> Option<Arc<KeySet>> {
        let known = self.known();
        let is_old = known.as_ref().is_none_or(|known| known.since.elapsed() >= self.settings.fresh_for);
        let is_missing = known.as_ref().is_none_or(|known| id.is_some_and(|id| !known.keys.has(id)));
        if is_missing {
            let looked = self.looked.lock().await;
            self.look(looked, known.map(|known| known.since)).await;
        } else if is_old && let Ok(looked) = self.looked.try_lock() {
            // One caller looks; the others go on with what there is.
            self.look(looked, known.map(|known| known.since)).await;
        }
        self.known().map(|known| known.keys)
    }

    fn known(&self) -> Option<Known> {
        self.known.read().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    /// Fetches them, unless somebody did since `before`, or has tried just now.
    async fn look(&self, mut looked: tokio::sync::MutexGuard<'_, Option<Instant>>, before: Option<Instant>) {
        let newer = self.known().is_some_and(|known| Some(known.since) != before);
        let just_now = looked.is_some_and(|at| at.elapsed() < self.settings.again_after);
        if newer || just_now {
            return;
        }
        let keys = self.fetch().await;
        *looked = Some(Instant::now());
        match keys {
            Ok(keys) => {
                let known = Known { keys: Arc::new(keys), since: Instant::now() };
                *self.known.write().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(known);
            }
            Err(why) => tracing::warn!(host = self.settings.url.host_str(), "keys of callers' tokens: {why}"),
        }
    }

    async fn fetch(&self) -> Result<KeySet, &'static str> {
        self.guard.check_host(&self.settings.url).map_err(|_| "their address is not a public one")?;
        let sent = self.http.get(self.settings.url.clone()).send().await;
        let mut answer = sent.map_err(|_| "they cannot be fetched")?;
        if !answer.status().is_success() {
            return Err("they are not where they should be");
        }
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(|_| "they did not arrive whole")? {
            if body.len() + chunk.len() > SET_BYTES_MAX {
                return Err("they are too large");
            }
            body.extend_from_slice(&chunk);
        }
        KeySet::of_jwks(&body, self.settings.algorithm).map_err(|_| "there is none for the configured algorithm")
    }
}
