//! (being written)
pub struct Refusal;
