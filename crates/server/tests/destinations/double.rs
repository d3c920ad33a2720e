//! Stands for a cloud's HTTP API: what it answers is written from the vendor's contract, in the file of its kind, and it can be
//! told to fail.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::receiver::Got;

/// Where a double gives out tokens, if it does: what goes wrong, goes wrong elsewhere.
pub const TOKEN_PATH: &str = "/token";

/// A request, as it came.
pub struct Request {
    pub method: Method,
    pub uri: Uri,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Request {
    /// A header's text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// What goes wrong with one request.
#[derive(Clone, Copy, Debug)]
pub enum Fault {
    /// It is answered so, asking for so much rest, and nothing happens.
    Instead(u16, Option<u32>),
    /// It is carried out, and answered so.
    After(u16),
}

/// Carries a request out.
type Vendor = Box<dyn Fn(&Request, &mut Vec<Got>) -> Response + Send + Sync>;

/// A server that does as a vendor does.
pub struct Double {
    pub address: SocketAddr,
    shared: Arc<Shared>,
    _task: JoinSet<()>,
}

struct Shared {
    vendor: Vendor,
    faults: Mutex<VecDeque<Fault>>,
    got: Mutex<Vec<Got>>,
    requests: AtomicUsize,
}

impl Double {
    pub async fn start(vendor: impl Fn(&Request, &mut Vec<Got>) -> Response + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, mut task) = (listener.local_addr().unwrap(), JoinSet::new());
        let vendor = Box::new(vendor);
        let shared = Shared { vendor, faults: Mutex::default(), got: Mutex::default(), requests: AtomicUsize::new(0) };
        let shared = Arc::new(shared);
        let service = Router::new().fallback(answer).with_state(shared.clone());
        task.spawn(async move { drop(axum::serve(listener, service).await) });
        Self { address, shared, _task: task }
    }

    /// The next requests go wrong, one by one.
    pub fn fail(&self, faults: &[Fault]) {
        self.shared.faults.lock().unwrap().extend(faults);
    }

    pub fn got(&self) -> Vec<Got> {
        self.shared.got.lock().unwrap().clone()
    }

    /// How many there were, those for tokens aside.
    pub fn requests(&self) -> usize {
        self.shared.requests.load(Ordering::Relaxed)
    }
}

async fn answer(
    State(shared): State<Arc<Shared>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let request = Request { method, uri, headers, body };
    let mut got = shared.got.lock().unwrap();
    if request.uri.path() == TOKEN_PATH {
        return (shared.vendor)(&request, &mut got);
    }
    shared.requests.fetch_add(1, Ordering::Relaxed);
    let status = |status: u16| StatusCode::from_u16(status).unwrap();
    match shared.faults.lock().unwrap().pop_front() {
        Some(Fault::Instead(code, None)) => status(code).into_response(),
        Some(Fault::Instead(code, Some(seconds))) => {
            (status(code), [(header::RETRY_AFTER, seconds.to_string())]).into_response()
        }
        Some(Fault::After(code)) => {
            let done = (shared.vendor)(&request, &mut got);
            assert!(done.status().is_success(), "{}", done.status());
            status(code).into_response()
        }
        None => (shared.vendor)(&request, &mut got),
    }
}

/// What each kind's answers mean, by status, when nothing was carried out.
pub mod meanings {
    use keyherald_core::delivery::Cause;

    pub const ALL: [(u16, Cause); 12] = [
        (400, Cause::Refused),
        (401, Cause::Refused),
        (403, Cause::Refused),
        (404, Cause::Refused),
        (410, Cause::Refused),
        (302, Cause::Refused),
        (408, Cause::Temporary),
        (500, Cause::Temporary),
        (429, Cause::Throttled),
        (502, Cause::Throttled),
        (503, Cause::Throttled),
        (504, Cause::Throttled),
    ];
}
