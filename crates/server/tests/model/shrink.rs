//! Makes a sequence that fails shorter, as long as it still fails.

use crate::contract::state::Mistake;
use crate::run::{Failure, Round, Run};
use crate::support::TestServer;

/// Runs that may be spent on it.
const RUNS_MAX: usize = 400;
/// How often a sequence is run before it counts as one that does not fail: calls at once do not meet every time.
const TRIES: usize = 6;

/// The shortest sequence that was found, and how it fails.
pub async fn shrink(
    server: &TestServer,
    first_number: usize,
    rounds: Vec<Round>,
    failure: Failure,
    mistake: Option<Mistake>,
) -> Failure {
    let (mut rounds, mut failure) = (rounds, failure);
    let mut number = first_number;
    let mut parts = 2;
    while number < first_number + RUNS_MAX {
        let mut shorter = None;
        for candidate in candidates(&rounds, parts) {
            for _ in 0..if failure.is_racy { TRIES } else { 1 } {
                number += 1;
                let failed = Run::new(server, number, mistake).await.all(&candidate).await.err();
                if let Some(failed) = failed {
                    shorter = Some((candidate.clone(), failed));
                    break;
                }
            }
            if shorter.is_some() || number >= first_number + RUNS_MAX {
                break;
            }
        }
        match shorter {
            Some(found) => (rounds, failure) = found,
            None if parts > rounds.len() * 2 => break,
            None => parts *= 2,
        }
    }
    failure
}

/// The sequence without one of so many parts of its rounds; with many parts, also without one of its calls, or with the
/// calls of a round one after the other.
fn candidates(rounds: &[Round], parts: usize) -> Vec<Vec<Round>> {
    let size = rounds.len().div_ceil(parts).max(1);
    let mut found = Vec::new();
    for start in (0..rounds.len()).step_by(size) {
        let without = |(at, _): &(usize, &Round)| !(start..start + size).contains(at);
        found.push(rounds.iter().enumerate().filter(without).map(|(_, round)| round.clone()).collect());
    }
    if parts > rounds.len() {
        for (at, round) in rounds.iter().enumerate().filter(|(_, round)| round.len() > 1) {
            let (before, after) = (&rounds[..at], &rounds[at + 1..]);
            for call in 0..round.len() {
                let mut fewer = round.clone();
                fewer.remove(call);
                found.push([before, &[fewer], after].concat());
            }
            let one_by_one: Vec<Round> = round.iter().map(|seed| vec![*seed]).collect();
            found.push([before, &one_by_one, after].concat());
        }
    }
    found
}
