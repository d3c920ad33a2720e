//! `GoogleCloudPubSub`: a message of a topic of Google Cloud Pub/Sub.
//!
//! Draft: `{"type": "GoogleCloudPubSub", "projectId": "my-project", "topic": "customers"}` (commercetools.md 8.2): who publishes
//! is the server itself, by the account of its configuration ([`Google`]). The ordering key is the customer, so a subscription
//! with ordering keeps each customer's order. Pub/Sub drops no copies: consumers recognise them by the attribute `id`.

mod google;
mod message;

use std::sync::Arc;

use futures_util::future::BoxFuture;
use keyherald_core::Ctx;
use keyherald_core::delivery::Outcome;
use serde_json::{Map, Value};
use url::Url;

pub use self::google::{Google, GoogleSettings};
use super::posted::{PAYLOAD_BYTES_MAX, Place, Posted, Said};
use super::{CannotOpen, Context, Delivery, Destination, Invalid, Kind, Policy, Rules, Validated, cloud};

/// The kind.
#[derive(Clone, Copy, Debug)]
pub struct GoogleCloudPubSub;

const NAME: &str = "GoogleCloudPubSub";
const FIELDS: [&str; 2] = ["projectId", "topic"];

impl Kind for GoogleCloudPubSub {
    fn name(&self) -> &'static str {
        NAME
    }

    fn is_available(&self, policy: &Policy) -> bool {
        policy.google
    }

    fn rules(&self, _: &Map<String, Value>) -> Rules {
        Rules { gone_disables: false, persistence: None }
    }

    fn validate(&self, draft: &Map<String, Value>, policy: &Policy, _: &mut Ctx) -> Result<Validated, Invalid> {
        cloud::check(NAME, draft)?;
        let mut settings = Map::new();
        for field in FIELDS {
            let text = draft.get(field).and_then(Value::as_str).unwrap_or_default();
            check_id(field, text)?;
            settings.insert(field.to_owned(), text.into());
        }
        if !policy.google {
            let text = "GoogleCloudPubSub needs an account of this server's at Google Cloud, which has none: its operator \
                sets [delivery.google] credentials_file";
            return Err(Invalid { field: "type", text: text.to_owned() });
        }
        Ok(Validated { settings, secret: None, shown_once: Map::new() })
    }

    fn tested_as(&self, settings: &Map<String, Value>) -> Option<String> {
        let text = |field: &str| settings.get(field).and_then(Value::as_str).unwrap_or_default();
        Some(format!("GoogleCloudPubSub topic '{}' in project '{}'", text("topic"), text("projectId")))
    }

    fn open(
        &self,
        settings: &Map<String, Value>,
        _: Option<&[u8]>,
        context: &Context,
    ) -> Result<Arc<dyn Destination>, CannotOpen> {
        let google = context.google.clone().ok_or(CannotOpen("[delivery.google] is not configured"))?;
        let text = |field: &str| settings.get(field).and_then(Value::as_str);
        let (project, topic) = text("projectId").zip(text("topic")).ok_or(CannotOpen("it has no topic"))?;
        let url = google.publish_url(project, topic).ok_or(CannotOpen("its topic cannot stand in a URL"))?;
        let timeout = context.attempt_timeout;
        Ok(Arc::new(Posted { place: Topic { google, url }, body_bytes_max: PAYLOAD_BYTES_MAX, timeout }))
    }
}

/// Names that stand in a path as they are. Which of them Google gives out is Google's.
fn check_id(field: &'static str, text: &str) -> Result<(), Invalid> {
    let refuse = |text: &str| Err(Invalid { field, text: text.to_owned() });
    if text.len() > 255 {
        return refuse("must not be longer than 255 characters");
    }
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+%:".contains(&byte);
    if !text.starts_with(|first: char| first.is_ascii_alphanumeric()) || !text.bytes().all(is_allowed) {
        return refuse("must be the name alone, such as my-name: letters, digits and -._~+%:, not projects/..");
    }
    Ok(())
}

/// A topic.
struct Topic {
    google: Arc<Google>,
    url: Url,
}

impl Place for Topic {
    fn post<'a>(&'a self, delivery: &'a Delivery) -> BoxFuture<'a, Result<Said, Outcome>> {
        Box::pin(self.google.publish(&self.url, delivery))
    }

    /// Pub/Sub names the message that it has taken.
    fn is_receipt(&self, said: &Said) -> bool {
        let answer: Value = serde_json::from_slice(&said.body).unwrap_or_default();
        answer.get("messageIds").and_then(Value::as_array).is_some_and(|ids| ids.len() == 1)
    }
}

#[cfg(test)]
mod tests {
    use keyherald_core::Micros;
    use serde_json::json;

    use super::*;

    fn validate(draft: &Value, google: bool) -> Result<Map<String, Value>, Invalid> {
        let policy = Policy { google, ..Policy::default() };
        let mut ctx = Ctx::new(Micros(0), [0; 32]);
        GoogleCloudPubSub.validate(draft.as_object().unwrap(), &policy, &mut ctx).map(|checked| checked.settings)
    }

    #[test]
    fn a_topic_needs_an_account_of_the_servers() {
        let draft = json!({"type": NAME, "projectId": "my-project", "topic": "customers"});
        let refused = validate(&draft, false).unwrap_err();
        assert!(refused.field == "type" && refused.text.contains("[delivery.google] credentials_file"), "{refused}");
        assert!(!GoogleCloudPubSub.is_available(&Policy::default()));
        let settings = validate(&draft, true).unwrap();
        assert_eq!(Value::Object(settings.clone()), json!({"projectId": "my-project", "topic": "customers"}));
        let named = GoogleCloudPubSub.tested_as(&settings).unwrap();
        assert_eq!(named, "GoogleCloudPubSub topic 'customers' in project 'my-project'");
    }

    #[test]
    fn names_are_no_paths() {
        for (field, name) in [
            ("topic", "projects/p/topics/t"),
            ("topic", "t:publish?x"),
            ("topic", ".."),
            ("projectId", "../x"),
            ("projectId", "a b"),
        ] {
            let mut draft = json!({"projectId": "p", "topic": "t"});
            draft[field] = name.into();
            assert_eq!(validate(&draft, true).unwrap_err().field, field, "{name}");
        }
        assert!(validate(&json!({"projectId": "example.com:p", "topic": "t-1%~+"}), true).is_ok());
    }
}
