//! The closed list of ways to say no, with stable codes. No transport and no text: each dialect has its own words.

use crate::customer::Version;
use crate::id::{CustomerId, SubscriptionId};

/// How a customer was looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lookup {
    /// By its id.
    Id,
    /// By its key.
    Key,
    /// By its e-mail address.
    Email,
    /// By a token's value.
    Token,
}

/// Which resource a version belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Versioned {
    /// A customer.
    Customer(CustomerId),
    /// A subscription.
    Subscription(SubscriptionId),
}

/// A field whose value must be unique within its project.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UniqueField {
    /// The e-mail address, ignoring case.
    Email,
    /// A customer's or a subscription's key.
    Key,
    /// The customer number.
    CustomerNumber,
}

impl UniqueField {
    /// The contract's field name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Email => "email",
            Self::Key => "key",
            Self::CustomerNumber => "customerNumber",
        }
    }
}

/// Why a command was not carried out. Values that the caller sent are not repeated here: the dialect still has them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No such customer, or not visible from here.
    #[error("no such customer")]
    CustomerNotFound(Lookup),
    /// The caller read another version.
    #[error("another version than expected")]
    VersionMismatch {
        /// Of what.
        of: Versioned,
        /// What the caller said.
        expected: Version,
        /// What it is.
        actual: Version,
    },
    /// The current password is wrong, or there is none.
    #[error("the current password does not match")]
    CurrentPasswordWrong,
    /// Unknown address, wrong password, or no password sign-in: one answer for all.
    #[error("no account with these credentials")]
    CredentialsWrong,
    /// The token was never made, was used, was invalidated, or expired long ago.
    #[error("no such token")]
    TokenUnknown,
    /// The token expired within the last 24 hours.
    #[error("the token has expired")]
    TokenExpired,
    /// The customer signs in elsewhere: there is no password to reset.
    #[error("the customer does not use password authentication")]
    NotPasswordMode,
    /// Another resource has this value.
    #[error("a duplicate value")]
    Duplicate(UniqueField),
    /// No such message.
    #[error("no such message")]
    MessageNotFound,
    /// No such subscription.
    #[error("no such subscription")]
    SubscriptionNotFound,
    /// The project has as many subscriptions as it may have.
    #[error("too many subscriptions")]
    TooManySubscriptions {
        /// How many it may have.
        limit: u32,
    },
    /// More work than can be done in time: come back later.
    #[error("too much to do at the moment")]
    Overloaded {
        /// Seconds after which it is worth another try.
        retry_after_s: u32,
    },
}

impl Refusal {
    /// Stable code for logs, activity rows and metrics.
    pub fn code(&self) -> &'static str {
        match self {
            Self::CustomerNotFound(_) => "customer_not_found",
            Self::VersionMismatch { .. } => "version_mismatch",
            Self::CurrentPasswordWrong => "current_password_wrong",
            Self::CredentialsWrong => "credentials_wrong",
            Self::TokenUnknown => "token_unknown",
            Self::TokenExpired => "token_expired",
            Self::NotPasswordMode => "not_password_mode",
            Self::Duplicate(_) => "duplicate",
            Self::MessageNotFound => "message_not_found",
            Self::SubscriptionNotFound => "subscription_not_found",
            Self::TooManySubscriptions { .. } => "too_many_subscriptions",
            Self::Overloaded { .. } => "overloaded",
        }
    }
}
