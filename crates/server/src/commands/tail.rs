//! `keyherald messages tail`: messages as they are committed, from any process that can open the database.

use std::process::ExitCode;
use std::time::Duration;

use keyherald_core::id::ProjectKey;
use keyherald_core::message::Message;

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
        let mut messages = entries.iter().filter_map(|entry| Some((&entry.project, entry.message()?)));
        if !messages
            .all(|(project, message)| !wanted(&options, project, message) || print(&line(&options, project, message)))
        {
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

fn wanted(options: &MessagesTail, project: &ProjectKey, message: &Message) -> bool {
    options.project.as_ref().is_none_or(|wanted| wanted == project)
        && options.customer.is_none_or(|customer| customer == message.customer)
}

fn line(options: &MessagesTail, project: &ProjectKey, message: &Message) -> String {
    if options.json {
        let mut payload = platform::message(project, message).unwrap_or_default();
        payload.insert("position".to_owned(), message.position.into());
        return serde_json::Value::from(payload).to_string();
    }
    format!(
        "{:>8}  {}  {}  {:<30} #{:<4} {}  customer {}",
        message.position,
        message.created_at.iso(),
        project,
        message.facts.content.type_name(),
        message.sequence,
        message.id,
        message.customer,
    )
}
