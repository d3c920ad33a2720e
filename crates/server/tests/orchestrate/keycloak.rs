//! Keycloak.

use serde_json::json;

use crate::cell::{Step, Trouble};
use crate::double::{Fault, Got, Said};
use crate::provider::{Connector, User};
use crate::script::Call;
use crate::spoken::{Spoken, start};
use crate::vendor_keycloak::{self as vendor, Keycloak, TOKEN_PATH};

pub const CONNECTOR: Connector = Connector {
    name: "keycloak",
    steps: &[Step::Access, Step::LookUp, Step::Set, Step::Probe, Step::SignIn, Step::EndSessions],
    throttle_forms: 2,
    has_policy: true,
    needs_slapd: false,
    start: start::<Keycloak>,
};

impl Spoken for Keycloak {
    const USER: &'static str = vendor::USER;
    const SECRET: &'static str = vendor::SECRET;

    fn double(_: &User) -> Self {
        Self::default()
    }

    fn config(url: &str, secret: &str) -> String {
        format!(
            "kind = \"keycloak\"\nbase_url = \"{url}\"\nrealm = \"shop\"\nclient_id = \"keyherald\"\n\
             client_secret_file = \"{secret}\"\ntrial_sign_in = true\n"
        )
    }

    fn call_of(got: &Got) -> Call {
        match got.method.as_str() {
            "POST" if got.path() == TOKEN_PATH && got.body.contains("client_credentials") => Call::Access,
            "POST" if got.path() == TOKEN_PATH => Call::SignIn,
            "POST" => Call::EndSessions,
            "PUT" => Call::Set,
            _ => Call::LookUp,
        }
    }

    fn tells(trouble: Trouble) -> Option<Fault> {
        let error = |status, text| Said::json(status, &json!({"error": text}));
        Some(match trouble {
            Trouble::AppliedBroken => Fault::AppliedBut(error(500, "unknown_error")),
            Trouble::Broken => Fault::Instead(error(500, "unknown_error")),
            Trouble::Throttled(0) => Fault::Instead(error(429, "slow down").header("retry-after", "1")),
            Trouble::Throttled(_) => Fault::Instead(error(429, "slow down")),
            Trouble::AccessRefused => Fault::Instead(error(401, "HTTP 401 Unauthorized")),
            Trouble::NoUser => Fault::Instead(error(404, "User not found")),
            _ => return None,
        })
    }
}
