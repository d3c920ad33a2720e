//! The mailbox of development: mail and SMS in memory, for people and tests to read. It holds what was written last and
//! forgets the rest.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use keyherald_core::Micros;

use super::Written;

/// How much it holds.
const RECEIVED_MAX: usize = 500;

/// What arrived.
#[derive(Clone)]
pub struct Received {
    /// The address, or the number.
    pub to: String,
    /// What it says.
    pub told: Told,
    /// When it was sent.
    pub at: Micros,
}

/// What a customer is told.
#[derive(Clone)]
pub enum Told {
    /// By mail.
    Mail(Written),
    /// By SMS.
    Sms(String),
}

impl Told {
    /// The mail. `None`: it is none.
    pub fn mail(&self) -> Option<&Written> {
        match self {
            Self::Mail(mail) => Some(mail),
            Self::Sms(_) => None,
        }
    }

    /// As plain text.
    pub fn text(&self) -> &str {
        match self {
            Self::Mail(mail) => &mail.text,
            Self::Sms(text) => text,
        }
    }
}

/// A mailbox. Clones are the same one.
#[derive(Clone, Default)]
pub struct Mailbox(Arc<Mutex<VecDeque<Received>>>);

impl Mailbox {
    /// Puts something in; the oldest leaves a full box.
    pub fn put(&self, received: Received) {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if held.len() >= RECEIVED_MAX {
            held.pop_front();
        }
        held.push_back(received);
    }

    /// What it holds, newest last.
    pub fn all(&self) -> Vec<Received> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
}
