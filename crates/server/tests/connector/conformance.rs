//! What every connector must do, asked of each of them.

use std::time::Duration;

use futures_util::future::BoxFuture;
use keyherald::connector::{self, By, Connector, Kind, Limits, Net, NewUser, Settings, UserChanges};
use keyherald_core::delivery::BreakerSettings;
use keyherald_core::provider::{Probe, ProbeValue, ProviderError, ProviderUser, SessionEnding, TrialAnswer};
use keyherald_core::secret::Password;
use keyherald_core::{Ctx, Micros};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use url::Url;

use crate::double::{Double, Fault, Said};
use crate::people::{EMAIL, OLD, People, Person, WEAK};

/// 2026-11-22T10:00:00Z
pub(crate) const NOW: Micros = Micros(1_795_341_600 * Micros::SECOND);
const NEW: &str = "New-pass-1!";

/// A connector and its double.
pub(crate) struct Case {
    pub name: &'static str,
    /// The id of the one user there.
    pub user: &'static str,
    pub vendor: fn(People) -> BoxFuture<'static, Double>,
    pub kind: fn(&Url) -> Kind,
    /// A token of the vendor's own that stands for this user.
    pub token: fn(user: &str) -> String,
    /// Whether it has a policy for passwords and knows old ones. One that has not takes every password.
    pub judges_passwords: bool,
    /// What the policy's refusal tells the user.
    pub weak_text: Option<&'static str>,
    /// Every form of "too many requests", and the seconds that it asks for.
    pub throttled: Vec<(Said, Option<i64>)>,
    /// An error of the vendor's own.
    pub broken: Said,
}

pub(crate) fn cases() -> Vec<Case> {
    vec![
        crate::auth0::case(),
        crate::described::auth0(),
        crate::described::keycloak(),
        crate::gigya::case(),
        crate::keycloak::case(),
        crate::kratos::case(),
    ]
}

/// A connector that speaks to a running double.
pub(crate) struct Stage {
    pub double: Double,
    pub connector: Arc<dyn Connector>,
}

impl Stage {
    pub async fn of(case: &Case) -> Self {
        Self::with(case, loopback(), Limits::default()).await
    }

    async fn with(case: &Case, net: Net, limits: Limits) -> Self {
        let double = (case.vendor)(People::of_one(case.user)).await;
        Self::at(double, case.kind, net, limits)
    }

    pub fn at(double: Double, kind: fn(&Url) -> Kind, net: Net, limits: Limits) -> Self {
        let connector = connector::open(Settings { kind: kind(&double.url), net, limits }).unwrap();
        Self { double, connector }
    }

    async fn set(&self, user: &str, text: &str) -> Result<(), ProviderError> {
        self.connector.set_password(&id(user), &password(text), ctx()).await
    }

    async fn probe(&self, user: &str) -> Option<ProbeValue> {
        self.connector.look_up(By::Id(&id(user)), ctx()).await.unwrap_or_else(|error| panic!("{error:?}")).probe
    }

    fn password_there(&self, user: &str) -> String {
        self.double.people(|people| people.0[user].password.clone())
    }
}

pub(crate) fn loopback() -> Net {
    Net { allow_insecure_http: true, ..Net::default() }
}

/// Answers only until a moment has passed.
fn impatient() -> Net {
    Net { total_timeout: Duration::from_millis(200), connect_timeout: Duration::from_millis(200), ..loopback() }
}

/// Each with chance of its own, as every call has.
pub(crate) fn ctx() -> Ctx {
    ctx_at(NOW)
}

pub(crate) fn ctx_at(now: Micros) -> Ctx {
    static CALLS: AtomicU64 = AtomicU64::new(0);
    let mut seed = [0; 32];
    seed[..8].copy_from_slice(&CALLS.fetch_add(1, Ordering::Relaxed).to_le_bytes());
    Ctx::new(now, seed)
}

pub(crate) fn password(text: &str) -> Password {
    Password::new(text.to_owned()).unwrap()
}

fn id(text: &str) -> ProviderUser {
    text.parse().unwrap()
}

#[tokio::test]
async fn a_known_user_is_found_and_an_unknown_one_is_not() {
    for case in cases() {
        let stage = Stage::of(&case).await;
        let ways = stage.connector.capabilities().lookups;
        let user = id(case.user);
        for (can, by) in [(ways.id, By::Id(&user)), (ways.email, By::Email("U1@Example.com"))] {
            let found = stage.connector.look_up(by, ctx()).await;
            match found {
                Ok(found) => {
                    assert_eq!(
                        (found.user.as_str(), found.email.as_deref()),
                        (case.user, Some(EMAIL)),
                        "{}",
                        case.name
                    );
                    assert_eq!(found.probe.is_some(), stage.connector.capabilities().probe != Probe::None);
                }
                Err(error) => assert_eq!((can, error), (false, ProviderError::NotSupported), "{}", case.name),
            }
        }
        let unknown = id("auth0|nobody");
        for (can, by) in [
            (ways.id, By::Id(&unknown)),
            (ways.email, By::Email("nobody+x@example.com")),
            (ways.external_id, By::ExternalId("nobody")),
        ] {
            let expected = if can { ProviderError::UserNotFound } else { ProviderError::NotSupported };
            assert_eq!(stage.connector.look_up(by, ctx()).await.err(), Some(expected), "{}", case.name);
        }
    }
}

#[tokio::test]
async fn a_password_is_set_and_the_evidence_says_so() {
    for case in cases() {
        let stage = Stage::of(&case).await;
        let can = stage.connector.capabilities();
        let before = stage.probe(case.user).await;
        assert_eq!(stage.set(case.user, NEW).await, Ok(()), "{}", case.name);
        assert_eq!(stage.password_there(case.user), NEW);
        if can.probe != Probe::None {
            assert_ne!(stage.probe(case.user).await, before, "{}: the probe stands still", case.name);
        }
        let user = id(case.user);
        let expected = if can.trial_sign_in {
            [TrialAnswer::SignedIn, TrialAnswer::Wrong]
        } else {
            [const { TrialAnswer::Failed(ProviderError::NotSupported) }; 2]
        };
        for (text, expected) in [NEW, OLD].into_iter().zip(expected) {
            assert_eq!(stage.connector.try_sign_in(&user, &password(text), ctx()).await, expected, "{}", case.name);
        }
    }
}

#[tokio::test]
async fn an_unknown_user_is_named_as_such_and_an_id_never_leaves_its_place() {
    for case in cases() {
        let stage = Stage::of(&case).await;
        for odd in ["nobody", "..", ".", "../users", "a/b?x=1#y", "%2e%2e", "é \"'"] {
            assert_eq!(stage.set(odd, NEW).await, Err(ProviderError::UserNotFound), "{} {odd:?}", case.name);
        }
        assert_eq!(stage.password_there(case.user), OLD);
    }
}

#[tokio::test]
async fn a_policy_refusal_carries_the_text_and_never_the_password() {
    for case in cases().into_iter().filter(|case| case.judges_passwords) {
        let stage = Stage::of(&case).await;
        let error = stage.set(case.user, WEAK).await.unwrap_err();
        assert!(matches!(error, ProviderError::PolicyViolation { .. }), "{}: {error:?}", case.name);
        assert_eq!(error.message().map(|text| text.as_str().replace("***", WEAK)), case.weak_text.map(str::to_owned));
        assert_eq!(stage.set(case.user, NEW).await, Ok(()));
        let error = stage.set(case.user, OLD).await.unwrap_err();
        assert!(matches!(error, ProviderError::PasswordReused { .. }), "{}: {error:?}", case.name);
        assert!(!format!("{error:?}").contains(OLD));
    }
}

#[tokio::test]
async fn every_form_of_too_many_requests_names_its_time_and_holds_back_the_next_call() {
    for case in cases() {
        for (said, seconds) in &case.throttled {
            let stage = Stage::of(&case).await;
            stage.double.next_change(Fault::Instead(said.clone()));
            let not_before = seconds.map(|seconds| NOW.plus(seconds * Micros::SECOND));
            let expected = ProviderError::RateLimited { not_before };
            assert_eq!(stage.set(case.user, NEW).await, Err(expected), "{} {:?}", case.name, said.headers);
            assert_eq!(stage.password_there(case.user), OLD);
            let calls = stage.double.got().len();
            let next = stage.set(case.user, NEW).await;
            assert!(matches!(next, Err(ProviderError::RateLimited { not_before: Some(_) })), "{next:?}");
            assert_eq!(stage.double.got().len(), calls, "{}: a throttled provider is left alone", case.name);
        }
    }
}

#[tokio::test]
async fn what_may_have_been_applied_is_ambiguous_and_the_repeat_is_a_reused_password() {
    for case in cases() {
        for fault in [Fault::AppliedBut(case.broken.clone()), Fault::Cut] {
            let stage = Stage::of(&case).await;
            let before = stage.probe(case.user).await;
            stage.double.next_change(fault);
            assert_eq!(stage.set(case.user, NEW).await, Err(ProviderError::Ambiguous), "{}", case.name);
            assert_eq!(stage.password_there(case.user), NEW);
            if stage.connector.capabilities().probe != Probe::None {
                assert_ne!(stage.probe(case.user).await, before);
            }
            let repeat = stage.set(case.user, NEW).await;
            if case.judges_passwords {
                assert!(matches!(repeat, Err(ProviderError::PasswordReused { .. })), "{}: {repeat:?}", case.name);
            } else {
                assert_eq!(repeat, Ok(()), "{}", case.name);
            }
        }
    }
}

#[tokio::test]
async fn a_slow_answer_and_an_endless_one_count_as_none() {
    for case in cases() {
        let stage = Stage::with(&case, impatient(), Limits::default()).await;
        stage.probe(case.user).await;
        stage.double.next_change(Fault::Silence);
        assert_eq!(stage.set(case.user, NEW).await, Err(ProviderError::Ambiguous), "{}", case.name);
        assert_eq!(stage.password_there(case.user), NEW);
        let long = Said { status: 200, headers: Vec::new(), body: "x".repeat(300 * 1024) };
        stage.double.next_change(Fault::AppliedBut(long));
        assert_eq!(stage.set(case.user, "Newer-pass-1!").await, Err(ProviderError::Ambiguous), "{}", case.name);
    }
}

#[tokio::test]
async fn a_look_up_is_never_ambiguous() {
    for case in cases() {
        let stage = Stage::of(&case).await;
        for fault in [Fault::Cut, Fault::Instead(case.broken.clone())] {
            stage.double.next(fault);
            let found = stage.connector.look_up(By::Id(&id(case.user)), ctx()).await;
            assert_eq!(found.err(), Some(ProviderError::Transient), "{}", case.name);
        }
    }
}

#[tokio::test]
async fn a_provider_that_is_not_there_got_nothing() {
    for case in cases() {
        let url = {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            Url::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap()
        };
        let settings = Settings { kind: (case.kind)(&url), net: loopback(), limits: Limits::default() };
        let connector = connector::open(settings).unwrap();
        let answer = connector.set_password(&id(case.user), &password(NEW), ctx()).await;
        assert_eq!(answer, Err(ProviderError::Transient), "{}", case.name);
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    for case in cases() {
        let (stage, other) = (Stage::of(&case).await, Stage::of(&case).await);
        stage.probe(case.user).await;
        for status in [301, 302, 307, 308] {
            let away = Said { status, headers: Vec::new(), body: String::new() };
            stage.double.next_change(Fault::Instead(away.header("location", other.double.url.as_str())));
            assert_eq!(stage.set(case.user, NEW).await, Err(ProviderError::Misconfigured), "{}", case.name);
        }
        assert_eq!(other.double.got().len(), 0);
    }
}

#[tokio::test]
async fn sessions_are_ended_and_that_can_be_repeated() {
    for case in cases() {
        let stage = Stage::of(&case).await;
        let ending = stage.connector.capabilities().sessions;
        let end = || async { stage.connector.end_sessions(&id(case.user), ctx()).await };
        if ending == SessionEnding::ByStep {
            assert_eq!((end().await, end().await), (Ok(()), Ok(())), "{}", case.name);
            assert_eq!(stage.double.people(|people| people.0[case.user].sessions), 0);
        } else {
            assert_eq!(end().await, Err(ProviderError::NotSupported), "{}", case.name);
        }
    }
}

#[tokio::test]
async fn a_token_stands_for_its_user_and_any_other_for_nobody() {
    for case in cases() {
        let stage = Stage::of(&case).await;
        let owner = async |token: &str| stage.connector.token_owner(token, ctx()).await;
        let good = (case.token)(case.user);
        if !stage.connector.capabilities().tokens {
            assert_eq!(owner(&good).await.err(), Some(ProviderError::NotSupported), "{}", case.name);
            continue;
        }
        let found = owner(&good).await.unwrap_or_else(|error| panic!("{}: {error:?}", case.name)).unwrap();
        assert_eq!((found.user.user.as_str(), found.user.email.as_deref()), (case.user, Some(EMAIL)), "{}", case.name);
        assert!(!found.is_google, "{}", case.name);
        for got in stage.double.got() {
            assert!(!got.target.contains(&good), "{}: a token is no part of an address", case.name);
        }
        for dead in ["dead", "a.b.c", &(case.token)("nobody"), &"x".repeat(8000)] {
            assert!(owner(dead).await.unwrap().is_none(), "{} {dead}", case.name);
        }
        // What cannot stand in a header is not sent.
        let calls = stage.double.got().len();
        for odd in ["", " ", "a b", "x\r\ny: z", "é"] {
            assert!(owner(odd).await.unwrap().is_none(), "{} {odd:?}", case.name);
        }
        assert_eq!(stage.double.got().len(), calls, "{}", case.name);
        for fault in [Fault::Cut, Fault::Instead(case.broken.clone())] {
            stage.double.next(fault);
            assert_eq!(owner(&good).await.err(), Some(ProviderError::Transient), "{}", case.name);
        }
    }
}

#[tokio::test]
async fn a_user_is_created_once_and_found_as_created() {
    for case in cases() {
        let stage = Stage::of(&case).await;
        let create = async |email: &'static str, text: &str| {
            let password = password(text);
            let (first_name, last_name, email_verified) = (Some("Ada"), Some("Byron"), true);
            let external_id = None;
            let new = NewUser { email, password: &password, first_name, last_name, external_id, email_verified };
            stage.connector.create_user(new, ctx()).await
        };
        if !stage.connector.capabilities().records.create {
            assert_eq!(create("u2@example.com", NEW).await.err(), Some(ProviderError::NotSupported), "{}", case.name);
            continue;
        }
        let created = create("U2@example.com", NEW).await.unwrap_or_else(|error| panic!("{}: {error:?}", case.name));
        let found = stage.connector.look_up(By::Id(&created.user), ctx()).await.ok().unwrap();
        for user in [&created, &found] {
            assert_eq!(user.email.as_deref().map(str::to_lowercase).as_deref(), Some("u2@example.com"));
            assert_eq!((user.first_name.as_deref(), user.last_name.as_deref()), (Some("Ada"), Some("Byron")));
            assert_ne!(user.email_verified, Some(false), "{}", case.name);
        }
        assert_eq!(stage.password_there(created.user.as_str()), NEW);
        assert_eq!(create("u2@example.com", NEW).await.err(), Some(ProviderError::Conflict), "{}", case.name);
        let weak = create("u3@example.com", WEAK).await.err();
        assert!(matches!(weak, Some(ProviderError::PolicyViolation { .. })), "{}: {weak:?}", case.name);
        stage.double.next(Fault::Cut);
        assert_eq!(create("u4@example.com", NEW).await.err(), Some(ProviderError::Ambiguous), "{}", case.name);
    }
}

#[tokio::test]
async fn a_record_is_changed_as_far_as_asked() {
    for case in cases() {
        let stage = Stage::of(&case).await;
        let user = id(case.user);
        let update = async |user: &ProviderUser, changes| stage.connector.update_user(user, changes, ctx()).await;
        let names = UserChanges { first_name: Some("Ada"), last_name: Some("Byron"), ..UserChanges::default() };
        if !stage.connector.capabilities().records.update {
            assert_eq!(update(&user, names).await, Err(ProviderError::NotSupported), "{}", case.name);
            continue;
        }
        assert_eq!(update(&user, names).await, Ok(()), "{}", case.name);
        let moved = UserChanges { email: Some("new@example.com"), verified: Some(true), ..UserChanges::default() };
        assert_eq!(update(&user, moved).await, Ok(()), "{}", case.name);
        let first = UserChanges { first_name: Some("Augusta"), ..UserChanges::default() };
        assert_eq!(update(&user, first).await, Ok(()), "{}", case.name);
        stage.double.people(|people| {
            let person = &people.0[case.user];
            assert_eq!((person.first_name.as_str(), person.last_name.as_str()), ("Augusta", "Byron"), "{}", case.name);
            assert_eq!(person.email, "new@example.com", "{}", case.name);
            people.0.insert("other".into(), Person::new("taken@example.com", NEW));
        });
        let taken = UserChanges { email: Some("taken@example.com"), ..UserChanges::default() };
        assert_eq!(update(&user, taken).await, Err(ProviderError::Conflict), "{}", case.name);
        assert_eq!(update(&id("nobody"), names).await, Err(ProviderError::UserNotFound), "{}", case.name);
        stage.double.next_change(Fault::Cut);
        assert_eq!(update(&user, names).await, Err(ProviderError::Ambiguous), "{}", case.name);
    }
}

#[tokio::test]
async fn no_password_is_sent_in_a_url_or_header_and_none_that_is_too_long_at_all() {
    for case in cases() {
        let stage = Stage::of(&case).await;
        stage.set(case.user, NEW).await.unwrap();
        for got in stage.double.got() {
            assert!(!got.target.contains("pass-1") && !got.headers.iter().any(|(_, value)| value.contains(NEW)));
        }
        let Some(max) = stage.connector.capabilities().password_bytes_max else { continue };
        let calls = stage.double.got().len();
        let long = "x".repeat(usize::try_from(max).unwrap() + 1);
        let refused = stage.set(case.user, &long).await;
        assert!(matches!(refused, Err(ProviderError::PolicyViolation { .. })), "{}: {refused:?}", case.name);
        assert_eq!(stage.double.got().len(), calls);
    }
}

#[tokio::test]
async fn calls_have_places_and_a_dropped_one_leaves_its_own() {
    for case in cases() {
        let limits = Limits { in_flight_max: 1, ..Limits::default() };
        let stage = Stage::with(&case, loopback(), limits).await;
        stage.probe(case.user).await;
        stage.double.next(Fault::Silence);
        let user = id(case.user);
        let stuck = stage.connector.look_up(By::Id(&user), ctx());
        let second = async {
            let calls = stage.double.got().len();
            while stage.double.got().len() == calls {
                tokio::task::yield_now().await;
            }
            stage.set(case.user, NEW).await
        };
        tokio::select! {
            _ = stuck => panic!("{}: the double does not answer this", case.name),
            answer = second => assert_eq!(answer, Err(ProviderError::Transient), "{}", case.name),
        }
        assert_eq!(stage.set(case.user, NEW).await, Ok(()), "{}", case.name);
    }
}

#[tokio::test]
async fn the_rate_is_one_of_requests() {
    for case in cases() {
        let limits = Limits { per_second: 1, burst: 10, ..Limits::default() };
        let stage = Stage::with(&case, loopback(), limits).await;
        let user = id(case.user);
        let mut calls = 0;
        let refused = loop {
            let ended = if stage.connector.capabilities().trial_sign_in {
                match stage.connector.try_sign_in(&user, &password(OLD), ctx()).await {
                    TrialAnswer::Failed(error) => Err(error),
                    _ => Ok(()),
                }
            } else {
                stage.connector.look_up(By::Id(&user), ctx()).await.map(drop)
            };
            match ended {
                Ok(()) => calls += 1,
                Err(error) => break error,
            }
        };
        assert!(matches!(refused, ProviderError::RateLimited { not_before: Some(_) }), "{}: {refused:?}", case.name);
        let requests = stage.double.got().len();
        assert!(calls <= 11 && (10..=14).contains(&requests), "{}: {calls} calls, {requests} requests", case.name);
    }
}

#[tokio::test]
async fn a_provider_in_trouble_is_left_alone_and_tried_again_later() {
    for case in cases() {
        let breaker = BreakerSettings { failures: 2, rest: Micros::MINUTE, rest_max: Micros::HOUR };
        let stage = Stage::with(&case, loopback(), Limits { breaker, ..Limits::default() }).await;
        let user = id(case.user);
        let look = async |at: Micros| stage.connector.look_up(By::Id(&user), ctx_at(at)).await.map(drop);
        for _ in 0..2 {
            stage.double.next(Fault::Cut);
            assert_eq!(look(NOW).await, Err(ProviderError::Transient), "{}", case.name);
        }
        let calls = stage.double.got().len();
        assert_eq!(look(NOW).await, Err(ProviderError::Transient), "{}", case.name);
        assert_eq!(stage.double.got().len(), calls, "{}", case.name);
        let later = NOW.plus(2 * Micros::MINUTE);
        assert_eq!((look(later).await, look(later).await), (Ok(()), Ok(())), "{}", case.name);
    }
}
