//! Idempotency keys: the same key of the same caller with the same request is the same operation, for a day. What was
//! done in one transaction, without an operation, is remembered as done.
//!
//! Of the request only a MAC is kept, for it holds a password.

use keyherald_core::Micros;
use keyherald_core::id::{CustomerId, OperationId, ProjectKey};
use keyherald_core::operation::{Event, Operation, Why};
use keyherald_core::seal::KeyRing;

use crate::fault::FaultKind;
use crate::tx::query_one;
use crate::{Fault, Tx, Value, statements};

/// How long a key is kept, in microseconds.
pub const IDEMPOTENCY_LIFE_US: i64 = Micros::DAY;

/// Stands where the operation's id stands.
const NO_OPERATION: &str = "";

statements! {
    FIND = "SELECT fingerprint, operation_id FROM idempotency
            WHERE project = $1 AND caller = $2 AND key = $3 AND expires_at > $4";
    PUT = "INSERT INTO idempotency (project, caller, key, fingerprint, operation_id, expires_at)
           VALUES ($1, $2, $3, $4, $5, $6)";
    DELETE_EXPIRED = "DELETE FROM idempotency WHERE project = $1 AND caller = $2 AND key = $3 AND expires_at <= $4";
    FREE = "DELETE FROM idempotency WHERE project = $1 AND operation_id = $2";
    DELETE_OF_CUSTOMER = "DELETE FROM idempotency WHERE project = $1 AND operation_id IN
                              (SELECT id FROM operation WHERE project = $1 AND customer_id = $2)";
    SWEEP = "DELETE FROM idempotency WHERE (project, caller, key) IN
                     (SELECT project, caller, key FROM idempotency WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2)";
}

/// A request that its caller may repeat.
#[derive(Clone, Copy)]
pub struct Repeatable<'a> {
    /// Whose key it is: an API client.
    pub caller: &'a str,
    /// The key, 1 to 255 characters; checked by the dialect.
    pub key: &'a str,
    /// The request in a form that is the same for the same request.
    pub request: &'a [u8],
}

impl Repeatable<'_> {
    fn binding(&self, project: &ProjectKey) -> String {
        format!("idempotency:{project}:{}:{}", self.caller, self.key)
    }
}

/// What is known of a request.
pub enum Replay {
    /// Nothing.
    New,
    /// It was made before: this is what came of it.
    Same(Box<Operation>),
    /// It was made before and done, without an operation.
    Done,
    /// Its key was used for another request.
    OtherRequest,
}

/// Looks whether the request was made before. Of two at the same moment, the second one's [`begin`](super::begin) is run
/// again and finds the first.
pub fn replay(
    tx: &mut dyn Tx,
    ring: &KeyRing,
    project: &ProjectKey,
    repeatable: &Repeatable<'_>,
    now: Micros,
) -> Result<Replay, Fault> {
    let args: [Value; 4] = [project.into(), repeatable.caller.into(), repeatable.key.into(), now.into()];
    let Some((mac, id)) = query_one(tx, &FIND, &args, |row| Ok((row.bytes(0)?, row.text(1)?)))? else {
        return Ok(Replay::New);
    };
    if !ring.is_mac_of(&mac, &repeatable.binding(project), repeatable.request)? {
        return Ok(Replay::OtherRequest);
    }
    if id == NO_OPERATION {
        return Ok(Replay::Done);
    }
    let id = id.parse().map_err(|_| Fault::new(FaultKind::Corrupt, "an idempotency key of no operation"))?;
    Ok(super::by_id(tx, project, id)?.map_or(Replay::New, |operation| Replay::Same(Box::new(operation))))
}

/// Remembers a request that this transaction does, without an operation. The caller has found it new, in this transaction.
pub fn remember(
    tx: &mut dyn Tx,
    ring: &KeyRing,
    project: &ProjectKey,
    repeatable: &Repeatable<'_>,
    now: Micros,
) -> Result<(), Fault> {
    write(tx, ring, project, repeatable, NO_OPERATION.into(), now)
}

pub(super) fn put(
    tx: &mut dyn Tx,
    ring: &KeyRing,
    project: &ProjectKey,
    repeatable: &Repeatable<'_>,
    id: OperationId,
    now: Micros,
) -> Result<(), Fault> {
    write(tx, ring, project, repeatable, id.into(), now)
}

fn write(
    tx: &mut dyn Tx,
    ring: &KeyRing,
    project: &ProjectKey,
    repeatable: &Repeatable<'_>,
    operation: Value,
    now: Micros,
) -> Result<(), Fault> {
    let [caller, key]: [Value; 2] = [repeatable.caller.into(), repeatable.key.into()];
    tx.execute(&DELETE_EXPIRED, &[project.into(), caller.clone(), key.clone(), now.into()])?;
    let mac = ring.mac(&repeatable.binding(project), repeatable.request)?;
    let args = [project.into(), caller, key, mac.into(), operation, now.plus(IDEMPOTENCY_LIFE_US).into()];
    tx.execute(&PUT, &args).map(drop)
}

/// Whether the same request with the same key is to be tried anew: nobody has refused it.
pub(super) fn may_be_asked_again(event: &Event) -> bool {
    matches!(event, Event::Released(Why::Unreachable { .. } | Why::Interrupted))
}

pub(super) fn free(tx: &mut dyn Tx, project: &ProjectKey, id: OperationId) -> Result<(), Fault> {
    tx.execute(&FREE, &[project.into(), id.into()]).map(drop)
}

pub(super) fn delete_of_customer(tx: &mut dyn Tx, project: &ProjectKey, customer: CustomerId) -> Result<(), Fault> {
    tx.execute(&DELETE_OF_CUSTOMER, &[project.into(), customer.into()]).map(drop)
}

/// Removes up to `limit` expired keys.
pub(super) fn sweep(tx: &mut dyn Tx, now: Micros, limit: i64) -> Result<u64, Fault> {
    tx.execute(&SWEEP, &[now.into(), limit.into()])
}
