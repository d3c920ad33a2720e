//! Delete a customer (commercetools.md 2.6).

use crate::change::check_version;
use crate::customer::{Customer, Version};
use crate::initiator::Initiator;
use crate::message::{Content, Flow, NewMessage};
use crate::{Ctx, Refusal};

/// What the caller asks for.
#[derive(Clone)]
pub struct Command {
    /// The version that the caller read.
    pub version: Version,
    /// Who asks.
    pub by: Initiator,
}

/// What one transaction must write: the customer, its credential, tokens and sessions go; the fact stays.
pub struct Deleted {
    /// The customer as it was last: what the caller is answered.
    pub last: Customer,
    /// The fact, at the version after the last.
    pub message: NewMessage,
}

/// Decides on the locked customer.
pub fn decide(customer: &Customer, command: &Command, ctx: &mut Ctx) -> Result<Deleted, Refusal> {
    check_version(customer, command.version)?;
    let mut gone = customer.clone();
    gone.touch(ctx.now, &command.by);
    let mut message = NewMessage::about_customer(&mut gone, Content::CustomerDeleted, Flow::Delete, &command.by, ctx);
    message.personal.email = Some(customer.email.clone());
    Ok(Deleted { last: customer.clone(), message })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Micros;
    use crate::create::tests::customer;

    #[test]
    fn the_last_message_tells_the_address_and_the_next_version() {
        let command = Command { version: 1, by: Initiator::default() };
        let deleted = decide(&customer(), &command, &mut Ctx::new(Micros(9), [2; 32])).ok().unwrap();
        assert_eq!(deleted.last, customer());
        assert_eq!((deleted.message.resource_version, deleted.message.sequence), (2, 2));
        assert_eq!(deleted.message.personal.email.as_deref(), Some("Jo@Example.com"));
    }
}
