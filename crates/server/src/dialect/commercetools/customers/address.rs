//! A BaseAddress, and how an update names one that the customer has (commercetools.md 2.2, 2.5).

use std::collections::BTreeMap;

use keyherald_core::customer::Address;
use keyherald_core::id::Reference;
use serde_json::Value;

use super::super::fields::{Fields, INDEXED_CHARS_MAX, TEXT_CHARS_MAX};
use super::super::reply::Problem;

/// A BaseAddress: `country`, and whatever else of its texts is given. Its `id` is assigned, not taken over.
pub fn address(mut draft: Fields) -> Result<Address, Problem> {
    let country = draft.required_text("country", TEXT_CHARS_MAX)?;
    if !Address::is_country(&country) {
        return Err(Problem::invalid_field("country", &Value::from(country)));
    }
    if draft.has("custom") {
        return Err(Problem::not_available("Custom fields are"));
    }
    let mut fields = BTreeMap::new();
    if let Some(key) = draft.key("key")? {
        fields.insert("key".to_owned(), key.to_string());
    }
    for name in Address::TEXTS {
        if let Some(text) = draft.text(name, Address::TEXT_CHARS_MAX)? {
            fields.insert(name.to_owned(), text);
        }
    }
    Ok(Address { id: String::new(), country, fields })
}

/// Which of the customer's addresses: `addressId` or `addressKey`, not both.
pub fn named(action: &mut Fields) -> Result<Option<Reference>, Problem> {
    let id = action.text("addressId", INDEXED_CHARS_MAX)?;
    let key = action.text("addressKey", INDEXED_CHARS_MAX)?;
    match (id, key) {
        (Some(_), Some(_)) => Err(action.wrong("addressId", "Expected either addressId or addressKey, not both")),
        (id, key) => Ok(id.map(Reference::Id).or(key.map(Reference::Key))),
    }
}

/// The same where one must be named.
pub fn required(action: &mut Fields) -> Result<Reference, Problem> {
    named(action)?.ok_or_else(|| action.missing("addressId"))
}
