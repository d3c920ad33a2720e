//! What every run has, whatever is done to its servers: how they are set up, who hears of everything, and the judgement.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use keyherald_core::body_signature::SigningSecret;
use keyherald_core::{Ctx, Micros};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::black_box::api::{Api, Wallet};
use crate::black_box::receiver::serve;
use crate::black_box::server::{Launch, Server};
use crate::engine::Engine;
use crate::evidence::{Evidence, Message, Verdict, judge};
use crate::load::{Journal, Shared};
use crate::partner::{Partner, Told};
use crate::receiver::Receiver;

/// Longest wait at the end until the receiver has everything.
const DELIVERY_WAIT: Duration = Duration::from_mins(1);
/// So many complaints are shown.
const COMPLAINTS_SHOWN: usize = 30;

/// Those who hear of everything.
pub struct Stage {
    pub receiver: Receiver,
    pub partner: Partner,
    /// Where the receiver is.
    pub webhook: String,
    /// Where the servers' data lies.
    pub folder: tempfile::TempDir,
    settings: Vec<(&'static str, String)>,
    _receiving: JoinSet<()>,
}

impl Stage {
    /// A receiver and a partner whose failures follow from `seed`.
    pub async fn set(seed: u64) -> Self {
        let mut chance = chance(seed, usize::MAX);
        let secret = SigningSecret::new(&mut chance);
        let (webhook, place) = listen().await;
        let (partners_url, partners_place) = listen().await;
        let settings = settings(&partners_url, &secret);
        let (receiver, partner) = (Receiver::new(chance.bytes()), Partner::new(secret, chance.bytes()));
        let mut receiving = JoinSet::new();
        let taker = receiver.clone();
        receiving.spawn(serve(place, move |delivery| taker.clone().take(delivery)));
        let taker = partner.clone();
        receiving.spawn(serve(partners_place, move |delivery| taker.clone().take(delivery)));
        let folder = tempfile::tempdir().unwrap();
        Self { receiver, partner, webhook: format!("{webhook}/messages"), folder, settings, _receiving: receiving }
    }

    /// How a server is started whose data is that of the others; its log has a file of its own.
    pub fn launch(&self, store: Option<String>, log: &str) -> Launch {
        Launch {
            program: PathBuf::from(env!("CARGO_BIN_EXE_keyherald")),
            data: self.data(),
            store,
            log: self.folder.path().join(log),
            settings: self.settings.clone(),
        }
    }

    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Reads the log from a server that stands, waits for what is still on its way, and judges.
    pub async fn judge(&self, journals: Vec<Journal>, shared: &Shared, api: &Api) -> Outcome {
        let log = read_log(api).await;
        let recoveries: BTreeSet<String> = journals.iter().flat_map(|journal| &journal.recoveries).cloned().collect();
        let mut secrets: Vec<String> = journals.iter().flat_map(|journal| &journal.secrets).cloned().collect();
        self.wait_for_deliveries(&log, &recoveries).await;
        secrets.extend(self.partner.codes().into_iter().map(|code| format!("\"{code}\"")));
        let (mut verdict, acknowledged) = verdict(journals, log, &self.receiver);
        verdict.complaints.append(&mut shared.complaints.lock().unwrap());
        let mut told = self.partner.judge(&recoveries);
        verdict.complaints.append(&mut told.complaints);
        Outcome { verdict, acknowledged, told: (told, recoveries.len()), secrets }
    }

    /// Waits until the receiver has accepted everything and the partner was told of all recoveries.
    async fn wait_for_deliveries(&self, log: &[Message], recoveries: &BTreeSet<String>) {
        let begun = Instant::now();
        let missing = || self.receiver.missing(log) + self.partner.missing(recoveries);
        while missing() > 0 && begun.elapsed() < DELIVERY_WAIT {
            sleep(Duration::from_millis(20)).await;
        }
    }
}

async fn listen() -> (String, TcpListener) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    (format!("http://{}", listener.local_addr().unwrap()), listener)
}

/// What a run came to.
pub struct Outcome {
    verdict: Verdict,
    acknowledged: usize,
    /// What the partner was told, of how many recoveries.
    told: (Told, usize),
    /// What must not be readable in the store.
    secrets: Vec<String>,
}

impl Outcome {
    /// Prints the closing line, which begins with `words`, and fails unless everything is as it should be. No server may be
    /// running any more.
    pub fn close(&self, words: &str, (engine, data): (&Engine, &Path), log_tail: &str) {
        let readable = engine.readable(data, &self.secrets);
        let Verdict { messages, delivered, gaps, repeats, inversions, lost, complaints } = &self.verdict;
        for complaint in complaints.iter().take(COMPLAINTS_SHOWN) {
            println!("complaint: {complaint}");
        }
        if !complaints.is_empty() {
            println!("{} complaints; the server's log ends with:\n{log_tail}", complaints.len());
        }
        let (acknowledged, Told { events, copies, .. }, recoveries) = (self.acknowledged, &self.told.0, self.told.1);
        println!(
            "{words}, acknowledged {acknowledged}, messages {messages}, delivered {delivered}, gaps {gaps}, \
             repeats {repeats}, inversions {inversions}, lost {lost}; recoveries {recoveries}, events {events}, \
             copies {copies}, secrets readable {readable}"
        );
        assert!(complaints.is_empty());
        assert_eq!((*events, readable), (recoveries, 0));
        assert_eq!((*delivered, *gaps, *inversions, *lost), (*messages, 0, 0, 0));
        assert!(acknowledged > 0 && *messages >= acknowledged, "a change without a message, or no change at all");
    }
}

/// The settings of a server: cheap hashes for many commits a second, and retries that come soon. The brand's partner
/// tells customers their codes itself, and one source and one customer may ask for as many as they like.
fn settings(partner: &str, secret: &SigningSecret) -> Vec<(&'static str, String)> {
    let waits = ["0s", "20ms", "50ms", "100ms", "200ms"].into_iter().chain(std::iter::repeat_n("500ms", 60));
    vec![
        ("KEYHERALD__HASHING__MEMORY_KIB", "8".into()),
        ("KEYHERALD__HASHING__PASSES", "1".into()),
        ("KEYHERALD__DELIVERY__RETRY_SCHEDULE", waits.collect::<Vec<_>>().join(",")),
        ("KEYHERALD__DELIVERY__ATTEMPT_TIMEOUT", "1s".into()),
        ("KEYHERALD__DELIVERY__CONNECT_TIMEOUT", "1s".into()),
        ("KEYHERALD__LOG__LEVEL", "warn".into()),
        ("KEYHERALD__PROJECTS__0__PAYSAFE__DELIVERY_MODE", "partner".into()),
        ("KEYHERALD__PROJECTS__0__PAYSAFE__OTP__ALLOWABLE_PROCESSES", "100".into()),
        ("KEYHERALD__PROJECTS__0__PAYSAFE__LIMITS__IP__INITIATIONS", "1000000".into()),
        ("KEYHERALD__PROJECTS__0__PAYSAFE__LIMITS__IP__ATTEMPTS", "1000000".into()),
        ("KEYHERALD__PROJECTS__0__PAYSAFE__LIMITS__IP__CHANGES", "1000000".into()),
        ("KEYHERALD__PROJECTS__0__PAYSAFE__LIMITS__CUSTOMER__CHANGES", "1000000".into()),
        ("KEYHERALD__PROJECTS__0__PAYSAFE__LIMITS__BRAND__INITIATIONS", "1000000".into()),
        ("KEYHERALD__PROJECTS__0__PAYSAFE__WEBHOOK__BASE_URL", partner.into()),
        ("KEYHERALD__PROJECTS__0__PAYSAFE__WEBHOOK__SECRET_ENV", "PARTNERS_SECRET".into()),
        ("PARTNERS_SECRET", secret.reveal_with(str::to_owned)),
        ("KEYHERALD__PROJECTS__0__PAYSAFE__WEBHOOK__EVENTS_FOR_TOKEN_RESETS", "false".into()),
        ("KEYHERALD__PROJECTS__0__PAYSAFE__WEBHOOK__TOTAL_TIMEOUT", "1s".into()),
        ("KEYHERALD__PROJECTS__0__PAYSAFE__WEBHOOK__CONNECT_TIMEOUT", "1s".into()),
        ("KEYHERALD__PROJECTS__0__PAYSAFE__WEBHOOK__BACKOFF__BASE", "1s".into()),
        ("KEYHERALD__PROJECTS__0__PAYSAFE__WEBHOOK__BACKOFF__CAP", "1s".into()),
    ]
}

pub fn chance(seed: u64, stream: usize) -> Ctx {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    bytes[8..16].copy_from_slice(&u64::try_from(stream).unwrap().to_le_bytes());
    Ctx::new(Micros(0), bytes)
}

/// Starts a server, and signs in.
pub async fn start(launch: &Launch, http: &reqwest::Client) -> (Server, Api, Wallet) {
    let server = launch.start().unwrap_or_else(|why| panic!("{why}"));
    let api = Api::sign_in(http, &server).await.unwrap_or_else(|why| panic!("{why}\n{}", launch.log_tail()));
    let wallet = Wallet::sign_in(http, &server).await.unwrap_or_else(|why| panic!("{why}\n{}", launch.log_tail()));
    (server, api, wallet)
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
