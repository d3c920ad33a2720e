//! The HTTP API as a client uses it.

use std::time::Duration;

use serde_json::Value;
use url::form_urlencoded;

use super::server::Server;

/// An HTTP client that keeps its connections, with a time limit for each request.
pub fn http_client(timeout: Duration) -> Result<reqwest::Client, reqwest::Error> {
    // Fails only if somebody has installed one before.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy().tcp_nodelay(true).timeout(timeout).build()
}

/// An answer, complete.
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// Whether it says when to try again.
    pub has_retry_after: bool,
    /// The body; `null` if it is not JSON.
    pub body: Value,
}

impl Answer {
    /// A text within the body; empty if it is not there.
    pub fn text(&self, pointer: &str) -> String {
        self.body.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
    }

    /// A number within the body.
    pub fn number(&self, pointer: &str) -> Option<i64> {
        self.body.pointer(pointer)?.as_i64()
    }

    /// The contract's code of the first error.
    pub fn code(&self) -> String {
        self.text("/errors/0/code")
    }
}

/// A server, with an access token for it.
pub struct Api {
    http: reqwest::Client,
    url: String,
    token: String,
}

impl Api {
    /// Gets an access token.
    pub async fn sign_in(http: &reqwest::Client, server: &Server) -> Result<Self, String> {
        let request = http
            .post(format!("{}/oauth/token", server.url))
            .basic_auth(&server.client_id, Some(&server.client_secret))
            .header("content-type", "application/x-www-form-urlencoded")
            .body("grant_type=client_credentials");
        let answer = complete(request).await.map_err(|error| error.to_string())?;
        let token = answer.text("/access_token");
        if answer.status != 200 || token.is_empty() {
            return Err(format!("no access token: {} {}", answer.status, answer.body));
        }
        Ok(Self { http: http.clone(), url: server.url.clone(), token })
    }

    /// The same caller, with the same token, at a server that was started again.
    pub fn moved_to(&self, url: &str) -> Self {
        Self { http: self.http.clone(), url: url.to_owned(), token: self.token.clone() }
    }

    /// The access token.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// POST of a JSON body to a path of the project.
    pub async fn post(&self, path: &str, body: &Value) -> Result<Answer, reqwest::Error> {
        let request = self.http.post(format!("{}/demo{path}", self.url)).bearer_auth(&self.token).json(body);
        complete(request).await
    }

    /// GET of a path of the project.
    pub async fn get(&self, path: &str, query: &[(&str, &str)]) -> Result<Answer, reqwest::Error> {
        let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(query).finish();
        complete(self.http.get(format!("{}/demo{path}?{query}", self.url)).bearer_auth(&self.token)).await
    }

    /// Subscribes a webhook to all messages about customers and their password tokens, and to the changes of customers if
    /// they are wanted too.
    pub async fn subscribe(&self, url: &str, secret: &str, with_changes: bool) -> Result<(), String> {
        let changes: &[Value] = if with_changes { &[serde_json::json!({"resourceTypeId": "customer"})] } else { &[] };
        let draft = serde_json::json!({
            "changes": changes,
            "destination": {"type": "Webhook", "url": url, "secret": secret},
            "messages": [{"resourceTypeId": "customer"}, {"resourceTypeId": "customer-password-token"}],
        });
        let answer = self.post("/subscriptions", &draft).await.map_err(|error| error.to_string())?;
        if answer.status == 201 { Ok(()) } else { Err(format!("no subscription: {} {}", answer.status, answer.body)) }
    }
}

/// A brand's consumer API, as a partner's app uses it.
pub struct Wallet {
    http: reqwest::Client,
    url: String,
    token: String,
}

impl Wallet {
    /// Gets a configuration token.
    pub async fn sign_in(http: &reqwest::Client, server: &Server) -> Result<Self, String> {
        let text = |name: &str| server.paysafe.get(name).and_then(Value::as_str).unwrap_or_default();
        let url = format!("{}/digitalwallets/v1", server.url);
        let request = http
            .post(format!("{url}/auth/brands/{}/token", text("brand")))
            .basic_auth(text("configurationClientId"), Some(text("configurationClientSecret")))
            .header("content-type", "application/x-www-form-urlencoded")
            .body("grant_type=client_credentials");
        let answer = complete(request).await.map_err(|error| error.to_string())?;
        let token = answer.text("/access_token");
        if answer.status != 200 || token.is_empty() {
            return Err(format!("no configuration token: {} {}", answer.status, answer.body));
        }
        Ok(Self { http: http.clone(), url, token })
    }

    /// POST of a JSON body to a path below `wallet-setup`.
    pub async fn post(&self, path: &str, body: &Value) -> Result<Answer, reqwest::Error> {
        complete(self.request(path, body)).await
    }

    /// The same by a proxy that says for whom.
    pub async fn post_for(&self, source: &str, path: &str, body: &Value) -> Result<Answer, reqwest::Error> {
        complete(self.request(path, body).header("X-Forwarded-For", source)).await
    }

    fn request(&self, path: &str, body: &Value) -> reqwest::RequestBuilder {
        self.http.post(format!("{}/wallet-setup{path}", self.url)).bearer_auth(&self.token).json(body)
    }
}

async fn complete(request: reqwest::RequestBuilder) -> Result<Answer, reqwest::Error> {
    let response = request.send().await?;
    let status = response.status().as_u16();
    let has_retry_after = response.headers().contains_key("retry-after");
    let bytes = response.bytes().await?;
    Ok(Answer { status, has_retry_after, body: serde_json::from_slice(&bytes).unwrap_or_default() })
}
