//! A destination in memory that answers by a script.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use futures_util::future::BoxFuture;
use keyherald::deliver::{Opened, Opener};
use keyherald::destination::cloud::ENDURANCE;
use keyherald::destination::{Delivery, Destination, Endurance, Rules};
use keyherald_core::delivery::{Cause, Outcome};
use keyherald_core::id::{CustomerId, MessageId};
use tokio::sync::watch;

/// What came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrival {
    pub customer: CustomerId,
    pub message: MessageId,
    /// 0: a change.
    pub sequence: i64,
    pub attempt: u32,
    pub body: Vec<u8>,
    pub outcome: Outcome,
}

/// What the receiver makes of a delivery.
pub type Script = Arc<dyn Fn(&Delivery) -> Outcome + Send + Sync>;

/// The receiver.
pub struct Scripted {
    script: Script,
    arrivals: Mutex<Vec<Arrival>>,
    sending: watch::Sender<BTreeSet<CustomerId>>,
    /// While it is true, deliveries are not answered.
    gate: watch::Sender<bool>,
    disabled_after: Option<i64>,
    body_bytes_max: Option<usize>,
}

pub fn failed(cause: Cause, retry_after_s: Option<u32>) -> Outcome {
    Outcome::Failed { reason: "answered 500".to_owned(), retry_after_s, cause }
}

pub fn temporary() -> Outcome {
    failed(Cause::Temporary, None)
}

impl Scripted {
    pub fn new(script: impl Fn(&Delivery) -> Outcome + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self {
            script: Arc::new(script),
            arrivals: Mutex::default(),
            sending: watch::Sender::default(),
            gate: watch::Sender::new(false),
            disabled_after: None,
            body_bytes_max: None,
        })
    }

    /// The same, disabled when it has accepted nothing for so many microseconds.
    pub fn disabled_after(after: i64, script: impl Fn(&Delivery) -> Outcome + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self { disabled_after: Some(after), ..Arc::into_inner(Self::new(script)).unwrap() })
    }

    /// One that takes no body above so many bytes.
    pub fn taking(bytes_max: usize) -> Arc<Self> {
        let healthy = Arc::into_inner(Self::healthy()).unwrap();
        Arc::new(Self { body_bytes_max: Some(bytes_max), ..healthy })
    }

    pub fn healthy() -> Arc<Self> {
        Self::new(|_| Outcome::Delivered)
    }

    /// Leaves deliveries unanswered from now on, or answers them.
    pub fn hold(&self, hold: bool) {
        self.gate.send_replace(hold);
    }

    /// The customers whose messages are on their way.
    pub fn sending(&self) -> BTreeSet<CustomerId> {
        self.sending.borrow().clone()
    }

    pub fn arrivals(&self) -> Vec<Arrival> {
        self.arrivals.lock().unwrap().clone()
    }

    /// The arrivals of one customer.
    pub fn of(&self, customer: CustomerId) -> Vec<Arrival> {
        self.arrivals().into_iter().filter(|arrival| arrival.customer == customer).collect()
    }

    /// How many different messages were accepted.
    pub fn accepted(&self) -> usize {
        let accepted = self.arrivals().into_iter().filter(|arrival| arrival.outcome == Outcome::Delivered);
        accepted.map(|arrival| arrival.message).collect::<BTreeSet<_>>().len()
    }

    /// First arrivals of each customer have the sequence numbers 1, 2, 3 ...; later copies have the same id and body.
    pub fn assert_in_order(&self) {
        let mut first: BTreeMap<CustomerId, Vec<Arrival>> = BTreeMap::new();
        for arrival in self.arrivals() {
            let of_customer = first.entry(arrival.customer).or_default();
            match of_customer.iter().find(|known| known.sequence == arrival.sequence) {
                Some(known) => assert_eq!((known.message, &known.body), (arrival.message, &arrival.body)),
                None => of_customer.push(arrival),
            }
        }
        for (customer, arrivals) in first {
            let sequences: Vec<i64> = arrivals.iter().map(|arrival| arrival.sequence).collect();
            assert!(sequences.iter().copied().eq((1..).take(sequences.len())), "{customer}: {sequences:?}");
        }
    }
}

impl Destination for Scripted {
    fn send(&self, delivery: Delivery) -> BoxFuture<'_, Outcome> {
        Box::pin(async move {
            let customer = delivery.customer;
            let only = self.sending.send_if_modified(|sending| sending.insert(customer));
            assert!(only, "two messages of one customer on their way");
            let _on_its_way = OnItsWay(self, customer);
            self.gate.subscribe().wait_for(|held| !held).await.unwrap();
            let outcome = (self.script)(&delivery);
            let Delivery { message_id: message, sequence, attempt, body, .. } = delivery;
            let sequence = sequence.unwrap_or_default();
            let arrival = Arrival { customer, message, sequence, attempt, body, outcome: outcome.clone() };
            self.arrivals.lock().unwrap().push(arrival);
            outcome
        })
    }

    fn disabled_after(&self) -> Option<i64> {
        self.disabled_after
    }

    fn body_bytes_max(&self) -> Option<usize> {
        self.body_bytes_max
    }
}

/// Also when the sender is dropped.
struct OnItsWay<'a>(&'a Scripted, CustomerId);

impl Drop for OnItsWay<'_> {
    fn drop(&mut self) {
        self.0.sending.send_if_modified(|sending| sending.remove(&self.1));
    }
}

/// Sends everything to one receiver.
pub fn to(destination: &Arc<Scripted>) -> Opener {
    opened(destination, None)
}

/// The same, as if it were of a kind that the contract has.
pub fn to_cloud(destination: &Arc<Scripted>) -> Opener {
    opened(destination, Some(ENDURANCE))
}

fn opened(destination: &Arc<Scripted>, endurance: Option<Endurance>) -> Opener {
    let destination: Arc<dyn Destination> = destination.clone();
    let rules = Rules { gone_disables: true, persistence: None };
    Arc::new(move |_| Ok(Opened { destination: destination.clone(), rules, endurance }))
}
