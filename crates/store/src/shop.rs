//! Stores, the shops of a project.

use keyherald_core::Ctx;
use keyherald_core::filter::Kind;
use keyherald_core::id::{Key, ProjectKey, Reference, ShopId};
use keyherald_core::notice::NewChange;
use keyherald_core::shop::{Known, Shop};

use crate::filter::Column;
use crate::listing::Source;
use crate::tx::{Row, query_one};
use crate::{Fault, Listing, Page, Tx, Value, log, statements};

macro_rules! columns {
    () => {
        "id, key, version, created_at, last_modified_at, created_by, last_modified_by, name, languages, countries"
    };
}

macro_rules! selected {
    () => {
        concat!("SELECT ", columns!(), " FROM shop ")
    };
}

statements! {
    INSERT = "INSERT INTO shop (project, id, key, version, created_at, last_modified_at, created_by, last_modified_by, name,
                  languages, countries)
              VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)";
    BY_ID = (concat!(selected!(), "WHERE project = $1 AND id = $2"));
    BY_KEY = (concat!(selected!(), "WHERE project = $1 AND key = $2"));
    KEY_BY_ID = "SELECT key FROM shop WHERE project = $1 AND id = $2";
    KEY_BY_KEY = "SELECT key FROM shop WHERE project = $1 AND key = $2";
}

/// The fields by which stores can be filtered and sorted.
pub const QUERY_COLUMNS: &[Column] = &[
    Column::new("id", Kind::Text, "id").unique(),
    Column::new("key", Kind::Text, "key").unique(),
    Column::new("version", Kind::Integer, "version"),
    Column::new("createdAt", Kind::Instant, "created_at"),
    Column::new("lastModifiedAt", Kind::Instant, "last_modified_at"),
];

static LISTED: Source = Source {
    name: "shop::LISTED",
    selected: columns!(),
    from: "FROM shop WHERE project = $1",
    columns: QUERY_COLUMNS,
    counted_whole: true,
    creation: &["id"], // version 7 ids are in the order of their creation
};

/// A page of a project's stores.
pub fn page(tx: &mut dyn Tx, project: &ProjectKey, listing: &Listing) -> Result<Page<Shop>, Fault> {
    LISTED.page(tx, vec![project.into()], listing, read)
}

/// Writes a new store, and tells the change. Two with one key at once: the index refuses the second, which then finds the first.
pub fn insert(tx: &mut dyn Tx, project: &ProjectKey, shop: &Shop, ctx: &Ctx) -> Result<(), Fault> {
    let args = [
        project.into(),
        shop.id.into(),
        (&shop.key).into(),
        shop.version.into(),
        shop.created_at.into(),
        shop.last_modified_at.into(),
        Value::json(&shop.created_by)?,
        Value::json(&shop.last_modified_by)?,
        Value::json(&shop.name)?,
        Value::json(&shop.languages)?,
        Value::json(&shop.countries)?,
    ];
    tx.execute(&INSERT, &args)?;
    log::append_change(tx, project, &NewChange::of_shop(shop), ctx.trace.as_ref())
}

/// The store with this id.
pub fn by_id(tx: &mut dyn Tx, project: &ProjectKey, id: ShopId) -> Result<Option<Shop>, Fault> {
    query_one(tx, &BY_ID, &[project.into(), id.into()], read)
}

/// The store with this key.
pub fn by_key(tx: &mut dyn Tx, project: &ProjectKey, key: &Key) -> Result<Option<Shop>, Fault> {
    query_one(tx, &BY_KEY, &[project.into(), key.into()], read)
}

/// Those of the named stores that are there. A store that is there stays, so this may be looked up beforehand.
pub fn known(tx: &mut dyn Tx, project: &ProjectKey, named: &[Reference]) -> Result<Known, Fault> {
    let mut found = Vec::new();
    for reference in named {
        let (statement, name) = match reference {
            Reference::Id(id) => (&KEY_BY_ID, id),
            Reference::Key(key) => (&KEY_BY_KEY, key),
        };
        if let Some(key) = query_one(tx, statement, &[project.into(), name.into()], |row| row.parsed(0))? {
            found.push((reference.clone(), key));
        }
    }
    Ok(Known::from_iter(found))
}

fn read(row: &dyn Row) -> Result<Shop, Fault> {
    Ok(Shop {
        id: row.parsed(0)?,
        key: row.parsed(1)?,
        version: row.int(2)?,
        created_at: row.micros(3)?,
        last_modified_at: row.micros(4)?,
        created_by: row.json(5)?,
        last_modified_by: row.json(6)?,
        name: row.json(7)?,
        languages: row.json(8)?,
        countries: row.json(9)?,
    })
}
