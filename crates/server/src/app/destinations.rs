//! Check and complete a subscription's destination.

use keyherald_core::subscription::DestinationSettings;
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use super::App;
use crate::destination::{self, KINDS, Validated};

/// A destination that can be used.
pub struct Accepted {
    /// What readers of the subscription may see.
    pub settings: DestinationSettings,
    /// What is sealed: whatever deliveries are signed or authenticated with.
    pub secret: Option<Zeroizing<Vec<u8>>>,
    /// Fields that only the answer to the creation shows.
    pub shown_once: Map<String, Value>,
}

/// A destination that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DestinationRefused {
    /// There is no such kind.
    UnknownKind {
        /// Those that there are.
        known: Vec<&'static str>,
    },
    /// One of its settings is wrong.
    Setting {
        /// Its name.
        field: &'static str,
        /// What is wrong with it, for its author.
        text: String,
    },
}

impl App {
    /// Has a destination's kind check its settings.
    pub fn accept_destination(&self, kind: &str, draft: &Map<String, Value>) -> Result<Accepted, DestinationRefused> {
        let unknown = || DestinationRefused::UnknownKind { known: KINDS.iter().map(|kind| kind.name()).collect() };
        let found = destination::kind(kind).ok_or_else(unknown)?;
        let Validated { settings, secret, shown_once } = found
            .validate(draft, &self.destinations, &mut self.ctx())
            .map_err(|invalid| DestinationRefused::Setting { field: invalid.field, text: invalid.text })?;
        let settings = DestinationSettings { kind: found.name().to_owned(), settings };
        Ok(Accepted { settings, secret, shown_once })
    }
}
