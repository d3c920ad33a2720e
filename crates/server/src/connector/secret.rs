//! Secrets with which we show a provider who we are: client secrets, keys, access tokens.

use std::sync::Arc;

use reqwest::header::HeaderValue;
use zeroize::Zeroizing;

/// A secret of ours. No `Debug`, no `Display`; wiped when its last copy is dropped.
#[derive(Clone)]
pub struct AccessSecret(Arc<Zeroizing<String>>);

impl AccessSecret {
    /// Takes the text over.
    pub fn new(text: String) -> Self {
        Self(Arc::new(Zeroizing::new(text)))
    }

    /// As the value of `Authorization`, kept out of logs. `None`: it cannot stand in a header.
    pub fn bearer(&self) -> Option<HeaderValue> {
        let mut value = HeaderValue::from_str(&format!("Bearer {}", self.0.as_str())).ok()?;
        value.set_sensitive(true);
        Some(value)
    }

    /// The text, for the request that it goes into.
    pub(super) fn reveal(&self) -> &str {
        &self.0
    }

    /// Whether this is the very copy that `other` is.
    pub(super) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}
