//! `/v4/Users..`, and what these endpoints share with the old ones.

pub mod authenticate;
pub mod create;
pub mod find;
pub mod finish_forgot_password;
pub mod read_by_email;
pub mod read_by_encrypted_email;
pub mod read_by_encrypted_id;
pub mod read_by_id;
pub mod read_by_query;
pub mod read_by_token;
pub mod send_verification_code;
pub mod start_forgot_password;
pub mod update;
pub mod update_email;
pub mod update_password;
pub mod validate_forgot_password;
pub mod verify_email;

use keyherald_core::Refusal;
use keyherald_core::refusal::UniqueField;
use keyherald_core::secret::Password;

use super::reply::{E400_08, Problem, failed, unknown_user};
use super::request::Received;
use crate::app::Failure;

/// Sets the e-mail address of the user whom the path names.
pub async fn set_email(received: &Received, email: String) -> Result<(), Problem> {
    let tenant = &received.caller.tenant;
    let Some(which) = tenant.customer(&received.crid) else { return Err(unknown_user(tenant)) };
    let changed = received.app.change_email(received.call(), which, email).await;
    changed.map_err(|failure| match failure {
        Failure::Refused(Refusal::Duplicate(UniqueField::Email)) => Problem::of(E400_08),
        failure => failed(failure, tenant),
    })
}

/// Sets the password of the user whom the path names (naviga.md chapter 6).
pub async fn set_password(received: &Received, password: Password) -> Result<(), Problem> {
    let tenant = &received.caller.tenant;
    let Some(which) = tenant.customer(&received.crid) else { return Err(unknown_user(tenant)) };
    let replaced = received.app.replace_password(received.call(), which, password, tenant.keep_local_hash).await;
    replaced.map_err(|failure| failed(failure, tenant))
}
