//! One run: the nodes, the load, what happens to them, and the judgement.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use keyherald::demo::database::{Database, Stop};
use keyherald_core::Ctx;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::black_box::api::http_client;
use crate::engine::Engine;
use crate::fleet::{Fleet, LEASE};
use crate::load::{Client, Shared};
use crate::moment::Moment;
use crate::receiver::{Mood, SECRET};
use crate::stage::{Stage, chance};

const NODES: usize = 3;
/// Clients at the same time, three for each node.
const CLIENTS: usize = 9;
/// Time limit of one request: a frozen node answers when it goes on.
const REQUEST_WAIT: Duration = Duration::from_secs(40);
/// Time limit of a whole run, without and per disturbance.
const RUN_WAIT: (Duration, Duration) = (Duration::from_mins(3), Duration::from_secs(40));

/// What happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Disturbance {
    Kill { both: bool },
    Freeze,
    Restart(Stop),
}

impl Disturbance {
    /// Each kind in turn at first, so that a short run has them all; then half of them kills.
    fn draw(number: u32, chance: &mut Ctx) -> Self {
        let both = chance.number().is_multiple_of(4);
        let how = if chance.number().is_multiple_of(2) { Stop::Fast } else { Stop::Immediate };
        match (number, chance.number() % 10) {
            (1, _) => Self::Kill { both: false },
            (2, _) => Self::Freeze,
            (3, _) => Self::Restart(how),
            (4, _) => Self::Kill { both: true },
            (_, 0..5) => Self::Kill { both },
            (_, 5..8) => Self::Freeze,
            _ => Self::Restart(how),
        }
    }
}

/// How often each happened.
#[derive(Default)]
struct Tally {
    kills: u32,
    freezes: u32,
    restarts: u32,
}

/// Disturbs the nodes so many times, judges, and prints the closing line.
pub fn run(disturbances: u32, seed: u64) {
    println!("cluster on postgres: {disturbances} disturbances, KEYHERALD_KILL_SEED={seed}");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let (base, per_disturbance) = RUN_WAIT;
    let run = async {
        let mut database = Database::start().await.unwrap_or_else(|why| panic!("{why}"));
        timeout(base + per_disturbance * disturbances, play(&mut database, disturbances, seed)).await
    };
    runtime.block_on(run).expect("the run ends in time");
}

async fn play(database: &mut Database, disturbances: u32, seed: u64) {
    let mut chance = chance(seed, 0);
    let engine = Engine::on(&database.url(), "keyherald_cluster");
    let stage = Stage::set(seed).await;
    let http = http_client(REQUEST_WAIT).unwrap();
    let mut fleet = Fleet::start(&engine, &stage, &http, NODES).await;
    fleet.api().subscribe(&stage.webhook, SECRET, true).await.unwrap();
    stage.receiver.set_mood(Mood::Flaky);

    let shared = Arc::new(Shared::new(stage.receiver.clone(), stage.partner.clone()));
    let mut clients = JoinSet::new();
    for number in 1..=CLIENTS {
        let chance = self::chance(seed, number);
        clients.spawn(Client::new(number, fleet.front(), shared.clone(), chance).run());
    }

    let mut tally = Tally::default();
    for number in 1..=disturbances {
        let disturbance = Disturbance::draw(number, &mut chance);
        let moment = Moment::draw(&mut chance);
        moment.come(&shared, &mut chance).await;
        let begun = Instant::now();
        match disturbance {
            Disturbance::Kill { both } => {
                tally.kills += kill(&mut fleet, both, &mut chance, &stage).await;
            }
            Disturbance::Freeze => {
                freeze(&fleet, &mut chance, &stage).await;
                tally.freezes += 1;
            }
            Disturbance::Restart(how) => {
                restart(database, how, &mut chance, &stage).await;
                tally.restarts += 1;
            }
        }
        let (acknowledged, accepted) = (shared.acknowledged.load(Ordering::Relaxed), stage.receiver.accepted());
        let took = begun.elapsed().as_millis();
        println!(
            "{number} {disturbance:?} ({moment:?}): acknowledged {acknowledged}, delivered {accepted}, over after {took} ms"
        );
    }

    sleep(Duration::from_millis(500)).await;
    shared.stop.store(true, Ordering::Relaxed);
    let journals = clients.join_all().await;
    let outcome = stage.judge(journals, &shared, &fleet.api()).await;
    let log_tails = fleet.log_tails();
    drop(fleet);
    let Tally { kills, freezes, restarts } = tally;
    let words = format!("cluster postgres: kills {kills}, freezes {freezes}, restarts {restarts}");
    outcome.close(&words, (&engine, &stage.data()), &log_tails);
}

fn one_of(nodes: usize, chance: &mut Ctx) -> usize {
    usize::try_from(chance.number()).unwrap_or(0) % nodes
}

/// One dies, or two at the same moment; the others go on for a while without. Answers how many.
async fn kill(fleet: &mut Fleet<'_>, both: bool, chance: &mut Ctx, stage: &Stage) -> u32 {
    let first = one_of(NODES, chance);
    let victims = if both { vec![first, (first + 1) % NODES] } else { vec![first] };
    fleet.kill(&victims);
    stage.receiver.set_mood(Mood::Flaky);
    sleep(Duration::from_millis(chance.number() % 1500)).await;
    for victim in &victims {
        // Who comes back under its name takes up at once what it left; what another left is moved by its lease.
        fleet.revive(*victim, chance.number().is_multiple_of(2)).await;
    }
    u32::try_from(victims.len()).unwrap()
}

/// One stands still until others have what it had, and goes on as if nothing had been.
async fn freeze(fleet: &Fleet<'_>, chance: &mut Ctx, stage: &Stage) {
    let victim = one_of(NODES, chance);
    fleet.freeze(victim, true);
    stage.receiver.set_mood(Mood::Flaky);
    sleep(LEASE + Duration::from_millis(500 + chance.number() % 2500)).await;
    fleet.freeze(victim, false);
}

/// The database is gone for a while, and all its connections with it.
async fn restart(database: &mut Database, how: Stop, chance: &mut Ctx, stage: &Stage) {
    database.stop(how).await.unwrap_or_else(|why| panic!("{why}"));
    stage.receiver.set_mood(Mood::Flaky);
    sleep(Duration::from_millis(chance.number() % 3000)).await;
    database.serve().await.unwrap_or_else(|why| panic!("{why}"));
}
