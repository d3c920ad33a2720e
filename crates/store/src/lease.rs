//! Which node delivers what: members, and the partitions that they hold. PostgreSQL only; on SQLite there is one node,
//! which asks nobody.
//!
//! What a node does is decided by `keyherald_core::lease`; here it is read and written, by the database's clock. A member
//! is removed under a lock that only one node has at a time ([`try_lock`]), so whoever decides sees everything that was
//! decided before. Renewals do not take it: a node that stops dead in the middle of a change keeps nobody else from
//! renewing.
//!
//! **The fence** ([`is_intact`]) needs no lock of its own. A write of delivery state holds the subscription's row first
//! ([`crate::subscription::hold`]) and looks at the fence then; who has taken a partition over claims that row before it
//! reads the state. So a write either looks after the partition has changed hands, and is refused, or is committed before
//! the new holder reads.

use keyherald_core::id::NodeId;
use keyherald_core::lease::{Fence, Holding, Member, PartitionSet, Table};

use crate::tx::{query_all, query_one};
use crate::{Fault, Tx, statements};

statements! {
    NOW = { sqlite: "SELECT 0", postgres: "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint" };
    // The number is arbitrary and only ours.
    TRY_LOCK = {
        sqlite: "SELECT 1",
        postgres: "SELECT CASE WHEN pg_try_advisory_xact_lock(7382119040552) THEN 1 ELSE 0 END"
    };
    REPLACE = "DELETE FROM relay_node WHERE name = $1";
    JOIN = {
        sqlite: "INSERT INTO relay_node (id, name, expires_at) VALUES ($1, $2, $3)",
        postgres: "INSERT INTO relay_node (id, name, expires_at)
                   VALUES ($1, $2, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint + $3)"
    };
    RENEW = {
        sqlite: "UPDATE relay_node SET expires_at = $2 WHERE id = $1",
        postgres: "UPDATE relay_node SET expires_at = (extract(epoch FROM clock_timestamp()) * 1000000)::bigint + $2
                   WHERE id = $1"
    };
    LEAVE = "DELETE FROM relay_node WHERE id = $1";
    REMOVE_EXPIRED = {
        sqlite: "DELETE FROM relay_node WHERE expires_at <= 0",
        postgres: "DELETE FROM relay_node WHERE expires_at <= (extract(epoch FROM clock_timestamp()) * 1000000)::bigint"
    };
    MEMBERS = "SELECT id, expires_at FROM relay_node ORDER BY id";
    PARTITIONS = "SELECT partition, node_id, epoch FROM partition_lease ORDER BY partition";
    TAKE = "UPDATE partition_lease SET node_id = $1, epoch = epoch + 1
            WHERE ((CAST($2 AS BIGINT) >> CAST(partition AS INTEGER)) & 1) = 1";
    LET_GO = "UPDATE partition_lease SET node_id = NULL
              WHERE node_id = $1 AND ((CAST($2 AS BIGINT) >> CAST(partition AS INTEGER)) & 1) = 1";
    // Of what the fence is around: how much this member still holds, and the sum of the epochs.
    WITHIN = "SELECT count(*), CAST(COALESCE(sum(epoch), 0) AS BIGINT) FROM partition_lease
              WHERE node_id = $1 AND ((CAST($2 AS BIGINT) >> CAST(partition AS INTEGER)) & 1) = 1
                AND EXISTS (SELECT 1 FROM relay_node WHERE id = $1)";
}

/// Everything, for a decision. Of one moment only under the lock, or in a read.
pub fn table(tx: &mut dyn Tx) -> Result<Table, Fault> {
    let now = query_one(tx, &NOW, &[], |row| row.micros(0))?.unwrap_or_default();
    let members = query_all(tx, &MEMBERS, &[], |row| Ok(Member { id: row.parsed(0)?, expires_at: row.micros(1)? }))?;
    let partitions = query_all(tx, &PARTITIONS, &[], |row| {
        let partition = u16::try_from(row.int(0)?).map_err(|_| Fault::corrupt("a partition is out of range"))?;
        Ok(Holding { partition, holder: row.parsed_opt(1)?, epoch: row.int(2)? })
    })?;
    Ok(Table { now, members, partitions })
}

/// Becomes a member for `lease` microseconds. A name is one node's at a time: whoever had it is dead, says the operator by
/// starting another one, and is removed.
pub fn join(tx: &mut dyn Tx, id: NodeId, name: Option<&str>, lease: i64) -> Result<(), Fault> {
    if let Some(name) = name {
        tx.execute(&REPLACE, &[name.into()])?;
    }
    tx.execute(&JOIN, &[id.into(), name.into(), lease.into()]).map(drop)
}

/// Stays a member for `lease` microseconds from now. False: it was removed, and holds nothing any more.
pub fn renew(tx: &mut dyn Tx, id: NodeId, lease: i64) -> Result<bool, Fault> {
    Ok(tx.execute(&RENEW, &[id.into(), lease.into()])? > 0)
}

/// Lets this transaction alone change who holds what, until it ends. False: another one does.
pub fn try_lock(tx: &mut dyn Tx) -> Result<bool, Fault> {
    Ok(query_one(tx, &TRY_LOCK, &[], |row| row.flag(0))? == Some(true))
}

/// Takes partitions that nobody holds. Under the lock.
pub fn take(tx: &mut dyn Tx, id: NodeId, partitions: PartitionSet) -> Result<(), Fault> {
    tx.execute(&TAKE, &[id.into(), partitions.bits().into()]).map(drop)
}

/// Lets go of partitions that this member holds.
pub fn let_go(tx: &mut dyn Tx, id: NodeId, partitions: PartitionSet) -> Result<(), Fault> {
    tx.execute(&LET_GO, &[id.into(), partitions.bits().into()]).map(drop)
}

/// Is a member no longer. What it held is nobody's then.
pub fn leave(tx: &mut dyn Tx, id: NodeId) -> Result<(), Fault> {
    tx.execute(&LEAVE, &[id.into()]).map(drop)
}

/// Removes the members whose lease has run out: under the lock, and before the [`table`] is read that is decided on. One
/// that renews at this moment stays, or waits for this transaction and finds that it was removed.
pub fn remove_expired(tx: &mut dyn Tx) -> Result<(), Fault> {
    tx.execute(&REMOVE_EXPIRED, &[]).map(drop)
}

/// Whether nothing within the fence has changed hands. To be asked while the subscription is held.
pub fn is_intact(tx: &mut dyn Tx, fence: &Fence) -> Result<bool, Fault> {
    let within = query_one(tx, &WITHIN, &[fence.node.into(), fence.partitions.bits().into()], |row| {
        Ok((row.int(0)?, row.int(1)?))
    })?;
    Ok(within == Some((i64::from(fence.partitions.len()), fence.epochs)))
}
