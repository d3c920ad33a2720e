//! Read messages.

use keyherald_core::Micros;
use keyherald_core::Refusal;
use keyherald_core::id::MessageId;
use keyherald_core::message::Message;
use keyherald_store::{Tx, log, project};

use super::{Answer, App, Call};

impl App {
    /// The message with this id, if `/messages` shows it.
    pub async fn message(&self, call: Call, id: MessageId) -> Answer<Message> {
        let now = self.ctx().now;
        let ring = self.ring.clone();
        let look = move |tx: &mut dyn Tx| {
            let Some(project) = project::by_key(tx, &call.project)? else { return Ok(None) };
            let oldest = now.plus(-project.messages.days * Micros::DAY);
            let message = log::by_id(tx, &ring, &call.project, id, now)?;
            Ok(message.filter(|message| project.messages.enabled && message.visible && message.created_at >= oldest))
        };
        Ok(self.store.read(look).await?.ok_or(Refusal::MessageNotFound)?)
    }
}
