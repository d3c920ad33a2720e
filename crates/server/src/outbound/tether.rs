//! A connection that is lent to a client library, which reads, writes and ends it as it likes; or several.
//!
//! Who lends it keeps the [`Tether`]: cutting or dropping that ends the connection at once, whatever the library waits for.
//! And the other side cannot fill our memory: it may say so many bytes and no more, until we say that it said something of
//! use. Several connections on one tether are cut together, and what is heard on them counts together.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll, ready};

use futures_util::task::AtomicWaker;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::socket::Stream;

/// Our end.
pub struct Tether(Arc<Shared>);

/// Who lends more connections on the same tether.
#[derive(Clone)]
pub struct Lender(Arc<Shared>);

/// The connection, as it is lent.
pub struct Tethered {
    stream: Box<dyn Stream>,
    shared: Arc<Shared>,
    ends: Arc<Ends>,
}

struct Shared {
    is_cut: AtomicBool,
    /// Bytes that were heard.
    heard: AtomicU64,
    /// How many of them there may be.
    heard_max: AtomicU64,
    bytes_max: u64,
    /// Of the connections that there still are.
    lent: Mutex<Vec<Weak<Ends>>>,
}

/// Who waits on one connection.
#[derive(Default)]
struct Ends {
    reader: AtomicWaker,
    writer: AtomicWaker,
}

/// Lends a connection, on which `bytes_max` may be heard before [`Tether::was_of_use`] is called, and between two calls.
pub fn tether(stream: Box<dyn Stream>, bytes_max: u64) -> (Tethered, Tether) {
    let (lender, tether) = lender(bytes_max);
    (lender.lend(stream), tether)
}

/// Lends as many connections as there will be, on all of which together so much may be heard.
pub fn lender(bytes_max: u64) -> (Lender, Tether) {
    let shared = Arc::new(Shared {
        is_cut: AtomicBool::new(false),
        heard: AtomicU64::new(0),
        heard_max: AtomicU64::new(bytes_max),
        bytes_max,
        lent: Mutex::default(),
    });
    (Lender(shared.clone()), Tether(shared))
}

impl Lender {
    /// Lends one more.
    pub fn lend(&self, stream: Box<dyn Stream>) -> Tethered {
        let (shared, ends) = (self.0.clone(), Arc::new(Ends::default()));
        let mut lent = shared.lent.lock().unwrap_or_else(PoisonError::into_inner);
        lent.retain(|ends| ends.strong_count() > 0);
        lent.push(Arc::downgrade(&ends));
        drop(lent);
        Tethered { stream, shared, ends }
    }
}

impl Tether {
    /// Bytes that were heard so far.
    pub fn heard(&self) -> u64 {
        self.0.heard.load(Ordering::Relaxed)
    }

    /// What was heard was of use: as much again may follow.
    pub fn was_of_use(&self) {
        self.0.heard_max.store(self.heard().saturating_add(self.0.bytes_max), Ordering::Relaxed);
    }

    /// Whether we have ended it.
    pub fn is_cut(&self) -> bool {
        self.0.is_cut.load(Ordering::Acquire)
    }

    /// Ends the connection: from now on reading and writing fail.
    pub fn cut(&self) {
        self.0.is_cut.store(true, Ordering::Release);
        let lent = self.0.lent.lock().unwrap_or_else(PoisonError::into_inner);
        for ends in lent.iter().filter_map(Weak::upgrade) {
            ends.reader.wake();
            ends.writer.wake();
        }
    }
}

impl Drop for Tether {
    fn drop(&mut self) {
        self.cut();
    }
}

impl Shared {
    /// Whoever waits is registered first, so that a cut in between is not missed.
    fn check(&self, waker: &AtomicWaker, context: &Context<'_>) -> io::Result<()> {
        waker.register(context.waker());
        if self.is_cut.load(Ordering::Acquire) { Err(io::ErrorKind::ConnectionAborted.into()) } else { Ok(()) }
    }
}

impl AsyncRead for Tethered {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let Self { stream, shared, ends } = self.get_mut();
        shared.check(&ends.reader, context)?;
        let before = into.filled().len();
        ready!(Pin::new(stream).poll_read(context, into))?;
        let count = u64::try_from(into.filled().len().saturating_sub(before)).unwrap_or(u64::MAX);
        let heard = shared.heard.fetch_add(count, Ordering::Relaxed).saturating_add(count);
        if heard > shared.heard_max.load(Ordering::Relaxed) {
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, "the other side says too much")));
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Tethered {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let Self { stream, shared, ends } = self.get_mut();
        shared.check(&ends.writer, context)?;
        Pin::new(stream).poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { stream, shared, ends } = self.get_mut();
        shared.check(&ends.writer, context)?;
        Pin::new(stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { stream, shared, ends } = self.get_mut();
        shared.check(&ends.writer, context)?;
        Pin::new(stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    #[tokio::test]
    async fn a_cut_ends_who_reads_and_who_writes() {
        let (near, _far) = duplex(1);
        let (stream, tether) = tether(Box::new(near), 100);
        let (mut reader, mut writer) = tokio::io::split(stream);
        let mut byte = [0];
        let reads = async { reader.read(&mut byte).await.map_err(|error| error.kind()) };
        let writes = async { writer.write_all(b"more than it takes").await.map_err(|error| error.kind()) };
        let cuts = async {
            tokio::task::yield_now().await; // both wait
            drop(tether);
        };
        let aborted = io::ErrorKind::ConnectionAborted;
        assert_eq!(tokio::join!(reads, writes, cuts), (Err(aborted), Err(aborted), ()));
    }

    #[tokio::test]
    async fn several_connections_share_what_may_be_heard_and_their_end() {
        let (lender, tether) = lender(10);
        let ((near, mut far), (second_near, mut second_far)) = (duplex(100), duplex(100));
        let (mut first, mut second) = (lender.lend(Box::new(near)), lender.lend(Box::new(second_near)));
        drop(lender.lend(Box::new(duplex(1).0)));
        far.write_all(&[1; 7]).await.unwrap();
        second_far.write_all(&[1; 7]).await.unwrap();
        let mut seven = [0; 7];
        first.read_exact(&mut seven).await.unwrap();
        assert_eq!(second.read_exact(&mut seven).await.unwrap_err().kind(), io::ErrorKind::InvalidData);
        let (reads, cuts) = (async { first.read(&mut seven).await.map_err(|error| error.kind()) }, async {
            tokio::task::yield_now().await; // it waits
            tether.cut();
        });
        assert_eq!(tokio::join!(reads, cuts).0, Err(io::ErrorKind::ConnectionAborted));
        // And who comes later.
        let late = lender.lend(Box::new(duplex(1).0)).read(&mut seven).await;
        assert_eq!(late.unwrap_err().kind(), io::ErrorKind::ConnectionAborted);
    }

    #[tokio::test]
    async fn what_is_heard_is_limited_until_it_was_of_use() {
        let (near, mut far) = duplex(100);
        let (mut stream, tether) = tether(Box::new(near), 10);
        far.write_all(&[1; 31]).await.unwrap();
        let mut ten = [0; 10];
        for heard in [10, 20, 30] {
            stream.read_exact(&mut ten).await.unwrap();
            assert_eq!(tether.heard(), heard);
            if heard < 30 {
                tether.was_of_use();
            }
        }
        assert_eq!(stream.read(&mut ten).await.unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}
