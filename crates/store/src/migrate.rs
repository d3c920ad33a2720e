//! Migrations: numbered texts that bring a database to the form this program knows.
//!
//! Both engines have the same numbers and names. Each migration is one transaction together with its row in
//! `keyherald_migration`, so a process that dies leaves a whole number of them. Several nodes may start at once: SQLite's
//! write lock or an advisory lock of PostgreSQL lets one at a time look and apply. That lock is only ever tried, in a
//! loop with a time limit: a session that waits for it inside a transaction would hold back others.
//!
//! A migration that was applied is never edited; what it should have been is a new one.
//!
//! **Two versions side by side.** While nodes are replaced one by one, the old version works on a database that the new one has
//! migrated, and is started on it again if it dies. So a release expands: it adds columns that have a default or may be NULL,
//! tables and indexes, and leaves what the release before it reads and writes. What nobody uses any more is taken away by a
//! later release, which contracts: its migration sets `keyherald_compatibility.oldest`, and programs that know fewer
//! migrations than that are refused.

use std::time::{Duration, Instant};

use keyherald_core::{Ctx, Micros};
use sha2::{Digest, Sha256};

use crate::tx::{query_all, query_one};
use crate::{Fault, FaultKind, Sql, Store, Tx};

/// How long a node waits for another one that migrates.
const WAIT_MAX: Duration = Duration::from_mins(1);
/// How often it looks.
const WAIT_STEP: Duration = Duration::from_millis(50);

macro_rules! migration {
    ($number:literal, $name:literal) => {
        Migration {
            number: $number,
            name: $name,
            script: Sql::split(
                $name,
                include_str!(concat!("../migrations/sqlite/", $name, ".sql")),
                include_str!(concat!("../migrations/postgres/", $name, ".sql")),
            ),
        }
    };
}

/// Every migration, in order. To add one: a file of the same name in both folders, and a line here.
pub static MIGRATIONS: &[Migration] = &[
    migration!(1, "0001_init"),
    migration!(2, "0002_stores"),
    migration!(3, "0003_changes"),
    migration!(4, "0004_queries"),
    migration!(5, "0005_grants_and_settings"),
    migration!(6, "0006_operations"),
    migration!(7, "0007_activity"),
    migration!(8, "0008_registrations"),
    migration!(9, "0009_registration_drafts"),
    migration!(10, "0010_verifications"),
    migration!(11, "0011_events"),
    migration!(12, "0012_former_passwords"),
    migration!(13, "0013_records_in_doubt"),
    migration!(14, "0014_leases"),
    migration!(15, "0015_failures"),
    migration!(16, "0016_feed"),
    migration!(17, "0017_interventions"),
    migration!(18, "0018_webhooks"),
    migration!(19, "0019_compatibility"),
    migration!(20, "0020_traces"),
    migration!(21, "0021_filters"),
    migration!(22, "0022_attempts_by_position"),
];

/// One step of the database's form.
#[derive(Debug, Clone)]
pub struct Migration {
    /// Its place, from 1, without gaps.
    pub number: i64,
    /// Its file name without `.sql`.
    pub name: &'static str,
    /// Its statements, each ended by `;`.
    pub script: Sql,
}

/// A migration that the database has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// Its place.
    pub number: i64,
    /// Its name.
    pub name: String,
    /// SHA-256 of its text, in hexadecimal.
    pub checksum: String,
    /// When.
    pub applied_at: Micros,
}

/// What the database has and what it lacks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MigrationStatus {
    /// In order.
    pub applied: Vec<Applied>,
    /// Names, in order.
    pub pending: Vec<&'static str>,
    /// How many of the applied ones a newer program has brought.
    pub ahead: usize,
}

static TABLE_EXISTS: Sql = Sql::split(
    "migrate::TABLE_EXISTS",
    "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'keyherald_migration'",
    "SELECT 1 FROM pg_class WHERE oid = to_regclass('keyherald_migration')",
);
static CREATE_TABLE: Sql = Sql::split(
    "migrate::CREATE_TABLE",
    "CREATE TABLE IF NOT EXISTS keyherald_migration (number INTEGER PRIMARY KEY, name TEXT NOT NULL, checksum TEXT NOT NULL,
        applied_at INTEGER NOT NULL) STRICT",
    "CREATE TABLE IF NOT EXISTS keyherald_migration (number BIGINT PRIMARY KEY, name TEXT NOT NULL, checksum TEXT NOT NULL,
        applied_at BIGINT NOT NULL)",
);
static APPLIED: Sql =
    Sql::both("migrate::APPLIED", "SELECT number, name, checksum, applied_at FROM keyherald_migration ORDER BY number");
static COMPATIBILITY_EXISTS: Sql = Sql::split(
    "migrate::COMPATIBILITY_EXISTS",
    "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'keyherald_compatibility'",
    "SELECT 1 FROM pg_class WHERE oid = to_regclass('keyherald_compatibility')",
);
static OLDEST: Sql = Sql::both("migrate::OLDEST", "SELECT oldest FROM keyherald_compatibility");
static NOTE: Sql = Sql::both(
    "migrate::NOTE",
    "INSERT INTO keyherald_migration (number, name, checksum, applied_at) VALUES ($1, $2, $3, $4)",
);
/// The number is arbitrary and only ours. SQLite's writer has the write lock anyway.
static TRY_LOCK: Sql = Sql::split(
    "migrate::TRY_LOCK",
    "SELECT 1",
    "SELECT CASE WHEN pg_try_advisory_xact_lock(7382119040551) THEN 1 ELSE 0 END",
);
/// A migration may take longer than any other statement. (SQLite has no such limit on its writer.)
static NO_TIME_LIMIT: Sql = Sql::split("migrate::NO_TIME_LIMIT", "SELECT 1", "SET LOCAL statement_timeout = 0");

/// One look under the lock.
enum Step {
    Applied(i64),
    NothingPending {
        /// How many a newer program has applied besides.
        ahead: usize,
    },
    /// Another node migrates.
    Locked,
}

/// Applies what is pending of `list`, one transaction each; returns the numbers applied.
pub async fn apply(store: &Store, list: &'static [Migration], now: Micros) -> Result<Vec<i64>, Fault> {
    let ctx = Ctx::new(now, [0; 32]); // nothing random is in a migration
    let engine = store.engine_name();
    let mut numbers = Vec::new();
    let mut waiting_since = Instant::now();
    loop {
        let step = match store.write(&ctx, move |tx, _| step(tx, engine, list, now)).await {
            // On SQLite the other node holds the write lock itself; on PostgreSQL some work holds a table's lock.
            Err(fault) if fault.kind() == FaultKind::Contention => Step::Locked,
            step => step?,
        };
        match step {
            Step::Applied(number) => {
                tracing::info!(number, "migration {number} applied");
                numbers.push(number);
                waiting_since = Instant::now();
            }
            Step::NothingPending { ahead } => {
                if ahead > 0 {
                    tracing::info!(
                        ahead,
                        "a newer Keyherald has used the database: {ahead} migrations this one need not know"
                    );
                }
                return Ok(numbers);
            }
            Step::Locked if waiting_since.elapsed() < WAIT_MAX => tokio::time::sleep(WAIT_STEP).await,
            Step::Locked => {
                let text = "for a minute another node has been migrating this database, or has held locks that a \
                            migration needs: wait for it, then start again";
                return Err(Fault::new(FaultKind::Unavailable, text));
            }
        }
    }
}

/// What `list` has that the database has not.
pub async fn status(store: &Store, list: &'static [Migration]) -> Result<MigrationStatus, Fault> {
    let engine = store.engine_name();
    store
        .read(move |tx| {
            let found = Found::read(tx)?;
            let pending = found.pending(engine, list)?.iter().map(|migration| migration.name).collect();
            let ahead = found.ahead(list);
            Ok(MigrationStatus { applied: found.applied, pending, ahead })
        })
        .await
}

fn step(tx: &mut dyn Tx, engine: &str, list: &'static [Migration], now: Micros) -> Result<Step, Fault> {
    if query_one(tx, &TRY_LOCK, &[], |row| row.flag(0))? != Some(true) {
        return Ok(Step::Locked);
    }
    // Looked at again in every step: another node may have been here in between.
    let found = Found::read(tx)?;
    let Some(next) = found.pending(engine, list)?.first() else {
        return Ok(Step::NothingPending { ahead: found.ahead(list) });
    };
    tx.query(&NO_TIME_LIMIT, &[], &mut |_| Ok(()))?;
    if found.applied.is_empty() {
        tx.execute(&CREATE_TABLE, &[])?;
    }
    for statement in statements(next.text(engine)) {
        tx.execute(&Sql::built(next.name, statement), &[])?;
    }
    tx.execute(&NOTE, &[next.number.into(), next.name.into(), next.checksum(engine).into(), now.into()])?;
    Ok(Step::Applied(next.number))
}

/// What a database says of itself.
struct Found {
    applied: Vec<Applied>,
    /// The number up to which a program must know migrations. `None`: it does not say, and must not be ahead.
    oldest: Option<i64>,
}

impl Found {
    fn read(tx: &mut dyn Tx) -> Result<Self, Fault> {
        if query_one(tx, &TABLE_EXISTS, &[], |_| Ok(()))?.is_none() {
            return Ok(Self { applied: Vec::new(), oldest: None });
        }
        let applied = query_all(tx, &APPLIED, &[], |row| {
            Ok(Applied { number: row.int(0)?, name: row.text(1)?, checksum: row.text(2)?, applied_at: row.micros(3)? })
        })?;
        let oldest = match query_one(tx, &COMPATIBILITY_EXISTS, &[], |_| Ok(()))? {
            Some(()) => query_one(tx, &OLDEST, &[], |row| row.int(0))?,
            None => None,
        };
        Ok(Self { applied, oldest })
    }

    /// How many it has after all of `list`.
    fn ahead(&self, list: &[Migration]) -> usize {
        let known = list.last().map_or(0, |last| last.number);
        self.applied.iter().filter(|one| one.number > known).count()
    }

    /// Compares, and returns the rest of `list`.
    fn pending(&self, engine: &str, list: &'static [Migration]) -> Result<&'static [Migration], Fault> {
        let known = list.last().map_or(0, |last| last.number);
        let newest = self.applied.iter().map(|one| one.number).max().unwrap_or_default();
        if newest > known && self.oldest.is_none_or(|oldest| oldest > known) {
            let text = format!(
                "the database has migration {newest}, this program knows none after {known}: a newer Keyherald has used it. \
                 Run that version or a later one, or restore a backup from before the upgrade"
            );
            return Err(Fault::new(FaultKind::Newer, text));
        }
        for (one, migration) in self.applied.iter().zip(list) {
            if one.number != migration.number
                || one.name != migration.name
                || one.checksum != migration.checksum(engine)
            {
                let text = format!(
                    "migration {} was applied as {} with the checksum {}, but this program has {} with the checksum {}: \
                     an applied migration must not be edited. Run the Keyherald that applied it, or restore a backup",
                    one.number,
                    one.name,
                    one.checksum,
                    migration.name,
                    migration.checksum(engine)
                );
                return Err(Fault::new(FaultKind::Corrupt, text));
            }
        }
        Ok(list.get(self.applied.len()..).unwrap_or_default())
    }
}

impl Migration {
    fn text(&self, engine: &str) -> &str {
        if engine == "sqlite" { &self.script.sqlite } else { &self.script.postgres }
    }

    /// SHA-256 in hexadecimal; the same for a checkout with other line ends.
    fn checksum(&self, engine: &str) -> String {
        let digest = Sha256::digest(self.text(engine).replace("\r\n", "\n"));
        digest.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
    }
}

/// The statements of a script, without comments. Knows `'..'`, `".."` and `--`, which is all that migrations use.
fn statements(script: &str) -> Vec<String> {
    let mut statements = Vec::new();
    let mut current = String::new();
    let mut quote = None;
    let mut characters = script.chars().peekable();
    while let Some(character) = characters.next() {
        match (quote, character) {
            (None, '-') if characters.peek() == Some(&'-') => {
                while characters.next_if(|next| *next != '\n').is_some() {}
            }
            (None, ';') => statements.push(std::mem::take(&mut current)),
            (None, '\'' | '"') => {
                quote = Some(character);
                current.push(character);
            }
            (Some(open), _) if open == character => {
                quote = None;
                current.push(character);
            }
            _ => current.push(character),
        }
    }
    statements.push(current);
    statements.into_iter().map(|text| text.trim().to_owned()).filter(|text| !text.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    #[test]
    fn statements_are_told_apart() {
        let script = "-- a; comment\nCREATE TABLE a (b TEXT DEFAULT 'x;--y''s'); -- after\n\n INSERT INTO \"c;d\" \n\
                      VALUES (1 - -1);\n-- last";
        assert_eq!(
            statements(script),
            ["CREATE TABLE a (b TEXT DEFAULT 'x;--y''s')", "INSERT INTO \"c;d\" \nVALUES (1 - -1)"]
        );
    }

    #[test]
    fn list_and_folders_agree() {
        let listed: BTreeSet<String> = MIGRATIONS.iter().map(|migration| format!("{}.sql", migration.name)).collect();
        for engine in ["sqlite", "postgres"] {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations").join(engine);
            let files: BTreeSet<String> =
                folder.read_dir().unwrap().map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
            assert_eq!(files, listed, "{engine}");
        }
        for (place, migration) in MIGRATIONS.iter().enumerate() {
            assert_eq!(usize::try_from(migration.number).unwrap(), place + 1);
            assert!(migration.name.starts_with(&format!("{:04}_", migration.number)), "{}", migration.name);
        }
    }

    /// The last one before a release could be upgraded node by node.
    const BASELINE: i64 = 19;

    /// What the release before would miss, or could not fill.
    fn contracts(statement: &str) -> bool {
        let text = statement.to_uppercase().split_whitespace().collect::<Vec<_>>().join(" ");
        let takes = text.starts_with("DROP TABLE")
            || text.starts_with("DELETE")
            || text.starts_with("ALTER TABLE")
                && (["DROP", "RENAME", "ALTER COLUMN"].iter().any(|word| text.contains(word))
                    || text.contains("ADD COLUMN") && text.contains("NOT NULL") && !text.contains("DEFAULT"));
        takes || text.starts_with("CREATE UNIQUE INDEX")
    }

    #[test]
    fn whatever_contracts_says_so() {
        for statement in [
            "ALTER TABLE customer DROP COLUMN locale",
            "ALTER TABLE customer ADD COLUMN a TEXT NOT NULL",
            "DROP TABLE customer",
            "CREATE UNIQUE INDEX a ON customer (b)",
        ] {
            assert!(contracts(statement), "{statement}");
        }
        for statement in [
            "ALTER TABLE customer ADD COLUMN a TEXT",
            "ALTER TABLE customer ADD COLUMN a BIGINT NOT NULL DEFAULT 0",
            "CREATE TABLE a (b TEXT NOT NULL)",
            "CREATE INDEX a ON customer (b)",
        ] {
            assert!(!contracts(statement), "{statement}");
        }
        for migration in MIGRATIONS.iter().filter(|migration| migration.number > BASELINE) {
            for engine in ["sqlite", "postgres"] {
                let script = statements(migration.text(engine));
                let says =
                    script.contains(&format!("UPDATE keyherald_compatibility SET oldest = {}", migration.number));
                let contracts: Vec<_> = script.iter().filter(|statement| contracts(statement)).collect();
                assert_eq!(says, !contracts.is_empty(), "{} {engine}: {contracts:?}", migration.name);
            }
        }
    }

    #[test]
    fn line_ends_do_not_change_a_checksum() {
        let unix = Migration { number: 1, name: "a", script: Sql::both("a", "SELECT 1;\nSELECT 2;\n") };
        let dos = Migration { script: Sql::both("a", "SELECT 1;\r\nSELECT 2;\r\n"), ..unix.clone() };
        assert_eq!(unix.checksum("sqlite"), dos.checksum("sqlite"));
    }
}
