//! One project's API, as its callers use it.

use std::time::Duration;

use keyherald::jwt::SigningKey;
use serde_json::{Value, json};

use crate::server::JWT_SECRET;

/// Time for one request: longer than a server keeps anybody waiting.
const REQUEST_WAIT: Duration = Duration::from_secs(30);

/// An API client of a project.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    url: String,
    project: String,
    token: String,
}

/// Status and body. `None`: no answer.
pub type Answer = Option<(u16, Value)>;

pub fn http() -> reqwest::Client {
    crate::black_box::api::http_client(REQUEST_WAIT).unwrap()
}

impl Client {
    /// Gets an access token.
    pub async fn new(http: &reqwest::Client, url: &str, project: &str, (id, secret): &(String, String)) -> Self {
        let request = http
            .post(format!("{url}/oauth/token"))
            .basic_auth(id, Some(secret))
            .header("content-type", "application/x-www-form-urlencoded")
            .body("grant_type=client_credentials");
        let (status, body) = answer(request).await.expect("a token is answered");
        let token = body["access_token"].as_str().unwrap_or_default().to_owned();
        assert_eq!(status, 200, "{body}");
        Self { http: http.clone(), url: url.to_owned(), project: project.to_owned(), token }
    }

    /// One that is nowhere yet.
    pub fn nowhere() -> Self {
        Self { http: http(), url: String::new(), project: String::new(), token: String::new() }
    }

    /// A caller of Naviga's API for a paper.
    pub fn naviga(url: &str, paper: &str) -> Self {
        let claims = json!({"sub": "orchestration"});
        let token = SigningKey::secret(JWT_SECRET).sign(claims.as_object().unwrap(), None).unwrap();
        Self { http: http(), url: url.to_owned(), project: paper.to_owned(), token }
    }

    /// A call of Naviga's API.
    pub async fn call(&self, method: &str, path: &str, body: &Value) -> Answer {
        let request = self.http.request(method.parse().unwrap(), format!("{}{path}", self.url));
        let codes = [("X-ClientGroupCode", "G"), ("X-ClientCode", "C"), ("X-PaperCode", self.project.as_str())];
        let request = codes.into_iter().fold(request, |request, (name, code)| request.header(name, code));
        let request = request.header("X-SourceSystem", "orchestration").bearer_auth(&self.token);
        answer(if body.is_null() { request } else { request.json(body) }).await
    }

    /// The same caller at a server that was started again.
    pub fn at(&self, url: &str) -> Self {
        Self { url: url.to_owned(), ..self.clone() }
    }

    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        let url = format!("{}/{}{path}", self.url, self.project);
        answer(self.http.post(url).bearer_auth(&self.token).json(body)).await
    }

    pub async fn get(&self, path: &str) -> Answer {
        answer(self.http.get(format!("{}/{}{path}", self.url, self.project)).bearer_auth(&self.token)).await
    }

    /// Sets a password as a caller of Naviga's API, of today or of before: the status that it means.
    pub async fn set_by_naviga(&self, is_old: bool, paper: &str, user: &str, password: &str) -> Option<u16> {
        let user: String = url::form_urlencoded::byte_serialize(user.as_bytes()).collect();
        let caller = Self::naviga(&self.url, paper);
        let (status, body) = if is_old {
            caller.call("PUT", &format!("/User/{user}"), &json!({"Password": password})).await?
        } else {
            caller.call("PATCH", &format!("/v4/Users/{user}/Password"), &json!({"password": password})).await?
        };
        // Before, errors of the business came with status 200.
        Some(match body["Errors"][0]["Code"].as_str() {
            None => status,
            Some("Users501") => 500,
            Some(_) => 400,
        })
    }

    pub async fn delete(&self, path: &str) -> Answer {
        answer(self.http.delete(format!("{}/{}{path}", self.url, self.project)).bearer_auth(&self.token)).await
    }

    /// Whether the customer signs in with this password.
    pub async fn signs_in(&self, email: &str, password: &str) -> bool {
        match self.post("/login", &json!({"email": email, "password": password})).await {
            Some((200, _)) => true,
            Some((400, _)) => false,
            other => panic!("a sign-in was answered {other:?}"),
        }
    }

    /// The customer's version. `None`: it is not there.
    pub async fn version(&self, customer: &str) -> Option<i64> {
        match self.get(&format!("/customers/{customer}")).await {
            Some((200, body)) => body["version"].as_i64(),
            _ => None,
        }
    }

    /// Ids of the messages that the password was updated.
    pub async fn updates(&self) -> Vec<String> {
        let (status, page) = self.get("/messages?where=type%3D%22CustomerPasswordUpdated%22&limit=500").await.unwrap();
        assert_eq!(status, 200, "{page}");
        let id = |message: &Value| message["id"].as_str().unwrap().to_owned();
        page["results"].as_array().unwrap().iter().map(id).collect()
    }
}

async fn answer(request: reqwest::RequestBuilder) -> Answer {
    let response = request.send().await.ok()?;
    let status = response.status().as_u16();
    let bytes = response.bytes().await.ok()?;
    Some((status, serde_json::from_slice(&bytes).unwrap_or_default()))
}
