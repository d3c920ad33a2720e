//! A Keyherald server as the world sees it: a child process of `keyherald dev`, spoken to over real HTTP.
//!
//! For the kill test and for the benchmark of the whole journey. Nothing here knows the inside of the server but the
//! form of a webhook's signature, which is public.

pub mod api;
pub mod receiver;
pub mod server;
