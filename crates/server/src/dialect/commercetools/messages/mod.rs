//! Messages (commercetools.md chapter 5): read only.

pub mod get;
pub mod query;

use serde_json::Value;

use super::parameters::Parameters;
use crate::app::messages::Shown;
use crate::format::commercetools;

/// Whether `expand` asks for the resources that the messages are about. Other paths expand nothing.
fn expands_resource(query: &Parameters) -> bool {
    query.all("expand").any(|path| path == "resource")
}

/// A message, with the customer it is about as `resource.obj` if that was asked for and is still there.
fn shown(shown: &Shown) -> Value {
    let mut message = commercetools::message(&shown.message);
    if let (Some(customer), Some(resource)) =
        (&shown.customer, message.get_mut("resource").and_then(Value::as_object_mut))
    {
        resource.insert("obj".to_owned(), commercetools::customer(customer));
    }
    message
}
