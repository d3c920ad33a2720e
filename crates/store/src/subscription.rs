//! Subscriptions and the sealed secrets of their destinations.
//!
//! Those in the form of letters and short messages are the configuration's: mail and SMS; so are those to events. For the
//! relay they are subscriptions like any other; no call sees, counts, changes or deletes them, and no change tells of them.

use keyherald_core::customer::Version;
use keyherald_core::filter::Kind;
use keyherald_core::id::{Key, ProjectKey, SubscriptionId};
use keyherald_core::message::PARTITIONS;
use keyherald_core::notice::{ChangeKind, NewChange};
use keyherald_core::seal::KeyRing;
use keyherald_core::subscription::{FormatKind, Selections, Subscription, SubscriptionStatus, Updated};
use keyherald_core::trace::TraceContext;
use keyherald_core::{Ctx, Micros};
use serde::Serialize;
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use crate::fault::FaultKind;
use crate::filter::Column;
use crate::listing::Source;
use crate::tx::{Row, query_all, query_one};
use crate::{Fault, Listing, Page, Tx, Value, delivery, log, statements};

macro_rules! columns {
    () => {
        "id, key, version, created_at, last_modified_at, created_by, last_modified_by, destination, messages, changes,
                events, format, status, project, secret, paused_at, interventions, replayed_to, replay_rate,
                filter, transformation"
    };
}

macro_rules! is_of_callers {
    () => {
        "format NOT IN ('\"Letter\"', '\"ShortMessage\"', '\"Rendered\"', '\"WalletNotice\"')"
    };
}

macro_rules! selected {
    () => {
        concat!("SELECT ", columns!(), " FROM subscription ")
    };
}

statements! {
    INSERT = "INSERT INTO subscription (project, id, key, version, created_at, last_modified_at, created_by, last_modified_by,
                  destination, messages, changes, events, format, status, secret, filter, transformation)
              VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)";
    UPDATE = "UPDATE subscription SET key = $3, version = $4, last_modified_at = $5, last_modified_by = $6,
                  destination = $7, messages = $8, changes = $9, events = $10, status = $11,
                  filter = $13, transformation = $14
              WHERE project = $1 AND id = $2 AND version = $12";
    SET_SECRET = "UPDATE subscription SET secret = $3, failing_since = NULL WHERE project = $1 AND id = $2";
    SECRET = "SELECT secret FROM subscription WHERE project = $1 AND id = $2";
    BY_ID = (concat!(selected!(), "WHERE project = $1 AND id = $2 AND ", is_of_callers!()));
    BY_KEY = (concat!(selected!(), "WHERE project = $1 AND key = $2 AND ", is_of_callers!()));
    OF_FORMAT = (concat!(selected!(), "WHERE project = $1 AND format = $2"));
    OF_PROJECT = (concat!(selected!(), "WHERE project = $1 ORDER BY id"));
    ANY_BY_ID = (concat!(selected!(), "WHERE project = $1 AND id = $2"));
    PAUSE = "UPDATE subscription SET paused_at = $3 WHERE project = $1 AND id = $2";
    INTERVENE = "UPDATE subscription SET interventions = interventions + 1 WHERE project = $1 AND id = $2";
    REPLAY = "UPDATE subscription SET replay_rate = $3,
                  replayed_to = CASE WHEN CAST($4 AS BIGINT) > replayed_to THEN CAST($4 AS BIGINT) ELSE replayed_to END
              WHERE project = $1 AND id = $2";
    ALL = (concat!(selected!(), "ORDER BY project, id"));
    // Subscriptions of a project are made one after the other, so that the count and the key are true.
    LOCK_PROJECT = {
        sqlite: "SELECT 1 FROM project WHERE project = $1",
        postgres: "SELECT 1 FROM project WHERE project = $1 FOR UPDATE"
    };
    // Waits for every transaction that holds it, and lets none in before this one ends.
    CLAIM = {
        sqlite: "SELECT 1 FROM subscription WHERE project = $1 AND id = $2",
        postgres: "SELECT 1 FROM subscription WHERE project = $1 AND id = $2 FOR UPDATE"
    };
    // While it is held the subscription cannot be deleted or updated, so that nothing is written for one that is gone.
    HOLD = {
        sqlite: "SELECT version, interventions FROM subscription WHERE project = $1 AND id = $2",
        postgres: "SELECT version, interventions FROM subscription WHERE project = $1 AND id = $2 FOR KEY SHARE"
    };
    COUNT = (concat!("SELECT count(*) FROM subscription WHERE project = $1 AND ", is_of_callers!()));
    DELETE = "DELETE FROM subscription WHERE project = $1 AND id = $2 AND version = $3";
    // What its receiver has ended, no other node's word begins again: only an update does.
    SET_STATUS = "UPDATE subscription SET status = $3 WHERE id = $1 AND version = $2 AND status <> $3
                  AND status <> 'ConfigurationErrorDeliveryStopped'";
    NOTE_FAILING = "UPDATE subscription SET failing_since = $3 WHERE id = $1 AND version = $2 AND failing_since IS NULL";
    NOTE_ACCEPTING = "UPDATE subscription SET failing_since = NULL
                      WHERE id = $1 AND version = $2 AND failing_since IS NOT NULL";
    DISABLE = "UPDATE subscription SET status = 'ConfigurationErrorDeliveryStopped', version = version + 1, last_modified_at = $3
               WHERE id = $1 AND version = $2 AND failing_since <= $4";
}

/// A subscription as the relay needs it.
pub struct Stored {
    /// Whose.
    pub project: ProjectKey,
    /// What it says.
    pub subscription: Subscription,
    /// The destination's secret, opened.
    pub secret: Option<Zeroizing<Vec<u8>>>,
    /// What operators have done to it.
    pub attended: Attended,
}

/// What operators have done to a subscription. None of it is in its version, which is about what its owner wrote.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attended {
    /// Since when nothing is sent to it.
    pub paused_at: Option<Micros>,
    /// How often what it is owed was changed: what was read before counts no more.
    pub interventions: i64,
    /// What comes up to this position was sent before, if it is sent at all.
    pub replayed_to: i64,
    /// What is sent once more goes so many messages in a second, at most.
    pub replay_rate: u32,
}

/// Takes the project's lock until the transaction ends: whoever makes a subscription or gives one a key holds it.
pub fn lock_project(tx: &mut dyn Tx, project: &ProjectKey) -> Result<(), Fault> {
    query_one(tx, &LOCK_PROJECT, &[project.into()], |_| Ok(())).map(drop)
}

/// How many subscriptions the project has.
pub fn count(tx: &mut dyn Tx, project: &ProjectKey) -> Result<u32, Fault> {
    let count = query_one(tx, &COUNT, &[project.into()], |row| row.int(0))?.unwrap_or(0);
    Ok(u32::try_from(count).unwrap_or(u32::MAX))
}

/// Writes a new subscription. It gets the messages of every change that begins after this transaction; of changes that
/// run at the same moment, those that took their position later. Its own creation is not among them.
pub fn insert(
    tx: &mut dyn Tx,
    ring: &KeyRing,
    project: &ProjectKey,
    subscription: &Subscription,
    secret: Option<&[u8]>,
    ctx: &mut Ctx,
) -> Result<(), Fault> {
    let sealed = secret.map(|secret| ring.seal(ctx, &binding(subscription.id), secret)).transpose()?;
    let args = [
        project.into(),
        subscription.id.into(),
        subscription.key.as_ref().into(),
        subscription.version.into(),
        subscription.created_at.into(),
        subscription.last_modified_at.into(),
        Value::json(&subscription.created_by)?,
        Value::json(&subscription.last_modified_by)?,
        Value::json(&subscription.destination)?,
        Value::json(&subscription.selections.messages)?,
        Value::json(&subscription.selections.changes)?,
        Value::json(&subscription.selections.events)?,
        Value::json(&subscription.format)?,
        subscription.status.as_str().into(),
        sealed.into(),
        json_of(subscription.selections.filter.as_ref())?,
        json_of(subscription.transformation.as_ref())?,
    ];
    tx.execute(&INSERT, &args)?;
    append_change(tx, project, subscription, ChangeKind::Created, (subscription.created_at, ctx.trace.as_ref()))?;
    let from = log::last_position(tx)?;
    for partition in 0..PARTITIONS {
        delivery::put_cursor(tx, subscription.id, partition, from)?;
    }
    Ok(())
}

/// Writes what was decided on the [`claim`]ed subscription. With a new destination, `secret` takes the place of the former
/// one, and what failed there is tried at once.
pub fn update(
    tx: &mut dyn Tx,
    ring: &KeyRing,
    project: &ProjectKey,
    updated: &Updated,
    secret: Option<&[u8]>,
    ctx: &mut Ctx,
) -> Result<(), Fault> {
    let Updated { subscription: after, changed, new_destination } = updated;
    if !changed {
        return Ok(());
    }
    let old_version = after.version - 1;
    let args = [
        project.into(),
        after.id.into(),
        after.key.as_ref().into(),
        after.version.into(),
        after.last_modified_at.into(),
        Value::json(&after.last_modified_by)?,
        Value::json(&after.destination)?,
        Value::json(&after.selections.messages)?,
        Value::json(&after.selections.changes)?,
        Value::json(&after.selections.events)?,
        after.status.as_str().into(),
        old_version.into(),
        json_of(after.selections.filter.as_ref())?,
        json_of(after.transformation.as_ref())?,
    ];
    guarded(tx.execute(&UPDATE, &args)?)?;
    if *new_destination {
        let sealed = secret.map(|secret| ring.seal(ctx, &binding(after.id), secret)).transpose()?;
        tx.execute(&SET_SECRET, &[project.into(), after.id.into(), sealed.into()])?;
        delivery::release(tx, after.id, ctx.now)?;
    }
    append_change(tx, project, after, ChangeKind::Updated { old_version }, (after.last_modified_at, ctx.trace.as_ref()))
}

/// Nobody is told of what nobody can see.
fn append_change(
    tx: &mut dyn Tx,
    project: &ProjectKey,
    subscription: &Subscription,
    kind: ChangeKind,
    (at, trace): (Micros, Option<&TraceContext>),
) -> Result<(), Fault> {
    if !subscription.format.is_of_callers() {
        return Ok(());
    }
    log::append_change(tx, project, &NewChange::of_subscription(subscription, kind, at), trace)
}

fn guarded(rows: u64) -> Result<(), Fault> {
    if rows == 1 {
        Ok(())
    } else {
        Err(Fault::new(FaultKind::Internal, "a subscription moved although it was claimed"))
    }
}

/// The subscription with this id.
pub fn by_id(tx: &mut dyn Tx, project: &ProjectKey, id: SubscriptionId) -> Result<Option<Subscription>, Fault> {
    query_one(tx, &BY_ID, &[project.into(), id.into()], read)
}

/// The subscription with this key.
pub fn by_key(tx: &mut dyn Tx, project: &ProjectKey, key: &Key) -> Result<Option<Subscription>, Fault> {
    query_one(tx, &BY_KEY, &[project.into(), key.into()], read)
}

/// What is sealed of its destination.
pub fn secret(
    tx: &mut dyn Tx,
    ring: &KeyRing,
    project: &ProjectKey,
    id: SubscriptionId,
) -> Result<Option<Zeroizing<Vec<u8>>>, Fault> {
    let sealed = query_one(tx, &SECRET, &[project.into(), id.into()], |row| row.bytes_opt(0))?.flatten();
    Ok(sealed.map(|sealed| ring.open(&binding(id), &sealed)).transpose()?)
}

/// The project's subscription in a form of which there is at most one, for the configuration has made it: letters, if mail is
/// on, or short messages.
pub fn in_form(tx: &mut dyn Tx, project: &ProjectKey, form: FormatKind) -> Result<Option<Subscription>, Fault> {
    query_one(tx, &OF_FORMAT, &[project.into(), Value::json(&form)?], read)
}

/// The project's subscription to events, if it has one.
pub fn of_events(tx: &mut dyn Tx, ring: &KeyRing, project: &ProjectKey) -> Result<Option<Stored>, Fault> {
    let args = [project.into(), Value::json(&FormatKind::Rendered)?];
    query_one(tx, &OF_FORMAT, &args, |row| read_stored(row, ring))
}

fn read_stored(row: &dyn Row, ring: &KeyRing) -> Result<Stored, Fault> {
    let subscription = read(row)?;
    let secret = row.bytes_opt(14)?.map(|sealed| ring.open(&binding(subscription.id), &sealed)).transpose()?;
    Ok(Stored { project: row.parsed(13)?, subscription, secret, attended: read_attended(row)? })
}

fn read_attended(row: &dyn Row) -> Result<Attended, Fault> {
    Ok(Attended {
        paused_at: row.int_opt(15)?.map(Micros),
        interventions: row.int(16)?,
        replayed_to: row.int(17)?,
        replay_rate: u32::try_from(row.int(18)?).unwrap_or(1),
    })
}

/// The project's subscriptions as operators see them: the configuration's own, too.
pub fn attended(tx: &mut dyn Tx, project: &ProjectKey) -> Result<Vec<(Subscription, Attended)>, Fault> {
    query_all(tx, &OF_PROJECT, &[project.into()], |row| Ok((read(row)?, read_attended(row)?)))
}

/// One of them, the configuration's own too.
pub fn of_operators(tx: &mut dyn Tx, project: &ProjectKey, id: SubscriptionId) -> Result<Option<Subscription>, Fault> {
    query_one(tx, &ANY_BY_ID, &[project.into(), id.into()], read)
}

/// Stops sending to it, or goes on.
pub fn pause(tx: &mut dyn Tx, project: &ProjectKey, id: SubscriptionId, at: Option<Micros>) -> Result<(), Fault> {
    tx.execute(&PAUSE, &[project.into(), id.into(), at.into()]).map(drop)
}

/// What the [`claim`]ed subscription is owed was changed: whoever delivers to it, here or on another node, reads it again
/// and writes nothing of what it knew.
pub fn intervene(tx: &mut dyn Tx, project: &ProjectKey, id: SubscriptionId) -> Result<(), Fault> {
    tx.execute(&INTERVENE, &[project.into(), id.into()]).map(drop)
}

/// From now on what is sent once more goes this fast; for all customers, that is everything up to `to`.
pub fn replay(
    tx: &mut dyn Tx,
    project: &ProjectKey,
    id: SubscriptionId,
    (per_second, to): (u32, Option<i64>),
) -> Result<(), Fault> {
    tx.execute(&REPLAY, &[project.into(), id.into(), i64::from(per_second).into(), to.into()]).map(drop)
}

/// The fields by which subscriptions can be filtered and sorted.
pub const QUERY_COLUMNS: &[Column] = &[
    Column::new("id", Kind::Text, "id").unique(),
    Column::new("version", Kind::Integer, "version"),
    Column::new("createdAt", Kind::Instant, "created_at"),
    Column::new("lastModifiedAt", Kind::Instant, "last_modified_at"),
    Column::new("key", Kind::Text, "key").nullable(),
    Column::new("status", Kind::Text, "status"),
];

static LISTED: Source = Source {
    name: "subscription::LISTED",
    selected: columns!(),
    from: concat!("FROM subscription WHERE project = $1 AND ", is_of_callers!()),
    columns: QUERY_COLUMNS,
    counted_whole: true,
    creation: &["id"], // version 7 ids are in the order of their creation
};

/// A page of a project's subscriptions.
pub fn page(tx: &mut dyn Tx, project: &ProjectKey, listing: &Listing) -> Result<Page<Subscription>, Fault> {
    LISTED.page(tx, vec![project.into()], listing, read)
}

/// All subscriptions of all projects, with their secrets: for the relay. At most 50 a project, one of
/// letters, one of short messages and one to events.
pub fn all(tx: &mut dyn Tx, ring: &KeyRing) -> Result<Vec<Stored>, Fault> {
    query_all(tx, &ALL, &[], |row| read_stored(row, ring))
}

/// Waits until no transaction [`hold`]s the subscription, and keeps others from holding it until this one ends: what is
/// read afterwards has all that they wrote. False: it is deleted.
pub fn claim(tx: &mut dyn Tx, project: &ProjectKey, id: SubscriptionId) -> Result<bool, Fault> {
    Ok(query_one(tx, &CLAIM, &[project.into(), id.into()], |_| Ok(()))?.is_some())
}

/// Keeps the subscription from being deleted or updated until the transaction ends, and answers its version and how often
/// operators have intervened. `None`: it is deleted.
pub fn hold(tx: &mut dyn Tx, project: &ProjectKey, id: SubscriptionId) -> Result<Option<(Version, i64)>, Fault> {
    query_one(tx, &HOLD, &[project.into(), id.into()], |row| Ok((row.int(0)?, row.int(1)?)))
}

/// Removes the [`claim`]ed subscription `last` with its delivery state.
pub fn delete(tx: &mut dyn Tx, project: &ProjectKey, last: &Subscription, ctx: &Ctx) -> Result<(), Fault> {
    guarded(tx.execute(&DELETE, &[project.into(), last.id.into(), last.version.into()])?)?;
    delivery::delete_of_subscription(tx, last.id)?;
    append_change(tx, project, last, ChangeKind::Deleted { data_erasure: false }, (ctx.now, ctx.trace.as_ref()))
}

/// Records how delivery of this version goes. No new version: the callers' version is about what they wrote.
pub fn set_status(
    tx: &mut dyn Tx,
    id: SubscriptionId,
    version: Version,
    status: SubscriptionStatus,
) -> Result<(), Fault> {
    tx.execute(&SET_STATUS, &[id.into(), version.into(), status.as_str().into()]).map(drop)
}

/// Records that this version's destination has accepted something, after failures perhaps.
pub fn note_accepting(tx: &mut dyn Tx, id: SubscriptionId, version: Version) -> Result<(), Fault> {
    tx.execute(&NOTE_ACCEPTING, &[id.into(), version.into()]).map(drop)
}

/// Records that this version's destination fails. If no node has seen anything else for `disable_after` microseconds, delivery
/// stops until the subscription is changed, and whoever asked for changes of subscriptions is told: `true`.
pub fn note_failing(
    tx: &mut dyn Tx,
    project: &ProjectKey,
    subscription: &Subscription,
    disable_after: i64,
    now: Micros,
) -> Result<bool, Fault> {
    let (id, version) = (subscription.id, subscription.version);
    tx.execute(&NOTE_FAILING, &[id.into(), version.into(), now.into()])?;
    if tx.execute(&DISABLE, &[id.into(), version.into(), now.into(), now.plus(-disable_after).into()])? == 0 {
        return Ok(false);
    }
    let disabled = Subscription { version: version + 1, last_modified_at: now, ..subscription.clone() };
    append_change(tx, project, &disabled, ChangeKind::Updated { old_version: version }, (now, None))?;
    Ok(true)
}

fn binding(id: SubscriptionId) -> String {
    format!("subscription:{id}")
}

fn json_of<T: Serialize>(value: Option<&T>) -> Result<Value, Fault> {
    value.map_or(Ok(None::<String>.into()), |value| Value::json(value))
}

fn json_opt<T: DeserializeOwned>(row: &dyn Row, column: usize) -> Result<Option<T>, Fault> {
    Ok(row.text_opt(column)?.map(|text| serde_json::from_str(&text)).transpose()?)
}

fn read(row: &dyn Row) -> Result<Subscription, Fault> {
    Ok(Subscription {
        id: row.parsed(0)?,
        key: row.parsed_opt(1)?,
        version: row.int(2)?,
        created_at: row.micros(3)?,
        last_modified_at: row.micros(4)?,
        created_by: row.json(5)?,
        last_modified_by: row.json(6)?,
        destination: row.json(7)?,
        selections: Selections {
            messages: row.json(8)?,
            changes: row.json(9)?,
            events: row.json(10)?,
            filter: json_opt(row, 19)?,
        },
        format: row.json(11)?,
        transformation: json_opt(row, 20)?,
        status: row.parsed(12)?,
    })
}
