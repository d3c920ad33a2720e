//! `PUT /v4/Users/{customerRegistrationId}`: a user's record (naviga.md 3.2).

use axum::http::Method;
use keyherald_core::update::TextField;

use super::super::fields::Fields;
use super::super::reply::{Answer, Problem, Reply, completed, not_updated, unknown_user};
use super::super::request::{Received, Request};
use super::super::route::{Era, Route};
use super::super::user::ids;
use super::create::{ignores_provider, metadata};
use crate::app::{FoundUser, UserRef, UserUpdate};

pub const ROUTE: Route =
    Route { method: Method::PUT, path: "/v4/Users/{crid}", era: Era::V4, handle: |request| Box::pin(handle(request)) };

async fn handle(request: Request) -> Answer {
    let (received, mut fields) = request.received().await?;
    let user = update(&received, &mut fields).await?;
    let Some(user) = user else { return Err(fields.problem()) };
    let data = ids(&received.app, &received.caller.tenant, &user);
    Ok(Reply::with_data(completed("Update User completed."), data))
}

/// Changes the record of the user whom the path names. `None`: what is asked for cannot be, and [`Fields::problem`] says
/// so.
pub async fn update(received: &Received, fields: &mut Fields) -> Result<Option<FoundUser>, Problem> {
    let tenant = &received.caller.tenant;
    let Some((update, ignores)) = parsed(fields) else { return Ok(None) };
    let Some(which) = tenant.customer(&received.crid) else { return Err(unknown_user(tenant)) };
    let of = (tenant.provider_name(), !ignores);
    let updated = received.app.update_user(received.call(), UserRef::Is(which), of, update).await;
    let updated = updated.map_err(|failure| not_updated(failure, tenant))?;
    if updated.is_none() {
        fields.not_valid("Metadata");
    }
    Ok(updated)
}

fn parsed(fields: &mut Fields) -> Option<(UserUpdate, bool)> {
    let first_name = fields.text("FirstName", TextField::FirstName.chars_max());
    let last_name = fields.text("LastName", TextField::LastName.chars_max());
    let (verified, metadata) = (fields.flag("Verified"), metadata(fields));
    let (at, is_removed) = (fields.time("LastLogoutDate"), fields.flag("RemoveLastLogoutDate"));
    let ignores = ignores_provider(fields);
    // To remove it is the stronger wish.
    let last_logout_at = if is_removed.ok()? == Some(true) { Some(None) } else { at.ok()?.map(Some) };
    let update = UserUpdate {
        first_name: first_name.ok()?,
        last_name: last_name.ok()?,
        verified: verified.ok()?,
        metadata: metadata.ok()?,
        last_logout_at,
    };
    Some((update, ignores.ok()?))
}
