//! What all dialects share of HTTP: the listening server with its limits, the frame around every request, health.
//!
//! A dialect is an axum `Router`; [`framed`] puts ids, log line, time limit and panic guard around all of them, and
//! [`Server`] serves the result. How an error looks is a dialect's own business: where the frame itself must
//! answer, it asks the [`Reply`] that it was given, and [`read_body`] returns its errors.
//!
//! What hyper refuses before there is a request (a broken request line, a head far too large) is answered by hyper: a
//! bare 400 or 431 without correlation id.

mod body;
mod compression;
mod correlation;
mod cors;
mod frame;
mod health;
mod idempotency;
mod peer;
mod server;
mod trace_context;

pub use body::{BodyError, read_body};
pub use correlation::{CORRELATION_ID, RequestIds, for_log};
pub use frame::{Failure, Frame, Reply, Route, framed};
pub use health::{About, health};
pub use idempotency::{IDEMPOTENCY_KEY, NotAKey, idempotency_key};
pub use peer::Peer;
pub use server::{Limits, Server};
