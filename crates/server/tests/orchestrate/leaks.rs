//! Looks for secrets where they do not belong: in what a server said, and in its database as it lies there.

use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use postgres::{Client, NoTls};

use crate::server::{JWT_SECRET, SEALING_KEY};

/// Every password of every cell has this in it.
pub const MARK: &str = "5ecret";

fn secrets() -> Vec<(&'static str, String)> {
    let mut secrets = vec![
        ("a password", MARK.to_owned()),
        ("a sealing key", STANDARD.encode(SEALING_KEY)),
        ("a sealing key", String::from_utf8_lossy(SEALING_KEY).into_owned()),
        ("the secret of callers' tokens", JWT_SECRET.to_owned()),
    ];
    secrets.extend(crate::provider::SECRETS.iter().map(|secret| ("a provider's secret", (*secret).to_owned())));
    secrets
}

fn found_in(place: &str, text: &str) -> Vec<String> {
    let secrets = secrets();
    let found = secrets.iter().filter(|(_, secret)| text.contains(secret.as_str()));
    found.map(|(what, _)| format!("{place} ({what})")).collect()
}

/// In what servers said.
pub fn of_logs(logs: &str) -> Vec<String> {
    found_in("the log", logs)
}

/// In files of the database.
pub fn of_data(files: &[(String, Vec<u8>)]) -> Vec<String> {
    files.iter().flat_map(|(name, bytes)| found_in(name, &String::from_utf8_lossy(bytes))).collect()
}

/// In the rows of every table of a PostgreSQL database; what is binary there is shown in hexadecimal.
pub fn of_postgres(url: &str) -> Vec<String> {
    let patterns: Vec<String> = secrets().into_iter().flat_map(|(_, secret)| [hex(&secret), secret]).collect();
    let look = || {
        let mut client = Client::connect(url, NoTls)?;
        let tables = "SELECT table_name::text FROM information_schema.tables WHERE table_schema = 'public'";
        let mut found = Vec::new();
        for table in client.query(tables, &[])? {
            let table: String = table.get(0);
            let count = format!(
                "SELECT count(*) FROM \"{table}\" t WHERE EXISTS \
                 (SELECT FROM unnest($1::text[]) p WHERE position(p IN t::text) > 0)"
            );
            let rows: i64 = client.query_one(&count, &[&patterns])?.get(0);
            if rows > 0 {
                found.push(format!("{rows} rows of {table}"));
            }
        }
        Ok::<_, postgres::Error>(found)
    };
    // The synchronous client cannot be used on a runtime's thread.
    std::thread::scope(|scope| scope.spawn(look).join()).unwrap().unwrap()
}

fn hex(text: &str) -> String {
    text.bytes().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").unwrap();
        hex
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_found_wherever_it_lies() {
        assert_eq!(of_logs("{\"message\":\"ready\"}"), Vec::<String>::new());
        assert_eq!(of_logs("changed to New-5ecret-7!"), ["the log (a password)"]);
        assert_eq!(of_logs(&STANDARD.encode(SEALING_KEY)), ["the log (a sealing key)"]);
        let page = [&[0, 255], &SEALING_KEY[..], &[1]].concat();
        assert_eq!(of_data(&[("data.db-wal".into(), page)]), ["data.db-wal (a sealing key)"]);
    }
}
