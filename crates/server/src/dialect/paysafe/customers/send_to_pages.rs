//! `POST /digitalwallets/v2/customers/{customerId}/credentials`: a partner sends a customer to our pages, to choose a password
//! or a PIN (paysafe.md 5.2). What the customer does there is the pages'; this only says where they are.

use axum::http::Method;
use keyherald_core::policy::Form;
use serde_json::json;

use super::super::brand::Brand;
use super::super::fields::Fields;
use super::super::reply::{Answer, Problem, Reply, failed};
use super::super::request::{Received, Request, TokenKind};
use super::super::route::Route;
use crate::app::hosted_credentials::{SignIn, Task, Ticketed};
use crate::config::ReturnUrl;

pub const ROUTE: Route = Route {
    method: Method::POST,
    path: "/digitalwallets/v2/customers/{customerId}/credentials",
    handle: |request| Box::pin(handle(request)),
};

/// The language of those for whom none was named.
const LANGUAGE: &str = "en";

async fn handle(request: Request) -> Answer {
    let (received, mut fields) = request.received(&[TokenKind::Admin]).await?;
    let brand = received.brand.clone();
    let hosted = brand.hosted.as_ref().ok_or_else(Problem::no_pages)?;
    let number = received.captured.parse().map_err(|_| Problem::customer_id_invalid())?;
    let is_set_up = flow(&mut fields, &brand);
    let asked = fields.text("returnUrl");
    let return_url = asked.and_then(|text| ReturnUrl::among(&hosted.return_urls, &text));
    if return_url.is_none() && fields.has("returnUrl") {
        fields.refuse("returnUrl", "must be one of the configured return URLs");
    }
    let language = fields.optional_text("language").unwrap_or_else(|| LANGUAGE.to_owned());
    if !is_language(&language) {
        fields.refuse("language", "must be an ISO 639-1 code, with or without an ISO 3166 one");
    }
    let (Some((flow, is_set_up)), Some(return_url), false) = (is_set_up, return_url, fields.is_wrong()) else {
        return Err(fields.problem());
    };
    let task = if is_set_up { Task::SetUp(sign_in(&received)) } else { Task::Reset };
    let errand = (task, return_url.as_str().to_owned());
    let ticket = match received.app.issue_ticket(received.call, number, errand).await.map_err(failed)? {
        Ticketed::Ticket(ticket) => ticket,
        Ticketed::HasPassword => {
            fields.refuse("flow", "must be a reset: the customer has credentials already");
            return Err(fields.problem());
        }
    };
    let redirect_url = format!("{}?lang={language}&ticket={ticket}", hosted.page);
    let body = json!({
        "flow": flow,
        "returnUrl": return_url.as_str(),
        "language": language,
        "redirectUrl": redirect_url,
    });
    Ok(Reply::new(200, body))
}

/// The flow, and whether a first password is to be chosen: one of those for what the brand's customers sign in with.
fn flow(fields: &mut Fields, brand: &Brand) -> Option<(&'static str, bool)> {
    let (flows, error) = match brand.rule.form {
        Form::Text { .. } => (["PASSWORD_SETUP", "PASSWORD_RESET"], "must be PASSWORD_SETUP or PASSWORD_RESET"),
        Form::Pin { .. } => (["PIN_SETUP", "PIN_RESET"], "must be PIN_SETUP or PIN_RESET"),
    };
    let named = fields.text("flow")?;
    let found = flows.into_iter().zip([true, false]).find(|(flow, _)| *flow == named);
    if found.is_none() {
        fields.refuse("flow", error);
    }
    found
}

/// As a customer of the caller's, as long as a customer's own sign-in would be.
fn sign_in(received: &Received) -> SignIn {
    let Received { brand, call, .. } = received;
    SignIn {
        client_id: call.by.client_id.clone().unwrap_or_default(),
        scopes: format!("{}:{}", TokenKind::Customer.permission().name(), brand.project),
        life_s: brand.configuration_token_s,
    }
}

/// `en`, `en-US`, `en_US`.
fn is_language(tag: &str) -> bool {
    let mut parts = tag.split(['-', '_']);
    let is_word = |part: &str| part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_alphabetic());
    parts.next().is_some_and(is_word) && parts.next().is_none_or(is_word) && parts.next().is_none()
}
