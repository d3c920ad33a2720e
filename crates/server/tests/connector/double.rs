//! A vendor's system as far as a connector can tell: HTTP on a free port of loopback, and faults on order.
//!
//! Written on the bare connection, so that it can break one at the very place where it hurts: after the request was read
//! and applied, before anything was answered.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::BoxFuture;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::sleep;
use url::Url;

use crate::people::People;

/// A request as it came.
#[derive(Clone)]
pub(crate) struct Got {
    pub method: String,
    /// Path and query, as they were sent.
    pub target: String,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Got {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_default()
    }

    /// The body's fields, whether it is JSON or a form.
    pub fn fields(&self) -> Value {
        if self.body.starts_with('{') {
            return self.json();
        }
        url::form_urlencoded::parse(self.body.as_bytes())
            .map(|(name, value)| (name.into_owned(), Value::from(value.into_owned())))
            .collect()
    }

    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }
}

/// What a double says.
#[derive(Clone)]
pub(crate) struct Said {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Said {
    pub fn json(status: u16, body: &Value) -> Self {
        Self { status, headers: vec![("content-type".into(), "application/json".into())], body: body.to_string() }
    }

    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }
}

/// Something that goes wrong with the next request that is not about access.
#[derive(Clone)]
pub(crate) enum Fault {
    /// Answered with this, and not applied.
    Instead(Said),
    /// Applied, and answered with this.
    AppliedBut(Said),
    /// Applied, and the connection cut.
    Cut,
    /// Applied, and never answered.
    Silence,
    /// Not applied, and the connection cut.
    CutBefore,
    /// Not applied, and the connection reset.
    Reset,
    /// Not applied, and never answered.
    Deaf,
    /// Applied only after so long, and never answered.
    Late(Duration),
}

/// How far a request has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Point {
    /// It was read, and nothing of it is applied.
    Came,
    /// It is applied, and nothing is answered.
    Applied,
    /// The whole answer is with the system.
    Answered,
}

/// Is told how far a request has come. What it awaits holds the request there.
pub(crate) trait Watcher: Send + Sync {
    fn reached(&self, point: Point) -> BoxFuture<'_, ()>;
}

/// Says of each request what goes wrong with it, in place of the list of faults, and who watches it.
pub(crate) type Director = Box<dyn Fn(&Got) -> (Option<Fault>, Option<Arc<dyn Watcher>>) + Send + Sync>;

/// Which request a fault waits for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Meant {
    Any,
    Change,
}

/// What a vendor answers.
pub(crate) trait Vendor: Send + Sync + 'static {
    /// Whether the request is about our own access: those have no faults.
    fn is_about_access(&self, got: &Got) -> bool;

    /// Applies a request and answers it.
    fn answer(&self, got: &Got, people: &mut People) -> Said;
}

struct State {
    people: People,
    got: Vec<Got>,
    faults: VecDeque<(Meant, Fault)>,
    director: Option<Director>,
}

/// A running double. Ends when it is dropped.
pub(crate) struct Double {
    pub url: Url,
    state: Arc<Mutex<State>>,
    _task: JoinSet<()>,
}

impl Double {
    pub async fn start(vendor: impl Vendor, people: People) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = Url::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
        let state = Arc::new(Mutex::new(State { people, got: Vec::new(), faults: VecDeque::new(), director: None }));
        let (vendor, shared) = (Arc::new(vendor), state.clone());
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (vendor, state) = (vendor.clone(), shared.clone());
                connections.spawn(async move { drop(serve(stream, &*vendor, &state).await) });
            }
        });
        Self { url, state, _task: task }
    }

    /// Goes wrong with the next request.
    pub fn next(&self, fault: Fault) {
        self.state.lock().unwrap().faults.push_back((Meant::Any, fault));
    }

    /// Goes wrong with the next request that is no `GET`.
    pub fn next_change(&self, fault: Fault) {
        self.state.lock().unwrap().faults.push_back((Meant::Change, fault));
    }

    /// From now on `director` decides about all requests.
    pub fn direct(&self, director: Director) {
        self.state.lock().unwrap().director = Some(director);
    }

    pub fn got(&self) -> Vec<Got> {
        self.state.lock().unwrap().got.clone()
    }

    pub fn people<T>(&self, look: impl FnOnce(&mut People) -> T) -> T {
        look(&mut self.state.lock().unwrap().people)
    }
}

async fn serve(mut stream: TcpStream, vendor: &dyn Vendor, state: &Mutex<State>) -> io::Result<()> {
    let mut buffer = Vec::new();
    while let Some(got) = read(&mut stream, &mut buffer).await? {
        let (fault, watcher) = {
            let mut state = state.lock().unwrap();
            state.got.push(got.clone());
            match &state.director {
                Some(director) => director(&got),
                None if vendor.is_about_access(&got) => (None, None),
                None => {
                    let is_meant = |(meant, _): &mut (Meant, Fault)| *meant == Meant::Any || got.method != "GET";
                    (state.faults.pop_front_if(is_meant).map(|(_, fault)| fault), None)
                }
            }
        };
        let reached = async |point| {
            if let Some(watcher) = &watcher {
                watcher.reached(point).await;
            }
        };
        reached(Point::Came).await;
        match &fault {
            Some(Fault::CutBefore) => return Ok(()),
            Some(Fault::Reset) => return stream.set_zero_linger(),
            Some(Fault::Deaf) => return until_given_up(stream).await,
            Some(Fault::Late(after)) => sleep(*after).await,
            _ => {}
        }
        let said = match &fault {
            Some(Fault::Instead(said)) => said.clone(),
            _ => vendor.answer(&got, &mut state.lock().unwrap().people),
        };
        reached(Point::Applied).await;
        match fault {
            Some(Fault::AppliedBut(said)) => write(&mut stream, &said).await?,
            Some(Fault::Cut | Fault::Late(_)) => return Ok(()),
            Some(Fault::Silence) => return until_given_up(stream).await,
            _ => write(&mut stream, &said).await?,
        }
        reached(Point::Answered).await;
    }
    Ok(())
}

/// Until the other side gives up.
async fn until_given_up(mut stream: TcpStream) -> io::Result<()> {
    while stream.read(&mut [0; 64]).await? > 0 {}
    Ok(())
}

async fn read(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> io::Result<Option<Got>> {
    let head_end = loop {
        if let Some(at) = buffer.windows(4).position(|four| four == b"\r\n\r\n") {
            break at;
        }
        if stream.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    };
    let head = String::from_utf8_lossy(&buffer[..head_end]).into_owned();
    let mut lines = head.split("\r\n");
    let mut first = lines.next().unwrap_or_default().split(' ').map(str::to_owned);
    let (method, target) = (first.next().unwrap_or_default(), first.next().unwrap_or_default());
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_lowercase(), value.trim().to_owned()))
        .collect();
    let length = headers.iter().find(|(name, _)| name == "content-length").and_then(|(_, value)| value.parse().ok());
    let end = head_end + 4 + length.unwrap_or(0);
    while buffer.len() < end {
        if stream.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    }
    let body = String::from_utf8_lossy(&buffer[head_end + 4..end]).into_owned();
    buffer.drain(..end);
    Ok(Some(Got { method, target, headers, body }))
}

async fn write(stream: &mut TcpStream, said: &Said) -> io::Result<()> {
    let mut text = format!("HTTP/1.1 {} x\r\ncontent-length: {}\r\n", said.status, said.body.len());
    for (name, value) in &said.headers {
        text.extend([name, ": ", value, "\r\n"]);
    }
    text.extend(["\r\n", &said.body]);
    stream.write_all(text.as_bytes()).await
}

/// A percent-encoded text as it was.
pub(crate) fn decoded(text: &str) -> String {
    url::form_urlencoded::parse(format!("x={}", text.replace('+', "%2B")).as_bytes())
        .next()
        .map(|(_, value)| value.into_owned())
        .unwrap_or_default()
}
