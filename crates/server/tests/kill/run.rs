//! One run: the server, the load, the kills, and the judgement.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::black_box::api::http_client;
use crate::engine::Engine;
use crate::load::{Client, Front, Generation, Shared};
use crate::moment::Moment;
use crate::receiver::{Mood, SECRET};
use crate::stage::{Stage, chance, start};

/// Clients at the same time: several requests wait for each commit.
const CLIENTS: usize = 8;
/// Time limit of one request. Far more than any takes: a request that hangs is a fault.
const REQUEST_WAIT: Duration = Duration::from_secs(20);
/// Time limit of a whole run, without and per kill.
const RUN_WAIT: (Duration, Duration) = (Duration::from_mins(3), Duration::from_secs(20));

/// Kills the server `kills` times, judges, and prints the closing line.
pub fn run(engine: &Engine, kills: u32, seed: u64) {
    println!("kill test on {}: {kills} kills, KEYHERALD_KILL_SEED={seed}", engine.word());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let (base, per_kill) = RUN_WAIT;
    let run = async { timeout(base + per_kill * kills, play(engine, kills, seed)).await };
    runtime.block_on(run).expect("the run ends in time");
}

async fn play(engine: &Engine, kills: u32, seed: u64) {
    let mut chance = chance(seed, 0);
    let stage = Stage::set(seed).await;
    let launch = stage.launch(engine.store(), "server.log");
    let http = http_client(REQUEST_WAIT).unwrap();
    let (mut server, api, wallet) = start(&launch, &http).await;
    api.subscribe(&stage.webhook, SECRET, true).await.unwrap();
    let receiver = &stage.receiver;
    receiver.set_mood(Mood::Flaky);

    let (generation, follow) = watch::channel(Generation { number: 1, api: Arc::new(api), wallet: Arc::new(wallet) });
    let front = Arc::new(Front { server: follow, condemned: AtomicU32::new(0) });
    let shared = Arc::new(Shared::new(receiver.clone(), stage.partner.clone()));
    let mut clients = JoinSet::new();
    for number in 1..=CLIENTS {
        let chance = self::chance(seed, number);
        clients.spawn(Client::new(number, front.clone(), shared.clone(), chance).run());
    }

    for kill in 1..=kills {
        let moment = Moment::draw(&mut chance);
        moment.come(&shared, &mut chance).await;
        front.condemned.store(kill, Ordering::SeqCst);
        let pid = server.pid();
        server.kill();
        let end = engine.moment();
        receiver.set_mood(Mood::Flaky);
        let begun = Instant::now();
        let (next, api, wallet) = start(&launch, &http).await;
        server = next;
        engine.wait_for_sessions(end.as_ref(), None);
        let (acknowledged, accepted) = (shared.acknowledged.load(Ordering::Relaxed), receiver.accepted());
        let back = begun.elapsed().as_millis();
        println!(
            "kill {kill} ({moment:?}, process {pid}): acknowledged {acknowledged}, delivered {accepted}, back after {back} ms"
        );
        let (api, wallet) = (Arc::new(api), Arc::new(wallet));
        generation.send_replace(Generation { number: kill + 1, api, wallet });
    }

    sleep(Duration::from_millis(500)).await;
    shared.stop.store(true, Ordering::Relaxed);
    let journals = clients.join_all().await;
    let api = generation.borrow().api.clone();
    let outcome = stage.judge(journals, &shared, &api).await;
    drop(server);
    let words = format!("kill test {}: kills {kills}", engine.word());
    outcome.close(&words, (engine, &stage.data()), &launch.log_tail());
}
