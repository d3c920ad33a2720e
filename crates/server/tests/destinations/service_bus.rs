//! Azure Service Bus: no broker of it can be had, so a double of its REST API (Send Message), of a queue with sessions and
//! duplicate detection in the standard tier. It checks signatures by itself.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use keyherald::destination::Delivery;
use keyherald_core::delivery::{Cause, Outcome};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::double::{Double, Fault, Request, meanings};
use crate::receiver::{Got, Receiver, place};
use crate::scene::{self, PATIENT, Scene, delivery};

const KEY_NAME: &str = "send";
const KEY: &str = "aHVzaGh1c2hodXNoaHVzaGh1c2hodXNoaHVzaGh1c2g=";
/// What a message of the standard tier may have with its properties.
const MESSAGE_BYTES_MAX: usize = 256 * 1024;

/// A queue.
pub struct Queue {
    double: Double,
    name: String,
    /// By the vendor's clock, in Unix seconds.
    now_s: Arc<AtomicI64>,
}

impl Receiver for Queue {
    const KIND: &'static str = "AzureServiceBus";
    const DROPS_COPIES: bool = true;
    const ENDLESS: &'static [u8] = b"HTTP/1.1 201 Created\r\nx: ";

    async fn start() -> Self {
        let (name, now_s) = (place(), Arc::new(AtomicI64::new(0)));
        let (queue, clock) = (name.clone(), now_s.clone());
        let double =
            Double::start(move |request, got| taken(request, &queue, clock.load(Ordering::Relaxed), got)).await;
        Self { double, name, now_s }
    }

    fn address(&self) -> SocketAddr {
        self.double.address
    }

    fn draft(&self, host: &str, port: u16) -> Value {
        let queue = &self.name;
        let text = format!(
            "Endpoint=http://{host}:{port}/;SharedAccessKeyName={KEY_NAME};SharedAccessKey={KEY};EntityPath={queue}"
        );
        json!({"type": Self::KIND, "connectionString": text})
    }

    fn secrets(&self) -> Vec<String> {
        vec![KEY.to_owned()]
    }

    async fn got(&self) -> Vec<Got> {
        self.double.got()
    }

    fn poison(&self) -> Result<Vec<u8>, &'static str> {
        Err("a queue takes any bytes of the right size")
    }

    fn ask_for_rest(&self, seconds: u32) -> Result<(), &'static str> {
        self.double.fail(&[Fault::Instead(429, Some(seconds))]);
        Ok(())
    }
}

/// As the contract has it: 201, or 401 for access, 404 for a place that there is not, 403 for what is too large.
fn taken(request: &Request, queue: &str, now_s: i64, got: &mut Vec<Got>) -> Response {
    if request.method != Method::POST || request.uri.path() != format!("/{queue}/messages") {
        return StatusCode::NOT_FOUND.into_response();
    }
    if authorized(request, queue, now_s).is_none() {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let properties = request.header("brokerproperties").unwrap_or("{}");
    if request.body.len() + properties.len() > MESSAGE_BYTES_MAX {
        return StatusCode::FORBIDDEN.into_response();
    }
    let Ok(properties) = serde_json::from_str::<Value>(properties) else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let property = |name: &str| properties[name].as_str().filter(|text| (1..=128).contains(&text.len()));
    // A queue with sessions takes nothing without one.
    let (Some(id), Some(_), Some(_)) = (property("MessageId"), property("SessionId"), request.header("content-type"))
    else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    if got.iter().all(|before| before.id != id) {
        got.push(Got { id: id.to_owned(), body: request.body.to_vec() });
    }
    StatusCode::CREATED.into_response()
}

/// Whether the signature is of this key over this queue, and not over.
fn authorized(request: &Request, queue: &str, now_s: i64) -> Option<()> {
    let token = request.header("authorization")?.strip_prefix("SharedAccessSignature ")?;
    let raw = |name: &str| token.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
    let decoded = |name: &str| {
        let pair = format!("x={}", raw(name)?);
        url::form_urlencoded::parse(pair.as_bytes()).next().map(|(_, value)| value.into_owned())
    };
    let resource = format!("http://{}/{queue}", request.header("host")?);
    let mut mac = Hmac::<Sha256>::new_from_slice(KEY.as_bytes()).unwrap();
    mac.update(format!("{}\n{}", raw("sr")?, raw("se")?).as_bytes());
    mac.verify_slice(&STANDARD.decode(decoded("sig")?).ok()?).ok()?;
    let is_good =
        decoded("sr")? == resource && decoded("skn")? == KEY_NAME && decoded("se")?.parse::<i64>().ok()? > now_s;
    is_good.then_some(())
}

#[tokio::test]
async fn service_bus_says_what_its_answers_mean() {
    let scene = Scene::<Queue>::new().await;
    let destination = scene.destination(PATIENT);
    for (status, expected) in meanings::ALL {
        scene.receiver.double.fail(&[Fault::Instead(status, Some(3))]);
        let outcome = destination.send(delivery(1, b"{}")).await;
        let Outcome::Failed { cause, retry_after_s: Some(3), reason } = outcome else { panic!("{outcome:?}") };
        assert!(cause == expected && reason.starts_with(&format!("answered {status}")), "{status} {reason}");
    }
    assert_eq!(scene.receiver.got().await, []);
}

#[tokio::test]
async fn service_bus_that_fails_after_it_has_taken_a_message_gets_it_again_and_keeps_it_once() {
    let scene = Scene::<Queue>::new().await;
    let destination = scene.destination(PATIENT);
    scene.receiver.double.fail(&[Fault::After(500)]);
    let message = delivery(1, b"{}");
    assert!(matches!(destination.send(message.clone()).await, Outcome::Failed { cause: Cause::Temporary, .. }));
    assert_eq!(destination.send(Delivery { attempt: 2, ..message }).await, Outcome::Delivered);
    assert_eq!((scene.receiver.got().await.len(), scene.receiver.double.requests()), (1, 2));
}

#[tokio::test]
async fn service_bus_refuses_another_key_and_what_was_signed_for_another_time() {
    let queue = Queue::start().await;
    let mut draft = queue.draft("127.0.0.1", queue.address().port());
    assert_eq!(scene::attempt(Queue::KIND, &draft, PATIENT).await, Outcome::Delivered);
    let refused = |status: u16, why: &str| Outcome::Failed {
        reason: format!("answered {status}: {why}"),
        retry_after_s: None,
        cause: Cause::Refused,
    };
    queue.now_s.store(1_760_000_000 + 3600, Ordering::Relaxed); // our clock is an hour behind
    assert_eq!(scene::attempt(Queue::KIND, &draft, PATIENT).await, refused(401, "our access is refused"));
    queue.now_s.store(0, Ordering::Relaxed);
    let text = draft["connectionString"].as_str().unwrap().to_owned();
    draft["connectionString"] = text.replace(KEY, "b3RoZXI=").into();
    assert_eq!(scene::attempt(Queue::KIND, &draft, PATIENT).await, refused(401, "our access is refused"));
    draft["connectionString"] = format!("{text}x").into();
    assert_eq!(scene::attempt(Queue::KIND, &draft, PATIENT).await, refused(404, "there is no such place"));
    assert_eq!(queue.got().await.len(), 1);
}

#[tokio::test]
async fn service_bus_gets_what_is_too_large_without_its_payload() {
    let scene = Scene::<Queue>::new().await;
    let destination = scene.destination(PATIENT);
    // As large as a body may be, with the properties just within the limit; then one byte more.
    for (number, more) in [(1, 0), (2, 1)] {
        let body = scene::large(MESSAGE_BYTES_MAX - 1024 + more);
        assert_eq!(destination.send(delivery(number, &body)).await, Outcome::Delivered);
    }
    let got = scene.receiver.got().await;
    assert_eq!(got[0].body, scene::large(MESSAGE_BYTES_MAX - 1024));
    let expected = json!({"reason": "Payload too large.", "payloadType": "CustomerLastNameSet"});
    assert_eq!(serde_json::from_slice::<Value>(&got[1].body).unwrap()["payloadNotIncluded"], expected);
    let requests = scene.receiver.double.requests();
    let outcome = destination.send(delivery(3, &vec![b'x'; MESSAGE_BYTES_MAX])).await;
    assert!(matches!(outcome, Outcome::Rejected { .. }), "{outcome:?}");
    assert_eq!(scene.receiver.double.requests(), requests);
}
