//! commercetools Composable Commerce: customers, passwords, Messages, Subscriptions.

pub mod predicate;
