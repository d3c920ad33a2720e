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
        let mut calls = self.calls.lock().unwrap();
        let (mut done, mut sets) = (0, 0);
        for &earlier in calls.iter() {
            done += usize::from(earlier == call);
            sets += usize::from(earlier == Call::Set);
        }
        calls.push(call);
        let target = self.cell.step();
        if step_of(call, done) == Some(target) && (done == 0 || target == Step::Probe && done == 1) {
            let watcher: Arc<dyn Watcher> = self.clone();
            return (self.trouble(target), Some(watcher));
        }
        // What comes only after an answer was lost.
        let sought = matches!(target, Step::Probe | Step::SignIn);
        if sought && call == Call::Set && done == 0 {
            return (Some(Trouble::AppliedCut), None);
        }
        let blind = self.cell.mishap == Mishap::Trouble(Step::Set, Trouble::Repeated);
        if blind && call == Call::LookUp && sets == 1 {
            return (Some(Trouble::Broken), None);
        }
        let is_dark = self.cell.is_slow() && sets > 0;
        (is_dark.then_some(Trouble::Cut), None)
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

    /// Waits until the step is where the cell wants it.
    pub async fn comes(&self, point: Point) {
        let mut reached = self.reached.subscribe();
        let _ended = reached.wait_for(|reached| *reached >= Some(point)).await;
    }

    /// Whether the step has come at all.
    pub fn has_come(&self) -> bool {
        self.reached.borrow().is_some()
    }

    /// Lets the step go on.
    pub fn open(&self) {
        self.gate.send_replace(Gate::Open);
    }

    /// How often a call was made.
    pub fn count(&self, call: Call) -> usize {
        self.calls.lock().unwrap().iter().filter(|made| **made == call).count()
    }
}

/// The step that a call is, if it was made so often before.
fn step_of(call: Call, done: usize) -> Option<Step> {
    Some(match call {
        Call::Access => Step::Access,
        Call::LookUp if done == 0 => Step::LookUp,
        Call::LookUp => Step::Probe,
        Call::Set => Step::Set,
        Call::SignIn => Step::SignIn,
        Call::EndSessions => Step::EndSessions,
    })
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
