//! Each clause of the rules by its name; what happens by chance is in [`model`].

mod model;

use super::*;
use crate::create::tests::customer;
use crate::message::Content;
use crate::provider::{LookupWays, PolicyText, Probe, RecordWrites, SessionEnding};
use crate::secret::Password;

const START: Micros = Micros(1_700_000_000_000_000);
const S: i64 = Micros::SECOND;

fn before() -> ProbeValue {
    ProbeValue::of(Some("monday"))
}

fn moved() -> ProbeValue {
    ProbeValue::of(Some("tuesday"))
}

fn capabilities(probe: Probe, trial_sign_in: bool) -> Capabilities {
    let lookups = LookupWays { id: true, ..LookupWays::default() };
    Capabilities {
        probe,
        trial_sign_in,
        sessions: SessionEnding::BySet,
        lookups,
        password_bytes_max: None,
        records: RecordWrites::default(),
        tokens: false,
    }
}

/// An operation whose first attempt was just noted as sent; its caller waits for ten seconds.
fn begun(capabilities: Capabilities) -> Operation {
    let user = "auth0|1".parse().ok().unwrap();
    let intent = Intent {
        kind: Kind::Set,
        by: Initiator { external_user_id: Some("agent".into()), ..Initiator::default() },
        source: Source { system: "ExternalSystem".parse().ok(), ..Source::default() },
        first_entry: None,
        trace: None,
        link: ProviderLink { provider: "auth0-main".parse().unwrap(), user },
        capabilities,
        before: Some(before()),
        version: Some(1),
        token: None,
        proofs: Vec::new(),
        answer_by: START.plus(10 * S),
        limits: Limits::default(),
    };
    let hash = PasswordHash::parse("$argon2id$v=19$m=8,t=1,p=1$AAAA$aGg").ok();
    Operation::begin((&"demo".parse().unwrap(), customer().id), intent, hash, &mut Ctx::new(START, [5; 32]))
}

/// Notes events, each this many seconds after the start.
fn with(operation: &Operation, events: &[(i64, Event)]) -> Operation {
    events.iter().fold(operation.clone(), |operation, (at, event)| {
        let noted = operation.record(event.clone(), START.plus(at * S));
        assert_eq!(noted.log.len(), operation.log.len() + 1, "{event:?} was not noted");
        noted
    })
}

fn after(operation: &Operation, events: &[(i64, Event)], at: i64) -> Step {
    next(&with(operation, events), START.plus(at * S))
}

fn unknown() -> Event {
    Event::NotAccepted(ProviderError::Ambiguous)
}

fn reused() -> Event {
    Event::NotAccepted(ProviderError::PasswordReused { message: None })
}

fn value(value: ProbeValue) -> Event {
    Event::Probed(ProbeAnswer::Value(value))
}

fn wait(at: i64) -> Step {
    Step::Wait(START.plus(at * S))
}

fn both() -> Operation {
    begun(capabilities(Probe::Password, true))
}

fn probe_only() -> Operation {
    begun(capabilities(Probe::Password, false))
}

fn neither() -> Operation {
    begun(capabilities(Probe::None, false))
}

#[test]
fn accepted_is_committed_here() {
    assert_eq!(after(&both(), &[(1, Event::Accepted)], 1), Step::Commit);
    let done = with(&both(), &[(1, Event::Accepted), (1, Event::Committed(2))]);
    assert_eq!((next(&done, START), done.state(), done.outcome()), (Step::Done, State::Committed, Outcome::Done(2)));
}

#[test]
fn a_refusal_of_the_first_attempt_releases_everything_with_the_providers_words() {
    let password = Password::new("weak".into()).unwrap();
    let message = Some(PolicyText::new("at least 8 characters, not weak", &password));
    let error = ProviderError::PolicyViolation { rule: None, message };
    let refused = with(&both(), &[(1, Event::NotAccepted(error.clone()))]);
    assert_eq!(next(&refused, START), Step::Release(Why::Refused(error.clone())));
    let released = refused.record(Event::Released(Why::Refused(error.clone())), START);
    assert_eq!(released.outcome(), Outcome::Refused(Why::Refused(error.clone())));
    assert_eq!(error.message().unwrap().as_str(), "at least 8 characters, not ***");
    assert!(released.quiet_until() <= START);
    for error in
        [ProviderError::PasswordReused { message: None }, ProviderError::UserNotFound, ProviderError::AdminAuth]
    {
        let step = after(&both(), &[(1, Event::NotAccepted(error.clone()))], 1);
        assert_eq!(step, Step::Release(Why::Refused(error)));
    }
}

#[test]
fn what_was_surely_not_applied_is_tried_until_the_callers_deadline_and_then_released() {
    let throttled = |s| Event::NotAccepted(ProviderError::RateLimited { not_before: Some(START.plus(s * S)) });
    assert_eq!(after(&both(), &[(1, throttled(4))], 1), wait(4));
    assert_eq!(after(&both(), &[(1, throttled(4))], 4), Step::SetPassword);
    let not_before = Some(START.plus(30 * S));
    assert_eq!(after(&both(), &[(1, throttled(30))], 1), Step::Release(Why::Unreachable { not_before }));
    let unreached = Event::NotAccepted(ProviderError::Transient);
    assert_eq!(after(&both(), &[(1, unreached.clone())], 2), Step::SetPassword);
    assert_eq!(after(&both(), &[(1, unreached)], 11), Step::Release(Why::Unreachable { not_before: None }));
}

#[test]
fn unknown_is_probed_and_the_same_value_repeated() {
    assert_eq!(after(&probe_only(), &[(1, unknown())], 1), Step::Probe);
    let stands = [(1, unknown()), (1, value(before()))];
    assert_eq!(after(&probe_only(), &stands, 1), wait(2));
    assert_eq!(after(&probe_only(), &stands, 2), Step::SetPassword);
    assert_eq!(after(&probe_only(), &[(1, unknown()), (1, value(moved()))], 1), Step::Commit);
    // No evidence can be had: repeated all the same.
    assert_eq!(after(&neither(), &[(1, unknown())], 2), Step::SetPassword);
    // A probe without an answer holds nothing up.
    let failed = Event::Probed(ProbeAnswer::Failed(ProviderError::Transient));
    assert_eq!(after(&probe_only(), &[(1, unknown()), (1, failed)], 1), wait(2));
}

#[test]
fn an_attempt_whose_sender_died_is_unknown() {
    assert_eq!(next(&both(), START.plus(20 * S)), Step::Probe);
    assert_eq!(next(&neither(), START.plus(20 * S)), Step::SetPassword);
}

#[test]
fn a_value_that_moved_is_confirmed_by_a_sign_in_where_one_can_be_tried() {
    let seen = [(1, unknown()), (1, value(moved()))];
    assert_eq!(after(&both(), &seen, 1), Step::TrySignIn);
    let tried = |answer| [seen[0].clone(), seen[1].clone(), (1, Event::Tried(answer))];
    assert_eq!(after(&both(), &tried(TrialAnswer::SignedIn), 1), Step::Commit);
    // Somebody else's password: ours is repeated.
    assert_eq!(after(&both(), &tried(TrialAnswer::Wrong), 2), Step::SetPassword);
    assert_eq!(after(&both(), &tried(TrialAnswer::CannotTell), 1), Step::Commit);
    // A value that moves with anything proves nothing by itself.
    let record = begun(capabilities(Probe::Record, false));
    assert_eq!(after(&record, &seen, 2), Step::SetPassword);
}

#[test]
fn reused_on_a_repeat_is_done_only_if_a_sign_in_succeeds_or_else_the_probe_moved() {
    let repeat = [(1, unknown()), (1, value(before())), (2, Event::Sent), (3, reused())];
    let seen = |more: &[(i64, Event)]| [repeat.as_slice(), more].concat();
    assert_eq!(after(&probe_only(), &repeat, 3), Step::Probe);
    assert_eq!(after(&probe_only(), &seen(&[(3, value(moved()))]), 3), Step::Commit);
    assert_eq!(after(&both(), &seen(&[(3, value(moved()))]), 3), Step::TrySignIn);
    let signed_in = [(3, value(before())), (3, Event::Tried(TrialAnswer::SignedIn))];
    assert_eq!(after(&both(), &seen(&signed_in), 3), Step::Commit);
    // Otherwise still unknown: both attempts may yet take effect, the second one was answered.
    let wrong = [(3, value(before())), (3, Event::Tried(TrialAnswer::Wrong))];
    assert_eq!(after(&both(), &seen(&wrong), 3), wait(60));
    // And where nothing tells, it is repeated until the end.
    let blind = [(1, unknown()), (2, Event::Sent), (3, reused())];
    assert_eq!(after(&neither(), &blind, 3), wait(5));
    assert_eq!(after(&neither(), &blind, 5), Step::SetPassword);
}

#[test]
fn a_refusal_of_a_repeat_counts_once_the_attempt_in_doubt_has_ended_and_nothing_was_seen() {
    for error in [ProviderError::PolicyViolation { rule: None, message: None }, ProviderError::TooYoung] {
        let refused = Event::NotAccepted(error.clone());
        let repeat = [(1, unknown()), (1, value(before())), (2, Event::Sent), (3, refused), (3, value(before()))];
        assert_eq!(after(&probe_only(), &repeat, 3), wait(60));
        // What was seen before the end does not count after it: the late attempt may have come in between.
        assert_eq!(after(&probe_only(), &repeat, 60), Step::Probe);
        let late = |seen| [repeat.as_slice(), &[(60, value(seen))]].concat();
        assert_eq!(after(&probe_only(), &late(moved()), 60), Step::Commit);
        assert_eq!(after(&probe_only(), &late(before()), 60), Step::Release(Why::Refused(error)));
    }
}

#[test]
fn no_other_password_before_the_attempts_in_doubt_have_ended() {
    let accepted = with(&both(), &[(1, Event::Accepted)]);
    assert_eq!(accepted.quiet_until(), START);
    let doubtful = with(&both(), &[(1, unknown()), (1, value(before())), (2, Event::Sent), (3, unknown())]);
    assert_eq!(doubtful.quiet_until(), START.plus(62 * S));
    // Also when a later attempt was accepted: an earlier one may still come in.
    let settled = with(&both(), &[(1, unknown()), (2, Event::Sent), (3, Event::Accepted), (3, Event::Committed(2))]);
    assert_eq!(settled.quiet_until(), START.plus(60 * S));
}

#[test]
fn waits_grow_to_a_minute() {
    let mut operation = neither().record(unknown(), START.plus(S));
    let mut waits = Vec::new();
    while let Step::Wait(at) = next(&operation, operation.log.last().unwrap().at) {
        if at == operation.expires_at() {
            break;
        }
        waits.push((at.0 - operation.log.last().unwrap().at.0) / S);
        assert_eq!(next(&operation, at), Step::SetPassword);
        operation = operation.record(Event::Sent, at).record(unknown(), at);
    }
    assert_eq!(waits[..8], [1, 2, 4, 8, 16, 32, 60, 60]);
    assert!(operation.log.len() < 50);
}

#[test]
fn diverged_at_the_end_of_the_seal_and_not_before() {
    let blind = with(&neither(), &[(1, unknown()), (500, Event::Sent), (501, unknown())]);
    for at in [502, 540] {
        assert!(matches!(next(&blind, START.plus(at * S)), Step::SetPassword | Step::Wait(_)), "{at}");
    }
    // An attempt whose outcome could not be seen any more is not sent.
    assert_eq!(next(&blind, START.plus(541 * S)), wait(600));
    assert_eq!(next(&blind, START.plus(600 * S)), Step::Diverge);
    let diverged = with(&blind, &[(600, Event::Diverged)]);
    assert_eq!((diverged.state(), diverged.outcome()), (State::Diverged, Outcome::NotKnown));
    assert_eq!(with(&diverged, &[(700, Event::Resolved)]).state(), State::Resolved);
}

#[test]
fn the_probe_needs_no_password_and_is_asked_once_more_when_the_seal_has_ended() {
    let lost = |more: &[(i64, Event)]| after(&probe_only(), more, 700);
    assert_eq!(lost(&[]), Step::Probe);
    assert_eq!(lost(&[(700, value(moved()))]), Step::Commit);
    assert_eq!(lost(&[(700, value(before()))]), Step::Release(Why::Unreachable { not_before: None }));
    assert_eq!(
        lost(&[(700, Event::Probed(ProbeAnswer::UserGone))]),
        Step::Release(Why::Refused(ProviderError::UserNotFound))
    );
    let failed = |at| (at, Event::Probed(ProbeAnswer::Failed(ProviderError::Transient)));
    assert_eq!(lost(&[failed(610)]), Step::Probe);
    assert_eq!(lost(&[failed(610), failed(620), failed(630)]), Step::Diverge);
    // A sign-in had failed although the value moved: a third password is there.
    let third = [(1, unknown()), (1, value(moved())), (1, Event::Tried(TrialAnswer::Wrong)), (700, value(moved()))];
    assert_eq!(after(&both(), &third, 700), Step::Diverge);
}

#[test]
fn the_last_probes_come_soon_however_many_were_asked_before() {
    let failed = |at| (at, Event::Probed(ProbeAnswer::Failed(ProviderError::Transient)));
    let blind = Operation { password_at_hand: false, ..both() };
    let mut log: Vec<(i64, Event)> = (1..=9).map(|n| failed(60 * n)).collect();
    assert_eq!(after(&blind, &log, 600), Step::Probe);
    for (at, then) in [(600, wait(602)), (602, wait(606)), (606, Step::Diverge)] {
        log.push(failed(at));
        assert_eq!(after(&blind, &log, at), then);
    }
}

#[test]
fn a_password_that_was_not_kept_is_not_repeated_but_probed() {
    let lost = |operation: Operation| Operation { password_at_hand: false, ..operation };
    assert_eq!(after(&lost(both()), &[], 1), Step::Probe);
    assert_eq!(after(&lost(both()), &[(1, value(moved()))], 1), Step::Commit);
    assert_eq!(after(&lost(both()), &[(1, value(before()))], 1), wait(60));
    let interrupted = [(1, value(before())), (60, value(before()))];
    assert_eq!(after(&lost(both()), &interrupted, 60), Step::Release(Why::Unreachable { not_before: None }));
    assert_eq!(after(&lost(neither()), &[], 1), wait(600));
    let throttled = Event::NotAccepted(ProviderError::Transient);
    assert_eq!(after(&lost(both()), &[(1, throttled)], 2), Step::Release(Why::Interrupted));
}

#[test]
fn sessions_are_ended_by_a_step_of_their_own_after_the_commit() {
    let by_step = Capabilities { sessions: SessionEnding::ByStep, ..capabilities(Probe::None, false) };
    let done = with(&begun(by_step), &[(1, Event::Accepted), (1, Event::Committed(2))]);
    // The caller has its answer and the slot is free.
    assert_eq!(
        (next(&done, START.plus(S)), done.state(), done.outcome()),
        (Step::EndSessions, State::Closing, Outcome::Done(2))
    );
    assert_eq!(with(&done, &[(2, Event::SessionsEnded(None))]).state(), State::Committed);
    let failed = |at, error| (at, Event::SessionsEnded(Some(error)));
    let again = with(&done, &[failed(2, ProviderError::Ambiguous)]);
    assert_eq!((next(&again, START.plus(2 * S)), next(&again, START.plus(3 * S))), (wait(3), Step::EndSessions));
    assert_eq!(with(&done, &[failed(2, ProviderError::InsufficientScope)]).state(), State::Committed);
    let tries: Vec<_> = (0..8).map(|n| failed(2 + n, ProviderError::Transient)).collect();
    assert_eq!(with(&done, &tries).state(), State::Committed);
}

#[test]
fn the_version_may_move_meanwhile_and_the_customer_may_go() {
    let moved = Customer { version: 7, last_sequence: 9, ..customer() };
    let set = both().commit(&moved, &mut Ctx::new(START, [1; 32]));
    assert_eq!((set.customer.version, set.message.sequence), (8, 10));
    assert_eq!(set.customer.password_tail.as_deref(), Some("$aGg"));
    assert_eq!(set.message.facts.content, Content::CustomerPasswordUpdated { reset: false });
    let without = Operation { hash: None, ..both() }.commit(&moved, &mut Ctx::new(START, [1; 32]));
    assert!(without.hash.is_none() && without.customer.password_tail.is_none());
    let gone = with(&both(), &[(1, Event::Accepted), (1, Event::CustomerGone)]);
    assert_eq!((next(&gone, START), gone.outcome()), (Step::Done, Outcome::Gone));
}

#[test]
fn what_is_noted_twice_is_noted_once() {
    let noted = with(&both(), &[(1, unknown())]);
    for event in [Event::Accepted, reused(), Event::SessionsEnded(None), Event::Resolved] {
        assert_eq!(noted.record(event, START).log, noted.log);
    }
    let done = with(&both(), &[(1, Event::Accepted), (1, Event::Committed(2))]);
    for event in [Event::Sent, Event::Accepted, Event::Committed(3), Event::Diverged, Event::Released(Why::Interrupted)]
    {
        assert_eq!(done.record(event, START).log, done.log);
    }
}

#[test]
fn a_clean_change_leaves_four_activity_entries_and_every_call_one() {
    let (operation, mut ctx) = (both(), Ctx::new(START, [9; 32]));
    let mut entries = Vec::from(operation.looked_up([900, 90], &mut ctx));
    entries.extend(operation.activity_of(&Event::Sent, None, &mut ctx));
    entries.extend(operation.activity_of(&Event::Accepted, Some(5), &mut ctx));
    entries.extend(operation.activity_of(&Event::Committed(2), None, &mut ctx));
    let ids: Vec<_> = entries.iter().map(id).collect();
    assert_eq!(ids, [4601, 4001, 4609, 4010]);
    let first = Some(entries[0].id);
    assert_eq!(entries.iter().map(|entry| entry.facts.parent).collect::<Vec<_>>(), [None, first, first, first]);
    assert!(entries.iter().all(|entry| entry.facts.source == operation.intent.source));
    let again = operation.looked_up([900, 90], &mut Ctx::new(START, [3; 32]));
    assert_eq!(again[0].id, entries[0].id, "what is written later, by whomever, has the same parent");
    assert!(entries.iter().all(|entry| entry.facts.by.external_user_id.is_none() && entry.customer.is_some()));
    let of = |event: &Event| {
        let facts = operation.activity_of(event, None, &mut Ctx::new(START, [9; 32])).unwrap().facts;
        (facts.outcome, facts.step.unwrap().result)
    };
    assert_eq!(of(&unknown()), ("ambiguous".into(), CallResult::Unknown));
    assert_eq!(of(&reused()), ("password_reused".into(), CallResult::Refused));
    assert_eq!(of(&Event::NotAccepted(ProviderError::Transient)), ("transient".into(), CallResult::Failed));
    assert_eq!(of(&Event::Diverged), ("diverged".into(), CallResult::Unknown));
}

fn id(activity: &Activity) -> u32 {
    activity.facts.event_code().unwrap().id.unwrap()
}

#[test]
fn limits_leave_time_for_a_repeat_and_a_look() {
    assert!(Limits::new(60 * S, 120 * S).is_some());
    for (attempt, seal) in [(60 * S, 119 * S), (0, 60 * S), (60 * S, 3601 * S), (i64::MAX, 60 * S)] {
        assert!(Limits::new(attempt, seal).is_none(), "{attempt} {seal}");
    }
}

/// Logs as the first version wrote them. They are in databases: these texts may never change.
#[test]
fn logs_of_the_first_version_still_read() {
    let log: Vec<Entry> = serde_json::from_str(
        r#"[{"at":1,"event":"sent"},
            {"at":2,"event":{"not_accepted":{"class":"rate_limited","not_before":3}}},
            {"at":4,"event":{"probed":{"value":"00112233445566778899aabbccddeeff"}}},
            {"at":5,"event":{"probed":{"failed":{"class":"policy_violation","rule":"length","message":"too short"}}}},
            {"at":6,"event":{"tried":"signed_in"}},
            {"at":7,"event":{"released":{"refused":{"class":"password_reused","message":null}}}},
            {"at":8,"event":{"released":{"unreachable":{"not_before":null}}}},
            {"at":9,"event":{"committed":4}},
            {"at":10,"event":{"sessions_ended":null}},
            {"at":11,"event":"diverged"}]"#,
    )
    .unwrap();
    let written = serde_json::to_string(&log).unwrap();
    assert_eq!(serde_json::from_str::<Vec<Entry>>(&written).unwrap(), log);
    assert_eq!(log[5].event, Event::Released(Why::Refused(ProviderError::PasswordReused { message: None })));
    let intent: Intent = serde_json::from_str(&serde_json::to_string(&both().intent).unwrap()).unwrap();
    assert!(intent.before == both().intent.before && intent.link == both().intent.link);
    assert_eq!((intent.source, intent.first_entry), (both().intent.source, both().intent.first_entry));
    let first: Intent = serde_json::from_str(
        r#"{"kind":"set","by":{"client_id":"c"},"link":{"provider":"auth0-main","user":"auth0|1"},"capabilities":
            {"probe":"password","trial_sign_in":true,"sessions":"by_set","lookups":{"id":true,"email":false,"external_id":false},
            "password_bytes_max":null},"before":null,"version":1,"token":null,"answer_by":5,
            "limits":{"attempt_life_us":60000000,"seal_life_us":600000000}}"#,
    )
    .unwrap();
    assert!(first.source.is_empty() && first.first_entry.is_none());
}
