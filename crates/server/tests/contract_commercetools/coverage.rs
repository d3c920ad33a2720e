//! The transcripts leave nothing out: every endpoint has its steps, within a store as well where it is there, and every
//! documented error is answered in one of them.

use std::collections::BTreeSet;
use std::path::Path;

use keyherald::dialect::commercetools::endpoints;

/// Error codes of commercetools.md 1.3, 1.4 and chapter 9 that a caller can bring about.
const CODES: [&str; 25] = [
    "AnonymousIdAlreadyInUse",
    "ConcurrentModification",
    "DuplicateField",
    "ExpiredCustomerEmailToken",
    "ExpiredCustomerPasswordToken",
    "InvalidCredentials",
    "InvalidCurrentPassword",
    "InvalidField",
    "InvalidInput",
    "InvalidJsonInput",
    "InvalidOperation",
    "MaxResourceLimitExceeded",
    "QueryTimedOut",
    "ReferencedResourceNotFound",
    "ResourceNotFound",
    "ResourceSizeLimitExceeded",
    "access_denied",
    "insufficient_scope",
    "invalid_client",
    "invalid_customer_account_credentials",
    "invalid_grant",
    "invalid_request",
    "invalid_scope",
    "invalid_token",
    "unsupported_grant_type",
];

/// Codes that no transcript can show, and where they are shown instead.
const ELSEWHERE: [(&str, &str); 4] = [
    // The OAuth endpoints answer `invalid_request` instead, and no other endpoint takes an anonymous id (1.3).
    ("AnonymousIdAlreadyInUse", "never emitted"),
    ("MaxResourceLimitExceeded", "concurrency::fifty_subscriptions_and_not_one_more"),
    ("QueryTimedOut", "queries"),
    ("ResourceSizeLimitExceeded", "bad_input, and keyherald_core::update::tests"),
];

fn transcripts() -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/contract_commercetools/transcripts");
    let files = std::fs::read_dir(folder).unwrap();
    files.map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap() + "\n").collect()
}

/// The endpoint that a request of a transcript meets: of those whose pattern fits, the one with the most words of its own.
fn endpoint(method: &str, path: &str) -> Option<usize> {
    let fits = |pattern: &str| {
        let (pattern, path): (Vec<_>, Vec<_>) = (pattern.split('/').collect(), path.split('/').collect());
        let segment = |(pattern, segment): (&&str, &&str)| match pattern.split_once('{') {
            Some((prefix, _)) => segment.starts_with(prefix),
            None => pattern == segment,
        };
        pattern.len() == path.len() && pattern.iter().zip(&path).all(segment)
    };
    let own = |pattern: &str| pattern.split('/').map(|segment| segment.split('{').next().unwrap().len()).sum::<usize>();
    let candidates = endpoints().enumerate().filter(|(_, (own, pattern, _))| {
        let heads = method == "HEAD" && own.as_str() == "GET";
        (own.as_str() == method || heads) && fits(pattern)
    });
    candidates
        .max_by_key(|(_, (own_method, pattern, _))| (own(pattern), own_method.as_str() == method))
        .map(|(at, _)| at)
}

#[test]
fn every_endpoint_has_steps() {
    let mut missing: BTreeSet<(bool, usize)> = BTreeSet::new();
    for (at, (_, pattern, _)) in endpoints().enumerate() {
        missing.insert((false, at));
        if pattern.split('/').nth(2).is_some_and(|word| ["customers", "login", "me"].contains(&word)) {
            missing.insert((true, at));
        }
    }
    for line in transcripts().lines() {
        let Some((method, target)) = line.strip_prefix("> ").and_then(|line| line.split_once(' ')) else { continue };
        let path = target.split('?').next().unwrap();
        let segments: Vec<&str> = path.split('/').collect();
        let in_store = segments.get(2) == Some(&"in-store") && segments.get(1) != Some(&"oauth");
        let plain = if in_store {
            segments
                .iter()
                .enumerate()
                .filter(|(at, _)| ![2, 3].contains(at))
                .map(|(_, s)| *s)
                .collect::<Vec<_>>()
                .join("/")
        } else {
            path.to_owned()
        };
        if let Some(at) = endpoint(method, &plain) {
            missing.remove(&(in_store, at));
        }
    }
    let all: Vec<_> = endpoints().collect();
    let names: Vec<String> = missing
        .iter()
        .map(|(in_store, at)| {
            format!("{} {}{}", all[*at].0, all[*at].1, if *in_store { " within a store" } else { "" })
        })
        .collect();
    assert!(names.is_empty(), "no transcript has a step for:\n{}", names.join("\n"));
}

#[test]
fn every_documented_error_is_answered() {
    let text = transcripts();
    let shown = |code: &str| text.contains(&format!("\"{code}\""));
    let missing: Vec<&str> = CODES
        .into_iter()
        .filter(|code| !shown(code) && !ELSEWHERE.iter().any(|(elsewhere, _)| elsewhere == code))
        .collect();
    assert!(missing.is_empty(), "no transcript answers {missing:?}");
    for (code, place) in ELSEWHERE {
        assert!(
            !shown(code) || code == "AnonymousIdAlreadyInUse",
            "{code} is in a transcript now, not only in {place}"
        );
    }
}
