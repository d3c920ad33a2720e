//! The story: each step makes a call, says what must come back, and, if there is a message, waits for it.

use std::sync::Arc;
use std::time::Instant;

use keyherald_core::Micros;
use keyherald_core::signature::WebhookSecret;
use serde_json::{Value, json};

use super::CommitTimes;
use super::receiver::{Receipt, Receiver};
use super::screen::{Line, Screen};
use crate::clock::ManualClock;
use crate::dev::{Development, Provider, User};

/// What went wrong so badly that the story cannot go on.
pub struct Broken(String);

impl Broken {
    /// For this reason.
    pub fn new(why: &str) -> Self {
        Self(why.to_owned())
    }
}

/// An answer to a call.
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The body.
    pub body: Value,
    at: Instant,
}

impl Answer {
    /// A text within the body.
    pub fn text(&self, pointer: &str) -> Result<String, Broken> {
        let found = self.body.pointer(pointer).and_then(Value::as_str);
        found.map(str::to_owned).ok_or_else(|| Broken(format!("the answer has no {pointer}")))
    }

    fn list(&self, pointer: &str) -> &[Value] {
        self.body.pointer(pointer).and_then(Value::as_array).map_or(&[], Vec::as_slice)
    }

    fn number(&self, pointer: &str) -> Result<i64, Broken> {
        let found = self.body.pointer(pointer).and_then(Value::as_i64);
        found.ok_or_else(|| Broken(format!("the answer has no {pointer}")))
    }
}

/// Whom the story meets besides the server.
pub struct World {
    /// Who hears of everything.
    pub receiver: Receiver,
    /// The brand's partner, who hears of credentials.
    pub partner: Receiver,
    /// Who has Grace's password too.
    pub provider: Provider,
    /// What a caller of the Naviga API shows.
    pub naviga_token: String,
    /// When the server committed.
    pub commits: CommitTimes,
    /// The server's clock.
    pub clock: Arc<ManualClock>,
}

/// The player of the story.
pub struct Story {
    http: Option<reqwest::Client>,
    url: String,
    access_token: String,
    world: World,
    secret: Option<WebhookSecret>,
    screen: Screen,
    lines: Vec<Line>,
    wrong: Vec<String>,
}

const FIRST: &str = "correct horse battery staple";
const SECOND: &str = "a better horse, a longer battery";
const THIRD: &str = "staples are for stationery";
const GRACES_EMAIL: &str = "grace@example.com";
/// Who she is at the provider.
const GRACE_THERE: &str = "auth0|grace";
/// Her password at the beginning, here and at the provider.
const GRACES_FIRST: &str = "nanoseconds of wire";
const GRACES_SECOND: &str = "a bug, taped into the logbook";

/// Grace, as the provider has her at the beginning.
pub fn grace() -> (&'static str, User) {
    let user = User {
        email: GRACES_EMAIL.into(),
        email_verified: true,
        given_name: Some("Grace".into()),
        family_name: Some("Hopper".into()),
        password: Some(GRACES_FIRST.into()),
        resets: 0,
    };
    (GRACE_THERE, user)
}

impl Story {
    /// A story that has not begun.
    pub fn new(url: &str, world: World, screen: Screen) -> Self {
        Self {
            // The story talks to its own server on loopback only.
            http: reqwest::Client::builder().no_proxy().build().ok(),
            url: url.to_owned(),
            access_token: String::new(),
            world,
            secret: None,
            screen,
            lines: Vec::new(),
            wrong: Vec::new(),
        }
    }

    /// The screen.
    pub fn screen(&self) -> &Screen {
        &self.screen
    }

    /// Where the server is.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The next event at the partner, if one comes in time.
    pub async fn next_event(&mut self) -> Option<Receipt> {
        self.world.partner.next().await
    }

    /// Plays it, up to where another customer has come who is to be linked with the provider's user: her id.
    pub async fn play(&mut self) -> Result<String, Broken> {
        self.sign_in_the_shop().await?;
        self.subscribe().await?;
        let customer = self.ada_signs_up().await?;
        self.ada_changes_her_password(&customer).await?;
        self.somebody_guesses(&customer).await?;
        let token = self.ada_forgets().await?;
        self.ada_resets(&token).await?;
        self.a_token_expires().await?;
        self.ada_signs_in().await?;
        self.the_log_agrees(&customer).await?;
        self.grace_signs_up().await
    }

    /// Plays what happens with an identity provider.
    pub async fn play_the_second_part(&mut self, grace: &str) -> Result<(), Broken> {
        self.a_line_is_cut(grace).await?;
        self.the_two_agree().await?;
        self.support_looks(grace).await
    }

    /// Closes with the table. True: all was as expected.
    pub fn close(&mut self, outcome: Result<(), Broken>) -> bool {
        if let Err(Broken(why)) = outcome {
            self.wrong.push(format!("the story broke off: {why}"));
        }
        if self.world.receiver.left_over().is_some() {
            self.wrong.push("the receiver got a message that nobody expected".into());
        }
        self.screen.table(&self.lines, &self.wrong);
        self.wrong.is_empty()
    }

    async fn sign_in_the_shop(&mut self) -> Result<(), Broken> {
        self.screen.chapter("The shop's backend signs in");
        let http = self.http()?;
        let request = http
            .post(format!("{}/oauth/token", self.url))
            .basic_auth(Development::CLIENT_ID, Some(Development::CLIENT_SECRET))
            .header("content-type", "application/x-www-form-urlencoded")
            .body("grant_type=client_credentials&scope=manage_project:demo");
        let answer = self.send("POST", "/oauth/token", request, "scope").await?;
        self.expect("a token is issued", answer.status == 200);
        self.access_token = answer.text("/access_token")?;
        Ok(())
    }

    async fn subscribe(&mut self) -> Result<(), Broken> {
        self.screen.chapter("Somebody wants to hear");
        let draft = json!({
            "key": "demo-receiver",
            "destination": {"type": "Webhook", "url": self.world.receiver.url},
            "messages": [{"resourceTypeId": "customer"}, {"resourceTypeId": "customer-password-token"}],
        });
        let answer = self.call("POST", "/demo/subscriptions", Some(draft), "key").await?;
        self.expect("the subscription is made", answer.status == 201);
        let secret = answer.text("/destination/secret")?;
        self.secret = WebhookSecret::parse(&secret).ok();
        self.screen.aside("its secret was shown this once; every delivery is signed with it");
        Ok(())
    }

    async fn ada_signs_up(&mut self) -> Result<String, Broken> {
        self.screen.chapter("Ada signs up");
        let draft = json!({"email": "Ada@example.com", "firstName": "Ada", "password": FIRST, "key": "ada"});
        let answer = self.call("POST", "/demo/customers", Some(draft), "customer/version").await?;
        self.expect("the customer is created", answer.status == 201);
        self.hear("create a customer", "CustomerCreated", 1, &answer, |body| body.pointer("/customer/key").is_some())
            .await?;
        answer.text("/customer/id")
    }

    async fn ada_changes_her_password(&mut self, id: &str) -> Result<(), Broken> {
        self.screen.chapter("Ada changes her password");
        let change = json!({"id": id, "version": 1, "currentPassword": FIRST, "newPassword": SECOND});
        let answer = self.call("POST", "/demo/customers/password", Some(change), "version").await?;
        self.expect("the password is changed", answer.status == 200);
        self.hear("change the password", "CustomerPasswordUpdated", 2, &answer, |body| {
            body.get("reset") == Some(&false.into())
        })
        .await
    }

    async fn somebody_guesses(&mut self, id: &str) -> Result<(), Broken> {
        self.screen.chapter("Somebody guesses her password");
        let change = json!({"id": id, "version": 2, "currentPassword": "letmein", "newPassword": THIRD});
        let answer = self.call("POST", "/demo/customers/password", Some(change), "errors/0/code").await?;
        let refused =
            answer.status == 400 && answer.body.pointer("/errors/0/code") == Some(&"InvalidCurrentPassword".into());
        self.expect("a wrong current password is refused", refused);
        self.screen.aside("nothing changed, so nobody hears of it");
        Ok(())
    }

    async fn ada_forgets(&mut self) -> Result<String, Broken> {
        self.screen.chapter("Ada has forgotten it: the shop makes a reset token");
        let order = json!({"email": "ada@EXAMPLE.com", "ttlMinutes": 20});
        let answer = self.call("POST", "/demo/customers/password-token", Some(order), "expiresAt").await?;
        self.expect("the token is made", answer.status == 200);
        let token = answer.text("/value")?;
        let value = token.clone();
        self.hear("make a reset token", "CustomerPasswordTokenCreated", 1, &answer, move |body| {
            body.get("value").and_then(Value::as_str) == Some(&value)
        })
        .await?;
        self.screen
            .aside("it lives 20 minutes, so the message carries its value: the shop's mailer can build the link");
        Ok(token)
    }

    async fn ada_resets(&mut self, token: &str) -> Result<(), Broken> {
        self.screen.chapter("Ada sets a new password with it");
        let reset = json!({"tokenValue": token, "newPassword": THIRD});
        let answer = self.call("POST", "/demo/customers/password/reset", Some(reset.clone()), "version").await?;
        self.expect("the password is reset", answer.status == 200);
        self.hear("reset the password", "CustomerPasswordUpdated", 3, &answer, |body| {
            body.get("reset") == Some(&true.into())
        })
        .await?;
        let again = self.call("POST", "/demo/customers/password/reset", Some(reset), "errors/0/code").await?;
        self.expect("a token works once", again.status == 404);
        Ok(())
    }

    async fn a_token_expires(&mut self) -> Result<(), Broken> {
        self.screen.chapter("A token that was not used in time");
        let order = json!({"email": "ada@example.com", "ttlMinutes": 1});
        let answer = self.call("POST", "/demo/customers/password-token", Some(order), "expiresAt").await?;
        self.expect("the token is made", answer.status == 200);
        self.hear("make a short-lived token", "CustomerPasswordTokenCreated", 1, &answer, |_| true).await?;
        self.world.clock.advance(2 * Micros::MINUTE);
        self.screen.aside("(the demo moves its server's clock two minutes ahead)");
        let reset = json!({"tokenValue": answer.text("/value")?, "newPassword": "too late for this one"});
        let answer = self.call("POST", "/demo/customers/password/reset", Some(reset), "errors/0/code").await?;
        let expired = answer.body.pointer("/errors/0/code") == Some(&"ExpiredCustomerPasswordToken".into());
        self.expect("an expired token is told apart", answer.status == 400 && expired);
        Ok(())
    }

    async fn ada_signs_in(&mut self) -> Result<(), Broken> {
        self.screen.chapter("Ada signs in");
        let old = json!({"email": "ada@example.com", "password": SECOND});
        let answer = self.call("POST", "/demo/login", Some(old), "errors/0/code").await?;
        self.expect("the old password is dead", answer.status == 400);
        let new = json!({"email": "ada@example.com", "password": THIRD});
        let answer = self.call("POST", "/demo/login", Some(new), "customer/email").await?;
        self.expect("the new password works", answer.status == 200);
        Ok(())
    }

    async fn the_log_agrees(&mut self, id: &str) -> Result<(), Broken> {
        self.screen.chapter("The log says the same");
        let path = format!("/demo/messages?sort=sequenceNumber&where=resource(id=%22{id}%22)");
        let answer = self.call("GET", &path, None, "total").await?;
        let types: Vec<_> = answer.list("/results").iter().filter_map(|message| message.get("type").cloned()).collect();
        let expected = ["CustomerCreated", "CustomerPasswordUpdated", "CustomerPasswordUpdated"];
        self.expect("the log has the customer's three messages in order", types == expected);
        let version = self.call("GET", &format!("/demo/customers/{id}"), None, "version").await?.number("/version")?;
        self.expect("two changes made version 3", version == 3);
        Ok(())
    }

    async fn grace_signs_up(&mut self) -> Result<String, Broken> {
        self.screen.chapter("Grace's password is in two systems: here, and at the paper's identity provider");
        let draft = json!({"email": GRACES_EMAIL, "firstName": "Grace", "password": GRACES_FIRST});
        let answer = self.call("POST", "/demo/customers", Some(draft), "customer/version").await?;
        self.expect("the customer is created", answer.status == 201);
        self.hear("create another customer", "CustomerCreated", 1, &answer, |_| true).await?;
        self.screen.aside("(`keyherald customers import` says which user of the provider she is)");
        answer.text("/customer/id")
    }

    async fn a_line_is_cut(&mut self, id: &str) -> Result<(), Broken> {
        self.screen.chapter("The paper's backend sets a new one, and the provider's line is cut");
        self.world.provider.cut_the_line();
        let path = format!("/v4/Users/{GRACE_THERE}/Password");
        let code = Development::NAVIGA_CODE;
        let request = self
            .http()?
            .patch(format!("{}{}", self.url, path.replace('|', "%7C")))
            .bearer_auth(&self.world.naviga_token)
            .header("X-SourceSystem", "demo")
            .header("X-ClientGroupCode", code)
            .header("X-ClientCode", code)
            .header("X-PaperCode", code)
            .json(&json!({"password": GRACES_SECOND}));
        let answer = self.send("PATCH", &path, request, "message/text").await?;
        let calls = self.world.provider.calls();
        for call in &calls {
            let lost = if call.starts_with("PATCH") && calls.iter().position(|other| other == call) == Some(1) {
                "   the provider sets it, and the line is cut: no answer"
            } else {
                ""
            };
            self.screen.seen(&format!("provider: {call}{lost}"));
        }
        self.screen.aside("nobody knew whether it was set, so the provider was asked before anything was told");
        self.expect("the change is told as done", answer.status == 200);
        let asked_again = calls.iter().filter(|call| call.starts_with("GET")).count() >= 2;
        self.expect("the provider was asked what became of it", asked_again);
        let id = id.to_owned();
        self.hear("set it in two systems", "CustomerPasswordUpdated", 2, &answer, move |body| {
            body.pointer("/resource/id").and_then(Value::as_str) == Some(&id)
        })
        .await
    }

    async fn the_two_agree(&mut self) -> Result<(), Broken> {
        self.screen.chapter("Both systems have the same password");
        self.expect("the provider has the new one", self.world.provider.has(GRACE_THERE, GRACES_SECOND));
        self.screen.seen("provider: the new password works there");
        for (password, status, show) in [(GRACES_FIRST, 400, "errors/0/code"), (GRACES_SECOND, 200, "customer/email")] {
            let login = json!({"email": GRACES_EMAIL, "password": password});
            let answer = self.call("POST", "/demo/login", Some(login), show).await?;
            self.expect("here the new one works, and the old one does not", answer.status == status);
        }
        Ok(())
    }

    async fn support_looks(&mut self, id: &str) -> Result<(), Broken> {
        self.screen.chapter("Support looks at what was done, call by call");
        let path = format!("/admin/demo/activity?customerId={id}");
        let answer = self.call("GET", &path, None, "count").await?;
        let mut events = Vec::new();
        for entry in answer.list("/results") {
            let text = |name: &str| entry.get(name).and_then(Value::as_str).unwrap_or_default();
            let Some(event) = entry.get("eventId").and_then(Value::as_i64) else { continue };
            events.push(event);
            let outcome = if text("result") == "succeeded" { "done" } else { text("outcome") };
            self.screen.seen(&format!("{event}  {:<32} {outcome}", text("code")));
        }
        let documented = [4601, 4001, 4609, 4010].iter().all(|event| events.contains(event));
        self.expect("the four documented events are there", documented);
        Ok(())
    }

    /// The client of the story.
    pub(super) fn http(&self) -> Result<reqwest::Client, Broken> {
        self.http.clone().ok_or_else(|| Broken("no HTTP client could be made".into()))
    }

    /// Calls, as the shop's backend.
    pub(super) async fn call(
        &mut self,
        method: &str,
        path: &str,
        body: Option<Value>,
        show: &str,
    ) -> Result<Answer, Broken> {
        let http = self.http()?;
        let url = format!("{}{path}", self.url);
        let request = if method == "POST" { http.post(url) } else { http.get(url) };
        let request = request.bearer_auth(&self.access_token);
        let request = match body {
            Some(body) => request.json(&body),
            None => request,
        };
        self.send(method, path, request, show).await
    }

    /// Sends, and shows the call and its answer.
    pub(super) async fn send(
        &mut self,
        method: &str,
        path: &str,
        request: reqwest::RequestBuilder,
        show: &str,
    ) -> Result<Answer, Broken> {
        let response = request.send().await.map_err(|_| Broken(format!("{method} {path} got no answer")))?;
        let status = response.status().as_u16();
        let body: Value = response.json().await.map_err(|_| Broken(format!("{method} {path} did not answer JSON")))?;
        let at = Instant::now();
        let shown = body.pointer(&format!("/{show}")).map(|value| match value {
            Value::String(text) => text.clone(),
            other => format!("{} {other}", show.rsplit('/').next().unwrap_or_default()),
        });
        let path = path.split('?').next().unwrap_or(path);
        self.screen.call(method, &shortened(path), status, &shown.unwrap_or_default());
        Ok(Answer { status, body, at })
    }

    /// Waits for the message that the last call made, checks it and shows it.
    pub(super) async fn hear(
        &mut self,
        flow: &'static str,
        kind: &str,
        sequence: i64,
        answer: &Answer,
        fits: impl Fn(&Value) -> bool,
    ) -> Result<(), Broken> {
        let receipt = self.world.receiver.next().await.ok_or_else(|| Broken(format!("{kind} did not arrive")))?;
        let body = receipt.json();
        let from = self.world.commits.before(answer.at).unwrap_or(answer.at);
        let line = Line {
            flow,
            message: body.get("type").and_then(Value::as_str).unwrap_or("(no type)").to_owned(),
            sequence: body.get("sequenceNumber").and_then(Value::as_i64).unwrap_or_default(),
            verified: self.secret.as_ref().is_some_and(|secret| receipt.is_signed_with(secret)),
            way_ms: receipt.at.saturating_duration_since(from).as_secs_f64() * 1000.0,
        };
        self.screen.message(&line, &body);
        self.expect("the signature verifies", line.verified);
        self.expect(
            &format!("{kind} #{sequence} arrives as it happened"),
            line.message == kind && line.sequence == sequence && fits(&body),
        );
        self.lines.push(line);
        Ok(())
    }

    /// Notes, and shows, what is not as it should be.
    pub(super) fn expect(&mut self, what: &str, holds: bool) {
        if !holds {
            self.screen.wrong(what);
            self.wrong.push(what.to_owned());
        }
    }
}

/// Ids in a path are too long for a terminal.
fn shortened(path: &str) -> String {
    let parts = path.split('/').map(|part| {
        let is_id = part.len() == 36 && part.matches('-').count() == 4;
        if is_id { format!("{}…", part.get(..8).unwrap_or_default()) } else { part.to_owned() }
    });
    parts.collect::<Vec<_>>().join("/")
}
