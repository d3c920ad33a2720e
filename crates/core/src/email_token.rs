//! Make a token that verifies an e-mail address (commercetools.md 3.5). A kind of its own: it resets no password, and
//! a reset token verifies no address.

use crate::change::check_version;
use crate::customer::{Customer, Version};
use crate::token::{self, TokenCreated, TokenKind};
use crate::{Ctx, Refusal};

/// What the caller asks for.
#[derive(Clone)]
pub struct Command {
    /// The version that the caller read, if it says one.
    pub version: Option<Version>,
    /// Life, older tokens, and who asks.
    pub token: token::Command,
}

/// Decides on the locked customer, whose version it does not change.
pub fn decide(customer: &Customer, command: &Command, ctx: &mut Ctx) -> Result<TokenCreated, Refusal> {
    if let Some(version) = command.version {
        check_version(customer, version)?;
    }
    Ok(token::created(TokenKind::Email, customer, &command.token, ctx))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::Micros;
    use crate::create::tests::customer;
    use crate::initiator::Initiator;
    use crate::message::{Content, ResourceType};

    pub(crate) fn made(version: Option<Version>, ttl_minutes: i64) -> Result<TokenCreated, Refusal> {
        let token = token::Command { ttl_minutes, invalidate_older_tokens: true, by: Initiator::default() };
        decide(&customer(), &Command { version, token }, &mut Ctx::new(Micros(0), [3; 32]))
    }

    #[test]
    fn the_message_is_about_an_email_token_and_shows_a_short_lived_value() {
        let made = made(Some(1), 60).ok().unwrap();
        assert_eq!(made.token.kind, TokenKind::Email);
        let content = &made.message.facts.content;
        assert_eq!(
            (content.type_name(), content.resource_type()),
            ("CustomerEmailTokenCreated", ResourceType::CustomerEmailToken)
        );
        assert!(matches!(content, Content::CustomerEmailTokenCreated { invalidate_older_tokens: true, .. }));
        assert_eq!((made.message.sequence, made.message.resource_id), (1, made.token.id.uuid()));
        assert!(made.message.secret.is_some());
    }

    #[test]
    fn a_long_lived_value_is_not_shown_and_a_stale_version_is_refused() {
        assert!(made(None, 61).ok().unwrap().message.secret.is_none());
        assert!(matches!(made(Some(2), 5).err(), Some(Refusal::VersionMismatch { expected: 2, actual: 1, .. })));
    }
}
