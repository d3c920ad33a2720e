//! The model test: random sequences of all calls, from several callers at once, against a simple model of the contract
//! (`contract`), on each engine. After every round the answers are held against the model's, and after every sequence all
//! that can be seen.
//!
//! `KEYHERALD_MODEL_SEQUENCES` sets how many, `KEYHERALD_MODEL_SEED` the seed of the first; the next ones follow it. A
//! difference is told with the seed and the shortest sequence that shows it. The closing line is what docs/proof.md keeps.
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test that cannot go on must fail")]

mod call;
mod chance;
mod contract;
mod expect;
mod plan;
mod query;
mod run;
mod shrink;
#[expect(dead_code, reason = "other tests need more of it")]
#[path = "../support/mod.rs"]
mod support;

use std::io::Write;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread;

use keyherald_store::testing::block_on;

use contract::state::Mistake;
use run::{Failure, Run, rounds};
use shrink::shrink;
use support::TestServer;

/// Sequences of the ordinary run, and of the long proof.
const SHORT: u64 = 200;
const LONG: u64 = 10_000;
/// Seed of the ordinary run.
const SEED: u64 = 1;
/// Sequences after which a new server is taken, so that its database stays small.
const PER_SERVER: u64 = 25;
/// Servers at a time.
const THREADS: usize = 6;
/// Sequences within which a wrong rule must be noticed.
const NOTICED_WITHIN: u64 = 300;

#[test]
fn model_sqlite() {
    hold("sqlite", SHORT);
}

#[test]
#[ignore = "needs PostgreSQL: cargo xtask test starts one"]
fn model_postgres() {
    hold("postgres", SHORT);
}

#[test]
#[ignore = "takes minutes: cargo xtask prove"]
fn prove_sqlite() {
    hold("sqlite", LONG);
}

#[test]
#[ignore = "takes minutes and needs PostgreSQL: cargo xtask prove"]
fn prove_postgres() {
    hold("postgres", LONG);
}

/// A test that cannot fail proves nothing.
#[test]
fn a_wrong_rule_is_noticed() {
    let next = AtomicUsize::new(0);
    let work = || {
        while let Some(mistake) = Mistake::ALL.get(next.fetch_add(1, Ordering::SeqCst)) {
            assert!(noticed(*mistake), "{mistake:?} was not noticed");
        }
    };
    thread::scope(|scope| (0..THREADS).for_each(|_| drop(scope.spawn(work))));
}

fn noticed(mistake: Mistake) -> bool {
    let mut noticed = false;
    block_on(async { noticed = is_noticed(mistake).await });
    noticed
}

async fn is_noticed(mistake: Mistake) -> bool {
    let server = TestServer::sqlite().await;
    for number in 0..NOTICED_WITHIN {
        let mut run = Run::new(&server, usize::try_from(number).unwrap(), Some(mistake)).await;
        if run.all(&rounds(SEED + number)).await.is_err() {
            return true;
        }
    }
    false
}

/// Runs so many sequences, some at a time, each on one of several servers: what costs time is waiting for the disk.
fn hold(engine: &str, sequences: u64) {
    let sequences = setting("KEYHERALD_MODEL_SEQUENCES", sequences);
    let first = setting("KEYHERALD_MODEL_SEED", SEED);
    let next = AtomicU64::new(0);
    let work = || {
        let mut calls = 0;
        while let Some(batch) = Some(next.fetch_add(PER_SERVER, Ordering::SeqCst)).filter(|start| *start < sequences) {
            let batch = first + batch..first + sequences.min(batch + PER_SERVER);
            block_on(async { calls += hold_batch(engine, batch).await });
        }
        calls
    };
    let calls: usize = thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(work)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    // Not by `println!`, which the harness keeps to itself while all is well.
    let line = format!("proof: model {engine}: {sequences} sequences, {calls} calls, 0 differences\n");
    std::io::stdout().write_all(line.as_bytes()).unwrap();
}

async fn hold_batch(engine: &str, seeds: Range<u64>) -> usize {
    let server = if engine == "sqlite" { TestServer::sqlite().await } else { TestServer::postgres().await };
    let mut calls = 0;
    for (number, seed) in seeds.enumerate() {
        let mut run = Run::new(&server, number, None).await;
        if let Err(failure) = run.all(&rounds(seed)).await {
            let Failure { calls, difference, .. } = shrink(&server, 1_000, rounds(seed), failure, None).await;
            panic!(
                "model {engine}: a difference. Repeat it with KEYHERALD_MODEL_SEED={seed} \
                 KEYHERALD_MODEL_SEQUENCES=1.\n\n{}\n\n{difference}\n",
                calls.join("\n")
            );
        }
        calls += run.count;
    }
    calls
}

fn setting(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable)
        .map_or(otherwise, |value| value.parse().unwrap_or_else(|_| panic!("{variable} is a number")))
}
