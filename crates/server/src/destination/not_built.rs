//! Kinds that this build has not: their client libraries are heavy, so each is a cargo feature.
//!
//! A draft of such a kind is refused with a text that names the feature, and a stored subscription of it is not opened.

use std::sync::Arc;

use keyherald_core::Ctx;
use serde_json::{Map, Value};

use super::{CannotOpen, Context, Destination, Invalid, Kind, Policy, Rules, Validated};

/// A kind that is not built.
pub struct NotBuilt {
    /// Its name.
    pub name: &'static str,
    /// The cargo feature that it needs.
    pub feature: &'static str,
}

impl Kind for NotBuilt {
    fn name(&self) -> &'static str {
        self.name
    }

    fn is_available(&self, _: &Policy) -> bool {
        false
    }

    fn rules(&self, _: &Map<String, Value>) -> Rules {
        Rules { gone_disables: false, persistence: None }
    }

    fn validate(&self, _: &Map<String, Value>, _: &Policy, _: &mut Ctx) -> Result<Validated, Invalid> {
        let Self { name, feature } = self;
        let text = format!("{name} needs a server that was built with the cargo feature `{feature}`; this one was not");
        Err(Invalid { field: "type", text })
    }

    fn open(&self, _: &Map<String, Value>, _: Option<&[u8]>, _: &Context) -> Result<Arc<dyn Destination>, CannotOpen> {
        Err(CannotOpen("this server was built without the cargo feature that its kind needs"))
    }
}

#[cfg(test)]
mod tests {
    use keyherald_core::Micros;

    use super::*;

    #[test]
    fn what_is_not_built_says_what_it_needs() {
        let not_built = NotBuilt { name: "Pigeon", feature: "pigeon" };
        let refused = not_built.validate(&Map::new(), &Policy::default(), &mut Ctx::new(Micros(1), [0; 32])).err();
        let text = "type: Pigeon needs a server that was built with the cargo feature `pigeon`; this one was not";
        assert_eq!(refused.unwrap().to_string(), text);
    }
}
