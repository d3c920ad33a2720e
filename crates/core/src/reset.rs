//! Reset a password by redeeming a token (commercetools.md 3.3).

use crate::change::{PasswordSet, check_version};
use crate::credential::PasswordHash;
use crate::ctx::{Ctx, Micros};
use crate::customer::{Customer, Version};
use crate::initiator::Initiator;
use crate::message::Flow;
use crate::token::{Token, TokenKind};
use crate::{Refusal, set};

/// What the caller asks for, without the token's value and the password.
#[derive(Clone)]
pub struct Command {
    /// The version that the caller read, if it says one.
    pub version: Option<Version>,
    /// Whether a token is redeemed ([`Flow::Reset`]), or what a mail said about a forgotten password ([`Flow::Recover`]).
    pub flow: Flow,
    /// Who asks.
    pub by: Initiator,
}

/// All that can be refused before any hashing, but for the way in which the customer signs in ([`set::admit`]). A refused
/// reset does not consume the token.
pub fn admit(token: &Token, customer: &Customer, command: &Command, now: Micros) -> Result<(), Refusal> {
    if token.kind != TokenKind::Password || token.customer != customer.id {
        return Err(Refusal::TokenUnknown);
    }
    token.check(now)?;
    if let Some(version) = command.version {
        check_version(customer, version)?;
    }
    Ok(())
}

/// Decides on the locked customer and its token, read under that lock: of two calls at once, the second finds the
/// token ended.
pub fn decide(
    token: &Token,
    customer: &Customer,
    command: &Command,
    hash: PasswordHash,
    ctx: &mut Ctx,
) -> Result<PasswordSet, Refusal> {
    admit(token, customer, command, ctx.now)?;
    set::admit(customer)?;
    if token.reserved_by.is_some() {
        return Err(Refusal::PasswordChangeUnderway { retry_after_s: Refusal::UNDERWAY_RETRY_AFTER_S });
    }
    Ok(PasswordSet::new(customer, Some(hash), command.flow, &command.by, ctx))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::create::tests::customer;
    use crate::credential::AuthenticationMode;
    use crate::id::OperationId;
    use crate::message::Content;
    use crate::token;

    fn token() -> Token {
        let command = token::Command { ttl_minutes: 5, invalidate_older_tokens: false, by: Initiator::default() };
        token::decide(&customer(), &command, &mut Ctx::new(Micros(0), [3; 32])).token
    }

    fn reset(token: &Token, customer: &Customer, version: Option<i64>, now: Micros) -> Result<PasswordSet, Refusal> {
        let hash = PasswordHash::parse("$argon2id$v=19$m=8,t=1,p=1$AAAA$aGg=").unwrap();
        decide(
            token,
            customer,
            &Command { version, flow: Flow::Reset, by: Initiator::default() },
            hash,
            &mut Ctx::new(now, [8; 32]),
        )
    }

    #[test]
    fn redeeming_says_reset() {
        let set = reset(&token(), &customer(), None, Micros(1)).ok().unwrap();
        assert_eq!(set.message.facts.content, Content::CustomerPasswordUpdated { reset: true });
        assert_eq!(set.customer.version, 2);
        assert!(!set.customer.is_email_verified);
    }

    #[test]
    fn a_token_that_an_operation_has_reserved_is_not_redeemed_by_another_call() {
        let reserved = Token { reserved_by: Some(OperationId::new(&mut Ctx::new(Micros(0), [1; 32]))), ..token() };
        let refusal = reset(&reserved, &customer(), None, Micros(1)).err().unwrap();
        assert!(matches!(refusal, Refusal::PasswordChangeUnderway { .. }));
        // Before that it is looked at like any other: whoever asks for the same password joins the operation.
        let command = Command { version: None, flow: Flow::Recover, by: Initiator::default() };
        assert_eq!(admit(&reserved, &customer(), &command, Micros(1)), Ok(()));
    }

    #[test]
    fn refusals_in_order() {
        let late = Micros(5 * Micros::MINUTE);
        assert_eq!(reset(&token(), &customer(), Some(9), late).err(), Some(Refusal::TokenExpired(TokenKind::Password)));
        let stale = reset(&token(), &customer(), Some(9), Micros(1)).err().unwrap();
        assert!(matches!(stale, Refusal::VersionMismatch { expected: 9, .. }));
        let external = Customer { authentication_mode: AuthenticationMode::ExternalAuth, ..customer() };
        assert_eq!(reset(&token(), &external, None, Micros(1)).err(), Some(Refusal::NotPasswordMode));
        let email = Token { kind: TokenKind::Email, ..token() };
        assert_eq!(reset(&email, &customer(), None, Micros(1)).err(), Some(Refusal::TokenUnknown));
        let foreign = Token { customer: "0192f3a1-5b7c-7d3e-9f10-0123456789ab".parse().unwrap(), ..token() };
        assert_eq!(reset(&foreign, &customer(), None, Micros(1)).err(), Some(Refusal::TokenUnknown));
    }
}
