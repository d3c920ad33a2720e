//! AWS Signature Version 4, in the header, with the body signed: for what stands behind AWS's gateways, and Cognito.
//!
//! The whole algorithm is hashing a canonical form of the request; AWS's own crates for it would bring in a hundred
//! others. S3, which writes paths in another way, is no identity provider.

use keyherald_core::Micros;
use ring::{digest, hmac};

use super::signing::{method, places};
use crate::connector::http::draft::Draft;
use crate::connector::http::values::hex;
use crate::connector::percent;
use crate::recipe::access::Place;

/// Who signs, for what, and when.
pub(super) struct About<'a> {
    pub access_key_id: &'a str,
    pub secret_access_key: &'a str,
    /// Of temporary access.
    pub session_token: Option<&'a str>,
    pub region: &'a str,
    pub service: &'a str,
    pub now: Micros,
}

/// Adds the time, the session token and the signature to a request.
pub(super) fn sign(about: &About<'_>, draft: &mut Draft, base: &str) {
    let time: String =
        about.now.iso().chars().take_while(|c| *c != '.').filter(char::is_ascii_alphanumeric).collect::<String>() + "Z";
    let day: String = time.chars().take(8).collect();
    draft.put(&Place::Header("x-amz-date".to_owned()), time.clone());
    if let Some(token) = about.session_token {
        draft.put(&Place::Header("x-amz-security-token".to_owned()), token.to_owned());
    }
    let (canonical, signed) = canonical(draft, base);
    let scope = format!("{day}/{}/{}/aws4_request", about.region, about.service);
    let text = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{}", hashed(&canonical));
    let first = mac(format!("AWS4{}", about.secret_access_key).as_bytes(), &day);
    let key = [about.region, about.service, "aws4_request"].iter().fold(first, |key, part| mac(key.as_ref(), part));
    let signature = hex(mac(key.as_ref(), &text).as_ref());
    let id = about.access_key_id;
    let value = format!("AWS4-HMAC-SHA256 Credential={id}/{scope}, SignedHeaders={signed}, Signature={signature}");
    draft.put(&Place::Header("authorization".to_owned()), value);
}

/// The request in the form that is signed, and the names of the headers in it.
fn canonical(draft: &Draft, base: &str) -> (String, String) {
    let (url, path) = places(draft, base);
    // What is encoded already is encoded once more.
    let path = path.split('/').map(percent::encode).collect::<Vec<_>>().join("/");
    let path = if path.is_empty() { "/" } else { path.as_str() };
    let mut query: Vec<(String, String)> =
        draft.query.iter().map(|(name, value)| (percent::encode(name), percent::encode(value))).collect();
    query.sort();
    let query = query.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&");
    let host = url.split("://").nth(1).and_then(|rest| rest.split('/').next()).unwrap_or_default();
    let mut headers = vec![("host".to_owned(), host.to_owned())];
    headers.extend(draft.headers().iter().map(|(name, value)| (name.to_ascii_lowercase(), in_one_line(value))));
    // Stable: of one name, values stay in their order.
    headers.sort_by(|(one, _), (other, _)| one.cmp(other));
    let (mut lines, mut names): (String, Vec<&str>) = <_>::default();
    for same in headers.chunk_by(|(one, _), (other, _)| one == other) {
        let values: Vec<&str> = same.iter().map(|(_, value)| value.as_str()).collect();
        if let Some((name, _)) = same.first() {
            lines.extend([name, ":", values.join(",").as_str(), "\n"]);
            names.push(name);
        }
    }
    let (names, body) = (names.join(";"), hashed(&draft.body_text()));
    (format!("{}\n{path}\n{query}\n{lines}\n{names}\n{body}", method(draft.method)), names)
}

fn in_one_line(value: &str) -> String {
    value.split_ascii_whitespace().collect::<Vec<_>>().join(" ")
}

fn hashed(text: &str) -> String {
    hex(digest::digest(&digest::SHA256, text.as_bytes()).as_ref())
}

fn mac(key: &[u8], text: &str) -> hmac::Tag {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes())
}

#[cfg(test)]
mod tests {
    use keyherald_core::Ctx;

    use super::*;
    use crate::connector::http::values::Values;
    use crate::recipe::body::{Body, Content};
    use crate::recipe::op::{Method, Op};
    use crate::recipe::predicate::Statuses;

    type Pairs = &'static [(&'static str, &'static str)];

    fn signature(method: Method, path: &str, (query, headers): (Pairs, Pairs), body: Option<&str>) -> String {
        let templates =
            |pairs: Pairs| pairs.iter().map(|(name, value)| ((*name).to_owned(), value.parse().unwrap())).collect();
        let op = Op {
            method,
            path: path.parse().unwrap(),
            query: templates(query),
            headers: templates(headers),
            body: body.map(|text| Body { content: Content::Text(text.parse().unwrap()), media_type: None }),
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
        let mut draft = Draft::of(&op, &Values::default(), &mut Ctx::new(Micros(0), [0; 32])).unwrap();
        let about = About {
            access_key_id: "AKIDEXAMPLE",
            secret_access_key: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
            session_token: None,
            region: "us-east-1",
            service: "service",
            now: Micros::parse_iso("2015-08-30T12:36:00.000Z").unwrap(),
        };
        sign(&about, &mut draft, "https://example.amazonaws.com");
        draft.headers().last().unwrap().1.clone()
    }

    /// Of the suite by which AWS lets implementations be tested.
    #[test]
    fn published_examples_are_signed_as_published() {
        let scope = "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request";
        let none: Pairs = &[];
        for (name, signed, more, expected) in [
            (
                "get-vanilla",
                signature(Method::Get, "/", (none, none), None),
                "",
                "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
            ),
            (
                "get-vanilla-query-order-key-case",
                signature(Method::Get, "/", (&[("Param2", "value2"), ("Param1", "value1")], none), None),
                "",
                "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
            ),
            (
                "post-vanilla",
                signature(Method::Post, "/", (none, none), None),
                "",
                "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
            ),
            (
                "post-header-value-case",
                signature(Method::Post, "/", (none, &[("My-Header1", "VALUE1")]), None),
                ";my-header1",
                "cdbc9802e29d2942e5e10b5bccfdd67c5f22c7c4e8ae67b53629efa58b974b7d",
            ),
            (
                "post-x-www-form-urlencoded",
                signature(
                    Method::Post,
                    "/",
                    (none, &[("Content-Type", "application/x-www-form-urlencoded")]),
                    Some("Param1=value1"),
                ),
                "content-type;",
                "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
            ),
        ] {
            let names =
                if more.ends_with(';') { format!("{more}host;x-amz-date") } else { format!("host{more};x-amz-date") };
            assert_eq!(signed, format!("{scope}, SignedHeaders={names}, Signature={expected}"), "{name}");
        }
    }
}
