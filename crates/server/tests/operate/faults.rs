//! Each step fails in each class, and is repeated.

use std::time::Duration;

use keyherald::app::{Answer, Failure};
use keyherald::operate::Settings;
use keyherald_core::Refusal;
use keyherald_core::customer::Customer;
use keyherald_core::operation::State;
use keyherald_core::provider::{Probe, ProviderError, SessionEnding};
use keyherald_store::each_engine;
use keyherald_store::testing::TestStore;

use crate::provider::{Asked, Fate, Look, Scripted, capabilities};
use crate::stage::{NEW, OLD, Stage, check};

each_engine! {
    a_clean_change_is_one_attempt_and_four_entries,
    a_password_that_the_provider_refuses_is_changed_nowhere,
    an_answer_that_is_lost_is_found_out,
    every_fate_ends_well_with_every_kind_of_provider,
    looks_that_fail_are_asked_again,
    nothing_is_tried_after_the_caller_was_told_to_come_back,
    sessions_are_ended_after_the_answer,
    a_provider_that_does_not_know_the_user_is_sent_nothing,
    customers_without_a_provider_cost_nothing_more,
}

pub fn refusal<T>(answer: Answer<T>) -> Refusal {
    match answer {
        Err(Failure::Refused(refusal)) => refusal,
        Err(Failure::Fault(fault)) => panic!("{fault:?}"),
        Ok(_) => panic!("not refused"),
    }
}

async fn a_clean_change_is_one_attempt_and_four_entries(store: &TestStore) {
    let stage = Stage::new(store, Scripted::telling());
    let process = stage.process(1).await;
    let ada = process.linked(&stage, "ada").await;
    let before = process.app.store.counters().writes;
    let changed = process.change(&ada, NEW).await.unwrap();
    assert_eq!(process.app.store.counters().writes - before, 2, "the intent, and the outcome");
    assert_eq!((changed.version, stage.provider.password("ada").unwrap().as_str()), (ada.version + 1, NEW));
    assert!(process.has(&ada, NEW).await);
    assert_eq!(stage.provider.asked(), [Asked::LookUp, Asked::Set]);
    let done = |code| (code, "done".to_owned());
    assert_eq!(stage.activity(ada.id).await, [4601, 4001, 4609, 4010].map(done));
    check(&stage, &process, &ada, "ada").await;
    assert_eq!((process.app.operations.figures().begun, process.app.operations.figures().committed), (1, 1));
}

async fn a_password_that_the_provider_refuses_is_changed_nowhere(store: &TestStore) {
    let stage = Stage::new(store, Scripted::telling());
    let process = stage.process(1).await;
    let ada = process.linked(&stage, "ada").await;
    let Refusal::ProviderRefused(error) = refusal(process.change(&ada, "weak-1").await) else { panic!("refused") };
    assert_eq!(error.message().unwrap().as_str(), "*** is too weak: use a digit");
    assert!(process.has(&ada, OLD).await);
    assert_eq!(stage.provider.password("ada").unwrap(), OLD);
    let outcomes = stage.activity(ada.id).await;
    assert_eq!(outcomes.last().unwrap(), &(4609, "policy_violation".to_owned()));
    // Nothing stands in the way of another try.
    process.change(&ada, NEW).await.unwrap();
    check(&stage, &process, &ada, "ada").await;
}

async fn an_answer_that_is_lost_is_found_out(store: &TestStore) {
    let stage = Stage::new(store, Scripted::telling());
    let process = stage.process(1).await;
    for (user, fate, sets) in [("ada", Fate::AnswerLost, 1), ("eve", Fate::AppliedAndSilent, 1)] {
        stage.provider.clear();
        let customer = process.linked(&stage, user).await;
        stage.provider.script([fate]);
        let changed = process.change(&customer, NEW).await.unwrap();
        assert_eq!(changed.version, customer.version + 1);
        assert_eq!((stage.provider.times_asked(Asked::Set), stage.provider.changes(user)), (sets, 1));
        check(&stage, &process, &customer, user).await;
    }
    process.end().await;
    // What never arrived is sent again, and a caller who waits no longer is told that it is not known.
    stage.provider.clear();
    let stage = Stage { settings: Settings { answer_within: Duration::from_millis(300), ..stage.settings }, ..stage };
    let process = stage.process(2).await;
    let bob = process.linked(&stage, "bob").await;
    stage.provider.script([Fate::Lost, Fate::Lost, Fate::Lost]);
    let told = refusal(process.change(&bob, NEW).await);
    assert!(matches!(told, Refusal::PasswordChangeUnderway { .. }), "{told:?}");
    check(&stage, &process, &bob, "bob").await;
    stage.settle().await;
    assert!(process.has(&bob, NEW).await);
    assert_eq!(stage.provider.times_asked(Asked::Set), 4);
    check(&stage, &process, &bob, "bob").await;
}

fn fates() -> Vec<Vec<Fate>> {
    let policy = Fate::Fails(ProviderError::PolicyViolation { rule: None, message: None });
    let mut fates: Vec<Vec<Fate>> = vec![vec![Fate::Answered], vec![Fate::AnswerLost], vec![Fate::AppliedAndSilent]];
    fates.extend([vec![Fate::Lost], vec![Fate::Silent], vec![Fate::Panics], vec![Fate::Throttled(1)]]);
    for error in [ProviderError::Transient, ProviderError::AdminAuth, ProviderError::UserBlocked] {
        fates.push(vec![Fate::Fails(error)]);
    }
    // A step that is repeated meets every class again.
    for first in [Fate::AnswerLost, Fate::Lost] {
        for then in [Fate::AnswerLost, Fate::Lost, policy.clone(), Fate::Throttled(30), Fate::Silent] {
            fates.push(vec![first.clone(), then]);
        }
    }
    fates.push(vec![Fate::Lost; 5]);
    fates.push(vec![Fate::Lost; 40]);
    fates
}

async fn every_fate_ends_well_with_every_kind_of_provider(store: &TestStore) {
    let mut number = 0;
    for (probe, trial, history) in [
        (Probe::Password, true, true),
        (Probe::Password, false, false),
        (Probe::Record, true, false),
        (Probe::Record, false, true),
        (Probe::None, true, true),
        (Probe::None, false, true),
        (Probe::None, false, false),
    ] {
        let stage = Stage::new(store, Scripted::new(capabilities(probe, trial, SessionEnding::BySet), history));
        let process = stage.process(100 + number).await;
        for fates in fates() {
            number += 1;
            let user = format!("user-{number}");
            stage.provider.clear();
            let customer = process.linked(&stage, &user).await;
            stage.provider.script(fates.clone());
            let answer = process.begin_change(&customer, NEW);
            stage.provider.begun(Asked::Set, 1).await;
            stage.settle().await;
            let answer = answer.await.unwrap();
            check(&stage, &process, &customer, &user).await;
            let told = stage.told(customer.id).await;
            match answer {
                Ok(changed) => assert_eq!((changed.version, told), (customer.version + 1, 1), "{fates:?}"),
                Err(Failure::Refused(Refusal::PasswordChangeUnderway { .. })) => {}
                Err(Failure::Refused(Refusal::ProviderRefused(_) | Refusal::ProviderUnreachable { .. })) => {
                    assert_eq!((told, stage.provider.password(&user).unwrap().as_str()), (0, OLD), "{fates:?}");
                }
                Err(other) => panic!("{fates:?}: {other:?}"),
            }
            let last =
                stage.operations().await.into_iter().find(|operation| operation.customer == customer.id).unwrap();
            let can_tell = probe == Probe::Password || trial;
            assert!(!(can_tell && last.state() == State::Diverged), "{probe:?} {trial} {fates:?}: {:?}", last.log);
            assert_ne!(last.state(), State::Open);
        }
        process.end().await;
    }
}

async fn looks_that_fail_are_asked_again(store: &TestStore) {
    let stage = Stage::new(store, Scripted::telling());
    let process = stage.process(1).await;
    let wrong = || [Look::Fails(ProviderError::Transient), Look::Silent, Look::Panics];
    for (number, look) in wrong().into_iter().enumerate() {
        let user = format!("user-{number}");
        stage.provider.clear();
        let customer = process.linked(&stage, &user).await;
        stage.provider.script([Fate::AnswerLost]);
        // The first look-up is the one before the intent.
        stage.provider.script_look_ups([None, Some(look.clone()), Some(look.clone())]);
        stage.provider.script_sign_ins([Some(look)]);
        let answer = process.begin_change(&customer, NEW);
        stage.provider.begun(Asked::Set, 1).await;
        stage.settle().await;
        let _known_or_not = answer.await.unwrap();
        assert!(process.has(&customer, NEW).await);
        check(&stage, &process, &customer, &user).await;
    }
}

async fn nothing_is_tried_after_the_caller_was_told_to_come_back(store: &TestStore) {
    let stage = Stage::new(store, Scripted::telling());
    let process = stage.process(1).await;
    let ada = process.linked(&stage, "ada").await;
    stage.provider.script([Fate::Throttled(40), Fate::Throttled(40)]);
    let Refusal::ProviderUnreachable { retry_after_s } = refusal(process.change(&ada, NEW).await) else {
        panic!("throttled")
    };
    assert!((30..=40).contains(&retry_after_s), "{retry_after_s}");
    stage.advance(300);
    stage.settle().await;
    assert_eq!((stage.provider.times_asked(Asked::Set), stage.provider.password("ada").unwrap().as_str()), (1, OLD));
    check(&stage, &process, &ada, "ada").await;
}

async fn sessions_are_ended_after_the_answer(store: &TestStore) {
    let provider = Scripted::new(capabilities(Probe::Password, true, SessionEnding::ByStep), false);
    let stage = Stage::new(store, provider);
    let process = stage.process(1).await;
    let ada = process.linked(&stage, "ada").await;
    stage.provider.script_endings([Some(Look::Fails(ProviderError::Transient)), Some(Look::Silent)]);
    let changed: Customer = process.change(&ada, NEW).await.unwrap();
    assert_eq!(changed.version, ada.version + 1);
    stage.settle().await;
    assert_eq!((stage.provider.sessions_ended(), stage.provider.times_asked(Asked::EndSessions)), (1, 3));
    assert_eq!(stage.operations().await[0].state(), State::Committed);
    check(&stage, &process, &ada, "ada").await;
}

async fn a_provider_that_does_not_know_the_user_is_sent_nothing(store: &TestStore) {
    let stage = Stage::new(store, Scripted::telling());
    let process = stage.process(1).await;
    let ada = process.linked(&stage, "ada").await;
    stage.provider.remove("ada");
    assert_eq!(
        refusal(process.change(&ada, NEW).await),
        Refusal::NotLookedUp(Box::new(Refusal::ProviderRefused(ProviderError::UserNotFound)))
    );
    assert_eq!(stage.provider.times_asked(Asked::Set), 0);
    assert_eq!(stage.activity(ada.id).await, [(4601, "user_not_found".into())]);
    let eve = process.linked(&stage, "eve").await;
    stage.provider.script_look_ups([Some(Look::Fails(ProviderError::Transient))]);
    let Refusal::NotLookedUp(why) = refusal(process.change(&eve, NEW).await) else { panic!("looked up") };
    assert!(matches!(*why, Refusal::ProviderUnreachable { .. }));
    assert_eq!(stage.activity(eve.id).await, [(4601, "transient".into())]);
    let long = "x".repeat(73);
    assert!(matches!(refusal(process.change(&eve, &long).await), Refusal::ProviderRefused(_)));
    assert_eq!((stage.provider.times_asked(Asked::Set), stage.operations().await.len()), (0, 0));
    // A wrong password is not even shown to the provider.
    let asked = stage.provider.asked().len();
    let wrong = process.app.change_password(
        crate::stage::call(),
        eve.id,
        eve.version,
        crate::provider::secret("wrong"),
        crate::provider::secret(NEW),
    );
    assert_eq!(refusal(wrong.await), Refusal::CurrentPasswordWrong);
    assert_eq!(stage.provider.asked().len(), asked);
}

async fn customers_without_a_provider_cost_nothing_more(store: &TestStore) {
    let stage = Stage::new(store, Scripted::telling());
    let process = stage.process(1).await;
    let ada = process.unlinked("ada").await;
    let before = process.app.store.counters();
    let changed = process.change(&ada, NEW).await.unwrap();
    assert_eq!(changed.version, ada.version + 1);
    let after = process.app.store.counters();
    assert_eq!(after.writes - before.writes, 1);
    assert_eq!(stage.provider.asked(), []);
    assert_eq!(stage.operations().await.len(), 0);
}
