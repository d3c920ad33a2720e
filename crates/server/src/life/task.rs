//! The closed list of background work, each with its manners.

use super::Phase;

/// Every kind of background work. To add one: a line here, and its manners.
///
/// A task that has many workers (connections, lanes) keeps them in a `JoinSet` of its own, so that they end with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Task {
    /// Accepts connections and serves requests.
    Http,
    /// Reads the log and sends messages.
    Relay,
    /// Asks the store now and then whether it answers, for readiness.
    StoreProbe,
    /// Deletes what has had its time: old messages, expired tokens.
    Retention,
    /// Performs operations: sets passwords at identity providers.
    Operations,
    /// Sends codes that had to wait.
    Codes,
    /// Looks after users' records that a death may have left different at their provider.
    Doubts,
    /// Writes the activity of calls that write nothing else.
    Activity,
    /// Writes which attempts were made to send something.
    Attempts,
    /// Sends spans to a collector.
    Traces,
    /// Tells Prometheus how things stand.
    Metrics,
    /// The demo's own receiver of messages.
    DemoReceiver,
    /// The demo's own identity provider.
    DemoProvider,
}

/// How a task behaves at its ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Manners {
    /// The phase of the shutdown at which it is asked to stop.
    pub stops_at: Phase,
    /// What is done then.
    pub on_stop: OnStop,
    /// What is done when it returns an error or panics.
    pub on_error: OnError,
}

/// How a task is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnStop {
    /// It watches its `Stop` and returns when it has come to a good place.
    Drains,
    /// It is dropped where it waits: it holds nothing that must be finished.
    Drops,
}

/// What follows an error or a panic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnError {
    /// It is started again, after a wait that grows.
    Restart,
    /// The process cannot do its work without it: an orderly shutdown, exit code 1.
    TakeDown,
    /// It is logged, nothing else.
    Ignore,
}

impl Task {
    /// How it behaves.
    pub fn manners(self) -> Manners {
        let (stops_at, on_stop, on_error) = match self {
            Self::Http => (Phase::Requests, OnStop::Drains, OnError::TakeDown),
            // A relay that is started again reads its cursors: nothing is lost, something may be sent twice.
            // Operations that are started again claim what is due.
            // Activity stops after the requests that leave it, and keeps what it could not write.
            Self::Relay | Self::Retention | Self::Operations | Self::Codes | Self::Doubts | Self::Activity => {
                (Phase::Lanes, OnStop::Drains, OnError::Restart)
            }
            // After the relay, whose last attempts and spans are to be there, too.
            Self::Attempts | Self::Traces => (Phase::Closed, OnStop::Drains, OnError::Restart),
            // To the end, and without it the server does its work.
            Self::Metrics => (Phase::Closed, OnStop::Drops, OnError::Ignore),
            Self::StoreProbe => (Phase::Requests, OnStop::Drops, OnError::Restart),
            Self::DemoReceiver | Self::DemoProvider => (Phase::Closed, OnStop::Drops, OnError::TakeDown),
        };
        Manners { stops_at, on_stop, on_error }
    }
}
