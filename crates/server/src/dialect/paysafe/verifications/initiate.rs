//! `POST /digitalwallets/v1/wallet-setup/verifications`: begin a process (paysafe.md 3.2, 3.3).

use axum::http::Method;
use keyherald_core::verification::Purpose;
use serde_json::json;

use super::super::reply::{Answer, Problem, Reply, failed};
use super::super::request::{Request, TokenKind};
use super::super::route::Route;
use super::{attribute_json, notification_json, time};
use crate::app::verify_identifier::Initiation;

pub const ROUTE: Route = Route {
    method: Method::POST,
    path: "/digitalwallets/v1/wallet-setup/verifications",
    handle: |request| Box::pin(handle(request)),
};

async fn handle(request: Request) -> Answer {
    let (received, mut fields) = request.received(&[TokenKind::Configuration, TokenKind::Customer]).await?;
    let attribute = fields.attribute();
    let purpose = fields.word("flow", "must be WALLET_SETUP, WALLET_UPDATE or PASSWORD_RESET");
    let (Some(attribute), Some(purpose)) = (attribute, purpose) else { return Err(fields.problem()) };
    // A customer who has signed in has nothing to set up or to recover.
    if received.kind == TokenKind::Customer && purpose != Purpose::WalletUpdate {
        return Err(Problem::insufficient_scope());
    }
    let (app, brand) = (received.app, received.brand);
    let about = (attribute.clone(), purpose);
    let begun = app.begin_verification(received.call, brand.verifying.clone(), received.source, about).await;
    match begun.map_err(failed)? {
        Initiation::Begun { process, processes } => Ok(Reply::new(
            brand.success_status,
            json!({
                "verificationId": process.id.to_string(),
                "attribute": attribute_json(&attribute),
                "notificationType": notification_json(&attribute),
                "flow": purpose.as_str(),
                "currentProcesses": processes,
                "allowableProcesses": brand.verifying.limits.processes,
                "creationTime": time(process.created_at),
                "expirationTime": time(process.expires_at),
            }),
        )),
        Initiation::Resting { retry_after_s } => Err(Problem::verification_limit(retry_after_s)),
        Initiation::TooMany { retry_after_s } => Err(Problem::too_many(retry_after_s)),
    }
}
