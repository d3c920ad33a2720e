//! Update actions (commercetools.md 2.5), read into [`Action`]s.

use keyherald_core::customer::AddressRole;
use keyherald_core::secret::Password;
use keyherald_core::update::{Action, TextField};

use super::super::fields::{Fields, INDEXED_CHARS_MAX};
use super::super::reply::Problem;
use super::address::{address, named, required};
use super::draft::{MODES, email};
use super::reference::{self, reference};
use super::text::text;

/// An action as it was read, with the password that came with it.
type Read = (Action, Option<Password>);

/// An action of the contract.
struct Known {
    name: &'static str,
    /// Whether customers can do it to themselves.
    own: bool,
    read: fn(&mut Fields) -> Result<Action, Problem>,
}

const fn own(name: &'static str, read: fn(&mut Fields) -> Result<Action, Problem>) -> Known {
    Known { name, own: true, read }
}

const fn of_others(name: &'static str, read: fn(&mut Fields) -> Result<Action, Problem>) -> Known {
    Known { name, own: false, read }
}

/// All of them.
static KNOWN: &[Known] = &[
    own("changeEmail", |body| email(body).map(Action::ChangeEmail)),
    of_others("setAuthenticationMode", set_authentication_mode),
    of_others("setKey", |body| body.key("key").map(Action::SetKey)),
    of_others("setExternalId", |body| body.text("externalId", INDEXED_CHARS_MAX).map(Action::SetExternalId)),
    of_others("setCustomerNumber", |body| {
        body.text("customerNumber", INDEXED_CHARS_MAX).map(Action::SetCustomerNumber)
    }),
    of_others("setStores", |body| {
        body.require("stores")?;
        reference::stores(body).map(Action::SetStores)
    }),
    of_others("addStore", |body| store(body).map(Action::AddStore)),
    of_others("removeStore", |body| store(body).map(Action::RemoveStore)),
    own("setFirstName", |body| set_text(body, TextField::FirstName)),
    own("setLastName", |body| set_text(body, TextField::LastName)),
    own("setMiddleName", |body| set_text(body, TextField::MiddleName)),
    own("setTitle", |body| set_text(body, TextField::Title)),
    own("setSalutation", |body| set_text(body, TextField::Salutation)),
    own("setDateOfBirth", |body| set_text(body, TextField::DateOfBirth)),
    own("setCompanyName", |body| set_text(body, TextField::CompanyName)),
    own("setVatId", |body| set_text(body, TextField::VatId)),
    own("setLocale", |body| set_text(body, TextField::Locale)),
    of_others("setCustomerGroup", |body| Ok(Action::CustomerGroups(reference::group(body)?.into_iter().collect()))),
    of_others("setCustomerGroupAssignments", |body| reference::groups(body).map(Action::CustomerGroups)),
    of_others("addCustomerGroupAssignment", |body| {
        let assignment = body.object("customerGroupAssignment")?;
        group(&mut assignment.ok_or_else(|| body.missing("customerGroupAssignment"))?)
    }),
    of_others("removeCustomerGroupAssignment", group),
    own("addAddress", |body| whole_address(body).map(Action::AddAddress)),
    own("changeAddress", |body| Ok(Action::ChangeAddress(required(body)?, whole_address(body)?))),
    own("removeAddress", |body| required(body).map(Action::RemoveAddress)),
    own("setDefaultShippingAddress", |body| Ok(Action::SetDefaultAddress(AddressRole::Shipping, named(body)?))),
    own("setDefaultBillingAddress", |body| Ok(Action::SetDefaultAddress(AddressRole::Billing, named(body)?))),
    own("addShippingAddressId", |body| Ok(Action::AddAddressRole(AddressRole::Shipping, required(body)?))),
    own("removeShippingAddressId", |body| Ok(Action::RemoveAddressRole(AddressRole::Shipping, required(body)?))),
    own("addBillingAddressId", |body| Ok(Action::AddAddressRole(AddressRole::Billing, required(body)?))),
    own("removeBillingAddressId", |body| Ok(Action::RemoveAddressRole(AddressRole::Billing, required(body)?))),
    own("setCustomType", |_| custom()),
    own("setCustomField", |_| custom()),
    of_others("setAddressCustomType", |_| custom()),
    of_others("setAddressCustomField", |_| custom()),
];

/// Reads the list of actions, of which customers themselves (`own`) have fewer. How many there may be is not decided
/// here: a stale version is told first.
pub fn read(body: &mut Fields, is_own: bool) -> Result<Vec<Read>, Problem> {
    body.require("actions")?;
    let actions = body.objects("actions", usize::MAX)?;
    actions.into_iter().map(|action| read_one(action, is_own)).collect()
}

fn read_one(mut body: Fields, is_own: bool) -> Result<Read, Problem> {
    let allowed = || KNOWN.iter().filter(|known| known.own || !is_own);
    let name = body.required_text("action", INDEXED_CHARS_MAX)?;
    let Some(known) = allowed().find(|known| known.name == name) else {
        return Err(body.unknown("action", &name, allowed().map(|known| known.name)));
    };
    let action = (known.read)(&mut body)?;
    let password = match action {
        Action::SetAuthenticationMode { with_password: true, .. } => Some(body.new_password("password")?),
        _ => None,
    };
    Ok((action, password))
}

/// A password that comes with another mode than `Password` is ignored, as on creation.
fn set_authentication_mode(body: &mut Fields) -> Result<Action, Problem> {
    let mode = body.one_of("authMode", &MODES)?.ok_or_else(|| body.missing("authMode"))?;
    Ok(Action::SetAuthenticationMode { mode, with_password: body.has("password") })
}

fn set_text(body: &mut Fields, field: TextField) -> Result<Action, Problem> {
    Ok(Action::SetText(field, text(body, field)?))
}

fn store(body: &mut Fields) -> Result<keyherald_core::id::Reference, Problem> {
    reference(body.object("store")?.ok_or_else(|| body.missing("store"))?, "store")
}

fn group(body: &mut Fields) -> Result<Action, Problem> {
    let group = reference::group(body)?.ok_or_else(|| body.missing("customerGroup"))?;
    Ok(Action::CustomerGroups(vec![group]))
}

fn whole_address(body: &mut Fields) -> Result<keyherald_core::customer::Address, Problem> {
    address(body.object("address")?.ok_or_else(|| body.missing("address"))?)
}

fn custom() -> Result<Action, Problem> {
    Err(Problem::not_available("Custom fields are"))
}
