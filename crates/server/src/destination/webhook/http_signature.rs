//! HTTP Message Signatures (RFC 9421) of an attempt, with `Content-Digest` (RFC 9530): what no body's signature covers, the
//! method, the address and the headers that say what the body is.
//!
//! Only what a sender needs: Ed25519, a request, and components without parameters.

use std::borrow::Cow;
use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use keyherald_core::Micros;
use sha2::{Digest, Sha256};
use url::Url;

use super::pair::Pair;

/// How long a signature holds, in seconds: as long as receivers by Standard Webhooks accept a timestamp.
const LIFE_S: i64 = 300;

/// What a signature covers: names in lower case, and values, in their order.
pub(super) type Components = Vec<(Cow<'static, str>, String)>;

/// `Content-Digest` of a body.
pub(super) fn content_digest(body: &[u8]) -> String {
    format!("sha-256=:{}:", STANDARD.encode(Sha256::digest(body)))
}

/// The components of a POST that its URL gives.
pub(super) fn of_url(url: &Url) -> Components {
    let host = url.host_str().unwrap_or_default().to_ascii_lowercase();
    let authority = url.port().map_or_else(|| host.clone(), |port| format!("{host}:{port}"));
    let mut components = vec![
        ("@method".into(), "POST".to_owned()),
        ("@authority".into(), authority),
        ("@path".into(), url.path().to_owned()),
    ];
    components.extend(url.query().map(|query| ("@query".into(), format!("?{query}"))));
    components
}

/// `Signature-Input` and `Signature` of an attempt at `now`: `sig1` of the first pair, `sig2` of the next ..
pub(super) fn sign<'a>(
    components: &Components,
    pairs: impl Iterator<Item = &'a Pair>,
    now: Micros,
) -> (String, String) {
    let created = now.0.div_euclid(Micros::SECOND);
    let (mut inputs, mut signatures) = (String::new(), String::new());
    for (number, pair) in (1..).zip(pairs) {
        let separator = if number == 1 { "" } else { ", " };
        let expires = created + LIFE_S;
        let parameters = format!(
            "{};created={created};expires={expires};keyid=\"{}\";alg=\"ed25519\"",
            covered(components),
            pair.id()
        );
        let signature = pair.sign(base(components, &parameters).as_bytes());
        let _infallible = write!(inputs, "{separator}sig{number}={parameters}");
        let _infallible = write!(signatures, "{separator}sig{number}=:{signature}:");
    }
    (inputs, signatures)
}

/// The list of what is covered.
fn covered(components: &Components) -> String {
    let names: Vec<String> = components.iter().map(|(name, _)| format!("{name:?}")).collect();
    format!("({})", names.join(" "))
}

/// The signature base (RFC 9421, 2.5).
fn base(components: &Components, parameters: &str) -> String {
    let mut base = String::new();
    for (name, value) in components {
        let _infallible = writeln!(base, "\"{name}\": {}", value.trim());
    }
    base.push_str("\"@signature-params\": ");
    base.push_str(parameters);
    base
}

#[cfg(test)]
mod tests {
    use keyherald_core::Ctx;

    use super::*;

    const KEY: &str = "n4Ni-HpISpVObnQMW0wOhCKROaIKqKtW_2ZYb2p9KcU";

    /// RFC 9421, appendix B.2.6.
    #[test]
    fn the_published_vector() {
        let components = vec![
            ("date".into(), "Tue, 20 Apr 2021 02:07:55 GMT".to_owned()),
            ("@method".into(), "POST".to_owned()),
            ("@path".into(), "/foo".to_owned()),
            ("@authority".into(), "example.com".to_owned()),
            ("content-type".into(), "application/json".to_owned()),
            ("content-length".into(), "18".to_owned()),
        ];
        let parameters = format!("{};created=1618884473;keyid=\"test-key-ed25519\"", covered(&components));
        let expected = "\"date\": Tue, 20 Apr 2021 02:07:55 GMT\n\"@method\": POST\n\"@path\": /foo\n\"@authority\": example.com\n\
                        \"content-type\": application/json\n\"content-length\": 18\n\
                        \"@signature-params\": (\"date\" \"@method\" \"@path\" \"@authority\" \"content-type\" \"content-length\")\
                        ;created=1618884473;keyid=\"test-key-ed25519\"";
        let base = base(&components, &parameters);
        assert_eq!(base, expected);
        let signature = Pair::of_jwk(KEY).sign(base.as_bytes());
        assert_eq!(
            signature,
            "wqcAqbmYJ2ji2glfAMaRy4gruYYnx2nEFN2HN6jrnDnQCK1u02Gb04v9EDgwUPiu4A0w6vuQv5lIp5WPpBKRCw=="
        );
    }

    /// RFC 9530, appendix D.
    #[test]
    fn the_published_digests() {
        for (body, digest) in [
            ("{\"hello\": \"world\"}", "X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE="),
            ("{\"hello\": \"world\"}\n", "RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg="),
        ] {
            assert_eq!(content_digest(body.as_bytes()), format!("sha-256=:{digest}:"));
        }
    }

    #[test]
    fn a_url_gives_its_authority_without_the_default_port_and_its_query_if_it_has_one() {
        let of = |url: &str| {
            of_url(&Url::parse(url).unwrap()).into_iter().skip(1).map(|(_, value)| value).collect::<Vec<_>>()
        };
        assert_eq!(of("https://Example.com"), ["example.com", "/"]);
        assert_eq!(of("https://example.com:443/a%20b"), ["example.com", "/a%20b"]);
        assert_eq!(of("https://[2001:DB8::1]:8443/a?x=1&y"), ["[2001:db8::1]:8443", "/a", "?x=1&y"]);
    }

    #[test]
    fn each_pair_has_a_label_of_its_own() {
        let other = Pair::new(&mut Ctx::new(Micros(0), [1; 32])).unwrap();
        let own = Pair::of_jwk(KEY);
        let components = vec![("@method".into(), "POST".to_owned())];
        let (input, signature) = sign(&components, [&own, &other].into_iter(), Micros(1_763_784_000_900_000));
        let of = |pair: &Pair| {
            let id = pair.id();
            format!("(\"@method\");created=1763784000;expires=1763784300;keyid=\"{id}\";alg=\"ed25519\"")
        };
        assert_eq!(input, format!("sig1={}, sig2={}", of(&own), of(&other)));
        let signed =
            |pair: &Pair| pair.sign(format!("\"@method\": POST\n\"@signature-params\": {}", of(pair)).as_bytes());
        assert_eq!(signature, format!("sig1=:{}:, sig2=:{}:", signed(&own), signed(&other)));
    }
}
