//! What stands before a broker of the tests: it signs clients in (RFC 4616, RFC 5802, as Kafka's protocol carries them), speaks
//! TLS if it is asked to, and says of the broker behind it that it is where the test's wire begins.

use std::io;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use ring::{digest, hmac, pbkdf2};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, copy, split};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

/// Who may come in.
pub const USER: &str = "relay";
pub const PASSWORD: &str = "secret-of-tests";

const HANDSHAKE: i16 = 17;
const AUTHENTICATE: i16 = 36;
const AUTHENTICATION_FAILED: i16 = 58;
const ITERATIONS: u32 = 4096;

/// It.
pub struct Front {
    pub address: SocketAddr,
    announced: Arc<AtomicU16>,
    _task: JoinSet<()>,
}

impl Front {
    /// Before `server`.
    pub async fn to(server: SocketAddr, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let announced = Arc::new(AtomicU16::new(address.port()));
        let (port, mut task) = (announced.clone(), JoinSet::new());
        task.spawn(async move {
            let mut running = JoinSet::new();
            while let Ok((near, _)) = listener.accept().await {
                let (tls, port) = (tls.clone(), port.clone());
                running.spawn(async move {
                    match tls {
                        None => serve(near, server, &port).await,
                        Some(tls) => match tls.accept(near).await {
                            Ok(near) => serve(near, server, &port).await,
                            Err(error) => Err(error),
                        },
                    }
                });
            }
        });
        Self { address, announced, _task: task }
    }

    /// Where the broker is said to be.
    pub fn announce(&self, port: u16) {
        self.announced.store(port, Ordering::Relaxed);
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
    server: SocketAddr,
    announced: &AtomicU16,
) -> io::Result<()> {
    sign_in(&mut near).await?;
    let (mut from_far, mut to_far) = TcpStream::connect(server).await?.into_split();
    let (mut from_near, mut to_near) = split(near);
    let down = async {
        loop {
            let mut frame = frame(&mut from_far).await?;
            for host in [&b"127.0.0.1"[..], b"localhost"] {
                let said = [host, &i32::from(server.port()).to_be_bytes()].concat();
                let port = i32::from(announced.load(Ordering::Relaxed)).to_be_bytes();
                while let Some(at) = frame.windows(said.len()).position(|bytes| bytes == said) {
                    let at = at + host.len();
                    if frame[at..at + 4] == port {
                        break;
                    }
                    frame[at..at + 4].copy_from_slice(&port);
                }
            }
            to_near.write_all(&framed(&frame)).await?;
        }
    };
    tokio::select! { ended = copy(&mut from_near, &mut to_far) => ended.map(|_| ()), ended = down => ended }
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
    let number = |at: usize| i16::from_be_bytes(frame[at..at + 2].try_into().unwrap());
    // Whoever has not signed in may ask for nothing else; this client does not ask for versions first.
    if (number(0), number(2)) != (api, 1) {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    let name = usize::try_from(number(8)).unwrap_or(0);
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
