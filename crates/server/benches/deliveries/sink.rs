//! The receivers: one thread that accepts what comes, and writes down when.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::sleep;

use crate::Result;
use crate::black_box::receiver::{Delivery, Reply, serve};
use crate::report::count;

/// Longest wait without anything that comes.
const PATIENCE: Duration = Duration::from_secs(30);

/// How it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    /// 204.
    Accept,
    /// 500.
    Fail,
    /// 204, after five seconds.
    Slow,
}

/// A receiver. Its thread ends with the process.
pub struct Sink {
    address: SocketAddr,
    came: Arc<Mutex<Came>>,
    /// Whether answers are held back.
    held: watch::Sender<bool>,
}

#[derive(Default)]
struct Came {
    at: Vec<Instant>,
    /// By path and resource, the first time.
    first: HashMap<(String, String), Instant>,
}

impl Sink {
    /// Listens on a free port.
    pub fn start(mood: Mood) -> Result<Self> {
        let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
        listener.set_nonblocking(true)?;
        let (address, came) = (listener.local_addr()?, Arc::<Mutex<Came>>::default());
        let taken = came.clone();
        let (held, hold) = watch::channel(false);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        std::thread::Builder::new().name("sink".into()).spawn(move || {
            runtime.block_on(async move {
                let Ok(listener) = TcpListener::from_std(listener) else { return };
                serve(listener, move |delivery| answer(delivery, taken.clone(), mood, hold.clone())).await;
            });
        })?;
        Ok(Self { address, came, held })
    }

    /// Answers nothing until [`Sink::release`]: what is sent meanwhile has not come yet. For less time than an attempt has.
    pub fn hold(&self) {
        self.held.send_replace(true);
    }

    /// Answers what was held back, and what comes.
    pub fn release(&self) {
        self.held.send_replace(false);
    }

    /// Where `path` is.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Nothing has come.
    pub fn forget(&self) {
        *self.came() = Came::default();
    }

    /// Waits for this many deliveries: how many a second, the first tenth left out.
    pub async fn rate_of(&self, deliveries: usize) -> Result<f64> {
        let mut last = (0, Instant::now());
        loop {
            let came = self.came().at.len();
            if came >= deliveries {
                break;
            }
            if came > last.0 {
                last = (came, Instant::now());
            }
            if last.1.elapsed() > PATIENCE {
                return Err(format!("{came} of {deliveries} deliveries came").into());
            }
            sleep(Duration::from_millis(20)).await;
        }
        let came = self.came();
        let begun = deliveries / 10;
        let (Some(from), Some(to)) = (came.at.get(begun), came.at.get(deliveries - 1)) else {
            return Err("too few deliveries to measure".into());
        };
        Ok(count(deliveries - 1 - begun) / to.saturating_duration_since(*from).as_secs_f64())
    }

    /// When the message about this token came first.
    pub async fn receipt(&self, path: &str, token: &str) -> Result<Instant> {
        let (begun, key) = (Instant::now(), (path.to_owned(), token.to_owned()));
        loop {
            if let Some(at) = self.came().first.get(&key) {
                return Ok(*at);
            }
            if begun.elapsed() > PATIENCE {
                return Err(format!("the message about token {token} did not come to {path}").into());
            }
            sleep(Duration::from_millis(5)).await;
        }
    }

    fn came(&self) -> MutexGuard<'_, Came> {
        self.came.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn answer(delivery: Delivery, came: Arc<Mutex<Came>>, mood: Mood, mut hold: watch::Receiver<bool>) -> Reply {
    if hold.wait_for(|held| !held).await.is_err() {
        return Reply::Status(503); // the sink is gone
    }
    let at = Instant::now();
    match mood {
        Mood::Accept => {}
        Mood::Fail => return Reply::Status(500),
        Mood::Slow => sleep(Duration::from_secs(5)).await,
    }
    let mut came = came.lock().unwrap_or_else(PoisonError::into_inner);
    came.at.push(at);
    // The bare loop's bodies are none.
    if let Some(resource) = serde_json::from_slice::<Value>(&delivery.body).ok().as_ref().and_then(resource) {
        came.first.entry((delivery.path, resource.to_owned())).or_insert(at);
    }
    Reply::Status(204)
}

fn resource(message: &Value) -> Option<&str> {
    message.pointer("/resource/id")?.as_str()
}
