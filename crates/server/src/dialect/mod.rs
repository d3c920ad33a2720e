//! The contracts that Keyherald speaks, a folder each.

pub mod commercetools;
