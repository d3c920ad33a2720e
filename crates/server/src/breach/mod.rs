//! Whether a password is known from a data leak (standards.md 5.7): asked of Pwned Passwords, or of a copy of its data.
//!
//! Nobody is told the password: the service gets the first five of forty digits of its SHA-1, and answers with all that
//! begin so, padded, so that not even the length of the answer tells which. SHA-1 is what the data is made of; nothing of
//! it is kept here.
//!
//! Off unless a project switches it on: it tells somebody else that a password is being chosen. When there is no answer in
//! time, the password counts as unknown, or is refused, as the project wants it.

mod offline;
mod range;

use std::fmt::Write;
use std::path::PathBuf;

use keyherald_core::policy::Broken;
use keyherald_core::secret::Password;
use sha1::{Digest, Sha1};

use self::offline::Copy;
pub use self::offline::NotACopy;
use self::range::Service;
pub use self::range::ServiceSettings;
use crate::outbound::client::NoClient;

/// Hexadecimal digits of a SHA-1.
const DIGITS: usize = 40;
/// Those of them that are told.
const PREFIX_DIGITS: usize = 5;

/// The check of one project.
pub struct Check {
    source: Source,
    is_required: bool,
    count_min: u64,
}

enum Source {
    Service(Service),
    Copy(Copy),
}

/// Whom to ask.
pub enum Settings {
    /// A service that speaks the range protocol.
    Service(ServiceSettings),
    /// A file of `HASH:COUNT`, sorted by hash, or a folder of files such as `21BD1.txt` with `SUFFIX:COUNT`: what the
    /// project's downloader makes.
    Copy(PathBuf),
}

/// Why there is no check.
#[derive(Debug, thiserror::Error)]
pub enum CannotCheck {
    /// No HTTP client.
    #[error(transparent)]
    Client(#[from] NoClient),
    /// The copy is none.
    #[error(transparent)]
    Copy(#[from] NotACopy),
}

/// Why nothing is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
struct NoAnswer(&'static str);

/// SHA-1 in upper-case digits.
struct Digits(String);

impl Digits {
    fn of(password: &Password) -> Self {
        let hash = password.hash_with(|bytes| Sha1::digest(bytes));
        let mut digits = String::with_capacity(DIGITS);
        for byte in hash {
            let _ = write!(digits, "{byte:02X}"); // a String takes everything
        }
        Self(digits)
    }

    fn prefix(&self) -> &str {
        self.0.get(..PREFIX_DIGITS).unwrap_or_default()
    }

    fn suffix(&self) -> &str {
        self.0.get(PREFIX_DIGITS..).unwrap_or_default()
    }
}

impl Check {
    /// Opens a copy, or makes a client; asks nobody yet. `is_required`: without an answer the password is refused.
    /// `count_min`: how often it must have been seen to count.
    pub fn new(settings: Settings, is_required: bool, count_min: u32) -> Result<Self, CannotCheck> {
        let source = match settings {
            Settings::Service(settings) => Source::Service(Service::new(settings)?),
            Settings::Copy(path) => Source::Copy(Copy::open(&path)?),
        };
        Ok(Self { source, is_required, count_min: count_min.max(1).into() })
    }

    /// The rule that the password breaks: as it is hashed here, or as it was typed, for the data has what leaked.
    pub async fn broken_by(&self, hashed: &Password, typed: &Password) -> Option<Broken> {
        let mut forms = vec![Digits::of(hashed)];
        if !typed.is_nfc() {
            forms.push(Digits::of(typed));
        }
        for digits in forms {
            match self.count(&digits).await {
                Ok(count) if count >= self.count_min => return Some(Broken::Breached),
                Ok(_) => {}
                Err(error) => {
                    tracing::warn!(%error, refused = self.is_required, "a password was not looked for among leaked ones");
                    return self.is_required.then_some(Broken::NotChecked);
                }
            }
        }
        None
    }

    /// How often the password was seen.
    async fn count(&self, digits: &Digits) -> Result<u64, NoAnswer> {
        match &self.source {
            Source::Service(service) => service.count(digits).await,
            Source::Copy(copy) => copy.count(digits).await,
        }
    }
}

/// `DIGITS:COUNT`, of so many digits. `None`: something else.
fn line(line: &[u8], digits: usize) -> Option<(&[u8], u64)> {
    let (found, rest) = line.split_at_checked(digits)?;
    let count = std::str::from_utf8(rest.strip_prefix(b":")?).ok()?.trim_end().parse().ok()?;
    found.iter().all(u8::is_ascii_hexdigit).then_some((found, count))
}
