//! Delete a customer (commercetools.md 2.6).

use crate::change::check_version;
use crate::customer::{Customer, Version};
use crate::initiator::Initiator;
use crate::message::{Content, Flow, NewMessage, Personal};
use crate::{Ctx, Refusal};

/// What the caller asks for.
#[derive(Clone)]
pub struct Command {
    /// The version that the caller read.
    pub version: Version,
    /// Whether everything personal goes, from the log too.
    pub data_erasure: bool,
    /// Who asks.
    pub by: Initiator,
}

/// What one transaction must write: the customer, its credential, tokens and sessions go; the fact stays.
pub struct Deleted {
    /// The customer as it was last: what the caller is answered.
    pub last: Customer,
    /// Whether the key and the side rows of its messages go as well, and all copies of what they hold.
    pub data_erasure: bool,
    /// The fact, at the version after the last.
    pub message: NewMessage,
}

/// Decides on the locked customer.
pub fn decide(customer: &Customer, command: &Command, ctx: &mut Ctx) -> Result<Deleted, Refusal> {
    check_version(customer, command.version)?;
    let mut gone = customer.clone();
    gone.touch(ctx.now, &command.by);
    let data_erasure = command.data_erasure;
    let content = Content::CustomerDeleted { data_erasure };
    let mut message = NewMessage::about_customer(&mut gone, content, Flow::Delete, &command.by, ctx);
    if data_erasure {
        // Not even written: what is gone at once can still be delivered, and leaves nothing behind.
        message.personal = Personal::default();
    } else {
        message.personal.email = Some(customer.email.clone());
    }
    Ok(Deleted { last: customer.clone(), data_erasure, message })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Micros;
    use crate::create::tests::customer;

    #[test]
    fn the_last_message_tells_the_address_and_the_next_version() {
        let command = Command { version: 1, data_erasure: false, by: Initiator::default() };
        let deleted = decide(&customer(), &command, &mut Ctx::new(Micros(9), [2; 32])).ok().unwrap();
        assert_eq!(deleted.last, customer());
        assert_eq!((deleted.message.resource_version, deleted.message.sequence), (2, 2));
        assert_eq!(deleted.message.personal.email.as_deref(), Some("Jo@Example.com"));
    }

    #[test]
    fn an_erasing_delete_tells_nothing_personal() {
        let by = Initiator { external_user_id: Some("agent".into()), ..Initiator::default() };
        let customer = Customer { external_id: Some("crm-7".into()), ..customer() };
        let command = Command { version: 1, data_erasure: true, by };
        let deleted = decide(&customer, &command, &mut Ctx::new(Micros(9), [2; 32])).ok().unwrap();
        assert!(deleted.message.personal.is_empty());
        assert_eq!(deleted.message.facts.content, Content::CustomerDeleted { data_erasure: true });
    }
}
