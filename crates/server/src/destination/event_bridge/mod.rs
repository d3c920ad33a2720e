//! `EventBridge`: an event on the default bus of an account (commercetools.md 8.2). There is no order and no dropping of copies:
//! consumers go by `sequenceNumber` and by the id, which is in `resources`.
//!
//! Draft: `{"type": "EventBridge", "region": "eu-west-1", "accountId": "123456789012", "source": ..}`. Signed with the server's
//! own access: the bus's policy must let it in (`events:PutEvents`). AWS keeps sources that begin with `aws.` for itself and its
//! partners, so a subscription gets one of ours, `keyherald/PROJECT/KEY`; one that begins with `aws.partner/` is sent by
//! `PutPartnerEvents`, which AWS grants to partners.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use keyherald_core::delivery::{Cause, Outcome};
use keyherald_core::id::ProjectKey;
use keyherald_core::{Ctx, Micros};
use serde_json::{Map, Value, json};
use url::Url;

use super::answer::failed;
use super::aws::BODY_BYTES_MAX;
use super::aws::access;
use super::aws::call::{Answered, Service};
use super::described::rejected;
use super::{CannotOpen, Context, Delivery, Destination, Invalid, Kind, Policy, Rules, Validated};

/// Longest type of an event, in characters.
const DETAIL_TYPE_CHARS_MAX: usize = 128;

/// The kind.
#[derive(Clone, Copy, Debug)]
pub struct EventBridge;

fn text<'a>(settings: &'a Map<String, Value>, name: &str) -> &'a str {
    settings.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn at(settings: &Map<String, Value>, policy: &Policy) -> Result<Url, Invalid> {
    access::endpoint("events", ("region", text(settings, "region")), policy)
}

impl Kind for EventBridge {
    fn name(&self) -> &'static str {
        "EventBridge"
    }

    fn rules(&self, _: &Map<String, Value>) -> Rules {
        Rules { gone_disables: false, persistence: None }
    }

    fn validate(&self, draft: &Map<String, Value>, policy: &Policy, _: &mut Ctx) -> Result<Validated, Invalid> {
        access::validate("EventBridge", &["region", "accountId", "source"], draft, (policy, &at(draft, policy)))
    }

    fn complete(&self, settings: &mut Map<String, Value>, (project, name): (&ProjectKey, &str)) {
        settings.entry("source").or_insert_with(|| format!("keyherald/{project}/{name}").into());
    }

    fn takes_text(&self) -> bool {
        false // an event is JSON
    }

    fn tested_as(&self, settings: &Map<String, Value>) -> Option<String> {
        let (region, account) = (text(settings, "region"), text(settings, "accountId"));
        Some(format!("EventBridge {} in {region} for {account}", text(settings, "source")))
    }

    fn open(
        &self,
        settings: &Map<String, Value>,
        secret: Option<&[u8]>,
        context: &Context,
    ) -> Result<Arc<dyn Destination>, CannotOpen> {
        let at = at(settings, &context.policy).map_err(|_| CannotOpen("its endpoint is not allowed"))?;
        let keys = access::keys(settings, secret, (context, &at))?;
        let (region, source) = (text(settings, "region"), text(settings, "source").to_owned());
        let partition = match region.split('-').next() {
            Some("cn") => "aws-cn",
            Some("eusc") => "aws-eusc",
            _ if region.starts_with("us-gov-") => "aws-us-gov",
            _ => "aws",
        };
        let account = text(settings, "accountId");
        // The bus of a partner's source is the source's own.
        let arn = format!("arn:{partition}:events:{region}:{account}:event-bus/default");
        let arn = (!source.starts_with("aws.partner/")).then_some(arn);
        Ok(Arc::new(Bus { service: Service::new(("events", region), (at, keys), context), arn, source }))
    }
}

struct Bus {
    service: Service,
    source: String,
    /// `None`: the source is a partner's.
    arn: Option<String>,
}

impl Bus {
    async fn attempt(&self, delivery: Delivery) -> Outcome {
        let Ok(detail) = String::from_utf8(delivery.body) else { return rejected("its body is no text") };
        let mut entry = json!({
            "Time": delivery.created_at.0.div_euclid(Micros::SECOND),
            "Source": self.source,
            "Resources": [delivery.message_id.to_string()],
            "DetailType": detail_type(&detail),
            "Detail": detail,
        });
        if let (Some(entry), Some(arn)) = (entry.as_object_mut(), &self.arn) {
            entry.insert("EventBusName".to_owned(), arn.as_str().into());
        }
        let target = if self.arn.is_some() { "AWSEvents.PutEvents" } else { "AWSEvents.PutPartnerEvents" };
        let headers = [("content-type", "application/x-amz-json-1.1"), ("x-amz-target", target)];
        match self.service.post(&headers, json!({"Entries": [entry]}).to_string(), delivery.now).await {
            Ok(answered) if answered.status.is_success() => taken(&answered),
            Ok(answered) => answered.failure(),
            Err(outcome) => outcome,
        }
    }
}

/// An answer that is good may refuse the entry.
fn taken(answered: &Answered) -> Outcome {
    let said: Value = serde_json::from_str(&answered.body).unwrap_or_default();
    let of_entry = |name: &str| said.pointer(&format!("/Entries/0/{name}")).and_then(Value::as_str);
    match (of_entry("EventId"), of_entry("ErrorCode")) {
        (_, Some(code)) => answered.refused_entry(code, of_entry("ErrorMessage").unwrap_or_default()),
        (Some(_), None) => Outcome::Delivered,
        (None, None) => failed(Cause::Temporary, "what answered is not the service".to_owned()),
    }
}

/// What a body tells, by which rules choose: the message's type, or what became of the resource.
fn detail_type(body: &str) -> String {
    let body: Value = serde_json::from_str(body).unwrap_or_default();
    let told = ["type", "notificationType"].iter().find_map(|name| body.get(name)?.as_str());
    told.unwrap_or("Message").chars().take(DETAIL_TYPE_CHARS_MAX).collect()
}

impl Destination for Bus {
    fn send(&self, delivery: Delivery) -> BoxFuture<'_, Outcome> {
        Box::pin(self.attempt(delivery))
    }

    fn body_bytes_max(&self) -> Option<usize> {
        Some(BODY_BYTES_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_can_choose_by_what_is_told() {
        for (body, expected) in [
            (r#"{"notificationType":"Message","type":"CustomerCreated"}"#, "CustomerCreated"),
            (r#"{"notificationType":"ResourceUpdated"}"#, "ResourceUpdated"),
            (r#"{"specversion":"1.0","type":"com.commercetools.x"}"#, "com.commercetools.x"),
            ("[]", "Message"),
        ] {
            assert_eq!(detail_type(body), expected);
        }
    }
}
