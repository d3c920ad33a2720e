//! A customer's descriptive texts (commercetools.md 2.2).

use keyherald_core::customer::Profile;
use keyherald_core::update::TextField;
use serde_json::Value;

use super::super::fields::Fields;
use super::super::reply::Problem;

/// Reads one of them. Absent: there is none.
pub fn text(body: &mut Fields, field: TextField) -> Result<Option<String>, Problem> {
    match body.text(field.name(), field.chars_max())? {
        Some(text) if !field.fits(&text) => Err(Problem::invalid_field(field.name(), &Value::from(text))),
        other => Ok(other),
    }
}

/// Reads all of them.
pub fn texts(body: &mut Fields) -> Result<Profile, Problem> {
    let mut profile = Profile::default();
    for field in TextField::ALL {
        *field.of(&mut profile) = text(body, field)?;
    }
    Ok(profile)
}
