//! Where a partner sends a customer: a first password or PIN at once, or a code to begin with, if one was forgotten.
//!
//! The ticket stands in the query, for a partner's page sends the customer here, and no script is needed. It is as short-lived
//! as it is there, and only a form uses it up.

use axum::http::Method;
use futures_util::FutureExt;

use super::Route;
use super::flow::{self, Address, Errand, SignIn, Task};
use super::password::{chosen, page, refused};
use super::progress::Stage;
use super::reply::{Answer, Page, Reply, Why};
use super::visit::Visit;

/// The path, below the project's.
pub const PATH: &str = "credentials";

pub const SHOW: Route = Route { method: Method::GET, path: PATH, handle: |visit| show(visit).boxed() };

pub const GO: Route = Route { method: Method::POST, path: PATH, handle: |visit| go(visit).boxed() };

async fn show(visit: Visit) -> Answer {
    let (errand, address) = sent(&visit).await?;
    let page = match errand.task {
        Task::SetUp(_) => set_up_page(&visit, &address),
        Task::Reset => Page::of("credentials.html").with("address", address.masked()).with("is_first", false),
    };
    Ok(visit.with_form(page)?.into())
}

async fn go(visit: Visit) -> Answer {
    let (progress, form) = visit.form()?;
    let (errand, address) = sent(&visit).await?;
    if let Task::SetUp(sign_in) = errand.task.clone() {
        return match chosen(&form) {
            Ok(password) => set_up(&visit, (&errand, sign_in), &address, password).await,
            Err((field, why)) => wrong(&visit, &address, field, why),
        };
    }
    let process = visit.caller().ask(&address).await?;
    let progress = progress.at(Stage::Asked(address, process), visit.now()).on(errand);
    Ok(Reply::Go { to: "code", cookie: Some(visit.cookie(&progress)?) })
}

/// What the customer was sent for, and the address that is theirs.
async fn sent(visit: &Visit) -> Result<(Errand, Address), flow::Trouble> {
    let errand = visit.errand.clone().ok_or(flow::Trouble::Over)?;
    let address = visit.caller().sent(&errand).await?;
    Ok((errand, address))
}

fn set_up_page(visit: &Visit, address: &Address) -> Page {
    page("credentials.html", visit, Some(address)).with("is_first", true).with("action", "setup_action")
}

fn wrong(visit: &Visit, address: &Address, field: &'static str, why: Why) -> Answer {
    Ok(visit.with_form(set_up_page(visit, address).wrong(field, why))?.into())
}

async fn set_up(
    visit: &Visit,
    (errand, sign_in): (&Errand, SignIn),
    address: &Address,
    password: keyherald_core::secret::Password,
) -> Answer {
    match visit.caller().set_up(errand, sign_in, password).await {
        Ok(token) => visit.leave(token.as_ref()),
        Err(trouble) => wrong(visit, address, "password", refused(visit, trouble)?),
    }
}
