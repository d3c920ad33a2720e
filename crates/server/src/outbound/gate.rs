//! A gate for client libraries that connect by themselves, to wherever a server sends them: a SOCKS 5 proxy (RFC 1928, 1929)
//! on this machine's loopback, through which the library is told to go.
//!
//! The gate looks names up, asks the guard about each address and connects to the very addresses that it was asked about, as
//! all our connections do; they are on one [`Tether`], so that the library can be cut off. What passes is the library's own,
//! TLS with the other side included. Only who has its password may pass, which is drawn for each gate and leaves this process
//! nowhere but on loopback.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use subtle::ConstantTimeEq;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy, split};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;
use url::Host;
use zeroize::Zeroizing;

use super::guard::Guard;
use super::socket::{self, NoConnection};
use super::tether::{Lender, Tether, Tethered, lender};

/// Connections at the same time: as many servers as a library may talk to.
const CONNECTIONS_MAX: usize = 64;
/// Longest wait for a library to say where it wants to go.
const ASK_MAX: Duration = Duration::from_secs(5);
/// Longest wait for a connection.
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// Whoever passes is called this.
pub const USER: &str = "keyherald";

const VERSION: u8 = 5;
const BY_PASSWORD: u8 = 2;
const BY_NOTHING_KNOWN: u8 = 0xff;
const PASSWORD_VERSION: u8 = 1;
const CONNECT: u8 = 1;
const IPV4: u8 = 1;
const NAME: u8 = 3;
const IPV6: u8 = 4;

/// How an answer to a request begins.
const CONNECTED: u8 = 0;
const NOT_ALLOWED: u8 = 2;
const UNREACHABLE: u8 = 4;

/// A gate. Dropping it ends what passes.
pub struct Gate {
    /// Where it is.
    pub address: SocketAddr,
    /// By which one passes.
    pub password: Zeroizing<String>,
    state: Arc<State>,
    fruitless: watch::Receiver<u32>,
    _keeper: JoinSet<()>,
}

struct State {
    guard: Guard,
    password: Zeroizing<String>,
    lender: Lender,
    /// The guard has said no.
    has_refused: AtomicBool,
    /// Connections in a row on which nothing was heard, and those that were not made.
    fruitless: watch::Sender<u32>,
}

impl Gate {
    /// Opens one. On all connections through it together `bytes_max` may be heard before the tether says that it was of use.
    pub async fn open(guard: Guard, bytes_max: u64) -> io::Result<(Self, Tether)> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let mut bytes = Zeroizing::new([0; 16]);
        getrandom::fill(&mut *bytes)?;
        let password = Zeroizing::new(format!("{:032x}", u128::from_be_bytes(*bytes)));
        let ((lender, tether), (sender, fruitless)) = (lender(bytes_max), watch::channel(0));
        let state = Arc::new(State {
            guard,
            password: password.clone(),
            lender,
            has_refused: AtomicBool::new(false),
            fruitless: sender,
        });
        let mut keeper = JoinSet::new();
        keeper.spawn(keep(listener, state.clone()));
        Ok((Self { address, password, state, fruitless, _keeper: keeper }, tether))
    }

    /// Whether the guard has refused anybody's way.
    pub fn has_refused(&self) -> bool {
        self.state.has_refused.load(Ordering::Relaxed)
    }

    /// Waits until so many connections in a row led to nobody who says anything.
    pub async fn until_fruitless(&self, count: u32) {
        let mut fruitless = self.fruitless.clone();
        if fruitless.wait_for(|fruitless| *fruitless >= count).await.is_err() {
            std::future::pending::<()>().await; // the gate is there as long as we are
        }
    }
}

async fn keep(listener: TcpListener, state: Arc<State>) {
    let (room, mut passing) = (Arc::new(Semaphore::new(CONNECTIONS_MAX)), JoinSet::new());
    loop {
        while passing.try_join_next().is_some() {}
        let Ok(permit) = room.clone().acquire_owned().await else { return };
        let Ok((near, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(100)).await; // no descriptors are left, say
            continue;
        };
        let state = state.clone();
        passing.spawn(async move {
            let _how_it_ended = pass(near, &state).await;
            drop(permit);
        });
    }
}

/// Serves one who came.
async fn pass(mut near: TcpStream, state: &State) -> io::Result<()> {
    near.set_nodelay(true)?;
    let asked = timeout(ASK_MAX, asked(&mut near, &state.password)).await;
    let (host, port) = asked.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    let connected = timeout(CONNECT_MAX, connect(&state.guard, &host, port)).await.unwrap_or(Err(UNREACHABLE));
    let mut has_heard = false;
    let ended = match connected {
        Ok(far) => {
            say(&mut near, CONNECTED).await?;
            let mut heard = || {
                has_heard = true;
                state.fruitless.send_if_modified(|fruitless| std::mem::take(fruitless) > 0);
            };
            carry(near, state.lender.lend(Box::new(far)), &mut heard).await
        }
        Err(why) => {
            state.has_refused.fetch_or(why == NOT_ALLOWED, Ordering::Relaxed);
            say(&mut near, why).await
        }
    };
    if !has_heard {
        state.fruitless.send_modify(|fruitless| *fruitless = fruitless.saturating_add(1));
    }
    ended
}

/// Ports are those that a destination's URL may have.
async fn connect(guard: &Guard, host: &Host<String>, port: u16) -> Result<TcpStream, u8> {
    if !matches!(port, 443 | 1024..) {
        return Err(NOT_ALLOWED);
    }
    socket::connect(guard, host, port).await.map_err(|error| match error {
        NoConnection::NotPublic(_) => NOT_ALLOWED,
        NoConnection::Io(_) => UNREACHABLE,
    })
}

/// Until either side ends it; says at once when the far side has said something.
async fn carry(mut near: TcpStream, far: Tethered, heard: &mut (dyn FnMut() + Send)) -> io::Result<()> {
    let ((mut from_near, mut to_near), (mut from_far, mut to_far)) = (near.split(), split(far));
    let down = async {
        let mut bytes = vec![0; 16 * 1024];
        loop {
            let count = from_far.read(&mut bytes).await?;
            if count == 0 {
                return Ok(());
            }
            heard();
            to_near.write_all(bytes.get(..count).unwrap_or_default()).await?;
        }
    };
    tokio::select! {
        ended = copy(&mut from_near, &mut to_far) => ended.map(|_| ()),
        ended = down => ended,
    }
}

/// Where somebody wants to go who has the password.
async fn asked(near: &mut TcpStream, password: &str) -> io::Result<(Host<String>, u16)> {
    let [version, ways] = bytes(near).await?;
    let ways = text(near, ways).await?;
    if version != VERSION || !ways.contains(&BY_PASSWORD) {
        near.write_all(&[VERSION, BY_NOTHING_KNOWN]).await?;
        return Err(refused());
    }
    near.write_all(&[VERSION, BY_PASSWORD]).await?;
    let [version, user] = bytes(near).await?;
    let user = text(near, user).await?;
    let [said] = bytes(near).await?;
    let said = Zeroizing::new(text(near, said).await?);
    let is_known =
        version == PASSWORD_VERSION && user == USER.as_bytes() && bool::from(said.ct_eq(password.as_bytes()));
    near.write_all(&[PASSWORD_VERSION, u8::from(!is_known)]).await?;
    if !is_known {
        return Err(refused());
    }
    let [version, command, _, kind] = bytes(near).await?;
    if (version, command) != (VERSION, CONNECT) {
        return Err(refused());
    }
    let host = match kind {
        IPV4 => Host::Ipv4(Ipv4Addr::from(bytes::<4>(near).await?)),
        IPV6 => Host::Ipv6(Ipv6Addr::from(bytes::<16>(near).await?)),
        NAME => {
            let [length] = bytes(near).await?;
            let name = String::from_utf8(text(near, length).await?).map_err(|_| refused())?;
            // Whatever spells an address is read as one.
            Host::parse(&name).map_err(|_| refused())?
        }
        _ => return Err(refused()),
    };
    Ok((host, u16::from_be_bytes(bytes(near).await?)))
}

async fn say(near: &mut TcpStream, reply: u8) -> io::Result<()> {
    near.write_all(&[VERSION, reply, 0, IPV4, 0, 0, 0, 0, 0, 0]).await
}

async fn bytes<const COUNT: usize>(near: &mut TcpStream) -> io::Result<[u8; COUNT]> {
    let mut bytes = [0; COUNT];
    near.read_exact(&mut bytes).await?;
    Ok(bytes)
}

async fn text(near: &mut TcpStream, length: u8) -> io::Result<Vec<u8>> {
    let mut text = vec![0; length.into()];
    near.read_exact(&mut text).await?;
    Ok(text)
}

fn refused() -> io::Error {
    io::ErrorKind::PermissionDenied.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the gate answers to a request of somebody with this password.
    async fn ask(gate: &Gate, password: &str, request: &[u8]) -> (TcpStream, Vec<u8>) {
        let mut near = TcpStream::connect(gate.address).await.unwrap();
        near.write_all(&[5, 2, 0, 2]).await.unwrap();
        assert_eq!(bytes::<2>(&mut near).await.unwrap(), [5, 2]);
        let length = |text: &str| u8::try_from(text.len()).unwrap();
        let said = [&[1, length(USER)], USER.as_bytes(), &[length(password)], password.as_bytes()].concat();
        near.write_all(&said).await.unwrap();
        let [_, answer] = bytes(&mut near).await.unwrap();
        if answer != 0 {
            return (near, vec![answer]);
        }
        near.write_all(request).await.unwrap();
        let reply = bytes::<10>(&mut near).await.unwrap_or_default();
        (near, reply.to_vec())
    }

    fn to_address(port: u16) -> Vec<u8> {
        [&[5, 1, 0, 1, 127, 0, 0, 1][..], &port.to_be_bytes()].concat()
    }

    fn to_name(name: &str, port: u16) -> Vec<u8> {
        [&[5, 1, 0, 3, u8::try_from(name.len()).unwrap()][..], name.as_bytes(), &port.to_be_bytes()].concat()
    }

    #[tokio::test]
    async fn who_may_pass_gets_a_connection_that_can_be_cut() {
        let server = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = server.local_addr().unwrap().port();
        let (gate, tether) = Gate::open(Guard::open(), 100).await.unwrap();
        for request in [to_address(port), to_name("localhost", port), to_name("127.0.0.1", port)] {
            let (mut near, reply) = ask(&gate, &gate.password, &request).await;
            assert_eq!(reply[..2], [5, CONNECTED]);
            let (mut far, _) = server.accept().await.unwrap();
            near.write_all(b"there").await.unwrap();
            assert_eq!(&bytes::<5>(&mut far).await.unwrap(), b"there");
            far.write_all(b"back").await.unwrap();
            assert_eq!(&bytes::<4>(&mut near).await.unwrap(), b"back");
            assert_eq!(tether.heard() % 4, 0);
            drop(far);
            assert_eq!(near.read(&mut [0]).await.unwrap(), 0);
        }
        let (mut near, _) = ask(&gate, &gate.password, &to_address(port)).await;
        tether.cut();
        assert_eq!(near.read(&mut [0]).await.unwrap_or(0), 0);
        assert!(!gate.has_refused());
    }

    #[tokio::test]
    async fn nobody_passes_without_the_password_or_to_where_the_guard_says_no() {
        let server = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = server.local_addr().unwrap().port();
        let (gate, _tether) = Gate::open(Guard::default(), 100).await.unwrap();
        assert_eq!(ask(&gate, "guessed", &to_address(port)).await.1, [1]);
        assert!(!gate.has_refused());
        let metadata = to_name("169.254.169.254", 8080);
        for request in [to_address(port), to_name("localhost", port), to_name("0x7f.1", port), metadata] {
            assert_eq!(ask(&gate, &gate.password, &request).await.1[..2], [5, NOT_ALLOWED]);
            assert!(gate.has_refused());
        }
        let (open, _tether) = Gate::open(Guard::open(), 100).await.unwrap();
        assert_eq!(ask(&open, &open.password, &to_address(25)).await.1[..2], [5, NOT_ALLOWED]);
        for command in [2, 3] {
            let mut request = to_address(port);
            request[1] = command;
            assert_eq!(ask(&open, &open.password, &request).await.1, [0; 10]); // closed without a word
        }
        assert!(timeout(Duration::from_millis(1), server.accept()).await.is_err());
    }

    #[tokio::test]
    async fn connections_that_lead_to_nobody_are_counted_in_a_row() {
        let server = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = server.local_addr().unwrap().port();
        let (gate, _tether) = Gate::open(Guard::open(), 100).await.unwrap();
        let end_one = async |word: &[u8]| {
            let (mut near, _) = ask(&gate, &gate.password, &to_address(port)).await;
            let (mut far, _) = server.accept().await.unwrap();
            far.write_all(word).await.unwrap();
            drop(far);
            let _ended = near.read_to_end(&mut Vec::new()).await;
        };
        end_one(b"").await;
        gate.until_fruitless(1).await;
        end_one(b"word").await;
        assert_eq!(*gate.fruitless.borrow(), 0);
        end_one(b"").await;
        drop(server);
        assert_eq!(ask(&gate, &gate.password, &to_address(port)).await.1[..2], [5, UNREACHABLE]);
        gate.until_fruitless(2).await;
    }
}
