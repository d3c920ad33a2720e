//! Resource identifiers: `{typeId?, id}` or `{typeId?, key}` (commercetools.md 2.2).

use keyherald_core::id::Reference;

use super::super::fields::{Fields, INDEXED_CHARS_MAX};
use super::super::reply::Problem;

/// Stores, and customer groups, that one list may name (commercetools.md 2.2).
pub const REFERENCES_MAX: usize = 500;

/// Reads one: by id or by key, not by both.
pub fn reference(mut of: Fields, type_id: &'static str) -> Result<Reference, Problem> {
    of.one_of("typeId", &[(type_id, ())])?;
    match (of.text("id", INDEXED_CHARS_MAX)?, of.text("key", INDEXED_CHARS_MAX)?) {
        (Some(id), None) => Ok(Reference::Id(id)),
        (None, Some(key)) => Ok(Reference::Key(key)),
        (None, None) => Err(of.missing("id")),
        (Some(_), Some(_)) => Err(of.wrong("id", "Expected either id or key, not both")),
    }
}

/// The stores of a list; absent: none.
pub fn stores(body: &mut Fields) -> Result<Vec<Reference>, Problem> {
    body.objects("stores", REFERENCES_MAX)?.into_iter().map(|store| reference(store, "store")).collect()
}

/// The customer group that an assignment, or an action about one, names.
pub fn group(of: &mut Fields) -> Result<Option<Reference>, Problem> {
    of.object("customerGroup")?.map(|group| reference(group, "customer-group")).transpose()
}

/// The customer groups of a list of assignments; absent: none.
pub fn groups(body: &mut Fields) -> Result<Vec<Reference>, Problem> {
    let named = |mut assignment: Fields| group(&mut assignment)?.ok_or_else(|| assignment.missing("customerGroup"));
    body.objects("customerGroupAssignments", REFERENCES_MAX)?.into_iter().map(named).collect()
}
