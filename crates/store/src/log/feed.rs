//! The feed: a project's messages from a position on, for receivers that fetch them.
//!
//! It has what a subscription to all messages would be sent, whether queries show it or not; what is only there to be
//! mailed is left out. Which positions are final is for the caller to find out, as for the relay.
//!
//! Retention removes what is old. The project remembers how far: who asks on from below that is told so instead of being
//! handed a sequence with a gap in it.

use keyherald_core::Micros;
use keyherald_core::id::{CustomerId, ProjectKey};
use keyherald_core::message::Message;
use keyherald_core::seal::KeyRing;

use super::{last_position, read};
use crate::tx::{query_all, query_one};
use crate::{Fault, Tx, Value, statements};

macro_rules! fed {
    ($index:literal, $and:literal) => {
        concat!(
            "SELECT ",
            columns!(),
            " ",
            tables!(),
            "WHERE l.position IN (SELECT position FROM log ",
            $index,
            " WHERE project = $2 AND kind IN ('message', 'change', 'event') AND kind = 'message' AND position > $3 AND position <= $4
                AND type NOT IN ('CustomerWelcomed', 'VerificationCodeCreated')",
            $and,
            " ORDER BY position LIMIT $5) ORDER BY l.position"
        )
    };
}

statements! {
    // SQLite is told the index: it takes any two bounds of positions for few rows, whoever's they are.
    AFTER = {
        sqlite: fed!("INDEXED BY log_told", ""),
        postgres: fed!("", "")
    };
    AFTER_OF = {
        sqlite: fed!("INDEXED BY log_by_customer", " AND customer_id = $6"),
        postgres: fed!("", " AND customer_id = $6")
    };
    REMOVED_TO = "SELECT removed_to FROM project WHERE project = $1";
    FIRST = "SELECT position FROM log WHERE project = $1 AND kind IN ('message', 'change', 'event') AND kind = 'message'
               AND position > $2 ORDER BY position LIMIT 1";
}

/// Which messages are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Only those in this customer's lane.
    pub customer: Option<CustomerId>,
    /// Those after this position. `None`: all that are left.
    pub after: Option<i64>,
    /// Most messages.
    pub limit: i64,
}

/// What there is of them.
pub enum Fed {
    /// These, complete up to the position.
    Page(Vec<Message>, i64),
    /// Some may have been removed: what is left is complete after `complete_after`, and begins at `first`, if there is any.
    Gone {
        /// From here on nothing is missing.
        complete_after: i64,
        /// The first message that is left.
        first: Option<i64>,
    },
    /// The log has never come that far: whoever asks has its position from another database.
    Beyond,
}

/// Messages of the project in their order, as far as they stand at `up_to` or before. Secrets that expired by `now` are
/// left out.
pub fn after(
    tx: &mut dyn Tx,
    ring: &KeyRing,
    project: &ProjectKey,
    asked: &Asked,
    (up_to, now): (i64, Micros),
) -> Result<Fed, Fault> {
    let removed_to = query_one(tx, &REMOVED_TO, &[project.into()], |row| row.int(0))?.unwrap_or(0);
    let after = asked.after.unwrap_or(removed_to);
    if after < removed_to {
        let first = query_one(tx, &FIRST, &[project.into(), removed_to.into()], |row| row.int(0))?;
        return Ok(Fed::Gone { complete_after: removed_to, first });
    }
    if after >= up_to {
        let is_beyond = after > up_to && after > last_position(tx)?;
        return Ok(if is_beyond { Fed::Beyond } else { Fed::Page(Vec::new(), after) });
    }
    let found = page(tx, ring, project, asked, ((after, up_to), now))?;
    let is_full = i64::try_from(found.len()).is_ok_and(|count| count >= asked.limit);
    let reached = found.last().filter(|_| is_full).map_or(up_to, |last| last.position);
    Ok(Fed::Page(found, reached))
}

/// The first messages with `after < position <= up_to`, whatever was removed before.
pub fn page(
    tx: &mut dyn Tx,
    ring: &KeyRing,
    project: &ProjectKey,
    asked: &Asked,
    ((after, up_to), now): ((i64, i64), Micros),
) -> Result<Vec<Message>, Fault> {
    let mut args = vec![now.into(), project.into(), after.into(), up_to.into(), asked.limit.into()];
    args.extend(asked.customer.map(Value::from));
    let statement = if asked.customer.is_some() { &AFTER_OF } else { &AFTER };
    query_all(tx, statement, &args, |row| read(row, ring))
}
