//! Verify an e-mail address by redeeming a token (commercetools.md 3.5).

use crate::change::check_version;
use crate::customer::{Customer, Version};
use crate::initiator::Initiator;
use crate::message::{Content, Flow, NewMessage};
use crate::token::{Token, TokenKind};
use crate::{Ctx, Refusal};

/// What the caller asks for, without the token's value.
#[derive(Clone)]
pub struct Command {
    /// The version that the caller read, if it says one.
    pub version: Option<Version>,
    /// Who asks.
    pub by: Initiator,
}

/// What one transaction must write: the customer (guarded by its version), the end of **all** its e-mail tokens, and
/// the message.
pub struct EmailConfirmed {
    /// The customer after the change.
    pub customer: Customer,
    /// The fact.
    pub message: NewMessage,
}

/// Decides on the locked customer and its token, read under that lock: of two calls at once, the second finds the token
/// ended. An address that is verified already is verified again, for the token is used up.
pub fn decide(token: &Token, customer: &Customer, command: &Command, ctx: &mut Ctx) -> Result<EmailConfirmed, Refusal> {
    if token.kind != TokenKind::Email || token.customer != customer.id {
        return Err(Refusal::TokenUnknown);
    }
    token.check(ctx.now)?;
    if let Some(version) = command.version {
        check_version(customer, version)?;
    }
    let mut customer = customer.clone();
    customer.touch(ctx.now, &command.by);
    customer.is_email_verified = true;
    let content = Content::CustomerEmailVerified;
    let message = NewMessage::about_customer(&mut customer, content, Flow::ConfirmEmail, &command.by, ctx);
    Ok(EmailConfirmed { customer, message })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Micros;
    use crate::create::tests::customer;
    use crate::email_token::tests::made;

    fn confirm(token: &Token, version: Option<Version>, now: Micros) -> Result<EmailConfirmed, Refusal> {
        let command = Command { version, by: Initiator::default() };
        decide(token, &customer(), &command, &mut Ctx::new(now, [8; 32]))
    }

    #[test]
    fn redeeming_verifies_and_says_so() {
        let token = made(None, 5).ok().unwrap().token;
        let confirmed = confirm(&token, Some(1), Micros(1)).ok().unwrap();
        assert!(confirmed.customer.is_email_verified);
        assert_eq!((confirmed.customer.version, confirmed.message.sequence), (2, 2));
        assert_eq!(confirmed.message.resource_version, 2);
        assert_eq!(confirmed.message.facts.content, Content::CustomerEmailVerified);
    }

    #[test]
    fn refusals_in_order() {
        let token = made(None, 5).ok().unwrap().token;
        let late = Micros(5 * Micros::MINUTE);
        assert_eq!(confirm(&token, Some(9), late).err(), Some(Refusal::TokenExpired(TokenKind::Email)));
        assert_eq!(confirm(&token, None, late.plus(Micros::DAY)).err(), Some(Refusal::TokenUnknown));
        let stale = confirm(&token, Some(9), Micros(1)).err();
        assert!(matches!(stale, Some(Refusal::VersionMismatch { expected: 9, .. })));
        for other in [
            Token { kind: TokenKind::Password, ..token.clone() },
            Token { valid: false, ..token.clone() },
            Token { customer: "0192f3a1-5b7c-7d3e-9f10-0123456789ab".parse().unwrap(), ..token },
        ] {
            assert_eq!(confirm(&other, None, Micros(1)).err(), Some(Refusal::TokenUnknown));
        }
    }
}
