//! What the server calls: receivers of messages, and a collector that reads OTLP with OpenTelemetry's own types.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value};
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// A request as it came.
#[derive(Clone)]
pub struct Got {
    pub path: String,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Got {
    pub fn header(&self, name: &str) -> Option<String> {
        Some(self.headers.get(name)?.to_str().unwrap().to_owned())
    }

    /// The ids of its `traceparent`: the trace, and its parent there.
    pub fn trace(&self) -> (String, String) {
        let parent = self.header("traceparent").expect("it has a traceparent");
        ids(&parent)
    }
}

/// The trace and the span of a `traceparent`.
pub fn ids(traceparent: &str) -> (String, String) {
    let parts: Vec<&str> = traceparent.split('-').collect();
    assert_eq!((traceparent.len(), parts.len(), parts[0]), (55, 4, "00"), "{traceparent}");
    (parts[1].to_owned(), parts[2].to_owned())
}

struct Shared {
    got: Vec<Got>,
    /// `None`: never answers.
    status: Option<u16>,
}

/// A server on a free port. Ends when it is dropped.
pub struct Double {
    pub url: String,
    shared: Arc<Mutex<Shared>>,
    _task: JoinSet<()>,
}

impl Double {
    /// Answers with this status; `None`: never.
    pub async fn start(status: Option<u16>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let shared = Arc::new(Mutex::new(Shared { got: Vec::new(), status }));
        let router = Router::new().fallback(keep).with_state(shared.clone());
        let mut task = JoinSet::new();
        task.spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, shared, _task: task }
    }

    pub fn answers(&self, status: u16) {
        self.shared.lock().unwrap().status = Some(status);
    }

    pub fn got(&self) -> Vec<Got> {
        self.shared.lock().unwrap().got.clone()
    }

    /// All spans that came, if this is a collector.
    pub fn spans(&self) -> Vec<Span> {
        let got = self.got();
        let requests = got.iter().map(|got| ExportTraceServiceRequest::decode(got.body.clone()).expect("it is OTLP"));
        let resources = requests.flat_map(|request| request.resource_spans);
        resources.flat_map(|resource| resource.scope_spans).flat_map(|scope| scope.spans).collect()
    }
}

async fn keep(State(shared): State<Arc<Mutex<Shared>>>, uri: Uri, headers: HeaderMap, body: Bytes) -> StatusCode {
    let status = {
        let mut shared = shared.lock().unwrap();
        shared.got.push(Got { path: uri.path().to_owned(), headers, body });
        shared.status
    };
    match status {
        Some(status) => StatusCode::from_u16(status).unwrap(),
        None => std::future::pending().await,
    }
}

/// A span's own id, or its parent's, as text.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"))
}

/// A text or a number that is said of a span.
pub fn said(span: &Span, key: &str) -> Option<String> {
    let KeyValue { value, .. } = span.attributes.iter().find(|attribute| attribute.key == key)?;
    match value.as_ref()?.value.as_ref()? {
        any_value::Value::StringValue(text) => Some(text.clone()),
        any_value::Value::IntValue(number) => Some(number.to_string()),
        any_value::Value::BoolValue(flag) => Some(flag.to_string()),
        other => panic!("{other:?}"),
    }
}
