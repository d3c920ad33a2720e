//! The one log of messages, changes and activity.
//!
//! **Order.** `position` orders the log. On SQLite there is one writer, so position order is commit order. On
//! PostgreSQL positions come from a sequence and can become visible out of order; a reader that simply went on from the
//! last position it saw would skip the rows of slower transactions. The rule that holds there:
//!
//! * a writer has its transaction id before it takes a position: every append follows another write of the same
//!   transaction, and entries of one customer are appended under that customer's row lock;
//! * a reader takes the sequence's last value M ([`last_position`]), *then* a transaction id X of its own
//!   ([`horizon_bound`]); as soon as every transaction older than X has ended ([`horizon_passed`]), positions up to M
//!   are final: whoever took one of them had an older transaction id.
//!
//! **Changes** ([`NewChange`]) are written only while a subscription of the project wants those of that kind of resource:
//! no query shows them, so without one nobody would ever read them. Whoever asks for them gets those of every write that
//! begins after its subscription was committed.
//!
//! **Personal data** lies in side rows under a key per customer; **secrets** in a sealed column of their own.

pub mod activity;

use keyherald_core::activity::{Activity, Recorded, project_lane};
use keyherald_core::filter::{Comparison, Filter, Kind, Scalar, Test};
use keyherald_core::id::{CustomerId, MessageId, ProjectKey};
use keyherald_core::message::{Content, Facts, ForMail, Identifiers, Message, NewMessage, Personal, partition};
use keyherald_core::notice::{Change, ChangeFacts, NewChange, Notice};
use keyherald_core::relay::Positioned;
use keyherald_core::seal::{KeyRing, SealingKey, customer_key};
use keyherald_core::secret::TokenValue;
use keyherald_core::trace::TraceContext;
use keyherald_core::{Ctx, Micros};

use crate::decoy::Nature;
use crate::filter::Column;
use crate::listing::Source;
use crate::tx::{Row, query_all, query_one};
use crate::{Fault, Listing, Page, Tx, Value, event, statements};

macro_rules! columns {
    () => {
        "l.position, l.project, l.id, l.created_at, l.resource_id, l.sequence, l.resource_version, l.customer_id,
                l.visible, l.has_personal, l.facts, p.sealed, k.sealed, s.sealed, l.kind, l.trace"
    };
}

// $1: secrets that have expired by then are left out.
macro_rules! tables {
    () => {
        "FROM log l
         LEFT JOIN log_personal p ON p.position = l.position
         LEFT JOIN customer_key k ON p.position IS NOT NULL AND k.project = l.project AND k.customer_id = l.customer_id
         LEFT JOIN log_secret s ON s.position = l.position AND s.expires_at > $1 "
    };
}

macro_rules! selected {
    () => {
        concat!("SELECT ", columns!(), ", ", user!(), ", l.type ", tables!())
    };
}

// Who the customer of an activity entry is at a provider: at the first one, if there are several.
macro_rules! user {
    () => {
        "CASE WHEN l.kind = 'activity' THEN (SELECT u.user_id FROM provider_link u
              WHERE u.project = l.project AND u.customer_id = l.customer_id ORDER BY u.provider LIMIT 1) END"
    };
}

// What the relay reads: activity only where a subscription asks for it, for there is far more of it than of all else.
macro_rules! sent {
    () => {
        "(l.kind IN ('message', 'change', 'event') OR (l.kind = 'activity' AND EXISTS
              (SELECT 1 FROM subscription f WHERE f.project = l.project AND f.format = '\"NavigaActivity\"')))"
    };
}

// A message whose personal part was erased is shown only if its type can be told without it.
macro_rules! shown {
    () => {
        concat!(
            tables!(),
            "WHERE l.project = $2 AND l.kind = 'message' AND l.sequence IS NOT NULL AND l.visible = 1 AND l.created_at >= $3
               AND l.type NOT IN ('CustomerWelcomed', 'VerificationCodeCreated')
               AND (l.has_personal = 0 OR p.position IS NOT NULL
                    OR l.type IN ('CustomerPasswordUpdated', 'CustomerEmailVerified', 'CustomerDeleted',
                                  'CustomerPasswordTokenCreated', 'CustomerEmailTokenCreated'))"
        )
    };
}

pub mod feed; // after the macros that it uses

statements! {
    APPEND = "INSERT INTO log (project, kind, id, created_at, type, resource_type, resource_id, sequence, resource_version,
                  customer_id, partition, visible, has_personal, facts, trace)
              VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11,
                  COALESCE(CAST($14 AS BIGINT), (SELECT messages_enabled FROM project WHERE project = $1), 0), $12, $13, $15)
              RETURNING position, visible";
    // The casts tell PostgreSQL what it does not infer in a SELECT. Not LIKE: SQLite would prepare the statement anew for
    // each pattern.
    APPEND_CHANGE = "INSERT INTO log (project, kind, id, created_at, type, resource_type, resource_id, resource_version,
                         customer_id, partition, visible, has_personal, facts, trace)
                     SELECT $1, $13, $2, CAST($3 AS BIGINT), $4, $5, $6, CAST($7 AS BIGINT), $8, CAST($9 AS BIGINT), 0,
                         CAST($10 AS BIGINT), $11, CAST($14 AS TEXT)
                     WHERE EXISTS (SELECT 1 FROM subscription
                                   WHERE project = $1 AND changes <> '[]' AND replace(changes, $12, '') <> changes)
                     RETURNING position";
    // Whether the project mails messages of a type, or sends them by SMS: $2 is the type as JSON.
    IS_MAILED = "SELECT 1 FROM subscription
                 WHERE project = $1 AND format IN ('\"Letter\"', '\"ShortMessage\"') AND replace(messages, $2, '') <> messages";
    APPEND_PERSONAL = "INSERT INTO log_personal (position, project, customer_id, sealed) VALUES ($1, $2, $3, $4)";
    APPEND_SECRET = "INSERT INTO log_secret (position, project, token_id, expires_at, sealed) VALUES ($1, $2, $3, $4, $5)";
    PUT_KEY = "INSERT INTO customer_key (project, customer_id, sealed) VALUES ($1, $2, $3)";
    KEY = "SELECT sealed FROM customer_key WHERE project = $1 AND customer_id = $2";
    LAST_POSITION = {
        sqlite: "SELECT COALESCE((SELECT seq FROM sqlite_sequence WHERE name = 'log'), 0)",
        postgres: "SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM log_position"
    };
    POSITIONS_ARE_COMMITS = { sqlite: "SELECT 1", postgres: "SELECT 1 WHERE false" };
    // A transaction id of its own: the caller commits at once.
    HORIZON_BOUND = {
        sqlite: "SELECT 0",
        postgres: "SELECT pg_current_xact_id()::text::bigint"
    };
    HORIZON_PASSED = {
        sqlite: "SELECT 1 WHERE $1 = 0",
        postgres: "SELECT 1 WHERE pg_snapshot_xmin(pg_current_snapshot())::text::bigint > $1"
    };
    AFTER = (concat!(selected!(), "WHERE l.position > $2 AND l.position <= $3 AND ", sent!(),
                            " ORDER BY l.position LIMIT $4"));
    OF_CUSTOMER = (concat!(selected!(), "WHERE l.project = $2 AND l.customer_id = $3 AND l.position >= $4
                                         AND l.position <= $5 AND ", sent!(), " ORDER BY l.position LIMIT $6"));
    BY_ID = (concat!(selected!(), "WHERE l.project = $2 AND l.id = $3 AND l.kind = 'message'"));
    SHOWN_BY_ID = (concat!("SELECT ", columns!(), " ", shown!(), " AND l.id = $4"));
}

/// Stores a new customer's key for its personal rows, sealed under the ring.
pub fn put_customer_key(
    tx: &mut dyn Tx,
    ring: &KeyRing,
    project: &ProjectKey,
    customer: CustomerId,
    key: [u8; 32],
    ctx: &mut Ctx,
) -> Result<(), Fault> {
    let sealed = ring.seal(ctx, &key_binding(customer), &key)?;
    tx.execute(&PUT_KEY, &[project.into(), customer.into(), sealed.into()]).map(drop)
}

/// Appends a message with its personal and secret parts. Another write of the same transaction must precede it. The
/// message that a token was made is followed by that change of the token.
pub fn append(
    tx: &mut dyn Tx,
    ring: &KeyRing,
    project: &ProjectKey,
    message: &NewMessage,
    ctx: &mut Ctx,
) -> Result<(), Fault> {
    append_as(tx, ring, project, (message, Visible(None), Nature::Fact), ctx).map(drop)
}

/// The same as a decoy: for the message about somebody who is not there, where that must not be told by how long it takes.
/// The message is one to the customer who stands in.
pub fn append_decoy(
    tx: &mut dyn Tx,
    ring: &KeyRing,
    project: &ProjectKey,
    message: &NewMessage,
    ctx: &mut Ctx,
) -> Result<(), Fault> {
    append_as(tx, ring, project, (message, Visible(None), Nature::Decoy), ctx).map(drop)
}

/// The same for the messages of one change: all of them are shown, or none is. Each statement of PostgreSQL sees what was
/// committed before it, so a project that stops showing messages meanwhile would else hide some of them.
pub(crate) fn append_all(
    tx: &mut dyn Tx,
    ring: &KeyRing,
    project: &ProjectKey,
    messages: &[NewMessage],
    ctx: &mut Ctx,
) -> Result<(), Fault> {
    let append_next = |visible, message| append_as(tx, ring, project, (message, visible, Nature::Fact), ctx);
    messages.iter().try_fold(Visible(None), append_next).map(drop)
}

/// Whether queries show a message; `None`: as the project says.
#[derive(Clone, Copy)]
struct Visible(Option<bool>);

fn append_as(
    tx: &mut dyn Tx,
    ring: &KeyRing,
    project: &ProjectKey,
    (message, visible, nature): (&NewMessage, Visible, Nature),
    ctx: &mut Ctx,
) -> Result<Visible, Fault> {
    let content = &message.facts.content;
    let mail = match &message.for_mail {
        Some(mail) if is_mailed(tx, project, content)? => Some(mail),
        _ => None,
    };
    let personal = personal_of(message, mail);
    let secret = message.secret.as_ref().or_else(|| mail?.secret.as_ref());
    let has_personal = !personal.is_empty();
    let args = [
        project.into(),
        nature.kind("message").into(),
        message.id.into(),
        message.created_at.into(),
        content.type_name().into(),
        content.resource_type().as_str().into(),
        message.resource_id.hyphenated().to_string().into(),
        message.sequence.into(),
        message.resource_version.into(),
        message.customer.into(),
        i64::from(partition(message.customer)).into(),
        has_personal.into(),
        Value::json(&message.facts)?,
        visible.0.map(i64::from).into(),
        ctx.trace.as_ref().into(),
    ];
    let (position, visible) = appended(tx, &args)?;
    if has_personal {
        let plain = serde_json::to_vec(&personal)?;
        put_personal(tx, ring, (project, message.customer), (position, message.id), &nature.content(&plain), ctx)?;
    }
    if let Some((value, expires_at)) = secret {
        let seal = |text: &str| ring.seal(ctx, &binding(message.id), &nature.content(text.as_bytes()));
        let sealed = value.reveal_with(seal)?;
        let token = message.resource_id.hyphenated().to_string();
        tx.execute(
            &APPEND_SECRET,
            &[position.into(), project.into(), token.into(), (*expires_at).into(), sealed.into()],
        )?;
    }
    if let Some(change) = NewChange::of_token(message) {
        put_change(tx, project, &change, (nature, false), ctx.trace.as_ref())?;
    }
    Ok(visible)
}

fn personal_of(message: &NewMessage, mail: Option<&ForMail>) -> Personal {
    let (recipient, page) = (mail.map(|mail| mail.to.clone()), mail.and_then(|mail| mail.page.clone()));
    Personal { recipient, page, ..message.personal.clone() }
}

/// Whether somebody is mailed about such messages, or sent an SMS. Without it, no address is copied and no value kept for that.
fn is_mailed(tx: &mut dyn Tx, project: &ProjectKey, content: &Content) -> Result<bool, Fault> {
    let quoted = format!("\"{}\"", content.type_name());
    Ok(query_one(tx, &IS_MAILED, &[project.into(), quoted.into()], |_| Ok(()))?.is_some())
}

/// Appends a change of a resource that is nobody's in person, if somebody wants to hear of it. Another write of the same
/// transaction must precede it.
pub(crate) fn append_change(
    tx: &mut dyn Tx,
    project: &ProjectKey,
    change: &NewChange,
    trace: Option<&TraceContext>,
) -> Result<(), Fault> {
    put_change(tx, project, change, (Nature::Fact, false), trace).map(drop)
}

/// The same for a customer, whose own names are personal.
pub(crate) fn append_change_of_customer(
    tx: &mut dyn Tx,
    ring: &KeyRing,
    project: &ProjectKey,
    change: &NewChange,
    ctx: &mut Ctx,
) -> Result<(), Fault> {
    let personal = Personal { identifiers: change.identifiers.clone(), ..Personal::default() };
    let has_personal = !personal.is_empty();
    match put_change(tx, project, change, (Nature::Fact, has_personal), ctx.trace.as_ref())? {
        Some(position) if has_personal => {
            let plain = serde_json::to_vec(&personal)?;
            put_personal(tx, ring, (project, change.lane), (position, change.id), &plain, ctx)
        }
        _ => Ok(()),
    }
}

/// `None`: nobody wants it.
fn put_change(
    tx: &mut dyn Tx,
    project: &ProjectKey,
    change: &NewChange,
    (nature, has_personal): (Nature, bool),
    trace: Option<&TraceContext>,
) -> Result<Option<i64>, Fault> {
    let resource_type = change.facts.resource_type.as_str();
    let args = [
        project.into(),
        change.id.into(),
        change.at.into(),
        change.facts.kind.type_name().into(),
        resource_type.into(),
        change.resource_id.hyphenated().to_string().into(),
        change.version.into(),
        change.lane.into(),
        i64::from(partition(change.lane)).into(),
        has_personal.into(),
        Value::json(&change.facts)?,
        format!("\"{resource_type}\"").into(),
        nature.kind("change").into(),
        trace.into(),
    ];
    query_one(tx, &APPEND_CHANGE, &args, |row| row.int(0))
}

/// The erasable part of an entry, under the customer's own key.
fn put_personal(
    tx: &mut dyn Tx,
    ring: &KeyRing,
    (project, customer): (&ProjectKey, CustomerId),
    (position, id): (i64, MessageId),
    plain: &[u8],
    ctx: &mut Ctx,
) -> Result<(), Fault> {
    let sealed_key = query_one(tx, &KEY, &[project.into(), customer.into()], |row| row.bytes(0))?
        .ok_or_else(|| Fault::corrupt("a customer has no key for its personal rows"))?;
    let sealed = open_customer_key(ring, customer, &sealed_key)?.seal(ctx, &binding(id), plain)?;
    tx.execute(&APPEND_PERSONAL, &[position.into(), project.into(), customer.into(), sealed.into()]).map(drop)
}

fn appended(tx: &mut dyn Tx, args: &[Value]) -> Result<(i64, Visible), Fault> {
    query_one(tx, &APPEND, args, |row| Ok((row.int(0)?, Visible(Some(row.flag(1)?)))))?
        .ok_or_else(|| Fault::corrupt("an insert returned no position"))
}

/// The highest position that was ever taken; on PostgreSQL also by transactions that have not ended yet.
pub fn last_position(tx: &mut dyn Tx) -> Result<i64, Fault> {
    Ok(query_one(tx, &LAST_POSITION, &[], |row| row.int(0))?.unwrap_or(0))
}

/// Whether positions become visible in their own order, so that every position that is seen is final at once and no
/// bound is needed.
pub fn positions_are_commits(tx: &mut dyn Tx) -> Result<bool, Fault> {
    Ok(query_one(tx, &POSITIONS_ARE_COMMITS, &[], |_| Ok(()))?.is_some())
}

/// A bound for [`horizon_passed`]: to be taken after [`last_position`], in a transaction of its own.
pub fn horizon_bound(tx: &mut dyn Tx) -> Result<i64, Fault> {
    Ok(query_one(tx, &HORIZON_BOUND, &[], |row| row.int(0))?.unwrap_or(0))
}

/// Whether every transaction older than `bound` has ended.
pub fn horizon_passed(tx: &mut dyn Tx, bound: i64) -> Result<bool, Fault> {
    Ok(query_one(tx, &HORIZON_PASSED, &[bound.into()], |_| Ok(()))?.is_some())
}

/// What a subscription can be sent, and its project: the log is read across projects.
#[derive(Clone)]
pub struct Entry {
    /// Whose.
    pub project: ProjectKey,
    /// What.
    pub notice: Notice,
}

impl Positioned for Entry {
    fn position(&self) -> i64 {
        self.notice.position()
    }
}

impl Entry {
    /// The message, if it is one.
    pub fn message(&self) -> Option<&Message> {
        match &self.notice {
            Notice::Message(message) => Some(message),
            Notice::Change(_) | Notice::Activity(_) | Notice::Event(_) => None,
        }
    }
}

/// Messages, changes, and activity that somebody asks for, with `after < position <= up_to`, at most `limit`, in order. Secrets that expired by `now` are left out.
pub fn after(
    tx: &mut dyn Tx,
    ring: &KeyRing,
    (after, up_to): (i64, i64),
    limit: i64,
    now: Micros,
) -> Result<Vec<Entry>, Fault> {
    let args = [now.into(), after.into(), up_to.into(), limit.into()];
    query_all(tx, &AFTER, &args, |row| read_entry(row, ring))
}

/// One lane's messages, changes and activity with `from <= position <= up_to`, at most `limit`, in order.
pub fn of_customer(
    tx: &mut dyn Tx,
    ring: &KeyRing,
    (project, customer): (&ProjectKey, CustomerId),
    (from, up_to): (i64, i64),
    limit: i64,
    now: Micros,
) -> Result<Vec<Entry>, Fault> {
    let args = [now.into(), project.into(), customer.into(), from.into(), up_to.into(), limit.into()];
    query_all(tx, &OF_CUSTOMER, &args, |row| read_entry(row, ring))
}

/// The message with this id, visible to `/messages` or not.
pub fn by_id(
    tx: &mut dyn Tx,
    ring: &KeyRing,
    project: &ProjectKey,
    id: MessageId,
    now: Micros,
) -> Result<Option<Message>, Fault> {
    let args = [now.into(), project.into(), id.into()];
    query_one(tx, &BY_ID, &args, |row| read(row, ring))
}

/// Opens a row of the columns of `selected!`, of any kind.
fn read_entry(row: &dyn Row, ring: &KeyRing) -> Result<Entry, Fault> {
    let notice = match row.text(14)?.as_str() {
        "change" => Notice::Change(read_change(row, ring)?),
        "activity" => Notice::Activity(Box::new(read_activity(row)?)),
        "event" => Notice::Event(event::read_sending(row, (0, 4, 17), trace_of(row)?)?),
        _ => Notice::Message(Box::new(read(row, ring)?)),
    };
    Ok(Entry { project: row.parsed(1)?, notice })
}

/// Opens the row of a message.
pub(crate) fn read(row: &dyn Row, ring: &KeyRing) -> Result<Message, Fault> {
    let id: MessageId = row.parsed(2)?;
    let customer: CustomerId = row.parsed(7)?;
    let facts: Facts = row.json(10)?;
    let personal = open_personal(row, ring, id, customer)?;
    let secret = row.bytes_opt(13)?.map(|sealed| open_secret(ring, id, &sealed)).transpose()?;
    Ok(Message {
        position: row.int(0)?,
        id,
        created_at: row.micros(3)?,
        resource_id: row.parsed(4)?,
        resource_version: row.int(6)?,
        sequence: row.int(5)?,
        customer,
        visible: row.flag(8)?,
        facts,
        personal,
        secret,
        trace: trace_of(row)?,
    })
}

/// Opens the row of a change. It can always be told: what was erased is left out.
fn read_change(row: &dyn Row, ring: &KeyRing) -> Result<Change, Fault> {
    let (id, lane): (MessageId, CustomerId) = (row.parsed(2)?, row.parsed(7)?);
    let facts: ChangeFacts = row.json(10)?;
    let mut identifiers = open_personal(row, ring, id, lane)?.unwrap_or_default().identifiers;
    if let Some(key) = &facts.key {
        identifiers = Identifiers { key: Some(key.to_string()), ..identifiers };
    }
    Ok(Change {
        position: row.int(0)?,
        id,
        at: row.micros(3)?,
        resource_id: row.parsed(4)?,
        version: row.int(6)?,
        lane,
        facts,
        identifiers,
        trace: trace_of(row)?,
    })
}

fn read_activity(row: &dyn Row) -> Result<Recorded, Fault> {
    let project: ProjectKey = row.parsed(1)?;
    let customer = activity::customer(&project, row.parsed_opt(7)?);
    let trace = trace_of(row)?;
    let entry = Activity { id: row.parsed(2)?, at: row.micros(3)?, customer, facts: row.json(10)?, trace };
    Ok(Recorded {
        position: row.int(0)?,
        project_lane: project_lane(&project),
        activity: entry,
        user: row.parsed_opt(16)?,
    })
}

/// The trace in which the row arose. One that cannot be read is no reason not to tell what happened.
fn trace_of(row: &dyn Row) -> Result<Option<TraceContext>, Fault> {
    Ok(row.text_opt(15)?.and_then(|text| text.parse().ok()))
}

/// The erasable part. `None`: there was one, and it was erased.
fn open_personal(
    row: &dyn Row,
    ring: &KeyRing,
    id: MessageId,
    customer: CustomerId,
) -> Result<Option<Personal>, Fault> {
    match (row.flag(9)?, row.bytes_opt(11)?, row.bytes_opt(12)?) {
        (false, ..) => Ok(Some(Personal::default())),
        (true, Some(sealed), Some(key)) => {
            let plain = open_customer_key(ring, customer, &key)?.open(&binding(id), &sealed)?;
            Ok(Some(serde_json::from_slice(&plain)?))
        }
        (true, ..) => Ok(None),
    }
}

fn open_secret(ring: &KeyRing, id: MessageId, sealed: &[u8]) -> Result<TokenValue, Fault> {
    let plain = ring.open(&binding(id), sealed)?;
    let text = std::str::from_utf8(&plain).map_err(|_| Fault::corrupt("a sealed token value is not text"))?;
    Ok(TokenValue::from_sealed(text.to_owned()))
}

fn open_customer_key(ring: &KeyRing, customer: CustomerId, sealed: &[u8]) -> Result<SealingKey, Fault> {
    let plain = ring.open(&key_binding(customer), sealed)?;
    let bytes: [u8; 32] =
        plain.as_slice().try_into().map_err(|_| Fault::corrupt("a customer's key is not 32 bytes"))?;
    customer_key(bytes).ok_or_else(|| Fault::corrupt("a customer's key cannot be used"))
}

fn key_binding(customer: CustomerId) -> String {
    format!("customer_key:{customer}")
}

fn binding(id: MessageId) -> String {
    format!("log:{id}")
}

/// The fields by which `/messages` can be filtered and sorted (commercetools.md 6.3).
pub const QUERY_COLUMNS: &[Column] = &[
    Column::new("createdAt", Kind::Instant, "l.created_at"),
    Column::new("lastModifiedAt", Kind::Instant, "l.created_at"),
    Column::new("id", Kind::Text, "l.id").unique(),
    Column::new("version", Kind::Integer, "CAST(1 AS BIGINT)"),
    Column::new("sequenceNumber", Kind::Integer, "l.sequence"),
    Column::object("resource", "l.resource_id"),
    Column::new("resource.typeId", Kind::Text, "l.resource_type"),
    Column::new("resource.id", Kind::Text, "l.resource_id"),
    Column::new("resourceVersion", Kind::Integer, "l.resource_version"),
    Column::new("type", Kind::Text, "l.type").one_by_one(),
];

/// What `/messages` shows.
static SHOWN: Source = Source {
    name: "log::SHOWN",
    selected: columns!(),
    from: shown!(),
    columns: QUERY_COLUMNS,
    counted_whole: false, // who may see a message stands in its row
    creation: &["l.created_at", "l.position"],
};

/// A page of the messages of a project that may be shown: visible ones that happened at `oldest` or later.
pub fn shown(
    tx: &mut dyn Tx,
    ring: &KeyRing,
    project: &ProjectKey,
    oldest: Micros,
    listing: &Listing,
    now: Micros,
) -> Result<Page<Message>, Fault> {
    // Of two lower bounds SQLite takes either for the index, and reads all between them: so there is only one.
    let oldest = since(&listing.filter).map_or(oldest, |since| since.max(oldest));
    let args = vec![now.into(), project.into(), oldest.into()];
    SHOWN.page(tx, args, listing, |row| read(row, ring))
}

/// A time before which nothing matches the filter, if it has one at its top.
fn since(filter: &Filter) -> Option<Micros> {
    use Comparison::{Equal, Greater, GreaterOrEqual};
    match filter {
        Filter::And(parts) => parts.iter().filter_map(since).max(),
        Filter::Test(path, Test::Compare(Equal | Greater | GreaterOrEqual, Scalar::Instant(at))) => {
            ["createdAt", "lastModifiedAt"].contains(&path.as_str()).then_some(*at)
        }
        _ => None,
    }
}

/// The message with this id, if it may be shown.
pub fn shown_by_id(
    tx: &mut dyn Tx,
    ring: &KeyRing,
    project: &ProjectKey,
    oldest: Micros,
    id: MessageId,
    now: Micros,
) -> Result<Option<Message>, Fault> {
    let args = [now.into(), project.into(), oldest.into(), id.into()];
    query_one(tx, &SHOWN_BY_ID, &args, |row| read(row, ring))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_lower_bound_of_all_matches_counts() {
        let bound = |path: &str, comparison, at| {
            Filter::Test(path.into(), Test::Compare(comparison, Scalar::Instant(Micros(at))))
        };
        let (early, late) = (bound("createdAt", Comparison::Greater, 1), bound("lastModifiedAt", Comparison::Equal, 2));
        assert_eq!(since(&Filter::all_of([early.clone(), late.clone()])), Some(Micros(2)));
        assert_eq!(since(&early), Some(Micros(1)));
        assert_eq!(since(&bound("createdAt", Comparison::Less, 1)), None);
        assert_eq!(since(&Filter::any_of([early.clone(), late])), None, "not all matches are so late");
        assert_eq!(since(&!early), None);
    }
}
