//! Requests that their callers may repeat, by an idempotency key: the same request again has the same answer.

use keyherald_core::customer::Customer;
use keyherald_core::id::CustomerId;
use keyherald_core::message::Flow;
use keyherald_core::refusal::Lookup;
use keyherald_core::{Micros, Refusal};
use keyherald_store::operation::{self, Replay};
use keyherald_store::{Fault, Tx};

use super::{Answer, App, Call, CustomerRef};

impl App {
    /// Whether the call's request was made before.
    pub(super) fn replay(&self, tx: &mut dyn Tx, call: &Call, now: Micros) -> Result<Replay, Fault> {
        match &call.repeatable {
            Some(repeat) => operation::replay(tx, &self.ring, &call.project, &repeat.as_repeatable(), now),
            None => Ok(Replay::New),
        }
    }

    /// The same of what is done without an operation. Asked under the lock of the customer that is about to be changed: of two
    /// requests at the same moment, the second finds the first. `None`: it is new.
    pub(super) fn done_before(
        &self,
        tx: &mut dyn Tx,
        call: &Call,
        now: Micros,
    ) -> Result<Option<Result<(), Refusal>>, Fault> {
        Ok(match self.replay(tx, call, now)? {
            Replay::New => None,
            Replay::Done => Some(Ok(())),
            Replay::Same(_) | Replay::OtherRequest => Some(Err(Refusal::IdempotencyKeyReused)),
        })
    }

    /// Remembers the call's request as done by this transaction, without an operation.
    pub(super) fn remember(&self, tx: &mut dyn Tx, call: &Call, now: Micros) -> Result<(), Fault> {
        match &call.repeatable {
            Some(repeat) => operation::remember(tx, &self.ring, &call.project, &repeat.as_repeatable(), now),
            None => Ok(()),
        }
    }

    /// The answer to a request that was made before: its customer as it is now. `None`: it is new. `customer` is whom it
    /// is about, if it was done without an operation.
    pub(super) async fn answer_before(
        &self,
        call: &Call,
        flow: Flow,
        replay: Replay,
        customer: Option<CustomerId>,
    ) -> Option<Answer<Customer>> {
        Some(match replay {
            Replay::New => return None,
            Replay::Done => self.answer_done(call.clone(), customer).await,
            Replay::Same(same) => match self.operations.outcome(&call.project, same.id).await {
                Ok(told) => self.answer(call.clone(), flow, same.customer, told).await,
                Err(fault) => Err(fault.into()),
            },
            Replay::OtherRequest => {
                self.refuse(call.clone(), flow, None, Refusal::IdempotencyKeyReused, self.ctx()).await
            }
        })
    }

    async fn answer_done(&self, call: Call, customer: Option<CustomerId>) -> Answer<Customer> {
        let found = match customer {
            Some(id) => self.store.read(move |tx| CustomerRef::Id(id).find(tx, &call)).await?,
            None => None,
        };
        Ok(found.ok_or(Refusal::CustomerNotFound(Lookup::Id))?)
    }
}
