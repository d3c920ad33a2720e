//! The Customer Credentials Event: what a partner is told when a customer's password was replaced (paysafe.md 2.4).
//!
//! Who fills it is the transaction that replaces the password; how it is written is `format`'s business. Values come from
//! the customer as it is stored. What is longer than the contract allows, in an imported record, is cut between two code
//! points and named, so that it can be told in the log; no event is left out for that.

use crate::ctx::{Ctx, Micros};
use crate::customer::Customer;
use crate::event;
use crate::id::{MessageId, VerificationId};
use crate::verification::{Attribute, Kind, Proof};

/// How the credentials came to change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ChangeType {
    /// Somebody who was not signed in proved an identifier and chose a new password.
    PasswordRecovery,
    /// The password was changed in another way, without such a proof. Not in the contract: for partners who ask for it.
    PasswordChange,
}

impl ChangeType {
    /// Both.
    pub const ALL: [Self; 2] = [Self::PasswordRecovery, Self::PasswordChange];

    /// The contract's spelling.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PasswordRecovery => "PASSWORD_RECOVERY",
            Self::PasswordChange => "PASSWORD_CHANGE",
        }
    }
}

impl std::str::FromStr for ChangeType {
    type Err = event::NotAnEventType;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|change| change.as_str() == text).ok_or(event::NotAnEventType)
    }
}

/// What the event says of the customer. No `Debug`: all of it is personal.
#[derive(Clone, PartialEq, Eq)]
pub struct Person {
    /// The number that the contract knows: at most 20 digits.
    pub number: String,
    /// The partner's own id.
    pub external_id: Option<String>,
    /// Such as `Mr.`.
    pub title: Option<String>,
    /// Empty where none is known.
    pub first_name: String,
    /// Empty where none is known.
    pub last_name: String,
}

impl Person {
    /// Greatest length of the partner's id, in code points.
    pub const EXTERNAL_ID_MAX: usize = 40;
    /// Greatest length of a title.
    pub const TITLE_MAX: usize = 15;
    /// Greatest length of either name.
    pub const NAME_MAX: usize = 50;

    /// The customer as events tell it, and the members that had to be cut.
    pub fn of(customer: &Customer) -> (Self, Vec<&'static str>) {
        let mut cut = Vec::new();
        let mut fit = |member, text: Option<&String>, chars_max| {
            let text = text.filter(|text| !text.is_empty())?;
            let end = text.char_indices().nth(chars_max).map(|(end, _)| end);
            if end.is_some() {
                cut.push(member);
            }
            text.get(..end.unwrap_or(text.len())).map(str::to_owned)
        };
        let profile = &customer.profile;
        let person = Self {
            number: customer.number.to_string(),
            external_id: fit("externalId", customer.external_id.as_ref(), Self::EXTERNAL_ID_MAX),
            title: fit("title", profile.title.as_ref(), Self::TITLE_MAX),
            first_name: fit("firstName", profile.first_name.as_ref(), Self::NAME_MAX).unwrap_or_default(),
            last_name: fit("lastName", profile.last_name.as_ref(), Self::NAME_MAX).unwrap_or_default(),
        };
        (person, cut)
    }
}

/// An address or number that the customer was recognised by. No `Debug`: it is personal.
#[derive(Clone, PartialEq, Eq)]
pub struct Identifier {
    /// The customer's stored address or number, in its canonical form.
    pub value: String,
    /// The process that proved it. `None`: nothing was proved ([`ChangeType::PasswordChange`]).
    pub verification: Option<VerificationId>,
    /// When it was proved, if that is known.
    pub verified_at: Option<Micros>,
}

/// The identifiers of one event.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Identifiers {
    /// The e-mail address.
    pub email: Option<Identifier>,
    /// The mobile number.
    pub mobile: Option<Identifier>,
}

impl Identifiers {
    /// What these processes have proved of the customer, in its stored form.
    pub fn proved(customer: &Customer, proofs: &[Proof]) -> Self {
        let mut identifiers = Self::default();
        for proof in proofs {
            let value = match proof.kind {
                Kind::Email => Some(Attribute::canonical_email(customer)),
                Kind::Mobile => customer.mobile.as_ref().map(|mobile| mobile.as_str().to_owned()),
            };
            let identifier = value.map(|value| Identifier {
                value,
                verification: Some(proof.id),
                verified_at: Some(proof.verified_at),
            });
            match proof.kind {
                Kind::Email => identifiers.email = identifier,
                Kind::Mobile => identifiers.mobile = identifier,
            }
        }
        identifiers
    }
}

/// Who set the password.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Actor {
    /// The customer.
    #[default]
    Customer,
    /// Somebody with more rights.
    Admin,
    /// A rule.
    System,
}

impl Actor {
    /// As it is told.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Customer => "CUSTOMER",
            Self::Admin => "ADMIN",
            Self::System => "SYSTEM",
        }
    }
}

/// What kind of secret it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CredentialKind {
    /// A password.
    #[default]
    Password,
    /// A short number.
    Pin,
}

impl CredentialKind {
    /// As it is told.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Password => "PASSWORD",
            Self::Pin => "PIN",
        }
    }
}

/// The customer's device, as far as it is told. No `Debug`: it is personal.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Device {
    /// What kind of application.
    pub app_type: Option<String>,
    /// Its IP address. Told without its last part.
    pub address: Option<String>,
    /// What it calls itself.
    pub user_agent: Option<String>,
}

/// What only partners who ask for it are told (paysafe.md 8.2).
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Circumstances {
    /// Who set the password.
    pub initiator: Actor,
    /// Whether that person was signed in.
    pub authenticated: bool,
    /// By which way.
    pub channel: Option<String>,
    /// Which kind of secret.
    pub credential: CredentialKind,
    /// How many sign-ins it ended, if they were counted.
    pub sessions_revoked: Option<u64>,
    /// On which device.
    pub device: Option<Device>,
    /// The request, as its caller names it.
    pub correlation_id: Option<String>,
}

/// What happened, for [`CredentialsEvent::of`]. `customer` is as it is after the change.
#[derive(Clone)]
pub struct What<'a> {
    /// Whose credentials.
    pub customer: &'a Customer,
    /// How they changed.
    pub change: ChangeType,
    /// What was proved for it.
    pub identifiers: Identifiers,
    /// What else is known.
    pub circumstances: Circumstances,
}

/// One event, complete.
#[derive(Clone, PartialEq, Eq)]
pub struct CredentialsEvent {
    /// Its id at the receiver.
    pub id: MessageId,
    /// When the change was committed.
    pub at: Micros,
    /// Whose.
    pub person: Person,
    /// How.
    pub change: ChangeType,
    /// What was proved.
    pub identifiers: Identifiers,
    /// What else is known.
    pub circumstances: Circumstances,
    /// The place of the change among all that happened to this customer.
    pub sequence: i64,
    /// Members that had to be cut.
    pub cut: Vec<&'static str>,
}

impl CredentialsEvent {
    /// The event about what has just happened.
    pub fn of(what: &What<'_>, ctx: &mut Ctx) -> Self {
        let (person, cut) = Person::of(what.customer);
        Self {
            id: event::new_id(ctx),
            at: ctx.now,
            person,
            change: what.change,
            identifiers: what.identifiers.clone(),
            circumstances: what.circumstances.clone(),
            sequence: what.customer.last_sequence,
            cut,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::create::tests::customer;
    use crate::customer::Profile;

    #[test]
    fn what_fits_is_told_as_it_is_and_what_is_longer_is_cut_between_code_points() {
        let of = |external_id: &str, title: &str, name: &str| {
            let profile = Profile {
                title: Some(title.to_owned()),
                first_name: Some(name.to_owned()),
                last_name: Some(name.to_owned()),
                ..Profile::default()
            };
            Person::of(&Customer { external_id: Some(external_id.to_owned()), profile, ..customer() })
        };
        let (edge, cut) = of(&"é".repeat(40), &"ö".repeat(15), &"𝒿".repeat(50));
        assert!(cut.is_empty());
        assert_eq!((edge.external_id, edge.title), (Some("é".repeat(40)), Some("ö".repeat(15))));
        assert_eq!((edge.first_name, edge.last_name), ("𝒿".repeat(50), "𝒿".repeat(50)));
        let (over, cut) = of(&"é".repeat(41), &"ö".repeat(16), &"𝒿".repeat(51));
        assert_eq!(cut, ["externalId", "title", "firstName", "lastName"]);
        assert_eq!((over.external_id, over.title), (Some("é".repeat(40)), Some("ö".repeat(15))));
        assert_eq!((over.first_name, over.last_name), ("𝒿".repeat(50), "𝒿".repeat(50)));
    }

    #[test]
    fn what_is_not_known_is_absent_and_names_are_empty() {
        let profile = Profile { title: Some(String::new()), ..Profile::default() };
        let (person, cut) = Person::of(&Customer { external_id: Some(String::new()), profile, ..customer() });
        assert_eq!((person.external_id, person.title), (None, None));
        assert_eq!((person.first_name.as_str(), person.last_name.as_str()), ("", ""));
        assert!(cut.is_empty() && person.number.len() <= 20);
    }

    #[test]
    fn each_event_has_an_id_of_its_own_and_the_time_of_the_change() {
        let customer = Customer { last_sequence: 7, ..customer() };
        let what = What {
            customer: &customer,
            change: ChangeType::PasswordRecovery,
            identifiers: Identifiers::default(),
            circumstances: Circumstances::default(),
        };
        let mut ctx = Ctx::new(Micros(5_000_000), [1; 32]);
        let [one, other] = [0, 1].map(|_| CredentialsEvent::of(&what, &mut ctx));
        assert!(one.id != other.id);
        assert_eq!((one.at, one.sequence), (Micros(5_000_000), 7));
    }
}
