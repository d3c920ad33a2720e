//! What the commands do. `main.rs` parses and calls; what takes more than a few lines has a file here.

mod activity;
mod client;
pub mod customers;
mod deliveries;
mod events;
mod migrate;
mod operations;
pub mod provider;
mod scrub;
mod subscriptions;
mod tail;
mod token;

use std::io::Write;
use std::process::ExitCode;

use crate::boot;
use crate::check::check;
use crate::cli::{self, Cli, Color, Command, ConfigFile, Dev, Messages};
use crate::clock::Moments;
use crate::complaint::Complaint;
use crate::config::{Config, Environment, Log, Purpose, Role};
use crate::demo::{self, Colors};
use crate::dev::{self, Development, Provider};
use crate::telemetry;

/// Runs a command to its end.
pub fn run(cli: Cli) -> Result<ExitCode, Complaint> {
    match cli.command {
        Command::Activity(options) => on_runtime(activity::run(options)),
        Command::Check(file) => {
            check(&file.config, Environment::of_process(), &mut std::io::stdout().lock())?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Demo(options) => {
            // The story is what is to be read: of the server, only what is broken.
            telemetry::init(&Log { level: "error".into(), ..Log::default() });
            let colors = match options.color {
                Color::Auto => Colors::Auto,
                Color::Always => Colors::Always,
                Color::Never => Colors::Never,
            };
            if options.cluster {
                let told = on_runtime(demo::run_cluster(colors))?;
                return Ok(if told { ExitCode::SUCCESS } else { ExitCode::FAILURE });
            }
            let told = on_runtime(demo::run(demo::Options { keep: options.keep, colors, naviga_token: jwt_of_dev }))?;
            Ok(if told { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        Command::Dev(options) => on_runtime(run_dev(options)),
        Command::Serve(options) => {
            let mut config = load(&options.file, Purpose::Serve)?;
            config.node.role = match options.role {
                None => config.node.role,
                Some(cli::Role::All) => Role::All,
                Some(cli::Role::Api) => Role::Api,
                Some(cli::Role::Relay) => Role::Relay,
            };
            telemetry::init(&config.log);
            on_runtime(serve(config))
        }
        Command::Migrate(options) => on_runtime(migrate::run(load(&options.file, Purpose::Maintain)?, options.status)),
        Command::Scrub(file) => on_runtime(scrub::run(load(&file, Purpose::Maintain)?)),
        Command::Client(command) => on_runtime(client::run(command)),
        Command::Customers(command) => on_runtime(customers::run(command)),
        Command::Deliveries(command) => on_runtime(deliveries::run(command)),
        Command::Events(command) => on_runtime(events::run(command)),
        Command::Operations(command) => on_runtime(operations::run(command)),
        Command::Provider(command) => on_runtime(provider::run(command)),
        Command::Messages(Messages::Tail(options)) => on_runtime(tail::run(options)),
        Command::Subscriptions(command) => on_runtime(subscriptions::run(command)),
        Command::Token(command) => token::run(command),
    }
}

fn load(file: &ConfigFile, purpose: Purpose) -> Result<Config, Complaint> {
    Ok(Config::load(Some(&file.config), Environment::of_process(), purpose)?)
}

/// Runs on a runtime of few threads: the work is in the hashing pool and in the store's threads, and every wake-up of
/// an idle thread costs more than the requests.
fn on_runtime<T>(work: impl Future<Output = Result<T, Complaint>>) -> Result<T, Complaint> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| Complaint::because("no threads can be started", &error))?;
    let outcome = runtime.block_on(work);
    // After a second signal nothing is waited for.
    runtime.shutdown_background();
    outcome
}

async fn serve(config: Config) -> Result<ExitCode, Complaint> {
    let running = boot::start(&config, Moments::of_system()).await?;
    tracing::info!(url = running.url, "ready on {}", running.url);
    Ok(ExitCode::from(running.run().await.exit_code()))
}

async fn run_dev(options: Dev) -> Result<ExitCode, Complaint> {
    let mut development = Development::in_folder(&options.data).with(options.listen, options.store);
    development = development.with_credentials_webhook(options.credentials_webhook);
    if options.no_mail {
        development = development.without_mail();
    }
    let provider = if options.no_provider { None } else { Some(Provider::listen().await?) };
    if let Some(provider) = &provider {
        development = development.with_provider(provider);
    }
    let config = development.config()?;
    telemetry::init(&config.log);
    let running = dev::start(&config, Moments::of_system()).await?;
    if let Some(provider) = &provider {
        provider.serve(&running);
    }
    let (id, secret) = (Development::CLIENT_ID, Development::CLIENT_SECRET);
    tracing::warn!("for development only: everybody knows the credentials {id} / {secret}");
    let ready = serde_json::json!({
        "url": running.url,
        "projectKey": Development::PROJECT,
        "clientId": id,
        "clientSecret": secret,
        "naviga": naviga_of_dev(&config)?,
        "paysafe": dev::paysafe_ready(&running).await?,
        "metrics": running.metrics_url,
    });
    // Whoever started it may have closed its end: that is no reason not to serve.
    let mut stdout = std::io::stdout().lock();
    let _closed = writeln!(stdout, "{ready}").and_then(|()| stdout.flush());
    drop(stdout);
    tracing::info!(url = running.url, data = %options.data.display(), "ready on {}, Ctrl-C ends it", running.url);
    Ok(ExitCode::from(running.run().await.exit_code()))
}

/// What a caller of the development server's Naviga API sends.
fn naviga_of_dev(config: &Config) -> Result<serde_json::Value, Complaint> {
    let (jwt, code) = (jwt_of_dev(config)?, Development::NAVIGA_CODE);
    let provider = dev::has_provider(config).then_some(Development::PROVIDER);
    Ok(serde_json::json!({"jwt": jwt, "clientGroup": code, "client": code, "paper": code, "userProvider": provider}))
}

fn jwt_of_dev(config: &Config) -> Result<String, Complaint> {
    let project = Development::PROJECT.parse().map_err(|why: String| Complaint::new(why))?;
    token::mint(config, &project, &token::Caller::default(), Moments::of_system().now())
}

/// Prints a line; a closed pipe (`| head`) ends the command quietly: `false`.
fn print(line: &str) -> bool {
    writeln!(std::io::stdout(), "{line}").is_ok()
}
