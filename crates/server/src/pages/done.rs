//! The last page: the password was changed.

use axum::http::Method;
use futures_util::FutureExt;

use super::Route;
use super::progress::Stage;
use super::reply::{Page, Reply};

pub const SHOW: Route = Route {
    method: Method::GET,
    path: "done",
    handle: |visit| {
        async move {
            let is_done = visit.progress.as_ref().is_some_and(|progress| matches!(progress.stage, Stage::Done));
            Ok(if is_done { Page::of("done.html").into() } else { Reply::Go { to: "", cookie: None } })
        }
        .boxed()
    },
};
