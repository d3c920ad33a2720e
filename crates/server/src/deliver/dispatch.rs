//! One subscription's dispatcher: feeds its [`Lanes`] from the log and does what they say.
//!
//! All decisions are the lanes'. This shell only moves things: entries from the window, or from pages of its own when it
//! is behind; messages to the destination; pages of parked lanes; changes to the store. Whatever takes time is a future
//! in `work`, and its end is an event for the lanes, so one subscription's state is only ever touched here, in turn.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use keyherald_core::Micros;
use keyherald_core::delivery::{Cause, Outcome};
use keyherald_core::id::CustomerId;
use keyherald_core::message::{Content, Message};
use keyherald_core::notice::Notice;
use keyherald_store::log::{self, Entry};
use keyherald_store::subscription::Stored;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::counters::Gauge;
use super::lanes::{Action, Item, Lanes};
use super::ledger::{Claim, Ledger, Rows};
use super::window::Next;
use super::{Opened, Shared};
use crate::destination::{Delivery, Destination};
use crate::format;

/// Pause before the store is tried again.
const FAULT_PAUSE: Duration = Duration::from_secs(1);

/// Why a dispatcher ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// It was asked to.
    Stopped,
    /// The receiver said that it is gone.
    Disabled,
    /// The subscription was updated: nothing more is written of what it was.
    Outdated,
    /// The subscription was deleted, or another dispatcher has taken it over.
    Lost,
}

/// What a future in `work` ended with.
enum Done {
    /// A message was sent.
    Sent(CustomerId, Outcome),
    /// A page of a parked lane was read, up to the position; `None`: it could not be.
    LanePage(CustomerId, Option<(Vec<Item<Arc<Entry>>>, i64)>),
    /// A page of the log was read, up to the position; `None`: it could not be.
    LogPage(Option<(Vec<Arc<Entry>>, i64)>),
    /// Changes were written; or not, because this dispatcher must end.
    Saved(Result<(), Ended>),
}

/// A subscription that is being delivered.
pub(super) struct Dispatcher {
    shared: Arc<Shared>,
    stored: Arc<Stored>,
    destination: Arc<dyn Destination>,
    claim: Claim,
    lanes: Lanes<Arc<Entry>>,
    /// Entries that are to be offered, and the position up to which they are complete.
    intake: VecDeque<Arc<Entry>>,
    intake_to: i64,
    work: FuturesUnordered<BoxFuture<'static, Done>>,
    is_paging: bool,
    is_saving: bool,
    /// When what has changed is to be written.
    save_at: Option<Instant>,
    was_resting: bool,
}

impl Dispatcher {
    pub(super) fn new(shared: Arc<Shared>, stored: Arc<Stored>, opened: &Opened, ledger: Ledger) -> Self {
        let policy = shared.settings.lanes(opened);
        let lanes = Lanes::new(policy, &ledger.cursors, ledger.parked, ledger.dead, stored.subscription.status);
        Self {
            shared,
            stored,
            destination: opened.destination.clone(),
            claim: ledger.claim,
            intake: VecDeque::new(),
            intake_to: lanes.seen(),
            lanes,
            work: FuturesUnordered::new(),
            is_paging: false,
            is_saving: false,
            save_at: None,
            was_resting: false,
        }
    }

    /// Delivers until it is stopped, then finishes what is on its way and writes what it knows.
    pub(super) async fn run(mut self, mut stop: watch::Receiver<bool>) -> Ended {
        let mut moved = self.shared.window.moved();
        while !*stop.borrow_and_update() && !self.lanes.is_disabled() {
            moved.mark_unchanged();
            self.take_in();
            self.start();
            self.save(false);
            self.show();
            let wake = self.wake_at();
            tokio::select! {
                Some(done) = self.work.next() => if let Err(ended) = self.done(done) { return ended },
                _ = moved.changed() => {}
                () = sleep_until(wake.unwrap_or_else(Instant::now)), if wake.is_some() => {}
                _ = stop.changed() => {}
            }
        }
        self.lanes.stop();
        let ended = if self.lanes.is_disabled() { Ended::Disabled } else { Ended::Stopped };
        self.finish().await.map_or_else(|instead| instead, |()| ended)
    }

    /// Waits for what is on its way, within limits, and writes the rest; or ends before that.
    async fn finish(&mut self) -> Result<(), Ended> {
        let until = Instant::now() + self.shared.settings.drain;
        while self.lanes.sending() > 0
            && let Some(done) = tokio::select! { done = self.work.next() => done, () = sleep_until(until) => None }
        {
            self.done(done)?;
            self.save(false);
        }
        let mut all_taken = false;
        loop {
            if !self.is_saving {
                if all_taken {
                    return Ok(());
                }
                all_taken = true;
                self.save(true);
            }
            // What is still on its way will be sent again: only writes are waited for.
            if self.is_saving
                && let Some(done) = self.work.next().await
            {
                self.done(done)?;
            }
        }
    }

    /// Offers what the lanes have room for.
    fn take_in(&mut self) {
        loop {
            while self.lanes.has_room()
                && let Some(entry) = self.intake.pop_front()
            {
                self.offer(entry);
            }
            if !self.intake.is_empty() {
                return;
            }
            self.lanes.seen_all(self.intake_to);
            if self.is_paging || !self.lanes.has_room() {
                return;
            }
            match self.shared.window.after(self.lanes.seen()) {
                Next::Nothing => return,
                Next::Entries(entries, up_to) => (self.intake, self.intake_to) = (entries.into(), up_to),
                Next::Behind(end) => return self.read_log(end),
            }
        }
    }

    fn offer(&mut self, entry: Arc<Entry>) {
        let (position, customer) = (entry.notice.position(), entry.notice.lane());
        if wants(&self.stored, &entry) {
            self.lanes.offer(Item { position, customer, body: entry });
        } else {
            self.lanes.seen_all(position);
        }
    }

    /// Starts what the lanes want done.
    fn start(&mut self) {
        for action in self.lanes.pump(self.shared.moments.now()) {
            match action {
                Action::Send { item, attempt } => self.send(&item, attempt),
                Action::Read { customer, from, up_to } => self.read_lane(customer, (from, up_to)),
            }
        }
        if self.lanes.is_resting() != self.was_resting {
            self.was_resting = self.lanes.is_resting();
            let id = self.stored.subscription.id;
            if self.was_resting {
                tracing::warn!(subscription = %id, "the destination fails: its deliveries rest");
            } else {
                tracing::info!(subscription = %id, "the destination answers again");
            }
        }
    }

    fn send(&self, item: &Item<Arc<Entry>>, attempt: u32) {
        let (customer, now) = (item.customer, self.shared.moments.now());
        let notice = notice_at(&item.body.notice, now);
        let (project, format) = (&self.stored.project, self.stored.subscription.format);
        let Ok(rendered) = format::render(project, &notice, format, &self.shared.settings.event_ids) else {
            self.work.push(Box::pin(async move { Done::Sent(customer, Outcome::Erased) }));
            return;
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
        };
        let (destination, limit) = (self.destination.clone(), self.shared.settings.attempt_max);
        self.work.push(Box::pin(async move {
            let sent = timeout(limit, destination.send(delivery)).await;
            let late = |_| Outcome::Failed {
                reason: "no answer in time".to_owned(),
                retry_after_s: None,
                cause: Cause::Temporary,
            };
            Done::Sent(customer, sent.unwrap_or_else(late))
        }));
    }

    /// Reads a page of what is behind the window.
    fn read_log(&mut self, end: i64) {
        self.is_paging = true;
        let (shared, seen, now) = (self.shared.clone(), self.lanes.seen(), self.shared.moments.now());
        let limit = shared.settings.page_size;
        self.work.push(Box::pin(async move {
            let ring = shared.ring.clone();
            match shared.store.read(move |tx| log::after(tx, &ring, (seen, end), limit, now)).await {
                Ok(page) => {
                    let up_to = complete_to(&page, limit, end);
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
    fn read_lane(&self, customer: CustomerId, (from, up_to): (i64, i64)) {
        let (shared, stored, now) = (self.shared.clone(), self.stored.clone(), self.shared.moments.now());
        let limit = shared.settings.lane_page_size;
        self.work.push(Box::pin(async move {
            let (ring, project) = (shared.ring.clone(), stored.project.clone());
            let look = move |tx: &mut dyn keyherald_store::Tx| {
                log::of_customer(tx, &ring, (&project, customer), (from, up_to), limit, now)
            };
            match shared.store.read(look).await {
                Ok(page) => {
                    let read_to = complete_to(&page, limit, up_to);
                    let wanted = page.into_iter().filter(|entry| wants(&stored, entry));
                    let item =
                        |entry: Entry| Item { position: entry.notice.position(), customer, body: Arc::new(entry) };
                    Done::LanePage(customer, Some((wanted.map(item).collect(), read_to)))
                }
                Err(fault) => {
                    tracing::warn!(fault = ?fault, "a customer's messages cannot be read; trying again");
                    Done::LanePage(customer, None)
                }
            }
        }));
    }

    /// Writes what has changed, if it is time; one write at a time, repeated until it succeeds.
    fn save(&mut self, all: bool) {
        if self.is_saving {
            return;
        }
        let settings = &self.shared.settings;
        if self.save_at.is_none() && self.lanes.is_save_due() {
            self.save_at = Some(Instant::now() + settings.save_every);
        }
        let is_time = self.save_at.is_some_and(|at| at <= Instant::now());
        if !(all || is_time || self.lanes.is_save_urgent() || self.lanes.unsaved() >= settings.save_after) {
            return;
        }
        self.save_at = None;
        let Some(changes) = self.lanes.take_changes(all) else { return };
        self.is_saving = true;
        changes.letters.iter().for_each(|_| self.shared.counters.count_dead());
        let (shared, stored, claim) = (self.shared.clone(), self.stored.clone(), self.claim);
        self.work.push(Box::pin(async move {
            let rows = loop {
                match Rows::new(&shared, &stored, claim, changes.clone()) {
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

    /// Tells the lanes what has ended, unless it ends this dispatcher.
    fn done(&mut self, done: Done) -> Result<(), Ended> {
        match done {
            Done::Sent(customer, outcome) => {
                self.count(&outcome);
                self.lanes.sent(customer, outcome, &mut self.shared.moments.ctx());
            }
            Done::LanePage(customer, Some((items, read_to))) => self.lanes.page(customer, items, read_to),
            Done::LanePage(customer, None) => self.lanes.page_failed(customer, self.shared.moments.now()),
            Done::LogPage(page) => {
                self.is_paging = false;
                if let Some((entries, up_to)) = page {
                    (self.intake, self.intake_to) = (entries.into(), up_to);
                }
            }
            Done::Saved(saved) => {
                saved?;
                self.is_saving = false;
                self.lanes.saved();
            }
        }
        Ok(())
    }

    fn count(&self, outcome: &Outcome) {
        let (id, counters) = (self.stored.subscription.id, &self.shared.counters);
        match outcome {
            Outcome::Delivered => counters.count_delivered(),
            Outcome::Erased | Outcome::Moot => {}
            Outcome::Rejected { reason } => {
                counters.count_failed();
                tracing::info!(subscription = %id, reason, "a message is put aside: its receiver never takes it");
            }
            Outcome::Gone => {
                counters.count_failed();
                tracing::warn!(subscription = %id, "the receiver says that it is gone");
            }
            Outcome::Failed { reason, .. } => {
                counters.count_failed();
                tracing::debug!(subscription = %id, reason, "an attempt failed");
            }
        }
    }

    /// When something is due although nothing happens. The clock that schedules are made by may be moved, so it is
    /// looked at again after a while.
    fn wake_at(&self) -> Option<Instant> {
        let (now, settings) = (self.shared.moments.now(), &self.shared.settings);
        let wait = self.lanes.next_wake().map(|at| {
            let micros = u64::try_from(at.0.saturating_sub(now.0)).unwrap_or(0);
            Instant::now() + Duration::from_micros(micros).min(settings.tick)
        });
        let save = self.save_at.filter(|_| !self.is_saving);
        [wait, save].into_iter().flatten().min()
    }

    fn show(&self) {
        let (lanes, seen) = (&self.lanes, self.lanes.seen());
        let gauge = Gauge {
            seen,
            lag: (self.shared.window.end() - seen).max(0),
            sending: lanes.sending(),
            buffered: lanes.buffered(),
            parked: lanes.parked(),
            resting: lanes.is_resting(),
        };
        self.shared.counters.set(self.stored.subscription.id, gauge);
    }
}

fn wants(stored: &Stored, entry: &Entry) -> bool {
    entry.project == stored.project && stored.subscription.wants(&entry.notice)
}

/// The position up to which a page is complete: all that was asked for, or its last entry if it is full.
fn complete_to(page: &[Entry], limit: i64, up_to: i64) -> i64 {
    let is_full = i64::try_from(page.len()).is_ok_and(|length| length >= limit);
    page.last().filter(|_| is_full).map_or(up_to, |last| last.notice.position())
}

/// The notice as it may be shown at `now`: an entry that was read a while ago may hold a token that has ended since.
fn notice_at(notice: &Notice, now: Micros) -> std::borrow::Cow<'_, Notice> {
    use std::borrow::Cow;
    let Notice::Message(message) = notice else { return Cow::Borrowed(notice) };
    match &message.facts.content {
        Content::CustomerPasswordTokenCreated { expires_at, .. }
        | Content::CustomerEmailTokenCreated { expires_at, .. }
        | Content::CustomerWelcomed { expires_at }
        | Content::VerificationCodeCreated { expires_at }
            if message.secret.is_some() && *expires_at <= now =>
        {
            Cow::Owned(Notice::Message(Box::new(Message { secret: None, ..(**message).clone() })))
        }
        _ => Cow::Borrowed(notice),
    }
}
