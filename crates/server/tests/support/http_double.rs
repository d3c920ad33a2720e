//! Another system's HTTP interface on a free port of loopback, which answers what it is told to, or breaks off.
//!
//! Written on the bare connection, so that an answer can be cut in its middle or never come. Other test targets take it in
//! with `#[path = "../support/http_double.rs"] mod http_double;`.
#![expect(clippy::unwrap_used, reason = "a test's own setting has no other way to fail")]

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use url::Url;

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Got {
    /// Its method, path and query.
    pub line: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// Its body.
    pub body: String,
}

impl Got {
    /// A header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// What becomes of one request.
#[derive(Clone, Debug)]
pub enum Says {
    /// Status, headers as lines, and body.
    Answer(u16, &'static str, String),
    /// The same, but the connection ends before so many bytes of the body have been sent.
    Cut(String, usize),
    /// Read, and never answered.
    Silence,
}

struct Shared {
    script: VecDeque<Says>,
    otherwise: Says,
    got: Vec<Got>,
}

/// A running double. Ends when it is dropped.
pub struct HttpDouble {
    /// Where it listens.
    pub url: Url,
    shared: Arc<Mutex<Shared>>,
    _task: JoinSet<()>,
}

impl HttpDouble {
    /// One that says `otherwise` when nothing else was ordered.
    pub async fn start(otherwise: Says) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = Url::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
        let shared = Arc::new(Mutex::new(Shared { script: VecDeque::new(), otherwise, got: Vec::new() }));
        let (mut task, state) = (JoinSet::new(), shared.clone());
        task.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let state = state.clone();
                connections.spawn(async move { drop(serve(stream, &state).await) });
            }
        });
        Self { url, shared, _task: task }
    }

    /// What the next requests get, in this order.
    pub fn next(&self, says: impl IntoIterator<Item = Says>) {
        self.shared.lock().unwrap().script.extend(says);
    }

    /// All requests that came.
    pub fn got(&self) -> Vec<Got> {
        self.shared.lock().unwrap().got.clone()
    }
}

async fn serve(mut stream: TcpStream, shared: &Mutex<Shared>) -> io::Result<()> {
    let mut buffer = Vec::new();
    while let Some(got) = read(&mut stream, &mut buffer).await? {
        let says = {
            let mut shared = shared.lock().unwrap();
            shared.got.push(got);
            shared.script.pop_front().unwrap_or_else(|| shared.otherwise.clone())
        };
        match says {
            Says::Answer(status, headers, body) => {
                let head = format!("HTTP/1.1 {status} Said\r\n{headers}content-length: {}\r\n\r\n", body.len());
                stream.write_all(&[head.as_bytes(), body.as_bytes()].concat()).await?;
            }
            Says::Cut(body, sent) => {
                let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
                stream.write_all(head.as_bytes()).await?;
                return stream.write_all(body.as_bytes().get(..sent).unwrap_or_default()).await;
            }
            Says::Silence => {
                let mut rest = [0; 64];
                while stream.read(&mut rest).await? > 0 {}
                return Ok(());
            }
        }
    }
    Ok(())
}

/// The next request on a connection; `None`: there is none.
async fn read(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> io::Result<Option<Got>> {
    loop {
        if let Some(end) = buffer.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(buffer.get(..end).unwrap_or_default()).into_owned();
            let mut lines = head.lines();
            let line = lines.next().unwrap_or_default().trim_end_matches(" HTTP/1.1").to_owned();
            let headers: Vec<(String, String)> = lines
                .filter_map(|line| line.split_once(':'))
                .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
                .collect();
            let length = headers.iter().find(|(name, _)| name == "content-length");
            let whole = end + 4 + length.and_then(|(_, value)| value.parse::<usize>().ok()).unwrap_or(0);
            if buffer.len() >= whole {
                let request: Vec<u8> = buffer.drain(..whole).collect();
                let body = String::from_utf8_lossy(request.get(end + 4..).unwrap_or_default()).into_owned();
                return Ok(Some(Got { line, headers, body }));
            }
        }
        let mut chunk = [0; 4096];
        match stream.read(&mut chunk).await? {
            0 => return Ok(None),
            bytes => buffer.extend(chunk.iter().take(bytes)),
        }
    }
}
