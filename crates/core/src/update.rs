//! Change a customer's own fields (commercetools.md 2.5).
//!
//! A command is a list of actions that are applied one after the other, all or none. Whatever the list does, the
//! customer moves by one version; each action that changes something and has a message (commercetools.md 7.3 names
//! those that have none) leaves it, in the order of the actions. An action that finds its outcome in place changes
//! nothing, and a command of such actions leaves the customer as it is.

use crate::change::check_version;
use crate::credential::{AuthenticationMode, PasswordHash};
use crate::customer::{Address, AddressRole, Claims, Customer, Profile, Version};
use crate::id::{Key, Reference};
use crate::initiator::Initiator;
use crate::message::{AddressRoles, Content, Flow, NewMessage, Personal};
use crate::project::LanguageTag;
use crate::refusal::{Referenced, UniqueField};
use crate::shop::Known;
use crate::{Ctx, Micros, Refusal};

#[cfg(test)]
mod tests;

/// One change. The dialect has checked the form of its values.
#[derive(Clone, PartialEq, Eq)]
#[cfg_attr(test, derive(Debug))]
pub enum Action {
    /// Another e-mail address, which is not verified.
    ChangeEmail(String),
    /// Another way to sign in. The password itself is hashed before the decision: see [`Command::password_action`].
    SetAuthenticationMode {
        /// The mode; not the one that the customer has.
        mode: AuthenticationMode,
        /// Whether a password came with it; needed for [`AuthenticationMode::Password`].
        with_password: bool,
    },
    /// Sets or removes the key.
    SetKey(Option<Key>),
    /// Sets or removes the id in another system.
    SetExternalId(Option<String>),
    /// Sets the customer number, once.
    SetCustomerNumber(Option<String>),
    /// Replaces the stores. Empty: a global customer.
    SetStores(Vec<Reference>),
    /// One store more.
    AddStore(Reference),
    /// One store less; without the last one it becomes a global customer.
    RemoveStore(Reference),
    /// Sets or removes a descriptive text.
    SetText(TextField, Option<String>),
    /// One address more; it gets an id of its own.
    AddAddress(Address),
    /// Replaces all of an address but its id.
    ChangeAddress(Reference, Address),
    /// One address less, with its roles.
    RemoveAddress(Reference),
    /// Sets the default address of a role, which gives it the role as well, or unsets it.
    SetDefaultAddress(AddressRole, Option<Reference>),
    /// Gives an address a role.
    AddAddressRole(AddressRole, Reference),
    /// Takes a role from an address; it is then not the default one either.
    RemoveAddressRole(AddressRole, Reference),
    /// Any action on customer groups, with the groups that it names. There are none here: to name one is refused.
    CustomerGroups(Vec<Reference>),
}

/// A descriptive text of a customer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TextField {
    /// First name.
    FirstName,
    /// Last name.
    LastName,
    /// Middle name.
    MiddleName,
    /// Title.
    Title,
    /// Salutation.
    Salutation,
    /// Date of birth, `YYYY-MM-DD`.
    DateOfBirth,
    /// Company.
    CompanyName,
    /// VAT id.
    VatId,
    /// IETF language tag.
    Locale,
}

impl TextField {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::FirstName,
        Self::LastName,
        Self::MiddleName,
        Self::Title,
        Self::Salutation,
        Self::DateOfBirth,
        Self::CompanyName,
        Self::VatId,
        Self::Locale,
    ];

    /// The contract's name of it.
    pub fn name(self) -> &'static str {
        match self {
            Self::FirstName => "firstName",
            Self::LastName => "lastName",
            Self::MiddleName => "middleName",
            Self::Title => "title",
            Self::Salutation => "salutation",
            Self::DateOfBirth => "dateOfBirth",
            Self::CompanyName => "companyName",
            Self::VatId => "vatId",
            Self::Locale => "locale",
        }
    }

    /// Its greatest length in characters. Names are indexed, so theirs is less.
    pub fn chars_max(self) -> usize {
        match self {
            Self::FirstName | Self::LastName => 256,
            _ => Address::TEXT_CHARS_MAX,
        }
    }

    /// Whether a text has the form that this one must have.
    pub fn fits(self, text: &str) -> bool {
        match self {
            Self::DateOfBirth => is_date(text),
            Self::Locale => LanguageTag::is_one(text),
            _ => true,
        }
    }

    /// The text, as a customer has it.
    pub fn get(self, profile: &Profile) -> Option<&String> {
        match self {
            Self::FirstName => &profile.first_name,
            Self::LastName => &profile.last_name,
            Self::MiddleName => &profile.middle_name,
            Self::Title => &profile.title,
            Self::Salutation => &profile.salutation,
            Self::DateOfBirth => &profile.date_of_birth,
            Self::CompanyName => &profile.company_name,
            Self::VatId => &profile.vat_id,
            Self::Locale => &profile.locale,
        }
        .as_ref()
    }

    /// The place of the text in a profile.
    pub fn of(self, profile: &mut Profile) -> &mut Option<String> {
        match self {
            Self::FirstName => &mut profile.first_name,
            Self::LastName => &mut profile.last_name,
            Self::MiddleName => &mut profile.middle_name,
            Self::Title => &mut profile.title,
            Self::Salutation => &mut profile.salutation,
            Self::DateOfBirth => &mut profile.date_of_birth,
            Self::CompanyName => &mut profile.company_name,
            Self::VatId => &mut profile.vat_id,
            Self::Locale => &mut profile.locale,
        }
    }

    fn message(self) -> Option<Content> {
        match self {
            Self::FirstName => Some(Content::CustomerFirstNameSet),
            Self::LastName => Some(Content::CustomerLastNameSet),
            Self::Title => Some(Content::CustomerTitleSet),
            Self::DateOfBirth => Some(Content::CustomerDateOfBirthSet),
            Self::CompanyName => Some(Content::CustomerCompanyNameSet),
            Self::MiddleName | Self::Salutation | Self::VatId | Self::Locale => None,
        }
    }
}

/// `YYYY-MM-DD`, a day that there is.
fn is_date(text: &str) -> bool {
    let shaped = text.len() == 10
        && text
            .bytes()
            .enumerate()
            .all(|(at, byte)| if at == 4 || at == 7 { byte == b'-' } else { byte.is_ascii_digit() });
    shaped && Micros::parse_iso(&format!("{text}T00:00:00Z")).is_some()
}

/// What the caller asks for.
#[derive(Clone)]
pub struct Command {
    /// The version that the caller read.
    pub version: Version,
    /// One after the other; all or nothing.
    pub actions: Vec<Action>,
    /// Who asks.
    pub by: Initiator,
}

impl Command {
    /// Most actions of one command (commercetools.md 2.5).
    pub const ACTIONS_MAX: usize = 500;

    /// The action whose password the customer has afterwards: of several, only this one is worth hashing.
    pub fn password_action(&self) -> Option<usize> {
        let sets = |action: &Action| {
            matches!(action, Action::SetAuthenticationMode { mode: AuthenticationMode::Password, with_password: true })
        };
        self.actions.iter().rposition(sets)
    }

    /// Whether an action changes how the customer signs in, or its password.
    pub fn concerns_credential(&self) -> bool {
        self.actions.iter().any(|action| matches!(action, Action::SetAuthenticationMode { .. }))
    }

    /// The stores that the actions name: to be looked up before the decision.
    pub fn stores(&self) -> Vec<Reference> {
        let mut named: Vec<Reference> = Vec::new();
        for action in &self.actions {
            match action {
                Action::SetStores(stores) => named.extend(stores.iter().cloned()),
                Action::AddStore(store) | Action::RemoveStore(store) => named.push(store.clone()),
                _ => {}
            }
        }
        named.sort();
        named.dedup();
        named
    }
}

/// What the transaction found about the values that a command names.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// The stores.
    pub known: Known,
    /// The first of the [`Claims`] that [`admit`] told of which another customer of the project has.
    pub taken: Option<UniqueField>,
}

/// What becomes of the stored hash.
#[derive(Clone, PartialEq, Eq)]
pub enum CredentialChange {
    /// It stays.
    Keep,
    /// It is replaced. All password tokens and all sessions of the customer end.
    Set(PasswordHash),
    /// It goes. All password tokens and all sessions of the customer end.
    Remove,
}

/// What one transaction must write.
pub struct Updated {
    /// The customer after the change, one version further; or as it was.
    pub customer: Customer,
    /// Whether there is anything to write.
    pub changed: bool,
    /// What becomes of its password.
    pub credential: CredentialChange,
    /// The e-mail address is another one. All tokens of either kind end: they were handed to the old address, and prove
    /// nothing about the new one.
    pub email_changed: bool,
    /// Whether its [`Claims`] on an e-mail address are others.
    pub claims_changed: bool,
    /// The facts, in the order of the actions.
    pub messages: Vec<NewMessage>,
}

/// All that can be refused before any hashing and before other customers are looked at. Answers the values that the
/// customer would keep from others afterwards, if they are not those that it keeps already.
pub fn admit(customer: &Customer, command: &Command, known: &Known, ctx: &Ctx) -> Result<Option<Claims>, Refusal> {
    let draft = Draft::apply(customer, command, known, &mut ctx.clone())?;
    let claims = draft.customer.claims();
    Ok((claims != customer.claims()).then_some(claims))
}

/// The customer as it would be afterwards, but for its version: to say elsewhere what becomes another one.
pub fn outcome(customer: &Customer, command: &Command, known: &Known, ctx: &Ctx) -> Result<Customer, Refusal> {
    Ok(Draft::apply(customer, command, known, &mut ctx.clone())?.customer)
}

/// Decides on the locked customer. `hash` is that of the password of [`Command::password_action`].
pub fn decide(
    customer: &Customer,
    command: &Command,
    found: &Found,
    hash: Option<PasswordHash>,
    ctx: &mut Ctx,
) -> Result<Updated, Refusal> {
    let draft = Draft::apply(customer, command, &found.known, ctx)?;
    if let Some(field) = found.taken {
        return Err(Refusal::Duplicate(field));
    }
    let credential = match draft.password {
        PasswordChange::Keep => CredentialChange::Keep,
        PasswordChange::Set => CredentialChange::Set(hash.ok_or(Refusal::PasswordMissing)?),
        PasswordChange::Remove => CredentialChange::Remove,
    };
    let Draft { customer: mut after, changed, events, .. } = draft;
    match &credential {
        CredentialChange::Keep => {}
        CredentialChange::Set(hash) => after.password_tail = Some(hash.tail()),
        CredentialChange::Remove => after.password_tail = None,
    }
    if changed {
        after.touch(ctx.now, &command.by);
    }
    // Only now: every message carries the version and the identifiers that the customer has after the whole command.
    let mut messages = Vec::with_capacity(events.len());
    for Event { content, personal } in events {
        let mut message = NewMessage::about_customer(&mut after, content, Flow::Update, &command.by, ctx);
        // Who hears that the address has changed is the one who had it.
        if let (Some(mail), Some(old)) = (&mut message.for_mail, &personal.old_email) {
            mail.to.email.clone_from(old);
        }
        // Whoever listens to a store hears that the customer has left it.
        let left = personal.old_stores.iter().flatten().filter(|store| !after.stores.contains(store));
        message.facts.stores.extend(left.cloned());
        let Personal { identifiers, external_user_id, anonymous_id, .. } = message.personal;
        message.personal = Personal { identifiers, external_user_id, anonymous_id, ..personal };
        messages.push(message);
    }
    Ok(Updated {
        changed,
        credential,
        email_changed: after.email != customer.email,
        claims_changed: after.email != customer.email || after.stores != customer.stores,
        messages,
        customer: after,
    })
}

/// A fact that is not yet a message.
struct Event {
    content: Content,
    personal: Personal,
}

enum PasswordChange {
    Keep,
    Set,
    Remove,
}

/// A customer on its way through the actions.
struct Draft<'a> {
    customer: Customer,
    changed: bool,
    password: PasswordChange,
    events: Vec<Event>,
    known: &'a Known,
    /// Bytes of the addresses in `events`.
    bytes: usize,
}

impl<'a> Draft<'a> {
    /// What an update's messages may hold of addresses, and a customer of its own: the contract's limit of a document.
    const BYTES_MAX: usize = 16 << 20;

    fn apply(customer: &Customer, command: &Command, known: &'a Known, ctx: &mut Ctx) -> Result<Self, Refusal> {
        if command.actions.len() > Command::ACTIONS_MAX {
            return Err(Refusal::TooManyActions { limit: Command::ACTIONS_MAX });
        }
        check_version(customer, command.version)?;
        let customer = customer.clone();
        let mut draft =
            Draft { customer, changed: false, password: PasswordChange::Keep, events: Vec::new(), known, bytes: 0 };
        for action in &command.actions {
            draft.act(action, ctx)?;
        }
        let own: usize = draft.customer.profile.addresses.iter().map(Address::bytes).sum();
        if own > Self::BYTES_MAX { Err(Refusal::TooLarge) } else { Ok(draft) }
    }

    fn act(&mut self, action: &Action, ctx: &mut Ctx) -> Result<(), Refusal> {
        match action {
            Action::ChangeEmail(email) => self.change_email(email),
            Action::SetAuthenticationMode { mode, with_password } => return self.set_mode(*mode, *with_password),
            Action::SetKey(key) => self.changed |= put(&mut self.customer.key, key),
            Action::SetExternalId(id) => {
                if put(&mut self.customer.external_id, id) {
                    self.tell(Content::CustomerExternalIdSet, Personal { value: id.clone(), ..Personal::default() });
                }
            }
            Action::SetCustomerNumber(number) => {
                if self.customer.customer_number.is_some() {
                    return Err(Refusal::CustomerNumberIsSet);
                }
                self.changed |= put(&mut self.customer.customer_number, number);
            }
            Action::SetStores(stores) => self.set_stores(self.known.resolve(stores)?),
            Action::AddStore(store) => return self.add_store(self.known.key(store)?),
            Action::RemoveStore(store) => {
                let (key, before) = (self.known.key(store)?, self.customer.stores.len());
                self.customer.stores.retain(|other| *other != key);
                self.changed |= self.customer.stores.len() != before;
            }
            Action::SetText(field, value) => {
                if put(field.of(&mut self.customer.profile), value) {
                    self.changed = true;
                    if let Some(content) = field.message() {
                        self.tell(content, Personal { value: value.clone(), ..Personal::default() });
                    }
                }
            }
            Action::CustomerGroups(groups) => {
                if let Some(group) = groups.first() {
                    return Err(Refusal::ReferenceNotFound { of: Referenced::CustomerGroup, by: group.clone() });
                }
            }
            Action::AddAddress(address) => return self.add_address(address, ctx),
            Action::ChangeAddress(which, address) => return self.change_address(which, address),
            Action::RemoveAddress(which) => return self.remove_address(which),
            Action::SetDefaultAddress(role, which) => return self.set_default_address(*role, which.as_ref()),
            Action::AddAddressRole(role, which) => return self.add_role(*role, which),
            Action::RemoveAddressRole(role, which) => return self.remove_role(*role, which),
        }
        Ok(())
    }

    fn tell(&mut self, content: Content, personal: Personal) {
        self.changed = true;
        self.events.push(Event { content, personal });
    }

    fn change_email(&mut self, email: &str) {
        if self.customer.email == email {
            return;
        }
        let old = std::mem::replace(&mut self.customer.email, email.to_owned());
        self.customer.is_email_verified = false;
        let personal = Personal { email: Some(email.to_owned()), old_email: Some(old), ..Personal::default() };
        self.tell(Content::CustomerEmailChanged, personal);
    }

    fn set_mode(&mut self, mode: AuthenticationMode, with_password: bool) -> Result<(), Refusal> {
        if self.customer.authentication_mode == mode {
            return Err(Refusal::SameAuthenticationMode(mode));
        }
        self.password = match mode {
            AuthenticationMode::Password if with_password => PasswordChange::Set,
            AuthenticationMode::Password => return Err(Refusal::PasswordMissing),
            AuthenticationMode::ExternalAuth => PasswordChange::Remove,
        };
        self.customer.authentication_mode = mode;
        self.changed = true;
        Ok(())
    }

    fn set_stores(&mut self, stores: Vec<Key>) {
        if self.customer.stores != stores {
            let old = std::mem::replace(&mut self.customer.stores, stores.clone());
            let personal = Personal { stores: Some(stores), old_stores: Some(old), ..Personal::default() };
            self.tell(Content::CustomerStoresSet, personal);
        }
    }

    fn add_store(&mut self, store: Key) -> Result<(), Refusal> {
        if !self.customer.stores.contains(&store) {
            if self.customer.stores.len() >= Customer::STORES_MAX {
                return Err(Refusal::TooLarge);
            }
            self.customer.stores.push(store);
            self.changed = true;
        }
        Ok(())
    }
}

/// The actions on addresses.
impl Draft<'_> {
    fn address(&self, which: &Reference) -> Result<Address, Refusal> {
        let found = self.customer.profile.addresses.iter().find(|address| address.is(which));
        found.cloned().ok_or_else(|| Refusal::AddressNotFound(which.clone()))
    }

    /// A fact about an address. Many actions can name one large address: what their messages repeat has a limit.
    fn tell_address(&mut self, content: Content, address: Option<Address>) -> Result<(), Refusal> {
        self.bytes += address.as_ref().map_or(0, Address::bytes);
        if self.bytes > Self::BYTES_MAX {
            return Err(Refusal::TooLarge);
        }
        self.tell(content, Personal { address, ..Personal::default() });
        Ok(())
    }

    fn roles(&self, id: &String) -> AddressRoles {
        let has = |role| self.customer.profile.role(role).0.contains(id);
        AddressRoles { shipping: has(AddressRole::Shipping), billing: has(AddressRole::Billing) }
    }

    fn add_address(&mut self, address: &Address, ctx: &mut Ctx) -> Result<(), Refusal> {
        let addresses = &mut self.customer.profile.addresses;
        if addresses.len() >= Customer::ADDRESSES_MAX {
            return Err(Refusal::TooLarge);
        }
        let address = Address { id: Address::fresh_id(addresses, ctx), ..address.clone() };
        addresses.push(address.clone());
        self.tell_address(Content::CustomerAddressAdded, Some(address))
    }

    fn change_address(&mut self, which: &Reference, address: &Address) -> Result<(), Refusal> {
        let id = self.address(which)?.id;
        let address = Address { id, ..address.clone() };
        let slot = self.customer.profile.addresses.iter_mut().find(|other| other.id == address.id);
        if slot.is_some_and(|slot| put(slot, &address)) {
            let roles = self.roles(&address.id);
            self.tell_address(Content::CustomerAddressChanged { roles }, Some(address))?;
        }
        Ok(())
    }

    fn remove_address(&mut self, which: &Reference) -> Result<(), Refusal> {
        let address = self.address(which)?;
        let roles = self.roles(&address.id);
        self.customer.profile.addresses.retain(|other| other.id != address.id);
        for role in [AddressRole::Shipping, AddressRole::Billing] {
            self.forget(role, &address.id);
        }
        self.tell_address(Content::CustomerAddressRemoved { roles }, Some(address))
    }

    /// Takes a role from an address. False: it did not have it.
    fn forget(&mut self, role: AddressRole, id: &String) -> bool {
        let (ids, default) = self.customer.profile.role_mut(role);
        let before = ids.len();
        ids.retain(|other| other != id);
        if default.as_ref() == Some(id) {
            *default = None;
        }
        ids.len() != before
    }

    fn set_default_address(&mut self, role: AddressRole, which: Option<&Reference>) -> Result<(), Refusal> {
        let address = which.map(|which| self.address(which)).transpose()?;
        let id = address.as_ref().map(|address| address.id.clone());
        let (ids, default) = self.customer.profile.role_mut(role);
        if !put(default, &id) {
            return Ok(());
        }
        ids.extend(id.filter(|id| !ids.contains(id)));
        self.tell_address(Content::default_address_set(role), address)
    }

    fn add_role(&mut self, role: AddressRole, which: &Reference) -> Result<(), Refusal> {
        let address = self.address(which)?;
        let (ids, _) = self.customer.profile.role_mut(role);
        if ids.contains(&address.id) {
            return Ok(());
        }
        ids.push(address.id.clone());
        self.tell_address(Content::role_added(role), Some(address))
    }

    fn remove_role(&mut self, role: AddressRole, which: &Reference) -> Result<(), Refusal> {
        let address = self.address(which)?;
        if self.forget(role, &address.id) {
            self.tell_address(Content::role_removed(role), Some(address))?;
        }
        Ok(())
    }
}

/// Sets a value. False: it was set already.
fn put<T: Clone + PartialEq>(slot: &mut T, value: &T) -> bool {
    let differs = slot != value;
    if differs {
        slot.clone_from(value);
    }
    differs
}
