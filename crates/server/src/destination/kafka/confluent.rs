//! `ConfluentCloud`, as the commercetools contract has it (commercetools.md 8.2).
//!
//! `acks` is kept and shown, and all replicas in step are waited for whatever it says: with less nobody could say that a message
//! has arrived. `key` makes one key of all records; without it the key is the customer's id. A message that is larger than the
//! topic allows goes without its payload.

use std::sync::Arc;

use keyherald_core::Ctx;
use serde_json::{Map, Value};

use super::{Cluster, SCHEMES, topic};
use crate::destination::broker::access::{Access, Draft};
use crate::destination::broker::line::Line;
use crate::destination::{CannotOpen, Context, Destination, Invalid, Kind, Policy, Rules, Validated, cloud};

const NAME: &str = "ConfluentCloud";
/// In place of the secret, where the contract's clients expect a text.
const HIDDEN: &str = "****";

/// The kind.
#[derive(Clone, Copy, Debug)]
pub struct ConfluentCloud;

impl Kind for ConfluentCloud {
    fn name(&self) -> &'static str {
        NAME
    }

    fn rules(&self, _: &Map<String, Value>) -> Rules {
        Rules { gone_disables: false, persistence: None }
    }

    fn validate(&self, fields: &Map<String, Value>, policy: &Policy, _: &mut Ctx) -> Result<Validated, Invalid> {
        if let Some(kind) = cloud::kind(NAME) {
            kind.check(fields)?;
        }
        let mut said = in_our_words(fields);
        said.insert("password".to_owned(), fields.get("apiSecret").cloned().unwrap_or_default());
        let in_theirs = |invalid: Invalid| Invalid { field: theirs(invalid.field), ..invalid };
        let mut draft = Draft::new(&said, &SCHEMES, policy).map_err(in_theirs)?;
        topic(&mut draft).map_err(in_theirs)?;
        let (_, secret) = draft.finish();
        let shown = |name: &&str| fields.get(*name).is_some_and(|value| !value.is_null());
        let names = ["bootstrapServer", "apiKey", "apiSecret", "acks", "topic", "key"];
        let kept = names.into_iter().filter(shown).map(|name| match name {
            "apiSecret" => (name.to_owned(), HIDDEN.into()),
            _ => (name.to_owned(), fields.get(name).cloned().unwrap_or_default()),
        });
        Ok(Validated { settings: kept.collect(), secret, shown_once: Map::new() })
    }

    fn tested_as(&self, settings: &Map<String, Value>) -> Option<String> {
        let text = |field: &str| settings.get(field).and_then(Value::as_str).unwrap_or_default();
        Some(format!("ConfluentCloud topic '{}' at '{}'", text("topic"), text("bootstrapServer")))
    }

    fn open(
        &self,
        settings: &Map<String, Value>,
        secret: Option<&[u8]>,
        context: &Context,
    ) -> Result<Arc<dyn Destination>, CannotOpen> {
        let said = in_our_words(settings);
        let access = Access::open(&said, secret, &SCHEMES, context)?;
        let key = settings.get("key").and_then(Value::as_str).map(str::to_owned);
        let cluster = Cluster { key, shortens: true, ..Cluster::new(&access, &said, context)? };
        Ok(Arc::new(Line::new(cluster, context.attempt_timeout)))
    }
}

/// As fields of `Kafka`: always with TLS, the system's authorities, and SASL's PLAIN.
fn in_our_words(fields: &Map<String, Value>) -> Map<String, Value> {
    let text = |name: &str| fields.get(name).cloned().unwrap_or_default();
    let server = fields.get("bootstrapServer").and_then(Value::as_str).unwrap_or_default();
    let url = format!("{}://{server}", SCHEMES.secure.0);
    let fields = [("url", url.into()), ("user", text("apiKey")), ("topic", text("topic"))];
    fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// What a field of `Kafka` is called in the contract.
fn theirs(field: &'static str) -> &'static str {
    match field {
        "url" => "bootstrapServer",
        "user" => "apiKey",
        "password" => "apiSecret",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use keyherald_core::Micros;
    use serde_json::json;

    use super::*;

    fn draft() -> Value {
        json!({"type": NAME, "bootstrapServer": "x.eu.aws.confluent.cloud:9092", "apiKey": "k", "apiSecret": "hush",
            "acks": "1", "topic": "customers", "key": null})
    }

    fn validate(draft: &Value) -> Result<Validated, Invalid> {
        let mut ctx = Ctx::new(Micros(1), [0; 32]);
        ConfluentCloud.validate(draft.as_object().unwrap(), &Policy::default(), &mut ctx)
    }

    #[test]
    fn the_contract_s_fields_are_kept_and_the_secret_is_hidden() {
        let validated = validate(&draft()).ok().unwrap();
        let shown = json!({"bootstrapServer": "x.eu.aws.confluent.cloud:9092", "apiKey": "k", "apiSecret": HIDDEN,
            "acks": "1", "topic": "customers"});
        let tested_as = ConfluentCloud.tested_as(&validated.settings).unwrap();
        assert_eq!(tested_as, "ConfluentCloud topic 'customers' at 'x.eu.aws.confluent.cloud:9092'");
        assert_eq!(Value::from(validated.settings), shown);
        assert_eq!(validated.secret.unwrap().as_slice(), br#"{"password":"hush"}"#);
    }

    #[test]
    fn what_is_wrong_is_told_by_the_contract_s_names() {
        for (field, value) in [
            ("bootstrapServer", json!("10.0.0.1:9092")),
            ("bootstrapServer", json!("x.confluent.cloud:22")),
            ("bootstrapServer", json!("user@x.confluent.cloud:9092")),
            ("apiSecret", json!(null)),
            ("acks", json!("2")),
            ("topic", json!("a b")),
            ("topic", json!("..")),
        ] {
            let mut draft = draft();
            draft[field] = value;
            assert_eq!(validate(&draft).err().map(|invalid| invalid.field), Some(field), "{draft}");
        }
    }
}
