//! What Naviga's contract keeps of a user besides the customer's row (naviga.md 3.2, 3.3). No rule of ours reads it.

use serde_json::{Map, Value};

use crate::Micros;

/// The fields that the customer's row has no place for. No `Debug`: they are personal.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct UserRecord {
    /// The caller's own fields.
    pub metadata: Map<String, Value>,
    /// When the user signed out last, as the caller says.
    pub last_logout_at: Option<Micros>,
}

impl UserRecord {
    /// Longest metadata in bytes of JSON.
    pub const METADATA_BYTES_MAX: usize = 32 * 1024;

    /// Sets these fields and leaves the others; a `null` removes one. False, and nothing is changed: they would be too
    /// long together.
    #[must_use]
    pub fn merge(&mut self, fields: &Map<String, Value>) -> bool {
        let mut merged = self.metadata.clone();
        for (name, value) in fields {
            if value.is_null() {
                merged.remove(name);
            } else {
                merged.insert(name.clone(), value.clone());
            }
        }
        let fits = Value::Object(merged.clone()).to_string().len() <= Self::METADATA_BYTES_MAX;
        if fits {
            self.metadata = merged;
        }
        fits
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn metadata_is_merged_field_by_field_within_its_limit() {
        let mut record = UserRecord::default();
        let merge = |record: &mut UserRecord, fields: Value| record.merge(fields.as_object().unwrap());
        assert!(merge(&mut record, json!({"a": 1, "b": {"c": 2}})));
        assert!(merge(&mut record, json!({"a": null, "d": "x"})));
        assert_eq!(Value::Object(record.metadata.clone()), json!({"b": {"c": 2}, "d": "x"}));
        let before = record.clone();
        assert!(!merge(&mut record, json!({"long": "x".repeat(UserRecord::METADATA_BYTES_MAX)})));
        assert!(record == before);
    }
}
