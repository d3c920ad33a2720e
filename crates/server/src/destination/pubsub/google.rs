//! The server's own account at Google Cloud: where messages are published, and with which access.

use std::time::Duration;

use keyherald_core::delivery::{Cause, Outcome};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use url::Url;

use super::message;
use crate::connector::{AccessSecret, ServiceAccount};
use crate::destination::Delivery;
use crate::destination::answer::failed;
use crate::destination::described::{chance, outcome};
use crate::destination::posted::{Poster, Said};
use crate::outbound::guard::Guard;

/// What an account is made of.
pub struct GoogleSettings {
    /// The API, such as `https://pubsub.googleapis.com`.
    pub endpoint: Url,
    /// A client that connects where `guard` permits.
    pub http: reqwest::Client,
    /// Which addresses may be called: the operator's endpoint among them.
    pub guard: Guard,
    /// Time for one request.
    pub attempt_timeout: Duration,
    /// Who publishes. `None`: nobody in particular, at an emulator.
    pub account: Option<ServiceAccount>,
}

/// The account.
pub struct Google {
    endpoint: Url,
    poster: Poster,
    account: Option<ServiceAccount>,
}

impl Google {
    /// Calls nobody.
    pub fn new(settings: GoogleSettings) -> Self {
        let GoogleSettings { endpoint, http, guard, attempt_timeout, account } = settings;
        Self { endpoint, poster: Poster { http, guard, timeout: attempt_timeout }, account }
    }

    /// Where a topic takes messages.
    pub(super) fn publish_url(&self, project: &str, topic: &str) -> Option<Url> {
        let (mut url, publish) = (self.endpoint.clone(), format!("{topic}:publish"));
        url.path_segments_mut().ok()?.pop_if_empty().extend(["v1", "projects", project, "topics", &publish]);
        Some(url)
    }

    /// Publishes one message. Access that is refused may only have ended: it is renewed, once.
    pub(super) async fn publish(&self, url: &Url, delivery: &Delivery) -> Result<Said, Outcome> {
        let Some(account) = &self.account else { return self.post(url, delivery, None).await };
        let token = token(account, delivery).await?;
        let said = self.post(url, delivery, Some(&token)).await?;
        if said.status != 401 {
            return Ok(said);
        }
        account.drop_token(token).await;
        let renewed = self::token(account, delivery).await?;
        self.post(url, delivery, Some(&renewed)).await
    }

    async fn post(&self, url: &Url, delivery: &Delivery, token: Option<&AccessSecret>) -> Result<Said, Outcome> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(token) = token {
            let unusable = || failed(Cause::Temporary, "the access token cannot stand in a header".to_owned());
            headers.insert(AUTHORIZATION, token.bearer().ok_or_else(unusable)?);
        }
        self.poster.post(url, headers, message::request(delivery), delivery.now).await
    }
}

async fn token(account: &ServiceAccount, delivery: &Delivery) -> Result<AccessSecret, Outcome> {
    let made = account.token(&mut chance(delivery)).await;
    made.map_err(|error| outcome(&error, "the account is not known", delivery.now))
}
