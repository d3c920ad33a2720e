//! Check and complete a subscription's destination.

use keyherald_core::subscription::DestinationSettings;
use serde_json::{Map, Value};

use super::App;
use crate::destination::{self, Invalid, KINDS, Validated, cloud};

/// A destination that can be used.
pub struct Accepted {
    /// Its kind, and what readers of the subscription may see.
    pub settings: DestinationSettings,
    /// What is sealed: whatever deliveries are signed or authenticated with.
    pub secret: Option<zeroize::Zeroizing<Vec<u8>>>,
    /// Fields that only the answer to the creation shows.
    pub shown_once: Map<String, Value>,
}

/// A destination that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DestinationRefused {
    /// The contract has it, and the draft is right, but it cannot be sent to yet.
    NotAvailable {
        /// Those that can.
        available: Vec<&'static str>,
    },
    /// There is no such kind.
    UnknownKind {
        /// Those that there are.
        known: Vec<&'static str>,
    },
    /// Its settings are wrong; in clear text for the caller.
    Settings(String),
}

impl App {
    /// Has a destination's kind check its settings.
    pub fn accept_destination(&self, kind: &str, draft: &Map<String, Value>) -> Result<Accepted, DestinationRefused> {
        let wrong = |invalid: Invalid| DestinationRefused::Settings(format!("destination.{invalid}"));
        let available =
            || KINDS.iter().filter(|kind| kind.is_available(&self.destinations)).map(|kind| kind.name()).collect();
        if let Some(later) = cloud::kind(kind) {
            later.check(draft).map_err(wrong)?;
            return Err(DestinationRefused::NotAvailable { available: available() });
        }
        let Some(found) = destination::kind(kind) else {
            return Err(DestinationRefused::UnknownKind { known: available() });
        };
        let Validated { settings, secret, shown_once } =
            found.validate(draft, &self.destinations, &mut self.ctx()).map_err(wrong)?;
        Ok(Accepted { settings: DestinationSettings { kind: kind.to_owned(), settings }, secret, shown_once })
    }
}
