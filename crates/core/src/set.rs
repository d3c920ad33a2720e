//! Set a password without the current one, for a customer whose password is here alone: on behalf of a trusted caller, or
//! of somebody who has proved to be the customer.
//!
//! Where an identity provider has it too, an [operation](crate::operation) does so.

use crate::change::PasswordSet;
use crate::credential::{AuthenticationMode, PasswordHash};
use crate::customer::Customer;
use crate::initiator::Initiator;
use crate::message::Flow;
use crate::{Ctx, Refusal};

/// What can be refused before the new password is hashed.
pub fn admit(customer: &Customer) -> Result<(), Refusal> {
    match customer.authentication_mode {
        AuthenticationMode::Password => Ok(()),
        AuthenticationMode::ExternalAuth => Err(Refusal::NotPasswordMode),
    }
}

/// Decides in place of a password that was forgotten, for somebody who has proved to be the customer.
pub fn recover(customer: &Customer, hash: PasswordHash, by: &Initiator, ctx: &mut Ctx) -> Result<PasswordSet, Refusal> {
    admit(customer)?;
    Ok(PasswordSet::new(customer, Some(hash), Flow::Recover, by, ctx))
}

/// Decides.
pub fn decide(customer: &Customer, hash: PasswordHash, by: &Initiator, ctx: &mut Ctx) -> Result<PasswordSet, Refusal> {
    admit(customer)?;
    Ok(PasswordSet::new(customer, Some(hash), Flow::Set, by, ctx))
}

/// Takes a password away whose holder has never proved the customer's address, when somebody else has: who signed up with
/// another's address must not stay in. `None`: there is none.
pub fn take_away(customer: &Customer, by: &Initiator, ctx: &mut Ctx) -> Option<PasswordSet> {
    customer.password_tail.as_ref().map(|_| PasswordSet::new(customer, None, Flow::Update, by, ctx))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Micros;
    use crate::create::tests::customer;
    use crate::message::Content;

    #[test]
    fn a_password_is_set_where_there_is_one() {
        let hash = PasswordHash::parse("$argon2id$v=19$m=8,t=1,p=1$AAAA$aGg=").unwrap();
        let set = |customer: &Customer| {
            decide(customer, hash.clone(), &Initiator::default(), &mut Ctx::new(Micros(1), [8; 32]))
        };
        let done = set(&customer()).ok().unwrap();
        assert_eq!(done.message.facts.content, Content::CustomerPasswordUpdated { reset: false });
        assert_eq!((done.customer.version, done.message.facts.flow), (2, Flow::Set));
        let taken = take_away(&done.customer, &Initiator::default(), &mut Ctx::new(Micros(2), [8; 32])).unwrap();
        assert!(taken.hash.is_none() && taken.customer.password_tail.is_none());
        let none = take_away(&taken.customer, &Initiator::default(), &mut Ctx::new(Micros(3), [8; 32]));
        assert!(none.is_none());
        let external = Customer { authentication_mode: AuthenticationMode::ExternalAuth, ..customer() };
        assert_eq!(set(&external).err(), Some(Refusal::NotPasswordMode));
    }
}
