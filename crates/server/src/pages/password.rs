//! The third page: the new password.

use axum::http::Method;
use futures_util::FutureExt;
use keyherald_core::policy::Form as Asked;
use keyherald_core::secret::Password;

use super::Route;
use super::flow::{self, Address};
use super::progress::Stage;
use super::reply::{Answer, Page, Reply, Trouble, Why};
use super::visit::{Form, Visit};

pub const SHOW: Route =
    Route { method: Method::GET, path: "password", handle: |visit| async move { show(&visit) }.boxed() };

pub const SET: Route = Route { method: Method::POST, path: "password", handle: |visit| set(visit).boxed() };

/// With what all pages need on which a password is chosen.
pub fn page(template: &'static str, visit: &Visit, address: Option<&Address>) -> Page {
    let caller = visit.caller();
    let length_min = match caller.form() {
        Asked::Text { min, .. } => min,
        Asked::Pin { digits } => u16::from(digits),
    };
    Page::of(template)
        .about(address)
        .with("address", address.map(Address::as_str))
        .with("token", ())
        .with("action", "password_action")
        .with("length_min", length_min)
        .with("guidance", caller.guidance(visit.language))
        .with("personal", visit.site.name.clone())
}

/// The password that a form has brought, or of which field it is said what is wrong. Whether it is good enough is asked
/// where it is set.
pub fn chosen(form: &Form) -> Result<Password, (&'static str, Why)> {
    let password = form.field("password");
    if password.is_empty() {
        return Err(("password", "password_missing".into()));
    }
    // Asked for only where the password cannot be shown while it is typed.
    if form.maybe("confirm").is_some_and(|confirmed| confirmed != password) {
        return Err(("confirm", "confirm_differs".into()));
    }
    Password::new(password.to_owned()).map_err(|_| ("password", "password_long".into()))
}

/// What is wrong with a password that was not set; or the trouble that it is not about.
pub fn refused(visit: &Visit, trouble: flow::Trouble) -> Result<Why, Trouble> {
    match trouble {
        flow::Trouble::PasswordBroken(broken) => Ok(Why::Reasons(visit.caller().reasons(&broken, visit.language))),
        flow::Trouble::PasswordRefused => Ok("password_provider".into()),
        other => Err(other.into()),
    }
}

fn show(visit: &Visit) -> Answer {
    match visit.progress.as_ref().map(|progress| &progress.stage) {
        Some(Stage::Proved(address, _)) => Ok(visit.with_form(page("password.html", visit, Some(address)))?.into()),
        _ => Ok(Reply::Go { to: "", cookie: None }),
    }
}

async fn set(visit: Visit) -> Answer {
    let (progress, form) = visit.form()?;
    let Stage::Proved(address, process) = progress.stage else {
        return Err(flow::Trouble::Over.into());
    };
    let wrong = |field, why: Why| -> Answer {
        let page = page("password.html", &visit, Some(&address)).wrong(field, why);
        Ok(visit.with_form(page)?.into())
    };
    let password = match chosen(&form) {
        Ok(password) => password,
        Err((field, why)) => return wrong(field, why),
    };
    if let Err(trouble) = visit.caller().set_by_proof((&address, process), password).await {
        return wrong("password", refused(&visit, trouble)?);
    }
    visit.leave(None)
}
