//! `keyherald demo`: the main job, on real input, with nothing to set up.
//!
//! It starts the server on an embedded store in a temporary folder, and a small receiver; then it plays a story over
//! real HTTP, shows each call in short and each message as the receiver got it, and checks all that it shows. The
//! server's clock runs ahead when the story needs a token to expire, and the story says so.
//!
//! Nothing here is a shortcut: the story uses the HTTP contract only.

mod cluster;
pub mod database;
mod node;
mod receiver;
mod recovery;
mod screen;
mod story;

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::clock::{ManualClock, Moments, SystemEntropy};
use crate::complaint::Complaint;
use crate::config::Config;
use crate::dev::{self, Development, Provider};
use crate::life::{Ending, Task};
pub use cluster::run as run_cluster;
use receiver::Receiver;
use recovery::Brand;
pub use screen::Colors;
use screen::Screen;
use story::{Story, World};

/// What the command line asks for.
#[derive(Clone, Copy)]
pub struct Options {
    /// Leave the server running at the end.
    pub keep: bool,
    /// Whether to write in colours.
    pub colors: Colors,
    /// Makes a token for a caller of the tenant's Naviga API.
    pub naviga_token: fn(&Config) -> Result<String, Complaint>,
}

/// Plays the demo. True: everything that was shown was as expected.
pub async fn run(options: Options) -> Result<bool, Complaint> {
    // The story's HTTP client wants one, though it speaks no TLS. Fails only if there is one already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let folder = tempfile::Builder::new()
        .prefix("keyherald-demo-")
        .tempdir()
        .map_err(|error| Complaint::because("no temporary folder can be made", &error))?;
    let clock = Arc::new(ManualClock::running());
    let moments = Moments::new(clock.clone(), Arc::new(SystemEntropy));
    let provider = Provider::listen().await?;
    let (grace_there, user) = story::grace();
    provider.add(grace_there, user);
    let (partner_url, partner_listener) = listen("").await?;
    let development = Development::in_folder(folder.path()).with_provider(&provider);
    let config = development.with_credentials_webhook(Some(partner_url.clone())).config()?;
    let naviga_token = (options.naviga_token)(&config)?;
    let server = dev::start(&config, moments).await?;
    provider.serve(&server);

    let (arrived, receipts) = mpsc::channel(1000);
    let (receiver_url, listener) = listen("/messages").await?;
    server.life.spawn(Task::DemoReceiver, move |_| receiver::serve(listener.clone(), arrived.clone()));
    let (told, events) = mpsc::channel(1000);
    server.life.spawn(Task::DemoReceiver, move |_| receiver::serve(partner_listener.clone(), told.clone()));
    let brand = Brand(dev::paysafe_ready(&server).await?);

    let commits = CommitTimes::watch(server.app.store.committed());
    let screen = Screen::new(options.colors);
    screen.title(&server.url, folder.path(), &receiver_url, provider.url());
    let (receiver, partner) = (Receiver::new(receiver_url, receipts), Receiver::new(partner_url, events));
    let world = World { receiver, partner, provider, naviga_token, commits, clock };
    let mut story = Story::new(&server.url, world, screen);
    let outcome = match story.play().await {
        Ok(grace) => {
            // What `customers import` does, for those whom a shop brings along with their provider.
            dev::link(&server, &grace, grace_there).await?;
            match story.play_the_second_part(&grace).await {
                Ok(()) => story.play_the_third_part(&brand).await,
                broken => broken,
            }
        }
        Err(broken) => Err(broken),
    };
    let told = story.close(outcome);

    if options.keep {
        story.screen().kept(&server.url);
        return Ok(server.run().await == Ending::Orderly && told);
    }
    server.life.end();
    Ok(server.run().await == Ending::Orderly && told)
}

/// Where a receiver listens: on any free port of this machine.
async fn listen(path: &str) -> Result<(String, Arc<TcpListener>), Complaint> {
    let unheard = |error: std::io::Error| Complaint::because("the receiver cannot listen", &error);
    let listener = TcpListener::bind("127.0.0.1:0").await.map_err(unheard)?;
    Ok((format!("http://{}{path}", listener.local_addr().map_err(unheard)?), Arc::new(listener)))
}

/// When the store committed: the moments from which the way of a message is timed.
struct CommitTimes {
    times: Arc<Mutex<Vec<Instant>>>,
    // Its drop ends the watching.
    _watching: JoinSet<()>,
}

impl CommitTimes {
    fn watch(mut commits: watch::Receiver<u64>) -> Self {
        let times = Arc::new(Mutex::new(Vec::new()));
        let kept = times.clone();
        let mut task = JoinSet::new();
        task.spawn(async move {
            while commits.changed().await.is_ok() {
                if let Ok(mut times) = kept.lock() {
                    times.push(Instant::now());
                }
            }
        });
        Self { times, _watching: task }
    }

    /// The last commit before `answered`: an answer follows its commit at once, and the story makes one call at a time.
    fn before(&self, answered: Instant) -> Option<Instant> {
        let times = self.times.lock().ok()?;
        times.iter().rev().find(|at| **at <= answered).copied()
    }
}

/// How long the story waits for a message before it says that it did not come.
const PATIENCE: Duration = Duration::from_secs(10);
