//! Gathers messages that are to be sent at the same moment into one request.
//!
//! The relay has one message of a customer on its way at a time, so a batch holds at most one of each customer, and its answer
//! is that of every message in it: no order is at stake, whatever happens to the batch. What has failed in one is tried alone
//! from then on: a message that its receiver cannot take would otherwise use up the attempts of its neighbours.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::{BoxFuture, join_all};
use keyherald_core::delivery::{Cause, Outcome};
use tokio::sync::oneshot;

use crate::destination::Delivery;
use crate::destination::answer::failed;

/// How long a batch is open. The lanes start what they can at once, so a moment is enough.
const OPEN: Duration = Duration::from_millis(10);
/// A batch has no more bytes than this, unless it is one message: what every receiver of events should take four times over.
const BYTES_MAX: usize = 256 * 1024;

/// Where messages wait for each other.
pub(super) struct Gathering {
    open: Mutex<Vec<Waiting>>,
    size_max: usize,
}

/// What sends a batch.
pub(super) trait Post: Sync {
    /// One request with all of them; its answer is that of each.
    fn post<'a>(&'a self, batch: &'a [Delivery]) -> BoxFuture<'a, Outcome>;
}

struct Waiting {
    delivery: Delivery,
    tell: oneshot::Sender<Outcome>,
}

/// Whoever opened the batch. When it goes away, so does the batch: its messages were not sent.
struct Opened<'a>(&'a Gathering);

impl Drop for Opened<'_> {
    fn drop(&mut self) {
        self.0.take();
    }
}

impl Gathering {
    pub(super) fn new(size_max: usize) -> Self {
        Self { open: Mutex::default(), size_max }
    }

    /// Sends a message with others that come while the batch is open. Whoever opened it posts it.
    pub(super) async fn join(&self, delivery: Delivery, to: &dyn Post) -> Outcome {
        if delivery.attempt > 1 {
            return to.post(&[delivery]).await;
        }
        let (tell, told) = oneshot::channel();
        if self.add(Waiting { delivery, tell }) {
            let opened = Opened(self);
            tokio::time::sleep(OPEN).await;
            let waiting = self.take();
            drop(opened);
            join_all(batches(waiting, self.size_max).into_iter().map(|batch| send_batch(batch, to))).await;
        }
        told.await.unwrap_or_else(|_| failed(Cause::Temporary, "its batch was not sent".to_owned()))
    }

    /// Answers whether it is the first of its batch.
    fn add(&self, waiting: Waiting) -> bool {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.push(waiting);
        open.len() == 1
    }

    fn take(&self) -> Vec<Waiting> {
        std::mem::take(&mut *self.open.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Those that are still waited for, in batches within the limits.
fn batches(waiting: Vec<Waiting>, size_max: usize) -> Vec<Vec<Waiting>> {
    let mut batches: Vec<Vec<Waiting>> = Vec::new();
    let mut bytes = 0;
    for one in waiting.into_iter().filter(|one| !one.tell.is_closed()) {
        bytes += one.delivery.body.len();
        let has_room = |last: &&mut Vec<Waiting>| last.len() < size_max && bytes <= BYTES_MAX;
        if let Some(last) = batches.last_mut().filter(has_room) {
            last.push(one);
        } else {
            bytes = one.delivery.body.len();
            batches.push(vec![one]);
        }
    }
    batches
}

/// One batch, and what becomes of each message. If it is refused, each is sent alone at once: it may be one of them only.
async fn send_batch(batch: Vec<Waiting>, to: &dyn Post) {
    let (deliveries, tells): (Vec<Delivery>, Vec<_>) = batch.into_iter().map(|one| (one.delivery, one.tell)).unzip();
    let outcome = to.post(&deliveries).await;
    let outcomes = match outcome {
        Outcome::Failed { cause: Cause::Refused, .. } if deliveries.len() > 1 => {
            join_all(deliveries.chunks(1).map(|one| to.post(one))).await
        }
        outcome => vec![outcome; deliveries.len()],
    };
    for (tell, outcome) in tells.into_iter().zip(outcomes) {
        let _nobody_waits = tell.send(outcome);
    }
}

#[cfg(test)]
mod tests {
    use keyherald_core::id::{CustomerId, MessageId};
    use keyherald_core::{Ctx, Micros};

    use super::*;

    fn delivery(number: u8, attempt: u32, bytes: usize) -> Delivery {
        let mut ctx = Ctx::new(Micros(i64::from(number)), [number; 32]);
        Delivery {
            message_id: MessageId::new(&mut ctx),
            sequence: Some(1),
            customer: CustomerId::new(&mut ctx),
            project: "demo".parse().unwrap(),
            created_at: ctx.now,
            attempt,
            now: ctx.now,
            content_type: "application/cloudevents+json",
            body: vec![number; bytes],
            event: None,
            is_replay: false,
            trace: None,
        }
    }

    /// A receiver that answers by the messages of a request.
    struct Answering<F> {
        answer: F,
        requests: Mutex<Vec<Vec<u8>>>,
    }

    impl<F: Fn(&[u8]) -> Outcome + Sync> Post for Answering<F> {
        fn post<'a>(&'a self, batch: &'a [Delivery]) -> BoxFuture<'a, Outcome> {
            let numbers: Vec<u8> = batch.iter().map(|delivery| delivery.body[0]).collect();
            let outcome = (self.answer)(&numbers);
            self.requests.lock().unwrap().push(numbers);
            Box::pin(async { outcome })
        }
    }

    fn answering<F: Fn(&[u8]) -> Outcome + Sync>(answer: F) -> Answering<F> {
        Answering { answer, requests: Mutex::default() }
    }

    /// Sends them at the same moment. Answers how they ended, and of which messages the requests were.
    async fn sent(
        deliveries: Vec<Delivery>,
        size_max: usize,
        answer: impl Fn(&[u8]) -> Outcome + Sync,
    ) -> (Vec<Outcome>, Vec<Vec<u8>>) {
        let (gathering, receiver) = (Gathering::new(size_max), answering(answer));
        let outcomes = join_all(deliveries.into_iter().map(|delivery| gathering.join(delivery, &receiver))).await;
        (outcomes, receiver.requests.into_inner().unwrap())
    }

    #[tokio::test]
    async fn what_comes_at_once_goes_in_one_request_up_to_its_size() {
        let deliveries = (0..5).map(|number| delivery(number, 1, 1)).collect();
        let (outcomes, requests) = sent(deliveries, 2, |_| Outcome::Delivered).await;
        assert_eq!(outcomes, vec![Outcome::Delivered; 5]);
        assert_eq!(requests, [vec![0, 1], vec![2, 3], vec![4]]);
        let large = (0..3).map(|number| delivery(number, 1, BYTES_MAX / 2)).collect();
        assert_eq!(sent(large, 10, |_| Outcome::Delivered).await.1, [vec![0, 1], vec![2]]);
    }

    #[tokio::test]
    async fn what_has_failed_before_goes_alone() {
        let deliveries = vec![delivery(0, 1, 1), delivery(1, 2, 1), delivery(2, 1, 1)];
        let (_, mut requests) = sent(deliveries, 10, |_| Outcome::Delivered).await;
        requests.sort();
        assert_eq!(requests, [vec![0, 2], vec![1]]);
    }

    #[tokio::test]
    async fn a_refused_batch_is_sent_one_by_one_and_only_what_is_refused_alone_has_failed() {
        let refused = failed(Cause::Refused, "answered 422".to_owned());
        let deliveries = (0..3).map(|number| delivery(number, 1, 1)).collect();
        let answer = |numbers: &[u8]| if numbers.contains(&1) { refused.clone() } else { Outcome::Delivered };
        let (outcomes, requests) = sent(deliveries, 10, answer).await;
        assert_eq!(outcomes, [Outcome::Delivered, refused.clone(), Outcome::Delivered]);
        assert_eq!(requests.len(), 4);
    }

    #[tokio::test]
    async fn a_batch_that_fails_otherwise_has_failed_for_all() {
        let broken = failed(Cause::Temporary, "answered 500".to_owned());
        let deliveries = (0..3).map(|number| delivery(number, 1, 1)).collect();
        let (outcomes, requests) = sent(deliveries, 10, |_| broken.clone()).await;
        assert_eq!((outcomes, requests.len()), (vec![broken.clone(); 3], 1));
    }

    #[tokio::test]
    async fn who_opens_a_batch_and_goes_away_leaves_nobody_waiting() {
        let (gathering, receiver) = (Gathering::new(10), answering(|_: &[u8]| Outcome::Delivered));
        let mut first = Box::pin(gathering.join(delivery(0, 1, 1), &receiver));
        assert!(futures_util::poll!(&mut first).is_pending());
        let mut second = Box::pin(gathering.join(delivery(1, 1, 1), &receiver));
        assert!(futures_util::poll!(&mut second).is_pending());
        drop(first);
        assert_eq!(second.await, failed(Cause::Temporary, "its batch was not sent".to_owned()));
        assert_eq!(gathering.join(delivery(2, 1, 1), &receiver).await, Outcome::Delivered);
    }
}
