//! What a provider does with the requests of one cell: what goes wrong with which step, and where the step is held.

use std::sync::{Arc, Mutex};

use futures_util::future::BoxFuture;
use tokio::sync::watch;

use crate::cell::{Cell, Mishap, Moment, Step, Trouble};
use crate::double::{Point, Watcher};

/// What a request is for, as it can be told from the request alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    Access,
    LookUp,
    Set,
    SignIn,
    EndSessions,
}

/// The script of one cell.
pub struct Script {
    cell: Cell,
    calls: Mutex<Vec<Call>>,
    /// How far the step has come that something happens in.
    reached: watch::Sender<Option<Point>>,
    /// Up to which point it may go.
    gate: watch::Sender<Gate>,
}

/// How far the step may go: it is held at the point where the next one is not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Gate {
    /// Not applied before it is opened.
    Come,
    /// Not answered before it is opened.
    Apply,
    Open,
}

impl Script {
    pub fn new(cell: Cell) -> Arc<Self> {
        let gate = match cell.mishap {
            Mishap::Death(_, Moment::Applied | Moment::Answered) => Gate::Apply,
            _ => Gate::Come,
        };
        Arc::new(Self {
            cell,
            calls: Mutex::default(),
            reached: watch::Sender::new(None),
            gate: watch::Sender::new(gate),
        })
    }

    /// A request has come: what goes wrong with it, and who watches it if it is the one that something happens in.
    pub fn direct(self: &Arc<Self>, call: Call) -> (Option<Trouble>, Option<Arc<dyn Watcher>>) {
        let before = {
            let mut calls = self.calls.lock().unwrap();
            let before = calls.clone();
            calls.push(call);
            before
        };
        let target = self.cell.step();
        let sets = count_of(&before, Call::Set);
        if first_of(call, &before) == Some(target) {
            let watcher: Arc<dyn Watcher> = self.clone();
            return (self.trouble(target), Some(watcher));
        }
        // What comes only after an answer was lost.
        if matches!(target, Step::Probe | Step::SignIn) && call == Call::Set && sets == 0 {
            return (Some(Trouble::AppliedCut), None);
        }
        // Neither the probe nor a sign-in, which looks the user up first, is of any help before the repeat.
        let is_blind = self.repeats_set() && call == Call::LookUp && looks_since_set(&before) < 2;
        if is_blind && sets == 1 {
            return (Some(Trouble::Broken), None);
        }
        let is_dark = self.cell.is_slow() && sets > 0;
        (is_dark.then_some(Trouble::Cut), None)
    }

    fn repeats_set(&self) -> bool {
        self.cell.mishap == Mishap::Trouble(Step::Set, Trouble::Repeated)
    }

    /// Whether what the script is about has happened.
    pub fn was_played(&self) -> Result<(), String> {
        if !self.has_come() {
            return Err("the step in which something happens never came".to_owned());
        }
        if self.repeats_set() && self.count(Call::Set) < 2 {
            return Err("the password was not sent again".to_owned());
        }
        Ok(())
    }

    fn trouble(&self, target: Step) -> Option<Trouble> {
        match self.cell.mishap {
            Mishap::Trouble(_, Trouble::Repeated) => Some(Trouble::AppliedCut),
            Mishap::Trouble(step, trouble) if step == target => Some(trouble),
            // Held, and cut when the process is dead.
            Mishap::Death(_, Moment::Came) => Some(Trouble::Cut),
            _ => None,
        }
    }

    /// Whether the step has come.
    pub fn has_come(&self) -> bool {
        self.reached.borrow().is_some()
    }

    /// Waits until the step is where the cell wants it.
    pub async fn comes(&self, point: Point) {
        let mut reached = self.reached.subscribe();
        let _ended = reached.wait_for(|reached| *reached >= Some(point)).await;
    }

    /// Lets the step go on.
    pub fn open(&self) {
        self.gate.send_replace(Gate::Open);
    }

    /// How often a call was made.
    pub fn count(&self, call: Call) -> usize {
        count_of(&self.calls.lock().unwrap(), call)
    }

    /// Whether the password was sent once, and nobody asked afterwards what became of it.
    pub fn went_straight(&self) -> bool {
        let calls = self.calls.lock().unwrap();
        count_of(&calls, Call::Set) == 1 && count_of(&calls, Call::SignIn) == 0 && looks_since_set(&calls) == 0
    }
}

fn count_of(calls: &[Call], call: Call) -> usize {
    calls.iter().filter(|made| **made == call).count()
}

/// How often the user was looked up since the password was sent last.
fn looks_since_set(calls: &[Call]) -> usize {
    calls.iter().rev().take_while(|call| **call != Call::Set).filter(|call| **call == Call::LookUp).count()
}

/// The step of which a call is the first, after those before. Some connectors look the user up once more to set its
/// password: that is no step.
fn first_of(call: Call, before: &[Call]) -> Option<Step> {
    let was_set = before.contains(&Call::Set);
    let is_first = count_of(before, call) == 0;
    match call {
        Call::LookUp if was_set => {
            (looks_since_set(before) == 0 && count_of(before, Call::Set) == 1).then_some(Step::Probe)
        }
        Call::Access => is_first.then_some(Step::Access),
        Call::LookUp => is_first.then_some(Step::LookUp),
        Call::Set => is_first.then_some(Step::Set),
        Call::SignIn => is_first.then_some(Step::SignIn),
        Call::EndSessions => is_first.then_some(Step::EndSessions),
    }
}

impl Watcher for Script {
    fn reached(&self, point: Point) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            self.reached.send_replace(Some(point));
            let needed = match point {
                Point::Came => Gate::Apply,
                Point::Applied => Gate::Open,
                Point::Answered => return,
            };
            let mut gate = self.gate.subscribe();
            let _ended = gate.wait_for(|gate| *gate >= needed).await;
        })
    }
}
