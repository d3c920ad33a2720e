//! What is promised of verification processes, mobile numbers, customer numbers and rates, on both engines.
#![expect(clippy::unwrap_used, reason = "tests")]

#[expect(dead_code, reason = "other targets use more of it")]
mod customers;

use customers::*;
use keyherald_core::create;
use keyherald_core::id::{OperationId, VerificationId};
use keyherald_core::limit::{Exceeded, Rate};
use keyherald_core::refusal::UniqueField;
use keyherald_core::secret::TokenValue;
use keyherald_core::verification::{Attempted, Attribute, Kind, Limits, NotActive, Process, Purpose, State};
use keyherald_core::{Ctx, Micros, Refusal};
use keyherald_store::testing::{TestStore, options};
use keyherald_store::tx::query_all;
use keyherald_store::verification::{self, Telling};
use keyherald_store::{Fault, Sql, Store, StoreUrl, Tx, customer, each_engine, limit};

each_engine! {
    a_process_reads_back,
    the_limit_holds_among_many_at_once,
    attempts_are_never_more_than_allowed_among_many_at_once,
    a_newer_process_silences_the_one_before,
    a_message_that_is_due_gets_its_code,
    a_proof_is_reserved_released_and_used_once,
    nothing_that_can_be_read_is_stored,
    what_is_over_is_swept,
    an_erased_customer_has_no_history,
    a_mobile_number_is_one_customers,
    a_number_is_never_given_twice,
    a_rate_holds_among_many_at_once,
    what_nodes_book_comes_one_after_the_other,
}

const LIMITS: Limits = Limits {
    code_digits: 6,
    code_life: 600 * Micros::SECOND,
    attempts: 3,
    processes: 5,
    window: 3600 * Micros::SECOND,
    cooldown: 1800 * Micros::SECOND,
    resend_interval: 30 * Micros::SECOND,
    valid_for: 900 * Micros::SECOND,
};

fn jo() -> Attribute {
    Attribute::parse(Kind::Email, "jo@example.com").unwrap()
}

fn code() -> TokenValue {
    TokenValue::from_sealed("123456".into())
}

/// Begins a process as an endpoint does. `None`: the attribute rests.
fn begin(tx: &mut dyn Tx, ctx: &mut Ctx, attribute: &Attribute) -> Result<Option<Process>, Fault> {
    let (mut history, digest) = verification::lock_history(tx, &ring(), &demo(), attribute, ctx.now)?;
    let begun = history.begin(attribute.kind, Purpose::PasswordReset, &LIMITS, ctx);
    verification::put_history(tx, &demo(), (&history, &digest), &LIMITS)?;
    let Ok(begun) = begun else { return Ok(None) };
    let code = code();
    let telling = if begun.tell_at == ctx.now { Telling::Now(&code) } else { Telling::At(begun.tell_at, attribute) };
    verification::insert(tx, &ring(), (&demo(), &LIMITS), (&begun.process, &digest), &telling, ctx)?;
    Ok(Some(begun.process))
}

async fn begun(store: &Store, ctx: &Ctx) -> Option<Process> {
    store.write(ctx, |tx, ctx| begin(tx, ctx, &jo())).await.unwrap()
}

/// Tries the code as an endpoint does: counted in a transaction of its own.
async fn attempt(store: &Store, ctx: &Ctx, id: VerificationId, typed: &'static str) -> Result<Attempted, NotActive> {
    let count = move |tx: &mut dyn Tx, ctx: &mut Ctx| {
        let mut found = verification::lock(tx, &demo(), id)?.unwrap();
        let counted = found.process.count(found.newest, ctx.now);
        verification::save(tx, &demo(), &found.process, &LIMITS)?;
        Ok(counted.map(|()| found.process.attempts))
    };
    let number = store.write(ctx, count).await.unwrap()?;
    let conclude = move |tx: &mut dyn Tx, ctx: &mut Ctx| {
        let mut found = verification::lock(tx, &demo(), id)?.unwrap();
        let is_right = found.is_code(&ring(), typed)?;
        let outcome = found.process.conclude(found.newest, number, is_right, ctx.now);
        verification::save(tx, &demo(), &found.process, &LIMITS)?;
        Ok(outcome)
    };
    store.write(ctx, conclude).await.unwrap()
}

async fn found(store: &Store, id: VerificationId) -> verification::Verification {
    store.read(move |tx| verification::by_id(tx, &demo(), id)).await.unwrap().unwrap()
}

fn later(seed: u64, seconds: i64) -> Ctx {
    let ctx = ctx(seed);
    let mut seeds = [0; 32];
    seeds[..8].copy_from_slice(&(seed + 1_000_000).to_le_bytes());
    Ctx::new(ctx.now.plus(seconds * Micros::SECOND), seeds)
}

async fn a_process_reads_back(store: &TestStore) {
    let process = begun(store, &ctx(1)).await.unwrap();
    let stored = found(store, process.id).await;
    assert!(stored.process == process && stored.newest == Some(process.id));
    assert!(stored.is_about(&ring(), &demo(), &jo()).unwrap());
    let other = Attribute::parse(Kind::Email, "joe@example.com").unwrap();
    assert!(!stored.is_about(&ring(), &demo(), &other).unwrap());
    assert!(!stored.is_about(&ring(), &"shop".parse().unwrap(), &jo()).unwrap());
    assert_eq!(attempt(store, &ctx(2), process.id, "654321").await, Ok(Attempted::Wrong));
    assert_eq!(attempt(store, &ctx(3), process.id, "123456").await, Ok(Attempted::Verified));
    assert_eq!(attempt(store, &ctx(4), process.id, "123456").await, Err(NotActive(State::Verified)));
    let stored = found(store, process.id).await;
    assert_eq!((stored.process.attempts, stored.process.verified_at), (2, Some(ctx(0).now)));
    let elsewhere = store.read(move |tx| verification::by_id(tx, &"shop".parse().unwrap(), process.id)).await.unwrap();
    assert!(elsewhere.is_none());
}

async fn all<T: Send + 'static>(works: impl IntoIterator<Item = impl Future<Output = T> + Send + 'static>) -> Vec<T> {
    #[expect(clippy::disallowed_methods, reason = "a test has no task list")]
    let tasks: Vec<_> = works.into_iter().map(tokio::spawn).collect();
    let mut answers = Vec::new();
    for task in tasks {
        answers.push(task.await.unwrap());
    }
    answers
}

async fn the_limit_holds_among_many_at_once(store: &TestStore) {
    let works = (0..12).map(|seed| {
        let store = (**store).clone();
        async move { begun(&store, &ctx(seed)).await }
    });
    let begun: Vec<Process> = all(works).await.into_iter().flatten().collect();
    assert_eq!(begun.len(), 5);
    let mut live = 0;
    for process in begun {
        let stored = found(store, process.id).await;
        live += usize::from(stored.process.state(stored.newest, ctx(0).now) == State::Active);
    }
    assert_eq!(live, 1);
}

async fn attempts_are_never_more_than_allowed_among_many_at_once(store: &TestStore) {
    let id = begun(store, &ctx(1)).await.unwrap().id;
    let works = (0..10).map(|seed| {
        let store = (**store).clone();
        async move { attempt(&store, &ctx(100 + seed), id, "000000").await }
    });
    let outcomes = all(works).await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 3);
    assert_eq!(outcomes.iter().filter(|outcome| **outcome == Ok(Attempted::WrongAtLast)).count(), 1);
    assert_eq!(found(store, id).await.process.attempts, 3);
}

async fn due(store: &Store, now: Micros) -> Vec<VerificationId> {
    let due = store.read(move |tx| verification::due(tx, now, 10)).await.unwrap();
    due.into_iter().map(|(_, id)| id).collect()
}

async fn a_newer_process_silences_the_one_before(store: &TestStore) {
    begun(store, &ctx(1)).await.unwrap();
    let second = begun(store, &later(2, 10)).await.unwrap();
    let at = later(0, 30).now;
    assert_eq!(due(store, at).await, [second.id]);
    assert_eq!(due(store, at.plus(-1000)).await, []);
    let third = begun(store, &later(3, 20)).await.unwrap();
    assert_eq!(due(store, at).await, [third.id]);
}

async fn a_message_that_is_due_gets_its_code(store: &TestStore) {
    begun(store, &ctx(1)).await.unwrap();
    let id = begun(store, &later(2, 10)).await.unwrap().id;
    assert_eq!(attempt(store, &later(3, 11), id, "123456").await, Ok(Attempted::Wrong), "nobody has been told a code");
    let tell = move |tx: &mut dyn Tx, ctx: &mut Ctx| {
        let found = verification::lock(tx, &demo(), id)?.unwrap();
        let to = verification::to_tell(tx, &ring(), &demo(), &found.process, ctx.now)?;
        if to.is_some() {
            verification::tell(tx, &ring(), &demo(), &found, &code(), ctx.now)?;
        }
        Ok(to.map(|to| to.value().to_owned()))
    };
    assert_eq!(store.write(&later(4, 29), tell).await.unwrap(), None);
    assert_eq!(store.write(&later(4, 30), tell).await.unwrap().as_deref(), Some("jo@example.com"));
    assert_eq!(store.write(&later(5, 31), tell).await.unwrap(), None, "told once");
    assert_eq!(attempt(store, &later(6, 32), id, "123456").await, Ok(Attempted::Verified));
    // The next message waits for this one's interval.
    begun(store, &later(7, 40)).await.unwrap();
    assert_eq!(due(store, later(0, 59).now).await, []);
    assert_eq!(due(store, later(0, 60).now).await.len(), 1);
}

async fn a_proof_is_reserved_released_and_used_once(store: &TestStore) {
    let id = begun(store, &ctx(1)).await.unwrap().id;
    attempt(store, &ctx(2), id, "123456").await.unwrap();
    let operation = OperationId::new(&mut ctx(3));
    let reserve = move |tx: &mut dyn Tx, _: &mut Ctx| verification::reserve(tx, &demo(), id, operation);
    assert!(store.write(&ctx(4), reserve).await.unwrap());
    assert!(!store.write(&ctx(4), reserve).await.unwrap(), "one operation has it");
    assert_eq!(found(store, id).await.process.reserved_by, Some(operation));
    store.write(&ctx(5), move |tx, _| verification::release(tx, &demo(), operation)).await.unwrap();
    assert_eq!(found(store, id).await.process.reserved_by, None);
    assert!(store.write(&ctx(6), reserve).await.unwrap());
    let consume = move |tx: &mut dyn Tx, ctx: &mut Ctx| verification::consume_reserved(tx, &demo(), operation, ctx.now);
    store.write(&ctx(7), consume).await.unwrap();
    assert!(!store.write(&ctx(8), reserve).await.unwrap(), "used");
    let stored = found(store, id).await;
    assert_eq!(stored.process.state(stored.newest, ctx(0).now), State::Consumed);
}

fn hex(text: &str) -> String {
    let digit = |value: u8| char::from_digit(value.into(), 16).unwrap().to_ascii_uppercase();
    text.bytes().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

async fn nothing_that_can_be_read_is_stored(store: &TestStore) {
    static CONTENT: Sql = Sql::split(
        "CONTENT",
        "SELECT hex(digest) || begun_at || COALESCE(newest, '') FROM attribute
         UNION ALL SELECT hex(attribute) || hex(code) || COALESCE(hex(to_tell), '') || kind || purpose FROM verification
         UNION ALL SELECT hex(bucket) FROM rate_limit",
        "SELECT upper(encode(digest, 'hex')) || begun_at || COALESCE(newest, '') FROM attribute
         UNION ALL SELECT upper(encode(attribute, 'hex') || encode(code, 'hex') || COALESCE(encode(to_tell, 'hex'), ''))
                              || kind || purpose FROM verification
         UNION ALL SELECT upper(encode(bucket, 'hex')) FROM rate_limit",
    );
    begun(store, &ctx(1)).await.unwrap();
    begun(store, &later(2, 5)).await.unwrap();
    let rate = Rate { count: 1, per: 100 };
    store
        .write(&ctx(3), move |tx, ctx| limit::take(tx, &ring(), "jo@example.com", rate, ctx.now))
        .await
        .unwrap()
        .unwrap();
    let content = store.read(|tx| query_all(tx, &CONTENT, &[], |row| row.text(0))).await.unwrap();
    assert_eq!(content.len(), 4);
    for secret in ["jo@example.com", "123456", "example"] {
        let hex = hex(secret);
        assert!(content.iter().all(|row| !row.contains(&hex) && !row.contains(secret)), "{secret}");
    }
    if let StoreUrl::Sqlite(path) = store.url() {
        let folder = std::fs::read_dir(path.parent().unwrap()).unwrap();
        for file in folder {
            let bytes = std::fs::read(file.unwrap().path()).unwrap();
            assert!(!bytes.windows(14).any(|part| part == b"jo@example.com"));
        }
    }
}

async fn what_is_over_is_swept(store: &TestStore) {
    let id = begun(store, &ctx(1)).await.unwrap().id;
    let sweep = async |at: Micros| {
        store.write(&Ctx::new(at, [0; 32]), |tx, ctx| verification::sweep(tx, ctx.now, 10)).await.unwrap()
    };
    assert_eq!(sweep(later(0, 1499).now).await, 0);
    assert_eq!(sweep(later(0, 1500).now).await, 1);
    assert!(store.read(move |tx| verification::by_id(tx, &demo(), id)).await.unwrap().is_none());
    assert_eq!(sweep(later(0, 3599).now).await, 0);
    assert_eq!(sweep(later(0, 3600).now).await, 1, "the history, when nothing counts any more");
}

async fn an_erased_customer_has_no_history(store: &TestStore) {
    let customer = created(store, 1, "Jo@example.com", &[]).await;
    let id = begun(store, &ctx(2)).await.unwrap().id;
    delete(store, &ctx(3), customer.id, true).await;
    assert!(store.read(move |tx| verification::by_id(tx, &demo(), id)).await.unwrap().is_none());
    let count = |tx: &mut dyn Tx, ctx: &mut Ctx| {
        let (history, _) = verification::lock_history(tx, &ring(), &demo(), &jo(), ctx.now)?;
        Ok(history.begun_at.len())
    };
    assert_eq!(store.write(&ctx(4), count).await.unwrap(), 0);
}

async fn a_mobile_number_is_one_customers(store: &TestStore) {
    let with_mobile = |email: &str| create::Command { mobile: "+359897765463".parse().ok(), ..draft(email, &[]) };
    let jo = create(store, &ctx(1), with_mobile("jo@example.com")).await.unwrap();
    let refused = create(store, &ctx(2), with_mobile("ada@example.com")).await;
    assert_eq!(refused.unwrap_err(), Refusal::Duplicate(UniqueField::Mobile));
    let by_mobile = store.read(|tx| customer::by_mobile(tx, &demo(), &"+359 89 776 5463".parse().unwrap()));
    assert_eq!(by_mobile.await.unwrap(), Some(jo.clone()));
    for near in ["+359897765463", "+359111111111", "+436641234567"] {
        let near = near.parse().unwrap();
        assert_eq!(store.read(move |tx| customer::near_mobile(tx, &demo(), &near)).await.unwrap(), Some(jo.clone()));
    }
    create(store, &ctx(3), draft("eve@example.com", &[])).await.unwrap();
    create(store, &ctx(4), draft("bob@example.com", &[])).await.unwrap();
}

async fn a_number_is_never_given_twice(store: &TestStore) {
    // The same chance draws the same number.
    let first = created(store, 7, "jo@example.com", &[]).await;
    let number = first.number.clone();
    let work = |tx: &mut dyn Tx, _: &mut Ctx| create_in(tx, &mut same_chance(7, 1), &draft("ada@example.com", &[]));
    let second = store.write(&ctx(8), work).await.unwrap().unwrap();
    assert!(first.id != second.id && second.number != number);
    delete(store, &ctx(9), first.id, false).await;
    let work = |tx: &mut dyn Tx, _: &mut Ctx| create_in(tx, &mut same_chance(7, 2), &draft("eve@example.com", &[]));
    let third = store.write(&ctx(10), work).await.unwrap().unwrap();
    assert!(third.number != number && third.number != second.number);
}

/// Draws what `ctx` of this seed draws, this many seconds later, so that ids differ.
fn same_chance(seed: u64, seconds: i64) -> Ctx {
    let mut same = ctx(seed);
    same.now = same.now.plus(seconds * Micros::SECOND);
    same
}

async fn a_rate_holds_among_many_at_once(store: &TestStore) {
    let rate = Rate { count: 4, per: 60 * Micros::SECOND };
    let take = move |store: Store, name: &'static str, at: i64| async move {
        let work = move |tx: &mut dyn Tx, ctx: &mut Ctx| limit::take(tx, &ring(), name, rate, ctx.now);
        store.write(&later(1, at), work).await.unwrap()
    };
    let taken = all((0..12).map(|_| take((**store).clone(), "10.0.0.1", 0))).await;
    assert_eq!(taken.iter().filter(|taken| taken.is_ok()).count(), 4);
    let free_at = later(0, 15).now;
    assert!(taken.iter().all(|taken| taken.is_ok() || *taken == Err(Exceeded { free_at })));
    assert_eq!(take((**store).clone(), "10.0.0.2", 0).await, Ok(()));
    assert_eq!(take((**store).clone(), "10.0.0.1", 15).await, Ok(()));
    let sweep = async |at| store.write(&later(2, at), |tx, ctx| limit::sweep(tx, ctx.now, 10)).await.unwrap();
    assert_eq!(sweep(15).await, 1);
    assert_eq!(sweep(75).await, 1);
}

async fn what_nodes_book_comes_one_after_the_other(test: &TestStore) {
    let rate = Rate { count: 2, per: 200 };
    let mut nodes: Vec<Store> = vec![(**test).clone()];
    if test.engine_name() == "postgres" {
        nodes.extend((0..2).map(|_| test.again(&options()))); // SQLite has one process
    }
    let mut booking = tokio::task::JoinSet::new();
    for node in nodes.iter().cycle().take(20) {
        let (node, ctx) = (node.clone(), ctx(3));
        booking.spawn(async move {
            let book =
                move |tx: &mut dyn Tx, ctx: &mut Ctx| limit::book(tx, (&ring(), "provider"), rate, ctx.now, (1, 1_500));
            node.write(&ctx, book).await.unwrap()
        });
    }
    let mut waits = Vec::new();
    let mut refused = 0;
    for booked in booking.join_all().await {
        match booked {
            Ok(wait) => waits.push(wait),
            Err(_) => refused += 1,
        }
    }
    waits.sort_unstable();
    let expected: Vec<i64> = [0, 0].into_iter().chain((1..=15).map(|place| place * 100)).collect();
    assert_eq!((waits, refused), (expected, 3));
}
