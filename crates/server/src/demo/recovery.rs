//! The third part of the story: who has forgotten a password recovers it without the shop's help, and the partner of the
//! brand is told by a signed event.

use std::time::Duration;

use keyherald_core::body_signature::SigningSecret;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::PATIENCE;
use super::story::{Answer, Broken, Story};

/// What a partner of the brand has, as the ready line of `keyherald dev` shows it.
pub struct Brand(pub Value);

const EMAIL: &str = "ada@example.com";
const FOURTH: &str = "written on no yellow note";
/// Digits of a code.
const DIGITS: usize = 6;
/// Between two looks into the mailbox.
const LOOK_EVERY: Duration = Duration::from_millis(20);

impl Brand {
    fn text(&self, name: &str) -> &str {
        self.0.get(name).and_then(Value::as_str).unwrap_or_default()
    }
}

impl Story {
    /// Plays it.
    pub async fn play_the_third_part(&mut self, brand: &Brand) -> Result<(), Broken> {
        self.screen().chapter("Ada has forgotten it again, and nobody is at the desk: she asks for a code");
        let token = self.wallet_token(brand).await?;
        let attribute = json!({"type": "EMAIL", "value": EMAIL});
        let initiate = json!({"attribute": attribute, "flow": "PASSWORD_RESET"});
        let begun = self.wallet(&token, "/verifications", initiate, "notificationType/target").await?;
        self.expect("the verification begins", begun.status == 201);
        let verification = begun.text("/verificationId")?;
        let code = self.mailed_code().await?;
        self.screen().seen(&format!("mailbox: {code}"));

        self.screen().chapter("She types it in, and chooses a new password");
        let attempt = json!({
            "attribute": attribute, "notificationType": {"method": "OTP", "channel": "EMAIL"}, "value": code,
        });
        let path = format!("/verifications/{verification}/attempts");
        let tried = self.wallet(&token, &path, attempt, "status").await?;
        self.expect("the code proves the address", tried.body.get("status") == Some(&"VERIFIED".into()));
        let recover = json!({
            "customerIdentifiers": {"email": {"value": EMAIL, "verificationId": verification}},
            "customerCredentials": {"password": FOURTH},
            "deviceInfo": {"appType": "WEB"},
        });
        let recovered = self.wallet(&token, "/customer-credentials", recover.clone(), "error/code").await?;
        self.expect("the password is recovered", recovered.status == 200);
        self.hear("recover it alone", "CustomerPasswordUpdated", 4, &recovered, |body| {
            body.get("reset") == Some(&true.into())
        })
        .await?;
        let again = self.wallet(&token, "/customer-credentials", recover, "error/code").await?;
        self.expect("a proof works once", again.status == 400);
        self.the_partner_hears(brand, &verification).await?;
        let login = json!({"email": EMAIL, "password": FOURTH});
        let answer = self.call("POST", "/demo/login", Some(login), "customer/email").await?;
        self.expect("the recovered password works", answer.status == 200);
        Ok(())
    }

    async fn the_partner_hears(&mut self, brand: &Brand, verification: &str) -> Result<(), Broken> {
        self.screen().chapter("The partner's system learns of it");
        // The reset by token in the first part is told to partners of this brand as well.
        let event = loop {
            let next = self.next_event().await.ok_or_else(|| Broken::new("no credentials event arrived"))?;
            let proved = next.json().pointer("/credentialsDetails/customerIdentifiers/email/verificationId").cloned();
            if proved == Some(verification.into()) {
                break next;
            }
        };
        let secret = SigningSecret::parse(brand.text("webhookSecret")).ok();
        let is_signed = secret.is_some_and(|secret| secret.verify(event.body(), event.body_signature()));
        self.expect("the event's Signature verifies", is_signed);
        let body = event.json();
        let text = |pointer: &str| body.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let (kind, customer) = (text("/credentialsDetails/type"), text("/customer/id"));
        let mark = if is_signed { "Signature ✓" } else { "Signature WRONG" };
        self.screen().seen(&format!("POST /credentials/events  {kind}  {mark}"));
        self.screen().seen(&format!("customer {customer}, event {}", text("/id")));
        self.expect("it tells of a recovery", kind == "PASSWORD_RECOVERY" && !customer.is_empty());
        Ok(())
    }

    async fn wallet_token(&mut self, brand: &Brand) -> Result<String, Broken> {
        let path = format!("/digitalwallets/v1/auth/brands/{}/token", brand.text("brand"));
        let request = self
            .http()?
            .post(format!("{}{path}", self.url()))
            .basic_auth(brand.text("configurationClientId"), Some(brand.text("configurationClientSecret")))
            .header("content-type", "application/x-www-form-urlencoded")
            .body("grant_type=client_credentials");
        let answer = self.send("POST", &path, request, "token_type").await?;
        self.expect("a configuration token is issued", answer.status == 200);
        answer.text("/access_token")
    }

    async fn wallet(&mut self, token: &str, path: &str, body: Value, show: &str) -> Result<Answer, Broken> {
        let url = format!("{}/digitalwallets/v1/wallet-setup{path}", self.url());
        let request = self.http()?.post(url).bearer_auth(token).json(&body);
        self.send("POST", &format!("…/wallet-setup{path}"), request, show).await
    }

    /// The code in the newest mail that has one.
    async fn mailed_code(&self) -> Result<String, Broken> {
        let until = Instant::now() + PATIENCE;
        loop {
            let request = self.http()?.get(format!("{}/dev/mailbox", self.url()));
            let lost = || Broken::new("the mailbox cannot be read");
            let response = request.send().await.map_err(|_| lost())?;
            let mails: Vec<Value> = response.json().await.map_err(|_| lost())?;
            let text = |mail: &Value| mail.get("text").and_then(Value::as_str).and_then(code_in);
            if let Some(code) = mails.iter().rev().find_map(text) {
                return Ok(code);
            }
            if Instant::now() >= until {
                return Err(Broken::new("no mail with a code has come"));
            }
            sleep(LOOK_EVERY).await;
        }
    }
}

/// A word of digits alone, as long as a code.
fn code_in(text: &str) -> Option<String> {
    let is_code = |word: &&str| word.len() == DIGITS && word.bytes().all(|byte| byte.is_ascii_digit());
    text.split(|c: char| !c.is_ascii_alphanumeric()).find(is_code).map(str::to_owned)
}
