//! What docs/providers.md says is so: every kind has a sample that can be read and opened, and does what the table says.

use std::collections::BTreeMap;

use keyherald::boot;
use keyherald::config::{Config, Environment, Purpose};
use keyherald_core::provider::{Capabilities, Probe, SessionEnding};

const DOCUMENT: &str = include_str!("../../../../docs/providers.md");
const SECRETS: [(&str, &str); 5] = [
    ("AUTH0_CLIENT_SECRET", "s"),
    ("GIGYA_PRIVATE_KEY", include_str!("keys/gigya.pem")),
    ("KEYCLOAK_CLIENT_SECRET", "s"),
    ("ORY_ACCESS_TOKEN", "s"),
    ("LDAP_PASSWORD", "s"),
];

/// What only a configuration can say of.
const AS_CONFIGURED: [&str; 1] = ["http"];

fn read(text: &str) -> Result<Config, String> {
    let environment = Environment::of(SECRETS.map(|(name, value)| (name.into(), value.into())));
    Config::read(text, None, environment, Purpose::Maintain).map_err(|problems| problems.to_string())
}

/// The sample in each kind's chapter.
fn samples() -> BTreeMap<&'static str, &'static str> {
    let chapters = DOCUMENT.split("\n## `").skip(1);
    chapters
        .map(|chapter| {
            let (kind, rest) = chapter.split_once('`').unwrap();
            let (_, sample) = rest.split_once("```toml\n").unwrap();
            (kind, sample.split_once("```").unwrap().0)
        })
        .collect()
}

/// The table's rows, by kind.
fn rows() -> BTreeMap<&'static str, Vec<&'static str>> {
    let (_, table) = DOCUMENT.split_once("| kind | by id |").unwrap();
    let (table, _) = table.split_once("\n\n").unwrap();
    table
        .lines()
        .skip(2)
        .map(|line| {
            let mut cells = line.trim_matches('|').split('|').map(str::trim);
            (cells.next().unwrap().trim_matches('`'), cells.collect())
        })
        .collect()
}

fn row(can: &Capabilities) -> Vec<String> {
    let yes = |yes: bool| if yes { "yes" } else { "no" }.to_owned();
    let probe = match can.probe {
        Probe::None => "none",
        Probe::Password => "password",
        Probe::Record => "record",
    };
    let sessions = match can.sessions {
        SessionEnding::BySet => "none of its own",
        SessionEnding::ByStep => "by a call",
        SessionEnding::Never => "nothing ends them",
    };
    let records = match (can.records.create, can.records.update) {
        (true, true) => "create, change",
        (true, false) => "create",
        (false, true) => "change",
        (false, false) => "no",
    };
    vec![
        yes(can.lookups.id),
        yes(can.lookups.email),
        yes(can.lookups.external_id),
        probe.to_owned(),
        yes(can.trial_sign_in),
        sessions.to_owned(),
        records.to_owned(),
        yes(can.tokens),
        can.password_bytes_max.map_or_else(|| "any".to_owned(), |max| format!("{max} bytes")),
    ]
}

#[test]
fn every_sample_opens_and_does_what_the_table_says() {
    let rows = rows();
    for (kind, sample) in samples() {
        let config = read(sample).unwrap_or_else(|problems| panic!("{kind}: {problems}"));
        assert!(sample.contains(&format!("kind = \"{kind}\"\n")), "{kind}");
        let again = read(&config.listing()).unwrap_or_else(|problems| panic!("{kind}: {problems}"));
        assert_eq!(again.listing(), config.listing(), "{kind}");
        let providers = boot::providers(&config).unwrap_or_else(|_| panic!("{kind} cannot be opened"));
        let name = providers.names().next().unwrap().clone();
        let can = providers.provider(&name).unwrap().capabilities();
        if AS_CONFIGURED.contains(&kind) {
            assert!(rows[kind].iter().all(|cell| *cell == "as configured"));
        } else {
            assert_eq!(rows[kind], row(&can), "{kind}");
        }
    }
}

#[test]
fn every_kind_has_a_row_and_a_sample() {
    let Err(problems) = read("[providers.x]\nkind = \"?\"\n") else { panic!("there is no such kind") };
    let (_, words) = problems.split_once("must be one of [").unwrap();
    let kinds: Vec<&str> = words.split_once(']').unwrap().0.split(", ").map(|word| word.trim_matches('"')).collect();
    for kind in kinds {
        assert!(rows().contains_key(kind), "{kind} has no row");
        assert!(samples().contains_key(kind) || AS_CONFIGURED.contains(&kind), "{kind} has no sample");
    }
}

#[test]
fn what_is_wrong_with_a_sample_is_said_at_its_key() {
    let samples = samples();
    for (kind, from, to, expected) in [
        ("gigya", "eu1.gigya.com", "eu9.gigya.com", "providers.main.data_center: must be one of"),
        ("gigya", "data_center =", "# data_center =", "providers.main.data_center: is missing"),
        ("gigya", "private_key_env =", "# private_key_env =", "either its secret or its private key"),
        ("keycloak", "realm =", "# realm =", "providers.main.realm: is missing"),
        ("kratos", "https://", "http://", "providers.main.base_url: must begin with https://"),
        ("ldap", "ldaps://", "https://", "providers.main.url: must be an LDAP URL"),
        ("ldap", "ldaps://ldap", "ldaps://user@ldap", "providers.main.url: must be an LDAP URL"),
        ("ldap", "\"mail\"", "\"mail=*)(x\"", "providers.main.email_attribute: is not the name of an attribute"),
        ("ldap", "employeeNumber", "employee number", "providers.main.external_id_attribute: is not the name"),
        ("ldap", "bind_password_env =", "# bind_password_env =", "providers.main.bind_password_file: is missing"),
    ] {
        let Err(problems) = read(&samples[kind].replacen(from, to, 1)) else { panic!("{kind}: {from} as {to}") };
        assert!(problems.contains(expected), "{expected}: {problems}");
    }
    let Ok(config) = read(&samples["ldap"].replace("pwdChangedTime", "none")) else { panic!() };
    let providers = boot::providers(&config).unwrap_or_else(|_| panic!());
    let directory = providers.provider(&"main".parse().unwrap()).unwrap();
    assert_eq!(directory.capabilities().probe, Probe::None);
    let Ok(config) = read(&samples["gigya"].replace("GIGYA_PRIVATE_KEY", "LDAP_PASSWORD")) else { panic!() };
    assert!(boot::providers(&config).is_err(), "a text that is no key");
}
