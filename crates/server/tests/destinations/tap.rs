//! The wire between a destination and its receiver: it can withhold answers, lose one, and be cut; and it remembers what was said.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

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

/// So many bytes of what was said to the receiver are remembered.
const SAID_BYTES_MAX: usize = 64 * 1024;

/// A wire.
pub struct Tap {
    /// Where it begins.
    pub port: u16,
    wire: watch::Sender<Wire>,
    connections: Arc<AtomicUsize>,
    said: Arc<Mutex<Vec<u8>>>,
    _task: JoinSet<()>,
}

impl Tap {
    /// An open wire to `receiver`.
    pub async fn to(receiver: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (wire, connections) = (watch::Sender::new(Wire::Open), Arc::new(AtomicUsize::new(0)));
        let (said, mut task) = (Arc::new(Mutex::new(Vec::new())), JoinSet::new());
        let (state, count, hears) = (wire.subscribe(), connections.clone(), said.clone());
        task.spawn(async move {
            let mut running = JoinSet::new();
            while let Ok((near, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::Relaxed);
                let (state, hears) = (state.clone(), hears.clone());
                running.spawn(async move {
                    let mut ended = state.clone();
                    tokio::select! {
                        // Looked at first: a wire that is cut connects nobody.
                        biased;
                        _ = ended.wait_for(|wire| *wire == Wire::Cut) => {}
                        () = pass(near, receiver, (state, hears)) => {}
                    }
                });
            }
        });
        Self { port, wire, connections, said, _task: task }
    }

    /// Changes it.
    pub fn set(&self, wire: Wire) {
        self.wire.send_replace(wire);
    }

    /// The beginning of what was said to the receiver.
    pub fn said(&self) -> Vec<u8> {
        self.said.lock().unwrap().clone()
    }

    /// How many connections there were.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }
}

async fn pass(near: TcpStream, receiver: SocketAddr, (mut wire, said): (watch::Receiver<Wire>, Arc<Mutex<Vec<u8>>>)) {
    let Ok(far) = TcpStream::connect(receiver).await else { return };
    let ((mut from_near, mut to_near), (mut from_far, mut to_far)) = (near.into_split(), far.into_split());
    let up = async move {
        let mut bytes = vec![0; 64 * 1024];
        while let Ok(count @ 1..) = from_near.read(&mut bytes).await {
            let room = SAID_BYTES_MAX.saturating_sub(said.lock().unwrap().len());
            said.lock().unwrap().extend_from_slice(&bytes[..count.min(room)]);
            if to_far.write_all(&bytes[..count]).await.is_err() {
                return;
            }
        }
        drop(to_far.shutdown().await);
    };
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
