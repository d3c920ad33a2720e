//! The example files for operators: each is a configuration that can be used, or says what is still to be filled in.

use std::ffi::OsString;
use std::path::PathBuf;

use keyherald::config::{Config, Environment, Origin, Problems, ProviderKind, Purpose};
use keyherald::connector::Kind;
use url::Url;

/// What the files name as secrets.
const SECRETS: [&str; 7] = [
    "AUTH0_CLIENT_SECRET",
    "KEYSTONE_ADMIN_PASSWORD",
    "OKTA_API_TOKEN",
    "FUSIONAUTH_API_KEY",
    "SCIM_TOKEN",
    "KEYCLOAK_CLIENT_SECRET",
    "FIREFLY_SECRET",
];

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../examples/providers")
}

pub(crate) fn text(name: &str) -> String {
    std::fs::read_to_string(folder().join(format!("{name}.example.toml"))).unwrap()
}

/// Reads a configuration with this value for every secret.
pub(crate) fn read(text: &str, secret: &str) -> Result<Config, Problems> {
    let variables = SECRETS.map(|name| (OsString::from(name), OsString::from(secret)));
    Config::read(text, None, Environment::of(variables), Purpose::Maintain)
}

/// The kind of the one provider in a text, its URLs led to `url`.
pub(crate) fn kind(text: &str, secret: &str, url: &Url) -> Kind {
    let line = text.lines().find(|line| line.starts_with("base_url")).unwrap();
    let base = Url::parse(line.split('"').nth(1).unwrap()).unwrap();
    let origin = base.origin().ascii_serialization();
    let here = text.replace(&origin, url.as_str().trim_end_matches('/'));
    let name = text.split("[providers.").nth(1).unwrap().split(['.', ']']).next().unwrap();
    let text =
        here.replacen(&format!("[providers.{name}]"), &format!("[providers.{name}]\nallow_insecure_http = true"), 1);
    let config = read(&text, secret).unwrap_or_else(|problems| panic!("{problems}"));
    let provider = config.providers.values().next().unwrap();
    keyherald::boot::provider_kind(provider.kind.as_ref().unwrap()).unwrap()
}

#[test]
fn every_example_can_be_used_as_it_stands_or_says_what_is_blank() {
    let mut seen = 0;
    for entry in std::fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let shown = path.display();
        let lines: Vec<&str> = text.lines().collect();
        let mut blanks: Vec<usize> = (1..=lines.len()).filter(|line| lines[line - 1].contains("# BLANK ")).collect();
        if let Err(problems) = read(&text, "s3cret") {
            for problem in problems.list() {
                let Origin::Line(line) = problem.origin else { panic!("{shown}: {problems}") };
                assert!(
                    lines[line - 1].contains("# BLANK ") || problem.key.ends_with(".extract"),
                    "{shown}: {problems}"
                );
                blanks.retain(|blank| *blank != line);
            }
        }
        assert!(blanks.is_empty(), "{shown}: nothing is said about the blanks in lines {blanks:?}");
        let filled: Vec<String> = lines.iter().map(|line| filled(line)).collect();
        let config = read(&filled.join("\n"), "s3cret").unwrap_or_else(|problems| panic!("{shown}: {problems}"));
        let providers: Vec<_> = config.providers.values().collect();
        assert!(matches!(providers.as_slice(), [provider] if matches!(provider.kind, Some(ProviderKind::Http(_)))));
        assert!(!config.listing().contains("s3cret"), "{shown}");
        keyherald::boot::providers(&config).unwrap_or_else(|error| panic!("{shown}: {error:?}"));
        seen += 1;
    }
    assert_eq!(seen, 9);
}

#[test]
fn the_documents_sample_can_be_used() {
    let (_, rest) = include_str!("../../../../docs/http-provider.md").split_once("```toml\n").unwrap();
    let sample = rest.split("```").next().unwrap().replace("PUBLISHER_X_TOKEN", SECRETS[0]);
    read(&sample, "s3cret").unwrap_or_else(|problems| panic!("{problems}"));
}

/// A line whose blank has got the value that stands behind it.
fn filled(line: &str) -> String {
    let Some((before, after)) = line.split_once("# BLANK ") else { return line.to_owned() };
    let value = after.split('"').nth(1).unwrap();
    let key = before.split('=').next().unwrap();
    format!("{key} = {value:?}")
}
