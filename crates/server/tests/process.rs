//! The binary as an operator sees it: started, asked, ended, started again.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

#[path = "black_box/mod.rs"]
#[expect(dead_code, reason = "parts of it are for other tests")]
mod black_box;

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use black_box::api::{Api, Wallet, http_client};
use black_box::server::{Launch, Server};
use keyherald_core::{Ctx, Micros};
use keyherald_store::{Sql, Store, StoreOptions, StoreUrl};
use serde_json::json;

const PROGRAM: &str = env!("CARGO_BIN_EXE_keyherald");

fn launch(folder: &Path) -> Launch {
    Launch {
        program: PathBuf::from(PROGRAM),
        data: folder.join("data"),
        store: None,
        log: folder.join("log"),
        settings: vec![("KEYHERALD__HASHING__MEMORY_KIB", "64".into()), ("KEYHERALD__HASHING__PASSES", "1".into())],
    }
}

fn keyherald(arguments: &[&str]) -> Output {
    Command::new(PROGRAM).args(arguments).stdin(Stdio::null()).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn signal(pid: u32, signal: rustix::process::Signal) {
    let pid = rustix::process::Pid::from_raw(pid.try_into().unwrap()).unwrap();
    rustix::process::kill_process(pid, signal).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn data_outlives_the_process() {
    let folder = tempfile::tempdir().unwrap();
    let launch = launch(folder.path());
    let http = http_client(Duration::from_secs(20)).unwrap();
    let server = launch.start().unwrap();
    let api = Api::sign_in(&http, &server).await.unwrap();
    let made = api.post("/customers", &json!({"email": "ada@example.com", "password": "one"})).await.unwrap();
    assert_eq!(made.status, 201, "{}", made.body);
    server.kill();

    let server = launch.start().unwrap();
    // The old token is still good: sessions are in the store.
    let login = json!({"email": "ada@example.com", "password": "one"});
    assert_eq!(api.moved_to(&server.url).post("/login", &login).await.unwrap().status, 200);
    // Nothing that was said or sent is in the log.
    let log = std::fs::read_to_string(&launch.log).unwrap();
    assert!(!log.contains("ada@example.com") && !log.contains("\"one\""), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_console_subscription_prints_deliveries() {
    let folder = tempfile::tempdir().unwrap();
    let http = http_client(Duration::from_secs(20)).unwrap();
    let server = launch(folder.path()).start().unwrap();
    let api = Api::sign_in(&http, &server).await.unwrap();
    let draft = json!({"destination": {"type": "Console"}, "messages": [{"resourceTypeId": "customer"}],
        "changes": [{"resourceTypeId": "customer"}]});
    let subscribed = api.post("/subscriptions", &draft).await.unwrap();
    assert_eq!((subscribed.status, &subscribed.body["destination"]), (201, &json!({"type": "Console"})));
    let made = api.post("/customers", &json!({"email": "ada@example.com", "password": "one"})).await.unwrap();
    let customer = made.text("/customer/id");
    let mut types = Vec::new();
    for _ in 0..2 {
        let head = server.printed(Duration::from_secs(30)).unwrap();
        assert!(head.contains("  demo  ") && head.ends_with(&format!("  lane {customer}")), "{head}");
        let body = server.printed(Duration::from_secs(30)).unwrap();
        let body: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert_eq!(body["resource"]["id"], customer.as_str());
        types.push(body["notificationType"].clone());
    }
    assert_eq!(types, ["Message", "ResourceCreated"]);
}

#[test]
fn a_second_server_on_the_same_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let launch = launch(folder.path());
    let _first = launch.start().unwrap();
    let data = folder.path().join("data");
    let second = keyherald(&["dev", "--listen", "127.0.0.1:0", "--data", data.to_str().unwrap()]);
    assert_eq!(second.status.code(), Some(1));
    assert!(text(&second.stderr).contains("error: the database cannot be served"), "{}", text(&second.stderr));
    assert!(second.stdout.is_empty());
}

#[test]
fn sigterm_ends_in_order_and_a_second_signal_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let launch = launch(folder.path());
    let mut server = launch.start().unwrap();
    signal(server.pid(), rustix::process::Signal::TERM);
    assert_eq!(server.wait(Duration::from_secs(30)), Some(0));

    // With a long delay before it stops accepting, the first signal alone would take its time.
    let mut launch = launch;
    launch.settings.push(("KEYHERALD__SERVER__SHUTDOWN_DELAY", "10m".into()));
    std::fs::remove_file(&launch.log).unwrap(); // what the first one said is no sign of the second
    let mut server = launch.start().unwrap();
    signal(server.pid(), rustix::process::Signal::TERM);
    wait_for(|| std::fs::read_to_string(&launch.log).unwrap().contains("shutting_down"));
    signal(server.pid(), rustix::process::Signal::INT);
    assert_eq!(server.wait(Duration::from_secs(30)), Some(130));
}

fn wait_for(mut holds: impl FnMut() -> bool) {
    let until = Instant::now() + Duration::from_secs(30);
    while !holds() {
        assert!(Instant::now() < until, "it did not come about in 30 s");
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

/// A configuration that `serve` takes.
fn configured(folder: &Path) -> String {
    let key = folder.join("sealing.key");
    std::fs::write(&key, "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=").unwrap();
    let file = folder.join("keyherald.toml");
    let configuration = format!(
        "[server]\nlisten = \"127.0.0.1:0\"\n[store]\nurl = \"sqlite:{}\"\n[secrets]\nsealing_keys = [{{ id = \"a\", key_file = \"{}\" }}]\n\
         [[projects]]\nkey = \"shop\"\nmessages = {{ enabled = true }}\n",
        folder.join("k.db").display(),
        key.display()
    );
    std::fs::write(&file, configuration).unwrap();
    file.to_str().unwrap().to_owned()
}

#[test]
fn an_operator_sets_a_server_up() {
    let folder = tempfile::tempdir().unwrap();
    let file = configured(folder.path());
    let check = keyherald(&["check", "--config", &file]);
    assert!(check.status.success() && text(&check.stdout).ends_with("# ok\n"), "{}", text(&check.stderr));

    let status = keyherald(&["migrate", "--config", &file, "--status"]);
    assert!(text(&status.stdout).contains("to be applied"), "{}", text(&status.stdout));
    let migrated = keyherald(&["migrate", "--config", &file]);
    assert!(text(&migrated.stdout).ends_with("sqlite database: up to date\n"), "{}", text(&migrated.stdout));

    let make = |project: &str, scope: &str| {
        keyherald(&["client", "create", "--config", &file, "--project", project, "--name", "front", "--scope", scope])
    };
    let made = make("shop", "manage_project:shop");
    let shown = text(&made.stdout);
    let value = |name: &str| {
        let line = shown.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{name} in {shown}"));
        line.rsplit(' ').next().unwrap().to_owned()
    };
    let id = value("client id");
    assert_eq!((id.len(), value("client secret").len()), (24, 32));
    for (project, scope, what) in [
        ("shop", "manage_project:other", "is no scope of project shop"),
        ("shop", "paint_walls:shop", "is no scope of project shop"),
        ("nowhere", "manage_project:nowhere", "there is no project nowhere"),
    ] {
        let refused = make(project, scope);
        assert_eq!(refused.status.code(), Some(1));
        assert!(text(&refused.stderr).contains(what), "{}", text(&refused.stderr));
    }
    let list = || text(&keyherald(&["client", "list", "--config", &file]).stdout);
    assert!(list().contains(&id) && list().contains("active") && !list().contains(&value("client secret")));
    assert!(keyherald(&["client", "revoke", "--config", &file, "--project", "shop", &id]).status.success());
    assert!(list().contains("revoked"));
    assert_eq!(keyherald(&["client", "revoke", "--config", &file, "--project", "shop", &id]).status.code(), Some(1));
}

#[test]
fn scrub_rewrites_the_file_once_somebody_was_erased() {
    let folder = tempfile::tempdir().unwrap();
    let file = configured(folder.path());
    let scrub = || keyherald(&["scrub", "--config", &file]);
    let nothing_there = scrub();
    assert_eq!(nothing_there.status.code(), Some(1));
    assert!(text(&nothing_there.stderr).contains("error: there is no database"), "{}", text(&nothing_there.stderr));
    assert!(keyherald(&["migrate", "--config", &file]).status.success());
    let nobody = scrub();
    assert!(nobody.status.success() && text(&nobody.stdout).starts_with("nothing to do"), "{nobody:?}");

    // What erasing a customer notes.
    let store = Store::open(&StoreUrl::Sqlite(folder.path().join("k.db")), &StoreOptions::default()).unwrap();
    let id = "3cdcdcc8-80c5-41bb-abb5-ac8772c9cc24".parse().unwrap();
    keyherald_store::testing::block_on(async {
        let ctx = Ctx::new(Micros(0), [0; 32]);
        let erase = move |tx: &mut dyn keyherald_store::Tx, _: &mut Ctx| {
            keyherald_store::erase::customer(tx, &"shop".parse().unwrap(), id)
        };
        store.write(&ctx, erase).await.unwrap();
    });
    let done = scrub();
    assert!(done.status.success(), "{}", text(&done.stderr));
    assert!(
        text(&done.stdout).starts_with("rewrote ") && text(&done.stdout).contains(" of 1 erased customers"),
        "{done:?}"
    );
    assert!(text(&scrub().stdout).starts_with("nothing to do"));
}

#[test]
fn scrub_on_postgres_says_what_to_run_there() {
    let folder = tempfile::tempdir().unwrap();
    let file = configured(folder.path());
    let elsewhere = Command::new(PROGRAM)
        .args(["scrub", "--config", &file])
        .env("KEYHERALD__STORE__URL", "postgres://keyherald:pass@127.0.0.1:1/keyherald")
        .output()
        .unwrap();
    assert_eq!(elsewhere.status.code(), Some(1));
    let told = text(&elsewhere.stderr);
    assert!(told.contains("VACUUM (FULL, ANALYZE)") && !told.contains("pass@"), "{told}");
}

/// Writes down a migration that this program does not know, and should.
fn mark_newer(file: &Path) {
    let store = Store::open(&StoreUrl::Sqlite(file.to_owned()), &StoreOptions::default()).unwrap();
    let insert = Sql::both("test", "INSERT INTO keyherald_migration VALUES (9999, '9999_future', 'x', 0)");
    keyherald_store::testing::block_on(async {
        let ctx = Ctx::new(Micros(0), [0; 32]);
        assert_eq!(store.write(&ctx, move |tx, _| tx.execute(&insert, &[])).await.unwrap(), 1);
        let contract = Sql::both("test", "UPDATE keyherald_compatibility SET oldest = 9999");
        assert_eq!(store.write(&ctx, move |tx, _| tx.execute(&contract, &[])).await.unwrap(), 1);
    });
}

#[test]
fn a_database_of_a_newer_program_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = configured(folder.path());
    assert!(keyherald(&["migrate", "--config", &file]).status.success());
    mark_newer(&folder.path().join("k.db"));
    let serve = keyherald(&["serve", "--config", &file]);
    assert_eq!(serve.status.code(), Some(1));
    assert!(text(&serve.stderr).contains("newer"), "{}", text(&serve.stderr));
}

#[test]
fn tail_prints_what_is_in_the_log_and_ends_with_its_reader() {
    let folder = tempfile::tempdir().unwrap();
    let file = configured(folder.path());
    assert!(keyherald(&["migrate", "--config", &file]).status.success());
    let tail = ["messages", "tail", "--config", &file, "--from", "0", "--json"];
    let mut child = Command::new(PROGRAM).args(tail).stdout(Stdio::piped()).spawn().unwrap();
    signal(child.id(), rustix::process::Signal::INT);
    let status = child.wait().unwrap();
    assert!(status.success() || status.code().is_none(), "{status}"); // ended by the signal before it could catch it
}

/// The Naviga tenant and the other API of a development server, as a caller of both.
struct Tenant {
    http: reqwest::Client,
    naviga: serde_json::Value,
    api: Api,
    url: String,
    /// Calls so far: each has an id of its own, among those of all servers on the data.
    calls: AtomicU32,
    process: u32,
}

impl Tenant {
    async fn of(server: &Server) -> Self {
        let http = http_client(Duration::from_secs(20)).unwrap();
        let api = Api::sign_in(&http, server).await.unwrap();
        Self {
            http,
            naviga: server.naviga.clone(),
            api,
            url: server.url.clone(),
            calls: AtomicU32::new(0),
            process: server.pid(),
        }
    }

    /// Calls the Naviga API.
    async fn call(&self, method: &str, path: &str, body: &serde_json::Value) -> serde_json::Value {
        let text = |name: &str| self.naviga[name].as_str().unwrap().to_owned();
        let request = self.http.request(method.parse().unwrap(), format!("{}{path}", self.url));
        let request = request.bearer_auth(text("jwt")).header("X-SourceSystem", "test").json(body);
        let request = request.header("X-ClientGroupCode", text("clientGroup")).header("X-ClientCode", text("client"));
        let call = self.calls.fetch_add(1, Ordering::Relaxed) + 1;
        let request = request.header("X-Correlation-ID", format!("call-{}-{call}", self.process));
        let answer = request.header("X-PaperCode", text("paper")).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{method} {path}: {}", answer.text().await.unwrap());
        answer.json().await.unwrap()
    }

    /// The events of what was done to a customer, with their systems: by the last call alone, or by all. Those of calls that
    /// only read are written later, those of a password with it.
    async fn events(&self, customer: &str, by_last: bool) -> Vec<(i64, String)> {
        let call = format!("call-{}-{}", self.process, self.calls.load(Ordering::Relaxed));
        let request = self.http.get(format!("{}/admin/demo/activity?customerId={customer}&limit=100", self.url));
        let answer: serde_json::Value =
            request.bearer_auth(self.api.token()).send().await.unwrap().json().await.unwrap();
        let event =
            |entry: &serde_json::Value| Some((entry["eventId"].as_i64()?, entry["system"].as_str()?.to_owned()));
        let results = answer["results"].as_array().unwrap().iter();
        results.filter(|entry| !by_last || entry["correlationId"] == call.as_str()).filter_map(event).collect()
    }

    async fn signs_in(&self, email: &str, password: &str) -> bool {
        self.api.post("/login", &json!({"email": email, "password": password})).await.unwrap().status == 200
    }
}

/// The four events of a password that was set at the provider and here.
fn four() -> Vec<(i64, String)> {
    let (there, here) = ("AUTHSYSTEM", "SUBSCRIBE");
    [(4601, there), (4001, here), (4609, there), (4010, here)].map(|(event, system)| (event, system.into())).to_vec()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_of_the_development_tenant_is_a_provider_s_too() {
    let folder = tempfile::tempdir().unwrap();
    let launch = launch(folder.path());
    let server = launch.start().unwrap();
    assert_eq!(server.naviga["userProvider"], "demo-idp");
    let tenant = Tenant::of(&server).await;

    // Made by the tenant: there and here.
    let draft = json!({"email": "Jo@example.com", "password": "first-password"});
    let made = tenant.call("POST", "/v4/Users", &draft).await;
    let crid = made["data"]["customerRegistrationId"].as_str().unwrap().to_owned();
    let jo = tenant.api.get("/customers", &[("where", "lowercaseEmail=\"jo@example.com\"")]).await.unwrap();
    let jo = jo.text("/results/0/id");
    let done =
        tenant.call("PATCH", &format!("/v4/Users/{crid}/Password"), &json!({"password": "second-password"})).await;
    assert_eq!(done["message"]["code"], "UsersOrchestrator_S200_11");
    assert_eq!(tenant.events(&jo, true).await, four());
    // By the number that she has here, too, and by the old way.
    let number = tenant.call("GET", &format!("/v4/Users/{crid}"), &json!({})).await["data"]["registrationId"].clone();
    let done = tenant.call("PUT", &format!("/User/{number}"), &json!({"Password": "third-password"})).await;
    assert_eq!((&done["Errors"], &done["Result"]["Updated"]), (&json!([]), &json!(true)));
    assert_eq!(tenant.events(&jo, true).await, four());
    assert!(tenant.signs_in("jo@example.com", "third-password").await);

    // Made by the other API: nobody's but ours, until the tenant names him.
    let made = tenant.api.post("/customers", &json!({"email": "Al@example.com", "password": "one"})).await.unwrap();
    let al = made.text("/customer/id");
    let change = json!({"id": al, "version": 1, "currentPassword": "one", "newPassword": "two"});
    assert_eq!(tenant.api.post("/customers/password", &change).await.unwrap().status, 200);
    let here = |events: Vec<(i64, String)>| events.iter().all(|(_, system)| system == "SUBSCRIBE");
    let events = tenant.events(&al, false).await;
    assert!(!events.is_empty() && here(events));
    tenant.call("PUT", &format!("/api/user/{al}"), &json!({"Password": "first-password"})).await;
    assert_eq!(tenant.events(&al, true).await, four());
    let seen = tenant.api.get(&format!("/customers/{al}"), &[]).await.unwrap();
    assert_eq!((seen.number("/version"), seen.text("/email")), (Some(3), "Al@example.com".to_owned()));

    // What the provider kept in memory is gone with it, who is who is not.
    server.kill();
    let server = launch.start().unwrap();
    let tenant = Tenant::of(&server).await;
    for (customer, name) in [(&jo, &crid), (&al, &al)] {
        tenant.call("PATCH", &format!("/v4/Users/{name}/Password"), &json!({"password": "last-password"})).await;
        assert_eq!(tenant.events(customer, true).await, four());
    }
    assert!(tenant.signs_in("al@example.com", "last-password").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_development_tenant_can_do_without_a_provider() {
    let folder = tempfile::tempdir().unwrap();
    let mut launch = launch(folder.path());
    launch.settings.push(("KEYHERALD_DEV_NO_PROVIDER", "true".into()));
    let server = launch.start().unwrap();
    assert_eq!(server.naviga["userProvider"], serde_json::Value::Null);
    let tenant = Tenant::of(&server).await;
    let made = tenant.api.post("/customers", &json!({"email": "al@example.com", "password": "one"})).await.unwrap();
    let al = made.text("/customer/id");
    tenant.call("PATCH", &format!("/v4/Users/{al}/Password"), &json!({"password": "two"})).await;
    let events = tenant.events(&al, true).await;
    assert_eq!(events.iter().map(|(event, _)| *event).collect::<Vec<_>>(), [4001, 4010]);
}

/// The status when a code is asked for by a proxy, which says that it is for somebody at `source`.
async fn code_for(wallet: &Wallet, source: &str) -> u16 {
    static ASKED: AtomicU32 = AtomicU32::new(0);
    // Each time for another address: what is counted is the source.
    let email = format!("jo{}@example.com", ASKED.fetch_add(1, Ordering::Relaxed));
    let body = json!({"attribute": {"type": "EMAIL", "value": email}, "flow": "PASSWORD_RESET"});
    let answer = wallet.post_for(source, "/verifications", &body).await.unwrap();
    assert_eq!(answer.has_retry_after, answer.status == 429);
    answer.status
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_behind_a_trusted_proxy_has_a_rate_of_their_own() {
    let folder = tempfile::tempdir().unwrap();
    let mut launch = launch(folder.path());
    launch.settings.push(("KEYHERALD__PROJECTS__0__PAYSAFE__LIMITS__IP__INITIATIONS", "2".into()));
    launch.settings.push(("KEYHERALD__PROJECTS__0__PAYSAFE__LIMITS__IP__PER", "1d".into()));
    launch.settings.push(("KEYHERALD__SERVER__TRUSTED_PROXIES", "127.0.0.1/32, 10.0.0.0/8".into()));
    let http = http_client(Duration::from_secs(20)).unwrap();
    let server = launch.start().unwrap();
    let wallet = Wallet::sign_in(&http, &server).await.unwrap();
    let (one, other) = ("198.51.100.7", "203.0.113.9");
    for source in [one, other] {
        for expected in [201, 201, 429] {
            assert_eq!(code_for(&wallet, source).await, expected, "{source}");
        }
    }
    // What stands before what the outermost trusted proxy has seen, anybody can have written.
    assert_eq!(code_for(&wallet, &format!("192.0.2.1, {one}, 10.1.2.3")).await, 429);
    assert_eq!(code_for(&wallet, "192.0.2.1").await, 201);
    server.kill();

    // Who is not trusted is the source, whatever the header says.
    launch.settings.pop();
    launch.settings.push(("KEYHERALD__SERVER__TRUSTED_PROXIES", "10.0.0.0/8".into()));
    let server = launch.start().unwrap();
    let wallet = Wallet::sign_in(&http, &server).await.unwrap();
    for (source, expected) in [(one, 201), (other, 201), ("192.0.2.2", 429), ("10.1.2.3", 429)] {
        assert_eq!(code_for(&wallet, source).await, expected, "{source}");
    }
}
