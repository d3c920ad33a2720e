//! Ory Kratos: it knows no policy and no sign-in, and is told hashes.

use crate::cell::{Step, Trouble};
use crate::double::{Fault, Got};
use crate::provider::{Connector, User};
use crate::script::Call;
use crate::spoken::{Spoken, start};
use crate::vendor_kratos::{self as vendor, Kratos, error};

pub const CONNECTOR: Connector = Connector {
    name: "kratos",
    steps: &[Step::LookUp, Step::Set, Step::Probe, Step::EndSessions],
    throttle_forms: 2,
    has_policy: false,
    needs_slapd: false,
    start: start::<Kratos>,
};

impl Spoken for Kratos {
    const USER: &'static str = vendor::USER;
    const SECRET: &'static str = vendor::SECRET;

    fn double(user: &User) -> Self {
        Self { passwords: vec![user.password.clone(), user.new.clone()], ..Self::default() }
    }

    fn config(url: &str, secret: &str) -> String {
        format!("kind = \"kratos\"\nbase_url = \"{url}\"\naccess_token_file = \"{secret}\"\n")
    }

    fn call_of(got: &Got) -> Call {
        match got.method.as_str() {
            "PATCH" => Call::Set,
            "DELETE" => Call::EndSessions,
            _ => Call::LookUp,
        }
    }

    fn tells(trouble: Trouble) -> Option<Fault> {
        Some(match trouble {
            Trouble::AppliedBroken => Fault::AppliedBut(error(500, "An internal server error occurred")),
            Trouble::Broken => Fault::Instead(error(500, "An internal server error occurred")),
            Trouble::Throttled(0) => Fault::Instead(error(429, "Too many requests").header("retry-after", "1")),
            Trouble::Throttled(_) => Fault::Instead(error(429, "Too many requests")),
            Trouble::AccessRefused => Fault::Instead(error(401, "Unauthorized")),
            Trouble::NoUser => Fault::Instead(error(404, "Unable to locate the resource")),
            _ => return None,
        })
    }
}
