//! Random sequences of two callers against a model that keeps nothing but what happened, and finds every answer by
//! reading that again.

use proptest::prelude::*;

use super::*;

/// What a caller does. Processes are named by how many began after them: callers try each other's, too.
#[derive(Clone, Debug)]
enum Act {
    /// Asks for a code, also again.
    Begin(Purpose),
    /// Tries a right or a wrong code.
    Attempt { process: usize, is_right: bool },
    /// Has an attempt counted, and is slow to learn what became of it.
    Count { process: usize, is_right: bool },
    /// Learns it.
    Conclude { which: usize },
    /// Replaces a password by the proof.
    Use { process: usize },
    /// Lets this many seconds pass.
    Wait(i64),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Happened {
    Began { id: VerificationId, purpose: Purpose },
    BeganToRest,
    Counted { id: VerificationId },
    WasRight { id: VerificationId },
    Used { id: VerificationId },
}

/// All that happened, in order.
#[derive(Default)]
struct Model(Vec<(Micros, Happened)>);

impl Model {
    fn note(&mut self, now: Micros, happened: Happened) {
        self.0.push((now, happened));
    }

    fn rests_until(&self) -> Option<Micros> {
        let rested = |(at, happened): &(Micros, Happened)| (*happened == Happened::BeganToRest).then_some(*at);
        self.0.iter().rev().find_map(rested).map(|at| at.plus(LIMITS.cooldown))
    }

    /// Of the processes begun, those that count.
    fn counted(&self, now: Micros) -> usize {
        let since_rest = self.0.iter().rev().take_while(|(_, happened)| *happened != Happened::BeganToRest);
        let begun = since_rest.filter(|(_, happened)| matches!(happened, Happened::Began { .. }));
        begun.filter(|(at, _)| now.0 - at.0 < LIMITS.window).count()
    }

    fn state(&self, id: VerificationId, now: Micros) -> State {
        let count = |wanted: Happened| self.0.iter().filter(|(_, happened)| *happened == wanted).count();
        let began = |(at, happened): &(Micros, Happened)| match happened {
            Happened::Began { id, .. } => Some((*at, *id)),
            _ => None,
        };
        let (newest_at, newest) = self.0.iter().rev().find_map(began).unwrap();
        if count(Happened::Used { id }) > 0 {
            State::Consumed
        } else if newest != id {
            State::Superseded
        } else if count(Happened::WasRight { id }) > 0 {
            State::Verified
        } else if count(Happened::Counted { id }) == 3 {
            State::Exhausted
        } else if now.0 - newest_at.0 >= LIMITS.code_life {
            State::Expired
        } else {
            State::Active
        }
    }

    fn can_be_used(&self, id: VerificationId, now: Micros) -> bool {
        let first_right = self.0.iter().find(|(_, happened)| *happened == Happened::WasRight { id });
        let for_reset = Happened::Began { id, purpose: Purpose::PasswordReset };
        self.state(id, now) == State::Verified
            && self.0.iter().any(|(_, happened)| *happened == for_reset)
            && first_right.is_some_and(|(at, _)| now.0 - at.0 < LIMITS.valid_for)
    }
}

/// The machine and the model, side by side.
#[derive(Default)]
struct Run {
    history: History,
    processes: Vec<Process>,
    /// Counted and not concluded: which process, its attempt's number, whether it is right, when.
    in_flight: Vec<(usize, u32, bool, Micros)>,
    model: Model,
    now: i64,
}

impl Run {
    fn act(&mut self, act: &Act) -> Result<(), TestCaseError> {
        match act {
            Act::Begin(purpose) => self.begin(*purpose),
            Act::Attempt { process, is_right } => {
                let before = self.in_flight.len();
                self.count(*process, *is_right)?;
                if self.in_flight.len() > before { self.conclude(before) } else { Ok(()) }
            }
            Act::Count { process, is_right } => self.count(*process, *is_right),
            Act::Conclude { which } => match which.checked_rem(self.in_flight.len()) {
                Some(which) => self.conclude(which),
                None => Ok(()),
            },
            Act::Use { process } => self.consume(*process),
            Act::Wait(seconds) => {
                self.now += seconds * S;
                Ok(())
            }
        }
    }

    fn begin(&mut self, purpose: Purpose) -> Result<(), TestCaseError> {
        let now = at(self.now);
        let mut seed = [9; 32];
        seed[0..8].copy_from_slice(&self.processes.len().to_le_bytes());
        let answer = self.history.begin(Kind::Email, purpose, &LIMITS, &mut Ctx::new(now, seed));
        let counted = self.model.counted(now);
        match self.model.rests_until().filter(|until| *until > now) {
            Some(until) => prop_assert_eq!(answer, Err(Resting { until })),
            None if counted == 5 => {
                self.model.note(now, Happened::BeganToRest);
                prop_assert_eq!(answer, Err(Resting { until: now.plus(LIMITS.cooldown) }));
            }
            None => {
                prop_assert!(answer.is_ok());
                let begun = answer.unwrap();
                prop_assert_eq!(usize::try_from(begun.processes).unwrap(), counted + 1);
                self.model.note(now, Happened::Began { id: begun.process.id, purpose });
                self.processes.push(begun.process);
            }
        }
        Ok(())
    }

    fn named(&self, process: usize) -> Option<usize> {
        self.processes.len().checked_sub(process + 1)
    }

    fn count(&mut self, process: usize, is_right: bool) -> Result<(), TestCaseError> {
        let now = at(self.now);
        let Some(index) = self.named(process) else { return Ok(()) };
        let process = &mut self.processes[index];
        let (attempts, expected) = (process.attempts, self.model.state(process.id, now));
        match process.count(self.history.newest, now) {
            Ok(()) => {
                prop_assert_eq!(expected, State::Active);
                prop_assert!(process.attempts == attempts + 1 && process.attempts <= 3);
                self.model.note(now, Happened::Counted { id: process.id });
                self.in_flight.push((index, process.attempts, is_right, now));
            }
            Err(NotActive(state)) => {
                prop_assert_eq!(state, expected);
                prop_assert_eq!(process.attempts, attempts);
            }
        }
        Ok(())
    }

    fn conclude(&mut self, which: usize) -> Result<(), TestCaseError> {
        let (index, number, is_right, counted_at) = self.in_flight.remove(which);
        let process = &mut self.processes[index];
        let state = self.model.state(process.id, counted_at);
        let expected = match (is_right, state) {
            (false, _) if number == 3 => Ok(Attempted::WrongAtLast),
            (false, _) => Ok(Attempted::Wrong),
            (true, State::Superseded | State::Consumed) => Err(NotActive(state)),
            (true, _) => Ok(Attempted::Verified),
        };
        let answer = process.conclude(self.history.newest, number, is_right, counted_at);
        prop_assert_eq!(answer, expected);
        if answer == Ok(Attempted::Verified) {
            self.model.note(counted_at, Happened::WasRight { id: process.id });
        }
        Ok(())
    }

    fn consume(&mut self, process: usize) -> Result<(), TestCaseError> {
        let now = at(self.now);
        let Some(index) = self.named(process) else { return Ok(()) };
        let process = &mut self.processes[index];
        let proof = process.proof(self.history.newest, (Kind::Email, Purpose::PasswordReset), &LIMITS, now);
        let can = proof.is_some();
        prop_assert_eq!(can, self.model.can_be_used(process.id, now));
        if can {
            process.consume(now);
            self.model.note(now, Happened::Used { id: process.id });
        }
        Ok(())
    }

    /// What must hold at any time, whatever was done.
    fn holds(&self) -> Result<(), TestCaseError> {
        let now = at(self.now);
        for process in &self.processes {
            prop_assert_eq!(process.state(self.history.newest, now), self.model.state(process.id, now));
        }
        let is_live = |it: &&Process| matches!(it.state(self.history.newest, now), State::Active | State::Verified);
        prop_assert!(self.processes.iter().filter(is_live).count() <= 1, "at most one can be tried or used");
        prop_assert!(self.history.begun_at.len() <= 5);
        Ok(())
    }
}

fn act() -> impl Strategy<Value = Act> {
    let purpose = prop_oneof![4 => Just(Purpose::PasswordReset), 1 => Just(Purpose::WalletSetup)];
    // Mostly the newest: the others are over.
    let process = || prop_oneof![3 => Just(0_usize), 1 => 0..6_usize];
    prop_oneof![
        4 => purpose.prop_map(Act::Begin),
        4 => (process(), any::<bool>()).prop_map(|(process, is_right)| Act::Attempt { process, is_right }),
        2 => (process(), any::<bool>()).prop_map(|(process, is_right)| Act::Count { process, is_right }),
        2 => (0..6_usize).prop_map(|which| Act::Conclude { which }),
        3 => process().prop_map(|process| Act::Use { process }),
        2 => (0..300_i64).prop_map(Act::Wait),
        1 => (0..4000_i64).prop_map(Act::Wait),
    ]
}

/// Two callers, each with plans of its own; `true`: the first one acts next.
fn interleaved() -> impl Strategy<Value = Vec<Act>> {
    let plans = (proptest::collection::vec(act(), 0..30), proptest::collection::vec(act(), 0..30));
    (plans, proptest::collection::vec(any::<bool>(), 60)).prop_map(|((one, other), turns)| {
        let (mut one, mut other) = (one.into_iter(), other.into_iter());
        turns.into_iter().filter_map(|is_first| if is_first { one.next() } else { other.next() }).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn two_callers_find_what_the_model_says(acts in interleaved()) {
        let mut run = Run::default();
        for act in &acts {
            run.act(act)?;
            run.holds()?;
        }
    }
}
