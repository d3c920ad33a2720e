//! The customer: one row that serves every contract.

use std::fmt;

use serde::{Deserialize, Serialize};
use unicode_normalization::UnicodeNormalization;

use crate::credential::AuthenticationMode;
use crate::ctx::{Ctx, Micros};
use crate::id::{CustomerId, Key, Reference};
use crate::initiator::Initiator;
use crate::message::Identifiers;

/// How often a resource changed, from 1. Callers name the version that they read; another one is refused.
pub type Version = i64;

/// The numeric id that Paysafe (`customer.id`) and Naviga (local registration id) know: 12 digits, random, unique per
/// deployment. Older ones have 15.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CustomerNumber(String);

impl CustomerNumber {
    /// A new number, its first digit not 0. Whether another customer has it already is for the store to look at.
    pub fn new(ctx: &mut Ctx) -> Self {
        const LOWEST: u64 = 100_000_000_000;
        Self((LOWEST + ctx.number() % (9 * LOWEST)).to_string())
    }
}

impl fmt::Display for CustomerNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::str::FromStr for CustomerNumber {
    type Err = crate::id::NotAnId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fits = (1..=20).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
        if fits { Ok(Self(text.to_owned())) } else { Err(crate::id::NotAnId) }
    }
}

/// A mobile number in international form: `+` and 7 to 15 digits, the first not 0 (paysafe.md 3.8).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Mobile(String);

impl Mobile {
    /// The number as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::str::FromStr for Mobile {
    type Err = crate::id::NotAnId;

    /// Also with spaces, hyphens, dots and round brackets in it.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let number: String = text.chars().filter(|c| !" -.()".contains(*c)).take(17).collect();
        let digits = number.strip_prefix('+').ok_or(crate::id::NotAnId)?;
        let fits = (7..=15).contains(&digits.len())
            && digits.bytes().all(|byte| byte.is_ascii_digit())
            && !digits.starts_with('0');
        if fits { Ok(Self(number)) } else { Err(crate::id::NotAnId) }
    }
}

impl TryFrom<String> for Mobile {
    type Error = crate::id::NotAnId;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Mobile> for String {
    fn from(mobile: Mobile) -> Self {
        mobile.0
    }
}

/// A customer as it stands at one version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Customer {
    /// The id that never changes.
    pub id: CustomerId,
    /// The numeric id for contracts that want one.
    pub number: CustomerNumber,
    /// Grows by one with every change.
    pub version: Version,
    /// Sequence number of its last message; messages have 1, 2, 3 ... without gaps.
    pub last_sequence: i64,
    /// When it was created.
    pub created_at: Micros,
    /// When it was changed last.
    pub last_modified_at: Micros,
    /// Who created it.
    pub created_by: Initiator,
    /// Who changed it last.
    pub last_modified_by: Initiator,
    /// As it was typed. Compared by [`fold_email`].
    pub email: String,
    /// The caller's own key.
    pub key: Option<Key>,
    /// The caller's id of it in another system; not unique.
    pub external_id: Option<String>,
    /// The caller's customer number; unique, never changed once set.
    pub customer_number: Option<String>,
    /// The mobile number; unique.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mobile: Option<Mobile>,
    /// Who checks the password.
    pub authentication_mode: AuthenticationMode,
    /// Whether the e-mail address was proved.
    pub is_email_verified: bool,
    /// Last four characters of the stored hash, when there is one.
    pub password_tail: Option<String>,
    /// Keys of the stores that it belongs to, each once. Empty: a global customer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stores: Vec<Key>,
    /// What is only kept and shown.
    pub profile: Profile,
}

impl Customer {
    /// Addresses that one may have: each is looked for by going through all of them.
    pub const ADDRESSES_MAX: usize = 500;
    /// Stores that one may belong to.
    pub const STORES_MAX: usize = 500;

    /// Whether it belongs to no store in particular.
    pub fn is_global(&self) -> bool {
        self.stores.is_empty()
    }

    /// Whether it can be seen from this store: only its own customers can, not the global ones (commercetools.md 3).
    pub fn is_in_store(&self, store: &Key) -> bool {
        self.stores.contains(store)
    }

    /// The values that it keeps from others.
    pub fn claims(&self) -> Claims {
        Claims {
            email: self.email.clone(),
            stores: self.stores.clone(),
            key: self.key.clone(),
            customer_number: self.customer_number.clone(),
            mobile: self.mobile.clone(),
        }
    }

    /// The identifiers that messages carry, as they are at this version.
    pub fn identifiers(&self) -> Identifiers {
        Identifiers {
            key: self.key.as_ref().map(Key::to_string),
            external_id: self.external_id.clone(),
            customer_number: self.customer_number.clone(),
        }
    }

    /// Marks a change: next version, its time and its initiator.
    pub fn touch(&mut self, now: Micros, by: &Initiator) {
        self.version += 1;
        self.last_modified_at = now;
        self.last_modified_by = by.clone();
    }

    /// Takes the next sequence number for a message about this customer.
    pub fn next_sequence(&mut self) -> i64 {
        self.last_sequence += 1;
        self.last_sequence
    }
}

/// The values that no other customer of the project may have.
///
/// The e-mail address is the customer's own among the customers of its stores; a global customer has it for the whole
/// project (commercetools.md 2.4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    /// As typed; compared by [`fold_email`].
    pub email: String,
    /// Where the address is claimed. Empty: everywhere.
    pub stores: Vec<Key>,
    /// The caller's own key.
    pub key: Option<Key>,
    /// The customer number.
    pub customer_number: Option<String>,
    /// The mobile number.
    pub mobile: Option<Mobile>,
}

/// Descriptive fields. No rule of ours reads them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Profile {
    /// First name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_name: Option<String>,
    /// Last name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_name: Option<String>,
    /// Middle name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub middle_name: Option<String>,
    /// Title, such as `Dr.`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Salutation, such as `Mr.`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub salutation: Option<String>,
    /// `YYYY-MM-DD`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub date_of_birth: Option<String>,
    /// Company.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub company_name: Option<String>,
    /// VAT id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vat_id: Option<String>,
    /// IETF language tag.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub locale: Option<String>,
    /// Addresses in the order they were given. Each has its `id`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<Address>,
    /// Id of the default shipping address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_shipping_address_id: Option<String>,
    /// Id of the default billing address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_billing_address_id: Option<String>,
    /// Ids of the addresses used for shipping.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub shipping_address_ids: Vec<String>,
    /// Ids of the addresses used for billing.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub billing_address_ids: Vec<String>,
}

/// A postal address: the caller's fields as they were given, and an id of ours.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Address {
    /// Short random id.
    pub id: String,
    /// ISO 3166-1 alpha-2.
    pub country: String,
    /// All other fields of the contract's BaseAddress that were given, by their wire names.
    #[serde(default)]
    pub fields: std::collections::BTreeMap<String, String>,
}

impl Address {
    /// The names of its texts besides `country` and `key` (commercetools.md 2.2).
    pub const TEXTS: [&str; 22] = [
        "title",
        "salutation",
        "firstName",
        "lastName",
        "streetName",
        "streetNumber",
        "additionalStreetInfo",
        "postalCode",
        "city",
        "region",
        "state",
        "company",
        "department",
        "building",
        "apartment",
        "pOBox",
        "phone",
        "mobile",
        "email",
        "fax",
        "additionalAddressInfo",
        "externalId",
    ];
    /// Greatest length of one of them in characters.
    pub const TEXT_CHARS_MAX: usize = 4096;
    /// How many a customer may bring along.
    pub const MANY_MAX: usize = 500;

    /// Whether a text has the form of a country's code.
    pub fn is_country(text: &str) -> bool {
        text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_uppercase())
    }

    /// An id that none of `others` has.
    pub fn fresh_id(others: &[Self], ctx: &mut Ctx) -> String {
        const ALPHABET: &[u8; 32] = b"ABCDEFGHJKLMNPQRSTUVWXYZabcdefgh";
        loop {
            let letters = ctx.bytes::<8>().map(|byte| ALPHABET.get(usize::from(byte % 32)).copied().unwrap_or(b'A'));
            let id: String = letters.into_iter().map(char::from).collect();
            if others.iter().all(|other| other.id != id) {
                return id;
            }
        }
    }

    /// Whether `reference` names it: by its id, or by the key that the caller gave it.
    pub fn is(&self, reference: &Reference) -> bool {
        match reference {
            Reference::Id(id) => self.id == *id,
            Reference::Key(key) => self.fields.get("key") == Some(key),
        }
    }

    /// How many bytes its texts have.
    pub fn bytes(&self) -> usize {
        let fields: usize = self.fields.iter().map(|(name, value)| name.len() + value.len()).sum();
        self.id.len() + self.country.len() + fields
    }
}

/// What an address is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressRole {
    /// Goods go there.
    Shipping,
    /// Bills go there.
    Billing,
}

impl Profile {
    /// The addresses of this role and the default one among them.
    pub fn role(&self, role: AddressRole) -> (&[String], Option<&String>) {
        match role {
            AddressRole::Shipping => (&self.shipping_address_ids, self.default_shipping_address_id.as_ref()),
            AddressRole::Billing => (&self.billing_address_ids, self.default_billing_address_id.as_ref()),
        }
    }

    /// The same, to change them.
    pub(crate) fn role_mut(&mut self, role: AddressRole) -> (&mut Vec<String>, &mut Option<String>) {
        match role {
            AddressRole::Shipping => (&mut self.shipping_address_ids, &mut self.default_shipping_address_id),
            AddressRole::Billing => (&mut self.billing_address_ids, &mut self.default_billing_address_id),
        }
    }
}

/// The composed form of a text (NFC): what looks the same is the same.
pub fn composed(text: &str) -> String {
    text.nfc().collect()
}

/// The form in which e-mail addresses are compared: lower case of the whole address (commercetools.md 2.4).
pub fn fold_email(email: &str) -> String {
    email.to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_twelve_digits() {
        for seed in 0..50 {
            let number = CustomerNumber::new(&mut Ctx::new(Micros(0), [seed; 32])).to_string();
            assert_eq!(number.len(), 12, "{number}");
            assert!(!number.starts_with('0') && number.parse::<CustomerNumber>().is_ok());
        }
    }
}
