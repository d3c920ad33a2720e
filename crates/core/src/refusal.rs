//! The closed list of ways to say no, with stable codes. No transport and no text: each dialect has its own words.

use crate::credential::AuthenticationMode;
use crate::customer::Version;
use crate::id::{CustomerId, Reference, SubscriptionId};
use crate::policy::Broken;
use crate::provider::ProviderError;
use crate::subscription::FilterUnfit;
use crate::token::TokenKind;

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
    /// The project that the call is about.
    Project,
}

/// What kind of resource a [`Reference`] was meant to name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Referenced {
    /// A store.
    Store,
    /// A customer group. There are none here, so every reference to one is refused.
    CustomerGroup,
}

impl Referenced {
    /// The contract's `typeId`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Store => "store",
            Self::CustomerGroup => "customer-group",
        }
    }
}

/// A field whose value must be unique within its project.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UniqueField {
    /// The e-mail address, ignoring case; among the customers of the same stores.
    Email,
    /// A customer's, a subscription's or a store's key.
    Key,
    /// The customer number.
    CustomerNumber,
    /// The mobile number.
    Mobile,
}

impl UniqueField {
    /// The contract's field name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Email => "email",
            Self::Key => "key",
            Self::CustomerNumber => "customerNumber",
            Self::Mobile => "mobile",
        }
    }
}

/// Why a command was not carried out. Values that the caller sent are not repeated here, for the dialect still has
/// them; except a reference, of which a command can have many.
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
    TokenExpired(TokenKind),
    /// What was to be proved was not, or not any more, or by somebody else: one answer for all.
    #[error("not proved")]
    NotProved,
    /// The customer signs in elsewhere: there is no password to reset.
    #[error("the customer does not use password authentication")]
    NotPasswordMode,
    /// Another resource has this value.
    #[error("a duplicate value")]
    Duplicate(UniqueField),
    /// The command names another resource that is not there.
    #[error("a referenced resource does not exist")]
    ReferenceNotFound {
        /// What it was meant to be.
        of: Referenced,
        /// How it was named.
        by: Reference,
    },
    /// The customer has no such address.
    #[error("no such address")]
    AddressNotFound(Reference),
    /// The customer's locale is none of the project's languages.
    #[error("not a language of the project")]
    LanguageUnknown {
        /// The locale.
        locale: String,
    },
    /// The customer signs in that way already.
    #[error("the customer uses this authentication mode already")]
    SameAuthenticationMode(AuthenticationMode),
    /// A customer cannot sign in by a password without one.
    #[error("a password is needed")]
    PasswordMissing,
    /// The new password breaks these rules of the project.
    #[error("the password is not accepted")]
    PasswordBroken(Vec<Broken>),
    /// A customer number is given once.
    #[error("the customer number is set already")]
    CustomerNumberIsSet,
    /// An update has more actions than it may have.
    #[error("too many actions")]
    TooManyActions {
        /// How many it may have.
        limit: usize,
    },
    /// The resource would become larger than it may be.
    #[error("too large")]
    TooLarge,
    /// No such project: a client is made before its project was ever served.
    #[error("no such project")]
    ProjectNotFound,
    /// No such store.
    #[error("no such store")]
    ShopNotFound(Lookup),
    /// No such message.
    #[error("no such message")]
    MessageNotFound,
    /// No such subscription.
    #[error("no such subscription")]
    SubscriptionNotFound,
    /// A subscription must ask for something.
    #[error("nothing is subscribed to")]
    NothingSubscribed,
    /// A filter or a transformation does not go with what the subscription is otherwise.
    #[error("a filter or transformation that does not fit")]
    FilterUnfit(FilterUnfit),
    /// A subscription's template cannot be rendered with what the subscription would be sent; the text is for its author.
    #[error("the template fails")]
    TemplateFails(String),
    /// The project has as many subscriptions as it may have.
    #[error("too many subscriptions")]
    TooManySubscriptions {
        /// How many it may have.
        limit: u32,
    },
    /// A password of this customer is on its way to its provider, and nobody knows yet how that ends: come back later.
    #[error("a password change of this customer is underway")]
    PasswordChangeUnderway {
        /// Seconds after which it is worth another try.
        retry_after_s: u32,
    },
    /// The customer's identity provider does not take the password, or not from us. Nothing was changed.
    #[error("refused by the identity provider")]
    ProviderRefused(ProviderError),
    /// The same as the inner one, met while the user was looked up at the identity provider: nothing was begun.
    #[error("the user was not looked up")]
    NotLookedUp(Box<Refusal>),
    /// The caller has used this idempotency key for another request.
    #[error("an idempotency key of another request")]
    IdempotencyKeyReused,
    /// The customer's identity provider was not reached, or has too much to do. Nothing was changed.
    #[error("the identity provider was not reached")]
    ProviderUnreachable {
        /// Seconds after which it is worth another try.
        retry_after_s: u32,
    },
    /// More work than can be done in time: come back later.
    #[error("too much to do at the moment")]
    Overloaded {
        /// Seconds after which it is worth another try.
        retry_after_s: u32,
    },
}

impl Refusal {
    /// What a caller is told who finds another operation at work: most end within seconds.
    pub const UNDERWAY_RETRY_AFTER_S: u32 = 5;

    /// Stable code for logs, activity rows and metrics.
    pub fn code(&self) -> &'static str {
        match self {
            Self::CustomerNotFound(_) => "customer_not_found",
            Self::VersionMismatch { .. } => "version_mismatch",
            Self::CurrentPasswordWrong => "current_password_wrong",
            Self::CredentialsWrong => "credentials_wrong",
            Self::TokenUnknown => "token_unknown",
            Self::TokenExpired(_) => "token_expired",
            Self::NotProved => "not_proved",
            Self::NotPasswordMode => "not_password_mode",
            Self::Duplicate(_) => "duplicate",
            Self::ReferenceNotFound { .. } => "reference_not_found",
            Self::AddressNotFound(_) => "address_not_found",
            Self::LanguageUnknown { .. } => "language_unknown",
            Self::SameAuthenticationMode(_) => "same_authentication_mode",
            Self::PasswordMissing => "password_missing",
            Self::PasswordBroken(_) => "password_policy",
            Self::CustomerNumberIsSet => "customer_number_is_set",
            Self::TooManyActions { .. } => "too_many_actions",
            Self::TooLarge => "too_large",
            Self::ProjectNotFound => "project_not_found",
            Self::ShopNotFound(_) => "shop_not_found",
            Self::MessageNotFound => "message_not_found",
            Self::SubscriptionNotFound => "subscription_not_found",
            Self::NothingSubscribed => "nothing_subscribed",
            Self::FilterUnfit(_) => "filter_unfit",
            Self::TemplateFails(_) => "template_fails",
            Self::TooManySubscriptions { .. } => "too_many_subscriptions",
            Self::PasswordChangeUnderway { .. } => "password_change_underway",
            Self::ProviderRefused(error) => error.code(),
            Self::NotLookedUp(why) => why.code(),
            Self::IdempotencyKeyReused => "idempotency_key_reused",
            Self::ProviderUnreachable { .. } => "provider_unreachable",
            Self::Overloaded { .. } => "overloaded",
        }
    }
}
