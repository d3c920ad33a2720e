//! The first page: which address.

use axum::http::Method;
use futures_util::FutureExt;

use super::Route;
use super::flow::{Address, no_address};
use super::progress::Stage;
use super::reply::{Answer, Page, Reply};
use super::visit::Visit;

pub const SHOW: Route = Route {
    method: Method::GET,
    path: "",
    handle: |visit| async move { Ok(visit.with_form(page("", None))?.into()) }.boxed(),
};

pub const ASK: Route = Route { method: Method::POST, path: "", handle: |visit| ask(visit).boxed() };

fn page(typed: &str, wrong: Option<&'static str>) -> Page {
    let page = Page::of("start.html").with("typed", typed);
    match wrong {
        Some(sentence) => page.wrong("address", sentence),
        None => page,
    }
}

async fn ask(visit: Visit) -> Answer {
    let (progress, form) = visit.form()?;
    let typed = form.field("address");
    let Some(address) = Address::parse(typed, &visit.site) else {
        return Ok(visit.with_form(page(typed, Some(no_address(typed))))?.into());
    };
    let process = visit.caller().ask(&address).await?;
    let progress = progress.at(Stage::Asked(address, process), visit.now()).alone();
    Ok(Reply::Go { to: "code", cookie: Some(visit.cookie(&progress)?) })
}
