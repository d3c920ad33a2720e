//! E-mail verification (commercetools.md 3.5).

pub mod confirm;
pub mod create_token;
