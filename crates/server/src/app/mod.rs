//! The use cases: one file each, the only callers of the store. They know no dialect and no transport.
//!
//! The path of every change: what can be refused without hashing is refused on a first look; then the hash pool works;
//! then one transaction locks the customer, reads again, decides and writes. A refusal commits its traces.

pub mod activity;
pub mod authenticate;
mod call;
pub mod change_credentials;
pub mod change_email;
pub mod change_password;
pub mod check_password;
pub mod clients;
pub mod create_customer;
pub mod create_token;
pub mod delete_customer;
pub mod deliveries;
pub mod destinations;
mod doubts;
pub mod events;
pub mod export_customers;
pub mod feed;
pub mod find_customer;
pub mod hosted_credentials;
pub mod import_customers;
mod in_turn;
pub mod limits;
pub mod link_customer;
pub mod mail;
pub mod messages;
pub mod note_change;
pub mod onboard_customer;
pub mod operations;
mod owed;
pub mod projects;
mod proofs;
pub mod prove_email;
pub mod read_user;
pub mod recover_credentials;
pub mod recover_password;
pub mod register_user;
mod repeat;
pub mod replace_password;
pub mod reset_password;
mod set_password;
pub mod settle_doubts;
pub mod sign_in;
pub mod sign_in_user;
pub mod stores;
pub mod subscriptions;
pub mod sweep;
mod synchronise_user;
pub mod tail;
pub mod tell_failures;
mod throttle;
pub mod tokens;
mod try_subscription;
pub mod update_customer;
mod update_there;
pub mod update_user;
pub mod verify_email;
pub mod verify_identifier;

use std::sync::Arc;
use std::time::Duration;

use keyherald_core::activity::Made;
use keyherald_core::id::CustomerId;
use keyherald_core::message::Flow;
use keyherald_core::seal::KeyRing;
use keyherald_core::{Ctx, Refusal};
pub use keyherald_store::{Fault, FaultKind, Listing, Page};
use keyherald_store::{Store, Tx, log};
use tokio::sync::watch;

use self::activity::Recorder;
pub use self::call::{Call, CustomerRef, InStore};
pub use self::check_password::Passwords;
use self::feed::Feed;
pub use self::prove_email::{Proved, Sent};
pub use self::read_user::{FoundUser, UserPage, UserRef};
pub use self::register_user::{Registered, Registering};
pub use self::sign_in_user::SigningIn;
pub use self::update_user::UserUpdate;
use crate::clock::Moments;
use crate::deliver::Opener;
use crate::destination;
use crate::hash::{HashPool, Overloaded};
use crate::operate::Operations;
pub use crate::operate::Repeat;
use crate::outbox::Outbox;

/// Everything that a use case needs. Cheap to clone; two of them can live in one process.
#[derive(Clone)]
pub struct App {
    /// The open database.
    pub store: Store,
    /// The hashing pool.
    pub hash: Arc<HashPool>,
    /// Where time and chance come from.
    pub moments: Moments,
    /// The keys that seal what must be readable again.
    pub ring: Arc<KeyRing>,
    /// What the operator allows of destinations.
    pub destinations: Arc<destination::Policy>,
    /// Makes senders, to try subscriptions out.
    pub opener: Opener,
    /// How long a test message may take when a subscription is made or gets another destination: less than a request.
    pub test_timeout: Duration,
    /// What partners are told of credentials.
    pub outbox: Arc<Outbox>,
    /// What sets passwords at identity providers.
    pub operations: Operations,
    /// What is asked of new passwords.
    pub passwords: Arc<Passwords>,
    /// The activity of reads, on its way into the log.
    pub recorder: Recorder,
    /// Those who fetch messages and wait for more.
    pub feed: Feed,
    /// Moves when a subscription was made or deleted in this process.
    pub subscriptions_changed: Arc<watch::Sender<u64>>,
}

/// Why a use case did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// A rule says no. The caller is told.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Something is broken. The caller is told that much, the log has the rest.
    #[error(transparent)]
    Fault(#[from] Fault),
}

impl From<Overloaded> for Failure {
    fn from(overloaded: Overloaded) -> Self {
        Self::Refused(Refusal::Overloaded { retry_after_s: overloaded.retry_after_s })
    }
}

/// What a use case answers.
pub type Answer<T> = Result<T, Failure>;

impl App {
    fn ctx(&self) -> Ctx {
        self.moments.ctx()
    }
}

/// Writes the activity of a call to our own database, in the transaction of that call.
fn note(
    tx: &mut dyn Tx,
    call: &Call,
    flow: Flow,
    customer: Option<CustomerId>,
    made: Made<'_>,
    ctx: &mut Ctx,
) -> Result<(), Fault> {
    log::activity::append(tx, &call.project, &call.run(flow).called(customer, made, ctx))
}

/// Writes the trace of a refused call, in the transaction that refuses it.
fn trace(
    tx: &mut dyn Tx,
    call: &Call,
    flow: Flow,
    customer: Option<CustomerId>,
    refusal: &Refusal,
    ctx: &mut Ctx,
) -> Result<(), Fault> {
    log::activity::append(tx, &call.project, &call.run(flow).ended(customer, Some(refusal), ctx))
}
