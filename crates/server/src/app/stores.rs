//! Stores.

use keyherald_core::id::{Key, ProjectKey, ShopId};
use keyherald_core::refusal::Lookup;
use keyherald_core::shop::{self, Command, Shop};
use keyherald_core::{Ctx, Refusal};
use keyherald_store::{Listing, Page, Tx, shop as shops};

use super::{Answer, App, Call};

/// How a store is named in a request path.
#[derive(Clone)]
pub enum StoreRef {
    /// By id.
    Id(ShopId),
    /// By key.
    Key(Key),
}

impl App {
    /// Makes a store.
    pub async fn create_store(&self, call: Call, command: Command) -> Answer<Shop> {
        let work = move |tx: &mut dyn Tx, ctx: &mut Ctx| {
            let taken = shops::by_key(tx, &call.project, &command.key)?.is_some();
            match shop::decide(&command, taken, ctx) {
                Ok(shop) => shops::insert(tx, &call.project, &shop, ctx).map(|()| Ok(shop)),
                Err(refusal) => Ok(Err(refusal)),
            }
        };
        Ok(self.store.write(&self.ctx(), work).await??)
    }

    /// The store that a path names.
    pub async fn store_of(&self, call: Call, which: StoreRef) -> Answer<Shop> {
        let not_found = Refusal::ShopNotFound(match which {
            StoreRef::Id(_) => Lookup::Id,
            StoreRef::Key(_) => Lookup::Key,
        });
        let found = self.store.read(move |tx| match &which {
            StoreRef::Id(id) => shops::by_id(tx, &call.project, *id),
            StoreRef::Key(key) => shops::by_key(tx, &call.project, key),
        });
        Ok(found.await?.ok_or(not_found)?)
    }

    /// Whether the project has a store with this key.
    pub async fn has_store(&self, project: ProjectKey, key: Key) -> Answer<bool> {
        Ok(self.store.read(move |tx| shops::by_key(tx, &project, &key)).await?.is_some())
    }

    /// A page of the project's stores.
    pub async fn stores(&self, call: Call, listing: Listing) -> Answer<Page<Shop>> {
        Ok(self.store.query(move |tx| shops::page(tx, &call.project, &listing)).await?)
    }
}
