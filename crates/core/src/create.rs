//! Create a customer (commercetools.md 2.2).

use crate::credential::{AuthenticationMode, PasswordHash};
use crate::customer::{Address, Claims, Customer, CustomerNumber, Mobile, Profile};
use crate::id::{CustomerId, Key, Reference};
use crate::initiator::Initiator;
use crate::message::{Content, Flow, NewMessage};
use crate::refusal::UniqueField;
use crate::shop::Known;
use crate::{Ctx, Refusal};

/// A draft whose form was checked by the dialect. The password was hashed before the decision.
#[derive(Clone)]
pub struct Command {
    /// As typed; not empty.
    pub email: String,
    /// The caller's key.
    pub key: Option<Key>,
    /// The id in another system.
    pub external_id: Option<String>,
    /// The customer number.
    pub customer_number: Option<String>,
    /// The mobile number.
    pub mobile: Option<Mobile>,
    /// The stores that it will belong to. Empty: a global customer.
    pub stores: Vec<Reference>,
    /// Who checks the password.
    pub authentication_mode: AuthenticationMode,
    /// Whether the address is known to be the customer's.
    pub is_email_verified: bool,
    /// Descriptive fields; the ids of the addresses are made here, see [`AddressUse`].
    pub profile: Profile,
    /// How the addresses are used, by index.
    pub addresses: AddressUse,
    /// Who asks.
    pub by: Initiator,
}

impl Command {
    /// The values that the new customer would keep from others, or the refusal of a store that is not known.
    pub fn claims(&self, known: &Known) -> Result<Claims, Refusal> {
        Ok(Claims {
            email: self.email.clone(),
            stores: known.resolve(&self.stores)?,
            key: self.key.clone(),
            customer_number: self.customer_number.clone(),
            mobile: self.mobile.clone(),
        })
    }
}

/// Indices into the draft's addresses. The dialect has checked that they exist.
#[derive(Clone, Default)]
pub struct AddressUse {
    /// Default shipping address.
    pub default_shipping: Option<usize>,
    /// Default billing address.
    pub default_billing: Option<usize>,
    /// Shipping addresses.
    pub shipping: Vec<usize>,
    /// Billing addresses.
    pub billing: Vec<usize>,
}

/// What one transaction must write.
pub struct Created {
    /// The new customer, version 1.
    pub customer: Customer,
    /// Its hash, in Password mode.
    pub hash: Option<PasswordHash>,
    /// Key for the personal side rows of this customer.
    pub data_key: [u8; 32],
    /// The fact.
    pub message: NewMessage,
}

impl Created {
    /// Gives the customer another number, where the one that chance has chosen is taken.
    pub fn renumber(&mut self, number: CustomerNumber) {
        if let Some(told) = &mut self.message.personal.customer {
            told.number = number.clone();
        }
        self.customer.number = number;
    }
}

/// Decides. `known` are the stores that the command may name, `taken` is the first of its [`Claims`] that another
/// customer of the project has; both seen under the same transaction.
pub fn decide(
    command: &Command,
    known: &Known,
    taken: Option<UniqueField>,
    hash: Option<PasswordHash>,
    ctx: &mut Ctx,
) -> Result<Created, Refusal> {
    let stores = known.resolve(&command.stores)?;
    if let Some(field) = taken {
        return Err(Refusal::Duplicate(field));
    }
    let hash = hash.filter(|_| command.authentication_mode == AuthenticationMode::Password);
    let mut customer = Customer {
        id: CustomerId::new(ctx),
        number: CustomerNumber::new(ctx),
        version: 1,
        last_sequence: 0,
        created_at: ctx.now,
        last_modified_at: ctx.now,
        created_by: command.by.clone(),
        last_modified_by: command.by.clone(),
        email: command.email.clone(),
        key: command.key.clone(),
        external_id: command.external_id.clone(),
        customer_number: command.customer_number.clone(),
        mobile: command.mobile.clone(),
        authentication_mode: command.authentication_mode,
        is_email_verified: command.is_email_verified,
        password_tail: hash.as_ref().map(PasswordHash::tail),
        stores,
        profile: with_address_ids(&command.profile, &command.addresses, ctx),
    };
    let data_key = ctx.bytes();
    let mut message =
        NewMessage::about_customer(&mut customer, Content::CustomerCreated, Flow::Create, &command.by, ctx);
    message.personal.customer = Some(Box::new(customer.clone()));
    Ok(Created { customer, hash, data_key, message })
}

fn with_address_ids(profile: &Profile, used: &AddressUse, ctx: &mut Ctx) -> Profile {
    let mut profile = profile.clone();
    for address in std::mem::take(&mut profile.addresses) {
        let id = Address::fresh_id(&profile.addresses, ctx);
        profile.addresses.push(Address { id, ..address });
    }
    let ids: Vec<String> = profile.addresses.iter().map(|address| address.id.clone()).collect();
    let id = |index: &usize| ids.get(*index).cloned();
    profile.default_shipping_address_id = used.default_shipping.as_ref().and_then(id);
    profile.default_billing_address_id = used.default_billing.as_ref().and_then(id);
    profile.shipping_address_ids =
        with_default(used.shipping.iter().filter_map(id), profile.default_shipping_address_id.as_ref());
    profile.billing_address_ids =
        with_default(used.billing.iter().filter_map(id), profile.default_billing_address_id.as_ref());
    profile
}

/// A default address is also one of the addresses of its kind.
fn with_default(ids: impl Iterator<Item = String>, default: Option<&String>) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    for id in ids.chain(default.cloned()) {
        if !all.contains(&id) {
            all.push(id);
        }
    }
    all
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::Micros;

    fn command() -> Command {
        Command {
            email: "Jo@Example.com".into(),
            key: None,
            external_id: None,
            customer_number: None,
            mobile: None,
            stores: Vec::new(),
            authentication_mode: AuthenticationMode::Password,
            is_email_verified: false,
            profile: Profile::default(),
            addresses: AddressUse::default(),
            by: Initiator::default(),
        }
    }

    /// A customer as `decide` makes it.
    pub(crate) fn customer() -> Customer {
        decide(&command(), &Known::default(), None, None, &mut Ctx::new(Micros(5_000_000), [1; 32]))
            .ok()
            .unwrap()
            .customer
    }

    #[test]
    fn the_first_message_is_number_one_and_shows_what_was_created() {
        let hash = PasswordHash::parse("$argon2id$v=19$m=8,t=1,p=1$AAAA$aGg=").unwrap();
        let created =
            decide(&command(), &Known::default(), None, Some(hash), &mut Ctx::new(Micros(5), [1; 32])).ok().unwrap();
        assert_eq!((created.customer.version, created.customer.last_sequence, created.message.sequence), (1, 1, 1));
        assert_eq!(created.customer.password_tail.as_deref(), Some("aGg="));
        assert_eq!(created.message.personal.customer.as_deref(), Some(&created.customer));
    }

    #[test]
    fn external_authentication_keeps_no_password() {
        let command = Command { authentication_mode: AuthenticationMode::ExternalAuth, ..command() };
        let hash = PasswordHash::parse("$x$y").unwrap();
        let created =
            decide(&command, &Known::default(), None, Some(hash), &mut Ctx::new(Micros(5), [1; 32])).ok().unwrap();
        assert!(created.hash.is_none());
        assert_eq!(created.customer.password_tail, None);
    }

    #[test]
    fn addresses_get_ids_and_keep_their_uses() {
        let mut command = command();
        command.profile.addresses = vec![Address { country: "DE".into(), ..Address::default() }; 2];
        command.addresses = AddressUse { default_shipping: Some(1), shipping: vec![0], ..AddressUse::default() };
        let profile = decide(&command, &Known::default(), None, None, &mut Ctx::new(Micros(5), [1; 32]))
            .ok()
            .unwrap()
            .customer
            .profile;
        let ids: Vec<_> = profile.addresses.iter().map(|address| address.id.clone()).collect();
        assert_ne!(ids[0], ids[1]);
        assert_eq!(profile.default_shipping_address_id.as_ref(), Some(&ids[1]));
        assert_eq!(profile.shipping_address_ids, ids);
        assert!(profile.billing_address_ids.is_empty());
    }

    #[test]
    fn stores_are_resolved_and_named_once() {
        let shop: Key = "shop-a".parse().unwrap();
        let known = Known::from_iter([
            (Reference::Key("shop-a".into()), shop.clone()),
            (Reference::Id("7".into()), shop.clone()),
        ]);
        let stores = vec![Reference::Id("7".into()), Reference::Key("shop-a".into())];
        let command = Command { stores, ..command() };
        let ctx = &mut Ctx::new(Micros(5), [1; 32]);
        let created = decide(&command, &known, None, None, ctx).ok().unwrap().customer;
        assert_eq!(created.stores, [shop]);
        assert_eq!(command.claims(&known).unwrap(), created.claims());
        let refused = decide(&command, &Known::default(), None, None, ctx).err().unwrap();
        assert!(matches!(refused, Refusal::ReferenceNotFound { .. }));
    }

    #[test]
    fn a_taken_value_is_refused_by_its_field() {
        let refused =
            decide(&command(), &Known::default(), Some(UniqueField::Email), None, &mut Ctx::new(Micros(5), [1; 32]));
        assert_eq!(refused.err(), Some(Refusal::Duplicate(UniqueField::Email)));
    }
}
