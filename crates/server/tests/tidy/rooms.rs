//! Who may name whom: the rooms of the server as a table, and the outside crates that some places must not know.

use std::collections::BTreeSet;

use crate::source::{Named, Source};

/// A room of the server: a top-level module, as a file or a folder.
struct Room {
    name: &'static str,
    /// The rooms and crates (`core`, `store`) that it may name. Itself always.
    may: &'static [&'static str],
    /// What it is for, which is why the list is what it is.
    why: &'static str,
}

/// Every room of the server. A new top-level module needs an entry.
#[rustfmt::skip]
static ROOMS: &[Room] = &[
    Room { name: "main", may: &["commands", "cli"],
        why: "parses the command line and runs it: it wires nothing and stores nothing" },
    Room { name: "commands", may: &["cli", "check", "demo", "dev", "boot", "app", "format", "connector", "complaint", "config", "jwt",
            "life", "telemetry", "clock", "store", "core"],
        why: "what the commands do; of the store they know what they print, of a connector how it answers" },
    Room { name: "cli", may: &["core"],
        why: "the command line's words and helps, nothing that acts" },
    Room { name: "check", may: &["complaint", "config", "mail"],
        why: "reads a configuration and says what it means" },
    Room { name: "complaint", may: &["config"],
        why: "how a command says that it failed" },
    Room { name: "demo", may: &["boot", "dev", "complaint", "config", "life", "telemetry", "clock", "core"],
        why: "sees the server as a client does, over HTTP; it only starts one" },
    Room { name: "dev", may: &["boot", "complaint", "config", "app", "jwt", "mail", "life", "telemetry", "clock", "core"],
        why: "a server with a ready-made project and a mailbox, set up through use cases" },
    Room { name: "boot", may: &["dialect", "console", "pages", "app", "operate", "deliver", "connector", "destination", "breach", "outbound",
            "format", "hash", "jwt", "limit", "mail", "outbox", "words", "http", "complaint", "config", "life", "telemetry", "clock", "store", "core", "trace"],
        why: "the only wiring: makes an App of a Config, so it may know everything below" },
    Room { name: "dialect", may: &["app", "format", "http", "jwt", "predicate", "config", "telemetry", "core"],
        why: "translates a contract into use cases and back; what it remembers, it remembers through `app`" },
    Room { name: "console", may: &["app", "format", "http", "config", "life", "telemetry", "core"],
        why: "a front door like a dialect" },
    Room { name: "pages", may: &["app", "http", "config", "core"],
        why: "a front door like a dialect, for people: forms into use cases, and what comes of them into pages" },
    Room { name: "app", may: &["operate", "deliver", "destination", "breach", "mail", "outbox", "words", "hash", "limit", "config", "life", "telemetry",
            "clock", "store", "core"],
        why: "the use cases: the only callers of the store on behalf of a request, in no contract's words" },
    Room { name: "operate", may: &["connector", "outbox", "hash", "life", "telemetry", "clock", "store", "core", "trace"],
        why: "runs operations step by step: reads their log, calls a connector, commits the next step" },
    Room { name: "deliver", may: &["destination", "format", "predicate", "life", "telemetry", "clock", "store", "core", "trace"],
        why: "the relay: reads the log, renders, sends, moves cursors" },
    Room { name: "connector", may: &["outbound", "recipe", "jwt", "core", "trace"],
        why: "speaks one identity provider's API; when and why is decided by `operate`" },
    Room { name: "recipe", may: &["core"],
        why: "the language in which an HTTP provider is described: read by `config`, carried out by `connector`" },
    Room { name: "destination", may: &["connector", "outbound", "mail", "words", "core"],
        why: "carries bytes to one kind of receiver; what they are is decided by `format`, of mail by `mail`, of SMS by `words`, when by `deliver`. Services that are described are called by `connector`" },
    Room { name: "breach", may: &["outbound", "core"],
        why: "asks whether a password is known from a leak; what follows from that is decided by `app`" },
    Room { name: "outbound", may: &[],
        why: "the HTTP client of calls to other systems, and the guard in front of it" },
    Room { name: "outbox", may: &["format", "store", "core"],
        why: "renders events and keeps them, in the transaction of what they tell" },
    Room { name: "format", may: &["core"],
        why: "pure functions of a message: a retry and a replay must send the same bytes" },
    Room { name: "predicate", may: &["core"],
        why: "the language of conditions: read by dialects in queries, by `deliver` in the filters of subscriptions" },
    Room { name: "mail", may: &["core"],
        why: "templates, checked at the start and rendered as pure functions" },
    Room { name: "words", may: &["core"],
        why: "sentences for customers outside of mails, by codes of core; where they stand is the caller's" },
    Room { name: "http", may: &["limit", "config", "life", "telemetry", "clock", "core", "trace"],
        why: "layers that dialects and console share: ids, limits, health" },
    Room { name: "config", may: &["recipe", "store", "core"],
        why: "reads settings and says what is wrong with them; `boot` hands them to the rooms. Of the store it knows its address" },
    Room { name: "life", may: &["telemetry", "clock", "core"],
        why: "starts, watches and ends tasks without knowing what they do" },
    Room { name: "telemetry", may: &["config", "store", "core"],
        why: "logs and metrics; it is told, it does not look. Of the store it knows what a fault prints" },
    Room { name: "trace", may: &["core"],
        why: "in which trace a task works, and spans on their way to a collector; it knows nothing of what it is told" },
    Room { name: "jwt", may: &["outbound", "core"],
        why: "signs and checks tokens of callers; who they may be is the dialect's" },
    Room { name: "hash", may: &["core", "trace"],
        why: "the bounded pool of hashing threads" },
    Room { name: "limit", may: &["core"],
        why: "counts tries by key and time, both arguments" },
    Room { name: "clock", may: &["core", "trace"],
        why: "the one place that reads the time and draws chance" },
];

/// A path that a part of the tree must not name.
struct Ban {
    /// Where: the beginning of a file's path.
    under: &'static str,
    path: &'static str,
    instead: &'static str,
}

const PURE: &str =
    "core decides and does no I/O: take what you need as an argument, and do the rest in store or server";
const SQL: &str = "only crates/store speaks to a database: write a function there, over `&mut dyn Tx`";
const TRANSPORT: &str =
    "use cases carry no transport: return an outcome or a `Refusal`, and let the dialect's reply.rs spell it";

#[rustfmt::skip]
static BANS: &[Ban] = &[
    Ban { under: "crates/core/", path: "tokio", instead: PURE },
    Ban { under: "crates/core/", path: "rusqlite", instead: PURE },
    Ban { under: "crates/core/", path: "postgres", instead: PURE },
    Ban { under: "crates/core/", path: "std::time::SystemTime", instead: PURE },
    Ban { under: "crates/core/", path: "std::time::Instant", instead: PURE },
    Ban { under: "crates/core/", path: "std::net", instead: PURE },
    Ban { under: "crates/core/", path: "std::fs", instead: PURE },
    Ban { under: "crates/server/", path: "rusqlite", instead: SQL },
    Ban { under: "crates/server/", path: "postgres", instead: SQL },
    Ban { under: "crates/server/", path: "tokio_postgres", instead: SQL },
    Ban { under: "crates/server/src/app", path: "axum", instead: TRANSPORT },
    Ban { under: "crates/server/src/app", path: "hyper", instead: TRANSPORT },
    Ban { under: "crates/server/src/app", path: "reqwest", instead: TRANSPORT },
    Ban { under: "crates/server/src/format", path: "tokio", instead: "a format is a pure function of a message" },
];

const SERVER: &str = "crates/server/src/";
const TABLE: &str = "ROOMS in crates/server/tests/tidy/rooms.rs";

/// What breaks the table or a ban.
pub(crate) fn findings(sources: &[Source]) -> Vec<String> {
    let mut found = unknown_rooms(sources);
    for source in sources {
        let paths = source.paths();
        found.extend(paths.iter().filter_map(|named| broken_ban(source, named)));
        if let Some(room) = ROOMS.iter().find(|room| Some(room.name) == room_of(&source.path)) {
            found.extend(paths.iter().filter_map(|named| broken_edge(source, room, named)));
        }
    }
    found
}

/// The room that a file belongs to. `None`: not in the server, or its lib.rs.
fn room_of(path: &str) -> Option<&str> {
    let inside = path.strip_prefix(SERVER)?;
    let name = inside.split_once('/').map_or(inside.trim_end_matches(".rs"), |(folder, _)| folder);
    (name != "lib").then_some(name)
}

fn unknown_rooms(sources: &[Source]) -> Vec<String> {
    let rooms: BTreeSet<&str> = sources.iter().filter_map(|source| room_of(&source.path)).collect();
    let unknown = rooms.into_iter().filter(|name| ROOMS.iter().all(|room| room.name != *name));
    unknown
        .map(|name| {
            format!("{SERVER}{name}: a room that the table does not know. Add it to {TABLE}: what it is for, and what it may name.")
        })
        .collect()
}

fn broken_ban(source: &Source, named: &Named) -> Option<String> {
    let within =
        |path: &str| named.path.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"));
    let ban = BANS.iter().find(|ban| source.path.starts_with(ban.under) && within(ban.path))?;
    Some(format!("{}:{}: `{}` must not be named here: {}.", source.path, named.line, named.path, ban.instead))
}

fn broken_edge(source: &Source, room: &Room, named: &Named) -> Option<String> {
    let target = target_of(source, named)?;
    if target == room.name || room.may.contains(&target) {
        return None;
    }
    let place = format!("{}:{}: `{}`", source.path, named.line, named.path);
    if !ROOMS.iter().any(|room| room.name == target) && !["core", "store"].contains(&target) {
        return Some(format!(
            "{place} goes through the crate's root, where its room cannot be seen. Name it by its room: `crate::ROOM::..`."
        ));
    }
    Some(format!(
        "{place} is the edge {} -> {target}, which the table does not allow: `{}` {}. It may name {}. \
         Hand the thing in as an argument, or move the code to the room that may; if the table is wrong, change {TABLE} and ARCHITECTURE.md together.",
        room.name,
        room.name,
        room.why,
        room.may.join(", "),
    ))
}

/// The room or crate of ours that a path leads to. `None`: something else, or the own module.
fn target_of<'a>(source: &Source, named: &'a Named) -> Option<&'a str> {
    let mut words = named.path.split("::");
    match words.next()? {
        "keyherald_core" => Some("core"),
        "keyherald_store" => Some("store"),
        // The binary names the library by its name.
        "crate" | "keyherald" => words.next(),
        "super" => {
            let ups = 1 + words.clone().take_while(|word| *word == "super").count();
            let target = words.nth(ups - 1)?;
            // Only from the module's own depth does `super` lead to the root; deeper ones stay inside.
            (ups >= depth(&source.path)? && ROOMS.iter().any(|room| room.name == target)).then_some(target)
        }
        _ => None,
    }
}

/// How many modules deep in the server a file is: 1 for a room's own file.
fn depth(path: &str) -> Option<usize> {
    let inside = path.strip_prefix(SERVER)?;
    Some(inside.trim_end_matches(".rs").trim_end_matches("/mod").split('/').count())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found_in(path: &str, text: &str) -> Vec<String> {
        findings(&[Source::new(path, text)])
    }

    #[test]
    fn a_dialect_may_not_name_the_store() {
        let found = found_in(
            "crates/server/src/dialect/commercetools/reply.rs",
            "//! x\nuse keyherald_core::Refusal;\nuse keyherald_store::{Fault, Tx};\n",
        );
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found.iter().all(|text| text.contains("reply.rs:3") && text.contains("dialect -> store")), "{found:?}");
    }

    #[test]
    fn an_edge_is_seen_however_it_is_spelled() {
        let path = "crates/server/src/app/change_password.rs";
        for line in [
            "use crate::dialect::commercetools;",
            "use crate::{hash::Pool, dialect};",
            "fn f() -> crate::dialect::X { todo }",
            "use super::super::dialect::X;",
            "type A = Vec<crate::dialect::X>;",
        ] {
            let found = found_in(path, line);
            assert_eq!(found.len(), 1, "{line} {found:?}");
            assert!(found.iter().all(|text| text.contains("app -> dialect")), "{found:?}");
        }
    }

    #[test]
    fn allowed_edges_own_rooms_comments_and_tests_pass() {
        let text = "// crate::dialect::X\nuse crate::app::Outcome;\nuse super::deliver;\nuse keyherald_store::Store;\nuse crate::hash::Pool;\n\
            #[cfg(test)]\nmod tests {\n    use crate::dialect::X;\n}\n";
        assert_eq!(found_in("crates/server/src/app/reset_password.rs", text), Vec::<String>::new());
    }

    #[test]
    fn leaves_name_core_only() {
        for room in [
            "connector/auth0/mod.rs",
            "destination/webhook/mod.rs",
            "format/platform.rs",
            "hash.rs",
            "limit.rs",
            "clock.rs",
        ] {
            let path = format!("{SERVER}{room}");
            assert!(found_in(&path, "use keyherald_core::message::Message;").is_empty());
            assert_eq!(found_in(&path, "use keyherald_store::Store;").len(), 1, "{room}");
            assert_eq!(found_in(&path, "use crate::app::App;").len(), 1, "{room}");
        }
    }

    #[test]
    fn the_binary_names_the_library_by_its_name() {
        assert_eq!(found_in("crates/server/src/main.rs", "use keyherald::commands;"), Vec::<String>::new());
        assert_eq!(found_in("crates/server/src/main.rs", "use keyherald::dialect;").len(), 1);
    }

    #[test]
    fn a_room_must_be_in_the_table_and_be_named() {
        let found = found_in("crates/server/src/cache/mod.rs", "");
        assert!(found.iter().any(|text| text.contains("src/cache: a room that the table does not know")), "{found:?}");
        let found = found_in("crates/server/src/boot.rs", "use crate::App;");
        assert!(found.iter().any(|text| text.contains("Name it by its room")), "{found:?}");
    }

    #[test]
    fn core_is_pure_and_sql_stays_in_the_store() {
        for line in ["use std::{fmt, fs};", "use std::time::{Duration, SystemTime};", "fn f() { tokio::spawn(x) }"] {
            assert_eq!(found_in("crates/core/src/change.rs", line).len(), 1, "{line}");
        }
        assert_eq!(found_in("crates/server/src/boot.rs", "use postgres::Client;").len(), 1);
        assert_eq!(
            found_in("crates/store/src/engine/postgres.rs", "use postgres::Client;\nuse std::fs;"),
            Vec::<String>::new()
        );
        assert_eq!(found_in("crates/server/src/app/mod.rs", "use axum::http::StatusCode;").len(), 1);
    }

    #[test]
    fn the_table_is_whole_and_has_no_circle() {
        let mut left: Vec<&Room> = ROOMS.iter().collect();
        for room in ROOMS {
            assert!(!room.why.is_empty());
            for target in room.may {
                assert!(
                    ["core", "store"].contains(target) || ROOMS.iter().any(|room| room.name == *target),
                    "{target}"
                );
            }
        }
        while !left.is_empty() {
            let before = left.len();
            let names: Vec<&str> = left.iter().map(|room| room.name).collect();
            left.retain(|room| room.may.iter().any(|target| names.contains(target)));
            assert!(left.len() < before, "these rooms name each other in a circle: {names:?}");
        }
    }
}
