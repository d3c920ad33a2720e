//! This node among the others that deliver from the same database: joins them, renews its lease, takes its share of the
//! partitions, lets go of what is others', and leaves.
//!
//! What it should do is decided in `keyherald_core::lease`. A [`Node::turn`] comes round several times within a lease: one
//! small write, and one more only when something is to change hands. If the process dies anywhere here, its lease runs out.

use std::sync::Arc;
use std::time::Duration;

use keyherald_core::id::NodeId;
use keyherald_core::lease::{self as rules, Fate, PartitionSet, Table};
use keyherald_store::{Fault, Tx, lease};

use super::Shared;
use super::tenure::{Tenure, Until, micros};

/// How the relay shares the work with those of other processes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeSettings {
    /// What the operator calls this node. Who joins under a name takes the place of whoever had it, at once.
    pub name: Option<String>,
    /// How long a node may be silent before others take its partitions: more than twice an attempt's longest time.
    pub lease: Duration,
    /// How often it renews its lease, and looks what it should do.
    pub every: Duration,
}

impl NodeSettings {
    /// With a turn often enough that many may fail within a lease, and that what was let go is soon taken.
    pub fn new(name: Option<String>, lease: Duration) -> Self {
        Self { name, lease, every: (lease / 10).min(Duration::from_secs(1)) }
    }
}

/// This node.
pub(super) struct Node {
    /// Absent: there is no other.
    settings: Option<NodeSettings>,
    member: Option<Member>,
    /// Whether it has been a member before: a name counts once, for whoever bears it later was started later.
    has_joined: bool,
    tenure: Tenure,
}

struct Member {
    id: NodeId,
    until: Arc<Until>,
}

impl Node {
    pub(super) fn new(settings: Option<NodeSettings>) -> Self {
        let tenure = if settings.is_some() { Tenure::nothing() } else { Tenure::sole() };
        Self { settings, member: None, has_joined: false, tenure }
    }

    /// How often it should have its turn. `None`: there is no other node.
    pub(super) fn every(&self) -> Option<Duration> {
        self.settings.as_ref().map(|settings| settings.every)
    }

    /// What is to be delivered here.
    pub(super) fn tenure(&self) -> &Tenure {
        &self.tenure
    }

    /// Stays a member, or becomes one, and brings the tenure up to date. What is in `at_work` is not let go yet.
    pub(super) async fn turn(&mut self, shared: &Shared, at_work: PartitionSet) -> Result<(), Fault> {
        let Some(settings) = self.settings.clone() else { return Ok(()) };
        let life = micros(settings.lease);
        let (asked_at, mut ctx) = (shared.moments.uptime(), shared.moments.ctx());
        let until = rules::until(asked_at, life);
        let (id, table) = if let Some(member) = &self.member {
            let id = member.id;
            let renew = move |tx: &mut dyn Tx, _: &mut _| {
                if lease::renew(tx, id, life)? { lease::table(tx).map(Some) } else { Ok(None) }
            };
            let Some(table) = shared.store.write(&ctx, renew).await? else {
                tracing::warn!(node = %id, "this node was silent for longer than its lease: others deliver what it did");
                self.forget();
                return Ok(());
            };
            member.until.prolong(until);
            (id, table)
        } else {
            let id = NodeId::new(&mut ctx);
            let name = settings.name.filter(|_| !self.has_joined);
            let join = move |tx: &mut dyn Tx, _: &mut _| {
                lease::join(tx, id, name.as_deref(), life)?;
                lease::table(tx)
            };
            let table = shared.store.write(&ctx, join).await?;
            tracing::info!(node = %id, members = table.members.len(), "joined the nodes that deliver");
            let prolonged = Arc::<Until>::default();
            prolonged.prolong(until);
            (self.member, self.has_joined) = (Some(Member { id, until: prolonged }), true);
            (id, table)
        };
        let table = change_hands(shared, id, table, at_work).await?;
        self.adopt(id, &table);
        Ok(())
    }

    /// Stays a member without looking what else to do: while the last deliveries end.
    pub(super) async fn renew(&self, shared: &Shared) -> Result<(), Fault> {
        let (Some(settings), Some(member)) = (&self.settings, &self.member) else { return Ok(()) };
        let (id, life, asked_at) = (member.id, micros(settings.lease), shared.moments.uptime());
        if shared.store.write(&shared.moments.ctx(), move |tx, _| lease::renew(tx, id, life)).await? {
            member.until.prolong(rules::until(asked_at, life));
        }
        Ok(())
    }

    /// Is a member no longer: others take what it held at their next turn.
    pub(super) async fn leave(&mut self, shared: &Shared) {
        let Some(Member { id, .. }) = self.member.take() else { return };
        self.forget();
        if let Err(fault) = shared.store.write(&shared.moments.ctx(), move |tx, _| lease::leave(tx, id)).await {
            tracing::warn!(?fault, "the other nodes could not be told that this one ends: its lease runs out");
        }
    }

    fn forget(&mut self) {
        (self.member, self.tenure) = (None, Tenure::nothing());
    }

    /// What is held, but for what is to be let go.
    fn adopt(&mut self, id: NodeId, table: &Table) {
        let Some(member) = &self.member else { return };
        let tenure = Tenure::leased(table.tenure(id), member.until.clone());
        if tenure.fate(&self.tenure) != Fate::GoesOn {
            let (partitions, members) = (tenure.partitions().len(), table.members.len());
            tracing::info!(
                partitions,
                members,
                "this node delivers {partitions} of 64 partitions, among {members} nodes"
            );
            self.tenure = tenure;
        }
    }
}

/// Takes and lets go what `table` says that this member should, unless another node is at it. Answers how it is then.
async fn change_hands(shared: &Shared, id: NodeId, table: Table, at_work: PartitionSet) -> Result<Table, Fault> {
    if !table.must_change(id, at_work) {
        return Ok(table);
    }
    let change = move |tx: &mut dyn Tx, _: &mut _| {
        if !lease::try_lock(tx)? {
            return Ok(None);
        }
        lease::remove_expired(tx)?;
        let plan = lease::table(tx)?.plan(id);
        lease::let_go(tx, id, plan.let_go.without(at_work))?;
        lease::take(tx, id, plan.take)?;
        lease::table(tx).map(Some)
    };
    Ok(shared.store.write(&shared.moments.ctx(), change).await?.unwrap_or(table))
}
