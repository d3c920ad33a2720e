//! The program itself: what a development server says of its brand, and what a partner gets of one that is killed.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use keyherald_core::body_signature::SigningSecret;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::black_box::api::{Api, http_client};
use crate::black_box::server::{Launch, Server};
use crate::partner::{Answer, Partner};

const PROGRAM: &str = env!("CARGO_BIN_EXE_keyherald");
const PATIENCE: Duration = Duration::from_secs(30);

async fn assert_clients_have_tokens(http: &reqwest::Client, server: &Server) {
    let known = &server.paysafe;
    for (kind, scope) in [("admin", "whitelabelWallet"), ("configuration", "walletSetup")] {
        let text = |what: &str| known[format!("{kind}Client{what}")].as_str().unwrap().to_owned();
        let uri = format!("{}/digitalwallets/v1/auth/brands/demo/token", server.url);
        let request = http.post(uri).basic_auth(text("Id"), Some(text("Secret")));
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        let granted = request.body("grant_type=client_credentials").send().await.unwrap().text().await.unwrap();
        assert_eq!(serde_json::from_str::<Value>(&granted).unwrap()["scope"], scope);
    }
}

/// A server whose partner listens there.
fn launch(folder: &Path, url: String) -> Launch {
    Launch {
        program: PROGRAM.into(),
        data: folder.join("data"),
        store: None,
        log: folder.join("log"),
        settings: vec![
            ("KEYHERALD__HASHING__MEMORY_KIB", "64".into()),
            ("KEYHERALD__HASHING__PASSES", "1".into()),
            ("KEYHERALD_DEV_CREDENTIALS_WEBHOOK", url),
        ],
    }
}

/// Makes a customer and resets her password.
async fn recover(api: &Api) {
    let draft = json!({"email": "ada@example.com", "password": "the first one", "firstName": "Ada"});
    assert_eq!(api.post("/customers", &draft).await.unwrap().status, 201);
    let asked = api.post("/customers/password-token", &json!({"email": "ada@example.com"})).await.unwrap();
    let reset = json!({"tokenValue": asked.text("/value"), "newPassword": "the second one"});
    assert_eq!(api.post("/customers/password/reset", &reset).await.unwrap().status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_committed_arrives_after_a_kill_with_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let (partner, mut tasks) = (Partner::default(), JoinSet::new());
    let url = partner.listen(&mut tasks).await;
    let launch = launch(folder.path(), url);
    let http = http_client(Duration::from_secs(20)).unwrap();
    let server = launch.start().unwrap();
    let secret = server.paysafe["webhookSecret"].as_str().unwrap().to_owned();
    assert_eq!(server.paysafe["brand"], "demo");
    assert_clients_have_tokens(&http, &server).await;

    // The partner takes what it gets, and its answers are lost until the process is killed.
    partner.script([Answer::HangUp; 1000]);
    let api = Api::sign_in(&http, &server).await.unwrap();
    recover(&api).await;
    server.kill();

    partner.answer_all();
    let before = partner.got().len();
    let server = launch.start().unwrap();
    assert_eq!(server.paysafe["webhookSecret"], secret.as_str(), "kept over restarts");
    let got = partner.wait_for(before + 1, || {}).await;
    let last = got.last().unwrap();
    assert_eq!(last.line, "POST /credentials/events HTTP/1.1");
    let secret = SigningSecret::parse(&secret).unwrap();
    for sent in &got {
        assert_eq!(sent.body, last.body);
        assert!(secret.verify(&sent.body, sent.header("signature").unwrap()));
    }
    let details = &last.json()["credentialsDetails"];
    assert_eq!((&details["type"], &last.json()["customer"]["firstName"]), (&json!("PASSWORD_RECOVERY"), &json!("Ada")));
    assert_eq!(details["customerIdentifiers"]["email"]["value"], "ada@example.com");
    drop(server);
    let log = std::fs::read_to_string(&launch.log).unwrap();
    assert!(!log.contains("ada@example.com") && !log.contains("the second one"), "{log}");
}

/// What `keyherald events` is run with, on the data of a development server.
struct Operator(String);

impl Operator {
    fn of(folder: &Path) -> Self {
        let (file, data) = (folder.join("keyherald.toml"), folder.join("data"));
        let (database, key) = (data.join("keyherald.db"), data.join("sealing.key"));
        let written = format!(
            "[store]\nurl = \"sqlite:{}\"\n[secrets]\nsealing_keys = [{{ id = \"development\", key_file = \"{}\" }}]\n\
             [[projects]]\nkey = \"demo\"\n[[projects]]\nkey = \"other\"\n",
            database.display(),
            key.display()
        );
        std::fs::write(&file, written).unwrap();
        Self(file.to_str().unwrap().to_owned())
    }

    /// Exit code, what was printed, and what was complained about.
    fn run(&self, command: &str, project: &str, more: &[&str]) -> (Option<i32>, String, String) {
        let fixed = ["events", command, "--config", &self.0, "--project", project];
        let output = Command::new(PROGRAM).args(fixed).args(more).env_clear().stdin(Stdio::null()).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.code(), text(output.stdout), text(output.stderr))
    }

    /// What is printed of the project `demo` when all is well.
    fn prints(&self, command: &str, more: &[&str]) -> String {
        let (code, printed, complaint) = self.run(command, "demo", more);
        assert_eq!((code, complaint.as_str()), (Some(0), ""), "{printed}");
        printed
    }

    /// Time, id, state and the rest of the only event.
    fn event(&self) -> Vec<String> {
        let listed = self.prints("list", &[]);
        assert_eq!(listed.lines().count(), 1, "{listed}");
        listed.split_whitespace().map(str::to_owned).collect()
    }

    /// Waits until the only event has this state.
    async fn until(&self, state: &str) {
        let until = Instant::now() + PATIENCE;
        while self.event()[2] != state {
            assert!(Instant::now() < until, "{:?}", self.event());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// Beside a server that runs, and on the data of one that does not.
#[tokio::test(flavor = "multi_thread")]
async fn an_operator_lists_events_and_has_them_sent_again() {
    let folder = tempfile::tempdir().unwrap();
    let (partner, mut tasks) = (Partner::default(), JoinSet::new());
    let launch = launch(folder.path(), partner.listen(&mut tasks).await);
    let server = launch.start().unwrap();
    let operator = Operator::of(folder.path());
    assert_eq!(operator.prints("secret", &[]).trim_end(), server.paysafe["webhookSecret"].as_str().unwrap());
    assert_eq!(operator.prints("list", &[]), "");
    let api = Api::sign_in(&http_client(PATIENCE).unwrap(), &server).await.unwrap();
    recover(&api).await;
    let sent = partner.wait_for(1, || {}).await;
    operator.until("DELIVERED").await;
    let event = operator.event();
    let (at, id, customer) = (event[0].as_str(), event[1].as_str(), event[5].as_str());
    assert_eq!((event[3].as_str(), event[4].as_str(), event.len()), ("CUSTOMER_CREDENTIALS", "customer", 6));
    assert_eq!(sent[0].json()["id"], id);

    // Beside the server: it notices by itself.
    assert_eq!(operator.prints("resend", &["--id", id]), "1 events are sent again\n");
    partner.wait_for(2, || {}).await;
    operator.until("DELIVERED").await;
    drop(server);
    // Without: it is owed until there is one.
    let of_her = ["--from", at, "--to", at, "--customer", customer];
    assert_eq!(operator.prints("resend", &of_her), "1 events are sent again\n");
    assert_eq!(operator.event()[2], "PENDING");
    assert_eq!(operator.prints("list", &of_her).lines().count(), 1);
    assert_eq!(operator.prints("list", &["--to", "2020-01-01T00:00:00Z"]), "");
    assert_eq!(operator.prints("list", &["--offset", "1"]), "");
    let nothing = ["--from", "2020-01-01T00:00:00Z", "--to", "2020-01-02T00:00:00Z"];
    assert_eq!(operator.prints("resend", &nothing), "0 events are sent again\n");
    let server = launch.start().unwrap();
    let sent = partner.wait_for(3, || {}).await;
    operator.until("DELIVERED").await;
    assert!(sent.iter().all(|request| request.body == sent[0].body), "the same bytes each time");
    assert_eq!(sent.len(), 3);
    drop(server);

    // What cannot be meant is said, and nothing is done.
    for (command, project, more, complaint) in [
        ("resend", "demo", vec![], "error: which events?"),
        ("resend", "demo", vec!["--from", "yesterday"], "error: --from is no time"),
        ("list", "demo", vec!["--from", "2020-01-01T00:00:00Z"], "31 days apart at most"),
        ("secret", "other", vec![], "error: project other signs no events"),
    ] {
        let (code, printed, told) = operator.run(command, project, &more);
        assert_eq!((code, printed.as_str()), (Some(1), ""), "{command} {more:?}");
        assert!(told.contains(complaint), "{told}");
    }
    assert_eq!(operator.run("list", "other", &[]), (Some(0), String::new(), String::new()), "nobody else's");
    assert_eq!(operator.run("resend", "demo", &["--id", "1"]).0, Some(2));
    assert_eq!(operator.event()[2], "DELIVERED");
}
