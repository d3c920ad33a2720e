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

#[cfg(test)]
mod tests {
    use keyherald_core::Ctx;
    use keyherald_core::Micros;

    use super::*;
    use crate::connector::http::values::Values;
    use crate::recipe::body::{Body, Content};
    use crate::recipe::op::{Method, Op};
    use crate::recipe::predicate::Statuses;

    /// The example by which X (Twitter) explains its signatures.
    #[test]
    fn a_published_example_is_signed_as_published() {
        let content = Content::Form(vec![(
            "status".to_owned(),
            "Hello Ladies + Gentlemen, a signed OAuth request!".parse().unwrap(),
        )]);
        let op = Op {
            method: Method::Post,
            path: "/1.1/statuses/update.json".parse().unwrap(),
            query: vec![("include_entities".to_owned(), "true".parse().unwrap())],
            headers: Vec::new(),
            body: Some(Body { content, media_type: None }),
            auth: true,
            require: None,
            if_match: None,
            idempotency_header: None,
            expect: Statuses::of(vec![200..=200]),
            success_when: Vec::new(),
            items: None,
            extract: std::collections::BTreeMap::new(),
            errors: Vec::new(),
        };
        let draft = Draft::of(&op, &Values::default(), &mut Ctx::new(Micros(0), [0; 32])).unwrap();
        let about = About {
            consumer_key: "xvz1evFS4wEEPTGEFPHBog",
            consumer_secret: "kAcSOqF21Fu85e7zjz7ZN2U4ZRhfV3WpwPAoE3Z7kBw",
            token: Some("370773112-GmHxMAgYyLbNEtIKZeRNFsMKPR9EyMZeS9weJAEb"),
            token_secret: "LswwdoUaIvS8ltyTt5jkRh4J50vUPVVHtR2YPi5kE",
            realm: Some("a b"),
            timestamp: 1_318_622_958,
            nonce: "kYjzVBB8Y0ZFabxSWbWovY3uYSQ2pTgmZeNu2VS4cg",
        };
        let header = header(&about, &draft, "https://api.twitter.com");
        assert!(
            header.starts_with("OAuth realm=\"a%20b\", oauth_consumer_key=\"xvz1evFS4wEEPTGEFPHBog\", "),
            "{header}"
        );
        assert!(header.ends_with("oauth_signature=\"hCtSmYh%2BiHYCEqBWrE7C7hYmtUk%3D\""), "{header}");
    }
}
