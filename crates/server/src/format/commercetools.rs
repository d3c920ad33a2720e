//! The JSON of the commercetools contract that answers and deliveries share: customers, messages, initiators
//! (commercetools.md 2.3, 5.1, 7). Unset fields are absent, never `null`.

use keyherald_core::customer::{Address, Customer};
use keyherald_core::initiator::Initiator;
use keyherald_core::message::{Content, Identifiers, Message};
use serde_json::{Map, Value, json};

use super::Erased;

/// An object in the order in which its fields are put.
#[derive(Default)]
pub struct Object(Map<String, Value>);

impl Object {
    /// Puts a field.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.0.insert(name.to_owned(), value.into());
        self
    }

    /// Puts a field if there is a value.
    #[must_use]
    pub fn with_some(self, name: &str, value: Option<impl Into<Value>>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }

    /// Puts all fields of another object.
    #[must_use]
    pub fn with_all(mut self, other: Map<String, Value>) -> Self {
        self.0.extend(other);
        self
    }

    /// The object.
    pub fn into_map(self) -> Map<String, Value> {
        self.0
    }
}

impl From<Object> for Value {
    fn from(object: Object) -> Self {
        Self::Object(object.0)
    }
}

/// `createdBy` / `lastModifiedBy` (commercetools.md 7.5).
pub fn initiator(by: &Initiator) -> Value {
    Object::default()
        .with_some("clientId", by.client_id.clone())
        .with("isPlatformClient", false)
        .with_some("externalUserId", by.external_user_id.clone())
        .with_some("customer", by.customer.map(|id| json!({"typeId": "customer", "id": id.to_string()})))
        .with_some("anonymousId", by.anonymous_id.clone())
        .into()
}

/// A customer (commercetools.md 2.3).
pub fn customer(customer: &Customer) -> Value {
    let profile = &customer.profile;
    let mask = customer.password_tail.as_ref().map(|tail| format!("****{tail}"));
    Object::default()
        .with("id", customer.id.to_string())
        .with("version", customer.version)
        .with("createdAt", customer.created_at.iso())
        .with("lastModifiedAt", customer.last_modified_at.iso())
        .with("lastModifiedBy", initiator(&customer.last_modified_by))
        .with("createdBy", initiator(&customer.created_by))
        .with_some("key", customer.key.as_ref().map(ToString::to_string))
        .with_some("customerNumber", customer.customer_number.clone())
        .with_some("externalId", customer.external_id.clone())
        .with("email", customer.email.clone())
        .with_some("firstName", profile.first_name.clone())
        .with_some("lastName", profile.last_name.clone())
        .with_some("middleName", profile.middle_name.clone())
        .with_some("title", profile.title.clone())
        .with_some("salutation", profile.salutation.clone())
        .with_some("dateOfBirth", profile.date_of_birth.clone())
        .with_some("companyName", profile.company_name.clone())
        .with_some("vatId", profile.vat_id.clone())
        .with_some("locale", profile.locale.clone())
        .with_some("password", mask)
        .with("addresses", profile.addresses.iter().map(address).collect::<Vec<_>>())
        .with_some("defaultShippingAddressId", profile.default_shipping_address_id.clone())
        .with_some("defaultBillingAddressId", profile.default_billing_address_id.clone())
        .with("shippingAddressIds", profile.shipping_address_ids.clone())
        .with("billingAddressIds", profile.billing_address_ids.clone())
        .with("isEmailVerified", customer.is_email_verified)
        .with("stores", Vec::<Value>::new())
        .with("authenticationMode", customer.authentication_mode.as_str())
        .with("customerGroupAssignments", Vec::<Value>::new())
        .into()
}

fn address(address: &Address) -> Value {
    let fields = address.fields.iter().map(|(name, value)| (name.clone(), Value::from(value.clone()))).collect();
    Object::default().with("id", address.id.clone()).with("country", address.country.clone()).with_all(fields).into()
}

/// `resourceUserProvidedIdentifiers`; `None` when there is none.
pub fn identifiers(identifiers: &Identifiers) -> Option<Value> {
    let object = Object::default()
        .with_some("key", identifiers.key.clone())
        .with_some("externalId", identifiers.external_id.clone())
        .with_some("customerNumber", identifiers.customer_number.clone());
    (!identifiers.is_empty()).then(|| object.into())
}

/// The fields that only this type of message has (commercetools.md 7.1).
pub fn content(message: &Message) -> Result<Object, Erased> {
    let object = Object::default();
    Ok(match &message.facts.content {
        Content::CustomerCreated => {
            let created = message.personal.as_ref().and_then(|personal| personal.customer.as_deref()).ok_or(Erased)?;
            object.with("customer", customer(created))
        }
        Content::CustomerPasswordUpdated { reset } => object.with("reset", *reset),
        Content::CustomerPasswordTokenCreated { customer_id, expires_at, invalidate_older_tokens } => {
            let value = message.secret.as_ref().map(|value| value.reveal_with(str::to_owned));
            object
                .with("customerId", customer_id.to_string())
                .with("expiresAt", expires_at.iso())
                .with_some("value", value)
                .with("invalidateOlderTokens", *invalidate_older_tokens)
        }
        Content::CustomerDeleted => {
            object.with_some("email", message.personal.as_ref().and_then(|personal| personal.email.clone()))
        }
    })
}

/// `resource`: `{typeId, id}`.
pub fn resource(message: &Message) -> Value {
    json!({
        "typeId": message.facts.content.resource_type().as_str(),
        "id": message.resource_id.hyphenated().to_string(),
    })
}

/// A message as `/messages` shows it (commercetools.md 5.1). What was erased is left out.
pub fn message(message: &Message) -> Value {
    let by = initiator(&message.initiator());
    let names = message.personal.as_ref().and_then(|personal| identifiers(&personal.identifiers));
    Object::default()
        .with("id", message.id.to_string())
        .with("version", 1)
        .with("sequenceNumber", message.sequence)
        .with("resource", resource(message))
        .with("resourceVersion", message.resource_version)
        .with_some("resourceUserProvidedIdentifiers", names)
        .with("type", message.facts.content.type_name())
        .with_all(content(message).unwrap_or_default().into_map())
        .with("createdAt", message.created_at.iso())
        .with("lastModifiedAt", message.created_at.iso())
        .with("lastModifiedBy", by.clone())
        .with("createdBy", by)
        .into()
}
