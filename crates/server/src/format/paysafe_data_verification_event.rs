//! The Customer Data Verification Event as bytes (paysafe.md 2.6), in the newer of its published forms.
//!
//! What [`super::paysafe_credentials_event`] says about bytes goes for these too; only that they are erased much sooner.

use keyherald_core::data_verification_event::{DataVerificationEvent, ProcessError};
use keyherald_core::event;
use keyherald_core::mail::Channel;
use serde::Serialize;
use zeroize::Zeroizing;

use super::paysafe_credentials_event::Customer;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    id: String,
    timestamp: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    customer: Option<Customer<'a>>,
    verification_process: Process<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Process<'a> {
    id: String,
    attribute: Attribute<'a>,
    notification_type: NotificationType,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<&'a str>,
    flow: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_code: Option<&'static str>,
    creation_time: String,
    expiration_time: String,
}

#[derive(Serialize)]
struct Attribute<'a> {
    #[serde(rename = "type")]
    attribute_type: &'static str,
    value: &'a str,
}

#[derive(Serialize)]
struct NotificationType {
    method: &'static str,
    channel: &'static str,
    target: String,
}

/// The very bytes to sign, keep and send.
///
/// # Errors
/// None that can happen: texts always are JSON.
pub fn render(event: &DataVerificationEvent) -> Result<Zeroizing<Vec<u8>>, serde_json::Error> {
    match &event.code {
        Some(code) => code.reveal_with(|code| with_code(event, Some(code))),
        None => with_code(event, None),
    }
}

fn with_code(event: &DataVerificationEvent, code: Option<&str>) -> Result<Zeroizing<Vec<u8>>, serde_json::Error> {
    let (process, attribute) = (&event.process, &event.attribute);
    let channel = match attribute.kind.channel() {
        Channel::Email => "EMAIL",
        Channel::Sms => "SMS",
    };
    let body = Body {
        id: event.id.to_string(),
        timestamp: event::timestamp(event.at),
        customer: event.customer.as_ref().map(|(_, person)| Customer::with_names(person)),
        verification_process: Process {
            id: process.id.to_string(),
            attribute: Attribute { attribute_type: attribute.kind.as_str(), value: attribute.value() },
            notification_type: NotificationType { method: "OTP", channel, target: attribute.masked() },
            value: code,
            flow: process.purpose.as_str(),
            error_code: event.error.map(ProcessError::as_str),
            creation_time: event::timestamp(process.created_at),
            expiration_time: event::timestamp(process.expires_at),
        },
    };
    serde_json::to_vec(&body).map(Zeroizing::new)
}

#[cfg(test)]
mod tests {
    use keyherald_core::credentials_event::Person;
    use keyherald_core::secret::TokenValue;
    use keyherald_core::verification::{self, Kind, Purpose};
    use keyherald_core::{Ctx, Micros};

    use super::*;

    fn event(code: Option<&str>, error: Option<ProcessError>) -> DataVerificationEvent {
        let process = verification::Process {
            id: "07c3bcf5-1b6c-494e-9a29-776cfc54b4db".parse().unwrap(),
            kind: Kind::Email,
            purpose: Purpose::WalletSetup,
            created_at: Micros::parse_iso("2021-07-15T17:54:12Z").unwrap(),
            expires_at: Micros::parse_iso("2021-07-15T18:04:12Z").unwrap(),
            attempts: 0,
            attempts_max: 3,
            verified_at: None,
            consumed_at: None,
            reserved_by: None,
        };
        let attribute = verification::Attribute::parse(Kind::Email, "John.Doe@example.com").unwrap();
        let code = code.map(|code| TokenValue::from_sealed(code.into()));
        let event = DataVerificationEvent::begun((&process, &attribute), None, code, &mut Ctx::new(Micros(0), [1; 32]));
        DataVerificationEvent { id: "17c3bcf5-1b6c-494e-9a29-776cfc54b4db".parse().unwrap(), error, ..event }
    }

    fn text(event: &DataVerificationEvent) -> String {
        String::from_utf8(render(event).unwrap().to_vec()).unwrap()
    }

    #[test]
    fn it_is_rendered_to_these_bytes() {
        let before = r#"{"id":"17c3bcf5-1b6c-494e-9a29-776cfc54b4db","timestamp":"1970-01-01T00:00:00Z","#;
        let process = |middle: &str| {
            format!(
                r#""verificationProcess":{{"id":"07c3bcf5-1b6c-494e-9a29-776cfc54b4db","attribute":{{"type":"EMAIL","value":"john.doe@example.com"}},"notificationType":{{"method":"OTP","channel":"EMAIL","target":"jo***@example.com"}},{middle},"creationTime":"2021-07-15T17:54:12Z","expirationTime":"2021-07-15T18:04:12Z"}}}}"#
            )
        };
        let (coded, flow) = (r#""value":"012345","flow":"WALLET_SETUP""#, r#""flow":"WALLET_SETUP""#);
        assert_eq!(text(&event(Some("012345"), None)), format!("{before}{}", process(coded)));
        assert_eq!(text(&event(None, None)), format!("{before}{}", process(flow)));
        let expired = format!(r#"{flow},"errorCode":"EXPIRED""#);
        assert_eq!(text(&event(None, Some(ProcessError::Expired))), format!("{before}{}", process(&expired)));
        let person = Person {
            number: "500000334204".into(),
            external_id: None,
            title: None,
            first_name: "John".into(),
            last_name: "Doe".into(),
        };
        let customer = "0192f3a1-5b7c-7d3e-9f10-0123456789ab".parse().unwrap();
        let known = DataVerificationEvent { customer: Some((customer, person)), ..event(None, None) };
        let told = r#""customer":{"id":"500000334204","firstName":"John","lastName":"Doe"},"#;
        assert_eq!(text(&known), format!("{before}{told}{}", process(flow)));
        assert_eq!(known.lane(), customer);
    }
}
