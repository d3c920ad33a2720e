//! Google Cloud Pub/Sub: a double of its REST API and of Google's token endpoint, which checks assertions by itself.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use keyherald::connector::{AccessSecret, Net, ServiceAccount, ServiceAccountSettings};
use keyherald::destination::pubsub::{Google, GoogleSettings};
use keyherald::destination::{Context, Delivery, Destination};
use keyherald::outbound::client::{ClientSettings, http_client};
use keyherald::outbound::guard::Guard;
use keyherald_core::Micros;
use keyherald_core::delivery::{Cause, Outcome};
use ring::signature::{KeyPair, RSA_PKCS1_2048_8192_SHA256, RsaKeyPair, UnparsedPublicKey};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject;
use serde_json::{Map, Value, json};

use crate::double::{Double, Fault, Request, TOKEN_PATH, meanings};
use crate::receiver::{Got, Receiver};
use crate::scene::{PATIENT, Scene, delivery, large};

const RSA_PEM: &str = include_str!("../../src/jwt/testing/rsa.pem");
const EMAIL: &str = "keyherald@my-project.iam.gserviceaccount.com";
const SCOPE: &str = "https://www.googleapis.com/auth/pubsub";
const POISON: &[u8] = b"not for this topic's schema";
/// The time of the tests' messages, in Unix seconds.
const NOW_S: i64 = 1_760_000_000;
const HOUR: Duration = Duration::from_hours(1);

/// What Google knows.
#[derive(Default)]
struct Known {
    /// Access tokens that are good.
    tokens: Mutex<BTreeSet<String>>,
    issued: AtomicUsize,
    /// What topics were given, attributes and all.
    messages: Mutex<Vec<Value>>,
}

/// A topic of the double.
pub struct Topic {
    double: Double,
    known: Arc<Known>,
}

impl Receiver for Topic {
    const KIND: &'static str = "GoogleCloudPubSub";
    const DROPS_COPIES: bool = false;
    const ENDLESS: &'static [u8] = b"HTTP/1.1 200 OK\r\nx: ";

    async fn start() -> Self {
        let known = Arc::new(Known::default());
        let knows = known.clone();
        Self { double: Double::start(move |request, got| answer(request, &knows, got)).await, known }
    }

    fn address(&self) -> SocketAddr {
        self.double.address
    }

    fn draft(&self, _: &str, _: u16) -> Value {
        json!({"type": Self::KIND, "projectId": "my-project", "topic": "customers"})
    }

    fn secrets(&self) -> Vec<String> {
        Vec::new()
    }

    async fn got(&self) -> Vec<Got> {
        self.double.got()
    }

    fn poison(&self) -> Result<Vec<u8>, &'static str> {
        Ok(POISON.to_vec())
    }

    fn ask_for_rest(&self, seconds: u32) -> Result<(), &'static str> {
        self.double.fail(&[Fault::Instead(429, Some(seconds))]);
        Ok(())
    }

    /// Tokens come straight from the double: what happens on the wire happens to messages.
    fn prepared(&self, context: Context, port: u16) -> Context {
        let token_url = format!("http://{}{TOKEN_PATH}", self.double.address).parse().unwrap();
        let settings = ServiceAccountSettings {
            token_url,
            issuer: EMAIL.to_owned(),
            key_id: Some("k1".to_owned()),
            key: AccessSecret::new(RSA_PEM.to_owned()),
            scope: SCOPE.to_owned(),
        };
        let net = Net { allow_insecure_http: true, ..Net::default() };
        with_google(context, port, Some(ServiceAccount::new(settings, &net).unwrap()))
    }
}

/// Google at this port of this machine.
fn with_google(context: Context, port: u16, account: Option<ServiceAccount>) -> Context {
    let endpoint = format!("http://127.0.0.1:{port}").parse().unwrap();
    let attempt_timeout = context.attempt_timeout;
    let settings =
        GoogleSettings { endpoint, http: http(attempt_timeout), guard: Guard::open(), attempt_timeout, account };
    Context { google: Some(Arc::new(Google::new(settings))), ..context }
}

fn http(attempt_timeout: Duration) -> reqwest::Client {
    let connect_timeout = Duration::from_secs(5);
    let settings = ClientSettings { guard: Guard::open(), connect_timeout, attempt_timeout, idle_max: 4, tls: None };
    http_client(&settings).unwrap()
}

fn said(status: StatusCode, body: &Value) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], body.to_string()).into_response()
}

/// An error as Google's APIs have it.
fn error(status: StatusCode, name: &str) -> Response {
    said(status, &json!({"error": {"code": status.as_u16(), "message": "no", "status": name}}))
}

fn answer(request: &Request, known: &Known, got: &mut Vec<Got>) -> Response {
    if request.uri.path() == TOKEN_PATH {
        return token(request, known);
    }
    let bearer = request.header("authorization").and_then(|value| value.strip_prefix("Bearer "));
    if !bearer.is_some_and(|token| known.tokens.lock().unwrap().contains(token)) {
        return error(StatusCode::UNAUTHORIZED, "UNAUTHENTICATED");
    }
    if request.method != Method::POST || request.uri.path() != "/v1/projects/my-project/topics/customers:publish" {
        return error(StatusCode::NOT_FOUND, "NOT_FOUND");
    }
    let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
    let [message] = body["messages"].as_array().map(Vec::as_slice).unwrap_or_default() else {
        return error(StatusCode::BAD_REQUEST, "INVALID_ARGUMENT");
    };
    let data = message["data"].as_str().and_then(|data| STANDARD.decode(data).ok());
    let Some(data) = data.filter(|data| data != POISON && is_message(message)) else {
        return error(StatusCode::BAD_REQUEST, "INVALID_ARGUMENT");
    };
    got.push(Got { id: message["attributes"]["id"].as_str().unwrap().to_owned(), body: data });
    known.messages.lock().unwrap().push(message.clone());
    said(StatusCode::OK, &json!({"messageIds": [got.len().to_string()]}))
}

/// The limits of a message: of its ordering key, and of its attributes.
fn is_message(message: &Value) -> bool {
    let fits = |text: &str, most: usize| (1..=most).contains(&text.len());
    let is_attribute = |(name, value): (&String, &Value)| {
        fits(name, 256) && !name.starts_with("goog") && value.as_str().is_some_and(|value| value.len() <= 1024)
    };
    let attributes =
        message["attributes"].as_object().is_some_and(|all| all.len() <= 100 && all.iter().all(is_attribute));
    attributes && message["orderingKey"].as_str().is_some_and(|key| fits(key, 1024))
}

fn token(request: &Request, known: &Known) -> Response {
    let form: Vec<(String, String)> = url::form_urlencoded::parse(&request.body).into_owned().collect();
    let field = |name: &str| form.iter().find(|(is, _)| is == name).map_or("", |(_, value)| value.as_str());
    let audience = format!("http://{}{TOKEN_PATH}", request.header("host").unwrap());
    let is_grant = field("grant_type") == "urn:ietf:params:oauth:grant-type:jwt-bearer";
    if !is_grant || is_asserted(field("assertion"), &audience).is_none() {
        return said(StatusCode::BAD_REQUEST, &json!({"error": "invalid_grant"}));
    }
    let token = format!("token-{}", known.issued.fetch_add(1, Ordering::Relaxed));
    known.tokens.lock().unwrap().insert(token.clone());
    said(StatusCode::OK, &json!({"access_token": token, "expires_in": 3600, "token_type": "Bearer"}))
}

/// Whether the account says who it is, as Google wants it: of itself, for at most an hour.
fn is_asserted(assertion: &str, audience: &str) -> Option<()> {
    let (signed, signature) = assertion.rsplit_once('.')?;
    let key = RsaKeyPair::from_pkcs8(PrivatePkcs8KeyDer::from_pem_slice(RSA_PEM.as_bytes()).ok()?.secret_pkcs8_der());
    let key = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key.ok()?.public_key().as_ref().to_vec());
    key.verify(signed.as_bytes(), &URL_SAFE_NO_PAD.decode(signature).ok()?).ok()?;
    let (header, claims) = signed.split_once('.')?;
    let read = |part: &str| serde_json::from_slice::<Map<String, Value>>(&URL_SAFE_NO_PAD.decode(part).ok()?).ok();
    let (header, claims) = (read(header)?, read(claims)?);
    let number = |name: &str| claims.get(name).and_then(Value::as_i64);
    let (from, until) = (number("iat")?, number("exp")?);
    let is_right = header.get("kid")? == "k1"
        && header.get("alg")? == "RS256"
        && claims.get("iss")? == EMAIL
        && claims.get("aud")? == audience
        && claims.get("scope")? == SCOPE
        && !claims.contains_key("sub") // would ask for somebody else
        && (from + 1..=from + 3600).contains(&until);
    is_right.then_some(())
}

fn at(message: &Delivery, later: Duration) -> Delivery {
    Delivery { now: Micros(message.now.0 + i64::try_from(later.as_micros()).unwrap()), ..message.clone() }
}

#[tokio::test]
async fn pubsub_says_what_its_answers_mean() {
    let scene = Scene::<Topic>::new().await;
    let destination = scene.destination(PATIENT);
    for (status, expected) in meanings::ALL {
        // Access that is refused is renewed and tried once more, with the same end.
        scene.receiver.double.fail(&vec![Fault::Instead(status, Some(3)); if status == 401 { 2 } else { 1 }]);
        let outcome = destination.send(delivery(1, b"{}")).await;
        let Outcome::Failed { cause, retry_after_s: Some(3), reason } = outcome else { panic!("{outcome:?}") };
        assert!(cause == expected && reason.starts_with(&format!("answered {status}")), "{status} {reason}");
    }
    // A success that names no message is somebody else's: a proxy's, or a portal's.
    scene.receiver.double.fail(&[Fault::Instead(200, None)]);
    let outcome = destination.send(delivery(1, b"{}")).await;
    assert!(matches!(outcome, Outcome::Failed { cause: Cause::Temporary, .. }), "{outcome:?}");
    assert_eq!(scene.receiver.got().await, []);
}

#[tokio::test]
async fn pubsub_that_ends_a_token_gets_another_within_the_attempt() {
    let scene = Scene::<Topic>::new().await;
    let destination = scene.destination(PATIENT);
    assert_eq!(destination.send(delivery(1, b"{}")).await, Outcome::Delivered);
    scene.receiver.known.tokens.lock().unwrap().clear();
    assert_eq!(destination.send(delivery(2, b"{}")).await, Outcome::Delivered);
    assert_eq!(scene.receiver.known.issued.load(Ordering::Relaxed), 2);
    assert_eq!((scene.receiver.got().await.len(), scene.receiver.double.requests()), (2, 3));
}

#[tokio::test]
async fn pubsub_is_asked_for_one_token_at_a_time_and_early() {
    let scene = Scene::<Topic>::new().await;
    let (destination, first) = (scene.destination(PATIENT), delivery(1, b"{}"));
    let send = async |later: Duration| assert_eq!(destination.send(at(&first, later)).await, Outcome::Delivered);
    let issued = || scene.receiver.known.issued.load(Ordering::Relaxed);
    tokio::join!(send(Duration::ZERO), send(Duration::ZERO), send(Duration::ZERO), send(Duration::ZERO));
    send(Duration::from_mins(54)).await;
    assert_eq!(issued(), 1);
    send(Duration::from_mins(56)).await;
    send(HOUR).await;
    assert_eq!(issued(), 2);
    assert_eq!(first.now.0, NOW_S * Micros::SECOND);
}

#[tokio::test]
async fn pubsub_refuses_an_account_that_it_does_not_know() {
    let scene = Scene::<Topic>::new().await;
    // Not as its token endpoint wants it: for another audience, because the wire has another port.
    let settings = ServiceAccountSettings {
        token_url: format!("http://127.0.0.1:{}{TOKEN_PATH}?", scene.tap.port).parse().unwrap(),
        issuer: EMAIL.to_owned(),
        key_id: Some("k1".to_owned()),
        key: AccessSecret::new(RSA_PEM.to_owned()),
        scope: SCOPE.to_owned(),
    };
    let account = ServiceAccount::new(settings, &Net { allow_insecure_http: true, ..Net::default() }).unwrap();
    let context = with_google(scene.context(PATIENT), scene.tap.port, Some(account));
    let outcome = open(&scene, &context).send(delivery(1, b"{}")).await;
    let reason = "the service refuses our access".to_owned();
    assert_eq!(outcome, Outcome::Failed { reason, retry_after_s: None, cause: Cause::Refused });
    assert_eq!(scene.receiver.double.requests(), 0);
}

fn open(scene: &Scene<Topic>, context: &Context) -> Arc<dyn Destination> {
    let draft = scene.receiver.draft("", 0);
    let Value::Object(settings) = draft else { panic!("an object") };
    keyherald::destination::kind(Topic::KIND).unwrap().open(&settings, None, context).unwrap()
}

#[tokio::test]
async fn pubsub_that_fails_after_it_has_taken_a_message_gets_it_again() {
    let scene = Scene::<Topic>::new().await;
    let (destination, message) = (scene.destination(PATIENT), delivery(1, b"{}"));
    scene.receiver.double.fail(&[Fault::After(503)]);
    assert!(matches!(destination.send(message.clone()).await, Outcome::Failed { cause: Cause::Throttled, .. }));
    assert_eq!(destination.send(Delivery { attempt: 2, ..message.clone() }).await, Outcome::Delivered);
    let got = Got { id: message.message_id.to_string(), body: message.body };
    assert_eq!(scene.receiver.got().await, [got.clone(), got]);
}

#[tokio::test]
async fn pubsub_gets_what_is_too_large_without_its_payload() {
    let scene = Scene::<Topic>::new().await;
    let destination = scene.destination(PATIENT);
    assert_eq!(destination.send(delivery(1, &large(256 * 1024))).await, Outcome::Delivered);
    assert_eq!(destination.send(delivery(2, &large(256 * 1024 + 1))).await, Outcome::Delivered);
    scene.receiver.double.fail(&[Fault::Instead(413, None)]);
    assert_eq!(destination.send(delivery(3, &large(1_000))).await, Outcome::Delivered);
    let got = scene.receiver.got().await;
    assert_eq!((got.len(), scene.receiver.double.requests()), (3, 4));
    assert!(got[0].body == large(256 * 1024));
    for got in &got[1..] {
        let body: Value = serde_json::from_slice(&got.body).unwrap();
        assert_eq!((&body["id"], &body["lastName"]), (&"m".into(), &Value::Null));
        assert_eq!(body["payloadNotIncluded"]["reason"], "Payload too large.");
    }
}

#[tokio::test]
async fn pubsub_gets_the_attributes_of_an_event() {
    let scene = Scene::<Topic>::new().await;
    let mut message =
        delivery(1, br#"{"specversion":"1.0","id":"7","type":"t","subject":"s","sequence":"2","data":{"a":1}}"#);
    message.content_type = "application/cloudevents+json; charset=utf-8";
    message.is_replay = true;
    let destination = scene.destination(PATIENT);
    assert_eq!(destination.send(message.clone()).await, Outcome::Delivered);
    assert_eq!(destination.send(delivery(2, b"{}")).await, Outcome::Delivered);
    let given = scene.receiver.known.messages.lock().unwrap().clone();
    let expected = json!({
        "id": message.message_id.to_string(), "project": "demo", "customer": message.customer.to_string(),
        "content-type": message.content_type, "keyherald-replay": "true", "ce-specversion": "1.0", "ce-id": "7",
        "ce-type": "t", "ce-subject": "s", "ce-sequence": "2",
    });
    assert_eq!((&given[0]["attributes"], given[0]["orderingKey"].as_str()), (&expected, expected["customer"].as_str()));
    let names: Vec<&String> = given[1]["attributes"].as_object().unwrap().keys().collect();
    assert_eq!(names, ["id", "project", "customer", "content-type"]);
}
