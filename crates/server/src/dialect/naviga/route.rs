//! One endpoint's place, and which paths are this dialect's.
//!
//! Letter case counts nowhere but in values, a trailing slash nowhere at all; `/UsersOrchestrator` and `/v4` may be left
//! out, and `/api` may stand before an old path (naviga.md 2.1, 4.1).

use axum::http::Method;
use futures_util::future::BoxFuture;

use super::reply::Answer;
use super::request::Request;
use crate::config::NAVIGA_PATHS;

/// Which of the two APIs a path belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Era {
    /// `/v4/Users..`
    V4,
    /// `/User..`, and what else there was before.
    Old,
}

/// One endpoint's place.
pub struct Route {
    /// The method.
    pub method: Method,
    /// With all that may be left out: words, `{crid}` and the old API's `{type}`.
    pub path: &'static str,
    /// In which API.
    pub era: Era,
    /// What is called.
    pub handle: fn(Request) -> BoxFuture<'static, Answer>,
}

/// The API that a path belongs to. `None`: it is not this dialect's.
pub fn era(path: &str) -> Option<Era> {
    let mut words = path.split('/').skip(1).map(|word| percent_decoded(word).unwrap_or_default().to_ascii_lowercase());
    let mut first = words.next()?;
    if first == "api" {
        first = words.next()?;
        return NAVIGA_PATHS.old.contains(&first.as_str()).then_some(Era::Old);
    }
    if NAVIGA_PATHS.v4.contains(&first.as_str()) {
        return Some(Era::V4);
    }
    NAVIGA_PATHS.old.contains(&first.as_str()).then_some(Era::Old)
}

/// A percent sign that begins nothing, or bytes that are no text.
pub struct Malformed;

/// A request's path in clear, without what may be left out.
pub struct Path(Vec<String>);

impl Path {
    /// Takes it apart.
    pub fn of(path: &str) -> Result<Self, Malformed> {
        let path = path.strip_prefix('/').unwrap_or(path);
        let path = path.strip_suffix('/').unwrap_or(path);
        let mut segments = path.split('/').map(percent_decoded).collect::<Option<Vec<_>>>().ok_or(Malformed)?;
        for optional in OPTIONAL {
            if segments.first().is_some_and(|first| first.eq_ignore_ascii_case(optional)) {
                segments.remove(0);
            }
        }
        Ok(Self(segments))
    }

    /// The CRID in it, or an empty text where the route has none, if this is the route's.
    pub fn captured(&self, route: &Route, method: &Method) -> Option<String> {
        if route.method != *method {
            return None;
        }
        let words = route.path.split('/').filter(|word| !word.is_empty() && !OPTIONAL.contains(word));
        let mut segments = self.0.iter();
        let mut crid = String::new();
        for word in words {
            let segment = segments.next()?;
            match word {
                "{crid}" if segment.is_empty() => return None,
                "{crid}" => crid.clone_from(segment),
                "{type}" => {}
                word if segment.eq_ignore_ascii_case(word) => {}
                _ => return None,
            }
        }
        segments.next().is_none().then_some(crid)
    }
}

/// What may be left out at the front, in this order.
const OPTIONAL: [&str; 3] = ["UsersOrchestrator", "v4", "api"];

/// A path segment in clear. `None`: malformed. Not form-encoded: `+` is a plus.
fn percent_decoded(segment: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(segment.len());
    let mut rest = segment.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => hex(rest.next()?)? * 16 + hex(rest.next()?)?,
            plain => plain,
        });
    }
    String::from_utf8(bytes).ok()
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::super::ROUTES;
    use super::*;

    fn taken(method: &Method, path: &str) -> Option<(&'static str, String)> {
        let path = Path::of(path).ok()?;
        ROUTES.iter().find_map(|route| Some((route.path, path.captured(route, method)?)))
    }

    #[test]
    fn a_path_may_be_written_in_many_ways() {
        let password = "/v4/Users/{crid}/Password";
        let mut ways = 0;
        for prefix in ["", "/UsersOrchestrator", "/usersorchestrator"] {
            for version in ["", "/v4", "/V4"] {
                for path in
                    ["/Users/2937/Password", "/users/2937/password", "/USERS/2937/PASSWORD", "/%55sers/2937/Password"]
                {
                    for slash in ["", "/"] {
                        let path = format!("{prefix}{version}{path}{slash}");
                        assert_eq!(taken(&Method::PATCH, &path), Some((password, "2937".into())), "{path}");
                        assert_eq!(era(&path), Some(Era::V4), "{path}");
                        ways += 1;
                    }
                }
            }
        }
        assert_eq!(ways, 72);
        for path in ["/User/2937", "/user/2937/", "/api/User/2937", "/API/USER/2937/"] {
            assert_eq!(taken(&Method::PUT, path), Some(("/api/User/{crid}", "2937".into())), "{path}");
            assert_eq!(era(path), Some(Era::Old), "{path}");
        }
    }

    #[test]
    fn a_crid_is_decoded_and_keeps_its_letter_case() {
        for (sent, crid) in [
            ("auth0%7CAbC", "auth0|AbC"),
            ("auth0|AbC", "auth0|AbC"),
            ("a%2Fb", "a/b"),
            ("a+b", "a+b"),
            ("%C3%A9", "\u{e9}"),
            ("594e74f6-31de-ea11-b4e2-005056b47960", "594e74f6-31de-ea11-b4e2-005056b47960"),
            ("v4", "v4"),
        ] {
            let found = taken(&Method::PATCH, &format!("/v4/Users/{sent}/Password"));
            assert_eq!(found.map(|(_, crid)| crid).as_deref(), Some(crid));
        }
        for malformed in
            ["/v4/Users/%/Password", "/v4/Users/%4/Password", "/v4/Users/%zz/Password", "/v4/Users/%ff/Password"]
        {
            assert!(Path::of(malformed).is_err(), "{malformed}");
        }
    }

    #[test]
    fn what_is_something_else_is_not_taken() {
        for (method, path) in [
            (Method::GET, "/v4/Users/1/Password"),
            (Method::PATCH, "/v4/Users//Password"),
            (Method::PATCH, "/v4//Users/1/Password"),
            (Method::PATCH, "/v4/v4/Users/1/Password"),
            (Method::PATCH, "/v4/Users/1/Password/x"),
            (Method::PATCH, "/v4/User/1/Password"),
            (Method::PUT, "/User"),
            (Method::PUT, "/User/"),
        ] {
            assert_eq!(taken(&method, path), None, "{method} {path}");
        }
        for path in ["/", "", "/demo/customers", "/oauth/token", "/health/ready", "/api", "/api/demo", "/%/Users"] {
            assert_eq!(era(path), None, "{path}");
        }
    }
}
