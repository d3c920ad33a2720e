//! `keyherald provider check`, on every double.

use std::sync::Arc;

use keyherald::clock::Moments;
use keyherald::commands::provider::{Asked, check};
use keyherald::connector::Connector;

use crate::conformance::{Case, Stage, cases};
use crate::double::{Fault, Said};
use crate::people::{EMAIL, OLD, Person};

/// Checks a live provider: step and answer of each line, those that are marked with their mark.
pub async fn answers(connector: &Arc<dyn Connector>, asked: &Asked) -> Vec<(String, String)> {
    let mut lines = Vec::new();
    let as_expected = check(connector, asked, &Moments::of_system(), &mut |line| lines.push(line.to_owned())).await;
    assert!(as_expected, "{lines:#?}");
    let columns = |line: &String| {
        let columns: Vec<&str> = line.trim().split("  ").map(str::trim).filter(|column| !column.is_empty()).collect();
        match columns.as_slice() {
            [step, _, answer, took] if took.ends_with("ms") => Some(((*step).to_owned(), (*answer).to_owned())),
            _ => None,
        }
    };
    lines.iter().filter_map(columns).collect()
}

async fn checked(case: &Case, user: &str, (set, records): (bool, bool)) -> (bool, Vec<String>, Person) {
    checked_at(&Stage::of(case).await, case, user, (set, records)).await
}

async fn checked_at(
    stage: &Stage,
    case: &Case,
    user: &str,
    (set, records): (bool, bool),
) -> (bool, Vec<String>, Person) {
    let email = Some(EMAIL.to_owned());
    let asked = Asked { user: user.parse().unwrap(), email, external_id: None, set, records };
    let mut lines = Vec::new();
    let moments = Moments::of_system();
    let as_expected = check(&stage.connector, &asked, &moments, &mut |line| lines.push(line.to_owned())).await;
    (as_expected, lines, stage.double.people(|people| people.0[case.user].clone()))
}

#[tokio::test]
async fn records_are_changed_set_back_and_created_only_when_asked() {
    for case in cases() {
        let stage = Stage::of(&case).await;
        let people = || stage.double.people(|people| people.0.len());
        let can = stage.connector.capabilities().records;
        stage.double.people(|people| {
            let person = people.0.get_mut(case.user).unwrap();
            (person.first_name, person.last_name, person.email_verified) = ("Ada".into(), "Byron".into(), true);
        });
        let is_there = |lines: &[String], step: &str| lines.iter().any(|line| line.starts_with(&format!("  {step} ")));
        for records in [false, true] {
            let before = people();
            let (as_expected, lines, person) = checked_at(&stage, &case, case.user, (false, records)).await;
            assert!(as_expected, "{}: {lines:#?}", case.name);
            let has = (person.email.as_str(), person.first_name.as_str(), person.last_name.as_str());
            assert_eq!(has, (EMAIL, "Ada", "Byron"), "{}", case.name);
            assert!(person.email_verified && person.password == OLD, "{}", case.name);
            for step in ["change, unknown user", "change names", "change e-mail", "set back"] {
                assert_eq!(is_there(&lines, step), records && can.update, "{}: {step}: {lines:#?}", case.name);
            }
            let creates = records && can.create;
            assert_eq!(is_there(&lines, "create the same again"), creates, "{}", case.name);
            assert_eq!(lines.iter().any(|line| line.starts_with("A user was created")), creates, "{}", case.name);
            assert_eq!(people() - before, usize::from(creates), "{}", case.name);
        }
    }
}

#[tokio::test]
async fn a_change_that_has_no_effect_is_marked() {
    let case = crate::auth0::case();
    let stage = Stage::of(&case).await;
    stage.double.direct(Box::new(|got| {
        // Says yes, and does nothing.
        let is_change = got.method == "PATCH" && got.target.contains("u1");
        (is_change.then(|| Fault::Instead(Said::json(200, &serde_json::json!({})))), None)
    }));
    stage.double.people(|people| people.0.get_mut(case.user).unwrap().first_name = "Ada".into());
    let (as_expected, lines, _) = checked_at(&stage, &case, case.user, (false, true)).await;
    assert!(!as_expected && lines.iter().any(|line| line.starts_with("! what is read")), "{lines:#?}");
}

#[tokio::test]
async fn a_sandbox_is_found_as_expected_and_changed_only_when_asked() {
    for case in cases() {
        let (as_expected, lines, person) = checked(&case, case.user, (false, false)).await;
        assert!(as_expected, "{}: {lines:#?}", case.name);
        assert_eq!(person.password, OLD);
        if !case.judges_passwords {
            continue; // that double gets hashes, and knows only those of passwords that tests agreed on
        }
        let (as_expected, lines, Person { password, .. }) = checked(&case, case.user, (true, false)).await;
        assert!(as_expected, "{}: {lines:#?}", case.name);
        assert_ne!(password, OLD);
        assert!(lines.iter().any(|line| line.starts_with("  set  ")), "{lines:#?}");
        assert!(!lines.concat().contains(&password), "the password is nobody's business");
    }
}

#[tokio::test]
async fn what_is_not_as_expected_is_marked() {
    for case in cases().into_iter().filter(|case| case.judges_passwords) {
        let (as_expected, lines, _) = checked(&case, "nobody-at-all", (true, true)).await;
        assert!(!as_expected, "{}: {lines:#?}", case.name);
        assert!(lines.iter().any(|line| line.starts_with("! set ") && line.contains("user_not_found")), "{lines:#?}");
    }
}
