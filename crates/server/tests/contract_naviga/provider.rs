//! A tenant whose users are at Auth0 (a double of it): the password is set there and here, as one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use keyherald::app::{Call, CustomerRef};
use keyherald::connector::{self, AccessSecret, Auth0Settings, Connector, Kind, Limits, Net, Registry};
use keyherald::dialect::naviga::{AuthSystem, UserProvider};
use keyherald::operate::{Providers, Settings};
use keyherald_core::Micros;
use keyherald_core::activity::ActivityFacts;
use keyherald_core::customer::Customer;
use keyherald_core::id::{CustomerId, ProjectKey};
use keyherald_core::operation::State;
use keyherald_core::provider::{ProviderLink, ProviderName};
use keyherald_store::log::activity::Asked;
use keyherald_store::testing::{TestStore, block_on};
use keyherald_store::{Tx, credential, log, operation};
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::double::{Double, Fault, Got, Said, Vendor, decoded};
use crate::people::{NotSet, OLD, People, Person};
use crate::stage::{self, code, patch, patch_with};
use crate::support::{Answered, TestServer};

const USER: &str = "auth0|u1";
const NEW: &str = "New-pass-1!";

/// As much of Auth0's Management API as a password needs.
struct Auth0;

fn error(status: u16, message: &str) -> Said {
    Said::json(status, &json!({"statusCode": status, "error": "x", "message": message}))
}

impl Vendor for Auth0 {
    fn is_about_access(&self, got: &Got) -> bool {
        got.path() == "/oauth/token"
    }

    fn answer(&self, got: &Got, people: &mut People) -> Said {
        if got.path() == "/oauth/token" && got.json()["grant_type"] != "client_credentials" {
            let (login, password) = (got.json()["username"].clone(), got.json()["password"].clone());
            let is_theirs = |person: &Person| login == *person.email && password == *person.password;
            return if people.0.values().any(is_theirs) {
                Said::json(200, &json!({"access_token": "u", "token_type": "Bearer", "expires_in": 60}))
            } else {
                Said::json(403, &json!({"error": "invalid_grant", "error_description": "Wrong email or password."}))
            };
        }
        if got.path() == "/oauth/token" {
            return Said::json(200, &json!({"access_token": "t", "token_type": "Bearer", "expires_in": 86_400}));
        }
        assert_eq!(got.header("authorization"), Some("Bearer t"));
        if got.path() == "/api/v2/users-by-email" {
            return Said::json(200, &json!([]));
        }
        let rest = got.path().strip_prefix("/api/v2/users/").unwrap();
        let (id, what) = rest.split_once('/').unwrap_or((rest, ""));
        let id = decoded(id);
        if what == "revoke-access" {
            return Said { status: 204, headers: Vec::new(), body: String::new() };
        }
        if let Some(email) = got.json()["email"].as_str().filter(|_| got.method == "PATCH") {
            if people.has(email, Some(&id)) {
                return error(409, "The specified new email already exists");
            }
            let Some(person) = people.0.get_mut(&id) else { return error(404, "The user does not exist.") };
            email.clone_into(&mut person.email);
        } else if got.method == "PATCH" {
            match people.set(&id, got.json()["password"].as_str().unwrap()) {
                Ok(()) => {}
                Err(NotSet::Weak) => {
                    let text = got.json()["password"].as_str().unwrap().to_owned();
                    return error(400, &format!("PasswordStrengthError: Password {text} is too weak"));
                }
                Err(NotSet::Used) => return error(400, "PasswordHistoryError: Password has previously been used"),
                Err(_) => return error(404, "The user does not exist."),
            }
        }
        let Some(person) = people.0.get(&id) else { return error(404, "The user does not exist.") };
        let mut user =
            json!({"user_id": id, "email": person.email, "identities": [{"connection": "db", "provider": "auth0"}]});
        if person.changes > 0 {
            user["last_password_reset"] = format!("2026-11-22T10:00:{:02}.000Z", person.changes).into();
        }
        Said::json(200, &user)
    }
}

struct Stage {
    server: TestServer,
    double: Double,
    jo: Customer,
    _operations: JoinSet<()>,
}

fn demo() -> ProjectKey {
    "demo".parse().unwrap()
}

impl Stage {
    async fn new() -> Self {
        Self::with(true).await
    }

    async fn with(keep_local_hash: bool) -> Self {
        Self::that(keep_local_hash, false).await
    }

    /// One where a sign-in can be tried at the provider, or not.
    async fn that(keep_local_hash: bool, trial_sign_in: bool) -> Self {
        Self::sealing(keep_local_hash, trial_sign_in, true).await
    }

    /// One that keeps passwords sealed while they are set, or not at all.
    async fn sealing(keep_local_hash: bool, trial_sign_in: bool, seals: bool) -> Self {
        let double = Double::start(Auth0, People::of_one(USER)).await;
        let kind = Kind::Auth0(Auth0Settings {
            base_url: double.url.clone(),
            client_id: "client".into(),
            client_secret: AccessSecret::new("secret".into()),
            audience: None,
            connection: "db".into(),
            trial_sign_in,
        });
        let net = Net { allow_insecure_http: true, ..Net::default() };
        let limits = Limits { per_second: 10_000, burst: 10_000, ..Limits::default() };
        let connector: Arc<dyn Connector> = connector::open(connector::Settings { kind, net, limits }).unwrap();
        let name: ProviderName = "auth0-main".parse().unwrap();
        let providers = Providers {
            registry: Registry::of([(name.clone(), connector)]),
            of_projects: BTreeMap::from([(demo(), name.clone())]),
            unsealed: if seals { BTreeSet::new() } else { BTreeSet::from([demo()]) },
        };
        let settings = Settings {
            answer_within: Duration::from_millis(500),
            poll: Duration::from_millis(5),
            ..Settings::default()
        };
        let provider = UserProvider { name: name.clone(), prefix: Some("auth0|"), system: AuthSystem::AUTH0 };
        let server = stage::serve_with(providers, settings, provider, keep_local_hash).await;
        let (mut operations, performing) = (JoinSet::new(), server.app.operations.clone());
        operations.spawn(async move { performing.run(std::future::pending()).await.unwrap() });
        let jo = server.customer("u1@example.com", OLD).await;
        let call = Call::on(demo());
        let link = ProviderLink { provider: name, user: USER.parse().ok().unwrap() };
        assert!(server.app.link_customer(call, jo.id, link).await.unwrap());
        Self { server, double, jo, _operations: operations }
    }

    fn there(&self) -> String {
        self.double.people(|people| people.0[USER].password.clone())
    }

    async fn here(&self) -> Customer {
        let call = Call::on(demo());
        self.server.app.customer(call, CustomerRef::Id(self.jo.id)).await.unwrap()
    }

    async fn is_password_here(&self, password: &str) -> bool {
        let token = self.server.token("demo-client").await;
        let login = json!({"email": "u1@example.com", "password": password});
        self.server.json(&token, axum::http::Method::POST, "/demo/login", &login).await.status.is_success()
    }

    /// The ids of the events, in order.
    async fn events(&self) -> Vec<u32> {
        facts_of(&self.server, self.jo.id).await.iter().filter_map(|facts| facts.event_code()?.id).collect()
    }

    /// Lets time pass until the operations have ended.
    async fn settle(&self) {
        let deadline = Instant::now() + Duration::from_mins(1);
        loop {
            let open = self.server.app.list_operations(demo(), State::Open, None, 10).await.unwrap();
            let closing = self.server.app.list_operations(demo(), State::Closing, None, 10).await.unwrap();
            if open.is_empty() && closing.is_empty() {
                return;
            }
            assert!(Instant::now() < deadline, "operations never end");
            self.server.clock.advance(Micros::SECOND);
            sleep(Duration::from_millis(3)).await;
        }
    }
}

fn said(answered: &Answered) -> (u16, String, String) {
    let text = answered.json()["message"]["text"].as_str().unwrap_or_default().to_owned();
    (answered.status.as_u16(), code(answered), text)
}

fn three(status: u16, code: &str, text: &str) -> (u16, String, String) {
    (status, format!("UsersOrchestrator_{code}"), text.to_owned())
}

#[test]
fn a_change_is_made_there_and_here_with_its_four_events() {
    block_on(async {
        let stage = Stage::new().await;
        // With and without what Auth0's ids begin with.
        for (turn, crid) in ["auth0%7Cu1", "u1", "auth0|u1"].into_iter().enumerate() {
            let password = format!("{NEW}{turn}");
            let answered = patch(&stage.server, crid, &password).await;
            assert_eq!(said(&answered), three(200, "S200_11", "Update password completed."), "{crid}");
            assert_eq!(stage.there(), password);
            assert!(stage.is_password_here(&password).await);
        }
        stage.settle().await;
        let events = stage.events().await;
        let four: Vec<u32> = events.into_iter().filter(|id| [4601, 4001, 4609, 4010].contains(id)).collect();
        assert_eq!(four, [4601, 4001, 4609, 4010].repeat(3));
    });
}

#[test]
fn a_tenant_may_keep_no_hash_here() {
    block_on(async {
        let stage = Stage::with(false).await;
        assert_eq!(patch(&stage.server, "u1", NEW).await.status, 200);
        let id = stage.jo.id;
        let look = move |tx: &mut dyn Tx| credential::by_customer(tx, &demo(), id);
        assert!(stage.server.app.store.read(look).await.unwrap().is_none());
        assert_eq!((stage.there().as_str(), stage.here().await.version), (NEW, 2));
    });
}

#[test]
fn what_the_provider_says_about_a_password_reaches_the_user_without_the_password() {
    block_on(async {
        let stage = Stage::new().await;
        let short = "Abc-1";
        let answered = patch(&stage.server, "u1", short).await;
        let (status, code, text) = said(&answered);
        assert_eq!((status, code.as_str()), (400, "UsersOrchestrator_E400_00"));
        assert!(text.starts_with("Invalid InputModel - ") && text.contains("too weak"), "{text}");
        assert!(!text.contains(short), "{text}");
        let answered = patch(&stage.server, "u1", OLD).await;
        let (status, code, text) = said(&answered);
        assert_eq!((status, code.as_str()), (400, "UsersOrchestrator_E400_00"));
        assert!(text.contains("previously been used"), "{text}");
        assert_eq!((stage.there().as_str(), stage.here().await.version), (OLD, 1));
        // The old API has it in its envelope.
        let body = json!({"Password": short}).to_string();
        let put = stage.server.send(axum::http::Method::PUT, "/User/u1", &stage::headers(), body).await.json();
        assert_eq!(put["Errors"][0]["Code"], "Users00");
        assert!(put["Errors"][0]["Message"].as_str().unwrap().contains("too weak"), "{put}");
    });
}

#[test]
fn a_user_who_is_not_at_both_is_not_found() {
    block_on(async {
        let stage = Stage::new().await;
        let not_found = three(500, "E500_01", "There was a problem during the GetById workflow.");
        // Not here; the customer's own number names nobody where there is a provider.
        assert_eq!(said(&patch(&stage.server, "u2", NEW).await), not_found);
        let number = stage.jo.number.to_string();
        assert_eq!(said(&patch(&stage.server, &number, NEW).await), not_found);
        // Not there.
        stage.double.people(|people| people.0.clear());
        assert_eq!(said(&patch(&stage.server, "u1", NEW).await), not_found);
        assert_eq!(stage.here().await.version, 1);
    });
}

#[test]
fn a_look_up_that_fails_has_its_code_and_changes_nothing() {
    block_on(async {
        let stage = Stage::new().await;
        stage.double.next(Fault::Instead(error(503, "down")));
        let answered = patch(&stage.server, "u1", NEW).await;
        assert_eq!(said(&answered), three(500, "E500_01", "There was a problem during the GetById workflow."));
        assert_eq!((stage.there().as_str(), stage.here().await.version), (OLD, 1));
    });
}

#[test]
fn a_lost_answer_is_told_as_not_known_and_found_out_in_the_background() {
    block_on(async {
        let stage = Stage::new().await;
        let look = stage.double.got().len();
        stage.double.next(Fault::AppliedBut(Said::json(
            200,
            &json!({"user_id": USER, "identities": [{"connection": "db", "provider": "auth0"}]}),
        )));
        stage.double.next(Fault::Cut);
        for _ in 0..6 {
            stage.double.next(Fault::Instead(error(503, "down")));
        }
        let answered = patch_with(&stage.server, "u1", NEW, &[("idempotency-key", "k")]).await;
        assert_eq!(said(&answered), three(500, "E500", "Internal Server Error"));
        assert!(stage.double.got().len() > look);
        assert_eq!(stage.there(), NEW, "applied, and the line was cut");
        // Another password has to wait, and is told the same; nothing of it is sent.
        assert_eq!(said(&patch(&stage.server, "u1", "Other-pass-1!").await).0, 500);
        stage.settle().await;
        assert_eq!((stage.there().as_str(), stage.here().await.version), (NEW, 2));
        assert!(stage.is_password_here(NEW).await);
        // The same request again has the answer that it would have had.
        let again = patch_with(&stage.server, "u1", NEW, &[("idempotency-key", "k")]).await;
        assert_eq!(said(&again), three(200, "S200_11", "Update password completed."));
        assert_eq!(stage.here().await.version, 2);
        let other = patch_with(&stage.server, "u1", "Other-pass-1!", &[("idempotency-key", "k")]).await;
        assert_eq!(code(&other), "UsersOrchestrator_E400_00");
    });
}

/// `PATCH .../Email`.
async fn patch_email(stage: &Stage, email: &str) -> Answered {
    let body = json!({"email": email}).to_string();
    stage.server.send(axum::http::Method::PATCH, "/v4/Users/u1/Email", &stage::headers(), body).await
}

fn email_there(stage: &Stage) -> String {
    stage.double.people(|people| people.0[USER].email.clone())
}

#[test]
fn an_address_is_set_there_and_here_with_its_four_events() {
    block_on(async {
        let stage = Stage::new().await;
        let answered = patch_email(&stage, "new@example.com").await;
        assert_eq!(said(&answered), three(200, "S200_12", "Update Email completed."));
        assert_eq!(
            (email_there(&stage).as_str(), stage.here().await.email.as_str()),
            ("new@example.com", "new@example.com")
        );
        assert_eq!(stage.events().await, [4601, 4001, 4610, 4011]);
    });
}

#[test]
fn an_address_that_is_taken_at_either_side_is_refused_and_changes_neither() {
    block_on(async {
        let stage = Stage::new().await;
        let taken = three(400, "E400_08", "The email is already in use by another user");
        stage.double.people(|people| people.add("auth0|u2", Person::new("there@example.com", OLD)).unwrap());
        assert_eq!(said(&patch_email(&stage, "there@example.com").await), taken);
        stage.server.customer("here@example.com", OLD).await;
        let asked = stage.double.got().len();
        assert_eq!(said(&patch_email(&stage, "here@example.com").await), taken);
        assert_eq!(stage.double.got().len(), asked, "the provider is not bothered");
        assert_eq!((email_there(&stage).as_str(), stage.here().await.version), ("u1@example.com", 1));
    });
}

#[test]
fn a_lost_answer_about_an_address_is_found_out_or_healed_by_a_repeat() {
    block_on(async {
        let stage = Stage::new().await;
        // Applied, the line cut: the look afterwards tells.
        let look = || Said::json(200, &json!({"user_id": USER, "email": "u1@example.com"}));
        stage.double.next(Fault::Instead(look()));
        stage.double.next(Fault::Cut);
        assert_eq!(patch_email(&stage, "one@example.com").await.status, 200);
        assert_eq!(
            (email_there(&stage).as_str(), stage.here().await.email.as_str()),
            ("one@example.com", "one@example.com")
        );
        // The look fails too: told as not known, done there and not here.
        stage.double.next(Fault::Instead(look()));
        stage.double.next(Fault::Cut);
        stage.double.next(Fault::Instead(error(503, "down")));
        assert_eq!(said(&patch_email(&stage, "two@example.com").await), three(500, "E500", "Internal Server Error"));
        assert_eq!(
            (email_there(&stage).as_str(), stage.here().await.email.as_str()),
            ("two@example.com", "one@example.com")
        );
        assert_eq!(patch_email(&stage, "two@example.com").await.status, 200);
        assert_eq!(
            (email_there(&stage).as_str(), stage.here().await.email.as_str()),
            ("two@example.com", "two@example.com")
        );
    });
}

#[test]
fn many_addresses_at_once_end_with_the_same_there_and_here() {
    block_on(async {
        let stage = Stage::new().await;
        let all: Vec<String> = (0..6).map(|number| format!("n{number}@example.com")).collect();
        futures_util::future::join_all(all.iter().map(|email| patch_email(&stage, email))).await;
        // Whoever gave up was told so; the next one sets both right.
        assert_eq!(patch_email(&stage, "last@example.com").await.status, 200);
        assert_eq!(
            (email_there(&stage).as_str(), stage.here().await.email.as_str()),
            ("last@example.com", "last@example.com")
        );
    });
}

async fn authenticate(stage: &Stage, login: &str, password: &str) -> Answered {
    let body = json!({"loginName": login, "password": password}).to_string();
    stage.server.send(axum::http::Method::POST, "/v4/Users/Authentication", &stage::headers(), body).await
}

#[test]
fn a_sign_in_is_tried_there_where_it_can_be_and_else_here() {
    block_on(async {
        for (trial, expected) in [(true, vec![4605, 4001, 4006]), (false, vec![4001, 4006])] {
            let stage = Stage::that(true, trial).await;
            let answered = authenticate(&stage, "U1@example.com", OLD).await;
            assert_eq!(said(&answered), three(200, "S200", "Authentication completed."), "{trial}");
            assert_eq!(answered.json()["data"]["customerRegistrationId"], USER);
            assert_eq!(answered.json()["data"]["state"], "Standard");
            let refused = three(400, "E400", "Bad Request");
            assert_eq!(said(&authenticate(&stage, "u1@example.com", "wrong").await), refused);
            assert_eq!(said(&authenticate(&stage, "nobody@example.com", OLD).await), refused);
            // Who is here and not there is nobody.
            stage.server.customer("here@example.com", OLD).await;
            assert_eq!(said(&authenticate(&stage, "here@example.com", OLD).await), refused);
            assert_eq!(stage.events().await, expected.repeat(2), "{trial}");
        }
    });
}

#[test]
fn a_provider_that_cannot_be_asked_is_no_wrong_password() {
    block_on(async {
        let stage = Stage::that(true, true).await;
        for _ in 0..2 {
            stage.double.next(Fault::Instead(error(503, "down")));
        }
        assert_eq!(
            said(&authenticate(&stage, "u1@example.com", OLD).await),
            three(500, "E500", "Internal Server Error")
        );
    });
}

/// `POST /v4/Users/ForgotPassword/..`, `path` being the rest.
async fn forgot(stage: &Stage, path: &str, body: &serde_json::Value) -> Answered {
    let path = format!("/v4/Users/ForgotPassword{path}");
    stage.server.send(axum::http::Method::POST, &path, &stage::headers(), body.to_string()).await
}

async fn event_of(stage: &Stage) -> String {
    let started = forgot(stage, "", &json!({"loginName": "u1@example.com"})).await;
    started.json()["data"]["encryptedEventId"].as_str().unwrap().to_owned()
}

#[test]
fn a_forgotten_password_is_replaced_there_and_here_and_the_event_consumed_with_it() {
    block_on(async {
        for keeps_hash in [true, false] {
            let stage = Stage::with(keeps_hash).await;
            let event = event_of(&stage).await;
            // A refusal consumes nothing.
            let weak = forgot(&stage, "/Finish", &json!({"encryptedEventId": event, "password": "Abc-1"})).await;
            assert_eq!(code(&weak), "UsersOrchestrator_E400_00");
            assert_eq!(stage.there(), OLD);
            let done = forgot(&stage, "/Finish", &json!({"encryptedEventId": event, "password": NEW})).await;
            assert_eq!(said(&done), three(200, "S200_10", "Finish ForgotPassword completed."));
            assert_eq!((stage.there().as_str(), stage.here().await.version), (NEW, 2));
            assert_eq!(stage.is_password_here(NEW).await, keeps_hash);
            let again = forgot(&stage, "/Finish", &json!({"encryptedEventId": event, "password": "Other-1!"})).await;
            assert_eq!(said(&again), three(400, "E400", "Bad Request"));
            stage.settle().await;
            let events = stage.events().await;
            assert_eq!(events.first(), Some(&4009));
            let change: Vec<_> = events.iter().filter(|id| [4609, 4010].contains(id)).collect();
            assert_eq!(change, [&4609, &4609, &4010], "one refused, one done");
        }
    });
}

#[test]
fn an_event_stays_while_the_outcome_is_not_known() {
    block_on(async {
        let stage = Stage::new().await;
        let event = event_of(&stage).await;
        let look = Said::json(200, &json!({"user_id": USER, "identities": [{"connection": "db"}]}));
        stage.double.next(Fault::AppliedBut(look));
        stage.double.next(Fault::Cut);
        for _ in 0..6 {
            stage.double.next(Fault::Instead(error(503, "down")));
        }
        let finish = json!({"encryptedEventId": event, "password": NEW});
        assert_eq!(said(&forgot(&stage, "/Finish", &finish).await), three(500, "E500", "Internal Server Error"));
        let valid = forgot(&stage, "/Validate", &json!({"encryptedEventId": event})).await;
        assert_eq!(code(&valid), "UsersOrchestrator_S200_09", "it is reserved, and not consumed");
        stage.settle().await;
        assert_eq!((stage.there().as_str(), stage.here().await.version), (NEW, 2));
        let valid = forgot(&stage, "/Validate", &json!({"encryptedEventId": event})).await;
        assert_eq!(code(&valid), "UsersOrchestrator_E400");
    });
}

#[test]
fn a_password_that_is_not_kept_is_looked_after_and_not_repeated() {
    block_on(async {
        for (seals, is_applied) in [(true, true), (false, true), (false, false)] {
            let stage = Stage::sealing(true, false, seals).await;
            let look = Said::json(200, &json!({"user_id": USER, "identities": [{"connection": "db"}]}));
            stage.double.next(Fault::Instead(look));
            stage.double.next(if is_applied { Fault::Cut } else { Fault::Instead(error(503, "down")) });
            for _ in 0..6 {
                stage.double.next(Fault::Instead(error(503, "down")));
            }
            assert_eq!(said(&patch(&stage.server, "u1", NEW).await), three(500, "E500", "Internal Server Error"));
            let open = stage.server.app.list_operations(demo(), State::Open, None, 10).await.unwrap();
            let [open] = open.as_slice() else { panic!("{} are open", open.len()) };
            let (ring, id, now) = (stage.server.app.ring.clone(), open.id, open.began_at);
            let look = move |tx: &mut dyn Tx| operation::password(tx, &ring, &demo(), id, now);
            assert_eq!(stage.server.app.store.read(look).await.unwrap().is_some(), seals);
            stage.settle().await;
            let (there, version) = if is_applied { (NEW, 2) } else { (OLD, 1) };
            assert_eq!((stage.there().as_str(), stage.here().await.version), (there, version), "{seals} {is_applied}");
        }
    });
}

#[test]
fn the_same_request_twice_at_once_is_one_change() {
    block_on(async {
        let stage = Stage::new().await;
        let send = || patch_with(&stage.server, "u1", NEW, &[("idempotency-key", "k")]);
        let (one, two, three) = tokio::join!(send(), send(), patch(&stage.server, "u1", NEW));
        for answered in [one, two, three] {
            let known = [200, 400].contains(&answered.status.as_u16());
            assert!(known, "{answered:?}");
        }
        stage.settle().await;
        assert_eq!((stage.there().as_str(), stage.here().await.version), (NEW, 2));
        assert_eq!(stage.double.people(|people| people.0[USER].changes), 1);
    });
}

#[test]
fn without_a_provider_a_change_leaves_the_events_of_the_own_database_and_from_where_it_came() {
    block_on(async {
        let server = stage::serve(TestStore::sqlite().await).await;
        let jo = server.customer("jo@example.com", "first-password").await;
        assert_eq!(patch(&server, &jo.number.to_string(), NEW).await.status, 200);
        let facts = facts_of(&server, jo.id).await;
        let ids: Vec<_> = facts.iter().filter_map(|facts| facts.event_code()?.id).collect();
        assert_eq!(ids, [4001, 4010]);
        for facts in &facts {
            assert_eq!(facts.source.system.as_ref().unwrap().as_str(), "ExternalSystem");
            assert_eq!(facts.source.tenant.as_ref().unwrap().paper.as_str(), "PAPER");
            assert!(facts.source.correlation_id.is_some());
        }
    });
}

/// What is written of a customer's calls, in order.
async fn facts_of(server: &TestServer, customer: CustomerId) -> Vec<ActivityFacts> {
    let asked = Asked { customer: Some(customer), after: None, limit: 100 };
    let look = move |tx: &mut dyn Tx| log::activity::read(tx, &demo(), &asked, Micros(0), i64::MAX);
    let found = server.app.store.read(look).await.unwrap();
    found.into_iter().map(|entry| entry.activity.facts).collect()
}
