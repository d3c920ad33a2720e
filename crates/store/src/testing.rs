//! A fresh database per test, on each engine; gone when the test is.
//!
//! Behind the feature `testing`. PostgreSQL is named by the environment variable `KEYHERALD_TEST_POSTGRES`, a URL of a
//! superuser such as `postgres://postgres@127.0.0.1:5432/postgres`.
//!
//! ```ignore
//! each_engine! { a_name_is_kept, a_name_is_unique }
//!
//! async fn a_name_is_kept(store: &TestStore) { .. }
//! ```
#![expect(clippy::expect_used, clippy::missing_panics_doc, reason = "only tests come here: they want to fail at once")]

use std::hash::{BuildHasher, RandomState};
use std::ops::Deref;

use keyherald_core::Micros;
use postgres::{Client, NoTls};

use crate::{Store, StoreOptions, StoreUrl};

/// The environment variable that names a PostgreSQL server.
pub const POSTGRES_URL: &str = "KEYHERALD_TEST_POSTGRES";

/// Makes two tests of each `async fn name(store: &TestStore)` that is listed: `name::sqlite` and, ignored unless a
/// server is there, `name::postgres`.
#[macro_export]
macro_rules! each_engine {
    ($($name:ident),* $(,)?) => {$(
        mod $name {
            #[test]
            fn sqlite() {
                $crate::testing::block_on(async { super::$name(&$crate::testing::TestStore::sqlite().await).await });
            }

            #[test]
            #[ignore = "needs PostgreSQL: cargo xtask test starts one"]
            fn postgres() {
                $crate::testing::block_on(async { super::$name(&$crate::testing::TestStore::postgres().await).await });
            }
        }
    )*};
}

/// Runs a test on a runtime with two threads.
pub fn block_on(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("a runtime").block_on(test);
}

/// An open store on a migrated database of its own.
pub struct TestStore {
    store: Store,
    url: StoreUrl,
    // Dropped after `store`, so that the database goes when the connections have been told to end.
    _database: Database,
}

enum Database {
    Folder { _folder: tempfile::TempDir },
    Postgres { server: String, name: String },
}

impl Deref for TestStore {
    type Target = Store;

    fn deref(&self) -> &Store {
        &self.store
    }
}

impl TestStore {
    /// SQLite in a temporary folder.
    pub async fn sqlite() -> Self {
        let test = Self::sqlite_with(&options());
        test.migrate(Micros(0)).await.expect("migrations apply");
        test
    }

    /// A new database on the server of [`POSTGRES_URL`].
    pub async fn postgres() -> Self {
        let test = Self::postgres_with(&options());
        test.migrate(Micros(0)).await.expect("migrations apply");
        test
    }

    /// The same with other options, and not migrated.
    pub fn sqlite_with(options: &StoreOptions) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let url = StoreUrl::Sqlite(folder.path().join("test.db"));
        let store = Store::open(&url, options).expect("the store opens");
        Self { store, url, _database: Database::Folder { _folder: folder } }
    }

    /// The same with other options, and not migrated.
    pub fn postgres_with(options: &StoreOptions) -> Self {
        let server = std::env::var(POSTGRES_URL).expect("KEYHERALD_TEST_POSTGRES names a server");
        let name = format!("keyherald_test_{:016x}", RandomState::new().hash_one(std::process::id()));
        on_server(&server, format!("CREATE DATABASE {name}"));
        let url = StoreUrl::Postgres(in_database(&server, &name));
        let database = Database::Postgres { server, name };
        let store = Store::open(&url, options).expect("the store opens");
        Self { store, url, _database: database }
    }

    /// Opens the same database once more, as another process would.
    pub fn again(&self, options: &StoreOptions) -> Store {
        Store::open(&self.url, options).expect("the store opens again")
    }

    /// Where the database is.
    pub fn url(&self) -> &StoreUrl {
        &self.url
    }
}

/// Few threads: many tests run at once.
pub fn options() -> StoreOptions {
    StoreOptions { connections: 4, ..StoreOptions::default() }
}

impl Drop for Database {
    fn drop(&mut self) {
        if let Self::Postgres { server, name } = self {
            on_server(server, format!("DROP DATABASE {name} WITH (FORCE)"));
        }
    }
}

/// On a thread of its own: the synchronous client cannot be used on a runtime's thread.
fn on_server(server: &str, statement: String) {
    let server = server.to_owned();
    let run = move || Client::connect(&server, NoTls).and_then(|mut client| client.batch_execute(&statement));
    let ran = std::thread::spawn(run).join().expect("the client does not panic");
    if !std::thread::panicking() {
        ran.expect("the server does it");
    }
}

/// The URL with another database.
fn in_database(server: &str, name: &str) -> String {
    let (scheme, rest) = server.split_once("://").expect("a URL");
    let (place, options) = rest.split_once('?').map_or((rest, None), |(place, options)| (place, Some(options)));
    let host = place.split_once('/').map_or(place, |(host, _)| host);
    let options = options.map(|options| format!("?{options}")).unwrap_or_default();
    format!("{scheme}://{host}/{name}{options}")
}
