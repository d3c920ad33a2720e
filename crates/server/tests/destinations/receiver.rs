//! What the questions need to know of a kind.

use std::net::SocketAddr;

use keyherald::destination::{Context, Policy};
use keyherald_core::id::MessageId;
use serde_json::Value;

/// Something that arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Got {
    /// The id by which copies are recognised, wherever this kind has it.
    pub id: String,
    /// The very bytes.
    pub body: Vec<u8>,
}

/// A receiver of one kind: each a place of its own, with nothing in it yet.
pub trait Receiver: Sized + Send + Sync + 'static {
    /// The kind's name.
    const KIND: &'static str;
    /// Whether it keeps one of several copies.
    const DROPS_COPIES: bool;

    /// Whether a message has a place besides its body where it can say in which trace it is.
    const HAS_TRACE: bool = true;

    /// How an answer begins that has no end.
    const ENDLESS: &'static [u8];

    /// Prepares one.
    async fn start() -> Self;

    /// Where it listens.
    fn address(&self) -> SocketAddr;

    /// A draft that leads to it, by way of this host and port.
    fn draft(&self, host: &str, port: u16) -> Value;

    /// What the operator must allow besides so that the draft leads there.
    fn policy(&self, base: Policy, _host: &str, _port: u16) -> Policy {
        base
    }

    /// What of the draft nobody may see again.
    fn secrets(&self) -> Vec<String>;

    /// All that it has taken, in its order.
    async fn got(&self) -> Vec<Got>;

    /// A large body: larger than any frame, buffer or window on its way; with every byte, line ends among them, if it takes them.
    fn big(&self) -> Vec<u8> {
        (0..=255).cycle().take(250_000).collect()
    }

    /// A body that it will never take, or why there is none.
    fn poison(&self) -> Result<Vec<u8>, &'static str>;

    /// Has it answer the next message by asking for so many seconds of rest, or says why it cannot.
    fn ask_for_rest(&self, seconds: u32) -> Result<(), &'static str>;

    /// What senders to it are made with, by way of this port of this machine.
    fn prepared(&self, context: Context, _port: u16) -> Context {
        context
    }

    /// How it spells a message's id.
    fn spelled(id: MessageId) -> String {
        id.to_string()
    }
}

/// The words by which a service that was started for the tests is found.
pub fn service<const WORDS: usize>(variable: &str) -> [String; WORDS] {
    let words = std::env::var(variable).unwrap_or_else(|_| panic!("{variable} is not set"));
    let words: Vec<String> = words.split(' ').map(str::to_owned).collect();
    words.try_into().unwrap()
}

/// A name that nobody else has there.
pub fn place() -> String {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).unwrap();
    format!("test-{:016x}", u64::from_be_bytes(bytes))
}
