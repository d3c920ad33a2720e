//! The contract of Paysafe's wallet, as far as credentials go, held against the server.
//!
//! What must hold for the contract to be kept, and the tests that say whether it does. Names without a target are modules
//! of this one; `core` and `server` are unit tests of these crates, `events` and `kill` other targets.
//!
//! | must hold | tests |
//! | --- | --- |
//! | S1 signatures are those of the sample vectors | core `body_signature::tests::the_published_and_computed_vectors`, `the_key_is_what_the_text_decodes_to` |
//! | S2 keys may be wrapped; what is no key stops a start | `configured`; core `body_signature::tests::{line_breaks_in_a_key_do_not_count, what_is_no_key_is_refused_without_repeating_it}` |
//! | S3 requests are signed where a brand asks for it | `signing` |
//! | B1 kept, signed and sent bytes are one at every try, of any process, and when sent again | events `bytes::every_try_has_the_same_bytes`, `resend::a_span_is_resent_in_batches_that_survive_a_crash` |
//! | B2 so they are after another secret was promoted | events `bytes::a_secret_that_was_promoted_signs_the_same_bytes` |
//! | B3 so they are after a kill | events `binary`; kill `kill_*`, `prove_*` (`partner`) |
//! | F1 a rendered event is the published one byte for byte, in both forms | server `format::paysafe_credentials_event::tests` |
//! | F2 every member is within its limits, of customers at them and over them; what is absent is left out | events `limits`; core `credentials_event::tests` |
//! | F3 nobody comes in with more | `customers::what_is_wrong_makes_nobody_a_customer` |
//! | E1 a recovery has one event, and a repeated call no second | `recover::{a_proof_replaces_a_password_once, a_repeat_has_the_same_answer}`, events `bytes::each_recovery_has_one_event_and_a_failed_one_has_none` |
//! | E2 what failed has none | `recover::{whatever_is_wrong_with_a_proof_is_told_alike, a_refused_password_uses_nothing_up, whoever_signs_in_elsewhere_is_refused}`, `rules::rule_8_the_latest_attempt_decides`, `trouble::a_failing_disk_uses_nothing_up` |
//! | E3 of calls at once with one proof, one has it | `recover::of_two_at_once_one_wins`, events `bytes::two_calls_with_one_proof_have_one_event` |
//! | E4 all this if the process is killed at any moment | kill `kill_*`, `prove_*` |
//! | D1 a success of any kind ends a delivery | events `lanes::every_success_ends_a_delivery`; server `destination::paysafe::send::tests::statuses_mean_what_the_table_says` |
//! | D2 each status that is listed is retried without end, and all others until they are put aside | events `lanes::{every_status_that_is_listed_is_retried, what_is_refused_is_parked_after_twenty_times, an_endpoint_that_says_it_is_gone_is_tried_on}` |
//! | D3 who does not answer holds up no other partner | events `lanes::a_dead_endpoint_blocks_no_other_brand` |
//! | R1 to R8 a process obeys its rules, and its app is told what was counted and what is allowed | `rules::rule_1_*` to `rule_8_*`; core `verification::tests::rule_1_*` to `rule_8_*`, and their model |
//! | R9 attempts are counted before they are looked at | `rules::of_many_attempts_at_once_no_more_are_looked_at` |
//! | A1 whoever asks is told the same of known and unknown addresses | `rules::nothing_that_is_told_differs_for_the_unknown` |
//! | A2 the same work is done for them | `equal` |
//! | W1 a wallet elsewhere is told of each password that was changed here, as the contract says, and none is lost | wallet |
//! | P1 all refusals have one envelope, at every endpoint | `envelope`, `trouble` |
//! | P2 5068 names each wrong member by its path | `envelope::required_members_are_told_by_path`, the `all_that_is_wrong_*` and `what_is_wrong_*` of each endpoint |
//! | L1 who must not sign in has no way in by a recovery, and nothing is used up by the try | `recover::whoever_signs_in_elsewhere_is_refused` |
//! | Q1 no password, code, secret or token is in a log, an answer or an event | events `silence`; `configured` |
//! | Q2 nor can one be read in the store | kill `kill_*`, `prove_*` |
#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by panicking")]

/// Two tests of each `async fn name(store: TestStore)`: on SQLite, and, ignored unless a server is there, on PostgreSQL.
macro_rules! on_both {
    ($($name:ident),* $(,)?) => {$(
        mod $name {
            use keyherald_store::testing::{TestStore, block_on};

            #[test]
            fn sqlite() {
                block_on(async { super::$name(TestStore::sqlite().await).await });
            }

            #[test]
            #[ignore = "needs PostgreSQL: cargo xtask test starts one"]
            fn postgres() {
                block_on(async { super::$name(TestStore::postgres().await).await });
            }
        }
    )*};
}

mod configured;
mod customers;
mod envelope;
mod equal;
mod notifications;
mod recover;
mod rules;
mod signing;
mod stage;
#[expect(dead_code, reason = "other targets use more of it")]
#[path = "../support/mod.rs"]
mod support;
mod tokens;
#[path = "../support/transcript.rs"]
mod transcript;
mod transcripts;
mod trouble;
mod verifications;
