//! `POST /digitalwallets/v1/wallet-setup/customer-credentials`: a new password or PIN in place of a forgotten one, for
//! somebody who has proved an address or a number (paysafe.md 4).

use axum::http::Method;
use keyherald_core::policy::Surface;
use keyherald_core::verification::Claim;

use super::super::reply::{Answer, Problem, failed};
use super::super::request::{Request, TokenKind};
use super::super::route::Route;
use super::{circumstances, replaced};
use crate::app::limits::Limited;
use crate::app::recover_credentials::Recovery;

pub const ROUTE: Route = Route {
    method: Method::POST,
    path: "/digitalwallets/v1/wallet-setup/customer-credentials",
    handle: |request| Box::pin(handle(request)),
};

async fn handle(request: Request) -> Answer {
    let (received, mut fields) = request.received(&[TokenKind::Configuration]).await?;
    let brand = received.brand.clone();
    let identifiers = fields.identifiers();
    let new = fields.password("customerCredentials.password");
    let device = fields.device(true, brand.requires_app_type);
    if !fields.is_wrong() {
        fields.require(&brand.required);
    }
    let Some(new) = new.filter(|_| !fields.is_wrong()) else { return Err(fields.problem()) };
    let claims: Option<Vec<Claim>> =
        identifiers.into_iter().map(|(attribute, id)| Some(Claim { attribute, id: id? })).collect();
    let claims = claims.ok_or_else(Problem::verification_invalid)?;
    let circumstances = circumstances(&received, device);
    let recovery = Recovery { claims, new, surface: Surface::Paysafe(brand.rule), circumstances };
    let recovered = received.app.recover_credentials(received.call, &brand.verifying, received.source, recovery).await;
    match recovered.map_err(failed)? {
        Limited::Done(()) => Ok(replaced(&brand)),
        Limited::TooMany { retry_after_s } => Err(Problem::too_many(retry_after_s)),
    }
}
