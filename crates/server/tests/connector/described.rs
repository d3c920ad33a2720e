//! Described providers: the conformance suite over one of them, and what only descriptions have.

use keyherald::connector::Kind;
use url::Url;

use crate::auth0;
use crate::conformance::Case;
use crate::examples;

fn auth0_kind(url: &Url) -> Kind {
    examples::kind(&examples::text("auth0"), auth0::vendor::SECRET, url)
}

/// Auth0 by its example file, against the double of the native connector.
pub(crate) fn auth0() -> Case {
    Case {
        name: "auth0, described",
        kind: auth0_kind,
        weak_text: Some("PasswordStrengthError: Password is too weak"),
        ..auth0::case()
    }
}
