//! Keyherald, the server: it talks. What is decided lives in `keyherald-core`, what is remembered in `keyherald-store`;
//! `main.rs` is only its command line.

pub mod app;
pub mod boot;
pub mod check;
pub mod cli;
pub mod clock;
pub mod commands;
pub mod complaint;
pub mod config;
pub mod connector;
pub mod deliver;
pub mod demo;
pub mod destination;
pub mod dev;
pub mod dialect;
pub mod format;
pub mod hash;
pub mod http;
pub mod jwt;
pub mod life;
pub mod mail;
pub mod operate;
pub mod outbound;
pub mod recipe;
pub mod telemetry;
