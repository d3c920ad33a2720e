//! What Keyherald decides.
//!
//! This crate is pure: no async, no SQL, no HTTP, no clock and no randomness of its own. Time and chance come in
//! through [`Ctx`]; everything else is an argument. A verb is one file (`change`, `reset`, ...) with a command, the
//! state that it looks at, and `decide(state, command, ctx) -> Result<Decision, Refusal>`. Who calls it, loads the
//! state, hashes, commits and answers lives in the other two crates.
//!
//! Words (ARCHITECTURE.md has them all): a *customer* has a *credential*; a *token* proves the right to reset; a
//! *message* is a fact that others must hear, ordered per *resource* by its *sequence number*; a *subscription* says
//! who hears what, and a *destination* where; a *lane* is one subscription's stream for one customer.

pub mod activity;
pub mod body_signature;
pub mod change;
pub mod client;
pub mod confirm_email;
pub mod create;
pub mod credential;
pub mod credentials_event;
pub mod ctx;
pub mod customer;
pub mod data_verification_event;
pub mod delete;
pub mod delivery;
pub mod doubt;
pub mod email_token;
pub mod event;
pub mod filter;
pub mod id;
pub mod import;
pub mod initiator;
pub mod lease;
pub mod limit;
pub mod mail;
pub mod message;
pub mod notice;
pub mod operation;
pub mod policy;
pub mod project;
pub mod provider;
pub mod recover;
pub mod refusal;
pub mod registration;
pub mod relay;
pub mod reset;
pub mod seal;
pub mod secret;
pub mod session;
pub mod set;
pub mod shop;
pub mod sign_in;
pub mod signature;
pub mod sms;
pub mod sought;
pub mod subscription;
pub mod synchronise;
pub mod throttle;
pub mod token;
pub mod trace;
pub mod update;
pub mod user_record;
pub mod verification;
pub mod wallet_notice;

pub use ctx::{Ctx, Micros, Uptime};
pub use refusal::Refusal;
