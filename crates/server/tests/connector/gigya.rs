//! A double of Gigya, and what only its connector has. Contract from documents: there is no Gigya to install, so what the
//! double says is providers.md 2, not what a site was seen to say.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use keyherald::connector::{AccessSecret, By, GigyaAccess, GigyaSettings, Kind, Limits};
use keyherald_core::Micros;
use keyherald_core::provider::{ProviderError, TrialAnswer};
use rustls::SignatureScheme;
use serde_json::{Value, json};
use sha1::Sha1;
use url::Url;

use crate::conformance::{Case, NOW, Stage, ctx, loopback, password};
use crate::double::{Double, Fault, Got, Said, Vendor};
use crate::people::{NotSet, OLD, People};

const USER: &str = "uid-1";
/// `secret-key-bytes`, as the console shows it.
const SECRET: &str = "c2VjcmV0LWtleS1ieXRlcw==";
const PEM: &str = include_str!("keys/gigya.pem");
const PUBLIC: &[u8] = include_bytes!("keys/gigya_public.der");
/// What the double's clock says.
const TIME: &str = "2026-11-22T10:00:00.000Z";

/// The double. It knows each way to show who one is by what comes, and takes each number once.
#[derive(Default)]
struct Gigya {
    numbers: Mutex<BTreeSet<String>>,
    /// Its clock is so many seconds ahead.
    ahead_s: i64,
}

fn said(code: i64, more: &Value) -> Said {
    let mut body = json!({"callId": "c1", "errorCode": code, "apiVersion": 2, "statusCode": code / 1000, "time": TIME});
    body["statusCode"] = if code == 0 { 200.into() } else { (code / 1000).into() };
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    Said::json(200, &body)
}

fn error(code: i64, text: &str) -> Said {
    said(code, &json!({"errorMessage": text, "errorDetails": text}))
}

/// RFC 3986, written by another hand than the connector's.
fn encoded(text: &str) -> String {
    let keeps = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
    text.as_bytes()
        .iter()
        .map(|byte| if keeps(byte) { char::from(*byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

fn fields(got: &Got) -> BTreeMap<String, String> {
    assert_eq!(got.header("content-type"), Some("application/x-www-form-urlencoded"));
    url::form_urlencoded::parse(got.body.as_bytes()).into_owned().collect()
}

impl Gigya {
    /// `None`: who asks may ask. `Some`: the refusal.
    fn refusal(&self, got: &Got, fields: &BTreeMap<String, String>) -> Option<Said> {
        let (number, made_at) = if let Some(token) = got.header("authorization") {
            let Some(claims) = claims(token) else { return Some(error(403_025, "Invalid token")) };
            (claims["jti"].as_str().unwrap().to_owned(), claims["iat"].as_i64().unwrap())
        } else if let Some(signature) = fields.get("sig") {
            let url = format!("http://{}{}", got.header("host").unwrap(), got.target);
            let signed = fields.iter().filter(|(name, _)| *name != "sig");
            let query: Vec<String> = signed.map(|(name, value)| format!("{name}={}", encoded(value))).collect();
            let base = format!("POST&{}&{}", encoded(&url), encoded(&query.join("&")));
            let mut mac = Hmac::<Sha1>::new_from_slice(b"secret-key-bytes").unwrap();
            mac.update(base.as_bytes());
            if STANDARD.encode(mac.finalize().into_bytes()) != *signature {
                return Some(error(403_003, "Invalid request signature"));
            }
            (fields["nonce"].clone(), fields["timestamp"].parse().unwrap())
        } else if fields.get("secret").is_some_and(|secret| secret == SECRET) {
            return None;
        } else {
            return Some(error(403_010, "Invalid secret"));
        };
        if (made_at - NOW.0 / Micros::SECOND - self.ahead_s).abs() > 120 {
            let time = NOW.plus(self.ahead_s * Micros::SECOND).iso();
            return Some(said(403_002, &json!({"errorMessage": "Request has expired", "time": time})));
        }
        let fresh = self.numbers.lock().unwrap().insert(number);
        if fresh { None } else { Some(error(403_004, "Duplicate nonce")) }
    }
}

/// The claims of a token that our key has signed.
fn claims(header: &str) -> Option<Value> {
    let (signed, signature) = header.strip_prefix("Bearer ")?.rsplit_once('.')?;
    let algorithms = rustls::crypto::ring::default_provider().signature_verification_algorithms;
    let (_, known) = algorithms.mapping.iter().find(|(scheme, _)| *scheme == SignatureScheme::RSA_PKCS1_SHA256)?;
    let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
    known[0].verify_signature(PUBLIC, signed.as_bytes(), &signature).ok()?;
    let (head, claims) = signed.split_once('.')?;
    let part = |text: &str| serde_json::from_slice::<Value>(&URL_SAFE_NO_PAD.decode(text).unwrap()).unwrap();
    assert_eq!(part(head), json!({"alg": "RS256", "typ": "JWT", "kid": "AKuser"}));
    assert_eq!(part(claims).as_object().unwrap().len(), 2);
    Some(part(claims))
}

impl Vendor for Gigya {
    fn is_about_access(&self, _: &Got) -> bool {
        false
    }

    fn answer(&self, got: &Got, people: &mut People) -> Said {
        let fields = fields(got);
        if let Some(refusal) = self.refusal(got, &fields) {
            return refusal;
        }
        assert_eq!((&*fields["apiKey"], &*fields["httpStatusCodes"]), ("3_APIKEY", "false"));
        let uid = fields.get("UID").cloned().unwrap_or_default();
        let unknown = || error(403_005, "Unauthorized user");
        match got.path() {
            "/accounts.getAccountInfo" => people.0.get(&uid).map_or_else(unknown, |person| {
                let made = format!("2026-11-22T10:00:{:02}.000Z", person.changes);
                let emails = [&person.email];
                said(
                    0,
                    &json!({"UID": uid, "loginIDs": {"emails": emails}, "profile": {}, "password": {"created": made}}),
                )
            }),
            "/accounts.search" => {
                let (_, quoted) = fields["query"].split_once("WHERE UID = \"").unwrap();
                let uid = quoted.strip_suffix("\" LIMIT 1").unwrap().replace("\\\"", "\"").replace("\\\\", "\\");
                let results: Vec<Value> = people.0.get(&uid).map(|_| json!({"UID": uid})).into_iter().collect();
                said(0, &json!({"results": results, "objectsCount": results.len(), "totalCount": results.len()}))
            }
            "/accounts.setAccountInfo" => {
                assert_eq!((&*fields["securityOverride"], &*fields["muteWebhooks"]), ("true", "true"));
                match people.set(&uid, &fields["newPassword"]) {
                    Ok(()) => said(0, &json!({"statusReason": "OK"})),
                    Err(NotSet::Unknown) => unknown(),
                    Err(NotSet::Used) => error(401_030, "Old password used"),
                    Err(NotSet::Taken) => error(400_003, "Unique identifier exists"),
                    Err(NotSet::Weak) => {
                        let about =
                            json!({"fieldName": "password", "errorCode": 400_006, "message": "invalid password"});
                        said(400_009, &json!({"errorMessage": "Validation error", "validationErrors": [about]}))
                    }
                }
            }
            "/accounts.login" => {
                let known = people.0.values().any(|p| fields["loginID"] == p.email && fields["password"] == p.password);
                if known { said(0, &json!({"sessionInfo": {}})) } else { error(403_042, "Invalid LoginID") }
            }
            "/accounts.logout" => match people.0.get_mut(&uid) {
                Some(person) => {
                    person.sessions = 0;
                    said(0, &json!({}))
                }
                None => unknown(),
            },
            _ => error(405_001, "Unsupported method"),
        }
    }
}

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
