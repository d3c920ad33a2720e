//! `EventGrid`: an event of a custom topic of Azure Event Grid.
//!
//! Draft: `{"type": "EventGrid", "uri": "https://TOPIC.REGION.eventgrid.azure.net/api/events", "accessKey": ".."}`, in the
//! format CloudEvents alone (commercetools.md 8.2). The key is sealed; readers see stars. Event Grid keeps no order and drops no
//! copies: its subscribers have `sequence` and `id`.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use keyherald_core::Ctx;
use keyherald_core::delivery::Outcome;
use keyherald_core::subscription::FormatKind;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use serde_json::{Map, Value};
use url::Url;
use zeroize::Zeroizing;

use super::posted::{PAYLOAD_BYTES_MAX, Place, Posted, Poster, Said};
use super::webhook::check_url;
use super::{CannotOpen, Context, Delivery, Destination, Invalid, Kind, Policy, Rules, Validated, cloud};

/// The kind.
#[derive(Clone, Copy, Debug)]
pub struct EventGrid;

const NAME: &str = "EventGrid";
/// What readers see of a key.
const HIDDEN: &str = "****";
/// The version of the API of custom topics: there has been one.
const API_VERSION: (&str, &str) = ("api-version", "2018-01-01");

impl Kind for EventGrid {
    fn name(&self) -> &'static str {
        NAME
    }

    fn rules(&self, _: &Map<String, Value>) -> Rules {
        Rules { gone_disables: false, persistence: None }
    }

    fn validate(&self, draft: &Map<String, Value>, policy: &Policy, _: &mut Ctx) -> Result<Validated, Invalid> {
        cloud::check(NAME, draft)?;
        let text = |field: &str| draft.get(field).and_then(Value::as_str).unwrap_or_default();
        let (uri, key) = (text("uri"), text("accessKey"));
        check_uri(uri, policy)?;
        if key == HIDDEN {
            return Err(Invalid { field: "accessKey", text: "must be the key: what is shown of it is not".to_owned() });
        }
        if header(key).is_none() {
            return Err(Invalid { field: "accessKey", text: "must be of ASCII characters".to_owned() });
        }
        let fields = [("uri", uri), ("accessKey", HIDDEN)];
        let settings = fields.into_iter().map(|(field, text)| (field.to_owned(), text.into())).collect();
        Ok(Validated { settings, secret: Some(Zeroizing::new(key.as_bytes().to_vec())), shown_once: Map::new() })
    }

    fn suits(&self, _: &Map<String, Value>, format: FormatKind) -> Result<(), Invalid> {
        if format == FormatKind::CloudEvents {
            return Ok(());
        }
        Err(Invalid { field: "type", text: "EventGrid takes events alone: it needs the format CloudEvents".to_owned() })
    }

    fn takes_text(&self) -> bool {
        false // an event is JSON
    }

    fn tested_as(&self, settings: &Map<String, Value>) -> Option<String> {
        Some(format!("{NAME} {}", settings.get("uri").and_then(Value::as_str).unwrap_or_default()))
    }

    fn open(
        &self,
        settings: &Map<String, Value>,
        secret: Option<&[u8]>,
        context: &Context,
    ) -> Result<Arc<dyn Destination>, CannotOpen> {
        let uri = settings.get("uri").and_then(Value::as_str).ok_or(CannotOpen("it has no URI"))?;
        // What was allowed when the subscription was made may not be allowed any more.
        let mut url = check_uri(uri, &context.policy).map_err(|_| CannotOpen("its URI is not allowed"))?;
        if url.query_pairs().all(|(name, _)| name != API_VERSION.0) {
            url.query_pairs_mut().append_pair(API_VERSION.0, API_VERSION.1);
        }
        let key = secret.and_then(|secret| header(str::from_utf8(secret).ok()?));
        let key = key.ok_or(CannotOpen("it has no access key"))?;
        let place = Topic { url, key, poster: Poster::new(context) };
        Ok(Arc::new(Posted { place, body_bytes_max: PAYLOAD_BYTES_MAX, timeout: context.attempt_timeout }))
    }
}

fn check_uri(uri: &str, policy: &Policy) -> Result<Url, Invalid> {
    check_url(uri, policy).map_err(|Invalid { text, .. }| Invalid { field: "uri", text })
}

/// The key, kept out of logs.
fn header(key: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(key).ok().filter(|_| key.is_ascii())?;
    value.set_sensitive(true);
    Some(value)
}

/// A topic.
struct Topic {
    url: Url,
    key: HeaderValue,
    poster: Poster,
}

impl Place for Topic {
    /// One event, structured: its media type is the body's own.
    fn post<'a>(&'a self, delivery: &'a Delivery) -> BoxFuture<'a, Result<Said, Outcome>> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(delivery.content_type));
        headers.insert(HeaderName::from_static("aeg-sas-key"), self.key.clone());
        Box::pin(self.poster.post(&self.url, headers, delivery.body.clone(), delivery.now))
    }
}

#[cfg(test)]
mod tests {
    use keyherald_core::Micros;
    use serde_json::json;

    use super::*;

    fn validate(draft: &Value) -> Result<Validated, Invalid> {
        EventGrid.validate(draft.as_object().unwrap(), &Policy::default(), &mut Ctx::new(Micros(0), [0; 32]))
    }

    #[test]
    fn a_key_is_kept_and_not_shown() {
        let uri = "https://t.westeurope-1.eventgrid.azure.net/api/events";
        let checked = validate(&json!({"uri": uri, "accessKey": "hush"})).ok().unwrap();
        assert_eq!(Value::Object(checked.settings.clone()), json!({"uri": uri, "accessKey": "****"}));
        assert_eq!(checked.secret.unwrap().as_slice(), b"hush");
        assert_eq!(EventGrid.tested_as(&checked.settings).unwrap(), format!("EventGrid {uri}"));
        for (field, draft) in [
            ("accessKey", json!({"uri": uri, "accessKey": "****"})),
            ("accessKey", json!({"uri": uri, "accessKey": "hüsh"})),
            ("accessKey", json!({"uri": uri})),
            ("uri", json!({"uri": "http://t.example", "accessKey": "hush"})),
            ("uri", json!({"uri": "https://10.0.0.1/x", "accessKey": "hush"})),
        ] {
            let invalid = validate(&draft).err().unwrap();
            assert_eq!(invalid.field, field);
            assert!(!invalid.text.contains("hush"), "{invalid}");
        }
    }

    #[test]
    fn it_takes_events_alone() {
        let suits = |format| EventGrid.suits(&Map::new(), format).is_ok();
        assert!(suits(FormatKind::CloudEvents) && !suits(FormatKind::Platform));
    }
}
