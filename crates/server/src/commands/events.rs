//! `keyherald events list | resend | secret`.

use std::process::ExitCode;

use keyherald_core::Micros;
use keyherald_core::event::EventType;
use keyherald_core::id::CustomerId;

use super::{load, print};
use crate::app::events::{Asked, Listed, Resend};
use crate::app::{App, Failure};
use crate::boot;
use crate::cli::{Events, EventsList, EventsResend, EventsSecret, EventsSpan};
use crate::clock::Moments;
use crate::complaint::Complaint;
use crate::config::Purpose;

/// Runs one of the commands on the database that the configuration names.
pub async fn run(command: Events) -> Result<ExitCode, Complaint> {
    let file = match &command {
        Events::List(EventsList { file, .. })
        | Events::Resend(EventsResend { file, .. })
        | Events::Secret(EventsSecret { file, .. }) => file,
    };
    let config = load(file, Purpose::Serve)?;
    let moments = Moments::of_system();
    let app = boot::assemble(&config, boot::open_store(&config)?, moments.clone())?;
    let outcome = match command {
        Events::List(options) => list(&app, options, moments.now()).await,
        Events::Resend(options) => resend(&app, options, moments.now()).await,
        Events::Secret(options) => secret(&app, options).await,
    };
    app.store.close().await;
    outcome.map(|()| ExitCode::SUCCESS)
}

fn failed(failure: &Failure) -> Complaint {
    Complaint::because("the database refused", failure)
        .hint("`keyherald migrate --status` says whether it is at this version")
}

async fn list(app: &App, options: EventsList, now: Micros) -> Result<(), Complaint> {
    let asked = asked(&options.span, options.customer, now)?;
    let listed = app.list_events(options.project, asked, (options.limit, options.offset)).await;
    for event in listed.map_err(|failure| failed(&failure))? {
        if !print(&line(&event)) {
            break;
        }
    }
    Ok(())
}

fn line(event: &Listed) -> String {
    let customer = event.customer.map_or_else(|| "-".to_owned(), |customer| customer.to_string());
    let body = if event.is_kept { "" } else { "  (its body is erased)" };
    let (at, state) = (event.at.iso(), event.state.as_str());
    format!("{at}  {}  {:<9}  {}  customer {customer}{body}", event.id, state, event.event_type.as_str())
}

async fn resend(app: &App, options: EventsResend, now: Micros) -> Result<(), Complaint> {
    let what = if options.id.is_empty() {
        if options.span.from.is_none() {
            return Err(Complaint::new("which events?").hint("name them by --id, or a span of time by --from and --to"));
        }
        Resend::Span(asked(&options.span, options.customer, now)?)
    } else {
        Resend::These(options.id)
    };
    let resent = app.resend_events(options.project, what).await.map_err(|failure| failed(&failure))?;
    print(&format!("{} events are sent again", resent.matched));
    Ok(())
}

async fn secret(app: &App, options: EventsSecret) -> Result<(), Complaint> {
    let shown = app.signing_secret(options.project.clone(), print).await.map_err(|failure| failed(&failure))?;
    match shown {
        Some(_) => Ok(()),
        None => Err(Complaint::new(format!("project {} signs no events", options.project))
            .hint("[projects.paysafe.webhook] says where they go; a secret is made when the server has been started")),
    }
}

/// The last 31 days, unless a span is named.
fn asked(span: &EventsSpan, customer: Option<CustomerId>, now: Micros) -> Result<Asked, Complaint> {
    let read = |name: &str, text: &Option<String>| match text.as_deref().map(Micros::parse_iso) {
        Some(None) => Err(Complaint::new(format!("--{name} is no time")).hint("such as 2026-01-31T12:00:00Z")),
        Some(at) => Ok(at),
        None => Ok(None),
    };
    let to = read("to", &span.to)?.unwrap_or(now);
    let from = read("from", &span.from)?.unwrap_or_else(|| to.plus(-Resend::SPAN_MAX));
    if from > to || to.0.saturating_sub(from.0) > Resend::SPAN_MAX {
        return Err(Complaint::new("--from and --to may be 31 days apart at most, --from first"));
    }
    Ok(Asked { event_type: EventType::CustomerCredentials, from, to, customer })
}
