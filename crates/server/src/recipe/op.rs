//! The operations that a provider may have, each one request, and the rules by which refusals are recognised.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use super::body::Body;
use super::predicate::{Predicate, Statuses};
use super::source::{Pointer, Source};
use super::template::Template;

/// An operation's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum OpName {
    /// A user by the id there.
    LookupById,
    /// A user by e-mail address.
    LookupByEmail,
    /// A user by the id elsewhere.
    LookupByExternalId,
    /// Makes a user.
    CreateUser,
    /// Changes a user's record.
    UpdateUser,
    /// Sets a password without the current one.
    SetPassword,
    /// Sets a password with the current one.
    ChangePassword,
    /// Tries a sign-in.
    VerifyPassword,
    /// Has the provider begin a reset.
    StartReset,
    /// Ends it with a new password.
    CompleteReset,
    /// Ends all sessions.
    RevokeSessions,
    /// Reads the stored credential.
    ReadCredential,
    /// Puts it back.
    RestoreCredential,
    /// Blocks a user.
    DisableUser,
    /// Whom an access token of the provider's own stands for.
    Userinfo,
    /// Says that the provider is there and knows us.
    Health,
}

impl OpName {
    /// Each, by its name in the configuration.
    pub const NAMES: [(&'static str, Self); 16] = [
        ("lookup_by_id", Self::LookupById),
        ("lookup_by_email", Self::LookupByEmail),
        ("lookup_by_external_id", Self::LookupByExternalId),
        ("create_user", Self::CreateUser),
        ("update_user", Self::UpdateUser),
        ("set_password", Self::SetPassword),
        ("change_password", Self::ChangePassword),
        ("verify_password", Self::VerifyPassword),
        ("start_reset", Self::StartReset),
        ("complete_reset", Self::CompleteReset),
        ("revoke_sessions", Self::RevokeSessions),
        ("read_credential", Self::ReadCredential),
        ("restore_credential", Self::RestoreCredential),
        ("disable_user", Self::DisableUser),
        ("userinfo", Self::Userinfo),
        ("health", Self::Health),
    ];

    /// Whether it changes nothing: an answer that is lost leaves no doubt.
    pub fn is_read(self) -> bool {
        self.is_lookup() || matches!(self, Self::VerifyPassword | Self::ReadCredential | Self::Userinfo | Self::Health)
    }

    /// Whether it says which user it found.
    pub fn is_lookup(self) -> bool {
        matches!(self, Self::LookupById | Self::LookupByEmail | Self::LookupByExternalId)
    }

    /// The variables that it has of itself, as `group.name`.
    pub fn variables(self) -> &'static [&'static str] {
        match self {
            Self::LookupByEmail => &["user.email"],
            Self::LookupByExternalId => &["user.external_id"],
            Self::CreateUser => &[
                "new.email",
                "new.first_name",
                "new.last_name",
                "new.external_id",
                "new.email_verified",
                "secret.new_password",
            ],
            Self::UpdateUser => &["user.id", "new.email", "new.first_name", "new.last_name", "new.email_verified"],
            Self::SetPassword => &["user.id", "secret.new_password"],
            Self::ChangePassword => &["user.id", "secret.new_password", "secret.old_password"],
            Self::VerifyPassword => &["user.id", "secret.password"],
            Self::CompleteReset => &["user.id", "secret.new_password", "secret.code"],
            Self::RestoreCredential => &["user.id", "secret.credential"],
            Self::Userinfo => &["secret.token"],
            Self::Health => &[],
            Self::LookupById | Self::StartReset | Self::RevokeSessions | Self::ReadCredential | Self::DisableUser => {
                &["user.id"]
            }
        }
    }
}

impl fmt::Display for OpName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Self::NAMES.iter().find(|(_, op)| op == self).map_or("", |(name, _)| name))
    }
}

impl FromStr for OpName {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Self::NAMES.iter().find(|(name, _)| *name == text).map(|(_, op)| *op).ok_or(())
    }
}

/// One operation: a request, and how its answer is read.
#[derive(Clone, Debug, PartialEq)]
pub struct Op {
    /// The request's method.
    pub method: Method,
    /// Its path below the base URL; values are single segments.
    pub path: Template,
    /// Its query; values are encoded.
    pub query: Vec<(String, Template)>,
    /// Its headers, besides those of access and body.
    pub headers: Vec<(String, Template)>,
    /// What it carries.
    pub body: Option<Body>,
    /// Whether it is sent with our access; not so where it is a user's own sign-in.
    pub auth: bool,
    /// The operation that is done first; what it extracts are variables here.
    pub require: Option<OpName>,
    /// The version that is to be changed, for `If-Match`.
    pub if_match: Option<Template>,
    /// The header that carries `op.id`, by which the provider knows a repeat.
    pub idempotency_header: Option<String>,
    /// The statuses of success.
    pub expect: Statuses,
    /// What must be so as well.
    pub success_when: Vec<Predicate>,
    /// A list in the answer; what is extracted is extracted from its only element.
    pub items: Option<Pointer>,
    /// What is taken out of the answer, by the name that it has as `user.NAME`.
    pub extract: BTreeMap<String, Source>,
    /// Its own rules; they go before the provider's.
    pub errors: Vec<Rule>,
}

impl Op {
    /// All templates in it.
    pub fn templates(&self) -> impl Iterator<Item = &Template> {
        let named = self.query.iter().chain(&self.headers).map(|(_, template)| template);
        let of_body = self.body.iter().flat_map(|body| body.content.templates());
        [&self.path].into_iter().chain(named).chain(&self.if_match).chain(of_body)
    }
}

/// The methods of HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "their names are all there is to say")]
pub enum Method {
    Get,
    Post,
    Put,
    Patch,
    Delete,
}

impl Method {
    /// Each, by its name.
    pub const NAMES: [(&'static str, Self); 5] = [
        ("GET", Self::Get),
        ("POST", Self::Post),
        ("PUT", Self::Put),
        ("PATCH", Self::Patch),
        ("DELETE", Self::Delete),
    ];
}

/// Which answer is which refusal.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// What the answer is recognised by.
    pub when: Predicate,
    /// What it means.
    pub class: Class,
    /// The words for the user, where the class has some.
    pub message: Option<Pointer>,
    /// The name of the broken rule, where the class has one.
    pub rule: Option<Pointer>,
    /// When it may be tried again; the first that reads counts.
    pub retry_after: Vec<RetryAfter>,
}

/// Where a provider says when it may be asked again, and how that is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetryAfter {
    /// Where.
    pub source: Source,
    /// How.
    pub form: WaitForm,
}

/// How a time is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitForm {
    /// Seconds from now, or an HTTP date.
    SecondsOrDate,
    /// Seconds from now, decimals allowed.
    Seconds,
    /// Milliseconds from now.
    Millis,
    /// Seconds since 1970.
    EpochS,
    /// Milliseconds since 1970.
    EpochMs,
    /// As `2026-11-22T10:00:00Z`.
    Iso,
}

impl WaitForm {
    /// Each, by its name in the configuration.
    pub const NAMES: [(&'static str, Self); 6] = [
        ("seconds_or_date", Self::SecondsOrDate),
        ("seconds", Self::Seconds),
        ("millis", Self::Millis),
        ("epoch_s", Self::EpochS),
        ("epoch_ms", Self::EpochMs),
        ("iso", Self::Iso),
    ];
}

/// A class of the closed list (`core::provider::ProviderError`) without what it carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "explained where the classes are defined")]
pub enum Class {
    UserNotFound,
    UserAmbiguous,
    UserBlocked,
    AccountIncomplete,
    CredentialUnsupported,
    OldPasswordWrong,
    PolicyViolation,
    PasswordReused,
    TooYoung,
    Conflict,
    Stale,
    NeedsInteraction,
    InsufficientScope,
    AdminAuth,
    ClockSkew,
    Misconfigured,
    InvalidRequest,
    RateLimited,
    Transient,
    Ambiguous,
    NotSupported,
    Vetoed,
}

impl Class {
    /// What a service for short messages may answer, by its name in the configuration.
    pub const OF_SMS: [(&'static str, Self); 6] = [
        ("number_refused", Self::UserNotFound),
        ("admin_auth", Self::AdminAuth),
        ("clock_skew", Self::ClockSkew),
        ("misconfigured", Self::Misconfigured),
        ("rate_limited", Self::RateLimited),
        ("transient", Self::Transient),
    ];

    /// Each, by its name in the configuration.
    pub const NAMES: [(&'static str, Self); 22] = [
        ("user_not_found", Self::UserNotFound),
        ("user_ambiguous", Self::UserAmbiguous),
        ("user_blocked", Self::UserBlocked),
        ("account_incomplete", Self::AccountIncomplete),
        ("credential_unsupported", Self::CredentialUnsupported),
        ("old_password_wrong", Self::OldPasswordWrong),
        ("policy_violation", Self::PolicyViolation),
        ("password_reused", Self::PasswordReused),
        ("too_young", Self::TooYoung),
        ("conflict", Self::Conflict),
        ("stale", Self::Stale),
        ("needs_interaction", Self::NeedsInteraction),
        ("insufficient_scope", Self::InsufficientScope),
        ("admin_auth", Self::AdminAuth),
        ("clock_skew", Self::ClockSkew),
        ("misconfigured", Self::Misconfigured),
        ("invalid_request", Self::InvalidRequest),
        ("rate_limited", Self::RateLimited),
        ("transient", Self::Transient),
        ("ambiguous", Self::Ambiguous),
        ("not_supported", Self::NotSupported),
        ("vetoed", Self::Vetoed),
    ];
}
