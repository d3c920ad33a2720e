//! A mail server in this process that does what it is told: answers a verb with a refusal, cuts the line, says nothing.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

/// The authority that signed the certificate, for `localhost` and 127.0.0.1.
pub const AUTHORITY: &[u8] = include_bytes!("certificates/authority.pem");

/// A mail that was accepted.
#[derive(Clone, Debug)]
pub struct Accepted {
    pub from: String,
    pub to: String,
    /// Headers and body, dots taken away.
    pub data: String,
    /// Whether the line was encrypted.
    pub encrypted: bool,
}

impl Accepted {
    /// The value of a header, unfolded.
    pub fn header(&self, name: &str) -> Option<String> {
        let head = self.data.split_once("\r\n\r\n")?.0.replace("\r\n ", " ");
        head.lines().find_map(|line| Some(line.strip_prefix(name)?.strip_prefix(": ")?.to_owned()))
    }
}

/// What happens at a verb. `CONNECT` and `DATA END` count as verbs.
#[derive(Clone, Copy, Debug)]
pub enum Deed {
    /// Answers this instead of doing it.
    Answer(&'static str),
    /// Takes the mail if it is complete, and closes the line without an answer.
    Cut,
    /// Never answers.
    Silence,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tls {
    None,
    Offered,
    FromTheFirstByte,
}

#[derive(Default)]
struct State {
    deeds: Vec<(&'static str, Deed)>,
    accepted: Vec<Accepted>,
    verbs: Vec<String>,
    connections: usize,
}

/// The server. Ends when it is dropped.
pub struct Double {
    pub address: SocketAddr,
    state: Arc<Mutex<State>>,
    _task: JoinSet<()>,
}

impl Double {
    pub async fn start(tls: Tls) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, state) = (listener.local_addr().unwrap(), Arc::<Mutex<State>>::default());
        let mut task = JoinSet::new();
        let of_task = state.clone();
        task.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(connection(stream, tls, of_task.clone()));
            }
        });
        Self { address, state, _task: task }
    }

    /// From now on; later ones win.
    pub fn at(&self, verb: &'static str, deed: Deed) {
        self.state.lock().unwrap().deeds.insert(0, (verb, deed));
    }

    /// Behaves from now on.
    pub fn heal(&self) {
        self.state.lock().unwrap().deeds.clear();
    }

    pub fn accepted(&self) -> Vec<Accepted> {
        self.state.lock().unwrap().accepted.clone()
    }

    pub fn verbs(&self) -> Vec<String> {
        self.state.lock().unwrap().verbs.clone()
    }

    pub fn connections(&self) -> usize {
        self.state.lock().unwrap().connections
    }
}

trait Line: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Line for T {}

fn acceptor() -> TlsAcceptor {
    let certificate = CertificateDer::from_pem_slice(include_bytes!("certificates/server.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_slice(include_bytes!("certificates/server.key")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    TlsAcceptor::from(Arc::new(config.with_no_client_auth().with_single_cert(vec![certificate], key).unwrap()))
}

async fn connection(stream: TcpStream, tls: Tls, state: Arc<Mutex<State>>) {
    state.lock().unwrap().connections += 1;
    let mut session =
        Session { state, tls, encrypted: tls == Tls::FromTheFirstByte, from: String::new(), to: String::new() };
    let mut line: BufReader<Box<dyn Line>> = if session.encrypted {
        let Ok(stream) = acceptor().accept(stream).await else { return };
        BufReader::new(Box::new(stream))
    } else {
        BufReader::new(Box::new(stream))
    };
    if session.answer(&mut line, "CONNECT", "220 double ESMTP").await.is_none() {
        return;
    }
    loop {
        let mut command = String::new();
        if line.read_line(&mut command).await.unwrap_or(0) == 0 {
            return;
        }
        let Some(go_on) = session.command(&mut line, command.trim_end()).await else { return };
        if go_on == Next::Encrypt {
            let Ok(stream) = acceptor().accept(line.into_inner()).await else { return };
            line = BufReader::new(Box::new(stream));
            session.encrypted = true;
        }
    }
}

#[derive(PartialEq, Eq)]
enum Next {
    Command,
    Encrypt,
}

struct Session {
    state: Arc<Mutex<State>>,
    tls: Tls,
    encrypted: bool,
    from: String,
    to: String,
}

impl Session {
    /// `None`: the line is closed.
    async fn command(&mut self, line: &mut BufReader<Box<dyn Line>>, command: &str) -> Option<Next> {
        let verb = command.split([' ', ':']).next().unwrap_or_default().to_uppercase();
        let address = || {
            command.split_once('<').and_then(|(_, rest)| rest.split_once('>')).map(|(address, _)| address.to_owned())
        };
        match verb.as_str() {
            "EHLO" => {
                let offer = if self.tls == Tls::Offered && !self.encrypted { "250-STARTTLS\r\n" } else { "" };
                let answer = format!("250-double\r\n{offer}250-8BITMIME\r\n250 AUTH PLAIN");
                self.answer(line, "EHLO", &answer).await?;
            }
            "STARTTLS" => {
                let done = self.answer(line, "STARTTLS", "220 go on").await?;
                return Some(if done { Next::Encrypt } else { Next::Command });
            }
            "AUTH" => drop(self.answer(line, "AUTH", "235 welcome").await?),
            "MAIL" => {
                self.from = address().unwrap_or_default();
                self.answer(line, "MAIL", "250 ok").await?;
            }
            "RCPT" => {
                self.to = address().unwrap_or_default();
                self.answer(line, "RCPT", "250 ok").await?;
            }
            "DATA" => {
                if self.answer(line, "DATA", "354 go on").await? {
                    self.data(line).await?;
                }
            }
            "QUIT" => {
                self.answer(line, "QUIT", "221 bye").await?;
                return None;
            }
            _ => drop(self.answer(line, "OTHER", "250 ok").await?),
        }
        Some(Next::Command)
    }

    async fn data(&mut self, line: &mut BufReader<Box<dyn Line>>) -> Option<()> {
        let mut data = String::new();
        loop {
            let mut text = String::new();
            if line.read_line(&mut text).await.unwrap_or(0) == 0 {
                return None;
            }
            if text == ".\r\n" {
                break;
            }
            data.push_str(text.strip_prefix('.').unwrap_or(&text));
        }
        let refuses = matches!(self.deed("DATA END"), Some(Deed::Answer(_)));
        if !refuses {
            let (from, to, encrypted) = (self.from.clone(), self.to.clone(), self.encrypted);
            self.state.lock().unwrap().accepted.push(Accepted { from, to, data, encrypted });
        }
        self.answer(line, "DATA END", "250 queued").await.map(drop)
    }

    fn deed(&self, verb: &str) -> Option<Deed> {
        let state = self.state.lock().unwrap();
        state.deeds.iter().find(|(at, _)| *at == verb).map(|(_, deed)| *deed)
    }

    /// Whether it was the usual answer. `None`: the line is closed.
    async fn answer(&self, line: &mut BufReader<Box<dyn Line>>, verb: &'static str, usual: &str) -> Option<bool> {
        self.state.lock().unwrap().verbs.push(verb.to_owned());
        let deed = self.deed(verb);
        let text = match deed {
            None => usual,
            Some(Deed::Answer(text)) => text,
            Some(Deed::Cut) => return None,
            Some(Deed::Silence) => std::future::pending().await,
        };
        line.get_mut().write_all(format!("{text}\r\n").as_bytes()).await.ok()?;
        line.get_mut().flush().await.ok()?;
        Some(deed.is_none())
    }
}
