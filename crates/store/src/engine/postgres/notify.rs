//! Waking other processes, and being woken by them.
//!
//! Two threads with a connection each. One sends at most one NOTIFY every few milliseconds, however many commits there
//! are; the other listens. Both only save time: whoever follows the log also looks for itself now and then.

use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use postgres::Client;
use postgres::fallible_iterator::FallibleIterator;

use super::connect::Connector;
use super::error;
use super::worker::Task;
use crate::Fault;
use crate::engine::queue::Queue;
use crate::engine::{Shared, spawn};

/// Shortest time between two NOTIFY.
const NOTIFY_EVERY: Duration = Duration::from_millis(3);
/// Pause after a connection failed.
const RECONNECT_AFTER: Duration = Duration::from_secs(1);
/// How often the listener makes sure that its connection lives and that the store is open.
const LISTEN_STEP: Duration = Duration::from_secs(1);

/// Starts both threads. What comes through the sender is told to other processes. The notifier ends when all senders
/// are gone, the listener soon after the queue was closed.
pub(super) fn start(
    connector: &Arc<Connector>,
    shared: &Arc<Shared>,
    queue: &Arc<Queue<Task>>,
) -> Result<SyncSender<()>, Fault> {
    // One place: a second commit before the NOTIFY went out is told by the same one.
    let (committed, commits) = sync_channel(1);
    let own = Arc::new(AtomicI32::new(0));
    let notifier = Notifier {
        connector: Arc::clone(connector),
        queue: Arc::clone(queue),
        own: Arc::clone(&own),
        client: None,
        not_before: Instant::now(),
    };
    let listener =
        Listener { connector: Arc::clone(connector), queue: Arc::clone(queue), own, shared: Arc::clone(shared) };
    spawn(shared, "store-notifier".to_owned(), move || notifier.run(&commits))?;
    spawn(shared, "store-listener".to_owned(), move || listener.run())?;
    Ok(committed)
}

struct Notifier {
    connector: Arc<Connector>,
    queue: Arc<Queue<Task>>,
    /// The server process behind the connection, by which the listener knows this process' own word.
    own: Arc<AtomicI32>,
    client: Option<Client>,
    not_before: Instant,
}

impl Notifier {
    fn run(mut self, commits: &Receiver<()>) {
        while commits.recv().is_ok() {
            if Instant::now() < self.not_before {
                continue; // others find this commit when they look for themselves
            }
            if let Err(fault) = self.notify() {
                tracing::debug!(error = ?fault, "other nodes were not told of a commit");
                self.client = None;
                self.not_before = Instant::now() + RECONNECT_AFTER;
            }
            self.queue.stand_aside(NOTIFY_EVERY);
        }
        if self.client.is_some() {
            let _ = self.notify(); // lets this process' own listener see at once that the store was closed
        }
    }

    fn notify(&mut self) -> Result<(), Fault> {
        let client = match &mut self.client {
            Some(client) => client,
            empty => {
                let mut client = self.connector.connect()?;
                let failed = |cause| error::fault("pg_backend_pid", cause);
                let pid = client.query_one("SELECT pg_backend_pid()", &[]).and_then(|row| row.try_get(0));
                self.own.store(pid.map_err(failed)?, Ordering::Relaxed);
                empty.insert(client)
            }
        };
        client.batch_execute("NOTIFY keyherald_commit").map_err(|cause| error::fault("NOTIFY", cause))
    }
}

struct Listener {
    connector: Arc<Connector>,
    queue: Arc<Queue<Task>>,
    own: Arc<AtomicI32>,
    shared: Arc<Shared>,
}

impl Listener {
    fn run(self) {
        while !self.queue.is_closed() {
            if let Err(fault) = self.listen() {
                tracing::debug!(error = ?fault, "commits of other nodes are not heard for the moment");
                self.queue.stand_aside(RECONNECT_AFTER);
            }
        }
    }

    /// Listens on one connection until the queue closes.
    fn listen(&self) -> Result<(), Fault> {
        let mut client = self.connector.connect()?;
        let failed = |cause| error::fault("LISTEN", cause);
        client.batch_execute("LISTEN keyherald_commit").map_err(failed)?;
        self.shared.wake(); // for what was missed until now
        while !self.queue.is_closed() {
            let heard = client.notifications().timeout_iter(LISTEN_STEP).next().map_err(failed)?;
            match heard {
                Some(heard) if heard.process_id() == self.own.load(Ordering::Relaxed) => {}
                Some(_) => self.shared.wake(),
                None => client.is_valid(LISTEN_STEP).map_err(failed)?,
            }
        }
        Ok(())
    }
}
