//! (being written)

pub mod dialect;
