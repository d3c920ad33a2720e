//! The second page: the code that was sent.
//!
//! It is where the link of a mail leads, too, with process and code in the fragment. The script puts them into the form;
//! without it the code is typed. A browser sends our cookie with no request that another site's page began, so whoever
//! comes without one is led here once more by our own page ([`Stage::Begun`] is for those who then still have none: it may
//! be another device, and the address is asked for again).

use axum::http::Method;
use futures_util::FutureExt;

use super::Route;
use super::flow::{self, Address, Process, no_address};
use super::progress::{Progress, Stage};
use super::reply::{Answer, Page, Reply};
use super::visit::{Form, Visit};

pub const SHOW: Route =
    Route { method: Method::GET, path: "code", handle: |visit| async move { show(&visit) }.boxed() };

pub const TRY: Route = Route { method: Method::POST, path: "code", handle: |visit| attempt(visit).boxed() };

pub const AGAIN: Route = Route { method: Method::POST, path: "again", handle: |visit| again(visit).boxed() };

fn show(visit: &Visit) -> Answer {
    if visit.progress.is_none() && !visit.has("here") {
        return Ok(Page::of("arrive.html").into());
    }
    Ok(visit.with_form(page(visit.progress.as_ref(), "", ""))?.with("is_new", visit.has("again")).into())
}

fn page(progress: Option<&Progress>, typed: &str, process: &str) -> Page {
    let asked = progress.and_then(|progress| match &progress.stage {
        Stage::Asked(address, _) => Some(address),
        Stage::Begun | Stage::Proved(..) | Stage::Done => None,
    });
    let page = Page::of("code.html").with("asked", asked.map(Address::masked)).about(asked);
    page.with("typed", typed).with("process", process).with("is_new", false)
}

/// What is proved: of this browser, unless the link names another process.
fn proof(visit: &Visit, progress: &Progress, form: &Form) -> Option<(Address, Process)> {
    let named = form.field("process");
    match &progress.stage {
        Stage::Asked(address, process) if named.is_empty() || Process::parse(named) == Some(*process) => {
            Some((address.clone(), *process))
        }
        _ => Some((Address::parse(form.field("address"), &visit.site)?, Process::parse(named)?)),
    }
}

async fn attempt(visit: Visit) -> Answer {
    let (progress, form) = visit.form()?;
    let (typed, code) = (form.field("address"), form.field("code"));
    let shown = |field, sentence| {
        let page = page(Some(&progress), typed, form.field("process")).wrong(field, sentence);
        // Another one may be typed than the one that was asked for here.
        let page = if field == "address" { page.with("takes", visit.site.takes.ending()) } else { page };
        Ok(visit.with_form(page)?.into())
    };
    if !code.chars().any(|c| c.is_ascii_digit()) {
        return shown("code", "code_missing");
    }
    let Some((address, process)) = proof(&visit, &progress, &form) else {
        if Process::parse(form.field("process")).is_none() {
            // Nobody asked for a code here.
            return Err(flow::Trouble::Over.into());
        }
        return shown("address", no_address(typed));
    };
    match visit.caller().attempt((&address, process), code).await {
        Ok(()) => {}
        Err(flow::Trouble::CodeWrong) => return shown("code", "code_wrong"),
        Err(trouble) => return Err(trouble.into()),
    }
    let is_own = matches!(&progress.stage, Stage::Asked(_, own) if *own == process);
    // Whoever proves another address than the one that is theirs has left what they were sent for.
    let progress = if is_own { progress } else { progress.alone() };
    let progress = progress.at(Stage::Proved(address, process), visit.now());
    Ok(Reply::Go { to: "password", cookie: Some(visit.cookie(&progress)?) })
}

/// Another code, for the same address.
async fn again(visit: Visit) -> Answer {
    let (progress, _) = visit.form()?;
    let Stage::Asked(address, _) = progress.stage.clone() else {
        return Ok(Reply::Go { to: "", cookie: None });
    };
    let process = visit.caller().ask(&address).await?;
    let progress = progress.at(Stage::Asked(address, process), visit.now());
    Ok(Reply::Go { to: "code?again=1", cookie: Some(visit.cookie(&progress)?) })
}
