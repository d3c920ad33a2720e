//! Deliveries, measured from outside: a server in a process of its own, receivers in this one, real HTTP. Messages are those of
//! reset tokens: they need no hash, so that the machine is the relay's.
//!
//! * **deliveries**: a backlog is sent to one receiver, as a share of a bare loop in a third process that signs and posts as many
//!   bodies of the same size with the same client; both in turns. What one costs: processor time and statements.
//! * **latency**: from the request to the receipt at a hundred changes a second.
//! * **width**: the cost of a delivery with 1, 10 and 100 subscriptions, and among 20 000 and a million customers.
//! * **neighbours**: what nine receivers notice of a tenth that answers nothing, and of one that is slow.
//! * **nodes**: 1, 2 and 3 processes on one PostgreSQL. They share the cores of one machine: no more than that it costs little.
//! * **backlog**: how fast an hour's messages are caught up with.
//!
//! Prints one JSON line per section for `cargo xtask bench`; `--quick` measures briefly.

mod bare;
#[expect(dead_code, reason = "the kill test needs more of it")]
#[path = "../../tests/black_box/mod.rs"]
mod black_box;
#[expect(dead_code, reason = "the journey needs more of it")]
#[path = "../journey/process.rs"]
mod process;
#[path = "../journey/report.rs"]
mod report;
mod shop;
mod sink;

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use process::{Meter, Usage};
use report::{Row, count, mean, percentile, row, section};
use shop::Shop;
use sink::{Mood, Sink};

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// Customers who are there before anything is measured.
const CUSTOMERS: usize = 20_000;

/// How much is measured.
struct Plan {
    /// Messages of one backlog.
    backlog: usize,
    /// Bare loop and server, in turns.
    rounds: usize,
    /// How long requests are sent by the clock.
    window: Duration,
    /// All customers, where there are many.
    many: usize,
    /// Messages of an hour: twenty a second.
    hour: usize,
}

impl Plan {
    fn of_arguments() -> Self {
        let is_quick = std::env::args().any(|argument| argument == "--quick");
        let seconds = Duration::from_secs;
        if is_quick {
            Self { backlog: 2_000, rounds: 2, window: seconds(3), many: 40_000, hour: 4_000 }
        } else {
            Self { backlog: 20_000, rounds: 5, window: seconds(30), many: 1_000_000, hour: 72_000 }
        }
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    let done = match arguments.iter().position(|argument| argument == bare::FLAG) {
        Some(at) => bare::run(arguments.get(at + 1..).unwrap_or_default()),
        None => measure_all(&Plan::of_arguments()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("error: {why}");
            ExitCode::FAILURE
        }
    }
}

fn measure_all(plan: &Plan) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        one_receiver(plan).await?;
        latency(plan).await?;
        subscriptions(plan).await?;
        customers(plan).await?;
        neighbours(plan).await?;
        let Ok(server) = std::env::var("KEYHERALD_TEST_POSTGRES") else {
            println!("nodes are not measured: there is no PostgreSQL (KEYHERALD_TEST_POSTGRES)");
            return Ok(());
        };
        nodes(plan, &server).await
    })
}

fn program() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_keyherald"))
}

/// What a backlog took.
#[derive(Default)]
struct Drained {
    rates: Vec<f64>,
    usage: Usage,
    statements: f64,
}

impl Drained {
    /// Lets `messages` wait for all subscriptions, then go, and measures until the last copy has come.
    async fn measure(&mut self, shop: &Shop, sink: &Sink, messages: usize) -> Result<()> {
        let copies = messages * shop.subscriptions();
        shop.pause().await?;
        shop.make_tokens(messages).await?;
        sink.forget();
        self.meter(shop, sink, copies, shop.resume()).await
    }

    /// The same where several nodes deliver: only one of them would hear at once of a pause and of its end, so the receiver is
    /// it that holds back.
    async fn measure_nodes(&mut self, shop: &Shop, sink: &Sink, messages: usize) -> Result<()> {
        sink.hold();
        let made = shop.make_tokens(messages).await;
        sink.forget();
        self.meter(shop, sink, messages * shop.subscriptions(), async {
            sink.release();
            made
        })
        .await
    }

    /// Measures from `begin` until so many copies have come.
    async fn meter(
        &mut self,
        shop: &Shop,
        sink: &Sink,
        copies: usize,
        begin: impl Future<Output = Result<()>>,
    ) -> Result<()> {
        let (meter, before) = (Meter::read(shop.pid())?, shop.statements().await?);
        begin.await?;
        let rate = sink.rate_of(copies).await?;
        self.usage.add(&meter, count(copies))?;
        self.statements += shop.statements().await? - before;
        self.rates.push(rate);
        Ok(())
    }

    fn micros(&self) -> f64 {
        1e6 * self.usage.server.all() / self.usage.requests
    }

    fn statements(&self) -> f64 {
        self.statements / self.usage.requests
    }
}

async fn one_receiver(plan: &Plan) -> Result<()> {
    let sink = Sink::start(Mood::Accept)?;
    let shop = Shop::open(CUSTOMERS).await?;
    shop.subscribe(&sink, "/hook").await?;
    Drained::default().measure(&shop, &sink, plan.backlog / 10).await?; // connections, caches
    let (mut drained, mut bare) = (Drained::default(), Vec::new());
    for round in 1..=plan.rounds {
        sink.forget();
        let child = bare::start(&sink.url("/hook"), plan.backlog)?;
        bare.push(sink.rate_of(plan.backlog).await?);
        bare::finish(child)?;
        drained.measure(&shop, &sink, plan.backlog).await?;
        let rate = drained.rates.last().copied().unwrap_or_default();
        println!(
            "round {round}: bare loop {:.0}, relay {rate:.0} deliveries/s",
            bare.last().copied().unwrap_or_default()
        );
    }
    let mut backlog = Drained::default();
    backlog.measure(&shop, &sink, plan.hour).await?;
    section(
        "deliveries, one receiver (SQLite)",
        &[
            row("to a webhook", mean(&drained.rates), "deliveries/s").limit(mean(&bare)).at_least(0.7),
            row("processor time of the server for one", drained.micros(), "µs"),
            row("statements for one", drained.statements(), "statements"),
            row(
                format!("catching up with {} messages, an hour at {} a second", plan.hour, plan.hour / 3600),
                mean(&backlog.rates),
                "deliveries/s",
            ),
        ],
    );
    Ok(())
}

/// Milliseconds from requests to receipts under `path`, sorted; a hundred a second.
async fn waits(shop: &Shop, sink: &Sink, rate: f64, window: Duration, paths: &[String]) -> Result<Vec<f64>> {
    sink.forget();
    let sent = shop.tokens_by_the_clock(rate, window).await?;
    let mut waits = Vec::new();
    for path in paths {
        for (token, at) in &sent {
            waits.push(1e3 * sink.receipt(path, token).await?.saturating_duration_since(*at).as_secs_f64());
        }
    }
    waits.sort_by(f64::total_cmp);
    Ok(waits)
}

async fn latency(plan: &Plan) -> Result<()> {
    let sink = Sink::start(Mood::Accept)?;
    let shop = Shop::open(CUSTOMERS).await?;
    shop.subscribe(&sink, "/hook").await?;
    let waits = waits(&shop, &sink, 100.0, plan.window, &["/hook".to_owned()]).await?;
    section(
        "deliveries, a hundred changes a second (SQLite)",
        &[
            row("from the request to the receipt, p50", percentile(&waits, 0.5), "ms").at_most(20.0),
            row("from the request to the receipt, p99", percentile(&waits, 0.99), "ms").at_most(100.0),
        ],
    );
    Ok(())
}

async fn subscriptions(plan: &Plan) -> Result<()> {
    let mut rows: Vec<Row> = Vec::new();
    let mut alone = None;
    for number in [1, 10, 100] {
        let sink = Sink::start(Mood::Accept)?;
        let shop = Shop::open(CUSTOMERS).await?;
        for subscription in 0..number {
            shop.subscribe(&sink, &format!("/hook/{subscription}")).await?;
        }
        // Not so few for each that beginning and ending is what costs.
        let messages = (plan.backlog / number).max(plan.backlog / 20);
        Drained::default().measure(&shop, &sink, messages / 10).await?;
        let mut drained = Drained::default();
        for _ in 0..2 {
            drained.measure(&shop, &sink, messages).await?;
        }
        let micros = drained.micros();
        let words = if number == 1 { "subscription" } else { "subscriptions" };
        let shown = row(format!("{number} {words}: processor time for one"), micros, "µs");
        rows.push(match alone {
            Some(alone) => shown.limit(alone).at_most(1.5),
            None => shown,
        });
        alone.get_or_insert(micros);
    }
    section("deliveries, many subscriptions (SQLite)", &rows);
    Ok(())
}

async fn customers(plan: &Plan) -> Result<()> {
    let mut costs = Vec::new();
    for number in [CUSTOMERS, plan.many] {
        let sink = Sink::start(Mood::Accept)?;
        let shop = Shop::open(number).await?;
        shop.subscribe(&sink, "/hook").await?;
        Drained::default().measure(&shop, &sink, plan.backlog / 10).await?;
        let mut drained = Drained::default();
        for _ in 0..2 {
            drained.measure(&shop, &sink, plan.backlog).await?;
        }
        costs.push((number, drained.micros()));
    }
    let [(few, cost_of_few), (many, cost_of_many)] = costs[..] else { return Err("two were measured".into()) };
    section(
        "deliveries, many customers (SQLite)",
        &[
            row(format!("{few} customers: processor time for one"), cost_of_few, "µs"),
            row(format!("{many} customers: processor time for one"), cost_of_many, "µs")
                .limit(cost_of_few)
                .at_most(1.5),
        ],
    );
    Ok(())
}

/// Ten receivers: all well; then the last one dead, and then slow.
async fn neighbours(plan: &Plan) -> Result<()> {
    let mut rows = Vec::new();
    let paths: Vec<String> = (0..9).map(|number| format!("/hook/{number}")).collect();
    let mut well = None;
    for (mood, words) in [(Mood::Accept, "all well"), (Mood::Fail, "one is dead"), (Mood::Slow, "one is slow")] {
        let (sink, last) = (Sink::start(Mood::Accept)?, Sink::start(mood)?);
        let shop = Shop::open(CUSTOMERS).await?;
        for path in &paths {
            shop.subscribe(&sink, path).await?;
        }
        shop.subscribe(&last, "/last").await?;
        waits(&shop, &sink, 50.0, plan.window / 10, &paths).await?;
        let waits = waits(&shop, &sink, 50.0, plan.window, &paths).await?;
        let found = (percentile(&waits, 0.5), percentile(&waits, 0.99));
        for (name, value, limit) in
            [("p50", found.0, well.map(|well: (f64, f64)| well.0)), ("p99", found.1, well.map(|well| well.1))]
        {
            let shown = row(format!("{words}: wait of the other nine, {name}"), value, "ms");
            rows.push(match limit {
                Some(limit) => shown.limit(limit).at_most(1.2),
                None => shown,
            });
        }
        well.get_or_insert(found);
    }
    section("deliveries, ten receivers (SQLite)", &rows);
    Ok(())
}

async fn nodes(plan: &Plan, server: &str) -> Result<()> {
    let mut rows: Vec<Row> = Vec::new();
    let mut alone = None;
    for number in [1, 2, 3] {
        let sink = Sink::start(Mood::Accept)?;
        let shop = Shop::open_on(server, CUSTOMERS.min(plan.backlog), number).await?;
        shop.subscribe(&sink, "/hook").await?;
        Drained::default().measure_nodes(&shop, &sink, plan.backlog / 10).await?;
        let mut drained = Drained::default();
        for _ in 0..3 {
            drained.measure_nodes(&shop, &sink, plan.backlog / 2).await?;
        }
        let rate = mean(&drained.rates);
        let words = if number == 1 { "node" } else { "nodes" };
        let shown = row(format!("{number} {words}"), rate, "deliveries/s");
        rows.push(match alone {
            Some(alone) => shown.limit(alone),
            None => shown,
        });
        alone.get_or_insert(rate);
        if number == 1 {
            rows.push(row("1 node: statements for one", drained.statements(), "statements"));
        }
    }
    section("deliveries, several nodes on two cores (PostgreSQL)", &rows);
    Ok(())
}
