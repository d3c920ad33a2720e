//! What an endpoint's settings do to its requests, over real HTTP on loopback.

use std::fmt::Write;
use std::sync::Arc;

use axum::http::Method;
use futures_util::future::join_all;
use keyherald::destination::{Context, Delivery, Destination, Policy, Validated, kind};
use keyherald::outbound::guard::Guard;
use keyherald_core::delivery::Outcome;
use keyherald_core::id::{CustomerId, MessageId};
use keyherald_core::signature::WebhookSecret;
use keyherald_core::{Ctx, Micros};
use keyherald_store::testing::block_on;
use ring::signature::{ED25519, UnparsedPublicKey};
use serde_json::{Map, Value, json};
use tokio::task::JoinSet;

use crate::webhook::{Answer, Got, PATIENCE, Receiver, SECRET, context, delivery, refused};

const START: i64 = 1_760_000_000;

fn named() -> Context {
    let context = context(Guard::open(), PATIENCE);
    Context { policy: Policy { origin: Some("id.example.com".to_owned()), ..context.policy.clone() }, ..context }
}

/// What a draft with these fields besides the URL becomes, and what is shown of it.
fn open(url: &str, fields: &Value) -> (Arc<dyn Destination>, Map<String, Value>) {
    let mut draft = fields.as_object().unwrap().clone();
    draft.insert("url".to_owned(), url.into());
    draft.insert("secret".to_owned(), SECRET.into());
    let (webhook, context) = (kind("Webhook").unwrap(), named());
    let validated = webhook.validate(&draft, &context.policy, &mut Ctx::new(Micros(0), [5; 32]));
    let Validated { settings, secret, .. } = validated.ok().unwrap();
    (webhook.open(&settings, secret.as_deref().map(Vec::as_slice), &context).unwrap(), settings)
}

fn at(seconds: i64) -> Micros {
    Micros((START + seconds) * Micros::SECOND)
}

fn event(number: u8) -> Delivery {
    let mut ctx = Ctx::new(at(0), [number; 32]);
    let body = json!({"specversion": "1.0", "id": number.to_string(), "source": "/demo/ä", "data": {"n": number}});
    Delivery {
        message_id: MessageId::new(&mut ctx),
        customer: CustomerId::new(&mut ctx),
        content_type: "application/cloudevents+json; charset=utf-8",
        body: body.to_string().into_bytes(),
        ..delivery(1, at(0))
    }
}

fn is_signed(got: &Got) -> bool {
    let secret = WebhookSecret::parse(SECRET).unwrap();
    let timestamp = got.header("webhook-timestamp").parse().unwrap();
    secret.verify(got.header("webhook-id"), timestamp, &got.body, got.header("webhook-signature"))
}

#[test]
fn nothing_is_sent_before_a_consent_that_is_required_and_it_is_asked_for_every_day() {
    block_on(async {
        let mut tasks = JoinSet::new();
        let consent: &[(&str, &str)] = &[("webhook-allowed-origin", "ID.example.com"), ("webhook-allowed-rate", "120")];
        let withdrawn: &[(&str, &str)] = &[];
        let receiver = Receiver::answering([
            Answer::Status(200, &[]),
            Answer::Status(405, consent),
            Answer::Status(204, &[]),
            Answer::Status(204, &[]),
            Answer::Status(204, withdrawn),
        ]);
        let url = format!("http://{}/hook?a=b", receiver.listen("127.0.0.1:0", &mut tasks).await);
        let (endpoint, _) = open(&url, &json!({"handshake": "required", "rateMax": 5}));
        assert_eq!(endpoint.per_minute_max(), Some(300));
        let day = 86_400;
        let mut outcomes = Vec::new();
        for seconds in [0, 59, 60, 60 + day - 1, 60 + day] {
            outcomes.push(endpoint.send(delivery(1, at(seconds))).await);
        }
        let no = refused("it has not consented");
        assert_eq!(outcomes, [no.clone(), no.clone(), Outcome::Delivered, Outcome::Delivered, no]);
        let got = receiver.got();
        let methods: Vec<&Method> = got.iter().map(|got| &got.method).collect();
        assert_eq!(methods, [Method::OPTIONS, Method::OPTIONS, Method::POST, Method::POST, Method::OPTIONS]);
        for request in &got {
            assert_eq!(
                (request.uri.to_string().as_str(), request.header("webhook-request-origin")),
                ("/hook?a=b", "id.example.com")
            );
        }
        assert_eq!(got[0].header("webhook-request-rate"), "300");
        assert_eq!(endpoint.per_minute_max(), Some(300), "without consent there is no allowed rate");
    });
}

#[test]
fn a_rate_that_is_allowed_is_kept_and_a_consent_may_be_optional() {
    block_on(async {
        let mut tasks = JoinSet::new();
        let consent: &[(&str, &str)] = &[("webhook-allowed-origin", "*"), ("webhook-allowed-rate", "30")];
        let receiver = Receiver::answering([Answer::Status(200, consent)]);
        let url = format!("http://{}/", receiver.listen("127.0.0.1:0", &mut tasks).await);
        let (endpoint, _) = open(&url, &json!({"handshake": "optional", "concurrencyMax": 3}));
        assert_eq!((endpoint.per_minute_max(), endpoint.in_flight_max()), (None, 3));
        assert_eq!(endpoint.send(delivery(1, at(0))).await, Outcome::Delivered);
        assert_eq!(endpoint.per_minute_max(), Some(30));
        let unwilling = Receiver::answering([Answer::Status(405, &[])]);
        let url = format!("http://{}/", unwilling.listen("127.0.0.1:0", &mut tasks).await);
        let (endpoint, _) = open(&url, &json!({"handshake": "optional"}));
        assert_eq!(endpoint.send(delivery(1, at(0))).await, Outcome::Delivered);
        let methods: Vec<Method> = unwilling.got().into_iter().map(|got| got.method).collect();
        assert_eq!(methods, [Method::OPTIONS, Method::POST]);
    });
}

#[test]
fn binary_mode_sends_the_data_and_signs_it() {
    block_on(async {
        let mut tasks = JoinSet::new();
        let receiver = Receiver::default();
        let url = format!("http://{}/", receiver.listen("127.0.0.1:0", &mut tasks).await);
        let (endpoint, shown) = open(&url, &json!({"cloudEventsMode": "binary"}));
        assert_eq!(shown["cloudEventsMode"], "binary");
        assert_eq!(endpoint.send(event(7)).await, Outcome::Delivered);
        assert_eq!(endpoint.send(delivery(1, at(0))).await, Outcome::Delivered);
        let [got, other] = <[Got; 2]>::try_from(receiver.got()).unwrap();
        assert_eq!((got.header("content-type"), got.header("ce-id")), ("application/json", "7"));
        assert_eq!((got.header("ce-specversion"), got.header("ce-source")), ("1.0", "/demo/%C3%A4"));
        assert_eq!(&got.body[..], br#"{"n":7}"#);
        assert!(is_signed(&got) && got.headers.get("ce-data").is_none());
        assert_eq!(other.header("content-type"), "application/json; charset=utf-8", "it is no event");
    });
}

#[test]
fn a_batch_is_one_request_signed_as_one() {
    block_on(async {
        let mut tasks = JoinSet::new();
        let receiver = Receiver::answering([Answer::Status(422, &[])]);
        let url = format!("http://{}/", receiver.listen("127.0.0.1:0", &mut tasks).await);
        let (endpoint, _) = open(&url, &json!({"cloudEventsMode": "batched"}));
        let outcomes = join_all((0..3).map(|number| endpoint.send(event(number)))).await;
        assert_eq!(outcomes, vec![Outcome::Delivered; 3]);
        let again = join_all((3..6).map(|number| endpoint.send(event(number)))).await;
        assert_eq!(again, vec![Outcome::Delivered; 3]);
        let got = receiver.got();
        let sizes: Vec<usize> =
            got.iter().map(|got| serde_json::from_slice::<Vec<Value>>(&got.body).unwrap().len()).collect();
        assert_eq!(sizes, [3, 1, 1, 1, 3], "what is refused is sent one by one");
        for got in &got {
            assert!(is_signed(got) && got.header("webhook-id").len() == 36);
            assert_eq!(got.header("content-type"), "application/cloudevents-batch+json; charset=utf-8");
        }
        assert_ne!(got[0].header("webhook-id"), got[4].header("webhook-id"));
    });
}

#[test]
fn a_whole_request_is_signed_with_the_key_that_is_shown() {
    block_on(async {
        let mut tasks = JoinSet::new();
        let receiver = Receiver::default();
        let address = receiver.listen("127.0.0.1:0", &mut tasks).await;
        let fields = json!({"asymmetric": true, "httpSignature": true, "cloudEventsMode": "binary"});
        let (endpoint, shown) = open(&format!("http://{address}/hook?a=b"), &fields);
        assert_eq!(endpoint.send(event(7)).await, Outcome::Delivered);
        let got = &receiver.got()[0];
        assert!(is_signed(got));
        let input = got.header("signature-input").strip_prefix("sig1=").unwrap();
        let (covered, parameters) = input.strip_prefix('(').unwrap().split_once(')').unwrap();
        let key_id = shown["keyId"].as_str().unwrap();
        let expires = START + 300;
        assert_eq!(parameters, format!(";created={START};expires={expires};keyid=\"{key_id}\";alg=\"ed25519\""));
        let mut base = String::new();
        for name in covered.split(' ').map(|name| name.trim_matches('"')) {
            let value = match name {
                "@method" => "POST".to_owned(),
                "@authority" => address.to_string(),
                "@path" => "/hook".to_owned(),
                "@query" => "?a=b".to_owned(),
                header => got.header(header).to_owned(),
            };
            writeln!(base, "\"{name}\": {value}").unwrap();
        }
        write!(base, "\"@signature-params\": {input}").unwrap();
        for name in
            ["@method", "@authority", "@path", "@query", "content-type", "content-digest", "webhook-id", "ce-id"]
        {
            assert!(covered.contains(&format!("\"{name}\"")), "{name}");
        }
        let decode = |text: &str| base64::Engine::decode(&base64::engine::general_purpose::STANDARD, text).unwrap();
        let public = decode(shown["publicKey"].as_str().unwrap().strip_prefix("whpk_").unwrap());
        let signature = got.header("signature").strip_prefix("sig1=:").unwrap().strip_suffix(':').unwrap();
        UnparsedPublicKey::new(&ED25519, public).verify(base.as_bytes(), &decode(signature)).unwrap();
    });
}
