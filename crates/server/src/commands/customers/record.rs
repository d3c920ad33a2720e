//! One customer as a file has it: a JSON object on a line of its own, or a row of a CSV file.
//!
//! Reasons name fields and places, never values: a value may be a hash in the wrong column.

use keyherald_core::credential::PasswordHash;
use keyherald_core::customer::Customer;
use keyherald_core::id::Key;
use keyherald_core::import::{FIELDS, Fields, Rejected};
use serde_json::{Map, Value};

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
            ("isEmailVerified", "true") => Value::Bool(true),
            ("isEmailVerified", "false") => Value::Bool(false),
            _ => Value::String(text),
        };
        set(&mut fields, name, value)?;
    }
    Ok(fields)
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
    let place = match name {
        "email" => &mut fields.email,
        "key" => &mut fields.key,
        "externalId" => &mut fields.external_id,
        "customerNumber" => &mut fields.customer_number,
        "firstName" => &mut fields.first_name,
        "lastName" => &mut fields.last_name,
        "authenticationMode" => &mut fields.authentication_mode,
        "createdAt" => &mut fields.created_at,
        "passwordHash" => &mut fields.password_hash,
        "isEmailVerified" => {
            fields.is_email_verified = match value {
                Value::Null => None,
                Value::Bool(flag) => Some(flag),
                _ => return Err(Rejected(format!("{name}: not true or false"))),
            };
            return Ok(());
        }
        _ => return Err(unknown(name)),
    };
    *place = match value {
        Value::Null => None,
        Value::String(text) => Some(text),
        _ => return Err(Rejected(format!("{name}: not a text"))),
    };
    Ok(())
}

/// A name that is no word might be a value in the wrong place.
fn unknown(name: &str) -> Rejected {
    let is_word = name.len() <= 40 && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    let name = if is_word { format!("no field {name:?}") } else { "no such field".to_owned() };
    Rejected(format!("there is {name}; the fields are {}", FIELDS.join(", ")))
}

/// Writes a JSON object that [`of_json`] reads.
pub(super) fn to_json(customer: &Customer, hash: Option<&PasswordHash>) -> String {
    let profile = &customer.profile;
    let values: [(&str, Option<Value>); FIELDS.len()] = [
        ("email", Some(customer.email.clone().into())),
        ("key", customer.key.as_ref().map(|key| Key::as_str(key).into())),
        ("externalId", customer.external_id.clone().map(Value::from)),
        ("customerNumber", customer.customer_number.clone().map(Value::from)),
        ("firstName", profile.first_name.clone().map(Value::from)),
        ("lastName", profile.last_name.clone().map(Value::from)),
        ("isEmailVerified", Some(customer.is_email_verified.into())),
        ("authenticationMode", Some(customer.authentication_mode.as_str().into())),
        ("createdAt", Some(customer.created_at.iso().into())),
        ("passwordHash", hash.map(|hash| hash.as_phc().into())),
    ];
    let there = values.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    Value::Object(there.collect::<Map<_, _>>()).to_string()
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
        assert_eq!((fields.is_email_verified, fields.first_name), (Some(true), None));
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
