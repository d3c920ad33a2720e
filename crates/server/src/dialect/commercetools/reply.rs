//! Answers: the only place where a [`Refusal`] or a [`Fault`] becomes HTTP (commercetools.md chapter 9).
//!
//! An error is `{statusCode, message, errors: [{code, message, ..}]}`. Errors about who is calling, and all of the OAuth
//! endpoints, repeat themselves as `error` and `error_description` (commercetools.md 1.3).

use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use keyherald_core::Refusal;
use keyherald_core::refusal::{Lookup, UniqueField, Versioned};
use serde_json::{Map, Value, json};

use crate::app::{Failure, Fault, FaultKind};
use crate::format::commercetools::Object;
use crate::http::{self, BodyError};

const JSON: HeaderValue = HeaderValue::from_static("application/json; charset=utf-8");

/// Seconds after which a caller may try again when the store could not serve it.
const STORE_RETRY_AFTER_S: u32 = 1;

/// Longest value of the caller's that an error repeats, in characters.
const REPEATED_CHARS_MAX: usize = 512;

/// What an endpoint answers.
pub type Answer = Result<Reply, Problem>;

/// A success.
pub struct Reply {
    status: StatusCode,
    body: Value,
    is_secret: bool,
}

impl Reply {
    /// 200 with a body.
    pub fn ok(body: impl Into<Value>) -> Self {
        Self { status: StatusCode::OK, body: body.into(), is_secret: false }
    }

    /// 201 with a body.
    pub fn created(body: impl Into<Value>) -> Self {
        Self { status: StatusCode::CREATED, ..Self::ok(body) }
    }

    /// Another status, for what is no error in itself but tells one (a subscription's health).
    pub fn status(self, status: StatusCode) -> Self {
        Self { status, ..self }
    }

    /// The body holds a token or a secret: no cache may keep it (RFC 6749, 5.1).
    pub fn secret(self) -> Self {
        Self { is_secret: true, ..self }
    }
}

impl IntoResponse for Reply {
    fn into_response(self) -> Response {
        let mut response = json_response(self.status, &self.body);
        if self.is_secret {
            response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        }
        response
    }
}

fn json_response(status: StatusCode, body: &Value) -> Response {
    let mut response = Response::new(Body::from(body.to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, JSON);
    response
}

/// Which of the two forms an error has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// Of the api.
    Plain,
    /// With `error` and `error_description`.
    Auth,
    /// With `error` only.
    AuthUndescribed,
}

/// An error as it is answered.
pub struct Problem {
    status: StatusCode,
    code: &'static str,
    message: String,
    extra: Map<String, Value>,
    form: Form,
    retry_after_s: Option<u32>,
}

impl Problem {
    fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), extra: Map::new(), form: Form::Plain, retry_after_s: None }
    }

    fn bad_request(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, message)
    }

    fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.extra.insert(name.to_owned(), value.into());
        self
    }

    /// The same in the form of the OAuth endpoints.
    pub fn as_auth(mut self) -> Self {
        if self.form == Form::Plain {
            self.form = Form::Auth;
        }
        self
    }

    /// The body is no JSON, or a field is missing or of another type; `detail` names it.
    pub fn invalid_json(detail: impl Into<String>) -> Self {
        let text = "Request body does not contain valid JSON.";
        Self::bad_request("InvalidJsonInput", text).with("detailedErrorMessage", detail.into())
    }

    /// Anything else that is wrong with a request, in clear text.
    pub fn invalid_input(message: impl Into<String>) -> Self {
        Self::bad_request("InvalidInput", message)
    }

    /// A parameter that cannot be read.
    pub fn malformed_parameter(name: &str, why: impl std::fmt::Display) -> Self {
        Self::invalid_input(format!("Malformed parameter: {}: {why}", shortened(name)))
    }

    /// A field's value that cannot be. Do not hand in secrets: see [`Problem::invalid_secret`].
    pub fn invalid_field(field: &str, value: &Value) -> Self {
        let value = match value {
            Value::String(text) => Value::from(shortened(text)),
            Value::Array(_) | Value::Object(_) => Value::from(shortened(&value.to_string())),
            plain => plain.clone(),
        };
        let shown = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let message = format!("The value {shown} is not valid for field {field}.");
        Self::bad_request("InvalidField", message).with("field", field).with("invalidValue", value)
    }

    /// The same for a password, which no answer repeats.
    pub fn invalid_secret(field: &str) -> Self {
        Self::invalid_field(field, &Value::from("****"))
    }

    /// A reference to something that is not there: by `("id" | "key", value)`.
    pub fn reference_not_found(type_id: &str, (by, value): (&str, &str)) -> Self {
        let value = shortened(value);
        let words = if by == "key" { "key" } else { "identifier" };
        let message = format!(
            "The referenced object of type '{type_id}' with {words} '{value}' was not found. It either doesn't exist, or \
             it can't be accessed from this endpoint (e.g., if the endpoint filters by store or customer account)."
        );
        Self::bad_request("ReferencedResourceNotFound", message).with("typeId", type_id).with(by, value)
    }

    /// Something of the contract that this server does not have.
    pub fn not_available(what: &str) -> Self {
        Self::invalid_input(format!("{what} not available on this server."))
    }

    fn auth(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { form: Form::Auth, ..Self::new(status, code, message) }
    }

    /// No access token came with the request.
    pub fn no_token() -> Self {
        let text = "This endpoint requires an access token. You can get one from the authorization server.";
        Self::auth(StatusCode::UNAUTHORIZED, "access_denied", text)
    }

    /// The access token is unknown, expired or revoked.
    pub fn dead_token() -> Self {
        Self { form: Form::AuthUndescribed, ..Self::auth(StatusCode::UNAUTHORIZED, "invalid_token", "invalid_token") }
    }

    /// The access token does not allow this.
    pub fn insufficient_scope(missing: &str) -> Self {
        let message = format!("Insufficient scope. One of the following scopes is missing: {missing}.");
        Self::auth(StatusCode::FORBIDDEN, "insufficient_scope", message)
    }

    /// Client id or secret are wrong or missing.
    pub fn invalid_client() -> Self {
        let text = "Please provide valid client credentials using HTTP Basic Authentication.";
        Self::auth(StatusCode::UNAUTHORIZED, "invalid_client", text)
    }

    /// A scope is unknown, or not the client's.
    pub fn invalid_scope() -> Self {
        Self::auth(StatusCode::BAD_REQUEST, "invalid_scope", "Malformed parameter: scope: Invalid scope.")
    }

    /// Wrong e-mail address or password at a token endpoint.
    pub fn invalid_customer_credentials() -> Self {
        let text = "Customer account with the given credentials not found.";
        Self::auth(StatusCode::BAD_REQUEST, "invalid_customer_account_credentials", text)
    }

    /// An unknown or expired refresh token.
    pub fn invalid_grant() -> Self {
        let text = "The refresh token was not found. It may have expired.";
        Self::auth(StatusCode::BAD_REQUEST, "invalid_grant", text)
    }

    /// A parameter of a token request is missing.
    pub fn missing_parameter(name: &str) -> Self {
        Self::auth(StatusCode::BAD_REQUEST, "invalid_request", format!("Missing required parameter: {name}."))
    }

    /// A token request that cannot be read.
    pub fn invalid_request(message: impl Into<String>) -> Self {
        Self::auth(StatusCode::BAD_REQUEST, "invalid_request", message)
    }

    /// A grant type that this endpoint does not know.
    pub fn unsupported_grant_type(asked: &str) -> Self {
        let message = format!("Invalid parameter: grant_type: Invalid grant type: {}", shortened(asked));
        Self::auth(StatusCode::BAD_REQUEST, "unsupported_grant_type", message)
    }

    /// `HEAD` of a query without a match; no body goes with it.
    pub fn no_match() -> Self {
        Self::not_found("No resource matches the query.")
    }

    fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "ResourceNotFound", message)
    }

    fn over_capacity(message: &str, retry_after_s: u32) -> Self {
        let problem = Self::new(StatusCode::SERVICE_UNAVAILABLE, "OverCapacity", message);
        Self { retry_after_s: Some(retry_after_s), ..problem }
    }

    fn general() -> Self {
        let text = "An unexpected error occurred. The X-Correlation-ID of this answer identifies it.";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "General", text)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let error =
            Object::default().with("code", self.code).with("message", self.message.as_str()).with_all(self.extra);
        let described = (self.form == Form::Auth).then_some(self.message.as_str());
        let body = Object::default()
            .with("statusCode", self.status.as_u16())
            .with("message", self.message.as_str())
            .with("errors", vec![Value::from(error)])
            .with_some("error", (self.form != Form::Plain).then_some(self.code))
            .with_some("error_description", described);
        let mut response = json_response(self.status, &body.into());
        if let Some(seconds) = self.retry_after_s {
            response.headers_mut().insert(RETRY_AFTER, seconds.into());
        }
        if self.status == StatusCode::UNAUTHORIZED {
            let scheme = if self.code == "invalid_client" { "Basic realm=\"OAuth\"" } else { "Bearer" };
            response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static(scheme));
        }
        response
    }
}

/// The answer to an unknown route or method (commercetools.md 2.1): without `errors`.
pub fn method_not_allowed() -> Response {
    json_response(StatusCode::METHOD_NOT_ALLOWED, &json!({"statusCode": 405, "message": "Method Not Allowed"}))
}

/// What a request named, in its own words, for the texts that repeat it.
#[derive(Default)]
pub struct Named {
    /// The resource's id.
    pub id: String,
    /// The resource's key. If it is not empty, the resource was asked for by it.
    pub key: String,
    /// An e-mail address.
    pub email: String,
    /// A customer number.
    pub customer_number: String,
    /// A token's value.
    pub token: String,
}

impl Named {
    /// A request that named an id.
    pub fn id(id: impl Into<String>) -> Self {
        Self { id: id.into(), ..Self::default() }
    }

    /// A request that named a key.
    pub fn key(key: impl Into<String>) -> Self {
        Self { key: key.into(), ..Self::default() }
    }

    /// A request that named an e-mail address.
    pub fn email(email: impl Into<String>) -> Self {
        Self { email: email.into(), ..Self::default() }
    }

    /// A request that named a token.
    pub fn token(value: impl Into<String>) -> Self {
        Self { token: value.into(), ..Self::default() }
    }

    fn resource_not_found(&self) -> Problem {
        if self.key.is_empty() {
            Problem::not_found(format!("The Resource with ID '{}' was not found.", shortened(&self.id)))
        } else {
            Problem::not_found(format!("The Resource with key '{}' was not found.", shortened(&self.key)))
        }
    }
}

/// The answer to a use case that did not do what was asked.
pub fn failed(failure: Failure, named: &Named) -> Problem {
    match failure {
        Failure::Refused(refusal) => refused(&refusal, named),
        Failure::Fault(fault) => faulted(&fault),
    }
}

/// The same at a token endpoint, where wrong customer credentials have a code of their own.
pub fn failed_at_oauth(failure: Failure) -> Problem {
    match failure {
        Failure::Refused(Refusal::CredentialsWrong) => Problem::invalid_customer_credentials(),
        other => failed(other, &Named::default()).as_auth(),
    }
}

/// The answer to a refusal.
pub fn refused(refusal: &Refusal, named: &Named) -> Problem {
    match refusal {
        Refusal::CustomerNotFound(Lookup::Id | Lookup::Key)
        | Refusal::MessageNotFound
        | Refusal::SubscriptionNotFound => named.resource_not_found(),
        Refusal::CustomerNotFound(Lookup::Email) => {
            Problem::not_found(format!("The Customer with ID '{}' was not found.", shortened(&named.email)))
        }
        Refusal::CustomerNotFound(Lookup::Token) | Refusal::TokenUnknown => {
            Problem::not_found(format!("The Customer with ID 'Token({})' was not found.", shortened(&named.token)))
        }
        Refusal::VersionMismatch { of, expected, actual } => {
            let id = match of {
                Versioned::Customer(id) => id.to_string(),
                Versioned::Subscription(id) => id.to_string(),
            };
            let message =
                format!("Object {id} has a different version than expected. Expected: {expected} - Actual: {actual}.");
            Problem::new(StatusCode::CONFLICT, "ConcurrentModification", message).with("currentVersion", *actual)
        }
        Refusal::CurrentPasswordWrong => {
            Problem::bad_request("InvalidCurrentPassword", "The given current password does not match.")
        }
        Refusal::CredentialsWrong => {
            Problem::bad_request("InvalidCredentials", "Account with the given credentials not found.")
        }
        Refusal::TokenExpired => {
            Problem::bad_request("ExpiredCustomerPasswordToken", "The given password token has expired.")
        }
        Refusal::NotPasswordMode => {
            Problem::bad_request("InvalidOperation", "The customer does not use the 'Password' authentication mode.")
        }
        Refusal::Duplicate(field) => duplicate(*field, named),
        Refusal::TooManySubscriptions { limit } => {
            let message = format!("You have exceeded the limit of {limit} resources of type subscription.");
            Problem::bad_request("MaxResourceLimitExceeded", message).with("exceededResource", "subscription")
        }
        Refusal::Overloaded { retry_after_s } => {
            Problem::over_capacity("The server has too much to do at the moment. Please try again.", *retry_after_s)
        }
    }
}

fn duplicate(field: UniqueField, named: &Named) -> Problem {
    let value = match field {
        UniqueField::Email => &named.email,
        UniqueField::Key => &named.key,
        UniqueField::CustomerNumber => &named.customer_number,
    };
    let message = match field {
        UniqueField::Email => "There is already an existing customer with the provided email.".to_owned(),
        UniqueField::Key | UniqueField::CustomerNumber => {
            format!("A duplicate value {value} exists for field {}.", field.as_str())
        }
    };
    Problem::bad_request("DuplicateField", message).with("field", field.as_str()).with("duplicateValue", value.as_str())
}

/// The answer to a fault: that there was one. What it was is logged.
pub fn faulted(fault: &Fault) -> Problem {
    match fault.kind() {
        FaultKind::NoRoom | FaultKind::Unavailable | FaultKind::Contention => {
            tracing::warn!(?fault, "the store could not serve a request");
            let text = "The server cannot serve this request at the moment. Please try again.";
            Problem::over_capacity(text, STORE_RETRY_AFTER_S)
        }
        FaultKind::Conflict(_) | FaultKind::Corrupt | FaultKind::Newer | FaultKind::Internal => {
            tracing::error!(?fault, "a request failed");
            Problem::general()
        }
    }
}

/// The answer when a body did not arrive whole.
impl From<BodyError> for Problem {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::TooLarge { bytes_max } => {
                let text = format!("The request body is larger than {bytes_max} bytes.");
                Self::new(StatusCode::PAYLOAD_TOO_LARGE, "InvalidInput", text)
            }
            BodyError::Broken => Self::invalid_input("The request body ended early or is badly framed."),
            BodyError::Timeout => {
                let text = "The request body did not arrive in time.";
                Self::new(StatusCode::REQUEST_TIMEOUT, "InvalidInput", text)
            }
        }
    }
}

/// The frame's own answers (see [`http::Reply`]).
pub fn of_frame(failure: http::Failure, path: &str) -> Response {
    let problem = match failure {
        http::Failure::Panic => Problem::general(),
        http::Failure::Timeout => {
            Problem::over_capacity("The request took too long. Please try again.", STORE_RETRY_AFTER_S)
        }
        http::Failure::HeadTooLarge => {
            Problem { status: failure.status(), ..Problem::invalid_input("The request's head is too large.") }
        }
    };
    if path.starts_with("/oauth/") { problem.as_auth().into_response() } else { problem.into_response() }
}

/// The text, cut if it is absurdly long.
fn shortened(text: &str) -> String {
    match text.char_indices().nth(REPEATED_CHARS_MAX) {
        Some((end, _)) => format!("{}...", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}
