//! `[log]`: what is logged, and how it looks.

use tracing_subscriber::EnvFilter;

use super::keys::{Keys, Section};

/// `[log]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// How lines look.
    pub format: Format,
    /// `error`, `warn`, `info`, `debug`, `trace`, or filter directives such as `info,keyherald::deliver=debug`.
    pub level: String,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `Human` on a terminal, `Json` otherwise.
    Auto,
    /// For people.
    Human,
    /// One JSON object a line.
    Json,
}

impl Default for Log {
    fn default() -> Self {
        Self { format: Format::Auto, level: "info".into() }
    }
}

impl Section for Log {
    fn keys(&mut self, keys: &mut Keys<'_>) {
        let words = [("auto", Format::Auto), ("human", Format::Human), ("json", Format::Json)];
        keys.choice("format", &mut self.format, &words);
        keys.value("level", &mut self.level);
        if self.level.parse::<EnvFilter>().is_err() {
            let hint = "use error, warn, info, debug or trace, or directives such as \"info,keyherald::deliver=debug\"";
            keys.refuse("level", "is not a log level", Some(hint.into()));
        }
    }
}
