//! What a wallet elsewhere must be told whose customers sign in here: that a password was changed (paysafe.md 5.3).
//!
//! A [`WalletNotice`] is a message cut down to that. Under which of its names the wallet knows the customer is for whoever
//! sends it.

use serde::{Deserialize, Serialize};

use crate::ctx::Micros;
use crate::message::{Content, Identifiers};

/// What one notice must say.
// No `Debug`: it has the names of a customer.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WalletNotice {
    /// The customer's own names.
    #[serde(default)]
    pub names: Identifiers,
    /// When the password was changed.
    pub at: Micros,
}

impl WalletNotice {
    /// The message that brings one about: resource type and type.
    pub const MESSAGE: (&'static str, &'static str) = ("customer", "CustomerPasswordUpdated");

    /// The one about `content`. `None`: there is none.
    pub fn about(content: &Content, at: Micros, names: &Identifiers) -> Option<Self> {
        matches!(content, Content::CustomerPasswordUpdated { .. }).then(|| Self { names: names.clone(), at })
    }
}

/// Which of a customer's names is its id in a wallet elsewhere.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WalletName {
    /// `externalId`
    #[default]
    ExternalId,
    /// `key`
    Key,
    /// `customerNumber`
    CustomerNumber,
}

impl WalletName {
    /// The longest id of the contract, in characters.
    const CHARS_MAX: usize = 20;

    /// The customer's id there. `None`: it has no such name, or none that could be an id.
    pub fn of(self, names: &Identifiers) -> Option<&str> {
        let name = match self {
            Self::ExternalId => &names.external_id,
            Self::Key => &names.key,
            Self::CustomerNumber => &names.customer_number,
        };
        name.as_deref().filter(|name| !name.is_empty() && name.chars().count() <= Self::CHARS_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_can_be_no_id_is_none() {
        let names = |external_id: &str| Identifiers {
            external_id: Some(external_id.to_owned()),
            key: Some("c-1".to_owned()),
            customer_number: None,
        };
        assert_eq!(WalletName::ExternalId.of(&names("500000334204")), Some("500000334204"));
        assert_eq!(WalletName::ExternalId.of(&names(&"9".repeat(20))).map(str::len), Some(20));
        for none in ["", "012345678901234567890"] {
            assert_eq!(WalletName::ExternalId.of(&names(none)), None, "{none}");
        }
        assert_eq!(WalletName::Key.of(&names("1")), Some("c-1"));
        assert_eq!(WalletName::CustomerNumber.of(&names("1")), None);
    }

    #[test]
    fn there_is_one_about_passwords_alone() {
        let names = Identifiers::default();
        let at = Micros(7);
        let about = |content: &Content| WalletNotice::about(content, at, &names).map(|notice| notice.at);
        assert_eq!(about(&Content::CustomerPasswordUpdated { reset: true }), Some(at));
        assert_eq!(about(&Content::CustomerPasswordUpdated { reset: false }), Some(at));
        assert_eq!(about(&Content::CustomerDeleted { data_erasure: false }), None);
    }
}
