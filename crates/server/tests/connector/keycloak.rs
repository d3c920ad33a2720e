//! A double of Keycloak, and what only its connector has. Contract from documents: there is no Keycloak to install, so
//! what the double says is providers.md 4.1, not what a server was seen to say.

use std::sync::Mutex;

use keyherald::connector::{AccessSecret, By, KeycloakSettings, Kind};
use keyherald_core::Micros;
use keyherald_core::provider::{ProviderError, TrialAnswer};
use serde_json::{Value, json};
use url::Url;

use crate::conformance::{Case, NOW, Stage, ctx, ctx_at, password};
use crate::double::{Double, Fault, Got, Said, Vendor, decoded};
use crate::people::{EMAIL, NotSet, OLD, People, Person};

const USER: &str = "0f4c1a6e-7f0b-4f0e-9a51-0c2b6f1d8e11";
const SECRET: &str = "client-secret-of-ours";
const TOKEN_PATH: &str = "/realms/shop/protocol/openid-connect/token";

/// The double.
#[derive(Default)]
struct Keycloak {
    /// The token that is good, as a number that moves with each one.
    token: Mutex<u32>,
    /// What the detection of brute force says.
    locked: bool,
}

fn error(status: u16, name: &str, description: &str) -> Said {
    Said::json(status, &json!({"error": name, "error_description": description}))
}

fn empty() -> Said {
    Said { status: 204, headers: Vec::new(), body: String::new() }
}

fn view(id: &str, person: &Person) -> Value {
    json!({
        "id": id, "username": "u1", "email": person.email, "enabled": true, "requiredActions": [],
        "attributes": {"externalId": [format!("ext-{id}")]},
    })
}

fn form(got: &Got) -> std::collections::BTreeMap<String, String> {
    assert_eq!(got.header("content-type"), Some("application/x-www-form-urlencoded"));
    url::form_urlencoded::parse(got.body.as_bytes()).into_owned().collect()
}

impl Keycloak {
    fn token(&self, got: &Got, people: &People) -> Said {
        let form = form(got);
        if form["client_id"] != "keyherald" || form["client_secret"] != SECRET {
            return error(401, "unauthorized_client", "Invalid client or Invalid client credentials");
        }
        if form["grant_type"] == "client_credentials" {
            let mut token = self.token.lock().unwrap();
            *token += 1;
            return Said::json(200, &json!({"access_token": format!("token-{}", *token), "expires_in": 60}));
        }
        assert_eq!((&*form["grant_type"], &*form["username"]), ("password", "u1"));
        let known = people.0.values().any(|person| form["password"] == person.password);
        if known && !self.locked {
            Said::json(200, &json!({"access_token": "x", "expires_in": 60}))
        } else {
            error(401, "invalid_grant", "Invalid user credentials")
        }
    }

    fn search(got: &Got, people: &People) -> Said {
        let (_, query) = got.target.split_once('?').unwrap();
        let mut asked = query.split('&').map(|pair| pair.split_once('=').unwrap());
        let (name, value) = asked.next().map(|(name, value)| (name, decoded(value))).unwrap();
        let found = people.0.iter().filter(|(id, person)| match name {
            "email" => query.contains("exact=true") && person.email.eq_ignore_ascii_case(&value),
            "q" => value == format!("externalId:\"ext-{id}\""),
            _ => panic!("{query}"),
        });
        Said::json(200, &found.map(|(id, person)| view(id, person)).collect())
    }

    fn user(got: &Got, id: &str, rest: &str, people: &mut People) -> Said {
        let Some(person) = people.0.get_mut(id) else { return Said::json(404, &json!({"error": "User not found"})) };
        match (got.method.as_str(), rest) {
            ("GET", "") => Said::json(200, &view(id, person)),
            ("GET", "/credentials") => {
                let made = 1_795_341_600_000_i64 + i64::from(person.changes);
                let password = json!({"id": "c1", "type": "password", "createdDate": made, "credentialData": "{}"});
                Said::json(200, &json!([{"id": "o1", "type": "otp", "createdDate": 1}, password]))
            }
            ("PUT", "/reset-password") => {
                let body = got.json();
                assert_eq!((&body["type"], &body["temporary"]), (&json!("password"), &json!(false)));
                match people.set(id, body["value"].as_str().unwrap()) {
                    Ok(()) => empty(),
                    Err(NotSet::Unknown | NotSet::Taken) => panic!("it was there"),
                    Err(NotSet::Weak) => {
                        error(400, "invalidPasswordMinLengthMessage", "Invalid password: minimum length 8.")
                    }
                    Err(NotSet::Used) => {
                        let text = "Invalid password: must not be equal to any of last 3 passwords.";
                        error(400, "invalidPasswordHistoryMessage", text)
                    }
                }
            }
            ("POST", "/logout") => {
                person.sessions = 0;
                empty()
            }
            _ => Said::json(404, &json!({"error": "HTTP 404 Not Found"})),
        }
    }
}

impl Vendor for Keycloak {
    fn is_about_access(&self, got: &Got) -> bool {
        got.path() == TOKEN_PATH && got.body.contains("client_credentials")
    }

    fn answer(&self, got: &Got, people: &mut People) -> Said {
        if got.path() == TOKEN_PATH {
            return self.token(got, people);
        }
        let good = format!("Bearer token-{}", *self.token.lock().unwrap());
        if got.header("authorization") != Some(&good) {
            return Said::json(401, &json!({"error": "HTTP 401 Unauthorized"}));
        }
        let path = got.path().strip_prefix("/admin/realms/shop").unwrap();
        if path == "/users" {
            return Self::search(got, people);
        }
        if path.starts_with("/attack-detection/brute-force/users/") {
            return Said::json(200, &json!({"disabled": self.locked, "numFailures": 1}));
        }
        let rest = path.strip_prefix("/users/").unwrap();
        let (id, rest) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
        Self::user(got, &decoded(id), rest, people)
    }
}

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
