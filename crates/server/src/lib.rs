//! placeholder

pub mod hash;
