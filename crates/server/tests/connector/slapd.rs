//! The LDAP connector on a real OpenLDAP: what `conformance` asks of every connector, asked of a directory, and what only
//! a directory has. The server is shared by all tests; each has a user of its own.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use keyherald::commands::provider::Asked;
use keyherald::connector::{self, AccessSecret, By, Connector, Kind, LdapSettings, Limits, Net, Settings};
use keyherald::outbound::client::own_tls;
use keyherald_core::provider::{PolicyText, ProbeValue, ProviderError, ProviderUser, TrialAnswer};
use ldap3::controls::RelaxRules;
use ldap3::{LdapConnAsync, Mod, Scope, SearchEntry};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use url::Url;

use crate::conformance::{ctx, password};
use crate::provider_check;

const OLD: &str = "Old-pass-word-1!";
const NEW: &str = "New-pass-word-1!";
const BASE: &str = "ou=people,dc=example,dc=org";

/// The server's addresses: in the open, with TLS, and by socket.
struct Slapd {
    open: Url,
    secure: Url,
    socket: Url,
}

impl Slapd {
    fn running() -> Self {
        let addresses = std::env::var("KEYHERALD_TEST_SLAPD").unwrap();
        let mut addresses = addresses.split(' ').map(|address| Url::parse(address).unwrap());
        let mut next = || addresses.next().unwrap();
        Self { open: next(), secure: next(), socket: next() }
    }

    /// Signed in as who may do everything.
    async fn root(&self) -> ldap3::Ldap {
        let (connection, mut ldap) = LdapConnAsync::new(self.open.as_str()).await.unwrap();
        #[expect(clippy::disallowed_methods, reason = "ends with the test")]
        tokio::spawn(connection.drive());
        ldap.simple_bind("cn=admin,dc=example,dc=org", "secret").await.unwrap().success().unwrap();
        ldap
    }

    /// A user whose password was last changed long ago; `more` are attributes besides the usual ones.
    async fn user(&self, more: &[(&str, &str)]) -> User {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("u{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let dn = format!("uid={name},{BASE}");
        let (mail, number) = (format!("{name}@example.com"), format!("ext-{name}"));
        let mut attributes = vec![
            ("objectClass", "inetOrgPerson"),
            ("uid", &name),
            ("cn", &name),
            ("sn", &name),
            ("mail", &mail),
            ("employeeNumber", &number),
            ("userPassword", OLD),
            ("pwdChangedTime", "20200101000000Z"),
        ];
        attributes.extend(more);
        let attributes = attributes.into_iter().map(|(name, value)| (name, HashSet::from([value]))).collect();
        let mut root = self.root().await;
        root.with_controls(RelaxRules).add(&dn, attributes).await.unwrap().success().unwrap();
        let found = root.search(&dn, Scope::Base, "(objectClass=*)", vec!["entryUUID"]).await.unwrap();
        let entry = SearchEntry::construct(found.success().unwrap().0.pop().unwrap());
        User { id: entry.attrs["entryUUID"][0].parse().unwrap(), dn, mail, number }
    }

    /// Whether a client of any kind can sign in with this password.
    async fn binds(&self, user: &User, text: &str) -> bool {
        let (connection, mut ldap) = LdapConnAsync::new(self.open.as_str()).await.unwrap();
        tokio::select! {
            bound = ldap.simple_bind(&user.dn, text) => bound.unwrap().rc == 0,
            ended = connection.drive() => panic!("{ended:?}"),
        }
    }
}

struct User {
    id: ProviderUser,
    dn: String,
    mail: String,
    number: String,
}

fn settings(url: &Url) -> LdapSettings {
    LdapSettings {
        url: url.clone(),
        starttls: false,
        bind_dn: "uid=svc,dc=example,dc=org".into(),
        bind_password: AccessSecret::new("service-secret".into()),
        base_dn: BASE.into(),
        filter: "(objectClass=inetOrgPerson)".into(),
        id_attribute: "entryUUID".into(),
        email_attribute: "mail".into(),
        external_id_attribute: Some("employeeNumber".into()),
        probe_attribute: Some("pwdChangedTime".into()),
        locked_attribute: "pwdAccountLockedTime".into(),
    }
}

fn open(settings: LdapSettings, net: Net) -> Arc<dyn Connector> {
    connector::open(Settings { kind: Kind::Ldap(settings), net, limits: Limits::default() }).unwrap()
}

fn plain(slapd: &Slapd) -> Arc<dyn Connector> {
    open(settings(&slapd.open), Net::default())
}

async fn set(connector: &dyn Connector, user: &User, text: &str) -> Result<(), ProviderError> {
    connector.set_password(&user.id, &password(text), ctx()).await
}

async fn probe(connector: &dyn Connector, user: &User) -> ProbeValue {
    connector.look_up(By::Id(&user.id), ctx()).await.ok().unwrap().probe.unwrap()
}

/// Passes bytes on to the server, until a change of a password comes by: then the answer is kept back.
struct Wire {
    url: Url,
    connections: Arc<AtomicU32>,
    _task: JoinSet<()>,
}

/// What happens once the server has answered a change of a password.
#[derive(Clone, Copy)]
enum Answer {
    Cut,
    Kept,
}

/// The object identifier of the password modify operation, as it stands in a request.
const MODIFY: &[u8] = b"1.3.6.1.4.1.4203.1.11.1";

impl Wire {
    async fn to(server: &Url, answer: Option<Answer>) -> Self {
        let server: SocketAddr = format!("127.0.0.1:{}", server.port().unwrap()).parse().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = Url::parse(&format!("ldap://{}", listener.local_addr().unwrap())).unwrap();
        let connections = Arc::new(AtomicU32::new(0));
        let (mut task, count) = (JoinSet::new(), connections.clone());
        task.spawn(async move {
            let mut passing = JoinSet::new();
            while let Ok((near, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                passing.spawn(pass(near, server, answer));
            }
        });
        Self { url, connections, _task: task }
    }
}

async fn pass(mut near: TcpStream, server: SocketAddr, answer: Option<Answer>) {
    let mut far = TcpStream::connect(server).await.unwrap();
    let (mut asked, mut answered) = ([0; 4096], [0; 4096]);
    let mut is_change = false;
    loop {
        tokio::select! {
            read = near.read(&mut asked) => {
                let Ok(length @ 1..) = read else { return };
                is_change = asked[..length].windows(MODIFY.len()).any(|window| window == MODIFY);
                far.write_all(&asked[..length]).await.unwrap();
            }
            read = far.read(&mut answered) => {
                let Ok(length @ 1..) = read else { return };
                match answer.filter(|_| is_change) {
                    None => near.write_all(&answered[..length]).await.unwrap(),
                    Some(Answer::Cut) => return,
                    Some(Answer::Kept) => while matches!(near.read(&mut asked).await, Ok(1..)) {},
                }
            }
        }
    }
}

#[tokio::test]
#[ignore = "needs slapd: cargo xtask test starts one"]
async fn a_user_is_found_by_each_way_on_slapd() {
    let slapd = Slapd::running();
    let (connector, user) = (plain(&slapd), slapd.user(&[]).await);
    for by in [By::Id(&user.id), By::Email(&user.mail.to_uppercase()), By::ExternalId(&user.number)] {
        let found = connector.look_up(by, ctx()).await.ok().unwrap();
        assert!(found.user == user.id);
        assert_eq!(found.email.as_ref(), Some(&user.mail));
    }
    let unknown = "nobody".parse().unwrap();
    for by in [By::Id(&unknown), By::Email("nobody@example.com"), By::ExternalId("*"), By::Email("*)(uid=*")] {
        assert_eq!(connector.look_up(by, ctx()).await.err(), Some(ProviderError::UserNotFound));
    }
    let mut root = slapd.root().await;
    let twin = slapd.user(&[]).await;
    let mail = HashSet::from([user.mail.as_str()]);
    root.modify(&twin.dn, vec![Mod::Replace("mail", mail)]).await.unwrap().success().unwrap();
    assert_eq!(connector.look_up(By::Email(&user.mail), ctx()).await.err(), Some(ProviderError::UserAmbiguous));
}

#[tokio::test]
#[ignore = "needs slapd: cargo xtask test starts one"]
async fn a_name_can_be_the_id_and_leads_nowhere_else_on_slapd() {
    let slapd = Slapd::running();
    let user = slapd.user(&[]).await;
    let connector = open(LdapSettings { id_attribute: "dn".into(), ..settings(&slapd.open) }, Net::default());
    let id = |dn: &str| dn.parse::<ProviderUser>().unwrap();
    let found = connector.look_up(By::Id(&id(&user.dn.to_uppercase())), ctx()).await.ok().unwrap();
    assert_eq!(found.user.as_str(), user.dn);
    assert_eq!(connector.set_password(&id(&user.dn), &password(NEW), ctx()).await, Ok(()));
    assert!(slapd.binds(&user, NEW).await);
    for elsewhere in ["uid=svc,dc=example,dc=org", "cn=admin,dc=example,dc=org", BASE, "no name", "..", "a/b?x#y"] {
        let refused = connector.set_password(&id(elsewhere), &password(NEW), ctx()).await;
        assert_eq!(refused, Err(ProviderError::UserNotFound), "{elsewhere}");
    }
}

#[tokio::test]
#[ignore = "needs slapd: cargo xtask test starts one"]
async fn after_a_change_the_new_password_binds_and_the_old_one_does_not_on_slapd() {
    let slapd = Slapd::running();
    let (connector, user) = (plain(&slapd), slapd.user(&[]).await);
    assert!(slapd.binds(&user, OLD).await);
    let before = probe(&*connector, &user).await;
    assert_eq!(set(&*connector, &user, NEW).await, Ok(()));
    assert_ne!(probe(&*connector, &user).await, before);
    assert_eq!((slapd.binds(&user, NEW).await, slapd.binds(&user, OLD).await), (true, false));
    for (text, answer) in [(NEW, TrialAnswer::SignedIn), (OLD, TrialAnswer::Wrong), ("", TrialAnswer::Wrong)] {
        assert_eq!(connector.try_sign_in(&user.id, &password(text), ctx()).await, answer);
    }
    let unknown = "nobody".parse().unwrap();
    let answer = connector.set_password(&unknown, &password(NEW), ctx()).await;
    assert_eq!(answer, Err(ProviderError::UserNotFound));
    assert_eq!(connector.end_sessions(&user.id, ctx()).await, Err(ProviderError::NotSupported));
}

#[tokio::test]
#[ignore = "needs slapd: cargo xtask test starts one"]
async fn policy_history_and_age_are_told_apart_on_slapd() {
    let slapd = Slapd::running();
    let (connector, user) = (plain(&slapd), slapd.user(&[]).await);
    let refused = set(&*connector, &user, "short").await.unwrap_err();
    assert!(
        matches!(&refused, ProviderError::PolicyViolation { rule: Some(rule), .. } if rule == "length"),
        "{refused:?}"
    );
    assert_eq!(refused.message().map(PolicyText::as_str), Some("Password fails quality checking policy"));
    assert_eq!(set(&*connector, &user, NEW).await, Ok(()));
    for used in [NEW, OLD] {
        let refused = set(&*connector, &user, used).await;
        assert!(matches!(refused, Err(ProviderError::PasswordReused { .. })), "{refused:?}");
    }
    let slow = slapd.user(&[("pwdPolicySubentry", "cn=slow,ou=policies,dc=example,dc=org")]).await;
    assert_eq!(set(&*connector, &slow, NEW).await, Ok(()));
    assert_eq!(set(&*connector, &slow, "Newer-pass-word-1!").await, Err(ProviderError::TooYoung));
}

#[tokio::test]
#[ignore = "needs slapd: cargo xtask test starts one"]
async fn a_locked_account_cannot_tell_until_its_password_is_set_on_slapd() {
    let slapd = Slapd::running();
    let (connector, user) = (plain(&slapd), slapd.user(&[]).await);
    for _ in 0..5 {
        assert_eq!(connector.try_sign_in(&user.id, &password("wrong"), ctx()).await, TrialAnswer::Wrong);
    }
    for text in [OLD, "wrong"] {
        assert_eq!(connector.try_sign_in(&user.id, &password(text), ctx()).await, TrialAnswer::CannotTell);
    }
    assert_eq!(set(&*connector, &user, NEW).await, Ok(()));
    assert_eq!(connector.try_sign_in(&user.id, &password(NEW), ctx()).await, TrialAnswer::SignedIn);
}

#[tokio::test]
#[ignore = "needs slapd: cargo xtask test starts one"]
async fn an_access_that_does_not_reach_far_enough_is_named_on_slapd() {
    let slapd = Slapd::running();
    let (user, other) = (slapd.user(&[]).await, slapd.user(&[]).await);
    let as_whom = |dn: &str, secret: &str| {
        let bind_password = AccessSecret::new(secret.into());
        open(LdapSettings { bind_dn: dn.into(), bind_password, ..settings(&slapd.open) }, Net::default())
    };
    let answer = set(&*as_whom(&other.dn, OLD), &user, NEW).await;
    assert_eq!(answer, Err(ProviderError::InsufficientScope));
    for (dn, secret) in [("uid=svc,dc=example,dc=org", "wrong"), ("uid=nobody,dc=example,dc=org", "service-secret")] {
        assert_eq!(set(&*as_whom(dn, secret), &user, NEW).await, Err(ProviderError::AdminAuth));
    }
    let base_dn = "ou=elsewhere,dc=example,dc=org".to_owned();
    let lost = open(LdapSettings { base_dn, ..settings(&slapd.open) }, Net::default());
    assert_eq!(set(&*lost, &user, NEW).await, Err(ProviderError::Misconfigured));
    assert!(slapd.binds(&user, OLD).await);
}

#[tokio::test]
#[ignore = "needs slapd: cargo xtask test starts one"]
async fn a_lost_answer_is_ambiguous_and_the_repeat_is_a_reused_password_on_slapd() {
    let slapd = Slapd::running();
    let quick = Net { total_timeout: Duration::from_millis(500), ..Net::default() };
    for (answer, net) in [(Answer::Cut, Net::default()), (Answer::Kept, quick)] {
        let user = slapd.user(&[]).await;
        let wire = Wire::to(&slapd.open, Some(answer)).await;
        let before = probe(&*plain(&slapd), &user).await;
        assert_eq!(set(&*open(settings(&wire.url), net), &user, NEW).await, Err(ProviderError::Ambiguous));
        assert!(slapd.binds(&user, NEW).await);
        assert_ne!(probe(&*plain(&slapd), &user).await, before);
        let repeat = set(&*plain(&slapd), &user, NEW).await;
        assert!(matches!(repeat, Err(ProviderError::PasswordReused { .. })), "{repeat:?}");
    }
}

#[tokio::test]
#[ignore = "needs slapd: cargo xtask test starts one"]
async fn a_connection_is_kept_and_a_new_one_made_when_it_broke_on_slapd() {
    let slapd = Slapd::running();
    let user = slapd.user(&[]).await;
    let wire = Wire::to(&slapd.open, Some(Answer::Cut)).await;
    let connector = open(settings(&wire.url), Net::default());
    let made = || wire.connections.load(Ordering::SeqCst);
    let (_, _) = (probe(&*connector, &user).await, probe(&*connector, &user).await);
    assert_eq!(made(), 1);
    assert_eq!(set(&*connector, &user, NEW).await, Err(ProviderError::Ambiguous));
    assert_eq!(made(), 1);
    let (_, _) = (probe(&*connector, &user).await, probe(&*connector, &user).await);
    assert_eq!(made(), 2);
    assert_eq!(connector.try_sign_in(&user.id, &password(NEW), ctx()).await, TrialAnswer::SignedIn);
    assert_eq!(made(), 3, "a sign-in has a connection of its own");
    probe(&*connector, &user).await;
    assert_eq!(made(), 3);
}

#[tokio::test]
#[ignore = "needs slapd: cargo xtask test starts one"]
async fn each_way_to_connect_is_secured_as_it_says_on_slapd() {
    let slapd = Slapd::running();
    let authority =
        std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/mail/certificates/authority.pem")).unwrap();
    let trusting = Net { tls: Some(own_tls(Some(&authority), None).unwrap()), ..Net::default() };
    let mut localhost = slapd.open.clone();
    localhost.set_host(Some("localhost")).unwrap();
    for (url, starttls) in [(&slapd.secure, false), (&localhost, true), (&slapd.socket, true)] {
        let user = slapd.user(&[]).await;
        let of = |net: &Net| open(LdapSettings { starttls, ..settings(url) }, net.clone());
        assert_eq!(set(&*of(&trusting), &user, NEW).await, Ok(()), "{url}");
        assert_eq!(of(&trusting).try_sign_in(&user.id, &password(NEW), ctx()).await, TrialAnswer::SignedIn);
        let expected = if url.scheme() == "ldapi" { Ok(()) } else { Err(ProviderError::Transient) };
        let answer = set(&*of(&Net::default()), &user, "Newer-pass-word-1!").await;
        assert_eq!(answer, expected, "{url}: a certificate that nobody vouches for");
    }
}

#[tokio::test]
#[ignore = "needs slapd: cargo xtask test starts one"]
async fn an_operator_s_check_tells_the_class_of_each_answer_on_slapd() {
    let slapd = Slapd::running();
    let (connector, user) = (plain(&slapd), slapd.user(&[]).await);
    let (email, external_id) = (Some(user.mail.clone()), Some(user.number.clone()));
    let asked = Asked { user: user.id.clone(), email, external_id, set: true, records: true };
    let answers = provider_check::answers(&connector, &asked).await;
    let expected = [
        ("look up by id", "found"),
        ("look up by e-mail", "found"),
        ("look up by external id", "found"),
        ("look up an unknown id", "user_not_found"),
        ("look up an unknown e-mail", "user_not_found"),
        ("sign in, wrong password", "wrong"),
        ("set, unknown user", "user_not_found"),
        ("probe before", "read"),
        ("set", "set"),
        ("probe after", "read"),
        ("probe", "moved"),
        ("sign in, new password", "signed_in"),
        ("set the same again", "password_reused \"Password is not being changed from existing value\""),
    ];
    let told: Vec<(&str, &str)> = answers.iter().map(|(step, answer)| (step.as_str(), answer.as_str())).collect();
    assert_eq!(told, expected);
    assert!(!slapd.binds(&user, OLD).await);
}
