//! Verification processes, and what those of one attribute have in common.
//!
//! An attribute is found by a digest; what it is, is kept nowhere but, sealed, where a message is still to leave. Whoever
//! begins a process locks its attribute; whoever tries or uses one locks the process, and looks at the attribute. What is
//! used with a customer's password is locked after the customer.

use keyherald_core::id::{CustomerId, OperationId, ProjectKey, VerificationId};
use keyherald_core::seal::KeyRing;
use keyherald_core::secret::TokenValue;
use keyherald_core::verification::{Attribute, Code, History, Kind, Limits, Process, Proof, Purpose};
use keyherald_core::{Ctx, Micros};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::tx::{Row, query_all, query_one};
use crate::{Fault, Tx, Value, statements};

macro_rules! columns {
    () => {
        "v.id, v.attribute, v.kind, v.purpose, v.code, v.created_at, v.expires_at, v.attempts, v.attempts_max, v.verified_at,
             v.consumed_at, v.reserved_by, a.newest"
    };
}

macro_rules! tables {
    () => {
        "FROM verification v LEFT JOIN attribute a ON a.project = v.project AND a.digest = v.attribute "
    };
}

statements! {
    ENSURE = "INSERT INTO attribute (project, digest, begun_at, forget_at) VALUES ($1, $2, '[]', $3)
              ON CONFLICT (project, digest) DO NOTHING";
    LOCK_HISTORY = {
        sqlite: "SELECT begun_at, rests_until, newest, told_at FROM attribute WHERE project = $1 AND digest = $2",
        postgres: "SELECT begun_at, rests_until, newest, told_at FROM attribute WHERE project = $1 AND digest = $2 FOR UPDATE"
    };
    PUT_HISTORY = "INSERT INTO attribute (project, digest, begun_at, rests_until, newest, told_at, forget_at)
                   VALUES ($1, $2, $3, $4, $5, $6, $7)
                   ON CONFLICT (project, digest) DO UPDATE SET begun_at = $3, rests_until = $4, newest = $5, told_at = $6,
                       forget_at = $7";
    INSERT = "INSERT INTO verification (project, id, attribute, kind, purpose, code, created_at, expires_at, attempts,
                  attempts_max, verified_at, consumed_at, reserved_by, tell_at, to_tell, over_at)
              VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 0, $9, NULL, NULL, NULL, $10, $11, $12)";
    // Messages of processes that are superseded never leave.
    SILENCE = "UPDATE verification SET tell_at = NULL, to_tell = NULL
               WHERE project = $1 AND attribute = $2 AND tell_at IS NOT NULL";
    LOCK = {
        sqlite: "SELECT 1 FROM verification WHERE project = $1 AND id = $2",
        postgres: "SELECT 1 FROM verification WHERE project = $1 AND id = $2 FOR UPDATE"
    };
    BY_ID = (concat!("SELECT ", columns!(), " ", tables!(), "WHERE v.project = $1 AND v.id = $2"));
    SAVE = "UPDATE verification SET attempts = $3, verified_at = $4, consumed_at = $5, reserved_by = $6, over_at = $7
            WHERE project = $1 AND id = $2";
    DUE = "SELECT project, id FROM verification WHERE tell_at <= $1 ORDER BY tell_at LIMIT $2";
    TO_TELL = "SELECT to_tell FROM verification WHERE project = $1 AND id = $2 AND tell_at <= $3";
    TELL = "UPDATE verification SET code = $3, tell_at = NULL, to_tell = NULL WHERE project = $1 AND id = $2";
    PUT_TOLD = "UPDATE attribute SET told_at = $3 WHERE project = $1 AND digest = $2";
    // Of the processes whose place a newer one takes.
    HURRY = "UPDATE verification SET notice_at = $3 WHERE project = $1 AND attribute = $2 AND notice_at > $3";
    WATCH = "UPDATE verification SET notice = $3, notice_at = $4 WHERE project = $1 AND id = $2";
    HAS_FAILED = "UPDATE verification SET notice_at = $3 WHERE project = $1 AND id = $2 AND notice_at > $3";
    NOTICED = "SELECT project, id FROM verification WHERE notice_at <= $1 ORDER BY notice_at LIMIT $2";
    NOTICE = "SELECT notice, purpose FROM verification WHERE project = $1 AND id = $2 AND notice IS NOT NULL";
    TAKE_NOTICE = "UPDATE verification SET notice = NULL, notice_at = NULL
                   WHERE project = $1 AND id = $2 AND notice IS NOT NULL";
    RESERVE = "UPDATE verification SET reserved_by = $3
               WHERE project = $1 AND id = $2 AND verified_at IS NOT NULL AND consumed_at IS NULL AND reserved_by IS NULL";
    RELEASE = "UPDATE verification SET reserved_by = NULL WHERE project = $1 AND reserved_by = $2";
    CONSUME = "UPDATE verification SET consumed_at = $3, reserved_by = NULL WHERE project = $1 AND id = $2";
    CONSUME_RESERVED = "UPDATE verification SET consumed_at = $3, reserved_by = NULL
                        WHERE project = $1 AND reserved_by = $2";
    FORGET = "DELETE FROM verification WHERE project = $1 AND attribute = $2";
    FORGET_HISTORY = "DELETE FROM attribute WHERE project = $1 AND digest = $2";
    // The keys of messages to those who are no customers: a process is their lane.
    SWEEP_KEYS = "DELETE FROM customer_key WHERE (project, customer_id) IN
                      (SELECT project, id FROM verification WHERE over_at <= $1 AND reserved_by IS NULL
                       ORDER BY over_at LIMIT $2)";
    SWEEP = "DELETE FROM verification WHERE (project, id) IN
                 (SELECT project, id FROM verification WHERE over_at <= $1 AND reserved_by IS NULL
                  ORDER BY over_at LIMIT $2)";
    SWEEP_HISTORIES = "DELETE FROM attribute WHERE (project, digest) IN
                           (SELECT project, digest FROM attribute WHERE forget_at <= $1 ORDER BY forget_at LIMIT $2)";
}

/// A process as it is stored. No `Debug`: it holds what a code is compared with.
pub struct Verification {
    /// As it stands.
    pub process: Process,
    /// The newest process of its attribute.
    pub newest: Option<VerificationId>,
    attribute: Vec<u8>,
    code: Vec<u8>,
}

impl Verification {
    /// Whether it is about this attribute.
    pub fn is_about(&self, ring: &KeyRing, project: &ProjectKey, attribute: &Attribute) -> Result<bool, Fault> {
        Ok(self.process.kind == attribute.kind && attribute.has_digest(ring, project, &self.attribute)?)
    }

    /// Whether this is its code.
    pub fn is_code(&self, ring: &KeyRing, typed: &str) -> Result<bool, Fault> {
        Ok(Code::is(ring, &self.code, self.process.id, typed)?)
    }
}

/// The lane of messages about a process to somebody who is no customer.
pub fn lane(id: VerificationId) -> CustomerId {
    CustomerId::from(id.uuid())
}

/// Locks the history of an attribute until the transaction ends, and reads it. Also answers by what it is found again.
pub fn lock_history(
    tx: &mut dyn Tx,
    ring: &KeyRing,
    project: &ProjectKey,
    attribute: &Attribute,
    now: Micros,
) -> Result<(History, Vec<u8>), Fault> {
    let digest = attribute.digest(ring, project)?;
    let found = [project.into(), digest.as_slice().into(), now.into()];
    tx.execute(&ENSURE, &found)?;
    let history = query_one(tx, &LOCK_HISTORY, &[project.into(), digest.as_slice().into()], |row| {
        Ok(History {
            begun_at: row.json(0)?,
            rests_until: row.int_opt(1)?.map(Micros),
            newest: row.parsed_opt(2)?,
            told_at: row.int_opt(3)?.map(Micros),
        })
    })?;
    // Swept just now: there was nothing in it any more.
    Ok((history.unwrap_or_default(), digest))
}

/// Writes a history that was locked.
pub fn put_history(
    tx: &mut dyn Tx,
    project: &ProjectKey,
    (history, digest): (&History, &[u8]),
    limits: &Limits,
) -> Result<(), Fault> {
    let args = [
        project.into(),
        digest.into(),
        Value::json(&history.begun_at)?,
        history.rests_until.into(),
        history.newest.into(),
        history.told_at.into(),
        history.forgotten_at(limits).into(),
    ];
    tx.execute(&PUT_HISTORY, &args).map(drop)
}

/// What becomes of a new process's code.
pub enum Telling<'a> {
    /// It is sent in this transaction.
    Now(&'a TokenValue),
    /// It is made and sent later ([`due`]), to this attribute.
    At(Micros, &'a Attribute),
}

/// Writes a new process, under the lock of its attribute. What was still to be sent about earlier ones is not.
pub fn insert(
    tx: &mut dyn Tx,
    ring: &KeyRing,
    (project, limits): (&ProjectKey, &Limits),
    (process, digest): (&Process, &[u8]),
    telling: &Telling<'_>,
    ctx: &mut Ctx,
) -> Result<(), Fault> {
    tx.execute(&SILENCE, &[project.into(), digest.into()])?;
    let (code, tell_at, to_tell) = match telling {
        Telling::Now(code) => (Code::mac(ring, process.id, code)?, None, None),
        Telling::At(at, attribute) => {
            let sealed = ring.seal(ctx, &binding(process.id), attribute.value().as_bytes())?;
            (Code::mac(ring, process.id, &Code::of_nobody(ctx))?, Some(*at), Some(sealed))
        }
    };
    let args = [
        project.into(),
        process.id.into(),
        digest.into(),
        process.kind.as_str().into(),
        process.purpose.as_str().into(),
        code.into(),
        process.created_at.into(),
        process.expires_at.into(),
        i64::from(process.attempts_max).into(),
        tell_at.into(),
        to_tell.into(),
        process.over_at(limits).into(),
    ];
    tx.execute(&INSERT, &args).map(drop)
}

/// The process with this id.
pub fn by_id(tx: &mut dyn Tx, project: &ProjectKey, id: VerificationId) -> Result<Option<Verification>, Fault> {
    query_one(tx, &BY_ID, &[project.into(), id.into()], read)
}

/// Locks the process until the transaction ends, and reads it under the lock.
pub fn lock(tx: &mut dyn Tx, project: &ProjectKey, id: VerificationId) -> Result<Option<Verification>, Fault> {
    match query_one(tx, &LOCK, &[project.into(), id.into()], |_| Ok(()))? {
        Some(()) => by_id(tx, project, id),
        None => Ok(None),
    }
}

/// Writes what became of a process that was locked.
pub fn save(tx: &mut dyn Tx, project: &ProjectKey, process: &Process, limits: &Limits) -> Result<(), Fault> {
    let args = [
        project.into(),
        process.id.into(),
        i64::from(process.attempts).into(),
        process.verified_at.into(),
        process.consumed_at.into(),
        process.reserved_by.into(),
        process.over_at(limits).into(),
    ];
    tx.execute(&SAVE, &args).map(drop)
}

/// Up to `limit` processes whose message is due.
pub fn due(tx: &mut dyn Tx, now: Micros, limit: i64) -> Result<Vec<(ProjectKey, VerificationId)>, Fault> {
    query_all(tx, &DUE, &[now.into(), limit.into()], |row| Ok((row.parsed(0)?, row.parsed(1)?)))
}

/// To whom the message about a process is to go that was locked. `None`: it has left, or must not.
pub fn to_tell(
    tx: &mut dyn Tx,
    ring: &KeyRing,
    project: &ProjectKey,
    process: &Process,
    now: Micros,
) -> Result<Option<Attribute>, Fault> {
    let args = [project.into(), process.id.into(), now.into()];
    let Some(sealed) = query_one(tx, &TO_TELL, &args, |row| row.bytes_opt(0))?.flatten() else { return Ok(None) };
    let value = ring.open(&binding(process.id), &sealed)?;
    let text = std::str::from_utf8(&value).map_err(|_| Fault::corrupt("a verification's value is no text"))?;
    let attribute = Attribute::parse(process.kind, text);
    attribute.map(Some).ok_or_else(|| Fault::corrupt("a verification's value does not parse"))
}

/// Gives a process that was locked the code that is sent in this transaction.
pub fn tell(
    tx: &mut dyn Tx,
    ring: &KeyRing,
    project: &ProjectKey,
    verification: &Verification,
    code: &TokenValue,
    now: Micros,
) -> Result<(), Fault> {
    let id = verification.process.id;
    tx.execute(&TELL, &[project.into(), id.into(), Code::mac(ring, id, code)?.into()])?;
    let args = [project.into(), verification.attribute.as_slice().into(), now.into()];
    tx.execute(&PUT_TOLD, &args).map(drop)
}

/// What is to be told when a process comes to nothing. No `Debug`: it is personal.
pub struct Notice {
    /// What was to be proved.
    pub attribute: Attribute,
    /// What for.
    pub purpose: Purpose,
    /// Whether anybody is to be told: not of an address that is nobody's.
    pub is_told: bool,
}

#[derive(Serialize, Deserialize)]
struct Noticed {
    kind: String,
    value: String,
    is_told: bool,
}

/// From now on the process is watched, in the transaction that begins it: if it comes to nothing, that is [`noticed`] when
/// its time is over, or when [`has_failed`] says so. Those that it takes the place of have come to nothing.
pub fn watch(
    tx: &mut dyn Tx,
    ring: &KeyRing,
    (project, process, digest): (&ProjectKey, &Process, &[u8]),
    (attribute, is_told): (&Attribute, bool),
    ctx: &mut Ctx,
) -> Result<(), Fault> {
    tx.execute(&HURRY, &[project.into(), digest.into(), ctx.now.into()])?;
    let (kind, value) = (attribute.kind.as_str().to_owned(), attribute.value().to_owned());
    let plain = Zeroizing::new(serde_json::to_vec(&Noticed { kind, value, is_told })?);
    let sealed = ring.seal(ctx, &notice_binding(process.id), &plain)?;
    let args = [project.into(), process.id.into(), sealed.into(), process.expires_at.into()];
    tx.execute(&WATCH, &args).map(drop)
}

/// A watched process takes no codes any more.
pub fn has_failed(tx: &mut dyn Tx, project: &ProjectKey, id: VerificationId, now: Micros) -> Result<(), Fault> {
    tx.execute(&HAS_FAILED, &[project.into(), id.into(), now.into()]).map(drop)
}

/// Up to `limit` watched processes whose time is over.
pub fn noticed(tx: &mut dyn Tx, now: Micros, limit: i64) -> Result<Vec<(ProjectKey, VerificationId)>, Fault> {
    query_all(tx, &NOTICED, &[now.into(), limit.into()], |row| Ok((row.parsed(0)?, row.parsed(1)?)))
}

/// What would be told of a process. `None`: it is not watched any more.
pub fn notice(
    tx: &mut dyn Tx,
    ring: &KeyRing,
    project: &ProjectKey,
    id: VerificationId,
) -> Result<Option<Notice>, Fault> {
    let read = |row: &dyn Row| Ok((row.bytes(0)?, row.parsed(1)?));
    let Some((sealed, purpose)) = query_one(tx, &NOTICE, &[project.into(), id.into()], read)? else { return Ok(None) };
    let noticed: Noticed = serde_json::from_slice(&ring.open(&notice_binding(id), &sealed)?)?;
    let kind = Kind::ALL.into_iter().find(|kind| kind.as_str() == noticed.kind);
    let attribute = kind.and_then(|kind| Attribute::parse(kind, &noticed.value));
    let attribute = attribute.ok_or_else(|| Fault::corrupt("a verification's notice does not parse"))?;
    Ok(Some(Notice { attribute, purpose, is_told: noticed.is_told }))
}

/// Locks the process, and ends its being watched. `None`: somebody else has.
pub fn take_notice(tx: &mut dyn Tx, project: &ProjectKey, id: VerificationId) -> Result<Option<Verification>, Fault> {
    let found = lock(tx, project, id)?;
    let is_taken = tx.execute(&TAKE_NOTICE, &[project.into(), id.into()])? == 1;
    Ok(found.filter(|_| is_taken))
}

fn notice_binding(id: VerificationId) -> String {
    format!("notice of verification {id}")
}

/// Keeps a proof for an operation: no other call can use it. False: it was used, or another operation has it.
pub fn reserve(
    tx: &mut dyn Tx,
    project: &ProjectKey,
    id: VerificationId,
    operation: OperationId,
) -> Result<bool, Fault> {
    Ok(tx.execute(&RESERVE, &[project.into(), id.into(), operation.into()])? == 1)
}

/// Gives back what an operation has reserved.
pub fn release(tx: &mut dyn Tx, project: &ProjectKey, operation: OperationId) -> Result<(), Fault> {
    tx.execute(&RELEASE, &[project.into(), operation.into()]).map(drop)
}

/// Uses up what an operation has reserved.
pub fn consume_reserved(
    tx: &mut dyn Tx,
    project: &ProjectKey,
    operation: OperationId,
    now: Micros,
) -> Result<(), Fault> {
    tx.execute(&CONSUME_RESERVED, &[project.into(), operation.into(), now.into()]).map(drop)
}

/// Uses up the proof of a process that was locked.
pub fn consume(tx: &mut dyn Tx, project: &ProjectKey, proof: &Proof, now: Micros) -> Result<(), Fault> {
    tx.execute(&CONSUME, &[project.into(), proof.id.into(), now.into()]).map(drop)
}

/// Removes all that is kept of an attribute, because the customer is erased whose it was.
pub fn forget(tx: &mut dyn Tx, ring: &KeyRing, project: &ProjectKey, attribute: &Attribute) -> Result<(), Fault> {
    let args: [Value; 2] = [project.into(), attribute.digest(ring, project)?.into()];
    tx.execute(&FORGET, &args)?;
    tx.execute(&FORGET_HISTORY, &args).map(drop)
}

/// Removes up to `limit` processes with which nothing can be done any more, and as many histories that say nothing.
pub fn sweep(tx: &mut dyn Tx, now: Micros, limit: i64) -> Result<u64, Fault> {
    tx.execute(&SWEEP_KEYS, &[now.into(), limit.into()])?;
    let processes = tx.execute(&SWEEP, &[now.into(), limit.into()])?;
    Ok(processes.max(tx.execute(&SWEEP_HISTORIES, &[now.into(), limit.into()])?))
}

fn binding(id: VerificationId) -> String {
    format!("verification {id}")
}

fn read(row: &dyn Row) -> Result<Verification, Fault> {
    let small = |column| u32::try_from(row.int(column)?).map_err(|_| Fault::corrupt("a verification's attempts"));
    let process = Process {
        id: row.parsed(0)?,
        kind: row.parsed(2)?,
        purpose: row.parsed(3)?,
        created_at: row.micros(5)?,
        expires_at: row.micros(6)?,
        attempts: small(7)?,
        attempts_max: small(8)?,
        verified_at: row.int_opt(9)?.map(Micros),
        consumed_at: row.int_opt(10)?.map(Micros),
        reserved_by: row.parsed_opt(11)?,
    };
    Ok(Verification { process, newest: row.parsed_opt(12)?, attribute: row.bytes(1)?, code: row.bytes(4)? })
}
