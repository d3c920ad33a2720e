//! The relay's memory: cursors, parked lanes, dead letters.
//!
//! A message is safe as long as it is above its partition's cursor, or at or above its lane's `from_position`, or in a
//! dead letter. So a lane is parked in the same transaction that moves the cursor over its messages, or before.

pub mod intervention;

use keyherald_core::id::{CustomerId, DeadLetterId, MessageId, ProjectKey, SubscriptionId};
use keyherald_core::lease::PartitionSet;
pub use keyherald_core::relay::lanes::ParkedLane;
use keyherald_core::seal::KeyRing;
use keyherald_core::{Ctx, Micros};
use zeroize::Zeroizing;

use crate::tx::{Row, query_all, query_one};
use crate::{Fault, Tx, Value, statements};

statements! {
    PUT_CURSOR = "INSERT INTO delivery_cursor (subscription_id, partition, position) VALUES ($1, $2, $3)
                  ON CONFLICT (subscription_id, partition) DO UPDATE SET position = $3
                  WHERE delivery_cursor.position < $3";
    // All partitions of the set that reach the same position, in one statement. An update, not an upsert: the rows are
    // made with the subscription and must not come back after it was deleted.
    MOVE_CURSORS = "UPDATE delivery_cursor SET position = $2
                    WHERE subscription_id = $1 AND position < $2
                      AND ((CAST($3 AS BIGINT) >> CAST(partition AS INTEGER)) & 1) = 1";
    CURSORS = "SELECT partition, position FROM delivery_cursor WHERE subscription_id = $1 ORDER BY partition";
    PARK = "INSERT INTO parked_lane (subscription_id, customer_id, partition, from_position, failed_attempts, next_at, last_error, parked_at)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
            ON CONFLICT (subscription_id, customer_id) DO UPDATE SET from_position = $4, failed_attempts = $5,
                next_at = $6, last_error = $7";
    UNPARK = "DELETE FROM parked_lane WHERE subscription_id = $1 AND customer_id = $2";
    RELEASE = "UPDATE parked_lane SET next_at = $2, failed_attempts = 0 WHERE subscription_id = $1";
    PARKED = "SELECT customer_id, partition, from_position, failed_attempts, next_at, last_error, parked_at
              FROM parked_lane WHERE subscription_id = $1 ORDER BY customer_id";
    WAITING = "SELECT customer_id, partition, from_position, failed_attempts, next_at, last_error, parked_at FROM parked_lane
               WHERE subscription_id = $1 AND (CAST($2 AS TEXT) IS NULL OR customer_id = $2) ORDER BY parked_at LIMIT $3";
    // While it is held, the customer cannot be erased.
    HOLD_KEY = {
        sqlite: "SELECT 1 FROM customer_key WHERE project = $1 AND customer_id = $2",
        postgres: "SELECT 1 FROM customer_key WHERE project = $1 AND customer_id = $2 FOR KEY SHARE"
    };
    PUT_LETTER = "INSERT INTO dead_letter (project, id, subscription_id, position, message_id, customer_id, reason, attempts,
                      last_error, body, created_at)
                  VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
                  ON CONFLICT (subscription_id, position) DO NOTHING";
    LETTER_POSITIONS = "SELECT position FROM dead_letter WHERE subscription_id = $1 AND position > $2 ORDER BY position";
    LETTERS = "SELECT project, id, subscription_id, position, message_id, customer_id, reason, attempts, last_error, body, created_at
               FROM dead_letter WHERE subscription_id = $1 ORDER BY position LIMIT $2";
    PUT_ASIDE = "SELECT project, id, subscription_id, position, message_id, customer_id, reason, attempts, last_error,
                     CAST(NULL AS BYTEA), created_at
                 FROM dead_letter WHERE subscription_id = $1 AND (CAST($2 AS TEXT) IS NULL OR customer_id = $2)
                     AND ended_at IS NULL
                 ORDER BY position DESC LIMIT $3";
    DROP_CURSORS = "DELETE FROM delivery_cursor WHERE subscription_id = $1";
    DROP_LANES = "DELETE FROM parked_lane WHERE subscription_id = $1";
    DROP_LETTERS = "DELETE FROM dead_letter WHERE subscription_id = $1";
}

/// Moves a cursor forward; never back.
pub fn put_cursor(tx: &mut dyn Tx, subscription: SubscriptionId, partition: u16, position: i64) -> Result<(), Fault> {
    tx.execute(&PUT_CURSOR, &[subscription.into(), i64::from(partition).into(), position.into()]).map(drop)
}

/// Moves the cursors of a set of partitions forward to `position`; never back.
pub fn move_cursors(
    tx: &mut dyn Tx,
    subscription: SubscriptionId,
    partitions: PartitionSet,
    position: i64,
) -> Result<(), Fault> {
    tx.execute(&MOVE_CURSORS, &[subscription.into(), position.into(), partitions.bits().into()]).map(drop)
}

/// All cursors of a subscription: `(partition, position)`.
pub fn cursors(tx: &mut dyn Tx, subscription: SubscriptionId) -> Result<Vec<(u16, i64)>, Fault> {
    query_all(tx, &CURSORS, &[subscription.into()], |row| {
        let partition = u16::try_from(row.int(0)?).map_err(|_| Fault::corrupt("a partition is out of range"))?;
        Ok((partition, row.int(1)?))
    })
}

/// Parks a lane, or moves a parked one.
pub fn park(tx: &mut dyn Tx, subscription: SubscriptionId, lane: &ParkedLane) -> Result<(), Fault> {
    let args = [
        subscription.into(),
        lane.customer.into(),
        i64::from(lane.partition).into(),
        lane.from_position.into(),
        i64::from(lane.failed_attempts).into(),
        lane.next_at.into(),
        lane.last_error.as_str().into(),
        lane.parked_at.into(),
    ];
    tx.execute(&PARK, &args).map(drop)
}

/// The lane has caught up.
pub fn unpark(tx: &mut dyn Tx, subscription: SubscriptionId, customer: CustomerId) -> Result<(), Fault> {
    tx.execute(&UNPARK, &[subscription.into(), customer.into()]).map(drop)
}

/// All lanes of the subscription are due at once and tried from the beginning, held ones too: what they failed at was
/// another destination.
pub(crate) fn release(tx: &mut dyn Tx, subscription: SubscriptionId, now: Micros) -> Result<(), Fault> {
    tx.execute(&RELEASE, &[subscription.into(), now.into()]).map(drop)
}

/// All parked lanes of a subscription.
pub fn parked(tx: &mut dyn Tx, subscription: SubscriptionId) -> Result<Vec<ParkedLane>, Fault> {
    query_all(tx, &PARKED, &[subscription.into()], read_lane)
}

/// A message that will not be tried again by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// Whose.
    pub project: ProjectKey,
    /// Its own id.
    pub id: DeadLetterId,
    /// For whom it was.
    pub subscription: SubscriptionId,
    /// Where the message lies in the log.
    pub position: i64,
    /// The message.
    pub message: MessageId,
    /// The lane.
    pub customer: CustomerId,
    /// `exhausted`, `rejected`, `erased`, `untransformed` or `skipped`.
    pub reason: String,
    /// How often it was tried.
    pub attempts: u32,
    /// Why it failed last.
    pub last_error: String,
    /// What was sent, sealed by the relay. `None`: it could not be rendered, or an operator has skipped it.
    pub body: Option<Vec<u8>>,
    /// When it was put aside.
    pub created_at: Micros,
}

/// Puts a message aside; a second time for the same message and subscription changes nothing. The body of a customer
/// that was erased meanwhile is not kept.
pub fn put_dead_letter(tx: &mut dyn Tx, letter: &DeadLetter) -> Result<(), Fault> {
    let of_customer = [(&letter.project).into(), letter.customer.into()];
    let has_key = letter.body.is_some() && query_one(tx, &HOLD_KEY, &of_customer, |_| Ok(()))?.is_some();
    let args: [Value; 11] = [
        (&letter.project).into(),
        letter.id.into(),
        letter.subscription.into(),
        letter.position.into(),
        letter.message.into(),
        letter.customer.into(),
        letter.reason.as_str().into(),
        i64::from(letter.attempts).into(),
        letter.last_error.as_str().into(),
        letter.body.clone().filter(|_| has_key).into(),
        letter.created_at.into(),
    ];
    tx.execute(&PUT_LETTER, &args).map(drop)
}

/// Where in the log after `position` this subscription has dead letters: what is there is done.
pub fn dead_positions(tx: &mut dyn Tx, subscription: SubscriptionId, position: i64) -> Result<Vec<i64>, Fault> {
    query_all(tx, &LETTER_POSITIONS, &[subscription.into(), position.into()], |row| row.int(0))
}

/// Seals the body of a dead letter, bound to the letter.
pub fn seal_body(ring: &KeyRing, letter: DeadLetterId, body: &[u8], ctx: &mut Ctx) -> Result<Vec<u8>, Fault> {
    Ok(ring.seal(ctx, &body_binding(letter), body)?)
}

/// Opens the body of a dead letter, if it has one.
pub fn open_body(ring: &KeyRing, letter: &DeadLetter) -> Result<Option<Zeroizing<Vec<u8>>>, Fault> {
    Ok(letter.body.as_ref().map(|sealed| ring.open(&body_binding(letter.id), sealed)).transpose()?)
}

fn body_binding(letter: DeadLetterId) -> String {
    format!("dead_letter:{letter}")
}

/// The lanes of a subscription that have waited longest; of one customer, if it is named.
pub fn waiting(
    tx: &mut dyn Tx,
    subscription: SubscriptionId,
    customer: Option<CustomerId>,
    limit: i64,
) -> Result<Vec<ParkedLane>, Fault> {
    query_all(tx, &WAITING, &[subscription.into(), customer.into(), limit.into()], read_lane)
}

/// The messages of a subscription that were put aside last, the newest first, without what was sent; of one customer, if
/// it is named.
pub fn put_aside(
    tx: &mut dyn Tx,
    subscription: SubscriptionId,
    customer: Option<CustomerId>,
    limit: i64,
) -> Result<Vec<DeadLetter>, Fault> {
    query_all(tx, &PUT_ASIDE, &[subscription.into(), customer.into(), limit.into()], read_letter)
}

fn read_lane(row: &dyn Row) -> Result<ParkedLane, Fault> {
    Ok(ParkedLane {
        customer: row.parsed(0)?,
        partition: u16::try_from(row.int(1)?).map_err(|_| Fault::corrupt("a partition is out of range"))?,
        from_position: row.int(2)?,
        failed_attempts: u32::try_from(row.int(3)?).unwrap_or(u32::MAX),
        next_at: row.int_opt(4)?.map(Micros),
        last_error: row.text(5)?,
        parked_at: row.micros(6)?,
    })
}

/// The first `limit` dead letters of a subscription, in log order.
pub fn dead_letters(tx: &mut dyn Tx, subscription: SubscriptionId, limit: i64) -> Result<Vec<DeadLetter>, Fault> {
    query_all(tx, &LETTERS, &[subscription.into(), limit.into()], read_letter)
}

fn read_letter(row: &dyn Row) -> Result<DeadLetter, Fault> {
    Ok(DeadLetter {
        project: row.parsed(0)?,
        id: row.parsed(1)?,
        subscription: row.parsed(2)?,
        position: row.int(3)?,
        message: row.parsed(4)?,
        customer: row.parsed(5)?,
        reason: row.text(6)?,
        attempts: u32::try_from(row.int(7)?).unwrap_or(u32::MAX),
        last_error: row.text(8)?,
        body: row.bytes_opt(9)?,
        created_at: row.micros(10)?,
    })
}

/// A deleted subscription leaves nothing behind.
pub fn delete_of_subscription(tx: &mut dyn Tx, subscription: SubscriptionId) -> Result<(), Fault> {
    for statement in [&DROP_CURSORS, &DROP_LANES, &DROP_LETTERS] {
        tx.execute(statement, &[subscription.into()])?;
    }
    Ok(())
}
