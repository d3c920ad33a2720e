//! Customers: how somebody becomes one, what partners tell of them, and where they send them (paysafe.md 5.2, 5.3
//! and 6.1).

pub mod note_change;
pub mod onboard;
pub mod send_to_pages;
