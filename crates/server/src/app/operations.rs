//! Operations, as operators see them.

use keyherald_core::Ctx;
use keyherald_core::id::{OperationId, ProjectKey};
use keyherald_core::operation::{Event, Operation, State};
use keyherald_store::operation::Due;
use keyherald_store::{Tx, customer, operation};

use super::{Answer, App};

/// What became of [`App::resolve_operation`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resolving {
    /// It counts as resolved now.
    Done,
    /// It is not diverged, but this.
    NotDiverged(State),
    /// There is none.
    NotFound,
}

impl App {
    /// Operations of a project in this state, in the order in which they began, at most `limit`.
    pub async fn list_operations(
        &self,
        project: ProjectKey,
        state: State,
        after: Option<OperationId>,
        limit: i64,
    ) -> Answer<Vec<Operation>> {
        Ok(self.store.read(move |tx| operation::listed(tx, &project, state, after, limit)).await?)
    }

    /// The operation with this id.
    pub async fn find_operation(&self, project: ProjectKey, id: OperationId) -> Answer<Option<Operation>> {
        Ok(self.store.read(move |tx| operation::by_id(tx, &project, id)).await?)
    }

    /// Notes that an operator has looked after a divergence: the password here counts again.
    pub async fn resolve_operation(&self, project: ProjectKey, id: OperationId) -> Answer<Resolving> {
        let work = move |tx: &mut dyn Tx, ctx: &mut Ctx| {
            let Some(found) = operation::by_id(tx, &project, id)? else { return Ok(Resolving::NotFound) };
            customer::lock(tx, &project, found.customer)?;
            // Under the lock: a change of the password may have resolved it.
            let Some(found) = operation::by_id(tx, &project, id)? else { return Ok(Resolving::NotFound) };
            if found.state() != State::Diverged {
                return Ok(Resolving::NotDiverged(found.state()));
            }
            let resolved = found.record(Event::Resolved, ctx.now);
            let entry = resolved.activity_of(&Event::Resolved, None, ctx);
            let saved = operation::save(tx, &resolved, entry.as_slice(), Due::Never)?;
            Ok(saved.map_or(Resolving::NotFound, |_| Resolving::Done))
        };
        Ok(self.store.write(&self.ctx(), work).await?)
    }
}
