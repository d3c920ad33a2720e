//! An identity provider in memory. It outlives the processes that call it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use futures_util::future::{BoxFuture, pending};
use keyherald::connector::{By, Connector, LookedUp};
use keyherald_core::provider::{
    Capabilities, LookupWays, Probe, ProbeValue, ProviderError, ProviderUser, RecordWrites, SessionEnding, TrialAnswer,
};
use keyherald_core::secret::Password;
use keyherald_core::{Ctx, Micros};
use tokio::sync::watch;

/// What becomes of one attempt to set a password. What is not in the script is answered.
#[derive(Clone, Debug)]
pub enum Fate {
    /// Done, and said so.
    Answered,
    /// Done, and the answer is lost.
    AnswerLost,
    /// It never arrives.
    Lost,
    /// Done, and the call does not end.
    AppliedAndSilent,
    /// Never arrives, and the call does not end.
    Silent,
    /// Not done, with this error.
    Fails(ProviderError),
    /// Worth another try after so many seconds.
    Throttled(i64),
    /// The connector has a defect.
    Panics,
}

/// What happens in a call that changes nothing there.
#[derive(Clone, Debug)]
pub enum Look {
    Fails(ProviderError),
    Silent,
    Panics,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    LookUp,
    Set,
    SignIn,
    EndSessions,
}

#[derive(Default)]
struct State {
    users: BTreeMap<String, User>,
    sets: VecDeque<Fate>,
    look_ups: VecDeque<Option<Look>>,
    sign_ins: VecDeque<Option<Look>>,
    endings: VecDeque<Option<Look>>,
    asked: Vec<Asked>,
    sessions_ended: usize,
}

#[derive(Clone)]
struct User {
    password: String,
    had: Vec<String>,
    changes: u64,
}

pub struct Scripted {
    pub capabilities: Capabilities,
    /// Refuses what it has had, the current one included.
    pub history: bool,
    state: Mutex<State>,
    /// How many calls of each kind have begun: to wait for one.
    calls: watch::Sender<usize>,
}

pub fn capabilities(probe: Probe, trial_sign_in: bool, sessions: SessionEnding) -> Capabilities {
    let lookups = LookupWays { id: true, ..LookupWays::default() };
    Capabilities {
        probe,
        trial_sign_in,
        sessions,
        lookups,
        password_bytes_max: Some(72),
        records: RecordWrites::default(),
        tokens: false,
    }
}

impl Scripted {
    pub fn new(capabilities: Capabilities, history: bool) -> Arc<Self> {
        Arc::new(Self { capabilities, history, state: Mutex::default(), calls: watch::Sender::new(0) })
    }

    /// One that tells all that can be told.
    pub fn telling() -> Arc<Self> {
        Self::new(capabilities(Probe::Password, true, SessionEnding::BySet), false)
    }

    pub fn add(&self, user: &str, password: &str) {
        let had = vec![password.to_owned()];
        self.state().users.insert(user.to_owned(), User { password: password.to_owned(), had, changes: 0 });
    }

    pub fn remove(&self, user: &str) {
        self.state().users.remove(user);
    }

    pub fn script(&self, fates: impl IntoIterator<Item = Fate>) {
        self.state().sets.extend(fates);
    }

    pub fn script_look_ups(&self, looks: impl IntoIterator<Item = Option<Look>>) {
        self.state().look_ups.extend(looks);
    }

    pub fn script_sign_ins(&self, looks: impl IntoIterator<Item = Option<Look>>) {
        self.state().sign_ins.extend(looks);
    }

    pub fn script_endings(&self, looks: impl IntoIterator<Item = Option<Look>>) {
        self.state().endings.extend(looks);
    }

    /// Forgets what is left of the script, and what was asked.
    pub fn clear(&self) {
        let mut state = self.state();
        let users = std::mem::take(&mut state.users);
        *state = State { users, ..State::default() };
    }

    pub fn password(&self, user: &str) -> Option<String> {
        self.state().users.get(user).map(|user| user.password.clone())
    }

    pub fn changes(&self, user: &str) -> u64 {
        self.state().users[user].changes
    }

    pub fn sessions_ended(&self) -> usize {
        self.state().sessions_ended
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.state().asked.clone()
    }

    pub fn times_asked(&self, what: Asked) -> usize {
        self.asked().iter().filter(|asked| **asked == what).count()
    }

    /// Waits until so many calls of a kind have begun.
    pub async fn begun(&self, what: Asked, count: usize) {
        let mut calls = self.calls.subscribe();
        calls.wait_for(|_| self.times_asked(what) >= count).await.unwrap();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn note(&self, what: Asked) {
        self.state().asked.push(what);
        self.calls.send_modify(|count| *count += 1);
    }

    fn apply(&self, user: &str, password: &str) -> Result<(), ProviderError> {
        let mut state = self.state();
        let user = state.users.get_mut(user).ok_or(ProviderError::UserNotFound)?;
        if password.contains("weak") {
            let text = format!("{password} is too weak: use a digit");
            let message = Some(keyherald_core::provider::PolicyText::new(&text, &secret(password)));
            return Err(ProviderError::PolicyViolation { rule: Some("digit".into()), message });
        }
        if self.history && user.had.iter().any(|had| had == password) {
            return Err(ProviderError::PasswordReused { message: None });
        }
        password.clone_into(&mut user.password);
        user.had.push(password.to_owned());
        user.changes += 1;
        Ok(())
    }
}

pub fn secret(text: &str) -> Password {
    Password::new(text.to_owned()).unwrap()
}

/// A look that goes wrong, or `None`.
async fn goes_wrong(look: Option<Look>) -> Option<ProviderError> {
    match look? {
        Look::Fails(error) => Some(error),
        Look::Silent => pending().await,
        Look::Panics => panic!("a defect of the connector"),
    }
}

impl Connector for Scripted {
    fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    fn look_up<'a>(&'a self, by: By<'a>, _: Ctx) -> BoxFuture<'a, Result<LookedUp, ProviderError>> {
        Box::pin(async move {
            self.note(Asked::LookUp);
            let look = self.state().look_ups.pop_front().flatten();
            if let Some(error) = goes_wrong(look).await {
                return Err(error);
            }
            let By::Id(user) = by else { return Err(ProviderError::NotSupported) };
            let found = self.state().users.get(user.as_str()).cloned().ok_or(ProviderError::UserNotFound)?;
            let value = ProbeValue::of(Some(&found.changes.to_string()));
            let probe = (self.capabilities.probe != Probe::None).then_some(value);
            Ok(LookedUp { probe, ..LookedUp::of(user.clone()) })
        })
    }

    fn set_password<'a>(
        &'a self,
        user: &'a ProviderUser,
        password: &'a Password,
        ctx: Ctx,
    ) -> BoxFuture<'a, Result<(), ProviderError>> {
        Box::pin(async move {
            let fate = self.state().sets.pop_front().unwrap_or(Fate::Answered);
            let apply = || password.reveal_with(|password| self.apply(user.as_str(), password));
            // What is applied is so before anybody can see that the call has begun.
            match fate {
                Fate::Answered => {
                    let applied = apply();
                    self.note(Asked::Set);
                    applied
                }
                Fate::AnswerLost => {
                    let _lost = apply();
                    self.note(Asked::Set);
                    Err(ProviderError::Ambiguous)
                }
                Fate::AppliedAndSilent => {
                    let _silent = apply();
                    self.note(Asked::Set);
                    pending().await
                }
                Fate::Lost => {
                    self.note(Asked::Set);
                    Err(ProviderError::Ambiguous)
                }
                Fate::Silent => {
                    self.note(Asked::Set);
                    pending().await
                }
                Fate::Fails(error) => {
                    self.note(Asked::Set);
                    Err(error)
                }
                Fate::Throttled(seconds) => {
                    self.note(Asked::Set);
                    Err(ProviderError::RateLimited { not_before: Some(ctx.now.plus(seconds * Micros::SECOND)) })
                }
                Fate::Panics => {
                    self.note(Asked::Set);
                    panic!("a defect of the connector")
                }
            }
        })
    }

    fn try_sign_in<'a>(&'a self, user: &'a ProviderUser, password: &'a Password, _: Ctx) -> BoxFuture<'a, TrialAnswer> {
        Box::pin(async move {
            self.note(Asked::SignIn);
            let look = self.state().sign_ins.pop_front().flatten();
            if let Some(error) = goes_wrong(look).await {
                return TrialAnswer::Failed(error);
            }
            let known = self.password(user.as_str());
            let is_it = password.reveal_with(|password| known.as_deref() == Some(password));
            if is_it { TrialAnswer::SignedIn } else { TrialAnswer::Wrong }
        })
    }

    fn end_sessions<'a>(&'a self, _: &'a ProviderUser, _: Ctx) -> BoxFuture<'a, Result<(), ProviderError>> {
        Box::pin(async move {
            self.note(Asked::EndSessions);
            let look = self.state().endings.pop_front().flatten();
            if let Some(error) = goes_wrong(look).await {
                return Err(error);
            }
            self.state().sessions_ended += 1;
            Ok(())
        })
    }
}
