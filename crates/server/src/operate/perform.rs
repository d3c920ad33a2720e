//! One operation, step by step, from wherever its log stands.
//!
//! Every call to the provider is preceded by a write that holds what happened before and renews the lease; every answer
//! is recorded in memory, and written with the next call, the wait or the end. So a clean change is two writes: the
//! intent, and the outcome. An answer that dies with the process counts as unknown, which is the truth.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use keyherald_core::activity::Activity;
use keyherald_core::credentials_event::{ChangeType, Circumstances, Identifiers, What};
use keyherald_core::operation::{Event, Operation, State, Step, next};
use keyherald_core::provider::{ProbeAnswer, ProbeValue, ProviderError, ProviderLink, TrialAnswer};
use keyherald_core::seal::KeyRing;
use keyherald_core::secret::Password;
use keyherald_core::{Ctx, Micros};
use keyherald_store::operation::{Due, Lost};
use keyherald_store::{Fault, Tx, customer, operation};
use tokio::time::{Instant, sleep, timeout};

use super::{Inner, micros};
use crate::connector::By;
use crate::outbox::{Outbox, PasswordWasSet};
use crate::trace::{self, Say};

/// First wait before a write that failed is tried again; doubled each time.
const WRITE_AGAIN_FIRST: Duration = Duration::from_millis(50);
/// Longest such wait.
const WRITE_AGAIN_MAX: Duration = Duration::from_secs(1);

/// An operation that this process performs.
pub(super) struct Held {
    operation: Operation,
    /// Out of its seal, or from the request that began it.
    password: Option<Arc<Password>>,
    /// The entries of what was recorded and not yet written.
    unsaved: Vec<Activity>,
    /// When it stops being this process's, unless it is written before.
    lease_ends: Instant,
}

/// How it stands when this process has done what it can.
pub(super) enum Left {
    /// It has ended.
    Ended(Box<Operation>),
    /// Nothing before this time; whoever is there then goes on with it.
    PutOff(Micros),
    /// Another process has it, or it is gone.
    Lost,
}

/// Why a write did not take place.
enum NotWritten {
    Lost,
    Fault(Fault),
}

impl Left {
    /// When it is to be looked at again.
    pub(super) fn due(&self) -> Option<Micros> {
        match self {
            Self::PutOff(at) => Some(*at),
            Self::Ended(ended) if ended.state() == State::Closing => ended.log.last().map(|entry| entry.at),
            Self::Ended(_) | Self::Lost => None,
        }
    }
}

impl Held {
    /// One whose lease was written after `since`.
    pub(super) fn since(since: Instant, inner: &Inner, operation: Operation, password: Option<Arc<Password>>) -> Self {
        Self { operation, password, unsaved: Vec::new(), lease_ends: since + inner.settings.lease }
    }

    /// Notes what happened, with the entry that it leaves.
    fn record(&mut self, event: Event, at: Micros, took: Option<Duration>, ctx: &mut Ctx) {
        self.unsaved.extend(self.operation.activity_of(&event, took.map(micros), ctx));
        self.operation = self.operation.record(event, at);
    }
}

impl Inner {
    /// Performs an operation as far as it goes now. `noted`: its last attempt was committed as sent by a write that began
    /// then, and is to be sent first.
    pub(super) async fn perform(&self, mut held: Held, noted: Option<Instant>) -> Left {
        let (id, cause) = (held.operation.id, held.operation.intent.trace.clone());
        let mut span = self.settings.tracer.begin(trace::Kind::Internal, "operation", cause.as_ref());
        span.say("keyherald.operation", Say::id(&id));
        span.say("keyherald.project", Say::id(&held.operation.project));
        match span.here().within(self.steps(&mut held, noted)).await {
            Ok(left) => left,
            Err(NotWritten::Lost) => Left::Lost,
            Err(NotWritten::Fault(fault)) => {
                // The lease ends, and somebody goes on from what was written.
                tracing::error!(operation = %id, ?fault, "operation {id} could not be written and is left for later");
                Left::Lost
            }
        }
    }

    async fn steps(&self, held: &mut Held, noted: Option<Instant>) -> Result<Left, NotWritten> {
        if let Some(noted) = noted {
            self.send(held, noted).await;
        }
        loop {
            let now = self.moments.now();
            held.operation.password_at_hand &= now < held.operation.expires_at();
            let step = next(&held.operation, now);
            let calls = matches!(step, Step::SetPassword | Step::Probe | Step::TrySignIn | Step::EndSessions);
            if calls && *self.stopping.borrow() {
                return self.put_off(held, now).await;
            }
            match step {
                Step::SetPassword => {
                    if self.open_seal(held).await {
                        let (noted, mut ctx) = (Instant::now(), self.moments.ctx());
                        held.record(Event::Sent, ctx.now, None, &mut ctx);
                        self.save(held).await?;
                        self.send(held, noted).await;
                    }
                }
                Step::Probe => self.probe(held).await?,
                Step::TrySignIn => self.try_it(held).await?,
                Step::EndSessions => self.end_sessions(held).await?,
                Step::Commit => return self.commit(held).await,
                Step::Release(why) => return self.end(held, Event::Released(why)).await,
                Step::Diverge => return self.end(held, Event::Diverged).await,
                Step::Wait(until) => return self.put_off(held, until).await,
                Step::Done => {
                    self.write(held, Due::Never).await?;
                    return Ok(Left::Ended(Box::new(held.operation.clone())));
                }
            }
        }
    }

    /// Sends the attempt that was noted as sent, unless that took so long that it might arrive after its life.
    async fn send(&self, held: &mut Held, noted: Instant) {
        let (began, attempt) = (Instant::now(), &held.operation);
        let noted_at = attempt.log.iter().rev().find(|entry| entry.event == Event::Sent).map(|entry| entry.at);
        let in_time = attempt.send_before().zip(noted_at).is_some_and(|(before, at)| {
            // By the monotonic clock: the other one may have been set, or have stood still with the process.
            micros(noted.elapsed()) < before.0.saturating_sub(at.0)
        });
        let event = match (&held.password, self.provider(&attempt.intent.link)) {
            (Some(password), Some(provider)) if in_time => {
                let (step, user) = (attempt.id.to_string(), &attempt.intent.link.user);
                let call = provider.set_password_as(&step, user, password, self.moments.ctx());
                match self.called(call).await.unwrap_or(Err(ProviderError::Ambiguous)) {
                    Ok(()) => Event::Accepted,
                    Err(error) => Event::NotAccepted(error),
                }
            }
            (_, None) => Event::NotAccepted(ProviderError::Misconfigured),
            _ => Event::NotAccepted(ProviderError::Transient), // not sent
        };
        if let Event::NotAccepted(error) = &event {
            let (id, code) = (attempt.id, error.code());
            tracing::warn!(operation = %id, code, "operation {id}: the provider did not take the password: {code}");
        }
        let mut ctx = self.moments.ctx();
        held.record(event, ctx.now, Some(began.elapsed()), &mut ctx);
    }

    async fn probe(&self, held: &mut Held) -> Result<(), NotWritten> {
        self.make_ready(held).await?;
        let (began, at) = (Instant::now(), self.moments.now());
        let answer = match self.look_up(&held.operation.intent.link).await {
            Ok(Some(value)) => ProbeAnswer::Value(value),
            Ok(None) => ProbeAnswer::Value(ProbeValue::of(None)),
            Err(ProviderError::UserNotFound) => ProbeAnswer::UserGone,
            Err(error) => ProbeAnswer::Failed(error),
        };
        held.record(Event::Probed(answer), at, Some(began.elapsed()), &mut self.moments.ctx());
        Ok(())
    }

    async fn try_it(&self, held: &mut Held) -> Result<(), NotWritten> {
        if !self.open_seal(held).await {
            return Ok(());
        }
        self.make_ready(held).await?;
        let Some(password) = held.password.clone() else { return Ok(()) };
        let (began, at) = (Instant::now(), self.moments.now());
        let answer = self.try_sign_in(&held.operation.intent.link, &password).await;
        held.record(Event::Tried(answer), at, Some(began.elapsed()), &mut self.moments.ctx());
        Ok(())
    }

    async fn end_sessions(&self, held: &mut Held) -> Result<(), NotWritten> {
        self.make_ready(held).await?;
        let (began, link) = (Instant::now(), &held.operation.intent.link);
        let ended = match self.provider(link) {
            Some(provider) => {
                let call = provider.end_sessions(&link.user, self.moments.ctx());
                self.called(call).await.unwrap_or(Err(ProviderError::Ambiguous))
            }
            None => Err(ProviderError::Misconfigured),
        };
        if let Err(error) = &ended {
            let (id, code) = (held.operation.id, error.code());
            tracing::warn!(operation = %id, code, "operation {id}: sessions at the provider were not ended: {code}");
        }
        let mut ctx = self.moments.ctx();
        held.record(Event::SessionsEnded(ended.err()), ctx.now, Some(began.elapsed()), &mut ctx);
        Ok(())
    }

    /// The probe's value as the provider has it now. `Ok(None)`: it has none, or cannot be asked for a user.
    pub(super) async fn look_up(&self, link: &ProviderLink) -> Result<Option<ProbeValue>, ProviderError> {
        let provider = self.provider(link).ok_or(ProviderError::Misconfigured)?;
        if !provider.capabilities().lookups.id {
            return Ok(None);
        }
        let call = provider.look_up(By::Id(&link.user), self.moments.ctx());
        Ok(self.called(call).await.unwrap_or(Err(ProviderError::Transient))?.probe)
    }

    pub(super) async fn try_sign_in(&self, link: &ProviderLink, password: &Password) -> TrialAnswer {
        let Some(provider) = self.provider(link) else { return TrialAnswer::Failed(ProviderError::Misconfigured) };
        let call = provider.try_sign_in(&link.user, password, self.moments.ctx());
        self.called(call).await.unwrap_or(TrialAnswer::Failed(ProviderError::Transient))
    }

    /// A call's answer. `None`: it took too long, or panicked; what was sent stays sent.
    pub(super) async fn called<T>(&self, call: BoxFuture<'_, T>) -> Option<T> {
        let answered = timeout(self.settings.call_max, AssertUnwindSafe(call).catch_unwind()).await;
        answered.ok()?.ok()
    }

    /// Makes sure that the password is here. False: it is not kept, and that is noted.
    async fn open_seal(&self, held: &mut Held) -> bool {
        if held.password.is_none() {
            let (ring, now) = (self.ring.clone(), self.moments.now());
            let (project, id) = (held.operation.project.clone(), held.operation.id);
            let opened = self.store.read(move |tx| operation::password(tx, &ring, &project, id, now)).await;
            held.password = opened
                .unwrap_or_else(|fault| {
                    tracing::error!(operation = %id, ?fault, "operation {id}: its sealed password cannot be opened");
                    None
                })
                .map(Arc::new);
        }
        held.operation.password_at_hand &= held.password.is_some();
        held.password.is_some()
    }

    /// Before a call that changes nothing there: writes what was recorded, and makes the lease last for it.
    async fn make_ready(&self, held: &mut Held) -> Result<(), NotWritten> {
        let needed = Instant::now() + self.settings.call_max;
        if held.unsaved.is_empty() && needed < held.lease_ends { Ok(()) } else { self.save(held).await }
    }

    /// Writes what was recorded, and keeps the operation.
    async fn save(&self, held: &mut Held) -> Result<(), NotWritten> {
        let since = Instant::now();
        let until = self.moments.now().plus(micros(self.settings.lease));
        self.write(held, Due::Held { by: &self.node, until }).await?;
        held.lease_ends = since + self.settings.lease;
        Ok(())
    }

    /// Writes what was recorded, and leaves the operation to whoever is there at `until`.
    async fn put_off(&self, held: &mut Held, until: Micros) -> Result<Left, NotWritten> {
        self.write(held, Due::At(until)).await?;
        Ok(Left::PutOff(until))
    }

    async fn write(&self, held: &mut Held, due: Due<'_>) -> Result<(), NotWritten> {
        let activity = Arc::new(std::mem::take(&mut held.unsaved));
        let (operation, node) = (Arc::new(held.operation.clone()), self.node.clone());
        let (held_until, free_at) = match due {
            Due::Held { until, .. } => (Some(until), None),
            Due::At(at) => (None, Some(at)),
            Due::Never => (None, None),
        };
        held.operation = self
            .written(held.lease_ends, || {
                let (operation, activity, node) = (operation.clone(), activity.clone(), node.clone());
                move |tx: &mut dyn Tx, _: &mut Ctx| {
                    let held = held_until.map(|until| Due::Held { by: &node, until });
                    let due = held.or(free_at.map(Due::At)).unwrap_or(Due::Never);
                    operation::save(tx, &operation, &activity, due)
                }
            })
            .await?;
        Ok(())
    }

    async fn commit(&self, held: &mut Held) -> Result<Left, NotWritten> {
        let activity = Arc::new(std::mem::take(&mut held.unsaved));
        let (operation, ring) = (Arc::new(held.operation.clone()), self.ring.clone());
        let ended = self
            .written(held.lease_ends, || {
                let (operation, activity, ring) = (operation.clone(), activity.clone(), ring.clone());
                let outbox = self.outbox.clone();
                move |tx: &mut dyn Tx, ctx: &mut Ctx| {
                    let committed = operation::commit(tx, &ring, &operation, &activity, ctx)?;
                    if let Ok(ended) = &committed {
                        tell(tx, (&outbox, &ring), ended, ctx)?;
                    }
                    Ok(committed)
                }
            })
            .await?;
        self.has_ended(ended.state());
        Ok(Left::Ended(Box::new(ended)))
    }

    async fn end(&self, held: &mut Held, event: Event) -> Result<Left, NotWritten> {
        let activity = Arc::new(std::mem::take(&mut held.unsaved));
        let (operation, event) = (Arc::new(held.operation.clone()), Arc::new(event));
        let ended = self
            .written(held.lease_ends, || {
                let (operation, activity, event) = (operation.clone(), activity.clone(), event.clone());
                move |tx: &mut dyn Tx, ctx: &mut Ctx| operation::end(tx, &operation, &event, &activity, ctx)
            })
            .await?;
        if ended.state() == State::Diverged {
            let (id, project, provider) = (ended.id, &ended.project, &ended.intent.link.provider);
            tracing::error!(
                operation = %id, %project, %provider, alert = "operation_diverged",
                "operation {id} diverged: nobody knows which password provider {provider} has; the customer must reset \
                 it, or `keyherald operations resolve` says that it was looked after"
            );
        }
        self.has_ended(ended.state());
        Ok(Left::Ended(Box::new(ended)))
    }

    /// Runs a transaction of the operation, again and again as long as it is this process's. A commit whose answer was
    /// lost is found out by the repeat: it has lost the operation to the first.
    async fn written<W>(&self, lease_ends: Instant, work: impl Fn() -> W) -> Result<Operation, NotWritten>
    where
        W: FnMut(&mut dyn Tx, &mut Ctx) -> Result<Result<Operation, Lost>, Fault> + Send + 'static,
    {
        let mut wait = WRITE_AGAIN_FIRST;
        loop {
            match self.store.write(&self.moments.ctx(), work()).await {
                Ok(written) => return written.map_err(|Lost| NotWritten::Lost),
                Err(fault) if !fault.may_pass() || Instant::now() + wait >= lease_ends => {
                    return Err(NotWritten::Fault(fault));
                }
                Err(_passing) => sleep(wait).await,
            }
            wait = (wait * 2).min(WRITE_AGAIN_MAX);
        }
    }
}

/// Writes what partners are told of an operation, in the transaction that has just committed it.
fn tell(tx: &mut dyn Tx, (outbox, ring): (&Outbox, &KeyRing), ended: &Operation, ctx: &mut Ctx) -> Result<(), Fault> {
    if !matches!(ended.state(), State::Committed | State::Closing) {
        return Ok(()); // the customer is gone
    }
    let Some(customer) = customer::by_id(tx, &ended.project, ended.customer)? else { return Ok(()) };
    let intent = &ended.intent;
    if !intent.proofs.is_empty() {
        let what = What {
            customer: &customer,
            change: ChangeType::PasswordRecovery,
            identifiers: Identifiers::proved(&customer, &intent.proofs),
            circumstances: Circumstances {
                correlation_id: intent.source.correlation_id.as_ref().map(ToString::to_string),
                ..Circumstances::default()
            },
        };
        return outbox.append(tx, ring, &ended.project, &what, ctx);
    }
    let was_set = PasswordWasSet { customer: &customer, flow: intent.kind.flow(), token: intent.token };
    outbox.append_of(tx, ring, &ended.project, was_set, ctx)
}
