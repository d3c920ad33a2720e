//! The whole journey, measured from outside: a server in a process of its own, with a default configuration but for
//! what `keyherald dev` needs, SQLite on disk, one subscribed receiver, real HTTP.
//!
//! * **saturation**: as many password changes as it can do, as a share of the bare loop that only computes the two
//!   hashes, both in turns within one run.
//! * **overload**: three times as many requests as that, sent by the clock whatever the answers.
//! * **delivery**: at half load, how long after the commit a message is at the receiver. The commit itself cannot be
//!   seen from outside, so it is measured from both sides. From below: from the moment when the change's answer is at
//!   the client, which is shortly after the commit (a message that is faster than the answer counts as 0). From above:
//!   from the moment when the request for a reset token is sent, which needs no hash, so that nothing lies between but
//!   HTTP, the commit, and the delivery.
//! * **operations**: changes that an identity provider takes part in, see [`operations`].
//!
//! Clients and receiver share one thread of this process; what it takes of the machine is measured as well. Prints one
//! JSON line per section for `cargo xtask bench`; `--quick` measures briefly.

#[expect(dead_code, reason = "the kill test needs more of it")]
#[path = "../../tests/black_box/mod.rs"]
mod black_box;
mod load;
mod operations;
mod process;
mod provider;
mod receipts;
mod report;

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use keyherald::hash::{HashOptions, bare_two_hash_loop};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::sleep;

use black_box::api::{Api, http_client};
use black_box::receiver::serve;
use black_box::server::{Launch, Server};
use load::{Customer, Overload, Saturation, Sent};
use process::{Memory, Meter, Usage, memory, process_cpu};
use receipts::Receipts;
use report::{count, mean, percentile, row, section};

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// Clients that together saturate the server: several wait while each core hashes.
const CLIENTS: usize = 8;
/// Customers, and so the most requests in progress at overload: far more than the hashing queue's deadline lets in.
const CUSTOMERS: usize = 400;
/// A client gives up after this time; a server that says 503 in time lets it never come to that.
const CLIENT_WAIT: Duration = Duration::from_secs(10);
/// Requests of an overload over the capacity.
const OVERLOAD: f64 = 3.0;
/// Tokens per second, beside the changes at half load.
const TOKENS: f64 = 20.0;

/// How long everything is measured.
struct Plan {
    rounds: u32,
    round: Duration,
    half_load: Duration,
    overload: Duration,
    operations: operations::Plan,
}

impl Plan {
    fn of_arguments() -> Self {
        let seconds = Duration::from_secs;
        if std::env::args().any(|argument| argument == "--quick") {
            let operations = operations::Plan { rounds: 2, round: seconds(1) };
            Self { rounds: 2, round: seconds(1), half_load: seconds(3), overload: seconds(4), operations }
        } else {
            let operations = operations::Plan { rounds: 8, round: seconds(3) };
            Self { rounds: 12, round: seconds(3), half_load: seconds(30), overload: seconds(15), operations }
        }
    }
}

fn main() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let measured = runtime.map_err(Into::into).and_then(|runtime| runtime.block_on(measure(&Plan::of_arguments())));
    match measured {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("error: {why}");
            ExitCode::FAILURE
        }
    }
}

fn program() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_keyherald"))
}

/// What is measured: the server, and the world around it.
struct Stage {
    server: Server,
    api: Arc<Api>,
    receipts: Receipts,
}

async fn measure(plan: &Plan) -> Result<()> {
    if std::env::args().any(|argument| argument == "--operations") {
        return operations::measure(&plan.operations).await;
    }
    let folder = tempfile::tempdir()?;
    let launch = Launch {
        program: program(),
        data: folder.path().join("data"),
        store: None,
        log: folder.path().join("server.log"),
        // Neither mail nor a provider is part of what is measured.
        settings: ["KEYHERALD_DEV_NO_MAIL", "KEYHERALD_DEV_NO_PROVIDER"].map(|name| (name, "true".to_owned())).to_vec(),
    };
    let server = launch.start()?;
    let start_mib = memory(server.pid(), Memory::Now)?;
    let receipts = Receipts::new()?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let webhook = format!("http://{}/messages", listener.local_addr()?);
    let mut receiving = JoinSet::new();
    let taker = receipts.clone();
    receiving.spawn(serve(listener, move |delivery| std::future::ready(taker.take(&delivery))));

    let api = Arc::new(Api::sign_in(&http_client(CLIENT_WAIT)?, &server).await?);
    api.subscribe(&webhook, receipts::SECRET, false).await?;
    let stage = Stage { server, api, receipts };
    let measured = stage.measure(plan, start_mib).await;
    if measured.is_err() {
        eprintln!("the server's log ends with:\n{}", launch.log_tail());
    }
    measured?;
    drop(stage);
    operations::measure(&plan.operations).await
}

impl Stage {
    async fn measure(&self, plan: &Plan, start_mib: f64) -> Result<()> {
        let mut customers = load::create(&self.api, CUSTOMERS, CLIENTS).await?;
        self.receipts.wait_for_all(&customers).await?;
        let capacity = self.saturation(plan, &mut customers).await?;
        self.delivery(plan, capacity, &mut customers).await?;
        self.overload(plan, capacity, start_mib, customers).await
    }

    /// Rounds of the bare loop and of the server, in turns: the machine's moods meet both.
    async fn saturation(&self, plan: &Plan, customers: &mut Vec<Customer>) -> Result<f64> {
        let options = HashOptions::default();
        let cores = options.worker_count();
        let (mut bare, mut rates, mut bare_cpu) = (Vec::new(), Vec::new(), Vec::new());
        let mut usage = Usage::default();
        for round in 1..=plan.rounds {
            let before = process_cpu()?;
            let loops = bare_two_hash_loop(&options, cores, plan.round)?;
            bare_cpu.push((process_cpu()? - before) / (loops * plan.round.as_secs_f64()));
            bare.push(loops);
            let rate = self.saturate(customers, plan.round, &mut usage).await?;
            rates.push(rate);
            println!("round {round}: bare loop {loops:.1}, server {rate:.1} changes/s");
        }
        println!("saturation: {usage}");
        let hashing = usage.server.of("hash");
        section(
            "saturation",
            &[
                row("password changes", mean(&rates), "changes/s").limit(mean(&bare)).at_least(0.9),
                row("CPU per change of the bare loop", 1e3 * mean(&bare_cpu), "ms"),
                row("CPU per change of hashing", 1e3 * hashing / usage.requests, "ms"),
                row(
                    "CPU per change of the rest of the server",
                    1e3 * (usage.server.all() - hashing) / usage.requests,
                    "ms",
                ),
                row(
                    "CPU of clients and receiver",
                    100.0 * usage.own.all() / usage.seconds / count(cores),
                    "% of the machine",
                ),
            ],
        );
        Ok(mean(&rates))
    }

    /// Changes per second of clients that never rest.
    async fn saturate(&self, customers: &mut Vec<Customer>, window: Duration, usage: &mut Usage) -> Result<f64> {
        let load = Saturation::start(&self.api, customers.drain(..CLIENTS));
        // Not measured: connections are opened, the workers' queue fills.
        sleep(window / 5).await;
        let (meter, answers) = (self.meter()?, load.answers());
        sleep(window).await;
        let done = count(load.answers() - answers);
        let seconds = usage.add(&meter, done)?;
        customers.extend(load.finish().await?);
        self.receipts.wait_for_all(customers).await?;
        Ok(done / seconds)
    }

    fn meter(&self) -> Result<Meter> {
        Meter::read(self.server.pid())
    }

    /// Half of the capacity: changes by the clock, and some tokens beside them.
    async fn delivery(&self, plan: &Plan, capacity: f64, customers: &mut Vec<Customer>) -> Result<()> {
        let apart = customers.split_off(customers.len() - 20);
        let changes = load::by_the_clock(&self.api, customers, capacity / 2.0, plan.half_load);
        let tokens = load::tokens_by_the_clock(&self.api, &apart, TOKENS, plan.half_load);
        let (changes, tokens) = tokio::try_join!(changes, tokens)?;
        self.receipts.wait_for_all(customers).await?;
        let after_answer = self.latencies(&changes).await?;
        let after_request = self.latencies(&tokens).await?;
        customers.extend(apart);
        section(
            "delivery at half load",
            &[
                row("change: from the answer to the receipt, p50", percentile(&after_answer, 0.5), "ms").at_most(10.0),
                row("change: from the answer to the receipt, p99", percentile(&after_answer, 0.99), "ms").at_most(50.0),
                row("token: from the request to the receipt, p50", percentile(&after_request, 0.5), "ms").at_most(10.0),
                row("token: from the request to the receipt, p99", percentile(&after_request, 0.99), "ms")
                    .at_most(50.0),
            ],
        );
        Ok(())
    }

    /// Milliseconds from the moments in `sent` to the receipts, in order.
    async fn latencies(&self, sent: &[Sent]) -> Result<Vec<f64>> {
        if sent.is_empty() {
            return Err("nothing was done at half load: the machine is busy with something else".into());
        }
        let mut latencies = Vec::new();
        for Sent { resource, sequence, at } in sent {
            let receipt = self.receipts.wait_for(resource, *sequence).await?;
            latencies.push(1e3 * receipt.saturating_duration_since(*at).as_secs_f64());
        }
        latencies.sort_by(f64::total_cmp);
        Ok(latencies)
    }

    /// Requests that come three times too fast, between two rounds of saturation to compare with.
    async fn overload(&self, plan: &Plan, capacity: f64, start_mib: f64, mut customers: Vec<Customer>) -> Result<()> {
        let (window, mut usage) = (plan.overload / 3, Usage::default());
        let before = self.saturate(&mut customers, window, &mut Usage::default()).await?;
        let (rest_mib, meter) = (memory(self.server.pid(), Memory::Now)?, self.meter()?);
        let run = load::overload(&self.api, &mut customers, OVERLOAD * capacity, plan.overload).await?;
        let peak_mib = memory(self.server.pid(), Memory::Peak)?;
        let Overload { goodput, answered, refused, timed_out, other, unsent, ref waits } = run;
        usage.add(&meter, answered + refused)?;
        println!("overload: {usage}");
        let after = self.saturate(&mut customers, window, &mut Usage::default()).await?;
        println!("saturation before {before:.1}, after {after:.1} changes/s");
        section(
            "overload, 3 times the capacity",
            &[
                row("password changes", goodput, "changes/s").limit(mean(&[before, after])).at_least(0.9),
                row("answered with 200", answered, "requests"),
                row("refused with 503 and Retry-After", refused, "requests"),
                row("timed out", timed_out, "requests").at_most(0.0),
                row("answered otherwise", other, "requests").at_most(0.0),
                row("not sent, because 400 were in progress", unsent, "requests"),
                row("time to the answer of 200, p50", percentile(waits, 0.5), "ms"),
                row("time to the answer of 200, p99", percentile(waits, 0.99), "ms"),
                // After the start: idle, and one arena for each worker. Caches that fill later count against it.
                row("peak memory, against after the start", peak_mib, "MiB").limit(start_mib).at_most(1.1),
                row("memory at rest just before", rest_mib, "MiB"),
            ],
        );
        Ok(())
    }
}
