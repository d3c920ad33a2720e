//! One subscription's dispatcher: does what its [`Course`] says.
//!
//! All decisions are the course's. This shell only moves things: entries from the window, or from pages of its own when it
//! is behind; messages to the destination; pages of parked lanes; changes to the store. Whatever takes time is a future
//! in `work`, and its end is an event for the course, so one subscription's state is only ever touched here, in turn.

mod told;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use keyherald_core::Micros;
use keyherald_core::delivery::{Cause, Outcome, Silence, Vigil};
use keyherald_core::event::Sending;
use keyherald_core::id::CustomerId;
use keyherald_core::notice::Notice;
use keyherald_core::relay::course::{Course, Offer, Saving};
use keyherald_core::relay::lanes::{Action, Item, Lanes};
use keyherald_core::relay::ledger::Ended;
use keyherald_core::relay::window::complete_to;
use keyherald_core::subscription::SubscriptionStatus;
use keyherald_store::event::{self, Body, Settled};
use keyherald_store::log::{self, Entry};
use keyherald_store::subscription::Stored;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};

use super::attempts::{OnTheWay, word_of};
use super::compiled::Compiled;
use super::ledger::{Claim, Ledger, Note, Rows};
use super::pace::Pace;
use super::shown::notice_at;
use super::tenure::Tenure;
use super::{Opened, Shared};
use crate::destination::{Delivery, Destination};
use crate::trace::{self, Say, Span};

/// Pause before the store is tried again.
const FAULT_PAUSE: Duration = Duration::from_secs(1);

/// What a future in `work` ended with.
enum Done {
    /// A message was sent; or an event.
    Sent(CustomerId, Outcome, Option<Sending>),
    /// A page of a parked lane was read, up to the position; `None`: it could not be.
    LanePage(CustomerId, Option<(Vec<Item<Arc<Entry>>>, i64)>),
    /// A page of the log was read, up to the position; `None`: it could not be.
    LogPage(Option<(Vec<Arc<Entry>>, i64)>),
    /// The lease ends too soon for an attempt to begin.
    NotSent,
    /// Changes were written; or not, because this dispatcher must end.
    Saved(Result<(), Ended>),
}

/// A subscription that is being delivered.
pub(super) struct Dispatcher {
    shared: Arc<Shared>,
    stored: Arc<Stored>,
    compiled: Arc<Compiled>,
    tenure: Tenure,
    destination: Arc<dyn Destination>,
    claim: Claim,
    course: Course<Arc<Entry>>,
    /// What the course's times are counted from.
    began: Instant,
    work: FuturesUnordered<BoxFuture<'static, Done>>,
    was_resting: bool,
    /// Events that are done with, and how: to be written.
    settled: Vec<(Sending, Settled)>,
    /// Of a destination that is never given up.
    silence: Option<Silence>,
    /// What is sent once more: of which customers up to where, besides all that is; and how fast.
    replayed: BTreeMap<CustomerId, i64>,
    pace: Pace,
    on_the_way: OnTheWay,
    /// When the oldest message that waits was last looked for.
    oldest: (Option<Instant>, Option<Micros>),
    /// How the destination does: to be written.
    note: Option<Note>,
    vigil: Vigil,
    /// After how long without any success delivery stops that is refused.
    refused_for: Option<i64>,
}

impl Dispatcher {
    /// Of what the tenure has of it, as it is in the ledger.
    pub(super) fn new(
        shared: Arc<Shared>,
        stored: Arc<Stored>,
        (opened, compiled): (&Opened, Arc<Compiled>),
        (tenure, ledger): (Tenure, Ledger),
    ) -> Self {
        let policy = shared.settings.lanes(opened);
        let saving = Saving { every: shared.settings.save_every, after: shared.settings.save_after };
        // What waits longest has waited since the last success, if there was none after it.
        let failing = ledger.parked.iter().map(|lane| lane.parked_at).min();
        let failing = failing.filter(|_| stored.subscription.status != SubscriptionStatus::Healthy);
        let pace = Pace::of(stored.attended.replay_rate, tenure.partitions());
        let silence = opened.rules.persistence.map(|_| Silence::since(failing));
        let lanes = Lanes::new(policy, &ledger.cursors, ledger.parked, ledger.dead, stored.subscription.status);
        Self {
            shared,
            stored,
            compiled,
            tenure,
            destination: opened.destination.clone(),
            claim: ledger.claim,
            course: Course::new(lanes, saving),
            began: Instant::now(),
            work: FuturesUnordered::new(),
            was_resting: false,
            settled: Vec::new(),
            silence,
            replayed: ledger.replayed,
            pace,
            on_the_way: OnTheWay::default(),
            oldest: (None, None),
            note: None,
            vigil: Vigil::default(),
            refused_for: opened.endurance.map(|endurance| endurance.refused_for),
        }
    }

    /// Delivers until it is stopped, then finishes what is on its way and writes what it knows.
    pub(super) async fn run(mut self, mut stop: watch::Receiver<bool>) -> Ended {
        let mut moved = self.shared.window.moved();
        while !*stop.borrow_and_update() && !self.course.lanes.is_disabled() {
            moved.mark_unchanged();
            self.take_in();
            self.start();
            self.save();
            self.show();
            let wake = self.wake_at();
            tokio::select! {
                Some(done) = self.work.next() => if let Err(ended) = self.all_done(done) { return ended },
                _ = moved.changed() => {}
                () = sleep_until(wake.unwrap_or_else(Instant::now)), if wake.is_some() => {}
                _ = stop.changed() => {}
            }
        }
        let ended = if self.course.lanes.is_disabled() { Ended::Disabled } else { Ended::Stopped };
        self.finish().await.map_or_else(|instead| instead, |()| ended)
    }

    /// Waits for what is on its way, within limits, and writes the rest; or ends before that. What is still on its way then
    /// will be sent again.
    async fn finish(&mut self) -> Result<(), Ended> {
        self.course.stop(self.began.elapsed() + self.shared.settings.drain);
        loop {
            self.save();
            if self.course.is_over() {
                return Ok(());
            }
            let wake = self.wake_at();
            tokio::select! {
                Some(done) = self.work.next() => self.all_done(done)?,
                () = sleep_until(wake.unwrap_or_else(Instant::now)), if wake.is_some() => {}
            }
        }
    }

    /// Offers what the lanes have room for.
    fn take_in(&mut self) {
        let (shared, stored, tenure, pace) = (&self.shared, &self.stored, &self.tenure, &mut self.pace);
        let compiled = &self.compiled;
        let offer = |lanes: &Lanes<Arc<Entry>>, entry: &Arc<Entry>| {
            let (position, customer, at) = (entry.notice.position(), entry.notice.lane(), entry.notice.at());
            if !tenure.has(customer) || !wants(stored, compiled, entry) {
                return Offer::Skip;
            }
            // What is sent once more is sent at its own pace, from here or by the pages of its lane.
            if position <= stored.attended.replayed_to && lanes.would_queue(customer, position) {
                let now = shared.moments.now();
                if pace.wait(now).is_some() {
                    return Offer::Wait;
                }
                pace.take(1, now);
            }
            Offer::Take(Item { position, customer, at, body: entry.clone() })
        };
        if let Some(between) = self.course.take_in(|seen| shared.window.after(seen), offer) {
            self.read_log(between);
        }
    }

    /// Up to where this customer's messages were sent before, as far as is known.
    fn replayed_to(&self, customer: CustomerId) -> i64 {
        self.replayed.get(&customer).copied().unwrap_or(0).max(self.stored.attended.replayed_to)
    }

    /// Starts what the lanes want done, if there is time for it before the lease ends.
    fn start(&mut self) {
        self.course.lanes.keep_to(self.destination.per_minute_max());
        while self.start_all() {}
        if self.course.lanes.is_resting() != self.was_resting {
            self.was_resting = self.course.lanes.is_resting();
            let id = self.stored.subscription.id;
            if self.was_resting {
                tracing::warn!(subscription = %id, "the destination fails: its deliveries rest");
            } else {
                tracing::info!(subscription = %id, "the destination answers again");
            }
        }
    }

    /// Answers whether something was put off: what it has left its place to can begin.
    fn start_all(&mut self) -> bool {
        let now = self.shared.moments.now();
        let may_send = self.tenure.may_send(&self.shared.moments, self.shared.settings.attempt_max);
        let mut was_put_off = false;
        for action in self.course.start(may_send, now) {
            match action {
                Action::Send { item, attempt } => {
                    let is_replay = item.position <= self.replayed_to(item.customer);
                    self.on_the_way.begin(&self.shared, &item, (attempt, is_replay));
                    self.send(&item, attempt, is_replay);
                }
                Action::Read { customer, from, up_to } if from <= self.replayed_to(customer) => {
                    if let Some(until) = self.pace.wait(now) {
                        self.course.lanes.put_off(customer, until);
                        was_put_off = true;
                    } else {
                        self.pace.take(1, now); // the rest when it is known how many there are
                        let limit = self.shared.settings.lane_page_size.min(self.pace.portion());
                        self.read_lane(customer, (from, up_to), limit);
                    }
                }
                Action::Read { customer, from, up_to } => {
                    self.read_lane(customer, (from, up_to), self.shared.settings.lane_page_size);
                }
            }
        }
        was_put_off
    }

    fn send(&self, item: &Item<Arc<Entry>>, attempt: u32, is_replay: bool) {
        if let Notice::Event(sending) = &item.body.notice {
            return self.send_event(sending, attempt, is_replay);
        }
        let (customer, now) = (item.customer, self.shared.moments.now());
        let notice = notice_at(&item.body.notice, now);
        let of_subscription = (&self.stored.project, &self.stored.subscription);
        let terms = (&self.shared.settings.event_ids, self.destination.body_bytes_max());
        let rendered = match self.compiled.render(of_subscription, &notice, terms) {
            Ok(rendered) => rendered,
            Err(outcome) => {
                self.work.push(Box::pin(async move { Done::Sent(customer, outcome, None) }));
                return;
            }
        };
        let delivery = Delivery {
            message_id: notice.id(),
            sequence: notice.sequence(),
            customer,
            project: self.stored.project.clone(),
            created_at: notice.at(),
            attempt,
            now,
            content_type: rendered.content_type,
            body: rendered.body,
            event: None,
            is_replay,
            trace: notice.trace().cloned(),
        };
        let (shared, tenure, destination) = (self.shared.clone(), self.tenure.clone(), self.destination.clone());
        let stored = self.stored.clone();
        self.work.push(Box::pin(async move {
            let outcome = try_once(&shared, (&stored, &tenure), &*destination, delivery).await;
            outcome.map_or(Done::NotSent, |outcome| Done::Sent(customer, outcome, None))
        }));
    }

    /// Sends the bytes that were kept when it happened, whatever they would be today.
    fn send_event(&self, sending: &Sending, attempt: u32, is_replay: bool) {
        let (shared, stored, destination) = (self.shared.clone(), self.stored.clone(), self.destination.clone());
        let (sending, now, tenure) = (sending.clone(), shared.moments.now(), self.tenure.clone());
        self.work.push(Box::pin(async move {
            let (ring, project, asked) = (shared.ring.clone(), stored.project.clone(), sending.clone());
            let outcome = match shared.store.read(move |tx| event::body(tx, &ring, &project, &asked, now)).await {
                Ok(Body::Kept(body)) => {
                    let delivery = Delivery {
                        message_id: sending.event,
                        sequence: None,
                        customer: sending.lane,
                        project: stored.project.clone(),
                        created_at: sending.at,
                        attempt,
                        now,
                        content_type: "application/json",
                        body: body.to_vec(),
                        event: Some(sending.event_type),
                        is_replay,
                        trace: sending.trace.clone(),
                    };
                    try_once(&shared, (&stored, &tenure), &*destination, delivery).await
                }
                Ok(Body::Erased) => Some(Outcome::Erased),
                Ok(Body::Ended) => Some(Outcome::Moot),
                Err(fault) => {
                    tracing::warn!(event = %sending.event, fault = ?fault, "an event's body cannot be read; trying again");
                    Some(temporary("its body cannot be read"))
                }
            };
            outcome.map_or(Done::NotSent, |outcome| Done::Sent(sending.lane, outcome, Some(sending)))
        }));
    }

    /// Reads a page of what is behind the window.
    fn read_log(&self, (after, up_to): (i64, i64)) {
        let (shared, now) = (self.shared.clone(), self.shared.moments.now());
        let limit = shared.settings.page_size;
        self.work.push(Box::pin(async move {
            let ring = shared.ring.clone();
            match shared.store.read(move |tx| log::after(tx, &ring, (after, up_to), limit, now)).await {
                Ok(page) => {
                    let up_to = complete_to(&page, limit, up_to);
                    Done::LogPage(Some((page.into_iter().map(Arc::new).collect(), up_to)))
                }
                Err(fault) => {
                    tracing::warn!(fault = ?fault, "a page of the log cannot be read; trying again");
                    sleep(FAULT_PAUSE).await;
                    Done::LogPage(None)
                }
            }
        }));
    }

    /// Reads a page of a parked lane.
    fn read_lane(&self, customer: CustomerId, (from, up_to): (i64, i64), limit: i64) {
        let (shared, stored, now) = (self.shared.clone(), self.stored.clone(), self.shared.moments.now());
        let compiled = self.compiled.clone();
        self.work.push(Box::pin(async move {
            let (ring, project) = (shared.ring.clone(), stored.project.clone());
            let look = move |tx: &mut dyn keyherald_store::Tx| {
                log::of_customer(tx, &ring, (&project, customer), (from, up_to), limit, now)
            };
            match shared.store.read(look).await {
                Ok(page) => {
                    let read_to = complete_to(&page, limit, up_to);
                    let wanted = page.into_iter().filter(|entry| wants(&stored, &compiled, entry));
                    let item = |entry: Entry| Item {
                        position: entry.notice.position(),
                        customer,
                        at: entry.notice.at(),
                        body: Arc::new(entry),
                    };
                    Done::LanePage(customer, Some((wanted.map(item).collect(), read_to)))
                }
                Err(fault) => {
                    tracing::warn!(fault = ?fault, "a customer's messages cannot be read; trying again");
                    Done::LanePage(customer, None)
                }
            }
        }));
    }

    /// Writes what has changed, if it is time; the write is repeated until it succeeds.
    fn save(&mut self) {
        let has_more = !self.settled.is_empty() || self.note.is_some();
        let Some(changes) = self.course.save(has_more, self.began.elapsed()) else { return };
        let (settled, note) = (std::mem::take(&mut self.settled), self.note.take());
        changes.letters.iter().for_each(|_| self.shared.counters.count_dead());
        let (shared, stored, right) = (self.shared.clone(), self.stored.clone(), (self.claim, self.tenure.fence()));
        let compiled = self.compiled.clone();
        self.work.push(Box::pin(async move {
            let rows = loop {
                match Rows::new(&shared, (&stored, &compiled), right, (changes.clone(), settled.clone()), note) {
                    Ok(rows) => break Arc::new(rows),
                    Err(fault) => tracing::error!(fault = ?fault, "a dead letter cannot be sealed; trying again"),
                }
                sleep(FAULT_PAUSE).await;
            };
            loop {
                match rows.write(&shared, &stored).await {
                    Ok(saved) => return Done::Saved(saved),
                    Err(fault) => tracing::warn!(fault = ?fault, "delivery state cannot be written; trying again"),
                }
                sleep(FAULT_PAUSE).await;
            }
        }));
    }

    /// What has ended, and what else has by now: the look at what comes next is worth more than one of them.
    fn all_done(&mut self, done: Done) -> Result<(), Ended> {
        self.done(done)?;
        for _ in 1..self.shared.settings.in_flight_max {
            match self.work.next().now_or_never() {
                Some(Some(done)) => self.done(done)?,
                Some(None) | None => break,
            }
        }
        Ok(())
    }

    /// Tells the lanes what has ended, unless it ends this dispatcher.
    fn done(&mut self, done: Done) -> Result<(), Ended> {
        match done {
            Done::Sent(customer, outcome, event) => {
                let mut ctx = self.shared.moments.ctx();
                self.count(&outcome);
                self.on_the_way.end(&self.shared, &self.stored, (customer, &outcome), &mut ctx);
                self.listen(&outcome);
                self.watch(&outcome);
                match (event, &outcome) {
                    (Some(event), Outcome::Delivered) => self.settled.push((event, Settled::Delivered)),
                    (Some(event), Outcome::Moot) => self.settled.push((event, Settled::Parked)),
                    _ => {}
                }
                self.course.lanes.sent(customer, outcome, &mut ctx);
            }
            Done::NotSent => return Err(Ended::Lost),
            Done::LanePage(customer, Some((items, read_to))) => {
                let to = self.replayed_to(customer);
                let again = items.iter().filter(|item| item.position <= to).count();
                self.pace.take(again.saturating_sub(1), self.shared.moments.now());
                self.course.lanes.page(customer, items, read_to);
            }
            Done::LanePage(customer, None) => {
                self.course.lanes.put_off(customer, self.shared.moments.now().plus(Micros::SECOND));
            }
            Done::LogPage(page) => self.course.paged(page),
            Done::Saved(saved) => {
                if saved == Err(Ended::Disabled) {
                    let (id, project) = (self.stored.subscription.id, &self.stored.project);
                    tracing::error!(
                        subscription = %id, %project, alert = "subscription_disabled",
                        "subscription {id} of project {project} is disabled: its receiver has accepted nothing for days"
                    );
                }
                saved?;
                self.course.saved();
            }
        }
        Ok(())
    }

    /// When something is due although nothing happens. The clock that schedules are made by may be moved, so it is
    /// looked at again after a while.
    fn wake_at(&self) -> Option<Instant> {
        let (now, settings) = (self.shared.moments.now(), &self.shared.settings);
        let pace = self.pace.wait(now).filter(|_| self.course.taken_in() > 0 && self.course.lanes.has_room());
        let wait = [self.course.start_at(), pace].into_iter().flatten().min().map(|at| {
            let micros = u64::try_from(at.0.saturating_sub(now.0)).unwrap_or(0);
            Instant::now() + Duration::from_micros(micros).min(settings.tick)
        });
        let save = self.course.save_at().map(|at| self.began + at);
        let renewal = self.course.awaits_lease().then(|| Instant::now() + settings.tick);
        let look = (!self.course.lanes.is_idle()).then(|| Instant::now() + settings.tick);
        [wait, save, renewal, look].into_iter().flatten().min()
    }
}

/// One attempt, whatever its destination thinks of time. `None`: the lease would not outlast it.
async fn try_once(
    shared: &Shared,
    (stored, tenure): (&Stored, &Tenure),
    destination: &dyn Destination,
    delivery: Delivery,
) -> Option<Outcome> {
    let limit = shared.settings.attempt_max;
    if !tenure.may_send(&shared.moments, limit) {
        return None;
    }
    let mut span = span_of(shared, stored, &delivery);
    let delivery = Delivery { trace: span.context().cloned(), ..delivery };
    let outcome = tokio::select! {
        biased; // a process that was frozen meanwhile goes on with nothing whose time is over
        () = sleep(limit) => temporary("no answer in time"),
        outcome = span.here().within(destination.send(delivery)) => outcome,
    };
    if span.is_recorded() {
        let word = word_of(&outcome);
        span.say("keyherald.outcome", word);
        if !matches!(outcome, Outcome::Delivered | Outcome::Moot) {
            span.fail(word);
        }
    }
    Some(outcome)
}

/// The span of one attempt by the conventions for messaging: in the trace of the request that caused the message, as a child of
/// its span and linked to it.
fn span_of(shared: &Shared, stored: &Stored, delivery: &Delivery) -> Span {
    let (tracer, kind) = (&shared.settings.tracer, &stored.subscription.destination.kind);
    let cause = delivery.trace.as_ref();
    let mut span = tracer.begin(trace::Kind::Producer, "send", cause).linked(cause);
    if span.is_recorded() {
        span.rename(|| format!("send {kind}"));
        span.say("messaging.operation.name", "send");
        span.say("messaging.operation.type", "send");
        span.say("messaging.system", Say::id(kind));
        span.say("messaging.message.id", Say::id(&delivery.message_id));
        span.say("messaging.message.body.size", Say::count(delivery.body.len()));
        span.say("keyherald.project", Say::id(&delivery.project));
        span.say("keyherald.subscription", Say::id(&stored.subscription.id));
        span.say("keyherald.attempt", delivery.attempt);
        span.say("keyherald.replay", delivery.is_replay);
    }
    span
}

fn temporary(reason: &str) -> Outcome {
    Outcome::Failed { reason: reason.to_owned(), retry_after_s: None, cause: Cause::Temporary }
}

fn wants(stored: &Stored, compiled: &Compiled, entry: &Entry) -> bool {
    entry.project == stored.project && compiled.wants(&stored.project, &stored.subscription, &entry.notice)
}
