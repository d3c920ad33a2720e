//! What an identity provider says of a user is written to the customer here (naviga.md 2.7, 3.6): its value wins for
//! every field that it tells.

use crate::customer::{Customer, fold_email};
use crate::initiator::Initiator;
use crate::message::{Content, Flow, NewMessage};
use crate::update::{self, Action, Command, Found, TextField, Updated};
use crate::{Ctx, Refusal};

/// What the provider told. No `Debug`: it is personal.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Said {
    /// The e-mail address.
    pub email: Option<String>,
    /// The first name.
    pub first_name: Option<String>,
    /// The last name.
    pub last_name: Option<String>,
    /// Whether the address is the user's.
    pub verified: Option<bool>,
}

impl Said {
    /// Without what cannot be kept here: blank texts, and names that are too long.
    #[must_use]
    pub fn keepable(self) -> Self {
        let kept = |value: Option<String>, chars_max: usize| {
            value.filter(|text| !text.trim().is_empty() && !text.contains('\0') && text.chars().count() <= chars_max)
        };
        let (had_email, email) = (self.email.is_some(), kept(self.email, 320));
        Self {
            // What is said of an address that is not kept is said of no other.
            verified: self.verified.filter(|_| email.is_some() || !had_email),
            email,
            first_name: kept(self.first_name, TextField::FirstName.chars_max()),
            last_name: kept(self.last_name, TextField::LastName.chars_max()),
        }
    }

    /// Without the address, which is somebody else's here, and what is said of it.
    #[must_use]
    pub fn without_email(self) -> Self {
        Self { email: None, verified: None, ..self }
    }

    /// Whether the customer has something else.
    pub fn differs_from(&self, customer: &Customer) -> bool {
        !self.actions(customer).is_empty() || self.verified.is_some_and(|said| said != customer.is_email_verified)
    }

    fn actions(&self, customer: &Customer) -> Vec<Action> {
        let text = |field: TextField, said: &Option<String>| {
            let has = field.get(&customer.profile);
            said.as_ref().filter(|said| has != Some(said)).map(|said| Action::SetText(field, Some(said.clone())))
        };
        // The letter case of an address says nothing.
        let email = self.email.as_ref().filter(|said| fold_email(said) != fold_email(&customer.email));
        let others = [text(TextField::FirstName, &self.first_name), text(TextField::LastName, &self.last_name)];
        email.cloned().map(Action::ChangeEmail).into_iter().chain(others.into_iter().flatten()).collect()
    }
}

/// Decides on the locked customer. An address that somebody else has here must have been left out.
pub fn decide(customer: &Customer, said: &Said, by: &Initiator, ctx: &mut Ctx) -> Result<Updated, Refusal> {
    let command = Command { version: customer.version, actions: said.actions(customer), by: by.clone() };
    let mut updated = update::decide(customer, &command, &Found::default(), None, ctx)?;
    let after = &mut updated.customer;
    if let Some(verified) = said.verified.filter(|verified| *verified != after.is_email_verified) {
        if !updated.changed {
            updated.changed = true;
            after.touch(ctx.now, by);
        }
        after.is_email_verified = verified;
        if verified {
            let content = Content::CustomerEmailVerified;
            updated.messages.push(NewMessage::about_customer(after, content, Flow::Update, by, ctx));
        }
    }
    Ok(updated)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Micros;
    use crate::create::tests::customer;

    fn decided(said: &Said) -> Updated {
        decide(&customer(), said, &Initiator::default(), &mut Ctx::new(Micros(9), [4; 32])).ok().unwrap()
    }

    #[test]
    fn what_is_said_of_an_address_is_said_of_no_other() {
        let of = |email: Option<String>| Said { email, verified: Some(true), ..Said::default() };
        assert!(of(Some("new@example.com".into())).keepable().verified == Some(true));
        assert!(of(None).keepable().verified == Some(true), "of the one that is not repeated");
        assert!(of(Some("x".repeat(400))).keepable().verified.is_none());
        assert!(of(Some("new@example.com".into())).without_email() == Said::default());
    }

    #[test]
    fn what_is_the_same_changes_nothing() {
        let said = Said { email: Some("JO@example.com".into()), verified: Some(false), ..Said::default() };
        assert!(!said.differs_from(&customer()));
        assert!(!decided(&said).changed);
    }

    #[test]
    fn what_is_told_wins_at_one_version_with_its_messages() {
        let said = Said {
            email: Some("new@example.com".into()),
            first_name: Some("Jo".into()),
            last_name: Some("  ".into()),
            verified: Some(true),
        };
        let updated = decided(&said.keepable());
        assert_eq!((updated.customer.version, updated.email_changed, updated.claims_changed), (2, true, true));
        assert_eq!(updated.customer.profile.first_name.as_deref(), Some("Jo"));
        assert_eq!(updated.customer.profile.last_name, None);
        assert!(updated.customer.is_email_verified);
        let messages: Vec<_> = updated.messages.iter().map(|message| message.facts.content.type_name()).collect();
        assert_eq!(messages, ["CustomerEmailChanged", "CustomerFirstNameSet", "CustomerEmailVerified"]);
        assert_eq!(updated.customer.last_sequence, customer().last_sequence + 3);
    }

    #[test]
    fn verified_alone_is_a_change() {
        let updated = decided(&Said { verified: Some(true), ..Said::default() });
        assert_eq!((updated.changed, updated.customer.version, updated.messages.len()), (true, 2, 1));
    }
}
