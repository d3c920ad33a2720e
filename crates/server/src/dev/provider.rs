//! An identity provider for trying out: as much of Auth0's Management API as the tenant's users need (providers.md 1), in
//! memory and on loopback. It can be told to do what providers do in bad moments: set the password, and cut the line
//! before it says so.
//!
//! What it had is gone with the process, while the data folder keeps who is linked: whom it does not know it takes from
//! there, so that a server that is started again goes on.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
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
use serde_json::{Map, Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use url::form_urlencoded;

use super::users;
use crate::app::App;
use crate::boot::Running;
use crate::complaint::Complaint;
use crate::life::{Task, TaskResult};

/// Longest body that is read.
const BODY_BYTES_MAX: usize = 64 * 1024;
/// So many users it has at most.
const USERS_MAX: usize = 10_000;
/// So many calls it remembers.
const CALLS_MAX: usize = 100;
/// Shorter passwords are refused, as by most real ones.
const PASSWORD_CHARS_MIN: usize = 8;

/// The provider. Clones are one.
#[derive(Clone)]
pub struct Provider {
    state: Arc<Mutex<State>>,
    listener: Arc<TcpListener>,
    url: String,
}

#[derive(Default)]
struct State {
    users: BTreeMap<String, User>,
    /// Cut the line at the next change of a password, after it is done.
    cut: bool,
    /// Calls in short, since they were last asked for.
    calls: Vec<String>,
}

/// A user as it is there. No `Debug`: it has a password.
#[derive(Default)]
pub struct User {
    /// The e-mail address.
    pub email: String,
    /// Whether it is known to be the user's.
    pub email_verified: bool,
    /// The first name.
    pub given_name: Option<String>,
    /// The last name.
    pub family_name: Option<String>,
    /// `None`: not known any more.
    pub password: Option<String>,
    /// How often the password was set: what the probe goes by.
    pub resets: u32,
}

/// A status, and what is said with it.
type Said = (StatusCode, Value);

impl Provider {
    /// The beginning of each user's id.
    pub const PREFIX: &'static str = "auth0|";

    /// Listens on any free port of this machine. Nobody is answered before [`Provider::serve`].
    pub async fn listen() -> Result<Self, Complaint> {
        let unheard = |error: io::Error| Complaint::because("the identity provider cannot listen", &error);
        let listener = TcpListener::bind("127.0.0.1:0").await.map_err(unheard)?;
        let url = format!("http://{}", listener.local_addr().map_err(unheard)?);
        Ok(Self { state: Arc::default(), listener: Arc::new(listener), url })
    }

    /// Where it listens.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Has this user from now on.
    pub fn add(&self, id: &str, user: User) {
        self.state().users.insert(id.to_owned(), user);
    }

    /// The next change of a password is done, and its answer is lost.
    pub fn cut_the_line(&self) {
        self.state().cut = true;
    }

    /// Whether this is the user's password there.
    pub fn has(&self, id: &str, password: &str) -> bool {
        self.state().users.get(id).is_some_and(|user| user.password.as_deref() == Some(password))
    }

    /// What was called since this was last asked.
    pub fn calls(&self) -> Vec<String> {
        std::mem::take(&mut self.state().calls)
    }

    /// Serves the server that runs, as long as it does.
    pub fn serve(&self, running: &Running) {
        let (provider, app) = (self.clone(), running.app.clone());
        running.life.spawn(Task::DemoProvider, move |_| provider.clone().answers(app.clone()));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn answers(self, app: App) -> TaskResult {
        let mut connections = JoinSet::new();
        loop {
            let Ok((stream, _)) = self.listener.accept().await else { continue };
            let (provider, app) = (self.clone(), app.clone());
            connections.spawn(async move {
                let answer = service_fn(move |request| provider.clone().answer(app.clone(), request));
                // An error is the cut line, or a client that has gone.
                let _ended = http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await;
            });
            while connections.try_join_next().is_some() {}
        }
    }

    /// Answers a call. The error: the connection ends without an answer.
    async fn answer(self, app: App, request: hyper::Request<Incoming>) -> Result<Response, io::Error> {
        let (head, body) = request.into_parts();
        let body = Limited::new(body, BODY_BYTES_MAX).collect().await.map_err(io::Error::other)?.to_bytes();
        let body: Value = serde_json::from_slice(&body).unwrap_or_default();
        let path = head.uri.path().replace("%7C", "|");
        let id = path.strip_prefix("/api/v2/users/").map(|rest| rest.split('/').next().unwrap_or_default());
        if let Some(id) = id.filter(|id| !self.state().users.contains_key(*id))
            && let Some(user) = users::linked(&app, id).await
        {
            self.add(id, user);
        }
        let (status, said) = self.state().answer(&head.method, &path, head.uri.query(), &body)?;
        let content = if said.is_null() { Body::empty() } else { Body::from(said.to_string()) };
        Response::builder()
            .status(status)
            .header("content-type", "application/json")
            .body(content)
            .map_err(io::Error::other)
    }
}

impl State {
    fn answer(&mut self, method: &Method, path: &str, query: Option<&str>, body: &Value) -> io::Result<Said> {
        if path == "/oauth/token" {
            return Ok((StatusCode::OK, json!({"access_token": "demo", "token_type": "Bearer", "expires_in": 86_400})));
        }
        if self.calls.len() < CALLS_MAX {
            self.calls.push(format!("{method} {path}"));
        }
        let about = path.strip_prefix("/api/v2/users/").map(|rest| rest.split_once('/').unwrap_or((rest, "")));
        Ok(match (method, path, about) {
            (&Method::GET, "/api/v2/users-by-email", _) => self.found(query.unwrap_or_default()),
            (&Method::POST, "/api/v2/users", _) => self.create(body)?,
            (&Method::GET, _, Some((id, ""))) => self.users.get(id).map_or_else(unknown, |user| shown(id, user)),
            (&Method::PATCH, _, Some((id, ""))) => self.change(id, body)?,
            (&Method::POST, _, Some((id, "revoke-access"))) if self.users.contains_key(id) => {
                (StatusCode::NO_CONTENT, Value::Null)
            }
            _ => unknown(),
        })
    }

    fn found(&self, query: &str) -> Said {
        let email = form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "email");
        let email = email.map(|(_, email)| email.into_owned()).unwrap_or_default();
        let users = self.users.iter().filter(|(_, user)| user.has_address(&email));
        (StatusCode::OK, users.map(|(id, user)| shown(id, user).1).collect())
    }

    fn create(&mut self, body: &Value) -> io::Result<Said> {
        let text = |name: &str| body.get(name).and_then(Value::as_str).map(str::to_owned);
        let password = text("password").unwrap_or_default();
        let email = text("email").unwrap_or_default();
        if let Some(weak) = weak(&password) {
            return Ok(weak);
        }
        if self.users.values().any(|user| user.has_address(&email)) {
            return Ok(refused(StatusCode::CONFLICT, "Conflict", "The user already exists."));
        }
        if self.users.len() >= USERS_MAX {
            return Ok(refused(StatusCode::FORBIDDEN, "Forbidden", "This provider is for trying out, and full."));
        }
        let id = match text("user_id") {
            Some(chosen) => format!("{}{chosen}", Provider::PREFIX),
            None => new_id()?,
        };
        let user = User {
            email,
            email_verified: body.get("email_verified").and_then(Value::as_bool).unwrap_or_default(),
            given_name: text("given_name"),
            family_name: text("family_name"),
            password: Some(password),
            resets: 0,
        };
        Ok(match self.users.entry(id) {
            Entry::Occupied(_) => refused(StatusCode::CONFLICT, "Conflict", "The user already exists."),
            Entry::Vacant(free) => {
                let id = free.key().clone();
                (StatusCode::CREATED, shown(&id, free.insert(user)).1)
            }
        })
    }

    fn change(&mut self, id: &str, body: &Value) -> io::Result<Said> {
        let text = |name: &str| body.get(name).and_then(Value::as_str).map(str::to_owned);
        if let Some(email) = text("email")
            && self.users.iter().any(|(other, user)| other != id && user.has_address(&email))
        {
            let taken = "The specified new email already exists";
            return Ok(refused(StatusCode::BAD_REQUEST, "Bad Request", taken));
        }
        let Some(user) = self.users.get_mut(id) else { return Ok(unknown()) };
        let password = text("password");
        if let Some(weak) = password.as_deref().and_then(weak) {
            return Ok(weak);
        }
        let is_new = password.is_some();
        if is_new {
            user.password = password;
            user.resets = user.resets.wrapping_add(1);
        }
        if let Some(email) = text("email") {
            (user.email, user.email_verified) = (email, false);
        }
        if let Some(verified) = body.get("email_verified").and_then(Value::as_bool) {
            user.email_verified = verified;
        }
        for (name, kept) in [("given_name", &mut user.given_name), ("family_name", &mut user.family_name)] {
            if let Some(said) = text(name) {
                *kept = Some(said);
            }
        }
        if is_new && std::mem::take(&mut self.cut) {
            return Err(io::Error::other("the line is cut"));
        }
        Ok(shown(id, user))
    }
}

impl User {
    fn has_address(&self, email: &str) -> bool {
        self.email.to_lowercase() == email.to_lowercase()
    }
}

fn shown(id: &str, user: &User) -> Said {
    let identity = json!({
        "connection": "demo", "provider": "auth0", "user_id": id.strip_prefix(Provider::PREFIX), "isSocial": false
    });
    let mut shown = Map::new();
    shown.insert("user_id".into(), id.into());
    shown.insert("email".into(), user.email.as_str().into());
    shown.insert("email_verified".into(), user.email_verified.into());
    shown.insert("identities".into(), json!([identity]));
    for (name, value) in [("given_name", &user.given_name), ("family_name", &user.family_name)] {
        if let Some(value) = value {
            shown.insert(name.into(), value.as_str().into());
        }
    }
    if user.resets > 0 {
        // Auth0 tells a time; all that counts is that it is another one after each change.
        let (minute, second) = (user.resets / 60 % 60, user.resets % 60);
        shown.insert("last_password_reset".into(), format!("2026-01-01T00:{minute:02}:{second:02}.000Z").into());
    }
    (StatusCode::OK, Value::Object(shown))
}

fn weak(password: &str) -> Option<Said> {
    let is_weak = password.chars().count() < PASSWORD_CHARS_MIN;
    let weak = "PasswordStrengthError: Password is too weak";
    is_weak.then(|| refused(StatusCode::BAD_REQUEST, "Bad Request", weak))
}

fn unknown() -> Said {
    refused(StatusCode::NOT_FOUND, "Not Found", "The user does not exist.")
}

fn refused(status: StatusCode, error: &str, message: &str) -> Said {
    (status, json!({"statusCode": status.as_u16(), "error": error, "message": message}))
}

fn new_id() -> io::Result<String> {
    let mut chance = [0_u8; 12];
    getrandom::fill(&mut chance).map_err(io::Error::other)?;
    Ok(chance.iter().fold(Provider::PREFIX.to_owned(), |id, byte| format!("{id}{byte:02x}")))
}
