//! What can go wrong below the rules. Never shown to callers; logged with its chain.

use std::error::Error;
use std::fmt;
use std::panic::Location;

/// What the caller of the store can do about a [`Fault`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FaultKind {
    /// The disk is full or the database is read-only: service resumes when there is room.
    NoRoom,
    /// The database cannot be reached or is shutting down.
    Unavailable,
    /// The statement, or on SQLite the whole read, took longer than it may. A query of a caller's own making is at fault
    /// itself; with any other the database has too much to do.
    TimedOut,
    /// The transaction lost against another one, more often than it was repeated.
    Contention,
    /// The unique index of this name refused the row, also when the closure was run again. A primary key is called
    /// `{table}_pkey` on both engines.
    Conflict(String),
    /// A row does not have the form that this version writes.
    Corrupt,
    /// The database was migrated by a newer program.
    Newer,
    /// Anything else: a bug, or an engine error that we know nothing about.
    Internal,
}

/// A failure of the store: kind, place, and the chain of causes.
pub struct Fault {
    kind: FaultKind,
    text: String,
    at: &'static Location<'static>,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl Fault {
    /// A fault with a text of ours. The text must not hold values from rows or requests.
    #[track_caller]
    pub fn new(kind: FaultKind, text: impl Into<String>) -> Self {
        Self { kind, text: text.into(), at: Location::caller(), source: None }
    }

    /// The same with the error that caused it.
    #[track_caller]
    pub fn caused(kind: FaultKind, text: impl Into<String>, source: impl Error + Send + Sync + 'static) -> Self {
        Self { kind, text: text.into(), at: Location::caller(), source: Some(Box::new(source)) }
    }

    /// A row that does not read.
    #[track_caller]
    pub fn corrupt(text: impl Into<String>) -> Self {
        Self::new(FaultKind::Corrupt, text)
    }

    /// Whether the same may succeed a little later.
    pub fn may_pass(&self) -> bool {
        matches!(self.kind, FaultKind::NoRoom | FaultKind::Unavailable | FaultKind::TimedOut | FaultKind::Contention)
    }

    /// What kind of failure it is.
    pub fn kind(&self) -> FaultKind {
        self.kind.clone()
    }

    /// The same fault for another caller whom it concerns as well. Its causes become text.
    pub(crate) fn duplicate(&self) -> Self {
        Self { kind: self.kind(), text: chain(self), at: self.at, source: None }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {} (at {}:{})", self.kind, chain(self), self.at.file(), self.at.line())
    }
}

impl Error for Fault {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.source {
            Some(source) => Some(source.as_ref()),
            None => None,
        }
    }
}

/// An error and its causes, in one line.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

impl From<serde_json::Error> for Fault {
    #[track_caller]
    fn from(error: serde_json::Error) -> Self {
        Self::caused(FaultKind::Corrupt, "a stored JSON value does not read or write", error)
    }
}

impl From<keyherald_core::seal::SealError> for Fault {
    #[track_caller]
    fn from(error: keyherald_core::seal::SealError) -> Self {
        Self::caused(FaultKind::Corrupt, "a sealed value does not open or seal", error)
    }
}
