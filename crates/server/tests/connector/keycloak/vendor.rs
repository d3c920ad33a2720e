//! Keycloak itself, as far as its documentation describes it (providers.md 4.1): tokens, the admin API's users, and the
//! password grant.

use std::sync::Mutex;

use serde_json::{Value, json};

use crate::double::{Got, Said, Vendor, decoded};
use crate::people::{NotSet, People, Person};

pub(crate) const USER: &str = "0f4c1a6e-7f0b-4f0e-9a51-0c2b6f1d8e11";
pub(crate) const SECRET: &str = "client-secret-of-ours";
pub(crate) const TOKEN_PATH: &str = "/realms/shop/protocol/openid-connect/token";

/// The double.
#[derive(Default)]
pub(crate) struct Keycloak {
    /// The token that is good, as a number that moves with each one.
    pub token: Mutex<u32>,
    /// What the detection of brute force says.
    pub locked: bool,
}

pub(crate) fn error(status: u16, name: &str, description: &str) -> Said {
    Said::json(status, &json!({"error": name, "error_description": description}))
}

pub(crate) fn empty() -> Said {
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
