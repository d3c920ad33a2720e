//! Passwords and PINs of customers (paysafe.md 4 and 5).

pub mod change;
pub mod recover;

use keyherald_core::credentials_event::{Circumstances, CredentialKind, Device};
use keyherald_core::policy::Form;
use serde_json::json;

use super::brand::Brand;
use super::reply::Reply;
use super::request::Received;

/// What partners who ask for it are told of a call.
fn circumstances(received: &Received, device: Option<Device>) -> Circumstances {
    let Received { brand, call, source, customer, .. } = received;
    let device = device.map(|device| Device {
        address: device.address.or_else(|| source.map(|address| address.to_string())),
        ..device
    });
    Circumstances {
        authenticated: customer.is_some(),
        credential: match brand.rule.form {
            Form::Text { .. } => CredentialKind::Password,
            Form::Pin { .. } => CredentialKind::Pin,
        },
        device,
        correlation_id: call.source.correlation_id.as_ref().map(ToString::to_string),
        ..Circumstances::default()
    }
}

/// The answer to credentials that were replaced.
fn replaced(brand: &Brand) -> Reply {
    match brand.credentials_status {
        status @ 204 => Reply::empty(status),
        status => Reply::new(status, json!({})),
    }
}
