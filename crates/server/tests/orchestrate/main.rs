//! Operations through the real binary: `keyherald serve`, spoken to over HTTP, with providers on loopback that fail in
//! every way, a customer that is deleted or changed meanwhile, and SIGKILL in every step.
//!
//! A *cell* is one change of one customer's password with one mishap. In the end, after a restart, provider and database
//! must have the same password (or the operation is open, or marked as diverged with its alert), each change that
//! happened must have one message and its entries, nobody may have been told what is not so, and no secret may lie
//! anywhere. The same with everything in one process, and more kinds of providers, is in `tests/operate`.
//!
//! `KEYHERALD_OPERATION_CELLS` sets how many cells are drawn, `KEYHERALD_OPERATION_SEED` repeats a draw, and
//! `KEYHERALD_OPERATION_CELL` plays a single one. The closing line is what docs/proof.md keeps.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may end here"
)]

mod act;
mod api;
mod auth0;
mod batch;
#[expect(dead_code, reason = "other tests need more of it")]
#[path = "../black_box/mod.rs"]
mod black_box;
mod cell;
mod described;
#[expect(dead_code, reason = "other tests need more of it")]
#[path = "../connector/double.rs"]
mod double;
#[expect(dead_code, reason = "other tests need more of it")]
#[path = "../kill/engine.rs"]
mod engine;
mod evidence;
mod gigya;
mod keycloak;
mod kratos;
mod leaks;
#[expect(dead_code, reason = "other tests need more of it")]
#[path = "../connector/people.rs"]
mod people;
mod provider;
mod records;
mod script;
mod server;
mod set_up;
mod slapd;
mod spoken;
#[path = "../connector/auth0/vendor.rs"]
mod vendor_auth0;
#[path = "../connector/gigya/vendor.rs"]
mod vendor_gigya;
#[path = "../connector/keycloak/vendor.rs"]
mod vendor_keycloak;
#[path = "../connector/kratos/vendor.rs"]
mod vendor_kratos;

use std::collections::BTreeSet;
use std::hash::{BuildHasher, RandomState};
use std::io::Write;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use batch::Outcome;
use cell::{Cell, Mishap, spread};
use engine::Engine;
use evidence::Verdict;
use keyherald_core::{Ctx, Micros};

/// Cells in the ordinary run.
const SHORT: usize = 40;
/// Cells on one server: where nobody is killed, and of those that die together.
const TOGETHER: (usize, usize) = (32, 8);
/// Servers at the same time.
const THREADS: usize = 2;

#[test]
fn operations_sqlite() {
    run("sqlite", SHORT);
}

#[test]
#[ignore = "needs PostgreSQL: cargo xtask test starts one"]
fn operations_postgres() {
    run("postgres", SHORT);
}

#[test]
#[ignore = "takes minutes: cargo xtask prove"]
fn prove_sqlite() {
    run("sqlite", usize::MAX);
}

#[test]
#[ignore = "takes minutes and needs PostgreSQL: cargo xtask prove"]
fn prove_postgres() {
    run("postgres", usize::MAX);
}

#[test]
#[ignore = "needs slapd: cargo xtask test starts one"]
fn operations_slapd() {
    run("slapd", SHORT);
}

#[test]
#[ignore = "takes minutes and needs slapd: cargo xtask prove"]
fn prove_slapd() {
    run("slapd", usize::MAX);
}

fn setting<T: std::str::FromStr>(name: &str) -> Option<T> {
    let value = std::env::var(name).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name} is no number")))
}

/// `engine`: of the database; or `slapd`, for operations with a directory, on SQLite.
fn run(engine: &str, count: usize) {
    let began = Instant::now();
    let seed = setting("KEYHERALD_OPERATION_SEED").unwrap_or_else(|| RandomState::new().hash_one(std::process::id()));
    let count = setting("KEYHERALD_OPERATION_CELLS").unwrap_or(count);
    println!("operations {engine}: KEYHERALD_OPERATION_SEED={seed}");
    let batches = batches(&drawn(cell::all(engine == "slapd"), count, &mut chance(seed, 0)));
    let (next, outcomes) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let work = || {
        while let Some(number) = Some(next.fetch_add(1, Ordering::SeqCst)).filter(|number| *number < batches.len()) {
            let cells = &batches[number];
            let place = match engine {
                "postgres" => Engine::postgres(&format!("keyherald_operations_{seed:016x}_{number}")),
                _ => Engine::Sqlite,
            };
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
            let played = runtime.block_on(batch::play(&place, cells, &mut chance(seed, number + 1)));
            println!("batch {} of {}: {} cells after {:?}", number + 1, batches.len(), cells.len(), began.elapsed());
            outcomes.lock().unwrap().extend(played);
        }
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(work)).collect();
        for thread in threads {
            thread.join().unwrap();
        }
    });
    close(engine, seed, &outcomes.into_inner().unwrap());
}

fn chance(seed: u64, stream: usize) -> Ctx {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    bytes[8..16].copy_from_slice(&u64::try_from(stream).unwrap().to_le_bytes());
    Ctx::new(Micros(0), bytes)
}

/// The cells of this run. One that lasts as long as a password is kept is only among all of them.
fn drawn(all: Vec<Cell>, count: usize, chance: &mut Ctx) -> Vec<Cell> {
    if let Some(number) = setting::<usize>("KEYHERALD_OPERATION_CELL") {
        return vec![all[number]];
    }
    if count >= all.len() {
        return all;
    }
    let quick: Vec<Cell> = all.into_iter().filter(|cell| !cell.is_slow()).collect();
    spread(&quick, count, chance)
}

/// Those that are killed together, those that last, and the rest.
fn batches(cells: &[Cell]) -> Vec<Vec<Cell>> {
    let (many, few) = TOGETHER;
    let of = |wanted: &dyn Fn(&Cell) -> bool, size: usize| {
        let cells: Vec<Cell> = cells.iter().filter(|cell| wanted(cell)).copied().collect();
        cells.chunks(size).map(<[Cell]>::to_vec).collect::<Vec<_>>()
    };
    let slow = of(&Cell::is_slow, many);
    let killed = of(&Cell::is_killed, few);
    let rest = of(&|cell| !cell.is_slow() && !cell.is_killed(), many);
    // Long ones first.
    [slow, rest, killed].concat()
}

/// Prints what was found, and fails if anything is wrong.
fn close(engine: &str, seed: u64, outcomes: &[Outcome]) {
    let wrong: Vec<&Outcome> = outcomes.iter().filter(|outcome| outcome.verdict.is_err()).collect();
    for Outcome { cell, verdict, evidence, .. } in wrong.iter().take(20) {
        println!("{cell}: {}\n    {evidence}", verdict.as_ref().unwrap_err().join("; "));
    }
    let deleted = outcomes.iter().filter(|outcome| outcome.was_deleted).count();
    println!("{deleted} customers were deleted meanwhile");
    let of = |wanted| outcomes.iter().filter(|outcome| outcome.verdict == Ok(wanted)).count();
    let connectors: BTreeSet<&str> = outcomes.iter().map(|outcome| outcome.cell.connector.name).collect();
    let steps: BTreeSet<String> = outcomes.iter().map(|outcome| format!("{:?}", outcome.cell.step())).collect();
    let faults: BTreeSet<String> = outcomes.iter().filter_map(|outcome| fault(&outcome.cell)).collect();
    let messages: usize = outcomes.iter().map(|outcome| outcome.messages.0).sum();
    let lost: usize = outcomes.iter().map(|outcome| outcome.messages.0 - outcome.messages.1).sum();
    let doubled: usize = outcomes.iter().map(|outcome| outcome.messages.2.saturating_sub(1)).sum();
    let line = format!(
        "proof: operations {engine}: {} connectors x {} steps x {} faults, {} cells: {} agreed, {} open, {} diverged, \
         {messages} messages, {lost} lost, {doubled} doubled\n",
        connectors.len(),
        steps.len(),
        faults.len(),
        outcomes.len(),
        of(Verdict::Agreed),
        of(Verdict::Open),
        of(Verdict::Diverged),
    );
    assert!(wrong.is_empty(), "{} cells of KEYHERALD_OPERATION_SEED={seed} ended badly", wrong.len());
    // Not by `println!`, which the harness keeps to itself while all is well.
    std::io::stdout().write_all(line.as_bytes()).unwrap();
}

/// What goes wrong, wherever it does.
fn fault(cell: &Cell) -> Option<String> {
    match cell.mishap {
        Mishap::None => None,
        Mishap::Trouble(_, trouble) => Some(format!("{trouble:?}")),
        Mishap::Death(_, moment) => Some(format!("killed {moment:?}")),
    }
}
