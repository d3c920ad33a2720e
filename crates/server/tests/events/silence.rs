//! The program at its most talkative: what nobody may read is in no log, in no answer and on no page of its own.

use std::time::{Duration, Instant};

use keyherald_core::body_signature::SigningSecret;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::black_box::api::http_client;
use crate::black_box::server::{Launch, Server};
use crate::partner::{Answer, Got, Partner, SECRET};

const PATIENCE: Duration = Duration::from_secs(30);
const EMAIL: &str = "ada@example.com";
/// Passwords that are set, tried, refused, and sent where none belongs.
const PASSWORDS: [&str; 5] =
    ["first-Pa55-of-ada", "second-Pa55-of-ada", "third-Pa55-of-ada", "wrong-Pa55-of-ada", "astray-Pa55-of-ada"];

fn launch(folder: &std::path::Path, partner: String) -> Launch {
    Launch {
        program: env!("CARGO_BIN_EXE_keyherald").into(),
        data: folder.join("data"),
        store: None,
        log: folder.join("log"),
        settings: vec![
            ("KEYHERALD__HASHING__MEMORY_KIB", "64".into()),
            ("KEYHERALD__HASHING__PASSES", "1".into()),
            ("KEYHERALD__LOG__LEVEL", "trace".into()),
            ("KEYHERALD__PROJECTS__0__PAYSAFE__DELIVERY_MODE", "partner".into()),
            // So long that none stands in a log by chance.
            ("KEYHERALD__PROJECTS__0__PAYSAFE__OTP__LENGTH", "10".into()),
            ("KEYHERALD__PROJECTS__0__PAYSAFE__WEBHOOK__BASE_URL", partner),
            ("KEYHERALD__PROJECTS__0__PAYSAFE__WEBHOOK__SECRET_ENV", "PARTNERS_SECRET".into()),
            ("PARTNERS_SECRET", SECRET.into()),
            ("KEYHERALD__PROJECTS__0__PAYSAFE__WEBHOOK__BACKOFF__BASE", "1s".into()),
            ("KEYHERALD__PROJECTS__0__PAYSAFE__WEBHOOK__BACKOFF__CAP", "1s".into()),
        ],
    }
}

/// A partner's callers: each answer is kept for a look, but for those that hand out what was asked for.
struct Callers<'a> {
    http: reqwest::Client,
    server: &'a Server,
    answers: Vec<String>,
}

impl Callers<'_> {
    /// What the server printed of a client: its id and its secret.
    fn known(&self, kind: &str, what: &str) -> String {
        self.server.paysafe[format!("{kind}Client{what}")].as_str().unwrap().to_owned()
    }

    /// Asks for tokens; answers all of them.
    async fn tokens(&mut self, kind: &str, form: &str) -> Vec<String> {
        let request = self.http.post(format!("{}/digitalwallets/v1/auth/brands/demo/token", self.server.url));
        let request = request.basic_auth(self.known(kind, "Id"), Some(self.known(kind, "Secret")));
        let request = request.header("content-type", "application/x-www-form-urlencoded").body(form.to_owned());
        let text = request.send().await.unwrap().text().await.unwrap();
        let granted: Value = serde_json::from_str(&text).unwrap();
        let tokens: Vec<String> = ["access_token", "refresh_token"]
            .iter()
            .filter_map(|name| Some(granted[name].as_str()?.to_owned()))
            .collect();
        if tokens.is_empty() {
            self.answers.push(text);
        }
        tokens
    }

    async fn send(&mut self, method: reqwest::Method, path: &str, token: &str, body: String) -> (u16, Value) {
        let request = self.http.request(method, format!("{}{path}", self.server.url)).bearer_auth(token);
        let answer = request.header("content-type", "application/json").body(body).send().await.unwrap();
        let (status, headers) = (answer.status().as_u16(), format!("{:?}", answer.headers()));
        let text = answer.text().await.unwrap();
        let json = serde_json::from_str(&text).unwrap_or_default();
        self.answers.extend([headers, text]);
        (status, json)
    }

    async fn post(&mut self, path: &str, token: &str, body: &Value) -> (u16, Value) {
        let path = format!("/digitalwallets/v1/wallet-setup{path}");
        self.send(reqwest::Method::POST, &path, token, body.to_string()).await
    }
}

fn attempt(code: &str) -> Value {
    json!({
        "attribute": {"type": "EMAIL", "value": EMAIL},
        "notificationType": {"method": "OTP", "channel": "EMAIL"},
        "value": code,
    })
}

/// The code of a process, once the partner was told.
async fn code(partner: &Partner, id: &str) -> String {
    let until = Instant::now() + PATIENCE;
    loop {
        let told = partner.got().into_iter().map(|got| got.json()["verificationProcess"].clone());
        if let Some(process) = told.into_iter().find(|process| process["id"] == id) {
            return process["value"].as_str().unwrap().to_owned();
        }
        assert!(Instant::now() < until, "the code did not come");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Proves the address; answers by which process, and the code.
async fn prove(callers: &mut Callers<'_>, partner: &Partner, token: &str, flow: &str) -> (String, String) {
    let body = json!({"attribute": {"type": "EMAIL", "value": EMAIL}, "flow": flow});
    let (status, begun) = callers.post("/verifications", token, &body).await;
    assert_eq!(status, 201, "{begun}");
    let id = begun["verificationId"].as_str().unwrap().to_owned();
    let code = code(partner, &id).await;
    let path = format!("/verifications/{id}/attempts");
    let wrong = if code.starts_with('0') { code.replacen('0', "1", 1) } else { format!("0{}", &code[1..]) };
    assert_eq!(callers.post(&path, token, &attempt(&wrong)).await.1["status"], "FAILED");
    assert_eq!(callers.post(&path, token, &attempt(&code)).await.1["status"], "VERIFIED");
    assert_eq!(callers.post(&path, token, &attempt(&code)).await.0, 400);
    (id, code)
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_are_in_no_log_and_in_no_answer() {
    let folder = tempfile::tempdir().unwrap();
    let (partner, mut tasks) = (Partner::default(), JoinSet::new());
    let launch = launch(folder.path(), partner.listen(&mut tasks).await);
    let http = http_client(Duration::from_secs(20)).unwrap();
    let server = launch.start().unwrap();
    let mut callers = Callers { http: http.clone(), server: &server, answers: Vec::new() };
    let mut secrets: Vec<String> = PASSWORDS.map(str::to_owned).into();
    secrets.push(SECRET.to_owned());
    secrets.extend(["admin", "configuration"].map(|kind| callers.known(kind, "Secret")));
    let admin = callers.tokens("admin", "grant_type=client_credentials").await.remove(0);
    let app = callers.tokens("configuration", "grant_type=client_credentials").await.remove(0);
    let [first, second, third, wrong, astray] = PASSWORDS;

    // Somebody comes in, signs in, changes the password, and forgets it.
    partner.script([Answer::Status(503), Answer::HangUp]);
    let (id, code) = prove(&mut callers, &partner, &app, "WALLET_SETUP").await;
    secrets.push(code);
    let of = |id: &str, password: &str| {
        json!({
            "customerIdentifiers": {"email": {"value": EMAIL, "verificationId": id}},
            "customerCredentials": {"password": password},
            "customer": {"firstName": "Ada", "lastName": "Doe"},
            "deviceInfo": {"appType": "WEB"},
        })
    };
    let (status, made) = callers.post("/customers", &app, &of(&id, first)).await;
    assert_eq!(status, 201, "{made}");
    let form = |password: &str| format!("grant_type=password&username=ada%40example.com&password={password}");
    let customers = callers.tokens("configuration", &form(first)).await;
    assert_eq!(customers.len(), 2);
    assert!(callers.tokens("configuration", &form(wrong)).await.is_empty());
    let own = "/digitalwallets/v1/customer-credentials";
    for (current, expected) in [(wrong, 400), (first, 200)] {
        let body = json!({"currentPassword": current, "newPassword": second}).to_string();
        assert_eq!(callers.send(reqwest::Method::PUT, own, &customers[0], body).await.0, expected);
    }
    let (id, code) = prove(&mut callers, &partner, &app, "PASSWORD_RESET").await;
    secrets.push(code.clone());
    let recover = "/customer-credentials";
    for (password, expected) in [(second, 400), (third, 200), (wrong, 400)] {
        assert_eq!(callers.post(recover, &app, &of(&id, password)).await.0, expected, "{password}");
    }
    secrets.extend([admin.clone(), app.clone()].into_iter().chain(customers));

    // What is sent astray: in bodies that cannot be read, in members of other kinds, in paths, queries and names.
    let mistaken = [
        format!("{{\"customerCredentials\":{{\"password\":\"{astray}\""),
        json!({"customerCredentials": {"password": [astray]}, "customerIdentifiers": astray, "deviceInfo": astray})
            .to_string(),
        json!({"flow": astray, "attribute": {"type": astray, "value": astray}}).to_string(),
    ];
    for path in ["/customer-credentials", "/verifications", "/customers"] {
        for body in &mistaken {
            let path = format!("/digitalwallets/v1/wallet-setup{path}");
            assert_eq!(callers.send(reqwest::Method::POST, &path, &app, body.clone()).await.0, 400);
        }
    }
    for path in [
        format!("/digitalwallets/v1/notifications?limit={astray}&token={admin}"),
        format!("/digitalwallets/v1/wallet-setup/verifications/{code}?password={astray}"),
        format!("/{astray}/{app}"),
        "/health/ready".to_owned(),
        "/metrics".to_owned(),
    ] {
        callers.send(reqwest::Method::GET, &path, &admin, String::new()).await;
    }
    callers.tokens("configuration", &format!("grant_type={astray}&password={astray}")).await;
    callers.send(reqwest::Method::POST, own, astray, String::new()).await;

    let is_credentials = |got: &&Got| got.line.starts_with("POST /credentials/events ");
    let until = Instant::now() + PATIENCE;
    while !partner.got().iter().any(|got| is_credentials(&got)) {
        assert!(Instant::now() < until, "the partner is not told");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let events = partner.got();
    assert!(events.iter().all(Got::is_signed));
    let told: Vec<_> =
        events.iter().filter(is_credentials).map(|got| String::from_utf8(got.body.clone()).unwrap()).collect();
    let secret = SigningSecret::parse(SECRET).unwrap();
    secrets.extend(events.iter().map(|got| secret.sign(&got.body)));
    let answers = callers.answers.join("\n");
    drop(server);

    let log = std::fs::read_to_string(&launch.log).unwrap();
    assert!(log.contains("\"level\":\"DEBUG\""), "the server says all that it can");
    for (place, text) in [("an answer", &answers), ("the log", &log), ("an event", &told.join("\n"))] {
        for secret in &secrets {
            let at = text.find(secret.as_str());
            let around =
                at.map(|at| text[..at].lines().last().unwrap_or_default().chars().rev().take(300).collect::<String>());
            let around = around.map(|text| text.chars().rev().collect::<String>());
            assert!(at.is_none(), "{place} tells {secret} after: {around:?}");
        }
    }
    assert!(!log.contains(EMAIL), "nor is there an address in the log");
}
