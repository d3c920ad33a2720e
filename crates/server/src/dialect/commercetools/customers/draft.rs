//! A CustomerDraft (commercetools.md 2.2), checked for its form.
//!
//! Accepted and ignored: `anonymousCart`, `anonymousCartId`, `anonymousId` (there are no carts here). Refused: references
//! to stores and customer groups, of which there are none yet, and custom fields.

use std::collections::BTreeMap;

use keyherald_core::Micros;
use keyherald_core::create::{AddressUse, Command};
use keyherald_core::credential::AuthenticationMode;
use keyherald_core::customer::{Address, Profile};
use keyherald_core::initiator::Initiator;
use keyherald_core::secret::Password;
use serde_json::Value;

use super::super::fields::{EMAIL_CHARS_MAX, Fields, INDEXED_CHARS_MAX, TEXT_CHARS_MAX};
use super::super::reply::Problem;

/// Addresses, and uses of addresses, that a draft may have.
const ADDRESSES_MAX: usize = 500;
/// Stores, and customer groups, that a draft may name (commercetools.md 2.2).
const REFERENCES_MAX: usize = 500;

const MODES: [(&str, AuthenticationMode); 2] =
    [("Password", AuthenticationMode::Password), ("ExternalAuth", AuthenticationMode::ExternalAuth)];

/// The texts of a BaseAddress besides `country`.
const ADDRESS_TEXTS: [&str; 22] = [
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

/// Reads a draft. The password is there in Password mode only.
pub fn read(mut body: Fields, by: &Initiator) -> Result<(Command, Option<Password>), Problem> {
    let email = body.required_text("email", EMAIL_CHARS_MAX)?;
    if email.trim().is_empty() {
        return Err(Problem::invalid_field("email", &Value::from(email)));
    }
    let authentication_mode = body.one_of("authenticationMode", &MODES)?.unwrap_or_default();
    let password = match authentication_mode {
        AuthenticationMode::Password => Some(body.new_password("password")?),
        AuthenticationMode::ExternalAuth => None,
    };
    let key = body.key("key")?;
    let customer_number = body.text("customerNumber", INDEXED_CHARS_MAX)?;
    let external_id = body.text("externalId", INDEXED_CHARS_MAX)?;
    let is_email_verified = body.boolean("isEmailVerified")?.unwrap_or(false);
    let profile = profile(&mut body)?;
    let addresses = address_use(&mut body, profile.addresses.len())?;
    refuse_references(&mut body)?;
    let command = Command {
        email,
        key,
        external_id,
        customer_number,
        stores: Vec::new(),
        authentication_mode,
        is_email_verified,
        profile,
        addresses,
        by: by.clone(),
    };
    Ok((command, password))
}

fn profile(body: &mut Fields) -> Result<Profile, Problem> {
    Ok(Profile {
        first_name: body.text("firstName", INDEXED_CHARS_MAX)?,
        last_name: body.text("lastName", INDEXED_CHARS_MAX)?,
        middle_name: body.text("middleName", TEXT_CHARS_MAX)?,
        title: body.text("title", TEXT_CHARS_MAX)?,
        salutation: body.text("salutation", TEXT_CHARS_MAX)?,
        date_of_birth: checked(body, "dateOfBirth", is_date)?,
        company_name: body.text("companyName", TEXT_CHARS_MAX)?,
        vat_id: body.text("vatId", TEXT_CHARS_MAX)?,
        locale: checked(body, "locale", is_language_tag)?,
        addresses: body.objects("addresses", ADDRESSES_MAX)?.into_iter().map(address).collect::<Result<_, _>>()?,
        ..Profile::default()
    })
}

/// A text of a form.
fn checked(body: &mut Fields, name: &str, fits: fn(&str) -> bool) -> Result<Option<String>, Problem> {
    match body.text(name, TEXT_CHARS_MAX)? {
        Some(text) if !fits(&text) => Err(Problem::invalid_field(name, &Value::from(text))),
        other => Ok(other),
    }
}

/// `YYYY-MM-DD`, a day that there is.
fn is_date(text: &str) -> bool {
    let shaped = text.len() == 10
        && text
            .bytes()
            .enumerate()
            .all(|(at, byte)| if at == 4 || at == 7 { byte == b'-' } else { byte.is_ascii_digit() });
    shaped && Micros::parse_iso(&format!("{text}T00:00:00Z")).is_some()
}

/// A language tag such as `de` or `de-AT`. Projects have no list of languages yet to hold it against.
fn is_language_tag(text: &str) -> bool {
    let mut parts = text.split('-');
    let language = parts.next().unwrap_or_default();
    let is_part = |part: &str| (1..=8).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_alphanumeric());
    text.len() <= 35
        && (2..=8).contains(&language.len())
        && language.bytes().all(|byte| byte.is_ascii_alphabetic())
        && parts.all(is_part)
}

/// A BaseAddress: `country`, and whatever else of its texts is given. Its `id` is assigned, not taken over.
fn address(mut draft: Fields) -> Result<Address, Problem> {
    let country = draft.required_text("country", TEXT_CHARS_MAX)?;
    if country.len() != 2 || !country.bytes().all(|byte| byte.is_ascii_uppercase()) {
        return Err(Problem::invalid_field("country", &Value::from(country)));
    }
    if draft.has("custom") {
        return Err(Problem::not_available("Custom fields are"));
    }
    let mut fields = BTreeMap::new();
    if let Some(key) = draft.key("key")? {
        fields.insert("key".to_owned(), key.to_string());
    }
    for name in ADDRESS_TEXTS {
        if let Some(text) = draft.text(name, TEXT_CHARS_MAX)? {
            fields.insert(name.to_owned(), text);
        }
    }
    Ok(Address { id: String::new(), country, fields })
}

/// Which of the addresses are used for what: indices, each of which must exist.
fn address_use(body: &mut Fields, addresses: usize) -> Result<AddressUse, Problem> {
    let index = |name: &str, value: i64| {
        let index = usize::try_from(value).ok().filter(|index| *index < addresses);
        index.ok_or_else(|| Problem::invalid_field(name, &Value::from(value)))
    };
    let mut one = |name: &str| body.integer(name)?.map(|value| index(name, value)).transpose();
    let (default_shipping, default_billing) = (one("defaultShippingAddress")?, one("defaultBillingAddress")?);
    let mut many = |name: &str| -> Result<Vec<usize>, Problem> {
        body.integers(name, ADDRESSES_MAX)?.into_iter().map(|value| index(name, value)).collect()
    };
    let (shipping, billing) = (many("shippingAddresses")?, many("billingAddresses")?);
    Ok(AddressUse { default_shipping, default_billing, shipping, billing })
}

fn refuse_references(body: &mut Fields) -> Result<(), Problem> {
    if let Some(store) = body.objects("stores", REFERENCES_MAX)?.into_iter().next() {
        return Err(unknown_reference("store", store));
    }
    if let Some(group) = body.object("customerGroup")? {
        return Err(unknown_reference("customer-group", group));
    }
    if let Some(mut assignment) = body.objects("customerGroupAssignments", REFERENCES_MAX)?.into_iter().next() {
        assignment.require("customerGroup")?;
        if let Some(group) = assignment.object("customerGroup")? {
            return Err(unknown_reference("customer-group", group));
        }
    }
    if body.has("custom") {
        return Err(Problem::not_available("Custom fields are"));
    }
    Ok(())
}

/// The problem with a resource identifier that names nothing here: by id or by key, not by both.
fn unknown_reference(type_id: &'static str, mut reference: Fields) -> Problem {
    let mut read = || {
        reference.one_of("typeId", &[(type_id, ())])?;
        Ok((reference.text("id", INDEXED_CHARS_MAX)?, reference.text("key", INDEXED_CHARS_MAX)?))
    };
    match read() {
        Err(problem) => problem,
        Ok((Some(id), None)) => Problem::reference_not_found(type_id, ("id", &id)),
        Ok((None, Some(key))) => Problem::reference_not_found(type_id, ("key", &key)),
        Ok((None, None)) => reference.missing("id"),
        Ok((Some(_), Some(_))) => reference.wrong("id", "Expected either id or key, not both"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_days_that_there_are() {
        for (text, fits) in [
            ("1975-02-28", true),
            ("2024-02-29", true),
            ("2023-02-29", false),
            ("1975-2-28", false),
            ("1975-13-01", false),
            ("1975-02-28T", false),
            ("+975-02-28", false),
            ("", false),
        ] {
            assert_eq!(is_date(text), fits, "{text}");
        }
    }

    #[test]
    fn language_tags() {
        for (text, fits) in
            [("de", true), ("de-AT", true), ("zh-Hant-TW", true), ("d", false), ("de_AT", false), ("", false)]
        {
            assert_eq!(is_language_tag(text), fits, "{text}");
        }
    }
}
