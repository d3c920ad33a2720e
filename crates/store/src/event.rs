//! Events with their bodies, which were rendered when they happened ([`keyherald_core::event`]).
//!
//! Each time that an event is to be sent is an entry in the log, written here; whoever delivers says here how that ended. A
//! row is kept as long as it is owed to its receiver, and for some days after it happened, so that it can be sent again.
//!
//! Without a subscription that asks for events of its type, an event is kept all the same, and sent to nobody until
//! somebody asks for it.

use keyherald_core::event::{EventType, NewEvent, Sending};
use keyherald_core::id::{CustomerId, MessageId, ProjectKey};
use keyherald_core::message::partition;
use keyherald_core::seal::KeyRing;
use keyherald_core::subscription::RENDERED;
use keyherald_core::trace::TraceContext;
use keyherald_core::{Ctx, Micros};
use zeroize::Zeroizing;

use crate::decoy::Nature;
use crate::tx::{Row, query_all, query_one};
use crate::{Fault, Tx, statements};

pub mod resend;

statements! {
    INSERT = "INSERT INTO event (project, id, type, customer_id, subject, occurred_at, body, ends_at, kept_until)
              VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
    // The casts tell PostgreSQL what it does not infer in a SELECT.
    APPEND = "INSERT INTO log (project, kind, id, created_at, type, resource_type, resource_id, customer_id, partition, visible,
                  has_personal, facts, trace)
              SELECT $1, $9, $2, CAST($3 AS BIGINT), $4, 'event', $5, $6, CAST($7 AS BIGINT), 0, 0, '{}', CAST($10 AS TEXT)
              WHERE EXISTS (SELECT 1 FROM subscription
                            WHERE project = $1 AND format = '\"Rendered\"' AND replace(events, $8, '') <> events)
              RETURNING position";
    AWAIT = "UPDATE event SET awaiting = $3, parked_at = NULL WHERE project = $1 AND id = $2";
    BODY = "SELECT body, ends_at FROM event WHERE project = $1 AND id = $2 AND (ends_at IS NULL OR ends_at > $3)";
    DELIVERED = "UPDATE event SET delivered_at = $4, parked_at = NULL,
                     awaiting = CASE WHEN awaiting <= $3 THEN NULL ELSE awaiting END,
                     body = CASE WHEN ends_at IS NULL THEN body END
                 WHERE project = $1 AND id = $2";
    PARKED = "UPDATE event SET parked_at = $4, awaiting = NULL, body = CASE WHEN ends_at IS NULL THEN body END
              WHERE project = $1 AND id = $2 AND awaiting <= $3";
    END_OF = "UPDATE event SET body = NULL, parked_at = CASE WHEN awaiting IS NULL THEN parked_at ELSE $3 END, awaiting = NULL
              WHERE project = $1 AND subject = $2";
    // A subscription that is deleted leaves nothing owed.
    ABANDON = "UPDATE event SET awaiting = NULL WHERE project = $1 AND awaiting IS NOT NULL";
    END = "UPDATE event SET body = NULL, parked_at = CASE WHEN awaiting IS NULL THEN parked_at ELSE $1 END, awaiting = NULL
           WHERE (project, id) IN (SELECT project, id FROM event WHERE body IS NOT NULL AND ends_at <= $1
                                   ORDER BY ends_at LIMIT $2)";
    SWEEP = "DELETE FROM event WHERE awaiting IS NULL AND (project, id) IN
                 (SELECT project, id FROM event WHERE kept_until <= $1 AND awaiting IS NULL ORDER BY kept_until LIMIT $2)";
    LISTED = "SELECT e.id, e.type, e.occurred_at, e.customer_id, c.number, e.awaiting, e.delivered_at, e.parked_at,
                  CASE WHEN e.body IS NULL THEN 0 ELSE 1 END
              FROM event e LEFT JOIN customer c ON c.project = e.project AND c.id = e.customer_id
              WHERE e.project = $1 AND e.type = $2 AND e.occurred_at >= $3 AND e.occurred_at <= $4
              ORDER BY e.occurred_at, e.id LIMIT $5 OFFSET $6";
    LISTED_OF = "SELECT e.id, e.type, e.occurred_at, e.customer_id, c.number, e.awaiting, e.delivered_at, e.parked_at,
                     CASE WHEN e.body IS NULL THEN 0 ELSE 1 END
                 FROM event e LEFT JOIN customer c ON c.project = e.project AND c.id = e.customer_id
                 WHERE e.project = $1 AND e.type = $2 AND e.occurred_at >= $3 AND e.occurred_at <= $4 AND e.customer_id = $7
                 ORDER BY e.occurred_at, e.id LIMIT $5 OFFSET $6";
}

/// How long an event's row and body are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// The row, unless it is owed.
    pub until: Micros,
    /// The body, if it must go before the row, delivered or not.
    pub body_until: Option<Micros>,
    /// The id of the process whose end is the end of the body, too ([`end_of`]).
    pub subject: Option<String>,
}

/// Keeps an event, and has it sent if there is somebody to send it to. Another write of the same transaction, under the
/// customer's lock, must precede it, as in [`log::append`](crate::log::append).
pub fn append(
    tx: &mut dyn Tx,
    ring: &KeyRing,
    project: &ProjectKey,
    event: &NewEvent,
    kept: &Kept,
    ctx: &mut Ctx,
) -> Result<(), Fault> {
    append_as(tx, ring, project, (event, kept, Nature::Fact), ctx)
}

/// The same as a decoy: for the event about somebody who is not there, where that must not be told by how long it takes.
/// The event is one about the customer who stands in.
pub fn append_decoy(
    tx: &mut dyn Tx,
    ring: &KeyRing,
    project: &ProjectKey,
    event: &NewEvent,
    kept: &Kept,
    ctx: &mut Ctx,
) -> Result<(), Fault> {
    append_as(tx, ring, project, (event, kept, Nature::Decoy), ctx)
}

fn append_as(
    tx: &mut dyn Tx,
    ring: &KeyRing,
    project: &ProjectKey,
    (event, kept, nature): (&NewEvent, &Kept, Nature),
    ctx: &mut Ctx,
) -> Result<(), Fault> {
    let sealed = ring.seal(ctx, &binding(event.id), &nature.content(&event.body))?;
    let args = [
        project.into(),
        event.id.into(),
        nature.event_type(event.event_type.as_str()).into(),
        event.customer.into(),
        kept.subject.as_ref().into(),
        event.at.into(),
        sealed.into(),
        kept.body_until.into(),
        kept.until.into(),
    ];
    tx.execute(&INSERT, &args)?;
    send(tx, project, (event.id, nature), (event.id, event.event_type, event.lane), (event.at, ctx.trace.as_ref()))
}

/// Puts into the log that the event is to be sent, as the entry `id`.
fn send(
    tx: &mut dyn Tx,
    project: &ProjectKey,
    (id, nature): (MessageId, Nature),
    (event, event_type, lane): (MessageId, EventType, CustomerId),
    (at, trace): (Micros, Option<&TraceContext>),
) -> Result<(), Fault> {
    let args = [
        project.into(),
        id.into(),
        at.into(),
        event_type.as_str().into(),
        event.into(),
        lane.into(),
        i64::from(partition(lane)).into(),
        format!("\"{}\"", event_type.as_str()).into(),
        nature.kind("event").into(),
        trace.into(),
    ];
    match query_one(tx, &APPEND, &args, |row| row.int(0))? {
        Some(position) => {
            let awaited = (nature == Nature::Fact).then_some(position);
            tx.execute(&AWAIT, &[project.into(), event.into(), awaited.into()]).map(drop)
        }
        None => Ok(()), // recorded, and nobody to send it to
    }
}

/// What is left of an event's body.
pub enum Body {
    /// The very bytes. No `Debug`: they are personal.
    Kept(Zeroizing<Vec<u8>>),
    /// Erased with its customer, or with its row.
    Erased,
    /// Its time is over: there is nothing left to say.
    Ended,
}

/// The bytes to send.
pub fn body(
    tx: &mut dyn Tx,
    ring: &KeyRing,
    project: &ProjectKey,
    sending: &Sending,
    now: Micros,
) -> Result<Body, Fault> {
    let args = [project.into(), sending.event.into(), now.into()];
    let found = query_one(tx, &BODY, &args, |row| row.bytes_opt(0))?;
    match found {
        Some(Some(sealed)) => Ok(Body::Kept(ring.open(&binding(sending.event), &sealed)?)),
        _ if sending.event_type.can_be_resent() => Ok(Body::Erased),
        _ => Ok(Body::Ended),
    }
}

/// How sending an event ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// Accepted.
    Delivered,
    /// Put aside.
    Parked,
}

/// Notes how a sending ended. Harmless when repeated; what was asked for since then stays asked for.
pub fn settle(
    tx: &mut dyn Tx,
    project: &ProjectKey,
    sending: &Sending,
    settled: Settled,
    now: Micros,
) -> Result<(), Fault> {
    let statement = match settled {
        Settled::Delivered => &DELIVERED,
        Settled::Parked => &PARKED,
    };
    let args = [project.into(), sending.event.into(), sending.position.into(), now.into()];
    tx.execute(statement, &args).map(drop)
}

/// The process has ended: the bodies of its events go, sent or not.
pub fn end_of(tx: &mut dyn Tx, project: &ProjectKey, subject: &str, now: Micros) -> Result<(), Fault> {
    tx.execute(&END_OF, &[project.into(), subject.into(), now.into()]).map(drop)
}

/// Nobody is owed the project's events any more. They can be asked for as before.
pub fn abandon(tx: &mut dyn Tx, project: &ProjectKey) -> Result<(), Fault> {
    tx.execute(&ABANDON, &[project.into()]).map(drop)
}

/// Removes what has had its time: at most `limit` bodies and as many rows. Answers the greater number.
pub fn sweep(tx: &mut dyn Tx, now: Micros, limit: i64) -> Result<u64, Fault> {
    let args = [now.into(), limit.into()];
    Ok(tx.execute(&END, &args)?.max(tx.execute(&SWEEP, &args)?))
}

/// Which events are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Of this type.
    pub event_type: EventType,
    /// That happened at this time or later.
    pub from: Micros,
    /// That happened at this time or earlier.
    pub to: Micros,
    /// About this customer alone.
    pub customer: Option<CustomerId>,
}

/// How an event stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// To be sent.
    Pending,
    /// Accepted.
    Delivered,
    /// Put aside: sent again only if somebody asks for it.
    Parked,
    /// There was nobody to send it to.
    Recorded,
}

impl State {
    /// As it is shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::Delivered => "DELIVERED",
            Self::Parked => "PARKED",
            Self::Recorded => "RECORDED",
        }
    }
}

/// An event without its body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its id.
    pub id: MessageId,
    /// Its type.
    pub event_type: EventType,
    /// When it happened.
    pub at: Micros,
    /// Whom it is about.
    pub customer: Option<CustomerId>,
    /// That customer's number, as long as there is such a customer.
    pub number: Option<String>,
    /// How it stands.
    pub state: State,
    /// When it was accepted last.
    pub delivered_at: Option<Micros>,
    /// Whether it can be sent again: its body is there.
    pub is_kept: bool,
}

/// Events in the order in which they happened.
pub fn list(
    tx: &mut dyn Tx,
    project: &ProjectKey,
    asked: &Asked,
    (limit, offset): (i64, i64),
) -> Result<Vec<Listed>, Fault> {
    let mut args = vec![
        project.into(),
        asked.event_type.as_str().into(),
        asked.from.into(),
        asked.to.into(),
        limit.into(),
        offset.into(),
    ];
    let statement = match asked.customer {
        Some(customer) => {
            args.push(customer.into());
            &LISTED_OF
        }
        None => &LISTED,
    };
    query_all(tx, statement, &args, read)
}

fn read(row: &dyn Row) -> Result<Listed, Fault> {
    let (awaiting, delivered_at) = (row.int_opt(5)?, row.int_opt(6)?.map(Micros));
    let state = match (awaiting, row.int_opt(7)?, delivered_at) {
        (Some(_), ..) => State::Pending,
        (None, Some(_), _) => State::Parked,
        (None, None, Some(_)) => State::Delivered,
        (None, None, None) => State::Recorded,
    };
    Ok(Listed {
        id: row.parsed(0)?,
        event_type: row.parsed(1)?,
        at: row.micros(2)?,
        customer: row.parsed_opt(3)?,
        number: row.text_opt(4)?,
        state,
        delivered_at,
        is_kept: row.flag(8)?,
    })
}

/// Opens the log row that says that an event is to be sent.
pub(crate) fn read_sending(
    row: &dyn Row,
    (position, event, event_type): (usize, usize, usize),
    trace: Option<TraceContext>,
) -> Result<Sending, Fault> {
    Ok(Sending {
        position: row.int(position)?,
        event: row.parsed(event)?,
        event_type: row.parsed(event_type)?,
        at: row.micros(3)?,
        lane: row.parsed(7)?,
        trace,
    })
}

fn binding(id: MessageId) -> String {
    format!("event:{id}")
}

/// The selection by which a subscription asks for events.
pub fn selection(types: &[EventType]) -> keyherald_core::subscription::MessageSelection {
    let types = types.iter().map(|event| event.as_str().to_owned()).collect();
    keyherald_core::subscription::MessageSelection { resource_type: RENDERED.to_owned(), types }
}
