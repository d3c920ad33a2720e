//! Secrets of the configuration: named by file or environment variable, never printed.

use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::tree::{Environment, Node, Value};

/// Largest file that is read as a secret.
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// A secret and where it came from. `Debug` and the listing show only the latter.
#[derive(Clone)]
pub struct Secret {
    source: Source,
    value: Zeroizing<String>,
}

#[derive(Clone)]
enum Source {
    /// It could not be read; the problem is reported.
    Unreadable,
    /// In the open, in the file or a variable; with the text that the listing shows instead.
    Inline { shown: String },
    /// A file. Relative paths start at the working directory.
    File(PathBuf),
    /// An environment variable.
    Variable(String),
}

/// The keys that one secret is set by.
pub(super) struct KeyNames {
    /// The secret itself.
    pub inline: &'static str,
    pub file: &'static str,
    pub variable: &'static str,
    /// How the listing shows an inline value; `None`: the secret may not stand in the open.
    pub masked: Option<fn(&str) -> String>,
}

impl KeyNames {
    pub fn all(&self) -> [&'static str; 3] {
        [self.inline, self.file, self.variable]
    }

    pub fn offered(&self) -> Vec<&'static str> {
        let inline = self.masked.map(|_| self.inline);
        inline.into_iter().chain([self.file, self.variable]).collect()
    }
}

impl Secret {
    /// A value that stands in the open; `shown` is what the listing and `Debug` show of it.
    pub fn inline(value: &str, shown: &str) -> Self {
        Self { source: Source::Inline { shown: shown.to_owned() }, value: Zeroizing::new(value.to_owned()) }
    }

    pub(super) fn unreadable() -> Self {
        Self { source: Source::Unreadable, value: Zeroizing::default() }
    }

    /// Whether there is a value to check.
    pub(super) fn is_readable(&self) -> bool {
        !matches!(self.source, Source::Unreadable)
    }

    /// The secret itself.
    pub fn reveal(&self) -> &str {
        &self.value
    }

    /// Where it comes from, as one key and its value.
    pub(super) fn written(&self, keys: &KeyNames) -> Option<(&'static str, String)> {
        match &self.source {
            Source::Unreadable => None,
            Source::Inline { shown } => Some((keys.inline, shown.clone())),
            Source::File(path) => Some((keys.file, path.display().to_string())),
            Source::Variable(name) => Some((keys.variable, name.clone())),
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.source {
            Source::Unreadable => f.write_str("unreadable"),
            Source::Inline { shown } => f.write_str(shown),
            Source::File(path) => write!(f, "(from file {})", path.display()),
            Source::Variable(name) => write!(f, "(from variable {name})"),
        }
    }
}

/// What is wrong, and a hint.
type Wrong = (String, Option<String>);

/// Reads the secret that the key `name` gives.
pub(super) fn read(keys: &KeyNames, name: &str, node: &Node, environment: &Environment) -> Result<Secret, Wrong> {
    let Value::Text(text) = &node.value else {
        return Err((format!("must be a text, not {}", node.value.kind()), None));
    };
    if name == keys.inline {
        let Some(masked) = keys.masked else {
            let hint = format!("name where it lies: {}", keys.offered().join(" or "));
            return Err(("a secret does not stand in the configuration".into(), Some(hint)));
        };
        return Ok(Secret::inline(text, &masked(text)));
    }
    if name == keys.file {
        let path = PathBuf::from(text);
        let value = read_file(&path)?;
        return Ok(Secret { source: Source::File(path), value });
    }
    let Some(value) = environment.value(text) else {
        return Err((format!("the environment variable {text:?} is not set"), None));
    };
    Ok(Secret { source: Source::Variable(text.clone()), value: Zeroizing::new(value.trim().to_owned()) })
}

fn read_file(path: &Path) -> Result<Zeroizing<String>, Wrong> {
    let shown = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let wrong = |why: String| (format!("cannot read {}: {why}", shown.display()), None);
    let file = std::fs::File::open(path).map_err(|error| wrong(error.to_string()))?;
    let mut value = Zeroizing::new(String::new());
    file.take(FILE_BYTES_MAX + 1).read_to_string(&mut value).map_err(|error| wrong(error.to_string()))?;
    if u64::try_from(value.len()).unwrap_or(u64::MAX) > FILE_BYTES_MAX {
        return Err(wrong(format!("larger than {FILE_BYTES_MAX} bytes")));
    }
    Ok(Zeroizing::new(value.trim().to_owned()))
}
