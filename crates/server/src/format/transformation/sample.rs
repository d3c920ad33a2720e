//! Made-up notices, one or more of each type: what a template is tried out with before it is kept.
//!
//! Of each there is a full one, with everything that may be there, and a bare one without what may be missing. A template
//! that makes something of both makes something of all between.

use keyherald_core::Ctx;
use keyherald_core::Micros;
use keyherald_core::credential::AuthenticationMode;
use keyherald_core::customer::{Address, Customer, CustomerNumber, Profile};
use keyherald_core::id::{CustomerId, Key, MessageId};
use keyherald_core::initiator::Initiator;
use keyherald_core::mail::Channel;
use keyherald_core::message::{AddressRoles, Content, Facts, Flow, Identifiers, Message, Personal, ResourceType};
use keyherald_core::notice::{Change, ChangeFacts, ChangeKind, Notice};
use keyherald_core::secret::TokenValue;
use uuid::Uuid;

const AT: Micros = Micros(1_763_784_000_123_000);
const NOBODY: Uuid = Uuid::nil();

/// How much of a notice is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fullness {
    /// All that may be there.
    Full,
    /// Nothing that may be missing.
    Bare,
}

impl Fullness {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Full, Self::Bare];

    fn of<T>(self, value: T) -> Option<T> {
        (self == Self::Full).then_some(value)
    }
}

/// All of them.
pub fn notices(fullness: Fullness) -> Vec<Notice> {
    let messages = contents().into_iter().map(|content| Notice::Message(Box::new(message(content, fullness))));
    messages.chain(changes(fullness)).collect()
}

fn contents() -> Vec<Content> {
    let (customer_id, expires_at, invalidate_older_tokens) = (CustomerId::from(NOBODY), AT.plus(Micros::HOUR), false);
    let roles = AddressRoles { shipping: true, billing: false };
    vec![
        Content::CustomerCreated,
        Content::CustomerPasswordUpdated { reset: false },
        Content::CustomerPasswordTokenCreated { customer_id, expires_at, invalidate_older_tokens },
        Content::CustomerEmailTokenCreated { customer_id, expires_at, invalidate_older_tokens },
        Content::CustomerWelcomed { expires_at },
        Content::VerificationCodeCreated { expires_at, channel: Channel::default() },
        Content::CustomerEmailVerified,
        Content::CustomerEmailChanged,
        Content::CustomerExternalIdSet,
        Content::CustomerStoresSet,
        Content::CustomerFirstNameSet,
        Content::CustomerLastNameSet,
        Content::CustomerTitleSet,
        Content::CustomerCompanyNameSet,
        Content::CustomerDateOfBirthSet,
        Content::CustomerAddressAdded,
        Content::CustomerAddressChanged { roles },
        Content::CustomerAddressRemoved { roles },
        Content::CustomerDefaultShippingAddressSet,
        Content::CustomerDefaultBillingAddressSet,
        Content::CustomerShippingAddressAdded,
        Content::CustomerShippingAddressRemoved,
        Content::CustomerBillingAddressAdded,
        Content::CustomerBillingAddressRemoved,
        Content::CustomerDeleted { data_erasure: false },
    ]
}

fn message(content: Content, fullness: Fullness) -> Message {
    let is_of_default =
        matches!(content, Content::CustomerDefaultShippingAddressSet | Content::CustomerDefaultBillingAddressSet);
    let is_deleted = matches!(content, Content::CustomerDeleted { .. });
    let full = fullness == Fullness::Full;
    let personal = Personal {
        identifiers: identifiers(fullness),
        customer: Some(Box::new(customer(fullness))),
        email: (full || !is_deleted).then(|| "sample@example.com".to_owned()),
        old_email: Some("former@example.com".to_owned()),
        value: fullness.of("2000-01-31".to_owned()),
        address: (full || !is_of_default).then(|| address(fullness)),
        stores: Some(stores(fullness)),
        old_stores: Some(stores(fullness)),
        ..Personal::default()
    };
    Message {
        position: 0,
        id: MessageId::from(NOBODY),
        created_at: AT,
        resource_id: NOBODY,
        resource_version: 1,
        sequence: 1,
        customer: NOBODY.into(),
        visible: true,
        facts: Facts { content, by: Initiator::default(), flow: Flow::Update, stores: Vec::new() },
        personal: Some(personal),
        secret: fullness.of("sample").map(|value| TokenValue::from_sealed(value.to_owned())),
        trace: None,
    }
}

fn changes(fullness: Fullness) -> impl Iterator<Item = Notice> {
    let kinds = [
        ChangeKind::Created,
        ChangeKind::Updated { old_version: 1 },
        ChangeKind::Deleted { data_erasure: fullness == Fullness::Full },
    ];
    let change = move |resource_type, kind| {
        Notice::Change(Change {
            position: 0,
            id: MessageId::from(NOBODY),
            at: AT,
            resource_id: NOBODY,
            version: 2,
            lane: NOBODY.into(),
            facts: ChangeFacts { resource_type, kind, key: None, stores: Vec::new() },
            identifiers: identifiers(fullness),
            trace: None,
        })
    };
    ResourceType::ALL.into_iter().flat_map(move |resource_type| kinds.map(|kind| change(resource_type, kind)))
}

fn identifiers(fullness: Fullness) -> Identifiers {
    let text = |text: &str| fullness.of(text.to_owned());
    Identifiers { key: text("sample"), external_id: text("sample"), customer_number: text("sample") }
}

fn stores(fullness: Fullness) -> Vec<Key> {
    let key = || "sample".parse().ok();
    fullness.of(()).and_then(|()| key()).into_iter().collect()
}

fn address(fullness: Fullness) -> Address {
    let texts = Address::TEXTS.iter().chain(&["key"]);
    let fields = texts.map(|name| ((*name).to_owned(), "Sample".to_owned()));
    Address {
        id: "sample".to_owned(),
        country: "DE".to_owned(),
        fields: fullness.of(fields.collect()).unwrap_or_default(),
    }
}

fn customer(fullness: Fullness) -> Customer {
    let text = |text: &str| fullness.of(text.to_owned());
    let list = |text: &str| fullness.of(text.to_owned()).into_iter().collect::<Vec<_>>();
    let by = Initiator {
        client_id: text("sample"),
        external_user_id: text("sample"),
        customer: fullness.of(NOBODY.into()),
        anonymous_id: text("sample"),
    };
    Customer {
        id: NOBODY.into(),
        number: CustomerNumber::new(&mut Ctx::new(AT, [0; 32])),
        version: 1,
        last_sequence: 1,
        created_at: AT,
        last_modified_at: AT,
        created_by: by.clone(),
        last_modified_by: by,
        email: "sample@example.com".to_owned(),
        key: fullness.of(()).and_then(|()| "sample".parse().ok()),
        external_id: text("sample"),
        customer_number: text("sample"),
        mobile: None,
        authentication_mode: AuthenticationMode::Password,
        is_email_verified: false,
        password_tail: text("aGg="),
        stores: stores(fullness),
        profile: Profile {
            first_name: text("Sample"),
            last_name: text("Sample"),
            middle_name: text("Sample"),
            title: text("Dr."),
            salutation: text("Mx."),
            date_of_birth: text("2000-01-31"),
            company_name: text("Sample"),
            vat_id: text("DE0"),
            locale: text("de"),
            addresses: fullness.of(address(fullness)).into_iter().collect(),
            default_shipping_address_id: text("sample"),
            default_billing_address_id: text("sample"),
            shipping_address_ids: list("sample"),
            billing_address_ids: list("sample"),
        },
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::format::platform;

    /// The names of a body, of its objects too.
    fn names(value: &serde_json::Value, prefix: &str, into: &mut BTreeSet<String>) {
        match value {
            serde_json::Value::Object(map) => map.iter().for_each(|(name, value)| {
                into.insert(format!("{prefix}{name}"));
                names(value, &format!("{prefix}{name}."), into);
            }),
            serde_json::Value::Array(values) => values.iter().for_each(|value| names(value, prefix, into)),
            _ => {}
        }
    }

    #[test]
    fn every_sample_is_rendered_and_a_bare_one_has_no_more_than_a_full_one() {
        let project = "demo".parse().unwrap();
        let rendered = |fullness| {
            notices(fullness).into_iter().map(|notice| {
                let mut found = BTreeSet::new();
                names(
                    &platform::payload(&project, &notice, crate::format::Extent::Whole).ok().unwrap().into(),
                    "",
                    &mut found,
                );
                found
            })
        };
        for (full, bare) in rendered(Fullness::Full).zip(rendered(Fullness::Bare)) {
            assert!(bare.is_subset(&full), "{bare:?} {full:?}");
        }
        let (full, bare): (BTreeSet<_>, BTreeSet<_>) =
            (rendered(Fullness::Full).flatten().collect(), rendered(Fullness::Bare).flatten().collect());
        for name in ["value", "resourceUserProvidedIdentifiers.key", "customer.addresses.city", "dataErasure"] {
            assert!(full.contains(name) && !bare.contains(name), "{name}");
        }
    }

    /// Whoever adds a type of message adds a sample: types are told apart by the store's texts.
    #[test]
    fn there_is_one_of_each_type() {
        let types: BTreeSet<&str> = contents().iter().map(Content::type_name).collect();
        assert_eq!(types.len(), contents().len());
        let source = include_str!("../../../../core/src/message.rs");
        let arms = source.lines().filter(|line| line.contains("=> \"Customer") || line.contains("=> \"Verification"));
        assert_eq!(arms.count(), types.len());
    }
}
