//! The mailbox of development: mail in memory, for people and tests to read. It holds what was written last and forgets
//! the rest.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use keyherald_core::Micros;

use super::Written;

/// Mails that it holds.
const MAILS_MAX: usize = 500;

/// A mail that arrived.
#[derive(Clone)]
pub struct Received {
    /// The address.
    pub to: String,
    /// What it says.
    pub mail: Written,
    /// When it was sent.
    pub at: Micros,
}

/// A mailbox. Clones are the same one.
#[derive(Clone, Default)]
pub struct Mailbox(Arc<Mutex<VecDeque<Received>>>);

impl Mailbox {
    /// Puts a mail in; the oldest one leaves a full box.
    pub fn put(&self, mail: Received) {
        let mut mails = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if mails.len() >= MAILS_MAX {
            mails.pop_front();
        }
        mails.push_back(mail);
    }

    /// What it holds, newest last.
    pub fn all(&self) -> Vec<Received> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
}
