//! Answers: the only place where a [`Refusal`] or a [`Fault`] becomes HTTP (commercetools.md chapter 9).
//!
//! The forms of errors are in [`problem`](Problem).

mod problem;

use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use keyherald_core::Refusal;
use keyherald_core::customer::Version;
use keyherald_core::id::Reference;
use keyherald_core::policy::Broken;
use keyherald_core::provider::{PolicyText, ProviderError};
use keyherald_core::refusal::{Lookup, UniqueField, Versioned};
use keyherald_core::subscription::FilterUnfit;
use keyherald_core::token::TokenKind;
use serde_json::{Value, json};

pub use self::problem::Problem;
use self::problem::shortened;
use crate::app::{Failure, Fault, FaultKind};
use crate::http::{self, BodyError};

const JSON: HeaderValue = HeaderValue::from_static("application/json; charset=utf-8");

/// Seconds after which a caller may try again when the store could not serve it.
const STORE_RETRY_AFTER_S: u32 = 1;

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

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = json_response(self.status(), &self.body());
        if let Some(seconds) = self.retry_after_s() {
            response.headers_mut().insert(RETRY_AFTER, seconds.into());
        }
        if let Some(challenge) = self.challenge() {
            response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
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

/// The answer to an unknown route or method (commercetools.md 2.1): without `errors`.
pub fn method_not_allowed() -> Response {
    json_response(StatusCode::METHOD_NOT_ALLOWED, &json!({"statusCode": 405, "message": "Method Not Allowed"}))
}

/// What a request named, in its own words, for the texts that repeat it.
#[derive(Default)]
pub struct Named {
    /// The resource's id.
    pub id: String,
    /// The resource's key.
    pub key: String,
    /// The key that it is to have, where the request names it by another.
    pub new_key: String,
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

    fn id_not_found(&self) -> Problem {
        Problem::not_found(format!("The Resource with ID '{}' was not found.", shortened(&self.id)))
    }

    /// The problem that nothing has the key.
    pub fn key_not_found(&self) -> Problem {
        Problem::not_found(format!("The Resource with key '{}' was not found.", shortened(&self.key)))
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

/// The same for a query of the caller's own making, which may be more than can be answered in time.
pub fn failed_query(failure: Failure) -> Problem {
    match failure {
        Failure::Fault(fault) if fault.kind() == FaultKind::TimedOut => {
            Problem::bad_request("QueryTimedOut", "The query timed out.")
        }
        other => failed(other, &Named::default()),
    }
}

/// The answer to a refusal.
pub fn refused(refusal: &Refusal, named: &Named) -> Problem {
    match refusal {
        Refusal::CustomerNotFound(Lookup::Key) | Refusal::ShopNotFound(Lookup::Key) | Refusal::ProjectNotFound => {
            named.key_not_found()
        }
        Refusal::SubscriptionNotFound if named.id.is_empty() => named.key_not_found(),
        Refusal::CustomerNotFound(Lookup::Id)
        | Refusal::ShopNotFound(_)
        | Refusal::MessageNotFound
        | Refusal::SubscriptionNotFound => named.id_not_found(),
        Refusal::CustomerNotFound(Lookup::Email) => {
            Problem::not_found(format!("The Customer with ID '{}' was not found.", shortened(&named.email)))
        }
        Refusal::CustomerNotFound(Lookup::Token) | Refusal::TokenUnknown => {
            Problem::not_found(format!("The Customer with ID 'Token({})' was not found.", shortened(&named.token)))
        }
        Refusal::VersionMismatch { of, expected, actual } => version_mismatch(*of, *expected, *actual, named),
        Refusal::CurrentPasswordWrong => {
            Problem::bad_request("InvalidCurrentPassword", "The given current password does not match.")
        }
        Refusal::CredentialsWrong => {
            Problem::bad_request("InvalidCredentials", "Account with the given credentials not found.")
        }
        Refusal::TokenExpired(TokenKind::Password) => {
            Problem::bad_request("ExpiredCustomerPasswordToken", "The given password token has expired.")
        }
        Refusal::TokenExpired(TokenKind::Email) => {
            Problem::bad_request("ExpiredCustomerEmailToken", "The given email token has expired.")
        }
        Refusal::NotProved => Problem::invalid_operation("What was to be proved was not."),
        Refusal::NotPasswordMode => {
            Problem::invalid_operation("The customer does not use the 'Password' authentication mode.")
        }
        Refusal::ReferenceNotFound { of, by } => Problem::reference_not_found(of.as_str(), spelled(by)),
        Refusal::AddressNotFound(by) => {
            let (name, value) = spelled(by);
            let name = if name == "id" { "ID" } else { name };
            let value = shortened(value);
            Problem::invalid_operation(format!("The customer does not contain an address with the {name} '{value}'."))
        }
        Refusal::LanguageUnknown { locale } => Problem::invalid_field("locale", &Value::from(locale.as_str())),
        Refusal::SameAuthenticationMode(mode) => {
            Problem::invalid_input(format!("The customer is already using the '{mode}' authentication mode."))
        }
        Refusal::PasswordMissing => Problem::invalid_json("password: Missing required value"),
        Refusal::CustomerNumberIsSet => {
            Problem::invalid_operation("The customerNumber cannot be changed once it is set.")
        }
        Refusal::TooManyActions { limit } => {
            Problem::invalid_input(format!("A request can have at most {limit} update actions."))
        }
        Refusal::TooLarge => {
            Problem::bad_request("ResourceSizeLimitExceeded", "The resource exceeds the size limit of 16 MB.")
        }
        Refusal::Duplicate(field) => duplicate(*field, named),
        Refusal::NothingSubscribed | Refusal::FilterUnfit(_) | Refusal::TemplateFails(_) => unfit_subscription(refusal),
        Refusal::TooManySubscriptions { limit } => Problem::too_many("subscription", *limit),
        Refusal::PasswordChangeUnderway { retry_after_s } | Refusal::Overloaded { retry_after_s } => {
            Problem::over_capacity("The server has too much to do at the moment. Please try again.", *retry_after_s)
        }
        Refusal::PasswordBroken(broken) => Problem::invalid_operation(not_accepted(broken)),
        Refusal::ProviderRefused(error) => refused_by_provider(error),
        Refusal::NotLookedUp(why) => refused(why, named),
        Refusal::IdempotencyKeyReused => {
            Problem::invalid_input("The Idempotency-Key was used for another request already.")
        }
        Refusal::ProviderUnreachable { retry_after_s } => Problem::over_capacity(UNREACHABLE, *retry_after_s),
    }
}

fn version_mismatch(of: Versioned, expected: Version, actual: Version, named: &Named) -> Problem {
    let id = match of {
        Versioned::Customer(id) => id.to_string(),
        Versioned::Subscription(id) => id.to_string(),
        Versioned::Project => named.id.clone(),
    };
    let message =
        format!("Object {id} has a different version than expected. Expected: {expected} - Actual: {actual}.");
    Problem::new(StatusCode::CONFLICT, "ConcurrentModification", message).with("currentVersion", actual)
}

const UNREACHABLE: &str =
    "The identity provider cannot be reached at the moment. Nothing was changed. Please try again.";

/// A subscription that does not go together.
fn unfit_subscription(refusal: &Refusal) -> Problem {
    match refusal {
        Refusal::FilterUnfit(why) => Problem::invalid_input(match why {
            FilterUnfit::Format => "filter: Only the formats Platform and CloudEvents can be filtered.",
            FilterUnfit::FlowsOfChanges => {
                "filter.flows: Changes come about by no flow. Leave 'changes' empty, and make another subscription for them."
            }
            FilterUnfit::TransformedFormat => "transformation: Only the format Platform can be transformed.",
            FilterUnfit::JsonOnly => {
                "transformation.contentType: This type of destination takes JSON alone; leave it out, or write 'application/json'."
            }
        }),
        Refusal::TemplateFails(why) => Problem::invalid_input(format!("transformation.template: {why}")),
        _ => Problem::nothing_subscribed(),
    }
}

/// Which rules of the project a new password breaks: in the contract's one error with a free text, as a provider's are.
fn not_accepted(broken: &[Broken]) -> String {
    let rules: Vec<String> = broken.iter().map(ToString::to_string).collect();
    format!("The password is not accepted: {}.", rules.join("; "))
}

/// The contract knows no policy of passwords, so its one error with a free text carries the provider's.
fn refused_by_provider(error: &ProviderError) -> Problem {
    let said = error.message().map(PolicyText::as_str).filter(|text| !text.is_empty());
    let text = match error {
        ProviderError::OldPasswordWrong => return refused(&Refusal::CurrentPasswordWrong, &Named::default()),
        ProviderError::PolicyViolation { .. } => {
            "The password does not meet the requirements of the identity provider."
        }
        ProviderError::PasswordReused { .. } => "The password was used before.",
        ProviderError::TooYoung => "The password was changed too recently to be changed again.",
        ProviderError::NeedsInteraction => "The customer must sign in at the identity provider first.",
        ProviderError::Vetoed { .. } => "The identity provider refused the password.",
        ProviderError::UserNotFound
        | ProviderError::UserAmbiguous
        | ProviderError::UserBlocked
        | ProviderError::AccountIncomplete
        | ProviderError::CredentialUnsupported
        | ProviderError::Conflict
        | ProviderError::Stale => "The customer's account at the identity provider does not allow it.",
        ProviderError::NotSupported => "The identity provider does not let this be changed here.",
        ProviderError::InsufficientScope
        | ProviderError::AdminAuth
        | ProviderError::ClockSkew
        | ProviderError::Misconfigured
        | ProviderError::InvalidRequest
        | ProviderError::RateLimited { .. }
        | ProviderError::Transient
        | ProviderError::Ambiguous => return Problem::general(),
    };
    Problem::invalid_operation(said.unwrap_or(text))
}

/// A reference as the request had it: `("id" | "key", value)`.
fn spelled(reference: &Reference) -> (&'static str, &str) {
    match reference {
        Reference::Id(id) => ("id", id),
        Reference::Key(key) => ("key", key),
    }
}

fn duplicate(field: UniqueField, named: &Named) -> Problem {
    let value = match field {
        UniqueField::Email => &named.email,
        UniqueField::Key if named.new_key.is_empty() => &named.key,
        UniqueField::Key => &named.new_key,
        UniqueField::CustomerNumber => &named.customer_number,
        UniqueField::Mobile => &String::new(), // no call of this contract sets one
    };
    let message = match field {
        UniqueField::Email => "There is already an existing customer with the provided email.".to_owned(),
        UniqueField::Key | UniqueField::CustomerNumber | UniqueField::Mobile => {
            format!("A duplicate value {value} exists for field {}.", field.as_str())
        }
    };
    Problem::bad_request("DuplicateField", message).with("field", field.as_str()).with("duplicateValue", value.as_str())
}

/// The answer to a fault: that there was one. What it was is logged.
pub fn faulted(fault: &Fault) -> Problem {
    match fault.kind() {
        FaultKind::NoRoom | FaultKind::Unavailable | FaultKind::TimedOut | FaultKind::Contention => {
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
            Problem::invalid_input("The request's head is too large.").with_status(failure.status())
        }
    };
    if path.starts_with("/oauth/") { problem.as_auth().into_response() } else { problem.into_response() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named() -> Named {
        Named {
            id: "ID".into(),
            key: "KEY".into(),
            new_key: String::new(),
            email: "jo@example.com".into(),
            customer_number: "7".into(),
            token: "TOKEN".into(),
        }
    }

    #[test]
    fn faults_say_when_to_try_again_and_nothing_else() {
        for (kind, status, code) in [
            (FaultKind::NoRoom, 503, "OverCapacity"),
            (FaultKind::Unavailable, 503, "OverCapacity"),
            (FaultKind::TimedOut, 503, "OverCapacity"),
            (FaultKind::Contention, 503, "OverCapacity"),
            (FaultKind::Conflict("customer_by_email".into()), 500, "General"),
            (FaultKind::Corrupt, 500, "General"),
            (FaultKind::Newer, 500, "General"),
            (FaultKind::Internal, 500, "General"),
        ] {
            let problem = faulted(&Fault::new(kind, "the inside of the store"));
            let body = problem.body();
            assert_eq!((problem.status().as_u16(), &body["errors"][0]["code"]), (status, &json!(code)));
            assert_eq!(problem.retry_after_s().is_some(), status == 503);
            assert!(!body.to_string().contains("store"), "{body}");
        }
    }

    #[test]
    fn a_query_that_took_too_long_is_the_callers_to_change() {
        let slow = failed_query(Failure::Fault(Fault::new(FaultKind::TimedOut, "the inside of the store")));
        let text = "The query timed out.";
        let errors = json!([{"code": "QueryTimedOut", "message": text}]);
        assert_eq!(slow.body(), json!({"statusCode": 400, "message": text, "errors": errors}));
        let down = failed_query(Failure::Fault(Fault::new(FaultKind::Unavailable, "the inside of the store")));
        assert_eq!(down.status(), StatusCode::SERVICE_UNAVAILABLE);
    }

    #[test]
    fn overload_says_when_to_try_again() {
        let response = refused(&Refusal::Overloaded { retry_after_s: 7 }, &named()).into_response();
        assert_eq!(
            (response.status().as_u16(), &response.headers()[RETRY_AFTER]),
            (503, &HeaderValue::from_static("7"))
        );
    }

    #[test]
    fn the_auth_form_repeats_itself() {
        let wrong = failed_at_oauth(Failure::Refused(Refusal::CredentialsWrong)).body();
        let text = "Customer account with the given credentials not found.";
        let code = "invalid_customer_account_credentials";
        assert_eq!(
            wrong,
            json!({"statusCode": 400, "message": text, "errors": [{"code": code, "message": text}], "error": code, "error_description": text})
        );
        let busy = failed_at_oauth(Failure::Refused(Refusal::Overloaded { retry_after_s: 1 })).body();
        assert_eq!(busy["error"], "OverCapacity");
        let dead = Problem::dead_token().as_auth().body();
        assert_eq!(dead.get("error_description"), None);
    }

    #[test]
    fn the_frame_speaks_the_contract() {
        for (failure, status) in
            [(http::Failure::Panic, 500), (http::Failure::Timeout, 503), (http::Failure::HeadTooLarge, 431)]
        {
            let response = of_frame(failure, "/demo/customers");
            assert_eq!((response.status().as_u16(), &response.headers()[CONTENT_TYPE]), (status, &JSON));
            assert_eq!(response.headers().contains_key(RETRY_AFTER), status == 503);
        }
    }

    #[test]
    fn absurdly_long_values_are_not_repeated_whole() {
        let problem = refused(&Refusal::CustomerNotFound(Lookup::Id), &Named::id("\u{e4}".repeat(100_000)));
        assert!(problem.body().to_string().len() < 3000);
    }
}
