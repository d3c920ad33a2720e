//! Operations: the slot, the token, the seal, the commit, and who performs them, on both engines.
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

#[expect(dead_code, reason = "other tests use the rest")]
mod customers;

use std::sync::Arc;

use customers::*;
use keyherald_core::activity::{Recorded, Source};
use keyherald_core::customer::Customer;
use keyherald_core::id::{CustomerId, OperationId, TokenId};
use keyherald_core::initiator::Initiator;
use keyherald_core::operation::{Event, Intent, Kind, Limits, Operation, Outcome, State, Step, Why, next};
use keyherald_core::provider::{
    Capabilities, LookupWays, Probe, ProbeAnswer, ProbeValue, ProviderError, ProviderLink, RecordWrites, SessionEnding,
};
use keyherald_core::secret::Password;
use keyherald_core::token::TokenKind;
use keyherald_core::{Ctx, Micros, Refusal, reset};
use keyherald_store::log::activity::Asked;
use keyherald_store::operation::{Begin, Due, Lost, Repeatable, Replay, Slot};
use keyherald_store::testing::{TestStore, options};
use keyherald_store::tx::{query_all, query_one};
use keyherald_store::{
    Fault, FaultKind, Sql, Store, StoreUrl, Tx, credential, each_engine, log, operation, provider_link, token as tokens,
};
use tokio::task::JoinSet;

each_engine! {
    an_intent_reads_back_and_its_password_comes_out_of_its_seal,
    the_slot_is_joined_by_the_same_password_and_by_no_other,
    of_many_at_once_one_begins,
    of_the_same_many_times_at_once_all_have_one_operation,
    the_index_has_the_last_word,
    an_accepted_password_is_committed_once_whatever_is_repeated,
    without_a_hash_of_its_own_no_old_one_stays,
    what_was_not_committed_did_not_happen,
    a_refusal_changes_nothing_and_gives_the_token_back,
    a_reserved_token_is_nobody_elses_and_does_not_expire,
    a_customer_deleted_meanwhile_ends_it,
    two_nodes_never_have_the_same_one,
    who_was_thought_dead_has_lost_it,
    no_other_password_while_an_attempt_may_take_effect,
    the_same_password_does_no_harm_meanwhile,
    what_was_read_before_another_operation_says_nothing,
    a_divergence_stays_until_a_change_succeeds,
    sessions_are_ended_after_the_slot_is_free,
    no_password_stays_behind,
    the_same_key_is_the_same_operation,
    a_user_of_a_provider_is_one_customer,
}

const S: i64 = Micros::SECOND;

fn at(seconds: i64) -> Micros {
    NOW.plus(seconds * S)
}

fn password(text: &str) -> Password {
    Password::new(text.into()).unwrap()
}

fn link(user: &str) -> ProviderLink {
    ProviderLink { provider: "auth0-main".parse().unwrap(), user: user.parse().ok().unwrap() }
}

/// What an operation is begun with.
#[derive(Clone)]
struct Wish {
    customer: CustomerId,
    password: &'static str,
    token: Option<TokenId>,
    sessions: SessionEnding,
    local_hash: bool,
    seen: Option<OperationId>,
    key: Option<(&'static str, &'static str)>,
}

fn wish(customer: &Customer, password: &'static str) -> Wish {
    let (sessions, seen) = (SessionEnding::BySet, None);
    Wish { customer: customer.id, password, token: None, sessions, local_hash: true, seen, key: None }
}

fn intent(wish: &Wish, now: Micros) -> Intent {
    let lookups = LookupWays { id: true, ..LookupWays::default() };
    let capabilities = Capabilities {
        probe: Probe::Password,
        trial_sign_in: false,
        sessions: wish.sessions,
        lookups,
        password_bytes_max: Some(72),
        records: RecordWrites::default(),
        tokens: false,
    };
    Intent {
        kind: if wish.token.is_some() { Kind::Reset } else { Kind::Set },
        by: Initiator { external_user_id: Some("agent".into()), ..Initiator::default() },
        source: Source::default(),
        first_entry: None,
        trace: None,
        link: link("auth0|1"),
        capabilities,
        before: Some(ProbeValue::of(Some("monday"))),
        version: Some(1),
        token: wish.token,
        proofs: Vec::new(),
        answer_by: now.plus(10 * S),
        limits: Limits::default(),
    }
}

#[derive(Clone)]
enum Begun {
    New(Box<Operation>),
    Joined(OperationId),
    Taken(Option<Micros>),
    LookAgain,
    NoToken,
}

impl Begun {
    fn operation(self) -> Operation {
        match self {
            Self::New(operation) => *operation,
            _ => panic!("nothing was begun"),
        }
    }
}

/// What a server does in one transaction.
fn begin_in(tx: &mut dyn Tx, ctx: &mut Ctx, wish: &Wish) -> Result<Begun, Fault> {
    keyherald_store::customer::lock(tx, &demo(), wish.customer)?;
    let password = password(wish.password);
    match operation::slot(tx, &ring(), (&demo(), wish.customer), &password, wish.seen, ctx.now)? {
        Slot::Free => {}
        Slot::Same(open) => return Ok(Begun::Joined(open.id)),
        Slot::Taken { until } => return Ok(Begun::Taken(until)),
        Slot::LookAgain => return Ok(Begun::LookAgain),
    }
    let hash = wish.local_hash.then(|| hash("new"));
    let operation = Operation::begin((&demo(), wish.customer), intent(wish, ctx.now), hash, ctx);
    let looked_up = operation.looked_up([1000, 1000], ctx);
    let begin = Begin {
        operation: &operation,
        password: &password,
        keep_password: true,
        repeatable: wish.key.map(|(key, request)| Repeatable { caller: "c", key, request: request.as_bytes() }),
        looked_up: &looked_up,
        due: Due::Held { by: "node-a", until: ctx.now.plus(15 * S) },
    };
    let begun = operation::begin(tx, &ring(), &begin, ctx)?;
    Ok(if begun { Begun::New(Box::new(operation)) } else { Begun::NoToken })
}

async fn begin(store: &Store, now: Micros, seed: u64, wish: Wish) -> Begun {
    store.write(&ctx_at(now, seed), move |tx, ctx| begin_in(tx, ctx, &wish)).await.unwrap()
}

async fn recorded(store: &Store, operation: Operation, events: &[(i64, Event)]) -> Result<Operation, Lost> {
    let mut operation = operation;
    for (seconds, event) in events.iter().cloned() {
        let now = at(seconds);
        let save = move |tx: &mut dyn Tx, ctx: &mut Ctx| {
            let noted = operation.record(event.clone(), now);
            let activity = noted.activity_of(&event, Some(7), ctx);
            let due = Due::Held { by: "node-a", until: now.plus(15 * S) };
            operation::save(tx, &noted, activity.as_slice(), due)
        };
        operation = store.write(&ctx_at(now, 1000 + u64::try_from(seconds).unwrap()), save).await.unwrap()?;
    }
    Ok(operation)
}

fn commit_in(tx: &mut dyn Tx, ctx: &mut Ctx, operation: &Operation) -> Result<Result<Operation, Lost>, Fault> {
    let noted = operation.record(Event::Accepted, ctx.now);
    let activity = noted.activity_of(&Event::Accepted, Some(9), ctx);
    operation::commit(tx, &ring(), &noted, activity.as_slice(), ctx)
}

async fn commit(store: &Store, now: Micros, seed: u64, operation: &Operation) -> Result<Operation, Lost> {
    let operation = operation.clone();
    store.write(&ctx_at(now, seed), move |tx, ctx| commit_in(tx, ctx, &operation)).await.unwrap()
}

async fn end(store: &Store, now: Micros, operation: &Operation, event: Event) -> Result<Operation, Lost> {
    let operation = operation.clone();
    let work = move |tx: &mut dyn Tx, ctx: &mut Ctx| operation::end(tx, &operation, &event, &[], ctx);
    store.write(&ctx_at(now, 77), work).await.unwrap()
}

async fn by_id(store: &Store, id: OperationId) -> Option<Operation> {
    store.read(move |tx| operation::by_id(tx, &demo(), id)).await.unwrap()
}

async fn stored(store: &Store, id: CustomerId) -> Option<Customer> {
    store.read(move |tx| keyherald_store::customer::by_id(tx, &demo(), id)).await.unwrap()
}

async fn hash_of(store: &Store, id: CustomerId) -> Option<String> {
    let look = move |tx: &mut dyn Tx| credential::by_customer(tx, &demo(), id);
    store.read(look).await.unwrap().map(|hash| hash.as_phc().to_owned())
}

/// The event ids and outcomes of a customer's activity, oldest first.
async fn activity(store: &Store, id: CustomerId) -> Vec<(Option<u32>, String)> {
    let asked = Asked { customer: Some(id), after: None, limit: 100 };
    let look = move |tx: &mut dyn Tx| log::activity::read(tx, &demo(), &asked, Micros(0), i64::MAX);
    let read = |entry: Recorded| {
        let facts = entry.activity.facts;
        (facts.event_code().and_then(|code| code.id), facts.outcome)
    };
    store.read(look).await.unwrap().into_iter().map(read).collect()
}

async fn password_messages(store: &Store) -> usize {
    let named =
        |message: &&keyherald_core::message::Message| message.facts.content.type_name() == "CustomerPasswordUpdated";
    messages(store, NOW).await.iter().filter(named).count()
}

async fn counted(store: &Store, sql: &'static str) -> i64 {
    let sql = Sql::both("COUNTED", sql);
    store.read(move |tx| query_one(tx, &sql, &[], |row| row.int(0))).await.unwrap().unwrap()
}

async fn secrets(store: &Store) -> i64 {
    counted(store, "SELECT count(sealed) + count(hash) FROM operation").await
}

fn unknown() -> Event {
    Event::NotAccepted(ProviderError::Ambiguous)
}

async fn an_intent_reads_back_and_its_password_comes_out_of_its_seal(store: &TestStore) {
    let ada = created(store, 1, "ada@example.com", &[]).await;
    let begun = begin(store, NOW, 2, wish(&ada, "Fresh-1!")).await.operation();
    let found = by_id(store, begun.id).await.unwrap();
    assert_eq!(found.log, begun.log);
    assert_eq!((found.state(), found.revision, found.password_at_hand), (State::Open, 1, true));
    assert_eq!(found.hash.as_ref().unwrap().as_phc(), hash("new").as_phc());
    assert_eq!(found.intent.by.external_user_id.as_deref(), Some("agent"));
    let open = store.read(move |tx| operation::open_of(tx, &demo(), ada.id)).await.unwrap().unwrap();
    assert_eq!(open.id, begun.id);
    let id = begun.id;
    let sealed = move |now| move |tx: &mut dyn Tx| operation::password(tx, &ring(), &demo(), id, now);
    let opened = store.read(sealed(at(599))).await.unwrap().unwrap();
    opened.reveal_with(|text| assert_eq!(text, "Fresh-1!"));
    assert!(store.read(sealed(at(600))).await.unwrap().is_none(), "its time is over");
    // In no other row.
    let stolen =
        Sql::both("STEAL", "UPDATE operation SET id = '0192f3a1-5b7c-7d3e-9f10-0123456789ab' WHERE sealed IS NOT NULL");
    store.write(&ctx(3), move |tx, _| tx.execute(&stolen, &[])).await.unwrap();
    let other: OperationId = "0192f3a1-5b7c-7d3e-9f10-0123456789ab".parse().unwrap();
    let fault = store.read(move |tx| operation::password(tx, &ring(), &demo(), other, NOW)).await.err().unwrap();
    assert_eq!(fault.kind(), FaultKind::Corrupt);
}

async fn the_slot_is_joined_by_the_same_password_and_by_no_other(store: &TestStore) {
    let ada = created(store, 1, "ada@example.com", &[]).await;
    let eve = created(store, 2, "eve@example.com", &[]).await;
    let begun = begin(store, NOW, 3, wish(&ada, "Fresh-1!")).await.operation();
    assert!(matches!(begin(store, NOW, 4, wish(&ada, "Fresh-1!")).await, Begun::Joined(id) if id == begun.id));
    assert!(matches!(begin(store, NOW, 5, wish(&ada, "Other-1!")).await, Begun::Taken(None)));
    // Another customer has a slot of its own.
    assert_ne!(begin(store, NOW, 6, wish(&eve, "Fresh-1!")).await.operation().id, begun.id);
    // An operation that has ended is not joined: what is asked now is a new one.
    commit(store, at(1), 7, &begun).await.unwrap();
    let after = Wish { seen: Some(begun.id), ..wish(&ada, "Fresh-1!") };
    assert_ne!(begin(store, at(2), 8, after).await.operation().id, begun.id);
}

async fn of_many_at_once_one_begins(store: &TestStore) {
    let ada = created(store, 1, "ada@example.com", &[]).await;
    let nodes = [store.again(&options()), store.again(&options())];
    let mut calls = JoinSet::new();
    for (seed, password) in (10..).zip(["a-1", "a-2", "a-3", "a-4", "a-5", "a-6"]) {
        let node = nodes[usize::try_from(seed % 2).unwrap()].clone();
        let wish = wish(&ada, password);
        calls.spawn(async move { begin(&node, NOW, seed, wish).await });
    }
    let begun = calls.join_all().await;
    assert_eq!(begun.iter().filter(|begun| matches!(begun, Begun::New(_))).count(), 1);
    assert_eq!(begun.iter().filter(|begun| matches!(begun, Begun::Taken(None))).count(), 5);
    assert_eq!(counted(store, "SELECT count(*) FROM operation").await, 1);
}

async fn of_the_same_many_times_at_once_all_have_one_operation(store: &TestStore) {
    let ada = created(store, 1, "ada@example.com", &[]).await;
    let mut calls = JoinSet::new();
    for seed in 10..16 {
        let (node, wish) = (store.again(&options()), wish(&ada, "Fresh-1!"));
        calls.spawn(async move { begin(&node, NOW, seed, wish).await });
    }
    let mut ids: Vec<_> = calls
        .join_all()
        .await
        .into_iter()
        .map(|begun| match begun {
            Begun::New(operation) => operation.id,
            Begun::Joined(id) => id,
            _ => panic!("neither begun nor joined"),
        })
        .collect();
    ids.dedup();
    assert_eq!(ids.len(), 1);
}

async fn the_index_has_the_last_word(store: &TestStore) {
    let ada = created(store, 1, "ada@example.com", &[]).await;
    begin(store, NOW, 2, wish(&ada, "Fresh-1!")).await.operation();
    // Somebody who has not looked.
    let blind = move |tx: &mut dyn Tx, ctx: &mut Ctx| {
        let wish = wish(&ada, "Other-1!");
        let operation = Operation::begin((&demo(), ada.id), intent(&wish, ctx.now), None, ctx);
        let password = password("Other-1!");
        let begin = Begin {
            operation: &operation,
            password: &password,
            keep_password: false,
            repeatable: None,
            looked_up: &[],
            due: Due::Never,
        };
        operation::begin(tx, &ring(), &begin, ctx)
    };
    let fault = store.write(&ctx(3), blind).await.unwrap_err();
    assert_eq!(fault.kind(), FaultKind::Conflict("operation_open".into()));
}

async fn an_accepted_password_is_committed_once_whatever_is_repeated(store: &TestStore) {
    let ada = created(store, 1, "ada@example.com", &[]).await;
    let reset = token_of(store, 2, &ada, TokenKind::Password).await;
    let with_token = Wish { token: Some(reset.token.id), ..wish(&ada, "Fresh-1!") };
    let begun = begin(store, NOW, 3, with_token).await.operation();
    // The version moves meanwhile: no reason to stop.
    let name =
        keyherald_core::update::Action::SetText(keyherald_core::update::TextField::FirstName, Some("Ada".into()));
    let moved = update(store, &ctx(4), ada.id, vec![name]).await.unwrap();
    let done = commit(store, at(1), 5, &begun).await.unwrap();
    assert_eq!((done.state(), done.outcome()), (State::Committed, Outcome::Done(moved.version + 1)));
    let after = stored(store, ada.id).await.unwrap();
    assert_eq!((after.version, after.profile.first_name.as_deref()), (moved.version + 1, Some("Ada")));
    for (seed, again) in [(6, &begun), (7, &done)] {
        assert_eq!(commit(store, at(2), seed, again).await.err(), Some(Lost));
    }
    assert_eq!(end(store, at(2), &begun, Event::Diverged).await.err(), Some(Lost));
    assert_eq!(stored(store, ada.id).await.unwrap(), after);
    assert_eq!(hash_of(store, ada.id).await.unwrap(), hash("new").as_phc());
    assert_eq!(password_messages(store).await, 1);
    let ids: Vec<_> = activity(store, ada.id).await.into_iter().map(|(id, outcome)| (id.unwrap(), outcome)).collect();
    assert_eq!(ids, [4601, 4001, 4609, 4010].map(|id| (id, "done".to_owned())));
    let digest = reset.value.digest();
    let token =
        store.read(move |tx| tokens::by_digest(tx, &demo(), TokenKind::Password, digest)).await.unwrap().unwrap();
    assert!(!token.valid && token.reserved_by.is_none());
    assert_eq!(secrets(store).await, 0);
    let found = by_id(store, begun.id).await.unwrap();
    assert_eq!((found.outcome(), found.intent.by.external_user_id), (done.outcome(), None));
}

async fn without_a_hash_of_its_own_no_old_one_stays(store: &TestStore) {
    let ada = created(store, 1, "ada@example.com", &[]).await;
    assert!(hash_of(store, ada.id).await.is_some());
    let begun = begin(store, NOW, 2, Wish { local_hash: false, ..wish(&ada, "Fresh-1!") }).await.operation();
    commit(store, at(1), 3, &begun).await.unwrap();
    assert_eq!(hash_of(store, ada.id).await, None);
    assert_eq!(password_messages(store).await, 1);
}

/// A process that dies before COMMIT: on PostgreSQL as on SQLite that is a transaction that never was.
async fn what_was_not_committed_did_not_happen(store: &TestStore) {
    fn dies<T>() -> Result<T, Fault> {
        Err(Fault::new(FaultKind::Internal, "killed"))
    }
    let ada = created(store, 1, "ada@example.com", &[]).await;
    let reset = token_of(store, 2, &ada, TokenKind::Password).await;
    let wish = Wish { token: Some(reset.token.id), ..wish(&ada, "Fresh-1!") };
    let cut = wish.clone();
    let died = store.write(&ctx(3), move |tx, ctx| begin_in(tx, ctx, &cut).and_then(|_| dies::<()>())).await;
    assert!(died.is_err());
    assert_eq!(counted(store, "SELECT count(*) FROM operation").await, 0);
    let begun = begin(store, NOW, 4, wish).await.operation();
    for commits in [true, false] {
        let cut = begun.clone();
        let work = move |tx: &mut dyn Tx, ctx: &mut Ctx| {
            if commits {
                let _ = commit_in(tx, ctx, &cut)?;
            } else {
                let _ = operation::end(tx, &cut, &Event::Released(Why::Interrupted), &[], ctx)?;
            }
            dies::<()>()
        };
        assert!(store.write(&ctx_at(at(1), 5), work).await.is_err());
        let found = by_id(store, begun.id).await.unwrap();
        assert_eq!((found.state(), found.log.len(), found.password_at_hand), (State::Open, 1, true));
        assert_eq!(hash_of(store, ada.id).await.unwrap(), hash("aaaa").as_phc());
        assert_eq!((password_messages(store).await, activity(store, ada.id).await.len()), (0, 2));
    }
    // Whoever finds it goes on from there.
    assert_eq!(next(&by_id(store, begun.id).await.unwrap(), at(20)), Step::Probe);
    assert!(commit(store, at(20), 6, &begun).await.is_ok());
}

async fn a_refusal_changes_nothing_and_gives_the_token_back(store: &TestStore) {
    let ada = created(store, 1, "ada@example.com", &[]).await;
    let reset = token_of(store, 2, &ada, TokenKind::Password).await;
    let with_token = Wish { token: Some(reset.token.id), ..wish(&ada, "Fresh-1!") };
    let begun = begin(store, NOW, 3, with_token.clone()).await.operation();
    let error = ProviderError::PolicyViolation { rule: Some("length".into()), message: None };
    let refused = recorded(store, begun, &[(1, Event::NotAccepted(error.clone()))]).await.unwrap();
    let Step::Release(why) = next(&refused, at(1)) else { panic!("not released") };
    let released = end(store, at(1), &refused, Event::Released(why)).await.unwrap();
    assert_eq!(released.outcome(), Outcome::Refused(Why::Refused(error)));
    assert_eq!(stored(store, ada.id).await.unwrap(), ada);
    assert_eq!(hash_of(store, ada.id).await.unwrap(), hash("aaaa").as_phc());
    assert_eq!((password_messages(store).await, secrets(store).await), (0, 0));
    let outcomes: Vec<_> =
        activity(store, ada.id).await.into_iter().map(|(id, outcome)| (id.unwrap(), outcome)).collect();
    let expected = [(4601, "done"), (4001, "done"), (4609, "policy_violation")];
    assert_eq!(outcomes, expected.map(|(id, outcome)| (id, outcome.to_owned())));
    // The same token once more, with a better password.
    let better = Wish { password: "Better-1!", seen: Some(released.id), ..with_token };
    begin(store, at(2), 4, better).await.operation();
}

async fn a_reserved_token_is_nobody_elses_and_does_not_expire(store: &TestStore) {
    let ada = created(store, 1, "ada@example.com", &[]).await;
    let made = token_of(store, 2, &ada, TokenKind::Password).await;
    let with_token = Wish { token: Some(made.token.id), ..wish(&ada, "Fresh-1!") };
    let begun = begin(store, NOW, 3, with_token.clone()).await.operation();
    let (digest, id) = (made.value.digest(), begun.id);
    let find = move |tx: &mut dyn Tx| tokens::by_digest(tx, &demo(), TokenKind::Password, digest);
    let token = store.read(find).await.unwrap().unwrap();
    assert_eq!(token.reserved_by, Some(id));
    let command =
        reset::Command { version: None, flow: keyherald_core::message::Flow::Reset, by: Initiator::default() };
    let refused = reset::decide(&token, &ada, &command, hash("x"), &mut ctx(4)).err().unwrap();
    assert!(matches!(refused, Refusal::PasswordChangeUnderway { .. }));
    let (customer, token_id) = (ada.id, made.token.id);
    let other: OperationId = "0192f3a1-5b7c-7d3e-9f10-0123456789ab".parse().unwrap();
    let reserve = move |tx: &mut dyn Tx, _: &mut Ctx| tokens::reserve(tx, &demo(), customer, token_id, other);
    assert!(!store.write(&ctx(5), reserve).await.unwrap());
    let late = NOW.plus(10 * Micros::DAY);
    store.write(&ctx(6), move |tx, _| tokens::sweep(tx, late, 100)).await.unwrap();
    assert!(store.read(find).await.unwrap().is_some(), "swept under the operation");
    end(store, at(1), &begun, Event::Released(Why::Interrupted)).await.unwrap();
    assert_eq!(store.read(find).await.unwrap().unwrap().reserved_by, None);
    store.write(&ctx(7), move |tx, _| tokens::sweep(tx, late, 100)).await.unwrap();
    assert!(store.read(find).await.unwrap().is_none());
    // A token that has gone is not reserved, and nothing is begun.
    let gone = Wish { seen: Some(id), ..with_token };
    assert!(matches!(begin(store, at(2), 8, gone).await, Begun::NoToken));
    assert_eq!(counted(store, "SELECT count(*) FROM operation").await, 1);
}

async fn a_customer_deleted_meanwhile_ends_it(store: &TestStore) {
    let ada = created(store, 1, "ada@example.com", &[]).await;
    let begun = begin(store, NOW, 2, wish(&ada, "Fresh-1!")).await.operation();
    // Nobody who looks at the slot does this; it must end well all the same.
    delete(store, &ctx(3), ada.id, true).await;
    let ended = commit(store, at(1), 4, &begun).await.unwrap();
    assert_eq!((ended.state(), ended.outcome()), (State::Gone, Outcome::Gone));
    assert_eq!((password_messages(store).await, secrets(store).await), (0, 0));
    let last = activity(store, ada.id).await.pop().unwrap();
    assert_eq!(last, (Some(4010), "customer_not_found".into()));
    let found = by_id(store, begun.id).await.unwrap();
    assert_eq!(found.intent.link.user.as_str(), "erased");
}

async fn claimed(store: &Store, node: &'static str, now: Micros, limit: i64) -> Vec<Operation> {
    let until = now.plus(15 * S);
    let work = move |tx: &mut dyn Tx, ctx: &mut Ctx| operation::claim(tx, (node, until), ctx.now, limit);
    store.write(&ctx_at(now, 9), work).await.unwrap()
}

async fn two_nodes_never_have_the_same_one(store: &TestStore) {
    for seed in 0..6 {
        let customer = created(store, 10 + seed, &format!("c{seed}@example.com"), &[]).await;
        begin(store, NOW, 20 + seed, wish(&customer, "Fresh-1!")).await.operation();
    }
    // Held by the process that began them.
    assert!(claimed(store, "node-b", at(14), 10).await.is_empty());
    assert_eq!(store.read(operation::next_due).await.unwrap(), Some(at(15)));
    let nodes = [Arc::new(store.again(&options())), Arc::new(store.again(&options()))];
    let mut calls = JoinSet::new();
    for (node, name) in nodes.iter().zip(["node-b", "node-c"]) {
        for _ in 0..3 {
            let node = node.clone();
            calls.spawn(async move { claimed(&node, name, at(15), 2).await });
        }
    }
    let mut ids: Vec<_> = calls.join_all().await.into_iter().flatten().map(|operation| operation.id).collect();
    // On PostgreSQL a row that another one is about to take is passed over: what was missed is found next time.
    ids.extend(claimed(store, "node-b", at(15), 10).await.into_iter().map(|operation| operation.id));
    ids.sort();
    let all = ids.len();
    ids.dedup();
    assert_eq!((all, ids.len()), (6, 6));
    assert!(claimed(store, "node-d", at(29), 10).await.is_empty());
    assert_eq!(claimed(store, "node-d", at(30), 10).await.len(), 6);
}

async fn who_was_thought_dead_has_lost_it(store: &TestStore) {
    let ada = created(store, 1, "ada@example.com", &[]).await;
    let begun = begin(store, NOW, 2, wish(&ada, "Fresh-1!")).await.operation();
    let taken = claimed(store, "node-b", at(15), 10).await.remove(0);
    assert_eq!(taken.log, begun.log);
    assert!(recorded(store, begun.clone(), &[(16, unknown())]).await.is_err());
    assert_eq!(commit(store, at(16), 3, &begun).await.err(), Some(Lost));
    assert_eq!(end(store, at(16), &begun, Event::Diverged).await.err(), Some(Lost));
    let held =
        recorded(store, taken, &[(16, Event::Probed(ProbeAnswer::Value(ProbeValue::of(Some("tuesday")))))]).await;
    let held = held.unwrap();
    assert_eq!(next(&held, at(16)), Step::Commit);
    let done = move |tx: &mut dyn Tx, ctx: &mut Ctx| operation::commit(tx, &ring(), &held, &[], ctx);
    assert!(store.write(&ctx_at(at(16), 4), done).await.unwrap().is_ok());
    assert_eq!(password_messages(store).await, 1);
}

async fn no_other_password_while_an_attempt_may_take_effect(store: &TestStore) {
    let ada = created(store, 1, "ada@example.com", &[]).await;
    let begun = begin(store, NOW, 2, wish(&ada, "Fresh-1!")).await.operation();
    let doubtful = recorded(store, begun, &[(1, unknown()), (2, Event::Sent)]).await.unwrap();
    let done = commit(store, at(3), 3, &doubtful).await.unwrap();
    assert_eq!(done.state(), State::Committed);
    let after = |password| Wish { seen: Some(done.id), ..wish(&ada, password) };
    assert!(matches!(begin(store, at(4), 4, after("Other-1!")).await, Begun::Taken(Some(until)) if until == at(60)));
    sweep(store, at(59)).await;
    assert!(matches!(begin(store, at(59), 5, after("Other-1!")).await, Begun::Taken(Some(_))));
    sweep(store, at(60)).await;
    assert_eq!(counted(store, "SELECT count(mac) FROM operation").await, 0);
    begin(store, at(60), 6, after("Other-1!")).await.operation();
}

async fn the_same_password_does_no_harm_meanwhile(store: &TestStore) {
    let ada = created(store, 1, "ada@example.com", &[]).await;
    let begun = begin(store, NOW, 2, wish(&ada, "Fresh-1!")).await.operation();
    let doubtful = recorded(store, begun, &[(1, unknown()), (2, Event::Sent)]).await.unwrap();
    let done = commit(store, at(3), 3, &doubtful).await.unwrap();
    begin(store, at(4), 4, Wish { seen: Some(done.id), ..wish(&ada, "Fresh-1!") }).await.operation();
}

async fn what_was_read_before_another_operation_says_nothing(store: &TestStore) {
    let ada = created(store, 1, "ada@example.com", &[]).await;
    let id = ada.id;
    let seen = store.read(move |tx| operation::latest(tx, &demo(), id)).await.unwrap();
    let begun = begin(store, NOW, 2, wish(&ada, "Fresh-1!")).await.operation();
    commit(store, at(1), 3, &begun).await.unwrap();
    assert!(matches!(begin(store, at(2), 4, Wish { seen, ..wish(&ada, "Other-1!") }).await, Begun::LookAgain));
    let seen = store.read(move |tx| operation::latest(tx, &demo(), id)).await.unwrap();
    assert_eq!(seen, Some(begun.id));
    begin(store, at(2), 5, Wish { seen, ..wish(&ada, "Other-1!") }).await.operation();
}

async fn a_divergence_stays_until_a_change_succeeds(store: &TestStore) {
    let ada = created(store, 1, "ada@example.com", &[]).await;
    let begun = begin(store, NOW, 2, wish(&ada, "Fresh-1!")).await.operation();
    let diverged = end(store, at(600), &begun, Event::Diverged).await.unwrap();
    assert_eq!(diverged.state(), State::Diverged);
    let id = ada.id;
    let left = move |tx: &mut dyn Tx| Ok(operation::diverged_of(tx, &demo(), id)?.len());
    assert_eq!(store.read(left).await.unwrap(), 1);
    assert_eq!((secrets(store).await, stored(store, id).await.unwrap()), (0, ada.clone()));
    assert_eq!(activity(store, id).await.pop().unwrap(), (None, "diverged".into()));
    sweep(store, NOW.plus(400 * Micros::DAY)).await;
    assert_eq!(store.read(left).await.unwrap(), 1, "swept before it was resolved");
    // The slot is free: the customer recovers.
    let again = begin(store, at(700), 3, Wish { seen: Some(begun.id), ..wish(&ada, "Better-1!") }).await.operation();
    commit(store, at(701), 4, &again).await.unwrap();
    assert_eq!(store.read(left).await.unwrap(), 0);
    assert_eq!(by_id(store, begun.id).await.unwrap().state(), State::Resolved);
    assert_eq!(password_messages(store).await, 1);
}

async fn sessions_are_ended_after_the_slot_is_free(store: &TestStore) {
    let ada = created(store, 1, "ada@example.com", &[]).await;
    let by_step = Wish { sessions: SessionEnding::ByStep, ..wish(&ada, "Fresh-1!") };
    let begun = begin(store, NOW, 2, by_step).await.operation();
    let done = commit(store, at(1), 3, &begun).await.unwrap();
    assert_eq!((done.state(), next(&done, at(1))), (State::Closing, Step::EndSessions));
    assert_eq!(secrets(store).await, 0);
    begin(store, at(1), 4, Wish { seen: Some(begun.id), ..wish(&ada, "Other-1!") }).await.operation();
    // Should the process die now, another one finds it.
    let found = claimed(store, "node-b", at(2), 10).await;
    assert_eq!(found.iter().map(|operation| operation.id).collect::<Vec<_>>(), [begun.id]);
    let ended = recorded(store, found[0].clone(), &[(3, Event::SessionsEnded(None))]).await.unwrap();
    assert_eq!((ended.state(), by_id(store, begun.id).await.unwrap().state()), (State::Committed, State::Committed));
}

async fn sweep(store: &Store, now: Micros) {
    let work = move |tx: &mut dyn Tx, _: &mut Ctx| operation::sweep(tx, now, now.plus(-90 * Micros::DAY), 100);
    store.write(&ctx_at(now, 8), work).await.unwrap();
}

/// Neither sealed nor in clear, after the end as after the time limit; on SQLite not in the file either.
async fn no_password_stays_behind(store: &TestStore) {
    let mut sealed = Vec::new();
    for (seed, end_of_it) in (0..).zip(["committed", "released", "diverged", "abandoned"]) {
        let customer = created(store, 10 + seed, &format!("{end_of_it}@example.com"), &[]).await;
        let begun = begin(store, NOW, 20 + seed, wish(&customer, "Tr0ub4dor-and-more")).await.operation();
        let blob = Sql::both("BLOB", "SELECT sealed FROM operation WHERE sealed IS NOT NULL");
        sealed.extend(store.read(move |tx| query_all(tx, &blob, &[], |row| row.bytes(0))).await.unwrap());
        match end_of_it {
            "committed" => drop(commit(store, at(1), 30, &begun).await.unwrap()),
            "released" => drop(end(store, at(1), &begun, Event::Released(Why::Interrupted)).await.unwrap()),
            "diverged" => drop(end(store, at(1), &begun, Event::Diverged).await.unwrap()),
            _ => {}
        }
    }
    let left = "SELECT count(sealed) FROM operation";
    assert_eq!((sealed.len(), counted(store, left).await), (4, 1));
    sweep(store, at(599)).await;
    assert_eq!(counted(store, left).await, 1);
    sweep(store, at(600)).await;
    assert_eq!(counted(store, left).await, 0);
    if let StoreUrl::Sqlite(path) = store.url() {
        store.close().await;
        for entry in path.parent().unwrap().read_dir().unwrap() {
            let bytes = std::fs::read(entry.unwrap().path()).unwrap();
            let holds = |part: &[u8]| bytes.windows(part.len()).any(|window| window == part);
            assert!(!holds(b"Tr0ub4dor"), "in clear");
            assert!(sealed.iter().all(|sealed| !holds(sealed)), "sealed");
        }
    }
}

async fn the_same_key_is_the_same_operation(store: &TestStore) {
    async fn replayed(store: &Store, key: &'static str, request: &'static str, now: Micros) -> Replay {
        let repeatable = Repeatable { caller: "c", key, request: request.as_bytes() };
        store.read(move |tx| operation::replay(tx, &ring(), &demo(), &repeatable, now)).await.unwrap()
    }
    let ada = created(store, 1, "ada@example.com", &[]).await;
    assert!(matches!(replayed(store, "k", "{1}", NOW).await, Replay::New));
    let keyed = Wish { key: Some(("k", "{1}")), ..wish(&ada, "Fresh-1!") };
    let begun = begin(store, NOW, 2, keyed.clone()).await.operation();
    assert!(matches!(replayed(store, "k", "{1}", NOW).await, Replay::Same(same) if same.id == begun.id));
    assert!(matches!(replayed(store, "k", "{2}", NOW).await, Replay::OtherRequest));
    assert!(matches!(replayed(store, "other", "{1}", NOW).await, Replay::New));
    // Nobody has refused it: the same request may be tried anew.
    let unreachable = Event::Released(Why::Unreachable { not_before: None });
    end(store, at(1), &begun, unreachable).await.unwrap();
    assert!(matches!(replayed(store, "k", "{1}", at(2)).await, Replay::New));
    let again = begin(store, at(2), 3, Wish { seen: Some(begun.id), ..keyed }).await.operation();
    let done = commit(store, at(3), 4, &again).await.unwrap();
    let told = replayed(store, "k", "{1}", at(4)).await;
    assert!(matches!(told, Replay::Same(same) if same.outcome() == done.outcome()));
    let later = at(3).plus(operation::IDEMPOTENCY_LIFE_US);
    assert!(matches!(replayed(store, "k", "{1}", later).await, Replay::New));
    sweep(store, later).await;
    assert_eq!(counted(store, "SELECT count(*) FROM idempotency").await, 0);
}

async fn a_user_of_a_provider_is_one_customer(store: &TestStore) {
    let ada = created(store, 1, "ada@example.com", &[]).await.id;
    let eve = created(store, 2, "eve@example.com", &[]).await.id;
    let put = async |customer, user: &'static str| {
        let work = move |tx: &mut dyn Tx, ctx: &mut Ctx| {
            keyherald_store::customer::lock(tx, &demo(), customer)?;
            provider_link::put(tx, &demo(), customer, &link(user), ctx.now)
        };
        store.write(&ctx(3), work).await
    };
    assert!(put(ada, "auth0|1").await.unwrap() && put(ada, "auth0|1").await.unwrap());
    assert!(!put(eve, "auth0|1").await.unwrap());
    assert!(put(ada, "auth0|2").await.unwrap() && put(eve, "auth0|1").await.unwrap());
    let provider = link("x").provider;
    let of = |customer| {
        let provider = provider.clone();
        store.read(move |tx| provider_link::of_customer(tx, &demo(), customer, &provider))
    };
    assert_eq!(of(ada).await.unwrap().unwrap().user.as_str(), "auth0|2");
    let by_user = {
        let provider = provider.clone();
        move |tx: &mut dyn Tx| provider_link::by_user(tx, &demo(), &provider, &link("auth0|2").user)
    };
    assert_eq!(store.read(by_user.clone()).await.unwrap(), Some(ada));
    delete(store, &ctx(4), ada, false).await;
    assert_eq!(store.read(by_user).await.unwrap(), None);
    assert!(of(ada).await.unwrap().is_none());
}
