//! Azure Event Grid: a double of the API of custom topics with the schema of CloudEvents. It takes events alone, and names none
//! outside of them, so it is asked here and not among the other kinds.

use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use keyherald::destination::{Delivery, kind};
use keyherald::outbound::guard::NotPublic;
use keyherald_core::delivery::{Cause, Outcome};
use serde_json::{Map, Value, json};

use crate::double::{Double, Fault, Request, meanings};
use crate::receiver::Got;
use crate::scene::{IMPATIENT, PATIENT, context, ctx, delivery, large, open};
use crate::tap::{Tap, Wire};

const KIND: &str = "EventGrid";
const KEY: &str = "aHVzaC1odXNoLWh1c2g=";
const EVENT_BYTES_MAX: usize = 1024 * 1024;

/// As the contract has it: 200, or 401 for the key, 404 for the endpoint, 413 for size, 400 for what is no event.
fn taken(request: &Request, got: &mut Vec<Got>) -> Response {
    let path_and_query = request.uri.path_and_query().unwrap().as_str();
    if request.method != Method::POST || path_and_query != "/api/events?api-version=2018-01-01" {
        return StatusCode::NOT_FOUND.into_response();
    }
    if request.header("aeg-sas-key") != Some(KEY) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    if request.body.len() > EVENT_BYTES_MAX {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    }
    let is_structured = request.header("content-type").is_some_and(|is| is.starts_with("application/cloudevents+json"));
    let event: Map<String, Value> = serde_json::from_slice(&request.body).unwrap_or_default();
    let has = |name: &str| event.get(name).and_then(Value::as_str).is_some_and(|text| !text.is_empty());
    let is_name = |name: &String| name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    let is_event = ["specversion", "id", "source", "type"].into_iter().all(has) && event.keys().all(is_name);
    if !is_structured || !is_event {
        return StatusCode::BAD_REQUEST.into_response();
    }
    got.push(Got { id: event["id"].as_str().unwrap().to_owned(), body: request.body.to_vec() });
    StatusCode::OK.into_response()
}

/// An event about a message with this data.
fn event(number: u8, data: &[u8]) -> Delivery {
    let mut delivery = delivery(number, data);
    let data: Value = serde_json::from_slice(data).unwrap();
    let event = json!({"specversion": "1.0", "id": delivery.message_id.to_string(), "source": "/demo/customers",
        "type": "com.commercetools.customer.message.CustomerLastNameSet", "sequence": "2", "data": data});
    delivery.body = event.to_string().into_bytes();
    delivery.content_type = "application/cloudevents+json; charset=utf-8";
    delivery
}

/// A topic at the end of a wire.
struct Topic {
    double: Double,
    tap: Tap,
}

impl Topic {
    async fn start() -> Self {
        let double = Double::start(taken).await;
        let tap = Tap::to(double.address).await;
        Self { double, tap }
    }

    fn draft(&self) -> Value {
        json!({"type": KIND, "uri": format!("http://127.0.0.1:{}/api/events", self.tap.port), "accessKey": KEY})
    }

    async fn send(&self, draft: &Value, delivery: Delivery, attempt_timeout: std::time::Duration) -> Outcome {
        let made = kind(KIND).unwrap().validate(draft.as_object().unwrap(), &open(), &mut ctx()).ok().unwrap();
        let secret = made.secret.as_ref().map(|secret| secret.as_slice());
        let context = context(open(), attempt_timeout);
        kind(KIND).unwrap().open(&made.settings, secret, &context).unwrap().send(delivery).await
    }
}

fn is_temporary(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Failed { cause: Cause::Temporary, .. })
}

#[tokio::test]
async fn event_grid_gets_events_as_they_are() {
    let topic = Topic::start().await;
    let message = event(1, br#"{"a":"\u00fc"}"#);
    let mut with_version = topic.draft();
    with_version["uri"] = format!("{}?api-version=2018-01-01", with_version["uri"].as_str().unwrap()).into();
    for draft in [topic.draft(), with_version] {
        assert_eq!(topic.send(&draft, message.clone(), PATIENT).await, Outcome::Delivered);
    }
    let got = Got { id: message.message_id.to_string(), body: message.body };
    assert_eq!(topic.double.got(), [got.clone(), got]);
}

#[tokio::test]
async fn event_grid_says_what_its_answers_mean() {
    let topic = Topic::start().await;
    for (status, expected) in meanings::ALL {
        topic.double.fail(&[Fault::Instead(status, Some(3))]);
        let outcome = topic.send(&topic.draft(), event(1, b"{}"), PATIENT).await;
        let Outcome::Failed { cause, retry_after_s: Some(3), .. } = outcome else { panic!("{outcome:?}") };
        assert_eq!(cause, expected, "{status}");
    }
    let mut other = topic.draft();
    other["accessKey"] = "b3RoZXI=".into();
    let reason = "answered 401: our access is refused".to_owned();
    let refused = Outcome::Failed { reason, retry_after_s: None, cause: Cause::Refused };
    assert_eq!(topic.send(&other, event(1, b"{}"), PATIENT).await, refused);
    assert_eq!(topic.double.got(), []);
}

#[tokio::test]
async fn event_grid_gets_it_again_when_its_answer_was_lost() {
    let topic = Topic::start().await;
    let message = event(1, b"{}");
    topic.double.fail(&[Fault::After(500)]);
    assert!(is_temporary(&topic.send(&topic.draft(), message.clone(), PATIENT).await));
    topic.tap.set(Wire::Losing);
    assert!(is_temporary(&topic.send(&topic.draft(), message.clone(), PATIENT).await));
    topic.tap.set(Wire::Held);
    assert!(is_temporary(&topic.send(&topic.draft(), message.clone(), IMPATIENT).await));
    topic.tap.set(Wire::Cut);
    assert!(is_temporary(&topic.send(&topic.draft(), message.clone(), PATIENT).await));
    topic.tap.set(Wire::Open);
    assert_eq!(topic.send(&topic.draft(), message.clone(), PATIENT).await, Outcome::Delivered);
    assert_eq!(topic.double.got(), vec![Got { id: message.message_id.to_string(), body: message.body }; 4]);
}

#[tokio::test]
async fn event_grid_gets_what_is_too_large_without_its_payload() {
    let topic = Topic::start().await;
    // Larger than the contract's limit; and within it, but the topic says that it is too large.
    assert_eq!(topic.send(&topic.draft(), event(1, &large(300_000)), PATIENT).await, Outcome::Delivered);
    topic.double.fail(&[Fault::Instead(413, None)]);
    assert_eq!(topic.send(&topic.draft(), event(2, &large(1_000)), PATIENT).await, Outcome::Delivered);
    let got = topic.double.got();
    assert_eq!((got.len(), topic.double.requests()), (2, 3));
    for got in got {
        let event: Value = serde_json::from_slice(&got.body).unwrap();
        assert_eq!((event["sequence"].as_str(), &event["data"]["lastName"]), (Some("2"), &Value::Null));
        assert_eq!(event["data"]["payloadNotIncluded"]["payloadType"], "CustomerLastNameSet");
    }
    topic.double.fail(&[Fault::Instead(413, None)]);
    let outcome = topic.send(&topic.draft(), event(3, b"{}"), PATIENT).await;
    assert!(matches!(outcome, Outcome::Rejected { .. }), "{outcome:?}");
}

#[tokio::test]
async fn event_grid_in_a_private_network_is_not_called() {
    let topic = Topic::start().await;
    let draft = json!({"uri": format!("https://localhost:{}/api/events", topic.tap.port), "accessKey": KEY});
    let strict = keyherald::destination::Policy::default();
    let made = kind(KIND).unwrap().validate(draft.as_object().unwrap(), &strict, &mut ctx()).ok().unwrap();
    let secret = made.secret.as_ref().map(|secret| secret.as_slice());
    let destination = kind(KIND).unwrap().open(&made.settings, secret, &context(strict, PATIENT)).unwrap();
    let refused = Outcome::Failed { reason: NotPublic.to_string(), retry_after_s: None, cause: Cause::Refused };
    assert_eq!(destination.send(event(1, b"{}")).await, refused);
    assert_eq!(topic.tap.connections(), 0);
}
