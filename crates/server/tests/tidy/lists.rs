//! Lists that must match their folders: what lies in the folder but is not in the list would be silently unused.

use std::collections::BTreeSet;

use crate::source::Source;

/// A folder whose mod.rs is the list of what lies in it.
struct List {
    folder: &'static str,
    /// What the list names: each subfolder, or each file.
    of: Of,
    /// What lies there and is no element of the list.
    apart: &'static [&'static str],
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Of {
    Folders,
    Files,
}

static LISTS: &[List] = &[
    List { folder: "crates/server/src/dialect/", of: Of::Folders, apart: &[] },
    List { folder: "crates/server/src/connector/", of: Of::Folders, apart: &[] },
    // `aws` and `broker` are what several kinds share.
    List { folder: "crates/server/src/destination/", of: Of::Folders, apart: &["aws", "broker"] },
    // `commercetools` is the JSON that two formats and a dialect share; what `outbox` renders is no format of a notice.
    List {
        folder: "crates/server/src/format/",
        of: Of::Files,
        apart: &["commercetools", "paysafe_credentials_event", "paysafe_data_verification_event"],
    },
];

/// What lies in a folder but is not in its list.
pub(crate) fn findings(sources: &[Source]) -> Vec<String> {
    LISTS.iter().flat_map(|list| missing(list, sources)).collect()
}

fn missing(list: &List, sources: &[Source]) -> Vec<String> {
    let inside = || sources.iter().filter_map(|source| Some((source.path.strip_prefix(list.folder)?, source)));
    let entries: BTreeSet<&str> = inside()
        .filter_map(|(path, _)| match list.of {
            Of::Folders => path.split_once('/').map(|(folder, _)| folder),
            Of::Files => path.strip_suffix(".rs").filter(|name| *name != "mod" && !name.contains('/')),
        })
        .collect();
    let named: BTreeSet<String> = inside()
        .filter(|(path, _)| *path == "mod.rs")
        .flat_map(|(_, source)| source.paths())
        .filter_map(|named| named.path.trim_start_matches("self::").split("::").next().map(str::to_owned))
        .collect();
    entries
        .into_iter()
        .filter(|entry| !named.contains(*entry) && !list.apart.contains(entry))
        .map(|entry| {
            format!(
                "{folder}{entry}: not in the list of {folder}mod.rs. Add `{entry}::..` there, or remove it.",
                folder = list.folder
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn destinations(list: &str) -> Vec<String> {
        let source = |path: &str, text: &str| Source::new(&format!("crates/server/src/destination/{path}"), text);
        findings(&[
            source("mod.rs", list),
            source("address.rs", ""),
            source("webhook/mod.rs", ""),
            source("webhook/send.rs", ""),
            source("kafka/mod.rs", ""),
        ])
    }

    #[test]
    fn every_folder_must_be_in_the_list() {
        let whole = "mod kafka;\nmod webhook;\npub static KINDS: &[&dyn Kind] = &[&webhook::Webhook, &kafka::Kafka];\n";
        assert_eq!(destinations(whole), Vec::<String>::new());
        let short =
            "mod kafka;\nmod webhook;\n// kafka::Kafka\npub static KINDS: &[&dyn Kind] = &[&webhook::Webhook];\n";
        let found = destinations(short);
        assert_eq!(found.len(), 1, "a declared module is not a listed one: {found:?}");
        assert!(found.iter().all(|text| text.contains("destination/kafka")), "{found:?}");
    }

    #[test]
    fn every_format_must_be_in_the_list() {
        let source = |path: &str, text: &str| Source::new(&format!("crates/server/src/format/{path}"), text);
        let formats =
            |list: &str| findings(&[source("mod.rs", list), source("platform.rs", ""), source("cloudevents.rs", "")]);
        assert_eq!(formats("use self::platform::Platform; fn f() { cloudevents::render() }"), Vec::<String>::new());
        assert_eq!(formats("mod platform; mod cloudevents; fn f() { cloudevents::render() }").len(), 1);
    }

    #[test]
    fn a_folder_without_a_list_is_found() {
        let lonely = Source::new("crates/server/src/dialect/paysafe/mod.rs", "");
        assert_eq!(findings(&[lonely]).len(), 1);
    }
}
