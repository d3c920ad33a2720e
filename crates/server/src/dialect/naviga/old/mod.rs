//! The User API of before: the same use cases, in PascalCase and in its own envelope (naviga.md 4).

pub mod start_forgot_password;
pub mod update;
