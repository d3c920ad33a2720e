//! A double of Ory Kratos, and what only its connector has. Contract from documents: there is no Kratos to install, so
//! what the double says is providers.md 4.5, not what a server was seen to say.

pub(crate) mod vendor;

use keyherald::connector::{AccessSecret, By, Kind, KratosSettings};
use keyherald_core::provider::ProviderError;
use serde_json::json;
use url::Url;

use self::vendor::{Kratos, SECRET, USER, error};
use crate::conformance::{Case, Stage, ctx, password};
use crate::double::{Double, Fault, Said};
use crate::people::{EMAIL, OLD};

fn kind(url: &Url) -> Kind {
    Kind::Kratos(KratosSettings {
        base_url: url.clone(),
        access_token: Some(AccessSecret::new(SECRET.into())),
        email_trait: "email".into(),
        public_url: Some(url.clone()),
    })
}

pub(crate) fn case() -> Case {
    Case {
        name: "kratos",
        user: USER,
        vendor: |people| Box::pin(Double::start(Kratos::default(), people)),
        kind,
        token: |user| format!("token-of-{user}"),
        judges_passwords: false,
        weak_text: None,
        throttled: vec![
            (error(429, "Too many requests").header("retry-after", "7"), Some(7)),
            (error(429, "Too many requests"), None),
        ],
        broken: error(500, "An internal server error occurred"),
    }
}

#[tokio::test]
async fn a_hash_that_moved_meanwhile_is_left_alone() {
    let stage = Stage::of(&case()).await;
    stage.double.next_change(Fault::Instead(error(400, "failed to apply JSON patch")));
    let answer = stage.connector.set_password(&USER.parse().unwrap(), &password("New-pass-1!"), ctx()).await;
    assert_eq!(answer, Err(ProviderError::Stale));
    assert_eq!(stage.double.people(|people| people.0[USER].password.clone()), OLD);
}

#[tokio::test]
async fn an_identity_without_a_password_has_none_to_replace() {
    let stage = Stage::of(&case()).await;
    let identity = json!({"id": USER, "traits": {"email": EMAIL}, "credentials": {"oidc": {"type": "oidc"}}});
    stage.double.next(Fault::Instead(Said::json(200, &identity)));
    let answer = stage.connector.set_password(&USER.parse().unwrap(), &password("New-pass-1!"), ctx()).await;
    assert_eq!(answer, Err(ProviderError::CredentialUnsupported));
}

#[tokio::test]
async fn an_external_id_is_known_and_the_probe_is_the_hash() {
    let stage = Stage::of(&case()).await;
    let found = stage.connector.look_up(By::ExternalId(&format!("ext-{USER}")), ctx()).await.ok().unwrap();
    assert_eq!((found.user.as_str(), found.email.as_deref()), (USER, Some(EMAIL)));
    let before = found.probe;
    let set = async |text| stage.connector.set_password(&USER.parse().unwrap(), &password(text), ctx()).await;
    let probe = async || stage.connector.look_up(By::Email(EMAIL), ctx()).await.ok().unwrap().probe;
    assert_eq!(set("New-pass-1!").await, Ok(()));
    let first = probe().await;
    assert_eq!(set("New-pass-1!").await, Ok(()));
    assert_ne!(before, first);
    assert_ne!(first, probe().await, "another salt is another hash");
}

#[tokio::test]
async fn each_documented_refusal_has_its_class() {
    let stage = Stage::of(&case()).await;
    for (said, class) in [
        (error(400, "does not match any known hash format"), "invalid_request"),
        (error(401, "x"), "admin_auth"),
        (error(403, "x"), "insufficient_scope"),
        (error(404, "x"), "user_not_found"),
        (error(409, "x"), "conflict"),
        (error(502, "x"), "ambiguous"),
    ] {
        stage.double.next_change(Fault::Instead(said.clone()));
        let answer = stage.connector.set_password(&USER.parse().unwrap(), &password("New-pass-1!"), ctx()).await;
        assert_eq!(answer.unwrap_err().code(), class, "{}", said.body);
    }
}

#[tokio::test]
async fn a_session_tells_who_signed_in_and_how_and_one_that_has_ended_tells_nobody() {
    let stage = Stage::of(&case()).await;
    let owner = async |session| {
        stage.double.next(Fault::Instead(Said::json(200, &session)));
        stage.connector.token_owner("t", ctx()).await.unwrap()
    };
    let addresses = json!([{"value": "x@example.com", "verified": false}, {"value": EMAIL, "verified": true}]);
    let identity = json!({"id": USER, "traits": {"email": EMAIL}, "verifiable_addresses": addresses});
    let methods = json!([{"method": "oidc", "provider": "google"}]);
    let found = owner(json!({"active": true, "identity": identity, "authentication_methods": methods})).await.unwrap();
    assert_eq!((found.user.user.as_str(), found.user.email_verified, found.is_google), (USER, Some(true), true));
    assert!(owner(json!({"active": false, "identity": identity})).await.is_none());
}
