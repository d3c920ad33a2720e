//! `keyherald messages tail`: messages as they are committed, from any process that can open the database.

use std::process::ExitCode;
use std::time::Duration;

use keyherald_store::log::Entry;

use super::{load, print};
use crate::boot;
use crate::cli::MessagesTail;
use crate::clock::Moments;
use crate::complaint::Complaint;
use crate::config::Purpose;
use crate::format::platform;

/// How often a database that another process writes to is looked at, when nothing wakes us.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// Prints until Ctrl-C, or until nobody reads.
pub async fn run(options: MessagesTail) -> Result<ExitCode, Complaint> {
    let config = load(&options.file, Purpose::Serve)?;
    let app = boot::assemble(&config, boot::open_store(&config)?, Moments::of_system())?;
    let mut commits = app.store.committed();
    let failed = |failure| Complaint::because("the log cannot be read", &failure);
    let mut position = match options.from {
        Some(position) => position,
        None => app.final_position().await.map_err(failed)?,
    };
    let interrupted = tokio::signal::ctrl_c();
    tokio::pin!(interrupted);
    loop {
        let (entries, up_to) = app.log_after(position).await.map_err(failed)?;
        position = up_to;
        let more = !entries.is_empty();
        if !entries.iter().filter(|entry| wanted(&options, entry)).all(|entry| print(&line(&options, entry))) {
            return Ok(ExitCode::SUCCESS);
        }
        if more {
            continue;
        }
        tokio::select! {
            _ = &mut interrupted => return Ok(ExitCode::SUCCESS),
            _ = commits.changed() => {}
            () = tokio::time::sleep(LOOK_AGAIN) => {}
        }
    }
}

fn wanted(options: &MessagesTail, entry: &Entry) -> bool {
    options.project.as_ref().is_none_or(|project| *project == entry.project)
        && options.customer.is_none_or(|customer| customer == entry.message.customer)
}

fn line(options: &MessagesTail, entry: &Entry) -> String {
    let message = &entry.message;
    if options.json {
        let mut payload = platform::payload(&entry.project, message).unwrap_or_default();
        payload.insert("position".to_owned(), message.position.into());
        return serde_json::Value::from(payload).to_string();
    }
    format!(
        "{:>8}  {}  {}  {:<30} #{:<4} {}  customer {}",
        message.position,
        message.created_at.iso(),
        entry.project,
        message.facts.content.type_name(),
        message.sequence,
        message.id,
        message.customer,
    )
}
