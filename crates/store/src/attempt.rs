//! Attempts to send something: what was tried for whom, when, and how it ended. Written in batches after the fact, kept for a
//! time, of no use to delivery itself.

use keyherald_core::Micros;
use keyherald_core::id::{CustomerId, MessageId, ProjectKey, SubscriptionId};

use crate::tx::query_all;
use crate::{Fault, Tx, Value, statements};

macro_rules! latest {
    ($where:literal) => {
        concat!(
            "SELECT project, id, subscription_id, message_id, customer_id, position, number, at, duration_us, outcome,
                 reason, is_replay
             FROM attempt WHERE project = $1 AND id < $2 AND ",
            $where,
            " ORDER BY id DESC LIMIT $3"
        )
    };
}

// What is asked for in no order of an index, so that no plan walks through all attempts in their order.
macro_rules! of_customer {
    ($order:literal, $positions:literal) => {
        concat!(
            "SELECT project, id, subscription_id, message_id, customer_id, position, number, at, duration_us, outcome,
                 reason, is_replay
             FROM attempt WHERE project = $1 AND ",
            $order,
            " < $2 AND customer_id = $4 AND (CAST($5 AS TEXT) IS NULL OR subscription_id = $5) AND position ",
            $positions,
            " ORDER BY ",
            $order,
            " DESC LIMIT $3"
        )
    };
}

statements! {
    PUT = "INSERT INTO attempt (project, id, subscription_id, message_id, customer_id, position, number, at, duration_us,
               outcome, reason, is_replay)
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) ON CONFLICT (project, id) DO NOTHING";
    // What leads to the fewest rows has an index and leads; what else is asked for narrows.
    LATEST = (latest!("1 = 1"));
    OF_MESSAGE = (latest!("message_id = $4 AND (CAST($5 AS TEXT) IS NULL OR customer_id = $5)
                           AND (CAST($6 AS TEXT) IS NULL OR subscription_id = $6)"));
    // Few: all that there are of the customer are sorted.
    OF_CUSTOMER = {
        sqlite: of_customer!("+id", "IN (SELECT position FROM log WHERE project = $1 AND customer_id = $4)"),
        postgres: of_customer!("id || ''", "= ANY (ARRAY(SELECT position FROM log WHERE project = $1 AND customer_id = $4))")
    };
    OF_SUBSCRIPTION = (latest!("subscription_id = $4"));
    SWEEP = {
        sqlite: "DELETE FROM attempt WHERE rowid IN (SELECT rowid FROM attempt WHERE at < $1 ORDER BY at LIMIT $2)",
        postgres: "DELETE FROM attempt WHERE ctid = ANY (ARRAY(SELECT ctid FROM attempt WHERE at < $1 ORDER BY at LIMIT $2))"
    };
}

/// One attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// Whose.
    pub project: ProjectKey,
    /// Its own id; later ones are greater.
    pub id: MessageId,
    /// For whom.
    pub subscription: SubscriptionId,
    /// What.
    pub message: MessageId,
    /// The lane.
    pub customer: CustomerId,
    /// Where it stands in the log.
    pub position: i64,
    /// From 1.
    pub number: u32,
    /// When it began.
    pub at: Micros,
    /// How long it took, in microseconds.
    pub duration_us: i64,
    /// `delivered`, `temporary`, `throttled`, `refused`, `rejected`, `gone`, `erased` or `moot`.
    pub outcome: String,
    /// What the receiver answered, in words of ours. `None`: it took it.
    pub reason: Option<String>,
    /// Whether it was sent once more because an operator asked for it.
    pub is_replay: bool,
}

/// Writes it. Harmless when repeated.
pub fn put(tx: &mut dyn Tx, attempt: &Attempt) -> Result<(), Fault> {
    let args: [Value; 12] = [
        (&attempt.project).into(),
        attempt.id.into(),
        attempt.subscription.into(),
        attempt.message.into(),
        attempt.customer.into(),
        attempt.position.into(),
        i64::from(attempt.number).into(),
        attempt.at.into(),
        attempt.duration_us.into(),
        attempt.outcome.as_str().into(),
        attempt.reason.as_deref().into(),
        attempt.is_replay.into(),
    ];
    tx.execute(&PUT, &args).map(drop)
}

/// Which attempts are asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// Only for this subscription.
    pub subscription: Option<SubscriptionId>,
    /// Only of this customer; without a message, as long as the log has those that were sent.
    pub customer: Option<CustomerId>,
    /// Only of this message.
    pub message: Option<MessageId>,
    /// Only those before this one.
    pub before: Option<MessageId>,
    /// Most of them.
    pub limit: i64,
}

/// The latest attempts, the newest first.
pub fn latest(tx: &mut dyn Tx, project: &ProjectKey, asked: &Asked) -> Result<Vec<Attempt>, Fault> {
    let before = asked.before.map_or_else(|| "g".to_owned(), |id| id.to_string()); // behind every id
    let mut args: Vec<Value> = vec![project.into(), before.into(), asked.limit.into()];
    let statement = match *asked {
        Asked { message: Some(message), customer, subscription, .. } => {
            args.extend([message.into(), customer.into(), subscription.into()]);
            &OF_MESSAGE
        }
        Asked { customer: Some(customer), subscription, .. } => {
            args.extend([customer.into(), subscription.into()]);
            &OF_CUSTOMER
        }
        Asked { subscription: Some(subscription), .. } => {
            args.push(subscription.into());
            &OF_SUBSCRIPTION
        }
        _ => &LATEST,
    };
    query_all(tx, statement, &args, |row| {
        Ok(Attempt {
            project: row.parsed(0)?,
            id: row.parsed(1)?,
            subscription: row.parsed(2)?,
            message: row.parsed(3)?,
            customer: row.parsed(4)?,
            position: row.int(5)?,
            number: u32::try_from(row.int(6)?).unwrap_or(u32::MAX),
            at: row.micros(7)?,
            duration_us: row.int(8)?,
            outcome: row.text(9)?,
            reason: row.text_opt(10)?,
            is_replay: row.flag(11)?,
        })
    })
}

/// Removes attempts that began before a time, at most `limit`. Answers how many.
pub fn sweep(tx: &mut dyn Tx, before: Micros, limit: i64) -> Result<u64, Fault> {
    tx.execute(&SWEEP, &[before.into(), limit.into()])
}
