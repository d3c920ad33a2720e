//! Reset and e-mail tokens: one-time proofs. Only the digest of a token's value is stored (commercetools.md 3.2).

use crate::Refusal;
use crate::ctx::{Ctx, Micros};
use crate::customer::Customer;
use crate::id::{CustomerId, OperationId, TokenId};
use crate::initiator::Initiator;
use crate::mail::Recipient;
use crate::message::{Content, Flow, ForMail, NewMessage};
use crate::secret::TokenValue;

/// What a token proves. One kind never works in place of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenKind {
    /// The right to set a new password.
    Password,
    /// That an e-mail address is the customer's.
    Email,
}

impl TokenKind {
    /// Stored form.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Password => "password",
            Self::Email => "email",
        }
    }
}

/// A token as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// Its id: the resource of its messages.
    pub id: TokenId,
    /// What it proves.
    pub kind: TokenKind,
    /// Whose it is.
    pub customer: CustomerId,
    /// When it was made.
    pub created_at: Micros,
    /// When it ends.
    pub expires_at: Micros,
    /// Whether making it ended the earlier ones.
    pub invalidate_older_tokens: bool,
    /// Who made it.
    pub created_by: Initiator,
    /// False once it was used or a later event ended it.
    pub valid: bool,
    /// The operation that is about to use it: no other call can, and it does not expire meanwhile.
    pub reserved_by: Option<OperationId>,
}

impl Token {
    /// Shortest and longest life in minutes (commercetools.md 3.2).
    pub const TTL_MINUTES: std::ops::RangeInclusive<i64> = 1..=525_600;
    /// Life in minutes when the caller names none.
    pub const TTL_MINUTES_DEFAULT: i64 = 1440;
    /// Up to this life in minutes the message carries the value (commercetools.md 0.19).
    pub const TTL_MINUTES_SHOWN: i64 = 60;
    /// How long the message of a token that is mailed carries the value, in microseconds: a mail that could not be sent in
    /// a day comes too late (standards.md 5.2).
    pub const MAILED_FOR: i64 = Micros::DAY;
    /// How long an expired token is told apart from an unknown one (commercetools.md 3.3).
    pub const EXPIRED_TOLD_FOR: i64 = Micros::DAY;

    /// Whether the token can be used at `now`.
    pub fn check(&self, now: Micros) -> Result<(), Refusal> {
        if !self.valid || now >= self.expires_at.plus(Self::EXPIRED_TOLD_FOR) {
            Err(Refusal::TokenUnknown)
        } else if now >= self.expires_at {
            Err(Refusal::TokenExpired(self.kind))
        } else {
            Ok(())
        }
    }
}

/// What the caller asks for.
#[derive(Clone)]
pub struct Command {
    /// Within [`Token::TTL_MINUTES`]; checked by the dialect.
    pub ttl_minutes: i64,
    /// End all earlier tokens of this kind that the customer has.
    pub invalidate_older_tokens: bool,
    /// Who asks.
    pub by: Initiator,
}

/// What one transaction must write: the token (its digest), the end of older ones if asked, the message.
pub struct TokenCreated {
    /// The token.
    pub token: Token,
    /// Its value: shown once to the caller.
    pub value: TokenValue,
    /// The fact.
    pub message: NewMessage,
}

/// Decides. Making a token never changes the customer's version (commercetools.md 0.17), and a customer who signs in
/// elsewhere may have one too: only the reset is refused.
pub fn decide(customer: &Customer, command: &Command, ctx: &mut Ctx) -> TokenCreated {
    created(TokenKind::Password, customer, command, ctx)
}

/// A new token of either kind.
pub(crate) fn created(kind: TokenKind, customer: &Customer, command: &Command, ctx: &mut Ctx) -> TokenCreated {
    let (id, value) = (TokenId::new(ctx), TokenValue::new(ctx));
    let mut created = created_as((id, value), kind, (customer.id, Recipient::of(customer)), command, ctx);
    created.message.facts.stores.clone_from(&customer.stores);
    created
}

/// The same with an id and a value that were chosen before, for whoever is told of it by mail.
pub(crate) fn created_as(
    (id, value): (TokenId, TokenValue),
    kind: TokenKind,
    (customer_id, to): (CustomerId, Recipient),
    command: &Command,
    ctx: &mut Ctx,
) -> TokenCreated {
    let token = Token {
        id,
        kind,
        customer: customer_id,
        created_at: ctx.now,
        expires_at: ctx.now.plus(command.ttl_minutes.saturating_mul(Micros::MINUTE)),
        invalidate_older_tokens: command.invalidate_older_tokens,
        created_by: command.by.clone(),
        valid: true,
        reserved_by: None,
    };
    let expires_at = token.expires_at;
    let invalidate_older_tokens = command.invalidate_older_tokens;
    let (content, flow) = match kind {
        TokenKind::Password => (
            Content::CustomerPasswordTokenCreated { customer_id, expires_at, invalidate_older_tokens },
            Flow::CreateToken,
        ),
        TokenKind::Email => (
            Content::CustomerEmailTokenCreated { customer_id, expires_at, invalidate_older_tokens },
            Flow::CreateEmailToken,
        ),
    };
    let mut message = NewMessage::about_token(token.id, customer_id, content, flow, &command.by, ctx);
    // Mailed whatever its life is, though the contract shows only the value of a short one.
    let mailed_until = ctx.now.plus(Token::MAILED_FOR).min(expires_at);
    message.for_mail = Some(ForMail { to, secret: Some((value.clone(), mailed_until)), page: None });
    if command.ttl_minutes <= Token::TTL_MINUTES_SHOWN {
        message.secret = Some((value.clone(), token.expires_at));
    }
    TokenCreated { token, value, message }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::create::tests::customer;

    fn made(ttl_minutes: i64) -> TokenCreated {
        let command = Command { ttl_minutes, invalidate_older_tokens: true, by: Initiator::default() };
        decide(&customer(), &command, &mut Ctx::new(Micros(60_000_000), [3; 32]))
    }

    #[test]
    fn the_message_carries_the_value_only_up_to_sixty_minutes() {
        assert!(made(60).message.secret.is_some());
        assert!(made(61).message.secret.is_none());
    }

    #[test]
    fn a_mailed_value_is_carried_for_a_day_at_most() {
        let until = |ttl_minutes| {
            let made = made(ttl_minutes);
            let mailed = made.message.for_mail.and_then(|mail| mail.secret);
            mailed.map(|(_, until)| until.0 - made.token.created_at.0)
        };
        assert_eq!(until(61), Some(61 * Micros::MINUTE));
        assert_eq!(until(2 * 1440), Some(Micros::DAY));
        assert_eq!(until(5), Some(5 * Micros::MINUTE));
    }

    #[test]
    fn the_token_is_the_resource() {
        let made = made(20);
        assert_eq!(made.message.resource_id, made.token.id.uuid());
        assert_eq!((made.message.sequence, made.message.resource_version), (1, 1));
        assert_eq!(made.message.customer, customer().id);
    }

    proptest! {
        /// Valid until its end, expired for a day, unknown after that; and unknown at any time once it was ended.
        #[test]
        fn a_token_has_three_ages(ttl in 1_i64..525_600, after in 0_i64..2_000_000) {
            let token = made(ttl).token;
            let now = token.created_at.plus(after * Micros::MINUTE);
            let expected = if after < ttl { Ok(()) }
                else if after < ttl + 1440 { Err(Refusal::TokenExpired(TokenKind::Password)) }
                else { Err(Refusal::TokenUnknown) };
            prop_assert_eq!(token.check(now), expected);
            prop_assert_eq!(Token { valid: false, ..token }.check(now), Err(Refusal::TokenUnknown));
        }
    }
}
