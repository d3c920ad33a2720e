//! Refusals, as the contract words them (commercetools.md 1.3, 1.4 and chapter 9).

use serde_json::{Value, json};

use super::state::World;
use crate::call::{Named, object};
use crate::expect::Expected;

/// A way to say no.
#[derive(Clone, Debug)]
pub struct Refused {
    pub status: u16,
    pub code: &'static str,
    /// `None`: the contract leaves the words open.
    message: Option<String>,
    extra: Vec<(&'static str, Value)>,
    form: Form,
}

/// What an answer of errors repeats (1.3).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Form {
    Plain,
    /// `error` and `error_description`.
    Auth,
    /// `error` only.
    AuthUndescribed,
}

fn refused(status: u16, code: &'static str, message: impl Into<String>) -> Refused {
    Refused { status, code, message: Some(message.into()), extra: Vec::new(), form: Form::Plain }
}

fn auth(status: u16, code: &'static str, message: impl Into<String>) -> Refused {
    Refused { form: Form::Auth, ..refused(status, code, message) }
}

impl Refused {
    fn with(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        self.extra.push((name, value.into()));
        self
    }

    /// In words of the server's own.
    fn in_own_words(self) -> Self {
        Self { message: None, ..self }
    }

    /// The answer.
    pub fn expected(&self, world: &mut World) -> Expected {
        let text = self.message.clone().unwrap_or_else(|| world.name("text").to_string());
        let extra = self.extra.iter().map(|(name, value)| match value {
            Value::Null => (*name, json!(&*world.name("text"))),
            value => (*name, value.clone()),
        });
        let error: Vec<_> = [("code", json!(self.code)), ("message", json!(text))].into_iter().chain(extra).collect();
        let body = object(&[
            ("statusCode", json!(self.status)),
            ("message", json!(text)),
            ("errors", json!([object(&error)])),
            ("error", json!((self.form != Form::Plain).then_some(self.code))),
            ("error_description", json!((self.form == Form::Auth).then_some(&text))),
        ]);
        Expected::Body(self.status, body.into())
    }
}

// Who calls.

pub fn no_token() -> Refused {
    auth(401, "access_denied", "This endpoint requires an access token. You can get one from the authorization server.")
}

pub fn dead_token() -> Refused {
    Refused { form: Form::AuthUndescribed, ..auth(401, "invalid_token", "invalid_token") }
}

pub fn insufficient_scope(missing: &str) -> Refused {
    auth(403, "insufficient_scope", format!("Insufficient scope. One of the following scopes is missing: {missing}."))
}

pub fn nobodys_token() -> Refused {
    let text = "This endpoint requires an access token issued either with the 'Resource Owner Password Credentials \
                Grant' or with the anonymous token flow.";
    auth(403, "insufficient_scope", text)
}

// OAuth.

pub fn invalid_scope() -> Refused {
    auth(400, "invalid_scope", "Malformed parameter: scope: Invalid scope.")
}

pub fn wrong_customer_credentials() -> Refused {
    let text = "Customer account with the given credentials not found.";
    auth(400, "invalid_customer_account_credentials", text)
}

pub fn invalid_grant() -> Refused {
    auth(400, "invalid_grant", "The refresh token was not found. It may have expired.")
}

pub fn anonymous_id_in_use() -> Refused {
    auth(400, "invalid_request", "The anonymousId is already in use.")
}

// The rest.

pub fn no_such_id(id: &str) -> Refused {
    refused(404, "ResourceNotFound", format!("The Resource with ID '{id}' was not found."))
}

pub fn no_such_key(key: &str) -> Refused {
    refused(404, "ResourceNotFound", format!("The Resource with key '{key}' was not found."))
}

pub fn no_such_email(email: &str) -> Refused {
    refused(404, "ResourceNotFound", format!("The Customer with ID '{email}' was not found."))
}

pub fn no_such_token(value: &str) -> Refused {
    refused(404, "ResourceNotFound", format!("The Customer with ID 'Token({value})' was not found."))
}

/// 404 of a thing whose text the contract leaves open.
pub fn nothing() -> Refused {
    refused(404, "ResourceNotFound", "").in_own_words()
}

pub fn expired_token(is_email: bool) -> Refused {
    if is_email {
        refused(400, "ExpiredCustomerEmailToken", "The given email token has expired.")
    } else {
        refused(400, "ExpiredCustomerPasswordToken", "The given password token has expired.")
    }
}

pub fn other_version(id: &str, expected: i64, actual: i64) -> Refused {
    let text = format!("Object {id} has a different version than expected. Expected: {expected} - Actual: {actual}.");
    refused(409, "ConcurrentModification", text).with("currentVersion", actual)
}

pub fn no_version() -> Refused {
    refused(400, "InvalidInput", "Missing required parameter: version.")
}

pub fn wrong_current_password() -> Refused {
    refused(400, "InvalidCurrentPassword", "The given current password does not match.")
}

pub fn wrong_credentials() -> Refused {
    refused(400, "InvalidCredentials", "Account with the given credentials not found.")
}

pub fn not_password_mode() -> Refused {
    refused(400, "InvalidOperation", "The customer does not use the 'Password' authentication mode.")
}

pub fn same_mode(mode: &str) -> Refused {
    let text = format!("The customer is already using the '{mode}' authentication mode.");
    refused(400, "InvalidInput", text)
}

pub fn number_is_set() -> Refused {
    refused(400, "InvalidOperation", "The customerNumber cannot be changed once it is set.")
}

pub fn no_such_address() -> Refused {
    refused(400, "InvalidOperation", "").in_own_words()
}

/// `detail`: `None` leaves it to the server.
pub fn invalid_json(detail: Option<&str>) -> Refused {
    refused(400, "InvalidJsonInput", "Request body does not contain valid JSON.")
        .with("detailedErrorMessage", json!(detail))
}

pub fn ttl_out_of_range() -> Refused {
    let text = "Malformed parameter: ttlMinutes: The ttlMinutes parameter must be in the range of [1..525600]";
    refused(400, "InvalidInput", text)
}

pub fn invalid_field(field: &'static str, value: &str) -> Refused {
    refused(400, "InvalidField", format!("The value {value} is not valid for field {field}."))
        .with("field", field)
        .with("invalidValue", value)
}

pub fn duplicate_email(email: &str) -> Refused {
    refused(400, "DuplicateField", "There is already an existing customer with the provided email.")
        .with("field", "email")
        .with("duplicateValue", email)
}

pub fn duplicate(field: &'static str, value: &str) -> Refused {
    refused(400, "DuplicateField", format!("A duplicate value {value} exists for field {field}."))
        .with("field", field)
        .with("duplicateValue", value)
}

pub fn no_such_reference(kind: &'static str, named: &Named) -> Refused {
    let (by, words, value) = match named {
        Named::Id(id) => ("id", "identifier", id),
        Named::Key(key) => ("key", "key", key),
    };
    let text = format!(
        "The referenced object of type '{kind}' with {words} '{value}' was not found. It either doesn't exist, or it can't \
         be accessed from this endpoint (e.g., if the endpoint filters by store or customer account)."
    );
    refused(400, "ReferencedResourceNotFound", text).with("typeId", kind).with(by, value.as_str())
}

pub fn no_custom_fields() -> Refused {
    refused(400, "InvalidInput", "").in_own_words()
}

pub fn nothing_subscribed() -> Refused {
    let text = "A subscription must contain at least one message notification or one change notification.";
    refused(400, "InvalidInput", text)
}
