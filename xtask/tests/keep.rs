//! The keeper ends what it keeps, whatever becomes of the one who started it. The children here say `survived` after
//! 20 seconds; their output ends when the last of them is gone.

#![expect(clippy::expect_used, reason = "a test that cannot go on fails")]

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};

fn keep(folder: &Path, script: &str) -> Child {
    let mut keeper = Command::new(env!("CARGO_BIN_EXE_xtask"));
    keeper.args(["keep", "--stop=term", "--grace-s=1", "--remove"]).arg(folder).args(["--", "sh", "-c", script]);
    keeper.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the keeper starts")
}

/// Waits until the script is ready, closes the keeper's input, and returns what was said until all were gone.
fn abandon(keeper: &mut Child) -> String {
    let mut output = BufReader::new(keeper.stdout.take().expect("piped"));
    let mut said = String::new();
    output.read_line(&mut said).expect("readable");
    assert_eq!(said, "ready\n");
    drop(keeper.stdin.take());
    output.read_to_string(&mut said).expect("readable");
    said
}

#[test]
fn an_abandoned_child_ends_with_its_children_and_its_folder() {
    let place = tempfile::tempdir().unwrap();
    let mut keeper = keep(place.path(), "(sleep 20; echo survived) & echo ready; wait; echo survived");
    assert_eq!(abandon(&mut keeper), "ready\n");
    assert!(!keeper.wait().unwrap().success());
    assert!(!place.path().exists());
}

#[test]
fn a_child_that_ignores_the_request_is_killed() {
    let place = tempfile::tempdir().unwrap();
    let mut keeper = keep(place.path(), "trap '' TERM; echo ready; sleep 20; echo survived");
    assert_eq!(abandon(&mut keeper), "ready\n");
    assert!(!keeper.wait().unwrap().success());
    assert!(!place.path().exists());
}

#[test]
fn a_child_that_ends_by_itself_gives_its_code_and_keeps_its_folder() {
    let place = tempfile::tempdir().unwrap();
    let mut keeper = keep(place.path(), "(sleep 20; echo survived) & echo ready; exit 7");
    let mut said = String::new();
    keeper.stdout.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(said, "ready\n", "what it left in its group is gone too");
    assert_eq!(keeper.wait().unwrap().code(), Some(7));
    assert!(place.path().exists());
}
