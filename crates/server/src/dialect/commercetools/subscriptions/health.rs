//! `GET /{projectKey}/subscriptions/{id}/health`: how delivery goes, for monitoring without a token
//! (commercetools.md 8.1). By id only; the id is the only secret.

use axum::http::{Method, StatusCode};
use keyherald_core::Refusal;
use keyherald_core::subscription::SubscriptionStatus;
use serde_json::json;

use super::super::reply::{Answer, Reply, failed, refused};
use super::super::request::Request;
use super::super::route::{Access, Route};
use super::Target;
use crate::app::Call;

pub const ROUTE: Route = Route {
    method: Method::GET,
    path: "/{project}/subscriptions/{id}/health",
    access: Access::Anybody(|request| Box::pin(handle(request))),
};

async fn handle(request: Request) -> Answer {
    let Target { which, named } = Target::by_id(&request.captured)?;
    let Some(project) = request.project else { return Err(refused(&Refusal::SubscriptionNotFound, &named)) };
    let call = Call::on(project);
    let found = request.app.subscription(call, which).await.map_err(|failure| failed(failure, &named))?;
    let status = match found.status {
        SubscriptionStatus::Healthy => StatusCode::OK,
        SubscriptionStatus::ConfigurationError | SubscriptionStatus::ConfigurationErrorDeliveryStopped => {
            StatusCode::BAD_REQUEST
        }
        SubscriptionStatus::TemporaryError => StatusCode::SERVICE_UNAVAILABLE,
    };
    Ok(Reply::ok(json!({"status": found.status.as_str()})).status(status))
}
