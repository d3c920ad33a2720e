//! Registrations that are no customers yet, one per address. Whoever writes one holds the lock on its address
//! ([`claim::take`](crate::claim::take)).

use keyherald_core::customer::fold_email;
use keyherald_core::id::{CustomerId, ProjectKey};
use keyherald_core::registration::{Code, Draft, LIFE};
use keyherald_core::seal::KeyRing;
use keyherald_core::secret::TokenValue;
use keyherald_core::{Ctx, Micros};

use crate::tx::query_one;
use crate::{Fault, Tx, statements};

statements! {
    BY_EMAIL = "SELECT id, sealed, proof, awaits_code, begun, created_at FROM registration
                WHERE project = $1 AND email_folded = $2 AND expires_at > $3";
    PUT = "INSERT INTO registration (project, email_folded, id, sealed, proof, awaits_code, begun, code, attempts_left,
               codes_left, code_expires_at, created_at, expires_at)
           VALUES ($1, $2, $3, $4, $5, $6, $10, NULL, 0, $7, 0, $8, $9)
           ON CONFLICT (project, email_folded) DO UPDATE SET id = $3, sealed = $4, proof = $5, awaits_code = $6,
               begun = $10, code = NULL, attempts_left = 0, codes_left = $7, code_expires_at = 0, created_at = $8, expires_at = $9";
    PUT_BEGUN = "UPDATE registration SET begun = 1 WHERE project = $1 AND email_folded = $2";
    TAKE_BACK_BEGUN = "UPDATE registration SET begun = 0 WHERE project = $1 AND email_folded = $2 AND awaits_code = 1";
    REMOVE_BEGUN = "DELETE FROM registration WHERE project = $1 AND email_folded = $2 AND awaits_code = 0";
    PUT_CODE = "UPDATE registration SET code = $3, attempts_left = $4, code_expires_at = $5, codes_left = codes_left - 1,
                    expires_at = $6
                WHERE project = $1 AND email_folded = $2 AND codes_left > 0";
    COUNT = "UPDATE registration SET attempts_left = attempts_left - 1
             WHERE project = $1 AND email_folded = $2 AND awaits_code = 1 AND attempts_left > 0 AND code IS NOT NULL
                 AND code_expires_at > $3
             RETURNING id, code";
    // What is personal of its messages goes with it. A lane that is a customer's keeps its own.
    FORGET_KEY = "DELETE FROM customer_key WHERE project = $1 AND customer_id IN
                      (SELECT id FROM registration WHERE project = $1 AND email_folded = $2)
                      AND NOT EXISTS (SELECT 1 FROM customer c
                                      WHERE c.project = customer_key.project AND c.id = customer_key.customer_id)";
    REMOVE = "DELETE FROM registration WHERE project = $1 AND email_folded = $2";
    SWEEP_KEYS = "DELETE FROM customer_key WHERE (project, customer_id) IN
                      (SELECT project, id FROM registration WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2)
                      AND NOT EXISTS (SELECT 1 FROM customer c
                                      WHERE c.project = customer_key.project AND c.id = customer_key.customer_id)";
    SWEEP = "DELETE FROM registration WHERE (project, email_folded) IN
                 (SELECT project, email_folded FROM registration WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2)";
}

/// A registration. No `Debug`: it is personal.
pub struct Registration {
    /// The lane of its messages; the customer itself where only an address is to be proved.
    pub id: CustomerId,
    /// What somebody is to be registered with, if it is kept.
    pub draft: Option<Draft>,
    /// Tells whether a request is the one that it was begun with.
    proof: Vec<u8>,
    /// Whether the address is to be proved first.
    pub awaits_code: bool,
    /// Whether a provider may have been asked to create the user, at a time when it did not have the address.
    pub begun: bool,
    /// When it was begun.
    pub created_at: Micros,
}

impl Registration {
    /// Whether a draft is that of the request which it was begun with.
    pub fn is_of(&self, ring: &KeyRing, draft: &Draft) -> Result<bool, Fault> {
        Ok(ring.is_mac_of(&self.proof, &binding(self.id), &draft.proof())?)
    }
}

/// The registration of this address, if it has not expired.
pub fn by_email(
    tx: &mut dyn Tx,
    ring: &KeyRing,
    project: &ProjectKey,
    email: &str,
    now: Micros,
) -> Result<Option<Registration>, Fault> {
    query_one(tx, &BY_EMAIL, &[project.into(), fold_email(email).into(), now.into()], |row| {
        let id: CustomerId = row.parsed(0)?;
        let draft = match row.bytes_opt(1)? {
            Some(sealed) => {
                let plain = ring.open(&binding(id), &sealed)?;
                Some(Draft::from_bytes(&plain).ok_or_else(|| Fault::corrupt("a registration's draft does not parse"))?)
            }
            None => None,
        };
        let (proof, awaits_code) = (row.bytes_opt(2)?.unwrap_or_default(), row.flag(3)?);
        Ok(Registration { id, draft, proof, awaits_code, begun: row.flag(4)?, created_at: row.micros(5)? })
    })
}

/// Begins a registration, in place of another one of the same address. What of the draft is kept: all of it where the
/// address is to be proved first.
pub fn put(
    tx: &mut dyn Tx,
    ring: &KeyRing,
    project: &ProjectKey,
    (id, draft): (CustomerId, &Draft),
    awaits_code: bool,
    ctx: &mut Ctx,
) -> Result<(), Fault> {
    let sealed = if awaits_code { Some(ring.seal(ctx, &binding(id), &draft.to_bytes()?)?) } else { None };
    forget_key(tx, project, &draft.email)?;
    let args = [
        project.into(),
        fold_email(&draft.email).into(),
        id.into(),
        sealed.into(),
        ring.mac(&binding(id), &draft.proof())?.into(),
        awaits_code.into(),
        Code::CODES.into(),
        ctx.now.into(),
        ctx.now.plus(LIFE).into(),
        (!awaits_code).into(),
    ];
    tx.execute(&PUT, &args).map(drop)
}

/// Notes that the provider, which does not have the address, is about to be asked.
pub fn put_begun(tx: &mut dyn Tx, project: &ProjectKey, email: &str) -> Result<(), Fault> {
    tx.execute(&PUT_BEGUN, &[project.into(), fold_email(email).into()]).map(drop)
}

/// Notes that the provider was not asked after all: one that waits for its code does so again, any other is no more.
pub fn remove_begun(tx: &mut dyn Tx, project: &ProjectKey, email: &str) -> Result<(), Fault> {
    let args = [project.into(), fold_email(email).into()];
    tx.execute(&TAKE_BACK_BEGUN, &args)?;
    tx.execute(&REMOVE_BEGUN, &args).map(drop)
}

/// Begins to prove the address of a customer who is here already.
pub fn put_proof(
    tx: &mut dyn Tx,
    project: &ProjectKey,
    (id, email): (CustomerId, &str),
    ctx: &Ctx,
) -> Result<(), Fault> {
    forget_key(tx, project, email)?;
    let args = [
        project.into(),
        fold_email(email).into(),
        id.into(),
        crate::Value::Null,
        crate::Value::Null,
        true.into(),
        Code::CODES.into(),
        ctx.now.into(),
        ctx.now.plus(LIFE).into(),
        false.into(),
    ];
    tx.execute(&PUT, &args).map(drop)
}

/// Gives a registration a code, in place of the one before. False: it has had as many as it may have.
pub fn put_code(
    tx: &mut dyn Tx,
    ring: &KeyRing,
    project: &ProjectKey,
    (id, email): (CustomerId, &str),
    code: &TokenValue,
    now: Micros,
) -> Result<bool, Fault> {
    let mac = code.reveal_with(|text| ring.mac(&code_binding(id), text.as_bytes()))?;
    let args = [
        project.into(),
        fold_email(email).into(),
        mac.into(),
        Code::ATTEMPTS.into(),
        now.plus(Code::LIFE).into(),
        now.plus(LIFE).into(),
    ];
    Ok(tx.execute(&PUT_CODE, &args)? == 1)
}

/// Counts an attempt, to be committed before it is compared: so that none is free, whatever becomes of the process. `None`:
/// there is nothing to be tried any more.
pub fn count_attempt(
    tx: &mut dyn Tx,
    project: &ProjectKey,
    email: &str,
    now: Micros,
) -> Result<Option<Attempt>, Fault> {
    let args = [project.into(), fold_email(email).into(), now.into()];
    query_one(tx, &COUNT, &args, |row| Ok(Attempt { id: row.parsed(0)?, code: row.bytes(1)? }))
}

/// An attempt that was counted.
pub struct Attempt {
    id: CustomerId,
    code: Vec<u8>,
}

impl Attempt {
    /// Whether this is the code.
    pub fn is_right(&self, ring: &KeyRing, presented: &str) -> Result<bool, Fault> {
        Ok(ring.is_mac_of(&self.code, &code_binding(self.id), presented.as_bytes())?)
    }
}

/// Removes a registration, and what is personal of its messages.
pub fn remove(tx: &mut dyn Tx, project: &ProjectKey, email: &str) -> Result<(), Fault> {
    forget_key(tx, project, email)?;
    tx.execute(&REMOVE, &[project.into(), fold_email(email).into()]).map(drop)
}

fn forget_key(tx: &mut dyn Tx, project: &ProjectKey, email: &str) -> Result<(), Fault> {
    tx.execute(&FORGET_KEY, &[project.into(), fold_email(email).into()]).map(drop)
}

/// Removes up to `limit` registrations that have expired.
pub fn sweep(tx: &mut dyn Tx, now: Micros, limit: i64) -> Result<u64, Fault> {
    tx.execute(&SWEEP_KEYS, &[now.into(), limit.into()])?;
    tx.execute(&SWEEP, &[now.into(), limit.into()])
}

fn binding(id: CustomerId) -> String {
    format!("registration {id}")
}

fn code_binding(id: CustomerId) -> String {
    format!("code of registration {id}")
}
