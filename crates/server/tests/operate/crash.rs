//! The process dies before, in and after each step, and another one goes on.

use keyherald_core::operation::State;
use keyherald_core::provider::{Probe, SessionEnding};
use keyherald_store::each_engine;
use keyherald_store::testing::TestStore;

use crate::provider::{Asked, Fate, Look, Scripted, capabilities};
use crate::stage::{NEW, OLD, Stage, check};

each_engine! {
    before_the_intent_nothing_happened,
    in_and_after_each_step_another_process_goes_on,
    every_process_dies_once_more,
    an_orderly_end_leaves_it_to_the_next_at_once,
    who_goes_away_only_misses_the_answer,
    without_a_provider_of_that_name_it_ends_with_its_seal,
}

async fn before_the_intent_nothing_happened(store: &TestStore) {
    let stage = Stage::new(store, Scripted::telling());
    let first = stage.process(1).await;
    let ada = first.linked(&stage, "ada").await;
    stage.provider.script_look_ups([Some(Look::Silent)]);
    let _never = first.begin_change(&ada, NEW);
    stage.provider.begun(Asked::LookUp, 1).await;
    first.kill();
    let second = stage.process(2).await;
    stage.settle().await;
    assert!(second.has(&ada, OLD).await);
    assert_eq!(stage.operations().await.len(), 0);
    check(&stage, &second, &ada, "ada").await;
}

/// What is scripted, and in which call the process dies (its kind, and how many there have been).
struct Death {
    fates: Vec<Fate>,
    look_ups: Vec<Option<Look>>,
    sign_ins: Vec<Option<Look>>,
    endings: Vec<Option<Look>>,
    dies_in: (Asked, usize),
}

fn deaths() -> Vec<Death> {
    let death = |fates: &[Fate], dies_in| Death {
        fates: fates.to_vec(),
        look_ups: Vec::new(),
        sign_ins: Vec::new(),
        endings: Vec::new(),
        dies_in,
    };
    let (set, look, sign_in, ending) = (Asked::Set, Asked::LookUp, Asked::SignIn, Asked::EndSessions);
    let lost = [Fate::AnswerLost];
    vec![
        death(&[Fate::Silent], (set, 1)),
        death(&[Fate::AppliedAndSilent], (set, 1)),
        // The answer is there, and the process dies somewhere on its way to the commit, or after it.
        death(&[Fate::Answered], (set, 1)),
        death(&[Fate::Fails(keyherald_core::provider::ProviderError::TooYoung)], (set, 1)),
        Death { look_ups: vec![None, Some(Look::Silent)], ..death(&lost, (look, 2)) },
        Death { sign_ins: vec![Some(Look::Silent)], ..death(&lost, (sign_in, 1)) },
        death(&lost, (sign_in, 1)),
        death(&[Fate::Lost, Fate::AppliedAndSilent], (set, 2)),
        death(&[Fate::Lost, Fate::Silent], (set, 2)),
        Death { endings: vec![Some(Look::Silent)], ..death(&[], (ending, 1)) },
        death(&[], (ending, 1)),
    ]
}

async fn in_and_after_each_step_another_process_goes_on(store: &TestStore) {
    for (number, death) in (1..).zip(deaths()) {
        let provider = Scripted::new(capabilities(Probe::Password, true, SessionEnding::ByStep), false);
        let stage = Stage::new(store, provider);
        let first = stage.process(1000 + number).await;
        let user = format!("user-{number}");
        let customer = first.linked(&stage, &user).await;
        let refused = matches!(death.fates.first(), Some(Fate::Fails(_)));
        stage.provider.script(death.fates);
        stage.provider.script_look_ups(death.look_ups);
        stage.provider.script_sign_ins(death.sign_ins);
        stage.provider.script_endings(death.endings);
        let _cut_off = first.begin_change(&customer, NEW);
        let (what, count) = death.dies_in;
        // Some of these calls are made only when time has passed.
        stage.pass_until("the call in which it dies", async || stage.provider.times_asked(what) >= count).await;
        first.kill();
        let second = stage.process(2000 + number).await;
        check(&stage, &second, &customer, &user).await;
        stage.settle().await;
        check(&stage, &second, &customer, &user).await;
        let operations = stage.operations().await;
        let ended = operations.iter().find(|operation| operation.customer == customer.id).unwrap();
        // A refusal that died with the process is asked for again: then the provider takes it.
        assert!(ended.state() == State::Committed || refused && ended.state() == State::Released, "{:?}", ended.log);
        assert_eq!(second.has(&customer, NEW).await, ended.state() == State::Committed);
        second.end().await;
    }
}

async fn every_process_dies_once_more(store: &TestStore) {
    let stage = Stage::new(store, Scripted::new(capabilities(Probe::None, false, SessionEnding::BySet), false));
    let mut process = stage.process(1).await;
    let ada = process.linked(&stage, "ada").await;
    stage.provider.script(vec![Fate::Silent; 3]);
    let _cut_off = process.begin_change(&ada, NEW);
    for death in 1..=3 {
        let sent = async || stage.provider.times_asked(Asked::Set) >= death;
        stage.pass_until("another attempt", sent).await;
        process.kill();
        process = stage.process(10 + u64::try_from(death).unwrap()).await;
        check(&stage, &process, &ada, "ada").await;
    }
    stage.settle().await;
    assert!(process.has(&ada, NEW).await);
    assert_eq!(stage.provider.password("ada").unwrap(), NEW);
    check(&stage, &process, &ada, "ada").await;
}

async fn an_orderly_end_leaves_it_to_the_next_at_once(store: &TestStore) {
    let stage = Stage::new(store, Scripted::telling());
    let first = stage.process(1).await;
    let ada = first.linked(&stage, "ada").await;
    stage.provider.script([Fate::AnswerLost]);
    stage.provider.script_look_ups([None, Some(Look::Silent)]);
    let _cut_off = first.begin_change(&ada, NEW);
    stage.provider.begun(Asked::LookUp, 2).await;
    first.end().await;
    let second = stage.process(2).await;
    // No lease is waited for: the time stands where it was.
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(20);
    while !second.has(&ada, NEW).await {
        assert!(tokio::time::Instant::now() < deadline, "nobody goes on");
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    check(&stage, &second, &ada, "ada").await;
}

async fn who_goes_away_only_misses_the_answer(store: &TestStore) {
    let stage = Stage::new(store, Scripted::telling());
    let process = stage.process(1).await;
    let ada = process.linked(&stage, "ada").await;
    stage.provider.script([Fate::AppliedAndSilent]);
    let request = process.begin_change(&ada, NEW);
    stage.provider.begun(Asked::Set, 1).await;
    request.abort();
    stage.settle().await;
    assert!(process.has(&ada, NEW).await);
    check(&stage, &process, &ada, "ada").await;
}

async fn without_a_provider_of_that_name_it_ends_with_its_seal(store: &TestStore) {
    let stage = Stage::new(store, Scripted::telling());
    let first = stage.process(1).await;
    let ada = first.linked(&stage, "ada").await;
    stage.provider.script([Fate::AppliedAndSilent]);
    let _cut_off = first.begin_change(&ada, NEW);
    stage.provider.begun(Asked::Set, 1).await;
    first.kill();
    let second = stage.process_without_providers(2).await;
    stage.settle().await;
    assert_eq!(stage.operations().await[0].state(), State::Diverged);
    assert_eq!(second.app.operations.figures().diverged, 1);
    check(&stage, &second, &ada, "ada").await;
}
