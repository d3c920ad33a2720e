//! Auth0.

use std::time::{Duration, SystemTime};

use crate::cell::{Step, Trouble};
use crate::double::{Fault, Got, Said};
use crate::provider::{Connector, User};
use crate::script::Call;
use crate::spoken::{Spoken, start};
use crate::vendor_auth0::{self as vendor, Auth0, error, throttled};

pub const CONNECTOR: Connector = Connector {
    name: "auth0",
    steps: &[Step::Access, Step::LookUp, Step::Set, Step::Probe, Step::SignIn, Step::EndSessions],
    throttle_forms: 4,
    has_policy: true,
    needs_slapd: false,
    start: start::<Auth0>,
};

impl Spoken for Auth0 {
    const USER: &'static str = vendor::USER;
    const SECRET: &'static str = vendor::SECRET;

    fn double(_: &User) -> Self {
        Self::default()
    }

    fn config(url: &str, secret: &str) -> String {
        format!(
            "kind = \"auth0\"\nbase_url = \"{url}\"\nclient_id = \"client\"\nclient_secret_file = \"{secret}\"\n\
             connection = \"db\"\ntrial_sign_in = true\n"
        )
    }

    fn call_of(got: &Got) -> Call {
        match (got.path(), got.method.as_str()) {
            ("/oauth/token", _) if got.fields()["grant_type"] == "client_credentials" => Call::Access,
            ("/oauth/token", _) => Call::SignIn,
            (_, "PATCH") => Call::Set,
            (_, "POST") => Call::EndSessions,
            _ => Call::LookUp,
        }
    }

    fn tells(trouble: Trouble) -> Option<Fault> {
        let broken = error(500, "Internal Server Error", "Internal error", None);
        let instead = |status, name, message, code| Some(Fault::Instead(error(status, name, message, code)));
        match trouble {
            Trouble::AppliedBroken => Some(Fault::AppliedBut(broken)),
            Trouble::Broken => Some(Fault::Instead(broken)),
            Trouble::Throttled(form) => Some(Fault::Instead(too_many(form))),
            Trouble::AccessRefused => instead(401, "Unauthorized", "Expired token received", None),
            Trouble::NoUser => instead(404, "Not Found", "The user does not exist.", Some("inexistent_user")),
            _ => None,
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "what a provider says about time is by its own clock")]
fn too_many(form: usize) -> Said {
    let soon = SystemTime::now() + Duration::from_secs(2);
    let epoch_s = soon.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs().to_string();
    match form {
        0 => throttled().header("retry-after", "1"),
        1 => throttled().header("retry-after", &httpdate::fmt_http_date(soon)),
        2 => throttled().header("x-ratelimit-reset", &epoch_s),
        _ => throttled(),
    }
}
