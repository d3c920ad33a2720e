//! Sending events again, because somebody asks for it.
//!
//! An event that is sent again has another entry in the log, and that is all: it goes the same way as the first time, with
//! the same bytes. Of a span of time a batch at a time is put into the log; a row remembers how far that has come, so that
//! whoever dies in between leaves the rest to the next one.

use keyherald_core::event::EventType;
use keyherald_core::id::{MessageId, ProjectKey};
use keyherald_core::{Ctx, Micros};

use super::{Asked, send};
use crate::decoy::Nature;
use crate::tx::{Row, query_all, query_one};
use crate::{Fault, Tx, statements};

statements! {
    // Writes before anything is put into the log, as its order demands. What is on its way is not sent twice.
    TAKE = "UPDATE event SET parked_at = NULL
            WHERE project = $1 AND id = $2 AND body IS NOT NULL AND awaiting IS NULL AND ends_at IS NULL
            RETURNING customer_id, type";
    EXISTS = "SELECT 1 FROM event WHERE project = $1 AND id = $2 AND body IS NOT NULL AND ends_at IS NULL";
    COUNT = "SELECT count(*) FROM event
             WHERE project = $1 AND type = $2 AND occurred_at >= $3 AND occurred_at <= $4 AND body IS NOT NULL";
    COUNT_OF = "SELECT count(*) FROM event
                WHERE project = $1 AND type = $2 AND occurred_at >= $3 AND occurred_at <= $4 AND body IS NOT NULL
                  AND customer_id = $5";
    PUT = "INSERT INTO event_resend (project, id, type, customer_id, until_at, next_at, next_id)
           VALUES ($1, $2, $3, $4, $5, $6, '')";
    // One node at a time goes on with one.
    OPEN = {
        sqlite: "SELECT project, id, type, customer_id, until_at, next_at, next_id FROM event_resend LIMIT 1",
        postgres: "SELECT project, id, type, customer_id, until_at, next_at, next_id FROM event_resend LIMIT 1 FOR UPDATE"
    };
    BATCH = "SELECT id, occurred_at FROM event
             WHERE project = $1 AND type = $2 AND (occurred_at, id) > ($3, $4) AND occurred_at <= $5 AND body IS NOT NULL
             ORDER BY occurred_at, id LIMIT $6";
    BATCH_OF = "SELECT id, occurred_at FROM event
                WHERE project = $1 AND type = $2 AND (occurred_at, id) > ($3, $4) AND occurred_at <= $5
                  AND body IS NOT NULL AND customer_id = $7
                ORDER BY occurred_at, id LIMIT $6";
    MOVE = "UPDATE event_resend SET next_at = $3, next_id = $4 WHERE project = $1 AND id = $2";
    DONE = "DELETE FROM event_resend WHERE project = $1 AND id = $2";
}

/// Has these events sent again. Those that are not the project's, or whose bodies are gone, are passed over. Answers how
/// many were not.
pub fn these(tx: &mut dyn Tx, project: &ProjectKey, ids: &[MessageId], ctx: &mut Ctx) -> Result<u64, Fault> {
    // In one order, whoever asks: of two callers at once one waits for the other.
    let mut ids = ids.to_vec();
    ids.sort_unstable();
    ids.dedup();
    let mut matched = 0;
    for id in ids {
        let taken = take(tx, project, id, ctx)?;
        let found = taken || query_one(tx, &EXISTS, &[project.into(), id.into()], |_| Ok(()))?.is_some();
        matched += u64::from(found);
    }
    Ok(matched)
}

/// Whether it was put into the log: it is there, and not on its way.
fn take(tx: &mut dyn Tx, project: &ProjectKey, id: MessageId, ctx: &mut Ctx) -> Result<bool, Fault> {
    let read = |row: &dyn Row| Ok((row.parsed_opt(0)?, row.parsed::<EventType>(1)?));
    let Some((customer, event_type)) = query_one(tx, &TAKE, &[project.into(), id.into()], read)? else {
        return Ok(false);
    };
    let lane = customer.unwrap_or_else(|| id.uuid().into());
    send(tx, project, (MessageId::new(ctx), Nature::Fact), (id, event_type, lane), (ctx.now, ctx.trace.as_ref()))?;
    Ok(true)
}

/// How many events [`begin`] would send again.
pub fn count(tx: &mut dyn Tx, project: &ProjectKey, asked: &Asked) -> Result<u64, Fault> {
    let mut args = vec![project.into(), asked.event_type.as_str().into(), asked.from.into(), asked.to.into()];
    let statement = match asked.customer {
        Some(customer) => {
            args.push(customer.into());
            &COUNT_OF
        }
        None => &COUNT,
    };
    let count = query_one(tx, statement, &args, |row| row.int(0))?.unwrap_or(0);
    Ok(u64::try_from(count).unwrap_or(0))
}

/// Remembers that all of these are to be sent again, as `id`. [`go_on`] puts them into the log.
pub fn begin(tx: &mut dyn Tx, project: &ProjectKey, id: MessageId, asked: &Asked) -> Result<(), Fault> {
    let args = [
        project.into(),
        id.into(),
        asked.event_type.as_str().into(),
        asked.customer.into(),
        asked.to.into(),
        asked.from.into(),
    ];
    tx.execute(&PUT, &args).map(drop)
}

struct Open {
    project: ProjectKey,
    id: MessageId,
    asked: Asked,
    after: String,
}

/// Puts the next `limit` events that are to be sent again into the log. Answers whether there may be more.
pub fn go_on(tx: &mut dyn Tx, limit: i64, ctx: &mut Ctx) -> Result<bool, Fault> {
    let read = |row: &dyn Row| {
        let asked = Asked {
            event_type: row.parsed(2)?,
            customer: row.parsed_opt(3)?,
            to: row.micros(4)?,
            from: row.micros(5)?,
        };
        Ok(Open { project: row.parsed(0)?, id: row.parsed(1)?, asked, after: row.text(6)? })
    };
    let Some(open) = query_one(tx, &OPEN, &[], read)? else { return Ok(false) };
    let (project, asked) = (&open.project, open.asked);
    let mut args = vec![
        project.into(),
        asked.event_type.as_str().into(),
        asked.from.into(),
        open.after.into(),
        asked.to.into(),
        limit.into(),
    ];
    let statement = match asked.customer {
        Some(customer) => {
            args.push(customer.into());
            &BATCH_OF
        }
        None => &BATCH,
    };
    let batch: Vec<(MessageId, Micros)> = query_all(tx, statement, &args, |row| Ok((row.parsed(0)?, row.micros(1)?)))?;
    for (id, _) in &batch {
        take(tx, project, *id, ctx)?;
    }
    match batch.last().filter(|_| i64::try_from(batch.len()).is_ok_and(|length| length >= limit)) {
        Some((last, at)) => {
            tx.execute(&MOVE, &[project.into(), open.id.into(), (*at).into(), (*last).into()])?;
        }
        None => {
            tx.execute(&DONE, &[project.into(), open.id.into()])?;
        }
    }
    Ok(true)
}
