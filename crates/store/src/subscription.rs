//! Subscriptions and the sealed secrets of their destinations.

use keyherald_core::Ctx;
use keyherald_core::customer::Version;
use keyherald_core::filter::Kind;
use keyherald_core::id::{Key, ProjectKey, SubscriptionId};
use keyherald_core::message::PARTITIONS;
use keyherald_core::seal::KeyRing;
use keyherald_core::subscription::{Subscription, SubscriptionStatus};
use zeroize::Zeroizing;

use crate::filter::Column;
use crate::listing::Source;
use crate::tx::{Row, query_all, query_one};
use crate::{Fault, Listing, Page, Tx, Value, delivery, log, statements};

macro_rules! columns {
    () => {
        "id, key, version, created_at, last_modified_at, created_by, last_modified_by, destination, messages, format,
                status, project, secret"
    };
}

macro_rules! selected {
    () => {
        concat!("SELECT ", columns!(), " FROM subscription ")
    };
}

statements! {
    INSERT = "INSERT INTO subscription (project, id, key, version, created_at, last_modified_at, created_by, last_modified_by,
                  destination, secret, messages, format, status)
              VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)";
    BY_ID = (concat!(selected!(), "WHERE project = $1 AND id = $2"));
    BY_KEY = (concat!(selected!(), "WHERE project = $1 AND key = $2"));
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
    // While it is held the subscription cannot be deleted, so that nothing is written for one that is gone.
    HOLD = {
        sqlite: "SELECT 1 FROM subscription WHERE project = $1 AND id = $2",
        postgres: "SELECT 1 FROM subscription WHERE project = $1 AND id = $2 FOR KEY SHARE"
    };
    COUNT = "SELECT count(*) FROM subscription WHERE project = $1";
    DELETE = "DELETE FROM subscription WHERE project = $1 AND id = $2 AND version = $3";
    SET_STATUS = "UPDATE subscription SET status = $2 WHERE id = $1 AND status <> $2";
}

/// A subscription as the relay needs it.
pub struct Stored {
    /// Whose.
    pub project: ProjectKey,
    /// What it says.
    pub subscription: Subscription,
    /// The destination's secret, opened.
    pub secret: Option<Zeroizing<Vec<u8>>>,
}

/// How many subscriptions the project has, counted under the project's lock.
pub fn count_locked(tx: &mut dyn Tx, project: &ProjectKey) -> Result<u32, Fault> {
    query_one(tx, &LOCK_PROJECT, &[project.into()], |_| Ok(()))?;
    count(tx, project)
}

/// How many subscriptions the project has.
pub fn count(tx: &mut dyn Tx, project: &ProjectKey) -> Result<u32, Fault> {
    let count = query_one(tx, &COUNT, &[project.into()], |row| row.int(0))?.unwrap_or(0);
    Ok(u32::try_from(count).unwrap_or(u32::MAX))
}

/// Writes a new subscription. It gets the messages of every change that begins after this transaction; of changes that
/// run at the same moment, those that took their position later.
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
        sealed.into(),
        Value::json(&subscription.messages)?,
        Value::json(&subscription.format)?,
        subscription.status.as_str().into(),
    ];
    tx.execute(&INSERT, &args)?;
    let from = log::last_position(tx)?;
    for partition in 0..PARTITIONS {
        delivery::put_cursor(tx, subscription.id, partition, from)?;
    }
    Ok(())
}

/// The subscription with this id.
pub fn by_id(tx: &mut dyn Tx, project: &ProjectKey, id: SubscriptionId) -> Result<Option<Subscription>, Fault> {
    query_one(tx, &BY_ID, &[project.into(), id.into()], read)
}

/// The subscription with this key.
pub fn by_key(tx: &mut dyn Tx, project: &ProjectKey, key: &Key) -> Result<Option<Subscription>, Fault> {
    query_one(tx, &BY_KEY, &[project.into(), key.into()], read)
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
    from: "FROM subscription WHERE project = $1",
    columns: QUERY_COLUMNS,
    creation: "id", // version 7 ids are in the order of their creation
};

/// A page of a project's subscriptions.
pub fn page(tx: &mut dyn Tx, project: &ProjectKey, listing: &Listing) -> Result<Page<Subscription>, Fault> {
    LISTED.page(tx, vec![project.into()], listing, read)
}

/// All subscriptions of all projects, with their secrets: for the relay. At most 50 a project.
pub fn all(tx: &mut dyn Tx, ring: &KeyRing) -> Result<Vec<Stored>, Fault> {
    query_all(tx, &ALL, &[], |row| {
        let subscription = read(row)?;
        let secret = row.bytes_opt(12)?.map(|sealed| ring.open(&binding(subscription.id), &sealed)).transpose()?;
        Ok(Stored { project: row.parsed(11)?, subscription, secret })
    })
}

/// Waits until no transaction [`hold`]s the subscription, and keeps others from holding it until this one ends: what is
/// read afterwards has all that they wrote. False: it is deleted.
pub fn claim(tx: &mut dyn Tx, project: &ProjectKey, id: SubscriptionId) -> Result<bool, Fault> {
    Ok(query_one(tx, &CLAIM, &[project.into(), id.into()], |_| Ok(()))?.is_some())
}

/// Keeps the subscription from being deleted until the transaction ends. False: it is deleted.
pub fn hold(tx: &mut dyn Tx, project: &ProjectKey, id: SubscriptionId) -> Result<bool, Fault> {
    Ok(query_one(tx, &HOLD, &[project.into(), id.into()], |_| Ok(()))?.is_some())
}

/// Removes a subscription at this version with its delivery state. False: not there, or at another version.
pub fn delete(tx: &mut dyn Tx, project: &ProjectKey, id: SubscriptionId, version: Version) -> Result<bool, Fault> {
    let gone = tx.execute(&DELETE, &[project.into(), id.into(), version.into()])? == 1;
    if gone {
        delivery::delete_of_subscription(tx, id)?;
    }
    Ok(gone)
}

/// Records how delivery goes. No new version: the callers' version is about what they wrote.
pub fn set_status(tx: &mut dyn Tx, id: SubscriptionId, status: SubscriptionStatus) -> Result<(), Fault> {
    tx.execute(&SET_STATUS, &[id.into(), status.as_str().into()]).map(drop)
}

fn binding(id: SubscriptionId) -> String {
    format!("subscription:{id}")
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
        messages: row.json(8)?,
        format: row.json(9)?,
        status: row.parsed(10)?,
    })
}
