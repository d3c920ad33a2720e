//! Who comes while a password is underway: the same one joins, everything else waits its turn, within limits.

use std::time::Duration;

use keyherald::app::CustomerRef;
use keyherald::app::operations::Resolving;
use keyherald::operate::Settings;
use keyherald_core::Refusal;
use keyherald_core::customer::Customer;
use keyherald_core::operation::State;
use keyherald_core::provider::{Probe, ProviderLink, SessionEnding};
use keyherald_core::update::{Action, Command};
use keyherald_core::{credential::AuthenticationMode, token};
use keyherald_store::each_engine;
use keyherald_store::testing::TestStore;

use crate::faults::refusal;
use crate::provider::{Asked, Fate, Look, Scripted, capabilities, secret};
use crate::stage::{NEW, Process, Stage, call, check, demo, provider_name};

each_engine! {
    the_same_password_joins,
    another_password_waits_and_is_then_told_the_truth,
    no_other_credential_write_comes_between,
    a_reset_runs_as_an_operation_and_uses_its_token_once,
    a_refused_reset_keeps_its_token,
    a_password_for_who_signed_in_elsewhere,
    a_divergence_is_recovered_from,
    a_divergence_is_resolved_by_an_operator,
    a_write_that_waits_goes_on_when_the_operation_has_ended,
    changes_in_a_row_wait_for_no_look_at_the_clock,
}

/// An attempt of which nobody knows, on its way for as long as the test lets no time pass.
async fn underway(stage: &Stage<'_>, process: &Process, customer: &Customer) {
    stage.provider.script([Fate::Lost]);
    let _answer = process.begin_change(customer, NEW);
    stage.provider.begun(Asked::Set, 1).await;
}

fn is_underway(refusal: &Refusal) -> bool {
    matches!(refusal, Refusal::PasswordChangeUnderway { retry_after_s } if *retry_after_s > 0)
}

/// A stage on which time stands still unless it is moved.
pub fn standing(store: &TestStore) -> Stage<'_> {
    let mut stage = Stage::new(store, Scripted::telling());
    stage.clock = std::sync::Arc::new(keyherald::clock::ManualClock::at(keyherald_core::Micros(1_772_600_767_890_000)));
    stage
}

async fn the_same_password_joins(store: &TestStore) {
    let stage = standing(store);
    let (process, other) = (stage.process(1).await, stage.process(2).await);
    let ada = process.linked(&stage, "ada").await;
    underway(&stage, &process, &ada).await;
    let joined = [process.begin_change(&ada, NEW), other.begin_change(&ada, NEW)];
    // They must have joined before it ends: their look-ups are over.
    stage.provider.begun(Asked::LookUp, 4).await;
    stage.settle().await;
    for joined in joined {
        // Who came late finds another version: it is the truth as well.
        match joined.await.unwrap() {
            Ok(customer) => assert_eq!(customer.version, ada.version + 1),
            failed => assert!(matches!(refusal(failed), Refusal::VersionMismatch { .. })),
        }
    }
    assert_eq!((stage.operations().await.len(), stage.told(ada.id).await), (1, 1));
    check(&stage, &process, &ada, "ada").await;
}

async fn another_password_waits_and_is_then_told_the_truth(store: &TestStore) {
    let stage = standing(store);
    let process = stage.process(1).await;
    let ada = process.linked(&stage, "ada").await;
    underway(&stage, &process, &ada).await;
    assert!(is_underway(&refusal(process.change(&ada, "third-password").await)));
    stage.settle().await;
    // The first one has won: the version that was read is an old one.
    assert!(matches!(refusal(process.change(&ada, "third-password").await), Refusal::VersionMismatch { .. }));
    assert_eq!((stage.operations().await.len(), stage.provider.password("ada").unwrap().as_str()), (1, NEW));
    check(&stage, &process, &ada, "ada").await;
}

async fn no_other_credential_write_comes_between(store: &TestStore) {
    let stage = standing(store);
    let process = stage.process(1).await;
    let ada = process.linked(&stage, "ada").await;
    let eve = process.linked(&stage, "eve").await;
    underway(&stage, &process, &ada).await;
    let app = &process.app;
    let deleted = app.delete_customer(call(), CustomerRef::Id(ada.id), ada.version, false).await;
    assert!(is_underway(&refusal(deleted)));
    let mode = Action::SetAuthenticationMode { mode: AuthenticationMode::ExternalAuth, with_password: false };
    let command = Command { version: ada.version, actions: vec![mode], by: call().by };
    assert!(is_underway(&refusal(app.update_customer(call(), CustomerRef::Id(ada.id), command, None).await)));
    let link = ProviderLink { provider: provider_name(), user: "adele".parse().ok().unwrap() };
    assert!(is_underway(&refusal(app.link_customer(call(), ada.id, link).await)));
    assert!(is_underway(&refusal(app.unlink_customer(call(), ada.id, provider_name()).await)));
    // What is no credential, and whoever is another customer, goes on.
    let key = Action::SetKey(Some("k-1".parse().unwrap()));
    let command = Command { version: ada.version, actions: vec![key], by: call().by };
    app.update_customer(call(), CustomerRef::Id(ada.id), command, None).await.unwrap();
    app.delete_customer(call(), CustomerRef::Id(eve.id), eve.version, false).await.unwrap();
    // The moved version does not stop it.
    stage.settle().await;
    assert!(process.has(&ada, NEW).await);
    check(&stage, &process, &ada, "ada").await;
}

async fn a_write_that_waits_goes_on_when_the_operation_has_ended(store: &TestStore) {
    let mut stage = standing(store);
    stage.settings = Settings { wait: Duration::from_secs(30), ..stage.settings };
    let process = stage.process(1).await;
    let ada = process.linked(&stage, "ada").await;
    underway(&stage, &process, &ada).await;
    let link = ProviderLink { provider: provider_name(), user: "adele".parse().ok().unwrap() };
    let linking = process.app.link_customer(call(), ada.id, link);
    let (linked, ()) = tokio::join!(linking, stage.settle());
    assert!(linked.unwrap());
    assert!(process.has(&ada, NEW).await);
}

/// Nobody looks again by the clock here: whoever waits is woken, or waits in vain.
async fn changes_in_a_row_wait_for_no_look_at_the_clock(store: &TestStore) {
    let provider = Scripted::new(capabilities(Probe::Password, true, SessionEnding::ByStep), false);
    let mut stage = Stage { provider, ..standing(store) };
    stage.settings = Settings {
        wait: Duration::from_mins(10),
        poll: Duration::from_mins(10),
        call_max: Duration::from_mins(10),
        ..stage.settings
    };
    let process = stage.process(1).await;
    let mut ada = process.linked(&stage, "ada").await;
    // The sessions of the first change are being ended for as long as the test lasts.
    stage.provider.script_endings([Some(Look::Silent)]);
    let mut old = crate::stage::OLD.to_owned();
    for turn in 0..5 {
        let new = format!("password-{turn}");
        let changed =
            process.app.change_password(call(), ada.id, ada.version, secret(&old), secret(&new)).await.unwrap();
        assert_eq!(changed.version, ada.version + 1);
        (ada, old) = (changed, new);
    }
    // Two at once: one is done, and the other is told that it has come too late.
    let change = |new| process.app.change_password(call(), ada.id, ada.version, secret(&old), secret(new));
    let (one, other) = tokio::join!(change("password-a"), change("password-b"));
    let (done, late) = if one.is_ok() { (one, other) } else { (other, one) };
    assert_eq!(done.unwrap().version, ada.version + 1);
    assert!(matches!(refusal(late), Refusal::VersionMismatch { .. }));
}

async fn token_of(process: &Process, customer: &Customer) -> String {
    let command = token::Command { ttl_minutes: 60, invalidate_older_tokens: false, by: call().by };
    let made = process.app.create_password_token(call(), customer.email.clone(), command).await.unwrap();
    made.value.reveal_with(str::to_owned)
}

async fn a_reset_runs_as_an_operation_and_uses_its_token_once(store: &TestStore) {
    let stage = standing(store);
    let process = stage.process(1).await;
    let ada = process.linked(&stage, "ada").await;
    let value = token_of(&process, &ada).await;
    let reset = process.app.reset_password(call(), &value, None, secret(NEW)).await.unwrap();
    assert_eq!((reset.version, stage.provider.password("ada").unwrap().as_str()), (ada.version + 1, NEW));
    assert_eq!(refusal(process.app.reset_password(call(), &value, None, secret(NEW)).await), Refusal::TokenUnknown);
    check(&stage, &process, &ada, "ada").await;
}

async fn a_refused_reset_keeps_its_token(store: &TestStore) {
    let stage = standing(store);
    let process = stage.process(1).await;
    let ada = process.linked(&stage, "ada").await;
    let value = token_of(&process, &ada).await;
    let refused = process.app.reset_password(call(), &value, None, secret("weak-1")).await;
    assert!(matches!(refusal(refused), Refusal::ProviderRefused(_)));
    process.app.reset_password(call(), &value, None, secret(NEW)).await.unwrap();
    check(&stage, &process, &ada, "ada").await;
}

async fn a_password_for_who_signed_in_elsewhere(store: &TestStore) {
    let stage = standing(store);
    let process = stage.process(1).await;
    let ada = process.linked(&stage, "ada").await;
    let by_id = || CustomerRef::Id(ada.id);
    let mode = |mode, with_password| Action::SetAuthenticationMode { mode, with_password };
    let command = |version, action| Command { version, actions: vec![action], by: call().by };
    let elsewhere = command(ada.version, mode(AuthenticationMode::ExternalAuth, false));
    let ada = process.app.update_customer(call(), by_id(), elsewhere, None).await.unwrap();
    let here = |version| command(version, mode(AuthenticationMode::Password, true));
    let refused = process.app.update_customer(call(), by_id(), here(ada.version), Some(secret("weak-1"))).await;
    assert!(matches!(refusal(refused), Refusal::ProviderRefused(_)));
    let set = process.app.update_customer(call(), by_id(), here(ada.version), Some(secret(NEW))).await.unwrap();
    assert_eq!((set.authentication_mode, set.version), (AuthenticationMode::Password, ada.version + 2));
    assert!(process.has(&ada, NEW).await);
    check(&stage, &process, &ada, "ada").await;
}

/// Nobody knows the password: the provider took it and does not tell.
async fn diverged(stage: &Stage<'_>, process: &Process, customer: &Customer) {
    stage.provider.script(vec![Fate::AnswerLost; 40]);
    let _answer = process.begin_change(customer, NEW);
    stage.provider.begun(Asked::Set, 1).await;
    stage.settle().await;
    assert_eq!(stage.operations().await[0].state(), State::Diverged);
    stage.provider.clear();
}

fn untelling(store: &TestStore) -> Stage<'_> {
    let provider = Scripted::new(capabilities(Probe::None, false, SessionEnding::BySet), false);
    Stage { provider, ..standing(store) }
}

async fn a_divergence_is_recovered_from(store: &TestStore) {
    let stage = untelling(store);
    let process = stage.process(1).await;
    let ada = process.linked(&stage, "ada").await;
    diverged(&stage, &process, &ada).await;
    // Of the passwords, neither is believed.
    for password in [crate::stage::OLD, NEW] {
        let signed_in = process.app.sign_in(call(), ada.email.clone(), secret(password)).await;
        assert_eq!(refusal(signed_in), Refusal::CredentialsWrong);
    }
    assert_eq!(refusal(process.change(&ada, "third-password").await), Refusal::CurrentPasswordWrong);
    let value = token_of(&process, &ada).await;
    process.app.reset_password(call(), &value, None, secret("third-password")).await.unwrap();
    process.app.sign_in(call(), ada.email.clone(), secret("third-password")).await.unwrap();
    assert_eq!(stage.operations().await[0].state(), State::Resolved);
    check(&stage, &process, &ada, "ada").await;
}

async fn a_divergence_is_resolved_by_an_operator(store: &TestStore) {
    let stage = untelling(store);
    let process = stage.process(1).await;
    let ada = process.linked(&stage, "ada").await;
    diverged(&stage, &process, &ada).await;
    let id = stage.operations().await[0].id;
    assert_eq!(process.app.resolve_operation(demo(), id).await.unwrap(), Resolving::Done);
    let again = process.app.resolve_operation(demo(), id).await.unwrap();
    assert_eq!(again, Resolving::NotDiverged(State::Resolved));
    process.app.sign_in(call(), ada.email.clone(), secret(crate::stage::OLD)).await.unwrap();
}
