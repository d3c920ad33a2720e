//! The connection of one destination to its broker.
//!
//! There is one, on which many messages wait for their confirmations; it is made when a message needs it, and when it has
//! ended, for whatever reason, the next message that the relay sends makes another: nothing here tries again by itself. A
//! confirmation that did not come leaves it open whether the broker has the message; it is sent again with the same id.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::future::BoxFuture;
use keyherald_core::delivery::Outcome;
use tokio::sync::{Mutex, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::temporary;
use crate::destination::{Delivery, Destination};
use crate::outbound::tether::Tether;

/// Messages of one connection that wait for their confirmation.
pub(in crate::destination) const WAITING_MAX: usize = 64;
/// Longest wait for a connection, until we are signed in.
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// A connection that nobody has used for so long is closed: shorter than the patience of what lies on the way.
const IDLE_MAX: Duration = Duration::from_secs(30);
/// Longest farewell.
const CLOSE_MAX: Duration = Duration::from_secs(1);
/// Confirmations that may be missing before a connection is given up, though other things are heard on it: a client may
/// remember each of them.
const MISSING_MAX: usize = 16 * WAITING_MAX;

/// How one destination's clients are made.
pub(in crate::destination) trait Broker: Send + Sync + 'static {
    /// Speaks the protocol.
    type Client: Client;

    /// Connects and signs in. The client lives on the connection of the tether, and on no other.
    fn connect(&self) -> impl Future<Output = Result<(Self::Client, Tether), Outcome>> + Send;
}

/// A protocol on one connection.
pub(in crate::destination) trait Client: Send + Sync + 'static {
    /// Publishes a message and waits for its confirmation.
    fn publish(&self, delivery: Delivery) -> impl Future<Output = Outcome> + Send;

    /// Whether the connection has not ended, as far as we know.
    fn is_open(&self) -> bool;

    /// Says farewell. Nothing waits for a confirmation.
    fn close(&self) -> impl Future<Output = ()> + Send {
        std::future::ready(())
    }
}

/// A destination at a broker.
pub(in crate::destination) struct Line<B: Broker> {
    broker: B,
    attempt_timeout: Duration,
    idle_max: Duration,
    room: Semaphore,
    now: Arc<Mutex<Now<B::Client>>>,
    /// How many connections were tried.
    tries: AtomicU64,
}

/// What there is now.
struct Now<C> {
    connection: Option<Arc<Connection<C>>>,
    /// How the last try failed, if it did.
    failed: Option<Outcome>,
    /// Closes the connection when nobody uses it.
    _closer: JoinSet<()>,
}

struct Connection<C> {
    client: C,
    tether: Tether,
    /// How often it was used.
    uses: AtomicU64,
    /// How many confirmations did not come in time.
    missing: AtomicUsize,
}

/// A connection that a message went to, and how much had been heard on it.
struct Used<C> {
    connection: Arc<Connection<C>>,
    heard: u64,
}

impl<B: Broker> Line<B> {
    pub(in crate::destination) fn new(broker: B, attempt_timeout: Duration) -> Self {
        let now = Now { connection: None, failed: None, _closer: JoinSet::new() };
        let (room, now) = (Semaphore::new(WAITING_MAX), Arc::new(Mutex::new(now)));
        Self { broker, attempt_timeout, idle_max: IDLE_MAX, room, now, tries: AtomicU64::new(0) }
    }

    async fn attempt(&self, delivery: Delivery, used: &mut Option<Used<B::Client>>) -> Outcome {
        let _room = self.room.acquire().await;
        let connection = match self.connection().await {
            Ok(connection) => connection,
            Err(outcome) => return outcome,
        };
        *used = Some(Used { heard: connection.tether.heard(), connection: connection.clone() });
        let outcome = connection.client.publish(delivery).await;
        connection.tether.was_of_use();
        outcome
    }

    /// A message waited in vain. If nothing at all was heard meanwhile, the connection is given up, so that the next one does
    /// not wait on a dead one as well.
    fn waited_in_vain(&self, Used { connection, heard }: &Used<B::Client>) {
        let missing = connection.missing.fetch_add(1, Ordering::Relaxed) + 1;
        if connection.tether.heard() == *heard || missing >= MISSING_MAX {
            connection.tether.cut();
            // Whoever holds the lock looks whether it is open.
            if let Ok(mut now) = self.now.try_lock() {
                now.connection.take_if(|current| Arc::ptr_eq(current, connection));
            }
        }
    }

    /// The connection, made anew if there is none. Whoever waits for one that is being made shares its failure.
    async fn connection(&self) -> Result<Arc<Connection<B::Client>>, Outcome> {
        let tries = self.tries.load(Ordering::Relaxed);
        let mut now = self.now.lock().await;
        if let Some(connection) = now.connection.take_if(|connection| !connection.is_open()) {
            connection.tether.cut();
        }
        if let Some(connection) = &now.connection {
            connection.uses.fetch_add(1, Ordering::Relaxed);
            return Ok(connection.clone());
        }
        if let Some(outcome) = &now.failed
            && self.tries.load(Ordering::Relaxed) != tries
        {
            return Err(outcome.clone());
        }
        let connected = timeout(CONNECT_MAX, self.broker.connect()).await;
        let connected = connected.unwrap_or_else(|_| Err(temporary("no answer in time")));
        self.tries.fetch_add(1, Ordering::Relaxed);
        match connected {
            Ok((client, tether)) => {
                let (uses, missing) = (AtomicU64::new(1), AtomicUsize::new(0));
                let connection = Arc::new(Connection { client, tether, uses, missing });
                let mut closer = JoinSet::new();
                closer.spawn(close_when_idle(Arc::downgrade(&self.now), Arc::downgrade(&connection), self.idle_max));
                *now = Now { connection: Some(connection.clone()), failed: None, _closer: closer };
                Ok(connection)
            }
            Err(outcome) => {
                now.failed = Some(outcome.clone());
                Err(outcome)
            }
        }
    }
}

impl<C: Client> Connection<C> {
    fn is_open(&self) -> bool {
        self.client.is_open() && !self.tether.is_cut()
    }
}

/// Closes a connection that was not used in between two looks. Ends with it, at the latest at the next look.
async fn close_when_idle<C: Client>(
    now: Weak<Mutex<Now<C>>>,
    connection: Weak<Connection<C>>,
    between_looks: Duration,
) {
    let mut seen = 0;
    loop {
        sleep(between_looks).await;
        let (Some(now), Some(connection)) = (now.upgrade(), connection.upgrade()) else { return };
        let mut now = now.lock().await;
        let uses = connection.uses.load(Ordering::Relaxed);
        // Who uses it holds it, besides the two of us; who is going to must have the lock.
        if uses == seen && Arc::strong_count(&connection) == 2 {
            now.connection.take_if(|current| Arc::ptr_eq(current, &connection));
            drop(now);
            let _in_time = timeout(CLOSE_MAX, connection.client.close()).await;
            return;
        }
        seen = uses;
    }
}

impl<B: Broker> Destination for Line<B> {
    fn send(&self, delivery: Delivery) -> BoxFuture<'_, Outcome> {
        Box::pin(async move {
            let mut used = None;
            if let Ok(outcome) = timeout(self.attempt_timeout, self.attempt(delivery, &mut used)).await {
                return outcome;
            }
            if let Some(used) = &used {
                self.waited_in_vain(used);
            }
            temporary("no answer in time")
        })
    }
}

#[cfg(test)]
mod tests {
    use futures_util::future::join_all;
    use keyherald_core::id::{CustomerId, MessageId};
    use keyherald_core::{Ctx, Micros};
    use tokio::io::duplex;
    use tokio::sync::watch;

    use super::*;
    use crate::outbound::tether::tether;

    /// A broker that confirms everything, or whom nobody reaches.
    struct Fake {
        is_there: bool,
        connects: AtomicUsize,
        closed: watch::Sender<usize>,
    }

    struct FakeClient(watch::Sender<usize>);

    impl Broker for Fake {
        type Client = FakeClient;

        async fn connect(&self) -> Result<(FakeClient, Tether), Outcome> {
            self.connects.fetch_add(1, Ordering::Relaxed);
            tokio::task::yield_now().await;
            let (_, tether) = tether(Box::new(duplex(1).0), 1);
            if self.is_there { Ok((FakeClient(self.closed.clone()), tether)) } else { Err(temporary("no connection")) }
        }
    }

    impl Client for FakeClient {
        async fn publish(&self, _: Delivery) -> Outcome {
            Outcome::Delivered
        }

        fn is_open(&self) -> bool {
            true
        }

        async fn close(&self) {
            self.0.send_modify(|closed| *closed += 1);
        }
    }

    fn line(is_there: bool) -> Line<Fake> {
        let fake = Fake { is_there, connects: AtomicUsize::new(0), closed: watch::Sender::new(0) };
        Line::new(fake, Duration::from_secs(30))
    }

    fn delivery() -> Delivery {
        let mut ctx = Ctx::new(Micros(1_760_000_000_000_000), [1; 32]);
        Delivery {
            message_id: MessageId::new(&mut ctx),
            sequence: Some(1),
            customer: CustomerId::new(&mut ctx),
            project: "demo".parse().unwrap(),
            created_at: ctx.now,
            attempt: 1,
            now: ctx.now,
            content_type: "application/json",
            body: Vec::new(),
            event: None,
            is_replay: false,
            trace: None,
        }
    }

    #[tokio::test]
    async fn a_connection_that_nobody_uses_is_closed_and_made_again() {
        let line = Line { idle_max: Duration::from_millis(1), ..line(true) };
        for connects in 1..=2 {
            assert_eq!(line.send(delivery()).await, Outcome::Delivered);
            assert_eq!(line.broker.connects.load(Ordering::Relaxed), connects);
            let mut closed = line.broker.closed.subscribe();
            let closed = timeout(Duration::from_secs(30), closed.wait_for(|closed| *closed == connects)).await;
            assert!(closed.is_ok());
        }
    }

    #[tokio::test]
    async fn many_share_one_connection_and_one_failure() {
        for (is_there, outcome) in [(true, Outcome::Delivered), (false, temporary("no connection"))] {
            let line = line(is_there);
            let outcomes = join_all((0..WAITING_MAX).map(|_| line.send(delivery()))).await;
            assert!(outcomes.iter().all(|each| *each == outcome));
            assert_eq!(line.broker.connects.load(Ordering::Relaxed), 1);
        }
        let line = line(false);
        for connects in 1..=2 {
            line.send(delivery()).await;
            assert_eq!(line.broker.connects.load(Ordering::Relaxed), connects, "who comes later tries again");
        }
    }
}
