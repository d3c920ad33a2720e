//! `AzureServiceBus`: a message of a queue or topic of Azure Service Bus.
//!
//! Draft: `{"type": "AzureServiceBus", "connectionString": "Endpoint=sb://..;SharedAccessKeyName=..;SharedAccessKey=..;\
//! EntityPath=.."}` (commercetools.md 8.2). It is sealed; readers see it with the key hidden but for its last four characters.
//! The session is the customer, so a queue or subscription with sessions keeps each customer's order; the broker's message id is
//! ours, so a queue with duplicate detection drops copies within its window.

mod connection;
mod sas;

use std::sync::Arc;

use futures_util::future::BoxFuture;
use keyherald_core::Ctx;
use keyherald_core::delivery::{Cause, Outcome};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use self::connection::Connection;
use super::answer::failed;
use super::posted::{PAYLOAD_BYTES_MAX, Place, Posted, Poster, Said};
use super::{CannotOpen, Context, Delivery, Destination, Invalid, Kind, Policy, Rules, Validated, cloud};

/// The kind.
#[derive(Clone, Copy, Debug)]
pub struct AzureServiceBus;

const NAME: &str = "AzureServiceBus";
const FIELD: &str = "connectionString";
/// Most that the standard tier takes is 256 KiB with all properties, of which ours need less than this.
const PROPERTIES_BYTES_MAX: usize = 1024;

impl Kind for AzureServiceBus {
    fn name(&self) -> &'static str {
        NAME
    }

    fn rules(&self, _: &Map<String, Value>) -> Rules {
        Rules { gone_disables: false, persistence: None }
    }

    fn validate(&self, draft: &Map<String, Value>, policy: &Policy, _: &mut Ctx) -> Result<Validated, Invalid> {
        cloud::check(NAME, draft)?;
        let text = draft.get(FIELD).and_then(Value::as_str).unwrap_or_default();
        let connection = Connection::parse(text, policy)?;
        let settings = Map::from_iter([(FIELD.to_owned(), connection.shown(text).into())]);
        Ok(Validated { settings, secret: Some(Zeroizing::new(text.as_bytes().to_vec())), shown_once: Map::new() })
    }

    fn tested_as(&self, settings: &Map<String, Value>) -> Option<String> {
        Some(format!("{NAME} {}", connection::name(settings.get(FIELD).and_then(Value::as_str).unwrap_or_default())))
    }

    fn open(
        &self,
        _: &Map<String, Value>,
        secret: Option<&[u8]>,
        context: &Context,
    ) -> Result<Arc<dyn Destination>, CannotOpen> {
        let text = secret.and_then(|secret| str::from_utf8(secret).ok());
        let text = text.ok_or(CannotOpen("it has no connection string"))?;
        // What was allowed when the subscription was made may not be allowed any more.
        let connection = Connection::parse(text, &context.policy);
        let connection = connection.map_err(|_| CannotOpen("its connection string is not allowed"))?;
        let place = Entity { connection, poster: Poster::new(context) };
        let body_bytes_max = PAYLOAD_BYTES_MAX - PROPERTIES_BYTES_MAX;
        Ok(Arc::new(Posted { place, body_bytes_max, timeout: context.attempt_timeout }))
    }
}

/// A queue or topic.
struct Entity {
    connection: Connection,
    poster: Poster,
}

impl Place for Entity {
    fn post<'a>(&'a self, delivery: &'a Delivery) -> BoxFuture<'a, Result<Said, Outcome>> {
        Box::pin(async move {
            let unusable = || failed(Cause::Refused, "the connection string cannot stand in a header".to_owned());
            let headers = headers(&self.connection, delivery).ok_or_else(unusable)?;
            self.poster.post(&self.connection.url, headers, delivery.body.clone(), delivery.now).await
        })
    }
}

/// `Content-Type` becomes the message's content type, by which consumers tell events; other headers than Azure's own become
/// properties of the message, texts among them in quotes.
fn headers(connection: &Connection, delivery: &Delivery) -> Option<HeaderMap> {
    let properties = json!({
        "MessageId": delivery.message_id.to_string(),
        "SessionId": delivery.customer.to_string(),
    });
    let mut headers = HeaderMap::new();
    headers.insert(AUTHORIZATION, sas::authorization(connection, delivery.now)?);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(delivery.content_type));
    headers.insert(HeaderName::from_static("brokerproperties"), properties.to_string().parse().ok()?);
    if delivery.is_replay {
        headers.insert(HeaderName::from_static("keyherald-replay"), HeaderValue::from_static("\"true\""));
    }
    for (name, value) in delivery.trace_fields() {
        headers.insert(HeaderName::from_static(name), Value::from(value).to_string().parse().ok()?);
    }
    Some(headers)
}

#[cfg(test)]
mod tests {
    use keyherald_core::Micros;

    use super::*;

    #[test]
    fn readers_see_where_but_not_the_key() {
        let key = "aHVzaGh1c2hodXNoaHVzaGh1c2hodXNoaHVzaGh1c2g=";
        let text = format!(
            "Endpoint=sb://shop.example.net/;SharedAccessKeyName=send;SharedAccessKey={key};EntityPath=customers"
        );
        let draft = json!({"type": NAME, "connectionString": text});
        let mut ctx = Ctx::new(Micros(0), [0; 32]);
        let checked = AzureServiceBus.validate(draft.as_object().unwrap(), &Policy::default(), &mut ctx).ok().unwrap();
        let shown = text.replace(key, "****c2g=");
        assert_eq!(Value::Object(checked.settings.clone()), json!({"connectionString": shown}));
        assert_eq!(checked.secret.unwrap().as_slice(), text.as_bytes());
        let named = AzureServiceBus.tested_as(&checked.settings).unwrap();
        assert_eq!(named, "AzureServiceBus customers at shop.example.net for send");
    }
}
