//! `keyherald check` as a person runs it.
#![expect(clippy::unwrap_used, reason = "a test may end here")]

use std::path::Path;
use std::process::{Command, Output};

const KEY: &str = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";

fn keyherald(arguments: &[&str], config: Option<&Path>) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_keyherald"));
    command.args(arguments).env_clear().env("KEYHERALD_SEALING_KEY", KEY);
    if let Some(config) = config {
        command.env("KEYHERALD_CONFIG", config);
    }
    command.output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn the_example_file_is_ok_and_its_listing_too() {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../keyherald.example.toml");
    let first = keyherald(&["check"], Some(&example));
    assert!(first.status.success(), "{}", text(&first.stderr));
    assert!(text(&first.stdout).ends_with("# ok\n") && !text(&first.stdout).contains(KEY));
    let folder = tempfile::tempdir().unwrap();
    let listing = folder.path().join("listing.toml");
    std::fs::write(&listing, &first.stdout).unwrap();
    let second = keyherald(&["check", "--config", listing.to_str().unwrap()], None);
    assert_eq!((second.status.code(), text(&second.stdout)), (Some(0), text(&first.stdout)));
}

#[test]
fn all_problems_are_printed_and_the_exit_code_is_1() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("k.toml");
    std::fs::write(&file, "[server]\nlisen = 5\n[log]\nformat = \"xml\"\n").unwrap();
    let output = keyherald(&["check"], Some(&file));
    assert_eq!((output.status.code(), text(&output.stdout)), (Some(1), ""));
    let lines: Vec<&str> = text(&output.stderr).lines().filter(|line| line.starts_with("error: ")).collect();
    assert_eq!(lines.len(), 3, "{lines:?}");
    assert!(text(&output.stderr).contains("  hint: did you mean \"listen\"?"));
}

#[test]
fn usage_errors_have_exit_code_2_and_help_has_examples() {
    assert_eq!(keyherald(&["check"], None).status.code(), Some(2));
    assert_eq!(keyherald(&["chek"], None).status.code(), Some(2));
    assert!(text(&keyherald(&["--help"], None).stdout).contains("First steps:"));
    assert!(text(&keyherald(&["client", "create", "--help"], None).stdout).contains("Examples:"));
    let missing = keyherald(&["check", "--config", "/nonexistent.toml"], None);
    assert_eq!(missing.status.code(), Some(1));
    assert!(
        text(&missing.stderr).starts_with("error: /nonexistent.toml: cannot be read: "),
        "{}",
        text(&missing.stderr)
    );
}

#[test]
fn an_operators_mail_templates_are_tried_out() {
    let folder = tempfile::tempdir().unwrap();
    let (file, mail) = (folder.path().join("k.toml"), folder.path().join("mail"));
    std::fs::create_dir(&mail).unwrap();
    std::fs::write(mail.join("layout.txt"), "{{ greting }}").unwrap();
    let written = format!(
        "[secrets]\nsealing_keys = [{{ id = \"a\", key_env = \"KEYHERALD_SEALING_KEY\" }}]\n[mail]\ntemplates = \"{}\"\n",
        mail.display()
    );
    std::fs::write(&file, written).unwrap();
    let output = keyherald(&["check"], Some(&file));
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output.stderr).contains("error: de.toml: password_changed: layout.txt: "),
        "{}",
        text(&output.stderr)
    );
}

/// A partner's keys that are none, in a file and in the environment: which it is and how one is made, and never its value.
#[test]
fn a_signing_key_that_is_none_is_named_with_the_way_to_one() {
    let folder = tempfile::tempdir().unwrap();
    let (file, key) = (folder.path().join("k.toml"), folder.path().join("signing.key"));
    let written = format!(
        "[secrets]\nsealing_keys = [{{ id = \"a\", key_env = \"KEYHERALD_SEALING_KEY\" }}]\n\
         [[projects]]\nkey = \"shop\"\n[projects.paysafe]\nbrand = \"shop\"\ndelivery_mode = \"partner\"\n\
         request_signing = true\n\
         request_signing_secret_file = \"{}\"\n[projects.paysafe.webhook]\n\
         base_url = \"https://partner.example/hooks\"\nsecret_env = \"PARTNERS_SECRET\"\n",
        key.display()
    );
    std::fs::write(&file, written).unwrap();
    let check = |of_requests: &str, of_events: &str| {
        std::fs::write(&key, of_requests).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_keyherald"));
        command.args(["check", "--config"]).arg(&file).env_clear().env("KEYHERALD_SEALING_KEY", KEY);
        command.env("PARTNERS_SECRET", of_events).output().unwrap()
    };
    let good = check(KEY, KEY);
    assert!(good.status.success() && !text(&good.stdout).contains(KEY), "{}", text(&good.stderr));

    let of_requests = "projects[0].paysafe.request_signing_secret_file";
    let of_events = "projects[0].paysafe.webhook.secret_env";
    let make_one = "`openssl rand -base64 256`";
    for (requests, events, blamed) in [
        ("not-base64!", KEY, vec![of_requests]),
        ("c2hvcnQ=", KEY, vec![of_requests]), // too short
        (KEY, "not-base64!", vec![of_events]),
        ("c2hvcnQ=", "not-base64!", vec![of_requests, of_events]),
    ] {
        let output = check(requests, events);
        let told = text(&output.stderr);
        assert_eq!((output.status.code(), text(&output.stdout)), (Some(1), ""), "{told}");
        let errors: Vec<&str> = told.lines().filter(|line| line.starts_with("error: ")).collect();
        assert_eq!(errors.len(), blamed.len(), "{told}");
        for (error, key) in errors.iter().zip(blamed) {
            assert!(error.contains(key) && error.contains("a signing secret is the base64 form of"), "{told}");
        }
        let hints: Vec<&str> = told.lines().filter(|line| line.starts_with("  hint: ")).collect();
        assert!(hints.len() == errors.len() && hints.iter().all(|hint| hint.contains(make_one)), "{told}");
        assert!(!told.contains("not-base64!") && !told.contains("c2hvcnQ=") && !told.contains(KEY), "{told}");
    }
}
