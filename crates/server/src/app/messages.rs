//! Read messages.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use keyherald_core::customer::Customer;
use keyherald_core::id::MessageId;
use keyherald_core::message::{Message, ResourceType};
use keyherald_core::{Micros, Refusal};
use keyherald_store::{Fault, Listing, Page, Tx, customer, log, project};

use super::{Answer, App, Call};

/// A message, and what it is about if that was asked for.
pub struct Shown {
    /// The message.
    pub message: Message,
    /// The customer as it is now. None if it was not asked for or is gone, or if the message is about something else.
    pub customer: Option<Customer>,
}

impl App {
    /// A page of the messages that `/messages` shows. None of a project that has messages switched off.
    pub async fn messages(&self, call: Call, listing: Listing, with_customers: bool) -> Answer<Page<Shown>> {
        let now = self.ctx().now;
        let ring = self.ring.clone();
        let look = move |tx: &mut dyn Tx| {
            let Some(oldest) = oldest_shown(tx, &call, now)? else {
                return Ok(Page { results: Vec::new(), total: listing.with_total.then_some(0) });
            };
            let page = log::shown(tx, &ring, &call.project, oldest, &listing, now)?;
            let results = with_resources(tx, &call, page.results, with_customers)?;
            Ok(Page { results, total: page.total })
        };
        Ok(self.store.query_replica(look).await?)
    }

    /// The message with this id, if `/messages` shows it.
    pub async fn message(&self, call: Call, id: MessageId, with_customer: bool) -> Answer<Shown> {
        let now = self.ctx().now;
        let ring = self.ring.clone();
        let look = move |tx: &mut dyn Tx| {
            let Some(oldest) = oldest_shown(tx, &call, now)? else { return Ok(None) };
            let found = log::shown_by_id(tx, &ring, &call.project, oldest, id, now)?;
            Ok(with_resources(tx, &call, found.into_iter().collect(), with_customer)?.pop())
        };
        Ok(self.store.read(look).await?.ok_or(Refusal::MessageNotFound)?)
    }
}

/// The time before which the project's messages are hidden. `None`: all are.
fn oldest_shown(tx: &mut dyn Tx, call: &Call, now: Micros) -> Result<Option<Micros>, Fault> {
    let project = project::by_key(tx, &call.project)?.filter(|project| project.messages.enabled);
    Ok(project.map(|project| now.plus(-project.messages.days * Micros::DAY)))
}

fn with_resources(
    tx: &mut dyn Tx,
    call: &Call,
    messages: Vec<Message>,
    with_customers: bool,
) -> Result<Vec<Shown>, Fault> {
    let mut known: BTreeMap<_, Option<Customer>> = BTreeMap::new();
    let mut shown = Vec::with_capacity(messages.len());
    for message in messages {
        let mut customer = None;
        if with_customers && message.facts.content.resource_type() == ResourceType::Customer {
            customer = match known.entry(message.customer) {
                Entry::Occupied(seen) => seen.get().clone(),
                Entry::Vacant(new) => new.insert(customer::by_id(tx, &call.project, message.customer)?).clone(),
            };
        }
        shown.push(Shown { message, customer });
    }
    Ok(shown)
}
