//! What operators see of deliveries, and what they change.
//!
//! A dispatcher keeps in memory what it has read. So whoever changes rows here holds the claim of the subscription
//! ([`claim`](crate::subscription::claim)), and says so in the same transaction
//! ([`intervene`](crate::subscription::intervene)): the dispatcher can then write nothing more of what it knew, and reads
//! anew.
//!
//! **Replay** is going back: a customer's lane is parked at an earlier position, or all cursors are moved there. What comes
//! after is sent again as it was sent the first time, in its order, with its ids; nothing is copied.

use keyherald_core::Micros;
use keyherald_core::id::{CustomerId, DeadLetterId, MessageId, ProjectKey, SubscriptionId};
use keyherald_core::message::partition;

use crate::tx::{query_all, query_one};
use crate::{Fault, Row, Tx, Value, statements};

/// Log entries above the lowest cursor that [`lag`] looks at, and as many that lanes wait with.
const LOOKED_AT_MAX: i64 = 20_000;
/// Lanes whose entries [`lag`] counts, those first that have waited longest.
const LANES_MAX: i64 = 1000;
/// Of so many entries since a time, the first position is where it begins: times are not in the very order of positions.
const AROUND: i64 = 1000;

// What a lane's row keeps is counted there, wherever the cursor is.
macro_rules! above {
    ($index:literal) => {
        concat!(
            "SELECT l.kind, l.resource_type, l.type, COUNT(*), MIN(l.created_at)
             FROM (SELECT position, kind, resource_type, type, created_at, partition, customer_id FROM log ",
            $index,
            " WHERE project = $2 AND kind IN ('message', 'change', 'event') AND position > $3 ORDER BY position LIMIT $4) l
             JOIN delivery_cursor d ON d.subscription_id = $1 AND d.partition = l.partition AND l.position > d.position
             WHERE NOT EXISTS (SELECT 1 FROM dead_letter x WHERE x.subscription_id = $1 AND x.position = l.position)
               AND NOT EXISTS (SELECT 1 FROM parked_lane p WHERE p.subscription_id = $1 AND p.customer_id = l.customer_id)
             GROUP BY l.kind, l.resource_type, l.type"
        )
    };
}

statements! {
    LOWEST = "SELECT MIN(position) FROM delivery_cursor WHERE subscription_id = $1";
    HIGHEST = "SELECT MAX(position) FROM delivery_cursor WHERE subscription_id = $1";
    PASSED = "SELECT position FROM delivery_cursor WHERE subscription_id = $1 AND partition = $2";
    // SQLite is told the index: it takes any bound of positions for few rows, whoever's they are.
    ABOVE = { sqlite: above!("INDEXED BY log_told"), postgres: above!("") };
    IN_LANES = {
        sqlite: "SELECT o.kind, o.resource_type, o.type, COUNT(*), MIN(o.created_at)
                 FROM (SELECT l.kind, l.resource_type, l.type, l.created_at
                       FROM (SELECT customer_id, from_position FROM parked_lane
                             WHERE subscription_id = $1 ORDER BY parked_at LIMIT $3) p
                       CROSS JOIN log l INDEXED BY log_by_customer
                       WHERE l.project = $2 AND l.customer_id = p.customer_id AND l.position >= p.from_position
                         AND l.kind IN ('message', 'change', 'event') LIMIT $4) o
                 GROUP BY o.kind, o.resource_type, o.type",
        postgres: "SELECT o.kind, o.resource_type, o.type, COUNT(*), MIN(o.created_at)
                   FROM (SELECT l.kind, l.resource_type, l.type, l.created_at
                         FROM (SELECT customer_id, from_position FROM parked_lane
                               WHERE subscription_id = $1 ORDER BY parked_at LIMIT $3) p
                         CROSS JOIN LATERAL (SELECT kind, resource_type, type, created_at FROM log
                                             WHERE project = $2 AND customer_id = p.customer_id
                                               AND position >= p.from_position AND kind IN ('message', 'change', 'event')
                                             ORDER BY position LIMIT $4) l
                         LIMIT $4) o
                   GROUP BY o.kind, o.resource_type, o.type"
    };
    LANES = "SELECT COUNT(*), COUNT(*) - COUNT(next_at), MIN(parked_at) FROM parked_lane WHERE subscription_id = $1";
    LETTERS = "SELECT COUNT(*) FROM dead_letter WHERE subscription_id = $1 AND ended_at IS NULL";
    RELEASE = "UPDATE parked_lane SET next_at = $3, failed_attempts = 0
               WHERE subscription_id = $1 AND (CAST($2 AS TEXT) IS NULL OR customer_id = $2)";
    PASS = "UPDATE parked_lane SET from_position = $3, failed_attempts = 0, next_at = $4
            WHERE subscription_id = $1 AND customer_id = $2";
    LETTER = "SELECT customer_id, position FROM dead_letter
              WHERE project = $1 AND id = $2 AND subscription_id = $3 AND ended_at IS NULL
                AND EXISTS (SELECT 1 FROM log l WHERE l.position = dead_letter.position)";
    END_LETTER = "UPDATE dead_letter SET ended_at = $4, body = NULL
                  WHERE project = $1 AND id = $2 AND subscription_id = $3 AND ended_at IS NULL";
    SWEEP = "DELETE FROM dead_letter WHERE id IN
                 (SELECT x.id FROM dead_letter x
                  WHERE x.ended_at < $1 AND x.position <= (SELECT MIN(c.position) FROM delivery_cursor c
                                                           WHERE c.subscription_id = x.subscription_id)
                    AND NOT EXISTS (SELECT 1 FROM parked_lane p
                                    WHERE p.subscription_id = x.subscription_id AND p.customer_id = x.customer_id
                                      AND p.from_position <= x.position)
                  ORDER BY x.ended_at LIMIT $2)";
    LOWER = "UPDATE parked_lane SET next_at = $3, failed_attempts = 0,
                 from_position = CASE WHEN from_position < $4 THEN from_position ELSE $4 END,
                 replayed_to = CASE WHEN replayed_to > $5 THEN replayed_to ELSE $5 END
             WHERE subscription_id = $1 AND customer_id = $2";
    PARK_AT = "INSERT INTO parked_lane (subscription_id, customer_id, next_at, from_position, replayed_to, partition,
                   failed_attempts, last_error, parked_at)
               VALUES ($1, $2, $3, $4, $5, $6, 0, '', $3)";
    // What was put aside comes again with the rest, so nothing may say any more that it is done with. A letter whose message
    // retention has removed from the log is all that is left of it, and stays.
    REMOVE_LETTERS_OF = "DELETE FROM dead_letter WHERE subscription_id = $1 AND customer_id = $2 AND position >= $3
                           AND (ended_at IS NOT NULL
                                OR EXISTS (SELECT 1 FROM log l WHERE l.position = dead_letter.position))";
    GO_BACK = "UPDATE delivery_cursor SET position = $2 WHERE subscription_id = $1 AND position > $2";
    GO_BACK_LANES = "UPDATE parked_lane SET from_position = $2 + 1 WHERE subscription_id = $1 AND from_position > $2 + 1";
    REMOVE_LETTERS = "DELETE FROM dead_letter WHERE subscription_id = $1 AND position > $2
                        AND (ended_at IS NOT NULL
                             OR EXISTS (SELECT 1 FROM log l WHERE l.position = dead_letter.position))";
    REPLAYED = "SELECT customer_id, replayed_to FROM parked_lane WHERE subscription_id = $1 AND replayed_to IS NOT NULL";
    SINCE = "SELECT MIN(position) FROM (SELECT position FROM log WHERE project = $1 AND created_at >= $2
                                        ORDER BY created_at, position LIMIT $3) l";
    PLACE = "SELECT customer_id, position FROM log WHERE project = $1 AND id = $2 AND kind = 'message'";
}

/// What a subscription has not passed, of one kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owed {
    /// `message`, `change` or `event`.
    pub kind: String,
    /// What it is about.
    pub resource_type: String,
    /// Its type.
    pub type_name: String,
    /// How many.
    pub count: i64,
    /// When the first came about.
    pub oldest: Micros,
}

/// How far a subscription is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lag {
    /// What its cursors have not passed, and what lanes wait with, whether it wants it or not.
    pub owed: Vec<Owed>,
    /// Lanes that wait for a retry, or for an operator.
    pub waiting: i64,
    /// Those that wait for an operator.
    pub held: i64,
    /// Since when the first of them waits.
    pub waiting_since: Option<Micros>,
    /// Messages put aside, neither retried nor dropped.
    pub letters: i64,
}

/// How far it is. At most twenty thousand entries above its cursors are looked at, and as many of a thousand lanes; activity
/// is not.
pub fn lag(tx: &mut dyn Tx, project: &ProjectKey, id: SubscriptionId) -> Result<Lag, Fault> {
    let lowest = query_one(tx, &LOWEST, &[id.into()], |row| row.int_opt(0))?.flatten().unwrap_or(0);
    let mut owed = query_all(tx, &ABOVE, &[id.into(), project.into(), lowest.into(), LOOKED_AT_MAX.into()], read_owed)?;
    let read = |row: &dyn Row| Ok((row.int(0)?, row.int(1)?, row.int_opt(2)?.map(Micros)));
    let (waiting, held, waiting_since) = query_one(tx, &LANES, &[id.into()], read)?.unwrap_or_default();
    if waiting > 0 {
        let args = [id.into(), project.into(), LANES_MAX.into(), LOOKED_AT_MAX.into()];
        owed.extend(query_all(tx, &IN_LANES, &args, read_owed)?);
    }
    let letters = query_one(tx, &LETTERS, &[id.into()], |row| row.int(0))?.unwrap_or(0);
    Ok(Lag { owed, waiting, held, waiting_since, letters })
}

fn read_owed(row: &dyn Row) -> Result<Owed, Fault> {
    Ok(Owed {
        kind: row.text(0)?,
        resource_type: row.text_opt(1)?.unwrap_or_default(),
        type_name: row.text(2)?,
        count: row.int(3)?,
        oldest: row.micros(4)?,
    })
}

/// Lanes are due at once, and what failed is tried from the beginning: one customer's, or all. Answers how many.
pub fn release(tx: &mut dyn Tx, id: SubscriptionId, customer: Option<CustomerId>, now: Micros) -> Result<u64, Fault> {
    tx.execute(&RELEASE, &[id.into(), customer.into(), now.into()])
}

/// The customer's lane goes on after `position`, at once.
pub fn pass(
    tx: &mut dyn Tx,
    (id, customer): (SubscriptionId, CustomerId),
    position: i64,
    now: Micros,
) -> Result<(), Fault> {
    tx.execute(&PASS, &[id.into(), customer.into(), (position + 1).into(), now.into()]).map(drop)
}

/// Whose a dead letter is, and where its message stands. `None`: there is none, or retention has removed its message.
pub fn letter(
    tx: &mut dyn Tx,
    project: &ProjectKey,
    id: SubscriptionId,
    letter: DeadLetterId,
) -> Result<Option<(CustomerId, i64)>, Fault> {
    query_one(tx, &LETTER, &[project.into(), letter.into(), id.into()], |row| Ok((row.parsed(0)?, row.int(1)?)))
}

/// It was looked after: it is shown no more, and what was sent is erased. False: there is none.
pub fn end_letter(
    tx: &mut dyn Tx,
    project: &ProjectKey,
    id: SubscriptionId,
    letter: DeadLetterId,
    now: Micros,
) -> Result<bool, Fault> {
    Ok(tx.execute(&END_LETTER, &[project.into(), letter.into(), id.into(), now.into()])? == 1)
}

/// Removes letters that were looked after before a time and that no cursor needs, at most `limit`. Answers how many.
pub fn sweep(tx: &mut dyn Tx, before: Micros, limit: i64) -> Result<u64, Fault> {
    tx.execute(&SWEEP, &[before.into(), limit.into()])
}

/// Sends again what stands at `from` and after it in the customer's lane. What is above the cursor is owed anyway: a lane
/// is never made to begin there, or what its customer is owed before would be passed over.
pub fn go_back_of(
    tx: &mut dyn Tx,
    (id, customer): (SubscriptionId, CustomerId),
    from: i64,
    now: Micros,
) -> Result<(), Fault> {
    let part = i64::from(partition(customer));
    let passed = query_one(tx, &PASSED, &[id.into(), part.into()], |row| row.int(0))?.unwrap_or(0);
    let mut args: Vec<Value> = vec![id.into(), customer.into(), now.into(), from.into(), passed.into()];
    if tx.execute(&LOWER, &args)? == 0 && from <= passed {
        args.push(part.into());
        tx.execute(&PARK_AT, &args)?;
    }
    tx.execute(&REMOVE_LETTERS_OF, &[id.into(), customer.into(), from.into()]).map(drop)
}

/// Sends again all that comes after a position. Answers up to where anything was sent before.
pub fn go_back(tx: &mut dyn Tx, id: SubscriptionId, after: i64) -> Result<i64, Fault> {
    let to = query_one(tx, &HIGHEST, &[id.into()], |row| row.int_opt(0))?.flatten().unwrap_or(0);
    for statement in [&GO_BACK, &GO_BACK_LANES, &REMOVE_LETTERS] {
        tx.execute(statement, &[id.into(), after.into()])?;
    }
    Ok(to)
}

/// Up to where customers' messages are sent once more, of lanes that went back.
pub fn replayed(tx: &mut dyn Tx, id: SubscriptionId) -> Result<Vec<(CustomerId, i64)>, Fault> {
    query_all(tx, &REPLAYED, &[id.into()], |row| Ok((row.parsed(0)?, row.int(1)?)))
}

/// The position before which nothing happened at `time` or later. `None`: nothing did.
pub fn before(tx: &mut dyn Tx, project: &ProjectKey, time: Micros) -> Result<Option<i64>, Fault> {
    let first = query_one(tx, &SINCE, &[project.into(), time.into(), AROUND.into()], |row| row.int_opt(0))?.flatten();
    Ok(first.map(|first| first - 1))
}

/// Whose a message is, and where it stands.
pub fn place(tx: &mut dyn Tx, project: &ProjectKey, id: MessageId) -> Result<Option<(CustomerId, i64)>, Fault> {
    query_one(tx, &PLACE, &[project.into(), id.into()], |row| Ok((row.parsed(0)?, row.int(1)?)))
}
