//! What only the connector of Auth0 has, and its case for what all of them must do.

pub(crate) mod vendor;

use keyherald::connector::{AccessSecret, Auth0Settings, By, Kind, Limits, Net, NewUser};
use keyherald_core::Micros;
use keyherald_core::provider::ProviderError;
use url::Url;

use self::vendor::{Auth0, SECRET, USER, error, throttled};
use crate::conformance::{Case, NOW, Stage, ctx, loopback, password};
use crate::double::Fault;
use crate::people::{People, Person};

fn kind(url: &Url) -> Kind {
    Kind::Auth0(Auth0Settings {
        base_url: url.clone(),
        client_id: "client".into(),
        client_secret: AccessSecret::new(SECRET.into()),
        audience: None,
        connection: "db".into(),
        trial_sign_in: true,
    })
}

pub(crate) fn case() -> Case {
    Case {
        name: "auth0",
        user: USER,
        vendor: |people| Box::pin(crate::double::Double::start(Auth0::default(), people)),
        kind,
        token: |user| format!("token-of-{user}"),
        judges_passwords: true,
        weak_text: Some("Password is too weak"),
        throttled: vec![
            (throttled().header("retry-after", "7"), Some(7)),
            (throttled().header("retry-after", "Sun, 22 Nov 2026 10:01:00 GMT"), Some(60)),
            (throttled().header("x-ratelimit-reset", "1795341605"), Some(5)),
            (throttled().header("x-ratelimit-reset", "1795341605").header("retry-after", "9"), Some(9)),
            (throttled(), None),
        ],
        broken: error(500, "Internal Server Error", "Internal error", None),
    }
}

#[tokio::test]
async fn an_external_id_becomes_the_id() {
    let stage = Stage::of(&case()).await;
    let password = password("New-pass-1!");
    let (email, names) = ("u2@example.com", None);
    let new = NewUser {
        email,
        password: &password,
        first_name: names,
        last_name: names,
        external_id: Some("crm-7"),
        email_verified: true,
    };
    let created = stage.connector.create_user(new, ctx()).await.unwrap_or_else(|error| panic!("{error:?}"));
    assert_eq!(created.user.as_str(), "auth0|crm-7");
}

#[tokio::test]
async fn one_token_serves_all_calls_and_is_made_anew_once_when_it_is_refused() {
    let stage = Stage::of(&case()).await;
    let user = USER.parse().unwrap();
    let look = || async { stage.connector.look_up(By::Id(&user), ctx()).await.map(drop) };
    let (one, other) = tokio::join!(look(), look());
    assert_eq!((one, other), (Ok(()), Ok(())));
    let tokens = || stage.double.got().iter().filter(|got| got.path() == "/oauth/token").count();
    assert_eq!(tokens(), 1);
    stage.double.next(Fault::Instead(error(401, "Unauthorized", "Expired token received", None)));
    let new = password("New-pass-1!");
    assert_eq!(stage.connector.set_password(&user, &new, ctx()).await, Ok(()));
    assert_eq!(tokens(), 2);
    let later = keyherald_core::Ctx::new(NOW.plus(86_350 * Micros::SECOND), [1; 32]);
    assert!(stage.connector.look_up(By::Id(&user), later).await.is_ok());
    assert_eq!(tokens(), 3, "within a minute of its end a token is replaced");
}

#[tokio::test]
async fn access_that_stays_refused_is_tried_twice_and_no_more() {
    let people = People::of_one(USER);
    let double = crate::double::Double::start(Auth0 { locked_out: true, ..Auth0::default() }, people).await;
    let stage = Stage::at(double, kind, loopback(), Limits::default());
    let answer = stage.connector.set_password(&USER.parse().unwrap(), &password("New-pass-1!"), ctx()).await;
    assert_eq!(answer, Err(ProviderError::AdminAuth));
    assert_eq!(stage.double.got().iter().filter(|got| got.method == "PATCH").count(), 2);
}

#[tokio::test]
async fn each_documented_refusal_has_its_class() {
    let stage = Stage::of(&case()).await;
    let user = USER.parse().unwrap();
    for (status, message, code, class) in [
        (400, "PasswordDictionaryError: Password is too common", None, "policy_violation"),
        (400, "PasswordNoUserInfoError: Password contains user information", None, "policy_violation"),
        (400, "Payload validation error: 'x'", Some("invalid_body"), "invalid_request"),
        (
            400,
            "Cannot update password for non-database user",
            Some("operation_not_supported"),
            "credential_unsupported",
        ),
        (403, "Insufficient scope, expected any of: update:users", Some("insufficient_scope"), "insufficient_scope"),
        (404, "The connection does not exist.", Some("inexistent_connection"), "misconfigured"),
        (409, "The user already exists.", Some("auth0_idp_error"), "conflict"),
        (302, "", None, "misconfigured"),
        (500, "", None, "ambiguous"),
        (503, "", None, "ambiguous"),
    ] {
        stage.double.next(Fault::Instead(error(status, "x", message, code)));
        let error = stage.connector.set_password(&user, &password("New-pass-1!"), ctx()).await.unwrap_err();
        assert_eq!(error.code(), class, "{status} {message}");
    }
}

#[tokio::test]
async fn two_accounts_with_one_address_are_ambiguous() {
    let stage = Stage::of(&case()).await;
    stage.double.people(|people| {
        let twin = people.0[USER].clone();
        people.0.insert("auth0|u2".into(), twin);
    });
    let found = stage.connector.look_up(By::Email("U1@example.com"), ctx()).await;
    assert_eq!(found.err(), Some(ProviderError::UserAmbiguous));
}

#[test]
fn plain_http_must_be_allowed() {
    let url = Url::parse("http://127.0.0.1:9").unwrap();
    let settings = keyherald::connector::Settings { kind: kind(&url), net: Net::default(), limits: Limits::default() };
    assert!(keyherald::connector::open(settings).is_err());
}

#[tokio::test]
async fn a_google_account_is_told_by_its_id() {
    let stage = Stage::of(&case()).await;
    for (id, is_google) in [("google-oauth2|1", true), ("auth0|google", false), ("google-oauth2", false)] {
        stage.double.people(|people| people.0.insert(id.into(), Person::new("g@example.com", "Some-pass-1!")));
        let owner = stage.connector.token_owner(&format!("token-of-{id}"), ctx()).await.unwrap().unwrap();
        assert_eq!((owner.user.user.as_str(), owner.is_google), (id, is_google));
        assert_eq!(owner.user.email_verified, Some(false));
    }
}
