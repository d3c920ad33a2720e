//! `keyherald operations list | doubts | show | resolve`.

use std::process::ExitCode;

use keyherald_core::Micros;
use keyherald_core::doubt::{About, Doubt};
use keyherald_core::operation::{Operation, State};

use super::{load, print};
use crate::app::operations::Resolving;
use crate::app::{App, Failure};
use crate::boot;
use crate::cli::{Doubts, OperationOf, OperationState, Operations, OperationsList};
use crate::clock::Moments;
use crate::complaint::Complaint;
use crate::config::Purpose;

/// Runs one of the commands on the database that the configuration names.
pub async fn run(command: Operations) -> Result<ExitCode, Complaint> {
    let file = match &command {
        Operations::List(OperationsList { file, .. })
        | Operations::Doubts(Doubts { file, .. })
        | Operations::Show(OperationOf { file, .. })
        | Operations::Resolve(OperationOf { file, .. }) => file,
    };
    let config = load(file, Purpose::Serve)?;
    let app = boot::assemble(&config, boot::open_store(&config)?, Moments::of_system())?;
    let outcome = match command {
        Operations::List(options) => list(&app, options).await,
        Operations::Doubts(options) => doubts(&app, options).await,
        Operations::Show(options) => show(&app, options).await,
        Operations::Resolve(options) => resolve(&app, options).await,
    };
    app.store.close().await;
    outcome.map(|()| ExitCode::SUCCESS)
}

fn failed(failure: &Failure) -> Complaint {
    Complaint::because("the database refused", failure)
        .hint("`keyherald migrate --status` says whether it is at this version")
}

fn not_found(options: &OperationOf) -> Complaint {
    Complaint::new(format!("project {} has no operation {}", options.project, options.id))
        .hint("`keyherald operations list` shows them; what has ended is kept for 30 days")
}

async fn list(app: &App, options: OperationsList) -> Result<(), Complaint> {
    let state = match options.state {
        OperationState::Open => State::Open,
        OperationState::Closing => State::Closing,
        OperationState::Committed => State::Committed,
        OperationState::Released => State::Released,
        OperationState::Gone => State::Gone,
        OperationState::Diverged => State::Diverged,
        OperationState::Resolved => State::Resolved,
    };
    let listed = app.list_operations(options.project, state, options.after, options.limit).await;
    for operation in listed.map_err(|failure| failed(&failure))? {
        if !print(&line(&operation)) {
            break;
        }
    }
    Ok(())
}

fn line(operation: &Operation) -> String {
    let Operation { id, customer, began_at, intent, .. } = operation;
    let (state, kind, began) = (operation.state().as_str(), intent.kind.as_str(), began_at.iso());
    format!("{id}  {began}  {state}  {kind}  customer {customer}  provider {}", intent.link.provider)
}

async fn doubts(app: &App, options: Doubts) -> Result<(), Complaint> {
    let Doubts { project, customer, after, limit, .. } = options;
    let listed = app.list_doubts(project, customer, after, limit).await;
    for (doubt, due) in listed.map_err(|failure| failed(&failure))? {
        if !print(&doubt_line(&doubt, due)) {
            break;
        }
    }
    Ok(())
}

/// Whose address it is that somebody was to be created with is not shown.
fn doubt_line(doubt: &Doubt, due: Micros) -> String {
    let Doubt { id, about, provider, began_at, looks, .. } = doubt;
    let (began, due, what) = (began_at.iso(), due.iso(), doubt.event());
    let whose = match about {
        About::Customer(customer) => format!("customer {customer}"),
        About::Address(_) => "a new user".to_owned(),
    };
    format!("{id}  {began}  {what}  {whose}  provider {provider}  looks {looks}  next {due}")
}

/// Who the user is at the provider is not shown: it can be an e-mail address.
async fn show(app: &App, options: OperationOf) -> Result<(), Complaint> {
    let found = app.find_operation(options.project.clone(), options.id).await;
    let operation = found.map_err(|failure| failed(&failure))?.ok_or_else(|| not_found(&options))?;
    print(&line(&operation));
    for entry in &operation.log {
        let event = serde_json::to_string(&entry.event)
            .map_err(|error| Complaint::because("an entry cannot be written", &error))?;
        print(&format!("{}  {event}", entry.at.iso()));
    }
    Ok(())
}

async fn resolve(app: &App, options: OperationOf) -> Result<(), Complaint> {
    let resolving = app.resolve_operation(options.project.clone(), options.id).await;
    match resolving.map_err(|failure| failed(&failure))? {
        Resolving::Done => {
            print(&format!("resolved {}", options.id));
            Ok(())
        }
        Resolving::NotDiverged(state) => {
            Err(Complaint::new(format!("operation {} is {}, not diverged", options.id, state.as_str())))
        }
        Resolving::NotFound => Err(not_found(&options)),
    }
}
