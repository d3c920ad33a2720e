//! Keyherald, the server: it talks. What is decided lives in `keyherald-core`, what is remembered in `keyherald-store`;
//! `main.rs` is only its command line.

pub mod app;
pub mod clock;
pub mod config;
pub mod deliver;
pub mod destination;
pub mod format;
pub mod hash;
pub mod life;
pub mod telemetry;
