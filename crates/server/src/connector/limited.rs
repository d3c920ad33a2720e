//! The limits of one provider, around whatever its connector does: how many calls at a time and per second, how long
//! each may take, and a rest for a provider that is in trouble.
//!
//! A call that does not get through was surely not sent, and says so.
//!
//! The rate is one of requests. A call waits for its first one; what more it takes (an access token, a look-up before a
//! sign-in) waits for nobody, for a call has its own deadline, and is made up for by the calls after it.
//!
//! Where several nodes call one provider, the rate is one of all of them ([`SharedRate`]). While it cannot be asked, each node
//! has its own. Places and the breaker are a node's: what one of them sees of a provider, the others will see soon.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use keyherald_core::delivery::{Admission, Breaker, BreakerSettings};
use keyherald_core::provider::{Capabilities, Meaning, ProviderError, ProviderUser, TrialAnswer};
use keyherald_core::secret::Password;
use keyherald_core::{Ctx, Micros};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout};

use super::{ADMISSION, By, Connector, HAND_OVER, LookedUp, NewUser, TokenOwner, UserChanges};
use crate::trace;

tokio::task_local! {
    /// The call at work in this task, if it has limits.
    static AT_WORK: AtWork;
}

/// One admitted call.
struct AtWork {
    pace: Arc<Mutex<Pace>>,
    owed: Arc<AtomicU32>,
    /// Its first request was sent.
    has_begun: AtomicBool,
}

/// Says that a request is about to be sent for the call that is at work.
pub(super) fn count_request() {
    let _is_limited = AT_WORK.try_with(|call| {
        if call.has_begun.swap(true, Ordering::Relaxed) {
            lock(&call.pace).charge();
            call.owed.fetch_add(1, Ordering::Relaxed);
        }
    });
}

/// A provider's rate among all nodes.
pub trait SharedRate: Send + Sync {
    /// Books so many requests: how long to wait for the last of them, in microseconds, or the time at which they could be if
    /// that is longer than `wait_max`. `None`: it cannot be told at the moment.
    fn book(&self, requests: u32, wait_max: i64) -> BoxFuture<'_, Option<Result<i64, Micros>>>;
}

/// The limits of one provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Requests per second in the long run.
    pub per_second: u32,
    /// Requests at once after a pause.
    pub burst: u32,
    /// Calls at the same time.
    pub in_flight_max: usize,
    /// When it is left alone.
    pub breaker: BreakerSettings,
}

impl Default for Limits {
    fn default() -> Self {
        let breaker = BreakerSettings { failures: 10, rest: 5 * Micros::SECOND, rest_max: Micros::MINUTE };
        Self { per_second: 10, burst: 20, in_flight_max: 16, breaker }
    }
}

/// A connector within its limits.
pub(super) struct Limited {
    inner: Arc<dyn Connector>,
    total_timeout: Duration,
    places: Semaphore,
    pace: Arc<Mutex<Pace>>,
    shared: Option<Arc<dyn SharedRate>>,
    /// Requests that did not wait, and that no node has booked yet.
    owed: Arc<AtomicU32>,
    gate: Mutex<Gate>,
}

/// The rate, as the time at which the next call would be due if all came evenly (GCRA).
struct Pace {
    interval_us: i64,
    slack_us: i64,
    due: Micros,
}

impl Pace {
    fn new(limits: &Limits) -> Self {
        let interval_us = Micros::SECOND / i64::from(limits.per_second.max(1));
        Self { interval_us, slack_us: interval_us.saturating_mul(i64::from(limits.burst.max(1)) - 1), due: Micros(0) }
    }

    /// How long a call has to wait, in microseconds; more than `wait_max` is refused with the time at which it may come.
    fn admit(&mut self, now: Micros, wait_max: i64) -> Result<i64, Micros> {
        // Calls that were admitted do not lead further ahead: the clock was set back, and nobody waits for it to catch up.
        let latest = now.plus(self.slack_us.saturating_add(self.interval_us).saturating_add(Micros::MINUTE));
        let due = if self.due > latest { now } else { self.due.max(now) };
        let wait = due.plus(-self.slack_us).0.saturating_sub(now.0).max(0);
        if wait > wait_max {
            return Err(now.plus(wait));
        }
        self.due = due.plus(self.interval_us);
        Ok(wait)
    }

    /// One more request, which does not wait.
    fn charge(&mut self) {
        self.due = self.due.plus(self.interval_us);
    }
}

/// The breaker, and whether it is the provider that asked for the rest.
struct Gate {
    breaker: Breaker,
    throttled: bool,
}

/// One admitted call. Dropped without an outcome, it leaves its place as the breaker's probe to another one.
struct Passage<'a> {
    gate: &'a Mutex<Gate>,
    is_probe: bool,
    began: (Micros, Instant),
}

impl Passage<'_> {
    fn now(&self) -> Micros {
        self.began.0.plus(i64::try_from(self.began.1.elapsed().as_micros()).unwrap_or(i64::MAX))
    }

    fn ended(mut self, error: Option<&ProviderError>) {
        self.is_probe = false;
        let now = self.now();
        let mut gate = lock(self.gate);
        match error.map(ProviderError::meaning) {
            None | Some(Meaning::Refused) => gate.breaker.succeeded(),
            Some(Meaning::Unknown) => gate.failed(now, None),
            Some(Meaning::Later(_)) => {
                let throttled = match error {
                    Some(ProviderError::RateLimited { not_before }) => {
                        let wait = not_before.map_or(0, |at| at.0.saturating_sub(now.0).max(0));
                        Some(u32::try_from(wait.div_euclid(Micros::SECOND) + 1).unwrap_or(u32::MAX))
                    }
                    _ => None,
                };
                gate.failed(now, throttled);
            }
        }
    }
}

impl Gate {
    fn failed(&mut self, now: Micros, throttled_for_s: Option<u32>) {
        self.throttled = throttled_for_s.is_some();
        self.breaker.failed(now, throttled_for_s);
    }
}

impl Drop for Passage<'_> {
    fn drop(&mut self) {
        if self.is_probe {
            let now = self.now();
            lock(self.gate).breaker.skipped(now);
        }
    }
}

/// What is locked here is whole after every line: a panic elsewhere leaves nothing half done.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Limited {
    pub fn new(
        inner: Arc<dyn Connector>,
        (limits, shared): (&Limits, Option<Arc<dyn SharedRate>>),
        total_timeout: Duration,
    ) -> Self {
        Self {
            inner,
            total_timeout,
            places: Semaphore::new(limits.in_flight_max.max(1)),
            pace: Arc::new(Mutex::new(Pace::new(limits))),
            shared,
            owed: Arc::default(),
            gate: Mutex::new(Gate { breaker: Breaker::new(limits.breaker), throttled: false }),
        }
    }

    /// Does `work` when its turn comes. `requests` is how many it may make one after the other, `cut_off` what it means
    /// when it does not end: a backstop, for every request has its own time-out. The span
    /// is called by the `verb`.
    async fn within<T>(
        &self,
        now: Micros,
        (verb, requests, cut_off): (&'static str, u32, ProviderError),
        work: BoxFuture<'_, Result<T, ProviderError>>,
    ) -> Result<T, ProviderError> {
        let mut span = trace::part(trace::Kind::Client, verb);
        let outcome = span.here().within(self.in_turn(now, (requests, cut_off), work)).await;
        if let Err(error) = &outcome {
            span.fail(error.code());
        }
        outcome
    }

    async fn in_turn<T>(
        &self,
        now: Micros,
        (requests, cut_off): (u32, ProviderError),
        work: BoxFuture<'_, Result<T, ProviderError>>,
    ) -> Result<T, ProviderError> {
        let asked = Instant::now();
        let Ok(Ok(_place)) = timeout(ADMISSION, self.places.acquire()).await else {
            return Err(ProviderError::Transient);
        };
        let left = ADMISSION.saturating_sub(asked.elapsed());
        let passage = self.pass(now, asked)?;
        let wait_max = i64::try_from(left.as_micros()).unwrap_or(i64::MAX);
        let wait = self.book(&passage, wait_max).await;
        let wait = wait.map_err(|at| ProviderError::RateLimited { not_before: Some(at) })?;
        if let Ok(wait @ 1..) = u64::try_from(wait) {
            sleep(Duration::from_micros(wait)).await;
        }
        let longest = HAND_OVER + self.total_timeout * requests + ADMISSION;
        let call = AtWork { pace: self.pace.clone(), owed: self.owed.clone(), has_begun: AtomicBool::new(false) };
        let outcome = timeout(longest, AT_WORK.scope(call, work)).await.unwrap_or(Err(cut_off));
        passage.ended(outcome.as_ref().err());
        outcome
    }

    /// How long the call has to wait, in microseconds; more than `wait_max` is refused with the time at which it may come.
    async fn book(&self, passage: &Passage<'_>, wait_max: i64) -> Result<i64, Micros> {
        // Its own as well: that is what it goes by if the others' is not heard of any more.
        let own = lock(&self.pace).admit(passage.now(), wait_max);
        let Some(shared) = &self.shared else { return own };
        let owed = self.owed.swap(0, Ordering::Relaxed);
        let booked = shared.book(owed.saturating_add(1), wait_max).await;
        if !matches!(booked, Some(Ok(_))) {
            self.owed.fetch_add(owed, Ordering::Relaxed);
        }
        booked.unwrap_or(own)
    }

    /// Refuses a password that the provider would cut.
    fn fits(&self, password: &Password) -> Result<(), ProviderError> {
        let bytes_max = self.capabilities().password_bytes_max.and_then(|max| usize::try_from(max).ok());
        if bytes_max.is_some_and(|max| password.hash_with(<[u8]>::len) > max) {
            return Err(ProviderError::PolicyViolation { rule: Some("bytes_max".to_owned()), message: None });
        }
        Ok(())
    }

    fn pass(&self, now: Micros, asked: Instant) -> Result<Passage<'_>, ProviderError> {
        let mut passage = Passage { gate: &self.gate, is_probe: false, began: (now, asked) };
        let at = passage.now();
        let mut gate = lock(&self.gate);
        match gate.breaker.admit(at) {
            Admission::Go => {}
            Admission::Probe => passage.is_probe = true,
            Admission::Wait(not_before) if gate.throttled => return Err(ProviderError::RateLimited { not_before }),
            Admission::Wait(_) => return Err(ProviderError::Transient),
        }
        Ok(passage)
    }
}

impl Connector for Limited {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    fn look_up<'a>(&'a self, by: By<'a>, ctx: Ctx) -> BoxFuture<'a, Result<LookedUp, ProviderError>> {
        let now = ctx.now;
        Box::pin(self.within(now, ("look a user up", 1, ProviderError::Transient), self.inner.look_up(by, ctx)))
    }

    fn set_password<'a>(
        &'a self,
        user: &'a ProviderUser,
        password: &'a Password,
        ctx: Ctx,
    ) -> BoxFuture<'a, Result<(), ProviderError>> {
        if let Err(too_long) = self.fits(password) {
            return Box::pin(async { Err(too_long) });
        }
        let now = ctx.now;
        Box::pin(self.within(
            now,
            ("set a password", 1, ProviderError::Ambiguous),
            self.inner.set_password(user, password, ctx),
        ))
    }

    fn set_password_as<'a>(
        &'a self,
        step: &'a str,
        user: &'a ProviderUser,
        password: &'a Password,
        ctx: Ctx,
    ) -> BoxFuture<'a, Result<(), ProviderError>> {
        if let Err(too_long) = self.fits(password) {
            return Box::pin(async { Err(too_long) });
        }
        let now = ctx.now;
        let work = self.inner.set_password_as(step, user, password, ctx);
        Box::pin(self.within(now, ("set a password", 1, ProviderError::Ambiguous), work))
    }

    fn try_sign_in<'a>(
        &'a self,
        user: &'a ProviderUser,
        password: &'a Password,
        ctx: Ctx,
    ) -> BoxFuture<'a, TrialAnswer> {
        Box::pin(async move {
            let now = ctx.now;
            let work = Box::pin(async move {
                match self.inner.try_sign_in(user, password, ctx).await {
                    // Sign-ins are limited per user: that says nothing about anybody else's calls.
                    answer @ TrialAnswer::Failed(ProviderError::RateLimited { .. }) => Ok(answer),
                    TrialAnswer::Failed(error) => Err(error),
                    answer => Ok(answer),
                }
            });
            self.within(now, ("try a sign-in", 2, ProviderError::Transient), work)
                .await
                .unwrap_or_else(TrialAnswer::Failed)
        })
    }

    fn end_sessions<'a>(&'a self, user: &'a ProviderUser, ctx: Ctx) -> BoxFuture<'a, Result<(), ProviderError>> {
        let now = ctx.now;
        Box::pin(self.within(now, ("end sessions", 1, ProviderError::Ambiguous), self.inner.end_sessions(user, ctx)))
    }

    fn token_owner<'a>(&'a self, token: &'a str, ctx: Ctx) -> BoxFuture<'a, Result<Option<TokenOwner>, ProviderError>> {
        // None of a user's tokens has other characters (RFC 6750, 2.1), and this one is to stand in a header.
        if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Box::pin(async { Ok(None) });
        }
        let now = ctx.now;
        Box::pin(self.within(
            now,
            ("ask for a token's owner", 2, ProviderError::Transient),
            self.inner.token_owner(token, ctx),
        ))
    }

    fn health(&self, ctx: Ctx) -> BoxFuture<'_, Result<(), ProviderError>> {
        let now = ctx.now;
        Box::pin(self.within(now, ("ask for health", 1, ProviderError::Transient), self.inner.health(ctx)))
    }

    fn create_user<'a>(&'a self, user: NewUser<'a>, ctx: Ctx) -> BoxFuture<'a, Result<LookedUp, ProviderError>> {
        if let Err(too_long) = self.fits(user.password) {
            return Box::pin(async { Err(too_long) });
        }
        let now = ctx.now;
        Box::pin(self.within(now, ("create a user", 2, ProviderError::Ambiguous), self.inner.create_user(user, ctx)))
    }

    fn update_user<'a>(
        &'a self,
        user: &'a ProviderUser,
        changes: UserChanges<'a>,
        ctx: Ctx,
    ) -> BoxFuture<'a, Result<(), ProviderError>> {
        let now = ctx.now;
        Box::pin(self.within(
            now,
            ("update a user", 2, ProviderError::Ambiguous),
            self.inner.update_user(user, changes, ctx),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_lets_a_burst_through_and_then_one_at_a_time() {
        let mut pace = Pace::new(&Limits { per_second: 10, burst: 3, ..Limits::default() });
        let now = Micros(Micros::HOUR);
        let second = Micros::SECOND;
        let waits: Vec<_> = (0..5).map(|_| pace.admit(now, second)).collect();
        assert_eq!(waits, [Ok(0), Ok(0), Ok(0), Ok(100_000), Ok(200_000)]);
        assert_eq!(pace.admit(now, 0), Err(now.plus(300_000)));
        assert_eq!(pace.admit(now.plus(second), 0), Ok(0));
    }

    #[test]
    fn what_did_not_wait_is_waited_for_by_those_who_come_after() {
        let mut pace = Pace::new(&Limits { per_second: 10, burst: 3, ..Limits::default() });
        let (now, second) = (Micros(Micros::HOUR), Micros::SECOND);
        assert_eq!(pace.admit(now, second), Ok(0));
        (0..3).for_each(|_| pace.charge());
        assert_eq!([pace.admit(now, second), pace.admit(now, second)], [Ok(200_000), Ok(300_000)]);
    }

    /// A rate of all nodes, kept by the test.
    struct Kept {
        answer: Mutex<Option<Result<i64, Micros>>>,
        booked: Mutex<Vec<u32>>,
    }

    impl SharedRate for Kept {
        fn book(&self, requests: u32, _: i64) -> BoxFuture<'_, Option<Result<i64, Micros>>> {
            lock(&self.booked).push(requests);
            let answer = *lock(&self.answer);
            Box::pin(async move { answer })
        }
    }

    fn limited(shared: Arc<Kept>) -> Limited {
        let url = url::Url::parse("https://192.0.2.1:9").unwrap();
        let (access_token, email_trait, public_url) = (None, "email".to_owned(), None);
        let settings = crate::connector::KratosSettings { base_url: url, access_token, email_trait, public_url };
        let inner =
            Arc::new(crate::connector::kratos::Kratos::new(settings, &crate::connector::Net::default()).unwrap());
        let limits = Limits { per_second: 1, burst: 1, ..Limits::default() };
        Limited::new(inner, (&limits, Some(shared)), Duration::from_secs(1))
    }

    #[tokio::test]
    async fn the_rate_of_all_nodes_is_what_counts_while_it_can_be_asked() {
        let kept = Arc::new(Kept { answer: Mutex::new(Some(Ok(0))), booked: Mutex::default() });
        let limited = limited(kept.clone());
        let now = Micros(Micros::HOUR);
        let call = || {
            let work = async {
                count_request();
                count_request(); // an access token, say
                Ok(())
            };
            limited.within(now, ("test", 1, ProviderError::Transient), Box::pin(work))
        };
        for _ in 0..3 {
            assert_eq!(call().await, Ok(()));
        }
        assert_eq!(*lock(&kept.booked), [1, 2, 2], "what did not wait is booked by the next call");
        let later = now.plus(Micros::MINUTE);
        *lock(&kept.answer) = Some(Err(later));
        assert_eq!(call().await, Err(ProviderError::RateLimited { not_before: Some(later) }));
        *lock(&kept.answer) = Some(Ok(0));
        assert_eq!(call().await, Ok(()));
        assert_eq!(lock(&kept.booked).last(), Some(&2), "who was refused has not booked it");
        *lock(&kept.answer) = None;
        assert!(matches!(call().await, Err(ProviderError::RateLimited { .. })), "its own rate is used up by now");
    }

    #[test]
    fn a_clock_that_is_set_back_stops_nobody() {
        let mut pace = Pace::new(&Limits { per_second: 10, burst: 1, ..Limits::default() });
        assert_eq!(pace.admit(Micros(Micros::DAY), 0), Ok(0));
        let now = Micros(Micros::HOUR);
        assert_eq!(pace.admit(now, 0), Ok(0));
        assert_eq!(pace.admit(now, 0), Err(now.plus(100_000)));
    }
}
