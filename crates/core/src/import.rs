//! Import customers that another system made: what a record may say, and what becomes of it.
//!
//! A record is whole or refused, and refusing one concerns no other. An import can be repeated: a record whose customer
//! is there already, just as the record has it, is neither an error nor a change.
//!
//! What it does not do: it changes no customer that is there, and it takes no password in clear.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::create::{self, AddressUse};
use crate::credential::{AuthenticationMode, PasswordHash};
use crate::customer::{Address, Claims, Customer, CustomerNumber, Mobile, Profile};
use crate::id::{Key, Reference};
use crate::initiator::Initiator;
use crate::message::NewMessage;
use crate::provider::ProviderLink;
use crate::refusal::UniqueField;
use crate::shop::Known;
use crate::update::TextField;
use crate::{Ctx, Micros, Refusal};

/// The names of a record's fields.
pub const FIELDS: [&str; 25] = [
    "email",
    "key",
    "externalId",
    "customerNumber",
    "mobile",
    "firstName",
    "lastName",
    "middleName",
    "title",
    "salutation",
    "dateOfBirth",
    "companyName",
    "vatId",
    "locale",
    "isEmailVerified",
    "authenticationMode",
    "createdAt",
    "passwordHash",
    "stores",
    "addresses",
    "defaultShippingAddress",
    "defaultBillingAddress",
    "shippingAddresses",
    "billingAddresses",
    "providerUsers",
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
    /// `mobile`
    pub mobile: Option<String>,
    /// `firstName` and the other descriptive texts.
    pub texts: BTreeMap<TextField, String>,
    /// `isEmailVerified`
    pub is_email_verified: Option<bool>,
    /// `authenticationMode`
    pub authentication_mode: Option<String>,
    /// `createdAt`
    pub created_at: Option<String>,
    /// `passwordHash`
    pub password_hash: Option<String>,
    /// `stores`, by key.
    pub stores: Vec<String>,
    /// `addresses`, each by the names of a BaseAddress.
    pub addresses: Vec<BTreeMap<String, String>>,
    /// `defaultShippingAddress` and the others: places in `addresses`.
    pub address_use: AddressUse,
    /// `providerUsers`: the user's id at each identity provider, by its name in the configuration.
    pub provider_users: BTreeMap<String, String>,
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
    /// The mobile number.
    pub mobile: Option<Mobile>,
    /// Descriptive texts, and addresses without their ids.
    pub profile: Profile,
    /// Which of the addresses are used for what.
    pub address_use: AddressUse,
    /// The stores of the customer, by key. Empty: a global customer.
    pub stores: Vec<Reference>,
    /// Whether the address was proved elsewhere.
    pub is_email_verified: bool,
    /// Who checks the password.
    pub authentication_mode: AuthenticationMode,
    /// When the customer came into being elsewhere.
    pub created_at: Option<Micros>,
    /// The hash, in the form in which it is stored. In Password mode `None` means: to be reset before the first sign-in.
    pub password_hash: Option<PasswordHash>,
    /// Who the customer is at identity providers.
    pub links: Vec<ProviderLink>,
}

impl Record {
    /// The values that the new customer would keep from others; refused if one of its stores is not there.
    pub fn claims(&self, known: &Known) -> Result<Claims, Refusal> {
        Ok(Claims {
            email: self.email.clone(),
            stores: known.resolve(&self.stores)?,
            key: self.key.clone(),
            customer_number: self.customer_number.clone(),
            mobile: self.mobile.clone(),
        })
    }

    /// Whether the customer signs in here and has nothing to sign in with, nor a password elsewhere.
    pub fn must_reset(&self) -> bool {
        self.authentication_mode == AuthenticationMode::Password
            && self.password_hash.is_none()
            && self.links.is_empty()
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
    check_use(&fields.address_use, fields.addresses.len())?;
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
        (None, None) if fields.provider_users.is_empty() => {
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
        links: links(fields.provider_users)?,
        email,
        key,
        external_id: text("externalId", fields.external_id, TEXT_CHARS_MAX)?,
        customer_number: text("customerNumber", fields.customer_number, TEXT_CHARS_MAX)?,
        mobile: mobile(fields.mobile)?,
        stores: stores(fields.stores)?,
        profile: profile(fields.texts, fields.addresses)?,
        address_use: fields.address_use,
        is_email_verified: fields.is_email_verified.unwrap_or_default(),
        authentication_mode,
        created_at,
        password_hash,
    })
}

fn mobile(typed: Option<String>) -> Result<Option<Mobile>, Rejected> {
    let typed = text("mobile", typed, TEXT_CHARS_MAX)?;
    parsed("mobile", typed, |_| "not a number in international form, such as +359897765463".to_owned())
}

fn links(users: BTreeMap<String, String>) -> Result<Vec<ProviderLink>, Rejected> {
    let link = |(provider, user): (String, String)| {
        let provider = provider.parse().map_err(|_| rejected("providerUsers", "one is not the name of a provider"))?;
        let user = user.parse().map_err(|_| rejected("providerUsers", "an id has not 1 to 256 characters"))?;
        Ok(ProviderLink { provider, user })
    };
    users.into_iter().map(link).collect()
}

fn stores(keys: Vec<String>) -> Result<Vec<Reference>, Rejected> {
    let is_key = |key: &String| key.parse::<Key>().is_ok();
    if !keys.iter().all(is_key) {
        return Err(rejected("stores", "not the keys of stores: each has 2 to 256 of A-Z, a-z, 0-9, _ and -"));
    }
    Ok(keys.into_iter().map(Reference::Key).collect())
}

fn profile(texts: BTreeMap<TextField, String>, addresses: Vec<BTreeMap<String, String>>) -> Result<Profile, Rejected> {
    let mut profile = Profile::default();
    for (field, value) in texts {
        let value = text(field.name(), Some(value), field.chars_max())?;
        if value.as_ref().is_some_and(|value| !field.fits(value)) {
            return Err(rejected(field.name(), "it has not the form that it must have, as 1980-02-29 or de-AT"));
        }
        *field.of(&mut profile) = value;
    }
    if addresses.len() > Address::MANY_MAX {
        return Err(rejected("addresses", &format!("there are more than {}", Address::MANY_MAX)));
    }
    profile.addresses = addresses.into_iter().map(address).collect::<Result<_, _>>()?;
    Ok(profile)
}

fn address(mut fields: BTreeMap<String, String>) -> Result<Address, Rejected> {
    fields.remove("id"); // it gets one of ours
    let country = fields.remove("country").filter(|country| Address::is_country(country));
    let country = country.ok_or_else(|| rejected("addresses", "one has no country as DE"))?;
    if let Some(name) = fields.keys().find(|name| *name != "key" && !Address::TEXTS.contains(&name.as_str())) {
        let is_word = name.len() <= 40 && name.bytes().all(|byte| byte.is_ascii_alphanumeric());
        let name = if is_word { name } else { "such" };
        return Err(rejected("addresses", &format!("there is no {name} in an address")));
    }
    if fields.get("key").is_some_and(|key| key.parse::<Key>().is_err()) {
        return Err(rejected("addresses", "a key of one has not 2 to 256 of A-Z, a-z, 0-9, _ and -"));
    }
    for value in fields.values() {
        text("addresses", Some(value.clone()), Address::TEXT_CHARS_MAX)?;
    }
    Ok(Address { id: String::new(), country, fields })
}

/// Every place must be that of an address.
fn check_use(used: &AddressUse, addresses: usize) -> Result<(), Rejected> {
    let defaults = [("defaultShippingAddress", used.default_shipping), ("defaultBillingAddress", used.default_billing)];
    let lists = [("shippingAddresses", &used.shipping), ("billingAddresses", &used.billing)];
    let places = defaults.into_iter().filter_map(|(name, place)| Some((name, place?)));
    let places = places.chain(lists.into_iter().flat_map(|(name, list)| list.iter().map(move |place| (name, *place))));
    for (name, place) in places {
        if place >= addresses {
            return Err(rejected(name, "there is no such place in addresses; the first is 0"));
        }
    }
    Ok(())
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

impl Imported {
    /// Gives the customer another number, where the one that chance has chosen is taken.
    pub fn renumber(&mut self, number: CustomerNumber) {
        if let Some(told) = self.message.as_mut().and_then(|message| message.personal.customer.as_mut()) {
            told.number = number.clone();
        }
        self.customer.number = number;
    }
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
    known: &Known,
    taken: Option<UniqueField>,
    holder: Option<&Holder>,
    announce: bool,
    ctx: &mut Ctx,
) -> Decision {
    match create::decide(&command(record), known, taken, record.password_hash.clone(), ctx) {
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
        mobile: record.mobile.clone(),
        stores: record.stores.clone(),
        authentication_mode: record.authentication_mode,
        is_email_verified: record.is_email_verified,
        profile: record.profile.clone(),
        addresses: record.address_use.clone(),
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
    let texts = TextField::ALL.map(|field| (field.name(), field.get(&record.profile) == field.get(&customer.profile)));
    let stores = record.stores.iter().all(|store| customer.stores.iter().any(|key| store.is_key(key)));
    let others = [
        ("email", record.email == customer.email),
        ("key", record.key == customer.key),
        ("externalId", record.external_id == customer.external_id),
        ("customerNumber", record.customer_number == customer.customer_number),
        ("mobile", record.mobile == customer.mobile),
        ("stores", stores && record.stores.len() == customer.stores.len()),
        ("addresses", same_addresses(record, &customer.profile)),
        ("isEmailVerified", record.is_email_verified == customer.is_email_verified),
        ("authenticationMode", record.authentication_mode == customer.authentication_mode),
        ("createdAt", record.created_at.is_none_or(|at| at == customer.created_at)),
        ("passwordHash", same_password),
    ];
    others.into_iter().chain(texts).filter_map(|(field, same)| (!same).then_some(field)).collect()
}

/// Whether they are the same in the same order and used for the same, whatever their ids are.
fn same_addresses(record: &Record, profile: &Profile) -> bool {
    let plain = |address: &Address| (address.country.clone(), address.fields.clone());
    let place = |id: &String| profile.addresses.iter().position(|address| address.id == *id);
    let places = |ids: &[String]| ids.iter().filter_map(place).collect::<BTreeSet<_>>();
    // An address that is the default one has the role as well.
    let role = |list: &[usize], default: Option<usize>| list.iter().copied().chain(default).collect::<BTreeSet<_>>();
    let used = &record.address_use;
    record.profile.addresses.iter().map(plain).eq(profile.addresses.iter().map(plain))
        && used.default_shipping == profile.default_shipping_address_id.as_ref().and_then(place)
        && used.default_billing == profile.default_billing_address_id.as_ref().and_then(place)
        && role(&used.shipping, used.default_shipping) == places(&profile.shipping_address_ids)
        && role(&used.billing, used.default_billing) == places(&profile.billing_address_ids)
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
        match decide(record, &Known::default(), None, None, announce, &mut ctx()) {
            Decision::Create(imported) => *imported,
            _ => panic!("nobody is in the way"),
        }
    }

    fn holder(record: &Record) -> Holder {
        let Imported { customer, hash, .. } = made(record, false);
        Holder { customer, hash, could_be_upgraded: false }
    }

    fn conflict(record: &Record, holder: &Holder) -> Option<Vec<&'static str>> {
        match decide(record, &Known::default(), Some(UniqueField::Email), Some(holder), false, &mut ctx()) {
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
        let texts = |field, text: &str| Fields { texts: BTreeMap::from([(field, text.to_owned())]), ..fields() };
        let address = |name: &str, value: &str| {
            let country = if name == "country" { value } else { "DE" };
            let texts = [("country", country), (name, value)];
            let texts = texts.map(|(name, value)| (name.to_owned(), value.to_owned()));
            Fields { addresses: vec![BTreeMap::from(texts)], ..fields() }
        };
        let used = |place| AddressUse { shipping: vec![place], ..AddressUse::default() };
        for (fields, says) in [
            (Fields { email: text(" ada@example.com"), ..fields() }, "email: it begins"),
            (Fields { email: text(&"x".repeat(513)), ..fields() }, "email: it is longer than 512"),
            (Fields { key: text("a b"), ..fields() }, "key: not a key"),
            (Fields { external_id: text("a\0b"), ..fields() }, "externalId: the character U+0000"),
            (texts(TextField::FirstName, &"\u{e9}".repeat(257)), "firstName: it is longer than 256"),
            (Fields { authentication_mode: text("password"), ..fields() }, "authenticationMode: not an"),
            (Fields { created_at: text("yesterday"), ..fields() }, "createdAt: not a time"),
            (Fields { created_at: text("2999-01-01T00:00:00Z"), ..fields() }, "createdAt: it is in the future"),
            (Fields { password_hash: text("s3cret"), ..fields() }, "passwordHash: not a hash"),
            (texts(TextField::DateOfBirth, "s3cret"), "dateOfBirth: it has not the form"),
            (texts(TextField::Locale, "s3cret"), "locale: it has not the form"),
            (Fields { stores: vec!["s3cret !".into()], ..fields() }, "stores: not the keys"),
            (address("country", "s3cret"), "addresses: one has no country"),
            (address("s3cret key", "x"), "addresses: there is no such in an address"),
            (address("planet", "Mars"), "addresses: there is no planet in an address"),
            (address("key", "s3cret !"), "addresses: a key of one"),
            (address("city", &"x".repeat(4097)), "addresses: it is longer than 4096"),
            (Fields { address_use: used(1), ..address("city", "Ulm") }, "shippingAddresses: there is no such place"),
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
        let other = checked(Fields {
            texts: [(TextField::LastName, "L".into())].into(),
            password_hash: Some("$x$y".into()),
            ..fields()
        });
        assert_eq!(conflict(&other.ok().unwrap(), &holder(&record)), Some(vec!["key", "passwordHash", "lastName"]));
        let told = Conflict { field: UniqueField::Email, differs: vec!["key", "lastName"] }.to_string();
        assert_eq!(told, "email: a customer has it already, and differs in key, lastName");
        assert!(matches!(
            decide(&record, &Known::default(), Some(UniqueField::Key), None, false, &mut ctx()),
            Decision::Conflict(Conflict { field: UniqueField::Key, .. })
        ));
    }

    #[test]
    fn addresses_are_compared_by_what_they_say_and_what_they_are_for() {
        let city = |city: &str| [("country", "DE"), ("city", city)].map(|(name, value)| (name.into(), value.into()));
        let used = AddressUse { default_shipping: Some(1), billing: vec![0], ..AddressUse::default() };
        let two = Fields { addresses: vec![city("Ulm").into(), city("Bonn").into()], address_use: used, ..fields() };
        let record = checked(two).ok().unwrap();
        let there = holder(&record);
        assert_eq!(there.customer.profile.shipping_address_ids.len(), 1);
        assert_eq!(conflict(&record, &there), None);
        let mut moved = record.clone();
        moved.address_use.default_shipping = Some(0);
        assert_eq!(conflict(&moved, &there), Some(vec!["addresses"]));
        let mut fewer = record;
        fewer.profile.addresses.pop();
        assert_eq!(conflict(&fewer, &there), Some(vec!["addresses"]));
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
