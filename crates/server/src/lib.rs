//! Keyherald, the server: it talks. What is decided lives in `keyherald-core`, what is remembered in `keyherald-store`.

pub mod format;
