//! Messages as they are queried (commercetools.md chapter 5).

use keyherald_core::Micros;
use serde_json::Value;

use super::Outcome;
use super::refused;
use super::state::{Message, Mistake, Project, World};
use crate::call::Call;
use crate::expect::{Expected, Listing, Name};
use crate::query::{Filter, Page};

impl World {
    pub(super) fn messages(&mut self, call: &Call, filter: &Filter, page: &Page, expand: bool, head: bool) -> Outcome {
        let project = &self.projects[call.project];
        let shown = project.messages.values().filter(|message| self.is_shown(project, message));
        let found: Vec<Value> = shown
            .filter(|message| self.fits(filter, message))
            .map(|message| self.shown(project, message, expand))
            .collect();
        Listing::answer(found, page, &["/resource/id", "/sequenceNumber"], head)
    }

    pub(super) fn message(&mut self, call: &Call, id: &str, expand: bool) -> Outcome {
        let project = &self.projects[call.project];
        let mut shown = project.messages.values().filter(|message| self.is_shown(project, message));
        let found = shown.find(|message| self.is(&message.id, id)).ok_or_else(|| refused::no_such_id(id))?;
        Ok(Expected::Body(200, self.shown(project, found, expand)))
    }

    fn is_shown(&self, project: &Project, message: &Message) -> bool {
        let oldest = self.now.plus(-project.messages_days * Micros::DAY);
        project.messages_enabled && message.visible && message.at >= oldest && !message.is_gone()
    }

    /// Expanded, with the customer as it is now (5.1).
    fn shown(&self, project: &Project, message: &Message, expand: bool) -> Value {
        let mut shown = message.json(self.value_of(project, message));
        let is_about = expand && message.resource_kind == "customer";
        if let Some(customer) = project.customers.get(&message.resource).filter(|_| is_about) {
            shown["resource"]["obj"] = customer.json();
        }
        shown
    }

    /// The value that a message shows: while its token can be used (0.19).
    fn value_of<'p>(&self, project: &'p Project, message: &Message) -> Option<&'p Name> {
        let token = project.tokens.get(message.token.as_ref()?)?;
        let lives = !token.ended && self.now < token.expires;
        (lives || self.errs(Mistake::ValueIsAlwaysShown)).then_some(&token.value)
    }

    fn fits(&self, filter: &Filter, message: &Message) -> bool {
        match filter {
            Filter::All => true,
            Filter::Types(types) => types.contains(&message.kind),
            Filter::Resource { kind, id } => message.resource_kind == *kind && self.is(&message.resource, id),
            Filter::SequenceOver(sequence) => message.sequence > *sequence,
        }
    }
}
