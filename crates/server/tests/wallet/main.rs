//! A wallet of Paysafe's that is kept elsewhere is told of passwords that were changed here (paysafe.md 5.3): what it is asked,
//! what its answers mean, and that none is lost with a process.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test may end here")]

mod attempt;
#[path = "../black_box/mod.rs"]
#[expect(dead_code, reason = "parts of it are for other tests")]
mod black_box;
#[path = "../support/http_double.rs"]
mod http_double;
mod journey;

use http_double::Says;

/// What the wallet calls us, and by what it knows that it is us.
const CLIENT: &str = "keyherald";
const SECRET: &str = "s3cret of ours";

/// An access token; the wallet says the same when it takes a notice, and nobody reads that.
fn yes() -> Says {
    Says::Answer(200, "content-type: application/json\r\n", r#"{"access_token":"t-1","expires_in":36000}"#.to_owned())
}
