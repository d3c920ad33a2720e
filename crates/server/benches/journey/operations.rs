//! **Operations**: password changes that are made at an identity provider as well, which takes 50 ms for each call. What
//! an operation costs beside a plain change and beside its provider; and how many there are in a second, as a share of
//! the bare loop of hashes: a provider costs time, and none of the machine.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use keyherald::hash::{HashOptions, bare_two_hash_loop};
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::black_box::api::{Api, http_client};
use crate::black_box::server::{Launch, Server};
use crate::load::{self, Customer, Saturation};
use crate::provider::Provider;
use crate::report::{mean, percentile, row, section};
use crate::{CLIENT_WAIT, CLIENTS, Result, program};

/// What each call to the provider takes.
const TAKES: Duration = Duration::from_millis(50);
/// Clients that together keep the machine busy while others wait for the provider. With twice as many the queue for
/// hashing gets so long that some are refused, and then they ask again at once.
const MANY: usize = 24;
/// Customers of each, who take turns: what an operation does after its answer is done before the next one.
const EACH: usize = 10;
/// Changes of each kind, one after the other.
const ALONE: usize = 100;

/// Rounds and their length.
pub struct Plan {
    pub rounds: u32,
    pub round: Duration,
}

/// Measures, with a server of its own.
pub async fn measure(plan: &Plan) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let provider = Provider::start(TAKES).await?;
    let launch = Launch {
        program: program(),
        data: folder.path().join("data"),
        store: None,
        log: folder.path().join("server.log"),
        settings: settings(&provider.url),
    };
    let server = launch.start()?;
    let measured = measured(plan, folder.path(), &launch, &server, &provider).await;
    if measured.is_err() {
        eprintln!("the server's log ends with:\n{}", launch.log_tail());
    }
    measured
}

fn settings(provider_url: &str) -> Vec<(&'static str, String)> {
    let settings = [
        ("KEYHERALD_DEV_NO_MAIL", "true"),
        ("KEYHERALD_DEV_NO_PROVIDER", "true"),
        ("KEYHERALD__PROJECTS__0__NAVIGA__USER_PROVIDER", "bench"),
        ("KEYHERALD__PROVIDERS__BENCH__KIND", "auth0"),
        ("KEYHERALD__PROVIDERS__BENCH__BASE_URL", provider_url),
        ("KEYHERALD__PROVIDERS__BENCH__CLIENT_ID", "bench"),
        ("KEYHERALD__PROVIDERS__BENCH__CLIENT_SECRET_ENV", "BENCH_SECRET"),
        ("BENCH_SECRET", "secret"),
        ("KEYHERALD__PROVIDERS__BENCH__CONNECTION", "bench"),
        ("KEYHERALD__PROVIDERS__BENCH__ALLOW_INSECURE_HTTP", "true"),
        ("KEYHERALD__PROVIDERS__BENCH__NET__ALLOW_PRIVATE", "true"),
        // The provider is not what is measured.
        ("KEYHERALD__PROVIDERS__BENCH__LIMITS__RPS", "100000"),
        ("KEYHERALD__PROVIDERS__BENCH__LIMITS__BURST", "100000"),
        ("KEYHERALD__PROVIDERS__BENCH__LIMITS__MAX_IN_FLIGHT", "1000"),
    ];
    settings.map(|(name, value)| (name, value.to_owned())).to_vec()
}

async fn measured(plan: &Plan, folder: &Path, launch: &Launch, server: &Server, provider: &Provider) -> Result<()> {
    let api = Arc::new(Api::sign_in(&http_client(CLIENT_WAIT)?, server).await?);
    let mut plain = load::create(&api, 1, 1).await?;
    let mut linked = load::create_as(&api, "linked", MANY * EACH, CLIENTS).await?;
    link(folder, launch, &linked)?;
    let (bare_ms, plain_ms) = (bare_ms()?, alone(&api, &mut plain).await?);
    let busy = provider.busy_ms();
    let linked_ms = alone(&api, &mut linked).await?;
    let provider_ms = (provider.busy_ms() - busy) / mean(&[f64::from(u32::try_from(linked_ms.len())?)]);
    let (plain_p50, linked_p50) = (percentile(&plain_ms, 0.5), percentile(&linked_ms, 0.5));

    let (mut bare, mut rates) = (Vec::new(), Vec::new());
    let options = HashOptions::default();
    for round in 1..=plan.rounds {
        let loops = bare_two_hash_loop(&options, options.worker_count(), plan.round)?;
        let rate = saturate(&api, &mut linked, plan.round).await?;
        println!("round {round}: bare loop {loops:.1}, operations {rate:.1} changes/s");
        bare.push(loops);
        rates.push(rate);
    }
    section(
        "operations, with a provider that takes 50 ms for a call",
        &[
            row("one alone: time to the answer, p50", linked_p50, "ms"),
            row("one alone: of it at the provider", provider_ms, "ms"),
            row(
                "one alone: own cost, without the provider and two hashes side by side",
                linked_p50 - provider_ms - bare_ms,
                "ms",
            ),
            row(
                "one alone: own cost, beside the provider and a plain change",
                linked_p50 - provider_ms - plain_p50,
                "ms",
            ),
            row("saturation: password changes", mean(&rates), "changes/s").limit(mean(&bare)).at_least(0.8),
        ],
    );
    Ok(())
}

/// Milliseconds that the verification and the new hash of one change take side by side on an idle machine.
fn bare_ms() -> Result<f64> {
    let options = HashOptions::default();
    let rate = bare_two_hash_loop(&options, 1, Duration::from_secs(2))?;
    Ok(1e3 / rate / if options.worker_count() > 1 { 2.0 } else { 1.0 })
}

/// Says who the customers are at the provider, as whoever takes over a shop does: by an import.
fn link(folder: &Path, launch: &Launch, customers: &[Customer]) -> Result<()> {
    let record = |customer: &Customer| {
        let users = json!({"bench": format!("auth0|{}", customer.id)});
        json!({"email": customer.email, "authenticationMode": "Password", "providerUsers": users}).to_string() + "\n"
    };
    let (file, config) = (folder.join("customers.jsonl"), folder.join("import.toml"));
    std::fs::write(&file, customers.iter().map(record).collect::<String>())?;
    let data = launch.data.display();
    std::fs::write(
        &config,
        format!(
            "[store]\nurl = \"sqlite:{data}/keyherald.db\"\n[secrets]\n\
             sealing_keys = [{{ id = \"development\", key_file = \"{data}/sealing.key\" }}]\n[[projects]]\nkey = \"demo\"\n"
        ),
    )?;
    let import = Command::new(&launch.program)
        .args(["customers", "import", "--project", "demo", "--config"])
        .args([&config, &file])
        .env_clear()
        .output()?;
    if import.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&import.stderr).into_owned().into()) }
}

/// Milliseconds to each answer, sorted, of changes one after the other.
async fn alone(api: &Arc<Api>, customers: &mut [Customer]) -> Result<Vec<f64>> {
    let mut times = Vec::new();
    let count = customers.len().max(1);
    for turn in 0..ALONE {
        let Some(customer) = customers.get_mut(turn % count) else { break };
        let asked = Instant::now();
        customer.must_change(api).await?;
        times.push(1e3 * asked.elapsed().as_secs_f64());
    }
    times.sort_by(f64::total_cmp);
    Ok(times)
}

async fn saturate(api: &Arc<Api>, customers: &mut Vec<Customer>, window: Duration) -> Result<f64> {
    let mut groups = Vec::new();
    while !customers.is_empty() {
        groups.push(customers.split_off(customers.len().saturating_sub(EACH)));
    }
    let load = Saturation::in_turns(api, groups.into_iter());
    sleep(window / 5).await;
    let (begun, answers, refusals) = (Instant::now(), load.answers(), load.refusals());
    sleep(window).await;
    let done = f64::from(u32::try_from(load.answers() - answers)?);
    let seconds = begun.elapsed().as_secs_f64();
    println!("answered 503: {}", load.refusals() - refusals);
    customers.extend(load.finish().await?);
    Ok(done / seconds)
}
