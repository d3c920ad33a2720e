//! Begin to replace a forgotten password (naviga.md 3.10). What proves the right to do so is a password token, like any
//! other; only its id and value are chosen before anybody is looked for, so that they say nothing about who is known.

use uuid::Uuid;

use crate::Ctx;
use crate::id::{CustomerId, TokenId};
use crate::initiator::Initiator;
use crate::mail::{Link, Recipient};
use crate::secret::TokenValue;
use crate::sought::Sought;
use crate::token::{self, TokenCreated, TokenKind};

/// What the caller asks for. No `Debug`: it holds a secret.
#[derive(Clone)]
pub struct Command {
    /// The token's id.
    pub id: TokenId,
    /// Its value.
    pub value: TokenValue,
    /// The page that the mail leads to. `None`: the configured one.
    pub page: Option<Link>,
    /// Who asks.
    pub by: Initiator,
}

/// Stands for the customer whom nobody knows.
pub fn nobody() -> CustomerId {
    CustomerId::from(Uuid::nil())
}

/// Decides. Earlier tokens stay: else whoever knows a name could end what its owner was mailed.
///
/// Where nobody was found the token is nobody's, and its message a decoy's: of the size that it would have of whoever
/// stands in.
pub fn decide(sought: &Sought, command: &Command, ctx: &mut Ctx) -> TokenCreated {
    let token = token::Command {
        ttl_minutes: token::Token::TTL_MINUTES_SHOWN,
        invalidate_older_tokens: false,
        by: command.by.clone(),
    };
    let looked_at = sought.looked_at();
    let to = looked_at.map_or_else(Recipient::default, Recipient::of);
    let whose = (looked_at.map_or_else(nobody, |customer| customer.id), to);
    let named = (command.id, command.value.clone());
    let mut created = token::created_as(named, TokenKind::Password, whose, &token, ctx);
    // The caller is told its value, whoever is meant.
    created.token.customer = sought.customer().map_or_else(nobody, |customer| customer.id);
    created.message.facts.stores = looked_at.map(|customer| customer.stores.clone()).unwrap_or_default();
    if let Some(mail) = &mut created.message.for_mail {
        mail.page.clone_from(&command.page);
    }
    created
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Micros;
    use crate::create::tests::customer;

    #[test]
    fn the_token_is_the_one_that_was_chosen() {
        let mut ctx = Ctx::new(Micros(0), [1; 32]);
        let page: Link = "https://paper.example/password?encryptedEventId={token}".parse().unwrap();
        let command = Command {
            id: TokenId::new(&mut ctx),
            value: TokenValue::new(&mut ctx),
            page: Some(page.clone()),
            by: Initiator::default(),
        };
        let created = decide(&Sought::Found(Box::new(customer())), &command, &mut ctx);
        assert_eq!((created.token.id, created.token.customer), (command.id, customer().id));
        assert!(created.value.digest() == command.value.digest());
        assert_eq!(created.token.expires_at, Micros(60 * Micros::MINUTE));
        let mail = created.message.for_mail.unwrap();
        assert_eq!((mail.to, mail.page), (Recipient::of(&customer()), Some(page)));
    }

    #[test]
    fn the_token_is_not_that_of_whoever_stands_in() {
        let mut ctx = Ctx::new(Micros(0), [1; 32]);
        let command = Command {
            id: TokenId::new(&mut ctx),
            value: TokenValue::new(&mut ctx),
            page: None,
            by: Initiator::default(),
        };
        for stand_in in [None, Some(Box::new(customer()))] {
            assert_eq!(decide(&Sought::Nobody(stand_in), &command, &mut ctx).token.customer, nobody());
        }
    }
}
