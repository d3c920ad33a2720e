//! Processes in which an address or a number is proved (paysafe.md 3).

pub mod attempt;
pub mod initiate;

use keyherald_core::Micros;
use keyherald_core::mail::Channel;
use keyherald_core::verification::Attribute;
use serde_json::{Value, json};

/// The attribute as it was sent, in canonical form.
fn attribute_json(attribute: &Attribute) -> Value {
    json!({"type": attribute.kind.as_str(), "value": attribute.value()})
}

/// How the code goes there.
fn notification_json(attribute: &Attribute) -> Value {
    json!({"method": "OTP", "channel": channel(attribute), "target": attribute.masked()})
}

fn channel(attribute: &Attribute) -> &'static str {
    match attribute.kind.channel() {
        Channel::Email => "EMAIL",
        Channel::Sms => "SMS",
    }
}

/// RFC 3339 in whole seconds, as in the contract's samples.
fn time(at: Micros) -> String {
    let whole = at.0.div_euclid(Micros::SECOND) * Micros::SECOND;
    Micros(whole).iso().replace(".000Z", "Z")
}
