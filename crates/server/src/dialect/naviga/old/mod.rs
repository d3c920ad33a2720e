//! The User API of before: the same use cases, in PascalCase and in its own envelope (naviga.md 4).

pub mod authenticate;
pub mod create;
pub mod find;
pub mod read_by_id;
pub mod send_verification_code;
pub mod start_forgot_password;
pub mod update;
pub mod verify_email;

use super::request::Asked;

/// What the old selector says: 0 is both systems, 1 the provider alone, which has no equivalent and is taken as both, and 2
/// our database alone (naviga.md 4.5). `None`: it says nothing.
fn ignores_provider(selector: &str) -> Option<bool> {
    match selector {
        "0" | "1" => Some(false),
        "2" => Some(true),
        _ => None,
    }
}

/// The last segment of the path, as it was sent.
fn last_segment(request: &Asked) -> String {
    let path = request.uri.path();
    path.strip_suffix('/').unwrap_or(path).rsplit('/').next().unwrap_or_default().to_owned()
}
