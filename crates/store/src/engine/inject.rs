//! Failures on demand, for tests: real disks and networks fail too seldom to prove anything.

use std::fmt;
use std::sync::Arc;

/// A moment at which an engine asks whether it is to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Point {
    /// Before a transaction begins.
    Begin,
    /// Before a statement of a closure; its name.
    Statement(&'static str),
    /// Before COMMIT.
    Commit,
    /// After COMMIT returned, before anybody is answered.
    Committed,
}

/// A failure that an engine then shows in its own way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InjectedError {
    /// No room on the disk. On SQLite it takes the whole transaction with it, as the real one mostly does.
    DiskFull,
    /// The disk does not read or write. On SQLite the transaction stays open.
    Io,
    /// The transaction lost against another one.
    Serialization,
    /// The connection is cut; on SQLite, which has none, the transaction is lost.
    ConnectionCut,
    /// COMMIT was done, and its answer never arrived. Only at [`Point::Committed`].
    AnswerLost,
}

/// The hook; `None` means: go on.
#[derive(Clone)]
pub struct Inject(Arc<dyn Fn(Point) -> Option<InjectedError> + Send + Sync>);

impl Inject {
    /// A hook that is asked at every [`Point`], from the engine's threads.
    pub fn new(hook: impl Fn(Point) -> Option<InjectedError> + Send + Sync + 'static) -> Self {
        Self(Arc::new(hook))
    }

    pub(crate) fn ask(&self, point: Point) -> Option<InjectedError> {
        (self.0)(point)
    }
}

impl fmt::Debug for Inject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Inject")
    }
}
