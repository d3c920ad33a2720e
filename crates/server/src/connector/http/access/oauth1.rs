//! OAuth 1.0a (RFC 5849) with HMAC-SHA1.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;

use super::signing::{method, places};
use crate::connector::http::draft::Draft;
use crate::connector::percent;

/// Who signs, and when.
pub(super) struct About<'a> {
    pub consumer_key: &'a str,
    pub consumer_secret: &'a str,
    pub token: Option<&'a str>,
    pub token_secret: &'a str,
    pub realm: Option<&'a str>,
    /// In seconds.
    pub timestamp: i64,
    pub nonce: &'a str,
}

/// The value of the header `Authorization`.
pub(super) fn header(about: &About<'_>, draft: &Draft, base: &str) -> String {
    let timestamp = about.timestamp.to_string();
    let own = [
        ("oauth_consumer_key", Some(about.consumer_key)),
        ("oauth_nonce", Some(about.nonce)),
        ("oauth_signature_method", Some("HMAC-SHA1")),
        ("oauth_timestamp", Some(&timestamp)),
        ("oauth_token", about.token),
        ("oauth_version", Some("1.0")),
    ];
    let own: Vec<(String, String)> =
        own.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned()))).collect();
    let (url, _) = places(draft, base);
    let mut signed: Vec<(String, String)> = draft.form_fields();
    signed.extend(own.iter().cloned());
    let mut signed: Vec<String> =
        signed.iter().map(|(name, value)| format!("{}={}", percent::encode(name), percent::encode(value))).collect();
    signed.sort();
    let text = format!("{}&{}&{}", method(draft.method), percent::encode(&url), percent::encode(&signed.join("&")));
    let key = format!("{}&{}", percent::encode(about.consumer_secret), percent::encode(about.token_secret));
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, key.as_bytes());
    let signature = STANDARD.encode(hmac::sign(&key, text.as_bytes()));
    let realm = about.realm.map(|realm| ("realm".to_owned(), realm.to_owned()));
    let shown = realm.into_iter().chain(own).chain([("oauth_signature".to_owned(), signature)]);
    let shown: Vec<String> = shown.map(|(name, value)| format!("{name}=\"{}\"", percent::encode(&value))).collect();
    format!("OAuth {}", shown.join(", "))
}
