//! Whether the server wants requests, and why not.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Reasons for which the server is not ready. Ready is: no reason. Cheap to clone; all clones are one.
///
/// A reason is a name that machines know and a text for people, both fixed: `/health/ready` shows them to anybody.
#[derive(Clone)]
pub struct Readiness(Arc<Mutex<BTreeMap<&'static str, &'static str>>>);

impl Readiness {
    /// Not ready yet: the server is starting. [`Readiness::started`] takes this reason away.
    pub fn starting() -> Self {
        Self(Arc::new(Mutex::new(BTreeMap::from([("starting", "the server is starting")]))))
    }

    /// Start-up is over.
    pub fn started(&self) {
        self.clear("starting");
    }

    /// Adds or replaces a reason.
    pub fn fail(&self, name: &'static str, text: &'static str) {
        if self.with(|reasons| reasons.insert(name, text)) != Some(text) {
            tracing::warn!(reason = name, "not ready: {text}");
        }
    }

    /// Takes a reason away.
    pub fn clear(&self, name: &'static str) {
        if self.with(|reasons| reasons.remove(name)).is_some() {
            tracing::info!(reason = name, "no longer a reason not to be ready: {name}");
        }
    }

    /// All reasons, by name. None: ready.
    pub fn reasons(&self) -> BTreeMap<&'static str, &'static str> {
        self.with(|reasons| reasons.clone())
    }

    fn with<T>(&self, look: impl FnOnce(&mut BTreeMap<&'static str, &'static str>) -> T) -> T {
        // Nothing panics while it holds the lock; if it did, the map would still be whole.
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_is_no_reason_left() {
        let readiness = Readiness::starting();
        let seen_elsewhere = readiness.clone();
        readiness.fail("store", "the database cannot be reached");
        readiness.started();
        assert_eq!(seen_elsewhere.reasons(), BTreeMap::from([("store", "the database cannot be reached")]));
        readiness.clear("store");
        assert!(seen_elsewhere.reasons().is_empty());
    }
}
