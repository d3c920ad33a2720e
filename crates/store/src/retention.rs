//! Retention: removes what a project's days have passed and what nobody is owed any more.
//!
//! A log row may go when it is older than the project's days **and**, for every subscription of the project, at or below
//! the cursor of its partition and below the position from which its lane is parked or held. A subscription that has
//! stopped therefore keeps its messages until it goes on or is deleted.
//!
//! To find rows and to remove them are two steps, so that finding need not hold the writer up. In between a row cannot
//! become owed again: cursors and lanes only move forward, a lane is parked above its cursor, and a new subscription
//! begins at the end of the log.

use keyherald_core::Micros;
use keyherald_core::id::{CustomerId, ProjectKey};

use crate::tx::query_all;
use crate::{Fault, Tx, Value, statements};

statements! {
    OLD = "SELECT l.position, l.created_at, l.customer_id, l.kind,
               CASE WHEN EXISTS (SELECT 1 FROM subscription s
                                 LEFT JOIN delivery_cursor d ON d.subscription_id = s.id AND d.partition = l.partition
                                 WHERE s.project = l.project AND COALESCE(d.position, 0) < l.position)
                      OR EXISTS (SELECT 1 FROM subscription s
                                 JOIN parked_lane k ON k.subscription_id = s.id AND k.customer_id = l.customer_id
                                 WHERE s.project = l.project AND k.from_position <= l.position)
                    THEN 1 ELSE 0 END
           FROM log l
           WHERE l.project = $1 AND l.created_at < $2 AND (l.created_at, l.position) > ($3, $4)
           ORDER BY l.created_at, l.position LIMIT $5";
    // Lists come as JSON arrays: one text of a statement, however long they are.
    REMOVE_PERSONAL = {
        sqlite: "DELETE FROM log_personal WHERE position IN (SELECT value FROM json_each($1))",
        postgres: "DELETE FROM log_personal WHERE position = ANY (ARRAY(SELECT json_array_elements_text($1::text::json)::bigint))"
    };
    REMOVE_SECRETS = {
        sqlite: "DELETE FROM log_secret WHERE position IN (SELECT value FROM json_each($1))",
        postgres: "DELETE FROM log_secret WHERE position = ANY (ARRAY(SELECT json_array_elements_text($1::text::json)::bigint))"
    };
    // Whoever fetches from below it is told that something is gone.
    NOTE_REMOVED = "UPDATE project SET removed_to = $2 WHERE project = $1 AND removed_to < $2";
    REMOVE = {
        sqlite: "DELETE FROM log WHERE position IN (SELECT value FROM json_each($1))",
        postgres: "DELETE FROM log WHERE position = ANY (ARRAY(SELECT json_array_elements_text($1::text::json)::bigint))"
    };
    // A deleted customer's key outlives it for its last messages, and goes with the last of them.
    REMOVE_KEYS = {
        sqlite: "DELETE FROM customer_key WHERE project = $1 AND customer_id IN (SELECT value FROM json_each($2))
                     AND NOT EXISTS (SELECT 1 FROM customer c
                                     WHERE c.project = customer_key.project AND c.id = customer_key.customer_id)
                     AND NOT EXISTS (SELECT 1 FROM log l WHERE l.project = customer_key.project
                                     AND l.customer_id = customer_key.customer_id AND l.kind = 'message')",
        postgres: "DELETE FROM customer_key WHERE project = $1
                     AND customer_id = ANY (ARRAY(SELECT json_array_elements_text($2::text::json)))
                     AND NOT EXISTS (SELECT 1 FROM customer c
                                     WHERE c.project = customer_key.project AND c.id = customer_key.customer_id)
                     AND NOT EXISTS (SELECT 1 FROM log l WHERE l.project = customer_key.project
                                     AND l.customer_id = customer_key.customer_id AND l.kind = 'message')"
    };
}

/// A place in a project's log, by time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    at: Micros,
    position: i64,
}

impl Place {
    /// Before the oldest entry.
    pub const START: Self = Self { at: Micros(i64::MIN), position: 0 };
}

/// Rows that may go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outdated {
    project: ProjectKey,
    positions: Vec<i64>,
    customers: Vec<CustomerId>,
    /// The last position of a message among them.
    messages_to: Option<i64>,
    /// Where to look next. `None`: everything old was looked at.
    pub next: Option<Place>,
}

impl Outdated {
    /// How many log rows it names.
    pub fn len(&self) -> usize {
        self.positions.len()
    }

    /// Whether it names none.
    pub fn is_empty(&self) -> bool {
        self.positions.is_empty()
    }
}

/// Looks at the next `limit` entries of the project that happened before `older_than`, and tells those that may go.
/// Entries that are still owed are passed over, so that one that stays for long does not stop the rest.
pub fn outdated(
    tx: &mut dyn Tx,
    project: &ProjectKey,
    older_than: Micros,
    from: Place,
    limit: i64,
) -> Result<Outdated, Fault> {
    let mut outdated = Outdated {
        project: project.clone(),
        positions: Vec::new(),
        customers: Vec::new(),
        messages_to: None,
        next: None,
    };
    let args = [project.into(), older_than.into(), from.at.into(), from.position.into(), limit.into()];
    let looked_at = query_all(tx, &OLD, &args, |row| {
        let place = Place { at: row.micros(1)?, position: row.int(0)? };
        if !row.flag(4)? {
            outdated.positions.push(place.position);
            if row.text(3)? == "message" {
                outdated.messages_to = outdated.messages_to.max(Some(place.position));
            }
            outdated.customers.extend(row.parsed_opt::<CustomerId>(2)?);
        }
        Ok(place)
    })?;
    outdated.customers.sort();
    outdated.customers.dedup();
    if i64::try_from(looked_at.len()).is_ok_and(|count| count >= limit) {
        outdated.next = looked_at.last().copied();
    }
    Ok(outdated)
}

/// Removes them with their side rows. Harmless when repeated.
pub fn remove(tx: &mut dyn Tx, outdated: &Outdated) -> Result<(), Fault> {
    if outdated.is_empty() {
        return Ok(());
    }
    if let Some(position) = outdated.messages_to {
        tx.execute(&NOTE_REMOVED, &[(&outdated.project).into(), position.into()])?;
    }
    let positions = Value::json(&outdated.positions)?;
    for statement in [&REMOVE_PERSONAL, &REMOVE_SECRETS, &REMOVE] {
        tx.execute(statement, std::slice::from_ref(&positions))?;
    }
    let customers = Value::json(&outdated.customers)?;
    tx.execute(&REMOVE_KEYS, &[(&outdated.project).into(), customers]).map(drop)
}
