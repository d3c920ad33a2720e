//! The pool with its workers under control: a hook blocks a worker until a test lets it go, or breaks it.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Waker};
use std::time::Duration;

use super::work::{Hash, Verify, Work};
use super::*;

fn options(workers: usize) -> HashOptions {
    HashOptions { memory_kib: 64, passes: 1, workers: Some(workers), queue_max: 4, ..HashOptions::default() }
}

fn password(text: &str) -> Password {
    Password::new(text.to_owned()).unwrap()
}

type Submitted<'a> = Pin<Box<dyn Future<Output = Result<Verified, Overloaded>> + Send + 'a>>;

/// Runs the future up to its first wait: the job is in the queue then.
fn enter<'a>(future: impl Future<Output = Result<Verified, Overloaded>> + Send + 'a) -> Submitted<'a> {
    let mut future: Submitted<'a> = Box::pin(future);
    assert!(future.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    future
}

async fn hooked(pool: &HashPool, lane: Lane, hook: impl FnOnce() + Send + 'static) -> Result<Verified, Overloaded> {
    let verify = Verify { password: password("a"), stored: None };
    let mut work = Work::new(Some(verify), None);
    work.hook = Some(Box::new(hook));
    pool.shared.submit(lane, work)?.done().await?.verified.ok_or(Overloaded::FAILED)
}

/// Blocks one worker. It goes on when the sender is dropped.
async fn block(pool: &HashPool) -> (mpsc::Sender<()>, Submitted<'_>) {
    let (release, released) = mpsc::channel::<()>();
    let (begun, has_begun) = tokio::sync::oneshot::channel();
    let blocked = enter(hooked(pool, Lane::SignIn, move || {
        begun.send(()).unwrap();
        let _ = released.recv();
    }));
    has_begun.await.unwrap();
    (release, blocked)
}

#[tokio::test]
async fn a_full_lane_refuses_at_the_door_and_the_others_stay_open() {
    let pool = HashPool::start(&options(1)).unwrap();
    let (release, blocked) = block(&pool).await;
    let waiting: Vec<_> = (0..4).map(|_| enter(pool.verify(Lane::SignIn, password("a"), None))).collect();
    for _ in 0..100 {
        let refused = pool.verify(Lane::SignIn, password("a"), None).await.unwrap_err();
        assert_eq!(refused, Overloaded { reason: OverloadReason::QueueFull, retry_after_s: 1 });
    }
    let change = enter(async { Ok(pool.change(password("a"), None, password("b"), [0; 16]).await?.0) });
    let counters = pool.counters();
    assert_eq!((counters.queued, counters.busy_workers, counters.refused), (5, 1, 100));
    assert_eq!(counters.arenas, 1);

    drop(release);
    for job in waiting.into_iter().chain([blocked, change]) {
        assert_eq!(job.await, Ok(Verified { matches: false, upgrade: false }));
    }
    pool.idle().await;
    let counters = pool.counters();
    assert_eq!((counters.dummy, counters.hashed, counters.expired), (6, 0, 0));
    assert_eq!((counters.queued, counters.busy_workers, counters.arenas), (0, 0, 1));
}

#[tokio::test]
async fn a_flood_in_one_lane_does_not_hold_up_another() {
    let pool = HashPool::start(&HashOptions { queue_max: 100, ..options(1) }).unwrap();
    let (release, blocked) = block(&pool).await;
    let served = Arc::new(Mutex::new(Vec::new()));
    let mut jobs = vec![blocked];
    for (lane, count) in [(Lane::Import, 100), (Lane::Change, 100), (Lane::SignIn, 8)] {
        for _ in 0..count {
            let served = Arc::clone(&served);
            jobs.push(enter(hooked(&pool, lane, move || served.lock().unwrap().push(lane))));
        }
    }
    drop(release);
    for job in jobs {
        job.await.unwrap();
    }
    let served = served.lock().unwrap();
    let last_of = |lane| served.iter().rposition(|served| *served == lane).unwrap();
    let imports_among = |count| served[..count].iter().filter(|served| **served == Lane::Import).count();
    assert!(last_of(Lane::SignIn) < 8 + 8 + 2, "{served:?}");
    // All changes are through after 100 + 8 + a ninth for the import: it is slow, but it does not stand still.
    assert!((22..=28).contains(&imports_among(8 + 100 + 25)), "{served:?}");
    assert_eq!(served.len(), 208);
}

#[tokio::test]
async fn a_job_whose_time_is_over_is_answered_without_a_hash() {
    let pool = HashPool::start(&options(1)).unwrap();
    let (release, blocked) = block(&pool).await;
    let late = enter(pool.verify(Lane::SignIn, password("a"), None));
    pool.shared.expire_waiting();
    let in_time = enter(pool.verify(Lane::SignIn, password("a"), None));
    drop(release);
    assert_eq!(late.await, Err(Overloaded { reason: OverloadReason::Expired, retry_after_s: 1 }));
    assert!(blocked.await.is_ok(), "what was begun in time is finished");
    assert!(in_time.await.is_ok());
    pool.idle().await;
    let counters = pool.counters();
    assert_eq!((counters.expired, counters.dummy), (1, 2));
}

#[tokio::test]
async fn a_dropped_future_gives_its_place_back() {
    let pool = HashPool::start(&options(1)).unwrap();
    let (release, blocked) = block(&pool).await;
    let mut waiting: Vec<_> = (0..4).map(|_| enter(pool.verify(Lane::SignIn, password("a"), None))).collect();
    drop(waiting.remove(1));
    assert_eq!((pool.counters().queued, pool.counters().cancelled), (3, 1));
    waiting.push(enter(pool.verify(Lane::SignIn, password("a"), None)));
    drop(waiting);
    assert_eq!((pool.counters().queued, pool.counters().cancelled), (0, 5));
    drop(release);
    blocked.await.unwrap();
    pool.idle().await;
    assert_eq!(pool.counters().dummy, 1, "only the job that blocked");
}

#[tokio::test]
async fn a_panic_fails_its_job_and_nothing_else() {
    let pool = HashPool::start(&options(1)).unwrap();
    for round in 1..=3 {
        let failed = hooked(&pool, Lane::SignIn, || panic!("injected by a test")).await.unwrap_err();
        assert_eq!(failed.reason, OverloadReason::Failed);
        let hash = pool.hash(Lane::Change, password("a"), [1; 16]).await.unwrap();
        assert!(pool.verify(Lane::SignIn, password("a"), Some(hash)).await.unwrap().matches);
        let counters = pool.counters();
        assert_eq!((counters.failed, counters.workers, counters.arenas), (round, 1, 1 + round));
    }
}

#[tokio::test]
async fn a_poisoned_lock_stops_nobody() {
    let pool = HashPool::start(&options(1)).unwrap();
    pool.shared.poison();
    assert!(pool.verify(Lane::SignIn, password("a"), None).await.is_ok());
}

#[tokio::test]
async fn a_change_takes_two_workers_only_if_both_are_idle() {
    let pool = HashPool::start(&options(2)).unwrap();
    let stored = pool.hash(Lane::Change, password("old"), [1; 16]).await.unwrap();
    let (verified, new) = pool.change(password("old"), Some(stored.clone()), password("new"), [2; 16]).await.unwrap();
    assert!(verified.matches && new.is_some());
    assert_eq!(pool.counters().changes_at_once, 1);

    pool.idle().await;
    let (_release, _blocked) = block(&pool).await;
    let (verified, new) = pool.change(password("old"), Some(stored), password("new"), [2; 16]).await.unwrap();
    assert!(verified.matches && new.is_some());
    assert_eq!(pool.counters().changes_at_once, 1);
}

#[tokio::test]
async fn a_wrong_current_password_gives_no_new_hash_on_either_way() {
    for workers in [1, 2] {
        let pool = HashPool::start(&options(workers)).unwrap();
        let stored = pool.hash(Lane::Change, password("old"), [1; 16]).await.unwrap();
        pool.idle().await;
        for stored in [Some(stored), None] {
            let (verified, new) = pool.change(password("wrong"), stored, password("new"), [2; 16]).await.unwrap();
            assert_eq!(verified, Verified { matches: false, upgrade: false });
            assert!(new.is_none());
            pool.idle().await;
        }
        let counters = pool.counters();
        assert_eq!((counters.verified, counters.dummy), (1, 1));
        let begun_at_once = if workers == 1 { 0 } else { 2 };
        assert_eq!(counters.changes_at_once, begun_at_once);
        assert!(counters.hashed <= 1 + begun_at_once);
    }
}

#[tokio::test]
async fn stopping_finishes_what_waits_and_takes_nothing_new() {
    let pool = HashPool::start(&options(1)).unwrap();
    let (release, blocked) = block(&pool).await;
    let waiting = enter(hooked(&pool, Lane::Import, || ()));
    let mut stopping = Box::pin(pool.stop());
    assert!(stopping.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    let refused = pool.verify(Lane::SignIn, password("a"), None).await.unwrap_err();
    assert_eq!(refused.reason, OverloadReason::Stopping);
    drop(release);
    stopping.await;
    assert_eq!(pool.counters().workers, 0);
    assert!(blocked.await.is_ok());
    assert!(waiting.await.is_ok());
}

#[tokio::test]
async fn a_wait_beyond_the_deadline_is_refused_with_its_length() {
    let pool = HashPool::start(&options(1)).unwrap();
    let (release, blocked) = block(&pool).await;
    pool.shared.assume_mean_cost(Duration::from_millis(3300));
    let first = enter(pool.verify(Lane::SignIn, password("a"), None));
    let second = enter(pool.verify(Lane::SignIn, password("a"), None));
    let refused = pool.verify(Lane::SignIn, password("a"), None).await.unwrap_err();
    assert_eq!(refused, Overloaded { reason: OverloadReason::WaitTooLong, retry_after_s: 7 });
    assert_eq!(pool.counters().refused, 1);
    drop(release);
    for job in [blocked, first, second] {
        assert!(job.await.is_ok());
    }
}

#[tokio::test]
async fn a_salt_and_a_password_make_one_hash() {
    let pool = HashPool::start(&options(1)).unwrap();
    let work = || Work::new(None, Some(Hash { password: password("a"), salt: [7; 16] }));
    let one = pool.shared.submit(Lane::Change, work()).unwrap().done().await.unwrap().hash.unwrap();
    let other = pool.hash(Lane::Import, password("a"), [7; 16]).await.unwrap();
    assert!(one == other);
    assert!(one.as_phc().starts_with("$argon2id$v=19$m=64,t=1,p=1$BwcHBwcHBwcHBwcHBwcHBw$"));
}
