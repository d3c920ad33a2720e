//! Auth0 itself, as far as its documentation describes it (providers.md 1): tokens, users, trial sign-ins.

use std::sync::Mutex;

use serde_json::{Value, json};

use crate::double::{Got, Said, Vendor, decoded};
use crate::people::{NotSet, People, Person};

pub(crate) const USER: &str = "auth0|u1";
pub(crate) const SECRET: &str = "client-secret-of-ours";

/// The double.
#[derive(Default)]
pub(crate) struct Auth0 {
    /// The token that is good, as a number that moves with each one.
    pub token: Mutex<u32>,
    /// Refuses every token.
    pub locked_out: bool,
}

pub(crate) fn error(status: u16, name: &str, message: &str, code: Option<&str>) -> Said {
    let mut body = json!({"statusCode": status, "error": name, "message": message});
    if let Some(code) = code {
        body["errorCode"] = code.into();
    }
    Said::json(status, &body)
}

pub(crate) fn throttled() -> Said {
    error(429, "Too Many Requests", "Global limit has been reached", Some("too_many_requests"))
        .header("x-ratelimit-limit", "10")
        .header("x-ratelimit-remaining", "0")
}

fn view(id: &str, person: &Person) -> Value {
    let mut user = json!({
        "user_id": id, "email": person.email, "email_verified": person.email_verified,
        "given_name": person.first_name, "family_name": person.last_name,
        "identities": [{"connection": "db", "provider": "auth0", "user_id": "u1", "isSocial": false}],
    });
    if person.changes > 0 {
        user["last_password_reset"] = format!("2026-11-22T10:00:{:02}.000Z", person.changes).into();
    }
    user
}

fn refused(why: NotSet) -> Said {
    let bad = |message| error(400, "Bad Request", message, None);
    match why {
        NotSet::Unknown => error(404, "Not Found", "The user does not exist.", Some("inexistent_user")),
        NotSet::Weak => bad("PasswordStrengthError: Password is too weak"),
        NotSet::Used => bad("PasswordHistoryError: Password has previously been used"),
        NotSet::Taken => error(409, "Conflict", "The user already exists.", Some("auth0_idp_error")),
    }
}

impl Auth0 {
    fn token(&self, got: &Got, people: &People) -> Said {
        let body = got.fields();
        let wrong = || Said::json(401, &json!({"error": "access_denied", "error_description": "Unauthorized"}));
        if body["client_id"] != "client" || body["client_secret"] != SECRET {
            return wrong();
        }
        match body["grant_type"].as_str().unwrap_or_default() {
            "client_credentials" => {
                assert!(body["audience"].as_str().unwrap().ends_with("/api/v2/"));
                let mut token = self.token.lock().unwrap();
                *token += 1;
                let token = format!("token-{}", *token);
                Said::json(200, &json!({"access_token": token, "token_type": "Bearer", "expires_in": 86_400}))
            }
            "http://auth0.com/oauth/grant-type/password-realm" => {
                assert_eq!(body["realm"], "db");
                let known = people.0.values().any(|p| body["username"] == p.email && body["password"] == p.password);
                if known {
                    Said::json(200, &json!({"access_token": "x", "expires_in": 60}))
                } else {
                    let text = "Wrong email or password.";
                    Said::json(403, &json!({"error": "invalid_grant", "error_description": text}))
                }
            }
            _ => wrong(),
        }
    }

    fn user(got: &Got, id: &str, people: &mut People) -> Said {
        let unknown = || refused(NotSet::Unknown);
        match got.method.as_str() {
            "GET" => people.0.get(id).map_or_else(unknown, |person| Said::json(200, &view(id, person))),
            "PATCH" => {
                let body = got.json();
                assert_eq!(body["connection"], "db");
                match Self::change(&body, id, people) {
                    Ok(()) => Said::json(200, &view(id, &people.0[id])),
                    Err(why) => refused(why),
                }
            }
            _ => error(404, "Not Found", "Not Found", None),
        }
    }

    fn change(body: &Value, id: &str, people: &mut People) -> Result<(), NotSet> {
        let text = |name: &str| body[name].as_str().map(str::to_owned);
        let fields = body.as_object().unwrap().len();
        if let Some(password) = text("password") {
            assert_eq!(fields, 2);
            return people.set(id, &password);
        }
        let email = text("email");
        if email.as_ref().is_some_and(|email| people.has(email, Some(id))) {
            return Err(NotSet::Taken);
        }
        let person = people.0.get_mut(id).ok_or(NotSet::Unknown)?;
        person.email_verified = body["email_verified"].as_bool().unwrap_or(person.email_verified && email.is_none());
        person.email = email.unwrap_or_else(|| person.email.clone());
        person.first_name = text("given_name").unwrap_or_else(|| person.first_name.clone());
        person.last_name = text("family_name").unwrap_or_else(|| person.last_name.clone());
        Ok(())
    }

    fn create(got: &Got, people: &mut People) -> Said {
        let body = got.json();
        assert_eq!(body["connection"], "db");
        let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
        let id = format!("auth0|{}", body["user_id"].as_str().unwrap_or("made-by-auth0"));
        let person = Person {
            email_verified: body["email_verified"] == true,
            first_name: text("given_name"),
            last_name: text("family_name"),
            ..Person::new(&text("email"), &text("password"))
        };
        match people.add(&id, person) {
            Ok(()) => Said::json(201, &view(&id, &people.0[&id])),
            Err(why) => refused(why),
        }
    }
}

impl Vendor for Auth0 {
    fn is_about_access(&self, got: &Got) -> bool {
        got.path() == "/oauth/token" && got.fields()["grant_type"] == "client_credentials"
    }

    fn answer(&self, got: &Got, people: &mut People) -> Said {
        if got.path() == "/oauth/token" {
            return self.token(got, people);
        }
        if got.path() == "/userinfo" {
            let id = got.header("authorization").and_then(|it| it.strip_prefix("Bearer token-of-")).unwrap_or_default();
            let unknown = || Said { status: 401, headers: Vec::new(), body: "Unauthorized".into() };
            return people.0.get(id).map_or_else(unknown, |person| {
                let mut claims = view(id, person);
                claims["sub"] = id.into();
                Said::json(200, &claims)
            });
        }
        let good = format!("Bearer token-{}", *self.token.lock().unwrap());
        if self.locked_out || got.header("authorization") != Some(&good) {
            return error(401, "Unauthorized", "Expired token received for JSON Web Token validation", None);
        }
        if let Some(email) = got.target.strip_prefix("/api/v2/users-by-email?email=") {
            let email = decoded(email);
            let found: Vec<Value> =
                people.0.iter().filter(|(_, p)| p.email == email).map(|(id, person)| view(id, person)).collect();
            return Said::json(200, &found.into());
        }
        if got.path() == "/api/v2/users" && got.method == "POST" {
            return Self::create(got, people);
        }
        let rest = got.path().strip_prefix("/api/v2/users/").unwrap_or_default();
        match rest.split_once('/') {
            None => Self::user(got, &decoded(rest), people),
            Some((id, "revoke-access")) if got.method == "POST" => match people.0.get_mut(&decoded(id)) {
                Some(person) => {
                    person.sessions = 0;
                    Said { status: 204, headers: Vec::new(), body: String::new() }
                }
                None => refused(NotSet::Unknown),
            },
            Some(_) => error(404, "Not Found", "Not Found", None),
        }
    }
}
