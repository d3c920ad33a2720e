//! The cells: each is one change of one customer's password, what goes wrong with it, and what somebody else does meanwhile.

use std::fmt;

use keyherald_core::Ctx;

use crate::provider::{Connector, connectors};

/// By which verb the password is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// `POST /customers/password`
    Change,
    /// `POST /customers/password/reset`
    Reset,
    /// `PATCH /v4/Users/{CustomerRegistrationId}/Password`
    Naviga,
    /// `PUT /User/{customerRegistrationId}`, as before.
    Old,
    /// `setAuthenticationMode` of a customer who signed in elsewhere so far.
    Set,
}

/// The steps of an operation that reach the provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Our own access is asked for.
    Access,
    /// The look-up before the intent.
    LookUp,
    /// The password is sent.
    Set,
    /// The user is looked up again: did it happen?
    Probe,
    /// A sign-in is tried.
    SignIn,
    /// The sessions there are ended.
    EndSessions,
}

/// What goes wrong with a step, the first time that it is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// Not applied, and the connection reset.
    Reset,
    /// Not applied, and the connection cut after the request was read.
    Cut,
    /// Applied, and the connection cut.
    AppliedCut,
    /// Applied, and answered with an error of the provider's own.
    AppliedBroken,
    /// The same, not applied.
    Broken,
    /// Too many requests; the number is that of the form in which it is said.
    Throttled(usize),
    /// Not applied, and slower than the time-out.
    Slow,
    /// The same, applied.
    AppliedSlow,
    /// Applied only when the time-out is over.
    Late,
    /// Our access is refused, once.
    AccessRefused,
    /// Applied with its answer lost, and nothing tells before it is done again: a provider that keeps passwords in mind
    /// says then that this one was used before.
    Repeated,
    /// Not applied, and from then on nothing is answered any more.
    Dark,
    /// The password breaks the provider's policy.
    Weak,
    /// The user had the password before.
    Used,
    /// The user is not there any more.
    NoUser,
}

/// Where the process is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// The request has come to the provider, which never applies it.
    Came,
    /// The same, and it is applied when the process is dead.
    AppliedAfter,
    /// It is applied, and not answered.
    Applied,
    /// It was answered a moment ago: somewhere before, in or after what is written then.
    Answered,
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mishap {
    /// Nothing.
    None,
    /// A step fails.
    Trouble(Step, Trouble),
    /// The process is killed in a step.
    Death(Step, Moment),
}

/// What is done to the customer while the step is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meddling {
    None,
    /// It is deleted.
    Deleted,
    /// Another of its fields is changed, and with it the version.
    Moved,
}

/// One change.
#[derive(Clone, Copy)]
pub struct Cell {
    /// Its place among all cells.
    pub number: usize,
    pub connector: &'static Connector,
    pub verb: Verb,
    pub mishap: Mishap,
    pub meddling: Meddling,
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { number, connector, verb, mishap, meddling } = self;
        write!(f, "cell {number} ({} {verb:?}, {mishap:?}, meddling {meddling:?})", connector.name)
    }
}

impl Cell {
    /// Whether nothing stands in the way of the change: however often something is repeated, it must be done.
    pub fn must_be_done(&self) -> bool {
        matches!(self.mishap, Mishap::None | Mishap::Trouble(_, Trouble::Repeated)) && self.meddling == Meddling::None
    }

    /// The step that something happens in.
    pub fn step(&self) -> Step {
        match self.mishap {
            Mishap::None => Step::Set,
            Mishap::Trouble(step, _) | Mishap::Death(step, _) => step,
        }
    }

    /// Whether it lasts as long as a password is kept.
    pub fn is_slow(&self) -> bool {
        matches!(self.mishap, Mishap::Trouble(_, Trouble::Dark))
    }

    pub fn is_killed(&self) -> bool {
        matches!(self.mishap, Mishap::Death(..))
    }
}

/// Every cell of every connector that needs the directory, or of every one that does not.
pub fn all(with_slapd: bool) -> Vec<Cell> {
    let mut cells = Vec::new();
    for connector in connectors().iter().filter(|connector| connector.needs_slapd == with_slapd) {
        for mishap in mishaps(connector) {
            for verb in [Verb::Change, Verb::Reset, Verb::Naviga, Verb::Old, Verb::Set] {
                for meddling in [Meddling::None, Meddling::Deleted, Meddling::Moved] {
                    cells.push(Cell { number: cells.len(), connector, verb, mishap, meddling });
                }
            }
        }
    }
    cells
}

fn mishaps(connector: &Connector) -> Vec<Mishap> {
    let mut mishaps = vec![Mishap::None];
    for &step in connector.steps {
        mishaps.extend(troubles(step, connector).into_iter().map(|trouble| Mishap::Trouble(step, trouble)));
        mishaps.extend(moments(step).iter().map(|&moment| Mishap::Death(step, moment)));
    }
    mishaps
}

fn troubles(step: Step, connector: &Connector) -> Vec<Trouble> {
    use Trouble::{
        AccessRefused, AppliedBroken, AppliedCut, AppliedSlow, Broken, Cut, Dark, Late, NoUser, Repeated, Reset, Slow,
        Throttled, Used, Weak,
    };
    let mut troubles = vec![Reset, Cut, Broken, Slow];
    troubles.extend((0..connector.throttle_forms).map(Throttled));
    match step {
        Step::Set => {
            troubles.extend([AppliedCut, AppliedBroken, AppliedSlow, Late, Dark, AccessRefused, Repeated, NoUser]);
            if connector.has_policy {
                troubles.extend([Weak, Used]);
            }
        }
        Step::LookUp => troubles.extend([AccessRefused, Repeated, NoUser]),
        Step::Probe | Step::EndSessions => troubles.extend([AccessRefused, Repeated]),
        Step::SignIn => troubles.push(Repeated),
        Step::Access => {}
    }
    troubles
}

/// What only reads has nothing to apply.
fn moments(step: Step) -> &'static [Moment] {
    match step {
        Step::Set | Step::EndSessions => {
            &[Moment::Came, Moment::AppliedAfter, Moment::Applied, Moment::Answered, Moment::Answered]
        }
        Step::Access | Step::LookUp | Step::Probe | Step::SignIn => &[Moment::Came, Moment::Answered],
    }
}

/// So many of `cells`, spread evenly over them: of each of as many equal parts, one.
pub fn spread(cells: &[Cell], count: usize, chance: &mut Ctx) -> Vec<Cell> {
    let count = count.min(cells.len());
    let part = |index: usize| index * cells.len() / count;
    let draw = |index: usize| {
        let (from, to) = (part(index), part(index + 1));
        cells[from + usize::try_from(chance.number()).unwrap() % (to - from)]
    };
    (0..count).map(draw).collect()
}

#[cfg(test)]
mod tests {
    use keyherald_core::Micros;

    use super::*;

    #[test]
    fn a_spread_has_cells_of_every_part_and_all_when_asked_for_all() {
        let cells = all(false);
        let mut chance = Ctx::new(Micros(0), [7; 32]);
        let numbers = |cells: &[Cell]| cells.iter().map(|cell| cell.number).collect::<Vec<_>>();
        let drawn = spread(&cells, 40, &mut chance);
        assert!(drawn.len() == 40 && numbers(&drawn).is_sorted());
        assert!(drawn.iter().any(Cell::is_killed) && drawn.iter().any(|cell| cell.step() == Step::Set));
        assert_eq!(numbers(&spread(&cells, usize::MAX, &mut chance)), numbers(&cells));
    }
}
