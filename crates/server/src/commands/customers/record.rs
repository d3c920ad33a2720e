//! One customer as a file has it: a JSON object on a line of its own, or a row of a CSV file.
//!
//! Reasons name fields and places, never values: a value may be a hash in the wrong column.

use std::collections::BTreeMap;

use keyherald_core::customer::{Address, Profile};
use keyherald_core::id::Key;
use keyherald_core::import::{FIELDS, Fields, Rejected};
use keyherald_core::update::TextField;
use serde_json::{Map, Value};

use crate::app::export_customers::Exported;

/// Reads a JSON object.
pub(super) fn of_json(line: &str) -> Result<Fields, Rejected> {
    // serde_json's syntax errors name a place and never a value.
    let value: Value = serde_json::from_str(line).map_err(|error| Rejected(format!("not JSON: {error}")))?;
    let Value::Object(map) = value else { return Err(Rejected("not a JSON object".to_owned())) };
    let mut fields = Fields::default();
    for (name, value) in map {
        set(&mut fields, &name, value)?;
    }
    Ok(fields)
}

/// Reads a row. An empty field counts as absent.
pub(super) fn of_csv(columns: &[String], row: Vec<String>) -> Result<Fields, Rejected> {
    if row.len() != columns.len() {
        return Err(Rejected(format!("it has {} fields, the header has {}", row.len(), columns.len())));
    }
    let mut fields = Fields::default();
    for (name, text) in columns.iter().zip(row) {
        let value = match (name.as_str(), text.as_str()) {
            (_, "") => Value::Null,
            ("stores", keys) => keys.split_whitespace().collect(),
            ("providerUsers", users) => users_of_csv(users)?,
            ("isEmailVerified", "true") => Value::Bool(true),
            ("isEmailVerified", "false") => Value::Bool(false),
            _ => Value::String(text),
        };
        set(&mut fields, name, value)?;
    }
    Ok(fields)
}

/// `auth0-main=auth0|507f1f77 ldap=42`.
fn users_of_csv(users: &str) -> Result<Value, Rejected> {
    let user = |user: &str| {
        let (provider, id) =
            user.split_once('=').ok_or_else(|| Rejected("providerUsers: not provider=id".to_owned()))?;
        Ok((provider.to_owned(), Value::from(id)))
    };
    Ok(Value::Object(users.split_whitespace().map(user).collect::<Result<_, _>>()?))
}

/// Whether the names of a CSV file's columns are fields, each at most once, and the address among them.
pub(super) fn check_columns(columns: &[String]) -> Result<(), Rejected> {
    for (place, name) in columns.iter().enumerate() {
        if !FIELDS.contains(&name.as_str()) {
            return Err(unknown(name));
        }
        if columns.iter().take(place).any(|earlier| earlier == name) {
            return Err(Rejected(format!("{name}: there are two columns of this name")));
        }
    }
    if columns.iter().any(|name| name == "email") {
        Ok(())
    } else {
        Err(Rejected("email: there is no such column; the first line must name the columns".to_owned()))
    }
}

fn set(fields: &mut Fields, name: &str, value: Value) -> Result<(), Rejected> {
    if value.is_null() && FIELDS.contains(&name) {
        return Ok(());
    }
    if let Some(field) = TextField::ALL.into_iter().find(|field| field.name() == name) {
        fields.texts.insert(field, text(name, value)?);
        return Ok(());
    }
    match name {
        "email" => fields.email = Some(text(name, value)?),
        "key" => fields.key = Some(text(name, value)?),
        "externalId" => fields.external_id = Some(text(name, value)?),
        "customerNumber" => fields.customer_number = Some(text(name, value)?),
        "mobile" => fields.mobile = Some(text(name, value)?),
        "authenticationMode" => fields.authentication_mode = Some(text(name, value)?),
        "createdAt" => fields.created_at = Some(text(name, value)?),
        "passwordHash" => fields.password_hash = Some(text(name, value)?),
        "isEmailVerified" => fields.is_email_verified = Some(flag(name, &value)?),
        "stores" => fields.stores = each(name, value, store_key)?,
        "addresses" => fields.addresses = each(name, value, texts)?,
        "defaultShippingAddress" => fields.address_use.default_shipping = Some(place(name, &value)?),
        "defaultBillingAddress" => fields.address_use.default_billing = Some(place(name, &value)?),
        "shippingAddresses" => fields.address_use.shipping = places(name, value)?,
        "billingAddresses" => fields.address_use.billing = places(name, value)?,
        "providerUsers" => fields.provider_users = texts(name, value)?,
        _ => return Err(unknown(name)),
    }
    Ok(())
}

fn text(name: &str, value: Value) -> Result<String, Rejected> {
    match value {
        Value::String(text) => Ok(text),
        _ => Err(Rejected(format!("{name}: not a text"))),
    }
}

fn flag(name: &str, value: &Value) -> Result<bool, Rejected> {
    value.as_bool().ok_or_else(|| Rejected(format!("{name}: not true or false")))
}

fn list(name: &str, value: Value) -> Result<Vec<Value>, Rejected> {
    match value {
        Value::Array(values) => Ok(values),
        _ => Err(Rejected(format!("{name}: not a list"))),
    }
}

fn each<T>(name: &str, value: Value, read: fn(&str, Value) -> Result<T, Rejected>) -> Result<Vec<T>, Rejected> {
    list(name, value)?.into_iter().map(|value| read(name, value)).collect()
}

/// A store by its key, or as the contract refers to one: `{"typeId": "store", "key": "..."}`.
fn store_key(name: &str, value: Value) -> Result<String, Rejected> {
    match value {
        Value::Object(mut reference) => text(name, reference.remove("key").unwrap_or_default()),
        plain => text(name, plain),
    }
}

fn texts(name: &str, value: Value) -> Result<BTreeMap<String, String>, Rejected> {
    let Value::Object(map) = value else { return Err(Rejected(format!("{name}: not an object of texts"))) };
    let there = map.into_iter().filter(|(_, value)| !value.is_null());
    there.map(|(field, value)| Ok((field, text(name, value)?))).collect()
}

fn place(name: &str, value: &Value) -> Result<usize, Rejected> {
    let place = value.as_u64().and_then(|place| usize::try_from(place).ok());
    place.ok_or_else(|| Rejected(format!("{name}: not the place of an address; the first is 0")))
}

fn places(name: &str, value: Value) -> Result<Vec<usize>, Rejected> {
    list(name, value)?.iter().map(|value| place(name, value)).collect()
}

/// A name that is no word might be a value in the wrong place.
fn unknown(name: &str) -> Rejected {
    let is_word = name.len() <= 40 && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    let name = if is_word { format!("no field {name:?}") } else { "no such field".to_owned() };
    Rejected(format!("there is {name}; the fields are {}", FIELDS.join(", ")))
}

/// Writes a JSON object that [`of_json`] reads.
pub(super) fn to_json(exported: &Exported) -> String {
    let Exported { customer, hash, links } = exported;
    let mut map = Map::new();
    let mut put = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            map.insert(name.to_owned(), value);
        }
    };
    put("email", Some(customer.email.clone().into()));
    put("key", customer.key.as_ref().map(|key| key.as_str().into()));
    put("externalId", customer.external_id.clone().map(Value::from));
    put("customerNumber", customer.customer_number.clone().map(Value::from));
    put("mobile", customer.mobile.as_ref().map(|mobile| mobile.as_str().into()));
    for field in TextField::ALL {
        put(field.name(), field.get(&customer.profile).cloned().map(Value::from));
    }
    put("isEmailVerified", Some(customer.is_email_verified.into()));
    put("authenticationMode", Some(customer.authentication_mode.as_str().into()));
    put("createdAt", Some(customer.created_at.iso().into()));
    put("passwordHash", hash.as_ref().map(|hash| hash.as_phc().into()));
    let stores: Vec<&str> = customer.stores.iter().map(Key::as_str).collect();
    put("stores", (!stores.is_empty()).then(|| stores.into()));
    put_addresses(&mut put, &customer.profile);
    let users = links.iter().map(|link| (link.provider.to_string(), link.user.as_str().into()));
    put("providerUsers", (!links.is_empty()).then(|| Value::Object(users.collect())));
    Value::Object(map).to_string()
}

fn put_addresses(put: &mut impl FnMut(&str, Option<Value>), profile: &Profile) {
    if profile.addresses.is_empty() {
        return;
    }
    let address = |address: &Address| {
        let mut map: Map<String, Value> = address.fields.iter().map(|(k, v)| (k.clone(), v.clone().into())).collect();
        map.insert("country".to_owned(), address.country.clone().into());
        Value::Object(map)
    };
    let place = |id: &String| profile.addresses.iter().position(|address| address.id == *id);
    let places = |ids: &[String]| ids.iter().filter_map(place).collect::<Vec<_>>();
    let some = |places: Vec<usize>| (!places.is_empty()).then(|| places.into());
    put("addresses", Some(profile.addresses.iter().map(address).collect()));
    put("defaultShippingAddress", profile.default_shipping_address_id.as_ref().and_then(place).map(Value::from));
    put("defaultBillingAddress", profile.default_billing_address_id.as_ref().and_then(place).map(Value::from));
    put("shippingAddresses", some(places(&profile.shipping_address_ids)));
    put("billingAddresses", some(places(&profile.billing_address_ids)));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(line: &str) -> String {
        of_json(line).err().unwrap().0
    }

    #[test]
    fn reasons_name_fields_and_places_but_no_values() {
        for (line, says) in [
            ("{", "not JSON: EOF while parsing an object at line 1 column 1"),
            ("[]", "not a JSON object"),
            ("{\"email\":7}", "email: not a text"),
            ("{\"passwordHash\":[\"$2b$10$secret\"]}", "passwordHash: not a text"),
            ("{\"isEmailVerified\":\"$2b$10$secret\"}", "isEmailVerified: not true or false"),
            ("{\"password\":\"secret\"}", "there is no field \"password\"; the fields are email, key"),
            ("{\"$2b$10$secret\":1}", "there is no such field"),
            ("{\"stores\":\"secret\"}", "stores: not a list"),
            ("{\"stores\":[{\"id\":\"secret\"}]}", "stores: not a text"),
            ("{\"addresses\":[{\"city\":[\"secret\"]}]}", "addresses: not a text"),
            ("{\"shippingAddresses\":[\"secret\"]}", "shippingAddresses: not the place"),
            ("{\"email\":\"a\0secret\"}", "not JSON: control character"),
            ("{\"email\":\"a\"} secret", "not JSON: trailing characters"),
        ] {
            let told = reason(line);
            assert!(told.starts_with(says), "{told}");
            assert!(!told.contains("secret"), "{told}");
        }
    }

    #[test]
    fn a_row_is_read_by_its_columns() {
        let columns = ["isEmailVerified", "email", "firstName"].map(str::to_owned);
        let row = |texts: [&str; 3]| of_csv(&columns, texts.map(str::to_owned).to_vec());
        let fields = row(["true", "ada@example.com", ""]).ok().unwrap();
        assert_eq!(fields.email.as_deref(), Some("ada@example.com"));
        assert_eq!((fields.is_email_verified, fields.texts.len()), (Some(true), 0));
        assert_eq!(row(["yes", "a", ""]).err().unwrap().0, "isEmailVerified: not true or false");
        let short = of_csv(&columns, vec![String::new()]).err().unwrap().0;
        assert_eq!(short, "it has 1 fields, the header has 3");
    }

    #[test]
    fn columns_must_be_known_and_single() {
        let check = |names: &[&str]| check_columns(&names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
        assert_eq!(check(&["email", "passwordHash"]), Ok(()));
        assert!(check(&["email", "phone"]).unwrap_err().0.starts_with("there is no field \"phone\""));
        assert!(check(&["email", "email"]).unwrap_err().0.starts_with("email: there are two"));
        assert!(check(&["key"]).unwrap_err().0.starts_with("email: there is no such column"));
    }
}
