//! Answers: the only place where a [`Refusal`] or a [`Fault`] becomes HTTP, in the words of both APIs (naviga.md 1.3, 2.4,
//! 2.5, 4.2, 4.3).

use std::borrow::Cow;

use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::Response;
use keyherald_core::Refusal;
use keyherald_core::policy::Broken;
use keyherald_core::provider::{PolicyText, ProviderError};
use keyherald_core::seal::SealError;
use serde_json::{Value, json};

use super::route::{Era, era};
use super::tenant::Tenant;
use crate::app::{Failure, Fault, FaultKind};
use crate::http::{self, BodyError, RequestIds};

const JSON: HeaderValue = HeaderValue::from_static("application/json; charset=utf-8");

/// Seconds after which a caller may try again when the store could not serve it.
const STORE_RETRY_AFTER_S: u32 = 1;
/// Longest `X-RequestId` that is echoed, in bytes.
const REQUEST_ID_BYTES_MAX: usize = 256;

/// What an endpoint answers.
pub type Answer = Result<Reply, Problem>;

/// One of the contract's codes (naviga.md 2.5): `UsersOrchestrator_{S|E}{status}[_{number}]`, and its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Code {
    status: StatusCode,
    number: Option<u8>,
    text: &'static str,
}

const fn code(status: StatusCode, number: Option<u8>, text: &'static str) -> Code {
    Code { status, number, text }
}

/// The start of a recovery.
pub const S200_08: Code = code(StatusCode::OK, Some(8), "Start ForgotPassword completed.");
/// What was mailed can be redeemed.
pub const S200_09: Code = code(StatusCode::OK, Some(9), "Validate ForgotPassword completed.");
/// A forgotten password was replaced.
pub const S200_10: Code = code(StatusCode::OK, Some(10), "Finish ForgotPassword completed.");
/// A password was set.
pub const S200_11: Code = code(StatusCode::OK, Some(11), "Update password completed.");
/// An e-mail address was set.
pub const S200_12: Code = code(StatusCode::OK, Some(12), "Update Email completed.");
/// A sign-in.
pub const AUTHENTICATED: Code = code(StatusCode::OK, None, "Authentication completed.");
/// The request is wrong in a way that has no code of its own.
pub const E400: Code = code(StatusCode::BAD_REQUEST, None, "Bad Request");
/// Something in the request is wrong; the text goes on with what.
pub const E400_00: Code = code(StatusCode::BAD_REQUEST, Some(0), "Invalid InputModel");
/// The same, where the contract says no more.
pub const E400_02: Code = code(StatusCode::BAD_REQUEST, Some(2), "Invalid InputModel");
/// Somebody has the address and has not proved it.
pub const E400_07: Code =
    code(StatusCode::BAD_REQUEST, Some(7), "The entered email address is still pending verification.");
/// Somebody has the address.
pub const E400_08: Code = code(StatusCode::BAD_REQUEST, Some(8), "The email is already in use by another user");
/// No user has the address.
pub const E400_14: Code = code(StatusCode::BAD_REQUEST, Some(14), "The email is not registered.");
/// The code is wrong, too old, or was tried too often.
pub const E400_15: Code = code(StatusCode::BAD_REQUEST, Some(15), "The verification code is invalid.");
/// There is nothing to verify.
pub const E400_16: Code = code(StatusCode::BAD_REQUEST, Some(16), "Email is already verified.");
/// The user's record cannot be changed.
pub const E400_22: Code = code(StatusCode::BAD_REQUEST, Some(22), "There was an error trying to update the user.");
const E401: Code = code(StatusCode::UNAUTHORIZED, None, "");
const E404: Code = code(StatusCode::NOT_FOUND, None, "Not Found");
const E500: Code = code(StatusCode::INTERNAL_SERVER_ERROR, None, "Internal Server Error");
const E500_01: Code =
    code(StatusCode::INTERNAL_SERVER_ERROR, Some(1), "There was a problem during the GetById workflow.");
/// A user could not be read.
pub const E500_02: Code =
    code(StatusCode::INTERNAL_SERVER_ERROR, Some(2), "There was a problem during the Get workflow.");
/// Ours: no table of the contract has it. Nothing of the call was begun, or the database is away.
const E503: Code = code(StatusCode::SERVICE_UNAVAILABLE, None, "Service Unavailable");

/// The success of an endpoint whose code no document gives: a bare one cannot be another's.
pub const fn completed(text: &'static str) -> Code {
    code(StatusCode::OK, None, text)
}

impl Code {
    fn name(self) -> String {
        let letter = if self.status.is_success() { 'S' } else { 'E' };
        let number = self.number.map(|number| format!("_{number:02}")).unwrap_or_default();
        format!("UsersOrchestrator_{letter}{}{number}", self.status.as_u16())
    }

    /// The code of an error in the old API (naviga.md 4.2).
    fn old_name(self) -> String {
        match (self.status, self.number) {
            (StatusCode::BAD_REQUEST, Some(number)) => format!("Users{number:02}"),
            (status, Some(number)) => format!("Users{}{number:02}", status.as_u16() / 100),
            (status, None) => format!("Users{}", status.as_u16()),
        }
    }
}

/// A success.
pub struct Reply(Success);

enum Success {
    V4(Code, Option<Value>),
    Old(Value),
}

impl Reply {
    /// In the envelope of today, without data.
    pub fn ok(code: Code) -> Self {
        Self(Success::V4(code, None))
    }

    /// The same with data.
    pub fn with_data(code: Code, data: Value) -> Self {
        Self(Success::V4(code, Some(data)))
    }

    /// In the old envelope.
    pub fn old(result: Value) -> Self {
        Self(Success::Old(result))
    }
}

/// Why there is no success: the same for both APIs.
#[derive(Debug, PartialEq, Eq)]
pub enum Problem {
    /// This header is not there.
    Missing(&'static str),
    /// This header is wrong.
    Invalid(&'static str),
    /// The body is no JSON object.
    NoBody,
    /// One of the contract's codes.
    Coded {
        /// Which.
        code: Code,
        /// What is wrong, where the code's text goes on with it.
        detail: Option<Cow<'static, str>>,
        /// Seconds after which another try is worth it.
        retry_after_s: Option<u32>,
    },
}

impl Problem {
    /// With the code's text alone.
    pub fn of(code: Code) -> Self {
        Self::Coded { code, detail: None, retry_after_s: None }
    }

    /// The request is wrong somehow.
    pub fn bad_request() -> Self {
        Self::of(E400)
    }

    /// There is no such endpoint.
    pub fn not_found() -> Self {
        Self::of(E404)
    }

    /// Something in the request is wrong, and what.
    pub fn invalid_input(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::Coded { code: E400_00, detail: Some(detail.into()), retry_after_s: None }
    }

    fn later(code: Code, retry_after_s: u32) -> Self {
        Self::Coded { code, detail: None, retry_after_s: Some(retry_after_s) }
    }

    fn retry_after_s(&self) -> Option<u32> {
        match self {
            Self::Coded { retry_after_s, .. } => *retry_after_s,
            Self::Missing(_) | Self::Invalid(_) | Self::NoBody => None,
        }
    }

    /// Code and text in the envelope of today.
    fn in_v4(&self) -> (Code, String) {
        match self {
            Self::Missing(header) => (E400_00, format!("Invalid InputModel - {header} is missing.")),
            Self::Invalid(header) => (E401, format!("Invalid {header}.")),
            Self::NoBody => (E400_00, "Invalid InputModel - The request body is not valid JSON.".into()),
            Self::Coded { code, detail: Some(detail), .. } => (*code, format!("{} - {detail}", code.text)),
            Self::Coded { code, detail: None, .. } => (*code, code.text.into()),
        }
    }

    /// What the old API answers outside of its envelope. `None`: it answers in it.
    fn in_old_transport(&self) -> Option<(StatusCode, String)> {
        let failed = "Something went wrong. Please try again later.";
        match self {
            Self::Missing(header) => Some((StatusCode::BAD_REQUEST, format!("{header} is missing."))),
            Self::Invalid(header) => Some((StatusCode::UNAUTHORIZED, format!("Invalid {header}."))),
            Self::NoBody => Some((StatusCode::BAD_REQUEST, "request cannot be null.".into())),
            Self::Coded { code, .. } if code.status.is_server_error() && *code != E500_01 => {
                Some((code.status, failed.into()))
            }
            Self::Coded { .. } => None,
        }
    }
}

/// The caller's id of a request, which is echoed in the old envelope and logged, and means nothing here.
pub fn request_id(headers: &HeaderMap) -> Option<&str> {
    let sent = headers.get("x-requestid")?.to_str().ok();
    sent.filter(|text| (1..=REQUEST_ID_BYTES_MAX).contains(&text.len()))
}

/// How the answer to one request looks.
pub struct Frame {
    era: Era,
    /// For the old envelope: our id of the request, and the caller's.
    session: uuid::Uuid,
    request_id: String,
}

impl Frame {
    /// Of a request to this API.
    pub fn of(era: Era, headers: &HeaderMap, ids: Option<&RequestIds>) -> Self {
        let session = ids.map_or_else(uuid::Uuid::nil, |ids| ids.request);
        Self { era, session, request_id: request_id(headers).unwrap_or("0").to_owned() }
    }

    /// The answer as HTTP.
    pub fn respond(&self, answer: Answer) -> Response {
        let problem = match answer {
            Ok(Reply(Success::V4(code, data))) => {
                let said = message(code, code.text, "Success");
                let body = match data {
                    Some(data) => json!({"message": said, "data": data, "meta": null}),
                    None => json!({"message": said, "meta": null}),
                };
                return json_response(code.status, &body);
            }
            Ok(Reply(Success::Old(result))) => {
                return json_response(StatusCode::OK, &self.old_envelope(&json!([]), &result));
            }
            Err(problem) => problem,
        };
        let (code, text) = problem.in_v4();
        let mut response = match (self.era, problem.in_old_transport()) {
            (Era::V4, _) => json_response(code.status, &envelope(code, &text, "Error")),
            (Era::Old, Some((status, text))) => json_response(status, &json!({"error": text})),
            (Era::Old, None) => {
                let kind = json!({"Id": 0, "Code": "Validation"});
                let error = json!({"Message": text, "Code": code.old_name(), "Type": kind, "ErrorSource": null});
                json_response(StatusCode::OK, &self.old_envelope(&json!([error]), &Value::Null))
            }
        };
        if let Some(seconds) = problem.retry_after_s() {
            response.headers_mut().insert(RETRY_AFTER, seconds.into());
        }
        if response.status() == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }

    fn old_envelope(&self, errors: &Value, result: &Value) -> Value {
        let (session, request_id) = (self.session.to_string(), self.request_id.as_str());
        json!({"Code": 200, "Errors": errors, "Result": result, "SessionId": session, "RequestId": request_id})
    }
}

fn envelope(code: Code, text: &str, kind: &str) -> Value {
    json!({"message": message(code, text, kind), "meta": null})
}

fn message(code: Code, text: &str, kind: &str) -> Value {
    json!({"code": code.name(), "text": text, "type": kind})
}

fn json_response(status: StatusCode, body: &Value) -> Response {
    let mut response = Response::new(Body::from(body.to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, JSON);
    // Whatever is answered here concerns one person.
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// The answer to a use case that did not do what was asked.
pub fn failed(failure: Failure, tenant: &Tenant) -> Problem {
    match failure {
        Failure::Refused(refusal) => refused(&refusal, tenant),
        Failure::Fault(fault) => faulted(&fault),
    }
}

/// The answer about a user who is not here, or not at the provider: the only documented code that names the look-up.
pub fn unknown_user(tenant: &Tenant) -> Problem {
    Problem::of(if tenant.unknown_user_is_404 { E404 } else { E500_01 })
}

/// The answer to a read by something else than the user's id (naviga.md 3.6).
pub fn not_read(failure: Failure, unknown: Code) -> Problem {
    match failure {
        Failure::Refused(Refusal::CustomerNotFound(_)) => Problem::of(unknown),
        Failure::Refused(Refusal::NotLookedUp(_)) => Problem::of(E500_02),
        Failure::Refused(Refusal::Overloaded { retry_after_s }) => Problem::later(E503, retry_after_s),
        Failure::Refused(_) => Problem::of(E500),
        Failure::Fault(fault) => faulted(&fault),
    }
}

/// The answer to an update that the provider or our database refused (naviga.md 3.2).
pub fn not_updated(failure: Failure, tenant: &Tenant) -> Problem {
    match failure {
        Failure::Refused(Refusal::ProviderRefused(ProviderError::UserNotFound)) => unknown_user(tenant),
        Failure::Refused(Refusal::ProviderRefused(_) | Refusal::Duplicate(_) | Refusal::TooLarge) => {
            Problem::of(E400_22)
        }
        other => failed(other, tenant),
    }
}

/// The answer to a refusal. The contract has no code for most of what a provider can say: see naviga.md 1.3.
pub fn refused(refusal: &Refusal, tenant: &Tenant) -> Problem {
    match refusal {
        Refusal::CustomerNotFound(_) => unknown_user(tenant),
        Refusal::NotLookedUp(why) => match &**why {
            Refusal::ProviderRefused(ProviderError::UserNotFound) => unknown_user(tenant),
            _ => Problem::of(E500_01),
        },
        Refusal::PasswordBroken(broken) => Problem::invalid_input(not_accepted(broken)),
        Refusal::ProviderRefused(error) => refused_by_provider(error, tenant),
        Refusal::IdempotencyKeyReused => {
            Problem::invalid_input("The Idempotency-Key header was used for another request already.")
        }
        Refusal::NotPasswordMode => Problem::invalid_input("The user does not sign in with a password."),
        // Not known yet, or not to be had: its documented words. When to come back is more than it documents.
        Refusal::PasswordChangeUnderway { retry_after_s } | Refusal::ProviderUnreachable { retry_after_s } => {
            Problem::later(E500, *retry_after_s)
        }
        Refusal::Overloaded { retry_after_s } => Problem::later(E503, *retry_after_s),
        Refusal::TokenUnknown
        | Refusal::TokenExpired(_)
        | Refusal::CurrentPasswordWrong
        | Refusal::CredentialsWrong
        | Refusal::SameAuthenticationMode(_)
        | Refusal::PasswordMissing
        | Refusal::LanguageUnknown { .. }
        | Refusal::ReferenceNotFound { .. }
        | Refusal::AddressNotFound(_)
        | Refusal::CustomerNumberIsSet
        | Refusal::TooManyActions { .. }
        | Refusal::TooLarge
        | Refusal::Duplicate(_) => Problem::bad_request(),
        // Of other contracts' resources: a defect of ours if one comes here.
        Refusal::VersionMismatch { .. }
        | Refusal::NotProved
        | Refusal::ProjectNotFound
        | Refusal::ShopNotFound(_)
        | Refusal::MessageNotFound
        | Refusal::SubscriptionNotFound
        | Refusal::NothingSubscribed
        | Refusal::FilterUnfit(_)
        | Refusal::TemplateFails(_)
        | Refusal::TooManySubscriptions { .. } => Problem::of(E500),
    }
}

/// Which rules of the tenant a new password breaks.
fn not_accepted(broken: &[Broken]) -> String {
    let rules: Vec<String> = broken.iter().map(ToString::to_string).collect();
    format!("The password is not accepted: {}.", rules.join("; "))
}

/// What concerns the password is told in the provider's words, so that it reaches the user; the rest is our trouble.
fn refused_by_provider(error: &ProviderError, tenant: &Tenant) -> Problem {
    let said = error.message().map(PolicyText::as_str).filter(|text| !text.is_empty());
    let text = match error {
        ProviderError::PolicyViolation { .. } => {
            "The password does not meet the requirements of the identity provider."
        }
        ProviderError::PasswordReused { .. } => "The password was used before.",
        ProviderError::TooYoung => "The password was changed too recently to be changed again.",
        ProviderError::Vetoed { .. } => "The identity provider refused the password.",
        ProviderError::UserNotFound => return unknown_user(tenant),
        ProviderError::OldPasswordWrong
        | ProviderError::NeedsInteraction
        | ProviderError::UserAmbiguous
        | ProviderError::UserBlocked
        | ProviderError::AccountIncomplete
        | ProviderError::CredentialUnsupported
        | ProviderError::Conflict
        | ProviderError::Stale
        | ProviderError::InsufficientScope
        | ProviderError::AdminAuth
        | ProviderError::ClockSkew
        | ProviderError::Misconfigured
        | ProviderError::InvalidRequest
        | ProviderError::RateLimited { .. }
        | ProviderError::Transient
        | ProviderError::Ambiguous
        | ProviderError::NotSupported => return Problem::of(E500),
    };
    Problem::invalid_input(said.unwrap_or(text).to_owned())
}

/// The answer to a fault: that there was one. What it was is logged.
pub fn faulted(fault: &Fault) -> Problem {
    match fault.kind() {
        FaultKind::NoRoom | FaultKind::Unavailable | FaultKind::TimedOut | FaultKind::Contention => {
            tracing::warn!(?fault, "the store could not serve a request");
            Problem::later(E503, STORE_RETRY_AFTER_S)
        }
        FaultKind::Conflict(_) | FaultKind::Corrupt | FaultKind::Newer | FaultKind::Internal => {
            tracing::error!(?fault, "a request failed");
            Problem::of(E500)
        }
    }
}

/// The answer when an id cannot be encrypted: there is no key.
pub fn unsealed(error: &SealError) -> Problem {
    tracing::error!(%error, "an id cannot be encrypted");
    Problem::of(E500)
}

/// The answer when a token cannot be checked: that is not the caller's fault.
pub fn faulted_keys() -> Problem {
    Problem::later(E500, STORE_RETRY_AFTER_S)
}

/// The answer when a body did not arrive whole.
impl From<BodyError> for Problem {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::TooLarge { .. } | BodyError::Broken | BodyError::Timeout => Self::bad_request(),
        }
    }
}

/// The frame's own answers (see [`http::Reply`]).
pub fn of_frame(failure: http::Failure, path: &str) -> Response {
    let problem = match failure {
        http::Failure::Panic => Problem::of(E500),
        http::Failure::Timeout => Problem::later(E500, STORE_RETRY_AFTER_S),
        http::Failure::HeadTooLarge => Problem::bad_request(),
    };
    Frame::of(era(path).unwrap_or(Era::V4), &HeaderMap::new(), None).respond(Err(problem))
}
