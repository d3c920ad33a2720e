//! The published schema of the event, member by member, against what a partner is sent (paysafe.md 2.4).

use keyherald::format::paysafe_credentials_event::Profile;
use keyherald::outbox::Brand;
use keyherald_core::Micros;
use keyherald_core::create::{AddressUse, Command};
use keyherald_core::credential::AuthenticationMode;
use keyherald_core::customer::{self, Customer};
use keyherald_core::initiator::Initiator;
use keyherald_core::secret::Password;
use serde_json::{Map, Value};

use crate::stage::{Stage, brand, demo};

each_engine! {
    an_event_holds_to_every_limit,
    the_older_form_holds_to_its_limits,
}

/// The external id, the title, and both names.
type Texts = [Option<String>; 3];

/// None of what may be absent; all of it, as long as it may be; and all of it, longer than that.
fn examples() -> [Texts; 4] {
    let of = |lengths: [usize; 3]| ["é", "ö", "𝒿"].into_iter().zip(lengths).map(|(it, length)| Some(it.repeat(length)));
    let all = |lengths| of(lengths).collect::<Vec<_>>().try_into().unwrap();
    [[None, None, None], all([1, 1, 1]), all([40, 15, 50]), all([41, 16, 51])]
}

async fn customer(stage: &Stage, number: usize, [external_id, title, name]: &Texts) -> Customer {
    let profile = customer::Profile {
        title: title.clone(),
        first_name: name.clone(),
        last_name: name.clone(),
        ..customer::Profile::default()
    };
    let command = Command {
        email: format!("jo-{number}@example.com"),
        key: None,
        external_id: external_id.clone(),
        customer_number: None,
        mobile: None,
        stores: Vec::new(),
        authentication_mode: AuthenticationMode::Password,
        is_email_verified: false,
        profile,
        addresses: AddressUse::default(),
        by: Initiator::default(),
    };
    let password = Password::new("old password".to_owned()).ok();
    stage.app.create_customer(demo(), command, password).await.unwrap()
}

/// An object's members: those that must be there and may be there, in this order, and no others.
fn members<'a>(value: &'a Value, allowed: &[(&str, bool)]) -> &'a Map<String, Value> {
    let object = value.as_object().unwrap();
    let (names, known): (Vec<_>, Vec<_>) = (object.keys().collect(), allowed.iter().map(|(name, _)| *name).collect());
    assert!(names.iter().all(|name| known.contains(&name.as_str())), "{names:?}");
    assert!(allowed.iter().all(|(name, is_required)| !is_required || object.contains_key(*name)), "{names:?}");
    assert!(object.values().all(|value| !value.is_null()), "absent, and not null: {value}");
    object
}

/// A text of so many code points.
fn assert_text(value: Option<&Value>, least: usize, most: usize) {
    if let Some(value) = value {
        let length = value.as_str().unwrap().chars().count();
        assert!((least..=most).contains(&length), "{value} has {length}");
    }
}

fn assert_person(value: &Value, has_names: bool) {
    let (with, without) =
        ([("title", false), ("firstName", true), ("lastName", true)], [("id", true), ("externalId", false)]);
    let allowed = without.into_iter().chain(with.into_iter().filter(|_| has_names)).collect::<Vec<_>>();
    let person = members(value, &allowed);
    assert_text(person.get("id"), 1, 20);
    assert!(person["id"].as_str().unwrap().bytes().all(|byte| byte.is_ascii_digit()));
    assert_text(person.get("externalId"), 1, 40);
    assert_text(person.get("title"), 1, 15);
    assert_text(person.get("firstName"), 0, 50);
    assert_text(person.get("lastName"), 0, 50);
}

fn assert_details(value: &Value, has_customer: bool) {
    let allowed = [("customer", true), ("customerIdentifiers", true), ("type", true)];
    let details = members(value, &allowed[usize::from(!has_customer)..]);
    assert_eq!(details["type"], "PASSWORD_RECOVERY");
    let identifiers = members(&details["customerIdentifiers"], &[("email", false), ("mobile", false)]);
    assert!(!identifiers.is_empty());
    for identifier in identifiers.values() {
        let proved = members(identifier, &[("value", true), ("verificationId", true)]);
        assert_text(proved.get("value"), 1, 254);
        assert_text(proved.get("verificationId"), 36, 36);
    }
}

fn assert_head(event: &Map<String, Value>) {
    let id = event["id"].as_str().unwrap();
    assert!(id.len() == 36 && id.as_bytes()[14] == b'4' && id == id.to_lowercase(), "{id}");
    let at = event["timestamp"].as_str().unwrap();
    assert!(at.len() == 20 && at.ends_with('Z') && Micros::parse_iso(at).is_some(), "{at}");
}

/// Every example recovers its password; answers what the partner is sent, in the same order.
async fn recovered(stage: &Stage) -> Vec<(Vec<u8>, Value)> {
    let mut sent = Vec::new();
    for (texts, number) in examples().iter().zip(1..) {
        let customer = customer(stage, number, texts).await;
        stage.recover(&customer).await;
        let got = stage.partner.wait_for(number, || {}).await;
        assert!(got[number - 1].is_signed());
        sent.push((got[number - 1].body.clone(), got[number - 1].json()));
    }
    sent
}

/// What is told of a customer, and that it comes in the table's order.
fn told((body, person): (&[u8], &Value)) -> (Option<String>, Option<String>, Option<String>) {
    let text = std::str::from_utf8(body).unwrap();
    let places: Vec<_> = ["\"customer\":{\"id\"", "\"externalId\"", "\"title\"", "\"firstName\"", "\"lastName\""]
        .into_iter()
        .filter_map(|name| text.find(name))
        .collect();
    assert!(places.is_sorted(), "{text}");
    assert_eq!(person.get("firstName"), person.get("lastName"));
    let of = |name: &str| person.get(name).map(|it| it.as_str().unwrap().to_owned());
    (of("externalId"), of("title"), of("firstName"))
}

async fn an_event_holds_to_every_limit(stage: Stage) {
    let expected = [
        (None, None, Some(String::new())),
        (Some("é".into()), Some("ö".into()), Some("𝒿".into())),
        (Some("é".repeat(40)), Some("ö".repeat(15)), Some("𝒿".repeat(50))),
        (Some("é".repeat(40)), Some("ö".repeat(15)), Some("𝒿".repeat(50))),
    ];
    for ((body, event), expected) in recovered(&stage).await.iter().zip(expected) {
        let event =
            members(event, &[("id", true), ("timestamp", true), ("customer", true), ("credentialsDetails", true)]);
        assert_head(event);
        assert_person(&event["customer"], true);
        assert_details(&event["credentialsDetails"], false);
        assert_eq!(told((body, &event["customer"])), expected);
    }
}

async fn the_older_form_holds_to_its_limits(mut stage: Stage) {
    stage.brands(&[("demo", Brand { profile: Profile::Endpoint, ..brand() })]);
    let expected = [None, Some("é".to_owned()), Some("é".repeat(40)), Some("é".repeat(40))];
    for ((body, event), external_id) in recovered(&stage).await.iter().zip(expected) {
        let event = members(event, &[("id", true), ("timestamp", true), ("credentialsDetails", true)]);
        assert_head(event);
        let details = &event["credentialsDetails"];
        assert_details(details, true);
        assert_person(&details["customer"], false);
        assert_eq!(told((body, &details["customer"])), (external_id, None, None));
    }
}
