//! The Customer Credentials Event as bytes (paysafe.md 2.4), in either of the two published forms.
//!
//! Compact JSON, members in the order of the contract's tables; what is absent is left out. It is rendered once, in the
//! transaction of the change, and kept: what this file says may change from one version to the next, what was rendered
//! never does.

use std::net::IpAddr;

use ipnet::IpNet;
use keyherald_core::credentials_event::{CredentialsEvent, Device, Identifier, Person};
use keyherald_core::{Micros, event};
use serde::Serialize;

/// Which of the two forms. Their members are never mixed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Profile {
    /// The schema "Customer Credentials Event": the customer at the top, with names.
    #[default]
    Schema,
    /// The endpoint "Credentials Change Event": the customer within the details, with ids alone.
    Endpoint,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    id: String,
    timestamp: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    customer: Option<Customer<'a>>,
    credentials_details: Details<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    extensions: Option<Extensions<'a>>,
}

/// The customer of this event and of its sibling.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Customer<'a> {
    id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    external_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    first_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_name: Option<&'a str>,
}

impl<'a> Customer<'a> {
    pub(super) fn with_names(person: &'a Person) -> Self {
        Self {
            title: person.title.as_deref(),
            first_name: Some(&person.first_name),
            last_name: Some(&person.last_name),
            ..Self::without_names(person)
        }
    }

    fn without_names(person: &'a Person) -> Self {
        let external_id = person.external_id.as_deref();
        Self { id: &person.number, external_id, title: None, first_name: None, last_name: None }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Details<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    customer: Option<Customer<'a>>,
    customer_identifiers: Identifiers<'a>,
    #[serde(rename = "type")]
    change: &'static str,
}

#[derive(Serialize)]
struct Identifiers<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<Proved<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mobile: Option<Proved<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Proved<'a> {
    value: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    verification_id: Option<String>,
}

/// What only partners who ask for it are told (paysafe.md 8.2).
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Extensions<'a> {
    occurred_at: String,
    brand: &'a str,
    initiator: &'static str,
    authenticated: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    channel: Option<&'a str>,
    credential: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    verified_at: Option<VerifiedAt>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sessions_revoked: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    device: Option<ShownDevice<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    correlation_id: Option<&'a str>,
    sequence: i64,
}

#[derive(Serialize)]
struct VerifiedAt {
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mobile: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ShownDevice<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    app_type: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ip_address: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_agent: Option<&'a str>,
}

/// The very bytes to sign, keep and send. `extensions_of`: the brand, if its partner asks for the extensions.
///
/// # Errors
/// None that can happen: texts and numbers always are JSON.
pub fn render(
    event: &CredentialsEvent,
    profile: Profile,
    extensions_of: Option<&str>,
) -> Result<Vec<u8>, serde_json::Error> {
    let (above, within) = match profile {
        Profile::Schema => (Some(Customer::with_names(&event.person)), None),
        Profile::Endpoint => (None, Some(Customer::without_names(&event.person))),
    };
    let identifiers = &event.identifiers;
    serde_json::to_vec(&Body {
        id: event.id.to_string(),
        timestamp: event::timestamp(event.at),
        customer: above,
        credentials_details: Details {
            customer: within,
            customer_identifiers: Identifiers {
                email: identifiers.email.as_ref().map(proved),
                mobile: identifiers.mobile.as_ref().map(proved),
            },
            change: event.change.as_str(),
        },
        extensions: extensions_of.map(|brand| extensions(event, brand)),
    })
}

fn proved(identifier: &Identifier) -> Proved<'_> {
    let verification_id = identifier.verification.map(|id| id.to_string());
    Proved { value: &identifier.value, verification_id }
}

fn extensions<'a>(event: &'a CredentialsEvent, brand: &'a str) -> Extensions<'a> {
    let circumstances = &event.circumstances;
    let at = |identifier: Option<&Identifier>| identifier.and_then(|proved| proved.verified_at).map(Micros::iso);
    let (email, mobile) = (at(event.identifiers.email.as_ref()), at(event.identifiers.mobile.as_ref()));
    Extensions {
        occurred_at: event.at.iso(),
        brand,
        initiator: circumstances.initiator.as_str(),
        authenticated: circumstances.authenticated,
        channel: circumstances.channel.as_deref(),
        credential: circumstances.credential.as_str(),
        verified_at: (email.is_some() || mobile.is_some()).then_some(VerifiedAt { email, mobile }),
        sessions_revoked: circumstances.sessions_revoked,
        device: circumstances.device.as_ref().map(shown),
        correlation_id: circumstances.correlation_id.as_deref(),
        sequence: event.sequence,
    }
}

fn shown(device: &Device) -> ShownDevice<'_> {
    ShownDevice {
        app_type: device.app_type.as_deref(),
        ip_address: device.address.as_deref().and_then(network),
        user_agent: device.user_agent.as_deref(),
    }
}

/// The network that an address is in, which is all that is told of it.
fn network(address: &str) -> Option<String> {
    let address = address.parse::<IpAddr>().ok()?.to_canonical();
    let length = if address.is_ipv4() { 24 } else { 48 };
    IpNet::new(address, length).ok().map(|network| network.trunc().to_string())
}

#[cfg(test)]
mod tests {
    use keyherald_core::credentials_event::{Actor, ChangeType, Circumstances, CredentialKind, Identifiers};

    use super::*;

    /// Paysafe.md 2.2, event A.
    const EVENT_A: &str = r#"{"id":"07c3bcf5-1b6c-494e-9a29-776cfc54b4db","timestamp":"2021-07-15T17:54:12Z","customer":{"id":"500000334204","externalId":"a2322550-af91-417f-867e-681efad44b9d","title":"Mr.","firstName":"John","lastName":"Doe"},"credentialsDetails":{"customerIdentifiers":{"email":{"value":"john.doe@paysafe.com","verificationId":"06bdcd2c-0cce-4b36-97ec-281c8f5d743c"}},"type":"PASSWORD_RECOVERY"}}"#;
    /// Paysafe.md 2.2, event B.
    const EVENT_B: &str = r#"{"id":"07c3bcf5-1b6c-494e-9a29-776cfc54b4db","timestamp":"2021-07-15T17:54:12Z","credentialsDetails":{"customer":{"id":"500000334204","externalId":"a2322550-af91-417f-867e-681efad44b9d"},"customerIdentifiers":{"mobile":{"value":"+359897765463","verificationId":"06bdcd2c-0cce-4b36-97ec-281c8f5d743c"}},"type":"PASSWORD_RECOVERY"}}"#;

    fn proved(value: &str) -> Identifier {
        let verification = "06bdcd2c-0cce-4b36-97ec-281c8f5d743c".parse().ok();
        Identifier { value: value.to_owned(), verification, verified_at: None }
    }

    fn event(identifiers: Identifiers) -> CredentialsEvent {
        CredentialsEvent {
            id: "07c3bcf5-1b6c-494e-9a29-776cfc54b4db".parse().unwrap(),
            at: Micros::parse_iso("2021-07-15T17:54:12.345Z").unwrap(),
            person: Person {
                number: "500000334204".into(),
                external_id: Some("a2322550-af91-417f-867e-681efad44b9d".into()),
                title: Some("Mr.".into()),
                first_name: "John".into(),
                last_name: "Doe".into(),
            },
            change: ChangeType::PasswordRecovery,
            identifiers,
            circumstances: Circumstances::default(),
            sequence: 4,
            cut: Vec::new(),
        }
    }

    fn text(event: &CredentialsEvent, profile: Profile, extensions_of: Option<&str>) -> String {
        String::from_utf8(render(event, profile, extensions_of).unwrap()).unwrap()
    }

    #[test]
    fn the_published_events_byte_for_byte() {
        let by_email = Identifiers { email: Some(proved("john.doe@paysafe.com")), mobile: None };
        assert_eq!(text(&event(by_email), Profile::Schema, None), EVENT_A);
        let by_mobile = Identifiers { email: None, mobile: Some(proved("+359897765463")) };
        assert_eq!(text(&event(by_mobile), Profile::Endpoint, None), EVENT_B);
    }

    #[test]
    fn what_is_absent_is_left_out_and_nothing_is_escaped_that_need_not_be() {
        let both = Identifiers { email: Some(proved("zoë@müller.example")), mobile: Some(proved("+359897765463")) };
        let mut event = event(both);
        event.person = Person {
            number: "1".into(),
            external_id: None,
            title: None,
            first_name: "Zoë/\"".into(),
            last_name: String::new(),
        };
        assert_eq!(
            text(&event, Profile::Schema, None),
            r#"{"id":"07c3bcf5-1b6c-494e-9a29-776cfc54b4db","timestamp":"2021-07-15T17:54:12Z","customer":{"id":"1","firstName":"Zoë/\"","lastName":""},"credentialsDetails":{"customerIdentifiers":{"email":{"value":"zoë@müller.example","verificationId":"06bdcd2c-0cce-4b36-97ec-281c8f5d743c"},"mobile":{"value":"+359897765463","verificationId":"06bdcd2c-0cce-4b36-97ec-281c8f5d743c"}},"type":"PASSWORD_RECOVERY"}}"#
        );
        let endpoint = text(&event, Profile::Endpoint, None);
        assert!(endpoint.contains(r#""credentialsDetails":{"customer":{"id":"1"},"#), "{endpoint}");
    }

    #[test]
    fn a_change_that_proved_nothing_has_no_verification() {
        let email = Some(Identifier { value: "jo@example.com".into(), verification: None, verified_at: None });
        let mut event = event(Identifiers { email, mobile: None });
        event.change = ChangeType::PasswordChange;
        let details = r#""credentialsDetails":{"customerIdentifiers":{"email":{"value":"jo@example.com"}},"type":"PASSWORD_CHANGE"}}"#;
        assert!(text(&event, Profile::Schema, None).ends_with(details));
    }

    #[test]
    fn extensions_come_last_and_tell_a_network_and_no_address() {
        let verified_at = Micros::parse_iso("2021-07-15T17:50:00Z");
        let email = Some(Identifier { verified_at, ..proved("john.doe@paysafe.com") });
        let mut event = event(Identifiers { email, mobile: None });
        let device = |address: &str| {
            let address = Some(address.to_owned());
            Some(Device { app_type: Some("WEB".into()), address, user_agent: Some("UA/1".into()) })
        };
        event.circumstances = Circumstances {
            initiator: Actor::Customer,
            authenticated: false,
            channel: Some("consumer-api".into()),
            credential: CredentialKind::Pin,
            sessions_revoked: Some(2),
            device: device("203.0.113.77"),
            correlation_id: Some("c-1".into()),
        };
        let plain = text(&event, Profile::Schema, None);
        let extended = text(&event, Profile::Schema, Some("demo"));
        assert_eq!(plain, EVENT_A);
        assert_eq!(
            extended.strip_prefix(plain.strip_suffix('}').unwrap()).unwrap(),
            r#","extensions":{"occurredAt":"2021-07-15T17:54:12.345Z","brand":"demo","initiator":"CUSTOMER","authenticated":false,"channel":"consumer-api","credential":"PIN","verifiedAt":{"email":"2021-07-15T17:50:00.000Z"},"sessionsRevoked":2,"device":{"appType":"WEB","ipAddress":"203.0.113.0/24","userAgent":"UA/1"},"correlationId":"c-1","sequence":4}}"#
        );
        for (address, told) in [("2001:db8:1:2::3", "2001:db8:1::/48"), ("::ffff:203.0.113.9", "203.0.113.0/24")] {
            event.circumstances.device = device(address);
            assert!(text(&event, Profile::Endpoint, Some("demo")).contains(&format!("\"ipAddress\":\"{told}\"")));
        }
    }
}
