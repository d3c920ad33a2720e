//! The listening socket and its connections: HTTP/1.1 and HTTP/2 without TLS (a proxy in front ends that).
//!
//! Limits: open connections, the size of a head, time for the first request's head, time between requests. What one
//! request may take is the frame's business.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tower::ServiceExt;

use super::body::{Watch, Watched};
use super::peer::Peer;
use crate::config;
use crate::life::{Stop, TaskResult};

/// Limits of connections.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Most open connections.
    pub connections_max: usize,
    /// Longest head that the frame will still answer; hyper itself refuses one of four times the size.
    pub header_bytes_max: usize,
    /// Most header lines.
    pub headers_max: usize,
    /// From the connection to the end of its first request's head.
    pub header_timeout: Duration,
    /// From one request to the end of the next one's head.
    pub idle_timeout: Duration,
}

impl From<&config::Server> for Limits {
    fn from(server: &config::Server) -> Self {
        let config::Server { connections_max, header_bytes_max, headers_max, header_timeout, idle_timeout, .. } =
            *server;
        Self { connections_max, header_bytes_max, headers_max, header_timeout, idle_timeout }
    }
}

/// A bound socket and what is served there.
pub struct Server {
    listener: TcpListener,
    router: Router,
    limits: Limits,
}

/// Wait after an `accept` that failed because the process has no file descriptors left, or the like.
const ACCEPT_AGAIN_AFTER: Duration = Duration::from_millis(50);
/// Streams of one HTTP/2 connection at the same time.
const STREAMS_MAX: u32 = 100;

impl Server {
    /// Binds the socket: clients can connect from now on, and are served when [`Server::serve`] runs.
    pub async fn bind(listen: SocketAddr, router: Router, limits: Limits) -> io::Result<Self> {
        Ok(Self { listener: TcpListener::bind(listen).await?, router, limits })
    }

    /// The address that it listens on; with the real port where 0 was asked for.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until `stop` is requested; then accepts nothing more, finishes the requests in progress and returns.
    ///
    /// Dropping the future closes all connections where they are.
    pub async fn serve(self, stop: Stop) -> TaskResult {
        let Self { listener, router, limits } = self;
        let slots = Arc::new(Semaphore::new(limits.connections_max));
        let mut connections = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                accepted = accept(&listener, &slots) => accepted,
                Some(ended) = connections.join_next() => {
                    note_panic(ended);
                    continue;
                }
                () = stop.requested() => break,
            };
            match accepted {
                Ok((stream, peer, slot)) => {
                    let served = (router.clone(), peer);
                    drop(connections.spawn(connection(stream, slot, served, limits, stop.clone())));
                }
                // The client's doing: the next one is waiting.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection: {error}");
                    sleep(ACCEPT_AGAIN_AFTER).await;
                }
            }
        }
        // Closed now, so that clients are refused rather than left waiting.
        drop(listener);
        while let Some(ended) = connections.join_next().await {
            note_panic(ended);
        }
        Ok(())
    }
}

async fn accept(listener: &TcpListener, slots: &Arc<Semaphore>) -> io::Result<(TcpStream, Peer, OwnedSemaphorePermit)> {
    // First the slot, then the connection: those over the limit wait in the kernel.
    let slot = Arc::clone(slots).acquire_owned().await.map_err(io::Error::other)?;
    let (stream, peer) = listener.accept().await?;
    // Answers are small and whole: waiting for more to send would only delay them. Fails only if the client has gone.
    let _gone = stream.set_nodelay(true);
    Ok((stream, Peer(peer.ip()), slot))
}

fn note_panic(ended: Result<(), tokio::task::JoinError>) {
    if ended.is_err_and(|error| error.is_panic()) {
        tracing::error!("a connection's task panicked; the connection is closed");
    }
}

async fn connection(
    stream: TcpStream,
    _slot: OwnedSemaphorePermit,
    (router, peer): (Router, Peer),
    limits: Limits,
    stop: Stop,
) {
    let pace = watch::Sender::new(Pace::default());
    let overdue = pin!(overdue(pace.subscribe(), limits));
    let builder = builder(limits);
    let service = hyper::service::service_fn(move |request| serve_one(router.clone(), peer, pace.clone(), request));
    let mut served = pin!(builder.serve_connection(TokioIo::new(stream), service));
    tokio::select! {
        ended = served.as_mut() => return note_end(ended),
        () = overdue => return,
        () = stop.requested() => {}
    }
    served.as_mut().graceful_shutdown();
    note_end(served.await);
}

fn note_end(ended: Result<(), Box<dyn std::error::Error + Send + Sync>>) {
    if let Err(error) = ended {
        // The client's doing: it went away, or spoke no HTTP.
        tracing::debug!(error = %error, "a connection ended: {error}");
    }
}

fn builder(limits: Limits) -> Builder<TokioExecutor> {
    let head_max = limits.header_bytes_max.saturating_mul(4).max(8192);
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        // Hyper's clock for a head starts when the answer before it ends, so it bounds idling as well.
        .header_read_timeout(limits.idle_timeout)
        .max_headers(limits.headers_max)
        .max_buf_size(head_max);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(u32::try_from(head_max).unwrap_or(u32::MAX))
        .keep_alive_interval(limits.idle_timeout)
        .keep_alive_timeout(limits.header_timeout);
    builder
}

/// The requests of one connection, counted.
#[derive(Clone, Copy, Default)]
struct Pace {
    started: u64,
    in_progress: usize,
}

/// Returns when the connection has kept us waiting: for its first request, or for its next one. Hyper does not look at
/// a connection that sends nothing at all, nor at an idle one of HTTP/2.
async fn overdue(mut pace: watch::Receiver<Pace>, limits: Limits) {
    let mut patience = limits.header_timeout;
    loop {
        // The sender lives as long as the connection's service, which is as long as we are polled.
        let Ok(idle) = pace.wait_for(|pace| pace.in_progress == 0).await.map(|pace| *pace) else { return };
        let next = pace.wait_for(|pace| pace.started > idle.started);
        if timeout(patience, next).await.is_err() {
            return;
        }
        patience = limits.idle_timeout;
    }
}

/// One request in progress: counted until its answer is sent or given up.
struct InProgress(watch::Sender<Pace>);

impl InProgress {
    fn start(pace: watch::Sender<Pace>) -> Self {
        pace.send_modify(|pace| {
            pace.started += 1;
            pace.in_progress += 1;
        });
        Self(pace)
    }
}

impl Drop for InProgress {
    fn drop(&mut self) {
        self.0.send_modify(|pace| pace.in_progress = pace.in_progress.saturating_sub(1));
    }
}

impl Watch for InProgress {
    fn sent(&mut self, _bytes: usize) {}
    fn finished(&mut self) {}
}

/// What hyper calls for each request.
async fn serve_one(
    router: Router,
    peer: Peer,
    pace: watch::Sender<Pace>,
    request: hyper::Request<Incoming>,
) -> Result<Response, Infallible> {
    let in_progress = InProgress::start(pace);
    let mut request: Request = request.map(Body::new);
    request.extensions_mut().insert(peer);
    let response = router.oneshot(request).await?;
    Ok(response.map(|body| Body::new(Watched { body, until_sent: in_progress })))
}
