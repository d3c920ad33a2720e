//! A node on a thread of its own, which can be frozen, killed and stopped, and whose clock is its own.

use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use futures_util::future::BoxFuture;
use keyherald::clock::{ManualClock, Moments, Seeded};
use keyherald::deliver::{Counters, NodeSettings, Opened, Opener, Settings};
use keyherald::destination::{Delivery, Destination, Rules};
use keyherald_core::delivery::Outcome;
use keyherald_core::id::NodeId;
use keyherald_store::testing::{TestStore, options};
use keyherald_store::{Sql, Store, lease};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use crate::scripted::Scripted;
use crate::stage::{NOW, Stage, settings};

/// Longer than any test: leases run out when [`run_out`] says so.
const LEASE: Duration = Duration::from_hours(1);

/// Settings of one node among several.
pub fn among(name: Option<&str>) -> Settings {
    let node = NodeSettings { every: Duration::from_millis(20), ..NodeSettings::new(name.map(str::to_owned), LEASE) };
    Settings { node: Some(node), ..settings() }
}

pub struct Peer {
    pub clock: Arc<ManualClock>,
    pub counters: Arc<Counters>,
    sent: Arc<AtomicUsize>,
    runtime: Handle,
    end: oneshot::Sender<End>,
    thread: JoinHandle<()>,
}

enum End {
    Stop,
    Kill,
}

/// While it lives nothing of the node goes on, whatever time it is.
pub struct Frozen {
    _thaw: mpsc::Sender<()>,
}

impl Peer {
    pub fn start(stage: &Stage, store: &TestStore, receiver: &Arc<Scripted>, settings: Settings) -> Self {
        // Their ids are made of the time: who starts later comes later among the members.
        static STARTED: AtomicI64 = AtomicI64::new(1);
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let clock = Arc::new(ManualClock::at(NOW.plus(number * 1000)));
        let chance = Arc::new(Seeded::new(1000 + number.unsigned_abs()));
        let moments = Moments::new(clock.clone(), chance);
        let sent = Arc::new(AtomicUsize::new(0));
        let opener = counting(receiver, &sent);
        let own = store.again(&options());
        let relay = stage.relay_on(own.clone(), moments, opener, settings);
        let (counters, (end, ended)) = (relay.counters(), oneshot::channel());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let handle = runtime.handle().clone();
        let thread = std::thread::spawn(move || {
            let (mut stop, mut kill) = (None, None);
            let (tell_stop, told_stop) = oneshot::channel::<()>();
            let until_killed = async {
                match ended.await {
                    Ok(End::Stop) => stop = Some(tell_stop.send(())),
                    _ => kill = Some(tell_stop),
                }
                if kill.is_none() {
                    std::future::pending::<()>().await;
                }
            };
            runtime.block_on(async {
                tokio::select! {
                    () = relay.run(async { drop(told_stop.await) }) => {}
                    () = until_killed => {}
                }
            });
            drop(relay);
            drop(runtime); // with all its tasks, wherever they are
            drop((stop, kill, own));
        });
        Self { clock, counters, sent, runtime: handle, end, thread }
    }

    /// Attempts begun.
    pub fn sent(&self) -> usize {
        self.sent.load(Ordering::SeqCst)
    }

    /// Partitions that it delivers.
    pub fn partitions(&self) -> u32 {
        self.counters.figures().partitions
    }

    /// Stops everything where it is.
    pub async fn freeze(&self) -> Frozen {
        let (thaw, thawed) = mpsc::channel();
        let (tell, told) = oneshot::channel();
        self.runtime.spawn(async move {
            tell.send(()).unwrap();
            let _ = thawed.recv(); // of the whole thread, on purpose
        });
        told.await.unwrap();
        Frozen { _thaw: thaw }
    }

    /// Waits until everything that could be done at this moment was.
    pub async fn breathe(&self) {
        for _ in 0..10 {
            self.runtime.spawn(tokio::task::yield_now()).await.unwrap();
        }
    }

    pub async fn stop(self) {
        self.end(End::Stop).await;
    }

    /// Nothing is finished and nobody is told.
    pub async fn kill(self) {
        self.end(End::Kill).await;
    }

    async fn end(self, end: End) {
        let _ = self.end.send(end);
        tokio::task::spawn_blocking(move || self.thread.join().unwrap()).await.unwrap();
    }
}

/// All members, in the order in which they joined.
pub async fn members(store: &Store) -> Vec<NodeId> {
    store.read(|tx| lease::table(tx)).await.unwrap().members.iter().map(|member| member.id).collect()
}

/// By the database's clock this member's lease is over.
pub async fn run_out(stage: &Stage, member: NodeId) {
    static RUN_OUT: Sql = Sql::both("RUN_OUT", "UPDATE relay_node SET expires_at = 0 WHERE id = $1");
    stage.store.write(&stage.moments.ctx(), move |tx, _| tx.execute(&RUN_OUT, &[member.into()])).await.unwrap();
}

struct Counting {
    to: Arc<Scripted>,
    sent: Arc<AtomicUsize>,
}

impl Destination for Counting {
    fn send(&self, delivery: Delivery) -> BoxFuture<'_, Outcome> {
        self.sent.fetch_add(1, Ordering::SeqCst);
        self.to.send(delivery)
    }
}

fn counting(to: &Arc<Scripted>, sent: &Arc<AtomicUsize>) -> Opener {
    let destination: Arc<dyn Destination> = Arc::new(Counting { to: to.clone(), sent: sent.clone() });
    let rules = Rules { gone_disables: true, persistence: None };
    Arc::new(move |_| Ok(Opened { destination: destination.clone(), rules, endurance: None }))
}
