//! What only the connector of Gigya has, and its case for what all of them must do. Contract from documents: there is no
//! Gigya to install, so what the double says is providers.md 2, not what a site was seen to say.

pub(crate) mod vendor;

use keyherald::connector::{AccessSecret, By, GigyaAccess, GigyaSettings, Kind, Limits};
use keyherald_core::provider::{ProviderError, TrialAnswer};
use serde_json::json;
use url::Url;

use self::vendor::{Gigya, SECRET, USER, error, said};
use crate::conformance::{Case, Stage, ctx, loopback, password};
use crate::double::{Double, Fault, Said};
use crate::people::{OLD, People};

const PEM: &str = include_str!("keys/gigya.pem");

fn kind_with(url: &Url, access: GigyaAccess) -> Kind {
    Kind::Gigya(GigyaSettings {
        base_url: url.clone(),
        api_key: "3_APIKEY".into(),
        user_key: "AKuser".into(),
        access,
        trial_sign_in: true,
    })
}

fn with_key(url: &Url) -> Kind {
    kind_with(url, GigyaAccess::PrivateKey(AccessSecret::new(PEM.into())))
}

fn with_signature(url: &Url) -> Kind {
    kind_with(url, GigyaAccess::Signature(AccessSecret::new(SECRET.into())))
}

fn with_secret(url: &Url) -> Kind {
    kind_with(url, GigyaAccess::Secret(AccessSecret::new(SECRET.into())))
}

pub(crate) fn case() -> Case {
    Case {
        name: "gigya",
        user: USER,
        vendor: |people| Box::pin(Double::start(Gigya::default(), people)),
        kind: with_signature,
        judges_passwords: true,
        weak_text: Some("invalid password"),
        throttled: vec![
            (error(403_048, "Api rate limit exceeded"), None),
            (error(400_125, "Frequency limit"), None),
            (Said::json(429, &json!({})).header("retry-after", "7"), Some(7)),
        ],
        broken: error(500_001, "General server error"),
    }
}

#[tokio::test]
async fn each_way_to_show_who_we_are_is_taken_and_each_request_is_new() {
    for kind in [with_key, with_signature, with_secret] {
        let double = Double::start(Gigya::default(), People::of_one(USER)).await;
        let stage = Stage::at(double, kind, loopback(), Limits::default());
        let user = USER.parse().unwrap();
        for text in ["New-pass-1! é&=+%", "Newer-pass-1!"] {
            let new = password(text);
            assert_eq!(stage.connector.set_password(&user, &new, ctx()).await, Ok(()));
            assert_eq!(stage.connector.try_sign_in(&user, &new, ctx()).await, TrialAnswer::SignedIn);
        }
    }
}

#[tokio::test]
async fn a_clock_that_is_wrong_is_set_by_theirs_once() {
    for kind in [with_key, with_signature] {
        let double = Double::start(Gigya { ahead_s: 3600, ..Gigya::default() }, People::of_one(USER)).await;
        let stage = Stage::at(double, kind, loopback(), Limits::default());
        assert!(stage.connector.look_up(By::Id(&USER.parse().unwrap()), ctx()).await.is_ok());
        assert_eq!(stage.double.got().len(), 2);
        for _ in 0..2 {
            stage.double.next(Fault::Instead(error(403_002, "Request has expired")));
        }
        let answer = stage.connector.set_password(&USER.parse().unwrap(), &password("New-pass-1!"), ctx()).await;
        assert_eq!(answer, Err(ProviderError::ClockSkew));
        assert_eq!(stage.double.got().len(), 4);
    }
}

#[tokio::test]
async fn a_user_that_we_may_not_see_is_not_one_that_is_not_there() {
    let stage = Stage::of(&case()).await;
    stage.double.next(Fault::Instead(error(403_005, "Unauthorized user")));
    let answer = stage.connector.set_password(&USER.parse().unwrap(), &password("New-pass-1!"), ctx()).await;
    assert_eq!(answer, Err(ProviderError::InsufficientScope));
    let odd = "\" OR UID != \"\\".parse().unwrap();
    assert_eq!(stage.connector.look_up(By::Id(&odd), ctx()).await.err(), Some(ProviderError::UserNotFound));
}

#[tokio::test]
async fn each_documented_code_has_its_class() {
    for (code, class) in [
        (206_001, "ambiguous"),
        (301_001, "misconfigured"),
        (400_093, "misconfigured"),
        (400_002, "invalid_request"),
        (400_006, "invalid_request"),
        (401_030, "password_reused"),
        (403_042, "old_password_wrong"),
        (400_003, "conflict"),
        (400_050, "needs_interaction"),
        (403_041, "user_blocked"),
        (403_120, "user_blocked"),
        (403_047, "user_not_found"),
        (403_007, "insufficient_scope"),
        (403_003, "admin_auth"),
        (403_048, "rate_limited"),
        (504_001, "ambiguous"),
        (403_101, "needs_interaction"),
        (500_001, "ambiguous"),
        (999_999, "ambiguous"),
        (400_302, "vetoed"),
    ] {
        let stage = Stage::of(&case()).await;
        stage.double.next(Fault::Instead(error(code, "what they say")));
        let answer = stage.connector.set_password(&USER.parse().unwrap(), &password("New-pass-1!"), ctx()).await;
        assert_eq!(answer.unwrap_err().code(), class, "{code}");
    }
}

#[tokio::test]
async fn success_with_remarks_is_success_unless_they_are_about_the_password() {
    let stage = Stage::of(&case()).await;
    let set = async || stage.connector.set_password(&USER.parse().unwrap(), &password("New-pass-1!"), ctx()).await;
    for code in [200_008, 200_010] {
        let remarks = json!({"validationErrors": [{"fieldName": "profile.zip", "errorCode": 400_006, "message": "x"}]});
        stage.double.next(Fault::AppliedBut(said(code, &remarks)));
        assert_eq!(set().await, Ok(()));
        let remarks = json!({"validationErrors": [{"fieldName": "newPassword", "errorCode": 400_006, "message": "x"}]});
        stage.double.next(Fault::Instead(said(code, &remarks)));
        assert_eq!(set().await.unwrap_err().code(), "policy_violation");
    }
}

#[tokio::test]
async fn only_a_sign_in_that_says_so_tells_of_a_wrong_password() {
    let stage = Stage::of(&case()).await;
    let user = USER.parse().unwrap();
    for (code, expected) in [
        (403_042, TrialAnswer::Wrong),
        (403_120, TrialAnswer::CannotTell),
        (403_101, TrialAnswer::CannotTell),
        (206_001, TrialAnswer::CannotTell),
        (403_041, TrialAnswer::CannotTell),
        (500_001, TrialAnswer::Failed(ProviderError::Transient)),
    ] {
        // The account is looked at first.
        stage.double.next(Fault::AppliedBut(said(0, &json!({"UID": USER, "loginIDs": {"username": "u1"}}))));
        stage.double.next(Fault::Instead(error(code, "x")));
        assert_eq!(stage.connector.try_sign_in(&user, &password(OLD), ctx()).await, expected, "{code}");
    }
}
