//! Import customers that another system made: what a record may say, and what becomes of it.
//!
//! A record is whole or refused, and refusing one concerns no other. An import can be repeated: a record whose customer
//! is there already, just as the record has it, is neither an error nor a change.
//!
//! What it does not do: it changes no customer that is there, and it takes no password in clear.

use std::fmt;

use crate::create::{self, AddressUse};
use crate::credential::{AuthenticationMode, PasswordHash};
use crate::customer::{Claims, Customer, Profile};
use crate::id::Key;
use crate::initiator::Initiator;
use crate::message::NewMessage;
use crate::refusal::UniqueField;
use crate::shop::Known;
use crate::{Ctx, Micros, Refusal};

/// The names of a record's fields.
pub const FIELDS: [&str; 10] = [
    "email",
    "key",
    "externalId",
    "customerNumber",
    "firstName",
    "lastName",
    "isEmailVerified",
    "authenticationMode",
    "createdAt",
    "passwordHash",
];

/// A record as a file has it. Nothing but the types was looked at.
#[derive(Clone, Default)]
pub struct Fields {
    /// `email`
    pub email: Option<String>,
    /// `key`
    pub key: Option<String>,
    /// `externalId`
    pub external_id: Option<String>,
    /// `customerNumber`
    pub customer_number: Option<String>,
    /// `firstName`
    pub first_name: Option<String>,
    /// `lastName`
    pub last_name: Option<String>,
    /// `isEmailVerified`
    pub is_email_verified: Option<bool>,
    /// `authenticationMode`
    pub authentication_mode: Option<String>,
    /// `createdAt`
    pub created_at: Option<String>,
    /// `passwordHash`
    pub password_hash: Option<String>,
}

/// A record whose form is right.
#[derive(Clone)]
pub struct Record {
    /// As it was typed.
    pub email: String,
    /// The caller's key.
    pub key: Option<Key>,
    /// The id in another system.
    pub external_id: Option<String>,
    /// The customer number.
    pub customer_number: Option<String>,
    /// First name.
    pub first_name: Option<String>,
    /// Last name.
    pub last_name: Option<String>,
    /// Whether the address was proved elsewhere.
    pub is_email_verified: bool,
    /// Who checks the password.
    pub authentication_mode: AuthenticationMode,
    /// When the customer came into being elsewhere.
    pub created_at: Option<Micros>,
    /// The hash, in the form in which it is stored. In Password mode `None` means: to be reset before the first sign-in.
    pub password_hash: Option<PasswordHash>,
}

impl Record {
    /// The values that the new customer would keep from others. It will be a global one.
    pub fn claims(&self) -> Claims {
        Claims {
            email: self.email.clone(),
            stores: Vec::new(),
            key: self.key.clone(),
            customer_number: self.customer_number.clone(),
        }
    }

    /// Whether the customer signs in here and has nothing to sign in with.
    pub fn must_reset(&self) -> bool {
        self.authentication_mode == AuthenticationMode::Password && self.password_hash.is_none()
    }
}

/// Why a record was not taken, with the field's name and without its value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Rejected(pub String);

/// Longest e-mail address in characters.
pub const EMAIL_CHARS_MAX: usize = 512;
/// Longest of the other texts in characters.
pub const TEXT_CHARS_MAX: usize = 256;

/// Looks at a record's form. `read_hash` says in which form a hash is stored, or why it cannot be.
pub fn check(
    fields: Fields,
    now: Micros,
    read_hash: impl FnOnce(&str) -> Result<PasswordHash, String>,
) -> Result<Record, Rejected> {
    let email = text("email", fields.email, EMAIL_CHARS_MAX)?.ok_or_else(|| rejected("email", "it is missing"))?;
    if email.trim() != email {
        return Err(rejected("email", "it begins or ends with white space"));
    }
    let key = text("key", fields.key, TEXT_CHARS_MAX)?;
    let key = parsed("key", key, |_| "not a key: 2 to 256 of A-Z, a-z, 0-9, _ and - are needed".to_owned())?;
    let mode = parsed("authenticationMode", fields.authentication_mode, |error| format!("{error}"))?;
    let password_hash = match fields.password_hash {
        Some(hash) => Some(read_hash(&hash).map_err(|reason| rejected("passwordHash", &reason))?),
        None => None,
    };
    let authentication_mode = match (mode, &password_hash) {
        (Some(AuthenticationMode::ExternalAuth), Some(_)) => {
            return Err(rejected("passwordHash", "there is none with the authenticationMode ExternalAuth"));
        }
        // To forget the hashes must not import customers without a password: that has to be said.
        (None, None) => {
            let reason = "it is missing; without a password, authenticationMode must say ExternalAuth, or Password if \
                          the customer is to reset it first";
            return Err(rejected("passwordHash", reason));
        }
        (mode, _) => mode.unwrap_or_default(),
    };
    let created_at = match fields.created_at {
        Some(text) => Some(past("createdAt", &text, now)?),
        None => None,
    };
    Ok(Record {
        email,
        key,
        external_id: text("externalId", fields.external_id, TEXT_CHARS_MAX)?,
        customer_number: text("customerNumber", fields.customer_number, TEXT_CHARS_MAX)?,
        first_name: text("firstName", fields.first_name, TEXT_CHARS_MAX)?,
        last_name: text("lastName", fields.last_name, TEXT_CHARS_MAX)?,
        is_email_verified: fields.is_email_verified.unwrap_or_default(),
        authentication_mode,
        created_at,
        password_hash,
    })
}

fn rejected(field: &str, reason: &str) -> Rejected {
    Rejected(format!("{field}: {reason}"))
}

/// A text of at most so many characters. An empty one counts as absent, as it does in every other file format.
fn text(field: &str, text: Option<String>, chars_max: usize) -> Result<Option<String>, Rejected> {
    let Some(text) = text.filter(|text| !text.is_empty()) else { return Ok(None) };
    if text.contains('\0') {
        return Err(rejected(field, "the character U+0000 cannot be stored"));
    }
    if text.chars().nth(chars_max).is_some() {
        return Err(rejected(field, &format!("it is longer than {chars_max} characters")));
    }
    Ok(Some(text))
}

fn parsed<T: std::str::FromStr>(
    field: &str,
    text: Option<String>,
    reason: impl FnOnce(T::Err) -> String,
) -> Result<Option<T>, Rejected> {
    text.map(|text| text.parse().map_err(|error| rejected(field, &reason(error)))).transpose()
}

fn past(field: &str, text: &str, now: Micros) -> Result<Micros, Rejected> {
    let at = Micros::parse_iso(text).ok_or_else(|| rejected(field, "not a time like 2022-09-19T14:34:35.843Z"))?;
    if at > now || at < Micros(0) {
        return Err(rejected(field, "it is in the future, or before 1970"));
    }
    Ok(at.whole_millis())
}

/// A customer that has a value that the record claims.
pub struct Holder {
    /// As it stands.
    pub customer: Customer,
    /// Its hash.
    pub hash: Option<PasswordHash>,
    /// Its hash is one that a sign-in would have made of the record's.
    pub could_be_upgraded: bool,
}

/// What becomes of a record.
pub enum Decision {
    /// A new customer.
    Create(Box<Imported>),
    /// The customer is there, as the record has it.
    AlreadyThere,
    /// Another customer is in the way.
    Conflict(Conflict),
    /// A rule speaks against the customer.
    Refused(Refusal),
}

/// What one transaction must write for one record.
pub struct Imported {
    /// The new customer, version 1.
    pub customer: Customer,
    /// Its hash.
    pub hash: Option<PasswordHash>,
    /// Key for the personal side rows of this customer.
    pub data_key: [u8; 32],
    /// The fact, if it is to be told. A customer that was not announced has 0 as its last sequence number.
    pub message: Option<NewMessage>,
}

/// Who is in the way. Names of fields only, no values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// The unique value that is taken.
    pub field: UniqueField,
    /// In which fields the customer that has it differs from the record. Empty: it is not to be seen from here.
    pub differs: Vec<&'static str>,
}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: a customer has it already", self.field.as_str())?;
        if self.differs.is_empty() { Ok(()) } else { write!(f, ", and differs in {}", self.differs.join(", ")) }
    }
}

/// Decides. `taken` is the first unique value of the record that a customer of the project has, `holder` that
/// customer, both seen under the same transaction. Only if `announce`, the import is told as a creation.
pub fn decide(
    record: &Record,
    taken: Option<UniqueField>,
    holder: Option<&Holder>,
    announce: bool,
    ctx: &mut Ctx,
) -> Decision {
    match create::decide(&command(record), &Known::default(), taken, record.password_hash.clone(), ctx) {
        Ok(created) => Decision::Create(Box::new(imported(record, created, announce))),
        Err(Refusal::Duplicate(field)) => {
            let differs = holder.map(|holder| differs(record, holder));
            match differs {
                Some(differs) if differs.is_empty() => Decision::AlreadyThere,
                differs => Decision::Conflict(Conflict { field, differs: differs.unwrap_or_default() }),
            }
        }
        Err(refusal) => Decision::Refused(refusal),
    }
}

fn command(record: &Record) -> create::Command {
    create::Command {
        email: record.email.clone(),
        key: record.key.clone(),
        external_id: record.external_id.clone(),
        customer_number: record.customer_number.clone(),
        stores: Vec::new(),
        authentication_mode: record.authentication_mode,
        is_email_verified: record.is_email_verified,
        profile: Profile {
            first_name: record.first_name.clone(),
            last_name: record.last_name.clone(),
            ..Profile::default()
        },
        addresses: AddressUse::default(),
        by: Initiator::default(),
    }
}

fn imported(record: &Record, created: create::Created, announce: bool) -> Imported {
    let create::Created { mut customer, hash, data_key, mut message } = created;
    customer.created_at = record.created_at.unwrap_or(customer.created_at);
    if !announce {
        customer.last_sequence = 0;
        return Imported { customer, hash, data_key, message: None };
    }
    message.personal.customer = Some(Box::new(customer.clone()));
    Imported { customer, hash, data_key, message: Some(message) }
}

/// The fields that the customer has otherwise. What the record need not say is compared only if it says it.
fn differs(record: &Record, holder: &Holder) -> Vec<&'static str> {
    let Holder { customer, hash, could_be_upgraded } = holder;
    // An upgrade leaves the version alone, a change of the password does not. Whom nobody created, an import created.
    let untouched = customer.version == 1 && customer.created_by == Initiator::default();
    let same_password = record.password_hash.is_none()
        || record.password_hash == *hash
        || (untouched && *could_be_upgraded && hash.is_some());
    [
        ("email", record.email == customer.email),
        ("key", record.key == customer.key),
        ("externalId", record.external_id == customer.external_id),
        ("customerNumber", record.customer_number == customer.customer_number),
        ("firstName", record.first_name == customer.profile.first_name),
        ("lastName", record.last_name == customer.profile.last_name),
        ("isEmailVerified", record.is_email_verified == customer.is_email_verified),
        ("authenticationMode", record.authentication_mode == customer.authentication_mode),
        ("createdAt", record.created_at.is_none_or(|at| at == customer.created_at)),
        ("passwordHash", same_password),
    ]
    .into_iter()
    .filter_map(|(field, same)| (!same).then_some(field))
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Micros = Micros(1_700_000_000_000_000);

    fn fields() -> Fields {
        Fields { email: Some("ada@example.com".into()), password_hash: Some("$x$tail".into()), ..Fields::default() }
    }

    fn checked(fields: Fields) -> Result<Record, Rejected> {
        check(fields, NOW, |text| PasswordHash::parse(text).map_err(|_| "not a hash".to_owned()))
    }

    fn reason(fields: Fields) -> String {
        checked(fields).err().unwrap().0
    }

    fn ctx() -> Ctx {
        Ctx::new(NOW, [1; 32])
    }

    fn made(record: &Record, announce: bool) -> Imported {
        match decide(record, None, None, announce, &mut ctx()) {
            Decision::Create(imported) => *imported,
            _ => panic!("nobody is in the way"),
        }
    }

    fn holder(record: &Record) -> Holder {
        let Imported { customer, hash, .. } = made(record, false);
        Holder { customer, hash, could_be_upgraded: false }
    }

    fn conflict(record: &Record, holder: &Holder) -> Option<Vec<&'static str>> {
        match decide(record, Some(UniqueField::Email), Some(holder), false, &mut ctx()) {
            Decision::Conflict(conflict) => Some(conflict.differs),
            Decision::AlreadyThere => None,
            _ => panic!("the address is taken"),
        }
    }

    #[test]
    fn a_record_needs_an_address_and_a_hash_or_a_word_about_it() {
        assert!(checked(fields()).is_ok());
        assert_eq!(reason(Fields { email: None, ..fields() }), "email: it is missing");
        assert_eq!(reason(Fields { email: Some(String::new()), ..fields() }), "email: it is missing");
        let without = |mode: Option<&str>| Fields {
            password_hash: None,
            authentication_mode: mode.map(str::to_owned),
            ..fields()
        };
        assert!(reason(without(None)).starts_with("passwordHash: it is missing"));
        for mode in ["ExternalAuth", "Password"] {
            let record = checked(without(Some(mode))).ok().unwrap();
            assert_eq!(record.authentication_mode.as_str(), mode);
        }
        let both = Fields { authentication_mode: Some("ExternalAuth".into()), ..fields() };
        assert!(reason(both).starts_with("passwordHash: there is none"));
    }

    #[test]
    fn what_cannot_be_stored_is_told_by_its_field_and_without_its_value() {
        let text = |text: &str| Some(text.to_owned());
        for (fields, says) in [
            (Fields { email: text(" ada@example.com"), ..fields() }, "email: it begins"),
            (Fields { email: text(&"x".repeat(513)), ..fields() }, "email: it is longer than 512"),
            (Fields { key: text("a b"), ..fields() }, "key: not a key"),
            (Fields { external_id: text("a\0b"), ..fields() }, "externalId: the character U+0000"),
            (Fields { first_name: text(&"\u{e9}".repeat(257)), ..fields() }, "firstName: it is longer than 256"),
            (Fields { authentication_mode: text("password"), ..fields() }, "authenticationMode: not an"),
            (Fields { created_at: text("yesterday"), ..fields() }, "createdAt: not a time"),
            (Fields { created_at: text("2999-01-01T00:00:00Z"), ..fields() }, "createdAt: it is in the future"),
            (Fields { password_hash: text("s3cret"), ..fields() }, "passwordHash: not a hash"),
        ] {
            let told = reason(fields);
            assert!(told.starts_with(says), "{told}");
            assert!(!told.contains("s3cret") && !told.contains("ada@"), "{told}");
        }
    }

    #[test]
    fn an_import_is_told_only_if_it_is_to_be() {
        let at = "2020-02-03T04:05:06.789Z";
        let record = checked(Fields { created_at: Some(at.into()), ..fields() }).ok().unwrap();
        let quiet = made(&record, false);
        assert!(quiet.message.is_none());
        assert_eq!((quiet.customer.version, quiet.customer.last_sequence), (1, 0));
        assert_eq!((quiet.customer.created_at.iso().as_str(), quiet.customer.last_modified_at), (at, NOW));
        assert_eq!(quiet.customer.password_tail.as_deref(), Some("tail"));

        let told = made(&record, true);
        let message = told.message.unwrap();
        assert_eq!((told.customer.last_sequence, message.sequence), (1, 1));
        assert_eq!(message.personal.customer.as_deref(), Some(&told.customer));
    }

    #[test]
    fn a_record_that_is_there_already_is_no_conflict() {
        let record = checked(Fields { key: Some("ada".into()), ..fields() }).ok().unwrap();
        assert_eq!(conflict(&record, &holder(&record)), None);
        // Without a hash the record says nothing about it.
        assert_eq!(conflict(&Record { password_hash: None, ..record.clone() }, &holder(&record)), None);
        // One of another customer: what differs is named.
        let other = checked(Fields { last_name: Some("L".into()), password_hash: Some("$x$y".into()), ..fields() });
        assert_eq!(conflict(&other.ok().unwrap(), &holder(&record)), Some(vec!["key", "lastName", "passwordHash"]));
        let told = Conflict { field: UniqueField::Email, differs: vec!["key", "lastName"] }.to_string();
        assert_eq!(told, "email: a customer has it already, and differs in key, lastName");
        assert!(matches!(
            decide(&record, Some(UniqueField::Key), None, false, &mut ctx()),
            Decision::Conflict(Conflict { field: UniqueField::Key, .. })
        ));
    }

    #[test]
    fn an_upgraded_hash_is_the_same_password_until_it_was_changed() {
        let record = checked(fields()).ok().unwrap();
        let hash = PasswordHash::parse("$argon2id$upgraded").ok();
        let upgraded = Holder { hash, could_be_upgraded: true, ..holder(&record) };
        assert_eq!(conflict(&record, &upgraded), None);
        let mut changed = upgraded;
        changed.customer.version = 2;
        assert_eq!(conflict(&record, &changed), Some(vec!["passwordHash"]));
        changed.customer.version = 1;
        changed.customer.created_by.client_id = Some("shop".into());
        assert_eq!(conflict(&record, &changed), Some(vec!["passwordHash"]), "signed up here, not imported");
    }
}
