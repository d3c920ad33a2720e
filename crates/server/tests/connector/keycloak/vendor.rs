//! Keycloak itself, as far as its documentation describes it (providers.md 4.1): tokens, the admin API's users, and the
//! password grant.

use std::collections::BTreeMap;
use std::sync::Mutex;

use serde_json::{Value, json};

use crate::double::{Got, Said, Vendor, decoded};
use crate::people::{NotSet, People, Person};

pub(crate) const USER: &str = "0f4c1a6e-7f0b-4f0e-9a51-0c2b6f1d8e11";
pub(crate) const SECRET: &str = "client-secret-of-ours";
pub(crate) const TOKEN_PATH: &str = "/realms/shop/protocol/openid-connect/token";

const USERINFO_PATH: &str = "/realms/shop/protocol/openid-connect/userinfo";

/// The double.
#[derive(Default)]
pub(crate) struct Keycloak {
    /// The token that is good, as a number that moves with each one.
    pub token: Mutex<u32>,
    /// What the detection of brute force says.
    pub locked: bool,
    /// The names of the users who are not called `u1`, and their ids elsewhere.
    pub names: Mutex<BTreeMap<String, (String, String)>>,
}

pub(crate) fn error(status: u16, name: &str, description: &str) -> Said {
    Said::json(status, &json!({"error": name, "error_description": description}))
}

pub(crate) fn empty() -> Said {
    Said { status: 204, headers: Vec::new(), body: String::new() }
}

fn form(got: &Got) -> BTreeMap<String, String> {
    assert_eq!(got.header("content-type"), Some("application/x-www-form-urlencoded"));
    url::form_urlencoded::parse(got.body.as_bytes()).into_owned().collect()
}

impl Keycloak {
    fn view(&self, id: &str, person: &Person) -> Value {
        let names = self.names.lock().unwrap();
        let (username, external) = names.get(id).cloned().unwrap_or_else(|| ("u1".into(), format!("ext-{id}")));
        let mut user = json!({
            "id": id, "username": username, "email": person.email, "emailVerified": person.email_verified,
            "enabled": true, "requiredActions": [], "attributes": {"externalId": [external]},
        });
        for (name, value) in [("firstName", &person.first_name), ("lastName", &person.last_name)] {
            if !value.is_empty() {
                user[name] = value.as_str().into();
            }
        }
        user
    }

    fn name(&self, id: &str, body: &Value) {
        let external = body["attributes"]["externalId"][0].as_str().unwrap_or_default().to_owned();
        self.names.lock().unwrap().insert(id.to_owned(), (body["username"].as_str().unwrap().to_owned(), external));
    }

    fn create(&self, got: &Got, people: &mut People) -> Said {
        let body = got.json();
        let credentials = body["credentials"].as_array().unwrap();
        assert_eq!(
            (credentials.len(), &credentials[0]["temporary"], &body["enabled"]),
            (1, &json!(false), &json!(true))
        );
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let person = Person {
            email_verified: body["emailVerified"] == true,
            first_name: text(&body["firstName"]),
            last_name: text(&body["lastName"]),
            ..Person::new(&text(&body["email"]), &text(&credentials[0]["value"]))
        };
        let id = "3d3c2b1a-0000-4000-8000-000000000002";
        match people.add(id, person) {
            Ok(()) => {}
            Err(NotSet::Weak) => return Said::json(400, &json!({"errorMessage": "Password policy not met"})),
            Err(_) => return Said::json(409, &json!({"errorMessage": "User exists with same email"})),
        }
        self.name(id, &body);
        let at = format!("http://sso.example/admin/realms/shop/users/{id}");
        Said { status: 201, headers: Vec::new(), body: String::new() }.header("location", &at)
    }

    /// What is not said of the profile is taken away.
    fn put(&self, got: &Got, id: &str, people: &mut People) -> Said {
        let body = got.json();
        assert!(body.get("enabled").is_none() && body["attributes"]["externalId"][0].is_string(), "{body}");
        let email = body["email"].as_str().unwrap();
        if people.has(email, Some(id)) {
            return Said::json(409, &json!({"errorMessage": "User exists with same email"}));
        }
        self.name(id, &body);
        let person = people.0.get_mut(id).unwrap();
        let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
        (person.first_name, person.last_name) = (text("firstName"), text("lastName"));
        person.email_verified = body["emailVerified"].as_bool().unwrap_or(person.email_verified);
        email.clone_into(&mut person.email);
        empty()
    }

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
        assert_eq!(form["grant_type"], "password");
        let is_called = |id: &str, person: &Person| self.view(id, person)["username"] == form["username"].as_str();
        let known = people.0.iter().any(|(id, it)| is_called(id, it) && form["password"] == it.password);
        if known && !self.locked {
            Said::json(200, &json!({"access_token": "x", "expires_in": 60}))
        } else {
            error(401, "invalid_grant", "Invalid user credentials")
        }
    }

    fn search(&self, got: &Got, people: &People) -> Said {
        let (_, query) = got.target.split_once('?').unwrap();
        let mut asked = query.split('&').map(|pair| pair.split_once('=').unwrap());
        let (name, value) = asked.next().map(|(name, value)| (name, decoded(value))).unwrap();
        let found = people.0.iter().filter(|(id, person)| match name {
            "email" => query.contains("exact=true") && person.email.eq_ignore_ascii_case(&value),
            "q" => {
                let external = &self.view(id, person)["attributes"]["externalId"][0];
                value == format!("externalId:\"{}\"", external.as_str().unwrap())
            }
            _ => panic!("{query}"),
        });
        Said::json(200, &found.map(|(id, person)| self.view(id, person)).collect())
    }

    fn user(&self, got: &Got, id: &str, rest: &str, people: &mut People) -> Said {
        let Some(person) = people.0.get_mut(id) else { return Said::json(404, &json!({"error": "User not found"})) };
        match (got.method.as_str(), rest) {
            ("GET", "") => Said::json(200, &self.view(id, person)),
            ("PUT", "") => self.put(got, id, people),
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
        if got.path() == USERINFO_PATH {
            let id = got.header("authorization").and_then(|it| it.strip_prefix("Bearer token-of-")).unwrap_or_default();
            let unknown = || error(401, "invalid_token", "Token verification failed");
            return people.0.get(id).map_or_else(unknown, |person| {
                Said::json(200, &json!({"sub": id, "email": person.email, "email_verified": person.email_verified}))
            });
        }
        let good = format!("Bearer token-{}", *self.token.lock().unwrap());
        if got.header("authorization") != Some(&good) {
            return Said::json(401, &json!({"error": "HTTP 401 Unauthorized"}));
        }
        let path = got.path().strip_prefix("/admin/realms/shop").unwrap();
        match (path, got.method.as_str()) {
            ("/users", "POST") => return self.create(got, people),
            ("/users", _) => return self.search(got, people),
            _ => {}
        }
        if path.starts_with("/attack-detection/brute-force/users/") {
            return Said::json(200, &json!({"disabled": self.locked, "numFailures": 1}));
        }
        let rest = path.strip_prefix("/users/").unwrap();
        let (id, rest) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
        self.user(got, &decoded(id), rest, people)
    }
}
