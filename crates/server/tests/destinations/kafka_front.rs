//! What stands before a broker of the tests: it signs clients in (RFC 4616, RFC 5802, as Kafka's protocol carries them), speaks
//! TLS if it is asked to, and says of the broker behind it that it is where the test's wire begins. For librdkafka's brokers it
//! also answers who asks for versions in a way that they do not know: what they would say themselves does not read.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use ring::{digest, hmac, pbkdf2};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, split};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

/// Who may come in.
pub const USER: &str = "relay";
pub const PASSWORD: &str = "secret-of-tests";

pub const PRODUCE: i16 = 0;
const HANDSHAKE: i16 = 17;
const AUTHENTICATE: i16 = 36;
const AUTHENTICATION_FAILED: i16 = 58;
const VERSIONS: i16 = 18;
/// The last version of that question which librdkafka's brokers know.
const VERSIONS_MAX: i16 = 2;
const UNSUPPORTED_VERSION: i16 = 35;
const ITERATIONS: u32 = 4096;

/// Whose broker it is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Behind {
    Tansu,
    Librdkafka,
}

/// Where the brokers of a cluster are said to be, by their ports.
#[derive(Clone, Default)]
pub struct Announced(Arc<std::sync::Mutex<BTreeMap<u16, u16>>>);

impl Announced {
    pub fn set(&self, port: u16, said: u16) {
        self.0.lock().unwrap().insert(port, said);
    }

    /// A port follows its host, four bytes long, in every version of the answer that has them.
    fn put_into(&self, answer: &mut [u8]) {
        for (port, said) in &*self.0.lock().unwrap() {
            for host in [&b"127.0.0.1"[..], b"localhost"] {
                let found = [host, &i32::from(*port).to_be_bytes()].concat();
                if let Some(at) = answer.windows(found.len()).position(|bytes| bytes == found) {
                    let at = at + host.len();
                    answer[at..at + 4].copy_from_slice(&i32::from(*said).to_be_bytes());
                }
            }
        }
    }
}

/// It.
pub struct Front {
    pub address: SocketAddr,
    losing: Arc<AtomicBool>,
    _task: JoinSet<()>,
}

impl Front {
    /// Before `server`, which is said to be here until something else is.
    pub async fn to(server: SocketAddr, behind: Behind, tls: Option<TlsAcceptor>, announced: &Announced) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        announced.set(server.port(), address.port());
        let losing = Arc::new(AtomicBool::new(false));
        let (announced, is_losing, mut task) = (announced.clone(), losing.clone(), JoinSet::new());
        task.spawn(async move {
            let mut running = JoinSet::new();
            while let Ok((near, _)) = listener.accept().await {
                let (tls, announced, losing) = (tls.clone(), announced.clone(), is_losing.clone());
                running.spawn(async move {
                    match tls {
                        None => serve(near, (server, behind), (&announced, &losing)).await,
                        Some(tls) => match tls.accept(near).await {
                            Ok(near) => serve(near, (server, behind), (&announced, &losing)).await,
                            Err(error) => Err(error),
                        },
                    }
                });
            }
        });
        Self { address, losing, _task: task }
    }

    /// The next message that is written reaches the broker, whose answer is lost with its connection.
    pub fn lose_an_answer(&self) {
        self.losing.store(true, Ordering::Relaxed);
    }

    /// Whether that has happened.
    pub fn has_lost_it(&self) -> bool {
        !self.losing.load(Ordering::Relaxed)
    }
}

/// TLS as `localhost`.
pub fn tls() -> TlsAcceptor {
    let chain = CertificateDer::pem_slice_iter(include_bytes!("../mail/certificates/server.pem"));
    let key = PrivateKeyDer::from_pem_slice(include_bytes!("../mail/certificates/server.key")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_no_client_auth().with_single_cert(chain.collect::<Result<_, _>>().unwrap(), key);
    TlsAcceptor::from(Arc::new(config.unwrap()))
}

async fn serve(
    mut near: impl AsyncRead + AsyncWrite + Unpin + Send,
    (server, behind): (SocketAddr, Behind),
    (announced, losing): (&Announced, &AtomicBool),
) -> io::Result<()> {
    sign_in(&mut near).await?;
    let (mut from_far, mut to_far) = TcpStream::connect(server).await?.into_split();
    let (mut from_near, to_near) = split(near);
    let to_near = Mutex::new(to_near);
    let is_lost = AtomicBool::new(false);
    let up = async {
        loop {
            let frame = frame(&mut from_near).await?;
            if number(&frame, 0) == PRODUCE && losing.swap(false, Ordering::Relaxed) {
                is_lost.store(true, Ordering::Relaxed);
            }
            if behind == Behind::Librdkafka && number(&frame, 0) == VERSIONS && number(&frame, 2) > VERSIONS_MAX {
                let known = [VERSIONS, 0, VERSIONS_MAX].map(i16::to_be_bytes).concat();
                let answer = [&frame[4..8], &UNSUPPORTED_VERSION.to_be_bytes(), &1_i32.to_be_bytes(), &known].concat();
                to_near.lock().await.write_all(&framed(&answer)).await?;
            } else {
                to_far.write_all(&framed(&frame)).await?;
            }
        }
    };
    let down = async {
        loop {
            let mut frame = frame(&mut from_far).await?;
            if is_lost.load(Ordering::Relaxed) {
                return Ok(());
            }
            announced.put_into(&mut frame);
            to_near.lock().await.write_all(&framed(&frame)).await?;
        }
    };
    tokio::select! { ended = up => ended, ended = down => ended }
}

fn number(frame: &[u8], at: usize) -> i16 {
    i16::from_be_bytes(frame[at..at + 2].try_into().unwrap())
}

async fn frame(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Vec<u8>> {
    let length = usize::try_from(from.read_i32().await?).map_err(io::Error::other)?;
    let mut frame = vec![0; length];
    from.read_exact(&mut frame).await?;
    Ok(frame)
}

fn framed(frame: &[u8]) -> Vec<u8> {
    [&i32::try_from(frame.len()).unwrap().to_be_bytes(), frame].concat()
}

/// One request of the sign-in: its API, correlation id and payload.
async fn request(near: &mut (impl AsyncRead + Unpin), api: i16) -> io::Result<([u8; 4], Vec<u8>)> {
    let frame = frame(near).await?;
    // Whoever has not signed in may ask for nothing else; this client does not ask for versions first.
    if (number(&frame, 0), number(&frame, 2)) != (api, 1) {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    let name = usize::try_from(number(&frame, 8)).unwrap_or(0);
    let rest = &frame[10 + name..];
    let payload = if api == HANDSHAKE { &rest[2..] } else { &rest[4..] };
    Ok((frame[4..8].try_into().unwrap(), payload.to_vec()))
}

async fn sign_in(near: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> io::Result<()> {
    let (id, mechanism) = request(near, HANDSHAKE).await?;
    near.write_all(&framed(&[&id[..], &[0, 0], &[0, 0, 0, 0]].concat())).await?;
    let algorithms = match &*mechanism {
        b"PLAIN" => {
            let (id, said) = request(near, AUTHENTICATE).await?;
            let is_right = said == format!("\0{USER}\0{PASSWORD}").as_bytes();
            return answer(near, id, is_right.then(String::new)).await;
        }
        b"SCRAM-SHA-256" => (hmac::HMAC_SHA256, pbkdf2::PBKDF2_HMAC_SHA256),
        b"SCRAM-SHA-512" => (hmac::HMAC_SHA512, pbkdf2::PBKDF2_HMAC_SHA512),
        _ => return Err(io::ErrorKind::Unsupported.into()),
    };
    let (id, first) = request(near, AUTHENTICATE).await?;
    let first = String::from_utf8(first).unwrap();
    let bare = first.strip_prefix("n,,").unwrap();
    let (user, nonce) = bare.strip_prefix("n=").unwrap().split_once(",r=").unwrap();
    let salt = b"salt of the tests";
    let second = format!("r={nonce}+ours,s={},i={ITERATIONS}", BASE64_STANDARD.encode(salt));
    answer(near, id, Some(second.clone())).await?;
    let (id, last) = request(near, AUTHENTICATE).await?;
    let last = String::from_utf8(last).unwrap();
    let (without_proof, proof) = last.split_once(",p=").unwrap();
    let told = format!("{bare},{second},{without_proof}");
    let signed = (user == USER && without_proof == format!("c=biws,r={nonce}+ours"))
        .then(|| proven(algorithms, salt, &told, &BASE64_STANDARD.decode(proof).unwrap()))
        .flatten();
    answer(near, id, signed.map(|signature| format!("v={}", BASE64_STANDARD.encode(signature)))).await
}

/// The server's signature, if the client knows the password (RFC 5802, 3).
fn proven(
    (mac, derivation): (hmac::Algorithm, pbkdf2::Algorithm),
    salt: &[u8],
    told: &str,
    proof: &[u8],
) -> Option<Vec<u8>> {
    let sign = |key: &[u8], text: &str| hmac::sign(&hmac::Key::new(mac, key), text.as_bytes());
    let hash = mac.digest_algorithm();
    let mut salted = vec![0; hash.output_len()];
    pbkdf2::derive(derivation, NonZeroU32::new(ITERATIONS).unwrap(), salt, PASSWORD.as_bytes(), &mut salted);
    let client_key = sign(&salted, "Client Key");
    let signature = sign(digest::digest(hash, client_key.as_ref()).as_ref(), told);
    let key: Vec<u8> = proof.iter().zip(signature.as_ref()).map(|(proof, signed)| proof ^ signed).collect();
    (key == client_key.as_ref()).then(|| sign(sign(&salted, "Server Key").as_ref(), told).as_ref().to_vec())
}

async fn answer(near: &mut (impl AsyncWrite + Unpin), id: [u8; 4], said: Option<String>) -> io::Result<()> {
    let error = if said.is_some() { 0 } else { AUTHENTICATION_FAILED };
    let text = said.clone().unwrap_or_default();
    let (no_message, length) = ((-1_i16).to_be_bytes(), i32::try_from(text.len()).unwrap().to_be_bytes());
    let frame = [&id[..], &error.to_be_bytes(), &no_message, &length, text.as_bytes(), &[0; 8]].concat();
    near.write_all(&framed(&frame)).await?;
    said.map(|_| ()).ok_or_else(|| io::ErrorKind::PermissionDenied.into())
}
