//! Who is looked for by an address or a number, where nobody may learn whether there is such a customer.
//!
//! To look for somebody and find nobody is less work than to find them, and a clock shows it. So a customer who is there
//! stands in: the one whose address comes next. What is read and locked is theirs, as it would be of whoever was meant; what
//! is written has the size that it would have of them, and is nobody's. Nothing is ever shown to them, sent to them or
//! counted for them, and nothing of theirs is compared with what the caller says.

use crate::customer::Customer;

/// Who was found.
pub enum Sought {
    /// The customer who is meant.
    Found(Box<Customer>),
    /// Nobody is meant. Who stands in; `None` where there is no customer who could be told from a stranger.
    Nobody(Option<Box<Customer>>),
}

impl Sought {
    /// The customer who is meant.
    pub fn customer(&self) -> Option<&Customer> {
        match self {
            Self::Found(customer) => Some(customer),
            Self::Nobody(_) => None,
        }
    }

    /// The same.
    pub fn into_customer(self) -> Option<Customer> {
        match self {
            Self::Found(customer) => Some(*customer),
            Self::Nobody(_) => None,
        }
    }

    /// Whose rows are looked at: the customer's who is meant, or those of whoever stands in. Never to decide anything by.
    pub fn looked_at(&self) -> Option<&Customer> {
        match self {
            Self::Found(customer) => Some(customer),
            Self::Nobody(stand_in) => stand_in.as_deref(),
        }
    }
}

/// Without anybody who stands in, where the caller may learn who is known.
impl From<Option<Customer>> for Sought {
    fn from(found: Option<Customer>) -> Self {
        found.map_or(Self::Nobody(None), |customer| Self::Found(Box::new(customer)))
    }
}
