//! What is found of a cell when all is over, and what must be true of it.

use keyherald_core::operation::State;

/// How a cell ended well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Provider and database have the same password.
    Agreed,
    /// It is still under way.
    Open,
    /// Nobody knows, and operators were told.
    Diverged,
}

/// What the caller was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// 200: it is done.
    Done,
    /// Nothing was changed.
    Refused(u16),
    /// 503: not known, or not possible now.
    ComeBack,
    /// The answer was lost.
    Nothing,
}

impl Told {
    pub fn of(status: Option<u16>) -> Self {
        match status {
            None => Self::Nothing,
            Some(200) => Self::Done,
            Some(503) => Self::ComeBack,
            Some(other) => Self::Refused(other),
        }
    }
}

/// A password of the customer's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    Old,
    New,
    /// Another one, or none.
    Neither,
    /// Both sign in.
    Both,
}

/// The operation, as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stand {
    pub state: State,
    /// Whether a sealed password or a hash is left in its row.
    pub holds_secret: bool,
}

/// All of it.
#[derive(Clone, Debug)]
pub struct Evidence {
    pub told: Told,
    /// The operations of the customer, in the order in which they began.
    pub operations: Vec<Stand>,
    pub customer_is_there: bool,
    /// Whether the customer signs in here, by its own word.
    pub signs_in_here: bool,
    /// The password that signs in here before anything happens.
    pub before: Which,
    pub there: Which,
    pub here: Which,
    /// Messages that the password was updated: in the log, those of them that arrived, and different ones that arrived.
    pub messages: (usize, usize, usize),
    /// The documented events of the calls, in order, with their outcomes.
    pub activity: Vec<(u32, String)>,
    /// Log lines of the server with the alert of an operation of this customer, and entries that it diverged.
    pub alerts: (usize, usize),
    /// Places where a secret was found that does not belong there.
    pub leaks: Vec<String>,
    /// Whether nothing stood in the way.
    pub must_be_done: bool,
    /// Whether nothing went wrong, and each step was done once.
    pub is_clean: bool,
}

/// The events of a change that goes well.
const CLEAN: [u32; 4] = [4601, 4001, 4609, 4010];

/// How the cell ended, or what is wrong.
pub fn judge(found: &Evidence) -> Result<Verdict, Vec<String>> {
    let mut wrong: Vec<String> = found.leaks.iter().map(|place| format!("a secret in {place}")).collect();
    let mut hold = |holds: bool, what: &str| {
        if !holds {
            wrong.push(what.to_owned());
        }
    };
    let is = |state: State| found.operations.iter().any(|stand| stand.state == state);
    let (open, diverged) = (is(State::Open), is(State::Diverged));
    let is_committed = |stand: &&Stand| matches!(stand.state, State::Committed | State::Closing);
    // Who asks again after the change was made, for nobody had said so, has it made once more.
    let changes = found.operations.iter().filter(is_committed).count();
    let committed = changes > 0;
    let (told_here, arrived, different) = found.messages;
    let count = |code| found.activity.iter().filter(|entry| **entry == (code, "done".to_owned())).count();

    hold(arrived == told_here, "a message did not arrive");
    hold(different == arrived, "a message arrived that is not in the log");
    hold(told_here <= changes.max(1), "more than one message of one change");
    hold(count(4010) == told_here, "activity does not tell of each change once");
    let held = found.operations.iter().filter(|stand| stand.state != State::Open && stand.holds_secret);
    hold(held.count() == 0, "a secret is left in an operation that has ended");
    hold(found.alerts.0 == found.alerts.1, "a divergence without its alert or its entry");
    hold(!is(State::Gone), "a customer was deleted under an open operation");

    if !found.customer_is_there {
        hold(open || (told_here > 0) == (found.there == Which::New), "the deleted customer's password differs");
        hold(found.told != Told::Done || told_here > 0, "done was told, and it is not");
    } else if diverged {
        hold(found.alerts.0 > 0, "no alert");
        hold(found.here == Which::Neither, "a password that nobody knows signs in");
    } else if committed {
        let here = if found.signs_in_here { Which::New } else { Which::Neither };
        hold(found.there == Which::New && found.here == here, "provider and database differ after the change");
        hold(told_here == changes, "a change without a message");
        hold(!matches!(found.told, Told::Refused(_)), "a refusal was told, and it is done");
        hold(found.signs_in_here || found.told != Told::Done, "the customer does not sign in here after the change");
    } else {
        hold(open || found.there == Which::Old, "the provider's password changed, and nobody knows");
        hold(found.here == found.before, "the password here changed without an operation that did");
        hold(told_here == 0, "a message of a change that did not happen");
        hold(found.told != Told::Done, "done was told, and it is not");
        hold(!open || !matches!(found.told, Told::Refused(_)), "a refusal was told, and it goes on");
    }
    hold(!found.must_be_done || committed, "nothing stood in its way, and it is not done");
    let codes: Vec<u32> = found.activity.iter().map(|(code, _)| *code).collect();
    hold(!found.is_clean || codes == CLEAN, "a clean change has not its four entries");
    match (wrong.is_empty(), open, diverged) {
        (false, ..) => Err(wrong),
        (true, true, _) => Ok(Verdict::Open),
        (true, _, true) => Ok(Verdict::Diverged),
        (true, false, false) => Ok(Verdict::Agreed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stand(state: State) -> Vec<Stand> {
        vec![Stand { state, holds_secret: state == State::Open }]
    }

    /// A clean change.
    fn clean() -> Evidence {
        Evidence {
            told: Told::Done,
            operations: stand(State::Committed),
            customer_is_there: true,
            signs_in_here: true,
            before: Which::Old,
            there: Which::New,
            here: Which::New,
            messages: (1, 1, 1),
            activity: CLEAN.iter().map(|code| (*code, "done".to_owned())).collect(),
            alerts: (0, 0),
            leaks: Vec::new(),
            must_be_done: true,
            is_clean: true,
        }
    }

    /// Nothing was changed, because the provider said no.
    fn released() -> Evidence {
        let refused = vec![(4601, "done".into()), (4001, "done".into()), (4609, "policy_violation".into())];
        Evidence {
            told: Told::Refused(400),
            operations: stand(State::Released),
            there: Which::Old,
            here: Which::Old,
            messages: (0, 0, 0),
            activity: refused,
            must_be_done: false,
            is_clean: false,
            ..clean()
        }
    }

    fn open() -> Evidence {
        let told = Told::ComeBack;
        Evidence { told, operations: stand(State::Open), activity: Vec::new(), ..released() }
    }

    fn diverged() -> Evidence {
        let operations = stand(State::Diverged);
        Evidence { operations, here: Which::Neither, there: Which::Neither, alerts: (1, 1), ..open() }
    }

    #[test]
    fn what_ended_well_is_seen_as_such() {
        assert_eq!(judge(&clean()), Ok(Verdict::Agreed));
        assert_eq!(judge(&released()), Ok(Verdict::Agreed));
        assert_eq!(judge(&Evidence { there: Which::New, ..open() }), Ok(Verdict::Open));
        assert_eq!(judge(&diverged()), Ok(Verdict::Diverged));
        let lost = Evidence { told: Told::Nothing, must_be_done: false, is_clean: false, ..clean() };
        assert_eq!(judge(&lost), Ok(Verdict::Agreed));
        let operations = [stand(State::Committed), stand(State::Committed)].concat();
        let twice = ["done"; 2].map(|done| (4010, done.to_owned())).to_vec();
        let twice = Evidence { operations, messages: (2, 2, 2), activity: twice, ..lost.clone() };
        assert_eq!(judge(&twice), Ok(Verdict::Agreed));
        let deleted = Evidence { customer_is_there: false, operations: Vec::new(), here: Which::Neither, ..lost };
        assert_eq!(judge(&deleted), Ok(Verdict::Agreed));
    }

    #[test]
    fn each_thing_that_went_wrong_is_noticed() {
        let secret_left = vec![Stand { state: State::Committed, holds_secret: true }];
        let codes = |codes: &[u32]| codes.iter().map(|code| (*code, "done".to_owned())).collect();
        for (found, noticed) in [
            (Evidence { there: Which::Old, ..clean() }, "provider and database differ after the change"),
            (Evidence { there: Which::Neither, ..clean() }, "provider and database differ after the change"),
            (Evidence { here: Which::Both, ..clean() }, "provider and database differ after the change"),
            (Evidence { messages: (2, 2, 2), ..clean() }, "more than one message of one change"),
            (Evidence { messages: (0, 0, 0), ..clean() }, "a change without a message"),
            (
                Evidence { operations: [stand(State::Committed), stand(State::Committed)].concat(), ..clean() },
                "a change without a message",
            ),
            (Evidence { messages: (1, 0, 0), ..clean() }, "a message did not arrive"),
            (Evidence { messages: (1, 1, 2), ..clean() }, "a message arrived that is not in the log"),
            (Evidence { operations: secret_left, ..clean() }, "a secret is left in an operation that has ended"),
            (Evidence { activity: codes(&[4601, 4001, 4010]), ..clean() }, "a clean change has not its four entries"),
            (
                Evidence { activity: codes(&[4601, 4001, 4609]), ..clean() },
                "activity does not tell of each change once",
            ),
            (Evidence { leaks: vec!["the log".into()], ..clean() }, "a secret in the log"),
            (Evidence { told: Told::Refused(400), ..clean() }, "a refusal was told, and it is done"),
            (Evidence { must_be_done: true, ..released() }, "nothing stood in its way, and it is not done"),
            (Evidence { there: Which::New, ..released() }, "the provider's password changed, and nobody knows"),
            (Evidence { here: Which::New, ..released() }, "the password here changed without an operation that did"),
            (Evidence { messages: (1, 1, 1), ..released() }, "a message of a change that did not happen"),
            (Evidence { told: Told::Done, ..released() }, "done was told, and it is not"),
            (Evidence { told: Told::Done, ..open() }, "done was told, and it is not"),
            (Evidence { told: Told::Refused(404), ..open() }, "a refusal was told, and it goes on"),
            (Evidence { alerts: (0, 0), ..diverged() }, "no alert"),
            (Evidence { alerts: (0, 1), ..diverged() }, "a divergence without its alert or its entry"),
            (Evidence { here: Which::Old, ..diverged() }, "a password that nobody knows signs in"),
            (
                Evidence { operations: stand(State::Gone), ..released() },
                "a customer was deleted under an open operation",
            ),
            (
                Evidence { customer_is_there: false, there: Which::Old, told: Told::Nothing, ..clean() },
                "the deleted customer's password differs",
            ),
        ] {
            let complaints = judge(&found).expect_err(noticed);
            assert!(complaints.iter().any(|complaint| complaint == noticed), "{noticed}: {complaints:?}");
        }
    }
}
