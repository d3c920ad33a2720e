//! `keyherald activity`: a project's activity, for people and for programs.

use std::process::ExitCode;
use std::time::Duration;

use serde_json::Value;

use super::{load, print};
use crate::app::activity::Asked;
use crate::app::{App, Call, Failure};
use crate::boot;
use crate::cli::Activity;
use crate::clock::Moments;
use crate::complaint::Complaint;
use crate::config::Purpose;
use crate::format::commercetools::Object;
use crate::format::{EventIds, naviga_activity};

/// How often a database that another process writes to is looked at.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// Prints entries of the database that the configuration names.
pub async fn run(options: Activity) -> Result<ExitCode, Complaint> {
    let config = load(&options.file, Purpose::Serve)?;
    let app = boot::assemble(&config, boot::open_store(&config)?, Moments::of_system())?;
    let outcome = show(&app, &options, &boot::event_ids(&config.projects)).await;
    app.store.close().await;
    outcome.map(|()| ExitCode::SUCCESS)
}

async fn show(app: &App, options: &Activity, ids: &EventIds) -> Result<(), Complaint> {
    let interrupted = tokio::signal::ctrl_c();
    tokio::pin!(interrupted);
    let mut asked = Asked { customer: options.customer, after: options.after, limit: options.limit };
    let mut has_head = options.json;
    loop {
        let found = app.activity(Call::on(options.project.clone()), asked).await;
        let found = found.map_err(|failure| {
            let cannot = format!("the activity of project {} cannot be read", options.project);
            let complaint = Complaint::because(&cannot, &failure);
            match failure {
                Failure::Refused(_) => complaint,
                Failure::Fault(_) => {
                    complaint.hint("`keyherald migrate --status` says whether the database is at this version")
                }
            }
        })?;
        if !has_head && !found.entries.is_empty() {
            has_head = true;
            if !print(&head()) {
                return Ok(());
            }
        }
        for recorded in &found.entries {
            let shown = naviga_activity::entry(&options.project, recorded, ids);
            let line = if options.json { Value::from(shown).to_string() } else { row(shown) };
            if !print(&line) {
                return Ok(());
            }
        }
        if !options.follow {
            return Ok(());
        }
        // Only what is known to be complete is gone on from, so nothing is left out; what is not may come twice.
        let moved = found.after != asked.after;
        asked.after = found.after;
        if moved {
            continue;
        }
        tokio::select! {
            _ = &mut interrupted => return Ok(()),
            () = tokio::time::sleep(LOOK_AGAIN) => {}
        }
    }
}

fn head() -> String {
    line(&["POSITION", "AT", "ID", "EVENT", "RESULT", "OUTCOME", "MS", "FROM", "CUSTOMER"])
}

/// The entry as a line of the table. What is no single call is told by its flow.
fn row(shown: Object) -> String {
    let shown = shown.into_map();
    let text = |name: &str| match shown.get(name) {
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
        None => "-".to_owned(),
    };
    let event = if shown.contains_key("code") { text("code") } else { text("flow") };
    let from = if shown.contains_key("sourceSystem") { text("sourceSystem") } else { text("clientId") };
    let cells = [
        text("position"),
        text("at"),
        text("eventId"),
        event,
        text("result"),
        text("outcome"),
        text("durationMs"),
        from,
        text("customerId"),
    ];
    line(&cells.each_ref().map(String::as_str))
}

fn line([position, at, id, event, result, outcome, ms, from, customer]: &[&str; 9]) -> String {
    format!(
        "{position:>8}  {at:<24}  {id:>5}  {event:<34}  {result:<9}  {outcome:<24}  {ms:>6}  {from:<16}  {customer}"
    )
}
