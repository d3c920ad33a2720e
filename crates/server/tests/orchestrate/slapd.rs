//! A real OpenLDAP, behind a wire that a script directs: it reads the requests that pass, and what goes wrong with one goes
//! wrong there.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use futures_util::future::BoxFuture;
use ldap3::controls::RelaxRules;
use ldap3::exop::PasswordModify;
use ldap3::{Ldap, LdapConnAsync, Scope, SearchEntry};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::sleep;
use url::Url;

use crate::cell::{Step, Trouble};
use crate::double::Point;
use crate::provider::{Connector, Provider, User};
use crate::script::{Call, Script};
use crate::server::LATE;

pub const SECRET: &str = "service-secret";
const SERVICE: &str = "uid=svc,dc=example,dc=org";
const PEOPLE: &str = "ou=people,dc=example,dc=org";
/// Extended requests are changes of a password.
const PASSWORD_MODIFY: &[u8] = b"1.3.6.1.4.1.4203.1.11.1";

pub const CONNECTOR: Connector = Connector {
    name: "ldap",
    steps: &[Step::Access, Step::LookUp, Step::Set, Step::Probe, Step::SignIn],
    throttle_forms: 1,
    has_policy: true,
    needs_slapd: true,
    start,
};

struct Running {
    server: Url,
    wire: Url,
    dn: String,
    id: String,
    _task: JoinSet<()>,
}

fn start(user: User, script: Arc<Script>) -> BoxFuture<'static, Box<dyn Provider>> {
    Box::pin(async move {
        let addresses = std::env::var("KEYHERALD_TEST_SLAPD").expect("KEYHERALD_TEST_SLAPD names a server");
        let server = Url::parse(addresses.split(' ').next().unwrap()).unwrap();
        let (dn, id) = add(&server, &user).await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let wire = Url::parse(&format!("ldap://{}", listener.local_addr().unwrap())).unwrap();
        let far: SocketAddr = format!("127.0.0.1:{}", server.port().unwrap()).parse().unwrap();
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut passing = JoinSet::new();
            while let Ok((near, _)) = listener.accept().await {
                let script = script.clone();
                passing.spawn(async move { drop(pass(near, far, &script).await) });
            }
        });
        let running: Box<dyn Provider> = Box::new(Running { server, wire, dn, id, _task: task });
        running
    })
}

async fn connect(server: &Url) -> Ldap {
    let (connection, ldap) = LdapConnAsync::new(server.as_str()).await.unwrap();
    #[expect(clippy::disallowed_methods, reason = "ends with the client that it serves")]
    tokio::spawn(connection.drive());
    ldap
}

/// Adds the user, and answers its name and its id.
async fn add(server: &Url, user: &User) -> (String, String) {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let name = format!("operation-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
    let dn = format!("uid={name},{PEOPLE}");
    let first = user.before.as_ref().unwrap_or(&user.password);
    let attributes = [
        ("objectClass", "inetOrgPerson"),
        ("uid", name.as_str()),
        ("cn", &name),
        ("sn", &name),
        ("mail", &user.email),
        ("userPassword", first),
        // Times of changes are told in seconds: the next one must be another.
        ("pwdChangedTime", "20200101000000Z"),
    ];
    let attributes = attributes.into_iter().map(|(name, value)| (name, HashSet::from([value]))).collect();
    let mut root = connect(server).await;
    root.simple_bind("cn=admin,dc=example,dc=org", "secret").await.unwrap().success().unwrap();
    root.with_controls(RelaxRules).add(&dn, attributes).await.unwrap().success().unwrap();
    if user.before.is_some() {
        let mut service = connect(server).await;
        service.simple_bind(SERVICE, SECRET).await.unwrap().success().unwrap();
        let change = PasswordModify { user_id: Some(&dn), old_pass: None, new_pass: Some(&user.password) };
        service.extended(change).await.unwrap().success().unwrap();
    }
    let found = root.search(&dn, Scope::Base, "(objectClass=*)", vec!["entryUUID"]).await.unwrap();
    let entry = SearchEntry::construct(found.success().unwrap().0.pop().unwrap());
    let id = entry.attrs["entryUUID"][0].clone();
    (dn, id)
}

/// Passes requests and their answers on, one at a time: our connector asks nothing before it has an answer.
async fn pass(mut near: TcpStream, far: SocketAddr, script: &Arc<Script>) -> std::io::Result<()> {
    let mut far = TcpStream::connect(far).await?;
    while let Some(request) = read(&mut near).await? {
        let Some(call) = call_of(&request) else {
            far.write_all(&request).await?;
            continue;
        };
        let (trouble, watcher) = script.direct(call);
        let reached = async |point| {
            if let Some(watcher) = &watcher {
                watcher.reached(point).await;
            }
        };
        reached(Point::Came).await;
        let instead = match trouble {
            Some(Trouble::Reset) => return near.set_zero_linger(),
            Some(Trouble::Cut | Trouble::Dark) => return Ok(()),
            Some(Trouble::Slow) => return until_given_up(near).await,
            Some(Trouble::Late) => {
                sleep(LATE).await;
                None
            }
            Some(trouble) => code(trouble, call),
            None => None,
        };
        let mut answer = match instead {
            Some(code) => refusal(&request, call, code),
            None => ask(&mut far, &request).await?,
        };
        reached(Point::Applied).await;
        match trouble {
            Some(Trouble::AppliedCut | Trouble::Repeated | Trouble::Late) => return Ok(()),
            Some(Trouble::AppliedSlow) => return until_given_up(near).await,
            Some(Trouble::AppliedBroken) => answer = refusal(&request, call, OTHER),
            _ => {}
        }
        near.write_all(&answer).await?;
        reached(Point::Answered).await;
    }
    Ok(())
}

async fn until_given_up(mut stream: TcpStream) -> std::io::Result<()> {
    while stream.read(&mut [0; 64]).await? > 0 {}
    Ok(())
}

/// An error of its own.
const OTHER: u8 = 80;

/// The result code that is answered instead of asking the server.
fn code(trouble: Trouble, call: Call) -> Option<u8> {
    match (trouble, call) {
        (Trouble::Broken, _) => Some(OTHER),
        (Trouble::Throttled(_), _) => Some(51), // busy
        (Trouble::AccessRefused, _) => Some(50),
        // A search that finds nothing is a success.
        (Trouble::NoUser, Call::LookUp) => Some(0),
        (Trouble::NoUser, _) => Some(32),
        _ => None,
    }
}

/// The whole of the next message. `None`: there is none.
async fn read(stream: &mut TcpStream) -> std::io::Result<Option<Vec<u8>>> {
    let mut message = vec![0; 2];
    if stream.read_exact(&mut message).await.is_err() {
        return Ok(None);
    }
    let mut length = usize::from(message[1]);
    if length >= 0x80 {
        let mut bytes = vec![0; length - 0x80];
        stream.read_exact(&mut bytes).await?;
        length = bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte));
        message.extend(bytes);
    }
    let head = message.len();
    message.resize(head + length, 0);
    stream.read_exact(&mut message[head..]).await?;
    Ok(Some(message))
}

/// Asks the server and reads its answer to the last message.
async fn ask(server: &mut TcpStream, request: &[u8]) -> std::io::Result<Vec<u8>> {
    server.write_all(request).await?;
    let mut answer = Vec::new();
    while let Some(message) = read(server).await? {
        let is_last = matches!(operation(&message), 0x61 | 0x65 | 0x78);
        answer.extend(message);
        if is_last {
            break;
        }
    }
    Ok(answer)
}

/// Its number, as it is encoded, and what follows.
fn parts(message: &[u8]) -> (&[u8], &[u8]) {
    let head = if message[1] < 0x80 { 2 } else { 2 + usize::from(message[1] - 0x80) };
    let content = &message[head..];
    content.split_at(2 + usize::from(content[1]))
}

fn operation(message: &[u8]) -> u8 {
    parts(message).1[0]
}

/// What a request is for. `None`: nothing that is answered.
fn call_of(request: &[u8]) -> Option<Call> {
    let has = |part: &[u8]| request.windows(part.len()).any(|window| window == part);
    match operation(request) {
        0x60 if has(SERVICE.as_bytes()) => Some(Call::Access),
        0x60 => Some(Call::SignIn),
        0x63 => Some(Call::LookUp),
        0x77 if has(PASSWORD_MODIFY) => Some(Call::Set),
        _ => None,
    }
}

fn refusal(request: &[u8], call: Call, code: u8) -> Vec<u8> {
    let kind = match call {
        Call::Access | Call::SignIn => 0x61,
        Call::LookUp => 0x65,
        Call::Set | Call::EndSessions => 0x78,
    };
    let mut content = parts(request).0.to_vec();
    content.extend([kind, 7, 0x0a, 1, code, 4, 0, 4, 0]);
    let mut message = vec![0x30, u8::try_from(content.len()).unwrap()];
    message.extend(content);
    message
}

impl Provider for Running {
    fn config(&self, secret: &str) -> String {
        format!(
            "kind = \"ldap\"\nurl = \"{}\"\nstarttls = false\nbind_dn = \"{SERVICE}\"\n\
             bind_password_file = \"{secret}\"\nbase_dn = \"{PEOPLE}\"\n",
            self.wire
        )
    }

    fn secret(&self) -> &'static str {
        SECRET
    }

    fn user(&self) -> String {
        self.id.clone()
    }

    fn has<'a>(&'a self, password: &'a str) -> BoxFuture<'a, bool> {
        Box::pin(async move { connect(&self.server).await.simple_bind(&self.dn, password).await.unwrap().rc == 0 })
    }
}
