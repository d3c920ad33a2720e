//! A double of Ory Kratos, and what only its connector has. Contract from documents: there is no Kratos to install, so
//! what the double says is providers.md 4.5, not what a server was seen to say.

use argon2::{Algorithm, Argon2, Params, Version};
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use keyherald::connector::{AccessSecret, By, Kind, KratosSettings};
use keyherald_core::provider::ProviderError;
use serde_json::{Value, json};
use std::sync::Mutex;
use url::Url;

use crate::conformance::{Case, Stage, ctx, password};
use crate::double::{Double, Fault, Got, Said, Vendor, decoded};
use crate::people::{EMAIL, OLD, People, Person};

const USER: &str = "9f425a8d-7efc-4768-8f23-7647a74fdf13";
const PLACE: &str = "/credentials/password/config/hashed_password";
/// What the tests set. Kratos knows hashes alone, so the double finds out by trying.
const PASSWORDS: [&str; 4] = ["New-pass-1!", "Newer-pass-1!", "Old-pass-1!", "weak"];

/// The double.
struct Kratos {
    hash: Mutex<String>,
}

impl Default for Kratos {
    fn default() -> Self {
        Self { hash: Mutex::new("$2a$12$of-the-old-password".into()) }
    }
}

fn error(status: u16, message: &str) -> Said {
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
        let text = PASSWORDS.into_iter().find(|text| is_hash_of(&hash, text)).unwrap();
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
        assert_eq!(got.header("authorization"), Some("Bearer ory_pat_x"));
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

fn kind(url: &Url) -> Kind {
    Kind::Kratos(KratosSettings {
        base_url: url.clone(),
        access_token: Some(AccessSecret::new("ory_pat_x".into())),
        email_trait: "email".into(),
    })
}

pub(crate) fn case() -> Case {
    Case {
        name: "kratos",
        user: USER,
        vendor: |people| Box::pin(Double::start(Kratos::default(), people)),
        kind,
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
