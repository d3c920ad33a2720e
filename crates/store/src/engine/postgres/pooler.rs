//! Finds out at the start whether a session is one: behind a pooler that gives each transaction to whichever connection is
//! free (PgBouncer with `pool_mode = transaction`), prepared statements are missing, time limits are somebody else's, and
//! nobody is woken. What works there works by accident, so it is refused.
//!
//! Looked for is the behaviour, not a product. A pool that has one connection, and is nobody else's, shows nothing.

use postgres::{Client, Error, SimpleQueryMessage};

use super::connect::Connector;
use super::error;
use crate::{Fault, FaultKind};

const REFUSAL: &str = "PostgreSQL is reached through a pooler that spreads a session's transactions over several \
    connections (PgBouncer with pool_mode = transaction, or alike). Prepared statements, time limits and notifications \
    need sessions of their own: name PostgreSQL itself, or set pool_mode = session for this user and database";

/// Fails if two sessions at the same time can change their connections.
pub(super) fn refuse(connector: &Connector) -> Result<(), Fault> {
    let (mut one, mut other) = (connector.connect()?, connector.connect()?);
    if changes(&mut one, &mut other).map_err(|cause| error::fault("pg_backend_pid", cause))? {
        return Err(Fault::new(FaultKind::Unavailable, REFUSAL));
    }
    Ok(())
}

/// Whether `one` has another server process after it has been in a transaction at the same time as `other`.
///
/// A pooler hands out what was given back last, or what was given back first: one of both orders makes it change.
fn changes(one: &mut Client, other: &mut Client) -> Result<bool, Error> {
    for ends_first in [true, false] {
        let process = begin(one)?;
        begin(other)?;
        let (first, last) = if ends_first { (&mut *one, &mut *other) } else { (&mut *other, &mut *one) };
        first.batch_execute("ROLLBACK")?;
        last.batch_execute("ROLLBACK")?;
        let process_now = begin(one)?;
        one.batch_execute("ROLLBACK")?;
        if process_now != process {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Begins a transaction: the server process that it is in.
fn begin(client: &mut Client) -> Result<Option<String>, Error> {
    let answers = client.simple_query("BEGIN READ ONLY; SELECT pg_backend_pid()")?;
    let process = |answer: &SimpleQueryMessage| match answer {
        SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
        _ => None,
    };
    Ok(answers.iter().find_map(process))
}
