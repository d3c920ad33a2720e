//! Registrations that are no customers yet (naviga.md 3.3, 3.4, 3.13): begun at a provider and not known to be done, or
//! waiting for the address to be proved by a code.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use crate::credential::PasswordHash;
use crate::ctx::{Ctx, Micros};
use crate::customer::Customer;
use crate::id::{CustomerId, TokenId};
use crate::initiator::Initiator;
use crate::mail::{Channel, Link, Recipient};
use crate::message::{Content, Flow, ForMail, NewMessage};
use crate::secret::{Password, TokenValue};
use crate::token::{Token, TokenKind};

/// What somebody is to be registered with. No `Debug`: it is personal and holds a password.
#[derive(Default)]
pub struct Draft {
    /// As typed.
    pub email: String,
    /// The first name.
    pub first_name: Option<String>,
    /// The last name.
    pub last_name: Option<String>,
    /// The caller's own fields.
    pub metadata: Map<String, Value>,
    /// The id that the caller wants the user to have.
    pub crid: Option<String>,
    /// The password in clear, for a provider.
    pub password: Option<Password>,
    /// Its hash, where it is to be here alone.
    pub hash: Option<PasswordHash>,
    /// There is a password. Without one the user is to choose it.
    pub has_password: bool,
    /// The provider is left out.
    pub ignores_provider: bool,
}

/// The same as it is kept, sealed, until the address is proved: a day is too long for a password in clear, which is not
/// among it. Who was to have one at a provider chooses it by a mail then.
#[derive(Serialize, Deserialize)]
struct Kept {
    email: String,
    first_name: Option<String>,
    last_name: Option<String>,
    metadata: Map<String, Value>,
    crid: Option<String>,
    hash: Option<String>,
    ignores_provider: bool,
}

impl Draft {
    /// To be sealed: without a password in clear.
    pub fn to_bytes(&self) -> Result<Zeroizing<Vec<u8>>, serde_json::Error> {
        let kept = Kept {
            email: self.email.clone(),
            first_name: self.first_name.clone(),
            last_name: self.last_name.clone(),
            metadata: self.metadata.clone(),
            crid: self.crid.clone(),
            hash: self.hash.as_ref().map(|hash| hash.as_phc().to_owned()),
            ignores_provider: self.ignores_provider,
        };
        serde_json::to_vec(&kept).map(Zeroizing::new)
    }

    /// Out of its seal. `None`: not one of ours.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let kept: Kept = serde_json::from_slice(bytes).ok()?;
        let hash = kept.hash.and_then(|hash| PasswordHash::parse(&hash).ok());
        Some(Self {
            email: kept.email,
            first_name: kept.first_name,
            last_name: kept.last_name,
            metadata: kept.metadata,
            crid: kept.crid,
            password: None,
            has_password: hash.is_some(),
            hash,
            ignores_provider: kept.ignores_provider,
        })
    }

    /// What a repeat of the same request has too: the password, or that there is none.
    pub fn proof(&self) -> Zeroizing<Vec<u8>> {
        let of_password = |it: &Password| it.hash_with(|bytes| [b"password ", bytes].concat());
        Zeroizing::new(self.password.as_ref().map_or_else(|| b"none".to_vec(), of_password))
    }
}

/// A code that proves an address: as many digits as people type without a mistake. It is guessed at with few attempts.
pub struct Code;

impl Code {
    /// How long one lives, in microseconds.
    pub const LIFE: i64 = Micros::HOUR;
    /// How often one may be tried.
    pub const ATTEMPTS: i64 = 5;
    /// How many are made for one registration: all of them together must not make guessing worth it.
    pub const CODES: i64 = 10;

    /// Six digits.
    pub fn make(ctx: &mut Ctx) -> TokenValue {
        // The remainder favours some codes by less than one in 10^13.
        TokenValue::from_sealed(format!("{:06}", ctx.number() % 1_000_000))
    }
}

/// How long a registration that nobody goes on with is kept, in microseconds.
pub const LIFE: i64 = Micros::DAY;

/// The message by which a code is mailed. `lane` is the registration's, or the customer's whose address it is.
/// `page` is where its mail leads to besides, if there is one.
pub fn code_message(
    lane: CustomerId,
    (to, page): (Recipient, Option<Link>),
    code: TokenValue,
    by: &Initiator,
    ctx: &mut Ctx,
) -> NewMessage {
    let expires_at = ctx.now.plus(Code::LIFE);
    let content = Content::VerificationCodeCreated { expires_at, channel: Channel::Email };
    let mut message = NewMessage::about_token(TokenId::new(ctx), lane, content, Flow::CreateEmailToken, by, ctx);
    message.for_mail = Some(ForMail { to, secret: Some((code, expires_at)), page });
    message
}

/// The token with which a customer without a password chooses one, and the message by which it is mailed.
pub fn welcome(
    customer: &Customer,
    (id, value): (TokenId, TokenValue),
    page: Option<Link>,
    by: &Initiator,
    ctx: &mut Ctx,
) -> (Token, NewMessage) {
    let expires_at = ctx.now.plus(Token::TTL_MINUTES_SHOWN * Micros::MINUTE);
    let token = Token {
        id,
        kind: TokenKind::Password,
        customer: customer.id,
        created_at: ctx.now,
        expires_at,
        invalidate_older_tokens: false,
        created_by: by.clone(),
        valid: true,
        reserved_by: None,
    };
    let content = Content::CustomerWelcomed { expires_at };
    let message = NewMessage::about_token(id, customer.id, content, Flow::Create, by, ctx);
    let mut message = message.in_stores(&customer.stores);
    message.for_mail = Some(ForMail { to: Recipient::of(customer), secret: Some((value, expires_at)), page });
    (token, message)
}

/// A password that a provider demands and that nobody is to know: 256 bits of chance, and a character of each class.
pub fn dummy_password(ctx: &mut Ctx) -> Password {
    Password::random(ctx, "Aa1!")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::create::tests::customer;

    fn ctx() -> Ctx {
        Ctx::new(Micros(0), [5; 32])
    }

    #[test]
    fn a_draft_comes_back_out_of_its_seal() {
        let draft = Draft {
            email: "jo@example.com".into(),
            password: Password::new("s3cret".into()).ok(),
            hash: PasswordHash::parse("$x$y").ok(),
            has_password: true,
            ..Draft::default()
        };
        let bytes = draft.to_bytes().unwrap();
        assert!(!String::from_utf8_lossy(&bytes).contains("s3cret"), "a password in clear is not kept");
        let again = Draft::from_bytes(&bytes).unwrap();
        assert_eq!((again.email, again.has_password), ("jo@example.com".into(), true));
        assert!(again.password.is_none() && again.hash.unwrap().as_phc() == "$x$y");
        let without_hash = Draft { hash: None, ..draft };
        assert!(!Draft::from_bytes(&without_hash.to_bytes().unwrap()).unwrap().has_password);
        assert!(Draft::from_bytes(b"{}").is_none());
        let proof = |text: &str| Draft { password: Password::new(text.into()).ok(), ..Draft::default() }.proof();
        assert_ne!(proof("a"), proof("b"));
        assert_ne!(proof(""), Draft::default().proof());
    }

    #[test]
    fn codes_have_six_digits_and_are_mailed_alone() {
        for seed in 0..20 {
            let code = Code::make(&mut Ctx::new(Micros(0), [seed; 32]));
            assert!(code.reveal_with(|text| text.len() == 6 && text.bytes().all(|byte| byte.is_ascii_digit())));
        }
        let code = Code::make(&mut ctx());
        let message =
            code_message(customer().id, (Recipient::of(&customer()), None), code, &Initiator::default(), &mut ctx());
        assert!(message.secret.is_none());
        assert_eq!(message.for_mail.unwrap().secret.unwrap().1, Micros(Code::LIFE));
    }

    #[test]
    fn a_dummy_password_has_every_class_of_characters() {
        let (one, other) = (dummy_password(&mut ctx()), dummy_password(&mut Ctx::new(Micros(0), [6; 32])));
        one.reveal_with(|text| {
            assert_eq!(text.len(), 47);
            assert!(
                text.bytes().any(|byte| byte.is_ascii_uppercase()) && text.bytes().any(|byte| byte.is_ascii_digit())
            );
            assert!(text.contains('!'));
            other.reveal_with(|other| assert_ne!(text, other));
        });
    }

    #[test]
    fn a_welcome_is_a_password_token() {
        let made = (TokenId::new(&mut ctx()), TokenValue::new(&mut ctx()));
        let (token, message) = welcome(&customer(), made, None, &Initiator::default(), &mut ctx());
        assert_eq!((token.kind, token.customer), (TokenKind::Password, customer().id));
        assert_eq!(token.expires_at, Micros(Micros::HOUR));
        assert!(message.secret.is_none());
    }
}
