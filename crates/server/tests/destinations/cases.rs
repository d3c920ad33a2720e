//! The questions.

use keyherald::destination::{Delivery, Policy, kind};
use keyherald::outbound::guard::NotPublic;
use keyherald_core::Micros;
use keyherald_core::delivery::{Cause, Outcome};
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;

use crate::receiver::{Got, Receiver};
use crate::scene::{IMPATIENT, PATIENT, Scene, attempt_by, context, ctx, delivery, open, stage, until_delivered};
use crate::tap::{Tap, Wire};

pub async fn messages_of_a_customer_arrive_in_order<R: Receiver>() {
    let (_store, stage) = stage().await;
    let scene = Scene::<R>::new().await;
    let (relay, id) = scene.relay(&stage, 8).await;
    let mut customers = stage.customers(5).await;
    stage.change_all(&mut customers, 4).await;
    stage.until_quiet(&relay, id).await;
    relay.stop().await;
    assert_eq!(scene.check(&customers).await, 0);
}

pub async fn rest_that_is_asked_for_is_granted<R: Receiver>() {
    let scene = Scene::<R>::new().await;
    if let Err(why) = scene.receiver.ask_for_rest(7) {
        return println!("does not apply to {}: {why}", R::KIND);
    }
    let outcome = scene.destination(PATIENT).send(delivery(1, b"{}")).await;
    let Outcome::Failed { retry_after_s, cause, .. } = outcome else { panic!("{outcome:?}") };
    assert_eq!((retry_after_s, cause), (Some(7), Cause::Throttled));
}

pub async fn a_receiver_that_does_not_answer_in_time_gets_it_again<R: Receiver>() {
    let scene = Scene::<R>::new().await;
    let destination = scene.destination(IMPATIENT);
    until_delivered(&*destination, &delivery(1, b"{}")).await;
    scene.tap.set(Wire::Held);
    let late = delivery(2, b"{}");
    assert_temporary(&destination.send(late.clone()).await);
    scene.tap.set(Wire::Open);
    until_delivered(&*destination, &late).await;
    assert_kept::<R>(&scene, &late).await;
}

pub async fn a_lost_answer_is_a_repeat<R: Receiver>() {
    let scene = Scene::<R>::new().await;
    let destination = scene.destination(PATIENT);
    assert_eq!(destination.send(delivery(1, b"{}")).await, Outcome::Delivered);
    scene.tap.set(Wire::Losing);
    let lost = delivery(2, b"{}");
    assert_temporary(&destination.send(lost.clone()).await);
    scene.tap.set(Wire::Open);
    until_delivered(&*destination, &Delivery { attempt: 2, ..lost.clone() }).await;
    assert_kept::<R>(&scene, &lost).await;
}

pub async fn a_poison_message_keeps_nobody_else_up<R: Receiver>() {
    let scene = Scene::<R>::new().await;
    let body = match scene.receiver.poison() {
        Err(why) => return println!("does not apply to {}: {why}", R::KIND),
        Ok(body) => body,
    };
    let destination = scene.destination(PATIENT);
    for round in 0..2 {
        let outcome = destination.send(delivery(1, &body)).await;
        let is_never_taken =
            matches!(outcome, Outcome::Rejected { .. } | Outcome::Failed { cause: Cause::Refused, .. });
        assert!(is_never_taken, "{outcome:?}");
        assert_eq!(destination.send(delivery(2 + round, b"{}")).await, Outcome::Delivered);
    }
    assert_eq!(scene.receiver.got().await.len(), 2);
}

pub async fn a_copy_has_the_same_id<R: Receiver>() {
    let scene = Scene::<R>::new().await;
    let destination = scene.destination(PATIENT);
    let message = delivery(1, br#"{"a":1}"#);
    for attempt in 1..=3 {
        let copy = Delivery { attempt, now: Micros(message.now.0 + i64::from(attempt)), ..message.clone() };
        assert_eq!(destination.send(copy).await, Outcome::Delivered);
    }
    let copies = if R::DROPS_COPIES { 1 } else { 3 };
    assert_eq!(scene.receiver.got().await, vec![as_got::<R>(&message); copies]);
}

pub async fn a_message_says_in_which_trace_it_is<R: Receiver>() {
    let scene = Scene::<R>::new().await;
    let (parent, state) = ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "rojo=00f067aa0ba902b7");
    let without = delivery(1, b"{}");
    let within = Delivery { trace: format!("{parent} {state}").parse().ok(), ..delivery(2, b"{}") };
    let destination = scene.destination(PATIENT);
    let has_said = |text: &str| scene.tap.said().windows(text.len()).any(|said| said == text.as_bytes());
    assert_eq!(destination.send(without.clone()).await, Outcome::Delivered);
    assert!(!has_said("traceparent") && !has_said("tracestate"), "there is none to tell of");
    assert_eq!(destination.send(within.clone()).await, Outcome::Delivered);
    let in_form = state.replace('=', "%3D"); // where the request is a form
    let said = [&["traceparent"][..], &[parent], &["tracestate"], &[state, &in_form]];
    for spellings in said {
        assert_eq!(spellings.iter().any(|text| has_said(text)), R::HAS_TRACE, "{spellings:?}");
    }
    assert_eq!(scene.receiver.got().await, [as_got::<R>(&without), as_got::<R>(&within)]);
}

pub async fn a_big_payload_arrives_as_it_is<R: Receiver>() {
    let scene = Scene::<R>::new().await;
    let body = scene.receiver.big();
    let message = delivery(1, &body);
    assert_eq!(scene.destination(PATIENT).send(message.clone()).await, Outcome::Delivered);
    assert!(scene.receiver.got().await == [as_got::<R>(&message)]);
}

pub async fn a_receiver_that_went_away_gets_everything_in_order<R: Receiver>() {
    let (_store, stage) = stage().await;
    let scene = Scene::<R>::new().await;
    let (relay, id) = scene.relay(&stage, 8).await;
    let mut customers = stage.customers(4).await;
    stage.change_all(&mut customers, 2).await;
    stage.until("something has arrived", || relay.counters.figures().delivered >= 3).await;
    scene.tap.set(Wire::Cut);
    stage.change_all(&mut customers, 2).await;
    stage.until_moving(0, "it is noticed", async || !stage.parked(id).await.is_empty()).await;
    scene.tap.set(Wire::Open);
    stage.change_all(&mut customers, 1).await;
    stage.until_quiet(&relay, id).await;
    relay.stop().await;
    assert!(stage.letters(id).await.is_empty());
    scene.check(&customers).await; // copies are allowed: answers were lost
}

pub async fn a_receiver_that_talks_without_end_is_left<R: Receiver>() {
    // More than any kind listens to, and than sockets hold back.
    const TOO_MUCH: usize = 64 * 1024 * 1024;
    let receiver = R::start().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (draft, policy) = (receiver.draft("127.0.0.1", port), receiver.policy(open(), "127.0.0.1", port));
    let talk = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let (block, mut said) = (vec![b'a'; 64 * 1024], 0);
        stream.write_all(R::ENDLESS).await.unwrap();
        while said < TOO_MUCH && stream.write_all(&block).await.is_ok() {
            said += block.len();
        }
        said
    };
    let (outcome, said) = tokio::join!(attempt_by(policy, R::KIND, &draft, PATIENT), talk);
    assert!(matches!(outcome, Outcome::Failed { .. }), "{outcome:?}");
    assert!(said < TOO_MUCH);
}

pub async fn a_slow_receiver_gets_everything_once<R: Receiver>() {
    let (_store, stage) = stage().await;
    let scene = Scene::<R>::new().await;
    scene.tap.set(Wire::Held);
    let (relay, id) = scene.relay(&stage, 4).await;
    let mut customers = stage.customers(12).await;
    stage.change_all(&mut customers, 2).await;
    let gauge = || relay.counters.figures().subscriptions.get(&id).copied().unwrap_or_default();
    stage.until("all that may is on its way", || gauge().sending == 4).await;
    assert_eq!(relay.counters.figures().delivered, 0);
    scene.tap.set(Wire::Open);
    stage.until_quiet(&relay, id).await;
    relay.stop().await;
    assert_eq!(scene.check(&customers).await, 0);
}

pub async fn private_addresses_are_not_called<R: Receiver>() {
    let receiver = R::start().await;
    let tap = Tap::to(receiver.address()).await;
    let kind = kind(R::KIND).unwrap();
    let strict = Policy { allow_http: true, ..Policy::default() };
    for host in ["127.0.0.1", "2130706433", "0x7f.1", "[::ffff:127.0.0.1]"] {
        let Value::Object(draft) = receiver.draft(host, tap.port) else { panic!("an object") };
        let [open, strict] = [open(), strict.clone()].map(|base| receiver.policy(base, host, tap.port));
        assert!(kind.validate(&draft, &strict, &mut ctx()).is_err(), "{host}");
        // Allowed when it was made; the operator has changed his mind since.
        let made = kind.validate(&draft, &open, &mut ctx()).ok().unwrap();
        let secret = made.secret.as_ref().map(|secret| secret.as_slice());
        assert!(kind.open(&made.settings, secret, &context(strict, PATIENT)).is_err(), "{host}");
    }
    // Nobody knows where a name leads before it is looked up.
    let Value::Object(draft) = receiver.draft("localhost", tap.port) else { panic!("an object") };
    let strict = receiver.policy(strict, "localhost", tap.port);
    let made = kind.validate(&draft, &strict, &mut ctx()).ok().unwrap();
    let secret = made.secret.as_ref().map(|secret| secret.as_slice());
    let destination = kind.open(&made.settings, secret, &context(strict, PATIENT)).unwrap();
    let refused = Outcome::Failed { reason: NotPublic.to_string(), retry_after_s: None, cause: Cause::Refused };
    assert_eq!(destination.send(delivery(1, b"{}")).await, refused);
    assert_eq!(tap.connections(), 0);
    // And what is sent in the open must be allowed.
    let Value::Object(draft) = receiver.draft("broker.example.com", 4444) else { panic!("an object") };
    let policy = receiver.policy(Policy::default(), "broker.example.com", 4444);
    assert!(kind.validate(&draft, &policy, &mut ctx()).is_err());
}

pub async fn secrets_are_not_shown<R: Receiver>() {
    let receiver = R::start().await;
    let Value::Object(draft) = receiver.draft("127.0.0.1", 4444) else { panic!("an object") };
    let policy = receiver.policy(open(), "127.0.0.1", 4444);
    let made = kind(R::KIND).unwrap().validate(&draft, &policy, &mut ctx()).ok().unwrap();
    let shown = format!("{:?} {:?}", made.settings, made.shown_once);
    let kept = made.secret.map(|secret| String::from_utf8(secret.to_vec()).unwrap()).unwrap_or_default();
    for secret in receiver.secrets() {
        assert!(!shown.contains(&secret) && kept.contains(&secret), "{secret}");
    }
    // What is wrong with a draft is told without repeating it.
    for name in draft.keys().filter(|name| *name != "type") {
        let mut broken = draft.clone();
        broken[name] = Value::from(format!("{}\n", receiver.secrets().concat()));
        if let Err(invalid) = kind(R::KIND).unwrap().validate(&broken, &policy, &mut ctx()) {
            let text = invalid.to_string();
            assert!(receiver.secrets().iter().all(|secret| !text.contains(secret)), "{text}");
        }
    }
}

fn assert_temporary(outcome: &Outcome) {
    assert!(matches!(outcome, Outcome::Failed { cause: Cause::Temporary, .. }), "{outcome:?}");
}

/// It is there, perhaps as several copies.
async fn assert_kept<R: Receiver>(scene: &Scene<R>, message: &Delivery) {
    let (wanted, got) = (as_got::<R>(message), scene.receiver.got().await);
    let copies = got.iter().filter(|got| **got == wanted).count();
    assert!(if R::DROPS_COPIES { copies == 1 } else { copies >= 1 }, "{copies} copies");
}

fn as_got<R: Receiver>(message: &Delivery) -> Got {
    Got { id: R::spelled(message.message_id), body: message.body.clone() }
}
