//! The language in which an HTTP provider, or a service for short messages, is described: requests as templates, answers as
//! predicates and pointers.
//!
//! What is written here is read from the configuration (`config::provider::http`, `config::sms`), checked as a whole before anything is
//! called (`check`), and carried out by `connector::http`. It has no loops, no files and no code, and holds no secrets.

pub mod access;
pub mod body;
pub mod check;
pub mod op;
pub mod predicate;
pub mod source;
pub mod template;

use std::collections::BTreeMap;

pub use self::access::Access;
pub use self::op::{Op, OpName, Rule};

/// A service that takes short messages, described.
#[derive(Clone, Debug, PartialEq)]
pub struct SmsRecipe {
    /// How we show who we are.
    pub access: Access,
    /// The request that hands a message over.
    pub send: Op,
}

impl SmsRecipe {
    /// What the request may say: of the message, besides the call itself and who we are.
    pub const VARIABLES: [&'static str; 4] = ["sms.to", "sms.to_digits", "sms.from", "sms.text"];

    /// Whether it says whom a message is from.
    pub fn names_sender(&self) -> bool {
        self.send.templates().any(|template| template.expressions().any(|it| it.variable.to_string() == "sms.from"))
    }
}

/// A provider, described.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Recipe {
    /// What its users' ids look like.
    pub id_form: IdForm,
    /// How we show who we are.
    pub access: Access,
    /// What it does of itself.
    pub claims: Claims,
    /// What can be done there.
    pub ops: BTreeMap<OpName, Op>,
    /// Rules of all operations, after their own.
    pub errors: Vec<Rule>,
    /// How it is found out whether a password was set.
    pub probe: Option<Probe>,
}

/// What a user's id looks like. One that looks otherwise is not asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IdForm {
    /// Anything.
    #[default]
    Opaque,
    /// A UUID.
    Guid,
    /// An e-mail address.
    Email,
}

impl IdForm {
    /// Each, by its name in the configuration.
    pub const NAMES: [(&'static str, Self); 3] =
        [("opaque", Self::Opaque), ("guid", Self::Guid), ("email", Self::Email)];
}

/// What a provider does of itself, as its operator says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Claims {
    /// What a set password does to the user's sessions.
    pub revokes_sessions: Revokes,
    /// Whether a stored credential can be put back.
    pub restores: bool,
    /// Longest password in bytes.
    pub password_bytes_max: Option<u32>,
}

/// What a set password does to the user's sessions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Revokes {
    /// Nothing.
    #[default]
    None,
    /// All end.
    All,
    /// All end but the caller's, and we have none.
    AllButCurrent,
    /// Nobody knows.
    Unknown,
}

impl Revokes {
    /// Each, by its name in the configuration.
    pub const NAMES: [(&'static str, Self); 4] = [
        ("none", Self::None),
        ("all", Self::All),
        ("all_but_current", Self::AllButCurrent),
        ("unknown", Self::Unknown),
    ];
}

/// How it is found out whether a password was set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Probe {
    /// By a value of the user's record that moves.
    Field {
        /// Its name among what `lookup_by_id` extracts.
        name: String,
        /// Whether other edits move it too.
        moved_by_edits: bool,
    },
    /// By a sign-in with the new password.
    SignIn,
}
