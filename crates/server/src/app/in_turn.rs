//! A credential is written or removed only while no operation holds the customer's slot: the write waits, within limits.

use keyherald_core::activity::{self, Made};
use keyherald_core::change::PasswordSet;
use keyherald_core::customer::Customer;
use keyherald_core::id::CustomerId;
use keyherald_core::message::Flow;
use keyherald_core::{Ctx, Refusal};
use keyherald_store::{Fault, Tx, customer};

use super::{Answer, App, Call, note, trace};

/// How often a write gives way to another operation.
const TURNS_MAX: usize = 3;

/// What a transaction came to.
pub(super) enum Turn<T> {
    /// It was decided.
    Decided(Result<T, Refusal>),
    /// An operation of this customer is underway: nothing was written.
    Underway(CustomerId),
}

impl App {
    /// Runs `work` when it is its turn. A caller who waits in vain is told to come back.
    pub(super) async fn in_turn<T, W>(&self, call: Call, flow: Flow, ctx: Ctx, work: W) -> Answer<T>
    where
        T: Send + 'static,
        W: FnMut(&mut dyn Tx, &mut Ctx) -> Result<Turn<T>, Fault> + Clone + Send + 'static,
    {
        let mut ctx = ctx;
        for turn in 1.. {
            let id = match self.store.write(&ctx, work.clone()).await? {
                Turn::Decided(outcome) => return Ok(outcome?),
                Turn::Underway(id) => id,
            };
            let is_free = self.operations.free_in_time(&call.project, id).await?;
            ctx = self.ctx();
            if !is_free || turn == TURNS_MAX {
                let refusal = Refusal::PasswordChangeUnderway { retry_after_s: Refusal::UNDERWAY_RETRY_AFTER_S };
                return self.refuse(call, flow, Some(id), refusal, ctx).await;
            }
        }
        Err(Refusal::PasswordChangeUnderway { retry_after_s: Refusal::UNDERWAY_RETRY_AFTER_S }.into())
    }

    /// What a turn comes to that sets a password here: it is written with all that goes with it, and `tell` says what partners
    /// are told; or the trace of the refusal is.
    pub(super) fn end_turn(
        &self,
        tx: &mut dyn Tx,
        (call, flow, id): (&Call, Flow, CustomerId),
        decided: Result<PasswordSet, Refusal>,
        tell: impl FnOnce(&mut dyn Tx, &PasswordSet, &mut Ctx) -> Result<(), Fault>,
        ctx: &mut Ctx,
    ) -> Result<Turn<Customer>, Fault> {
        match decided {
            Ok(set) => {
                customer::set_password(tx, &self.ring, &call.project, &set, ctx)?;
                tell(tx, &set, ctx)?;
                self.remember(tx, call, ctx.now)?;
                note(tx, call, flow, Some(id), Made::done(activity::Call::SetAtHome), ctx)?;
                Ok(Turn::Decided(Ok(set.customer)))
            }
            Err(refusal) => {
                trace(tx, call, flow, Some(id), &refusal, ctx)?;
                Ok(Turn::Decided(Err(refusal)))
            }
        }
    }
}
