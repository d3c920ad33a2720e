//! Check and complete a subscription's destination.

use keyherald_core::Micros;
use keyherald_core::id::ProjectKey;
use keyherald_core::subscription::{DestinationSettings, FormatKind, Subscription};
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use super::App;
use crate::destination::{self, Invalid, KINDS, Validated, cloud};

/// A destination that can be used.
pub struct Accepted {
    /// Its kind, and what readers of the subscription may see.
    pub settings: DestinationSettings,
    /// What is sealed: whatever deliveries are signed or authenticated with.
    pub secret: Option<Zeroizing<Vec<u8>>>,
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

/// What is sealed for a destination that takes the place of another: its secret, and with the same kind what that keeps.
pub(super) fn succeed(
    to: &mut DestinationSettings,
    secret: Option<Zeroizing<Vec<u8>>>,
    former: Option<(&DestinationSettings, Zeroizing<Vec<u8>>)>,
    now: Micros,
) -> Option<Zeroizing<Vec<u8>>> {
    match (secret, former, destination::kind(&to.kind)) {
        (Some(secret), Some((from, former)), Some(kind)) if from.kind == to.kind => {
            Some(kind.succeed(&mut to.settings, (secret, &former), now))
        }
        (secret, ..) => secret,
    }
}

/// Completes a destination's settings by what its subscription is called.
pub(super) fn complete(project: &ProjectKey, subscription: &mut Subscription) {
    let name = subscription.key.as_ref().map_or_else(|| subscription.id.to_string(), ToString::to_string);
    let to = &mut subscription.destination;
    if let Some(kind) = destination::kind(&to.kind) {
        kind.complete(&mut to.settings, (project, &name));
    }
}

/// How the contract names a destination that a test message must reach before it is stored.
pub(super) fn tested_as(to: &DestinationSettings) -> Option<String> {
    destination::kind(&to.kind)?.tested_as(&to.settings)
}

/// Refuses a destination that does not go with the subscription's format.
pub fn check_format(to: &DestinationSettings, format: FormatKind) -> Result<(), DestinationRefused> {
    let suits = destination::kind(&to.kind).map_or(Ok(()), |kind| kind.suits(&to.settings, format));
    suits.map_err(|invalid| DestinationRefused::Settings(format!("destination.{invalid}")))
}

impl App {
    /// Has a destination's kind check its settings.
    pub fn accept_destination(&self, kind: &str, draft: &Map<String, Value>) -> Result<Accepted, DestinationRefused> {
        let wrong = |invalid: Invalid| DestinationRefused::Settings(format!("destination.{invalid}"));
        let available =
            || KINDS.iter().filter(|kind| kind.is_available(&self.destinations)).map(|kind| kind.name()).collect();
        if let (Some(later), None) = (cloud::kind(kind), destination::kind(kind)) {
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
