//! The lanes against a made-up world: a log, a store that keeps what is written, a receiver that fails, and crashes.
//! Everything that happens is drawn from a seed, so a failing seed can be run again.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::message::PARTITIONS;

fn policy() -> Policy {
    Policy {
        schedule: RetrySchedule {
            waits: [0, 5, 60].iter().map(|s| s * Micros::SECOND).collect(),
            ..RetrySchedule::default()
        },
        on_exhausted: OnExhausted::Skip,
        persistence: None,
        gone_disables: true,
        breaker: BreakerSettings::default(),
        in_flight_max: 4,
        buffer_max: 8,
        parked_max: 10,
    }
}

fn failed(cause: Cause, retry_after_s: Option<u32>) -> Outcome {
    Outcome::Failed { reason: "answered 500".into(), retry_after_s, cause }
}

fn temporary() -> Outcome {
    failed(Cause::Temporary, None)
}

fn customers(count: u8) -> Vec<CustomerId> {
    (0..count).map(|seed| CustomerId::new(&mut Ctx::new(Micros(0), [seed; 32]))).collect()
}

fn start(policy: Policy) -> Lanes<()> {
    let cursors: Vec<(u16, i64)> = (0..PARTITIONS).map(|number| (number, 0)).collect();
    Lanes::new(policy, &cursors, Vec::new(), [], SubscriptionStatus::Healthy)
}

fn offer(lanes: &mut Lanes<()>, customer: CustomerId, positions: impl IntoIterator<Item = i64>) {
    for position in positions {
        lanes.offer(Item { position, customer, at: Micros(0), body: () });
    }
}

/// The positions that are sent now.
fn sends(lanes: &mut Lanes<()>, now: Micros) -> Vec<i64> {
    let sends = lanes.pump(now).into_iter();
    sends.filter_map(|action| if let Action::Send { item, .. } = action { Some(item.position) } else { None }).collect()
}

fn at(seconds: i64) -> Ctx {
    Ctx::new(Micros(seconds * Micros::SECOND), [0; 32])
}

#[test]
fn one_message_of_a_customer_at_a_time_and_many_customers_at_once() {
    let (mut lanes, of) = (start(policy()), customers(3));
    offer(&mut lanes, of[0], [1, 2]);
    offer(&mut lanes, of[1], [3]);
    offer(&mut lanes, of[2], [4]);
    assert_eq!(sends(&mut lanes, Micros(0)), [1, 3, 4]);
    assert_eq!(sends(&mut lanes, Micros(0)), [0_i64; 0]);
    lanes.sent(of[0], Outcome::Delivered, &mut at(0));
    assert_eq!(sends(&mut lanes, Micros(0)), [2]);
}

#[test]
fn a_rate_holds_for_all_lanes_together() {
    let (mut lanes, of) = (start(policy()), customers(3));
    lanes.keep_to(Some(60));
    (1..).zip(&of).for_each(|(position, customer)| offer(&mut lanes, *customer, [position]));
    assert_eq!(sends(&mut lanes, Micros(0)), [1]);
    lanes.sent(of[0], Outcome::Delivered, &mut at(0));
    let second = Micros(Micros::SECOND);
    assert_eq!((sends(&mut lanes, Micros(1)), lanes.next_wake()), (vec![], Some(second)));
    assert_eq!(sends(&mut lanes, second), [2]);
    lanes.keep_to(None); // the receiver allows more now
    assert_eq!(sends(&mut lanes, second), [3]);
}

#[test]
fn what_is_never_taken_is_put_aside_before_the_lane_goes_on() {
    let (mut lanes, of) = (start(policy()), customers(1));
    offer(&mut lanes, of[0], [1, 2]);
    assert_eq!(sends(&mut lanes, Micros(0)), [1]);
    lanes.sent(of[0], Outcome::Rejected { reason: "the recipient was answered 550".into() }, &mut at(0));
    assert_eq!(sends(&mut lanes, Micros(0)), [0_i64; 0]);
    assert!(lanes.is_save_urgent() && !lanes.is_resting());
    let changes = lanes.take_changes(false).unwrap();
    let letter = &changes.letters[0];
    assert_eq!((letter.item.position, letter.reason, letter.attempts), (1, Reason::Rejected, 1));
    assert_eq!((letter.error.as_str(), changes.status), ("the recipient was answered 550", None));
    lanes.saved();
    assert_eq!(sends(&mut lanes, Micros(0)), [2]);
}

#[test]
fn what_no_template_fits_is_put_aside_and_says_nothing_of_the_receiver() {
    let policy = Policy { breaker: BreakerSettings { failures: 1, ..BreakerSettings::default() }, ..policy() };
    let (mut lanes, of) = (start(policy), customers(2));
    offer(&mut lanes, of[0], [1]);
    offer(&mut lanes, of[1], [2, 3]);
    assert_eq!(sends(&mut lanes, Micros(0)), [1, 2]);
    lanes.sent(of[0], temporary(), &mut at(0));
    lanes.sent(of[1], Outcome::Untransformed { reason: "a value is not there".into() }, &mut at(0));
    assert!(lanes.is_save_urgent() && lanes.is_resting(), "it was not answered");
    let changes = lanes.take_changes(false).unwrap();
    let letter = &changes.letters[0];
    assert_eq!(
        (letter.item.position, letter.reason, letter.error.as_str()),
        (2, Reason::Untransformed, "a value is not there")
    );
    assert_eq!(changes.status, Some(SubscriptionStatus::TemporaryError));
    lanes.saved();
    let rested = Micros(BreakerSettings::default().rest);
    assert_eq!(sends(&mut lanes, rested), [3], "it is the probe, for it has not failed");
    lanes.sent(of[1], Outcome::Untransformed { reason: String::new() }, &mut Ctx::new(rested, [0; 32]));
    assert!(lanes.is_resting(), "nothing was sent, so the next one is the probe");
    assert!(!lanes.pump(rested).is_empty());
}

#[test]
fn what_has_lost_its_point_counts_as_done_and_says_nothing_of_the_receiver() {
    let (mut lanes, of) = (start(policy()), customers(1));
    offer(&mut lanes, of[0], [1, 2]);
    assert_eq!(sends(&mut lanes, Micros(0)), [1]);
    lanes.sent(of[0], temporary(), &mut at(0));
    let actions = lanes.pump(Micros(6 * Micros::SECOND));
    assert!(matches!(actions[..], [Action::Read { from: 1, .. }]));
    lanes.page(of[0], vec![Item { position: 1, customer: of[0], at: Micros(0), body: () }], 2);
    assert_eq!(sends(&mut lanes, Micros(6 * Micros::SECOND)), [1]);
    lanes.sent(of[0], Outcome::Moot, &mut at(6));
    let changes = lanes.take_changes(false).unwrap();
    assert!(changes.letters.is_empty());
    assert_eq!(changes.status, Some(SubscriptionStatus::TemporaryError));
}

#[test]
fn a_failing_customer_is_parked_and_nobody_waits_for_it() {
    let (mut lanes, of) = (start(policy()), customers(2));
    offer(&mut lanes, of[0], [1, 2]);
    assert_eq!(sends(&mut lanes, Micros(0)), [1]);
    lanes.sent(of[0], temporary(), &mut at(0));
    offer(&mut lanes, of[1], [3]);
    offer(&mut lanes, of[0], [4]);
    assert_eq!(sends(&mut lanes, Micros(0)), [3]);
    lanes.sent(of[1], Outcome::Delivered, &mut at(0));
    let changes = lanes.take_changes(false).unwrap();
    assert_eq!(changes.parked.len(), 1);
    assert_eq!((changes.parked[0].from_position, changes.parked[0].failed_attempts), (1, 1));
    assert!(changes.parked[0].next_at.is_some_and(|at| at.0 >= 5 * Micros::SECOND));
    assert_eq!(changes.cursors, [(4, PartitionSet::of(partition(of[1])))]);
    lanes.saved();

    // It comes back: page by page, up to what was passed over, and is live from the next entry on.
    let actions = lanes.pump(Micros(6 * Micros::SECOND));
    assert!(matches!(actions[..], [Action::Read { from: 1, up_to: 4, .. }]));
    let item = |position| Item { position, customer: of[0], at: Micros(0), body: () };
    lanes.page(of[0], vec![item(1), item(2)], 2);
    assert_eq!(sends(&mut lanes, Micros(6 * Micros::SECOND)), [1]);
    lanes.sent(of[0], Outcome::Delivered, &mut at(6));
    offer(&mut lanes, of[0], [5]);
    assert_eq!(sends(&mut lanes, Micros(6 * Micros::SECOND)), [2]);
    lanes.sent(of[0], Outcome::Delivered, &mut at(6));
    let actions = lanes.pump(Micros(6 * Micros::SECOND));
    assert!(matches!(actions[..], [Action::Read { from: 3, up_to: 5, .. }]));
    offer(&mut lanes, of[0], [6]);
    lanes.page(of[0], vec![item(4), item(5)], 5);
    for position in [4, 5] {
        assert_eq!(sends(&mut lanes, Micros(6 * Micros::SECOND)), [position]);
        lanes.sent(of[0], Outcome::Delivered, &mut at(6));
    }
    let actions = lanes.pump(Micros(6 * Micros::SECOND));
    assert!(matches!(actions[..], [Action::Read { from: 6, up_to: 6, .. }]), "6 was passed over meanwhile");
    lanes.page(of[0], vec![item(6)], 6);
    assert_eq!(sends(&mut lanes, Micros(6 * Micros::SECOND)), [6]);
    lanes.sent(of[0], Outcome::Delivered, &mut at(6));
    offer(&mut lanes, of[0], [7]);
    assert_eq!(sends(&mut lanes, Micros(6 * Micros::SECOND)), [7], "live again");
    assert_eq!(lanes.take_changes(false).unwrap().unparked, [of[0]]);
}

#[test]
fn a_receiver_can_ask_for_rest_for_one_customer() {
    let (mut lanes, of) = (start(policy()), customers(1));
    offer(&mut lanes, of[0], [1]);
    sends(&mut lanes, Micros(0));
    lanes.sent(of[0], failed(Cause::Temporary, Some(100)), &mut at(0));
    assert_eq!(lanes.next_wake(), Some(Micros(100 * Micros::SECOND)));
    assert!(lanes.pump(Micros(99 * Micros::SECOND)).is_empty());
    assert_eq!(lanes.pump(Micros(100 * Micros::SECOND)).len(), 1);
}

#[test]
fn a_throttling_receiver_rests_as_a_whole() {
    let (mut lanes, of) = (start(policy()), customers(2));
    offer(&mut lanes, of[0], [1]);
    sends(&mut lanes, Micros(0));
    lanes.sent(of[0], failed(Cause::Throttled, Some(30)), &mut at(0));
    offer(&mut lanes, of[1], [2]);
    assert!(lanes.pump(Micros(29 * Micros::SECOND)).is_empty());
    assert_eq!(lanes.next_wake(), Some(Micros(30 * Micros::SECOND)));
    assert_eq!(sends(&mut lanes, Micros(30 * Micros::SECOND)).len(), 1, "one probe");
}

#[test]
fn an_open_breaker_keeps_lanes_in_memory_as_long_as_there_is_room() {
    let policy = Policy { breaker: BreakerSettings { failures: 2, ..BreakerSettings::default() }, ..policy() };
    let (mut lanes, of) = (start(policy), customers(4));
    for (customer, position) in of.iter().zip(1..) {
        offer(&mut lanes, *customer, [position]);
    }
    assert_eq!(sends(&mut lanes, Micros(0)).len(), 4);
    for customer in &of {
        lanes.sent(*customer, temporary(), &mut at(0));
    }
    assert!(lanes.is_resting());
    assert_eq!((lanes.parked(), lanes.buffered()), (1, 3), "only what failed before it opened is parked");
    offer(&mut lanes, of[3], 5..=9);
    assert!(!lanes.has_room());
    assert!(lanes.pump(Micros(59 * Micros::SECOND)).is_empty());
    assert!(lanes.has_room() && lanes.parked() > 1, "others may come in, one of which may be accepted");
    // The probe succeeds: everything flows, and those whose time has not come are parked.
    let now = Micros(60 * Micros::SECOND);
    let actions = lanes.pump(now);
    let [Action::Read { customer, from, up_to }] = actions[..] else { panic!("{actions:?}") };
    lanes.page(customer, vec![Item { position: from, customer, at: Micros(0), body: () }], up_to);
    assert_eq!(sends(&mut lanes, now), [from], "one probe");
    lanes.sent(customer, Outcome::Delivered, &mut at(60));
    assert!(!lanes.is_resting());
    assert!(!lanes.pump(Micros(60 * Micros::SECOND)).is_empty());
}

fn parked(customer: CustomerId, position: i64) -> ParkedLane {
    ParkedLane {
        customer,
        partition: partition(customer),
        from_position: position,
        failed_attempts: 1,
        next_at: Some(Micros(0)),
        last_error: String::new(),
        parked_at: Micros(0),
    }
}

#[test]
fn what_always_fails_does_not_keep_the_breaker_from_finding_out_that_others_would_not() {
    let breaker = BreakerSettings { failures: 1, rest: 10 * Micros::SECOND, rest_max: 10 * Micros::SECOND };
    let (policy, of) = (Policy { breaker, parked_max: 100, ..policy() }, customers(40));
    let cursors: Vec<(u16, i64)> = (0..PARTITIONS).map(|number| (number, 99)).collect();
    let rows = of[1..].iter().zip(1..).map(|(customer, position)| parked(*customer, position)).collect();
    let mut lanes = Lanes::new(policy, &cursors, rows, [], SubscriptionStatus::TemporaryError);
    let (mut now, mut asked) = (0, 0);
    offer(&mut lanes, of[0], [100]);
    loop {
        for action in lanes.pump(Micros(now * Micros::SECOND)) {
            match action {
                Action::Send { item, .. } if item.customer == of[0] => {
                    return assert!(asked < 6, "after {asked} others");
                }
                Action::Send { item, .. } => {
                    asked += 1;
                    lanes.sent(item.customer, temporary(), &mut at(now));
                }
                Action::Read { customer, from, up_to } => {
                    lanes.page(customer, vec![Item { position: from, customer, at: Micros(0), body: () }], up_to);
                }
            }
        }
        now += 1;
        assert!(now < 1000, "it never had its turn");
    }
}

#[test]
fn who_goes_on_behind_what_was_given_up_is_not_new() {
    let breaker = BreakerSettings { failures: 1, rest: 10 * Micros::SECOND, rest_max: 10 * Micros::SECOND };
    let schedule = RetrySchedule { waits: vec![0], ..RetrySchedule::default() };
    let of = customers(20);
    let (well, failing) = of.split_last().unwrap();
    for comes_after in 1..=6 {
        let policy = Policy { breaker, schedule: schedule.clone(), buffer_max: 1000, in_flight_max: 1, ..policy() };
        let (mut lanes, mut asked) = (start(policy), 0);
        for (customer, first) in failing.iter().zip((1..).step_by(20)) {
            offer(&mut lanes, *customer, first..first + 20);
        }
        for now in (0..).step_by(10) {
            let sent = lanes.pump(Micros(now * Micros::SECOND));
            let [Action::Send { item, .. }] = &sent[..] else { panic!("one probe: {sent:?}") };
            if item.customer == *well {
                break;
            }
            asked += 1;
            assert!(asked < comes_after + 6, "it comes after {comes_after}, and waits for all that fail");
            lanes.sent(item.customer, temporary(), &mut at(now));
            lanes.take_changes(false);
            lanes.saved();
            if asked == comes_after {
                offer(&mut lanes, *well, [1000]);
            }
        }
    }
}

#[test]
fn a_single_slot_is_shared_by_those_that_fail_and_the_others() {
    let breaker = BreakerSettings { failures: 1000, ..BreakerSettings::default() };
    let (policy, of) = (Policy { in_flight_max: 1, breaker, ..policy() }, customers(5));
    let cursors: Vec<(u16, i64)> = (0..PARTITIONS).map(|number| (number, 9)).collect();
    let rows = of[1..].iter().zip(1..).map(|(customer, position)| parked(*customer, position)).collect();
    let mut lanes: Lanes<()> = Lanes::new(policy, &cursors, rows, [], SubscriptionStatus::Healthy);
    offer(&mut lanes, of[0], [10]);
    let Action::Read { customer, from, up_to } = lanes.pump(Micros(0)).remove(0) else {
        panic!("parked lanes go first")
    };
    lanes.page(customer, vec![Item { position: from, customer, at: Micros(0), body: () }], up_to);
    assert_eq!(sends(&mut lanes, Micros(0)), [from]);
    lanes.sent(customer, temporary(), &mut at(0));
    assert_eq!(sends(&mut lanes, Micros(0)), [10]);
}

#[test]
fn what_is_put_aside_and_not_written_is_limited_too() {
    let policy = Policy { buffer_max: 2, ..policy() };
    let (mut lanes, of) = (start(policy), customers(4));
    for (customer, position) in of.iter().zip(1..) {
        if lanes.has_room() {
            offer(&mut lanes, *customer, [position]);
            assert_eq!(sends(&mut lanes, Micros(0)), [position]);
            lanes.sent(*customer, Outcome::Rejected { reason: String::new() }, &mut at(0));
        }
    }
    assert_eq!((lanes.put_aside(), lanes.seen()), (2, 2), "nothing more is taken on");
    assert!(lanes.is_save_urgent() && lanes.next_wake().is_none() && lanes.pump(Micros(0)).is_empty());
    assert_eq!(lanes.take_changes(false).unwrap().letters.len(), 2);
    assert!(lanes.has_room());
}

#[test]
fn a_message_that_is_given_up_is_written_before_its_successor_is_sent() {
    let policy = Policy { schedule: RetrySchedule { waits: vec![0], ..RetrySchedule::default() }, ..policy() };
    let (mut lanes, of) = (start(policy), customers(1));
    offer(&mut lanes, of[0], [1, 2]);
    sends(&mut lanes, Micros(0));
    lanes.sent(of[0], temporary(), &mut at(0));
    assert!(lanes.pump(Micros(0)).is_empty());
    assert!(lanes.is_save_urgent());
    let changes = lanes.take_changes(false).unwrap();
    assert_eq!((changes.letters.len(), changes.letters[0].attempts), (1, 1));
    assert!(lanes.pump(Micros(0)).is_empty());
    lanes.saved();
    assert_eq!(sends(&mut lanes, Micros(0)), [2]);
}

#[test]
fn a_lane_can_be_held_for_an_operator() {
    let schedule = RetrySchedule { waits: vec![0], ..RetrySchedule::default() };
    let (mut lanes, of) = (start(Policy { schedule, on_exhausted: OnExhausted::Hold, ..policy() }), customers(2));
    offer(&mut lanes, of[0], [1]);
    sends(&mut lanes, Micros(0));
    lanes.sent(of[0], temporary(), &mut at(0));
    let changes = lanes.take_changes(false).unwrap();
    assert_eq!((changes.parked.len(), changes.parked[0].next_at), (1, None));
    assert!(changes.letters.is_empty());
    assert_eq!(lanes.next_wake(), None);
    offer(&mut lanes, of[0], [2]);
    offer(&mut lanes, of[1], [3]);
    assert_eq!(sends(&mut lanes, Micros(0)), [3]);
}

#[test]
fn a_destination_that_is_never_given_up_is_tried_for_ever() {
    let persistence = Persistence { cap: Micros::SECOND, is_jittered: false, ..Persistence::default() };
    let persistence = Some(persistence);
    let (mut lanes, of) = (start(Policy { persistence, gone_disables: false, ..policy() }), customers(1));
    offer(&mut lanes, of[0], [1]);
    assert_eq!(sends(&mut lanes, Micros(0)), [1]);
    for round in 0..8 {
        let outcome = if round % 2 == 0 { Outcome::Gone } else { temporary() };
        lanes.sent(of[0], outcome, &mut at(round));
        let actions = lanes.pump(Micros((round + 1) * Micros::SECOND));
        assert!(matches!(actions[..], [Action::Read { .. }]), "{actions:?}");
        lanes.page(of[0], vec![Item { position: 1, customer: of[0], at: Micros(0), body: () }], 1);
        assert_eq!(sends(&mut lanes, Micros((round + 1) * Micros::SECOND)), [1]);
    }
    assert!(!lanes.is_disabled());
}

#[test]
fn what_a_persistent_sender_is_refused_is_put_aside_after_twenty_times_and_opens_no_breaker() {
    let persistence = Some(Persistence { cap: Micros::SECOND, ..Persistence::default() });
    let (mut lanes, of) = (start(Policy { persistence, gone_disables: false, ..policy() }), customers(2));
    let refused = || failed(Cause::Refused, None);
    offer(&mut lanes, of[0], [1, 2]);
    assert_eq!(sends(&mut lanes, Micros(0)), [1]);
    for second in 1..=24 {
        // Failures of another kind do not count towards it.
        lanes.sent(of[0], if second <= 5 { temporary() } else { refused() }, &mut at(second));
        assert!(!lanes.is_resting() && lanes.letters.is_empty());
        let now = Micros((second + 1) * Micros::SECOND);
        assert!(matches!(lanes.pump(now)[..], [Action::Read { from: 1, .. }]), "{second}");
        lanes.page(of[0], vec![Item { position: 1, customer: of[0], at: Micros(0), body: () }], 1);
        assert_eq!(sends(&mut lanes, now), [1]);
    }
    lanes.sent(of[0], refused(), &mut at(26));
    let changes = lanes.take_changes(false).unwrap();
    let letter = &changes.letters[0];
    assert_eq!((letter.item.position, letter.reason, letter.attempts), (1, Reason::Exhausted, 25));
    lanes.saved();
    assert!(
        matches!(lanes.pump(Micros(27 * Micros::SECOND))[..], [Action::Read { from: 2, .. }]),
        "the next one's turn"
    );
}

#[test]
fn who_asks_for_more_rest_than_is_granted_gets_what_is() {
    let persistence = Some(Persistence { retry_after_max: 100 * Micros::SECOND, ..Persistence::default() });
    for persistence in [persistence, None] {
        let schedule = RetrySchedule { retry_after_max: 100 * Micros::SECOND, ..policy().schedule };
        let (mut lanes, of) = (start(Policy { schedule, persistence, ..policy() }), customers(1));
        offer(&mut lanes, of[0], [1]);
        assert_eq!(sends(&mut lanes, Micros(0)), [1]);
        lanes.sent(of[0], failed(Cause::Throttled, Some(3_000_000)), &mut at(0));
        assert!(lanes.is_resting());
        assert_eq!(lanes.next_wake(), Some(Micros(100 * Micros::SECOND)));
    }
}

#[test]
fn a_receiver_that_is_gone_gets_nothing_more() {
    let (mut lanes, of) = (start(policy()), customers(3));
    offer(&mut lanes, of[0], [1, 2]);
    offer(&mut lanes, of[1], [3, 4]);
    assert_eq!(sends(&mut lanes, Micros(0)), [1, 3]);
    lanes.sent(of[0], Outcome::Gone, &mut at(0));
    offer(&mut lanes, of[2], [5]);
    assert!(lanes.pump(Micros(0)).is_empty());
    lanes.sent(of[1], Outcome::Delivered, &mut at(0));
    assert!(lanes.pump(Micros(0)).is_empty());
    assert!(lanes.is_disabled() && lanes.is_save_urgent());
    let changes = lanes.take_changes(true).unwrap();
    assert_eq!(changes.status, Some(SubscriptionStatus::ConfigurationErrorDeliveryStopped));
    let cursor = |customer| changes.cursors.iter().find(|(_, set)| set.has(partition(customer))).map(|(at, _)| *at);
    assert_eq!((cursor(of[0]), cursor(of[1]), cursor(of[2])), (None, Some(3), Some(4)));
}

#[test]
fn what_is_erased_is_recorded_and_takes_no_attempt() {
    let (mut lanes, of) = (start(policy()), customers(1));
    offer(&mut lanes, of[0], [1, 2]);
    sends(&mut lanes, Micros(0));
    lanes.sent(of[0], Outcome::Erased, &mut at(0));
    assert_eq!(sends(&mut lanes, Micros(0)), [2]);
    let changes = lanes.take_changes(false).unwrap();
    assert_eq!((changes.letters[0].reason, changes.letters[0].attempts), (Reason::Erased, 0));
}

#[test]
fn a_restart_honours_what_was_parked() {
    let of = customers(1);
    let row = ParkedLane {
        customer: of[0],
        partition: partition(of[0]),
        from_position: 3,
        failed_attempts: 2,
        next_at: Some(Micros(50)),
        last_error: "answered 500".into(),
        parked_at: Micros(1),
    };
    let cursors: Vec<(u16, i64)> = (0..PARTITIONS).map(|number| (number, 9)).collect();
    let mut lanes: Lanes<()> = Lanes::new(policy(), &cursors, vec![row], [], SubscriptionStatus::Healthy);
    assert!(lanes.pump(Micros(49)).is_empty());
    assert!(matches!(lanes.pump(Micros(50))[..], [Action::Read { from: 3, up_to: 9, .. }]));
    lanes.page(of[0], vec![Item { position: 3, customer: of[0], at: Micros(0), body: () }], 9);
    let actions = lanes.pump(Micros(50));
    assert!(matches!(actions[..], [Action::Send { attempt: 3, .. }]), "{actions:?}");
}

#[test]
fn what_was_put_aside_is_not_sent_after_a_restart_even_from_a_page() {
    let of = customers(1);
    let cursors: Vec<(u16, i64)> = (0..PARTITIONS).map(|number| (number, 0)).collect();
    let mut lanes: Lanes<()> = Lanes::new(policy(), &cursors, Vec::new(), [2], SubscriptionStatus::Healthy);
    offer(&mut lanes, of[0], [1, 2, 3]);
    assert_eq!(sends(&mut lanes, Micros(0)), [1]);
    lanes.sent(of[0], temporary(), &mut at(0));
    let now = Micros(6 * Micros::SECOND);
    assert!(matches!(lanes.pump(now)[..], [Action::Read { from: 1, up_to: 3, .. }]));
    let item = |position| Item { position, customer: of[0], at: Micros(0), body: () };
    lanes.page(of[0], vec![item(1), item(2), item(3)], 3);
    for position in [1, 3] {
        assert_eq!(sends(&mut lanes, now), [position]);
        lanes.sent(of[0], Outcome::Delivered, &mut at(6));
    }
}

#[test]
fn slow_failing_customers_leave_slots_for_the_others() {
    let of = customers(9);
    let row = |customer: &CustomerId| ParkedLane {
        customer: *customer,
        partition: partition(*customer),
        from_position: 1,
        failed_attempts: 1,
        next_at: Some(Micros(0)),
        last_error: String::new(),
        parked_at: Micros(0),
    };
    let cursors: Vec<(u16, i64)> = (0..PARTITIONS).map(|number| (number, 0)).collect();
    let rows = of[..8].iter().map(row).collect();
    let mut lanes: Lanes<()> = Lanes::new(policy(), &cursors, rows, [], SubscriptionStatus::Healthy);
    offer(&mut lanes, of[8], [1]);
    let actions = lanes.pump(Micros(0));
    assert_eq!(actions.iter().filter(|action| matches!(action, Action::Read { .. })).count(), 2);
    assert_eq!(actions.iter().filter(|action| matches!(action, Action::Send { .. })).count(), 1);
}

/// A world around the lanes.
struct World {
    chance: Ctx,
    policy: Policy,
    customers: Vec<CustomerId>,
    /// Position and customer of every entry; every seventh position is of somebody else, every fifth is not wanted.
    log: Vec<(i64, CustomerId)>,
    last: i64,
    now: i64,
    // What the store keeps.
    cursors: BTreeMap<u16, i64>,
    rows: BTreeMap<CustomerId, ParkedLane>,
    letters: BTreeMap<i64, Reason>,
    // What the receiver has.
    arrived: BTreeSet<i64>,
    /// The last attempt at each message in this life.
    tried: BTreeMap<i64, u32>,
    // What is under way.
    lanes: Lanes<()>,
    sending: Vec<Item<()>>,
    reading: Vec<(CustomerId, i64, i64)>,
    writing: Option<Changes<()>>,
}

impl World {
    fn new(seed: u64) -> Self {
        let bytes: Vec<u8> = seed.to_le_bytes().iter().copied().cycle().take(32).collect();
        let mut chance = Ctx::new(Micros(0), bytes.try_into().unwrap());
        let mut draw = |below: u64| usize::try_from(chance.number() % below).unwrap();
        let waits = [0, 2 * Micros::SECOND, 9 * Micros::SECOND];
        let policy = Policy {
            schedule: RetrySchedule { waits: waits[..=draw(3)].to_vec(), ..RetrySchedule::default() },
            on_exhausted: if draw(4) == 0 { OnExhausted::Hold } else { OnExhausted::Skip },
            persistence: (draw(5) == 0).then(Persistence::default),
            gone_disables: true,
            breaker: BreakerSettings {
                failures: u32::try_from(1 + draw(5)).unwrap(),
                rest: 3 * Micros::SECOND,
                rest_max: 10 * Micros::SECOND,
            },
            in_flight_max: 1 + draw(4),
            buffer_max: 1 + draw(9),
            parked_max: draw(4),
        };
        // Two partitions: lanes that hold each other's cursor are what can go wrong.
        let mut customers: Vec<CustomerId> = customers(250);
        customers.retain(|customer| partition(*customer) < 2);
        customers.truncate(2 + draw(5));
        let cursors: BTreeMap<u16, i64> = (0..PARTITIONS).map(|number| (number, 0)).collect();
        let lanes = start(policy.clone());
        Self {
            chance,
            policy,
            customers,
            log: Vec::new(),
            last: 0,
            now: 0,
            cursors,
            rows: BTreeMap::new(),
            letters: BTreeMap::new(),
            arrived: BTreeSet::new(),
            tried: BTreeMap::new(),
            lanes,
            sending: Vec::new(),
            reading: Vec::new(),
            writing: None,
        }
    }

    fn draw(&mut self, below: usize) -> usize {
        usize::try_from(self.chance.number() % u64::try_from(below).unwrap()).unwrap()
    }

    fn ctx(&mut self) -> Ctx {
        Ctx::new(Micros(self.now), self.chance.bytes())
    }

    fn append(&mut self) {
        for _ in 0..=self.draw(3) {
            self.last += 1;
            if self.last % 5 != 0 {
                let which = self.draw(self.customers.len());
                self.log.push((self.last, self.customers[which]));
            }
        }
    }

    fn offer(&mut self) {
        let mut room = 1 + self.draw(6);
        while room > 0 && self.lanes.has_room() {
            room -= 1;
            let seen = self.lanes.seen();
            match self.log.iter().find(|(position, _)| *position > seen) {
                Some((position, customer)) => {
                    self.lanes.offer(Item { position: *position, customer: *customer, at: Micros(0), body: () });
                }
                None => self.lanes.seen_all(self.last),
            }
        }
    }

    /// Whether anything was started.
    fn pump(&mut self) -> bool {
        let actions = self.lanes.pump(Micros(self.now));
        let started = !actions.is_empty();
        for action in actions {
            match action {
                Action::Send { item, attempt } => {
                    let tried = self.tried.insert(item.position, attempt);
                    assert!(tried.is_none_or(|before| attempt == before + 1), "attempts are counted");
                    let same = self.sending.iter().any(|other| other.customer == item.customer);
                    assert!(!same, "two messages of one customer on their way");
                    self.sending.push(item);
                }
                Action::Read { customer, from, up_to } => self.reading.push((customer, from, up_to)),
            }
        }
        assert!(self.sending.len() + self.reading.len() <= self.policy.in_flight_max);
        assert!(self.lanes.buffered() <= self.policy.buffer_max);
        started
    }

    /// The receiver gets a message for the first time, or again.
    fn arrive(&mut self, item: &Item<()>) {
        if self.arrived.insert(item.position) {
            let later = self.log.iter().filter(|(position, customer)| {
                *customer == item.customer && *position > item.position && self.arrived.contains(position)
            });
            assert_eq!(later.count(), 0, "{} came after its successor", item.position);
        }
    }

    fn answer(&mut self, healthy: bool) {
        if self.sending.is_empty() {
            return;
        }
        let which = self.draw(self.sending.len());
        let item = self.sending.swap_remove(which);
        let erased = item.position % 13 == 0;
        let untransformed = item.position % 17 == 0;
        let outcome = match if healthy { 9 } else { self.draw(10) } {
            _ if erased => Outcome::Erased,
            _ if untransformed => Outcome::Untransformed { reason: String::new() },
            0..=2 => temporary(),
            3 => {
                self.arrive(&item); // it came, but the answer was lost
                temporary()
            }
            4 => failed(Cause::Throttled, Some(2)),
            5 => failed(Cause::Refused, None),
            _ => {
                self.arrive(&item);
                Outcome::Delivered
            }
        };
        let mut ctx = self.ctx();
        self.lanes.sent(item.customer, outcome, &mut ctx);
    }

    fn read(&mut self, healthy: bool) {
        if self.reading.is_empty() {
            return;
        }
        let which = self.draw(self.reading.len());
        let (customer, from, up_to) = self.reading.swap_remove(which);
        if !healthy && self.draw(6) == 0 {
            self.lanes.put_off(customer, Micros(self.now + Micros::SECOND));
            return;
        }
        let limit = 1 + self.draw(3);
        let wanted = self.log.iter().filter(|(at, of)| *of == customer && (from..=up_to).contains(at));
        let items: Vec<Item<()>> = wanted
            .take(limit)
            .map(|(position, _)| Item { position: *position, customer, at: Micros(0), body: () })
            .collect();
        let read_to = if items.len() < limit { up_to } else { items[items.len() - 1].position };
        self.lanes.page(customer, items, read_to);
    }

    fn write(&mut self, healthy: bool) {
        if self.writing.is_none() {
            let all = self.draw(8) == 0;
            self.writing = self.lanes.take_changes(all);
        }
        match if healthy { 3 } else { self.draw(5) } {
            0 => {}            // not written
            1 => self.apply(), // written, but nobody was told: written again
            _ if self.writing.is_none() => {}
            _ => {
                self.apply();
                self.writing = None;
                self.lanes.saved();
            }
        }
    }

    fn apply(&mut self) {
        let Some(changes) = &self.writing else { return };
        for row in &changes.parked {
            self.rows.insert(row.customer, row.clone());
        }
        for customer in &changes.unparked {
            self.rows.remove(customer);
        }
        for letter in &changes.letters {
            self.letters.insert(letter.item.position, letter.reason);
        }
        for (position, set) in &changes.cursors {
            for (number, cursor) in &mut self.cursors {
                if set.has(*number) {
                    *cursor = (*cursor).max(*position);
                }
            }
        }
        self.nothing_is_lost();
    }

    /// Every message has arrived or is put aside, or a restart would send it.
    fn nothing_is_lost(&self) {
        for (position, customer) in &self.log {
            let kept = *position > self.cursors[&partition(*customer)]
                || self.rows.get(customer).is_some_and(|row| row.from_position <= *position);
            let done = self.arrived.contains(position) || self.letters.contains_key(position);
            assert!(kept || done, "{position} is lost");
        }
    }

    fn crash(&mut self) {
        let cursors: Vec<(u16, i64)> = self.cursors.iter().map(|(number, at)| (*number, *at)).collect();
        let lowest = cursors.iter().map(|(_, at)| *at).min().unwrap_or(0);
        let dead: Vec<i64> = self.letters.range(lowest + 1..).map(|(position, _)| *position).collect();
        let rows = self.rows.values().cloned().collect();
        self.lanes = Lanes::new(self.policy.clone(), &cursors, rows, dead, SubscriptionStatus::Healthy);
        self.tried.clear();
        self.sending.clear();
        self.reading.clear();
        self.writing = None;
    }

    fn step(&mut self) {
        match self.draw(100) {
            0..=14 => self.append(),
            15..=34 => self.offer(),
            35..=54 => drop(self.pump()),
            55..=69 => self.answer(false),
            70..=79 => self.read(false),
            80..=89 => self.write(false),
            90..=97 => self.now += 1_500_000,
            _ => self.crash(),
        }
    }

    /// Everything works from now on: what is left arrives.
    fn settle(&mut self) {
        for _ in 0..3000 {
            let seen = self.lanes.seen();
            self.offer();
            let started = self.pump();
            let under_way = !self.sending.is_empty() || !self.reading.is_empty() || self.writing.is_some();
            let is_idle = !started && !under_way && !self.lanes.is_save_due() && seen == self.lanes.seen();
            self.answer(true);
            self.read(true);
            self.write(true);
            // Time passes between a pump and the question when to pump again.
            self.now += i64::try_from(self.draw(2_000_000)).unwrap();
            match self.lanes.next_wake() {
                Some(at) => self.now = self.now.max(at.0),
                None if is_idle => break, // who waits now waits for ever
                None => {}
            }
        }
        for (position, customer) in &self.log {
            let held =
                self.rows.get(customer).is_some_and(|row| row.next_at.is_none() && row.from_position <= *position);
            let done = self.arrived.contains(position) || self.letters.contains_key(position);
            assert!(done || held, "{position} never came");
        }
        assert!(self.sending.is_empty() && self.reading.is_empty() && self.lanes.buffered() == 0);
        self.writing = self.lanes.take_changes(true);
        self.apply();
        assert!(self.cursors.values().all(|cursor| *cursor == self.last), "{:?}", self.cursors);
    }
}

proptest! {
    /// Whatever happens in whatever order: one message per customer on its way, first arrivals in order, limits kept,
    /// nothing lost at any moment, and everything arrives in the end.
    #[test]
    fn in_order_and_never_lost(seed: u64, steps in 10_usize..600) {
        let mut world = World::new(seed);
        for _ in 0..steps {
            world.step();
        }
        world.settle();
    }
}
