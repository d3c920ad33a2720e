//! Operations: the customer's only open slot, their log, and the sealed password.
//!
//! **Who may write.** Everything that begins, goes on with or ends an operation takes the customer's lock first
//! ([`customer::lock`]), and so does every other write or removal of a credential: it looks at [`open_of`] and is refused
//! while one is open. Each write of an operation is guarded by its revision, which moves with every write and when another
//! process takes it over ([`claim`]): whoever was thought dead and is not finds that it has lost it ([`Lost`]).
//!
//! **Secrets.** The password is sealed under the key ring and bound to its row; it is erased with the end of the
//! operation and at its time limit ([`sweep`]), whichever comes first. The MAC that tells the same password from another
//! stays as long as no other may be sent. Both are in columns that nothing else reads.
//!
//! What is to be done next is decided in `keyherald_core::operation`; nothing here calls a provider.

mod idempotency;
mod rows;

use keyherald_core::activity::Activity;
use keyherald_core::id::{CustomerId, OperationId, ProjectKey};
use keyherald_core::operation::{Event, Operation, State};
use keyherald_core::seal::KeyRing;
use keyherald_core::secret::Password;
use keyherald_core::{Ctx, Micros};

pub use self::idempotency::{IDEMPOTENCY_LIFE_US, Repeatable, Replay, remember, replay};
use self::rows::{Erased, binding, read};
use crate::fault::FaultKind;
use crate::tx::{query_all, query_one};
use crate::{Fault, Tx, Value, customer, log, provider_link, statements, token, verification};

macro_rules! selected {
    () => {
        "SELECT o.project, o.id, o.customer_id, o.began_at, o.intent, o.log, o.hash,
             CASE WHEN o.sealed IS NULL THEN 0 ELSE 1 END, o.revision
         FROM operation o "
    };
}

statements! {
    BY_ID = (concat!(selected!(), "WHERE o.project = $1 AND o.id = $2"));
    OPEN_OF = (concat!(selected!(), "WHERE o.project = $1 AND o.customer_id = $2 AND o.state = 'open'"));
    DIVERGED_OF = (concat!(selected!(), "WHERE o.project = $1 AND o.customer_id = $2 AND o.state = 'diverged'"));
    LISTED = (concat!(selected!(), "WHERE o.project = $1 AND o.state = $2 AND o.id > $3 ORDER BY o.id LIMIT $4"));
    LATEST = "SELECT id FROM operation WHERE project = $1 AND customer_id = $2 ORDER BY began_at DESC, id DESC LIMIT 1";
    QUIET = "SELECT id, mac, quiet_until FROM operation WHERE project = $1 AND customer_id = $2 AND ended_at IS NOT NULL
             AND quiet_until > $3";
    MAC = "SELECT mac FROM operation WHERE project = $1 AND id = $2";
    SEALED = "SELECT sealed FROM operation WHERE project = $1 AND id = $2 AND expires_at > $3 AND sealed IS NOT NULL";
    INSERT = "INSERT INTO operation (project, id, customer_id, state, revision, began_at, expires_at, quiet_until, intent,
                  log, hash, sealed, mac, owner, due_at)
              VALUES ($1, $2, $3, 'open', $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)";
    SAVE = "UPDATE operation SET state = $4, revision = revision + 1, log = $5, quiet_until = $6, owner = $7, due_at = $8
            WHERE project = $1 AND id = $2 AND revision = $3 AND state IN ('open', 'closing', 'diverged')";
    // The last write of an open operation: the secrets go with it.
    END = "UPDATE operation SET state = $4, revision = revision + 1, log = $5, quiet_until = $6, intent = $7,
               hash = NULL, sealed = NULL, mac = CASE WHEN CAST($6 AS BIGINT) > CAST($8 AS BIGINT) THEN mac ELSE NULL END, owner = NULL, due_at = $9,
               ended_at = $8
           WHERE project = $1 AND id = $2 AND revision = $3 AND state = 'open'";
    DUE = {
        sqlite: "SELECT project, id FROM operation WHERE due_at <= $1 ORDER BY due_at LIMIT $2",
        postgres: "SELECT project, id FROM operation WHERE due_at <= $1 ORDER BY due_at LIMIT $2 FOR UPDATE SKIP LOCKED"
    };
    NEXT_DUE = "SELECT min(due_at) FROM operation WHERE due_at IS NOT NULL";
    CLAIM = "UPDATE operation SET owner = $3, due_at = $4, revision = revision + 1 WHERE project = $1 AND id = $2";
    FREE = "UPDATE operation SET owner = NULL, due_at = $1, revision = revision + 1 WHERE owner IS NOT NULL AND due_at > $1";
    FORGET = "DELETE FROM operation WHERE project = $1 AND customer_id = $2 AND state <> 'open'";
    SWEEP_SEALS = "UPDATE operation SET sealed = NULL WHERE (project, id) IN
                       (SELECT project, id FROM operation WHERE sealed IS NOT NULL AND expires_at <= $1
                        ORDER BY expires_at LIMIT $2)";
    SWEEP_MACS = "UPDATE operation SET mac = NULL WHERE (project, id) IN
                      (SELECT project, id FROM operation WHERE mac IS NOT NULL AND ended_at IS NOT NULL AND quiet_until <= $1
                       ORDER BY quiet_until LIMIT $2)";
    PROJECTS_AT_WORK = "SELECT DISTINCT project FROM operation WHERE state = 'open'";
    // What diverged stays until it is resolved, what is not done until it is.
    SWEEP = "DELETE FROM operation WHERE (project, id) IN
                 (SELECT project, id FROM operation WHERE ended_at <= $1 AND due_at IS NULL AND state <> 'diverged'
                  ORDER BY ended_at LIMIT $2)";
}

/// The operation with this id.
pub fn by_id(tx: &mut dyn Tx, project: &ProjectKey, id: OperationId) -> Result<Option<Operation>, Fault> {
    query_one(tx, &BY_ID, &[project.into(), id.into()], read)
}

/// The operation that holds the customer's slot. To be asked under the customer's lock by whoever is about to write or
/// remove its credential: while there is one, that is refused.
pub fn open_of(tx: &mut dyn Tx, project: &ProjectKey, customer: CustomerId) -> Result<Option<Operation>, Fault> {
    query_one(tx, &OPEN_OF, &[project.into(), customer.into()], read)
}

/// The operations that left the customer's password unknown: until one succeeds, the customer must recover.
pub fn diverged_of(tx: &mut dyn Tx, project: &ProjectKey, customer: CustomerId) -> Result<Vec<Operation>, Fault> {
    query_all(tx, &DIVERGED_OF, &[project.into(), customer.into()], read)
}

/// Operations of a project in this state after `after`, in the order in which they began, at most `limit`.
pub fn listed(
    tx: &mut dyn Tx,
    project: &ProjectKey,
    state: State,
    after: Option<OperationId>,
    limit: i64,
) -> Result<Vec<Operation>, Fault> {
    let after = after.map(|id| id.to_string()).unwrap_or_default();
    query_all(tx, &LISTED, &[project.into(), state.as_str().into(), after.into(), limit.into()], read)
}

/// The projects that have open operations.
pub fn projects_at_work(tx: &mut dyn Tx) -> Result<Vec<ProjectKey>, Fault> {
    query_all(tx, &PROJECTS_AT_WORK, &[], |row| row.parsed(0))
}

/// The customer's latest operation, ended or not. To be read before the provider is looked up: see [`slot`].
pub fn latest(tx: &mut dyn Tx, project: &ProjectKey, customer: CustomerId) -> Result<Option<OperationId>, Fault> {
    query_one(tx, &LATEST, &[project.into(), customer.into()], |row| row.parsed(0))
}

/// Whether a password can be set now.
pub enum Slot {
    /// Yes: [`begin`] in the same transaction.
    Free,
    /// The same password is underway: its outcome is the caller's as well.
    Same(Box<Operation>),
    /// Another password is underway, or an attempt with another one may still take effect until then.
    Taken {
        /// Not before. `None`: when the operation ends.
        until: Option<Micros>,
    },
    /// Another operation began since the provider was looked up: what was read there says nothing about before.
    LookAgain,
}

/// Looks at the customer's slot on behalf of `password`. The caller holds the customer's lock until it has begun.
///
/// `seen` is what [`latest`] said before the provider was looked up.
pub fn slot(
    tx: &mut dyn Tx,
    ring: &KeyRing,
    (project, customer): (&ProjectKey, CustomerId),
    password: &Password,
    seen: Option<OperationId>,
    now: Micros,
) -> Result<Slot, Fault> {
    if let Some(open) = open_of(tx, project, customer)? {
        let mac = query_one(tx, &MAC, &[project.into(), open.id.into()], |row| row.bytes_opt(0))?.flatten();
        let same = is_same(ring, open.id, mac.as_deref(), password)?;
        return Ok(if same { Slot::Same(Box::new(open)) } else { Slot::Taken { until: None } });
    }
    let row = |row: &dyn crate::Row| Ok((row.parsed::<OperationId>(0)?, row.bytes_opt(1)?, row.micros(2)?));
    for (id, mac, until) in query_all(tx, &QUIET, &[project.into(), customer.into(), now.into()], row)? {
        if !is_same(ring, id, mac.as_deref(), password)? {
            return Ok(Slot::Taken { until: Some(until) });
        }
    }
    Ok(if latest(tx, project, customer)? == seen { Slot::Free } else { Slot::LookAgain })
}

fn is_same(ring: &KeyRing, id: OperationId, mac: Option<&[u8]>, password: &Password) -> Result<bool, Fault> {
    match mac {
        Some(mac) => Ok(password.hash_with(|bytes| ring.is_mac_of(mac, &binding(id), bytes))?),
        None => Ok(false),
    }
}

/// Until when an operation is somebody's, or when it is due again.
#[derive(Clone, Copy)]
pub enum Due<'a> {
    /// This process goes on with it. If it has not written until then, another one takes over.
    Held {
        /// The process.
        by: &'a str,
        /// The end of its lease.
        until: Micros,
    },
    /// Nobody's until then.
    At(Micros),
    /// Nothing is left to do.
    Never,
}

impl Due<'_> {
    fn columns(self) -> [Value; 2] {
        match self {
            Self::Held { by, until } => [by.into(), until.into()],
            Self::At(at) => [Value::Null, at.into()],
            Self::Never => [Value::Null, Value::Null],
        }
    }
}

/// What is committed before the provider is touched.
pub struct Begin<'a> {
    /// The operation, with its first attempt noted.
    pub operation: &'a Operation,
    /// Its password.
    pub password: &'a Password,
    /// Whether the password is kept, sealed, so that another process can go on with it.
    pub keep_password: bool,
    /// The request, if its caller may repeat it.
    pub repeatable: Option<Repeatable<'a>>,
    /// The entries of the look-ups.
    pub looked_up: &'a [Activity],
    /// Who performs it.
    pub due: Due<'a>,
}

/// Commits an intent: takes the slot, reserves the token and the proofs, seals the password. The caller holds the customer's lock, has
/// found the slot free ([`slot`]), and has refused what can be refused.
///
/// False, and nothing is written: the token or a proof is not there any more, or another operation has reserved it.
pub fn begin(tx: &mut dyn Tx, ring: &KeyRing, begin: &Begin<'_>, ctx: &mut Ctx) -> Result<bool, Fault> {
    let Begin { operation, password, .. } = begin;
    let (project, id) = (&operation.project, operation.id);
    if let Some(token) = operation.intent.token
        && !token::reserve(tx, project, operation.customer, token, id)?
    {
        return Ok(false);
    }
    for proof in &operation.intent.proofs {
        if !verification::reserve(tx, project, proof.id, id)? {
            // What was reserved before it stays as it was.
            verification::release(tx, project, id)?;
            token::release(tx, project, operation.customer, id)?;
            return Ok(false);
        }
    }
    let binding = binding(id);
    let mut seal = || password.hash_with(|bytes| ring.seal(ctx, &binding, bytes));
    let sealed = if begin.keep_password { Some(seal()?) } else { None };
    let [owner, due_at] = begin.due.columns();
    let args = [
        project.into(),
        id.into(),
        operation.customer.into(),
        operation.revision.into(),
        operation.began_at.into(),
        operation.expires_at().into(),
        operation.quiet_until().into(),
        Value::json(&operation.intent)?,
        Value::json(&operation.log)?,
        operation.hash.as_ref().map(keyherald_core::credential::PasswordHash::as_phc).into(),
        sealed.into(),
        password.hash_with(|bytes| ring.mac(&binding, bytes))?.into(),
        owner,
        due_at,
    ];
    tx.execute(&INSERT, &args)?;
    if let Some(repeatable) = &begin.repeatable {
        idempotency::put(tx, ring, project, repeatable, id, ctx.now)?;
    }
    append(tx, project, begin.looked_up)?;
    Ok(true)
}

/// Another process took the operation over, or it has ended: nothing was written, and nothing more is to be done here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lost;

/// Stores what was recorded, and the entries that it leaves. Answers the operation at its new revision.
pub fn save(
    tx: &mut dyn Tx,
    operation: &Operation,
    activity: &[Activity],
    due: Due<'_>,
) -> Result<Result<Operation, Lost>, Fault> {
    let [owner, due_at] = due.columns();
    if !activity.is_empty() {
        customer::lock(tx, &operation.project, operation.customer)?;
    }
    let args = [
        (&operation.project).into(),
        operation.id.into(),
        operation.revision.into(),
        operation.state().as_str().into(),
        Value::json(&operation.log)?,
        operation.quiet_until().into(),
        owner,
        due_at,
    ];
    if tx.execute(&SAVE, &args)? == 0 {
        return Ok(Err(Lost));
    }
    append(tx, &operation.project, activity)?;
    Ok(Ok(Operation { revision: operation.revision + 1, ..operation.clone() }))
}

/// Writes the outcome of an accepted password in one transaction: the credential, the end of all password tokens (the
/// reserved one among them) and of all sessions, the message, the change, the entries, and the end of the operation with
/// its secrets. Guarded by the operation, whatever the customer's version is by now. Divergences of this customer are
/// resolved with it.
///
/// Answers the operation with its end, also if the customer is gone: then nothing but that is written.
pub fn commit(
    tx: &mut dyn Tx,
    ring: &KeyRing,
    operation: &Operation,
    activity: &[Activity],
    ctx: &mut Ctx,
) -> Result<Result<Operation, Lost>, Fault> {
    let (project, id) = (&operation.project, operation.customer);
    let locked = customer::lock(tx, project, id)?;
    let set = locked.map(|customer| operation.commit(&customer, ctx));
    let event = set.as_ref().map_or(Event::CustomerGone, |set| Event::Committed(set.customer.version));
    let ended = match finish(tx, operation, &event, ctx.now)? {
        Ok(ended) => ended,
        Err(Lost) => return Ok(Err(Lost)),
    };
    if let Some(set) = &set {
        customer::set_password(tx, ring, project, set, ctx)?;
        for diverged in diverged_of(tx, project, id)? {
            let resolved = diverged.record(Event::Resolved, ctx.now);
            let entry = resolved.activity_of(&Event::Resolved, None, ctx);
            let _ = save(tx, &resolved, entry.as_slice(), Due::Never)?;
        }
    }
    append(tx, project, activity)?;
    append(tx, project, ended.activity_of(&event, None, ctx).as_slice())?;
    Ok(Ok(ended))
}

/// Ends an operation that changed nothing ([`Event::Released`]) or of which nobody knows ([`Event::Diverged`]): the token
/// is free again, the secrets are gone. What was released for want of an answer can be asked for again with the same
/// idempotency key.
pub fn end(
    tx: &mut dyn Tx,
    operation: &Operation,
    event: &Event,
    activity: &[Activity],
    ctx: &mut Ctx,
) -> Result<Result<Operation, Lost>, Fault> {
    if !matches!(event, Event::Released(_) | Event::Diverged) {
        return Err(Fault::new(FaultKind::Internal, "only a release or a divergence ends an operation so"));
    }
    customer::lock(tx, &operation.project, operation.customer)?;
    let ended = match finish(tx, operation, event, ctx.now)? {
        Ok(ended) => ended,
        Err(Lost) => return Ok(Err(Lost)),
    };
    if idempotency::may_be_asked_again(event) {
        idempotency::free(tx, &operation.project, operation.id)?;
    }
    append(tx, &operation.project, activity)?;
    append(tx, &operation.project, ended.activity_of(event, None, ctx).as_slice())?;
    Ok(Ok(ended))
}

/// The last write of an open operation.
fn finish(
    tx: &mut dyn Tx,
    operation: &Operation,
    event: &Event,
    now: Micros,
) -> Result<Result<Operation, Lost>, Fault> {
    let mut ended = operation.record(event.clone(), now);
    let state = ended.state();
    if state == State::Open {
        return Err(Fault::new(FaultKind::Internal, "an operation did not end with its end"));
    }
    ended.hash = None;
    ended.password_at_hand = false;
    ended.intent = Erased { customer_too: state == State::Gone }.of(&ended.intent)?;
    ended.revision += 1;
    let due_at = if state == State::Closing { now.into() } else { Value::Null };
    let args = [
        (&ended.project).into(),
        ended.id.into(),
        operation.revision.into(),
        state.as_str().into(),
        Value::json(&ended.log)?,
        ended.quiet_until().into(),
        Value::json(&ended.intent)?,
        now.into(),
        due_at,
    ];
    if tx.execute(&END, &args)? == 0 {
        return Ok(Err(Lost));
    }
    if operation.intent.token.is_some() {
        token::release(tx, &ended.project, ended.customer, ended.id)?;
    }
    match event {
        _ if operation.intent.proofs.is_empty() => {}
        Event::Committed(_) => verification::consume_reserved(tx, &ended.project, ended.id, now)?,
        _ => verification::release(tx, &ended.project, ended.id)?,
    }
    Ok(Ok(ended))
}

/// Takes over up to `limit` operations that are due, those of dead processes among them. Two processes never get the
/// same one.
pub fn claim(
    tx: &mut dyn Tx,
    (owner, until): (&str, Micros),
    now: Micros,
    limit: i64,
) -> Result<Vec<Operation>, Fault> {
    let due = query_all(tx, &DUE, &[now.into(), limit.into()], |row| {
        Ok((row.parsed::<ProjectKey>(0)?, row.parsed::<OperationId>(1)?))
    })?;
    let mut claimed = Vec::with_capacity(due.len());
    for (project, id) in due {
        tx.execute(&CLAIM, &[(&project).into(), id.into(), owner.into(), until.into()])?;
        claimed.extend(by_id(tx, &project, id)?);
    }
    Ok(claimed)
}

/// Frees all that processes hold which cannot be alive any more: for whoever knows to be alone. Returns how many.
pub fn free(tx: &mut dyn Tx, now: Micros) -> Result<u64, Fault> {
    tx.execute(&FREE, &[now.into()])
}

/// When the next operation is due. `None`: none is at work.
pub fn next_due(tx: &mut dyn Tx) -> Result<Option<Micros>, Fault> {
    Ok(query_one(tx, &NEXT_DUE, &[], |row| row.int_opt(0))?.flatten().map(Micros))
}

/// The password of an open operation, out of its seal. `None`: not kept, or its time is over.
pub fn password(
    tx: &mut dyn Tx,
    ring: &KeyRing,
    project: &ProjectKey,
    id: OperationId,
    now: Micros,
) -> Result<Option<Password>, Fault> {
    let sealed = query_one(tx, &SEALED, &[project.into(), id.into(), now.into()], |row| row.bytes(0))?;
    sealed.map(|sealed| rows::open(ring, id, &sealed)).transpose()
}

/// Forgets the operations of a customer that is deleted, and who it is at providers.
pub(crate) fn forget(tx: &mut dyn Tx, project: &ProjectKey, customer: CustomerId) -> Result<(), Fault> {
    idempotency::delete_of_customer(tx, project, customer)?;
    tx.execute(&FORGET, &[project.into(), customer.into()])?;
    provider_link::delete_of_customer(tx, project, customer)
}

/// Erases up to `limit` sealed passwords whose time is over, as many MACs and idempotency keys that nothing needs any
/// more, and as many operations that ended before `older_than`; answers how many rows that were.
pub fn sweep(tx: &mut dyn Tx, now: Micros, older_than: Micros, limit: i64) -> Result<u64, Fault> {
    let mut rows = idempotency::sweep(tx, now, limit)?;
    for statement in [&SWEEP_SEALS, &SWEEP_MACS] {
        rows += tx.execute(statement, &[now.into(), limit.into()])?;
    }
    // The answers to idempotency keys are read from the operations.
    let older_than = older_than.min(now.plus(-IDEMPOTENCY_LIFE_US));
    Ok(rows + tx.execute(&SWEEP, &[older_than.into(), limit.into()])?)
}

fn append(tx: &mut dyn Tx, project: &ProjectKey, activity: &[Activity]) -> Result<(), Fault> {
    activity.iter().try_for_each(|entry| log::activity::append(tx, project, entry))
}

/// Every statement of the folder's other files.
pub(crate) use self::idempotency::STATEMENTS as IDEMPOTENCY_STATEMENTS;
