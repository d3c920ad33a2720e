//! Check and complete a subscription's destination.

use keyherald_core::subscription::DestinationSettings;
use serde_json::{Map, Value};

use super::App;
use crate::destination::{self, KINDS, Validated};

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
        let Some(found) = destination::kind(kind) else {
            return Err(DestinationRefused::UnknownKind { known: KINDS.iter().map(|kind| kind.name()).collect() });
        };
        let Validated { settings, secret, shown_once } = found
            .validate(draft, &self.destinations, &mut self.ctx())
            .map_err(|invalid| DestinationRefused::Settings(format!("destination.{invalid}")))?;
        Ok(Accepted { settings: DestinationSettings { kind: kind.to_owned(), settings }, secret, shown_once })
    }
}
