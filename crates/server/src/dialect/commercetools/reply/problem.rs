//! An error as it is answered (commercetools.md 1.3 and chapter 9): code, text, and the fields that some codes have.
//!
//! `{statusCode, message, errors: [{code, message, ..}]}`. Errors about who is calling, and all of the OAuth endpoints,
//! repeat themselves as `error` and `error_description`. Which of them answers which refusal is
//! decided in `reply.rs`.

use axum::http::StatusCode;
use serde_json::{Map, Value};

use crate::format::commercetools::Object;

/// Longest value of the caller's that an error repeats, in characters.
const REPEATED_CHARS_MAX: usize = 512;

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
    pub(super) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), extra: Map::new(), form: Form::Plain, retry_after_s: None }
    }

    pub(super) fn bad_request(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, message)
    }

    /// Something that cannot be done with this resource, or here.
    pub fn invalid_operation(message: impl Into<String>) -> Self {
        Self::bad_request("InvalidOperation", message)
    }

    pub(super) fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
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

    /// A subscription that asks for nothing.
    pub(super) fn nothing_subscribed() -> Self {
        Self::invalid_input("A subscription must contain at least one message notification or one change notification.")
    }

    /// The project has as many resources of this type as it may have.
    pub(super) fn too_many(type_id: &str, limit: u32) -> Self {
        let message = format!("You have exceeded the limit of {limit} resources of type {type_id}.");
        Self::bad_request("MaxResourceLimitExceeded", message).with("exceededResource", type_id)
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

    /// The access token stands for no customer and no visitor.
    pub fn not_a_customer() -> Self {
        let text = "This endpoint requires an access token issued either with the 'Resource Owner Password Credentials \
                    Grant' or with the anonymous token flow.";
        Self::auth(StatusCode::FORBIDDEN, "insufficient_scope", text)
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

    /// 410: messages after the position that was named are removed. Nothing is missing after another, and the first that
    /// is left stands at `first`.
    pub fn position_gone(complete_after: i64, first: Option<i64>) -> Self {
        let text = format!(
            "Messages after this position have been removed. What is left is complete after position {complete_after}."
        );
        let problem = Self::new(StatusCode::GONE, "PositionGone", text).with("completeAfter", complete_after);
        match first {
            Some(first) => problem.with("firstPosition", first),
            None => problem,
        }
    }

    /// `HEAD` of a query without a match; no body goes with it.
    pub fn no_match() -> Self {
        Self::not_found("No resource matches the query.")
    }

    pub(super) fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "ResourceNotFound", message)
    }

    /// 503, with the seconds after which to try again.
    pub fn over_capacity(message: &str, retry_after_s: u32) -> Self {
        let problem = Self::new(StatusCode::SERVICE_UNAVAILABLE, "OverCapacity", message);
        Self { retry_after_s: Some(retry_after_s), ..problem }
    }

    pub(super) fn general() -> Self {
        let text = "An unexpected error occurred. The X-Correlation-ID of this answer identifies it.";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "General", text)
    }

    /// The status that goes with it.
    pub(super) fn status(&self) -> StatusCode {
        self.status
    }

    /// The same with another status.
    pub(super) fn with_status(self, status: StatusCode) -> Self {
        Self { status, ..self }
    }

    /// Seconds after which the caller may try again.
    pub(super) fn retry_after_s(&self) -> Option<u32> {
        self.retry_after_s
    }

    /// The authentication that a 401 asks for (RFC 9110, 15.5.2).
    pub(super) fn challenge(&self) -> Option<&'static str> {
        let scheme = if self.code == "invalid_client" { "Basic realm=\"OAuth\"" } else { "Bearer" };
        (self.status == StatusCode::UNAUTHORIZED).then_some(scheme)
    }

    /// The body that is answered.
    pub(super) fn body(&self) -> Value {
        let error = Object::default()
            .with("code", self.code)
            .with("message", self.message.as_str())
            .with_all(self.extra.clone());
        Object::default()
            .with("statusCode", self.status.as_u16())
            .with("message", self.message.as_str())
            .with("errors", vec![Value::from(error)])
            .with_some("error", (self.form != Form::Plain).then_some(self.code))
            .with_some("error_description", (self.form == Form::Auth).then_some(self.message.as_str()))
            .into()
    }
}

/// The text, cut if it is absurdly long.
pub(super) fn shortened(text: &str) -> String {
    match text.char_indices().nth(REPEATED_CHARS_MAX) {
        Some((end, _)) => format!("{}...", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}
