//! `POST /v4/Users/VerificationCode`: another code for an address that is not proved yet (naviga.md 3.14).

use axum::http::Method;

use keyherald_core::mail::Link;
use url::Url;

use super::super::fields::Fields;
use super::super::reply::{Answer, E400_14, E400_16, Problem, Reply, completed, failed};
use super::super::request::{Received, Request};
use super::super::route::{Era, Route};
use super::super::tenant::Tenant;
use super::start_forgot_password::{link, return_url};
use crate::app::Sent;

pub const ROUTE: Route = Route {
    method: Method::POST,
    path: "/v4/Users/VerificationCode",
    era: Era::V4,
    handle: |request| Box::pin(handle(request)),
};

async fn handle(request: Request) -> Answer {
    let (received, fields) = request.received().await?;
    send(&received, fields).await?;
    Ok(Reply::ok(completed("Send Verification Code completed.")))
}

/// Has a code mailed.
pub async fn send(received: &Received, mut fields: Fields) -> Result<(), Problem> {
    let tenant = &received.caller.tenant;
    let (email, url) = (fields.email("Email"), return_url(tenant, &mut fields));
    let (Some(email), Ok(url)) = (email, url) else { return Err(fields.problem()) };
    let page = page(tenant, url.as_ref(), &email);
    let sent = received.app.send_code(received.call(), email, page).await;
    match sent.map_err(|failure| failed(failure, tenant))? {
        Sent::Done => Ok(()),
        Sent::Unknown => Err(Problem::of(E400_14)),
        Sent::Already => Err(Problem::of(E400_16)),
        Sent::TooMany => Err(Problem::bad_request()),
    }
}

/// The page that a mail with a code leads to: `{returnUrl, or the configured one}?email={email}&verificationCode={code}`,
/// which are the fields of Verify Email. The page sends them by POST: what opens links in mail is often a scanner, and a GET
/// redeems nothing. `None`: the mail has the code alone.
pub fn page(tenant: &Tenant, called: Option<&Url>, email: &str) -> Option<Link> {
    let mut page = called.or(tenant.return_url.as_ref())?.clone();
    page.query_pairs_mut().append_pair("email", email);
    link(&page, "verificationCode")
}
