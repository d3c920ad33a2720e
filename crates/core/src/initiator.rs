//! Who caused a change: the commercetools `createdBy` / `lastModifiedBy` (commercetools.md 7.5).

use serde::{Deserialize, Serialize};

use crate::id::CustomerId;

/// The caller of a request, as far as it is told to others.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Initiator {
    /// The API client that the token was issued to.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub client_id: Option<String>,
    /// From the header `X-External-User-ID`, at most 128 characters. Personal: kept in side rows.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub external_user_id: Option<String>,
    /// The customer, for a token of the password flow.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub customer: Option<CustomerId>,
    /// The visitor, for a token of the anonymous flow. Callers make these ids up, of whatever they like: kept in side
    /// rows as well.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub anonymous_id: Option<String>,
}

impl Initiator {
    /// What of it may stand in a row that is never erased: ids of ours.
    pub fn impersonal(&self) -> Self {
        Self { client_id: self.client_id.clone(), customer: self.customer, external_user_id: None, anonymous_id: None }
    }
}
