//! Rewriting a SQLite file, so that unused parts of its pages hold nothing of what was erased.

use std::path::Path;

use keyherald_core::Ctx;
use rusqlite::Connection;

use super::{Store, StoreUrl};
use crate::{Fault, FaultKind, erase};

impl Store {
    /// If customers were erased since the last time, rewrites the SQLite file and empties its write-ahead log; says how
    /// many there were, ten thousand at most at a time. On PostgreSQL there is nothing that a server could do while it
    /// serves: see [`erase`].
    ///
    /// For a quiet hour: it needs the room of the file once more, writes wait meanwhile, and those that have waited for
    /// [`StoreOptions::statement_timeout`](super::StoreOptions::statement_timeout) fail with `Contention`. Harmless when
    /// it is cut off or repeated.
    pub async fn scrub(&self, ctx: &Ctx) -> Result<usize, Fault> {
        let StoreUrl::Sqlite(path) = self.inner.url.clone() else { return Ok(0) };
        let noted = self.read(erase::noted).await?;
        if noted.is_empty() {
            return Ok(0);
        }
        let rewritten = tokio::task::spawn_blocking(move || rewrite(&path)).await;
        let failed = |text| Fault::new(FaultKind::Unavailable, text);
        if !rewritten.map_err(|_| failed("the rewriting of the SQLite file was cut off"))?.map_err(cannot)? {
            return Err(failed("the SQLite file is rewritten, but its log is still being read: later"));
        }
        let count = noted.len();
        self.write(ctx, move |tx, _| erase::forget(tx, &noted)).await?;
        Ok(count)
    }
}

/// False: readers kept the log from being emptied.
fn rewrite(path: &Path) -> rusqlite::Result<bool> {
    let connection = Connection::open(path)?;
    connection.pragma_update(None, "secure_delete", true)?;
    connection.execute_batch("VACUUM")?;
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0)).map(|busy: i64| busy == 0)
}

fn cannot(cause: rusqlite::Error) -> Fault {
    Fault::caused(FaultKind::Unavailable, "the SQLite file cannot be rewritten", cause)
}
