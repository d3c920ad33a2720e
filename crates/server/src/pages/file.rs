//! Files that pages load: style and script, the same for all projects, and a project's colours and logo.
//!
//! Names have a digest of what is in them, so that a browser may keep them for good.

use std::sync::LazyLock;

use axum::extract::Path;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use sha2::{Digest, Sha256};

use super::reply::{Answer, Reply, Trouble, bare};
use super::visit::Visit;
use super::{Logo, Route, Site, colour};

const STYLE: &str = include_str!("assets/recovery.css");
const SCRIPT: &str = include_str!("assets/recovery.js");

static STYLE_NAME: LazyLock<String> = LazyLock::new(|| format!("recovery.{}.css", digest(STYLE.as_bytes())));
static SCRIPT_NAME: LazyLock<String> = LazyLock::new(|| format!("recovery.{}.js", digest(SCRIPT.as_bytes())));

/// For a year: what has this name never changes.
const FOR_GOOD: &str = "public, max-age=31536000, immutable";

pub const LOGO: Route = Route {
    method: Method::GET,
    path: "logo",
    handle: |visit| async move { picture(visit.site.logo.as_ref()) }.boxed(),
};

pub const LOGO_DARK: Route = Route {
    method: Method::GET,
    path: "logo-dark",
    handle: |visit| async move { picture(visit.site.logo_dark.as_ref()) }.boxed(),
};

pub const THEME: Route =
    Route { method: Method::GET, path: "theme.css", handle: |visit| async move { Ok(theme(&visit)) }.boxed() };

/// The name of the style sheet.
pub fn style_name() -> &'static str {
    &STYLE_NAME
}

/// The name of the script.
pub fn script_name() -> &'static str {
    &SCRIPT_NAME
}

/// Changes with the colours and pictures of a project.
pub fn theme_version(site: &Site) -> String {
    let mut digest = Sha256::new();
    digest.update(site.colour.to_string());
    for logo in [&site.logo, &site.logo_dark].into_iter().flatten() {
        digest.update(&logo.bytes);
    }
    hex(&digest.finalize())
}

/// `/{prefix}/-/{file}`
pub async fn shared(Path(name): Path<String>) -> Response {
    let (media_type, text) = match name.as_str() {
        name if name == style_name() => ("text/css; charset=utf-8", STYLE),
        name if name == script_name() => ("text/javascript; charset=utf-8", SCRIPT),
        _ => return bare(StatusCode::NOT_FOUND),
    };
    file(media_type, text)
}

fn theme(visit: &Visit) -> Reply {
    Reply::File(file("text/css; charset=utf-8", colour::style(visit.site.colour)))
}

fn picture(logo: Option<&Logo>) -> Answer {
    let logo = logo.ok_or(Trouble::NoPage(StatusCode::NOT_FOUND))?;
    Ok(Reply::File(file(logo.media_type, logo.bytes.clone())))
}

/// Opened by itself, a picture of SVG is a page: it may do nothing.
fn file(media_type: &'static str, body: impl IntoResponse) -> Response {
    let headers = [
        (CONTENT_TYPE, media_type),
        (CACHE_CONTROL, FOR_GOOD),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
        (CONTENT_SECURITY_POLICY, "default-src 'none'; style-src 'unsafe-inline'; sandbox"),
    ];
    (headers, body).into_response()
}

fn digest(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

fn hex(digest: &[u8]) -> String {
    digest.iter().take(6).fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}
