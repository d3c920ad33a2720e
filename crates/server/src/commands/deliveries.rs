//! `keyherald deliveries ..`: how deliveries stand, and what an operator does about them.

use std::process::ExitCode;

use keyherald_core::Micros;
use serde_json::{Map, Value};

use super::{load, print};
use crate::app::deliveries::{Again, Asked, Attempt, DeadLetter, ParkedLane, Standing};
use crate::app::{Answer, App, Failure};
use crate::boot;
use crate::cli::deliveries::{Attempts, Deliveries, LetterOf, OfProject, OfSubscription, ReplayOf};
use crate::clock::Moments;
use crate::complaint::Complaint;
use crate::config::Purpose;

/// Runs one of the commands on the database that the configuration names.
pub async fn run(command: Deliveries) -> Result<ExitCode, Complaint> {
    let config = load(&place(&command).file, Purpose::Serve)?;
    let moments = Moments::of_system();
    let app = boot::assemble(&config, boot::open_store(&config)?, moments.clone())?;
    let outcome = enter(&app, command, moments.now()).await;
    app.store.close().await;
    outcome.map(|()| ExitCode::SUCCESS)
}

fn place(command: &Deliveries) -> &OfProject {
    match command {
        Deliveries::List(of)
        | Deliveries::Waiting(OfSubscription { of, .. })
        | Deliveries::Letters(OfSubscription { of, .. })
        | Deliveries::Pause(OfSubscription { of, .. })
        | Deliveries::Resume(OfSubscription { of, .. })
        | Deliveries::Retry(OfSubscription { of, .. })
        | Deliveries::Skip(OfSubscription { of, .. })
        | Deliveries::Attempts(Attempts { of, .. })
        | Deliveries::Drop(LetterOf { of, .. })
        | Deliveries::Replay(ReplayOf { of, .. }) => of,
    }
}

async fn enter(app: &App, command: Deliveries, now: Micros) -> Result<(), Complaint> {
    let (json, project) = (place(&command).json, place(&command).project.clone());
    match command {
        Deliveries::List(_) => {
            let found = done(app.standings(project).await)?;
            show(json, found.iter().map(|found| standing(found, now)));
        }
        Deliveries::Waiting(of) => {
            let found = done(app.waiting_lanes(project, of.id, (of.customer, of.limit)).await)?;
            show(json, found.iter().map(waiting));
        }
        Deliveries::Letters(of) => {
            let found = done(app.dead_letters(project, of.id, (of.customer, of.limit)).await)?;
            show(json, found.iter().map(letter));
        }
        Deliveries::Attempts(Attempts { subscription, customer, message, before, limit, .. }) => {
            let found = done(app.attempts(project, Asked { subscription, customer, message, before, limit }).await)?;
            show(json, found.iter().map(attempt));
        }
        Deliveries::Pause(of) => {
            done(app.pause_deliveries(project, of.id).await)?;
            print("paused");
        }
        Deliveries::Resume(of) => {
            done(app.resume_deliveries(project, of.id).await)?;
            print("resumed");
        }
        Deliveries::Retry(of) => {
            let count = done(app.retry_lanes(project, of.id, of.customer).await)?;
            print(&format!("{count} customers are tried again"));
        }
        Deliveries::Skip(of) => {
            let customer =
                of.customer.ok_or_else(|| Complaint::new("whose message? name the customer by --customer"))?;
            let message = done(app.skip_message(project, of.id, customer).await)?;
            print(&format!("skipped {message}; `deliveries letters` shows it"));
        }
        Deliveries::Drop(of) => {
            for letter in of.letters {
                done(app.drop_letter(project.clone(), of.id, letter).await)?;
                print(&format!("dropped {letter}"));
            }
        }
        Deliveries::Replay(of) => {
            done(app.send_again(project, of.id, (again(&of)?, of.per_second)).await)?;
            print("is sent again");
        }
    }
    Ok(())
}

fn done<T>(answer: Answer<T>) -> Result<T, Complaint> {
    answer.map_err(|failure| match failure {
        Failure::Refused(_) => Complaint::because("nothing was done", &failure)
            .hint("`keyherald deliveries list` shows the subscriptions, `letters` and `waiting` what they have"),
        Failure::Fault(_) => Complaint::because("the database refused", &failure)
            .hint("`keyherald migrate --status` says whether it is at this version"),
    })
}

fn again(of: &ReplayOf) -> Result<Again, Complaint> {
    let since = match of.since.as_deref().map(Micros::parse_iso) {
        Some(None) => return Err(Complaint::new("--since is no time").hint("such as 2026-01-31T12:00:00Z")),
        Some(since) => since,
        None => None,
    };
    match (of.message, of.letter, of.customer, of.after, since) {
        (Some(message), ..) => Ok(Again::Message(message)),
        (_, Some(letter), ..) => Ok(Again::Letter(letter)),
        (_, _, Some(customer), Some(after), _) => Ok(Again::Customer(customer, after)),
        (_, _, _, Some(after), _) => Ok(Again::After(after)),
        (.., Some(since)) => Ok(Again::Since(since)),
        _ => {
            Err(Complaint::new("what is to be sent again?").hint("--message, --letter, --customer, --after or --since"))
        }
    }
}

/// A row: names for programs, which are the heads of columns for people, and values.
type Cells = Vec<(&'static str, Value)>;

/// As a table with columns as wide as they must be, or as one JSON object a line.
fn show(json: bool, rows: impl Iterator<Item = Cells>) {
    let rows: Vec<Cells> = rows.collect();
    if json {
        let object =
            |cells: Cells| cells.into_iter().map(|(name, value)| (name.to_owned(), value)).collect::<Map<_, _>>();
        for row in rows {
            if !print(&Value::from(object(row)).to_string()) {
                return;
            }
        }
        return;
    }
    let text = |value: &Value| match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let heads: Vec<String> = rows.first().into_iter().flatten().map(|(name, _)| name.to_uppercase()).collect();
    let lines = std::iter::once(heads).chain(rows.iter().map(|row| row.iter().map(|(_, value)| text(value)).collect()));
    let lines: Vec<Vec<String>> = lines.filter(|line| !line.is_empty()).collect();
    let width = |column: usize| lines.iter().filter_map(|line| line.get(column)).map(|cell| cell.chars().count()).max();
    for line in &lines {
        let cells = line.iter().enumerate().map(|(column, cell)| format!("{cell:<0$}", width(column).unwrap_or(0)));
        if !print(cells.collect::<Vec<_>>().join("  ").trim_end()) {
            return;
        }
    }
}

fn standing(found: &Standing, now: Micros) -> Cells {
    let subscription = &found.subscription;
    let lag_s = found.owed_since.map_or(0, |since| (now.0 - since.0).max(0) / Micros::SECOND);
    let status = if found.attended.paused_at.is_some() { "Paused" } else { subscription.status.as_str() };
    vec![
        ("id", subscription.id.to_string().into()),
        ("destination", subscription.destination.kind.as_str().into()),
        ("status", status.into()),
        ("messages", found.owed.into()),
        ("seconds", lag_s.into()),
        ("waiting", found.waiting.into()),
        ("held", found.held.into()),
        ("letters", found.letters.into()),
    ]
}

fn waiting(lane: &ParkedLane) -> Cells {
    vec![
        ("customer", lane.customer.to_string().into()),
        ("since", lane.parked_at.iso().into()),
        ("position", lane.from_position.into()),
        ("attempts", lane.failed_attempts.into()),
        ("next", lane.next_at.map_or_else(|| "held".to_owned(), Micros::iso).into()),
        ("error", lane.last_error.as_str().into()),
    ]
}

fn letter(letter: &DeadLetter) -> Cells {
    vec![
        ("id", letter.id.to_string().into()),
        ("at", letter.created_at.iso().into()),
        ("position", letter.position.into()),
        ("message", letter.message.to_string().into()),
        ("customer", letter.customer.to_string().into()),
        ("attempts", letter.attempts.into()),
        ("reason", letter.reason.as_str().into()),
        ("error", letter.last_error.as_str().into()),
    ]
}

fn attempt(attempt: &Attempt) -> Cells {
    vec![
        ("at", attempt.at.iso().into()),
        ("subscription", attempt.subscription.to_string().into()),
        ("message", attempt.message.to_string().into()),
        ("customer", attempt.customer.to_string().into()),
        ("attempt", attempt.number.into()),
        ("ms", (attempt.duration_us / 1000).into()),
        ("outcome", attempt.outcome.as_str().into()),
        ("replay", attempt.is_replay.into()),
        ("reason", attempt.reason.as_deref().into()),
        ("id", attempt.id.to_string().into()),
    ]
}
