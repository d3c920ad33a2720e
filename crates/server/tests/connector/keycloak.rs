//! A double of Keycloak, and what only its connector has. Contract from documents: there is no Keycloak to install, so
//! what the double says is providers.md 4.1, not what a server was seen to say.

pub(crate) mod vendor;

use keyherald::connector::{AccessSecret, By, KeycloakSettings, Kind, NewUser, UserChanges};
use keyherald_core::Micros;
use keyherald_core::provider::{ProviderError, TrialAnswer};
use serde_json::json;
use url::Url;

use self::vendor::{Keycloak, SECRET, TOKEN_PATH, USER, error};
use crate::conformance::{Case, NOW, Stage, ctx, ctx_at, password};
use crate::double::{Double, Fault, Said};
use crate::people::{EMAIL, OLD, People};

fn kind(url: &Url) -> Kind {
    Kind::Keycloak(KeycloakSettings {
        base_url: url.clone(),
        realm: "shop".into(),
        client_id: "keyherald".into(),
        client_secret: AccessSecret::new(SECRET.into()),
        external_id_attribute: Some("externalId".into()),
        trial_sign_in: true,
    })
}

pub(crate) fn case() -> Case {
    Case {
        name: "keycloak",
        user: USER,
        vendor: |people| Box::pin(Double::start(Keycloak::default(), people)),
        kind,
        token: |user| format!("token-of-{user}"),
        judges_passwords: true,
        weak_text: Some("Invalid password: minimum length 8."),
        throttled: vec![
            (Said::json(429, &json!({})).header("retry-after", "7"), Some(7)),
            (Said::json(429, &json!({})), None),
        ],
        broken: Said::json(500, &json!({"errorMessage": "unknown_error"})),
    }
}

#[tokio::test]
async fn a_short_lived_token_is_replaced_before_it_ends() {
    let stage = Stage::of(&case()).await;
    let user = USER.parse().unwrap();
    for (at_s, tokens) in [(0, 1), (49, 1), (50, 2)] {
        let at = ctx_at(NOW.plus(at_s * Micros::SECOND));
        assert!(stage.connector.look_up(By::Id(&user), at).await.is_ok());
        assert_eq!(stage.double.got().iter().filter(|got| got.path() == TOKEN_PATH).count(), tokens, "{at_s}");
    }
    stage.double.next(Fault::Instead(Said::json(401, &json!({"error": "HTTP 401 Unauthorized"}))));
    let (new, at) = (password("New-pass-1!"), ctx_at(NOW.plus(51 * Micros::SECOND)));
    assert_eq!(stage.connector.set_password(&user, &new, at).await, Ok(()));
}

#[tokio::test]
async fn each_documented_refusal_has_its_class() {
    let stage = Stage::of(&case()).await;
    let user = USER.parse().unwrap();
    let described = |text: &str| Said::json(400, &json!({"errorMessage": text}));
    for (said, class) in [
        (error(400, "invalidPasswordHistoryMessage", "x"), "password_reused"),
        (described("Resetting to N old passwords is not allowed."), "password_reused"),
        (error(400, "invalidPasswordBlacklistedMessage", "x"), "policy_violation"),
        (error(400, "invalidPasswordNotUsernameMessage", "x"), "policy_violation"),
        (described("Can't reset password as account is read only"), "credential_unsupported"),
        (described("Password policy not met"), "policy_violation"),
        (described("No password provided"), "invalid_request"),
        (Said::json(403, &json!({"error": "HTTP 403 Forbidden"})), "insufficient_scope"),
        (Said::json(404, &json!({"error": "User not found"})), "user_not_found"),
        (Said::json(409, &json!({})), "conflict"),
        (Said::json(500, &json!({})), "ambiguous"),
        (Said::json(503, &json!({})), "ambiguous"),
    ] {
        stage.double.next(Fault::Instead(said.clone()));
        let refused = stage.connector.set_password(&user, &password("New-pass-1!"), ctx()).await.unwrap_err();
        assert_eq!(refused.code(), class, "{}", said.body);
    }
    stage.double.next(Fault::Instead(error(400, "invalidPasswordMinLowerCaseCharsMessage", "x")));
    let refused = stage.connector.set_password(&user, &password("New-pass-1!"), ctx()).await;
    assert!(
        matches!(&refused, Err(ProviderError::PolicyViolation { rule: Some(rule), .. }) if rule == "min_lower_case_chars"),
        "{refused:?}"
    );
}

#[tokio::test]
async fn an_external_id_is_an_attribute() {
    let stage = Stage::of(&case()).await;
    let found = stage.connector.look_up(By::ExternalId(&format!("ext-{USER}")), ctx()).await.ok().unwrap();
    assert_eq!((found.user.as_str(), found.email.as_deref()), (USER, Some(EMAIL)));
    let odd = stage.connector.look_up(By::ExternalId("x\" username:\"u1"), ctx()).await;
    assert_eq!(odd.err(), Some(ProviderError::UserNotFound));
}

#[tokio::test]
async fn a_locked_account_cannot_tell() {
    let double = Double::start(Keycloak { locked: true, ..Keycloak::default() }, People::of_one(USER)).await;
    let stage = Stage::at(double, kind, crate::conformance::loopback(), keyherald::connector::Limits::default());
    let answer = stage.connector.try_sign_in(&USER.parse().unwrap(), &password(OLD), ctx()).await;
    assert_eq!(answer, TrialAnswer::CannotTell);
}

#[tokio::test]
async fn a_new_user_has_the_id_from_elsewhere_and_signs_in_with_the_address() {
    let stage = Stage::of(&case()).await;
    let (secret, email) = (password("New-pass-1!"), "U2@example.com");
    let (first_name, last_name, external_id, email_verified) = (None, None, Some("crm-7"), true);
    let new = NewUser { email, password: &secret, first_name, last_name, external_id, email_verified };
    let made = stage.connector.create_user(new, ctx()).await.ok().unwrap().user;
    let found = stage.connector.look_up(By::ExternalId("crm-7"), ctx()).await.ok().unwrap();
    assert!(found.user == made && found.email_verified == Some(true));
    assert_eq!(stage.connector.try_sign_in(&made, &secret, ctx()).await, TrialAnswer::SignedIn);
    // A new address is a new name, and not proved; the id from elsewhere stays.
    let moved = UserChanges { email: Some("U3@example.com"), ..UserChanges::default() };
    for _ in 0..2 {
        assert_eq!(stage.connector.update_user(&made, moved, ctx()).await, Ok(()));
        let found = stage.connector.look_up(By::ExternalId("crm-7"), ctx()).await.ok().unwrap();
        assert_eq!((found.email.as_deref(), found.email_verified), (Some("u3@example.com"), Some(false)));
    }
    assert_eq!(stage.connector.try_sign_in(&made, &secret, ctx()).await, TrialAnswer::SignedIn);
    let names =
        stage.double.got().into_iter().filter(|got| got.method == "PUT").map(|got| got.json()["username"].clone());
    assert_eq!(names.collect::<Vec<_>>(), ["u3@example.com"; 2]);
    // An address that is proved stays so, whatever else is written.
    let proved = UserChanges { verified: Some(true), ..UserChanges::default() };
    let named = UserChanges { first_name: Some("Ada"), ..UserChanges::default() };
    for changes in [proved, named, moved] {
        assert_eq!(stage.connector.update_user(&made, changes, ctx()).await, Ok(()));
    }
    let found = stage.connector.look_up(By::Id(&made), ctx()).await.ok().unwrap();
    assert_eq!((found.email_verified, found.first_name.as_deref()), (Some(true), Some("Ada")));
}

#[tokio::test]
async fn a_name_that_is_no_address_stays() {
    let stage = Stage::of(&case()).await;
    let moved = UserChanges { email: Some("u3@example.com"), ..UserChanges::default() };
    assert_eq!(stage.connector.update_user(&USER.parse().unwrap(), moved, ctx()).await, Ok(()));
    assert_eq!(stage.double.got().into_iter().find(|got| got.method == "PUT").unwrap().json()["username"], "u1");
}

#[tokio::test]
async fn a_new_user_whose_id_is_not_told_is_to_be_looked_up() {
    let stage = Stage::of(&case()).await;
    stage.double.next_change(Fault::AppliedBut(Said { status: 201, headers: Vec::new(), body: String::new() }));
    let secret = password("New-pass-1!");
    let (first_name, last_name, external_id, email_verified) = (None, None, None, true);
    let new =
        NewUser { email: "u2@example.com", password: &secret, first_name, last_name, external_id, email_verified };
    assert_eq!(stage.connector.create_user(new, ctx()).await.err(), Some(ProviderError::Ambiguous));
    assert!(stage.connector.look_up(By::Email("u2@example.com"), ctx()).await.is_ok());
}
