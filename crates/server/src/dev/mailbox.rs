//! `/dev/mailbox`: the mail and SMS that a development server would have sent, as JSON for tests and as a page for people.
//! An SMS has neither subject nor HTML: both are null.

use axum::Router;
use axum::http::header::{ACCEPT, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use minijinja::{Environment, context};
use serde_json::{Value, json};

use crate::mail::{Mailbox, Received};

const PAGE: &str = include_str!("mailbox.html");
/// The page runs nothing and loads nothing; a mail's HTML is shown in a frame that may do even less.
const POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; frame-src 'self'; base-uri 'none'; form-action 'none'";

/// `GET /dev/mailbox`: a list, newest last; to browsers, and at `/dev/mailbox/`, a page.
pub(super) fn routes(mailbox: &Mailbox) -> Router {
    let (list, pages) = (mailbox.clone(), mailbox.clone());
    let answer = |headers: HeaderMap| async move {
        let accept = headers.get(ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
        if accept.contains("text/html") { page(&list) } else { json_of(&list) }
    };
    Router::new().route("/dev/mailbox", get(answer)).route("/dev/mailbox/", get(|| async move { page(&pages) }))
}

fn json_of(mailbox: &Mailbox) -> Response {
    let shown = |received: Received| {
        let Received { to, told, at } = received;
        let (subject, html) = told.mail().map(|mail| (&mail.subject, &mail.html)).unzip();
        json!({"to": to, "subject": subject, "text": told.text(), "html": html, "at": at.iso()})
    };
    let all: Vec<Value> = mailbox.all().into_iter().map(shown).collect();
    let headers = [(CONTENT_TYPE, "application/json; charset=utf-8"), (CACHE_CONTROL, "no-store")];
    (headers, Value::from(all).to_string()).into_response()
}

fn page(mailbox: &Mailbox) -> Response {
    let shown = |received: Received| {
        let Received { to, told, at } = received;
        let (subject, html) = told.mail().map(|mail| (&mail.subject, &mail.html)).unzip();
        context! { to, subject, text => told.text(), html, at => at.iso() }
    };
    let newest_first: Vec<_> = mailbox.all().into_iter().rev().map(shown).collect();
    // The name ends in .html: so all values are escaped.
    match Environment::new().render_named_str("mailbox.html", PAGE, context! { mails => newest_first }) {
        Ok(page) => {
            let headers = [
                (CONTENT_TYPE, "text/html; charset=utf-8"),
                (CACHE_CONTROL, "no-store"),
                (CONTENT_SECURITY_POLICY, POLICY),
            ];
            (headers, page).into_response()
        }
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
