//! The rules of the house that neither the compiler nor clippy holds, read off the sources as text.
//!
//! What is checked: who may import whom ([`rooms`]), lists that must match their folders ([`lists`]), lengths that may
//! shrink but not grow ([`lengths`]), and small manners ([`manners`]). Every finding says where, what, and what to do
//! instead. Each rule is a plain function over sources, so its own tests hand it a made-up text that must fail.
//!
//! Not a parser: comments and literals are blanked, and what is left is read as tokens ([`source`]). That is enough
//! for honest code; whoever wants to trick it can.

mod lengths;
mod lists;
mod manners;
mod rooms;
mod source;

use source::Source;

fn hold(findings: &[String]) {
    assert!(findings.is_empty(), "\n\n{}\n\n", findings.join("\n\n"));
}

#[test]
fn the_sources_are_read() {
    let sources = Source::all();
    for known in ["crates/core/src/lib.rs", "crates/store/src/tx.rs", "crates/server/src/lib.rs", "xtask/src/main.rs"] {
        assert!(sources.iter().any(|source| source.path == known), "{known} is not among the sources");
    }
}

#[test]
fn imports_follow_the_table() {
    hold(&rooms::findings(&Source::all()));
}

#[test]
fn lists_match_their_folders() {
    hold(&lists::findings(&Source::all()));
}

#[test]
fn functions_and_files_do_not_grow_beyond_their_limits() {
    hold(&lengths::hold_or_update(&Source::all()));
}

#[test]
fn manners_are_kept() {
    hold(&manners::findings(&Source::all()));
}
