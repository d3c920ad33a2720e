//! Partners' secrets in the configuration: what is a key, and what a start refuses (paysafe.md 2.2).

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use keyherald::config::{Config, Environment, Purpose};

/// A secret as `openssl rand -base64 256` prints it: lines of 64 characters.
fn wrapped() -> String {
    let text = STANDARD.encode([0x5a; 256]);
    let lines: Vec<&str> = text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    lines.join("\n") + "\n"
}

fn read(place: &str, key: &str, file: &Path) -> Result<Config, String> {
    let brand = "[[projects]]\nkey = \"demo\"\n[projects.paysafe]\nbrand = \"wallet\"\ndelivery_mode = \"partner\"";
    let text = format!("{brand}\n{place}\n{key}_file = '{}'\n", file.display());
    Config::read(&text, Some("keyherald.toml".into()), Environment::of([]), Purpose::Maintain)
        .map_err(|problems| problems.to_string())
}

const PLACES: [(&str, &str); 3] = [
    ("[projects.paysafe.webhook]\nbase_url = \"https://partner.example\"", "secret"),
    ("[projects.paysafe.webhook]\nbase_url = \"https://partner.example\"\nsecret_file = 'ACTIVE'", "next_secret"),
    ("webhook.base_url = \"https://partner.example\"\nrequest_signing = true", "request_signing_secret"),
];

#[test]
fn a_key_may_have_line_breaks_and_nothing_else_than_base64_is_one() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("secret");
    let wrong = [
        "hunter2 is no key but looks like a word".to_owned(),
        STANDARD.encode([0x5a; 31]),
        wrapped().replace('=', ""),
        wrapped().replacen('W', "_", 1),
        wrapped().replacen('W', "é", 1),
    ];
    for (place, key) in PLACES {
        // The active secret, where the next one is read.
        let active = folder.path().join("active");
        std::fs::write(&active, wrapped()).unwrap();
        let place = place.replace("ACTIVE", &active.display().to_string());
        for right in [wrapped(), wrapped().replace('\n', "\r\n"), wrapped().replace('\n', "")] {
            std::fs::write(&file, right).unwrap();
            assert!(read(&place, key, &file).is_ok(), "{key}: {:?}", read(&place, key, &file).err());
        }
        for wrong in &wrong {
            std::fs::write(&file, wrong).unwrap();
            let told = read(&place, key, &file).err().unwrap();
            assert!(told.contains(&format!("{key}_file")), "{told}");
            assert!(told.contains("openssl rand -base64 256"), "{told}");
            assert!(!told.contains(wrong.lines().next().unwrap()), "{told}");
        }
    }
}
