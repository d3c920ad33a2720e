//! Where the data lies, as an operator writes it.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use postgres::config::{Config, Host};

/// Where the data lies: `sqlite:PATH` or `postgres://USER:PASSWORD@HOST:PORT/DATABASE?sslmode=...`.
///
/// Printed, it has no password.
#[derive(Clone, PartialEq, Eq)]
pub enum StoreUrl {
    /// A SQLite file.
    Sqlite(PathBuf),
    /// A PostgreSQL connection string.
    Postgres(String),
}

/// A text is not a [`StoreUrl`]. Says what is, and repeats nothing of it: it may hold a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreUrlError {
    /// Neither form.
    #[error("a store URL is `sqlite:PATH` or `postgres://USER:PASSWORD@HOST:PORT/DATABASE`")]
    UnknownForm,
    /// `sqlite:` with nothing, or with what SQLite would not keep in a file.
    #[error("`sqlite:` needs the path of a file, such as `sqlite:keyherald.db` or `sqlite:/var/lib/keyherald/data.db`")]
    NoPath,
    /// The PostgreSQL client does not understand it.
    #[error("the PostgreSQL URL does not parse: {0}")]
    Postgres(String),
}

impl FromStr for StoreUrl {
    type Err = StoreUrlError;

    fn from_str(text: &str) -> Result<Self, StoreUrlError> {
        if let Some(path) = text.strip_prefix("sqlite:") {
            // `sqlite:///x` is how other programs write `/x`.
            let path = path.strip_prefix("//").unwrap_or(path);
            if path.is_empty() || path.starts_with(':') || path.contains('\0') {
                return Err(StoreUrlError::NoPath);
            }
            return Ok(Self::Sqlite(PathBuf::from(path)));
        }
        if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            let text = strict_sslmode(text);
            return parsed(&text).map(|_| Self::Postgres(text));
        }
        Err(StoreUrlError::UnknownForm)
    }
}

/// What the client understands.
fn parsed(text: &str) -> Result<Config, StoreUrlError> {
    let config: Config = text.parse().map_err(|error: postgres::Error| {
        // The cause names the option, not its value.
        let cause = std::error::Error::source(&error).map(ToString::to_string);
        StoreUrlError::Postgres(cause.unwrap_or_else(|| error.to_string()))
    })?;
    let cut_in_the_password = |host: &Host| matches!(host, Host::Tcp(name) if name.contains('@'));
    if config.get_hosts().iter().any(cut_in_the_password) {
        return Err(StoreUrlError::Postgres("write a `@` in a user name or password as `%40`".to_owned()));
    }
    Ok(config)
}

/// `require` checks the server's certificate and name here, which is what others call `verify-full`.
fn strict_sslmode(text: &str) -> String {
    text.replace("sslmode=verify-full", "sslmode=require").replace("sslmode=verify-ca", "sslmode=require")
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "sqlite:{}", path.display()),
            Self::Postgres(text) => f.write_str(&without_password(text)),
        }
    }
}

impl fmt::Debug for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Put together again from what the client understood, so that no spelling of a password can slip through.
fn without_password(text: &str) -> String {
    let Ok(config) = parsed(text) else { return "postgres://***".to_owned() };
    let user = config.get_user().map(|user| format!("{user}@")).unwrap_or_default();
    let mut ports = config.get_ports().iter().cycle();
    let host = |host: &Host| {
        let port = ports.next().map(|port| format!(":{port}")).unwrap_or_default();
        match host {
            Host::Tcp(name) => format!("{name}{port}"),
            #[cfg(unix)]
            Host::Unix(folder) => format!("{}{port}", folder.display()),
        }
    };
    let hosts = config.get_hosts().iter().map(host).collect::<Vec<_>>().join(",");
    format!("postgres://{user}{hosts}/{}", config.get_dbname().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_parse() {
        assert_eq!("sqlite:a/b.db".parse(), Ok(StoreUrl::Sqlite("a/b.db".into())));
        assert_eq!("sqlite:///a/b.db".parse(), Ok(StoreUrl::Sqlite("/a/b.db".into())));
        for text in ["postgres://u:p@h:5/d", "postgresql:///d?host=/run/postgresql", "postgres://h/d?sslmode=require"] {
            assert_eq!(text.parse(), Ok(StoreUrl::Postgres(text.into())), "{text}");
        }
        let strict = StoreUrl::Postgres("postgres://h/d?sslmode=require".into());
        assert_eq!("postgres://h/d?sslmode=verify-full".parse(), Ok(strict));
    }

    #[test]
    fn others_are_told_the_forms() {
        for text in ["", "keyherald.db", "mysql://h/d", "postgres:h", "SQLITE:x"] {
            assert_eq!(text.parse::<StoreUrl>(), Err(StoreUrlError::UnknownForm), "{text}");
        }
        for text in ["sqlite:", "sqlite::memory:", "sqlite://", "sqlite:a\0b"] {
            assert_eq!(text.parse::<StoreUrl>(), Err(StoreUrlError::NoPath), "{text}");
        }
        let error = "postgres://u:hunter2@h/d?sslmode=maybe".parse::<StoreUrl>().unwrap_err().to_string();
        assert!(error.contains("sslmode") && !error.contains("hunter2"), "{error}");
        for text in ["postgres://u:hunter2@h:x/d", "postgres://u:hun@ter2@h/d"] {
            let error = text.parse::<StoreUrl>().unwrap_err().to_string();
            assert!(!error.contains("ter2") && !error.contains("hun"), "{error}");
        }
    }

    #[test]
    fn a_password_is_never_shown() {
        for (text, shown) in [
            ("postgres://u:hunter2@h:5/d?sslmode=disable", "postgres://u@h:5/d"),
            ("postgres://u:hun@ter2@h/d", "postgres://***"),
            ("postgres://u:hun%40ter2@h/d", "postgres://u@h:5432/d"),
            ("postgres://u:hun?ter2@h/d", "postgres://u@h:5432/d"),
            ("postgres://u:hun/ter2@h/d", "postgres://u@h:5432/d"),
            ("postgres:///d?user=u&password=hunter2&host=/run", "postgres://u@/run/d"),
            ("postgres://u@h:5,i:6/d", "postgres://u@h:5,i:6/d"),
        ] {
            let url = StoreUrl::Postgres(text.into());
            assert!(!url.to_string().contains("ter2"), "{url}");
            assert_eq!(url.to_string(), shown);
            assert_eq!(format!("{url:?}"), shown);
        }
    }
}
