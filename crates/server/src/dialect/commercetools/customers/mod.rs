//! Customers (commercetools.md chapter 2).

mod actions;
mod address;
pub mod create;
pub mod delete;
mod draft;
pub mod get;
pub mod get_by_token;
pub mod query;
mod reference;
mod text;
pub mod update;

use keyherald_core::Refusal;
use keyherald_core::customer::Customer;
use keyherald_core::id::CustomerId;
use keyherald_core::refusal::Lookup;
use serde_json::{Value, json};

use super::reply::{Named, Problem, refused};
use crate::app::CustomerRef;
use crate::format::commercetools;

/// A customer as a path names it.
pub(super) struct Target {
    pub which: CustomerRef,
    pub named: Named,
}

impl Target {
    /// By id. Text that cannot be an id names nobody.
    pub fn by_id(text: &str) -> Result<Self, Problem> {
        Self::new(text.parse().ok().map(CustomerRef::Id), Named::id(text), Lookup::Id)
    }

    /// By key. Text that cannot be a key names nobody.
    pub fn by_key(text: &str) -> Result<Self, Problem> {
        Self::new(text.parse().ok().map(CustomerRef::Key), Named::key(text), Lookup::Key)
    }

    /// The customer whom the token stands for.
    pub fn me(id: CustomerId) -> Self {
        Self { which: CustomerRef::Id(id), named: Named::id(id.to_string()) }
    }

    fn new(which: Option<CustomerRef>, named: Named, lookup: Lookup) -> Result<Self, Problem> {
        match which {
            Some(which) => Ok(Self { which, named }),
            None => Err(refused(&Refusal::CustomerNotFound(lookup), &named)),
        }
    }
}

/// A CustomerSignInResult. There are no carts here, so it never has one.
pub(super) fn sign_in_result(customer: &Customer) -> Value {
    json!({"customer": commercetools::customer(customer)})
}
