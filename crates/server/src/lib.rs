//! Keyherald, the server: it talks. What is decided lives in `keyherald-core`, what is remembered in `keyherald-store`.

pub mod app;
pub mod clock;
pub mod config;
pub mod dialect;
pub mod format;
pub mod hash;
pub mod http;
pub mod life;
pub mod telemetry;
