//! The same as server-sent events: `Accept: text/event-stream`. Each message is an event whose id is its position, so that a
//! client that reconnects with `Last-Event-ID` goes on where it was.
//!
//! While there is nothing to send, an id without data tells how far the log has come. It is the heartbeat as well, and makes
//! no event. With each, the token is looked at again: a stream ends with the token that opened it.
//!
//! A page is read when the one before was taken by the connection: who reads slowly costs a page of memory.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::fmt::Write;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use axum::response::Response;
use futures_util::stream;
use keyherald_core::id::ProjectKey;
use tokio::time::Instant;

use super::super::commercetools::parameters::Parameters;
use super::super::commercetools::reply::{Problem, failed_query};
use super::{admitted, asked, authorize, beyond, shown};
use crate::app::feed::{Asked, Fetched, Place};
use crate::app::{App, Call};

/// Messages of one page in memory.
const PAGE: i64 = 50;
/// Longest silence.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// When a client that has lost its stream should come back.
const COME_BACK: &str = "retry: 2000\n\n";
const LAST_EVENT_ID: &str = "last-event-id";
/// Proxies (nginx) that would gather a stream are asked not to.
const BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// A stream that is open.
struct Open {
    app: App,
    project: ProjectKey,
    /// With the token.
    headers: HeaderMap,
    asked: Asked,
    /// When the token is to be looked at again.
    check_at: Instant,
    ready: VecDeque<String>,
    has_ended: bool,
    _place: Place,
}

/// Answers with a stream, or with what is wrong before it begins.
pub async fn open(app: App, call: Call, headers: HeaderMap, parameters: &Parameters) -> Result<Response, Problem> {
    let asked = Asked { limit: PAGE, ..resumed(asked(parameters)?, &headers)? };
    let place = admitted(&app)?;
    let check_at = Instant::now() + HEARTBEAT;
    let (project, ready) = (call.project, VecDeque::from([COME_BACK.to_owned()]));
    let mut open = Open { app, project, headers, asked, check_at, ready, has_ended: false, _place: place };
    match open.app.fetch(&open.project, asked, Duration::ZERO).await.map_err(failed_query)? {
        Fetched::Gone { complete_after, first } => return Err(Problem::position_gone(complete_after, first)),
        Fetched::Beyond => return Err(beyond()),
        page @ Fetched::Page(..) => open.take(page),
    }
    let chunks = stream::unfold(open, async |mut open| {
        let chunk = open.next().await?;
        Some((Ok::<_, Infallible>(Bytes::from(chunk)), open))
    });
    let mut response = Response::new(Body::from_stream(chunks));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(BUFFERING, HeaderValue::from_static("no"));
    Ok(response)
}

/// What the client has seen counts, not where it began.
fn resumed(asked: Asked, headers: &HeaderMap) -> Result<Asked, Problem> {
    let Some(last) = headers.get(LAST_EVENT_ID).filter(|last| !last.is_empty()) else { return Ok(asked) };
    let position = last.to_str().ok().and_then(|text| text.trim().parse().ok()).filter(|position| *position >= 0);
    let why = "Expected the id of an event of this feed.";
    let position: i64 = position.ok_or_else(|| Problem::malformed_parameter("Last-Event-ID", why))?;
    Ok(Asked { after: Some(position), ..asked })
}

impl Open {
    /// The next events. `None`: the end; the client comes back, if it may.
    async fn next(&mut self) -> Option<String> {
        loop {
            if let Some(text) = self.ready.pop_front() {
                return Some(text);
            }
            if self.has_ended || self.app.feed.has_ended() {
                return None;
            }
            if self.check_at <= Instant::now() {
                authorize(&self.app, &self.headers, self.project.as_str()).await.ok()?;
                self.check_at = Instant::now() + HEARTBEAT;
            }
            let fetched = self.app.fetch(&self.project, self.asked, HEARTBEAT).await;
            // A database that does not answer has been told about where it was asked.
            self.take(fetched.ok()?);
        }
    }

    fn take(&mut self, fetched: Fetched) {
        let text = match fetched {
            Fetched::Page(messages, reached) => {
                self.asked.after = Some(reached);
                let mut text = String::new();
                let mut last = 0;
                for (position, entry) in shown(&self.project, &messages) {
                    last = position;
                    _ = write!(text, "id: {position}\ndata: {entry}\n\n");
                }
                if last < reached {
                    _ = write!(text, "id: {reached}\n\n");
                }
                text
            }
            Fetched::Gone { complete_after, first } => {
                self.has_ended = true;
                let first = first.map_or_else(|| "null".to_owned(), |first| first.to_string());
                format!("event: gone\ndata: {{\"completeAfter\":{complete_after},\"firstPosition\":{first}}}\n\n")
            }
            Fetched::Beyond => {
                self.has_ended = true;
                return;
            }
        };
        self.ready.push_back(text);
    }
}
