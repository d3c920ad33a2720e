//! `keyherald subscriptions test`.

use std::process::ExitCode;

use keyherald_core::Refusal;
use keyherald_core::delivery::Outcome;

use super::{load, print};
use crate::app::subscriptions::SubscriptionRef;
use crate::app::{Call, Failure};
use crate::boot;
use crate::cli::{Subscriptions, SubscriptionsTest};
use crate::clock::Moments;
use crate::complaint::Complaint;
use crate::config::Purpose;

/// Runs one of the commands on the database that the configuration names.
pub async fn run(command: Subscriptions) -> Result<ExitCode, Complaint> {
    let Subscriptions::Test(options) = command;
    let config = load(&options.file, Purpose::Serve)?;
    let app = boot::assemble(&config, boot::open_store(&config)?, Moments::of_system())?;
    let SubscriptionsTest { project, subscription, .. } = options;
    let which = match subscription.strip_prefix("key=") {
        Some(key) => key.parse().ok().map(SubscriptionRef::Key),
        None => subscription.parse().ok().map(SubscriptionRef::Id),
    };
    let unknown = || Complaint::new(format!("project {project} has no subscription {subscription:?}"));
    let tried = match which {
        Some(which) => app.try_subscription(Call::on(project.clone()), which).await,
        None => Err(Failure::Refused(Refusal::SubscriptionNotFound)),
    };
    app.store.close().await;
    let tried = match tried {
        Ok(tried) => tried.map_err(|why| Complaint::because("the subscription cannot be tried out", &why))?,
        Err(Failure::Refused(_)) => return Err(unknown()),
        Err(failure) => {
            return Err(Complaint::because("the database refused", &failure)
                .hint("`keyherald migrate --status` says whether it is at this version"));
        }
    };
    let outcome = match &tried.probed.outcome {
        Outcome::Delivered => "accepted",
        Outcome::Failed { reason, .. } | Outcome::Rejected { reason } | Outcome::Untransformed { reason } => reason,
        Outcome::Gone => "the receiver says that it is gone",
        Outcome::Erased | Outcome::Moot => "not sent",
    };
    let status = tried.probed.status.map_or_else(String::new, |status| format!(", status {status}"));
    print(&format!("test message {}: {outcome}{status}, {} ms", tried.message, tried.latency.as_millis()));
    if let Some(excerpt) = tried.probed.excerpt.filter(|excerpt| !excerpt.is_empty()) {
        print(&format!("it answered: {excerpt}"));
    }
    let accepted = tried.probed.outcome == Outcome::Delivered;
    Ok(if accepted { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
