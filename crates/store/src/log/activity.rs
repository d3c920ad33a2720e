//! Activity in the log: appended, and read by operators.
//!
//! Entries are read in the order of their positions. Which positions are final is for the caller to find out, as for the
//! relay: see the head of [`log`](super).

use keyherald_core::Micros;
use keyherald_core::activity::{Activity, Recorded, project_lane};
use keyherald_core::id::{CustomerId, ProjectKey};
use keyherald_core::message::partition;

use crate::tx::query_all;
use crate::{Fault, Tx, Value, statements};

statements! {
    // A repeat after a lost answer finds its entry. On PostgreSQL the transaction has its id before the entry has its
    // position, as the log's order demands of every writer: the condition is looked at first.
    APPEND = {
        sqlite: "INSERT INTO log (project, kind, id, created_at, type, customer_id, partition, visible, has_personal, facts,
                     trace)
                 VALUES ($1, 'activity', $2, $3, 'Activity', $4, $5, 0, 0, $6, $7)
                 ON CONFLICT (project, id) DO NOTHING",
        postgres: "INSERT INTO log (project, kind, id, created_at, type, customer_id, partition, visible, has_personal, facts,
                       trace)
                   SELECT $1, 'activity', $2, CAST($3 AS BIGINT), 'Activity', $4, CAST($5 AS BIGINT), 0, 0, $6, CAST($7 AS TEXT)
                   WHERE pg_current_xact_id() IS NOT NULL
                   ON CONFLICT (project, id) DO NOTHING"
    };
    LATEST = "SELECT position, id, created_at, customer_id, facts FROM log
              WHERE project = $1 AND kind = 'activity' AND created_at >= $2 AND position <= $3
              ORDER BY position DESC LIMIT $4";
    AFTER = "SELECT position, id, created_at, customer_id, facts FROM log
             WHERE project = $1 AND kind = 'activity' AND created_at >= $2 AND position <= $3 AND position > $5
             ORDER BY position LIMIT $4";
    LATEST_OF = "SELECT position, id, created_at, customer_id, facts FROM log
                 WHERE project = $1 AND customer_id = $5 AND kind = 'activity' AND created_at >= $2 AND position <= $3
                 ORDER BY position DESC LIMIT $4";
    AFTER_OF = "SELECT position, id, created_at, customer_id, facts FROM log
                WHERE project = $1 AND customer_id = $5 AND kind = 'activity' AND created_at >= $2 AND position <= $3
                    AND position > $6
                ORDER BY position LIMIT $4";
}

/// Appends an entry. Harmless when repeated.
pub fn append(tx: &mut dyn Tx, project: &ProjectKey, activity: &Activity) -> Result<(), Fault> {
    // Without a customer it goes the project's own way.
    let lane = activity.customer.unwrap_or_else(|| project_lane(project));
    let args = [
        project.into(),
        activity.id.into(),
        activity.at.into(),
        lane.into(),
        i64::from(partition(lane)).into(),
        Value::json(&activity.facts)?,
        activity.trace.as_ref().into(),
    ];
    tx.execute(&APPEND, &args).map(drop)
}

/// Which entries are asked for.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    /// Only those about this customer.
    pub customer: Option<CustomerId>,
    /// Only those after this position, the first ones. `None`: the last ones.
    pub after: Option<i64>,
    /// Most entries.
    pub limit: i64,
}

/// Entries of the project in their order, as far as they happened at `oldest` or later and stand at `up_to` or before.
pub fn read(
    tx: &mut dyn Tx,
    project: &ProjectKey,
    asked: &Asked,
    oldest: Micros,
    up_to: i64,
) -> Result<Vec<Recorded>, Fault> {
    let mut args = vec![project.into(), oldest.into(), up_to.into(), asked.limit.into()];
    args.extend(asked.customer.map(Value::from));
    args.extend(asked.after.map(Value::from));
    let statement = match (asked.customer, asked.after) {
        (None, None) => &LATEST,
        (None, Some(_)) => &AFTER,
        (Some(_), None) => &LATEST_OF,
        (Some(_), Some(_)) => &AFTER_OF,
    };
    let mut found = query_all(tx, statement, &args, |row| {
        let activity = Activity {
            id: row.parsed(1)?,
            at: row.micros(2)?,
            customer: customer(project, row.parsed_opt(3)?),
            facts: row.json(4)?,
            trace: None, // for deliveries alone
        };
        Ok(Recorded { position: row.int(0)?, project_lane: project_lane(project), activity, user: None })
    })?;
    if asked.after.is_none() {
        found.reverse();
    }
    Ok(found)
}

/// The customer, unless the entry goes the project's own way.
pub(super) fn customer(project: &ProjectKey, lane: Option<CustomerId>) -> Option<CustomerId> {
    lane.filter(|lane| *lane != project_lane(project))
}
