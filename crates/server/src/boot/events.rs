//! What a brand's events are made and sent with, of a configuration.

use std::collections::BTreeMap;
use std::time::Duration;

use keyherald_core::body_signature::SigningSecret;
use keyherald_core::event::EventType;

use crate::app::events::Wanted;
use crate::complaint::Complaint;
use crate::config::{self, Config, PayloadProfile, PaysafeWebhook};
use crate::destination::{Policy, paysafe};
use crate::format::paysafe_credentials_event::Profile;
use crate::outbox::{Brand, Outbox};

/// What the partners of all projects are told.
pub(super) fn outbox(config: &Config) -> Outbox {
    let brand = |project: &config::Project| {
        let paysafe = project.paysafe.as_ref()?;
        let webhook = &paysafe.webhook;
        let brand = Brand {
            name: paysafe.brand.clone(),
            profile: match webhook.payload_profile {
                PayloadProfile::Schema => Profile::Schema,
                PayloadProfile::Endpoint => Profile::Endpoint,
            },
            extensions: webhook.extensions,
            changes: webhook.event_types.clone(),
            token_resets: webhook.events_for_token_resets,
            kept: i64::try_from(webhook.resend_retention.as_micros()).unwrap_or(i64::MAX),
        };
        Some((project.key.clone(), brand))
    };
    Outbox(config.projects.iter().filter_map(brand).collect())
}

/// Where a project's events go. `None`: nowhere.
pub(super) fn wanted(project: &config::Project, policy: &Policy) -> Result<Option<Wanted>, Complaint> {
    let Some(paysafe) = &project.paysafe else { return Ok(None) };
    let webhook = &paysafe.webhook;
    let urls = urls(webhook);
    if urls.is_empty() {
        return Ok(None);
    }
    for (event_type, url) in &urls {
        if let Some(why) = paysafe::wrong_url(url, policy) {
            let what = format!("project {}: the URL for {} {why}", project.key, event_type.as_str());
            return Err(Complaint::new(what).hint("it comes from [projects.paysafe.webhook]"));
        }
    }
    let secret = |secret: &Option<config::Secret>| {
        let secret = secret.as_ref().map(|secret| SigningSecret::parse(secret.reveal())).transpose();
        secret.map_err(|error| Complaint::because("[projects.paysafe.webhook] secret", &error))
    };
    let secrets = match secret(&webhook.secret)? {
        Some(active) => Some(paysafe::Secrets { active, next: secret(&webhook.next_secret)? }),
        None => None,
    };
    let types = urls.keys().copied().collect();
    Ok(Some(Wanted { types, settings: settings(webhook, urls), secrets, is_signed: webhook.signing }))
}

fn urls(webhook: &PaysafeWebhook) -> BTreeMap<EventType, String> {
    let events = &webhook.events;
    let own = |event_type| match event_type {
        EventType::CustomerCredentials => events.customer_credentials.url.as_deref(),
        EventType::CustomerDataVerification => events.customer_data_verification.url.as_deref(),
    };
    let base = webhook.base_url.as_deref();
    let url = |event_type| Some((event_type, paysafe::url_of(base, own(event_type), event_type)?));
    EventType::ALL.into_iter().filter_map(url).collect()
}

fn settings(webhook: &PaysafeWebhook, urls: BTreeMap<EventType, String>) -> paysafe::Settings {
    let seconds = |time: Duration| u32::try_from(time.as_secs()).unwrap_or(u32::MAX);
    let millis = |time: Duration| u32::try_from(time.as_millis()).unwrap_or(u32::MAX);
    paysafe::Settings {
        urls: urls.into_iter().map(|(event_type, url)| (event_type.as_str().to_owned(), url)).collect(),
        is_signed: webhook.signing,
        extra_headers: webhook.extra_headers,
        retry_statuses: webhook.retry_statuses.clone(),
        connect_timeout_ms: millis(webhook.connect_timeout),
        total_timeout_ms: millis(webhook.total_timeout),
        base_s: seconds(webhook.backoff.base),
        cap_s: seconds(webhook.backoff.cap),
        is_jittered: webhook.backoff.jitter,
        retry_after_cap_s: seconds(webhook.retry_after_cap),
        park_other_4xx_after: webhook.park_other_4xx_after,
        max_attempts: webhook.max_attempts,
        max_age_s: webhook.max_age.map(seconds),
    }
}
