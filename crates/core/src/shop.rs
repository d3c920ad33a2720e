//! Stores: the shops of a project (commercetools.md chapter 4). In code a store is a *shop*, because the crate that
//! remembers is called store; on the wire it is the contract's `store`.

use std::collections::BTreeMap;

use crate::Refusal;
use crate::ctx::{Ctx, Micros};
use crate::customer::{Customer, Version};
use crate::id::{Key, Reference, ShopId};
use crate::initiator::Initiator;
use crate::project::LanguageTag;
use crate::refusal::{Referenced, UniqueField};

/// A store as it stands. It is never changed or deleted here, so what refers to its key stays true.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shop {
    /// Its id.
    pub id: ShopId,
    /// Its key: what customers and scopes name it by.
    pub key: Key,
    /// Grows by one with every change.
    pub version: Version,
    /// When it was made.
    pub created_at: Micros,
    /// When it was changed last.
    pub last_modified_at: Micros,
    /// Who made it.
    pub created_by: Initiator,
    /// Who changed it last.
    pub last_modified_by: Initiator,
    /// Its name by language tag, for people.
    pub name: BTreeMap<String, String>,
    /// Languages that it is meant for. Only kept and shown.
    pub languages: Vec<LanguageTag>,
    /// Countries that it is meant for, as `DE`. Only kept and shown.
    pub countries: Vec<String>,
}

impl Shop {
    /// Countries that one may have.
    pub const COUNTRIES_MAX: usize = 500;
}

/// A draft whose form was checked by the dialect.
#[derive(Clone)]
pub struct Command {
    /// The caller's key.
    pub key: Key,
    /// Its name by language tag.
    pub name: BTreeMap<String, String>,
    /// Languages that it is meant for.
    pub languages: Vec<LanguageTag>,
    /// Countries that it is meant for, as `DE`.
    pub countries: Vec<String>,
    /// Who asks.
    pub by: Initiator,
}

/// Decides. `key_taken`: another store of the project has this key, seen under the same transaction.
pub fn decide(command: &Command, key_taken: bool, ctx: &mut Ctx) -> Result<Shop, Refusal> {
    if key_taken {
        return Err(Refusal::Duplicate(UniqueField::Key));
    }
    Ok(Shop {
        id: ShopId::new(ctx),
        key: command.key.clone(),
        version: 1,
        created_at: ctx.now,
        last_modified_at: ctx.now,
        created_by: command.by.clone(),
        last_modified_by: command.by.clone(),
        name: command.name.clone(),
        languages: command.languages.clone(),
        countries: command.countries.clone(),
    })
}

/// The stores that a command names, as far as they are there: looked up before the decision, because a decision looks
/// up nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known(BTreeMap<Reference, Key>);

impl FromIterator<(Reference, Key)> for Known {
    fn from_iter<I: IntoIterator<Item = (Reference, Key)>>(found: I) -> Self {
        Self(found.into_iter().collect())
    }
}

impl Known {
    /// Of these, only the store with this key.
    pub fn only(mut self, key: &Key) -> Self {
        self.0.retain(|_, known| known == key);
        self
    }

    /// The key of the store that `reference` names.
    pub fn key(&self, reference: &Reference) -> Result<Key, Refusal> {
        let unknown = || Refusal::ReferenceNotFound { of: Referenced::Store, by: reference.clone() };
        self.0.get(reference).cloned().ok_or_else(unknown)
    }

    /// The keys of these stores, each once, in the order in which they are named first.
    pub fn resolve(&self, references: &[Reference]) -> Result<Vec<Key>, Refusal> {
        let mut keys = Vec::new();
        for reference in references {
            let key = self.key(reference)?;
            if !keys.contains(&key) {
                keys.push(key);
            }
        }
        if keys.len() > Customer::STORES_MAX { Err(Refusal::TooLarge) } else { Ok(keys) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_given_once() {
        let command = Command {
            key: "a-1".parse().unwrap(),
            name: BTreeMap::new(),
            languages: vec!["de".parse().unwrap()],
            countries: vec!["DE".into()],
            by: Initiator::default(),
        };
        let ctx = &mut Ctx::new(Micros(7_000), [0; 32]);
        let shop = decide(&command, false, ctx).unwrap();
        assert_eq!((shop.version, shop.created_at, shop.key), (1, Micros(7_000), command.key.clone()));
        assert_eq!((shop.languages, shop.countries), (command.languages.clone(), command.countries.clone()));
        assert_eq!(decide(&command, true, ctx), Err(Refusal::Duplicate(UniqueField::Key)));
    }
}
