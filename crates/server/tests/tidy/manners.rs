//! Small manners: heads, names, leftovers, whitespace.

use crate::source::{Source, tokens};

/// Names that say nothing about what is inside.
const EMPTY_NAMES: &[&str] = &["common", "helper", "helpers", "manager", "misc", "util", "utils"];
/// Macros that mark unfinished work or a debugging session.
const LEFTOVERS: &[&str] = &["dbg", "todo", "unimplemented"];

/// What breaks a rule.
pub(crate) fn findings(sources: &[Source]) -> Vec<String> {
    sources
        .iter()
        .flat_map(|source| [head(source), names(source), leftovers(source), whitespace(source)].concat())
        .collect()
}

fn head(source: &Source) -> Vec<String> {
    if source.text.starts_with("//!") {
        return Vec::new();
    }
    vec![format!("{}:1: no head. Begin with `//!`: what this is, why it is here, and what it is not.", source.path)]
}

fn names(source: &Source) -> Vec<String> {
    let empty = |name: &str| name.split('_').any(|word| EMPTY_NAMES.contains(&word));
    let advice = "says nothing about what is inside. Name it by what it does, or put its parts where they are used.";
    let mut found = Vec::new();
    if source.path.trim_end_matches(".rs").split('/').any(empty) {
        found.push(format!("{}: a name that {advice}", source.path));
    }
    for pair in tokens(&source.code).windows(2) {
        if let [keyword, name] = pair
            && keyword.text == "mod"
            && empty(name.text)
        {
            found.push(format!("{}:{}: `mod {}` {advice}", source.path, name.line, name.text));
        }
    }
    found
}

fn leftovers(source: &Source) -> Vec<String> {
    let mut found = Vec::new();
    for pair in tokens(&source.code).windows(2) {
        if let [name, bang] = pair
            && bang.text == "!"
            && LEFTOVERS.contains(&name.text)
        {
            found.push(format!(
                "{}:{}: `{}!` is left over. Finish it, or return an error that says so.",
                source.path, name.line, name.text
            ));
        }
    }
    found
}

fn whitespace(source: &Source) -> Vec<String> {
    let mut found = Vec::new();
    for (number, line) in source.text.lines().enumerate() {
        if line.ends_with([' ', '\t', '\r']) {
            found.push(format!("{}:{}: whitespace at the end of the line. Remove it.", source.path, number + 1));
        }
    }
    if !source.text.ends_with('\n') {
        found.push(format!("{}: the last line does not end. Add a line break.", source.path));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> Vec<String> {
        findings(&[Source::new(path, text)])
    }

    #[test]
    fn a_good_file_passes() {
        let text = "//! Head.\n\n// todo!(later)\nmod retry;\nfn f() -> &'static str {\n    \"dbg!(x) \"\n}\n";
        assert_eq!(found("crates/core/src/commonwealth.rs", text), Vec::<String>::new());
    }

    #[test]
    fn each_rule_finds_its_offender() {
        for (path, text, says) in [
            ("a/src/b.rs", "fn f() {}\n", "no head"),
            ("a/src/utils.rs", "//! Head.\n", "a/src/utils.rs: a name"),
            ("a/src/helpers/b.rs", "//! Head.\n", "a name"),
            ("a/src/b.rs", "//! Head.\nmod token_manager;\n", "b.rs:2: `mod token_manager`"),
            ("a/src/b.rs", "//! Head.\nfn f() {\n    todo!()\n}\n", "b.rs:3: `todo!`"),
            ("a/src/b.rs", "//! Head.\nfn f() { dbg!(1); }\n", "`dbg!`"),
            ("a/src/b.rs", "//! Head.\nfn f() { unimplemented!(); }\n", "`unimplemented!`"),
            ("a/src/b.rs", "//! Head.\nfn f() {} \n", "b.rs:2: whitespace"),
            ("a/src/b.rs", "//! Head.", "the last line"),
        ] {
            let found = found(path, text);
            assert!(found.len() == 1 && found.iter().all(|finding| finding.contains(says)), "{says}: {found:?}");
        }
    }
}
