//! Rates that all nodes share: a row per bucket that is not full.
//!
//! A bucket's row is locked when it is looked at, so whoever takes from several takes them in the same order as everybody
//! else, and in a transaction of its own: what is limited must not wait for what is done.

use keyherald_core::Micros;
use keyherald_core::limit::{Exceeded, Rate};
use keyherald_core::seal::KeyRing;

use crate::tx::query_one;
use crate::{Fault, Tx, statements};

statements! {
    // Writes what is there, and so locks it.
    LOOK = "INSERT INTO rate_limit (bucket, full_at) VALUES ($1, $2)
            ON CONFLICT (bucket) DO UPDATE SET full_at = rate_limit.full_at RETURNING full_at";
    PUT = "UPDATE rate_limit SET full_at = $2 WHERE bucket = $1";
    SWEEP = "DELETE FROM rate_limit WHERE bucket IN
                 (SELECT bucket FROM rate_limit WHERE full_at <= $1 ORDER BY full_at LIMIT $2)";
}

/// Takes one out of the bucket with this name. Of the name, which may be an address, only a MAC is kept.
pub fn take(
    tx: &mut dyn Tx,
    ring: &KeyRing,
    name: &str,
    rate: Rate,
    now: Micros,
) -> Result<Result<(), Exceeded>, Fault> {
    let bucket = ring.mac("rate limit", name.as_bytes())?;
    let full_at = query_one(tx, &LOOK, &[bucket.as_slice().into(), now.into()], |row| row.micros(0))?;
    match rate.take(full_at, now) {
        Ok(full_at) => {
            tx.execute(&PUT, &[bucket.into(), full_at.into()])?;
            Ok(Ok(()))
        }
        Err(exceeded) => Ok(Err(exceeded)),
    }
}

/// Takes `number` out of the bucket with this name, if need be before they are there ([`Rate::book`]): how long to wait, in
/// microseconds.
pub fn book(
    tx: &mut dyn Tx,
    (ring, name): (&KeyRing, &str),
    rate: Rate,
    now: Micros,
    (number, wait_max): (u32, i64),
) -> Result<Result<i64, Exceeded>, Fault> {
    let bucket = ring.mac("rate limit", name.as_bytes())?;
    let full_at = query_one(tx, &LOOK, &[bucket.as_slice().into(), now.into()], |row| row.micros(0))?;
    match rate.book(full_at, now, (number, wait_max)) {
        Ok((full_at, wait)) => {
            tx.execute(&PUT, &[bucket.into(), full_at.into()])?;
            Ok(Ok(wait))
        }
        Err(exceeded) => Ok(Err(exceeded)),
    }
}

/// Removes up to `limit` buckets that are full again.
pub fn sweep(tx: &mut dyn Tx, now: Micros, limit: i64) -> Result<u64, Fault> {
    tx.execute(&SWEEP, &[now.into(), limit.into()])
}
