//! The project: its messages setting (commercetools.md chapter 4).

pub mod get;
pub mod update;

use keyherald_core::project::{LanguageTag, Project};
use serde_json::{Value, json};

use crate::format::commercetools::Object;

/// A project. The contract's clients want to see settings of things that are not here (carts, inventory, discounts): they
/// are shown with its defaults.
fn shown(project: &Project) -> Value {
    let messages = json!({"enabled": project.messages.enabled, "deleteDaysAfterCreation": project.messages.days});
    let languages: Vec<&str> = project.languages.iter().map(LanguageTag::as_str).collect();
    Object::default()
        .with("version", project.version)
        .with("key", project.key.as_str())
        .with("name", project.name.as_str())
        .with("countries", Vec::<Value>::new())
        .with("currencies", Vec::<Value>::new())
        .with("languages", languages)
        .with("createdAt", project.created_at.iso())
        .with("messages", messages)
        .with("carts", json!({"deleteDaysAfterLastModification": 90, "countryTaxRateFallbackEnabled": false}))
        .with("inventory", json!({"releaseExpiredReservations": true, "reservationExpirationInMinutes": 1440}))
        .with("discounts", json!({"discountCombinationMode": "Stacking"}))
        .into()
}
