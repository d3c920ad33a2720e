//! Answers: the only place where a [`Refusal`] or a [`Fault`] becomes HTTP, in the contract's envelope (paysafe.md 7.2).

use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use keyherald_core::Refusal;
use keyherald_core::policy::Broken;
use keyherald_core::verification::State;
use serde_json::{Map, Value, json};

use crate::app::{Failure, Fault, FaultKind};
use crate::http::{self, BodyError};

const JSON: HeaderValue = HeaderValue::from_static("application/json");
/// Seconds after which a caller may try again when the store could not serve it.
const STORE_RETRY_AFTER_S: u32 = 1;
/// The contract's number for a member that is missing or ill-formed.
const FIELD_ERRORS: &str = "5068";

/// What an endpoint answers.
pub type Answer = Result<Reply, Problem>;

/// A success.
pub struct Reply {
    status: u16,
    body: Option<Value>,
}

impl Reply {
    /// With a body.
    pub fn new(status: u16, body: Value) -> Self {
        Self { status, body: Some(body) }
    }

    /// Without one.
    pub fn empty(status: u16) -> Self {
        Self { status, body: None }
    }
}

/// Why there is no success.
#[derive(Debug, PartialEq, Eq)]
pub struct Problem {
    status: StatusCode,
    code: &'static str,
    message: &'static str,
    details: Vec<String>,
    fields: Vec<(String, &'static str)>,
    retry_after_s: Option<u32>,
}

impl Problem {
    fn of(status: StatusCode, code: &'static str, message: &'static str) -> Self {
        Self { status, code, message, details: Vec::new(), fields: Vec::new(), retry_after_s: None }
    }

    fn later(self, retry_after_s: u32) -> Self {
        Self { retry_after_s: Some(retry_after_s), ..self }
    }

    /// The body is no JSON object.
    pub fn unreadable() -> Self {
        Self::of(StatusCode::BAD_REQUEST, FIELD_ERRORS, "The request body is not valid JSON")
    }

    /// These members are wrong.
    pub fn fields(fields: Vec<(String, &'static str)>) -> Self {
        Self { fields, ..Self::of(StatusCode::BAD_REQUEST, FIELD_ERRORS, "Field error(s)") }
    }

    /// There is no such endpoint.
    pub fn not_found() -> Self {
        Self::of(StatusCode::NOT_FOUND, "DW-NOT-FOUND", "Not found")
    }

    /// The brand has no pages to which customers could be sent.
    pub fn no_pages() -> Self {
        let message = "There are no hosted pages for this brand";
        Self::of(StatusCode::NOT_FOUND, "DW-NOT-FOUND", message)
    }

    /// The endpoint is another method's.
    pub fn method_not_allowed() -> Self {
        Self::of(StatusCode::METHOD_NOT_ALLOWED, "DW-METHOD-NOT-ALLOWED", "Method not allowed")
    }

    /// No token, or none that counts.
    pub fn unauthorized() -> Self {
        Self::of(StatusCode::UNAUTHORIZED, "DW-UNAUTHORIZED", "Unauthorized")
    }

    /// A token of another kind.
    pub fn insufficient_scope() -> Self {
        Self::of(StatusCode::FORBIDDEN, "DW-INSUFFICIENT-SCOPE", "The token does not allow this operation")
    }

    /// The `Signature` is missing or wrong.
    pub fn invalid_signature() -> Self {
        Self::of(StatusCode::UNAUTHORIZED, "DW-INVALID-SIGNATURE", "The signature is missing or does not match")
    }

    /// A grant that is none of ours.
    pub fn unsupported_grant() -> Self {
        let message = "The grant type is not supported; use client_credentials, password or refresh_token";
        Self::of(StatusCode::BAD_REQUEST, "DW-UNSUPPORTED-GRANT-TYPE", message)
    }

    /// No such process.
    pub fn verification_not_found() -> Self {
        Self::of(StatusCode::NOT_FOUND, "DW-VERIFICATION-NOT-FOUND", "The verification does not exist")
    }

    /// No customer can have such an id.
    pub fn customer_id_invalid() -> Self {
        let problem = Self::bad_request("DW-CUSTOMER-ID-SHOULD-BE-VALID", "CustomerId is not supported");
        Self { details: vec!["CustomerId should be a valid value".to_owned()], ..problem }
    }

    /// What was to be proved was not: one answer, whatever is wrong.
    pub fn verification_invalid() -> Self {
        Self::bad_request("DW-CUSTOMER-VERIFICATION-INVALID", "The verification is not valid")
    }

    /// The process takes no attempts.
    pub fn verification_not_active(state: State) -> Self {
        let detail = match state {
            State::Active | State::Verified => "ALREADY_VERIFIED",
            State::Exhausted => "ATTEMPTS_EXHAUSTED",
            State::Expired => "EXPIRED",
            State::Superseded => "SUPERSEDED",
            State::Consumed => "CONSUMED",
        };
        let problem = Self::of(StatusCode::BAD_REQUEST, "DW-VERIFICATION-NOT-ACTIVE", "The verification is not active");
        Self { details: vec![detail.to_owned()], ..problem }
    }

    /// The attribute has had too many processes.
    pub fn verification_limit(retry_after_s: u32) -> Self {
        let message = "Too many verifications of this attribute";
        Self::of(StatusCode::TOO_MANY_REQUESTS, "DW-VERIFICATION-LIMIT-EXCEEDED", message).later(retry_after_s)
    }

    /// Too many requests of one source, or of the brand.
    pub fn too_many(retry_after_s: u32) -> Self {
        Self::of(StatusCode::TOO_MANY_REQUESTS, "DW-TOO-MANY-REQUESTS", "Too many requests").later(retry_after_s)
    }

    fn internal() -> Self {
        Self::of(StatusCode::INTERNAL_SERVER_ERROR, "DW-INTERNAL-ERROR", "Internal error")
    }

    fn unavailable(retry_after_s: u32) -> Self {
        let problem = Self::of(StatusCode::SERVICE_UNAVAILABLE, "DW-SERVICE-UNAVAILABLE", "Service unavailable");
        problem.later(retry_after_s)
    }

    fn bad_request(code: &'static str, message: &'static str) -> Self {
        Self::of(StatusCode::BAD_REQUEST, code, message)
    }
}

/// The answer as HTTP.
pub fn respond(answer: Answer) -> Response {
    let problem = match answer {
        Ok(Reply { status, body }) => {
            return response(StatusCode::from_u16(status).unwrap_or_default(), body.as_ref());
        }
        Err(problem) => problem,
    };
    let mut error = Map::new();
    error.insert("code".to_owned(), problem.code.into());
    error.insert("message".to_owned(), problem.message.into());
    if !problem.details.is_empty() {
        error.insert("details".to_owned(), problem.details.into());
    }
    if !problem.fields.is_empty() {
        let fields = problem.fields.into_iter().map(|(field, error)| json!({"field": field, "error": error}));
        error.insert("fieldErrors".to_owned(), fields.collect());
    }
    let mut response = response(problem.status, Some(&json!({"error": error})));
    if let Some(seconds) = problem.retry_after_s {
        response.headers_mut().insert(RETRY_AFTER, seconds.into());
    }
    if problem.status == StatusCode::UNAUTHORIZED {
        response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}

fn response(status: StatusCode, body: Option<&Value>) -> Response {
    let mut response = Response::new(body.map_or_else(Body::empty, |body| Body::from(body.to_string())));
    *response.status_mut() = status;
    if body.is_some() {
        response.headers_mut().insert(CONTENT_TYPE, JSON);
    }
    // Whatever is answered here concerns one person.
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// The answer to a use case that did not do what was asked.
pub fn failed(failure: Failure) -> Problem {
    match failure {
        Failure::Refused(refusal) => refused(&refusal),
        Failure::Fault(fault) => faulted(&fault),
    }
}

/// The answer to a refusal.
pub fn refused(refusal: &Refusal) -> Problem {
    match refusal {
        Refusal::CustomerNotFound(_) => {
            Problem::of(StatusCode::NOT_FOUND, "DW-CUSTOMER-NOT-FOUND", "The customer does not exist")
        }
        Refusal::CredentialsWrong => Problem::unauthorized(),
        Refusal::CurrentPasswordWrong | Refusal::PasswordMissing => {
            Problem::bad_request("DW-CUSTOMER-CREDENTIALS-INVALID", "The credentials are not valid")
        }
        Refusal::NotPasswordMode => {
            Problem::of(StatusCode::FORBIDDEN, "DW-CUSTOMER-RESTRICTED", "The customer cannot use such credentials")
        }
        Refusal::NotProved | Refusal::TokenUnknown | Refusal::TokenExpired(_) => Problem::verification_invalid(),
        Refusal::Duplicate(_) => Problem::bad_request("DW-CUSTOMER-EXISTS", "There is such a customer already"),
        Refusal::PasswordBroken(broken) => not_accepted(broken),
        Refusal::ProviderRefused(_) => {
            Problem::bad_request("DW-CUSTOMER-CREDENTIALS-POLICY", "The credentials do not satisfy the policy")
        }
        Refusal::NotLookedUp(why) => refused(why),
        Refusal::IdempotencyKeyReused => {
            Problem::bad_request("DW-IDEMPOTENCY-KEY-REUSED", "The Idempotency-Key was used for another request")
        }
        Refusal::PasswordChangeUnderway { retry_after_s }
        | Refusal::ProviderUnreachable { retry_after_s }
        | Refusal::Overloaded { retry_after_s } => Problem::unavailable(*retry_after_s),
        // No call of this contract can meet these.
        Refusal::VersionMismatch { .. }
        | Refusal::ReferenceNotFound { .. }
        | Refusal::AddressNotFound(_)
        | Refusal::LanguageUnknown { .. }
        | Refusal::SameAuthenticationMode(_)
        | Refusal::CustomerNumberIsSet
        | Refusal::TooManyActions { .. }
        | Refusal::TooLarge
        | Refusal::ProjectNotFound
        | Refusal::ShopNotFound(_)
        | Refusal::MessageNotFound
        | Refusal::SubscriptionNotFound
        | Refusal::NothingSubscribed
        | Refusal::FilterUnfit(_)
        | Refusal::TemplateFails(_)
        | Refusal::TooManySubscriptions { .. } => Problem::internal(),
    }
}

/// A new password that is not accepted: which rules it breaks, one detail each (paysafe.md 4.2).
fn not_accepted(broken: &[Broken]) -> Problem {
    let problem = if matches!(broken, [Broken::Reused]) {
        Problem::bad_request("DW-CUSTOMER-CREDENTIALS-REUSED", "The credentials were used before")
    } else {
        Problem::bad_request("DW-CUSTOMER-CREDENTIALS-POLICY", "The credentials do not satisfy the policy")
    };
    Problem { details: broken.iter().map(ToString::to_string).collect(), ..problem }
}

/// The answer to a fault: that there was one. What it was is logged.
pub fn faulted(fault: &Fault) -> Problem {
    match fault.kind() {
        FaultKind::NoRoom | FaultKind::Unavailable | FaultKind::TimedOut | FaultKind::Contention => {
            tracing::warn!(?fault, "the store could not serve a request");
            Problem::unavailable(STORE_RETRY_AFTER_S)
        }
        FaultKind::Conflict(_) | FaultKind::Corrupt | FaultKind::Newer | FaultKind::Internal => {
            tracing::error!(?fault, "a request failed");
            Problem::internal()
        }
    }
}

/// The answer when a body did not arrive whole.
impl From<BodyError> for Problem {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::TooLarge { .. } | BodyError::Broken | BodyError::Timeout => Self::unreadable(),
        }
    }
}

/// The frame's own answers (see [`http::Reply`]).
pub fn of_frame(failure: http::Failure) -> Response {
    respond(Err(match failure {
        http::Failure::Panic => Problem::internal(),
        http::Failure::Timeout => Problem::unavailable(STORE_RETRY_AFTER_S),
        http::Failure::HeadTooLarge => Problem::unreadable(),
    }))
}
