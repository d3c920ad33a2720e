//! What Keyherald says to the world: the server, as a library. `main.rs` is only its command line.

pub mod check;
pub mod cli;
pub mod clock;
pub mod complaint;
pub mod config;
pub mod http;
pub mod life;
pub mod telemetry;
