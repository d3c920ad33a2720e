//! `POST /digitalwallets/v1/wallet-setup/verifications/{verificationId}/attempts`: try a code (paysafe.md 3.4, 3.5). A wrong
//! one is no error.

use axum::http::Method;
use keyherald_core::id::{AttemptId, VerificationId};
use keyherald_core::verification::Attempted;
use serde_json::json;

use super::super::reply::{Answer, Problem, Reply, failed};
use super::super::request::{Request, TokenKind};
use super::super::route::Route;
use super::{attribute_json, channel, notification_json, time};
use crate::app::verify_identifier::Attempt;

pub const ROUTE: Route = Route {
    method: Method::POST,
    path: "/digitalwallets/v1/wallet-setup/verifications/{verificationId}/attempts",
    handle: |request| Box::pin(handle(request)),
};

async fn handle(request: Request) -> Answer {
    let (received, mut fields) = request.received(&[TokenKind::Configuration, TokenKind::Customer]).await?;
    let id: VerificationId = received.captured.parse().map_err(|_| Problem::verification_not_found())?;
    let attribute = fields.attribute();
    let method = fields.text("notificationType.method");
    let by = fields.optional_text("notificationType.channel");
    let code = fields.text("value").map(zeroize::Zeroizing::new);
    let (Some(attribute), Some(method), Some(code)) = (attribute, method, code) else { return Err(fields.problem()) };
    if method != "OTP" {
        fields.refuse("notificationType.method", "must be that of the verification");
    }
    if by.is_some_and(|by| by != channel(&attribute)) {
        fields.refuse("notificationType.channel", "must be that of the verification");
    }
    if fields.is_wrong() {
        return Err(fields.problem());
    }
    let (app, brand) = (received.app, received.brand);
    let mut ctx = app.moments.ctx();
    let about = (id, attribute.clone());
    let tried = app.try_code(received.call, brand.verifying.clone(), received.source, about, &code).await;
    let (number, of, outcome) = match tried.map_err(failed)? {
        Attempt::Made { number, of, outcome } => (number, of, outcome),
        Attempt::Unknown => return Err(Problem::verification_not_found()),
        Attempt::Mismatch => {
            fields.refuse("attribute", "must be that of the verification");
            return Err(fields.problem());
        }
        Attempt::NotActive(not_active) => return Err(Problem::verification_not_active(not_active.0)),
        Attempt::TooMany { retry_after_s } => return Err(Problem::too_many(retry_after_s)),
    };
    let mut body = json!({
        "verificationAttemptId": AttemptId::new(&mut ctx).to_string(),
        "verificationId": id.to_string(),
        "attribute": attribute_json(&attribute),
        "notificationType": notification_json(&attribute),
        "currentAttempts": number,
        "allowableAttempts": of,
        "status": if outcome == Attempted::Verified { brand.success_value.as_str() } else { "FAILED" },
    });
    let reason = match outcome {
        Attempted::Verified => None,
        Attempted::Wrong => Some("INVALID_VALUE"),
        Attempted::WrongAtLast => Some("ATTEMPTS_EXHAUSTED"),
    };
    if let Some(members) = body.as_object_mut() {
        members.extend(reason.map(|reason| ("statusReason".to_owned(), reason.into())));
        members.insert("creationTime".to_owned(), time(ctx.now).into());
    }
    Ok(Reply::new(brand.success_status, body))
}
