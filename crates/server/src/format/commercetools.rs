//! The JSON of the commercetools contract that answers and deliveries share: customers, messages, initiators
//! (commercetools.md 2.3, 5.1, 7). Unset fields are absent, never `null`.

use keyherald_core::Micros;
use keyherald_core::customer::{Address, Customer};
use keyherald_core::id::Key;
use keyherald_core::initiator::Initiator;
use keyherald_core::message::{AddressRoles, Content, Identifiers, Message, ResourceType};
use keyherald_core::token::{Token, TokenCreated};
use serde_json::{Map, Value, json};

use super::Erased;

/// Most objects have fewer fields: room for them is made once.
const FIELDS: usize = 16;

/// An object in the order in which its fields are put.
pub struct Object(Map<String, Value>);

impl Default for Object {
    fn default() -> Self {
        Self(Map::with_capacity(FIELDS))
    }
}

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

/// A CustomerToken, with its value whatever its life is (commercetools.md 3.2).
pub fn customer_token(TokenCreated { token, value, .. }: &TokenCreated) -> Value {
    let by = initiator(&token.created_by);
    Object::default()
        .with("id", token.id.to_string())
        .with("createdAt", token.created_at.iso())
        .with("lastModifiedAt", token.created_at.iso())
        .with("lastModifiedBy", by.clone())
        .with("createdBy", by)
        .with("customerId", token.customer.to_string())
        .with("expiresAt", token.expires_at.iso())
        .with("value", value.reveal_with(str::to_owned))
        .with("invalidateOlderTokens", token.invalidate_older_tokens)
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
        .with("stores", stores(&customer.stores))
        .with("authenticationMode", customer.authentication_mode.as_str())
        .with("customerGroupAssignments", Vec::<Value>::new())
        .into()
}

fn address(address: &Address) -> Value {
    let fields = address.fields.iter().map(|(name, value)| (name.clone(), Value::from(value.clone()))).collect();
    Object::default().with("id", address.id.clone()).with("country", address.country.clone()).with_all(fields).into()
}

/// Stores by their keys.
fn stores(keys: &[Key]) -> Vec<Value> {
    keys.iter().map(|key| json!({"typeId": "store", "key": key.as_str()})).collect()
}

/// `resourceUserProvidedIdentifiers`; `None` when there is none.
pub fn identifiers(identifiers: &Identifiers) -> Option<Value> {
    let object = Object::default()
        .with_some("key", identifiers.key.clone())
        .with_some("externalId", identifiers.external_id.clone())
        .with_some("customerNumber", identifiers.customer_number.clone());
    (!identifiers.is_empty()).then(|| object.into())
}

/// The fields that only this type of message has (commercetools.md 7.1, 7.2).
pub fn content(message: &Message) -> Result<Object, Erased> {
    let object = Object::default();
    let personal = message.personal.as_ref().ok_or(Erased);
    Ok(match &message.facts.content {
        Content::CustomerCreated => object.with("customer", customer(personal?.customer.as_deref().ok_or(Erased)?)),
        Content::CustomerPasswordUpdated { reset } => object.with("reset", *reset),
        Content::CustomerPasswordTokenCreated { customer_id, expires_at, invalidate_older_tokens }
        | Content::CustomerEmailTokenCreated { customer_id, expires_at, invalidate_older_tokens } => {
            // A long-lived one is there to be mailed: the contract does not show it.
            let shown_until = message.created_at.plus(Token::TTL_MINUTES_SHOWN * Micros::MINUTE);
            let shown = message.secret.as_ref().filter(|_| *expires_at <= shown_until);
            let value = shown.map(|value| value.reveal_with(str::to_owned));
            object
                .with("customerId", customer_id.to_string())
                .with("expiresAt", expires_at.iso())
                .with_some("value", value)
                .with("invalidateOlderTokens", *invalidate_older_tokens)
        }
        // Of another contract: no page of messages shows them, and their secrets are for mail alone.
        Content::CustomerWelcomed { expires_at } | Content::VerificationCodeCreated { expires_at, .. } => {
            object.with("expiresAt", expires_at.iso())
        }
        Content::CustomerEmailVerified => object,
        Content::CustomerEmailChanged => {
            object.with_some("email", personal?.email.clone()).with_some("oldEmail", personal?.old_email.clone())
        }
        Content::CustomerExternalIdSet => object.with_some("externalId", personal?.value.clone()),
        Content::CustomerStoresSet => object
            .with("stores", stores(personal?.stores.as_deref().unwrap_or_default()))
            .with("oldStores", stores(personal?.old_stores.as_deref().unwrap_or_default())),
        Content::CustomerFirstNameSet => object.with_some("firstName", personal?.value.clone()),
        Content::CustomerLastNameSet => object.with_some("lastName", personal?.value.clone()),
        Content::CustomerTitleSet => object.with_some("title", personal?.value.clone()),
        Content::CustomerCompanyNameSet => object.with_some("companyName", personal?.value.clone()),
        Content::CustomerDateOfBirthSet => object.with_some("dateOfBirth", personal?.value.clone()),
        Content::CustomerAddressAdded
        | Content::CustomerShippingAddressAdded
        | Content::CustomerShippingAddressRemoved
        | Content::CustomerBillingAddressAdded
        | Content::CustomerBillingAddressRemoved
        | Content::CustomerDefaultShippingAddressSet
        | Content::CustomerDefaultBillingAddressSet => {
            object.with_some("address", personal?.address.as_ref().map(address))
        }
        Content::CustomerAddressChanged { roles } | Content::CustomerAddressRemoved { roles } => object
            .with_some("address", personal?.address.as_ref().map(address))
            .with("addressRoles", role_names(*roles)),
        // The address is optional here, and the fact itself must be heard: erasing is no reason to keep silent.
        Content::CustomerDeleted { .. } => {
            object.with_some("email", personal.ok().and_then(|personal| personal.email.clone()))
        }
    })
}

fn role_names(roles: AddressRoles) -> Vec<&'static str> {
    let names = [(roles.shipping, "Shipping"), (roles.billing, "Billing")];
    names.into_iter().filter_map(|(is_used, name)| is_used.then_some(name)).collect()
}

/// `resource`: `{typeId, id}`.
pub fn resource(resource_type: ResourceType, id: uuid::Uuid) -> Value {
    json!({"typeId": resource_type.as_str(), "id": id.hyphenated().to_string()})
}

/// A message as `/messages` shows it (commercetools.md 5.1). What was erased is left out.
pub fn message(message: &Message) -> Value {
    let by = initiator(&message.initiator());
    let names = message.personal.as_ref().and_then(|personal| identifiers(&personal.identifiers));
    Object::default()
        .with("id", message.id.to_string())
        .with("version", 1)
        .with("sequenceNumber", message.sequence)
        .with("resource", resource(message.facts.content.resource_type(), message.resource_id))
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

#[cfg(test)]
mod tests;
