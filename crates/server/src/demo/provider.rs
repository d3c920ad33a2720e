//! The story's identity provider: as much of Auth0's Management API as one user needs (providers.md 1), on loopback. It can
//! be told to do what providers do in bad moments: set the password, and cut the line before it says so.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::body::Body;
use axum::http::{Method, StatusCode};
use axum::response::Response;
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::life::TaskResult;

/// Longest body that is read.
const BODY_BYTES_MAX: usize = 64 * 1024;

/// The provider as the story sees it. Clones are one.
#[derive(Clone)]
pub struct Provider(Arc<Mutex<State>>);

struct State {
    password: String,
    /// How often it was set: what the probe goes by.
    resets: u32,
    /// Cut the line at the next change of a password, after it is done.
    cut: bool,
    /// Calls in short, since they were last asked for.
    calls: Vec<String>,
}

impl Provider {
    /// The one user's id there.
    pub const USER: &'static str = "auth0|grace";
    /// The one user's e-mail address.
    pub const EMAIL: &'static str = "grace@example.com";

    /// With this password for its user.
    pub fn new(password: &str) -> Self {
        let state = State { password: password.to_owned(), resets: 0, cut: false, calls: Vec::new() };
        Self(Arc::new(Mutex::new(state)))
    }

    /// The next change of the password is done, and its answer is lost.
    pub fn cut_the_line(&self) {
        self.state().cut = true;
    }

    /// Whether this is the password there.
    pub fn has(&self, password: &str) -> bool {
        self.state().password == password
    }

    /// What was called since this was last asked.
    pub fn calls(&self) -> Vec<String> {
        std::mem::take(&mut self.state().calls)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Serves it until it is dropped.
    pub async fn serve(self, listener: Arc<TcpListener>) -> TaskResult {
        let mut connections = JoinSet::new();
        loop {
            let Ok((stream, _)) = listener.accept().await else { continue };
            let provider = self.clone();
            connections.spawn(async move {
                let answer = service_fn(move |request: hyper::Request<Incoming>| provider.clone().answer(request));
                // An error is the cut line, or a client that has gone.
                let _ended = http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await;
            });
            while connections.try_join_next().is_some() {}
        }
    }

    /// Answers a call. The error: the connection ends without an answer.
    async fn answer(self, request: hyper::Request<Incoming>) -> Result<Response, io::Error> {
        let (head, body) = request.into_parts();
        let body = Limited::new(body, BODY_BYTES_MAX).collect().await.map_err(io::Error::other)?.to_bytes();
        let body: Value = serde_json::from_slice(&body).unwrap_or_default();
        let path = head.uri.path();
        let mut state = self.state();
        let is_about_access = path == "/oauth/token";
        if !is_about_access {
            state.calls.push(format!("{} {}", head.method, path.replace("%7C", "|")));
        }
        let rest = path.strip_prefix("/api/v2/users/auth0%7Cgrace");
        let (status, said) = match (&head.method, path, rest) {
            (&Method::POST, "/oauth/token", _) => {
                (StatusCode::OK, json!({"access_token": "demo", "token_type": "Bearer", "expires_in": 86_400}))
            }
            (&Method::GET, "/api/v2/users-by-email", _) => (StatusCode::OK, json!([state.user()])),
            (&Method::GET, _, Some("")) => (StatusCode::OK, state.user()),
            (&Method::PATCH, _, Some("")) => match body.get("password").and_then(Value::as_str) {
                Some(password) if password.len() < 8 => {
                    (StatusCode::BAD_REQUEST, refused("Bad Request", "PasswordStrengthError: Password is too weak"))
                }
                Some(password) => {
                    password.clone_into(&mut state.password);
                    state.resets += 1;
                    if std::mem::take(&mut state.cut) {
                        return Err(io::Error::other("the line is cut"));
                    }
                    (StatusCode::OK, state.user())
                }
                None => (StatusCode::OK, state.user()),
            },
            (&Method::POST, _, Some("/revoke-access")) => (StatusCode::NO_CONTENT, Value::Null),
            _ => (StatusCode::NOT_FOUND, refused("Not Found", "The user does not exist.")),
        };
        let content = if said.is_null() { Body::empty() } else { Body::from(said.to_string()) };
        Response::builder()
            .status(status)
            .header("content-type", "application/json")
            .body(content)
            .map_err(io::Error::other)
    }
}

impl State {
    fn user(&self) -> Value {
        let mut user = json!({
            "user_id": Provider::USER, "email": Provider::EMAIL, "email_verified": true,
            "given_name": "Grace", "family_name": "Hopper",
            "identities": [{"connection": "demo", "provider": "auth0", "user_id": "grace", "isSocial": false}],
        });
        if let (true, Some(user)) = (self.resets > 0, user.as_object_mut()) {
            // Auth0 tells a time; all that counts is that it is another one after each change.
            user.insert("last_password_reset".into(), format!("2026-01-01T00:00:{:02}.000Z", self.resets % 60).into());
        }
        user
    }
}

fn refused(error: &str, message: &str) -> Value {
    json!({"statusCode": if error == "Not Found" { 404 } else { 400 }, "error": error, "message": message})
}
