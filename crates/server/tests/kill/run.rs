//! One run: the server, the load, the kills, and the judgement.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use keyherald_core::{Ctx, Micros};
use tokio::net::TcpListener;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::black_box::api::{Api, http_client};
use crate::black_box::receiver::serve;
use crate::black_box::server::{Launch, Server};
use crate::engine::Engine;
use crate::evidence::{Evidence, Message, Verdict, judge};
use crate::load::{Client, Generation, Journal, Shared};
use crate::moment::Moment;
use crate::receiver::{Mood, Receiver, SECRET};

/// Clients at the same time: several requests wait for each commit.
const CLIENTS: usize = 8;
/// Time limit of one request. Far more than any takes: a request that hangs is a fault.
const REQUEST_WAIT: Duration = Duration::from_secs(20);
/// Longest wait at the end until the receiver has everything.
const DELIVERY_WAIT: Duration = Duration::from_mins(1);
/// Time limit of a whole run, without and per kill.
const RUN_WAIT: (Duration, Duration) = (Duration::from_mins(3), Duration::from_secs(20));
/// So many complaints are shown.
const COMPLAINTS_SHOWN: usize = 30;

/// The settings of the server: cheap hashes for many commits a second, and retries that come soon.
fn settings() -> Vec<(&'static str, String)> {
    let waits = ["0s", "20ms", "50ms", "100ms", "200ms"].into_iter().chain(std::iter::repeat_n("500ms", 60));
    vec![
        ("KEYHERALD__HASHING__MEMORY_KIB", "8".into()),
        ("KEYHERALD__HASHING__PASSES", "1".into()),
        ("KEYHERALD__DELIVERY__RETRY_SCHEDULE", waits.collect::<Vec<_>>().join(",")),
        ("KEYHERALD__DELIVERY__ATTEMPT_TIMEOUT", "1s".into()),
        ("KEYHERALD__DELIVERY__CONNECT_TIMEOUT", "1s".into()),
        ("KEYHERALD__LOG__LEVEL", "warn".into()),
    ]
}

/// Kills the server `kills` times, judges, and prints the closing line.
pub fn run(engine: &Engine, kills: u32, seed: u64) {
    println!("kill test on {}: {kills} kills, KEYHERALD_KILL_SEED={seed}", engine.word());
    let folder = tempfile::tempdir().unwrap();
    let launch = Launch {
        program: PathBuf::from(env!("CARGO_BIN_EXE_keyherald")),
        data: folder.path().join("data"),
        store: engine.store(),
        log: folder.path().join("server.log"),
        settings: settings(),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let (base, per_kill) = RUN_WAIT;
    let run = async { timeout(base + per_kill * kills, play(engine, &launch, kills, seed)).await };
    let (verdict, acknowledged) = runtime.block_on(run).expect("the run ends in time");

    let Verdict { messages, delivered, gaps, repeats, inversions, lost, complaints } = &verdict;
    for complaint in complaints.iter().take(COMPLAINTS_SHOWN) {
        println!("complaint: {complaint}");
    }
    if !complaints.is_empty() {
        println!("{} complaints; the server's log ends with:\n{}", complaints.len(), launch.log_tail());
    }
    println!(
        "kill test {}: kills {kills}, acknowledged {acknowledged}, messages {messages}, delivered {delivered}, \
         gaps {gaps}, repeats {repeats}, inversions {inversions}, lost {lost}",
        engine.word()
    );
    assert!(complaints.is_empty());
    assert_eq!((*delivered, *gaps, *inversions, *lost), (*messages, 0, 0, 0));
    assert!(acknowledged > 0 && *messages >= acknowledged, "a change without a message, or no change at all");
}

async fn play(engine: &Engine, launch: &Launch, kills: u32, seed: u64) -> (Verdict, usize) {
    let mut chance = chance(seed, 0);
    let receiver = Receiver::new(chance.bytes());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let webhook = format!("http://{}/messages", listener.local_addr().unwrap());
    let mut receiving = JoinSet::new();
    let taker = receiver.clone();
    receiving.spawn(serve(listener, move |delivery| taker.clone().take(delivery)));

    let http = http_client(REQUEST_WAIT).unwrap();
    let (mut server, api) = start(launch, &http).await;
    api.subscribe(&webhook, SECRET, true).await.unwrap();
    receiver.set_mood(Mood::Flaky);

    let (generation, follow) = watch::channel(Generation { number: 1, api: Arc::new(api) });
    let shared = Arc::new(Shared {
        server: follow,
        condemned: AtomicU32::new(0),
        receiver: receiver.clone(),
        acknowledged: AtomicUsize::new(0),
        answered: Notify::new(),
        stop: AtomicBool::new(false),
        complaints: Mutex::default(),
    });
    let mut clients = JoinSet::new();
    for number in 1..=CLIENTS {
        let chance = self::chance(seed, number);
        clients.spawn(Client::new(number, shared.clone(), chance).run());
    }

    for kill in 1..=kills {
        let moment = Moment::draw(&mut chance);
        moment.come(&shared, &mut chance).await;
        shared.condemned.store(kill, Ordering::SeqCst);
        let pid = server.pid();
        server.kill();
        let end = engine.moment();
        receiver.set_mood(Mood::Flaky);
        let begun = Instant::now();
        let (next, api) = start(launch, &http).await;
        server = next;
        engine.wait_for_sessions(end.as_ref());
        let (acknowledged, accepted) = (shared.acknowledged.load(Ordering::Relaxed), receiver.accepted());
        let back = begun.elapsed().as_millis();
        println!(
            "kill {kill} ({moment:?}, process {pid}): acknowledged {acknowledged}, delivered {accepted}, back after {back} ms"
        );
        generation.send_replace(Generation { number: kill + 1, api: Arc::new(api) });
    }

    sleep(Duration::from_millis(500)).await;
    shared.stop.store(true, Ordering::Relaxed);
    let journals = clients.join_all().await;
    let api = generation.borrow().api.clone();
    let log = read_log(&api).await;
    wait_for_deliveries(&receiver, &log).await;
    drop(server);
    let (mut verdict, acknowledged) = verdict(journals, log, &receiver);
    verdict.complaints.append(&mut shared.complaints.lock().unwrap());
    (verdict, acknowledged)
}

fn chance(seed: u64, stream: usize) -> Ctx {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    bytes[8..16].copy_from_slice(&u64::try_from(stream).unwrap().to_le_bytes());
    Ctx::new(Micros(0), bytes)
}

async fn start(launch: &Launch, http: &reqwest::Client) -> (Server, Api) {
    let server = launch.start().unwrap_or_else(|why| panic!("{why}"));
    let api = Api::sign_in(http, &server).await.unwrap_or_else(|why| panic!("{why}\n{}", launch.log_tail()));
    (server, api)
}

/// Every message of the log, as any client of the contract pages through it.
async fn read_log(api: &Api) -> Vec<Message> {
    let mut log: Vec<Message> = Vec::new();
    loop {
        let after = log.last().map(|message| format!("id > \"{}\"", message.id));
        let mut query = vec![("sort", "id asc"), ("limit", "500"), ("withTotal", "false")];
        query.extend(after.as_deref().map(|after| ("where", after)));
        let page = api.get("/messages", &query).await.unwrap();
        assert_eq!(page.status, 200, "{}", page.body);
        let results = page.body["results"].as_array().expect("a page has results");
        if results.is_empty() {
            return log;
        }
        log.extend(results.iter().map(|json| Message::read(json).unwrap_or_else(|| panic!("in the log: {json}"))));
    }
}

/// Waits until the receiver has accepted everything, as long as there is progress to wait for.
async fn wait_for_deliveries(receiver: &Receiver, log: &[Message]) {
    let begun = Instant::now();
    while receiver.missing(log) > 0 && begun.elapsed() < DELIVERY_WAIT {
        sleep(Duration::from_millis(20)).await;
    }
}

fn verdict(journals: Vec<Journal>, log: Vec<Message>, receiver: &Receiver) -> (Verdict, usize) {
    let (arrivals, changes, odd) = receiver.close();
    let mut evidence = Evidence { log, arrivals, changes, ..Evidence::default() };
    let mut resolved = (0, 0);
    for journal in journals {
        evidence.acknowledged.extend(journal.acknowledged);
        evidence.versions.extend(journal.versions);
        evidence.unknown_tokens.extend(journal.unknown_tokens);
        resolved = (resolved.0 + journal.resolved.0, resolved.1 + journal.resolved.1);
    }
    println!("answers that were lost: {} requests had been done, {} had not", resolved.0, resolved.1);
    let mut verdict = judge(&evidence);
    verdict.complaints.extend(odd);
    (verdict, evidence.acknowledged.len())
}
