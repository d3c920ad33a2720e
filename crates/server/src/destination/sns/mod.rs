//! `SNS`: a message to a topic of Amazon SNS (commercetools.md 8.2, standards.md 6.3).
//!
//! Draft: `{"type": "SNS", "topicArn": "arn:aws:sns:eu-west-1:123456789012:customers", "authenticationMode": "Credentials" |
//! "IAM", "accessKey": .., "accessSecret": ..}`. A topic whose name ends in `.fifo` keeps the order of each customer, and drops
//! copies, for FIFO queues that subscribe to it.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use keyherald_core::Ctx;
use keyherald_core::delivery::Outcome;
use serde_json::{Map, Value};
use url::{Url, form_urlencoded};

use super::aws::access;
use super::aws::call::Service;
use super::aws::{self, BODY_BYTES_MAX};
use super::described::rejected;
use super::{CannotOpen, Context, Delivery, Destination, Invalid, Kind, Policy, Rules, Validated};

/// The kind.
#[derive(Clone, Copy, Debug)]
pub struct Sns;

fn topic(settings: &Map<String, Value>) -> &str {
    settings.get("topicArn").and_then(Value::as_str).unwrap_or_default()
}

/// `arn:PARTITION:sns:REGION:ACCOUNT:TOPIC`.
fn region(settings: &Map<String, Value>) -> &str {
    topic(settings).split(':').nth(3).unwrap_or_default()
}

fn at(settings: &Map<String, Value>, policy: &Policy) -> Result<Url, Invalid> {
    access::endpoint("sns", ("topicArn", region(settings)), policy)
}

impl Kind for Sns {
    fn name(&self) -> &'static str {
        "SNS"
    }

    fn rules(&self, _: &Map<String, Value>) -> Rules {
        Rules { gone_disables: false, persistence: None }
    }

    fn validate(&self, draft: &Map<String, Value>, policy: &Policy, _: &mut Ctx) -> Result<Validated, Invalid> {
        access::validate("SNS", &["topicArn"], draft, (policy, &at(draft, policy)))
    }

    fn tested_as(&self, settings: &Map<String, Value>) -> Option<String> {
        Some(format!("SNS {} for {}", topic(settings), access::named(settings)))
    }

    fn open(
        &self,
        settings: &Map<String, Value>,
        secret: Option<&[u8]>,
        context: &Context,
    ) -> Result<Arc<dyn Destination>, CannotOpen> {
        let at = at(settings, &context.policy).map_err(|_| CannotOpen("its endpoint is not allowed"))?;
        let keys = access::keys(settings, secret, (context, &at))?;
        let service = Service::new(("sns", region(settings)), (at, keys), context);
        let arn = topic(settings).to_owned();
        Ok(Arc::new(Topic { is_fifo: aws::is_fifo(&arn), arn, service }))
    }
}

struct Topic {
    service: Service,
    arn: String,
    is_fifo: bool,
}

impl Topic {
    /// The request as a form. `None`: the body is no text.
    fn form(&self, delivery: Delivery) -> Option<String> {
        let (attributes, (group, copies)) = (aws::attributes(&delivery), aws::group(&delivery));
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.append_pair("Action", "Publish").append_pair("Version", "2010-03-31");
        form.append_pair("TopicArn", &self.arn).append_pair("Message", &aws::text(delivery.body)?);
        for (number, (name, value)) in (1..).zip(&attributes) {
            let entry = format!("MessageAttributes.entry.{number}");
            form.append_pair(&format!("{entry}.Name"), name);
            form.append_pair(&format!("{entry}.Value.DataType"), "String");
            form.append_pair(&format!("{entry}.Value.StringValue"), value);
        }
        if self.is_fifo {
            form.append_pair("MessageGroupId", &group).append_pair("MessageDeduplicationId", &copies);
        }
        // As AWS's own clients write these two: some that check signatures write the form anew before.
        Some(form.finish().replace('*', "%2A").replace("%7E", "~"))
    }

    async fn attempt(&self, delivery: Delivery) -> Outcome {
        let now = delivery.now;
        let Some(form) = self.form(delivery) else { return rejected("its body is no text") };
        let headers = [("content-type", "application/x-www-form-urlencoded; charset=utf-8")];
        match self.service.post(&headers, form, now).await {
            Ok(answered) if answered.status.is_success() && answered.body.contains("<MessageId>") => Outcome::Delivered,
            Ok(answered) => answered.failure(),
            Err(outcome) => outcome,
        }
    }
}

impl Destination for Topic {
    fn send(&self, delivery: Delivery) -> BoxFuture<'_, Outcome> {
        Box::pin(self.attempt(delivery))
    }

    fn body_bytes_max(&self) -> Option<usize> {
        Some(BODY_BYTES_MAX)
    }
}
