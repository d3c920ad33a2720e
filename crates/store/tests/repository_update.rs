//! Updates, e-mail verification, stores, claims and projects, on both engines.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod customers;

use std::collections::{BTreeMap, BTreeSet};

use customers::*;
use keyherald_core::client::{ApiClient, Scopes};
use keyherald_core::credential::AuthenticationMode;
use keyherald_core::customer::{Address, AddressRole, Customer, fold_email};
use keyherald_core::id::{CustomerId, Reference};
use keyherald_core::initiator::Initiator;
use keyherald_core::message::{Content, Message};
use keyherald_core::project::{self, Configured, LanguageTag, MessagesSetting};
use keyherald_core::refusal::{UniqueField, Versioned};
use keyherald_core::secret::TokenDigest;
use keyherald_core::session::{Owner, SessionKind, issue};
use keyherald_core::token::{Token, TokenKind};
use keyherald_core::update::{Action, TextField};
use keyherald_core::{Ctx, Micros, Refusal, confirm_email, shop};
use keyherald_store::migrate::{MIGRATIONS, apply};
use keyherald_store::testing::{TestStore, block_on, options};
use keyherald_store::tx::query_all;
use keyherald_store::{
    Fault, FaultKind, Sql, Store, Tx, credential, customer, each_engine, project as projects, session, shop as shops,
    token as tokens,
};
use tokio::task::JoinSet;

each_engine! {
    an_update_reads_back_and_leaves_its_messages_in_order,
    an_update_that_changes_nothing_writes_nothing,
    as_many_messages_as_actions,
    another_mode_ends_what_the_password_gave,
    another_address_ends_the_tokens_of_the_old_one,
    an_email_token_is_its_own_kind_and_used_once,
    an_address_is_taken_by_stores,
    an_address_is_free_when_its_customer_moves_or_goes,
    somebody_is_near_every_address,
    a_customer_is_found_where_it_belongs,
    keys_and_numbers_are_taken_by_others_only,
    one_address_stays_one_whoever_wants_it_at_once,
    two_addresses_wanted_crosswise_do_not_block,
    what_was_not_claimed_is_not_written,
    stores_have_one_key_each,
    a_project_changes_by_its_version,
    a_configured_project_keeps_what_callers_have_set,
}

async fn stored(store: &Store, id: CustomerId) -> Customer {
    store.read(move |tx| customer::by_id(tx, &demo(), id)).await.unwrap().unwrap()
}

fn text(field: TextField, value: &str) -> Action {
    Action::SetText(field, Some(value.into()))
}

async fn an_update_reads_back_and_leaves_its_messages_in_order(store: &TestStore) {
    open_shops(store, &["shop-a"]).await;
    let id = created(store, 1, "ada@example.com", &[]).await.id;
    let fields = BTreeMap::from([("key".to_owned(), "home".to_owned())]);
    let home = Address { id: String::new(), country: "DE".into(), fields };
    let actions = vec![
        Action::AddAddress(home),
        Action::SetDefaultAddress(AddressRole::Shipping, Some(by_key("home"))),
        Action::ChangeEmail("Ada@New.example".into()),
        text(TextField::FirstName, "Ada"),
        text(TextField::LastName, "Lovelace"),
        text(TextField::Locale, "en"),
        Action::SetKey(Some(key("c-1"))),
        Action::SetExternalId(Some("crm-1".into())),
        Action::SetCustomerNumber(Some("77".into())),
        Action::SetStores(vec![by_key("shop-a")]),
    ];
    let updated = update(store, &ctx(2), id, actions).await.unwrap();
    assert_eq!(stored(store, id).await, updated);
    let columns = Sql::both("columns", "SELECT email_folded, first_name, last_name FROM customer");
    let row = |row: &dyn keyherald_store::Row| Ok([row.text(0)?, row.text(1)?, row.text(2)?]);
    let rows = store.read(move |tx| query_all(tx, &columns, &[], row)).await.unwrap();
    assert_eq!(rows, [["ada@new.example", "Ada", "Lovelace"]]);

    let log = messages(store, NOW).await;
    let types: Vec<_> = log.iter().map(|entry| entry.facts.content.type_name()).collect();
    assert_eq!(
        types,
        [
            "CustomerCreated",
            "CustomerAddressAdded",
            "CustomerDefaultShippingAddressSet",
            "CustomerEmailChanged",
            "CustomerFirstNameSet",
            "CustomerLastNameSet",
            "CustomerExternalIdSet",
            "CustomerStoresSet"
        ]
    );
    for (sequence, entry) in (1..).zip(&log) {
        assert_eq!(entry.sequence, sequence);
        assert_eq!(entry.resource_version, if sequence == 1 { 1 } else { 2 });
    }
    let personal = log[3].personal.as_ref().unwrap();
    assert_eq!(personal.old_email.as_deref(), Some("ada@example.com"));
    assert_eq!(personal.identifiers, updated.identifiers());
    assert_eq!(log[7].personal.as_ref().unwrap().stores, Some(vec![key("shop-a")]));
}

async fn an_update_that_changes_nothing_writes_nothing(store: &TestStore) {
    let before = created(store, 1, "ada@example.com", &[]).await;
    let same = vec![Action::ChangeEmail("ada@example.com".into()), Action::SetKey(None)];
    assert_eq!(update(store, &ctx(2), before.id, same).await.unwrap(), before);
    // All or nothing: the first action alone would have changed something.
    let gone = Action::RemoveAddress(Reference::Id("nowhere".into()));
    let refused = update(store, &ctx(3), before.id, vec![text(TextField::Title, "Dr."), gone]).await;
    assert!(matches!(refused, Err(Refusal::AddressNotFound(_))));
    assert_eq!(stored(store, before.id).await, before);
    assert_eq!(messages(store, NOW).await.len(), 1);
}

async fn as_many_messages_as_actions(store: &TestStore) {
    let id = created(store, 1, "ada@example.com", &[]).await.id;
    let names = (0..500).map(|n| text(TextField::FirstName, &n.to_string())).collect();
    let updated = update(store, &ctx(2), id, names).await.unwrap();
    assert_eq!((updated.version, updated.last_sequence), (2, 501));
    let log = messages(store, NOW).await;
    let values: Vec<_> = log.iter().skip(1).map(|entry| entry.personal.clone().unwrap().value).collect();
    assert_eq!(values, (0..500).map(|n| Some(n.to_string())).collect::<Vec<_>>());
}

/// A refresh token of the customer.
async fn signed_in(store: &Store, seed: u64, id: CustomerId) -> TokenDigest {
    let client = ApiClient {
        project: demo(),
        id: "c".into(),
        name: String::new(),
        secret: TokenDigest::of("s"),
        scopes: Scopes::default(),
        access_token_s: 3600,
        refresh_token_s: 3600,
        created_at: NOW,
        revoked_at: None,
    };
    let make = move |tx: &mut dyn Tx, ctx: &mut Ctx| {
        let issued = issue(&client, Scopes::default(), Owner::Customer(id), true, ctx);
        session::insert(tx, &issued)?;
        Ok(issued.refresh.unwrap().0.digest())
    };
    store.write(&ctx(seed), make).await.unwrap()
}

async fn token_with(store: &Store, kind: TokenKind, digest: TokenDigest) -> Token {
    store.read(move |tx| tokens::by_digest(tx, &demo(), kind, digest)).await.unwrap().unwrap()
}

async fn another_mode_ends_what_the_password_gave(store: &TestStore) {
    let customer = created(store, 1, "ada@example.com", &[]).await;
    let id = customer.id;
    for (seed, mode, tail) in
        [(10, AuthenticationMode::ExternalAuth, None), (20, AuthenticationMode::Password, Some("uuuu"))]
    {
        let session = signed_in(store, seed, id).await;
        let reset = token_of(store, seed + 1, &customer, TokenKind::Password).await.value.digest();
        let verify = token_of(store, seed + 2, &customer, TokenKind::Email).await.value.digest();
        let action = Action::SetAuthenticationMode { mode, with_password: true };
        let updated = update(store, &ctx(seed + 3), id, vec![action]).await.unwrap();
        assert_eq!((updated.authentication_mode, updated.password_tail.as_deref()), (mode, tail));
        let look = move |tx: &mut dyn Tx| {
            let session = session::by_digest(tx, SessionKind::Refresh, session, NOW)?;
            Ok((session, credential::by_customer(tx, &demo(), id)?))
        };
        let (session, hash) = store.read(look).await.unwrap();
        assert_eq!(session, None);
        assert_eq!(hash.map(|hash| hash.tail()).as_deref(), tail);
        assert!(!token_with(store, TokenKind::Password, reset).await.valid);
        assert!(token_with(store, TokenKind::Email, verify).await.valid);
    }
}

async fn another_address_ends_the_tokens_of_the_old_one(store: &TestStore) {
    let customer = created(store, 1, "ada@example.com", &[]).await;
    let reset = token_of(store, 2, &customer, TokenKind::Password).await.value.digest();
    let verify = token_of(store, 3, &customer, TokenKind::Email).await.value.digest();
    update(store, &ctx(4), customer.id, vec![text(TextField::Title, "Dr.")]).await.unwrap();
    assert!(token_with(store, TokenKind::Email, verify).await.valid);
    update(store, &ctx(5), customer.id, vec![Action::ChangeEmail("new@example.com".into())]).await.unwrap();
    assert!(!token_with(store, TokenKind::Password, reset).await.valid);
    assert!(!token_with(store, TokenKind::Email, verify).await.valid);
    assert!(messages(store, NOW).await.iter().all(|entry| entry.secret.is_none()));
}

async fn confirm(store: &Store, seed: u64, id: CustomerId, digest: TokenDigest) -> Result<Customer, Refusal> {
    let redeem = move |tx: &mut dyn Tx, ctx: &mut Ctx| -> Result<Result<Customer, Refusal>, Fault> {
        let locked = customer::lock(tx, &demo(), id)?.unwrap();
        let Some(token) = tokens::by_digest(tx, &demo(), TokenKind::Email, digest)? else {
            return Ok(Err(Refusal::TokenUnknown));
        };
        let command = confirm_email::Command { version: None, by: Initiator::default() };
        match confirm_email::decide(&token, &locked, &command, ctx) {
            Ok(confirmed) => {
                customer::confirm_email(tx, &ring(), &demo(), &confirmed, ctx)?;
                Ok(Ok(confirmed.customer))
            }
            Err(refusal) => Ok(Err(refusal)),
        }
    };
    store.write(&ctx(seed), redeem).await.unwrap()
}

async fn an_email_token_is_its_own_kind_and_used_once(store: &TestStore) {
    let customer = created(store, 1, "ada@example.com", &[]).await;
    let reset = token_of(store, 2, &customer, TokenKind::Password).await.value.digest();
    let older = token_of(store, 3, &customer, TokenKind::Email).await.value.digest();
    let verify = token_of(store, 4, &customer, TokenKind::Email).await.value.digest();
    assert_eq!(confirm(store, 5, customer.id, reset).await, Err(Refusal::TokenUnknown));
    let as_reset = move |tx: &mut dyn Tx| tokens::by_digest(tx, &demo(), TokenKind::Password, verify);
    assert_eq!(store.read(as_reset).await.unwrap(), None);

    let shown = |log: &[Message]| log.iter().map(|entry| entry.secret.is_some()).collect::<Vec<_>>();
    assert_eq!(shown(&messages(store, NOW).await), [false, true, true, true]);
    let (one, two) = tokio::join!(confirm(store, 6, customer.id, verify), confirm(store, 7, customer.id, verify));
    let mut outcomes = [one, two];
    outcomes.sort_by_key(Result::is_err);
    assert_eq!(outcomes[1], Err(Refusal::TokenUnknown));
    let confirmed = outcomes[0].clone().unwrap();
    assert!(confirmed.is_email_verified && confirmed.version == 2);
    assert_eq!(stored(store, customer.id).await, confirmed);
    assert!(!token_with(store, TokenKind::Email, older).await.valid);
    assert!(token_with(store, TokenKind::Password, reset).await.valid);
    let log = messages(store, NOW).await;
    assert_eq!(shown(&log), [false, true, false, false, false]);
    assert_eq!(log[4].facts.content, Content::CustomerEmailVerified);
    assert_eq!((log[4].sequence, log[4].resource_version), (2, 2));
}

const TAKEN: Refusal = Refusal::Duplicate(UniqueField::Email);

async fn an_address_is_taken_by_stores(store: &TestStore) {
    open_shops(store, &["shop-a", "shop-b", "shop-c"]).await;
    let mut seed = 100;
    // Who is there first, who comes second, and whether there is room for both.
    for (first, second, fits) in [
        (&[][..], &[][..], false),
        (&["shop-a"], &["shop-a"], false),
        (&["shop-a"], &["shop-b"], true),
        (&["shop-a", "shop-b"], &["shop-c", "shop-b"], false),
        (&[], &["shop-a"], false),
        (&["shop-a"], &[], false),
    ] {
        seed += 10;
        let (typed, other) = (format!("Ada{seed}@example.com"), format!("aDA{seed}@EXAMPLE.com"));
        created(store, seed, &typed, first).await;
        let expected = if fits { Ok(()) } else { Err(TAKEN) };
        let direct = create(store, &ctx(seed + 1), draft(&other, second)).await.map(drop);
        assert_eq!(direct, expected, "create {first:?} {second:?}");

        // The same by changes of the address, and of the stores.
        let mover = created(store, seed + 2, &format!("mover{seed}@example.com"), second).await;
        let to_address = vec![Action::ChangeEmail(other.clone())];
        let moved = update(store, &ctx(seed + 3), mover.id, to_address).await.map(drop);
        // Where there was room, the customer that was just created has it now.
        assert_eq!(moved, Err(TAKEN), "move {first:?} {second:?}");
    }
    let ada = created(store, 1, "x@example.com", &["shop-a"]).await;
    created(store, 2, "X@example.com", &["shop-b"]).await;
    for actions in [
        vec![Action::AddStore(by_key("shop-b"))],
        vec![Action::SetStores(vec![])],
        vec![Action::RemoveStore(by_key("shop-a"))],
        vec![Action::SetStores(vec![by_key("shop-c"), by_key("shop-b")])],
    ] {
        assert_eq!(update(store, &ctx(3), ada.id, actions).await, Err(TAKEN));
    }
    assert_eq!(stored(store, ada.id).await, ada);
    update(store, &ctx(4), ada.id, vec![Action::AddStore(by_key("shop-c"))]).await.unwrap();
    let last = create(store, &ctx(5), draft("x@EXAMPLE.com", &["shop-c"])).await;
    assert_eq!(last, Err(TAKEN));
}

async fn an_address_is_free_when_its_customer_moves_or_goes(store: &TestStore) {
    open_shops(store, &["shop-a", "shop-b"]).await;
    let ada = created(store, 1, "a@x", &["shop-a"]).await;
    update(store, &ctx(2), ada.id, vec![Action::SetStores(vec![by_key("shop-b")])]).await.unwrap();
    let second = created(store, 3, "a@x", &["shop-a"]).await;
    update(store, &ctx(4), ada.id, vec![Action::ChangeEmail("b@x".into())]).await.unwrap();
    let third = created(store, 5, "a@x", &["shop-b"]).await;
    assert_eq!(create(store, &ctx(6), draft("a@x", &[])).await, Err(TAKEN));
    for (seed, customer, erase) in [(7, second, false), (8, third, true)] {
        delete(store, &ctx(seed), customer.id, erase).await;
    }
    created(store, 9, "a@x", &[]).await;
    // Its own address is not another's: letter case and stores can change.
    let own = vec![Action::ChangeEmail("B@X".into()), Action::SetStores(vec![])];
    assert_eq!(update(store, &ctx(10), ada.id, own).await.unwrap().email, "B@X");
    let claims = Sql::both("claims", "SELECT email_folded, store FROM customer_email ORDER BY 1, 2");
    let rows = store.read(move |tx| query_all(tx, &claims, &[], |row| Ok((row.text(0)?, row.text(1)?)))).await.unwrap();
    assert_eq!(rows, [("a@x".into(), String::new()), ("b@x".into(), String::new())]);
}

async fn somebody_is_near_every_address(store: &TestStore) {
    open_shops(store, &["shop-a", "shop-b"]).await;
    let near = async |shop: Option<&'static str>, email: &'static str| {
        let look = move |tx: &mut dyn Tx| customer::near_email(tx, &demo(), shop.map(key).as_ref(), email);
        store.read(look).await.unwrap().map(|near| near.email)
    };
    assert_eq!(near(None, "m@x").await, None, "nobody is there");
    for (seed, email, stores) in
        [(1, "D@x", &[][..]), (2, "m@x", &["shop-a"]), (3, "m@x", &["shop-b"]), (4, "s@x", &[])]
    {
        created(store, seed, email, stores).await;
    }
    for (shop, asked, expected) in [
        (None, "d@X", "D@x"),
        (None, "a@x", "D@x"),
        (None, "e@x", "m@x"),
        (Some("shop-b"), "m@x", "m@x"),
        (Some("shop-c"), "m@x", "s@x"),
        (None, "n@x", "s@x"),
        (None, "t@x", "s@x"),
    ] {
        assert_eq!(near(shop, asked).await.as_deref(), Some(expected), "{asked}");
    }
}

async fn a_customer_is_found_where_it_belongs(store: &TestStore) {
    open_shops(store, &["shop-a", "shop-b"]).await;
    let global = created(store, 1, "global@x", &[]).await;
    let local = created(store, 2, "local@x", &["shop-a"]).await;
    let found = store
        .read(|tx| {
            let mut found = Vec::new();
            for email in ["GLOBAL@x", "LOCAL@x"] {
                found.push(customer::by_email(tx, &demo(), email)?.map(|customer| customer.id));
                for shop in ["shop-a", "shop-b"] {
                    let customer = customer::by_email_in_store(tx, &demo(), &key(shop), email)?;
                    found.push(customer.map(|customer| customer.id));
                }
            }
            Ok(found)
        })
        .await
        .unwrap();
    assert_eq!(found, [Some(global.id), None, None, None, Some(local.id), None]);
    assert!(local.is_in_store(&key("shop-a")) && !local.is_in_store(&key("shop-b")) && global.is_global());
}

async fn keys_and_numbers_are_taken_by_others_only(store: &TestStore) {
    let ada = created(store, 1, "a@x", &[]).await;
    let bob = created(store, 2, "b@x", &[]).await;
    let names = || vec![Action::SetKey(Some(key("k-1"))), Action::SetCustomerNumber(Some("7".into()))];
    update(store, &ctx(3), ada.id, names()).await.unwrap();
    for (action, field) in names().into_iter().zip([UniqueField::Key, UniqueField::CustomerNumber]) {
        assert_eq!(update(store, &ctx(4), bob.id, vec![action]).await, Err(Refusal::Duplicate(field)));
    }
    let again = vec![Action::SetKey(Some(key("k-1"))), Action::SetExternalId(Some("e".into()))];
    assert_eq!(update(store, &ctx(5), ada.id, again).await.unwrap().version, 3);
    let own = vec![Action::SetKey(Some(key("k-2")))];
    update(store, &ctx(6), ada.id, own).await.unwrap();
    update(store, &ctx(7), bob.id, vec![Action::SetKey(Some(key("k-1")))]).await.unwrap();
}

/// No two of them may have one address: see commercetools.md 2.4.
fn conflict(one: &Customer, other: &Customer) -> bool {
    one.is_global() || other.is_global() || one.stores.iter().any(|store| other.is_in_store(store))
}

async fn one_address_stays_one_whoever_wants_it_at_once(store: &TestStore) {
    const STORES: [&[&str]; 5] = [&[], &["shop-a"], &["shop-b"], &["shop-b", "shop-c"], &["shop-c"]];
    open_shops(store, &["shop-a", "shop-b", "shop-c"]).await;
    for round in 0..12_u64 {
        let email = format!("Wanted{round}@example.com");
        let mut works: JoinSet<Result<Customer, Refusal>> = JoinSet::new();
        for (place, stores) in (0..).zip(STORES.iter().cycle().take(10)) {
            let seed = 1000 * (round + 1) + 10 * place;
            let (store, email) = (Store::clone(store), email.clone());
            if place % 2 == 0 {
                works.spawn(async move { create(&store, &ctx(seed), draft(&email.to_uppercase(), stores)).await });
                continue;
            }
            // One that has another address comes to have this one, by its address or by its stores.
            let mover = created(&store, seed, &format!("mover{seed}@example.com"), stores).await.id;
            let to = STORES[usize::try_from((round + place) % 5).unwrap()].iter().map(|store| by_key(store)).collect();
            works.spawn(async move {
                update(&store, &ctx(seed + 1), mover, vec![Action::ChangeEmail(email)]).await?;
                update(&store, &ctx(seed + 2), mover, vec![Action::SetStores(to)]).await
            });
        }
        let outcomes = works.join_all().await;
        assert!(outcomes.iter().all(|outcome| outcome.as_ref().err().is_none_or(|refusal| *refusal == TAKEN)));
        let folded = fold_email(&email);
        let ids = Sql::both("ids", "SELECT id FROM customer WHERE email_folded = $1");
        let owners = store
            .read(move |tx| {
                let ids = query_all(tx, &ids, &[folded.as_str().into()], |row| row.parsed(0))?;
                ids.into_iter()
                    .map(|id| Ok(customer::by_id(tx, &demo(), id)?.unwrap()))
                    .collect::<Result<Vec<_>, Fault>>()
            })
            .await
            .unwrap();
        assert!(!owners.is_empty());
        for (place, one) in owners.iter().enumerate() {
            for other in &owners[..place] {
                assert!(!conflict(one, other), "round {round}: {:?} and {:?}", one.stores, other.stores);
            }
        }
    }
}

async fn two_addresses_wanted_crosswise_do_not_block(store: &TestStore) {
    let a = created(store, 1, "one@x", &[]).await.id;
    let b = created(store, 2, "two@x", &[]).await.id;
    for seed in 0..8 {
        let (first, second) = (ctx(100 + 2 * seed), ctx(101 + 2 * seed));
        let (to_two, to_one) = tokio::join!(
            update(store, &first, a, vec![Action::ChangeEmail("two@x".into())]),
            update(store, &second, b, vec![Action::ChangeEmail("one@x".into())]),
        );
        assert_eq!((to_two.err(), to_one.err()), (Some(TAKEN), Some(TAKEN)));
    }
}

async fn what_was_not_claimed_is_not_written(store: &TestStore) {
    open_shops(store, &["shop-a"]).await;
    created(store, 1, "a@x", &["shop-a"]).await;
    for stores in [&[][..], &["shop-a"]] {
        let draft = draft("A@x", stores);
        let careless = move |tx: &mut dyn Tx, ctx: &mut Ctx| {
            let known = shops::known(tx, &demo(), &draft.stores)?;
            let mut created = keyherald_core::create::decide(&draft, &known, None, None, ctx).ok().unwrap();
            customer::create(tx, &ring(), &demo(), &mut created, ctx)
        };
        let fault = store.write(&ctx(2), careless).await.unwrap_err();
        assert_eq!(fault.kind(), FaultKind::Conflict("customer_email_pkey".into()));
    }
    assert_eq!(messages(store, NOW).await.len(), 1);
}

async fn stores_have_one_key_each(store: &TestStore) {
    let name = BTreeMap::from([("en".to_owned(), "Main".to_owned())]);
    let command = shop::Command {
        key: key("shop-a"),
        name,
        languages: vec!["de".parse().unwrap()],
        countries: vec!["DE".into()],
        by: Initiator::default(),
    };
    let make = move |tx: &mut dyn Tx, ctx: &mut Ctx| -> Result<Result<shop::Shop, Refusal>, Fault> {
        let taken = shops::by_key(tx, &demo(), &command.key)?.is_some();
        let decided = shop::decide(&command, taken, ctx);
        if let Ok(shop) = &decided {
            shops::insert(tx, &demo(), shop, ctx)?;
        }
        Ok(decided)
    };
    let (first, second) = (ctx(1), ctx(2));
    let (one, two) = tokio::join!(store.write(&first, make.clone()), store.write(&second, make));
    let mut outcomes = [one.unwrap(), two.unwrap()];
    outcomes.sort_by_key(Result::is_err);
    assert_eq!(outcomes[1], Err(Refusal::Duplicate(UniqueField::Key)));
    let shop = outcomes[0].clone().unwrap();
    let id = shop.id;
    let look = move |tx: &mut dyn Tx| {
        let named = [Reference::Id(id.to_string()), by_key("shop-a"), by_key("nowhere"), Reference::Id("x".into())];
        let other = "other".parse().unwrap();
        Ok((
            shops::by_id(tx, &demo(), id)?,
            shops::by_key(tx, &demo(), &key("shop-a"))?,
            shops::by_id(tx, &other, id)?,
            shops::known(tx, &demo(), &named)?,
        ))
    };
    let (by_id, by_its_key, elsewhere, known) = store.read(look).await.unwrap();
    assert_eq!((by_id.as_ref(), by_its_key.as_ref(), elsewhere), (Some(&shop), Some(&shop), None));
    assert_eq!(known.resolve(&[Reference::Id(id.to_string()), by_key("shop-a")]).unwrap(), [key("shop-a")]);
    assert!(known.key(&by_key("nowhere")).is_err() && known.key(&Reference::Id("x".into())).is_err());
}

async fn a_project_changes_by_its_version(store: &TestStore) {
    let setting = MessagesSetting { enabled: false, days: 15 };
    store.write(&ctx(1), |tx, ctx| projects::ensure(tx, &demo(), &Configured::default(), ctx)).await.unwrap();
    let before = store.read(|tx| projects::by_key(tx, &demo())).await.unwrap().unwrap();
    assert_eq!((before.version, before.messages), (1, setting));
    let later = ctx_at(NOW.plus(Micros::DAY), 2);
    let change = move |enabled: bool| {
        move |tx: &mut dyn Tx, ctx: &mut Ctx| -> Result<Result<projects::Project, Refusal>, Fault> {
            let locked = projects::lock(tx, &demo())?.unwrap();
            let setting = MessagesSetting { enabled, days: 30 };
            let actions = vec![project::Action::ChangeMessagesConfiguration(setting)];
            let decided = project::decide(&locked, &project::Command { version: 1, actions }, ctx);
            if let Ok(after) = &decided {
                projects::update(tx, &locked, after)?;
            }
            Ok(decided)
        }
    };
    // Of two that read the same version, one is told of the other.
    let (one, two) = tokio::join!(store.write(&later, change(true)), store.write(&later, change(false)));
    let mut outcomes = [one.unwrap(), two.unwrap()];
    outcomes.sort_by_key(Result::is_err);
    let stale = Refusal::VersionMismatch { of: Versioned::Project, expected: 1, actual: 2 };
    assert_eq!(outcomes[1], Err(stale));
    let after = store.read(|tx| projects::all(tx)).await.unwrap();
    assert_eq!(after, [outcomes[0].clone().unwrap()]);
    assert_eq!((after[0].version, after[0].messages.days, after[0].last_modified_at), (2, 30, NOW.plus(Micros::DAY)));
}

/// What the configuration says of a project at a start, and at the next ones.
async fn a_configured_project_keeps_what_callers_have_set(store: &TestStore) {
    let on = MessagesSetting { enabled: true, days: 15 };
    let languages: Vec<LanguageTag> = vec!["de".parse().unwrap()];
    let configured = Configured { name: "Demo".into(), languages, messages: Some(on) };
    let start = async |configured: &Configured| {
        let configured = configured.clone();
        let work = move |tx: &mut dyn Tx, ctx: &mut Ctx| {
            projects::ensure(tx, &demo(), &configured, ctx)?;
            Ok(projects::by_key(tx, &demo())?.unwrap())
        };
        store.write(&ctx(1), work).await.unwrap()
    };
    let first = start(&configured).await;
    assert_eq!((first.version, first.messages, first.configured_messages), (1, on, Some(on)));
    assert_eq!((first.name.as_str(), first.accepts_locale("DE"), first.accepts_locale("fr")), ("Demo", true, false));
    let off = MessagesSetting { enabled: false, days: 7 };
    let set = move |tx: &mut dyn Tx, ctx: &mut Ctx| {
        let locked = projects::lock(tx, &demo())?.unwrap();
        let actions = vec![project::Action::ChangeMessagesConfiguration(off)];
        let after = project::decide(&locked, &project::Command { version: 1, actions }, ctx).unwrap();
        projects::update(tx, &locked, &after).map(|()| after)
    };
    let changed = store.write(&ctx(2), set).await.unwrap();
    assert_eq!(start(&configured).await, changed);
    assert_eq!((changed.version, changed.messages), (2, off));
    let renamed = Configured { name: "New".into(), ..configured.clone() };
    let started = start(&renamed).await;
    assert_eq!((started.version, started.name.as_str(), started.messages), (3, "New", off));
    let thirty = MessagesSetting { enabled: true, days: 30 };
    let started = start(&Configured { messages: Some(thirty), ..renamed }).await;
    assert_eq!((started.version, started.messages), (4, thirty));
}

/// Customers of a database that had no stores yet.
async fn customers_of_the_first_version_are_global(test: TestStore) {
    apply(&test, &MIGRATIONS[..1], NOW).await.unwrap();
    let insert = Sql::both(
        "insert",
        "INSERT INTO customer (project, id, number, version, last_sequence, created_at, last_modified_at, created_by,
             last_modified_by, email, email_folded, authentication_mode, is_email_verified, profile)
         VALUES ('demo', $1, $1, 1, 1, 0, 0, '{}', '{}', $2, $3, 'Password', 0, '{}')",
    );
    let emails = BTreeSet::from(["Ada@x", "bob@x"]);
    let all = emails.clone();
    let fill = move |tx: &mut dyn Tx, ctx: &mut Ctx| {
        for email in &all {
            let id = CustomerId::new(ctx);
            tx.execute(&insert, &[id.into(), (*email).into(), fold_email(email).into()])?;
        }
        Ok(())
    };
    // The number of the first version is not checked by the database: an id will do, but not to read it back.
    test.write(&ctx(1), fill).await.unwrap();
    apply(&test, MIGRATIONS, NOW).await.unwrap();
    let stored = Sql::both(
        "stored",
        "SELECT c.email FROM customer c JOIN customer_email e ON e.customer_id = c.id
         WHERE e.project = 'demo' AND e.store = '' AND e.email_folded = c.email_folded AND c.stores = '[]'",
    );
    let found = test.read(move |tx| query_all(tx, &stored, &[], |row| row.text(0))).await.unwrap();
    assert_eq!(found.iter().map(String::as_str).collect::<BTreeSet<_>>(), emails);
    assert_eq!(create(&test, &ctx(2), draft("ADA@X", &[])).await, Err(TAKEN));
}

#[test]
fn customers_of_the_first_version_are_global_sqlite() {
    block_on(async { customers_of_the_first_version_are_global(TestStore::sqlite_with(&options())).await });
}

#[test]
#[ignore = "needs PostgreSQL: cargo xtask test starts one"]
fn customers_of_the_first_version_are_global_postgres() {
    block_on(async { customers_of_the_first_version_are_global(TestStore::postgres_with(&options())).await });
}
