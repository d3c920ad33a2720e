//! A real Keystone by its example file: what `conformance` asks of doubles, asked of a provider that nobody here wrote.
//! The server is shared by all tests; each has a user of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use keyherald::clock::Moments;
use keyherald::commands::provider::Asked;
use keyherald::connector::{self, By, Connector, Limits, LookedUp, NewUser, Settings, UserChanges};
use keyherald_core::provider::{PolicyText, ProviderError, ProviderUser, SessionEnding, TrialAnswer};
use tokio::sync::{Mutex, MutexGuard};
use url::Url;

use crate::conformance::{ctx, loopback, password};
use crate::{examples, provider_check};

const OLD: &str = "old-pass-word-1";
const NEW: &str = "new-pass-word-2";

static TURN: Mutex<()> = Mutex::const_new(());
static NUMBER: AtomicU32 = AtomicU32::new(0);

/// The server by its example, a user of this test's own, and its turn: on SQLite writes at the same time fail there.
async fn stage() -> (Arc<dyn Connector>, LookedUp, MutexGuard<'static, ()>) {
    let turn = TURN.lock().await;
    let running = std::env::var("KEYHERALD_TEST_KEYSTONE").unwrap();
    let (url, secret) = running.split_once(' ').unwrap();
    let kind = examples::kind(&examples::text("keystone"), secret, &Url::parse(url).unwrap());
    let limits = Limits { per_second: 100, burst: 100, ..Limits::default() };
    let connector = connector::open(Settings { kind, net: loopback(), limits }).unwrap();
    let email = format!("u{}-{}@example.com", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
    let old = password(OLD);
    let new = NewUser {
        email: &email,
        password: &old,
        first_name: Some("Ada"),
        last_name: Some("Byron"),
        external_id: Some("crm-7"),
        email_verified: true,
    };
    let made = connector.create_user(new, ctx()).await.unwrap_or_else(|error| panic!("{error:?}"));
    assert_eq!(made.email.as_deref(), Some(email.as_str()));
    let again = connector.create_user(new, ctx()).await;
    assert_eq!(again.err(), Some(ProviderError::Conflict));
    (connector, made, turn)
}

#[tokio::test]
#[ignore = "needs Keystone: cargo xtask test starts one"]
async fn a_password_is_set_and_old_and_new_sign_ins_say_so_on_keystone() {
    let (connector, made, _turn) = stage().await;
    let sign_in = async |text| connector.try_sign_in(&made.user, &password(text), ctx()).await;
    assert_eq!((sign_in(OLD).await, sign_in(NEW).await), (TrialAnswer::SignedIn, TrialAnswer::Wrong));
    for _ in 0..2 {
        assert_eq!(connector.set_password(&made.user, &password(NEW), ctx()).await, Ok(()), "a repeat is taken");
        assert_eq!((sign_in(OLD).await, sign_in(NEW).await), (TrialAnswer::Wrong, TrialAnswer::SignedIn));
    }
    assert_eq!(connector.capabilities().sessions, SessionEnding::BySet);
    assert_eq!(connector.health(ctx()).await, Ok(()));
}

#[tokio::test]
#[ignore = "needs Keystone: cargo xtask test starts one"]
async fn a_weak_password_is_refused_in_its_words_on_keystone() {
    let (connector, made, _turn) = stage().await;
    let error = connector.set_password(&made.user, &password("weak"), ctx()).await.unwrap_err();
    assert_eq!(error.code(), "policy_violation");
    let words = "The password does not match the requirements: 10+ chars with a letter and a digit.";
    assert_eq!(error.message().map(PolicyText::as_str), Some(words));
    assert_eq!(connector.try_sign_in(&made.user, &password(OLD), ctx()).await, TrialAnswer::SignedIn);
}

#[tokio::test]
#[ignore = "needs Keystone: cargo xtask test starts one"]
async fn users_are_found_and_unknown_ones_are_not_on_keystone() {
    let (connector, made, _turn) = stage().await;
    let email = made.email.clone().unwrap();
    for by in [By::Id(&made.user), By::Email(&email)] {
        let found = connector.look_up(by, ctx()).await.unwrap_or_else(|error| panic!("{error:?}"));
        assert_eq!((found.user.as_str(), found.email.as_deref()), (made.user.as_str(), Some(email.as_str())));
        assert_eq!((found.first_name.as_deref(), found.last_name.as_deref()), (Some("Ada"), Some("Byron")));
    }
    for unknown in ["nope", "..", "a/b?c#d"] {
        let user: ProviderUser = unknown.parse().unwrap();
        assert_eq!(connector.look_up(By::Id(&user), ctx()).await.err(), Some(ProviderError::UserNotFound), "{unknown}");
        let set = connector.set_password(&user, &password(NEW), ctx()).await;
        assert_eq!(set, Err(ProviderError::UserNotFound), "{unknown}");
    }
    let found = connector.look_up(By::Email("nobody@example.com"), ctx()).await;
    assert_eq!(found.err(), Some(ProviderError::UserNotFound));
}

#[tokio::test]
#[ignore = "needs Keystone: cargo xtask test starts one"]
async fn a_record_is_changed_as_far_as_asked_on_keystone() {
    let (connector, made, _turn) = stage().await;
    let changes = UserChanges { first_name: Some("Augusta"), ..UserChanges::default() };
    assert_eq!(connector.update_user(&made.user, changes, ctx()).await, Ok(()));
    let found = connector.look_up(By::Id(&made.user), ctx()).await.unwrap_or_else(|error| panic!("{error:?}"));
    assert_eq!((found.first_name.as_deref(), found.last_name.as_deref()), (Some("Augusta"), Some("Byron")));
    assert_eq!(found.email, made.email);
}

#[tokio::test]
#[ignore = "needs Keystone: cargo xtask test starts one"]
async fn an_operator_s_check_tells_the_class_of_each_answer_on_keystone() {
    let (connector, made, _turn) = stage().await;
    let asked =
        Asked { user: made.user.clone(), email: made.email.clone(), external_id: None, set: true, records: true };
    let answers = provider_check::answers(&connector, &asked).await;
    let expected = [
        ("health", "ok"),
        ("look up by id", "found"),
        ("look up by e-mail", "found"),
        ("look up an unknown id", "user_not_found"),
        ("look up an unknown e-mail", "user_not_found"),
        ("sign in, wrong password", "wrong"),
        ("set, unknown user", "user_not_found"),
        ("set", "set"),
        ("sign in, new password", "signed_in"),
        ("set the same again", "set"),
        ("change, unknown user", "user_not_found"),
        ("read before", "read"),
        ("change names", "changed"),
        ("read after", "read"),
        ("what is read", "as changed"),
        ("change e-mail", "changed"),
        ("read after", "read"),
        ("what is read", "as changed"),
        ("set back", "changed"),
        ("read after", "read"),
        ("what is read", "as changed"),
        ("create", "created"),
        ("look up who was created", "found"),
        ("create the same again", "conflict"),
    ];
    let told: Vec<(&str, &str)> = answers.iter().map(|(step, answer)| (step.as_str(), answer.as_str())).collect();
    assert_eq!(told, expected);
    // By the clock of the check: the connector's limits have seen it.
    let now = Moments::of_system().ctx();
    assert_eq!(connector.try_sign_in(&made.user, &password(OLD), now).await, TrialAnswer::Wrong);
}
