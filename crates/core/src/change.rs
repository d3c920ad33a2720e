//! Change a password by proving the current one (commercetools.md 3.1), and what every verb that sets a password does.

use crate::credential::{AuthenticationMode, PasswordHash};
use crate::customer::{Customer, Version};
use crate::initiator::Initiator;
use crate::message::{Content, Flow, NewMessage};
use crate::refusal::Versioned;
use crate::secret::TokenDigest;
use crate::{Ctx, Refusal};

/// A password that is being set: what one transaction must write, whichever verb decided it.
///
/// The transaction replaces the customer (guarded by its version), puts the hash, ends **all** outstanding password
/// tokens and **all** access and refresh tokens of the customer but those that it [keeps](Self::keeps), and appends the message (commercetools.md 0.13, 3.3).
pub struct PasswordSet {
    /// The customer after the change.
    pub customer: Customer,
    /// Its new hash. `None`: the password is kept at a provider alone, and no older hash stays here.
    pub hash: Option<PasswordHash>,
    /// The fact.
    pub message: NewMessage,
    /// An access token of the customer that goes on, and what was granted with it. `None`: all end.
    pub keeps: Option<TokenDigest>,
}

impl PasswordSet {
    /// Sets `hash` on `customer` as the outcome of `flow`.
    pub(crate) fn new(
        customer: &Customer,
        hash: Option<PasswordHash>,
        flow: Flow,
        by: &Initiator,
        ctx: &mut Ctx,
    ) -> Self {
        let mut customer = customer.clone();
        customer.touch(ctx.now, by);
        customer.password_tail = hash.as_ref().map(PasswordHash::tail);
        let reset = matches!(flow, Flow::Reset | Flow::Recover);
        let content = Content::CustomerPasswordUpdated { reset };
        let message = NewMessage::about_customer(&mut customer, content, flow, by, ctx);
        Self { customer, hash, message, keeps: None }
    }
}

/// What the caller asks for, without the passwords: those are hashed before the decision.
#[derive(Clone)]
pub struct Command {
    /// The version that the caller read.
    pub version: Version,
    /// Who asks.
    pub by: Initiator,
}

/// All that can be refused before any hashing: the version (before the password, commercetools.md 3.1).
pub fn admit(customer: &Customer, command: &Command) -> Result<(), Refusal> {
    check_version(customer, command.version)
}

/// Decides on the locked customer. `current_matches` is the outcome of the verification of the current password.
pub fn decide(
    customer: &Customer,
    command: &Command,
    current_matches: bool,
    new_hash: Option<PasswordHash>,
    ctx: &mut Ctx,
) -> Result<PasswordSet, Refusal> {
    admit(customer, command)?;
    match new_hash {
        Some(hash) if current_matches && customer.authentication_mode == AuthenticationMode::Password => {
            Ok(PasswordSet::new(customer, Some(hash), Flow::Change, &command.by, ctx))
        }
        _ => Err(Refusal::CurrentPasswordWrong),
    }
}

/// Refuses a version that is not the customer's (409 in the contract).
pub(crate) fn check_version(customer: &Customer, expected: Version) -> Result<(), Refusal> {
    if customer.version == expected {
        Ok(())
    } else {
        Err(Refusal::VersionMismatch { of: Versioned::Customer(customer.id), expected, actual: customer.version })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::Micros;
    use crate::create::tests::customer;

    fn hash() -> PasswordHash {
        PasswordHash::parse("$argon2id$v=19$m=8,t=1,p=1$AAAA$aGg").unwrap()
    }

    fn ctx() -> Ctx {
        Ctx::new(Micros(10_000_000), [4; 32])
    }

    #[test]
    fn the_version_is_looked_at_before_the_password() {
        let command = Command { version: 7, by: Initiator::default() };
        let refusal = decide(&customer(), &command, false, None, &mut ctx()).err().unwrap();
        assert!(matches!(refusal, Refusal::VersionMismatch { expected: 7, actual: 1, .. }));
    }

    #[test]
    fn a_customer_who_signs_in_elsewhere_has_no_current_password() {
        let customer = Customer { authentication_mode: AuthenticationMode::ExternalAuth, ..customer() };
        let command = Command { version: 1, by: Initiator::default() };
        let refusal = decide(&customer, &command, true, Some(hash()), &mut ctx()).err().unwrap();
        assert_eq!(refusal, Refusal::CurrentPasswordWrong);
    }

    proptest! {
        /// Whatever is asked: either nothing moves, or version and sequence number each move by exactly one and the
        /// message tells the new version.
        #[test]
        fn one_change_is_one_version_and_one_message(
            version in 1_i64..5, asked in 1_i64..5, sequence in 1_i64..9, matches: bool, hashed: bool
        ) {
            let before = Customer { version, last_sequence: sequence, ..customer() };
            let command = Command { version: asked, by: Initiator::default() };
            match decide(&before, &command, matches, hashed.then(hash), &mut ctx()) {
                Ok(set) => {
                    prop_assert!(matches && hashed && version == asked);
                    prop_assert_eq!(set.customer.version, version + 1);
                    prop_assert_eq!(set.customer.last_sequence, sequence + 1);
                    prop_assert_eq!(set.message.sequence, sequence + 1);
                    prop_assert_eq!(set.message.resource_version, version + 1);
                    prop_assert_eq!(set.message.facts.content, Content::CustomerPasswordUpdated { reset: false });
                    prop_assert_eq!(set.customer.created_at, before.created_at);
                }
                Err(Refusal::VersionMismatch { .. }) => prop_assert_ne!(version, asked),
                Err(refusal) => {
                    prop_assert_eq!(refusal, Refusal::CurrentPasswordWrong);
                    prop_assert!(!(matches && hashed));
                }
            }
        }
    }
}
