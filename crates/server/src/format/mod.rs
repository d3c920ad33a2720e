//! Outgoing bodies: pure functions of a message or a change (and of the subscription's settings), so that a retry and a replay send
//! the same bytes. One file per format; this is the list. Events of Paysafe's contract are not in it: they are rendered when
//! they happen, by `outbox`, and kept.

pub mod cloudevents;
pub mod commercetools;
pub mod letter;
pub mod naviga_activity;
pub mod paysafe_credentials_event;
pub mod paysafe_data_verification_event;
pub mod platform;
pub mod short_message;
pub mod transformation;
pub mod wallet_notice;

use keyherald_core::id::ProjectKey;
use keyherald_core::notice::Notice;
use keyherald_core::subscription::FormatKind;

pub use self::naviga_activity::EventIds;

/// A body and its media type.
pub struct Rendered {
    /// The `Content-Type`.
    pub content_type: &'static str,
    /// The very bytes that are signed and sent.
    pub body: Vec<u8>,
}

/// How much of a message is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// All of it.
    Whole,
    /// Without what only its type of message has: it would be too large.
    WithoutPayload,
}

/// It cannot be rendered: its personal data was erased.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Erased;

/// Renders `notice` for a subscription of `project` in `format`, with the event ids that were configured.
pub fn render(project: &ProjectKey, notice: &Notice, format: FormatKind, ids: &EventIds) -> Result<Rendered, Erased> {
    match format {
        FormatKind::Platform => platform::render(project, notice, Extent::Whole),
        FormatKind::CloudEvents => cloudevents::render(project, notice, Extent::Whole),
        FormatKind::NavigaActivity => naviga_activity::render(project, notice, ids),
        FormatKind::Letter => letter::render(notice),
        FormatKind::ShortMessage => short_message::render(notice),
        FormatKind::WalletNotice => wallet_notice::render(notice),
        FormatKind::Rendered => Err(Erased), // was rendered when it happened, and is never rendered again
    }
}

/// The same for a receiver that takes no more than `bytes_max`: what is longer goes without the fields that only its type of
/// message has, if that makes a difference (commercetools.md 8.3).
pub fn render_within(
    bytes_max: Option<usize>,
    project: &ProjectKey,
    notice: &Notice,
    format: FormatKind,
    ids: &EventIds,
) -> Result<Rendered, Erased> {
    let whole = render(project, notice, format, ids)?;
    let is_too_large = bytes_max.is_some_and(|most| whole.body.len() > most);
    match (format, notice) {
        (FormatKind::Platform, Notice::Message(_)) if is_too_large => {
            platform::render(project, notice, Extent::WithoutPayload)
        }
        (FormatKind::CloudEvents, Notice::Message(_)) if is_too_large => {
            cloudevents::render(project, notice, Extent::WithoutPayload)
        }
        _ => Ok(whole),
    }
}

#[cfg(test)]
mod tests {
    use keyherald_core::Micros;
    use keyherald_core::credential::AuthenticationMode;
    use keyherald_core::customer::{Customer, Profile};
    use keyherald_core::id::CustomerId;
    use keyherald_core::initiator::Initiator;
    use keyherald_core::message::{Content, Facts, Flow, Identifiers, Message, Personal, ResourceType};
    use keyherald_core::notice::{Change, ChangeFacts, ChangeKind};
    use keyherald_core::secret::TokenValue;

    use super::*;

    const AT: Micros = Micros(1_763_784_000_123_000);

    fn customer_id() -> CustomerId {
        "019aa4b2-5b7c-7d3e-9f10-0123456789ab".parse().unwrap()
    }

    fn message(content: Content, flow: Flow, personal: Option<Personal>) -> Message {
        let by = Initiator { client_id: Some("shop".into()), ..Initiator::default() };
        Message {
            position: 7,
            id: "019aa4b2-0000-7000-8000-00000000000a".parse().unwrap(),
            created_at: AT,
            resource_id: customer_id().uuid(),
            resource_version: 3,
            sequence: 2,
            customer: customer_id(),
            visible: true,
            facts: Facts { content, by, flow, stores: Vec::new() },
            personal,
            secret: None,
            trace: None,
        }
    }

    fn updated() -> Message {
        let identifiers = Identifiers { key: Some("c-1".into()), ..Identifiers::default() };
        let personal = Personal { identifiers, external_user_id: Some("agent-7".into()), ..Personal::default() };
        message(Content::CustomerPasswordUpdated { reset: true }, Flow::Reset, Some(personal))
    }

    fn created() -> Message {
        let customer = Customer {
            id: customer_id(),
            number: "123456789012345".parse().unwrap(),
            version: 1,
            last_sequence: 1,
            created_at: AT,
            last_modified_at: AT,
            created_by: Initiator::default(),
            last_modified_by: Initiator::default(),
            email: "Jo@Example.com".into(),
            key: None,
            external_id: None,
            customer_number: Some("K-1".into()),
            mobile: None,
            authentication_mode: AuthenticationMode::Password,
            is_email_verified: false,
            password_tail: Some("aGg=".into()),
            stores: Vec::new(),
            profile: Profile { first_name: Some("Jo".into()), ..Profile::default() },
        };
        let personal = Personal { customer: Some(Box::new(customer)), ..Personal::default() };
        message(Content::CustomerCreated, Flow::Create, Some(personal))
    }

    fn token_created() -> Message {
        let expires_at = AT.plus(3600 * Micros::SECOND);
        let content = Content::CustomerPasswordTokenCreated {
            customer_id: customer_id(),
            expires_at,
            invalidate_older_tokens: false,
        };
        let secret = Some(TokenValue::from_sealed("a-token-value".into()));
        Message { secret, visible: false, ..message(content, Flow::CreateToken, Some(Personal::default())) }
    }

    fn deleted() -> Message {
        let personal = Personal { email: Some("jo@example.com".into()), ..Personal::default() };
        message(Content::CustomerDeleted { data_erasure: false }, Flow::Delete, Some(personal))
    }

    /// The bytes, rendered twice.
    fn bytes(message: &Message, format: FormatKind) -> String {
        let project = "demo".parse().unwrap();
        rendered(&project, &Notice::Message(Box::new(message.clone())), format)
    }

    fn rendered(project: &ProjectKey, notice: &Notice, format: FormatKind) -> String {
        let [one, other] = [0, 1].map(|_| render(project, notice, format, &EventIds::default()).ok().unwrap());
        assert_eq!((one.content_type, &one.body), (other.content_type, &other.body));
        String::from_utf8(one.body).unwrap()
    }

    const COMMON: &str = r#"{"notificationType":"Message","projectKey":"demo","id":"019aa4b2-0000-7000-8000-00000000000a","version":1,"sequenceNumber":2,"resource":{"typeId":"RESOURCE","id":"019aa4b2-5b7c-7d3e-9f10-0123456789ab"},"resourceVersion":3,"resourceUserProvidedIdentifiers":NAMES,"type":"TYPE",FIELDS"createdAt":"2025-11-22T04:00:00.123Z","lastModifiedAt":"2025-11-22T04:00:00.123Z"}"#;

    fn platform_bytes(resource: &str, names: &str, kind: &str, fields: &str) -> String {
        let text = COMMON.replace("RESOURCE", resource).replace("NAMES", names);
        text.replace("TYPE", kind).replace("FIELDS", fields)
    }

    #[test]
    fn platform_is_rendered_to_these_bytes() {
        let all = [updated(), created(), token_created(), deleted()];
        let rendered = all.map(|message| bytes(&message, FormatKind::Platform));
        assert_eq!(
            rendered,
            [
                platform_bytes("customer", r#"{"key":"c-1"}"#, "CustomerPasswordUpdated", r#""reset":true,"#),
                platform_bytes(
                    "customer",
                    "{}",
                    "CustomerCreated",
                    r#""customer":{"id":"019aa4b2-5b7c-7d3e-9f10-0123456789ab","version":1,"createdAt":"2025-11-22T04:00:00.123Z","lastModifiedAt":"2025-11-22T04:00:00.123Z","lastModifiedBy":{"isPlatformClient":false},"createdBy":{"isPlatformClient":false},"customerNumber":"K-1","email":"Jo@Example.com","firstName":"Jo","password":"****aGg=","addresses":[],"shippingAddressIds":[],"billingAddressIds":[],"isEmailVerified":false,"stores":[],"authenticationMode":"Password","customerGroupAssignments":[]},"#,
                ),
                platform_bytes(
                    "customer-password-token",
                    "{}",
                    "CustomerPasswordTokenCreated",
                    r#""customerId":"019aa4b2-5b7c-7d3e-9f10-0123456789ab","expiresAt":"2025-11-22T05:00:00.123Z","value":"a-token-value","invalidateOlderTokens":false,"#,
                ),
                platform_bytes("customer", "{}", "CustomerDeleted", r#""email":"jo@example.com","#),
            ]
        );
    }

    #[test]
    fn cloudevents_are_rendered_to_these_bytes() {
        let data = bytes(&updated(), FormatKind::Platform);
        assert_eq!(
            bytes(&updated(), FormatKind::CloudEvents),
            format!(
                r#"{{"specversion":"1.0","id":"019aa4b2-0000-7000-8000-00000000000a","type":"com.commercetools.customer.message.CustomerPasswordUpdated","source":"/demo/customers","subject":"019aa4b2-5b7c-7d3e-9f10-0123456789ab","time":"2025-11-22T04:00:00.123Z","sequence":"2","sequencetype":"Integer","dataref":"/demo/messages/019aa4b2-0000-7000-8000-00000000000a","data":{data}}}"#
            )
        );
        let token = bytes(&token_created(), FormatKind::CloudEvents);
        assert!(token.contains(r#""source":"/demo/customers/password-token""#));
        assert!(!token.contains("dataref"), "it is not in /messages");
    }

    /// commercetools.md 8.3.
    #[test]
    fn what_is_too_large_goes_without_its_own_fields() {
        let (project, ids) = ("demo".parse().unwrap(), EventIds::default());
        let within = |message: Message, format, bytes_max| {
            let notice = Notice::Message(Box::new(message));
            String::from_utf8(render_within(bytes_max, &project, &notice, format, &ids).ok().unwrap().body).unwrap()
        };
        let whole = bytes(&created(), FormatKind::Platform);
        let small = platform_bytes(
            "customer",
            "{}",
            "CustomerCreated",
            r#""payloadNotIncluded":{"reason":"Payload too large.","payloadType":"CustomerCreated"},"#,
        );
        for (bytes_max, expected) in
            [(None, &whole), (Some(whole.len()), &whole), (Some(whole.len() - 1), &small), (Some(0), &small)]
        {
            assert_eq!(within(created(), FormatKind::Platform, bytes_max), *expected);
        }
        let event = within(created(), FormatKind::CloudEvents, Some(whole.len()));
        assert!(event.ends_with(&format!(r#","data":{small}}}"#)), "{event}");
        let changed = change(ResourceType::Customer, ChangeKind::Created, None);
        let [one, other] =
            [None, Some(0)].map(|most| render_within(most, &project, &changed, FormatKind::Platform, &ids));
        assert_eq!(one.ok().unwrap().body, other.ok().unwrap().body);
    }

    #[test]
    fn the_media_types_are_these() {
        let project = "demo".parse().unwrap();
        let media_type = |format| {
            render(&project, &Notice::Message(Box::new(updated())), format, &EventIds::default())
                .ok()
                .unwrap()
                .content_type
        };
        assert_eq!(media_type(FormatKind::Platform), "application/json; charset=utf-8");
        assert_eq!(media_type(FormatKind::CloudEvents), "application/cloudevents+json; charset=utf-8");
    }

    #[test]
    fn what_is_erased_or_ended_is_left_out_or_refused() {
        let project = "demo".parse().unwrap();
        let erased = |message: Message| Message { personal: None, ..message };
        for format in [FormatKind::Platform, FormatKind::CloudEvents] {
            let created = Notice::Message(Box::new(erased(created())));
            assert_eq!(render(&project, &created, format, &EventIds::default()).err(), Some(Erased));
            let updated = bytes(&erased(updated()), format);
            assert!(updated.contains(r#""resourceUserProvidedIdentifiers":{},"#));
            assert!(!updated.contains("agent-7"));
            assert!(!bytes(&erased(deleted()), format).contains("email"));
            let ended = Message { secret: None, ..token_created() };
            assert!(!bytes(&ended, format).contains(r#""value""#));
        }
    }

    fn change(resource_type: ResourceType, kind: ChangeKind, key: Option<&str>) -> Notice {
        Notice::Change(Change {
            position: 8,
            id: "019aa4b2-0000-8000-8000-00000000000c".parse().unwrap(),
            at: AT,
            resource_id: customer_id().uuid(),
            version: 3,
            lane: customer_id(),
            facts: ChangeFacts { resource_type, kind, key: None, stores: Vec::new() },
            identifiers: Identifiers { key: key.map(str::to_owned), ..Identifiers::default() },
            trace: None,
        })
    }

    /// commercetools.md 8.3.
    #[test]
    fn changes_are_rendered_to_these_bytes() {
        let project = "demo".parse().unwrap();
        let platform = |kind, key| rendered(&project, &change(ResourceType::Customer, kind, key), FormatKind::Platform);
        let expected = |kind: &str, names: &str, after: &str| {
            format!(
                r#"{{"notificationType":"{kind}","projectKey":"demo","resource":{{"typeId":"customer","id":"019aa4b2-5b7c-7d3e-9f10-0123456789ab"}},"resourceUserProvidedIdentifiers":{names},"version":3,{after}}}"#
            )
        };
        let at = r#""modifiedAt":"2025-11-22T04:00:00.123Z""#;
        assert_eq!(platform(ChangeKind::Created, None), expected("ResourceCreated", "{}", at));
        assert_eq!(
            platform(ChangeKind::Updated { old_version: 2 }, Some("c-1")),
            expected("ResourceUpdated", r#"{"key":"c-1"}"#, &format!(r#""oldVersion":2,{at}"#))
        );
        let deleted = |data_erasure| platform(ChangeKind::Deleted { data_erasure }, None);
        assert_eq!(deleted(false), expected("ResourceDeleted", "{}", at));
        assert_eq!(deleted(true), expected("ResourceDeleted", "{}", &format!(r#"{at},"dataErasure":true"#)));
    }

    /// commercetools.md 8.4: no sequence and no dataref.
    #[test]
    fn changes_as_cloudevents_are_these_bytes() {
        let project = "demo".parse().unwrap();
        for (resource_type, source) in [
            (ResourceType::Customer, "customers"),
            (ResourceType::CustomerPasswordToken, "customers/password-token"),
            (ResourceType::CustomerEmailToken, "customers/email-token"),
            (ResourceType::Store, "stores"),
            (ResourceType::Subscription, "subscriptions"),
        ] {
            let created = change(resource_type, ChangeKind::Created, Some("k-1"));
            let (data, type_id) = (rendered(&project, &created, FormatKind::Platform), resource_type.as_str());
            assert_eq!(
                rendered(&project, &created, FormatKind::CloudEvents),
                format!(
                    r#"{{"specversion":"1.0","id":"019aa4b2-0000-8000-8000-00000000000c","type":"com.commercetools.{type_id}.change.ResourceCreated","source":"/demo/{source}","subject":"019aa4b2-5b7c-7d3e-9f10-0123456789ab","time":"2025-11-22T04:00:00.123Z","data":{data}}}"#
                )
            );
        }
    }
}
