//! The brands of a configuration, and the codes that are sent later.

use std::collections::BTreeMap;
use std::time::Duration;

use keyherald_core::body_signature::SigningSecret;
use keyherald_core::limit::Rate;

use super::recovery::{code_page, page_url};
use crate::app::App;
use crate::app::verify_identifier::Verifying;
use crate::config::{self, Config, DeliveryMode};
use crate::dialect::paysafe::{Brand, Brands, Hosted, Prefix};
use crate::life::{Life, Task};

/// Between two looks at what is to be sent.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// All brands.
pub fn brands(config: &Config) -> Brands {
    let of_project = |project: &config::Project| Some(brand(project, project.paysafe.as_ref()?, &config.server));
    let brands = config.projects.iter().filter_map(of_project);
    Brands::of(brands).at(Prefix::new(&config.server.paysafe_prefix))
}

fn brand(project: &config::Project, paysafe: &config::Paysafe, server: &config::Server) -> Brand {
    let seconds = |time: Duration| i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
    let secret = paysafe.request_signing_secret.as_ref().filter(|_| paysafe.request_signing);
    Brand {
        name: paysafe.brand.clone(),
        project: project.key.clone(),
        verifying: verifying(project, server),
        success_status: paysafe.verification_success_status,
        success_value: paysafe.verification_success_value.clone(),
        admin_token_s: seconds(paysafe.token.admin_ttl),
        configuration_token_s: seconds(paysafe.token.configuration_ttl),
        required: paysafe.required_identifiers.clone(),
        rule: paysafe.rule(),
        credentials_status: paysafe.credentials_success,
        requires_app_type: paysafe.require_app_type,
        // Reading the configuration has refused one that does not parse.
        signing_secret: secret.and_then(|secret| SigningSecret::parse(secret.reveal()).ok()),
        hosted: page_url(project, server, "credentials").map(|page| Hosted {
            page,
            return_urls: project.recovery.as_ref().map(|pages| pages.return_urls.clone()).unwrap_or_default(),
        }),
    }
}

/// What goes for the verification processes of a project: as its brand has it, or its recovery pages.
pub(super) fn verifying(project: &config::Project, server: &config::Server) -> Verifying {
    let rate = |count, per: Duration| Rate { count, per: i64::try_from(per.as_micros()).unwrap_or(i64::MAX) };
    let of_pages = project.recovery.clone().unwrap_or_default();
    let (limits, rates, delivery, told) = match &project.paysafe {
        Some(paysafe) => {
            let told = paysafe.data_verification.clone();
            (paysafe.verification_limits(), paysafe.limits.clone(), paysafe.delivery_mode, told)
        }
        None => (of_pages.otp.limits(), of_pages.limits, DeliveryMode::Server, config::DataVerification::default()),
    };
    let config::Rates { ip, customer, brand } = rates;
    Verifying {
        limits,
        begun_by_source: rate(ip.initiations, ip.per),
        tried_by_source: rate(ip.attempts, ip.per),
        used_by_source: rate(ip.changes, ip.per),
        used_by_customer: rate(customer.changes, customer.per),
        begun: rate(brand.initiations, brand.per),
        partner_tells: delivery == DeliveryMode::Partner,
        partner_hears: delivery == DeliveryMode::Server && told.events == Some(true),
        tells_failures: told.failure_events,
        page: code_page(project, server),
        equalises: true,
    }
}

/// Sends the codes that had to wait for the interval between two messages.
pub fn spawn_codes(life: &Life, app: &App, config: &Config) {
    let has_codes = |project: &&config::Project| project.paysafe.is_some() || project.recovery.is_some();
    let of_project = |project: &config::Project| (project.key.to_string(), verifying(project, &config.server));
    let all: BTreeMap<String, Verifying> = config.projects.iter().filter(has_codes).map(of_project).collect();
    if all.is_empty() {
        return;
    }
    let app = app.clone();
    life.spawn(Task::Codes, move |stop| {
        let (app, all) = (app.clone(), all.clone());
        async move {
            while !stop.is_requested() {
                let of = |project: &str| all.get(project).cloned().unwrap_or_default();
                while !stop.is_requested() && app.send_due_codes(of).await? {}
                while !stop.is_requested() && app.tell_failures().await? {}
                tokio::select! {
                    () = stop.requested() => break,
                    () = tokio::time::sleep(LOOK_EVERY) => {}
                }
            }
            Ok(())
        }
    });
}
