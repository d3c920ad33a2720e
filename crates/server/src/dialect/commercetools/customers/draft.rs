//! A CustomerDraft (commercetools.md 2.2), checked for its form.
//!
//! Accepted and ignored: `anonymousCart`, `anonymousCartId`, `anonymousId` (there are no carts here). Refused: references
//! to customer groups, of which there are none, and custom fields.

use keyherald_core::Refusal;
use keyherald_core::create::{AddressUse, Command};
use keyherald_core::credential::AuthenticationMode;
use keyherald_core::customer::{Address, Profile};
use keyherald_core::initiator::Initiator;
use keyherald_core::refusal::Referenced;
use keyherald_core::secret::Password;
use serde_json::Value;

use super::super::fields::{EMAIL_CHARS_MAX, Fields, INDEXED_CHARS_MAX};
use super::super::reply::{Named, Problem, refused};
use super::address::address;
use super::reference;
use super::text::texts;

/// The fields that customers cannot have set about themselves.
const NOT_ONE_S_OWN: [&str; 9] = [
    "authenticationMode",
    "billingAddresses",
    "customerGroup",
    "customerGroupAssignments",
    "customerNumber",
    "externalId",
    "isEmailVerified",
    "key",
    "shippingAddresses",
];

pub(super) const MODES: [(&str, AuthenticationMode); 2] =
    [("Password", AuthenticationMode::Password), ("ExternalAuth", AuthenticationMode::ExternalAuth)];

/// Reads a MyCustomerDraft: what it has not is ignored, like any unknown field.
pub fn read_own(mut body: Fields, by: &Initiator) -> Result<(Command, Option<Password>), Problem> {
    body.forget(&NOT_ONE_S_OWN);
    read(body, by)
}

/// Reads a CustomerDraft. The password is there in Password mode only.
pub fn read(mut body: Fields, by: &Initiator) -> Result<(Command, Option<Password>), Problem> {
    let email = email(&mut body)?;
    let authentication_mode = body.one_of("authenticationMode", &MODES)?.unwrap_or_default();
    let password = match authentication_mode {
        AuthenticationMode::Password => Some(body.new_password("password")?),
        AuthenticationMode::ExternalAuth => None,
    };
    let key = body.key("key")?;
    let customer_number = body.text("customerNumber", INDEXED_CHARS_MAX)?;
    let external_id = body.text("externalId", INDEXED_CHARS_MAX)?;
    let is_email_verified = body.boolean("isEmailVerified")?.unwrap_or(false);
    let profile = profile(&mut body)?;
    let addresses = address_use(&mut body, profile.addresses.len())?;
    let stores = reference::stores(&mut body)?;
    refuse_what_is_not_there(&mut body)?;
    let command = Command {
        email,
        key,
        external_id,
        customer_number,
        mobile: None,
        stores,
        authentication_mode,
        is_email_verified,
        profile,
        addresses,
        by: by.clone(),
    };
    Ok((command, password))
}

/// An e-mail address that a customer is to have: anything but nothing (commercetools.md 2.2).
pub fn email(body: &mut Fields) -> Result<String, Problem> {
    let email = body.required_text("email", EMAIL_CHARS_MAX)?;
    if email.trim().is_empty() { Err(Problem::invalid_field("email", &Value::from(email))) } else { Ok(email) }
}

fn profile(body: &mut Fields) -> Result<Profile, Problem> {
    let addresses = body.objects("addresses", Address::MANY_MAX)?;
    let addresses = addresses.into_iter().map(address).collect::<Result<_, _>>()?;
    Ok(Profile { addresses, ..texts(body)? })
}

/// Which of the addresses are used for what: indices, each of which must exist.
fn address_use(body: &mut Fields, addresses: usize) -> Result<AddressUse, Problem> {
    let index = |name: &str, value: i64| {
        let index = usize::try_from(value).ok().filter(|index| *index < addresses);
        index.ok_or_else(|| Problem::invalid_field(name, &Value::from(value)))
    };
    let mut one = |name: &str| body.integer(name)?.map(|value| index(name, value)).transpose();
    let (default_shipping, default_billing) = (one("defaultShippingAddress")?, one("defaultBillingAddress")?);
    let mut many = |name: &str| -> Result<Vec<usize>, Problem> {
        body.integers(name, Address::MANY_MAX)?.into_iter().map(|value| index(name, value)).collect()
    };
    let (shipping, billing) = (many("shippingAddresses")?, many("billingAddresses")?);
    Ok(AddressUse { default_shipping, default_billing, shipping, billing })
}

/// There are no customer groups here, and no custom fields.
fn refuse_what_is_not_there(body: &mut Fields) -> Result<(), Problem> {
    let group = reference::group(body)?;
    if let Some(group) = group.or(reference::groups(body)?.into_iter().next()) {
        return Err(refused(
            &Refusal::ReferenceNotFound { of: Referenced::CustomerGroup, by: group },
            &Named::default(),
        ));
    }
    if body.has("custom") {
        return Err(Problem::not_available("Custom fields are"));
    }
    Ok(())
}
