//! What is done in one cell: the change is asked for, somebody meddles with the customer, and the process dies.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use keyherald_core::Ctx;
use keyherald_core::id::{CustomerId, ProjectKey};
use serde_json::json;
use tokio::join;
use tokio::time::{sleep, timeout};

use crate::api::Client;
use crate::cell::{Cell, Meddling, Mishap, Moment, Verb};
use crate::double::Point;
use crate::evidence::{Told, Which};
use crate::script::Script;
use crate::server::Running;

/// Longest wait for the step that something happens in.
const STEP_WAIT: Duration = Duration::from_secs(15);
/// How long a step is held for a deletion, which waits for the operation itself.
const DELETION_HOLD: Duration = Duration::from_millis(200);
/// How often a caller asks again who was told to come back.
const ASKED_AGAIN_MAX: usize = 10;
/// How often a version is moved that moves by itself at that moment.
const MOVED_AGAIN_MAX: usize = 100;
/// The middle name that a customer is given whose version is moved: no provider is told of that.
pub const MOVED: &str = "Moved";
/// The process dies at most so long after an answer.
const AFTER_ANSWER_MAX_MS: u64 = 30;

/// Whose password it is.
#[derive(Clone)]
pub struct Whom {
    pub customer: CustomerId,
    /// The id at the provider.
    pub user: String,
    pub email: String,
    pub old: String,
    pub new: String,
}

/// A cell, and whom it is about.
#[derive(Clone)]
pub struct Actor {
    pub cell: Cell,
    pub script: Arc<Script>,
    pub project: ProjectKey,
    pub whom: Whom,
    pub client: Client,
    credentials: (String, String),
    reset_token: String,
    /// How often the change was asked for.
    asked: Arc<AtomicUsize>,
}

impl Actor {
    pub fn new(
        cell: Cell,
        script: Arc<Script>,
        (project, credentials): (ProjectKey, (String, String)),
        whom: Whom,
    ) -> Self {
        let (client, reset_token) = (Client::nowhere(), String::new());
        Self { cell, script, project, whom, client, credentials, reset_token, asked: Arc::default() }
    }

    /// Signs in as an API client, subscribes, and gets what its verb needs.
    pub async fn enter(&mut self, http: &reqwest::Client, url: &str, webhook: &str) {
        self.client = Client::new(http, url, self.project.as_str(), &self.credentials).await;
        let destination =
            json!({"type": "Webhook", "url": webhook, "secret": "whsec_b3JjaGVzdHJhdGUtd2ViaG9vay1zZWNyZXQ="});
        let draft = json!({"destination": destination, "messages": [{"resourceTypeId": "customer"}]});
        let (status, said) = self.client.post("/subscriptions", &draft).await.unwrap();
        assert_eq!(status, 201, "{said}");
        if self.cell.verb == Verb::Reset {
            let made = self.client.post("/customers/password-token", &json!({"email": self.whom.email})).await.unwrap();
            made.1["value"].as_str().unwrap().clone_into(&mut self.reset_token);
        }
    }

    /// As an API client at this server.
    pub async fn signed_in(&self, http: &reqwest::Client, url: &str) -> Client {
        Client::new(http, url, self.project.as_str(), &self.credentials).await
    }

    /// The same at a server that was started again.
    pub fn at(&self, url: &str) -> Self {
        Self { client: self.client.at(url), ..self.clone() }
    }

    /// The password that signs in before anything happens.
    pub fn before(&self) -> Which {
        if self.cell.verb == Verb::Set { Which::Neither } else { Which::Old }
    }

    /// Whether nothing went wrong and nothing was done twice.
    pub fn went_straight(&self) -> bool {
        (self.cell.mishap, self.cell.meddling) == (Mishap::None, Meddling::None)
            && self.script.went_straight()
            && self.asked.load(Ordering::Relaxed) == 1
    }

    /// Asks for the change, and meddles. To be played while nobody is killed.
    pub async fn play(&self) -> Told {
        let asking = async {
            let mut told = self.ask().await;
            for _ in 0..ASKED_AGAIN_MAX {
                if !self.cell.must_be_done() || told != Told::ComeBack {
                    break;
                }
                sleep(Duration::from_secs(1)).await;
                told = self.ask().await;
            }
            told
        };
        let meddling = async {
            let _in_time = timeout(STEP_WAIT, self.script.comes(Point::Came)).await;
            self.meddle().await;
            self.script.open();
        };
        join!(asking, meddling).0
    }

    /// Asks for the change; again if a busy server refuses it before anything has happened.
    async fn ask(&self) -> Told {
        for _ in 1..ASKED_AGAIN_MAX {
            let told = self.ask_once().await;
            if told != Told::ComeBack || self.script.has_come() {
                return told;
            }
            sleep(Duration::from_secs(1)).await;
        }
        self.ask_once().await
    }

    async fn ask_once(&self) -> Told {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let Whom { customer, user, old, new, .. } = &self.whom;
        let customer = customer.to_string();
        let answer = match self.cell.verb {
            Verb::Change => {
                let body = json!({"id": customer, "version": 1, "currentPassword": old, "newPassword": new});
                self.client.post("/customers/password", &body).await
            }
            Verb::Reset => {
                let body = json!({"tokenValue": self.reset_token, "newPassword": new});
                self.client.post("/customers/password/reset", &body).await
            }
            Verb::Naviga | Verb::Old => {
                let number = self.project.as_str().trim_start_matches('c');
                let is_old = self.cell.verb == Verb::Old;
                let status = self.client.set_by_naviga(is_old, &format!("P{number}"), user, new).await;
                // The contract has no other word for what is not known.
                return if status == Some(500) { Told::ComeBack } else { Told::of(status) };
            }
            Verb::Set => {
                let action = json!({"action": "setAuthenticationMode", "authMode": "Password", "password": new});
                let body = json!({"version": 1, "actions": [action]});
                self.client.post(&format!("/customers/{customer}"), &body).await
            }
        };
        Told::of(answer.map(|(status, _)| status))
    }

    /// What somebody else does to the customer; the step goes on meanwhile if that waits for the operation.
    async fn meddle(&self) {
        match self.cell.meddling {
            Meddling::None => {}
            Meddling::Moved => self.move_version().await,
            Meddling::Deleted => {
                let held = async {
                    sleep(DELETION_HOLD).await;
                    self.script.open();
                };
                join!(self.delete(), held);
            }
        }
    }

    async fn move_version(&self) {
        let customer = self.whom.customer.to_string();
        for _ in 0..MOVED_AGAIN_MAX {
            if let Some(version) = self.client.version(&customer).await {
                let actions = json!([{"action": "setMiddleName", "middleName": MOVED}]);
                let body = json!({"version": version, "actions": actions});
                if !matches!(self.client.post(&format!("/customers/{customer}"), &body).await, Some((409 | 503, _))) {
                    return;
                }
            }
            sleep(Duration::from_millis(20)).await;
        }
    }

    async fn delete(&self) {
        for _ in 0..3 {
            let Some(version) = self.client.version(&self.whom.customer.to_string()).await else { return };
            let path = format!("/customers/{}?version={version}", self.whom.customer);
            if !matches!(self.client.delete(&path).await, Some((409 | 503, _))) {
                return;
            }
        }
    }

    /// Returns when the process may die as far as this cell is concerned.
    async fn comes_to_its_end(&self) {
        let point = match self.cell.mishap {
            Mishap::Death(_, Moment::Applied | Moment::Answered) => Point::Applied,
            _ => Point::Came,
        };
        let _in_time = timeout(STEP_WAIT, self.script.comes(point)).await;
        match self.cell.meddling {
            // It would open the gate.
            Meddling::Deleted => {
                let _waits = timeout(DELETION_HOLD, self.delete()).await;
            }
            _ => self.meddle().await,
        }
    }
}

/// One death for several cells, each at its own moment.
pub struct Deaths {
    /// For each cell, when it gets its answer if it gets one, in milliseconds from when all are at their moment.
    answers_ms: Vec<u64>,
}

impl Deaths {
    pub fn draw(actors: &[Actor], chance: &mut Ctx) -> Self {
        Self { answers_ms: actors.iter().map(|_| chance.number() % AFTER_ANSWER_MAX_MS).collect() }
    }

    /// Asks for every change, kills the server when each is at its moment, and tells what the callers heard.
    pub async fn play(&self, actors: &[Actor], server: Running) -> Vec<Told> {
        let killing = async {
            join_all(actors.iter().map(Actor::comes_to_its_end)).await;
            let answering = actors.iter().zip(&self.answers_ms).map(async |(actor, after)| {
                if matches!(actor.cell.mishap, Mishap::Death(_, Moment::Answered)) {
                    sleep(Duration::from_millis(*after)).await;
                    actor.script.open();
                }
            });
            join!(join_all(answering), sleep(Duration::from_millis(AFTER_ANSWER_MAX_MS)));
            drop(server);
            for actor in actors {
                actor.script.open();
            }
        };
        join!(join_all(actors.iter().map(Actor::ask)), killing).0
    }
}
