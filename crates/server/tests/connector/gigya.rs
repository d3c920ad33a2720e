//! What only the connector of Gigya has, and its case for what all of them must do. Contract from documents: there is no
//! Gigya to install, so what the double says is providers.md 2, not what a site was seen to say.

pub(crate) mod vendor;

use keyherald::connector::{
    AccessSecret, By, GigyaAccess, GigyaSettings, Kind, Limits, LookedUp, NewUser, UserChanges,
};
use keyherald::jwt::{Algorithm, SigningKey};
use keyherald_core::Micros;
use keyherald_core::provider::{ProviderError, TrialAnswer};
use serde_json::{Value, json};
use url::Url;

use self::vendor::{Gigya, SECRET, USER, error, jwks, said};
use crate::conformance::{Case, NOW, Stage, ctx, ctx_at, loopback, password};
use crate::double::{Double, Fault, Got, Said};
use crate::people::{EMAIL, OLD, People};

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

/// A token of the site's, as `accounts.getJWT` makes one.
fn token(claims: &Value) -> String {
    let key = SigningKey::of_pem(PEM.as_bytes(), Algorithm::Rs256).unwrap();
    key.sign(claims.as_object().unwrap(), Some("k1")).unwrap()
}

fn claims(user: &str) -> Value {
    let now_s = NOW.0 / Micros::SECOND;
    json!({"iss": "https://fidm.gigya.com/jwt/3_APIKEY/", "sub": user, "iat": now_s, "exp": now_s + 300})
}

pub(crate) fn case() -> Case {
    Case {
        name: "gigya",
        user: USER,
        vendor: |people| Box::pin(Double::start(Gigya::default(), people)),
        kind: with_signature,
        token: |user| token(&claims(user)),
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
        let made = create(&stage, "é+1@example.com").await.ok().unwrap();
        let named = UserChanges { first_name: Some("Ada & Co. é+%"), ..UserChanges::default() };
        assert_eq!(stage.connector.update_user(&made.user, named, ctx()).await, Ok(()));
        let found = stage.connector.look_up(By::Email("É+1@example.com"), ctx()).await.ok().unwrap();
        assert_eq!((found.user.as_str(), found.first_name.as_deref()), (made.user.as_str(), named.first_name));
    }
}

/// A new user, for whose address somebody vouches.
async fn create(stage: &Stage, email: &str) -> Result<LookedUp, ProviderError> {
    let password = password("New-pass-1!");
    let (first_name, last_name, external_id, email_verified) = (None, None, None, true);
    let new = NewUser { email, password: &password, first_name, last_name, external_id, email_verified };
    stage.connector.create_user(new, ctx()).await
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

#[tokio::test]
async fn a_token_must_be_this_sites_and_end() {
    let stage = Stage::of(&case()).await;
    let owner = async |claims: &Value, at| stage.connector.token_owner(&token(claims), ctx_at(at)).await;
    let with = |name: &str, value: Value| {
        let mut claims = claims(USER);
        claims[name] = value;
        claims
    };
    // As older documents have it, too.
    for claims in [claims(USER), with("iss", "https://fidm.gigya.com/jwt/3_APIKEY".into())] {
        assert!(owner(&claims, NOW).await.unwrap().is_some());
    }
    let mut endless = claims(USER);
    endless.as_object_mut().unwrap().remove("exp");
    for refused in [
        endless,
        with("iss", "https://fidm.gigya.com/jwt/3_OTHER/".into()),
        with("iss", "https://elsewhere.example/jwt/3_APIKEY/".into()),
        with("sub", Value::Null),
    ] {
        assert!(owner(&refused, NOW).await.unwrap().is_none(), "{refused}");
    }
    // Keys belong to a data centre: what another key has signed is nobody's.
    let forged = SigningKey::secret("a secret of somebody else's").sign(claims(USER).as_object().unwrap(), Some("k1"));
    assert!(stage.connector.token_owner(&forged.unwrap(), ctx()).await.unwrap().is_none());
    assert!(owner(&claims(USER), NOW.plus(301 * Micros::SECOND)).await.unwrap().is_none());
}

#[tokio::test]
async fn a_google_account_is_told_by_who_signed_it_in() {
    let stage = Stage::of(&case()).await;
    for (provider, is_google) in [("googleplus", true), ("site", false)] {
        stage.double.next_change(Fault::Instead(jwks()));
        stage.double.next_change(Fault::Instead(said(0, &json!({"UID": USER, "loginProvider": provider}))));
        let owner = stage.connector.token_owner(&token(&claims(USER)), ctx()).await.unwrap().unwrap();
        assert_eq!((owner.user.user.as_str(), owner.is_google), (USER, is_google));
    }
}

#[tokio::test]
async fn access_that_may_not_override_a_password_resets_it() {
    let double = Double::start(Gigya { resets_only: true, ..Gigya::default() }, People::of_one(USER)).await;
    let stage = Stage::at(double, with_signature, loopback(), Limits::default());
    let user = USER.parse().unwrap();
    let set = async |text: &str| stage.connector.set_password(&user, &password(text), ctx()).await;
    assert_eq!(set("New-pass-1!").await, Ok(()));
    assert_eq!(stage.connector.try_sign_in(&user, &password("New-pass-1!"), ctx()).await, TrialAnswer::SignedIn);
    assert_eq!(set(crate::people::WEAK).await.unwrap_err().code(), "policy_violation");
    assert_eq!(set("New-pass-1!").await.unwrap_err().code(), "password_reused");
    // Whether it was done is not known only when the last of the three was lost.
    stage.double.next(Fault::Instead(error(403_007, "Permission denied")));
    stage.double.next(Fault::AppliedBut(said(0, &json!({"UID": USER, "loginIDs": {"username": "u1"}}))));
    stage.double.next(Fault::Cut);
    assert_eq!(set("Newer-pass-1!").await, Err(ProviderError::Transient));
    let token = said(0, &json!({"passwordResetToken": "token-of-uid-1"}));
    stage.double.next(Fault::Instead(error(403_007, "Permission denied")));
    stage.double.next(Fault::AppliedBut(said(0, &json!({"UID": USER, "loginIDs": {"username": "u1"}}))));
    stage.double.next(Fault::Instead(token));
    stage.double.next(Fault::Cut);
    assert_eq!(set("Newest-pass-1!").await, Err(ProviderError::Ambiguous));
    assert_eq!(stage.double.people(|people| people.0[USER].password.clone()), "Newest-pass-1!");
}

#[tokio::test]
async fn an_id_may_be_chosen() {
    let stage = Stage::of(&case()).await;
    let (password, email) = (password("New-pass-1!"), "u2@example.com");
    let (first_name, last_name, external_id, email_verified) = (None, None, Some("crm-7"), true);
    let new = NewUser { email, password: &password, first_name, last_name, external_id, email_verified };
    let made = stage.connector.create_user(new, ctx()).await.ok().unwrap();
    assert_eq!(made.user.as_str(), "crm-7");
    assert!(stage.double.people(|people| people.0["crm-7"].email_verified));
}

#[tokio::test]
async fn nobody_is_told_apart_from_somebody_whom_we_may_not_see() {
    let stage = Stage::of(&case()).await;
    let look = async |email: &str| stage.connector.look_up(By::Email(email), ctx()).await.map(|found| found.user);
    // No document says how it is said that nobody has an address.
    for said in [
        error(403_005, "Unauthorized user"),
        error(403_047, "Unknown login identifier"),
        error(404_003, "Account not found"),
        error(400_006, "Invalid parameter value"),
        said(0, &json!({"identifiers": {}})),
        said(0, &json!({"identifiers": {"gigya.com/identifiers/UID": []}})),
    ] {
        stage.double.next(Fault::Instead(said.clone()));
        assert_eq!(look("nobody@example.com").await.err(), Some(ProviderError::UserNotFound), "{}", said.body);
    }
    stage.double.next(Fault::Instead(error(403_005, "Unauthorized user")));
    assert_eq!(look(EMAIL).await.err(), Some(ProviderError::InsufficientScope));
    stage.double.next(Fault::Instead(error(403_007, "Permission denied")));
    assert_eq!(look("nobody@example.com").await.err(), Some(ProviderError::InsufficientScope));
    for lost in [error(500_001, "General server error"), error(403_048, "Api rate limit exceeded")] {
        stage.double.next(Fault::Instead(lost));
        let error = look("nobody@example.com").await.err().unwrap();
        assert!(matches!(error, ProviderError::Transient | ProviderError::RateLimited { .. }), "{error:?}");
    }
    let stage = Stage::of(&case()).await;
    // As some programs read it.
    stage.double.next(Fault::Instead(said(0, &json!({"identifiers": {"gigya.com/identifiers/uid": [USER]}}))));
    assert!(stage.connector.look_up(By::Email(EMAIL), ctx()).await.is_ok());
    stage.double.people(|people| people.0.insert("uid-2".into(), people.0[USER].clone()));
    let twice = stage.connector.look_up(By::Email(EMAIL), ctx()).await;
    assert_eq!(twice.err(), Some(ProviderError::UserAmbiguous));
    // The index, which knows later, is not asked.
    assert!(stage.double.got().iter().all(|got| got.path() != "/accounts.search"));
}

#[tokio::test]
async fn a_user_whose_registration_asks_for_more_is_there() {
    for code in [206_001, 206_002, 206_006] {
        let double = Double::start(Gigya { pending: Some(code), ..Gigya::default() }, People::of_one(USER)).await;
        let stage = Stage::at(double, with_signature, loopback(), Limits::default());
        let made = create(&stage, "u2@example.com").await.unwrap_or_else(|error| panic!("{code}: {error:?}"));
        let found = stage.connector.look_up(By::Id(&made.user), ctx()).await.ok().unwrap();
        assert_eq!((found.email_verified, made.email_verified), (Some(true), Some(true)), "{code}");
    }
}

#[tokio::test]
async fn an_account_that_was_made_here_is_told_from_a_strangers() {
    let stage = Stage::of(&case()).await;
    // Made, and cut off before its address was said to be proved.
    stage.double.next(Fault::AppliedBut(said(0, &json!({"UID": "made-by-gigya"}))));
    stage.double.next(Fault::CutBefore);
    assert_eq!(create(&stage, "u2@example.com").await.err(), Some(ProviderError::Ambiguous));
    let verified = async |email: &str| stage.connector.look_up(By::Email(email), ctx()).await.unwrap().email_verified;
    assert!(!stage.double.people(|people| people.0["made-by-gigya"].email_verified));
    assert_eq!(verified("u2@example.com").await, Some(true));
    // Another address is not vouched for, and neither is a stranger's who says the same of where it comes from.
    let moved = UserChanges { email: Some("u3@example.com"), ..UserChanges::default() };
    let id = "made-by-gigya".parse().unwrap();
    assert_eq!(stage.connector.update_user(&id, moved, ctx()).await, Ok(()));
    assert_eq!(verified("u3@example.com").await, Some(false));
    let source = |got: &Got| got.fields()["regSource"].as_str().map(str::to_owned);
    let mark = stage.double.got().iter().find_map(source).unwrap();
    assert!(mark.starts_with("keyherald ") && !mark.contains("u2"), "{mark}");
    let stranger = json!({"UID": USER, "isVerified": false, "profile": {"email": "u4@example.com"}, "regSource": mark});
    stage.double.next(Fault::Instead(said(0, &stranger)));
    let found = stage.connector.look_up(By::Id(&USER.parse().unwrap()), ctx()).await.ok().unwrap();
    assert_eq!((found.email.as_deref(), found.email_verified), (Some("u4@example.com"), Some(false)));
}

#[tokio::test]
async fn what_is_said_of_the_address_comes_before_what_is_said_of_the_account() {
    let stage = Stage::of(&case()).await;
    let user = USER.parse().unwrap();
    for (verified, unverified, of_account, expected) in [
        (json!(["u1@example.com"]), json!([]), json!(false), Some(true)),
        (json!(["old@example.com"]), json!(["U1@example.com"]), json!(true), Some(false)),
        (json!([]), json!([]), json!(true), Some(true)),
        (json!([]), json!([]), Value::Null, None),
    ] {
        let emails = json!({"verified": verified, "unverified": unverified});
        let account = json!({"UID": USER, "profile": {"email": EMAIL}, "emails": emails, "isVerified": of_account});
        stage.double.next(Fault::Instead(said(0, &account)));
        assert_eq!(stage.connector.look_up(By::Id(&user), ctx()).await.ok().unwrap().email_verified, expected);
    }
}

#[tokio::test]
async fn a_change_is_one_request_and_what_cannot_be_said_is_not_sent() {
    let stage = Stage::of(&case()).await;
    let user = USER.parse().unwrap();
    let update = async |changes| stage.connector.update_user(&user, changes, ctx()).await;
    let changes = || stage.double.got().iter().filter(|got| got.path() == "/accounts.setAccountInfo").count();
    let all = UserChanges { email: Some("New@example.com"), first_name: Some("Ada"), ..UserChanges::default() };
    assert_eq!((update(all).await, changes()), (Ok(()), 1));
    let person = stage.double.people(|people| people.0[USER].clone());
    assert_eq!((person.email.as_str(), person.email_verified), ("new@example.com", false));
    // The same once more moves nothing; nor does nothing, or that what is not proved is not proved.
    assert_eq!((update(all).await, changes()), (Ok(()), 2));
    let unproved = UserChanges { verified: Some(false), ..UserChanges::default() };
    assert_eq!((update(UserChanges::default()).await, update(unproved).await, changes()), (Ok(()), Ok(()), 2));
    let proved = UserChanges { verified: Some(true), ..UserChanges::default() };
    assert_eq!((update(proved).await, changes()), (Ok(()), 3));
    // What is proved stays proved there.
    assert_eq!(update(unproved).await, Err(ProviderError::NotSupported));
    let list = UserChanges { email: Some("\"a,b\"@example.com"), ..UserChanges::default() };
    assert_eq!((update(list).await, changes()), (Err(ProviderError::InvalidRequest), 3));
}

#[tokio::test]
async fn each_documented_code_of_a_record_has_its_class() {
    let about = |field: &str, code: i64| {
        said(400_009, &json!({"validationErrors": [{"fieldName": field, "errorCode": code, "message": "x"}]}))
    };
    for (said, created, changed) in [
        (error(400_003, "Unique identifier exists"), "conflict", "conflict"),
        (error(403_043, "Login identifier exists"), "conflict", "conflict"),
        (error(200_010, "OK with error login identifier exists"), "conflict", "conflict"),
        (about("email", 400_003), "conflict", "conflict"),
        (about("email", 400_006), "invalid_request", "invalid_request"),
        (about("password", 400_006), "policy_violation", "policy_violation"),
        (error(206_003, "Missing login identifier"), "account_incomplete", "ambiguous"),
        (error(401_020, "Captcha required"), "needs_interaction", "needs_interaction"),
        (error(403_007, "Permission denied"), "insufficient_scope", "insufficient_scope"),
        (error(409_030, "Too many requests for same user"), "transient", "transient"),
        (error(400_302, "x"), "vetoed", "vetoed"),
        (error(504_001, "x"), "ambiguous", "ambiguous"),
    ] {
        let stage = Stage::of(&case()).await;
        stage.double.next(Fault::Instead(said.clone()));
        let refused = create(&stage, "u2@example.com").await.err().unwrap();
        assert_eq!(refused.code(), created, "{}", said.body);
        let stage = Stage::of(&case()).await;
        stage.double.next(Fault::Instead(said.clone()));
        let named = UserChanges { first_name: Some("Ada"), ..UserChanges::default() };
        let refused = stage.connector.update_user(&USER.parse().unwrap(), named, ctx()).await.unwrap_err();
        assert_eq!(refused.code(), changed, "{}", said.body);
    }
}
