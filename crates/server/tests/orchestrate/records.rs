//! What a death leaves of a record that is written at the provider and here: an e-mail address, a name, and a new user. None
//! is an operation: the next read of the user, or a repeat of the request, goes on where it ended; and with neither, the
//! next server finds it out by itself.

use std::time::Duration;

use futures_util::future::join_all;
use keyherald_core::Ctx;
use keyherald_core::Micros;
use keyherald_store::testing::options;
use keyherald_store::tx::query_one;
use keyherald_store::{Sql, Store};
use serde_json::{Value, json};
use tokio::join;
use tokio::time::{Instant, sleep};

use crate::act::Actor;
use crate::api;
use crate::cell::{Cell, Meddling, Mishap, Moment, Step, Verb};
use crate::double::Point;
use crate::engine::Engine;
use crate::provider::Connector;
use crate::server::Site;
use crate::set_up::set_up;
use crate::{auth0, gigya, vendor_auth0, vendor_gigya};

/// Nothing leads there, so that each request comes to the provider as itself.
const PAPER: &str = "P0";

/// Where records are written.
#[derive(Clone, Copy)]
struct At {
    connector: &'static Connector,
    /// The user there.
    user: &'static str,
    /// The id of the one who is made.
    made: &'static str,
}

const AUTH0: At = At { connector: &auth0::CONNECTOR, user: vendor_auth0::USER, made: "auth0|made-by-auth0" };
const GIGYA: At = At { connector: &gigya::CONNECTOR, user: vendor_gigya::USER, made: "made-by-gigya" };

/// At Auth0 the address is set by a PATCH, as passwords are, and a user is made by a POST, as sessions are ended; at Gigya
/// it is taken for that. By these the script knows the request that it holds.
const MOMENTS: [Moment; 4] = [Moment::Came, Moment::AppliedAfter, Moment::Applied, Moment::Answered];

/// What comes after the death.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    /// The same request again.
    Repeat,
    /// A read of the user.
    Read,
}

/// What is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Address,
    Name,
    User,
}

/// Longest wait until a server has found out: the life of an attempt, and what a busy machine adds.
const FINDS_OUT: Duration = Duration::from_mins(2);

struct Stage {
    site: Site,
    actor: Actor,
    engine: Engine,
    _keeps: Box<dyn std::any::Any>,
}

impl Stage {
    async fn new(at: At, engine: Engine, step: Step, moment: Moment) -> Self {
        let mishap = Mishap::Death(step, moment);
        let (verb, meddling) = (Verb::Naviga, Meddling::None);
        let cell = Cell { number: 0, connector: at.connector, verb, mishap, meddling };
        let site = Site::new(engine.store());
        let (store, mut actors, providers) = set_up(&site, &[cell]).await;
        store.close().await;
        let actor = actors.remove(0);
        Self { site, actor, engine, _keeps: Box::new(providers) }
    }

    /// Makes the request, kills the server where the script says, and starts another one.
    async fn dies_in(&mut self, method: &str, path: &str, body: &Value) -> crate::server::Running {
        let server = self.site.start();
        let caller = api::Client::naviga(&server.url, PAPER);
        let script = self.actor.script.clone();
        let (point, opens) = match self.actor.cell.mishap {
            Mishap::Death(_, moment @ (Moment::Applied | Moment::Answered)) => {
                (Point::Applied, moment == Moment::Answered)
            }
            _ => (Point::Came, false),
        };
        let killing = async {
            script.comes(point).await;
            if opens {
                script.open();
                script.comes(Point::Answered).await;
            }
            drop(server);
            script.open();
        };
        let (_lost, ()) = join!(caller.call(method, path, body), killing);
        self.site.start()
    }
}

async fn an_address(at: At, engine: Engine, moment: Moment, then: Then) {
    let mut stage = Stage::new(at, engine, Step::Set, moment).await;
    let user = at.user.replace('|', "%7C");
    let (path, body) = (format!("/v4/Users/{user}/Email"), json!({"email": "new@example.com"}));
    let server = stage.dies_in("PATCH", &path, &body).await;
    let caller = api::Client::naviga(&server.url, PAPER);
    if then == Then::Repeat {
        let (status, said) = caller.call("PATCH", &path, &body).await.unwrap();
        assert_eq!(status, 200, "{moment:?}: {said}");
    }
    let shown = caller.call("GET", &format!("/v4/Users/{user}"), &Value::Null).await.unwrap().1;
    let there = shown["data"]["email"].as_str().unwrap().to_owned();
    let http = api::http();
    let client = stage.actor.signed_in(&http, &server.url).await;
    let here = client.get(&format!("/customers/{}", stage.actor.whom.customer)).await.unwrap().1;
    // One of the two, and the same in both; the new one if it was ever said to be done.
    assert_eq!(here["email"], there.as_str(), "{moment:?} {then:?}");
    assert!(there == "new@example.com" || (then == Then::Read && there == stage.actor.whom.email), "{there}");
    let applied = matches!(moment, Moment::Applied | Moment::Answered);
    assert!(!applied || there == "new@example.com", "{moment:?} {then:?}: {there}");
    drop(server);
    drop(stage.engine);
}

async fn a_user(at: At, engine: Engine, moment: Moment, then: Then) {
    let mut stage = Stage::new(at, engine, Step::EndSessions, moment).await;
    let body = json!({"email": "eve@example.com", "password": "Eves-password-1!", "firstName": "Eve"});
    let server = stage.dies_in("POST", "/v4/Users", &body).await;
    let caller = api::Client::naviga(&server.url, PAPER);
    if then == Then::Repeat {
        let (status, said) = caller.call("POST", "/v4/Users", &body).await.unwrap();
        assert!(status == 200 || moment == Moment::Answered, "{moment:?}: {said}");
    }
    let (status, shown) = caller.call("GET", "/v4/Users?email=eve%40example.com", &Value::Null).await.unwrap();
    let client = stage.actor.signed_in(&api::http(), &server.url).await;
    let here = client.get("/customers?where=lowercaseEmail%3D%22eve%40example.com%22").await.unwrap().1;
    let is_there = status == 200;
    // Nowhere, or once in both: and then she is the user that the provider has.
    assert_eq!(here["results"].as_array().unwrap().len(), usize::from(is_there), "{moment:?} {then:?}: {shown}");
    assert!(is_there || (then == Then::Read && matches!(moment, Moment::Came | Moment::AppliedAfter)), "{moment:?}");
    if is_there {
        assert_eq!(shown["data"]["customerRegistrationId"], at.made, "{moment:?} {then:?}");
    }
    if then == Then::Repeat {
        assert!(client.signs_in("eve@example.com", "Eves-password-1!").await, "{moment:?}");
    }
    drop(server);
    drop(stage.engine);
}

/// Nobody asks again, and nobody reads: once nothing is in doubt, both have the same.
async fn with_nothing_more(at: At, engine: Engine, moment: Moment, what: What) {
    let step = if what == What::User { Step::EndSessions } else { Step::Set };
    let mut stage = Stage::new(at, engine, step, moment).await;
    let user = at.user.replace('|', "%7C");
    let (method, path, body) = match what {
        What::Address => ("PATCH", format!("/v4/Users/{user}/Email"), json!({"email": "new@example.com"})),
        What::Name => ("PUT", format!("/v4/Users/{user}"), json!({"firstName": "Eve"})),
        What::User => ("POST", "/v4/Users".to_owned(), json!({"email": "eve@example.com", "password": "Eves-pass-1!"})),
    };
    let server = stage.dies_in(method, &path, &body).await;
    nothing_is_in_doubt(&stage.site).await;
    let client = stage.actor.signed_in(&api::http(), &server.url).await;
    let here = client.get("/customers?sort=createdAt+asc").await.unwrap().1["results"].clone();
    // Only now is the provider asked, which writes here what is another there: there must be nothing.
    let caller = api::Client::naviga(&server.url, PAPER);
    let path =
        if what == What::User { "/v4/Users?email=eve%40example.com".to_owned() } else { path.replace("/Email", "") };
    let (status, there) = caller.call("GET", &path, &Value::Null).await.unwrap();
    let again = client.get("/customers?sort=createdAt+asc").await.unwrap().1["results"].clone();
    assert_eq!(here, again, "{what:?} {moment:?}");
    let is_done = match what {
        What::Address => there["data"]["email"] == "new@example.com",
        What::Name => there["data"]["firstName"] == "Eve",
        What::User => status == 200,
    };
    assert_eq!(is_done, moment != Moment::Came, "{what:?} {moment:?}: {there}");
    let count = here.as_array().unwrap().len();
    assert_eq!(count, 1 + usize::from(is_done && what == What::User), "{what:?} {moment:?}: {here}");
    drop(server);
    drop(stage.engine);
}

async fn nothing_is_in_doubt(site: &Site) {
    static COUNT: Sql = Sql::both("DOUBTS", "SELECT count(*) FROM record_in_doubt");
    let store = Store::open(&site.store.parse().unwrap(), &options()).unwrap();
    let until = Instant::now() + FINDS_OUT;
    while store.read(|tx| query_one(tx, &COUNT, &[], |row| row.int(0))).await.unwrap() != Some(0) {
        assert!(Instant::now() < until, "still in doubt:\n{}", site.logs());
        sleep(Duration::from_millis(200)).await;
    }
    store.close().await;
}

/// All at the same time, for each waits as long as an attempt lives.
fn run_with_nothing_more(at: At, engine: &dyn Fn(usize) -> Engine) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let all = [What::Address, What::Name, What::User].into_iter().flat_map(|what| MOMENTS.map(|moment| (moment, what)));
    let all = all.enumerate().map(|(number, (moment, what))| with_nothing_more(at, engine(number), moment, what));
    runtime.block_on(join_all(all));
}

fn run(at: At, engine: &dyn Fn(usize) -> Engine) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let mut number = 0;
    for moment in MOMENTS {
        for then in [Then::Repeat, Then::Read] {
            runtime.block_on(an_address(at, engine(number), moment, then));
            runtime.block_on(a_user(at, engine(number + 1), moment, then));
            number += 2;
        }
    }
}

#[test]
fn records_outlive_a_death_sqlite() {
    run(AUTH0, &|_| Engine::Sqlite);
    run(GIGYA, &|_| Engine::Sqlite);
}

#[test]
#[ignore = "needs PostgreSQL: cargo xtask test starts one"]
fn records_outlive_a_death_postgres() {
    run(AUTH0, &postgres("records"));
    run(GIGYA, &postgres("records_gigya"));
}

#[test]
fn records_heal_by_themselves_sqlite() {
    run_with_nothing_more(AUTH0, &|_| Engine::Sqlite);
}

#[test]
fn records_at_gigya_heal_by_themselves_sqlite() {
    run_with_nothing_more(GIGYA, &|_| Engine::Sqlite);
}

#[test]
#[ignore = "needs PostgreSQL: cargo xtask test starts one"]
fn records_heal_by_themselves_postgres() {
    run_with_nothing_more(AUTH0, &postgres("heal"));
}

#[test]
#[ignore = "needs PostgreSQL: cargo xtask test starts one"]
fn records_at_gigya_heal_by_themselves_postgres() {
    run_with_nothing_more(GIGYA, &postgres("heal_gigya"));
}

fn postgres(what: &'static str) -> impl Fn(usize) -> Engine {
    let mut chance = Ctx::new(Micros(0), [std::process::id().to_le_bytes()[0]; 32]);
    let run_id = chance.number();
    move |number| Engine::postgres(&format!("keyherald_{what}_{}_{run_id:016x}_{number}", std::process::id()))
}
