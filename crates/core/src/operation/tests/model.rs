//! Operations against a provider that applies or does not, answers or does not, at once or late, driven by [`next`]
//! while the process that drives dies now and then.

use proptest::prelude::*;

use super::*;

/// What becomes of one attempt.
#[derive(Clone, Copy, Debug)]
enum Fate {
    /// Applied if the provider takes it, and answered.
    Answered,
    /// The same, and the answer is lost.
    AnswerLost,
    /// Never arrives.
    Lost,
    /// Arrives after this many seconds; nobody waits for it.
    Late(i64),
    /// Not applied, and said so.
    Throttled(i64),
    NotReached,
    /// Not applied, because our access is broken.
    AccessBroken,
}

/// What becomes of one look, and whether the driving process dies after a step.
#[derive(Clone, Copy, Debug)]
struct Chance {
    fate: Fate,
    look_fails: bool,
    dies: bool,
    slow: i64,
}

/// How a provider is. Its password is a number; 0 is the one from before.
#[derive(Clone, Debug)]
struct Manners {
    probe: Probe,
    trial: bool,
    /// Refuses what it has had, the current one included.
    history: bool,
    /// Our password was used there long ago.
    used_before: bool,
    /// Breaks its policy.
    weak: bool,
    by_step: bool,
    sealed: bool,
}

struct Provider {
    manners: Manners,
    password: u8,
    had: Vec<u8>,
    changes: u32,
    /// Attempts that are still on their way: when they arrive, and what they carry.
    on_their_way: Vec<(Micros, u8)>,
}

impl Provider {
    fn new(manners: Manners) -> Self {
        let had = if manners.used_before { vec![0, 1] } else { vec![0] };
        Self { manners, password: 0, had, changes: 0, on_their_way: Vec::new() }
    }

    /// What arrives until `now` takes effect.
    fn run(&mut self, now: Micros) {
        let (due, later) = self.on_their_way.iter().partition(|(at, _)| *at <= now);
        self.on_their_way = later;
        let due: Vec<(Micros, u8)> = due;
        for (_, password) in due {
            let _ = self.apply(password);
        }
    }

    fn apply(&mut self, password: u8) -> Event {
        if self.manners.weak {
            return Event::NotAccepted(ProviderError::PolicyViolation { rule: None, message: None });
        }
        if self.manners.history && self.had.contains(&password) {
            return reused();
        }
        self.password = password;
        self.had.push(password);
        self.changes += 1;
        Event::Accepted
    }

    fn set(&mut self, password: u8, fate: Fate, now: Micros) -> Event {
        let other = self.on_their_way.iter().find(|(_, late)| *late != password);
        assert_eq!(other, None, "two different passwords are on their way");
        match fate {
            Fate::Answered => self.apply(password),
            Fate::AnswerLost => {
                let _ = self.apply(password);
                unknown()
            }
            Fate::Lost => unknown(),
            Fate::Late(seconds) => {
                self.on_their_way.push((now.plus(seconds * S), password));
                unknown()
            }
            Fate::Throttled(seconds) => {
                Event::NotAccepted(ProviderError::RateLimited { not_before: Some(now.plus(seconds * S)) })
            }
            Fate::NotReached => Event::NotAccepted(ProviderError::Transient),
            Fate::AccessBroken => Event::NotAccepted(ProviderError::AdminAuth),
        }
    }

    fn probe(&self, fails: bool) -> Event {
        let failed = ProbeAnswer::Failed(ProviderError::Transient);
        Event::Probed(if fails { failed } else { ProbeAnswer::Value(self.value()) })
    }

    fn value(&self) -> ProbeValue {
        ProbeValue::of(Some(&self.changes.to_string()))
    }

    fn sign_in(&self, password: u8, fails: bool) -> Event {
        Event::Tried(match (fails, self.password == password) {
            (true, _) => TrialAnswer::Failed(ProviderError::Transient),
            (false, true) => TrialAnswer::SignedIn,
            (false, false) => TrialAnswer::Wrong,
        })
    }
}

/// What a run of one operation left.
struct Run {
    operation: Operation,
    now: Micros,
    commits: u32,
}

/// Drives an operation that sets `password` to its end; chances that run out are good ones.
fn drive(provider: &mut Provider, password: u8, mut now: Micros, chances: &[Chance]) -> Run {
    let sessions = if provider.manners.by_step { SessionEnding::ByStep } else { SessionEnding::BySet };
    let capable = Capabilities { sessions, ..capabilities(provider.manners.probe, provider.manners.trial) };
    let mut stored = begun(capable);
    stored.began_at = now;
    stored.log[0].at = now;
    stored.intent.answer_by = now.plus(10 * S);
    stored.intent.before = Some(provider.value());
    let mut chances = chances.iter().copied();
    let mut commits = 0;
    let mut step = Step::SetPassword; // the intent carries the first attempt
    for turn in 0.. {
        assert!(turn < 2000, "no end: {step:?} {:?}", stored.log);
        let good = Chance { fate: Fate::Answered, look_fails: false, dies: false, slow: 0 };
        let chance = if matches!(step, Step::Wait(_)) { good } else { chances.next().unwrap_or(good) };
        provider.run(now);
        let event = match &step {
            Step::SetPassword => {
                if turn > 0 {
                    assert!(stored.password_at_hand && now < stored.expires_at(), "sent without a seal");
                    stored = stored.record(Event::Sent, now);
                }
                Some(provider.set(password, chance.fate, now))
            }
            Step::Probe => Some(provider.probe(chance.look_fails)),
            Step::TrySignIn => {
                assert!(stored.password_at_hand && now < stored.expires_at(), "tried without a seal");
                Some(provider.sign_in(password, chance.look_fails))
            }
            Step::Commit => {
                assert_eq!(provider.password, password, "announced before the outcome is known");
                // Who dies here has committed nothing: it is one transaction.
                commits += u32::from(stored.state() == State::Open && !chance.dies);
                Some(Event::Committed(2))
            }
            Step::Release(why) => Some(Event::Released(why.clone())),
            Step::Diverge => Some(Event::Diverged),
            Step::EndSessions => Some(Event::SessionsEnded(chance.look_fails.then_some(ProviderError::Transient))),
            Step::Wait(until) => {
                assert!(*until > now, "waits for the past");
                now = *until;
                None
            }
            Step::Done => return Run { operation: stored, now, commits },
        };
        let began = now;
        now = now.plus(chance.slow * S);
        provider.run(now);
        if chance.dies {
            // What was not recorded is forgotten, and so is a password that was not sealed.
            stored.password_at_hand &= provider.manners.sealed;
            now = now.plus(15 * S);
        } else if let Some(event) = event {
            let looked = matches!(event, Event::Probed(_) | Event::Tried(_));
            stored = stored.record(event, if looked { began } else { now });
        }
        stored.password_at_hand &= now < stored.expires_at();
        step = next(&stored, now);
        assert_eq!(next(&stored, now), step);
    }
    unreachable!()
}

fn fates() -> impl Strategy<Value = Fate> {
    prop_oneof![
        3 => Just(Fate::Answered),
        3 => Just(Fate::AnswerLost),
        2 => Just(Fate::Lost),
        2 => (1_i64..60).prop_map(Fate::Late),
        1 => (1_i64..40).prop_map(Fate::Throttled),
        1 => Just(Fate::NotReached),
        1 => Just(Fate::AccessBroken),
    ]
}

fn chances() -> impl Strategy<Value = Vec<Chance>> {
    let chance =
        (fates(), prop::bool::weighted(0.3), prop::bool::weighted(0.2), prop_oneof![4 => 0_i64..3, 1 => 0_i64..200])
            .prop_map(|(fate, look_fails, dies, slow)| Chance { fate, look_fails, dies, slow });
    prop::collection::vec(chance, 0..40)
}

fn manners() -> impl Strategy<Value = Manners> {
    let probe = prop_oneof![Just(Probe::None), Just(Probe::Password), Just(Probe::Record)];
    let bools = (any::<bool>(), any::<bool>(), prop::bool::weighted(0.2), prop::bool::weighted(0.2), any::<bool>());
    (probe, bools, prop::bool::weighted(0.8)).prop_map(
        |(probe, (trial, history, used_before, weak, by_step), sealed)| Manners {
            probe,
            trial,
            history,
            used_before,
            weak,
            by_step,
            sealed,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// Whatever happens on the way: both systems agree on the new password and it was committed once; or nothing was
    /// changed anywhere and nothing will be; or it is marked as diverged, not before its time.
    #[test]
    fn ends_agreed_or_unchanged_or_marked(manners in manners(), chances in prop::collection::vec(chances(), 1..4)) {
        let mut provider = Provider::new(manners);
        let mut now = START;
        // One change after the other, each of another password, each as early as it may begin.
        for (password, chances) in (1..).zip(&chances) {
            let old = provider.password;
            let run = drive(&mut provider, password, now, chances);
            now = run.operation.quiet_until().max(run.now);
            provider.run(now);
            prop_assert!(provider.on_their_way.is_empty(), "still on its way when another password may be sent");
            match run.operation.outcome() {
                Outcome::Done(_) => prop_assert_eq!((provider.password, run.commits), (password, 1)),
                Outcome::Refused(_) => prop_assert_eq!((provider.password, run.commits), (old, 0)),
                Outcome::NotKnown => {
                    prop_assert_eq!((run.operation.state(), run.commits), (State::Diverged, 0));
                    prop_assert!(run.now >= run.operation.expires_at());
                }
                Outcome::Gone => prop_assert!(false, "nobody was deleted"),
            }
            prop_assert!(run.operation.log.len() < 300);
        }
    }

    /// With looks that answer in the end and a sealed password, nothing diverges that could be found out.
    #[test]
    fn what_can_be_found_out_does_not_diverge(chances in chances(), history: bool, used_before: bool, weak: bool, trial: bool) {
        let manners = Manners { probe: Probe::Password, trial, history, used_before, weak, by_step: false, sealed: true };
        let short: Vec<_> = chances.iter().take(8).map(|chance| Chance { slow: chance.slow.min(10), ..*chance }).collect();
        let run = drive(&mut Provider::new(manners), 1, START, &short);
        prop_assert_ne!(run.operation.state(), State::Diverged);
    }

    /// When nothing goes wrong a step costs one call: no probe, no sign-in, no wait.
    #[test]
    fn a_clean_run_is_one_attempt_and_one_commit(manners in manners()) {
        let run = drive(&mut Provider::new(manners.clone()), 1, START, &[]);
        let refused = manners.weak || manners.history && manners.used_before;
        prop_assert_eq!(matches!(run.operation.outcome(), Outcome::Refused(Why::Refused(_))), refused);
        prop_assert_eq!(run.operation.log.len(), if refused || !manners.by_step { 3 } else { 4 });
        prop_assert_eq!(run.now, START);
    }
}
