//! What Keyherald remembers: the only crate with SQL.
//!
//! [`Store::write`] is one transaction and [`Store::read`] one consistent look. Repository functions are plain
//! functions over `&mut dyn Tx`, one module per noun. One SQL text serves both engines wherever it can
//! ([`sql::Sql`]); the list of engines is in [`engine`].
//!
//! Invariants:
//! * nothing is answered before COMMIT returned;
//! * a refusal is an `Ok` outcome and commits its traces, only a [`Fault`] rolls back;
//! * closures are synchronous and may be run again, so they borrow or clone their inputs and get their own clone of
//!   the [`Ctx`](keyherald_core::Ctx) in every run;
//! * a log entry is appended after another write of the same transaction (on PostgreSQL its writer must have its
//!   transaction id before it takes a position; see `log`).

pub mod attempt;
pub mod claim;
pub mod client;
pub mod credential;
pub mod customer;
mod decoy;
pub mod delivery;
pub mod doubt;
pub mod engine;
pub mod erase;
pub mod event;
pub mod fault;
pub mod filter;
pub mod lease;
pub mod limit;
pub mod listing;
pub mod log;
pub mod migrate;
pub mod operation;
pub mod project;
pub mod provider_link;
pub mod registration;
pub mod retention;
pub mod session;
pub mod shop;
pub mod sql;
mod store;
pub mod subscription;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod throttle;
pub mod token;
pub mod tx;
pub mod user_record;
pub mod verification;

pub use fault::{Fault, FaultKind};
pub use listing::{Listing, Page};
pub use sql::Sql;
pub use store::{COMMIT_SIZES, Counters, ReplicaOptions, Store, StoreOptions, StoreUrl, StoreUrlError, WriteWatch};
pub use tx::{Row, Tx, Value};

/// Every fixed statement of every module, for the test that prepares them all on both engines.
pub fn statements() -> impl Iterator<Item = &'static Sql> {
    let lists: [&[&'static Sql]; 29] = [
        claim::STATEMENTS,
        client::STATEMENTS,
        credential::STATEMENTS,
        customer::STATEMENTS,
        attempt::STATEMENTS,
        delivery::STATEMENTS,
        delivery::intervention::STATEMENTS,
        doubt::STATEMENTS,
        erase::STATEMENTS,
        event::STATEMENTS,
        event::resend::STATEMENTS,
        lease::STATEMENTS,
        limit::STATEMENTS,
        log::STATEMENTS,
        log::activity::STATEMENTS,
        log::feed::STATEMENTS,
        operation::STATEMENTS,
        operation::IDEMPOTENCY_STATEMENTS,
        project::STATEMENTS,
        provider_link::STATEMENTS,
        registration::STATEMENTS,
        retention::STATEMENTS,
        session::STATEMENTS,
        shop::STATEMENTS,
        subscription::STATEMENTS,
        throttle::STATEMENTS,
        token::STATEMENTS,
        user_record::STATEMENTS,
        verification::STATEMENTS,
    ];
    lists.into_iter().flatten().copied()
}
