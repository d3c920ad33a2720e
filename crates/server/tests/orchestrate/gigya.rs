//! Gigya, with signed requests.

use keyherald::clock::Moments;
use serde_json::json;

use crate::cell::{Step, Trouble};
use crate::double::{Fault, Got, Said};
use crate::provider::{Connector, User};
use crate::script::Call;
use crate::spoken::{Spoken, start};
use crate::vendor_gigya::{self as vendor, Gigya, error};

pub const CONNECTOR: Connector = Connector {
    name: "gigya",
    steps: &[Step::LookUp, Step::Set, Step::Probe, Step::SignIn, Step::EndSessions],
    throttle_forms: 3,
    has_policy: true,
    needs_slapd: false,
    start: start::<Gigya>,
};

impl Spoken for Gigya {
    const USER: &'static str = vendor::USER;
    const SECRET: &'static str = vendor::SECRET;

    fn double(_: &User) -> Self {
        Self { clock: Some(|| Moments::of_system().now()), ..Self::default() }
    }

    fn config(url: &str, secret: &str) -> String {
        format!(
            "kind = \"gigya\"\nbase_url = \"{url}\"\napi_key = \"3_APIKEY\"\nuser_key = \"AKuser\"\n\
             secret_file = \"{secret}\"\ntrial_sign_in = true\n"
        )
    }

    fn call_of(got: &Got) -> Call {
        match got.path() {
            "/accounts.setAccountInfo" => Call::Set,
            "/accounts.login" => Call::SignIn,
            // No batch registers anybody: by this the tests of records hold it (records.rs).
            "/accounts.logout" | "/accounts.register" => Call::EndSessions,
            _ => Call::LookUp,
        }
    }

    fn tells(trouble: Trouble) -> Option<Fault> {
        let broken = error(500_001, "General server error");
        match trouble {
            Trouble::AppliedBroken => Some(Fault::AppliedBut(broken)),
            Trouble::Broken => Some(Fault::Instead(broken)),
            Trouble::Throttled(0) => Some(Fault::Instead(error(403_048, "Api rate limit exceeded"))),
            Trouble::Throttled(1) => Some(Fault::Instead(error(400_125, "Frequency limit"))),
            Trouble::Throttled(_) => Some(Fault::Instead(Said::json(429, &json!({})).header("retry-after", "1"))),
            // That its clock is another: signed anew by the time that it says.
            Trouble::AccessRefused => Some(Fault::Instead(error(403_002, "Request has expired"))),
            Trouble::NoUser => Some(Fault::Instead(error(403_047, "Unknown user"))),
            _ => None,
        }
    }
}
