//! Golden texts of every message type: the fields of its own, and one message as a whole in each form.

use std::collections::BTreeMap;

use keyherald_core::Micros;
use keyherald_core::credential::AuthenticationMode;
use keyherald_core::customer::Profile;
use keyherald_core::message::{Facts, Flow, Personal};
use keyherald_core::notice::Notice;
use keyherald_core::secret::TokenValue;
use keyherald_core::subscription::FormatKind;

use super::*;
use crate::format::{EventIds, render};

const ID: &str = "0192f3a1-5b7c-7d3e-9f10-0123456789ab";

fn message(content: Content, personal: Option<Personal>) -> Message {
    let by = Initiator { client_id: Some("shop".into()), ..Initiator::default() };
    Message {
        position: 9,
        id: "0192f3a1-5b7c-7d3e-9f10-00000000000e".parse().unwrap(),
        created_at: Micros(1_663_603_121_772_000),
        resource_id: ID.parse().unwrap(),
        resource_version: 4,
        sequence: 3,
        customer: ID.parse().unwrap(),
        visible: true,
        facts: Facts { content, by, flow: Flow::Update, stores: Vec::new() },
        personal,
        secret: None,
        trace: None,
    }
}

fn home() -> Address {
    let fields = BTreeMap::from([("city".to_owned(), "Ulm".to_owned()), ("key".to_owned(), "home".to_owned())]);
    Address { id: "AbCdEfGh".into(), country: "DE".into(), fields }
}

fn told(content: Content, personal: Personal) -> String {
    Value::from(super::content(&message(content, Some(personal))).unwrap()).to_string()
}

fn store(keys: &[&str]) -> Vec<Key> {
    keys.iter().map(|key| key.parse().unwrap()).collect()
}

#[test]
fn types_with_a_text_have_it_under_their_own_name_or_not_at_all() {
    for (content, name) in [
        (Content::CustomerExternalIdSet, "externalId"),
        (Content::CustomerFirstNameSet, "firstName"),
        (Content::CustomerLastNameSet, "lastName"),
        (Content::CustomerTitleSet, "title"),
        (Content::CustomerCompanyNameSet, "companyName"),
        (Content::CustomerDateOfBirthSet, "dateOfBirth"),
    ] {
        let personal = Personal { value: Some("1815-12-10".into()), ..Personal::default() };
        assert_eq!(told(content.clone(), personal), format!(r#"{{"{name}":"1815-12-10"}}"#));
        assert_eq!(told(content.clone(), Personal::default()), "{}");
        assert_eq!(super::content(&message(content, None)).err(), Some(Erased));
    }
}

#[test]
fn types_with_an_address() {
    let address = r#""address":{"id":"AbCdEfGh","country":"DE","city":"Ulm","key":"home"}"#;
    let personal = || Personal { address: Some(home()), ..Personal::default() };
    for content in [
        Content::CustomerAddressAdded,
        Content::CustomerShippingAddressAdded,
        Content::CustomerShippingAddressRemoved,
        Content::CustomerBillingAddressAdded,
        Content::CustomerBillingAddressRemoved,
        Content::CustomerDefaultShippingAddressSet,
        Content::CustomerDefaultBillingAddressSet,
    ] {
        assert_eq!(told(content.clone(), personal()), format!("{{{address}}}"));
        assert_eq!(super::content(&message(content, None)).err(), Some(Erased));
    }
    assert_eq!(told(Content::CustomerDefaultBillingAddressSet, Personal::default()), "{}");
    let changed = |shipping, billing| {
        told(Content::CustomerAddressChanged { roles: AddressRoles { shipping, billing } }, personal())
    };
    assert_eq!(changed(true, true), format!(r#"{{{address},"addressRoles":["Shipping","Billing"]}}"#));
    assert_eq!(changed(false, true), format!(r#"{{{address},"addressRoles":["Billing"]}}"#));
    let removed = told(Content::CustomerAddressRemoved { roles: AddressRoles::default() }, personal());
    assert_eq!(removed, format!(r#"{{{address},"addressRoles":[]}}"#));
}

#[test]
fn types_about_email_addresses_and_stores() {
    let both = Personal { email: Some("n@x".into()), old_email: Some("o@x".into()), ..Personal::default() };
    assert_eq!(told(Content::CustomerEmailChanged, both), r#"{"email":"n@x","oldEmail":"o@x"}"#);
    assert_eq!(told(Content::CustomerEmailVerified, Personal::default()), "{}");
    let stores = Personal { stores: Some(store(&["shop-a"])), old_stores: Some(store(&[])), ..Personal::default() };
    assert_eq!(
        told(Content::CustomerStoresSet, stores),
        r#"{"stores":[{"typeId":"store","key":"shop-a"}],"oldStores":[]}"#
    );
    let deleted = Content::CustomerDeleted { data_erasure: false };
    let last = Personal { email: Some("o@x".into()), ..Personal::default() };
    assert_eq!(told(deleted.clone(), last), r#"{"email":"o@x"}"#);
    assert_eq!(Value::from(content(&message(deleted, None)).unwrap()).to_string(), "{}");
}

#[test]
fn an_email_token_shows_its_value_as_long_as_it_may() {
    let created = Content::CustomerEmailTokenCreated {
        customer_id: ID.parse().unwrap(),
        expires_at: Micros(1_663_603_181_772_000),
        invalidate_older_tokens: true,
    };
    let mut message = message(created, Some(Personal::default()));
    let expected = |value: &str| {
        format!(r#"{{"customerId":"{ID}","expiresAt":"2022-09-19T15:59:41.772Z",{value}"invalidateOlderTokens":true}}"#)
    };
    assert_eq!(Value::from(content(&message).unwrap()).to_string(), expected(""));
    message.secret = Some(TokenValue::from_sealed("abc".into()));
    assert_eq!(Value::from(content(&message).unwrap()).to_string(), expected(r#""value":"abc","#));
}

#[test]
fn a_message_in_every_form() {
    let identifiers = Identifiers { key: Some("c-1".into()), ..Identifiers::default() };
    let personal = Personal { identifiers, value: Some("Ada".into()), ..Personal::default() };
    let message = message(Content::CustomerFirstNameSet, Some(personal));
    let queried = r#"{"id":"0192f3a1-5b7c-7d3e-9f10-00000000000e","version":1,"sequenceNumber":3,"resource":{"typeId":"customer","id":"0192f3a1-5b7c-7d3e-9f10-0123456789ab"},"resourceVersion":4,"resourceUserProvidedIdentifiers":{"key":"c-1"},"type":"CustomerFirstNameSet","firstName":"Ada","createdAt":"2022-09-19T15:58:41.772Z","lastModifiedAt":"2022-09-19T15:58:41.772Z","lastModifiedBy":{"clientId":"shop","isPlatformClient":false},"createdBy":{"clientId":"shop","isPlatformClient":false}}"#;
    assert_eq!(super::message(&message).to_string(), queried);
    let project = "demo".parse().unwrap();
    let notice = Notice::Message(Box::new(message));
    let body =
        |format| String::from_utf8(render(&project, &notice, format, &EventIds::default()).unwrap().body).unwrap();
    let platform = r#"{"notificationType":"Message","projectKey":"demo","id":"0192f3a1-5b7c-7d3e-9f10-00000000000e","version":1,"sequenceNumber":3,"resource":{"typeId":"customer","id":"0192f3a1-5b7c-7d3e-9f10-0123456789ab"},"resourceVersion":4,"resourceUserProvidedIdentifiers":{"key":"c-1"},"type":"CustomerFirstNameSet","firstName":"Ada","createdAt":"2022-09-19T15:58:41.772Z","lastModifiedAt":"2022-09-19T15:58:41.772Z"}"#;
    assert_eq!(body(FormatKind::Platform), platform);
    assert_eq!(
        body(FormatKind::CloudEvents),
        format!(
            r#"{{"specversion":"1.0","id":"0192f3a1-5b7c-7d3e-9f10-00000000000e","type":"com.commercetools.customer.message.CustomerFirstNameSet","source":"/demo/customers","subject":"{ID}","time":"2022-09-19T15:58:41.772Z","sequence":"3","sequencetype":"Integer","dataref":"/demo/messages/0192f3a1-5b7c-7d3e-9f10-00000000000e","data":{platform}}}"#
        )
    );
}

#[test]
fn a_customer_names_its_stores() {
    let by = Initiator::default();
    let customer = Customer {
        id: ID.parse().unwrap(),
        number: "123456789012345".parse().unwrap(),
        version: 2,
        last_sequence: 1,
        created_at: Micros(0),
        last_modified_at: Micros(0),
        created_by: by.clone(),
        last_modified_by: by,
        email: "a@x".into(),
        key: None,
        external_id: None,
        customer_number: None,
        mobile: None,
        authentication_mode: AuthenticationMode::ExternalAuth,
        is_email_verified: true,
        password_tail: None,
        stores: store(&["shop-a", "shop-b"]),
        profile: Profile::default(),
    };
    let shown = super::customer(&customer);
    assert_eq!(shown["stores"].to_string(), r#"[{"typeId":"store","key":"shop-a"},{"typeId":"store","key":"shop-b"}]"#);
    assert_eq!(shown.get("password"), None);
}
