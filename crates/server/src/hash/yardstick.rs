//! The yardstick that the pool is measured by.

use std::time::{Duration, Instant};

use super::argon2id::{self, Argon2id, HashFault, Implementation, TAG_BYTES};
use super::worker::lower_priority;
use super::{HashOptions, HashStartError};

/// Password changes per second of `threads` threads that do nothing but compute two hashes per change for `duration`:
/// the same implementation, cost and nice value as the pool, one kept arena per thread; no queue, no strings, no
/// answers.
///
/// Blocks for `duration`. To be compared only with figures of the same run on the same machine.
pub fn bare_two_hash_loop(options: &HashOptions, threads: usize, duration: Duration) -> Result<f64, HashStartError> {
    let problems = options.problems();
    if !problems.is_empty() {
        return Err(HashStartError::Options(problems));
    }
    let implementation = argon2id::choose(options.force_reference, options.cost())
        .map_err(|failed| HashStartError::SelfCheck(failed.to_string()))?;
    std::thread::scope(|scope| {
        let one = || one_thread(options, implementation, duration);
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(one)).collect();
        let rates = threads.into_iter().map(|thread| thread.join().unwrap_or(Err(HashFault::PANICKED)));
        rates.sum::<Result<f64, HashFault>>().map_err(|fault| HashStartError::FirstHash(fault.to_string()))
    })
}

/// Changes per second of one thread, after one hash that makes its arena resident.
fn one_thread(options: &HashOptions, implementation: Implementation, duration: Duration) -> Result<f64, HashFault> {
    lower_priority(options.nice);
    let mut argon2id = Argon2id::new(implementation, options.cost())?;
    let mut hash = |password: &[u8]| {
        let mut tag = [0; TAG_BYTES];
        argon2id.tag(options.cost(), password, &[1; 16], &mut tag)?;
        Ok(std::hint::black_box(tag))
    };
    hash(b"first")?;
    let begun = Instant::now();
    let mut changes = 0u32;
    while begun.elapsed() < duration {
        hash(b"the current password")?;
        hash(b"the new password")?;
        changes += 1;
    }
    Ok(f64::from(changes) / begun.elapsed().as_secs_f64())
}
