//! A described provider (`kind = "http"`): Auth0 by its example file, against Auth0's double.

use crate::cell::Trouble;
use crate::double::{Fault, Got, Said, Vendor};
use crate::people::People;
use crate::provider::{Connector, User};
use crate::script::Call;
use crate::spoken::{Spoken, start};
use crate::vendor_auth0::Auth0;

pub const CONNECTOR: Connector = Connector { name: "http", start: start::<Described>, ..crate::auth0::CONNECTOR };

const EXAMPLE: &str = include_str!("../../../../examples/providers/auth0.example.toml");

/// Auth0 that is known by a description.
struct Described(Auth0);

impl Vendor for Described {
    fn is_about_access(&self, got: &Got) -> bool {
        self.0.is_about_access(got)
    }

    fn answer(&self, got: &Got, people: &mut People) -> Said {
        self.0.answer(got, people)
    }
}

impl Spoken for Described {
    const USER: &'static str = Auth0::USER;
    const SECRET: &'static str = Auth0::SECRET;

    fn double(user: &User) -> Self {
        Self(Auth0::double(user))
    }

    fn config(url: &str, secret: &str) -> String {
        let here = EXAMPLE.replace("https://shop.eu.auth0.com", url.trim_end_matches('/'));
        let example: toml::Table = here.parse().unwrap();
        let mut provider = example["providers"]["auth0-described"].as_table().unwrap().clone();
        provider["auth"]["client_secret"] = toml::Table::from_iter([("file".to_owned(), secret.into())]).into();
        // One key a line, for a table that has another name here.
        provider.into_iter().map(|(key, value)| format!("{key} = {value}")).collect::<Vec<_>>().join("\n") + "\n"
    }

    fn call_of(got: &Got) -> Call {
        Auth0::call_of(got)
    }

    fn tells(trouble: Trouble) -> Option<Fault> {
        Auth0::tells(trouble)
    }
}
