//! The transcripts leave nothing out: every endpoint has its steps, and every documented code is answered in one of them.

use std::collections::BTreeSet;
use std::path::Path;

use keyherald::dialect::naviga::{endpoint_of, endpoints};

/// Codes of naviga.md 2.5, of the endpoints that are served.
const CODES: [&str; 18] = [
    "UsersOrchestrator_E400",
    "UsersOrchestrator_E400_00",
    "UsersOrchestrator_E400_02",
    "UsersOrchestrator_E400_07",
    "UsersOrchestrator_E400_08",
    "UsersOrchestrator_E400_14",
    "UsersOrchestrator_E400_15",
    "UsersOrchestrator_E400_16",
    "UsersOrchestrator_E401",
    "UsersOrchestrator_E404",
    "UsersOrchestrator_E500_01",
    "UsersOrchestrator_E500_02",
    "UsersOrchestrator_S200",
    "UsersOrchestrator_S200_08",
    "UsersOrchestrator_S200_09",
    "UsersOrchestrator_S200_10",
    "UsersOrchestrator_S200_11",
    "UsersOrchestrator_S200_12",
];

/// Codes that a provider's answer brings about, and the tests of them.
const ELSEWHERE: [(&str, &str); 2] = [("E400_22", "users.rs"), ("E500", "users.rs")];

fn transcripts() -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/contract_naviga/transcripts");
    let files = std::fs::read_dir(folder).unwrap();
    files.map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap() + "\n").collect()
}

#[test]
fn every_endpoint_has_steps() {
    let mut missing: BTreeSet<usize> = (0..endpoints().count()).collect();
    for line in transcripts().lines() {
        let Some((method, target)) = line.strip_prefix("> ").and_then(|line| line.split_once(' ')) else { continue };
        // What is filled in is one word of the path.
        let path = target.split('?').next().unwrap().replace("{{", "").replace("}}", "");
        let Ok(method) = method.parse() else { continue };
        if let Some(at) = endpoint_of(&method, &path) {
            missing.remove(&at);
        }
    }
    let names: Vec<String> = missing.iter().filter_map(|at| endpoints().nth(*at)).map(|it| format!("{it:?}")).collect();
    assert!(names.is_empty(), "no transcript has a step for:\n{}", names.join("\n"));
}

#[test]
fn every_documented_code_is_answered() {
    let text = transcripts();
    let missing: Vec<&str> = CODES.into_iter().filter(|code| !text.contains(&format!("\"{code}\""))).collect();
    assert!(missing.is_empty(), "no transcript answers {missing:?}");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/contract_naviga");
    for (code, file) in ELSEWHERE {
        let text = std::fs::read_to_string(folder.join(file)).unwrap();
        assert!(text.contains(&format!("\"{code}\".into()")), "{code} is not in {file}");
    }
}
