//! Customers. What a customer's change writes besides its row is told in [`set_password`], [`create`] and [`delete`].

use keyherald_core::Ctx;
use keyherald_core::change::PasswordSet;
use keyherald_core::confirm_email::EmailConfirmed;
use keyherald_core::create::Created;
use keyherald_core::credential::PasswordHash;
use keyherald_core::customer::{Customer, CustomerNumber, Mobile, Profile, fold_email};
use keyherald_core::delete::Deleted;
use keyherald_core::id::{CustomerId, Key, ProjectKey, Reference};
use keyherald_core::import::{Imported, Record};
use keyherald_core::notice::NewChange;
use keyherald_core::refusal::UniqueField;
use keyherald_core::seal::KeyRing;
use keyherald_core::secret::TokenDigest;
use keyherald_core::token::TokenKind;
use keyherald_core::update::{CredentialChange, Updated};
use keyherald_core::verification::{Attribute, Kind};

use crate::fault::FaultKind;
use crate::tx::{Row, query_all, query_one};
use crate::{
    Fault, Tx, Value, claim, credential, doubt, erase, log, operation, session, statements, token, user_record,
    verification,
};

macro_rules! columns {
    () => {
        "c.id, c.number, c.version, c.last_sequence, c.created_at, c.last_modified_at, c.created_by,
                c.last_modified_by, c.email, c.key, c.external_id, c.customer_number, c.authentication_mode,
                c.is_email_verified, c.profile, r.tail, c.stores, c.mobile"
    };
}

macro_rules! tables {
    () => {
        "FROM customer c LEFT JOIN credential r ON r.project = c.project AND r.customer_id = c.id "
    };
}

macro_rules! selected {
    () => {
        concat!("SELECT ", columns!(), " ", tables!())
    };
}

/// Numbers that are tried for one customer: among a hundred million customers not even two are needed as a rule.
const NUMBERS_TRIED_MAX: usize = 20;

mod query;

pub use query::{QUERY_COLUMNS, page};

statements! {
    BY_ID = (concat!(selected!(), "WHERE c.project = $1 AND c.id = $2"));
    BY_KEY = (concat!(selected!(), "WHERE c.project = $1 AND c.key = $2"));
    BY_NUMBER = (concat!(selected!(), "WHERE c.project = $1 AND c.number = $2"));
    BY_EMAIL = (concat!(selected!(), "WHERE c.project = $1 AND c.id =
                   (SELECT customer_id FROM customer_email WHERE project = $1 AND email_folded = $2 AND store = $3)"));
    BY_MOBILE = (concat!(selected!(), "WHERE c.project = $1 AND c.mobile = $2"));
    // Whoever has it; else a neighbour: the next one, or the last one of all.
    NEAR_EMAIL = (concat!(selected!(), "WHERE c.project = $1 AND c.id = COALESCE(
                     (SELECT customer_id FROM customer_email WHERE project = $1 AND (email_folded, store) >= ($2, $3)
                      ORDER BY email_folded, store LIMIT 1),
                     (SELECT customer_id FROM customer_email WHERE project = $1
                      ORDER BY email_folded DESC, store DESC LIMIT 1))"));
    NEAR_MOBILE = (concat!(selected!(), "WHERE c.project = $1 AND c.id = COALESCE(
                      (SELECT id FROM customer WHERE project = $1 AND mobile >= $2 ORDER BY mobile LIMIT 1),
                      (SELECT id FROM customer WHERE project = $1 AND mobile IS NOT NULL ORDER BY mobile DESC LIMIT 1))"));
    // Of customers that were, too: a number is not given twice.
    NUMBER_TAKEN = "SELECT 1 FROM customer WHERE number = $1 UNION ALL SELECT 1 FROM retired_number WHERE number = $1";
    RETIRE_NUMBER = "INSERT INTO retired_number (number) VALUES ($1) ON CONFLICT (number) DO NOTHING";
    // SQLite has one writer: to be in a write transaction is to hold every lock.
    LOCK = {
        sqlite: "SELECT 1 FROM customer WHERE project = $1 AND id = $2",
        postgres: "SELECT 1 FROM customer WHERE project = $1 AND id = $2 FOR UPDATE"
    };
    INSERT = "INSERT INTO customer (project, id, number, version, last_sequence, created_at, last_modified_at, created_by,
                  last_modified_by, email, email_folded, key, external_id, customer_number, authentication_mode,
                  is_email_verified, first_name, last_name, profile, stores, mobile)
              VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21)";
    MOVE = "UPDATE customer SET version = $3, last_sequence = $4, last_modified_at = $5, last_modified_by = $6
            WHERE project = $1 AND id = $2 AND version = $7";
    REPLACE = "UPDATE customer SET version = $3, last_sequence = $4, last_modified_at = $5, last_modified_by = $6,
                   email = $8, email_folded = $9, key = $10, external_id = $11, customer_number = $12,
                   authentication_mode = $13, is_email_verified = $14, first_name = $15, last_name = $16,
                   profile = $17, stores = $18, mobile = $19
               WHERE project = $1 AND id = $2 AND version = $7";
    DELETE = "DELETE FROM customer WHERE project = $1 AND id = $2 AND version = $3";
    BY_CUSTOMER_NUMBER = (concat!(selected!(), "WHERE c.project = $1 AND c.customer_number = $2"));
    AFTER = (concat!(selected!(), "WHERE c.project = $1 AND c.id > $2 ORDER BY c.id LIMIT $3"));
    HASHES_BETWEEN = "SELECT customer_id, hash FROM credential
                   WHERE project = $1 AND customer_id >= $2 AND customer_id <= $3 ORDER BY customer_id";
}

/// The customer with this id.
pub fn by_id(tx: &mut dyn Tx, project: &ProjectKey, id: CustomerId) -> Result<Option<Customer>, Fault> {
    query_one(tx, &BY_ID, &[project.into(), id.into()], read)
}

/// The customer with this key.
pub fn by_key(tx: &mut dyn Tx, project: &ProjectKey, key: &Key) -> Result<Option<Customer>, Fault> {
    query_one(tx, &BY_KEY, &[project.into(), key.into()], read)
}

/// The customer with this number of ours.
pub fn by_number(tx: &mut dyn Tx, project: &ProjectKey, number: &CustomerNumber) -> Result<Option<Customer>, Fault> {
    query_one(tx, &BY_NUMBER, &[project.into(), number.to_string().into()], read)
}

/// The customer with this mobile number.
pub fn by_mobile(tx: &mut dyn Tx, project: &ProjectKey, mobile: &Mobile) -> Result<Option<Customer>, Fault> {
    query_one(tx, &BY_MOBILE, &[project.into(), mobile.as_str().into()], read)
}

/// The global customer with this e-mail address, in whatever letter case.
pub fn by_email(tx: &mut dyn Tx, project: &ProjectKey, email: &str) -> Result<Option<Customer>, Fault> {
    query_one(tx, &BY_EMAIL, &[project.into(), fold_email(email).into(), claim::EVERYWHERE.into()], read)
}

/// The customer of this store with this e-mail address, in whatever letter case.
pub fn by_email_in_store(
    tx: &mut dyn Tx,
    project: &ProjectKey,
    store: &Key,
    email: &str,
) -> Result<Option<Customer>, Fault> {
    query_one(tx, &BY_EMAIL, &[project.into(), fold_email(email).into(), store.into()], read)
}

/// The global customer with this e-mail address, or that of this store; if there is none, a neighbour. `None`: there is no
/// customer at all.
pub fn near_email(
    tx: &mut dyn Tx,
    project: &ProjectKey,
    store: Option<&Key>,
    email: &str,
) -> Result<Option<Customer>, Fault> {
    let store = store.map_or(claim::EVERYWHERE, Key::as_str);
    query_one(tx, &NEAR_EMAIL, &[project.into(), fold_email(email).into(), store.into()], read)
}

/// The customer with this mobile number; if there is none, a neighbour. `None`: no customer has one.
pub fn near_mobile(tx: &mut dyn Tx, project: &ProjectKey, mobile: &Mobile) -> Result<Option<Customer>, Fault> {
    query_one(tx, &NEAR_MOBILE, &[project.into(), mobile.as_str().into()], read)
}

/// Takes the customer's row lock until the transaction ends and reads the customer under it. Every write that
/// concerns a customer begins here: so its log entries have positions in the order of their commits.
pub fn lock(tx: &mut dyn Tx, project: &ProjectKey, id: CustomerId) -> Result<Option<Customer>, Fault> {
    match query_one(tx, &LOCK, &[project.into(), id.into()], |_| Ok(()))? {
        Some(()) => by_id(tx, project, id),
        None => Ok(None),
    }
}

/// Writes a new customer, its claims, its key for personal rows, its credential and its first message. If the number that
/// chance has chosen is taken, it gets another one.
pub fn create(
    tx: &mut dyn Tx,
    ring: &KeyRing,
    project: &ProjectKey,
    created: &mut Created,
    ctx: &mut Ctx,
) -> Result<(), Fault> {
    if let Some(number) = other_number(tx, &created.customer, ctx)? {
        created.renumber(number);
    }
    insert_row(tx, project, &created.customer)?;
    claim::put(tx, project, &created.customer)?;
    log::put_customer_key(tx, ring, project, created.customer.id, created.data_key, ctx)?;
    if let Some(hash) = &created.hash {
        credential::put(tx, project, created.customer.id, hash, ctx.now)?;
    }
    log::append(tx, ring, project, &created.message, ctx)?;
    log::append_change_of_customer(tx, ring, project, &NewChange::of_customer(&created.customer), ctx)
}

/// A number that nobody has or had, if the customer's own is none.
fn other_number(tx: &mut dyn Tx, customer: &Customer, ctx: &mut Ctx) -> Result<Option<CustomerNumber>, Fault> {
    let mut other = None;
    for _ in 0..NUMBERS_TRIED_MAX {
        let number = other.as_ref().unwrap_or(&customer.number).to_string();
        if query_one(tx, &NUMBER_TAKEN, &[number.into()], |_| Ok(()))?.is_none() {
            return Ok(other);
        }
        other = Some(CustomerNumber::new(ctx));
    }
    Err(Fault::new(FaultKind::Internal, "no customer number was found that is free"))
}

/// Writes a password that was set: the customer (guarded by its version), the hash, the end of all its password tokens
/// and of all its sessions, and the message.
pub fn set_password(
    tx: &mut dyn Tx,
    ring: &KeyRing,
    project: &ProjectKey,
    set: &PasswordSet,
    ctx: &mut Ctx,
) -> Result<(), Fault> {
    move_row(tx, ring, project, &set.customer, ctx)?;
    match &set.hash {
        Some(hash) => credential::put(tx, project, set.customer.id, hash, ctx.now)?,
        None => credential::delete(tx, project, set.customer.id)?,
    }
    end_of_password(tx, project, set.customer.id, set.keeps)?;
    log::append(tx, ring, project, &set.message, ctx)
}

/// Whoever proved something with the old password, or could set another one, has to do it anew.
fn end_of_password(
    tx: &mut dyn Tx,
    project: &ProjectKey,
    id: CustomerId,
    keeps: Option<TokenDigest>,
) -> Result<(), Fault> {
    token::end_of_customer(tx, project, id, TokenKind::Password)?;
    match keeps {
        Some(kept) => session::end_of_others(tx, project, id, kept),
        None => session::end_of_customer(tx, project, id),
    }
}

/// Writes an address that was verified: the customer (guarded by its version), the end of all its e-mail tokens, and
/// the message.
pub fn confirm_email(
    tx: &mut dyn Tx,
    ring: &KeyRing,
    project: &ProjectKey,
    confirmed: &EmailConfirmed,
    ctx: &mut Ctx,
) -> Result<(), Fault> {
    replace_row(tx, ring, project, &confirmed.customer, ctx)?;
    token::end_of_customer(tx, project, confirmed.customer.id, TokenKind::Email)?;
    log::append(tx, ring, project, &confirmed.message, ctx)
}

/// Writes an update: the customer (guarded by its version), its claims, what became of its password, the end of tokens
/// that stand for what is no more, and the messages. Nothing if nothing changed.
pub fn update(
    tx: &mut dyn Tx,
    ring: &KeyRing,
    project: &ProjectKey,
    updated: &Updated,
    ctx: &mut Ctx,
) -> Result<(), Fault> {
    let (customer, id) = (&updated.customer, updated.customer.id);
    if !updated.changed {
        return Ok(());
    }
    replace_row(tx, ring, project, customer, ctx)?;
    if updated.claims_changed {
        claim::delete(tx, project, id)?;
        claim::put(tx, project, customer)?;
    }
    match &updated.credential {
        CredentialChange::Keep => {}
        CredentialChange::Set(hash) => {
            credential::put(tx, project, id, hash, ctx.now)?;
            end_of_password(tx, project, id, None)?;
        }
        CredentialChange::Remove => {
            credential::delete(tx, project, id)?;
            end_of_password(tx, project, id, None)?;
        }
    }
    if updated.email_changed {
        for kind in [TokenKind::Password, TokenKind::Email] {
            token::end_of_customer(tx, project, id, kind)?;
        }
    }
    log::append_all(tx, ring, project, &updated.messages, ctx)
}

/// Removes a customer with its claims, credential, tokens, sessions, links and past operations, and writes its last message. If it asks for
/// that, what is personal in all its messages goes too: see [`erase`].
pub fn delete(
    tx: &mut dyn Tx,
    ring: &KeyRing,
    project: &ProjectKey,
    deleted: &Deleted,
    ctx: &mut Ctx,
) -> Result<(), Fault> {
    let last = &deleted.last;
    guarded(tx.execute(&DELETE, &[project.into(), last.id.into(), last.version.into()])?)?;
    claim::delete(tx, project, last.id)?;
    tx.execute(&RETIRE_NUMBER, &[last.number.to_string().into()])?;
    credential::delete(tx, project, last.id)?;
    operation::forget(tx, project, last.id)?;
    doubt::forget(tx, project, last.id)?;
    token::delete_of_customer(tx, project, last.id)?;
    session::end_of_customer(tx, project, last.id)?;
    user_record::delete(tx, project, last.id)?;
    log::append(tx, ring, project, &deleted.message, ctx)?;
    let change = NewChange::of_deleted_customer(last, deleted.data_erasure, deleted.message.created_at);
    log::append_change_of_customer(tx, ring, project, &change, ctx)?;
    if !deleted.data_erasure {
        return Ok(());
    }
    let mobile = last.mobile.as_ref().map_or("", Mobile::as_str);
    let attributes = [(Kind::Email, last.email.as_str()), (Kind::Mobile, mobile)];
    for attribute in attributes.iter().filter_map(|(kind, value)| Attribute::parse(*kind, value)) {
        verification::forget(tx, ring, project, &attribute)?;
    }
    doubt::remove_of_address(tx, project, &last.email)?;
    erase::customer(tx, project, last.id)
}

/// Moves the customer's row to its next version, and tells the change. The decision was made on the locked row, so
/// another version here means that the lock was not taken: a bug, and a fault.
fn move_row(
    tx: &mut dyn Tx,
    ring: &KeyRing,
    project: &ProjectKey,
    customer: &Customer,
    ctx: &mut Ctx,
) -> Result<(), Fault> {
    guarded(tx.execute(&MOVE, &moved(project, customer)?)?)?;
    log::append_change_of_customer(tx, ring, project, &NewChange::of_customer(customer), ctx)
}

/// The same, with all other columns.
fn replace_row(
    tx: &mut dyn Tx,
    ring: &KeyRing,
    project: &ProjectKey,
    customer: &Customer,
    ctx: &mut Ctx,
) -> Result<(), Fault> {
    let mut args = moved(project, customer)?.to_vec();
    args.extend([
        (&customer.email).into(),
        fold_email(&customer.email).into(),
        customer.key.as_ref().into(),
        customer.external_id.as_ref().into(),
        customer.customer_number.as_ref().into(),
        customer.authentication_mode.as_str().into(),
        customer.is_email_verified.into(),
        customer.profile.first_name.as_ref().into(),
        customer.profile.last_name.as_ref().into(),
        Value::json(&customer.profile)?,
        Value::json(&customer.stores)?,
        mobile_of(customer),
    ]);
    guarded(tx.execute(&REPLACE, &args)?)?;
    log::append_change_of_customer(tx, ring, project, &NewChange::of_customer(customer), ctx)
}

fn moved(project: &ProjectKey, customer: &Customer) -> Result<[Value; 7], Fault> {
    Ok([
        project.into(),
        customer.id.into(),
        customer.version.into(),
        customer.last_sequence.into(),
        customer.last_modified_at.into(),
        Value::json(&customer.last_modified_by)?,
        (customer.version - 1).into(),
    ])
}

fn guarded(rows: u64) -> Result<(), Fault> {
    if rows == 1 { Ok(()) } else { Err(Fault::new(FaultKind::Internal, "a customer moved although it was locked")) }
}

fn insert_row(tx: &mut dyn Tx, project: &ProjectKey, customer: &Customer) -> Result<(), Fault> {
    let args = [
        project.into(),
        customer.id.into(),
        customer.number.to_string().into(),
        customer.version.into(),
        customer.last_sequence.into(),
        customer.created_at.into(),
        customer.last_modified_at.into(),
        Value::json(&customer.created_by)?,
        Value::json(&customer.last_modified_by)?,
        (&customer.email).into(),
        fold_email(&customer.email).into(),
        customer.key.as_ref().into(),
        customer.external_id.as_ref().into(),
        customer.customer_number.as_ref().into(),
        customer.authentication_mode.as_str().into(),
        customer.is_email_verified.into(),
        customer.profile.first_name.as_ref().into(),
        customer.profile.last_name.as_ref().into(),
        Value::json(&customer.profile)?,
        Value::json(&customer.stores)?,
        mobile_of(customer),
    ];
    tx.execute(&INSERT, &args).map(drop)
}

fn mobile_of(customer: &Customer) -> Value {
    customer.mobile.as_ref().map(Mobile::as_str).into()
}

/// Reads a row of the columns of `selected!`.
pub(crate) fn read(row: &dyn Row) -> Result<Customer, Fault> {
    Ok(Customer {
        id: row.parsed(0)?,
        number: row.parsed(1)?,
        version: row.int(2)?,
        last_sequence: row.int(3)?,
        created_at: row.micros(4)?,
        last_modified_at: row.micros(5)?,
        created_by: row.json(6)?,
        last_modified_by: row.json(7)?,
        email: row.text(8)?,
        key: row.parsed_opt(9)?,
        external_id: row.text_opt(10)?,
        customer_number: row.text_opt(11)?,
        authentication_mode: row.parsed(12)?,
        is_email_verified: row.flag(13)?,
        profile: row.json::<Profile>(14)?,
        password_tail: row.text_opt(15)?,
        stores: row.json(16)?,
        mobile: row.parsed_opt(17)?,
    })
}

/// The customer that has a value which only one customer may have, if it is the one of this record.
pub fn by_unique(
    tx: &mut dyn Tx,
    project: &ProjectKey,
    field: UniqueField,
    record: &Record,
) -> Result<Option<Customer>, Fault> {
    match (field, &record.key, &record.customer_number) {
        (UniqueField::Mobile, ..) => match &record.mobile {
            Some(mobile) => by_mobile(tx, project, mobile),
            None => Ok(None),
        },
        (UniqueField::Email, ..) => match record.stores.first() {
            Some(Reference::Key(store)) => query_one(
                tx,
                &BY_EMAIL,
                &[project.into(), fold_email(&record.email).into(), store.as_str().into()],
                read,
            ),
            _ => by_email(tx, project, &record.email),
        },
        (UniqueField::Key, Some(key), _) => by_key(tx, project, key),
        (UniqueField::CustomerNumber, _, Some(number)) => {
            query_one(tx, &BY_CUSTOMER_NUMBER, &[project.into(), number.into()], read)
        }
        (UniqueField::Key | UniqueField::CustomerNumber, ..) => Ok(None),
    }
}

/// Writes an imported customer, its claims, its key for personal rows, its credential and, if it is announced, its first message and change.
pub fn import(
    tx: &mut dyn Tx,
    ring: &KeyRing,
    project: &ProjectKey,
    imported: &mut Imported,
    ctx: &mut Ctx,
) -> Result<(), Fault> {
    let id = imported.customer.id;
    if let Some(number) = other_number(tx, &imported.customer, ctx)? {
        imported.renumber(number);
    }
    insert_row(tx, project, &imported.customer)?;
    claim::put(tx, project, &imported.customer)?;
    log::put_customer_key(tx, ring, project, id, imported.data_key, ctx)?;
    if let Some(hash) = &imported.hash {
        credential::put(tx, project, id, hash, ctx.now)?;
    }
    if let Some(message) = &imported.message {
        log::append(tx, ring, project, message, ctx)?;
        log::append_change_of_customer(tx, ring, project, &NewChange::of_customer(&imported.customer), ctx)?;
    }
    Ok(())
}

/// The customers after `after` in the order of their ids, at most `limit`.
pub fn after(
    tx: &mut dyn Tx,
    project: &ProjectKey,
    after: Option<CustomerId>,
    limit: i64,
) -> Result<Vec<Customer>, Fault> {
    let after = after.map(|id| id.to_string()).unwrap_or_default();
    query_all(tx, &AFTER, &[project.into(), after.into(), limit.into()], read)
}

/// The hashes of the customers from one id to another, in the order of their ids.
pub fn hashes_between(
    tx: &mut dyn Tx,
    project: &ProjectKey,
    (first, last): (CustomerId, CustomerId),
) -> Result<Vec<(CustomerId, PasswordHash)>, Fault> {
    query_all(tx, &HASHES_BETWEEN, &[project.into(), first.into(), last.into()], |row| {
        let hash = PasswordHash::parse(&row.text(1)?).map_err(|_| Fault::corrupt("a stored hash is not a PHC string"));
        Ok((row.parsed(0)?, hash?))
    })
}
