//! Ory Kratos itself, as far as its documentation describes it (providers.md 4.5): identities with hashes of passwords.

use std::sync::Mutex;

use argon2::{Algorithm, Argon2, Params, Version};
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use serde_json::{Value, json};

use crate::double::{Got, Said, Vendor, decoded};
use crate::people::{People, Person};

pub(crate) const USER: &str = "9f425a8d-7efc-4768-8f23-7647a74fdf13";
pub(crate) const SECRET: &str = "ory_pat_x";
const PLACE: &str = "/credentials/password/config/hashed_password";

/// The double.
pub(crate) struct Kratos {
    pub hash: Mutex<String>,
    /// What tests set. Kratos knows hashes alone, so the double finds out by trying.
    pub passwords: Vec<String>,
}

impl Default for Kratos {
    fn default() -> Self {
        let passwords = ["New-pass-1!", "Newer-pass-1!", "Old-pass-1!", "weak"];
        Self {
            hash: Mutex::new("$2a$12$of-the-old-password".into()),
            passwords: passwords.into_iter().map(str::to_owned).collect(),
        }
    }
}

pub(crate) fn error(status: u16, message: &str) -> Said {
    Said::json(status, &json!({"error": {"code": status, "status": "x", "reason": message, "message": message}}))
}

/// Whether `hash` is a PHC string of Argon2id, and of this password.
fn is_hash_of(hash: &str, text: &str) -> bool {
    let [_, name, version, costs, salt, digest] = hash.split('$').collect::<Vec<_>>()[..] else { return false };
    assert_eq!((name, version, costs), ("argon2id", "v=19", "m=19456,t=2,p=1"));
    let mut made = [0; 32];
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::new(19_456, 2, 1, None).unwrap());
    argon2.hash_password_into(text.as_bytes(), &STANDARD_NO_PAD.decode(salt).unwrap(), &mut made).unwrap();
    STANDARD_NO_PAD.encode(made) == digest
}

impl Kratos {
    fn view(&self, id: &str, person: &Person, with_credentials: bool) -> Value {
        let mut identity =
            json!({"id": id, "schema_id": "default", "traits": {"email": person.email}, "state": "active"});
        if with_credentials {
            let config = json!({"hashed_password": *self.hash.lock().unwrap()});
            identity["credentials"] = json!({"password": {"type": "password", "config": config}});
        }
        identity
    }

    fn patch(&self, got: &Got, id: &str, people: &mut People) -> Said {
        let body = got.json();
        let [test, replace] = &body.as_array().unwrap()[..] else { panic!("{body}") };
        assert_eq!((&test["op"], &test["path"]), (&json!("test"), &json!(PLACE)));
        assert_eq!((&replace["op"], &replace["path"]), (&json!("replace"), &json!(PLACE)));
        let mut hash = self.hash.lock().unwrap();
        if test["value"] != *hash {
            return error(400, "failed to apply JSON patch");
        }
        replace["value"].as_str().unwrap().clone_into(&mut hash);
        let text = self.passwords.iter().find(|text| is_hash_of(&hash, text)).unwrap();
        let person = people.0.get_mut(id).unwrap();
        text.clone_into(&mut person.password);
        drop(hash);
        Said::json(200, &self.view(id, person, false))
    }
}

impl Vendor for Kratos {
    fn is_about_access(&self, _: &Got) -> bool {
        false
    }

    fn answer(&self, got: &Got, people: &mut People) -> Said {
        if got.path() == "/sessions/whoami" {
            assert_eq!(got.header("authorization"), None, "the public API is not asked as an operator");
            let id = got.header("x-session-token").and_then(|it| it.strip_prefix("token-of-")).unwrap_or_default();
            let unknown = || error(401, "The request could not be authorized");
            return people.0.get(id).map_or_else(unknown, |person| {
                Said::json(200, &json!({"id": "s1", "active": true, "identity": self.view(id, person, false)}))
            });
        }
        assert_eq!(got.header("authorization"), Some(&*format!("Bearer {SECRET}")));
        let path = got.path().strip_prefix("/admin/identities").unwrap();
        let query = got.target.split_once('?').map_or("", |(_, query)| query);
        if let Some(email) = query.strip_prefix("credentials_identifier=") {
            let email = decoded(email.strip_suffix("&consistency=strong").unwrap());
            let found = people.0.iter().filter(|(_, person)| person.email == email);
            return Said::json(200, &found.map(|(id, person)| self.view(id, person, false)).collect());
        }
        if let Some(id) = path.strip_prefix("/by/external/") {
            let found = people.0.iter().find(|(known, _)| decoded(id) == format!("ext-{known}"));
            return found.map_or_else(
                || error(404, "Unable to locate the resource"),
                |(id, person)| Said::json(200, &self.view(id, person, false)),
            );
        }
        let rest = path.strip_prefix('/').unwrap();
        let (id, rest) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
        let id = decoded(id);
        let Some(person) = people.0.get_mut(&id) else { return error(404, "Unable to locate the resource") };
        match (got.method.as_str(), rest) {
            ("GET", "") => Said::json(200, &self.view(&id, person, query == "include_credential=password")),
            ("PATCH", "") => self.patch(got, &id, people),
            ("DELETE", "/sessions") => {
                person.sessions = 0;
                Said { status: 204, headers: Vec::new(), body: String::new() }
            }
            _ => error(405, "Method not allowed"),
        }
    }
}
