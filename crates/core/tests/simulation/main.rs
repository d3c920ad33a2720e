//! The relay in a world that is made up: its rules are the real ones, and time, nodes, database, network and receivers are
//! not. A run follows from its seed alone: no threads, no sleeping, no clock.
//!
//! **What happens.** Customers' transactions take positions in the log and become visible out of order, or never. Nodes die,
//! freeze for longer than their lease and go on, panic, are stopped and started. The database is lost, or full; questions
//! take their time, answers are lost. Receivers fail, stall, answer late, or twice, and some fail for some customers to the end.
//!
//! **What is checked.** At every write: nothing is passed by that was neither accepted nor put aside. At every arrival: the
//! message is the one of the log (`repeats` have the same id), comes after its predecessors, and its sender has a right to
//! the partition. At every step: no lane has two messages on their way, and nothing in memory is beyond its limit. In the
//! end: everything has come, and nobody whose receiver is well has waited for those whose receiver is not.
//!
//! **What is assumed.** A message that was sent arrives within milliseconds, or not at all: what the network holds back for
//! longer than a lease could come after its customer's next one if it has been put aside meanwhile. Clocks differ and jump,
//! but for the monotonic ones, which go at one pace.
//!
//! A run that fails prints its seed and how to play it again.
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test that cannot go on must fail")]

mod chance;
mod database;
mod dispatcher;
mod node;
mod receiver;
mod scenario;
mod wire;
mod world;

use std::io::Write;
use std::num::NonZeroUsize;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use scenario::Broken;
use world::{Tally, World};

/// Runs of the ordinary test, and of the long proof.
const SHORT: u64 = 200;
const LONG: u64 = 100_000;
/// So many runs at most until a broken rule is noticed.
const BROKEN_SEEDS: u64 = 200;

fn play(seeds: u64, told_every: Option<u64>) -> (u64, Tally) {
    let (next, played) = (AtomicU64::new(0), Mutex::new((0, Tally::default(), None::<String>)));
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds {
                return;
            }
            let ended = World::new(seed, Broken::Nothing, false).play();
            let (runs, all, failure) = &mut *played.lock().unwrap();
            match ended {
                Ok(tally) => all.add(&tally),
                Err(violation) => {
                    next.store(seeds, Ordering::Relaxed);
                    *failure = Some(format!(
                        "seed {seed}: {violation}\n  play it again: KEYHERALD_SIMULATION_SEED={seed} \
                         cargo test -p keyherald-core --test simulation replay -- --nocapture"
                    ));
                    return;
                }
            }
            *runs += 1;
            if told_every.is_some_and(|every| *runs % every == 0) {
                println!("{runs} seeds, {} events, {} messages delivered", all.events, all.delivered);
            }
        }
    };
    // Each run has one thread, its own.
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, NonZeroUsize::get) {
            scope.spawn(work);
        }
    });
    let (runs, all, failure) = played.into_inner().unwrap();
    if let Some(failure) = failure {
        panic!("{failure}");
    }
    (runs, all)
}

#[test]
fn nothing_is_lost_doubled_or_out_of_order_whatever_happens() {
    let (runs, all) = play(SHORT, None);
    // Past the harness, which keeps what passing tests print to itself.
    std::io::stdout().write_all(format!("proof: {}\n", closing_line(runs, &all)).as_bytes()).unwrap();
    // Otherwise it has shown nothing.
    assert!(all.delivered > 10_000 && all.repeats > 100 && all.put_aside > 100, "{all:?}");
    assert!(all.kills > 50 && all.freezes > 50 && all.outages > 50, "{all:?}");
}

#[test]
fn a_broken_rule_is_noticed() {
    let small = || (0..BROKEN_SEEDS).filter(|seed| seed % 100 != 99);
    let noticed =
        |broken| small().find_map(|seed| World::new(seed, broken, false).play().err().map(|what| (seed, what)));
    let mut unnoticed = Vec::new();
    for broken in Broken::ALL {
        match noticed(broken) {
            Some((seed, what)) => {
                println!("{broken:?} is noticed by seed {seed}: {}", what.lines().next().unwrap_or_default());
            }
            None => unnoticed.push(broken),
        }
    }
    assert_eq!(unnoticed, [], "in {BROKEN_SEEDS} runs");
}

#[test]
fn a_seed_plays_the_same_again() {
    for seed in [3, 9, 17] {
        let play = || World::new(seed, Broken::Nothing, false).play();
        assert_eq!(play(), play(), "seed {seed}");
    }
}

#[test]
#[ignore = "takes minutes: cargo xtask prove"]
fn prove_simulation_virtual() {
    let seeds = std::env::var("KEYHERALD_SIMULATION_SEEDS").map_or(LONG, |seeds| seeds.parse().unwrap());
    let (runs, all) = play(seeds, Some((seeds / 20).max(1)));
    println!("{}", closing_line(runs, &all));
}

fn closing_line(runs: u64, all: &Tally) -> String {
    let Tally { events, messages, delivered, repeats, put_aside, kills, freezes, outages } = all;
    format!(
        "simulation virtual: {runs} seeds, {events} events, messages {messages}, delivered {delivered}, repeats {repeats}, \
         put aside {put_aside}, kills {kills}, freezes {freezes}, outages {outages}, violations 0"
    )
}

/// Plays one seed again, and tells what happens: `KEYHERALD_SIMULATION_SEED`, or 0.
#[test]
fn replay() {
    let seed = std::env::var("KEYHERALD_SIMULATION_SEED").map_or(0, |seed| seed.parse().unwrap());
    match World::new(seed, Broken::Nothing, true).play() {
        Ok(tally) => println!("{}", closing_line(1, &tally)),
        Err(violation) => panic!("seed {seed}: {violation}"),
    }
}
