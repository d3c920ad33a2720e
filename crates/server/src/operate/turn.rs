//! Waiting for operations, within limits: for the outcome of one, or until a customer has none.

use keyherald_core::id::{CustomerId, OperationId, ProjectKey};
use keyherald_core::operation::{Operation, State};
use keyherald_store::{Fault, operation};
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use super::Operations;

impl Operations {
    /// Waits until no operation holds the customer's slot. False: one does at `deadline`.
    pub(super) async fn free_by(
        &self,
        project: &ProjectKey,
        customer: CustomerId,
        deadline: Instant,
    ) -> Result<bool, Fault> {
        let mut ended = self.0.ended.subscribe();
        loop {
            let project = project.clone();
            let open = self.0.store.read(move |tx| operation::open_of(tx, &project, customer)).await?;
            if open.is_none() {
                return Ok(true);
            }
            if !self.another_look(&mut ended, deadline).await {
                return Ok(false);
            }
        }
    }

    /// The same as long as another write may be kept waiting.
    pub async fn free_in_time(&self, project: &ProjectKey, customer: CustomerId) -> Result<bool, Fault> {
        self.free_by(project, customer, Instant::now() + self.0.settings.wait).await
    }

    /// Waits for an operation to end. `None`: it is gone with its customer.
    pub(super) async fn outcome_by(
        &self,
        project: &ProjectKey,
        id: OperationId,
        deadline: Instant,
    ) -> Result<Option<Operation>, Fault> {
        let mut ended = self.0.ended.subscribe();
        loop {
            let project = project.clone();
            let found = self.0.store.read(move |tx| operation::by_id(tx, &project, id)).await?;
            let is_open = found.as_ref().is_some_and(|found| found.state() == State::Open);
            if !is_open || !self.another_look(&mut ended, deadline).await {
                return Ok(found);
            }
        }
    }

    /// Waits until one may have ended: here, which is told at once, or in another process. False: it is too late.
    async fn another_look(&self, ended: &mut watch::Receiver<u64>, deadline: Instant) -> bool {
        let now = Instant::now();
        if now >= deadline {
            return false;
        }
        let _either = timeout_at(deadline.min(now + self.0.settings.poll), ended.changed()).await;
        true
    }
}
