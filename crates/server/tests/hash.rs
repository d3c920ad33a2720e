//! The hashing pool from the outside, at real and at tiny cost.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

use std::time::Duration;

use keyherald::hash::{HashOptions, HashPool, HashStartError, Lane, OverloadReason, Verified, bare_two_hash_loop};
use keyherald_core::credential::PasswordHash;
use keyherald_core::secret::Password;

const KNOWN: &str = "correct horse battery staple";
const KNOWN_HASHES: [(&str, &str); 4] = [
    (KNOWN, "$argon2id$v=19$m=19456,t=2,p=1$AQEBAQEBAQEBAQEBAQEBAQ$62QdG5Ru3xTGLX3KBXjk3JI2y0qvK/4QPpdRvIrGYkI"),
    (KNOWN, "$argon2id$v=19$m=47104,t=1,p=1$AQEBAQEBAQEBAQEBAQEBAQ$vgqAGmo5Pu4JByFr4Q9BcYv6dmZ+EVQ59wIOl6HEd5Y"),
    (KNOWN, "$argon2id$v=19$m=12288,t=3,p=1$AQEBAQEBAQEBAQEBAQEBAQ$h72AeWehcj1t1ACIXBqErpuCM0Ss8DbV90LDpz3ViBc"),
    (
        "p\u{e4}ssw\u{f6}rd",
        "$argon2id$v=19$m=19456,t=2,p=1$AgICAgICAgICAgICAgICAg$OnUedwtK/BnNDljjr3Sx0yAcvNlWTpvUEoD5bb8bEhs",
    ),
];

fn tiny() -> HashOptions {
    HashOptions { memory_kib: 64, passes: 1, workers: Some(2), ..HashOptions::default() }
}

fn password(text: &str) -> Password {
    Password::new(text.to_owned()).unwrap()
}

fn stored(phc: &str) -> PasswordHash {
    PasswordHash::parse(phc).unwrap()
}

#[tokio::test]
async fn known_hashes_are_verified_by_both_implementations() {
    for force_reference in [false, true] {
        let pool = HashPool::start(&HashOptions { force_reference, ..HashOptions::default() }).unwrap();
        assert_eq!(pool.implementation(), if force_reference { "argon2" } else { "argon2-rust" });
        for (text, phc) in KNOWN_HASHES {
            let right = pool.verify(Lane::SignIn, password(text), Some(stored(phc))).await.unwrap();
            let upgrade = !phc.contains("m=19456,t=2,p=1");
            assert_eq!(right, Verified { matches: true, upgrade }, "{phc}");
            let wrong = pool.verify(Lane::SignIn, password("wrong"), Some(stored(phc))).await.unwrap();
            assert_eq!(wrong, Verified { matches: false, upgrade: false }, "{phc}");
        }
        let made = pool.hash(Lane::Change, password(KNOWN), [1; 16]).await.unwrap();
        assert_eq!(made.as_phc(), KNOWN_HASHES[0].1);
    }
}

#[tokio::test]
async fn unknown_and_unreadable_cost_one_hash_and_never_match() {
    let pool = HashPool::start(&tiny()).unwrap();
    let too_costly =
        "$argon2id$v=19$m=1048576,t=1,p=1$AQEBAQEBAQEBAQEBAQEBAQ$vgqAGmo5Pu4JByFr4Q9BcYv6dmZ+EVQ59wIOl6HEd5Y";
    let too_long =
        "$argon2id$v=19$m=64,t=4294967295,p=1$AQEBAQEBAQEBAQEBAQEBAQ$vgqAGmo5Pu4JByFr4Q9BcYv6dmZ+EVQ59wIOl6HEd5Y";
    let too_costly_bcrypt = "$2b$31$......................vicDc9Z4ORMubWrVaJMicVy8brvECK.";
    let cases = [
        None,
        Some(too_costly),
        Some(too_long),
        Some(too_costly_bcrypt),
        Some("$argon2id$v=19$broken"),
        Some("$1$a$b"),
    ];
    for case in cases {
        let verified = pool.verify(Lane::SignIn, password(KNOWN), case.map(stored)).await.unwrap();
        assert_eq!(verified, Verified { matches: false, upgrade: false }, "{case:?}");
    }
    let counters = pool.counters();
    assert_eq!((counters.dummy, counters.verified, counters.failed), (6, 0, 0));
}

/// One of each scheme: the vectors are with their readers.
const OF_OTHER_SYSTEMS: [(&str, &str); 8] = [
    ("password", "$argon2i$m=256,t=2,p=1$c29tZXNhbHQ$/U3YPXYsSb3q9XxHvc0MLxur+GP960kN9j7emXX8zwY"),
    ("U*U", "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"),
    ("pleaseletmein", "$7$C6..../....SodiumChloride$kBGj9fHznVYFQMEn/qDCfrDevf9YDtcDdKvEqHJLV8D"),
    (
        "user1password",
        "$firescrypt$ln=14,r=8,p=1$42xEC+ixf3L2lw==$lSrfV15cpx95/sZS2W9c9Kp6i/LVgQNDNC/qzrCnh1SAyZvqmZqAjTdn3aoItz+VHjoZilo78198JAdRuid5lQ==$Bw==$jxspr8Ki0RYycVU8zykbdLGjFQ3McFUH0uiiTvC8pVMXAn210wjLNmdZJzxUECKbm0QsEmYUSDzZvpjeJ9WmXA==",
    ),
    ("password", "$pbkdf2$4096$c2FsdA$SwB5AbdlSJq.rUnZJvch0GWkKcE"),
    ("hashcat", "pbkdf2_sha256$20000$H0dPx8NeajVu$GiC4k5kqbbR9qWBlsRgDywNqC2vd9kqfk7zdorEnNas="),
    ("Hello world!", "$5$rounds=10000$saltstringsaltst$3xv.VbSHBb41AL9AvLeujZkZRBAwqFMz2.opqey6IcA"),
    ("hashcat", "{SSHA}AZKja92fbuuB9SpRlHqaoXxbTc43Mzc2MDM1Ng=="),
];

#[tokio::test]
async fn a_hash_of_another_system_matches_and_asks_for_an_upgrade() {
    let pool = HashPool::start(&tiny()).unwrap();
    for (text, foreign) in OF_OTHER_SYSTEMS {
        let stored = pool.importable(foreign).unwrap();
        assert!(!pool.is_current(&stored));
        let wrong = pool.verify(Lane::SignIn, password("wrong"), Some(stored.clone())).await.unwrap();
        assert_eq!(wrong, Verified { matches: false, upgrade: false }, "{foreign}");
        let right = pool.verify(Lane::SignIn, password(text), Some(stored.clone())).await.unwrap();
        assert_eq!(right, Verified { matches: true, upgrade: true }, "{foreign}");
        let (verified, new) = pool.change(password(text), Some(stored), password("new"), [1; 16]).await.unwrap();
        assert!(verified.matches && new.is_some_and(|new| pool.is_current(&new)), "{foreign}");
    }
    assert_eq!(pool.counters().dummy, 0);
    assert!(pool.importable("$1$md5crypt$is.no.longer.read").is_err());
    assert!(pool.importable(&format!("$5${}$a", "x".repeat(600))).is_err());
}

#[tokio::test]
async fn a_hash_of_other_parameters_asks_for_an_upgrade_once_it_matches() {
    let weaker = HashPool::start(&HashOptions { passes: 1, memory_kib: 32, ..tiny() }).unwrap();
    let pool = HashPool::start(&tiny()).unwrap();
    for (maker, upgrade) in [(&weaker, true), (&pool, false)] {
        let hash = maker.hash(Lane::Change, password("a"), [3; 16]).await.unwrap();
        let verified = pool.verify(Lane::SignIn, password("a"), Some(hash.clone())).await.unwrap();
        assert_eq!(verified, Verified { matches: true, upgrade });
        let wrong = pool.verify(Lane::SignIn, password("b"), Some(hash)).await.unwrap();
        assert_eq!(wrong, Verified { matches: false, upgrade: false });
    }
}

#[tokio::test]
async fn overload_is_refused_and_no_arena_is_made_for_it() {
    let pool = HashPool::start(&HashOptions { queue_max: 8, ..tiny() }).unwrap();
    let jobs = (0..500).map(|_| pool.change(password("a"), None, password("b"), [0; 16]));
    let answers = futures_util::future::join_all(jobs).await;
    let done = answers.iter().filter(|answer| answer.is_ok()).count();
    for refused in answers.iter().filter_map(|answer| answer.as_ref().err()) {
        assert_eq!((refused.reason, refused.retry_after_s), (OverloadReason::QueueFull, 1));
    }
    assert!(done >= 7, "8 places, and the first change took two of them");
    pool.idle().await;
    let counters = pool.counters();
    assert_eq!(counters.refused, 500 - u64::try_from(done).unwrap());
    assert_eq!((counters.queued, counters.busy_workers, counters.workers, counters.arenas), (0, 0, 2, 2));
}

#[tokio::test]
async fn a_stopped_pool_refuses() {
    let pool = HashPool::start(&tiny()).unwrap();
    pool.stop().await;
    pool.stop().await;
    let refused = pool.hash(Lane::Import, password("a"), [0; 16]).await.err().expect("stopped");
    assert_eq!((refused.reason, refused.retry_after_s), (OverloadReason::Stopping, 1));
}

#[test]
fn options_that_cannot_be_are_refused_with_their_names() {
    let error = HashPool::start(&HashOptions { lanes: 0, nice: 20, ..tiny() }).err().expect("refused");
    assert!(matches!(&error, HashStartError::Options(problems) if problems.len() == 2));
    let text = error.to_string();
    assert!(text.contains("lanes: 0") && text.contains("nice: 20"), "{text}");
}

#[test]
fn the_yardstick_counts() {
    assert!(bare_two_hash_loop(&tiny(), 2, Duration::from_millis(20)).unwrap() > 0.0);
}

/// Without the feature, passwords' traces would stay in the arenas between hashes.
#[test]
fn the_arenas_of_both_crates_are_wiped() {
    let manifest: toml::Table = include_str!("../Cargo.toml").parse().unwrap();
    for (name, feature) in [("argon2-rust", "zeroize-memory"), ("argon2", "zeroize")] {
        let features = manifest["dependencies"][name]["features"].as_array().unwrap();
        assert!(features.iter().any(|found| found.as_str() == Some(feature)), "{name}");
    }
    assert_eq!(manifest["dependencies"]["argon2-rust"]["version"].as_str(), Some("=1.1.0"));
}
