//! The wire between a destination and its receiver: it can withhold answers, lose one, and be cut.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// What becomes of the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wire {
    /// They pass.
    Open,
    /// What the receiver says waits.
    Held,
    /// The connection ends instead of the receiver's next word.
    Losing,
    /// There is no connection.
    Cut,
}

/// A wire.
pub struct Tap {
    /// Where it begins.
    pub port: u16,
    wire: watch::Sender<Wire>,
    connections: Arc<AtomicUsize>,
    _task: JoinSet<()>,
}

impl Tap {
    /// An open wire to `receiver`.
    pub async fn to(receiver: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (wire, connections) = (watch::Sender::new(Wire::Open), Arc::new(AtomicUsize::new(0)));
        let (state, count, mut task) = (wire.subscribe(), connections.clone(), JoinSet::new());
        task.spawn(async move {
            let mut running = JoinSet::new();
            while let Ok((near, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::Relaxed);
                let state = state.clone();
                running.spawn(async move {
                    let mut ended = state.clone();
                    tokio::select! {
                        // Looked at first: a wire that is cut connects nobody.
                        biased;
                        _ = ended.wait_for(|wire| *wire == Wire::Cut) => {}
                        () = pass(near, receiver, state) => {}
                    }
                });
            }
        });
        Self { port, wire, connections, _task: task }
    }

    /// Changes it.
    pub fn set(&self, wire: Wire) {
        self.wire.send_replace(wire);
    }

    /// How many connections there were.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }
}

async fn pass(near: TcpStream, receiver: SocketAddr, mut wire: watch::Receiver<Wire>) {
    let Ok(far) = TcpStream::connect(receiver).await else { return };
    let ((mut from_near, mut to_near), (mut from_far, mut to_far)) = (near.into_split(), far.into_split());
    let up = async move { drop(tokio::io::copy(&mut from_near, &mut to_far).await) };
    let down = async move {
        let mut bytes = vec![0; 64 * 1024];
        while let Ok(count @ 1..) = from_far.read(&mut bytes).await {
            let is_open = wire.wait_for(|wire| *wire != Wire::Held).await.is_ok_and(|wire| *wire == Wire::Open);
            if !is_open || to_near.write_all(&bytes[..count]).await.is_err() {
                return;
            }
        }
    };
    tokio::select! { () = up => {}, () = down => {} }
}
