//! The kill test: a server under load is killed with SIGKILL at random moments, again and again, and comes back on the
//! same data. In the end nothing that was acknowledged may be missing, every change has exactly one message and one change notification, and the
//! receiver, which fails now and then itself, has every message, in order per customer.
//!
//! `KEYHERALD_KILLS` sets how often. `KEYHERALD_KILL_SEED` repeats the choices of an earlier run, though not its timing.
//! The closing line is what docs/proof.md keeps.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on must fail"
)]

#[expect(dead_code, reason = "other tests need more of it")]
#[path = "../black_box/mod.rs"]
mod black_box;
mod engine;
mod evidence;
mod load;
mod moment;
mod partner;
mod receiver;
mod run;
mod stage;

use std::hash::{BuildHasher, RandomState};

use engine::Engine;
use run::run;

/// Kills in the ordinary run, and in the long proof.
const SHORT: u32 = 4;
const LONG: u32 = 50;

#[test]
fn kill_sqlite() {
    run(&Engine::Sqlite, kills(SHORT), seed());
}

#[test]
#[ignore = "needs PostgreSQL: cargo xtask test starts one"]
fn kill_postgres() {
    let seed = seed();
    run(&Engine::postgres(&format!("keyherald_kill_{seed:016x}")), kills(SHORT), seed);
}

#[test]
#[ignore = "takes minutes: cargo xtask prove"]
fn prove_sqlite() {
    run(&Engine::Sqlite, kills(LONG), seed());
}

#[test]
#[ignore = "takes minutes and needs PostgreSQL: cargo xtask prove"]
fn prove_postgres() {
    let seed = seed();
    run(&Engine::postgres(&format!("keyherald_prove_{seed:016x}")), kills(LONG), seed);
}

fn kills(otherwise: u32) -> u32 {
    std::env::var("KEYHERALD_KILLS").map_or(otherwise, |kills| kills.parse().expect("KEYHERALD_KILLS is a number"))
}

fn seed() -> u64 {
    match std::env::var("KEYHERALD_KILL_SEED") {
        Ok(seed) => seed.parse().expect("KEYHERALD_KILL_SEED is a number"),
        Err(_) => RandomState::new().hash_one(std::process::id()),
    }
}
