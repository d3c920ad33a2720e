//! Records in doubt: who gets one, when, and when it ends, on both engines.
#![expect(clippy::unwrap_used, reason = "tests")]

#[expect(dead_code, reason = "other tests use the rest")]
mod customers;

use customers::*;
use keyherald_core::activity::{Call, Run, Source};
use keyherald_core::doubt::{About, Doubt};
use keyherald_core::id::DoubtId;
use keyherald_core::initiator::Initiator;
use keyherald_core::message::Flow;
use keyherald_core::operation::Limits;
use keyherald_core::{Ctx, Micros};
use keyherald_store::testing::{TestStore, options};
use keyherald_store::{Tx, doubt, each_engine};
use tokio::task::JoinSet;

each_engine! {
    one_is_due_when_its_attempt_is_over,
    operators_see_those_of_a_project_and_of_a_customer,
    two_nodes_never_have_the_same_one,
    who_was_thought_dead_has_lost_it,
    those_of_an_address_end_together,
}

fn noted(about: About, seed: u8) -> Doubt {
    let source = Source { system: "ExternalSystem".parse().ok(), ..Source::default() };
    Doubt {
        id: DoubtId::new(&mut Ctx::new(NOW, [seed; 32])),
        project: demo(),
        about,
        provider: "auth0-main".parse().unwrap(),
        call: Call::SetEmailAtProvider,
        began_at: NOW,
        looks: 0,
        run: Run::new(Flow::Update, &Initiator::default(), &source),
    }
}

async fn put(store: &TestStore, doubt: &Doubt) {
    let (doubt, due) = (doubt.clone(), Doubt::first_due(NOW, Limits::default()));
    store.write(&ctx(1), move |tx: &mut dyn Tx, _| doubt::put(tx, &doubt, due)).await.unwrap();
}

async fn claimed(store: &TestStore, now: Micros) -> Vec<Doubt> {
    let limits = Limits::default();
    store.write(&ctx(2), move |tx: &mut dyn Tx, _| doubt::claim(tx, now, limits, 100)).await.unwrap()
}

async fn next_due(store: &TestStore) -> Option<Micros> {
    store.read(|tx| doubt::next_due(tx)).await.unwrap()
}

fn address(email: &str) -> About {
    About::Address(email.to_owned())
}

async fn operators_see_those_of_a_project_and_of_a_customer(store: &TestStore) {
    let jo = created(store, 9, "jo@example.com", &[]).await;
    let all =
        [noted(About::Customer(jo.id), 1), noted(address("new@example.com"), 2), noted(About::Customer(jo.id), 3)];
    for doubt in &all {
        put(store, doubt).await;
    }
    let listed = async |customer, after, limit| {
        let look = move |tx: &mut dyn Tx| doubt::listed(tx, &demo(), customer, after, limit);
        let listed = store.read(look).await.unwrap();
        assert!(listed.iter().all(|(_, due)| *due == Doubt::first_due(NOW, Limits::default())));
        listed.into_iter().map(|(doubt, _)| doubt.id).collect::<Vec<_>>()
    };
    let mut ids: Vec<_> = all.iter().map(|doubt| doubt.id).collect();
    ids.sort_by_key(ToString::to_string);
    assert_eq!(listed(None, None, 100).await, ids);
    assert_eq!(listed(None, ids.first().copied(), 1).await, ids.get(1..2).unwrap());
    let of_jo: Vec<_> = ids.into_iter().filter(|id| *id != all.get(1).unwrap().id).collect();
    assert_eq!(listed(Some(jo.id), None, 100).await, of_jo);
    assert_eq!(listed(Some(jo.id), of_jo.first().copied(), 100).await, of_jo.get(1..).unwrap());
    let other = move |tx: &mut dyn Tx| doubt::listed(tx, &"other".parse().unwrap(), None, None, 100);
    assert!(store.read(other).await.unwrap().is_empty());
}

async fn one_is_due_when_its_attempt_is_over(store: &TestStore) {
    let jo = created(store, 9, "jo@example.com", &[]).await;
    let about_jo = noted(About::Customer(jo.id), 1);
    put(store, &about_jo).await;
    let due = NOW.plus(Micros::MINUTE);
    assert_eq!(next_due(store).await, Some(due));
    assert!(claimed(store, NOW.plus(Micros::MINUTE - 1)).await.is_empty());
    let mut found = claimed(store, due).await;
    let found = found.pop().unwrap();
    assert!(found.about == about_jo.about && found.run == about_jo.run && found.call == about_jo.call);
    assert_eq!((found.id, found.looks, found.began_at), (about_jo.id, 1, NOW));
    // It is put off, whatever becomes of whoever has it.
    assert_eq!(next_due(store).await, Some(due.plus(Micros::MINUTE)));
    let (project, id) = (demo(), found.id);
    store.write(&ctx(3), move |tx: &mut dyn Tx, _| doubt::remove(tx, &project, id)).await.unwrap();
    assert_eq!(next_due(store).await, None);
}

async fn two_nodes_never_have_the_same_one(store: &TestStore) {
    for seed in 1..=40 {
        put(store, &noted(address(&format!("{seed}@example.com")), seed)).await;
    }
    let mut nodes = JoinSet::new();
    for _ in 0..4 {
        let node = store.again(&options());
        nodes.spawn(async move {
            let (mut ids, now) = (Vec::new(), NOW.plus(Micros::MINUTE));
            for _ in 0..20 {
                let take = move |tx: &mut dyn Tx, _: &mut Ctx| doubt::claim(tx, now, Limits::default(), 3);
                ids.extend(node.write(&ctx(4), take).await.unwrap().into_iter().map(|doubt| doubt.id));
            }
            ids
        });
    }
    let mut all: Vec<DoubtId> = nodes.join_all().await.concat();
    assert_eq!(all.len(), 40);
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), 40);
}

async fn who_was_thought_dead_has_lost_it(store: &TestStore) {
    put(store, &noted(address("jo@example.com"), 1)).await;
    let first = claimed(store, NOW.plus(Micros::MINUTE)).await.pop().unwrap();
    let second = claimed(store, NOW.plus(2 * Micros::MINUTE)).await.pop().unwrap();
    let holds =
        async |doubt: Doubt| store.write(&ctx(5), move |tx: &mut dyn Tx, _| doubt::holds(tx, &doubt)).await.unwrap();
    assert_eq!((holds(first.clone()).await, holds(second).await), (false, true));
    let due = next_due(store).await;
    store.write(&ctx(6), move |tx: &mut dyn Tx, _| doubt::put_off(tx, &first, NOW)).await.unwrap();
    assert_eq!(next_due(store).await, due);
}

async fn those_of_an_address_end_together(store: &TestStore) {
    put(store, &noted(address("Jo@Example.com"), 1)).await;
    put(store, &noted(address("jo@example.com"), 2)).await;
    put(store, &noted(address("other@example.com"), 3)).await;
    let remove = |tx: &mut dyn Tx, _: &mut Ctx| doubt::remove_of_address(tx, &demo(), "JO@example.com");
    store.write(&ctx(7), remove).await.unwrap();
    let left = claimed(store, NOW.plus(Micros::HOUR)).await;
    assert!(left.len() == 1 && left.iter().all(|doubt| doubt.about == address("other@example.com")));
}
