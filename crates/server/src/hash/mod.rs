//! The bounded hashing pool: the only place where a password meets Argon2id.
//!
//! A hash is 99 % of the work of a password change: about 10 ms of one core and 19 MiB. So hashing has its own
//! threads, as many as there are cores, each with one arena that is allocated once: memory is workers x m, whatever
//! the load. They run at nice 10 or more, so that commits and requests go first. Before them is a queue with three
//! lanes by weight, a bound for each, and a deadline. Who cannot be served in time is told so at the door, with the
//! seconds to wait, and costs nothing.
//!
//! Unknown customers, and hashes that cannot be read, are verified against nothing at the same cost. Hashes that other
//! systems made (`foreign`) cost what their makers chose, up to about a second and 64 MiB besides the arena, until their
//! owners sign in once.
//!
//! What it does not do: it draws no salt (chance is an argument), knows no customer, and limits nobody in particular:
//! that is for rate limits, which look at the identifier before anything is looked up.

mod argon2id;
mod foreign;
mod options;
mod phc;
mod queue;
mod stored;
#[cfg(test)]
mod tests;
mod work;
mod worker;
mod yardstick;

use std::sync::{Arc, mpsc};
use std::time::Duration;

use keyherald_core::credential::PasswordHash;
use keyherald_core::secret::Password;

use argon2id::{HashFault, Implementation};
pub use foreign::UnusableHash;
pub use options::{HashOptions, OptionProblem};
use phc::Encoded;
pub use queue::Lane;
use stored::Stored;
use work::{Hash, Verify, Work};
use worker::{Admitted, Shared, Worker};

use crate::trace;
pub use yardstick::bare_two_hash_loop;

/// What a verification found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verified {
    /// Whether it is the customer's password. Never for a customer who is not there, nor for a hash that is not read.
    pub matches: bool,
    /// It matches, and its hash has other parameters than the current ones: hash the password again while it is here.
    pub upgrade: bool,
}

/// The pool did not do it: nothing is known about the password. To be answered with 503 and `Retry-After`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the password cannot be hashed now: {reason}; try again in {retry_after_s} s")]
pub struct Overloaded {
    /// Why not.
    pub reason: OverloadReason,
    /// When it is worth another try, in seconds: 1 to 60.
    pub retry_after_s: u32,
}

/// Why a job was not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OverloadReason {
    /// Every place of the lane is taken.
    #[error("too many are waiting")]
    QueueFull,
    /// By the measured cost of a hash, its turn would come after three quarters of the deadline.
    #[error("the wait would be too long")]
    WaitTooLong,
    /// The deadline passed while it waited: hashing became slower than predicted.
    #[error("the wait became too long")]
    Expired,
    /// The pool is being stopped.
    #[error("the server is stopping")]
    Stopping,
    /// The hash itself failed: no memory for a costlier one, or a panic. The log has the reason.
    #[error("hashing failed")]
    Failed,
}

impl Overloaded {
    const FAILED: Self = Self { reason: OverloadReason::Failed, retry_after_s: 1 };

    /// When what waits now is done, there is room again.
    fn after(reason: OverloadReason, wait: Duration) -> Self {
        let seconds = wait.as_millis().div_ceil(1000).clamp(1, 60);
        Self { reason, retry_after_s: u32::try_from(seconds).unwrap_or(60) }
    }
}

/// Why the pool could not start.
#[derive(Debug, thiserror::Error)]
pub enum HashStartError {
    /// Settings that cannot be.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Options(Vec<OptionProblem>),
    /// No implementation computes Argon2id right on this machine.
    #[error("{0}")]
    SelfCheck(String),
    /// A worker got no memory, or its first hash failed.
    #[error("a hashing worker could not hash: {0}; it needs memory_kib of memory, and so does every other")]
    FirstHash(String),
    /// The system gave no thread.
    #[error("a hashing thread could not be started")]
    Thread(#[source] std::io::Error),
}

/// Counts since the start, and what is going on now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Passwords compared with a stored hash.
    pub verified: u64,
    /// Passwords compared with nothing, at the same cost.
    pub dummy: u64,
    /// Passwords hashed.
    pub hashed: u64,
    /// Jobs that were refused at the door.
    pub refused: u64,
    /// Jobs whose deadline passed while they waited.
    pub expired: u64,
    /// Jobs whose caller went away while they waited.
    pub cancelled: u64,
    /// Jobs that failed.
    pub failed: u64,
    /// Changes whose two hashes were computed at the same time.
    pub changes_at_once: u64,
    /// Arenas allocated: one per worker, and one more for each panic.
    pub arenas: u64,
    /// Jobs that wait now.
    pub queued: usize,
    /// Workers that live.
    pub workers: usize,
    /// Workers that hash now.
    pub busy_workers: usize,
    /// Time of one hash on one worker, smoothed, in microseconds.
    pub mean_cost_us: u64,
}

/// The pool. Dropping it lets the workers end after what they are doing.
pub struct HashPool {
    shared: Arc<Shared>,
    implementation: Implementation,
}

impl HashPool {
    /// Checks the options and both implementations, starts the workers and lets each hash once. Blocks for some
    /// hundredths of a second at the default cost.
    pub fn start(options: &HashOptions) -> Result<Self, HashStartError> {
        let problems = options.problems();
        if !problems.is_empty() {
            return Err(HashStartError::Options(problems));
        }
        let implementation = argon2id::choose(options.force_reference, options.cost())
            .map_err(|failed| HashStartError::SelfCheck(failed.to_string()))?;
        let pool = Self { shared: Arc::new(Shared::new(implementation, options)), implementation };
        let workers = options.worker_count();
        let (ready, started) = mpsc::channel();
        for number in 0..workers {
            pool.spawn_worker(number, ready.clone()).map_err(HashStartError::Thread)?;
        }
        drop(ready);
        for _ in 0..workers {
            // A worker that says nothing has panicked in its first hash.
            let first = started.recv().map_err(|error| HashStartError::FirstHash(error.to_string()))?;
            first.map_err(|fault| HashStartError::FirstHash(fault.to_string()))?;
        }
        tracing::info!(
            workers,
            memory_kib = options.memory_kib,
            passes = options.passes,
            lanes = options.lanes,
            implementation = pool.implementation(),
            mean_cost_us = pool.counters().mean_cost_us,
            "hashing with Argon2id"
        );
        Ok(pool)
    }

    fn spawn_worker(&self, number: usize, ready: mpsc::Sender<Result<(), HashFault>>) -> std::io::Result<()> {
        let shared = Arc::clone(&self.shared);
        let body = move || {
            let worker = Worker::new(shared);
            // The other end is gone if another worker failed before: then the pool is closed, and serving ends at once.
            let _ = ready.send(worker.as_ref().map(|_| ()).map_err(|fault| *fault));
            drop(ready);
            if let Ok(worker) = worker {
                worker.serve();
            }
        };
        std::thread::Builder::new().name(format!("hash-{number}")).spawn(body).map(|_detached| ())
    }

    /// Whose Argon2id is used: `argon2-rust`, or `argon2` if that failed its self-check or was switched off.
    pub fn implementation(&self) -> &'static str {
        match self.implementation {
            Implementation::Fast => "argon2-rust",
            Implementation::Reference => "argon2",
        }
    }

    /// Whether a job that came now would be taken in: to be asked before anything is looked up for it, so that saying no
    /// costs next to nothing when there is too much to do. A job may still be refused afterwards.
    pub fn admit(&self, lane: Lane) -> Result<(), Overloaded> {
        self.shared.admit(lane)
    }

    /// Compares a password with the stored hash. `None`, for a customer who is not there or has no password here, and
    /// a hash that cannot be read cost the same and never match.
    ///
    /// A future that is dropped while its job waits takes it out of the queue; so do the others below.
    pub async fn verify(
        &self,
        lane: Lane,
        password: Password,
        stored: Option<PasswordHash>,
    ) -> Result<Verified, Overloaded> {
        let _span = trace::part(trace::Kind::Internal, "verify a password");
        let work = Work::new(Some(Verify { password, stored }), None);
        let done = self.shared.submit(lane, work)?.done().await?;
        done.verified.ok_or(Overloaded::FAILED)
    }

    /// Hashes a new password with the current parameters. The salt must be fresh from [`keyherald_core::Ctx`].
    pub async fn hash(&self, lane: Lane, password: Password, salt: [u8; 16]) -> Result<PasswordHash, Overloaded> {
        let _span = trace::part(trace::Kind::Internal, "hash a password");
        let work = Work::new(None, Some(Hash { password, salt }));
        let done = self.shared.submit(lane, work)?.done().await?;
        done.hash.ok_or(Overloaded::FAILED)
    }

    /// Both hashes of a change: compares the current password with the stored hash and, if it matches, gives the hash
    /// of the new one. On an idle machine both are computed at the same time.
    pub async fn change(
        &self,
        current: Password,
        stored: Option<PasswordHash>,
        new: Password,
        salt: [u8; 16],
    ) -> Result<(Verified, Option<PasswordHash>), Overloaded> {
        let _span = trace::part(trace::Kind::Internal, "verify and hash passwords");
        let verify = Verify { password: current, stored };
        let work = Work::new(Some(verify), Some(Hash { password: new, salt }));
        let (verify, hash) = match self.shared.submit_change(work)? {
            Admitted::InTurn(both) => {
                let done = both.done().await?;
                return Ok((done.verified.ok_or(Overloaded::FAILED)?, done.hash));
            }
            Admitted::AtOnce { verify, hash } => (verify, hash),
        };
        let verified = verify.done().await?.verified.ok_or(Overloaded::FAILED)?;
        if !verified.matches {
            return Ok((verified, None)); // the new hash is not waited for; if it was begun, nobody gets it
        }
        Ok((verified, Some(hash.done().await?.hash.ok_or(Overloaded::FAILED)?)))
    }

    /// A hash of another system, in the form in which it is stored: what [`HashPool::verify`] will read. Computes
    /// nothing; the forms are listed in the documentation of `customers import`.
    pub fn importable(&self, text: &str) -> Result<PasswordHash, UnusableHash> {
        let stored = Stored::read(text, self.shared.cost.ceiling())?;
        PasswordHash::parse(&stored.write()).map_err(|_| UnusableHash::Unstorable)
    }

    /// Whether it is a hash as this pool makes them, which no sign-in will replace.
    pub fn is_current(&self, hash: &PasswordHash) -> bool {
        Encoded::read(hash.as_phc()).is_some_and(|encoded| encoded.is_current(self.shared.cost))
    }

    /// What was done, and what is going on.
    pub fn counters(&self) -> Counters {
        self.shared.counters()
    }

    /// Resolves when nothing waits and nobody hashes.
    pub async fn idle(&self) {
        self.shared.idle().await;
    }

    /// Refuses new jobs, finishes those that wait, and resolves when the last worker has ended: at the latest after the
    /// deadline and the time of one hash.
    pub async fn stop(&self) {
        self.shared.close();
        self.shared.ended().await;
    }
}

impl Drop for HashPool {
    fn drop(&mut self) {
        self.shared.close();
    }
}
