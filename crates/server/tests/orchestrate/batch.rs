//! Several cells on one server, each with a project and a provider of its own: set up, played at the same time, and
//! looked at when the server was killed and started again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use keyherald_core::Ctx;
use keyherald_core::activity::ActivityFacts;
use keyherald_core::id::{CustomerId, ProjectKey};
use keyherald_core::message::Flow;
use keyherald_core::operation::State;
use keyherald_store::tx::{query_all, query_one};
use keyherald_store::{Sql, Store, Tx, log};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::act::{Actor, Deaths, MOVED, Whom};
use crate::api;
use crate::black_box::receiver::{Delivery, Reply, serve};
use crate::cell::{Cell, Meddling};
use crate::engine::Engine;
use crate::evidence::{Evidence, Stand, Told, Verdict, Which, judge};
use crate::leaks;
use crate::provider::Provider;
use crate::server::{Running, Site};
use crate::set_up::set_up;

/// Longest wait until nothing is to be done any more: longer than a password is
/// kept and looked for.
const PATIENCE: Duration = Duration::from_mins(4);
/// Longest wait for messages.
const DELIVERY_WAIT: Duration = Duration::from_secs(30);

/// What became of a cell: its messages, and how it ended.
pub struct Outcome {
    pub cell: Cell,
    pub messages: (usize, usize, usize),
    pub verdict: Result<Verdict, Vec<String>>,
    pub was_deleted: bool,
    /// For whoever looks for a defect.
    pub evidence: String,
}

/// Ids of the messages that arrived, by project.
type Arrivals = Arc<Mutex<BTreeMap<String, BTreeSet<String>>>>;

/// Plays the cells and looks what became of them.
pub async fn play(engine: &Engine, cells: &[Cell], chance: &mut Ctx) -> Vec<Outcome> {
    let mut site = Site::new(engine.store());
    let arrivals = Arrivals::default();
    let mut receiving = JoinSet::new();
    let webhook = receive(&arrivals, &mut receiving).await;
    let (store, mut actors, providers) = set_up(&site, cells).await;
    let mut server = site.start();
    let http = api::http();
    for actor in &mut actors {
        actor.enter(&http, &server.url, &webhook).await;
    }

    let told = if cells.iter().any(Cell::is_killed) {
        let deaths = Deaths::draw(&actors, chance);
        let told = deaths.play(&actors, server).await;
        server = site.start();
        settle(&store).await;
        told
    } else {
        let told = futures_util::future::join_all(actors.iter().map(Actor::play)).await;
        settle(&store).await;
        drop(server);
        server = site.start();
        told
    };
    let (mut found, mut played) = (Vec::new(), Vec::new());
    for ((actor, provider), told) in actors.iter().zip(&providers).zip(told) {
        let at = actor.at(&server.url);
        let (evidence, was_meddled_with) = look(&store, &at, &**provider, told, &arrivals).await;
        found.push(evidence);
        played.push(actor.script.was_played().and(was_meddled_with));
    }
    close(&store, server).await;
    note_leaks(engine, &site, &actors, &mut found);
    let outcome = |((actor, found), played): ((Actor, Evidence), Result<(), String>)| Outcome {
        cell: actor.cell,
        messages: found.messages,
        verdict: played.map_err(|what| vec![what]).and_then(|()| judge(&found)),
        was_deleted: !found.customer_is_there,
        evidence: format!("{found:?}"),
    };
    actors.into_iter().zip(found).zip(played).map(outcome).collect()
}

/// Ends the server, and our own view of its database.
async fn close(store: &Store, server: Running) {
    drop(server);
    store.close().await;
}

async fn receive(arrivals: &Arrivals, receiving: &mut JoinSet<()>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let webhook = format!("http://{}/messages", listener.local_addr().unwrap());
    let arrivals = arrivals.clone();
    receiving.spawn(serve(listener, move |delivery: Delivery| {
        let arrivals = arrivals.clone();
        async move {
            let body: Value = serde_json::from_slice(&delivery.body).unwrap_or_default();
            let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
            if text("type") == "CustomerPasswordUpdated" {
                arrivals.lock().unwrap().entry(text("projectKey")).or_default().insert(text("id"));
            }
            Reply::Status(204)
        }
    }));
    webhook
}

/// Waits until no operation is due any more, or patience ends: what is open then counts as such.
async fn settle(store: &Store) {
    let due = Sql::both("DUE", "SELECT count(*) FROM operation WHERE due_at IS NOT NULL");
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        let due = due.clone();
        let left = store.read(move |tx| query_one(tx, &due, &[], |row| row.int(0))).await.unwrap();
        if left == Some(0) {
            return;
        }
        sleep(Duration::from_millis(50)).await;
    }
}

/// Everything about one cell but the leaks, and whether it was played as far as the customer shows it.
async fn look(
    store: &Store,
    actor: &Actor,
    provider: &dyn Provider,
    told: Told,
    arrivals: &Arrivals,
) -> (Evidence, Result<(), String>) {
    let (project, customer) = (actor.project.clone(), actor.whom.customer);
    let Whom { email, old, new, .. } = &actor.whom;
    let operations = operations(store, &project).await;
    let shown = actor.client.get(&format!("/customers/{customer}")).await.unwrap();
    let here = which(actor.client.signs_in(email, old).await, actor.client.signs_in(email, new).await);
    let there = which(provider.has(old).await, provider.has(new).await);
    let told_here = actor.client.updates().await;
    let arrived = || arrivals.lock().unwrap().get(project.as_str()).cloned().unwrap_or_default();
    let all_arrived = async {
        while !told_here.iter().all(|id| arrived().contains(id)) {
            sleep(Duration::from_millis(20)).await;
        }
    };
    let _in_time = timeout(DELIVERY_WAIT, all_arrived).await;
    let arrived = arrived();
    let of_log = told_here.iter().filter(|id| arrived.contains(*id)).count();
    let (activity, diverged) = activity(store, &project, customer).await;
    let moved = actor.cell.meddling == Meddling::Moved && !actor.cell.is_killed();
    let was_moved = !moved || shown.1["middleName"] == MOVED;
    let was_meddled_with = if was_moved { Ok(()) } else { Err("the customer's version was not moved".to_owned()) };
    let evidence = Evidence {
        told,
        operations,
        customer_is_there: shown.0 == 200,
        signs_in_here: shown.1["authenticationMode"] == "Password",
        before: actor.before(),
        there,
        here,
        messages: (told_here.len(), of_log, arrived.len()),
        activity,
        alerts: (0, diverged),
        leaks: Vec::new(),
        must_be_done: actor.cell.must_be_done(),
        is_clean: told == Told::Done && actor.went_straight(),
    };
    (evidence, was_meddled_with)
}

fn which(old: bool, new: bool) -> Which {
    match (old, new) {
        (true, false) => Which::Old,
        (false, true) => Which::New,
        (false, false) => Which::Neither,
        (true, true) => Which::Both,
    }
}

async fn operations(store: &Store, project: &ProjectKey) -> Vec<Stand> {
    let sql = Sql::both(
        "OPERATIONS",
        "SELECT state, CASE WHEN sealed IS NULL AND hash IS NULL THEN 0 ELSE 1 END FROM operation WHERE project = $1
         ORDER BY began_at, id",
    );
    let project = project.clone();
    let read = move |tx: &mut dyn Tx| {
        query_all(tx, &sql, &[(&project).into()], |row| {
            Ok(Stand { state: state(&row.text(0)?), holds_secret: row.flag(1)? })
        })
    };
    store.read(read).await.unwrap()
}

fn state(text: &str) -> State {
    use State::{Closing, Committed, Diverged, Gone, Open, Released, Resolved};
    let states = [Open, Closing, Committed, Released, Gone, Diverged, Resolved];
    states.into_iter().find(|state| state.as_str() == text).unwrap_or_else(|| panic!("no state: {text}"))
}

/// The documented events of the calls, in order, and how many divergences were noted.
async fn activity(store: &Store, project: &ProjectKey, customer: CustomerId) -> (Vec<(u32, String)>, usize) {
    let project = project.clone();
    let asked = log::activity::Asked { customer: Some(customer), after: None, limit: 1000 };
    let look = move |tx: &mut dyn Tx| log::activity::read(tx, &project, &asked, keyherald_core::Micros(0), i64::MAX);
    let entries = store.read(look).await.unwrap();
    let facts = entries.into_iter().map(|entry| entry.activity.facts);
    // Sign-ins are this test's own.
    let steps: Vec<_> = facts.filter(|facts| facts.step.is_some() && facts.flow != Flow::SignIn).collect();
    let diverged = steps.iter().filter(|facts| facts.outcome == "diverged").count();
    let event = |facts: ActivityFacts| Some((facts.event_code()?.id?, facts.outcome));
    (steps.into_iter().filter_map(event).collect(), diverged)
}

/// Adds what the logs and the database say when everything is over.
fn note_leaks(engine: &Engine, site: &Site, actors: &[Actor], found: &mut [Evidence]) {
    let logs = site.logs();
    for (actor, found) in actors.iter().zip(found.iter_mut()) {
        let of_it = format!("\"project\":\"{}\"", actor.project);
        let is_alert = |line: &&str| line.contains("operation_diverged") && line.contains(&of_it);
        found.alerts.0 = logs.lines().filter(is_alert).count();
    }
    if let Some(first) = found.first_mut() {
        first.leaks = leaks::of_logs(&logs);
        first.leaks.extend(leaks::of_data(&site.data()));
        if let Some(url) = engine.store() {
            first.leaks.extend(leaks::of_postgres(&url));
        }
    }
}
