//! Deliveries, as operators see them and put them right: lag, lanes that wait, dead letters, pause, replay, attempts.
//!
//! Whatever changes what a subscription is owed claims it and counts as an intervention, so that the relay, here or in
//! another process, reads it anew; some messages may be repeated then, as after an update.

use keyherald_core::id::{CustomerId, DeadLetterId, MessageId, ProjectKey, SubscriptionId};
use keyherald_core::notice::Notice;
use keyherald_core::seal::KeyRing;
use keyherald_core::subscription::{FormatKind, Subscription, SubscriptionStatus};
use keyherald_core::{Ctx, Micros, Refusal};
use keyherald_store::attempt;
pub use keyherald_store::attempt::{Asked, Attempt};
use keyherald_store::delivery::{self, intervention};
pub use keyherald_store::delivery::{DeadLetter, ParkedLane};
use keyherald_store::subscription as subscriptions;
pub use keyherald_store::subscription::Attended;
use keyherald_store::{Fault, Tx, event, log};

use super::{Answer, App, owed};
use crate::deliver::Compiled;

/// How a subscription stands.
pub struct Standing {
    /// What it is.
    pub subscription: Subscription,
    /// What operators have done to it.
    pub attended: Attended,
    /// What it wants and was neither sent nor put aside, with what waits.
    pub owed: i64,
    /// When the first of what it is owed came about, or began to wait.
    pub owed_since: Option<Micros>,
    /// Lanes that wait for a retry, or for an operator.
    pub waiting: i64,
    /// Those that wait for an operator.
    pub held: i64,
    /// Messages put aside.
    pub letters: i64,
}

/// What is to be sent once more, to one subscription.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Again {
    /// A message, and what came after it for its customer.
    Message(MessageId),
    /// A message that was put aside, and what came after it for its customer.
    Letter(DeadLetterId),
    /// What a customer was sent after a position.
    Customer(CustomerId, i64),
    /// Everything after a position.
    After(i64),
    /// Everything since a time.
    Since(Micros),
}

/// Messages that are sent once more in a second, unless somebody says how many.
pub const PER_SECOND: u32 = 100;
/// Entries of a lane that are read at once.
const LANE_PAGE: i64 = 100;

impl App {
    /// All subscriptions of the project, the configuration's own too, and how they stand.
    pub async fn standings(&self, project: ProjectKey) -> Answer<Vec<Standing>> {
        let (ring, now) = (self.ring.clone(), self.ctx().now);
        let look = move |tx: &mut dyn Tx| {
            let all = subscriptions::attended(tx, &project)?;
            all.into_iter().map(|attended| standing(tx, &ring, &project, attended, now)).collect()
        };
        Ok(self.store.query(look).await?)
    }

    /// Lanes that wait, those first that have waited longest.
    pub async fn waiting_lanes(
        &self,
        project: ProjectKey,
        id: SubscriptionId,
        (customer, limit): (Option<CustomerId>, i64),
    ) -> Answer<Vec<ParkedLane>> {
        let look = move |tx: &mut dyn Tx| match subscriptions::of_operators(tx, &project, id)? {
            Some(_) => delivery::waiting(tx, id, customer, limit).map(Some),
            None => Ok(None),
        };
        Ok(self.store.read(look).await?.ok_or(Refusal::SubscriptionNotFound)?)
    }

    /// Messages that were put aside, neither retried nor dropped: the last ones first.
    pub async fn dead_letters(
        &self,
        project: ProjectKey,
        id: SubscriptionId,
        (customer, limit): (Option<CustomerId>, i64),
    ) -> Answer<Vec<DeadLetter>> {
        let look = move |tx: &mut dyn Tx| match subscriptions::of_operators(tx, &project, id)? {
            Some(_) => delivery::put_aside(tx, id, customer, limit).map(Some),
            None => Ok(None),
        };
        Ok(self.store.read(look).await?.ok_or(Refusal::SubscriptionNotFound)?)
    }

    /// Which attempts were made, the newest first.
    pub async fn attempts(&self, project: ProjectKey, asked: Asked) -> Answer<Vec<Attempt>> {
        Ok(self.store.query(move |tx| attempt::latest(tx, &project, &asked)).await?)
    }

    /// Nothing more is sent to it; what is on its way is finished. Nothing is lost meanwhile, and nothing removed.
    pub async fn pause_deliveries(&self, project: ProjectKey, id: SubscriptionId) -> Answer<()> {
        self.attend(project, id, move |tx, project, _, ctx| {
            subscriptions::pause(tx, project, id, Some(ctx.now)).map(drop)
        })
        .await
    }

    /// It is sent to again, also if its receiver had ended it.
    pub async fn resume_deliveries(&self, project: ProjectKey, id: SubscriptionId) -> Answer<()> {
        let work = move |tx: &mut dyn Tx, project: &ProjectKey, found: &Subscription, _: &mut Ctx| {
            if found.status == SubscriptionStatus::ConfigurationErrorDeliveryStopped {
                subscriptions::set_status(tx, id, found.version, SubscriptionStatus::Healthy)?;
            }
            subscriptions::pause(tx, project, id, None).map(drop)
        };
        self.attend(project, id, work).await
    }

    /// Lanes that wait are tried at once, held ones too. Answers how many.
    pub async fn retry_lanes(
        &self,
        project: ProjectKey,
        id: SubscriptionId,
        customer: Option<CustomerId>,
    ) -> Answer<u64> {
        let work = move |tx: &mut dyn Tx, project: &ProjectKey, _: &Subscription, ctx: &mut Ctx| {
            let released = intervention::release(tx, id, customer, ctx.now)?;
            subscriptions::intervene(tx, project, id)?;
            Ok(released)
        };
        self.attend(project, id, work).await
    }

    /// Puts the message aside that a customer's lane waits with, and goes on behind it. Answers which.
    pub async fn skip_message(
        &self,
        project: ProjectKey,
        id: SubscriptionId,
        customer: CustomerId,
    ) -> Answer<MessageId> {
        let ring = self.ring.clone();
        let work = move |tx: &mut dyn Tx, project: &ProjectKey, found: &Subscription, ctx: &mut Ctx| {
            let Some(lane) = delivery::waiting(tx, id, Some(customer), 1)?.pop() else { return Ok(None) };
            let place = (customer, lane.from_position);
            let Some(head) = first_wanted(tx, &ring, (project, found), place, ctx.now)? else { return Ok(None) };
            let (position, message) = (head.position(), head.id());
            if let Notice::Event(sending) = &head {
                event::settle(tx, project, sending, event::Settled::Parked, ctx.now)?;
            }
            let letter = DeadLetter {
                project: project.clone(),
                id: DeadLetterId::new(ctx),
                subscription: id,
                position,
                message,
                customer,
                reason: "skipped".to_owned(),
                attempts: lane.failed_attempts,
                last_error: lane.last_error,
                body: None,
                created_at: ctx.now,
            };
            delivery::put_dead_letter(tx, &letter)?;
            intervention::pass(tx, (id, customer), position, ctx.now)?;
            subscriptions::intervene(tx, project, id)?;
            Ok(Some(message))
        };
        Ok(self.attend(project, id, work).await?.ok_or(Refusal::MessageNotFound)?)
    }

    /// A message that was put aside is not shown any more, and what was sent is erased.
    pub async fn drop_letter(&self, project: ProjectKey, id: SubscriptionId, letter: DeadLetterId) -> Answer<()> {
        let work = move |tx: &mut dyn Tx, project: &ProjectKey, _: &Subscription, ctx: &mut Ctx| {
            intervention::end_letter(tx, project, id, letter, ctx.now)
        };
        if self.attend(project, id, work).await? { Ok(()) } else { Err(Refusal::MessageNotFound.into()) }
    }

    /// Sends something once more: the same bytes with the same ids, in each customer's order, marked as a replay. A
    /// message does not come alone: what came after it for its customer follows, or the order would not be kept.
    pub async fn send_again(
        &self,
        project: ProjectKey,
        id: SubscriptionId,
        (again, per_second): (Again, u32),
    ) -> Answer<()> {
        let work = move |tx: &mut dyn Tx, project: &ProjectKey, found: &Subscription, ctx: &mut Ctx| {
            if found.format == FormatKind::Rendered {
                return Ok(None); // events are sent again one by one, by calls of their own
            }
            let reach = match again {
                Again::Message(message) => intervention::place(tx, project, message)?.map(Reach::of),
                Again::Letter(letter) => intervention::letter(tx, project, id, letter)?.map(Reach::of),
                Again::Customer(customer, after) => Some(Reach::Lane(customer, after + 1)),
                Again::After(after) => Some(Reach::All(after)),
                Again::Since(time) => match intervention::before(tx, project, time)? {
                    None => return Ok(Some(())), // nothing has happened since
                    after => after.map(Reach::All),
                },
            };
            let to = match reach {
                None => return Ok(None),
                Some(Reach::Lane(customer, from)) => {
                    intervention::go_back_of(tx, (id, customer), from, ctx.now)?;
                    None
                }
                Some(Reach::All(after)) => Some(intervention::go_back(tx, id, after)?),
            };
            subscriptions::replay(tx, project, id, (per_second.max(1), to))?;
            subscriptions::intervene(tx, project, id)?;
            Ok(Some(()))
        };
        Ok(self.attend(project, id, work).await?.ok_or(Refusal::MessageNotFound)?)
    }

    /// Does something to a claimed subscription, and tells the relay of this process.
    async fn attend<T: Send + 'static>(
        &self,
        project: ProjectKey,
        id: SubscriptionId,
        mut work: impl FnMut(&mut dyn Tx, &ProjectKey, &Subscription, &mut Ctx) -> Result<T, Fault> + Send + 'static,
    ) -> Answer<T> {
        let work = move |tx: &mut dyn Tx, ctx: &mut Ctx| {
            if !subscriptions::claim(tx, &project, id)? {
                return Ok(None);
            }
            let Some(found) = subscriptions::of_operators(tx, &project, id)? else { return Ok(None) };
            work(tx, &project, &found, ctx).map(Some)
        };
        let done = self.store.write(&self.ctx(), work).await?.ok_or(Refusal::SubscriptionNotFound)?;
        self.tell_relay();
        Ok(done)
    }
}

/// How far back something goes.
enum Reach {
    /// One customer's lane, from this position on.
    Lane(CustomerId, i64),
    /// Everything after this position.
    All(i64),
}

impl Reach {
    fn of((customer, position): (CustomerId, i64)) -> Self {
        Self::Lane(customer, position)
    }
}

/// The first entry in a customer's lane, from a position on, that the subscription wants.
fn first_wanted(
    tx: &mut dyn Tx,
    ring: &KeyRing,
    (project, subscription): (&ProjectKey, &Subscription),
    (customer, mut from): (CustomerId, i64),
    now: Micros,
) -> Result<Option<Notice>, Fault> {
    let compiled = Compiled::of(subscription).unwrap_or_default();
    loop {
        let page = log::of_customer(tx, ring, (project, customer), (from, i64::MAX), LANE_PAGE, now)?;
        let is_last = i64::try_from(page.len()).is_ok_and(|length| length < LANE_PAGE);
        from = page.last().map_or(from, |entry| entry.notice.position() + 1);
        let mut notices = page.into_iter().map(|entry| entry.notice);
        let wanted = notices.find(|notice| compiled.wants(project, subscription, notice));
        if wanted.is_some() || is_last {
            return Ok(wanted);
        }
    }
}

fn standing(
    tx: &mut dyn Tx,
    ring: &KeyRing,
    project: &ProjectKey,
    (subscription, attended): (Subscription, Attended),
    now: Micros,
) -> Result<Standing, Fault> {
    let lag = intervention::lag(tx, project, subscription.id)?;
    let (owed, oldest) = match owed::by_types(&subscription, &lag.owed) {
        (1.., _) if subscription.selections.filter.is_some() => {
            owed::by_entries(tx, ring, (project, &subscription), now)?
        }
        by_types => by_types,
    };
    let owed_since = [oldest, lag.waiting_since].into_iter().flatten().min();
    let (waiting, held, letters) = (lag.waiting, lag.held, lag.letters);
    Ok(Standing { subscription, attended, owed, owed_since, waiting, held, letters })
}
