//! The kill test on several nodes: three real processes over one PostgreSQL, under load. Nodes are killed (SIGKILL), one or
//! two at a time, frozen for longer than their lease (SIGSTOP, SIGCONT), and the database itself is restarted, in order or as
//! if its machine had lost power. Clients whose node has died go on at another. What must hold in the end is what the
//! kill test of one server asks, and it is judged by the same files; see docs/proof.md.
//!
//! `KEYHERALD_DISTURBANCES` sets how often. `KEYHERALD_KILL_SEED` repeats the choices of an earlier run, though not its
//! timing. The database is a private one, for nobody else could bear it.
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
mod demo;
#[expect(dead_code, reason = "other tests need more of it")]
#[path = "../kill/engine.rs"]
mod engine;
#[path = "../kill/evidence.rs"]
mod evidence;
mod fleet;
#[path = "../kill/load.rs"]
mod load;
#[path = "../kill/moment.rs"]
mod moment;
mod outage;
#[path = "../kill/partner.rs"]
mod partner;
#[path = "../kill/receiver.rs"]
mod receiver;
mod roles;
mod run;
#[path = "../kill/stage.rs"]
mod stage;

use std::hash::{BuildHasher, RandomState};

/// Disturbances in the ordinary run, and in the long proof.
const SHORT: u32 = 5;
const LONG: u32 = 200;

#[test]
#[ignore = "needs PostgreSQL: cargo xtask test makes sure that it is there"]
fn cluster_postgres() {
    run::run(disturbances(SHORT), seed());
}

#[test]
#[ignore = "takes minutes and needs PostgreSQL: cargo xtask prove"]
fn prove_cluster_postgres() {
    run::run(disturbances(LONG), seed());
}

fn disturbances(otherwise: u32) -> u32 {
    let wanted = std::env::var("KEYHERALD_DISTURBANCES");
    wanted.map_or(otherwise, |wanted| wanted.parse().expect("KEYHERALD_DISTURBANCES is a number"))
}

fn seed() -> u64 {
    match std::env::var("KEYHERALD_KILL_SEED") {
        Ok(seed) => seed.parse().expect("KEYHERALD_KILL_SEED is a number"),
        Err(_) => RandomState::new().hash_one(std::process::id()),
    }
}
