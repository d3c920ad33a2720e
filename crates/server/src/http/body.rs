//! Bodies: read one with a limit, and watch one being sent.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::header::{CONTENT_LENGTH, EXPECT};
use http_body_util::BodyExt;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::time::{Instant, timeout_at};

/// Why there is no body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// It is longer than the limit.
    #[error("the body is longer than {bytes_max} bytes")]
    TooLarge {
        /// The limit.
        bytes_max: usize,
    },
    /// The connection ended, or the body's framing is wrong.
    #[error("the body ended early or is badly framed")]
    Broken,
    /// It did not arrive in time.
    #[error("the body did not arrive in time")]
    Timeout,
}

/// When a request's body must be there; an extension that the frame sets.
#[derive(Clone, Copy)]
pub(super) struct BodyDeadline(pub Instant);

/// Time for a body where no frame has set a deadline.
const TIME_MAX: Duration = Duration::from_secs(15);

/// Reads the whole body, at most `bytes_max` bytes of it.
///
/// A body that is too large is still received for a while before this returns, because a client that is busy sending
/// may lose an answer that comes with a closed connection.
pub async fn read_body(request: Request, bytes_max: usize) -> Result<Bytes, BodyError> {
    let (parts, mut body) = request.into_parts();
    let deadline = parts.extensions.get::<BodyDeadline>().map_or_else(|| Instant::now() + TIME_MAX, |set| set.0);
    let too_large = BodyError::TooLarge { bytes_max };
    let announced = parts.headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    let limit = u64::try_from(bytes_max).unwrap_or(u64::MAX);
    if announced.is_some_and(|length| length > limit) {
        // Who asks first has sent nothing yet.
        if !parts.headers.contains_key(EXPECT) {
            drain(&mut body, bytes_max, deadline).await;
        }
        return Err(too_large);
    }
    let mut read = Vec::with_capacity(announced.and_then(|length| usize::try_from(length).ok()).unwrap_or_default());
    while let Some(frame) = timeout_at(deadline, body.frame()).await.map_err(|_| BodyError::Timeout)? {
        let Ok(data) = frame.map_err(|_| BodyError::Broken)?.into_data() else { continue };
        if data.len() > bytes_max - read.len() {
            drain(&mut body, bytes_max, deadline).await;
            return Err(too_large);
        }
        read.extend_from_slice(&data);
    }
    Ok(read.into())
}

/// Receives and forgets up to four times the limit.
async fn drain(body: &mut Body, bytes_max: usize, deadline: Instant) {
    let mut left = bytes_max.saturating_mul(4);
    while let Ok(Some(Ok(frame))) = timeout_at(deadline, body.frame()).await {
        let Some(rest) = left.checked_sub(frame.data_ref().map_or(0, Bytes::len)) else { return };
        left = rest;
    }
}

/// A response body on its way: counts its bytes, and drops `until_sent` when it was sent or given up.
pub(super) struct Watched<G> {
    pub body: Body,
    pub until_sent: G,
}

/// Told of every piece that goes out, and of the end.
pub(super) trait Watch: Unpin {
    fn sent(&mut self, bytes: usize);
    fn finished(&mut self);
}

impl<G: Watch> HttpBody for Watched<G> {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        match &polled {
            Poll::Ready(Some(Ok(frame))) => self.until_sent.sent(frame.data_ref().map_or(0, Bytes::len)),
            Poll::Ready(None) => self.until_sent.finished(),
            _ => {}
        }
        // Hyper does not ask again after the last piece.
        if self.body.is_end_stream() {
            self.until_sent.finished();
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
