//! Rules of single actions, then properties of any list of them.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::create::tests::customer;

const NOW: Micros = Micros(90_000_000);

fn hash() -> PasswordHash {
    PasswordHash::parse("$argon2id$v=19$m=8,t=1,p=1$AAAA$bmV3").unwrap()
}

fn shop(name: &str) -> Key {
    format!("shop-{name}").parse().unwrap()
}

fn found() -> Found {
    let known = ["a", "b", "c"].map(|name| (Reference::Key(name.to_owned()), shop(name)));
    Found { known: known.into_iter().collect(), taken: None }
}

fn by_key(key: &str) -> Reference {
    Reference::Key(key.to_owned())
}

fn address(key: &str, city: &str) -> Address {
    let fields = BTreeMap::from([("key".to_owned(), key.to_owned()), ("city".to_owned(), city.to_owned())]);
    Address { id: String::new(), country: "DE".into(), fields }
}

fn command(actions: Vec<Action>) -> Command {
    let by = Initiator { client_id: Some("c".into()), external_user_id: Some("agent".into()), ..Initiator::default() };
    Command { version: 1, actions, by }
}

fn update(customer: &Customer, actions: Vec<Action>) -> Result<Updated, Refusal> {
    let command = Command { version: customer.version, ..command(actions) };
    decide(customer, &command, &found(), Some(hash()), &mut Ctx::new(NOW, [4; 32]))
}

fn done(customer: &Customer, actions: Vec<Action>) -> Updated {
    update(customer, actions).ok().unwrap()
}

fn types(updated: &Updated) -> Vec<&'static str> {
    updated.messages.iter().map(|message| message.facts.content.type_name()).collect()
}

/// Two addresses, of which the first, `home`, is used for everything.
fn with_addresses() -> Customer {
    let everything = [AddressRole::Shipping, AddressRole::Billing];
    let mut actions = vec![Action::AddAddress(address("home", "Ulm")), Action::AddAddress(address("work", "Bonn"))];
    actions.extend(everything.map(|role| Action::SetDefaultAddress(role, Some(by_key("home")))));
    done(&customer(), actions).customer
}

#[test]
fn the_version_is_looked_at_first_even_with_nothing_to_do() {
    let stale = Command { version: 7, ..command(vec![]) };
    let refusal = decide(&customer(), &stale, &found(), None, &mut Ctx::new(NOW, [0; 32])).err().unwrap();
    assert!(matches!(refusal, Refusal::VersionMismatch { expected: 7, actual: 1, .. }));
    let bad = Command { version: 7, ..command(vec![Action::AddStore(by_key("nowhere"))]) };
    let refusal = admit(&customer(), &bad, &Known::default(), &Ctx::new(NOW, [0; 32])).err().unwrap();
    assert!(matches!(refusal, Refusal::VersionMismatch { .. }));
}

#[test]
fn five_hundred_actions_are_taken_and_one_more_is_not() {
    let names = |count: usize| (0..count).map(|n| Action::SetText(TextField::FirstName, Some(n.to_string()))).collect();
    let updated = done(&customer(), names(500));
    assert_eq!((updated.customer.version, updated.messages.len()), (2, 500));
    assert_eq!(update(&customer(), names(501)).err(), Some(Refusal::TooManyActions { limit: 500 }));
}

#[test]
fn another_address_is_not_verified_and_ends_tokens() {
    let before = Customer { is_email_verified: true, ..customer() };
    let updated = done(&before, vec![Action::ChangeEmail("new@example.com".into())]);
    assert!(updated.email_changed && updated.claims_changed && !updated.customer.is_email_verified);
    let personal = &updated.messages[0].personal;
    assert_eq!(personal.email.as_deref(), Some("new@example.com"));
    assert_eq!(personal.old_email.as_deref(), Some("Jo@Example.com"));
    let same = done(&before, vec![Action::ChangeEmail(before.email.clone())]);
    assert!(!same.changed && same.customer.is_email_verified);
}

#[test]
fn a_mode_changes_once_and_a_password_is_needed() {
    let mode = |mode, with_password| Action::SetAuthenticationMode { mode, with_password };
    let (password, external) = (AuthenticationMode::Password, AuthenticationMode::ExternalAuth);
    let before = Customer { password_tail: Some("aGg=".into()), ..customer() };
    assert_eq!(update(&before, vec![mode(password, true)]).err(), Some(Refusal::SameAuthenticationMode(password)));

    let outside = done(&before, vec![mode(external, true)]);
    assert!(outside.credential == CredentialChange::Remove && outside.messages.is_empty());
    assert_eq!((outside.customer.password_tail.as_deref(), outside.customer.version), (None, 2));

    assert_eq!(update(&outside.customer, vec![mode(password, false)]).err(), Some(Refusal::PasswordMissing));
    let back = done(&outside.customer, vec![mode(password, true)]);
    assert!(back.credential == CredentialChange::Set(hash()));
    assert_eq!(back.customer.password_tail.as_deref(), Some("bmV3"));

    let twice = command(vec![mode(password, true), mode(external, false), mode(password, true), Action::SetKey(None)]);
    assert_eq!(twice.password_action(), Some(2));
    assert_eq!(command(vec![mode(external, true)]).password_action(), None);
}

#[test]
fn a_customer_number_is_given_once() {
    let set = |number: &str| Action::SetCustomerNumber(Some(number.into()));
    let updated = done(&customer(), vec![set("K-1")]);
    assert!(updated.messages.is_empty() && updated.customer.version == 2);
    for again in [set("K-1"), set("K-2"), Action::SetCustomerNumber(None)] {
        assert_eq!(update(&updated.customer, vec![again]).err(), Some(Refusal::CustomerNumberIsSet));
    }
    assert!(!done(&customer(), vec![Action::SetCustomerNumber(None)]).changed);
}

#[test]
fn stores_are_replaced_with_a_message_and_added_without() {
    let set = done(&customer(), vec![Action::SetStores(vec![by_key("b"), by_key("a"), by_key("b")])]);
    assert_eq!(set.customer.stores, [shop("b"), shop("a")]);
    let personal = &set.messages[0].personal;
    assert_eq!(
        (personal.stores.as_deref(), personal.old_stores.as_deref()),
        (Some(&[shop("b"), shop("a")][..]), Some(&[][..]))
    );

    let more = done(&set.customer, vec![Action::AddStore(by_key("c")), Action::AddStore(by_key("a"))]);
    assert_eq!((more.customer.stores.len(), more.messages.len(), more.claims_changed), (3, 0, true));
    let none = ["a", "b", "c"].map(|name| Action::RemoveStore(by_key(name)));
    assert!(done(&more.customer, none.to_vec()).customer.is_global());

    let unknown = Refusal::ReferenceNotFound { of: Referenced::Store, by: by_key("z") };
    assert_eq!(update(&customer(), vec![Action::AddStore(by_key("z"))]).err(), Some(unknown));
}

#[test]
fn there_are_no_customer_groups() {
    let group = Reference::Id("g".into());
    let refusal = Refusal::ReferenceNotFound { of: Referenced::CustomerGroup, by: group.clone() };
    assert_eq!(update(&customer(), vec![Action::CustomerGroups(vec![group])]).err(), Some(refusal));
    assert!(!done(&customer(), vec![Action::CustomerGroups(vec![])]).changed);
}

#[test]
fn only_some_texts_have_a_message() {
    let all = [
        (TextField::FirstName, Some("CustomerFirstNameSet")),
        (TextField::LastName, Some("CustomerLastNameSet")),
        (TextField::MiddleName, None),
        (TextField::Title, Some("CustomerTitleSet")),
        (TextField::Salutation, None),
        (TextField::DateOfBirth, Some("CustomerDateOfBirthSet")),
        (TextField::CompanyName, Some("CustomerCompanyNameSet")),
        (TextField::VatId, None),
        (TextField::Locale, None),
    ];
    let mut told = Vec::new();
    for (field, message) in all {
        let updated = done(&customer(), vec![Action::SetText(field, Some("x".into()))]);
        assert_eq!((types(&updated), updated.customer.version), (message.into_iter().collect(), 2), "{field:?}");
        let removed = done(&updated.customer, vec![Action::SetText(field, None)]);
        assert_eq!((types(&removed), removed.customer.profile), (message.into_iter().collect(), Profile::default()));
        told.extend(removed.messages.into_iter().map(|message| message.personal.value));
    }
    assert_eq!(told, vec![None; 5]);
}

#[test]
fn a_default_address_has_the_role_and_loses_both_together() {
    let before = with_addresses();
    let home = before.profile.addresses[0].id.clone();
    assert_eq!(before.profile.role(AddressRole::Billing), (&[home.clone()][..], Some(&home)));

    let unset = done(&before, vec![Action::SetDefaultAddress(AddressRole::Shipping, None)]);
    assert_eq!(unset.customer.profile.role(AddressRole::Shipping), (&[home.clone()][..], None));
    assert_eq!(unset.messages[0].personal.address, None);

    let taken = done(&before, vec![Action::RemoveAddressRole(AddressRole::Billing, Reference::Id(home.clone()))]);
    assert_eq!(types(&taken), ["CustomerBillingAddressRemoved"]);
    assert_eq!(taken.customer.profile.role(AddressRole::Billing), (&[][..], None));
    assert_eq!(taken.customer.profile.role(AddressRole::Shipping).1, Some(&home));

    let gone = done(&before, vec![Action::RemoveAddress(by_key("home"))]);
    assert_eq!(gone.customer.profile.addresses.len(), 1);
    assert_eq!(gone.customer.profile.role(AddressRole::Shipping), (&[][..], None));
    let roles = AddressRoles { shipping: true, billing: true };
    assert_eq!(gone.messages[0].facts.content, Content::CustomerAddressRemoved { roles });
    assert_eq!(gone.messages[0].personal.address.as_ref(), Some(&before.profile.addresses[0]));
}

#[test]
fn a_changed_address_keeps_its_id() {
    let before = with_addresses();
    let updated = done(&before, vec![Action::ChangeAddress(by_key("work"), address("work", "Köln"))]);
    let (old, new) = (&before.profile.addresses[1], &updated.customer.profile.addresses[1]);
    assert_eq!((&new.id, new.fields["city"].as_str()), (&old.id, "Köln"));
    let roles = AddressRoles::default();
    assert_eq!(updated.messages[0].facts.content, Content::CustomerAddressChanged { roles });
    let gone = Refusal::AddressNotFound(by_key("nowhere"));
    assert_eq!(update(&before, vec![Action::RemoveAddress(by_key("nowhere"))]).err(), Some(gone));
}

#[test]
fn what_messages_repeat_has_a_limit() {
    let big = |city: &str| Action::ChangeAddress(by_key("home"), address("home", &city.repeat(1 << 20)));
    let actions = (0..20).map(|n| big(if n % 2 == 0 { "a" } else { "b" })).collect();
    assert_eq!(update(&with_addresses(), actions).err(), Some(Refusal::TooLarge));
    let many = vec![Action::AddAddress(address("k", "x")); 499];
    assert_eq!(update(&with_addresses(), many).err(), Some(Refusal::TooLarge));
}

#[test]
fn every_message_has_the_identifiers_of_the_end() {
    let actions = vec![
        Action::SetText(TextField::FirstName, Some("A".into())),
        Action::SetKey(Some("k-1".parse().unwrap())),
        Action::SetExternalId(Some("e-1".into())),
        Action::SetExternalId(Some("e-2".into())),
    ];
    let updated = done(&customer(), actions);
    assert_eq!(types(&updated), ["CustomerFirstNameSet", "CustomerExternalIdSet", "CustomerExternalIdSet"]);
    for message in &updated.messages {
        assert_eq!(message.personal.identifiers, updated.customer.identifiers());
        assert_eq!(message.personal.external_user_id.as_deref(), Some("agent"));
        assert_eq!(message.facts.by.external_user_id, None);
    }
    assert_eq!(updated.messages[1].personal.value.as_deref(), Some("e-1"));
}

#[test]
fn claims_are_those_of_the_end_and_a_taken_one_is_refused() {
    let actions = vec![Action::ChangeEmail("x@y".into()), Action::SetKey(Some("k-1".parse().unwrap()))];
    let command = command(actions);
    let ctx = &mut Ctx::new(NOW, [0; 32]);
    let claims = admit(&customer(), &command, &Known::default(), ctx).unwrap().unwrap();
    assert_eq!((claims.email.as_str(), claims.key.unwrap().as_str()), ("x@y", "k-1"));
    let taken = Found { taken: Some(UniqueField::Key), ..found() };
    let refused = decide(&customer(), &command, &taken, None, ctx).err();
    assert_eq!(refused, Some(Refusal::Duplicate(UniqueField::Key)));
    let names = self::command(vec![Action::SetText(TextField::Title, Some("Dr.".into()))]);
    assert_eq!(admit(&customer(), &names, &Known::default(), ctx), Ok(None));
}

fn any_action() -> impl Strategy<Value = Action> {
    let word = prop::option::of("[ab]");
    let role = prop_oneof![Just(AddressRole::Shipping), Just(AddressRole::Billing)];
    let which = prop_oneof![Just("home"), Just("work"), Just("new"), Just("none")].prop_map(by_key);
    let store = prop_oneof![Just("a"), Just("b"), Just("c"), Just("z")].prop_map(by_key);
    let field = prop_oneof![Just(TextField::FirstName), Just(TextField::Locale), Just(TextField::DateOfBirth)];
    prop_oneof![
        "[abc]@x".prop_map(Action::ChangeEmail),
        (any::<bool>(), any::<bool>()).prop_map(|(external, with_password)| {
            let mode = if external { AuthenticationMode::ExternalAuth } else { AuthenticationMode::Password };
            Action::SetAuthenticationMode { mode, with_password }
        }),
        prop::option::of("[a-c]{2}").prop_map(|key| Action::SetKey(key.map(|key| key.parse().unwrap()))),
        word.clone().prop_map(Action::SetExternalId),
        word.clone().prop_map(Action::SetCustomerNumber),
        prop::collection::vec(store.clone(), 0..4).prop_map(Action::SetStores),
        store.clone().prop_map(Action::AddStore),
        store.prop_map(Action::RemoveStore),
        (field, word).prop_map(|(field, value)| Action::SetText(field, value)),
        "[ab]".prop_map(|city| Action::AddAddress(address("new", &city))),
        (which.clone(), "[ab]").prop_map(|(which, city)| Action::ChangeAddress(which, address("work", &city))),
        which.clone().prop_map(Action::RemoveAddress),
        (role.clone(), prop::option::of(which.clone()))
            .prop_map(|(role, which)| Action::SetDefaultAddress(role, which)),
        (role.clone(), which.clone()).prop_map(|(role, which)| Action::AddAddressRole(role, which)),
        (role, which).prop_map(|(role, which)| Action::RemoveAddressRole(role, which)),
    ]
}

/// A customer with the ids of its addresses replaced by their places: those are drawn by chance.
fn without_chance(customer: &Customer) -> Customer {
    let ids: Vec<String> = customer.profile.addresses.iter().map(|address| address.id.clone()).collect();
    let place = |id: &String| ids.iter().position(|other| other == id).map_or("?".into(), |place| place.to_string());
    let mut customer = Customer { version: 0, last_sequence: 0, ..customer.clone() };
    let profile = &mut customer.profile;
    for address in &mut profile.addresses {
        address.id = place(&address.id);
    }
    for role in [AddressRole::Shipping, AddressRole::Billing] {
        let (list, default) = profile.role_mut(role);
        *default = default.as_ref().map(place);
        *list = list.iter().map(place).collect();
    }
    customer
}

/// Every id that is used exists, each once, and a default has its role.
fn is_sound(customer: &Customer) -> bool {
    let known: Vec<&String> = customer.profile.addresses.iter().map(|address| &address.id).collect();
    let once = |list: &[&String]| list.iter().enumerate().all(|(at, id)| !list[..at].contains(id));
    once(&known)
        && [AddressRole::Shipping, AddressRole::Billing].into_iter().all(|role| {
            let (ids, default) = customer.profile.role(role);
            let ids: Vec<&String> = ids.iter().collect();
            once(&ids) && ids.iter().all(|id| known.contains(id)) && default.is_none_or(|id| ids.contains(&id))
        })
}

proptest! {
    /// One command with many actions does what many commands with one action do, in the same order, and is refused
    /// where the first of them is; but it is one version, and all or nothing.
    #[test]
    fn all_at_once_is_one_after_the_other(actions in prop::collection::vec(any_action(), 0..12)) {
        let before = with_addresses();
        let mut one_by_one = Ok((before.clone(), Vec::new()));
        for action in &actions {
            one_by_one = one_by_one.and_then(|(customer, mut told)| {
                let updated = update(&customer, vec![action.clone()])?;
                told.extend(types(&updated));
                Ok((updated.customer, told))
            });
        }
        match (update(&before, actions), one_by_one) {
            (Ok(updated), Ok((after, told))) => {
                prop_assert_eq!(without_chance(&updated.customer), without_chance(&after));
                prop_assert_eq!(types(&updated), told);
                prop_assert!(is_sound(&updated.customer));
                prop_assert_eq!(updated.customer.version, before.version + i64::from(updated.changed));
                prop_assert!(updated.changed || updated.customer == before);
                prop_assert!(updated.changed || updated.messages.is_empty());
                for (place, message) in (1..).zip(&updated.messages) {
                    prop_assert_eq!(message.sequence, before.last_sequence + place);
                    prop_assert_eq!(message.resource_version, updated.customer.version);
                    prop_assert_eq!(message.created_at, NOW);
                }
                let told = i64::try_from(updated.messages.len()).unwrap();
                prop_assert_eq!(updated.customer.last_sequence, before.last_sequence + told);
            }
            (Err(at_once), Err(refusal)) => prop_assert_eq!(at_once, refusal),
            (at_once, one_by_one) => prop_assert!(false, "{:?} {:?}", at_once.err(), one_by_one.err()),
        }
    }

    /// Done twice is done once, except where the contract says otherwise.
    #[test]
    fn an_action_in_place_changes_nothing(action in any_action()) {
        let repeats = !matches!(
            action,
            Action::SetAuthenticationMode { .. } | Action::SetCustomerNumber(_) | Action::AddAddress(_)
                | Action::RemoveAddress(_) | Action::ChangeAddress(..)
        );
        if let (true, Ok(first)) = (repeats, update(&with_addresses(), vec![action.clone()])) {
            let second = done(&first.customer, vec![action]);
            prop_assert!(!second.changed && second.messages.is_empty());
            prop_assert_eq!(second.customer, first.customer);
        }
    }
}

#[test]
fn dates_are_days_that_there_are() {
    for (text, fits) in [
        ("1975-02-28", true),
        ("2024-02-29", true),
        ("2023-02-29", false),
        ("1975-2-28", false),
        ("1975-13-01", false),
        ("1975-02-28T", false),
        ("+975-02-28", false),
        ("", false),
    ] {
        assert_eq!(TextField::DateOfBirth.fits(text), fits, "{text}");
    }
}

#[test]
fn language_tags() {
    for (text, fits) in
        [("de", true), ("de-AT", true), ("zh-Hant-TW", true), ("d", false), ("de_AT", false), ("", false)]
    {
        assert_eq!(TextField::Locale.fits(text), fits, "{text}");
    }
}
