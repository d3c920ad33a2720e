//! Changes in the log, and updates of the subscriptions that want them, on both engines.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

mod customers;

use customers::*;
use keyherald_core::credential::AuthenticationMode;
use keyherald_core::filter::Filter;
use keyherald_core::id::{CustomerId, ProjectKey, SubscriptionId};
use keyherald_core::initiator::Initiator;
use keyherald_core::message::partition;
use keyherald_core::notice::{Change, ChangeKind, Notice};
use keyherald_core::project::{Configured, MessagesSetting};
use keyherald_core::subscription::{
    self, Action as Edit, DestinationSettings, FormatKind, MessageSelection, Selections, Subscription,
    SubscriptionStatus, Update, Updated,
};
use keyherald_core::token::TokenKind;
use keyherald_core::update::{Action, TextField};
use keyherald_core::{Ctx, Micros, change, confirm_email};
use keyherald_store::delivery::{self, ParkedLane};
use keyherald_store::testing::TestStore;
use keyherald_store::tx::query_one;
use keyherald_store::{
    Fault, Listing, Sql, Store, Tx, customer, each_engine, log, project, subscription as subscriptions, token as tokens,
};

each_engine! {
    every_version_of_a_customer_has_its_change,
    what_nobody_wants_is_not_written,
    changes_take_no_sequence_number_and_no_query_shows_them,
    tokens_stores_and_subscriptions_change_too,
    the_names_in_a_change_are_erased,
    an_update_reads_back_and_is_held_by_its_version,
    a_new_destination_has_its_own_secret_and_releases_lanes,
    a_stale_update_is_a_fault,
    what_is_told_of_a_request_is_in_its_trace,
}

async fn subscribe_in(store: &Store, seed: u64, project: &ProjectKey, changes: &[&str]) -> Subscription {
    let selections = Selections {
        messages: vec![MessageSelection { resource_type: "customer".into(), types: vec![] }],
        changes: changes.iter().map(|name| (*name).to_owned()).collect(),
        ..Selections::default()
    };
    let command = subscription::Command {
        key: Some(format!("s-{seed}").parse().unwrap()),
        destination: DestinationSettings { kind: "Webhook".into(), settings: serde_json::Map::new() },
        selections,
        format: FormatKind::Platform,
        transformation: None,
        by: Initiator::default(),
    };
    let project = project.clone();
    let work = move |tx: &mut dyn Tx, ctx: &mut Ctx| {
        let made = subscription::decide(&command, (0, 1), false, ctx).unwrap();
        subscriptions::insert(tx, &ring(), &project, &made, Some(b"first"), ctx)?;
        Ok(made)
    };
    store.write(&ctx(seed), work).await.unwrap()
}

async fn subscribe(store: &Store, seed: u64, changes: &[&str]) -> Subscription {
    subscribe_in(store, seed, &demo(), changes).await
}

/// All changes in the log, in its order.
async fn changes(store: &Store) -> Vec<Change> {
    let look = |tx: &mut dyn Tx| log::after(tx, &ring(), (0, i64::MAX), 1000, NOW);
    let notices = store.read(look).await.unwrap().into_iter().map(|entry| entry.notice);
    notices
        .filter_map(|notice| match notice {
            Notice::Change(change) => Some(change),
            Notice::Message(_) | Notice::Activity(_) | Notice::Event(_) => None,
        })
        .collect()
}

async fn change_password(store: &Store, seed: u64, id: CustomerId) {
    let work = move |tx: &mut dyn Tx, ctx: &mut Ctx| {
        let locked = customer::lock(tx, &demo(), id)?.unwrap();
        let command = change::Command { version: locked.version, by: Initiator::default() };
        let set = change::decide(&locked, &command, true, Some(hash("bbbb")), ctx).unwrap();
        customer::set_password(tx, &ring(), &demo(), &set, ctx)
    };
    store.write(&ctx(seed), work).await.unwrap();
}

async fn confirm(store: &Store, seed: u64, id: CustomerId) {
    let current = store.read(move |tx| customer::by_id(tx, &demo(), id)).await.unwrap().unwrap();
    let token = token_of(store, seed, &current, TokenKind::Email).await;
    let digest = token.value.digest();
    let work = move |tx: &mut dyn Tx, ctx: &mut Ctx| {
        let locked = customer::lock(tx, &demo(), id)?.unwrap();
        let stored = tokens::by_digest(tx, &demo(), TokenKind::Email, digest)?.unwrap();
        let command = confirm_email::Command { version: None, by: Initiator::default() };
        let confirmed = confirm_email::decide(&stored, &locked, &command, ctx).ok().unwrap();
        customer::confirm_email(tx, &ring(), &demo(), &confirmed, ctx)
    };
    store.write(&ctx(seed + 1), work).await.unwrap();
}

async fn every_version_of_a_customer_has_its_change(store: &TestStore) {
    subscribe(store, 1, &["customer"]).await;
    open_shops(store, &["shop-a"]).await;
    let id = created(store, 2, "ada@example.com", &["shop-a"]).await.id;
    let external = Action::SetAuthenticationMode { mode: AuthenticationMode::ExternalAuth, with_password: false };
    let password = Action::SetAuthenticationMode { mode: AuthenticationMode::Password, with_password: true };
    let text = |field| Action::SetText(field, Some("en".into()));
    let mut version = 1_i64;
    // One by one: those without a message (commercetools.md 7.3), then several at once, then others.
    for actions in [
        vec![Action::SetKey(Some(key("c-1")))],
        vec![text(TextField::Locale)],
        vec![text(TextField::MiddleName)],
        vec![text(TextField::Salutation)],
        vec![text(TextField::VatId)],
        vec![external],
        vec![password],
        vec![Action::SetCustomerNumber(Some("77".into()))],
        vec![Action::RemoveStore(by_key("shop-a"))],
        vec![Action::AddStore(by_key("shop-a"))],
        vec![text(TextField::FirstName), text(TextField::LastName), text(TextField::Title)],
    ] {
        version += 1;
        assert_eq!(update(store, &ctx(10 + version.unsigned_abs()), id, actions).await.unwrap().version, version);
    }
    change_password(store, 50, id).await;
    confirm(store, 51, id).await;
    delete(store, &ctx_at(NOW.plus(1000), 53), id, false).await;

    let told = changes(store).await;
    let kinds: Vec<_> = told.iter().map(|change| (change.facts.kind, change.version)).collect();
    let updated = (2..=14).map(|version| (ChangeKind::Updated { old_version: version - 1 }, version));
    let expected: Vec<_> = std::iter::once((ChangeKind::Created, 1))
        .chain(updated)
        .chain([(ChangeKind::Deleted { data_erasure: false }, 14)])
        .collect();
    assert_eq!(kinds, expected);
    assert!(told.iter().all(|change| (change.lane, change.resource_id) == (id, id.uuid())));
    assert_eq!(told[0].identifiers.key, None);
    assert!(told[1..].iter().all(|change| change.identifiers.key.as_deref() == Some("c-1")));
    assert_eq!(told.last().unwrap().at, NOW.plus(1000));
    // Nothing changed: no version, no change.
    assert_eq!(changes(store).await.len(), 15);
}

async fn what_nobody_wants_is_not_written(store: &TestStore) {
    let other: ProjectKey = "other".parse().unwrap();
    subscribe(store, 1, &[]).await;
    subscribe(store, 2, &["customer-group", "customer-password-token", "store"]).await;
    subscribe_in(store, 3, &other, &["customer"]).await;
    let ada = created(store, 4, "ada@example.com", &[]).await;
    token_of(store, 5, &ada, TokenKind::Email).await;
    assert_eq!(changes(store).await, []);
    // From now on somebody does.
    let wanting = subscribe(store, 6, &["order", "customer"]).await;
    change_password(store, 7, ada.id).await;
    assert_eq!(changes(store).await.len(), 1);
    let gone = wanting.clone();
    store.write(&ctx(8), move |tx, ctx| subscriptions::delete(tx, &demo(), &gone, ctx)).await.unwrap();
    change_password(store, 9, ada.id).await;
    assert_eq!(changes(store).await.len(), 1);
}

async fn changes_take_no_sequence_number_and_no_query_shows_them(store: &TestStore) {
    let messages_setting = Some(MessagesSetting { enabled: true, days: 90 });
    let configured = Configured { messages: messages_setting, ..Configured::default() };
    store.write(&ctx(0), move |tx, ctx| project::ensure(tx, &demo(), &configured, ctx)).await.unwrap();
    subscribe(store, 1, &["customer", "customer-email-token"]).await;
    let id = created(store, 2, "ada@example.com", &[]).await.id;
    update(store, &ctx(3), id, vec![Action::SetKey(Some(key("c-1")))]).await.unwrap();
    change_password(store, 4, id).await;
    confirm(store, 5, id).await;
    let told = messages(store, NOW).await;
    let of_customer: Vec<i64> =
        told.iter().filter(|message| message.resource_id == id.uuid()).map(|message| message.sequence).collect();
    assert_eq!(of_customer, [1, 2, 3]);
    let everything = Listing { filter: Filter::All, sort: Vec::new(), limit: 500, offset: 0, with_total: true };
    let look = move |tx: &mut dyn Tx| log::shown(tx, &ring(), &demo(), Micros(0), &everything, NOW);
    let page = store.read(look).await.unwrap();
    assert_eq!((page.results.len(), page.total), (told.len(), Some(4)));
    for change in changes(store).await {
        let look = move |tx: &mut dyn Tx| {
            let hidden = log::shown_by_id(tx, &ring(), &demo(), Micros(0), change.id, NOW)?;
            Ok((hidden.is_none(), log::by_id(tx, &ring(), &demo(), change.id, NOW)?.is_none()))
        };
        assert_eq!(store.read(look).await.unwrap(), (true, true));
    }
}

async fn tokens_stores_and_subscriptions_change_too(store: &TestStore) {
    let types = ["customer-password-token", "customer-email-token", "store", "subscription"];
    let wanting = subscribe(store, 1, &types).await;
    let ada = created(store, 2, "ada@example.com", &[]).await;
    let password = token_of(store, 3, &ada, TokenKind::Password).await.token.id;
    let email = token_of(store, 4, &ada, TokenKind::Email).await.token.id;
    open_shops(store, &["shop-a"]).await;
    let edited = edit(store, wanting.id, vec![Edit::SetKey(None)]).await.subscription;
    let last = edited.clone();
    let also = subscribe(store, 6, &["subscription"]).await; // or nobody would hear of the end of the first
    store.write(&ctx(7), move |tx, ctx| subscriptions::delete(tx, &demo(), &last, ctx)).await.unwrap();

    let told = changes(store).await;
    let shown: Vec<_> = told
        .iter()
        .map(|change| (change.facts.resource_type.as_str(), change.facts.kind, change.identifiers.key.as_deref()))
        .collect();
    let deleted = ChangeKind::Deleted { data_erasure: false };
    assert_eq!(
        shown,
        [
            ("subscription", ChangeKind::Created, Some("s-1")),
            ("customer-password-token", ChangeKind::Created, None),
            ("customer-email-token", ChangeKind::Created, None),
            ("store", ChangeKind::Created, Some("shop-a")),
            ("subscription", ChangeKind::Updated { old_version: 1 }, None),
            ("subscription", ChangeKind::Created, Some("s-6")),
            ("subscription", deleted, None),
        ]
    );
    let resources = [wanting.id.uuid(), password.uuid(), email.uuid()];
    assert_eq!(told[..3].iter().map(|change| change.resource_id).collect::<Vec<_>>(), resources);
    assert_eq!(told[1].lane, ada.id, "a token travels with its customer");
    // Its own creation lies below its cursors.
    let cursors = store.read(move |tx| delivery::cursors(tx, also.id)).await.unwrap();
    assert!(cursors.iter().all(|(_, position)| *position >= told[5].position));
}

async fn the_names_in_a_change_are_erased(store: &TestStore) {
    subscribe(store, 1, &["customer"]).await;
    let id = created(store, 2, "ada@example.com", &[]).await.id;
    update(store, &ctx(3), id, vec![Action::SetExternalId(Some("crm-77".into()))]).await.unwrap();
    assert_eq!(changes(store).await[1].identifiers.external_id.as_deref(), Some("crm-77"));
    let facts = Sql::both("facts", "SELECT count(*) FROM log WHERE facts LIKE '%crm-77%'");
    let count = store.read(move |tx| query_one(tx, &facts, &[], |row| row.int(0))).await.unwrap();
    assert_eq!(count, Some(0));
    delete(store, &ctx(4), id, true).await;
    let told = changes(store).await;
    assert_eq!(told.len(), 3, "the fact itself is still told");
    assert!(told.iter().all(|change| change.identifiers.is_empty()));
    assert_eq!(told[2].facts.kind, ChangeKind::Deleted { data_erasure: true });
    let side = Sql::both("side", "SELECT count(*) FROM log_personal");
    assert_eq!(store.read(move |tx| query_one(tx, &side, &[], |row| row.int(0))).await.unwrap(), Some(0));
}

/// Updates a subscription from whatever version it has; a new secret is `second`.
async fn edit(store: &Store, id: SubscriptionId, actions: Vec<Edit>) -> Updated {
    let work = move |tx: &mut dyn Tx, ctx: &mut Ctx| {
        assert!(subscriptions::claim(tx, &demo(), id)?);
        let before = subscriptions::by_id(tx, &demo(), id)?.unwrap();
        let update = Update { version: before.version, actions: actions.clone(), by: Initiator::default() };
        let updated = subscription::update(&before, &update, false, ctx).unwrap();
        subscriptions::update(tx, &ring(), &demo(), &updated, Some(b"second"), ctx)?;
        Ok(updated)
    };
    store.write(&ctx_at(NOW.plus(2000), 900), work).await.unwrap()
}

/// The subscription as the relay sees it, with its secret.
async fn stored(store: &Store) -> (Subscription, Vec<u8>) {
    let all = store.read(|tx| subscriptions::all(tx, &ring())).await.unwrap();
    let [one] = &all[..] else { panic!("one subscription") };
    (one.subscription.clone(), one.secret.as_ref().unwrap().to_vec())
}

async fn an_update_reads_back_and_is_held_by_its_version(store: &TestStore) {
    let before = subscribe(store, 1, &["customer"]).await;
    assert_eq!(stored(store).await.0, before);
    let events =
        vec![MessageSelection { resource_type: "checkout".into(), types: vec!["CheckoutPaymentAuthorized".into()] }];
    let actions = vec![
        Edit::SetKey(Some(key("s-2"))),
        Edit::SetMessages(Vec::new()),
        Edit::SetChanges(vec!["store".into(), "customer".into()]),
        Edit::SetEvents(events),
    ];
    let after = edit(store, before.id, actions).await.subscription;
    assert_eq!((after.version, after.last_modified_at), (2, NOW.plus(2000)));
    assert_eq!(stored(store).await, (after.clone(), b"first".to_vec()), "the secret stays");
    let id = before.id;
    let held = store
        .write(&ctx(2), move |tx, _| subscriptions::hold(tx, &demo(), id))
        .await
        .unwrap()
        .map(|(version, _)| version);
    assert_eq!(held, Some(2));
    // The status of a version that is no more is not taken on.
    let temporary = SubscriptionStatus::TemporaryError;
    store.write(&ctx(3), move |tx, _| subscriptions::set_status(tx, id, 1, temporary)).await.unwrap();
    assert_eq!(stored(store).await.0.status, SubscriptionStatus::Healthy);
    store.write(&ctx(4), move |tx, _| subscriptions::set_status(tx, id, 2, temporary)).await.unwrap();
    assert_eq!(stored(store).await.0.status, temporary);
    // Nothing changed: nothing is written.
    assert!(!edit(store, id, vec![Edit::SetKey(Some(key("s-2")))]).await.changed);
    assert_eq!(stored(store).await.0.version, 2);
}

async fn a_new_destination_has_its_own_secret_and_releases_lanes(store: &TestStore) {
    let before = subscribe(store, 1, &[]).await;
    let (id, lanes) = (
        before.id,
        [(CustomerId::new(&mut ctx(2)), Some(NOW.plus(Micros::DAY))), (CustomerId::new(&mut ctx(3)), None)],
    );
    let park = move |tx: &mut dyn Tx, _: &mut Ctx| {
        for (customer, next_at) in lanes {
            let lane = ParkedLane {
                customer,
                partition: partition(customer),
                from_position: 1,
                failed_attempts: 9,
                next_at,
                last_error: "answered 500".into(),
                parked_at: NOW,
            };
            delivery::park(tx, id, &lane)?;
        }
        subscriptions::set_status(tx, id, 1, SubscriptionStatus::ConfigurationErrorDeliveryStopped)
    };
    store.write(&ctx(4), park).await.unwrap();
    let settings = serde_json::Map::from_iter([("url".to_owned(), "https://new.example".into())]);
    let destination = DestinationSettings { kind: "Webhook".into(), settings };
    edit(store, id, vec![Edit::ChangeDestination(destination.clone())]).await;
    let (after, secret) = stored(store).await;
    assert_eq!((after.destination, after.status), (destination, SubscriptionStatus::Healthy));
    assert_eq!(secret, b"second");
    let parked = store.read(move |tx| delivery::parked(tx, id)).await.unwrap();
    assert_eq!(parked.len(), 2);
    assert!(parked.iter().all(|lane| (lane.next_at, lane.failed_attempts) == (Some(NOW.plus(2000)), 0)));
}

async fn a_stale_update_is_a_fault(store: &TestStore) {
    let before = subscribe(store, 1, &["subscription"]).await;
    let updated = edit(store, before.id, vec![Edit::SetKey(None)]).await;
    // The same decisions again, as if no claim had been taken.
    let again = move |tx: &mut dyn Tx, ctx: &mut Ctx| -> Result<(), Fault> {
        subscriptions::update(tx, &ring(), &demo(), &updated, None, ctx)
    };
    assert!(store.write(&ctx(5), again).await.is_err());
    assert!(store.write(&ctx(6), move |tx, ctx| subscriptions::delete(tx, &demo(), &before, ctx)).await.is_err());
    assert_eq!(stored(store).await.0.version, 2);
}

async fn what_is_told_of_a_request_is_in_its_trace(store: &TestStore) {
    static SPOIL: Sql = Sql::both("SPOIL", "UPDATE log SET trace = 'nonsense' WHERE kind = 'message'");
    subscribe(store, 1, &["customer"]).await;
    let id = created(store, 2, "ada@example.com", &[]).await.id;
    let state = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01 rojo=1";
    let traced = ctx(3).traced(state.parse().ok());
    update(store, &traced, id, vec![Action::SetText(TextField::Title, Some("Dr.".into()))]).await.unwrap();
    let look = |tx: &mut dyn Tx| log::after(tx, &ring(), (0, i64::MAX), 1000, NOW);
    let told: Vec<(&str, Option<String>)> = store
        .read(look)
        .await
        .unwrap()
        .iter()
        .map(|entry| {
            let kind = if entry.message().is_some() { "message" } else { "change" };
            (kind, entry.notice.trace().map(ToString::to_string))
        })
        .collect();
    let within = Some(state.to_owned());
    let expected = [("message", None), ("change", None), ("change", within.clone()), ("message", within)];
    assert_eq!(told, expected, "those of the request, and none of before");
    // A row that nobody can read is told all the same.
    store.write(&ctx(4), |tx, _| tx.execute(&SPOIL, &[])).await.unwrap();
    let spoiled = store.read(look).await.unwrap();
    assert!(spoiled.iter().filter(|entry| entry.message().is_some()).all(|entry| entry.notice.trace().is_none()));
    assert_eq!(spoiled.len(), 4);
}
