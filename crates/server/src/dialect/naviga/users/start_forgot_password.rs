//! `POST /v4/Users/ForgotPassword`: a link with which a new password can be chosen, by mail (naviga.md 3.10).
//!
//! The answer is made before anybody is looked for, and is the same whoever is meant: an `encryptedEventId` that may be
//! nobody's. It is the value of a password token, whose id it encrypts.

use axum::http::Method;
use keyherald_core::id::TokenId;
use keyherald_core::mail::Link;
use keyherald_core::recover::Command;
use keyherald_core::secret::TokenValue;
use serde_json::json;
use url::Url;

use super::super::encrypted::{Label, encrypted};
use super::super::fields::{EMAIL_CHARS_MAX, Fields, NotValid, URL_CHARS_MAX};
use super::super::reply::{Answer, Problem, Reply, S200_08, failed, unsealed};
use super::super::request::{Received, Request};
use super::super::route::{Era, Route};
use super::super::tenant::Tenant;

pub const ROUTE: Route = Route {
    method: Method::POST,
    path: "/v4/Users/ForgotPassword",
    era: Era::V4,
    handle: |request| Box::pin(handle(request)),
};

async fn handle(request: Request) -> Answer {
    let (received, fields) = request.received().await?;
    let event = start(&received, fields).await?;
    Ok(Reply::with_data(S200_08, json!({"encryptedEventId": event})))
}

/// Starts a recovery. Answers its encrypted event id.
pub async fn start(received: &Received, mut fields: Fields) -> Result<String, Problem> {
    let (tenant, app) = (&received.caller.tenant, &received.app);
    let login_name = fields.required_text("LoginName", EMAIL_CHARS_MAX);
    let page = page(tenant, &mut fields);
    let (Some(login_name), Ok(page)) = (login_name, page) else { return Err(fields.problem()) };
    let id = TokenId::new(&mut app.moments.ctx());
    let event =
        encrypted(&app.ring, &tenant.project, Label::Event, &id.to_string()).map_err(|error| unsealed(&error))?;
    let call = received.call();
    let command = Command { id, value: TokenValue::from_sealed(event.clone()), page, by: call.by.clone() };
    app.start_recovery(call, login_name, command).await.map_err(|failure| failed(failure, tenant))?;
    Ok(event)
}

/// The page that the mail leads to: the call's, the tenant's, or (`None`) that of the project's mail.
pub fn page(tenant: &Tenant, fields: &mut Fields) -> Result<Option<Link>, NotValid> {
    let page = return_url(tenant, fields)?.or_else(|| tenant.change_password_url.clone());
    page.map(|page| link(&page, EVENT).ok_or_else(|| fields.not_valid("ReturnUrl"))).transpose()
}

/// The page that the call names, if it may.
pub fn return_url(tenant: &Tenant, fields: &mut Fields) -> Result<Option<Url>, NotValid> {
    let Some(text) = fields.text("ReturnUrl", URL_CHARS_MAX)? else { return Ok(None) };
    let is_good = |url: &Url| tenant.may_lead_to(url) && link(url, EVENT).is_some();
    let page = text.parse::<Url>().ok().filter(is_good);
    page.map(Some).ok_or_else(|| fields.not_valid("ReturnUrl"))
}

/// The parameter of a page where a password is chosen (naviga.md 3.4).
pub const EVENT: &str = "encryptedEventId";

/// `{page}?{parameter}={value}`
pub fn link(page: &Url, parameter: &str) -> Option<Link> {
    let mut page = page.clone();
    let query = page.query().filter(|query| !query.is_empty()).map(|query| format!("{query}&")).unwrap_or_default();
    page.set_query(Some(&format!("{query}{parameter}=PLACE")));
    // Braces would be escaped by the query.
    let (before, after) = page.as_str().rsplit_once(&format!("{parameter}=PLACE"))?;
    format!("{before}{parameter}={{token}}{after}").parse().ok()
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_event_is_a_parameter_of_the_page() {
        let link = |page: &str| super::link(&page.parse().unwrap(), super::EVENT).map(|link| link.as_str().to_owned());
        for (page, expected) in [
            ("https://paper.example/password", "https://paper.example/password?encryptedEventId={token}"),
            ("https://paper.example", "https://paper.example/?encryptedEventId={token}"),
            ("https://paper.example/p?a=b%20c#top", "https://paper.example/p?a=b%20c&encryptedEventId={token}#top"),
        ] {
            assert_eq!(link(page).as_deref(), Some(expected));
        }
        assert_eq!(link("http://paper.example/password"), None);
    }
}
