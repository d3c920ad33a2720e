//! What surrounds every request: ids, a span and one log line; in it CORS and gzip; in those the head's limits, the time
//! limit and the panic guard, so that the frame's own answers are ones that a web page can read, too.

use std::any::Any;
use std::borrow::Cow;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use futures_util::FutureExt;
use ipnet::IpNet;
use tracing::{Instrument, Span, field};

use super::body::{BodyDeadline, Watch, Watched};
use super::correlation::{CORRELATION_ID, RequestIds};
use super::{Peer, compression, cors, trace_context};
use crate::clock::Moments;
use crate::config::{self, PageOrigin};
use crate::telemetry::metrics::Requests;
use crate::trace::{self, Tracer};

/// Why the frame itself must answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The handler panicked: 500.
    Panic,
    /// The handler took too long; whether it has changed something is not known: 503.
    Timeout,
    /// The request's head is over the limit: 431.
    HeadTooLarge,
}

impl Failure {
    /// The status that goes with it.
    pub fn status(self) -> StatusCode {
        match self {
            Self::Panic => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Timeout => StatusCode::SERVICE_UNAVAILABLE,
            Self::HeadTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        }
    }
}

/// Makes the frame's own answers, in the form of the dialect that the path belongs to.
pub type Reply = dyn Fn(Failure, &str) -> Response + Send + Sync;

/// The shape of a request's path for the log, where axum's route does not say enough: a dialect that takes paths apart
/// itself puts this into the response's extensions. Never with values in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route(pub Cow<'static, str>);

/// What the frame needs to know.
#[derive(Clone)]
pub struct Frame {
    /// Chance for ids.
    pub moments: Moments,
    /// Longest request head: method, path, query, headers.
    pub header_bytes_max: usize,
    /// Time until the answer begins.
    pub request_timeout: Duration,
    /// Time for the body, within `request_timeout`.
    pub body_timeout: Duration,
    /// Pages that may call from a browser.
    pub origins: Vec<PageOrigin>,
    /// Proxies that are believed whom they speak for.
    pub trusted_proxies: Vec<IpNet>,
    /// The frame's own answers.
    pub reply: Arc<Reply>,
    /// Where requests are counted.
    pub requests: Requests,
    /// What makes their spans.
    pub tracer: Tracer,
    /// Whether a caller's `tracestate` is kept.
    pub keeps_tracestate: bool,
}

impl Frame {
    /// With the limits of the configuration.
    pub fn new(server: &config::Server, moments: Moments, reply: Arc<Reply>) -> Self {
        let config::Server { header_bytes_max, request_timeout, body_timeout, .. } = *server;
        let origins = server.cors.origins.clone();
        let trusted_proxies = server.trusted_proxies.clone();
        Self {
            moments,
            header_bytes_max,
            request_timeout,
            body_timeout,
            origins,
            trusted_proxies,
            reply,
            requests: Requests::default(),
            tracer: Tracer::default(),
            keeps_tracestate: false,
        }
    }

    /// The same with spans of this tracer; `keeps_tracestate`: with what callers' tracing systems have added.
    #[must_use]
    pub fn traced(self, tracer: Tracer, keeps_tracestate: bool) -> Self {
        Self { tracer, keeps_tracestate, ..self }
    }
}

/// Puts the frame around all routes of `router`, its fallback included. Comes last: routes added later have none.
pub fn framed(router: Router, frame: Frame) -> Router {
    let frame = Arc::new(frame);
    let inner = router.layer(from_fn_with_state(Arc::clone(&frame), guarded)).layer(compression::layer());
    let inner = match cors::layer(&frame.origins) {
        Some(cors) => inner.layer(cors),
        None => inner,
    };
    inner.layer(from_fn_with_state(frame, around))
}

async fn around(State(frame): State<Arc<Frame>>, mut request: Request, next: Next) -> Response {
    let ids = RequestIds::of(request.headers(), request.uri().path(), &mut frame.moments.ctx());
    let route = request.extensions().get::<MatchedPath>().map_or("unmatched", MatchedPath::as_str).to_owned();
    let span = tracing::info_span!(
        "request",
        request_id = %ids.request,
        correlation_id = ids.for_log(),
        method = method(&request),
        route,
        trace_id = field::Empty,
        // For dialects and use cases to fill in.
        dialect = field::Empty,
        use_case = field::Empty,
        project = field::Empty,
        customer_id = field::Empty,
        caller_request_id = field::Empty,
    );
    let traced = traced(&frame, &request, &route);
    if let Some(context) = traced.context() {
        span.record("trace_id", field::display(context.trace));
    }
    let here = traced.here();
    let mut line = LogLine::new((span.clone(), traced), &request, route, frame.requests.clone());
    request.extensions_mut().insert(ids.clone());
    if let Some(peer) = request.extensions().get::<Peer>() {
        let peer = peer.behind(&frame.trusted_proxies, request.headers());
        request.extensions_mut().insert(peer);
    }
    let mut response = here.within(next.run(request)).instrument(span).await;
    response.headers_mut().insert(CORRELATION_ID, ids.correlation);
    line.answered(&response);
    response.map(|body| Body::new(Watched { body, until_sent: line }))
}

/// The request's span. A probe of our health begins no trace: there would be no others to look at.
fn traced(frame: &Frame, request: &Request, route: &str) -> trace::Span {
    let parent = trace_context::named(request.headers(), frame.keeps_tracestate);
    if parent.is_none() && route.starts_with("/health/") {
        return trace::Span::none();
    }
    let mut span = frame.tracer.begin(trace::Kind::Server, "request", parent.as_ref());
    span.say(
        "http.request.method",
        match method(request) {
            "other" => "_OTHER",
            method => method,
        },
    );
    span
}

async fn guarded(State(frame): State<Arc<Frame>>, mut request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    if head_bytes(&request) > frame.header_bytes_max {
        return (frame.reply)(Failure::HeadTooLarge, &path);
    }
    request.extensions_mut().insert(BodyDeadline(tokio::time::Instant::now() + frame.body_timeout));
    let answer = AssertUnwindSafe(next.run(request)).catch_unwind();
    match tokio::time::timeout(frame.request_timeout, answer).await {
        Ok(Ok(response)) => response,
        Ok(Err(panic)) => {
            drop_quietly(panic);
            (frame.reply)(Failure::Panic, &path)
        }
        Err(_late) => {
            tracing::warn!("the request took too long and was given up");
            (frame.reply)(Failure::Timeout, &path)
        }
    }
}

/// The method; others than the registered ones may be any text, so they are not logged.
fn method(request: &Request) -> &'static str {
    match request.method().as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        _ => "other",
    }
}

fn head_bytes(request: &Request) -> usize {
    let uri = request.uri();
    let query = uri.query().map_or(0, str::len);
    // Four bytes for colon, space and line end of each line.
    let headers = request.headers().iter().map(|(name, value)| name.as_str().len() + value.len() + 4);
    request.method().as_str().len() + uri.path().len() + query + headers.sum::<usize>()
}

/// A panic's payload may itself panic when it is dropped.
fn drop_quietly(payload: Box<dyn Any + Send>) {
    let _again = std::panic::catch_unwind(AssertUnwindSafe(|| drop(payload))).map_err(std::mem::forget);
}

/// The access log's line, and the request's place in the metrics: written once, when the last byte was handed over or the request was given up.
struct LogLine {
    span: Span,
    traced: trace::Span,
    started: Instant,
    method: &'static str,
    route: Cow<'static, str>,
    status: Option<StatusCode>,
    bytes: usize,
    complete: bool,
    requests: Requests,
}

impl LogLine {
    fn new((span, traced): (Span, trace::Span), request: &Request, route: String, requests: Requests) -> Self {
        let (started, method) = (Instant::now(), method(request));
        let route = route.into();
        Self { span, traced, started, method, route, status: None, bytes: 0, complete: false, requests }
    }

    fn answered(&mut self, response: &Response) {
        self.status = Some(response.status());
        if let Some(Route(route)) = response.extensions().get::<Route>() {
            self.span.record("route", field::display(route));
            self.route.clone_from(route);
        }
        // A body that has nothing to send is not asked for anything.
        self.complete = hyper::body::Body::is_end_stream(response.body());
    }

    /// The span's name and attributes by the conventions for HTTP servers; without path, query and address, which may be
    /// somebody's.
    fn say(&mut self) {
        if !self.traced.is_recorded() {
            return;
        }
        let (method, route) = (self.method, self.route.clone());
        self.traced.rename(|| format!("{method} {route}"));
        self.traced.say("http.route", trace::Say::id(&route));
        match self.status {
            Some(status) => {
                self.traced.say("http.response.status_code", status.as_u16());
                if status.is_server_error() {
                    self.traced.fail(status.as_u16().to_string());
                }
            }
            None => self.traced.fail("client_gone"),
        }
    }
}

impl Watch for LogLine {
    fn sent(&mut self, bytes: usize) {
        self.bytes += bytes;
    }

    fn finished(&mut self) {
        self.complete = true;
    }
}

impl Drop for LogLine {
    fn drop(&mut self) {
        self.say();
        let Self { method, route, bytes, .. } = &*self;
        let took = self.started.elapsed();
        let duration_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        let _in_span = self.span.enter();
        let status = self.status.map_or(0, |status| status.as_u16());
        self.requests.answered(method, route, status, took);
        match self.status {
            None => tracing::info!(duration_ms, "{method} {route}: the client went away before the answer"),
            Some(StatusCode::OK) if route.starts_with("/health/") => {
                tracing::debug!(status, duration_ms, bytes, "{method} {route}: {status}");
            }
            Some(_) => {
                let complete = self.complete;
                tracing::info!(status, duration_ms, bytes, complete, "{method} {route}: {status} in {duration_ms} ms");
            }
        }
    }
}
