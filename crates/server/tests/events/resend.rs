//! Events that are sent again because somebody asks for it.

use keyherald::app::events::{Asked, Resend, State};
use keyherald_core::Micros;
use keyherald_core::id::MessageId;

use crate::stage::{Stage, brand, demo};

each_engine! {
    only_what_is_the_brands_own_is_matched,
    a_span_is_resent_in_batches_that_survive_a_crash,
    what_is_kept_long_enough_is_removed_unless_it_is_owed,
}

async fn only_what_is_the_brands_own_is_matched(mut stage: Stage) {
    stage.brands(&[("demo", brand()), ("other", brand())]);
    let customer = stage.customer("jo@example.com").await;
    stage.recover(&customer).await;
    stage.partner.wait_for(1, || {}).await;
    stage.until_all("demo", State::Delivered).await;
    let event = stage.events("demo").await.remove(0);
    let unknown = MessageId::new(&mut stage.app.moments.ctx());
    let ask = async |project: &str, what: Resend| {
        stage.app.resend_events(project.parse().unwrap(), what).await.unwrap().matched
    };
    assert_eq!(ask("other", Resend::These(vec![event.id])).await, 0);
    assert_eq!(ask("other", Resend::Span(stage.all())).await, 0);
    let before = Asked { to: event.at.plus(-1), ..stage.all() };
    assert_eq!(ask("demo", Resend::Span(before)).await, 0);
    let nobodys = Asked { customer: Some(unknown.uuid().into()), ..stage.all() };
    assert_eq!(ask("demo", Resend::Span(nobodys)).await, 0);
    let its_own = Asked { customer: event.customer, ..stage.all() };
    assert_eq!(ask("demo", Resend::Span(its_own)).await, 1);
    stage.partner.wait_for(2, || {}).await;
    stage.until_all("demo", State::Delivered).await;
    assert_eq!(ask("demo", Resend::These(vec![event.id, unknown, event.id])).await, 1);
    stage.partner.wait_for(3, || {}).await;
    stage.until_all("demo", State::Delivered).await;
    assert_eq!(stage.partner.got().len(), 3);
}

async fn a_span_is_resent_in_batches_that_survive_a_crash(mut stage: Stage) {
    let customer = stage.customer("jo@example.com").await;
    for _ in 0..5 {
        stage.recover(&customer).await;
    }
    stage.partner.wait_for(5, || {}).await;
    stage.until_all("demo", State::Delivered).await;
    stage.kill().await;
    // As a process leaves it that dies after the first batch.
    let asked = stage.all();
    let begin = move |tx: &mut dyn keyherald_store::Tx, ctx: &mut keyherald_core::Ctx| {
        let project = demo().project;
        assert_eq!(keyherald_store::event::resend::count(tx, &project, &asked)?, 5);
        keyherald_store::event::resend::begin(tx, &project, MessageId::new(ctx), &asked)?;
        keyherald_store::event::resend::go_on(tx, 2, ctx)
    };
    assert!(stage.app.store.write(&stage.app.moments.ctx(), begin).await.unwrap());
    let pending = async || {
        let events = stage.events("demo").await;
        events.iter().filter(|event| event.state == State::Pending).count()
    };
    assert_eq!(pending().await, 2);
    while stage.app.sweep_once().await.unwrap() {}
    assert_eq!(pending().await, 5);
    stage.start();
    let got = stage.partner.wait_for(10, || {}).await;
    let bodies = |part: &[crate::partner::Got]| part.iter().map(|request| request.body.clone()).collect::<Vec<_>>();
    assert_eq!(bodies(&got[..5]), bodies(&got[5..]), "the same, in the same order");
    stage.until_all("demo", State::Delivered).await;
}

async fn what_is_kept_long_enough_is_removed_unless_it_is_owed(mut stage: Stage) {
    let customer = stage.customer("jo@example.com").await;
    stage.recover(&customer).await;
    stage.partner.wait_for(1, || {}).await;
    stage.until_all("demo", State::Delivered).await;
    stage.kill().await;
    stage.recover(&customer).await;
    stage.clock.advance(30 * Micros::DAY + Micros::SECOND);
    while stage.app.sweep_once().await.unwrap() {}
    let left = stage.events("demo").await;
    assert_eq!(left.iter().map(|event| event.state).collect::<Vec<_>>(), [State::Pending]);
    stage.start();
    stage.partner.wait_for(2, || {}).await;
    stage.until_all("demo", State::Delivered).await;
    while stage.app.sweep_once().await.unwrap() {}
    assert!(stage.events("demo").await.is_empty());
}
