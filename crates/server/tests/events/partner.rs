//! A partner's endpoint: it notes what it gets and answers by a script.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use keyherald_core::body_signature::SigningSecret;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// The public sample of the contract.
pub const SECRET: &str = "Y+83Kt6imrf2eQBVojCfVAx9iDNwtgN7UzZydbpqUgNq3WzgJOhiNpdAF5b9UJ4Ymf++HMgdrgClOmwfq8qItCNcVaCT/MPhMGYgiMb+oLtc2K3nmJxvPxTR6caFalI8qKr6BgX0K1tqKDka2xJZhUZXCVjBsBmKJLT/XQ0+cTSGUfLOwOF+jo0Mgm8oHYnIdOTYlA1XIDJH867WhK8iWe54SONltkRZgNxejUoygtvwdUVxKKa+Mm57RXpH6pI7qh3gkKxcwlrUJ1LhkMLxSNwr78WH4zAd/ILHfEFWORJHgNilzyqyBMZutCtPHhDIBnzkgqfgv1eE6EcDozRT+Q==";

const PATIENCE: Duration = Duration::from_secs(30);

/// A request as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Got {
    pub line: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Got {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// Whether the signature is that of the very bytes.
    pub fn is_signed(&self) -> bool {
        SigningSecret::parse(SECRET).unwrap().verify(&self.body, self.header("signature").unwrap_or_default())
    }
}

/// What it does with a request.
#[derive(Clone, Copy, Debug)]
pub enum Answer {
    /// Answers with this status.
    Status(u16),
    /// Answers with this status, and asks for so many seconds of rest.
    Later(u16, u32),
    /// Takes it and says nothing.
    Never,
    /// Takes it and hangs up.
    HangUp,
}

/// The endpoint. Without a script it answers 202.
#[derive(Clone, Default)]
pub struct Partner {
    got: Arc<Mutex<Vec<Got>>>,
    answers: Arc<Mutex<VecDeque<Answer>>>,
}

impl Partner {
    /// Listens for as long as `tasks` live; answers its base URL.
    pub async fn listen(&self, tasks: &mut JoinSet<()>) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let partner = self.clone();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let partner = partner.clone();
                connections.spawn(async move { partner.serve(stream).await });
            }
        });
        format!("http://{address}")
    }

    /// What it answers next.
    pub fn script(&self, answers: impl IntoIterator<Item = Answer>) {
        self.answers.lock().unwrap().extend(answers);
    }

    /// Forgets the rest of the script.
    pub fn answer_all(&self) {
        self.answers.lock().unwrap().clear();
    }

    pub fn got(&self) -> Vec<Got> {
        self.got.lock().unwrap().clone()
    }

    /// Waits until it has got as many requests; `meanwhile` is called while it waits.
    pub async fn wait_for(&self, count: usize, mut meanwhile: impl FnMut()) -> Vec<Got> {
        let waited = async {
            while self.got.lock().unwrap().len() < count {
                meanwhile();
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let waited = tokio::time::timeout(PATIENCE, waited).await;
        let got = self.got();
        assert!(waited.is_ok(), "{} of {count} requests came", got.len());
        got
    }

    async fn serve(&self, mut stream: TcpStream) {
        while let Some(got) = read(&mut stream).await {
            self.got.lock().unwrap().push(got);
            let answer = self.answers.lock().unwrap().pop_front();
            match answer.unwrap_or(Answer::Status(202)) {
                Answer::Status(status) => {
                    let text = format!("HTTP/1.1 {status} X\r\ncontent-length: 2\r\n\r\n{{}}");
                    stream.write_all(text.as_bytes()).await.unwrap();
                }
                Answer::Later(status, seconds) => {
                    let text =
                        format!("HTTP/1.1 {status} X\r\nretry-after: {seconds}\r\ncontent-length: 2\r\n\r\n{{}}");
                    stream.write_all(text.as_bytes()).await.unwrap();
                }
                Answer::Never => std::future::pending().await,
                Answer::HangUp => return,
            }
        }
    }
}

/// A request with all of its headers. `None`: the connection has ended.
async fn read(stream: &mut TcpStream) -> Option<Got> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(at) = bytes.windows(4).position(|part| part == b"\r\n\r\n") {
            break at;
        }
        if stream.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
            return None;
        }
    };
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let mut lines = head.split("\r\n");
    let line = lines.next().unwrap().to_owned();
    let header = |line: &str| {
        let (name, value) = line.split_once(':').unwrap();
        (name.to_ascii_lowercase(), value.trim().to_owned())
    };
    let headers: Vec<(String, String)> = lines.map(header).collect();
    let length = headers.iter().find(|(name, _)| name == "content-length").map(|(_, value)| value.parse().unwrap());
    let mut body = bytes.split_off(end + 4);
    while body.len() < length.unwrap_or(0) {
        if stream.read_buf(&mut body).await.unwrap_or(0) == 0 {
            return None;
        }
    }
    Some(Got { line, headers, body })
}
