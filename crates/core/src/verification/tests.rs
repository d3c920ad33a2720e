//! Each rule of paysafe.md 3.6 to 3.8 by its name; what happens by chance is in [`model`].

mod model;

use super::*;
use crate::seal::SealingKey;

const START: Micros = Micros(1_700_000_000_000_000);
const MINUTE: i64 = Micros::MINUTE;
const S: i64 = Micros::SECOND;
const LIMITS: Limits = Limits {
    code_digits: 6,
    code_life: 10 * MINUTE,
    attempts: 3,
    processes: 5,
    window: 60 * MINUTE,
    cooldown: 30 * MINUTE,
    resend_interval: 30 * S,
    valid_for: 15 * MINUTE,
};

fn ctx(at: Micros) -> Ctx {
    let mut seed = [0; 32];
    seed[..8].copy_from_slice(&at.0.to_le_bytes());
    Ctx::new(at, seed)
}

fn at(after: i64) -> Micros {
    START.plus(after)
}

fn try_begin(history: &mut History, after: i64) -> Result<Begun, Resting> {
    history.begin(Kind::Email, Purpose::PasswordReset, &LIMITS, &mut ctx(at(after)))
}

fn begin(history: &mut History, after: i64) -> Process {
    try_begin(history, after).unwrap().process
}

/// Counts and concludes at once.
fn attempt(history: &History, process: &mut Process, is_right: bool, after: i64) -> Result<Attempted, NotActive> {
    process.count(history.newest, at(after))?;
    let attempt = process.attempts;
    process.conclude(history.newest, attempt, is_right, at(after))
}

fn proves(history: &History, process: &Process, after: i64) -> bool {
    process.proof(history.newest, (Kind::Email, Purpose::PasswordReset), &LIMITS, at(after)).is_some()
}

fn ring() -> KeyRing {
    KeyRing::new(vec![SealingKey::new("a", [1; 32]).unwrap()]).unwrap()
}

#[test]
fn rule_1_each_initiation_is_a_new_process_of_one_attribute() {
    let mut history = History::default();
    let (one, two) = (begin(&mut history, 0), begin(&mut history, 0));
    assert_eq!((one.kind, one.purpose), (Kind::Email, Purpose::PasswordReset));
    begin(&mut history, 1);
    assert_eq!(history.begun_at.len(), 3);
    assert!(one.id == two.id, "the same chance at the same time, and only then");
    assert_ne!(begin(&mut history, 2).id, one.id);
    assert_eq!(one.id.uuid().get_version_num(), 4);
}

#[test]
fn rule_2_each_initiation_counts_up_to_the_limit() {
    let mut history = History::default();
    let counted: Vec<u32> = (0..5).map(|n| try_begin(&mut history, n).unwrap().processes).collect();
    assert_eq!(counted, [1, 2, 3, 4, 5]);
    assert!(try_begin(&mut history, 5).is_err());
}

#[test]
fn rule_3_above_the_limit_the_attribute_rests_and_begins_anew() {
    let mut history = History::default();
    for n in 0..5 {
        begin(&mut history, n);
    }
    assert_eq!(try_begin(&mut history, MINUTE), Err(Resting { until: at(31 * MINUTE) }));
    assert_eq!(try_begin(&mut history, 31 * MINUTE - 1000), Err(Resting { until: at(31 * MINUTE) }));
    assert_eq!(try_begin(&mut history, 31 * MINUTE).unwrap().processes, 1);
}

#[test]
fn refused_initiations_do_not_prolong_the_rest() {
    let mut history = History::default();
    for n in 0..5 {
        begin(&mut history, n);
    }
    let first = try_begin(&mut history, 10).unwrap_err();
    for minute in 1..30 {
        assert_eq!(try_begin(&mut history, minute * MINUTE), Err(first));
    }
}

#[test]
fn processes_older_than_the_window_do_not_count() {
    let mut history = History::default();
    for n in 0..5 {
        begin(&mut history, n * MINUTE);
    }
    assert_eq!(try_begin(&mut history, 60 * MINUTE).unwrap().processes, 5);
    assert_eq!(history.begun_at.len(), 5);
    assert_eq!(try_begin(&mut history, 200 * MINUTE).unwrap().processes, 1);
}

#[test]
fn the_active_process_may_be_completed_while_the_attribute_rests() {
    let mut history = History::default();
    for n in 0..4 {
        begin(&mut history, n);
    }
    let mut last = begin(&mut history, 5);
    assert!(try_begin(&mut history, MINUTE).is_err());
    assert_eq!(attempt(&history, &mut last, true, 2 * MINUTE), Ok(Attempted::Verified));
    assert!(proves(&history, &last, 3 * MINUTE));
}

#[test]
fn a_success_does_not_reset_the_counter() {
    let mut history = History::default();
    let mut process = begin(&mut history, 0);
    attempt(&history, &mut process, true, 1).unwrap();
    assert_eq!(try_begin(&mut history, 2).unwrap().processes, 2);
}

#[test]
fn counters_are_over_all_purposes() {
    let mut history = History::default();
    for (n, purpose) in Purpose::ALL.into_iter().enumerate() {
        let begun = history.begin(Kind::Email, purpose, &LIMITS, &mut ctx(START)).unwrap();
        assert_eq!(usize::try_from(begun.processes).unwrap(), n + 1);
    }
}

#[test]
fn rule_4_only_the_newest_process_is_active() {
    let mut history = History::default();
    let mut old = begin(&mut history, 0);
    let mut new = begin(&mut history, 1);
    assert_eq!(attempt(&history, &mut old, true, 2), Err(NotActive(State::Superseded)));
    assert_eq!(old.attempts, 0);
    assert_eq!(attempt(&history, &mut new, true, 2), Ok(Attempted::Verified));
}

#[test]
fn a_verified_process_is_superseded_too() {
    let mut history = History::default();
    let mut old = begin(&mut history, 0);
    attempt(&history, &mut old, true, 1).unwrap();
    assert!(proves(&history, &old, 2));
    begin(&mut history, 3);
    assert_eq!(old.state(history.newest, at(4)), State::Superseded);
    assert!(!proves(&history, &old, 4));
}

#[test]
fn rule_5_a_process_expires() {
    let mut history = History::default();
    let mut process = begin(&mut history, 0);
    assert_eq!(process.expires_at, at(10 * MINUTE));
    assert_eq!(attempt(&history, &mut process, false, 10 * MINUTE - 1000), Ok(Attempted::Wrong));
    assert_eq!(attempt(&history, &mut process, true, 10 * MINUTE), Err(NotActive(State::Expired)));
}

#[test]
fn rule_6_each_attempt_counts_up_to_the_limit() {
    let mut history = History::default();
    let mut process = begin(&mut history, 0);
    let outcomes: Vec<_> = (1..4).map(|n| attempt(&history, &mut process, false, n).unwrap()).collect();
    assert_eq!(outcomes, [Attempted::Wrong, Attempted::Wrong, Attempted::WrongAtLast]);
    assert_eq!(process.attempts, 3);
}

#[test]
fn rule_7_at_the_limit_the_process_has_failed_and_a_new_one_may_begin_at_once() {
    let mut history = History::default();
    let mut process = begin(&mut history, 0);
    for n in 1..4 {
        attempt(&history, &mut process, false, n).unwrap();
    }
    assert_eq!(attempt(&history, &mut process, true, 5), Err(NotActive(State::Exhausted)));
    assert_eq!(process.attempts, 3);
    assert_eq!(try_begin(&mut history, 6).unwrap().processes, 2);
}

#[test]
fn rule_8_the_status_is_that_of_the_latest_attempt_for_none_follows_a_success() {
    let mut history = History::default();
    let mut process = begin(&mut history, 0);
    attempt(&history, &mut process, false, 1).unwrap();
    assert_eq!(process.state(history.newest, at(1)), State::Active);
    attempt(&history, &mut process, true, 2).unwrap();
    assert_eq!(process.state(history.newest, at(2)), State::Verified);
    assert_eq!(attempt(&history, &mut process, false, 3), Err(NotActive(State::Verified)));
    assert_eq!((process.attempts, process.state(history.newest, at(3))), (2, State::Verified));
}

#[test]
fn attempts_are_counted_before_they_are_compared() {
    let mut history = History::default();
    let mut process = begin(&mut history, 0);
    let counted: Vec<bool> = (0..5).map(|_| process.count(history.newest, at(1)).is_ok()).collect();
    assert_eq!(counted, [true, true, true, false, false]);
    // The last of those in flight is right: it was counted in time.
    assert_eq!(process.conclude(history.newest, 1, false, at(1)), Ok(Attempted::Wrong));
    assert_eq!(process.conclude(history.newest, 3, true, at(1)), Ok(Attempted::Verified));
    assert_eq!(process.conclude(history.newest, 2, true, at(1)), Ok(Attempted::Verified));
}

#[test]
fn an_attempt_that_was_overtaken_by_a_newer_process_proves_nothing() {
    let mut history = History::default();
    let mut old = begin(&mut history, 0);
    old.count(history.newest, at(1)).unwrap();
    begin(&mut history, 2);
    assert_eq!(old.conclude(history.newest, 1, true, at(1)), Err(NotActive(State::Superseded)));
    assert_eq!(old.verified_at, None);
}

#[test]
fn a_proof_is_good_for_a_while_once_and_for_what_it_was_made() {
    let mut history = History::default();
    let mut process = begin(&mut history, 0);
    assert!(!proves(&history, &process, 0));
    attempt(&history, &mut process, true, 9 * MINUTE).unwrap();
    assert!(proves(&history, &process, 24 * MINUTE - 1000), "also after its code's end");
    assert!(!proves(&history, &process, 24 * MINUTE));
    let of = |kind, purpose| process.proof(history.newest, (kind, purpose), &LIMITS, at(10 * MINUTE)).is_some();
    assert!(of(Kind::Email, Purpose::PasswordReset));
    assert!(!of(Kind::Mobile, Purpose::PasswordReset));
    assert!(!of(Kind::Email, Purpose::WalletSetup));
    process.consume(at(10 * MINUTE));
    assert!(!proves(&history, &process, 10 * MINUTE));
    assert_eq!(attempt(&history, &mut process, true, 11 * MINUTE), Err(NotActive(State::Consumed)));
}

#[test]
fn a_message_leaves_only_an_interval_after_the_one_before() {
    let mut history = History::default();
    let tell_at = |history: &mut History, after| try_begin(history, after).unwrap().tell_at;
    assert_eq!(tell_at(&mut history, 0), at(0));
    assert_eq!(tell_at(&mut history, 10 * S), at(30 * S));
    assert_eq!(tell_at(&mut history, 20 * S), at(30 * S), "the one before it never left");
    assert_eq!(tell_at(&mut history, 30 * S), at(30 * S));
    assert_eq!(tell_at(&mut history, 31 * S), at(60 * S));
}

#[test]
fn an_attribute_is_compared_in_its_canonical_form() {
    let value = |kind, text: &str| Attribute::parse(kind, text).map(|attribute| attribute.value().to_owned());
    assert_eq!(value(Kind::Email, " \tJo.Doe@Example.COM \n").as_deref(), Some("jo.doe@example.com"));
    assert_eq!(value(Kind::Email, "Zoe\u{308}@example.com").as_deref(), Some("zo\u{eb}@example.com"));
    assert_eq!(value(Kind::Mobile, "+359 (89) 776-54.63").as_deref(), Some("+359897765463"));
    for wrong in ["", "jo", "@", "jo@", "@example.com", "a b@example.com", "a@b@c", "a\u{7f}@b", "a\u{a0}@b"] {
        assert_eq!(value(Kind::Email, wrong), None, "{wrong:?}");
    }
    assert!(value(Kind::Email, &format!("{}@example.com", "a".repeat(138))).is_some());
    assert_eq!(value(Kind::Email, &format!("{}@example.com", "a".repeat(139))), None);
    for wrong in ["", "359897765463", "+0359897765", "+123456", "+1234567890123456", "+35989x765463", "+\u{661}234567"]
    {
        assert_eq!(value(Kind::Mobile, wrong), None, "{wrong:?}");
    }
}

#[test]
fn little_is_shown_of_an_attribute() {
    let masked = |kind, text: &str| Attribute::parse(kind, text).unwrap().masked();
    assert_eq!(masked(Kind::Email, "john.doe@example.com"), "jo***@example.com");
    assert_eq!(masked(Kind::Email, "jo@example.com"), "j***@example.com");
    assert_eq!(masked(Kind::Email, "\u{e9}\u{e8}\u{ea}@example.com"), "\u{e9}\u{e8}***@example.com");
    assert_eq!(masked(Kind::Mobile, "+359897765463"), "***63");
}

#[test]
fn a_digest_tells_attributes_and_projects_apart_and_outlives_a_rotation() {
    let (demo, shop): (ProjectKey, ProjectKey) = ("demo".parse().unwrap(), "shop".parse().unwrap());
    let jo = Attribute::parse(Kind::Email, "jo@example.com").unwrap();
    let digest = jo.digest(&ring(), &demo).unwrap();
    assert_eq!(digest, jo.digest(&ring(), &demo).unwrap());
    assert_ne!(digest, jo.digest(&ring(), &shop).unwrap());
    assert_ne!(digest, Attribute::parse(Kind::Email, "joe@example.com").unwrap().digest(&ring(), &demo).unwrap());
    let keys = [("b", 2), ("a", 1)].map(|(id, byte)| SealingKey::new(id, [byte; 32]).unwrap());
    let rotated = KeyRing::new(keys.into()).unwrap();
    assert_eq!(jo.has_digest(&rotated, &demo, &digest), Ok(true));
    assert_eq!(jo.has_digest(&rotated, &shop, &digest), Ok(false));
}

#[test]
fn a_code_has_its_digits_and_is_told_apart_by_its_process() {
    let mut ctx = Ctx::new(START, [3; 32]);
    let (one, other) = (VerificationId::new(&mut ctx), VerificationId::new(&mut ctx));
    for digits in Code::DIGITS {
        let code = Code::make(digits, &mut ctx);
        let text = code.reveal_with(str::to_owned);
        assert!(text.len() == usize::try_from(digits).unwrap() && text.bytes().all(|byte| byte.is_ascii_digit()));
        let mac = Code::mac(&ring(), one, &code).unwrap();
        assert_eq!(Code::is(&ring(), &mac, one, &text), Ok(true));
        assert_eq!(Code::is(&ring(), &mac, other, &text), Ok(false));
        assert_eq!(Code::is(&ring(), &mac, one, "0"), Ok(false));
    }
    assert_eq!(Code::typed(" 12-34 56-").as_str(), "123456");
}

#[test]
fn codes_favour_no_digit() {
    let mut ctx = Ctx::new(START, [4; 32]);
    let mut seen = [[0_u32; 10]; 6];
    for _ in 0..20_000 {
        Code::make(6, &mut ctx).reveal_with(|code| {
            for (place, digit) in code.bytes().enumerate() {
                seen[place][usize::from(digit - b'0')] += 1;
            }
        });
    }
    // 2000 of each are expected; five standard deviations are 212.
    assert!(seen.iter().flatten().all(|count| count.abs_diff(2000) < 212), "{seen:?}");
}

#[test]
fn nothing_that_can_be_typed_is_the_code_of_nobody() {
    let mut ctx = Ctx::new(START, [5; 32]);
    let id = VerificationId::new(&mut ctx);
    let mac = Code::mac(&ring(), id, &Code::of_nobody(&mut ctx)).unwrap();
    assert!((0..1000).all(|n| Code::is(&ring(), &mac, id, &format!("{n:06}")) == Ok(false)));
}

#[test]
fn a_history_is_kept_for_as_long_as_it_says_something() {
    let mut history = History::default();
    assert!(history.forgotten_at(&LIMITS) <= START);
    begin(&mut history, 0);
    assert_eq!(history.forgotten_at(&LIMITS), at(60 * MINUTE));
    for n in 1..6 {
        let _ = try_begin(&mut history, n * 10 * MINUTE);
    }
    assert_eq!(history.rests_until, Some(at(80 * MINUTE)));
    assert_eq!(history.forgotten_at(&LIMITS), at(100 * MINUTE));
}
