//! Stores (commercetools.md chapter 4), as far as customers need them: made and read. They are never changed or deleted
//! here, so that a customer's store is always there.

pub mod create;
pub mod get;
pub mod query;

use keyherald_core::project::LanguageTag;
use keyherald_core::shop::Shop;
use serde_json::{Map, Value};

use crate::format::commercetools::{Object, initiator};
use crate::predicate::Field;

/// What stores can be queried by.
static FIELDS: &[Field] = &[
    Field::text("id"),
    Field::text("key"),
    Field::integer("version"),
    Field::date_time("createdAt"),
    Field::date_time("lastModifiedAt"),
];

/// A store. The contract's clients want to see lists of things that are not here (channels, product selections): they
/// are empty.
fn shown(shop: &Shop) -> Value {
    let name: Map<String, Value> = shop.name.iter().map(|(tag, text)| (tag.clone(), text.as_str().into())).collect();
    let languages: Vec<&str> = shop.languages.iter().map(LanguageTag::as_str).collect();
    let countries: Vec<Value> =
        shop.countries.iter().map(|code| Object::default().with("code", code.as_str()).into()).collect();
    Object::default()
        .with("id", shop.id.to_string())
        .with("version", shop.version)
        .with("createdAt", shop.created_at.iso())
        .with("lastModifiedAt", shop.last_modified_at.iso())
        .with("lastModifiedBy", initiator(&shop.last_modified_by))
        .with("createdBy", initiator(&shop.created_by))
        .with("key", shop.key.as_str())
        .with_some("name", (!name.is_empty()).then_some(name))
        .with("languages", languages)
        .with("countries", countries)
        .with("distributionChannels", Vec::<Value>::new())
        .with("supplyChannels", Vec::<Value>::new())
        .with("productSelections", Vec::<Value>::new())
        .into()
}
