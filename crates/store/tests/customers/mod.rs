//! Customers, and what a server does with them: the same steps as its use cases, without the rest of it.

use keyherald_core::create::{self, AddressUse};
use keyherald_core::credential::{AuthenticationMode, PasswordHash};
use keyherald_core::customer::{Customer, Profile};
use keyherald_core::delete;
use keyherald_core::id::{CustomerId, Key, ProjectKey, Reference};
use keyherald_core::initiator::Initiator;
use keyherald_core::message::Message;
use keyherald_core::refusal::Lookup;
use keyherald_core::seal::{KeyRing, SealingKey};
use keyherald_core::shop;
use keyherald_core::token::{self, TokenCreated, TokenKind};
use keyherald_core::update::{self, Action, Found};
use keyherald_core::{Ctx, Micros, Refusal, email_token};
use keyherald_store::{Fault, Store, Tx, claim, customer, log, shop as shops, token as tokens};

pub const NOW: Micros = Micros(1_700_000_000_000_000);

/// A context; each seed draws other ids.
pub fn ctx(seed: u64) -> Ctx {
    ctx_at(NOW, seed)
}

pub fn ctx_at(now: Micros, seed: u64) -> Ctx {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    Ctx::new(now, bytes)
}

pub fn ring() -> KeyRing {
    KeyRing::new(vec![SealingKey::new("test", [7; 32]).unwrap()]).unwrap()
}

pub fn demo() -> ProjectKey {
    "demo".parse().unwrap()
}

pub fn key(text: &str) -> Key {
    text.parse().unwrap()
}

pub fn by_key(text: &str) -> Reference {
    Reference::Key(text.to_owned())
}

pub fn hash(tail: &str) -> PasswordHash {
    PasswordHash::parse(&format!("$argon2id$v=19$m=8,t=1,p=1$AAAA${tail}")).unwrap()
}

/// A customer of these stores.
pub fn draft(email: &str, stores: &[&str]) -> create::Command {
    create::Command {
        email: email.into(),
        key: None,
        external_id: None,
        customer_number: None,
        mobile: None,
        stores: stores.iter().map(|store| by_key(store)).collect(),
        authentication_mode: AuthenticationMode::Password,
        is_email_verified: false,
        profile: Profile::default(),
        addresses: AddressUse::default(),
        by: Initiator { client_id: Some("c".into()), ..Initiator::default() },
    }
}

pub fn create_in(tx: &mut dyn Tx, ctx: &mut Ctx, draft: &create::Command) -> Result<Result<Customer, Refusal>, Fault> {
    let known = shops::known(tx, &demo(), &draft.stores)?;
    let taken = match draft.claims(&known) {
        Ok(claims) => claim::take(tx, &demo(), &claims, None)?,
        Err(_) => None,
    };
    let mut created = match create::decide(draft, &known, taken, Some(hash("aaaa")), ctx) {
        Ok(created) => created,
        Err(refusal) => return Ok(Err(refusal)),
    };
    customer::create(tx, &ring(), &demo(), &mut created, ctx)?;
    Ok(Ok(created.customer))
}

pub async fn create(store: &Store, ctx: &Ctx, draft: create::Command) -> Result<Customer, Refusal> {
    store.write(ctx, move |tx, ctx| create_in(tx, ctx, &draft)).await.unwrap()
}

/// A customer that can be created.
pub async fn created(store: &Store, seed: u64, email: &str, stores: &[&str]) -> Customer {
    create(store, &ctx(seed), draft(email, stores)).await.unwrap()
}

/// Updates from whatever version the customer has.
pub fn update_in(
    tx: &mut dyn Tx,
    ctx: &mut Ctx,
    id: CustomerId,
    actions: &[Action],
) -> Result<Result<Customer, Refusal>, Fault> {
    let Some(locked) = customer::lock(tx, &demo(), id)? else {
        return Ok(Err(Refusal::CustomerNotFound(Lookup::Id)));
    };
    let by = Initiator { external_user_id: Some("agent".into()), ..Initiator::default() };
    let command = update::Command { version: locked.version, actions: actions.to_vec(), by };
    let known = shops::known(tx, &demo(), &command.stores())?;
    let taken = match update::admit(&locked, &command, &known, ctx) {
        Ok(Some(claims)) => claim::take(tx, &demo(), &claims, Some(id))?,
        Ok(None) => None,
        Err(refusal) => return Ok(Err(refusal)),
    };
    match update::decide(&locked, &command, &Found { known, taken }, Some(hash("uuuu")), ctx) {
        Ok(updated) => {
            customer::update(tx, &ring(), &demo(), &updated, ctx)?;
            Ok(Ok(updated.customer))
        }
        Err(refusal) => Ok(Err(refusal)),
    }
}

pub async fn update(store: &Store, ctx: &Ctx, id: CustomerId, actions: Vec<Action>) -> Result<Customer, Refusal> {
    store.write(ctx, move |tx, ctx| update_in(tx, ctx, id, &actions)).await.unwrap()
}

pub fn delete_in(tx: &mut dyn Tx, ctx: &mut Ctx, id: CustomerId, data_erasure: bool) -> Result<(), Fault> {
    let locked = customer::lock(tx, &demo(), id)?.unwrap();
    let by = Initiator { external_user_id: Some("agent".into()), ..Initiator::default() };
    let command = delete::Command { version: locked.version, data_erasure, by };
    let deleted = delete::decide(&locked, &command, ctx).ok().unwrap();
    customer::delete(tx, &ring(), &demo(), &deleted, ctx)
}

pub async fn delete(store: &Store, ctx: &Ctx, id: CustomerId, data_erasure: bool) {
    store.write(ctx, move |tx, ctx| delete_in(tx, ctx, id, data_erasure)).await.unwrap();
}

pub async fn token_of(store: &Store, seed: u64, customer: &Customer, kind: TokenKind) -> TokenCreated {
    let customer = customer.clone();
    let make = move |tx: &mut dyn Tx, ctx: &mut Ctx| {
        let command = token::Command { ttl_minutes: 5, invalidate_older_tokens: false, by: Initiator::default() };
        let made = match kind {
            TokenKind::Password => token::decide(&customer, &command, ctx),
            TokenKind::Email => {
                let command = email_token::Command { version: None, token: command };
                email_token::decide(&customer, &command, ctx).ok().unwrap()
            }
        };
        tokens::insert(tx, &demo(), &made.token, made.value.digest())?;
        log::append(tx, &ring(), &demo(), &made.message, ctx)?;
        Ok(made)
    };
    store.write(&ctx(seed), make).await.unwrap()
}

/// Makes stores with these keys.
pub async fn open_shops(store: &Store, keys: &[&str]) {
    let commands: Vec<_> = keys
        .iter()
        .map(|text| shop::Command {
            key: key(text),
            name: [].into(),
            languages: Vec::new(),
            countries: Vec::new(),
            by: Initiator::default(),
        })
        .collect();
    let make = move |tx: &mut dyn Tx, ctx: &mut Ctx| {
        for command in &commands {
            shops::insert(tx, &demo(), &shop::decide(command, false, ctx).unwrap(), ctx)?;
        }
        Ok(())
    };
    store.write(&ctx(u64::MAX), make).await.unwrap();
}

pub async fn messages(store: &Store, now: Micros) -> Vec<Message> {
    let look = move |tx: &mut dyn Tx| {
        let last = log::last_position(tx)?;
        let entries = log::after(tx, &ring(), (0, last), 1000, now)?;
        Ok(entries.iter().filter_map(|entry| entry.message().cloned()).collect::<Vec<_>>())
    };
    store.read(look).await.unwrap()
}
