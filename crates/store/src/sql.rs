//! Statements: one text for both engines, or one for each.
//!
//! Every fixed statement is declared by `statements!`, which also puts it into its module's list; a test prepares
//! every statement of every list on both engines.
//!
//! Portable SQL: `$n` placeholders, each bound by number; BIGINT, TEXT and BYTEA/BLOB only; booleans are 0 and 1; times
//! are microseconds from the `Ctx`; ids are lower-case UUID text; JSON is opaque text; case-folded columns stand beside
//! the originals; `INSERT .. ON CONFLICT .. RETURNING`.

use std::borrow::Cow;

/// A statement in the words of each engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sql {
    /// Name in faults and in the slow-statement log.
    pub name: &'static str,
    /// For SQLite.
    pub sqlite: Cow<'static, str>,
    /// For PostgreSQL.
    pub postgres: Cow<'static, str>,
}

impl Sql {
    /// One text for both.
    pub const fn both(name: &'static str, text: &'static str) -> Self {
        Self { name, sqlite: Cow::Borrowed(text), postgres: Cow::Borrowed(text) }
    }

    /// A text for each.
    pub const fn split(name: &'static str, sqlite: &'static str, postgres: &'static str) -> Self {
        Self { name, sqlite: Cow::Borrowed(sqlite), postgres: Cow::Borrowed(postgres) }
    }

    /// A text put together at run time (filters, sorts); values are still bound, never pasted.
    pub fn built(name: &'static str, text: impl Into<Text>) -> Self {
        let Text { sqlite, postgres } = text.into();
        Self { name, sqlite: Cow::Owned(sqlite), postgres: Cow::Owned(postgres) }
    }
}

/// A fixed part of a statement, in the words of each engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Words {
    /// For SQLite.
    pub sqlite: &'static str,
    /// For PostgreSQL.
    pub postgres: &'static str,
}

impl Words {
    /// The same words for both.
    pub const fn both(words: &'static str) -> Self {
        Self { sqlite: words, postgres: words }
    }
}

/// A text that is being put together, in the words of each engine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Text {
    /// For SQLite.
    pub sqlite: String,
    /// For PostgreSQL.
    pub postgres: String,
}

impl Text {
    /// Adds what both engines read alike.
    pub fn push(&mut self, words: &str) {
        self.sqlite.push_str(words);
        self.postgres.push_str(words);
    }

    /// Adds what each reads in its own words.
    pub fn push_words(&mut self, words: Words) {
        self.sqlite.push_str(words.sqlite);
        self.postgres.push_str(words.postgres);
    }

    /// Adds another text.
    pub fn push_text(&mut self, text: &Self) {
        self.sqlite.push_str(&text.sqlite);
        self.postgres.push_str(&text.postgres);
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self { sqlite: text.clone(), postgres: text }
    }
}

/// Declares the statements of a module and their list `STATEMENTS`.
///
/// ```ignore
/// statements! {
///     BY_ID = "SELECT .. WHERE project = $1 AND id = $2";
///     ALL = (concat!("SELECT ", columns!(), " FROM ..")); // a constant put together from literals
///     LOCK = { sqlite: "SELECT ..", postgres: "SELECT .. FOR UPDATE" };
/// }
/// ```
#[macro_export]
macro_rules! statements {
    (@one $name:ident, $text:literal) => {
        $crate::sql::Sql::both(concat!(module_path!(), "::", stringify!($name)), $text)
    };
    (@one $name:ident, ($text:expr)) => {
        $crate::sql::Sql::both(concat!(module_path!(), "::", stringify!($name)), $text)
    };
    (@one $name:ident, { sqlite: $sqlite:expr, postgres: $postgres:expr }) => {
        $crate::sql::Sql::split(concat!(module_path!(), "::", stringify!($name)), $sqlite, $postgres)
    };
    ($($(#[$doc:meta])* $name:ident = $text:tt;)*) => {
        $($(#[$doc])* static $name: $crate::sql::Sql = $crate::statements!(@one $name, $text);)*
        /// Every statement of this module, for the test that prepares them all.
        pub static STATEMENTS: &[&$crate::sql::Sql] = &[$(&$name),*];
    };
}
