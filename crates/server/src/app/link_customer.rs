//! Say who a customer is at an identity provider, or that it is nobody there any more.

use keyherald_core::id::CustomerId;
use keyherald_core::message::Flow;
use keyherald_core::provider::{ProviderLink, ProviderName};
use keyherald_core::refusal::Lookup;
use keyherald_core::{Ctx, Refusal};
use keyherald_store::{Tx, provider_link};

use super::in_turn::Turn;
use super::{Answer, App, Call};

impl App {
    /// Who the customer is at the provider of its project. `None`: nobody.
    pub async fn link_of_customer(&self, call: Call, id: CustomerId) -> Answer<Option<ProviderLink>> {
        let operations = self.operations.clone();
        Ok(self.store.read(move |tx| operations.link_of(tx, &call.project, id)).await?)
    }

    /// Makes the customer this user of this provider. False: another customer is.
    pub async fn link_customer(&self, call: Call, id: CustomerId, link: ProviderLink) -> Answer<bool> {
        let (operations, calling) = (self.operations.clone(), call.clone());
        let work = move |tx: &mut dyn Tx, ctx: &mut Ctx| {
            if calling.lock(tx, id)?.is_none() {
                return Ok(Turn::Decided(Err(Refusal::CustomerNotFound(Lookup::Id))));
            }
            if operations.is_underway(tx, &calling.project, id)? {
                return Ok(Turn::Underway(id));
            }
            provider_link::put(tx, &calling.project, id, &link, ctx.now).map(|put| Turn::Decided(Ok(put)))
        };
        self.in_turn(call, Flow::Update, self.ctx(), work).await
    }

    /// Forgets who the customer is at this provider.
    pub async fn unlink_customer(&self, call: Call, id: CustomerId, provider: ProviderName) -> Answer<()> {
        let (operations, calling) = (self.operations.clone(), call.clone());
        let work = move |tx: &mut dyn Tx, _: &mut Ctx| {
            if calling.lock(tx, id)?.is_none() {
                return Ok(Turn::Decided(Err(Refusal::CustomerNotFound(Lookup::Id))));
            }
            if operations.is_underway(tx, &calling.project, id)? {
                return Ok(Turn::Underway(id));
            }
            provider_link::remove(tx, &calling.project, id, &provider).map(|()| Turn::Decided(Ok(())))
        };
        self.in_turn(call, Flow::Update, self.ctx(), work).await
    }
}
