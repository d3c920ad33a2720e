//! `keyherald provider check`, on every double.

use keyherald::clock::Moments;
use keyherald::commands::provider::{Asked, check};

use crate::conformance::{Case, Stage, cases};
use crate::people::{EMAIL, OLD};

async fn checked(case: &Case, user: &str, set: bool) -> (bool, Vec<String>, String) {
    let stage = Stage::of(case).await;
    let asked = Asked { user: user.parse().unwrap(), email: Some(EMAIL.to_owned()), external_id: None, set };
    let mut lines = Vec::new();
    let moments = Moments::of_system();
    let as_expected = check(&stage.connector, &asked, &moments, &mut |line| lines.push(line.to_owned())).await;
    (as_expected, lines, stage.double.people(|people| people.0[case.user].password.clone()))
}

#[tokio::test]
async fn a_sandbox_is_found_as_expected_and_changed_only_when_asked() {
    for case in cases() {
        let (as_expected, lines, password) = checked(&case, case.user, false).await;
        assert!(as_expected, "{}: {lines:#?}", case.name);
        assert_eq!(password, OLD);
        if !case.judges_passwords {
            continue; // that double gets hashes, and knows only those of passwords that tests agreed on
        }
        let (as_expected, lines, password) = checked(&case, case.user, true).await;
        assert!(as_expected, "{}: {lines:#?}", case.name);
        assert_ne!(password, OLD);
        assert!(lines.iter().any(|line| line.starts_with("  set  ")), "{lines:#?}");
        assert!(!lines.concat().contains(&password), "the password is nobody's business");
    }
}

#[tokio::test]
async fn what_is_not_as_expected_is_marked() {
    for case in cases().into_iter().filter(|case| case.judges_passwords) {
        let (as_expected, lines, _) = checked(&case, "nobody-at-all", true).await;
        assert!(!as_expected, "{}: {lines:#?}", case.name);
        assert!(lines.iter().any(|line| line.starts_with("! set ") && line.contains("user_not_found")), "{lines:#?}");
    }
}
