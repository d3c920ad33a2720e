//! `keyherald demo --cluster`, played to its end by the real program.

use std::process::Command;

#[test]
#[ignore = "needs PostgreSQL: cargo xtask test makes sure that it is there"]
fn the_demo_on_postgres_loses_a_node_and_no_message() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_keyherald"));
    let output = command.args(["demo", "--cluster", "--color", "never"]).output().unwrap();
    let (said, complained) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}\n{complained}");
    for expected in ["Node b dies: SIGKILL", "✓ one node died, and nobody missed a message"] {
        assert!(said.contains(expected), "{expected:?} is missing:\n{said}");
    }
}
