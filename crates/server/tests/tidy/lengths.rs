//! Lengths of functions and files, with a ratchet: what is too long today is written down, and may only shrink.
//!
//! A length counts no tests; a function counts from `fn` to its closing brace. `TIDY_UPDATE=1` rewrites the ratchet,
//! so that a reviewer sees in the diff what grew.

use std::collections::BTreeMap;

use crate::source::{Source, root};

/// Longest function in lines, as read top to bottom.
const FUNCTION_LINES_MAX: usize = 70;
/// Longest file in lines.
const FILE_LINES_MAX: usize = 600;

const RATCHET: &str = "crates/server/tests/tidy/ratchet";

/// Holds the sources to the ratchet, or rewrites it when `TIDY_UPDATE=1`.
pub(crate) fn hold_or_update(sources: &[Source]) -> Vec<String> {
    let path = root().join(RATCHET);
    let long = too_long(sources);
    if std::env::var("TIDY_UPDATE").is_ok_and(|value| value == "1") {
        let mut lines: Vec<String> = long.iter().map(|(what, lines)| format!("{what} {lines}\n")).collect();
        lines.sort(); // by the whole line, as the check reads them
        return std::fs::write(&path, lines.concat())
            .err()
            .map(|error| format!("{RATCHET}: {error}"))
            .into_iter()
            .collect();
    }
    findings(&long, &std::fs::read_to_string(&path).unwrap_or_default())
}

/// What is above its limit: `path::function` or `path`, and its lines. Of namesakes in one file, the longest.
fn too_long(sources: &[Source]) -> BTreeMap<String, usize> {
    let mut long = BTreeMap::new();
    for source in sources {
        if source.lines > FILE_LINES_MAX {
            long.insert(source.path.clone(), source.lines);
        }
        for function in source.functions() {
            if function.lines > FUNCTION_LINES_MAX {
                let lines: &mut usize = long.entry(format!("{}::{}", source.path, function.name)).or_default();
                *lines = function.lines.max(*lines);
            }
        }
    }
    long
}

fn findings(long: &BTreeMap<String, usize>, ratchet: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut allowed: BTreeMap<&str, usize> = BTreeMap::new();
    for line in ratchet.lines() {
        match line.rsplit_once(' ').and_then(|(what, lines)| Some((what, lines.parse().ok()?))) {
            Some((what, lines)) => {
                allowed.insert(what, lines);
            }
            None => found.push(format!("{RATCHET}: `{line}` is not `path::function lines` or `path lines`.")),
        }
    }
    if !ratchet.lines().is_sorted() {
        found.push(format!("{RATCHET}: the lines are not sorted. TIDY_UPDATE=1 sorts them."));
    }
    for (what, lines) in long {
        match allowed.get(what.as_str()) {
            Some(allowed) if allowed == lines => {}
            Some(allowed) if lines < allowed => {
                found.push(format!("{what}: shrank from {allowed} to {lines} lines. Lower the ratchet: write `{what} {lines}` in {RATCHET}."));
            }
            Some(allowed) => {
                found.push(format!(
                    "{what}: grew from {allowed} to {lines} lines, and was too long before. Make it shorter instead."
                ));
            }
            None => found.push(new_offender(what, *lines)),
        }
    }
    for what in allowed.keys().filter(|what| !long.contains_key(**what)) {
        found.push(format!("{what}: is within its limit now, or gone. Remove its line from {RATCHET}."));
    }
    found
}

fn new_offender(what: &str, lines: usize) -> String {
    let (limit, instead) = if what.contains("::") {
        (FUNCTION_LINES_MAX, "Give a part that has a name of its own a function: decide, persist, reply")
    } else {
        (FILE_LINES_MAX, "Move what belongs together into a file of its own")
    };
    format!(
        "{what}: {lines} lines, the limit is {limit}. {instead}. If it truly reads better whole, write `{what} {lines}` in {RATCHET}."
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn function(lines: usize) -> Source {
        let body = "    x();\n".repeat(lines - 2);
        Source::new(
            "crates/x/src/y.rs",
            &format!("fn long() {{\n{body}}}\n#[cfg(test)]\nmod tests {{\n{body}{body}}}\n"),
        )
    }

    fn found(source: Source, ratchet: &str) -> Vec<String> {
        findings(&too_long(&[source]), ratchet)
    }

    #[test]
    fn a_new_long_function_is_found_and_one_at_the_limit_is_not() {
        assert_eq!(found(function(70), ""), Vec::<String>::new());
        let found = found(function(71), "");
        assert!(found.iter().any(|text| text.contains("write `crates/x/src/y.rs::long 71`")), "{found:?}");
    }

    #[test]
    fn the_ratchet_only_turns_one_way() {
        assert_eq!(found(function(80), "crates/x/src/y.rs::long 80\n"), Vec::<String>::new());
        let one = |lines, ratchet: &str| found(function(lines), ratchet).join("");
        assert!(one(81, "crates/x/src/y.rs::long 80\n").contains("grew from 80 to 81"));
        assert!(one(79, "crates/x/src/y.rs::long 80\n").contains("write `crates/x/src/y.rs::long 79`"));
        assert!(one(70, "crates/x/src/y.rs::long 80\n").contains("Remove its line"));
    }

    #[test]
    fn a_long_file_is_found_and_its_tests_do_not_count() {
        let file = |lines: usize| {
            Source::new("crates/x/src/y.rs", &("use a;\n".repeat(lines) + "#[cfg(test)]\nmod tests {\n}\n"))
        };
        assert_eq!(found(file(600), ""), Vec::<String>::new());
        assert!(found(file(601), "").join("").contains("601 lines, the limit is 600"));
    }

    #[test]
    fn a_ratchet_that_cannot_be_read_is_found() {
        assert!(
            found(function(3), "crates/x/src/y.rs::long many\n").join("").contains("is not `path::function lines`")
        );
        assert!(found(function(3), "b 700\na 700\n").join("").contains("not sorted"));
    }
}
