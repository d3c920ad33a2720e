//! The two engines: where the data of a run lies, and when the last transaction of a killed server has ended.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use aho_corasick::AhoCorasick;
use postgres::{Client, NoTls};

/// The server of the tests that need one: a superuser's URL.
const POSTGRES_URL: &str = "KEYHERALD_TEST_POSTGRES";
/// Longest wait for the connections of a killed server.
const SESSIONS_WAIT: Duration = Duration::from_secs(20);

/// Where the data lies.
pub enum Engine {
    /// In the server's data folder.
    Sqlite,
    /// In a database of its own on a running PostgreSQL.
    Postgres(Database),
}

impl Engine {
    /// A new, empty database on the server of the tests.
    pub fn postgres(name: &str) -> Self {
        Self::on(&std::env::var(POSTGRES_URL).expect("KEYHERALD_TEST_POSTGRES names a server"), name)
    }

    /// A new, empty database on this server.
    pub fn on(server: &str, name: &str) -> Self {
        on_server(server, &format!("CREATE DATABASE {name}")).expect("the database is made");
        Self::Postgres(Database { server: server.to_owned(), name: name.to_owned() })
    }

    /// The word for it in the closing line.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::Postgres(_) => "postgres",
        }
    }

    /// The value of `--store`.
    pub fn store(&self) -> Option<String> {
        match self {
            Self::Sqlite => None,
            Self::Postgres(database) => Some(database.url()),
        }
    }

    /// How many of these secrets can be read in what the store has written: all files of the data folder, or all rows of
    /// all tables. No server may be running.
    pub fn readable(&self, data: &Path, secrets: &[String]) -> usize {
        let store: Vec<u8> = match self {
            Self::Sqlite => files(data).iter().flat_map(|file| std::fs::read(file).unwrap()).collect(),
            Self::Postgres(database) => database.dump(),
        };
        let secrets: BTreeSet<&String> = secrets.iter().collect();
        let automaton = AhoCorasick::new(&secrets).unwrap();
        automaton.find_overlapping_iter(&store).map(|found| found.pattern()).collect::<BTreeSet<_>>().len()
    }

    /// Returns what [`Engine::wait_for_sessions`] needs: the last moment of a server that was just killed.
    pub fn moment(&self) -> Option<String> {
        let Self::Postgres(database) = self else { return None };
        let mut now = None;
        database.ask(|client| {
            now = Some(client.query_one("SELECT clock_timestamp()::text", &[])?.get(0));
            Ok(())
        });
        now
    }

    /// Waits until no session that began before `moment` is left: of anybody, or of the process of this name.
    ///
    /// PostgreSQL ends a dead client's transaction in its own time, and a COMMIT that was on its way is still carried
    /// out. Only then can a client be told what became of its request. SQLite's transactions end with the process.
    pub fn wait_for_sessions(&self, moment: Option<&String>, of: Option<&str>) {
        let (Self::Postgres(database), Some(moment)) = (self, moment) else { return };
        database.ask(|client| {
            let begun = std::time::Instant::now();
            loop {
                let sessions: i64 = client
                    .query_one(
                        "SELECT count(*), pg_sleep(0.005) FROM pg_stat_activity \
                         WHERE datname = $1 AND backend_start < $2::text::timestamptz AND pid <> pg_backend_pid() \
                         AND application_name = coalesce($3, application_name)",
                        &[&database.name, moment, &of],
                    )?
                    .get(0);
                if sessions == 0 {
                    return Ok(());
                }
                assert!(begun.elapsed() < SESSIONS_WAIT, "{sessions} sessions of the killed server are left");
            }
        });
    }
}

/// A database that is gone when the test is.
pub struct Database {
    server: String,
    name: String,
}

impl Database {
    fn url(&self) -> String {
        in_database(&self.server, &self.name)
    }

    /// Every row of every table as text, and what is bytes as these bytes.
    fn dump(&self) -> Vec<u8> {
        on_thread(|| {
            let mut client = Client::connect(&self.url(), NoTls)?;
            let mut dump = Vec::new();
            let columns = client.query(
                "SELECT table_name::text, column_name::text, data_type::text FROM information_schema.columns \
                 WHERE table_schema = 'public'",
                &[],
            )?;
            for column in columns {
                let (table, name, kind): (String, String, String) = (column.get(0), column.get(1), column.get(2));
                let wanted = if kind == "bytea" { name } else { format!("convert_to({name}::text, 'UTF8')") };
                for row in client.query(&format!("SELECT {wanted} FROM {table}"), &[])? {
                    dump.extend(row.get::<_, Option<Vec<u8>>>(0).unwrap_or_default());
                    dump.push(0);
                }
            }
            Ok::<_, postgres::Error>(dump)
        })
        .expect("PostgreSQL answers")
    }

    /// On the server's own database, so that the question is not among what it asks about.
    fn ask(&self, mut question: impl FnMut(&mut Client) -> Result<(), postgres::Error> + Send) {
        on_thread(|| {
            let mut client = Client::connect(&self.server, NoTls)?;
            question(&mut client)
        })
        .expect("PostgreSQL answers");
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let dropped = on_server(&self.server, &format!("DROP DATABASE {} WITH (FORCE)", self.name));
        if !std::thread::panicking() {
            dropped.expect("the database is dropped");
        }
    }
}

fn on_server(server: &str, statement: &str) -> Result<(), postgres::Error> {
    on_thread(|| Client::connect(server, NoTls)?.batch_execute(statement))
}

/// Every file in a folder and in those within it.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// The synchronous client cannot be used on a runtime's thread.
fn on_thread<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| scope.spawn(work).join()).expect("the question does not panic")
}

/// The URL with another database.
fn in_database(server: &str, name: &str) -> String {
    let (scheme, rest) = server.split_once("://").expect("a URL");
    let (place, options) = rest.split_once('?').map_or((rest, None), |(place, options)| (place, Some(options)));
    let host = place.split_once('/').map_or(place, |(host, _)| host);
    let options = options.map(|options| format!("?{options}")).unwrap_or_default();
    format!("{scheme}://{host}/{name}{options}")
}
