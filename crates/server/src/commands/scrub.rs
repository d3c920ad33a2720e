//! `keyherald scrub`: what erasing a customer leaves behind in unused parts of the database file.

use std::io::{IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use keyherald_store::{Fault, Store, StoreUrl};

use super::print;
use crate::boot;
use crate::clock::Moments;
use crate::complaint::Complaint;
use crate::config::Config;

/// What an operator of PostgreSQL runs instead: the tables that hold something of customers.
const ON_POSTGRES: &str = "when few write, run with psql: VACUUM (FULL, ANALYZE) customer, customer_email, customer_key, credential, \
                           token, session, log, log_personal, log_secret, dead_letter; each table is locked while it is rewritten";

/// Rewrites a SQLite file if customers were erased since the last time, and says what it did.
pub async fn run(config: Config) -> Result<ExitCode, Complaint> {
    let url = boot::store_url(&config)?;
    let StoreUrl::Sqlite(path) = &url else {
        return Err(Complaint::new("PostgreSQL's files are rewritten by its own commands").hint(ON_POSTGRES));
    };
    if !path.exists() {
        return Err(Complaint::new(format!("there is no database {}", path.display())));
    }
    let store = boot::open_store(&config)?;
    let outcome = rewrite(&store, path).await;
    store.close().await;
    let erased = outcome.map_err(|fault| {
        Complaint::because("the database file cannot be scrubbed", &fault).hint(
            "nothing is lost, and it can be run again: in a quiet hour, with room for the file once more on its disk, \
             after `keyherald migrate` if that was not run yet",
        )
    })?;
    print(&erased);
    Ok(ExitCode::SUCCESS)
}

async fn rewrite(store: &Store, path: &Path) -> Result<String, Fault> {
    let (before, begun) = (size(path), Instant::now());
    let ctx = Moments::of_system().ctx();
    let mut scrub = std::pin::pin!(store.scrub(&ctx));
    let on_terminal = std::io::stderr().is_terminal();
    let every = Duration::from_secs(if on_terminal { 1 } else { 10 });
    let customers = loop {
        tokio::select! {
            done = &mut scrub => break done?,
            () = tokio::time::sleep(every) => tick(on_terminal, begun.elapsed(), &before),
        }
    };
    if on_terminal {
        tell("\r\u{1b}[K");
    }
    if customers == 0 {
        return Ok("nothing to do: no customer was erased since the file was rewritten last".to_owned());
    }
    let took = begun.elapsed().as_secs_f32();
    Ok(format!(
        "rewrote {} in {took:.1} s: {before} before, {} now; nothing is left in it of {customers} erased customers",
        path.display(),
        size(path)
    ))
}

/// How large the file is, for people.
fn size(path: &Path) -> String {
    match std::fs::metadata(path) {
        Ok(file) if file.len() < 10 * 1024 * 1024 => format!("{} KiB", file.len() / 1024),
        Ok(file) => format!("{} MiB", file.len() / 1024 / 1024),
        Err(_) => "of unknown size".to_owned(),
    }
}

fn tick(on_terminal: bool, since: Duration, size: &str) {
    let (begin, end) = if on_terminal { ("\r", "\u{1b}[K") } else { ("", "\n") };
    tell(&format!("{begin}rewriting a file of {size}, {} s so far; writes wait meanwhile{end}", since.as_secs()));
}

/// Nobody may be reading: that is no reason to stop.
fn tell(text: &str) {
    let _unread = write!(std::io::stderr(), "{text}");
}
