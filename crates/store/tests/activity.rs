//! Activity in the log, on both engines.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "test support")]

use keyherald_core::activity::{Call, CallResult, Made, Run, Source, project_lane};
use keyherald_core::id::{CustomerId, ProjectKey};
use keyherald_core::initiator::Initiator;
use keyherald_core::message::Flow;
use keyherald_core::{Ctx, Micros};
use keyherald_store::log::activity::{Asked, append, read};
use keyherald_store::testing::TestStore;
use keyherald_store::tx::query_one;
use keyherald_store::{Sql, Tx, each_engine};

each_engine! {
    entries_are_read_in_order_a_page_at_a_time,
    an_entry_that_is_written_again_is_the_same,
    entries_without_a_customer_go_the_projects_own_way,
}

const START: Micros = Micros(1_700_000_000_000_000);

fn key(key: &str) -> ProjectKey {
    key.parse().unwrap()
}

fn customer(number: u8) -> CustomerId {
    format!("018bcfe5-6800-7000-8000-0000000000{number:02}").parse().unwrap()
}

/// Writes entries of this project, a second apart: the customer of each, and how long its call took, to know it by.
async fn written(store: &TestStore, project: &str, entries: &[(Option<CustomerId>, i64)]) {
    let (project, entries) = (key(project), entries.to_vec());
    for (customer, took_us) in entries {
        let ctx = Ctx::new(START.plus(took_us * Micros::SECOND), [u8::try_from(took_us).unwrap(); 32]);
        let project = project.clone();
        let work = move |tx: &mut dyn Tx, ctx: &mut Ctx| {
            let mut run = Run::new(Flow::Find, &Initiator::default(), &Source::default());
            let made = Made::done(Call::LookUpAtHome).took(took_us).ended(CallResult::Failed, "customer_not_found");
            append(tx, &project, &run.called(customer, made, ctx))
        };
        store.write(&ctx, work).await.unwrap();
    }
}

/// The entries that are asked for, by how long their calls took.
async fn found(store: &TestStore, asked: Asked, oldest: Micros, up_to: i64) -> Vec<(i64, i64)> {
    let entries = store.read(move |tx| read(tx, &key("demo"), &asked, oldest, up_to)).await.unwrap();
    let took = |entry: keyherald_core::activity::Recorded| {
        (entry.activity.facts.step.unwrap().took_us.unwrap(), entry.position)
    };
    entries.into_iter().map(took).collect()
}

async fn entries_are_read_in_order_a_page_at_a_time(store: &TestStore) {
    let (ada, eve) = (Some(customer(1)), Some(customer(2)));
    written(store, "demo", &[(ada, 1), (None, 2), (eve, 3)]).await;
    written(store, "other", &[(ada, 4)]).await;
    written(store, "demo", &[(ada, 5), (eve, 6)]).await;
    let all = Asked { customer: None, after: None, limit: 500 };
    let numbers = |found: &[(i64, i64)]| found.iter().map(|(took, _)| *took).collect::<Vec<_>>();
    let asked = async |asked| numbers(&found(store, asked, Micros(0), i64::MAX).await);
    assert_eq!(asked(all).await, [1, 2, 3, 5, 6]);
    assert_eq!(asked(Asked { limit: 2, ..all }).await, [5, 6], "without a position, the last ones");
    assert_eq!(asked(Asked { customer: ada, ..all }).await, [1, 5]);
    assert_eq!(asked(Asked { customer: ada, limit: 1, ..all }).await, [5]);
    // Page by page, none is left out and none comes twice.
    let (mut after, mut seen) = (0, Vec::new());
    loop {
        let page = found(store, Asked { after: Some(after), limit: 2, ..all }, Micros(0), i64::MAX).await;
        let Some((_, position)) = page.last() else { break };
        after = *position;
        seen.extend(numbers(&page));
    }
    assert_eq!(seen, [1, 2, 3, 5, 6]);
    let first = found(store, Asked { limit: 1, after: Some(0), ..all }, Micros(0), i64::MAX).await[0].1;
    assert_eq!(asked(Asked { customer: ada, after: Some(first), ..all }).await, [5]);
    // Neither what is past its time nor what is not final.
    let late = START.plus(3 * Micros::SECOND);
    assert_eq!(numbers(&found(store, all, late, i64::MAX).await), [3, 5, 6]);
    assert_eq!(numbers(&found(store, all, Micros(0), first).await), [1]);
    assert_eq!(numbers(&found(store, Asked { customer: ada, ..all }, late, i64::MAX).await), [5]);
}

async fn an_entry_that_is_written_again_is_the_same(store: &TestStore) {
    for _ in 0..2 {
        written(store, "demo", &[(None, 1)]).await;
    }
    let all = Asked { customer: None, after: None, limit: 500 };
    assert_eq!(found(store, all, Micros(0), i64::MAX).await.len(), 1);
}

async fn entries_without_a_customer_go_the_projects_own_way(store: &TestStore) {
    written(store, "demo", &[(None, 1), (Some(customer(1)), 2)]).await;
    // As earlier versions wrote them.
    let insert = "INSERT INTO log (project, kind, id, created_at, type, customer_id, partition, visible, has_personal, facts)
                  VALUES ('demo', 'activity', '018bcfe5-6800-7000-8000-000000000099', $1, 'Activity', NULL, 63, 0, 0, $2)";
    let insert = Sql::both("INSERT", insert);
    let facts = r#"{"flow":"sign_in","outcome":"credentials_wrong","by":{"client_id":"c"}}"#;
    let work = move |tx: &mut dyn Tx, _: &mut Ctx| tx.execute(&insert, &[START.into(), facts.into()]).map(drop);
    store.write(&Ctx::new(START, [0; 32]), work).await.unwrap();
    let all = Asked { customer: None, after: None, limit: 500 };
    let entries = store.read(move |tx| read(tx, &key("demo"), &all, Micros(0), i64::MAX)).await.unwrap();
    let customers: Vec<_> = entries.iter().map(|entry| entry.activity.customer).collect();
    assert_eq!(customers, [None, Some(customer(1)), None]);
    let lane = project_lane(&key("demo"));
    assert_eq!(
        entries.iter().map(keyherald_core::activity::Recorded::lane).collect::<Vec<_>>(),
        [lane, customer(1), lane]
    );
    // The lane is the row's, so that delivery and retention know it.
    let count = Sql::both("COUNT", "SELECT count(*) FROM log WHERE customer_id = $1");
    let on_lane = move |tx: &mut dyn Tx| query_one(tx, &count, &[lane.into()], |row| row.int(0));
    assert_eq!(store.read(on_lane).await.unwrap(), Some(1));
}
