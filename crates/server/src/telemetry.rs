//! Logs: one line per fact on stderr, for people on a terminal, as JSON otherwise.
//!
//! No personal data and no secrets: bodies, e-mail addresses, passwords, tokens, raw paths and query strings are never
//! logged by us. Libraries do log such things in their details (a database driver its parameters, an HTTP library its
//! headers), so whatever the filter says, [`subscriber`] drops what is finer than `info` and not ours, and what is finer than
//! `error` of [`LOOSE_TONGUES`]. A panic's text may hold values too; the hook of [`init`] logs its place, and its text only if that is a literal.
//!
//! Values stand in the message and as fields, with the unit in the field's name (`duration_ms`).

pub mod metrics;

use std::error::Error;
use std::fmt::Write as _;
use std::io::IsTerminal;
use std::panic::PanicHookInfo;

use keyherald_store::Fault;
use tracing::level_filters::LevelFilter;
use tracing::{Dispatch, Metadata};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, filter, fmt};

use crate::config::{Format, Log};

/// Libraries that tell more than a fact when they warn: `lapin` the whole message that no queue took, `krafka` what brokers say
/// and where they are.
const LOOSE_TONGUES: &[&str] = &["krafka", "lapin"];

/// How lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// For people on a terminal.
    Colours,
    /// For people, in a file.
    Plain,
    /// One JSON object a line.
    Json,
}

impl Look {
    /// What `format` means for the stderr of this process.
    pub fn on_stderr(format: Format) -> Self {
        match (format, std::io::stderr().is_terminal()) {
            (Format::Auto | Format::Human, true) => Self::Colours,
            (Format::Human, false) => Self::Plain,
            (Format::Auto, false) | (Format::Json, _) => Self::Json,
        }
    }
}

/// Starts logging to stderr for the whole process, and makes panics log lines. Only the first call counts.
pub fn init(log: &Log) {
    let dispatch = subscriber(Look::on_stderr(log.format), &log.level, std::io::stderr);
    if dispatch.try_init().is_ok() {
        std::panic::set_hook(Box::new(log_panic));
    }
}

/// Writes to `writer` what `level` lets through (a level or filter directives; what does not parse means `info`).
pub fn subscriber<W>(look: Look, level: &str, writer: W) -> Dispatch
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let chosen = level.parse::<EnvFilter>().unwrap_or_else(|_| EnvFilter::new("info"));
    let lines = fmt::layer().with_writer(writer).with_ansi(look == Look::Colours);
    let lines = match look {
        Look::Colours | Look::Plain => lines.with_target(false).boxed(),
        Look::Json => lines.json().flatten_event(true).with_current_span(true).with_span_list(false).boxed(),
    };
    let lines = lines.with_filter(filter::filter_fn(is_harmless)).with_filter(chosen);
    Dispatch::new(tracing_subscriber::registry().with(lines))
}

/// Ours, or nothing finer than `info`, or than `error` of [`LOOSE_TONGUES`].
fn is_harmless(metadata: &Metadata<'_>) -> bool {
    let source = metadata.target().split("::").next().unwrap_or_default();
    let finest = match source {
        "keyherald" | "keyherald_core" | "keyherald_store" => LevelFilter::TRACE,
        _ if LOOSE_TONGUES.contains(&source) => LevelFilter::ERROR,
        _ => LevelFilter::INFO,
    };
    *metadata.level() <= finest
}

/// The error with all its causes, for a log field. For faults of the store with kind and place.
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = String::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let separator = if text.is_empty() { "" } else { ": " };
        if let Some(fault) = error.downcast_ref::<Fault>() {
            // Its Debug walks the rest of the chain.
            let _infallible = write!(text, "{separator}{fault:?}");
            break;
        }
        let _infallible = write!(text, "{separator}{error}");
        next = error.source();
    }
    text
}

/// Logs a panic: where, and what if the text is a literal. Formatted texts may hold anything, so they stay out.
fn log_panic(panic: &PanicHookInfo<'_>) {
    let at = panic.location().map(ToString::to_string).unwrap_or_default();
    let text = panic.payload().downcast_ref::<&'static str>().copied().unwrap_or("(text withheld)");
    tracing::error!(at, "panic: {text}, at {at}");
}

#[cfg(test)]
pub(crate) mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use keyherald_store::FaultKind;

    use super::*;

    /// Log lines, kept for a look.
    #[derive(Clone, Default)]
    pub(crate) struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Lines {
        pub(crate) fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }

        pub(crate) fn json(&self) -> Vec<serde_json::Value> {
            self.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
        }
    }

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl MakeWriter<'_> for Lines {
        type Writer = Self;

        fn make_writer(&self) -> Self {
            self.clone()
        }
    }

    fn logged(look: Look, level: &str, work: impl FnOnce()) -> Lines {
        let lines = Lines::default();
        tracing::dispatcher::with_default(&subscriber(look, level, lines.clone()), work);
        lines
    }

    fn fault() -> Fault {
        Fault::caused(FaultKind::NoRoom, "cannot commit", io::Error::other("disk full"))
    }

    #[test]
    fn json_lines_have_level_message_fields_and_the_span() {
        let lines = logged(Look::Json, "info", || {
            let span = tracing::info_span!("request", method = "POST", status = tracing::field::Empty);
            span.record("status", 500);
            let error = chain(&fault());
            span.in_scope(|| tracing::error!(duration_ms = 12, error, "request failed: {error}"));
        });
        let [line] = &lines.json()[..] else { panic!("one line") };
        assert_eq!(line["level"], "ERROR");
        assert_eq!(line["duration_ms"], 12);
        assert_eq!(line["span"], serde_json::json!({ "name": "request", "method": "POST", "status": 500 }));
        let message = line["message"].as_str().unwrap();
        assert!(message.starts_with("request failed: NoRoom: cannot commit: disk full (at "), "{message}");
        assert!(keyherald_core::Micros::parse_iso(line["timestamp"].as_str().unwrap()).is_some());
        assert_eq!(line["target"], "keyherald::telemetry::tests");
    }

    #[test]
    fn details_of_libraries_stay_out_whatever_the_filter_says() {
        let work = || {
            tracing::debug!(target: "tokio_postgres::query", "executing with parameters jane@example.com");
            tracing::debug!(target: "keyheraldish", "not ours");
            tracing::warn!(target: "tokio_postgres", "lost");
            tracing::warn!(target: "lapin::returned_messages", "a whole message");
            tracing::debug!(target: "keyherald_store::engine", "ours");
        };
        let said = |lines: Lines| lines.json().iter().map(|line| line["message"].clone()).collect::<Vec<_>>();
        for level in ["trace", "trace,tokio_postgres=trace"] {
            assert_eq!(said(logged(Look::Json, level, work)), ["lost", "ours"]);
        }
        assert_eq!(said(logged(Look::Json, "not,a=level!", work)), ["lost"]);
    }

    #[test]
    fn plain_lines_have_no_colours() {
        let lines = logged(Look::Plain, "info", || tracing::info!(port = 8080, "listening on port 8080"));
        assert!(lines.text().ends_with(" INFO listening on port 8080 port=8080\n") && !lines.text().contains('\x1b'));
    }

    #[test]
    fn a_chain_names_every_cause() {
        #[derive(Debug, thiserror::Error)]
        #[error("cannot start")]
        struct Outer(#[source] Fault);
        let text = chain(&Outer(fault()));
        assert!(text.starts_with("cannot start: NoRoom: cannot commit: disk full (at crates/server"), "{text}");
        assert_eq!(text.matches("disk full").count(), 1);
    }
}
