//! `POST /digitalwallets/v1/wallet-setup/customers`: become a customer, by an address and perhaps a number that were proved
//! (paysafe.md 6.1). Nobody is signed in by it.

use axum::http::Method;
use keyherald_core::create::{AddressUse, Command};
use keyherald_core::credential::AuthenticationMode;
use keyherald_core::credentials_event::Person;
use keyherald_core::customer::Profile;
use keyherald_core::policy::Surface;
use keyherald_core::verification::{Claim, Kind};
use serde_json::{Map, Value, json};

use super::super::fields::Fields;
use super::super::reply::{Answer, Problem, Reply, failed};
use super::super::request::{Request, TokenKind};
use super::super::route::Route;
use crate::app::limits::Limited;
use crate::app::onboard_customer::Onboarding;

pub const ROUTE: Route = Route {
    method: Method::POST,
    path: "/digitalwallets/v1/wallet-setup/customers",
    handle: |request| Box::pin(handle(request)),
};

async fn handle(request: Request) -> Answer {
    let (received, mut fields) = request.received(&[TokenKind::Configuration]).await?;
    let brand = received.brand.clone();
    let identifiers = fields.identifiers();
    if fields.has("customerIdentifiers") && !fields.has("customerIdentifiers.email") {
        fields.refuse("customerIdentifiers.email", "must not be null");
    }
    let password = fields.password("customerCredentials.password");
    fields.device(true, brand.requires_app_type);
    let (external_id, profile) = person(&mut fields);
    if !fields.is_wrong() {
        fields.require(&brand.required);
    }
    let Some(password) = password.filter(|_| !fields.is_wrong()) else { return Err(fields.problem()) };
    let claims: Option<Vec<Claim>> =
        identifiers.into_iter().map(|(attribute, id)| Some(Claim { attribute, id: id? })).collect();
    let claims = claims.ok_or_else(Problem::verification_invalid)?;
    let of = |kind| claims.iter().find(|claim| claim.attribute.kind == kind).map(|claim| claim.attribute.value());
    let command = Command {
        email: of(Kind::Email).unwrap_or_default().to_owned(),
        key: None,
        external_id,
        customer_number: None,
        mobile: of(Kind::Mobile).and_then(|number| number.parse().ok()),
        stores: Vec::new(),
        authentication_mode: AuthenticationMode::Password,
        is_email_verified: true,
        profile,
        addresses: AddressUse::default(),
        by: received.call.by.clone(),
    };
    let onboarding = Onboarding { claims, command, password, surface: Surface::Paysafe(brand.rule) };
    let onboarded = received.app.onboard_customer(received.call, &brand.verifying, received.source, onboarding).await;
    match onboarded.map_err(failed)? {
        Limited::Done(customer) => Ok(Reply::new(201, json!({"customer": shown(&Person::of(&customer).0)}))),
        Limited::TooMany { retry_after_s } => Err(Problem::too_many(retry_after_s)),
    }
}

/// `customer`: what the events tell of it, with their limits.
fn person(fields: &mut Fields) -> (Option<String>, Profile) {
    let mut text = |name: &str, most: usize, error: &'static str| {
        let path = format!("customer.{name}");
        let text = fields.optional_text(&path);
        if text.as_ref().is_some_and(|text| text.chars().nth(most).is_some()) {
            fields.refuse(&path, error);
        }
        text.filter(|text| !text.is_empty())
    };
    let external_id = text("externalId", Person::EXTERNAL_ID_MAX, "must not be longer than 40 characters");
    let profile = Profile {
        title: text("title", Person::TITLE_MAX, "must not be longer than 15 characters"),
        first_name: text("firstName", Person::NAME_MAX, "must not be longer than 50 characters"),
        last_name: text("lastName", Person::NAME_MAX, "must not be longer than 50 characters"),
        ..Profile::default()
    };
    (external_id, profile)
}

fn shown(person: &Person) -> Value {
    let mut members = Map::new();
    members.insert("id".to_owned(), person.number.as_str().into());
    let optional = [("externalId", &person.external_id), ("title", &person.title)];
    members.extend(optional.into_iter().filter_map(|(name, text)| Some((name.to_owned(), text.as_deref()?.into()))));
    members.insert("firstName".to_owned(), person.first_name.as_str().into());
    members.insert("lastName".to_owned(), person.last_name.as_str().into());
    Value::Object(members)
}
