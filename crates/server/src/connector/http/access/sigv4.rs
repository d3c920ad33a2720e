//! [AWS Signature Version 4](crate::connector::sigv4) of a described request: for what stands behind AWS's gateways, and Cognito.

use super::signing::{method, places};
use crate::connector::http::draft::Draft;
use crate::connector::percent;
use crate::connector::sigv4::{Signer, Unsigned};
use crate::recipe::access::Place;

/// Adds the time, the session token and the signature to a request.
pub(super) fn sign(signer: &Signer<'_>, draft: &mut Draft, base: &str) {
    let (url, path) = places(draft, base);
    let mut query: Vec<(String, String)> =
        draft.query.iter().map(|(name, value)| (percent::encode(name), percent::encode(value))).collect();
    query.sort();
    let query = query.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&");
    let signing = signer.sign(&Unsigned {
        method: method(draft.method),
        host: url.split("://").nth(1).and_then(|rest| rest.split('/').next()).unwrap_or_default(),
        path: &path,
        query: &query,
        headers: draft.headers(),
        body: draft.body_text().as_bytes(),
    });
    for (name, value) in signing {
        draft.put(&Place::Header(name.to_owned()), value);
    }
}

#[cfg(test)]
mod tests {
    use keyherald_core::{Ctx, Micros};

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
        let signer = Signer {
            access_key_id: "AKIDEXAMPLE",
            secret_access_key: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
            session_token: None,
            region: "us-east-1",
            service: "service",
            now: Micros::parse_iso("2015-08-30T12:36:00.000Z").unwrap(),
        };
        sign(&signer, &mut draft, "https://example.amazonaws.com");
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
