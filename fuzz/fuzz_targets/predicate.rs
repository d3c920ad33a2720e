//! Any query string is read or refused, without a panic, and in time and memory that its length bounds.
#![no_main]

use keyherald::predicate::{CUSTOMERS, MESSAGES, Query, query_string};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|query: &[u8]| {
    let Ok(pairs) = query_string::decode(query) else { return };
    for fields in [MESSAGES, CUSTOMERS] {
        if let Err(error) = Query::read(&pairs, fields) {
            assert!(error.to_string().starts_with("Malformed parameter: "));
        }
    }
});
