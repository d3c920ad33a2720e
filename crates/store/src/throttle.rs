//! Passwords that were tried, by account: a row for each that has failed since it was right last.
//!
//! Of whom an account is only a MAC is kept: there is a row for whoever is tried, known or not.

use keyherald_core::Micros;
use keyherald_core::seal::KeyRing;
use keyherald_core::throttle::{Throttle, Tries};

use crate::tx::query_one;
use crate::{Fault, Tx, statements};

/// What was tried last so long ago is forgotten.
const FORGOTTEN_AFTER: i64 = 90 * Micros::DAY;

statements! {
    // Writes what is there, and so locks it.
    LOOK = "INSERT INTO throttle (account, tries, last_at) VALUES ($1, 0, 0)
            ON CONFLICT (account) DO UPDATE SET tries = throttle.tries RETURNING tries, last_at";
    PUT = "UPDATE throttle SET tries = $2, last_at = $3 WHERE account = $1";
    FORGET = "DELETE FROM throttle WHERE account = $1";
    SWEEP = "DELETE FROM throttle WHERE account IN
                 (SELECT account FROM throttle WHERE last_at <= $1 ORDER BY last_at LIMIT $2)";
}

/// Counts a try. False: it must not be looked at. See [`Throttle::count`].
pub fn count(
    tx: &mut dyn Tx,
    ring: &KeyRing,
    (throttle, account): (&Throttle, &str),
    set_at: Option<Micros>,
    now: Micros,
) -> Result<bool, Fault> {
    let account = mac(ring, account)?;
    let tries = query_one(tx, &LOOK, &[account.as_slice().into()], |row| {
        let count = u32::try_from(row.int(0)?).map_err(|_| Fault::corrupt("a count of tries"))?;
        Ok(Tries { count, last_at: row.micros(1)? })
    })?;
    match throttle.count(tries.unwrap_or_default(), set_at, now) {
        Some(Tries { count, last_at }) => {
            tx.execute(&PUT, &[account.into(), i64::from(count).into(), last_at.into()])?;
            Ok(true)
        }
        None => Ok(false),
    }
}

/// The last try was right.
pub fn forget(tx: &mut dyn Tx, ring: &KeyRing, account: &str) -> Result<(), Fault> {
    tx.execute(&FORGET, &[mac(ring, account)?.into()]).map(drop)
}

/// Removes up to `limit` accounts at which nobody has tried anything for long.
pub fn sweep(tx: &mut dyn Tx, now: Micros, limit: i64) -> Result<u64, Fault> {
    tx.execute(&SWEEP, &[now.plus(-FORGOTTEN_AFTER).into(), limit.into()])
}

fn mac(ring: &KeyRing, account: &str) -> Result<Vec<u8>, Fault> {
    Ok(ring.mac("throttle", account.as_bytes())?)
}
