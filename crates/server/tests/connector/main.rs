//! Connectors against doubles of the systems that they speak to, over real connections on loopback.
//!
//! `conformance` asks every connector the same; the files beside it ask what only one of them has. The doubles are
//! written from the vendors' documentation, with the faults that a network and a busy vendor have.
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test may end here")]

mod auth0;
mod conformance;
mod described;
mod document;
#[expect(dead_code, reason = "other tests need more of it")]
mod double;
mod examples;
mod gigya;
mod keycloak;
mod keystone;
mod kratos;
mod ldap;
mod people;
mod provider_check;
mod slapd;
