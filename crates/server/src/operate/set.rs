//! A request's side of an operation: look up at the provider, commit the intent, wait for the outcome.
//!
//! From the commit on nothing depends on the request: the job that commits belongs to [`Operations::run`], and whoever
//! goes away only misses the answer.

use std::sync::Arc;

use futures_util::FutureExt;
use keyherald_core::activity::{Call, CallResult, Made, Run, Source};
use keyherald_core::credential::PasswordHash;
use keyherald_core::customer::{Customer, Version};
use keyherald_core::id::{CustomerId, OperationId, ProjectKey, TokenId};
use keyherald_core::initiator::Initiator;
use keyherald_core::operation::{Intent, Kind, Operation, Outcome, Why, look_up_ended};
use keyherald_core::provider::{Capabilities, ProbeValue, ProviderError, ProviderLink};
use keyherald_core::secret::Password;
use keyherald_core::verification::Proof;
use keyherald_core::{Ctx, Micros, Refusal};
use keyherald_store::operation::{Begin, Due, Repeatable, Replay, Slot};
use keyherald_store::{Fault, FaultKind, Tx, customer, log, operation};
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};
use zeroize::Zeroizing;

use super::perform::{Held, Left};
use super::{Inner, Operations, micros};

/// How often the provider is looked up again because another operation came between.
const LOOKS_MAX: usize = 3;

/// A password that is to be set at a provider and here.
pub struct Wish {
    /// Whose customer.
    pub project: ProjectKey,
    /// Whose password.
    pub customer: CustomerId,
    /// Who that is at which provider.
    pub link: ProviderLink,
    /// By which verb.
    pub kind: Kind,
    /// Who asks.
    pub by: Initiator,
    /// From where.
    pub source: Source,
    /// The version that the caller named.
    pub version: Option<Version>,
    /// The token that is redeemed.
    pub token: Option<TokenId>,
    /// The proofs that are used.
    pub proofs: Vec<Proof>,
    /// The password.
    pub password: Password,
    /// Its hash. `None`: none is kept here.
    pub hash: Option<PasswordHash>,
    /// The request, if its caller may repeat it.
    pub repeatable: Option<Repeat>,
}

/// A request that its caller may repeat with the same key. No `Debug`: it holds the password.
#[derive(Clone)]
pub struct Repeat {
    /// Whose key it is.
    pub caller: String,
    /// The key, 1 to 255 characters.
    pub key: String,
    /// The request in a form that is the same for the same request. Of this a MAC is kept.
    pub request: Arc<Zeroizing<Vec<u8>>>,
}

impl Repeat {
    /// As the store knows it.
    pub fn as_repeatable(&self) -> Repeatable<'_> {
        Repeatable { caller: &self.caller, key: &self.key, request: self.request.as_slice() }
    }
}

/// What must hold when the intent is committed, decided on the locked customer (`None`: not there). What a refusal leaves
/// is written here.
pub type Admit =
    Arc<dyn Fn(&mut dyn Tx, Option<&Customer>, &mut Ctx) -> Result<Result<(), Refusal>, Fault> + Send + Sync>;

/// What can be told to the caller.
pub enum Told {
    /// The password is set.
    Done,
    /// The customer was deleted meanwhile.
    Gone,
    /// Nothing was changed, for this reason.
    Released(Why),
    /// The same by [`Admit`], or before anything was begun.
    Refused(Refusal),
    /// The provider did not look the user up: nothing was begun, and that is noted.
    NotLookedUp(ProviderError),
    /// Another password of the customer is underway, and is so for longer than this caller can wait.
    Underway {
        /// Seconds after which it is worth another try.
        retry_after_s: u32,
    },
    /// Not known yet; it goes on.
    NotKnown,
}

/// What the look-up just before said.
struct Before {
    capabilities: Capabilities,
    probe: Option<ProbeValue>,
    took_us: i64,
    /// The customer's latest operation then.
    seen: Option<OperationId>,
}

/// What became of the intent.
enum Began {
    Operation(Box<Operation>),
    Joined(OperationId),
    Taken(Option<Micros>),
    LookAgain,
    /// The same request was done, before it became an operation's.
    Done,
    /// The link, the token or a proof is another's by now.
    Moved,
    Refused(Refusal),
}

/// What the job tells the request.
enum Came {
    To(Left, OperationId),
    Not(Began),
}

/// When the caller is answered, by both clocks.
#[derive(Clone, Copy)]
struct AnswerBy {
    at: Micros,
    instant: Instant,
}

impl Operations {
    /// Sets a password at the customer's provider and here. Answers within the time that a caller is kept waiting, and
    /// with what is known then.
    pub async fn set_password(&self, wish: Wish, admit: Admit) -> Result<Told, Fault> {
        let settings = &self.0.settings;
        let answer_by = AnswerBy {
            at: self.0.moments.now().plus(micros(settings.answer_within)),
            instant: Instant::now() + settings.answer_within,
        };
        let wish = Arc::new(wish);
        for _ in 0..LOOKS_MAX {
            let began = Instant::now();
            let looked = timeout_at(answer_by.instant, self.0.before(&wish)).await;
            let before = match looked.unwrap_or(Ok(Err(ProviderError::Transient)))? {
                Ok(before) => before,
                Err(error) => {
                    self.0.not_looked_up(wish, &error, micros(began.elapsed())).await?;
                    return Ok(Told::NotLookedUp(error));
                }
            };
            let answer = self.begin_job(wish.clone(), before, admit.clone(), answer_by)?;
            let began = match timeout_at(answer_by.instant, answer).await {
                Ok(Ok(Ok(Came::To(Left::Ended(ended), _)))) => return Ok(told(&ended)),
                Ok(Ok(Ok(Came::To(Left::PutOff(_) | Left::Lost, id)))) => {
                    return self.told_by(&wish.project, id, answer_by).await;
                }
                Ok(Ok(Ok(Came::Not(began)))) => began,
                Ok(Ok(Err(fault))) => return Err(fault),
                // The job was dropped, or is not done yet: what it did is in the store.
                Ok(Err(_)) | Err(_) => return Ok(Told::NotKnown),
            };
            match began {
                Began::Operation(_) | Began::LookAgain => {}
                Began::Joined(id) => return self.told_by(&wish.project, id, answer_by).await,
                Began::Refused(refusal) => return Ok(Told::Refused(refusal)),
                Began::Done => return Ok(Told::Done),
                Began::Moved => return Ok(underway(Refusal::UNDERWAY_RETRY_AFTER_S)),
                Began::Taken(Some(until)) => return Ok(underway(self.seconds_until(until))),
                Began::Taken(None) => {
                    let deadline = answer_by.instant.min(Instant::now() + settings.wait);
                    if !self.free_by(&wish.project, wish.customer, deadline).await? {
                        return Ok(underway(Refusal::UNDERWAY_RETRY_AFTER_S));
                    }
                }
            }
        }
        Ok(underway(Refusal::UNDERWAY_RETRY_AFTER_S))
    }

    /// The outcome of an operation that an earlier request began, within the time that a caller is kept waiting.
    pub async fn outcome(&self, project: &ProjectKey, id: OperationId) -> Result<Told, Fault> {
        let within = self.0.settings.answer_within;
        let answer_by = AnswerBy { at: self.0.moments.now().plus(micros(within)), instant: Instant::now() + within };
        self.told_by(project, id, answer_by).await
    }

    /// Whole seconds until then, at least one: what a caller is told.
    pub fn seconds_until(&self, at: Micros) -> u32 {
        let micros = at.0.saturating_sub(self.0.moments.now().0).max(0);
        u32::try_from(micros.saturating_add(Micros::SECOND - 1) / Micros::SECOND).unwrap_or(u32::MAX).max(1)
    }

    /// The outcome of an operation that is not in this request's hands.
    async fn told_by(&self, project: &ProjectKey, id: OperationId, answer_by: AnswerBy) -> Result<Told, Fault> {
        let found = self.outcome_by(project, id, answer_by.instant).await?;
        Ok(found.as_ref().map_or(Told::Gone, told))
    }

    /// Hands the work to the background, and answers from where its outcome comes.
    fn begin_job(
        &self,
        wish: Arc<Wish>,
        before: Before,
        admit: Admit,
        answer_by: AnswerBy,
    ) -> Result<oneshot::Receiver<Result<Came, Fault>>, Fault> {
        let (tell, answer) = oneshot::channel();
        let (inner, here) = (self.0.clone(), crate::trace::here());
        let job = here.within(async move {
            let since = Instant::now();
            let password = Arc::new(wish.password.duplicate());
            let came = match inner.begin(wish, before, admit, answer_by).await {
                Ok(Began::Operation(begun)) => {
                    inner.counters.count_begun();
                    let id = begun.id;
                    let held = Held::since(since, &inner, *begun, Some(password));
                    Ok(Came::To(inner.perform(held, Some(since)).await, id))
                }
                Ok(not) => Ok(Came::Not(not)),
                Err(fault) => Err(fault),
            };
            let due = match &came {
                Ok(Came::To(left, _)) => left.due(),
                _ => None,
            };
            let _gone = tell.send(came); // the caller may have gone away
            due
        });
        let full = |_| Fault::new(FaultKind::Unavailable, "too many operations are at work");
        self.0.new.try_send(job.boxed()).map_err(full)?;
        Ok(answer)
    }
}

impl Inner {
    /// What is to be known of the provider before anything is sent there.
    async fn before(&self, wish: &Wish) -> Result<Result<Before, ProviderError>, Fault> {
        let Some(provider) = self.provider(&wish.link) else { return Ok(Err(ProviderError::Misconfigured)) };
        let capabilities = provider.capabilities();
        let (project, customer) = (wish.project.clone(), wish.customer);
        let seen = self.store.read(move |tx| operation::latest(tx, &project, customer)).await?;
        let began = Instant::now();
        let probe = self.look_up(&wish.link).await;
        let took_us = micros(began.elapsed());
        Ok(probe.map(|probe| Before { capabilities, probe, took_us, seen }))
    }

    /// Commits the trace of a look-up that did not find the user.
    async fn not_looked_up(&self, wish: Arc<Wish>, error: &ProviderError, took_us: i64) -> Result<(), Fault> {
        let ended = look_up_ended(error);
        let work = move |tx: &mut dyn Tx, ctx: &mut Ctx| {
            let made = Made::done(Call::LookUpAtProvider).took(took_us).ended(ended.0, ended.1).at(&wish.link.provider);
            let entry = wish.run().called(Some(wish.customer), made, ctx);
            log::activity::append(tx, &wish.project, &entry)
        };
        self.store.write(&self.moments.ctx(), work).await
    }

    /// Commits the intent, with its first attempt noted as sent.
    async fn begin(&self, wish: Arc<Wish>, before: Before, admit: Admit, answer_by: AnswerBy) -> Result<Began, Fault> {
        let (ring, node, settings) = (self.ring.clone(), self.node.clone(), self.settings.clone());
        let keep_password = !self.providers.unsealed.contains(&wish.project);
        let work = move |tx: &mut dyn Tx, ctx: &mut Ctx| {
            let began = Instant::now();
            let of = (&wish.project, wish.customer);
            let locked = customer::lock(tx, &wish.project, wish.customer)?;
            if let Some(repeat) = &wish.repeatable {
                match operation::replay(tx, &ring, &wish.project, &repeat.as_repeatable(), ctx.now)? {
                    Replay::New => {}
                    Replay::Same(same) => return Ok(Began::Joined(same.id)),
                    Replay::Done => return Ok(Began::Done),
                    Replay::OtherRequest => return Ok(Began::Refused(Refusal::IdempotencyKeyReused)),
                }
            }
            match operation::slot(tx, &ring, of, &wish.password, before.seen, ctx.now)? {
                Slot::Free => {}
                Slot::Same(open) => return Ok(Began::Joined(open.id)),
                Slot::Taken { until } => return Ok(Began::Taken(until)),
                Slot::LookAgain => return Ok(Began::LookAgain),
            }
            let at_home_us = micros(began.elapsed());
            if let Err(refusal) = admit(tx, locked.as_ref(), ctx)? {
                let looked = [before.took_us, at_home_us];
                trace(tx, &wish, looked, (locked.is_some(), &refusal), ctx)?;
                return Ok(Began::Refused(refusal));
            }
            let provider = &wish.link.provider;
            let link = keyherald_store::provider_link::of_customer(tx, &wish.project, wish.customer, provider)?;
            if link.as_ref() != Some(&wish.link) {
                return Ok(Began::Moved);
            }
            let intent = Intent {
                kind: wish.kind,
                by: wish.by.clone(),
                source: wish.source.clone(),
                first_entry: None,
                trace: ctx.trace.clone(),
                link: wish.link.clone(),
                capabilities: before.capabilities,
                before: before.probe.clone(),
                version: wish.version,
                token: wish.token,
                proofs: wish.proofs.clone(),
                answer_by: answer_by.at,
                limits: settings.limits,
            };
            let operation = Operation::begin(of, intent, wish.hash.clone(), ctx);
            let looked_up = operation.looked_up([before.took_us, at_home_us], ctx);
            let begin = Begin {
                operation: &operation,
                password: &wish.password,
                keep_password,
                repeatable: wish.repeatable.as_ref().map(Repeat::as_repeatable),
                looked_up: &looked_up,
                due: Due::Held { by: &node, until: ctx.now.plus(micros(settings.lease)) },
            };
            let begun = operation::begin(tx, &ring, &begin, ctx)?;
            Ok(if begun { Began::Operation(Box::new(operation)) } else { Began::Moved })
        };
        self.store.write(&self.moments.ctx(), work).await
    }
}

impl Wish {
    /// For what is written before there is an operation.
    fn run(&self) -> Run {
        Run::new(self.kind.flow(), &self.by, &self.source)
    }
}

/// Writes what was done for an intent that is refused: both look-ups, and the refusal, unless it is that the customer is
/// not there.
fn trace(
    tx: &mut dyn Tx,
    wish: &Wish,
    [at_provider_us, at_home_us]: [i64; 2],
    (is_there, refusal): (bool, &Refusal),
    ctx: &mut Ctx,
) -> Result<(), Fault> {
    let (mut run, customer) = (wish.run(), Some(wish.customer));
    let mut write = |entry| log::activity::append(tx, &wish.project, &entry);
    let at_provider = Made::done(Call::LookUpAtProvider).took(at_provider_us).at(&wish.link.provider);
    write(run.called(customer, at_provider, ctx))?;
    let at_home = Made::done(Call::LookUpAtHome).took(at_home_us);
    if is_there {
        write(run.called(customer, at_home, ctx))?;
        write(run.ended(customer, Some(refusal), ctx))
    } else {
        write(run.called(customer, at_home.ended(CallResult::Failed, refusal.code()), ctx))
    }
}

fn told(operation: &Operation) -> Told {
    match operation.outcome() {
        Outcome::Done(_) => Told::Done,
        Outcome::Refused(why) => Told::Released(why),
        Outcome::Gone => Told::Gone,
        Outcome::NotKnown => Told::NotKnown,
    }
}

fn underway(retry_after_s: u32) -> Told {
    Told::Underway { retry_after_s }
}
