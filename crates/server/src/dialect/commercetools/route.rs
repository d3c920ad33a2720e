//! One endpoint's place: method, path, and who may call it.
//!
//! Paths are matched here and not by axum's router, because single segments decide (`key=..`, `password-token=..` and
//! literal words stand where an id may stand, commercetools.md 2.1), and because whatever matches nothing has one answer.

use axum::http::Method;
use futures_util::future::BoxFuture;
use keyherald_core::client::{ApiClient, Permission};
use keyherald_core::id::{CustomerId, ProjectKey};

use super::reply::Answer;
use super::request::Request;
use crate::app::Call;

type Handled = BoxFuture<'static, Answer>;

/// Who may call an endpoint, and what is called.
pub enum Access {
    /// Whoever has an access token with this permission on the path's project.
    Token(Permission, fn(Request, Call) -> Handled),
    /// The customer whom an access token stands for, if it permits `manage_my_profile` on the path's project.
    Me(fn(Request, Call, CustomerId) -> Handled),
    /// An API client with its own secret.
    Client(fn(Request, ApiClient) -> Handled),
    /// Anybody.
    Anybody(fn(Request) -> Handled),
}

/// One endpoint's place.
pub struct Route {
    /// The method. `GET` also answers `HEAD`, unless a `HEAD` of the same path stands before it.
    pub method: Method,
    /// Segments: a word, `{project}`, `{id}`, or a prefix and a value such as `key={key}`.
    pub path: &'static str,
    /// Who may.
    pub access: Access,
}

/// Segments that are never an id: they belong to other endpoints, of this server or of the contract.
const WORDS: [&str; 5] = ["email", "email-token", "password", "password-token", "search"];
/// Beginnings of such segments.
const PREFIXES: [&str; 3] = ["email-token=", "key=", "password-token="];

/// What of a project there is within a store too, under `/{project}/in-store/key={store}` (commercetools.md 2.1).
const IN_STORE: [&str; 3] = ["customers", "login", "me"];

/// What a path holds.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Captured {
    /// The project key, if it can be one.
    pub project: Option<ProjectKey>,
    /// The store's key, decoded, if the path is that of a store.
    pub store: Option<String>,
    /// The other value, decoded. Bytes that are no text are replaced: such a value names nothing anyway.
    pub value: String,
}

impl Route {
    /// What the path holds, if it is this route's.
    pub fn capture(&self, method: &Method, path: &str) -> Option<Captured> {
        let heads = *method == Method::HEAD && self.method == Method::GET;
        if self.method != *method && !heads {
            return None;
        }
        let mut captured = Captured::default();
        let mut segments = path.split('/').map(percent_decoded).peekable();
        for pattern in self.path.split('/') {
            if IN_STORE.contains(&pattern) && segments.next_if(|segment| segment == "in-store").is_some() {
                captured.store = Some(segments.next()?.strip_prefix("key=")?.to_owned());
            }
            let decoded = segments.next()?;
            match pattern {
                "{project}" if decoded.is_empty() => return None,
                "{project}" => captured.project = decoded.parse().ok(),
                "{id}" if is_id(&decoded) => captured.value = decoded,
                "{id}" => return None,
                _ => match pattern.split_once('{') {
                    Some((prefix, _)) => decoded.strip_prefix(prefix)?.clone_into(&mut captured.value),
                    None if decoded == pattern => {}
                    None => return None,
                },
            }
        }
        segments.next().is_none().then_some(captured)
    }
}

fn is_id(segment: &str) -> bool {
    !segment.is_empty() && !WORDS.contains(&segment) && !PREFIXES.iter().any(|prefix| segment.starts_with(prefix))
}

/// A path segment in clear. Not form-encoded: `+` is a plus.
fn percent_decoded(segment: &str) -> String {
    let mut bytes = Vec::with_capacity(segment.len());
    let mut rest = segment.as_bytes();
    while let [first, after @ ..] = rest {
        let escaped = if let (b'%', [high, low, ..]) = (first, after) { hex(*high).zip(hex(*low)) } else { None };
        bytes.push(escaped.map_or(*first, |(high, low)| high * 16 + low));
        rest = after.get(if escaped.is_some() { 2 } else { 0 }..).unwrap_or_default();
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::super::ROUTES;
    use super::*;

    /// The pattern that takes a request, and the value in it.
    fn taken(method: &Method, path: &str) -> Option<(&'static str, String)> {
        ROUTES.iter().find_map(|route| route.capture(method, path).map(|captured| (route.path, captured.value)))
    }

    #[test]
    fn single_segments_decide() {
        for (method, path, pattern, value) in [
            (Method::GET, "/demo/customers/00000000", "/{project}/customers/{id}", "00000000"),
            (Method::GET, "/demo/customers/key=c-1", "/{project}/customers/key={key}", "c-1"),
            (Method::GET, "/demo/customers/key%3Dc%2D1", "/{project}/customers/key={key}", "c-1"),
            (Method::GET, "/demo/customers/key=", "/{project}/customers/key={key}", ""),
            (Method::GET, "/demo/customers/password-token=a_b-", "/{project}/customers/password-token={value}", "a_b-"),
            (Method::HEAD, "/demo/customers/password-token=x", "/{project}/customers/password-token={value}", "x"),
            (Method::POST, "/demo/customers/password", "/{project}/customers/password", ""),
            (Method::POST, "/demo/customers/password-token", "/{project}/customers/password-token", ""),
            (Method::POST, "/demo/customers/password/reset", "/{project}/customers/password/reset", ""),
            (Method::GET, "/demo", "/{project}", ""),
            (Method::POST, "/oauth/token", "/oauth/token", ""),
            (
                Method::POST,
                "/oauth/demo/in-store/key=a/customers/token",
                "/oauth/{project}/in-store/key={store}/customers/token",
                "a",
            ),
            (Method::POST, "/oauth/demo/customers/token", "/oauth/{project}/customers/token", ""),
            (Method::GET, "/oauth/customers", "/{project}/customers", ""),
            (Method::GET, "/demo/in-store/key=a/customers", "/{project}/customers", ""),
            (Method::POST, "/demo/in-store/key=a/customers/password", "/{project}/customers/password", ""),
            (Method::GET, "/demo/in-store/key=a/customers/key=c", "/{project}/customers/key={key}", "c"),
            (Method::POST, "/demo/in-store/key=a/login", "/{project}/login", ""),
            (Method::DELETE, "/demo/in-store/key=a/me", "/{project}/me", ""),
            (Method::GET, "/in-store/in-store/key=a/customers/in-store", "/{project}/customers/{id}", "in-store"),
            (Method::GET, "/demo/customers/%ff", "/{project}/customers/{id}", "\u{fffd}"),
        ] {
            assert_eq!(taken(&method, path), Some((pattern, value.to_owned())), "{method} {path}");
        }
    }

    #[test]
    fn a_path_within_a_store_names_it() {
        let route = ROUTES.iter().find(|route| route.path == "/{project}/customers").unwrap();
        let store = |path: &str| route.capture(&route.method, path).map(|captured| captured.store);
        assert_eq!(store("/demo/customers"), Some(None));
        assert_eq!(store("/demo/in-store/key=shop%2Da/customers"), Some(Some("shop-a".to_owned())));
        assert_eq!(store("/demo/in-store/key=/customers"), Some(Some(String::new())));
    }

    #[test]
    fn what_belongs_to_other_endpoints_is_no_id() {
        for (method, path) in [
            (Method::GET, "/demo/customers/password"),
            (Method::GET, "/demo/customers/search"),
            (Method::POST, "/demo/customers/email-token=x"),
            (Method::DELETE, "/demo/customers/password-token=x"),
            (Method::GET, "/demo/customers/"),
            (Method::GET, "/demo/customers/a/b"),
            (Method::GET, "/demo/"),
            (Method::GET, "//customers"),
            (Method::POST, "/"),
            (Method::GET, "/"),
            (Method::GET, ""),
            (Method::PUT, "/demo/customers"),
            (Method::GET, "/demo/in-store/key=a/messages"),
            (Method::GET, "/demo/in-store/key=a/subscriptions"),
            (Method::GET, "/demo/in-store/a/customers"),
            (Method::GET, "/demo/in-store/key=a"),
            (Method::GET, "/demo/in-store/key=a/in-store/key=b/customers"),
            (Method::GET, "/demo/customers/in-store/key=a"),
        ] {
            assert_eq!(taken(&method, path), None, "{method} {path}");
        }
    }
}
