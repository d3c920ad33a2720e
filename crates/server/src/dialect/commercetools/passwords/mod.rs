//! Passwords: change, reset tokens, reset, sign-in (commercetools.md chapter 3).

pub mod change;
pub mod create_token;
pub mod login;
pub mod reset;
