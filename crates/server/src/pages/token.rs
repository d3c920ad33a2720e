//! Where the link of a mail leads that carries a password token, in its fragment (`#token=..`): the new password at once.
//!
//! The script puts the token into the form. Without it the token is typed, or rather copied: whoever pastes the whole link
//! is understood as well. Nothing is looked up before the form is sent.

use axum::http::Method;
use futures_util::FutureExt;

use super::Route;
use super::password::{chosen, page, refused};
use super::progress::Stage;
use super::reply::{Answer, Page, Reply, Why};
use super::visit::Visit;

pub const SHOW: Route =
    Route { method: Method::GET, path: "token", handle: |visit| async move { show(&visit) }.boxed() };

pub const SET: Route = Route { method: Method::POST, path: "token", handle: |visit| set(visit).boxed() };

fn show(visit: &Visit) -> Answer {
    if visit.progress.is_none() && !visit.has("here") {
        return Ok(Page::of("arrive.html").into());
    }
    Ok(visit.with_form(shown(visit, ""))?.into())
}

fn shown(visit: &Visit, token: &str) -> Page {
    page("password.html", visit, None).with("token", token)
}

async fn set(visit: Visit) -> Answer {
    let (progress, form) = visit.form()?;
    let typed = form.field("token");
    let token = typed.rsplit_once("token=").map_or(typed, |(_, token)| token).trim();
    let wrong = |field, why: Why| -> Answer { Ok(visit.with_form(shown(&visit, token).wrong(field, why))?.into()) };
    if token.is_empty() {
        return wrong("token", "token_missing".into());
    }
    let password = match chosen(&form) {
        Ok(password) => password,
        Err((field, why)) => return wrong(field, why),
    };
    if let Err(trouble) = visit.caller().set_by_token(token, password).await {
        return wrong("password", refused(&visit, trouble)?);
    }
    let progress = progress.at(Stage::Done, visit.now()).alone();
    Ok(Reply::Go { to: "done", cookie: Some(visit.cookie(&progress)?) })
}
