//! Who fails holds up nobody else, and is never given up.

use keyherald::app::events::State;
use keyherald::clock::Clock;
use keyherald::destination::paysafe;
use keyherald_core::Micros;

use crate::partner::Answer;
use crate::stage::{Stage, brand, demo, settings};

each_engine! {
    a_dead_endpoint_blocks_no_other_brand,
    what_is_refused_is_parked_after_twenty_times,
    an_endpoint_that_says_it_is_gone_is_tried_on,
    who_asks_for_rest_has_it_within_reason,
    without_an_endpoint_events_are_recorded,
    every_success_ends_a_delivery,
    every_status_that_is_listed_is_retried,
}

async fn a_dead_endpoint_blocks_no_other_brand(mut stage: Stage) {
    stage.brands(&[("demo", brand()), ("other", brand())]);
    let (dead, url) = stage.another_partner().await;
    // It takes what it gets, and says nothing for as long as anybody waits.
    dead.script([Answer::Never; 100]);
    stage.send_to("other", paysafe::Settings { total_timeout_ms: 60_000, ..settings(&url) }).await;
    let others = stage.customer_of("other", "jo@example.com").await;
    for _ in 0..3 {
        stage.recover_in("other", &others).await;
    }
    dead.wait_for(1, || {}).await;
    let customer = stage.customer("jo@example.com").await;
    stage.recover(&customer).await;
    stage.partner.wait_for(1, || {}).await;
    stage.until_all("demo", State::Delivered).await;
    let states = stage.events("other").await.iter().map(|event| event.state).collect::<Vec<_>>();
    assert_eq!(states, [State::Pending; 3]);
    assert_eq!(dead.got().len(), 1, "the next one of a customer waits for its answer");
}

async fn what_is_refused_is_parked_after_twenty_times(stage: Stage) {
    stage.partner.script([Answer::Status(400); 20]);
    let customer = stage.customer("jo@example.com").await;
    stage.recover(&customer).await;
    stage.recover(&customer).await;
    let got = stage.partner.wait_for(21, || stage.an_hour_later()).await;
    assert!(got[..20].iter().all(|request| request.body == got[0].body));
    assert_ne!(got[20].body, got[0].body, "the customer's next event has its turn");
    let states = async || stage.events("demo").await.iter().map(|event| event.state).collect::<Vec<_>>();
    stage.until("one is parked", async || states().await == [State::Parked, State::Delivered]).await;
}

async fn an_endpoint_that_says_it_is_gone_is_tried_on(stage: Stage) {
    stage.partner.script([Answer::Status(410), Answer::Status(404)]);
    stage.partner.script([Answer::Status(503); 30]);
    let customer = stage.customer("jo@example.com").await;
    stage.recover(&customer).await;
    stage.partner.wait_for(33, || stage.an_hour_later()).await;
    stage.until_all("demo", State::Delivered).await;
}

async fn without_an_endpoint_events_are_recorded(stage: Stage) {
    stage.wants("demo", None).await;
    let customer = stage.customer("jo@example.com").await;
    stage.recover(&customer).await;
    assert_eq!(stage.events("demo").await[0].state, State::Recorded);
    stage.send_to("demo", settings(&stage.url)).await;
    assert_eq!(stage.events("demo").await[0].state, State::Recorded, "nobody has asked for it");
    let what = keyherald::app::events::Resend::Span(stage.all());
    assert_eq!(stage.app.resend_events(demo().project, what).await.unwrap().matched, 1);
    stage.partner.wait_for(1, || {}).await;
    stage.until_all("demo", State::Delivered).await;
}

async fn who_asks_for_rest_has_it_within_reason(mut stage: Stage) {
    let customer = stage.customer("jo@example.com").await;
    let clock = stage.clock.clone();
    let go_on = || clock.advance(20 * Micros::SECOND);
    stage.partner.script([Answer::Later(500, 7200)]);
    let before = stage.clock.now();
    stage.recover(&customer).await;
    stage.partner.wait_for(2, go_on).await;
    assert!(stage.clock.now().0 - before.0 >= 2 * Micros::HOUR);
    stage.until_all("demo", State::Delivered).await;
    // More than a month, which the clock does not come to here.
    stage.kill().await;
    stage.send_to("demo", paysafe::Settings { retry_after_cap_s: 100, ..settings(&stage.url) }).await;
    stage.start();
    stage.partner.script([Answer::Later(503, 3_000_000)]);
    stage.recover(&customer).await;
    stage.partner.wait_for(4, go_on).await;
    stage.until_all("demo", State::Delivered).await;
}

async fn every_success_ends_a_delivery(stage: Stage) {
    let customer = stage.customer("jo@example.com").await;
    let successes = [200, 201, 202, 206, 299];
    stage.partner.script(successes.map(Answer::Status));
    for (_, number) in successes.into_iter().zip(1..) {
        stage.recover(&customer).await;
        stage.partner.wait_for(number, || {}).await;
        stage.until_all("demo", State::Delivered).await;
    }
    stage.an_hour_later();
    // What comes after all retries would have been due is the next event, and not one of these again.
    stage.recover(&customer).await;
    let got = stage.partner.wait_for(successes.len() + 1, || {}).await;
    stage.until_all("demo", State::Delivered).await;
    let ids: std::collections::BTreeSet<_> = got.iter().map(|request| request.json()["id"].to_string()).collect();
    assert_eq!((ids.len(), stage.partner.got().len()), (6, 6));
}

async fn every_status_that_is_listed_is_retried(mut stage: Stage) {
    // Each that a brand retries by default, and then more often than what is refused would be, one that it has listed.
    stage.kill().await;
    stage.send_to("demo", paysafe::Settings { retry_statuses: vec![409], ..settings(&stage.url) }).await;
    stage.start();
    let always = [301, 302, 307, 308, 408, 425, 429, 500, 501, 502, 503, 504, 599].map(Answer::Status);
    stage.partner.script(always);
    stage.partner.script([Answer::Status(409); 21]);
    let customer = stage.customer("jo@example.com").await;
    stage.recover(&customer).await;
    let count = always.len() + 21 + 1;
    let got = stage.partner.wait_for(count, || stage.an_hour_later()).await;
    stage.until_all("demo", State::Delivered).await;
    assert!(got.iter().all(|request| request.body == got[0].body && request.is_signed()));
    assert_eq!(stage.partner.got().len(), count);
}
