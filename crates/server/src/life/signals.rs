//! The signals that end the process.

use std::io;

use tokio::signal::unix::{Signal as Stream, SignalKind, signal};
use tokio::sync::mpsc;

/// A request to end, from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// SIGINT: Ctrl-C.
    Interrupt,
    /// SIGTERM.
    Terminate,
}

impl Signal {
    /// The exit code of a process that a signal has ended: 128 and the signal's number.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Interrupt => 130,
            Self::Terminate => 143,
        }
    }
}

/// Where signals come from.
pub enum Signals {
    /// The operating system.
    System {
        /// SIGINT.
        interrupt: Stream,
        /// SIGTERM.
        terminate: Stream,
    },
    /// A test.
    Channel(mpsc::Receiver<Signal>),
}

impl Signals {
    /// Catches SIGINT and SIGTERM from now on. Needs a tokio runtime.
    pub fn of_system() -> io::Result<Self> {
        Ok(Self::System { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    /// The next signal; waits for ever when none can come any more. Cancel-safe.
    pub async fn next(&mut self) -> Signal {
        let next = match self {
            Self::System { interrupt, terminate } => tokio::select! {
                caught = interrupt.recv() => caught.map(|()| Signal::Interrupt),
                caught = terminate.recv() => caught.map(|()| Signal::Terminate),
            },
            Self::Channel(channel) => channel.recv().await,
        };
        match next {
            Some(signal) => signal,
            None => std::future::pending().await,
        }
    }
}
