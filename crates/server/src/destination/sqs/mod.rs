//! `SQS`: a message into a queue of Amazon SQS (commercetools.md 8.2, standards.md 6.3).
//!
//! Draft: `{"type": "SQS", "queueUrl": "https://sqs.eu-west-1.amazonaws.com/123456789012/customers", "region": "eu-west-1",
//! "authenticationMode": "Credentials" | "IAM", "accessKey": .., "accessSecret": ..}`. A queue whose name ends in `.fifo` keeps
//! the order of each customer and drops copies within five minutes; any other does neither.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use keyherald_core::Ctx;
use keyherald_core::delivery::Outcome;
use serde_json::{Map, Value, json};
use url::Url;

use super::aws::access::{self, invalid};
use super::aws::call::Service;
use super::aws::{self, BODY_BYTES_MAX};
use super::described::rejected;
use super::webhook::check_url;
use super::{CannotOpen, Context, Delivery, Destination, Invalid, Kind, Policy, Rules, Validated};

/// The kind.
#[derive(Clone, Copy, Debug)]
pub struct Sqs;

fn text<'a>(settings: &'a Map<String, Value>, name: &str) -> &'a str {
    settings.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// Requests go to the root of the host that the queue's URL names.
fn at(settings: &Map<String, Value>, policy: &Policy) -> Result<Url, Invalid> {
    let url = text(settings, "queueUrl");
    let mut at = check_url(url, policy).map_err(|wrong| invalid("queueUrl", &wrong.text))?;
    at.set_path("/");
    at.set_query(None);
    at.set_fragment(None);
    Ok(at)
}

impl Kind for Sqs {
    fn name(&self) -> &'static str {
        "SQS"
    }

    fn rules(&self, _: &Map<String, Value>) -> Rules {
        Rules { gone_disables: false, persistence: None }
    }

    fn validate(&self, draft: &Map<String, Value>, policy: &Policy, _: &mut Ctx) -> Result<Validated, Invalid> {
        access::validate("SQS", &["queueUrl", "region"], draft, (policy, &at(draft, policy)))
    }

    fn tested_as(&self, settings: &Map<String, Value>) -> Option<String> {
        let (url, region) = (text(settings, "queueUrl"), text(settings, "region"));
        Some(format!("SQS {url} in {region} for {}", access::named(settings)))
    }

    fn open(
        &self,
        settings: &Map<String, Value>,
        secret: Option<&[u8]>,
        context: &Context,
    ) -> Result<Arc<dyn Destination>, CannotOpen> {
        let at = at(settings, &context.policy).map_err(|_| CannotOpen("its queue's URL is not allowed"))?;
        let keys = access::keys(settings, secret, (context, &at))?;
        let service = Service::new(("sqs", text(settings, "region")), (at, keys), context);
        let url = text(settings, "queueUrl").to_owned();
        Ok(Arc::new(Queue { is_fifo: aws::is_fifo(&url), url, service }))
    }
}

struct Queue {
    service: Service,
    url: String,
    is_fifo: bool,
}

impl Queue {
    async fn attempt(&self, delivery: Delivery) -> Outcome {
        let attribute =
            |(name, value): (&str, String)| (name.to_owned(), json!({"DataType": "String", "StringValue": value}));
        let attributes: Map<String, Value> = aws::attributes(&delivery).into_iter().map(attribute).collect();
        let ((group, copies), now) = (aws::group(&delivery), delivery.now);
        let Some(body) = aws::text(delivery.body) else { return rejected("its body is no text") };
        let mut message = json!({"QueueUrl": self.url, "MessageBody": body, "MessageAttributes": attributes});
        if let (Some(message), true) = (message.as_object_mut(), self.is_fifo) {
            message.insert("MessageGroupId".to_owned(), group.into());
            message.insert("MessageDeduplicationId".to_owned(), copies.into());
        }
        let headers = [("content-type", "application/x-amz-json-1.0"), ("x-amz-target", "AmazonSQS.SendMessage")];
        match self.service.post(&headers, message.to_string(), now).await {
            Ok(answered) => {
                let said: Option<Value> = serde_json::from_str(&answered.body).ok();
                let is_taken = said.is_some_and(|said| said.get("MessageId").is_some_and(Value::is_string));
                if answered.status.is_success() && is_taken { Outcome::Delivered } else { answered.failure() }
            }
            Err(outcome) => outcome,
        }
    }
}

impl Destination for Queue {
    fn send(&self, delivery: Delivery) -> BoxFuture<'_, Outcome> {
        Box::pin(self.attempt(delivery))
    }

    fn body_bytes_max(&self) -> Option<usize> {
        Some(BODY_BYTES_MAX)
    }
}
