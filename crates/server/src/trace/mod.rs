//! Traces: which piece of work belongs to which request, and how long each took (standards.md 4.6, OpenTelemetry).
//!
//! **Contexts** always go on. The task that serves a request works in its trace ([`Here`]); what it decides carries the
//! context ([`keyherald_core::Ctx`]) into the log, and from there into each delivery, whoever sends it and whenever.
//!
//! **Spans** are made only where a collector is configured ([`Tracer::new`]), and only of traces that are sampled. Without one we
//! take no part: a caller's context is passed on as it came, and where a caller has none there is none. To make one up
//! would tell a receiver that its cause is not recorded, and many then record nothing themselves.
//!
//! Attributes are ids, codes, numbers and patterns, as labels of metrics are. There is no way to put an error's text, a path
//! or a body into one: keys and most values are written in the program.

mod collector;
mod otlp;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use keyherald_core::trace::{SpanId, TraceContext, TraceId};
use keyherald_core::{Ctx, Micros};
use tokio::sync::mpsc;

pub use self::collector::{Collector, CollectorSettings};

/// Spans that wait to be sent to the collector at most; more are dropped, and counted.
pub const WAITING_MAX: usize = 4096;
/// How far the two clocks may drift apart before spans go by the clock of days again.
const DRIFT_MAX: Duration = Duration::from_millis(20);

tokio::task_local! {
    /// In which trace this task works.
    static HERE: Here;
}

/// Time and chance for spans.
pub type Draw = Arc<dyn Fn() -> Ctx + Send + Sync>;

/// Makes spans. Cheap to clone; all clones are one. The default makes none.
#[derive(Clone, Default)]
pub struct Tracer(Option<Arc<Inner>>);

struct Inner {
    draw: Draw,
    /// Of 2^56 traces that begin here, so many are sampled.
    sampled: u64,
    queue: mpsc::Sender<Recorded>,
    counts: Arc<Counts>,
    wall: Mutex<Wall>,
}

/// The clock of days as it was at an instant: spans are finer than milliseconds, and never run backwards.
#[derive(Clone, Copy)]
struct Wall {
    at: Micros,
    instant: Instant,
}

/// What became of spans.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    exported: AtomicU64,
    dropped: AtomicU64,
    refused: AtomicU64,
}

/// What became of spans since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// The collector has them.
    pub exported: u64,
    /// There was no room for them, or no collector took them in time.
    pub dropped: u64,
    /// The collector does not want them.
    pub refused: u64,
}

impl Counts {
    fn add(counter: &AtomicU64, spans: usize) {
        counter.fetch_add(u64::try_from(spans).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    fn figures(&self) -> Figures {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Figures { exported: read(&self.exported), dropped: read(&self.dropped), refused: read(&self.refused) }
    }
}

/// What kind of work a span is, as OpenTelemetry has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Within this process.
    Internal,
    /// A request is served.
    Server,
    /// Another system is called and waited for.
    Client,
    /// A message is handed over.
    Producer,
}

/// An attribute's value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    Text(Cow<'static, str>),
    Number(i64),
    Flag(bool),
}

/// A span that has ended.
#[derive(Debug)]
pub(crate) struct Recorded {
    context: TraceContext,
    parent: Option<SpanId>,
    link: Option<TraceContext>,
    kind: Kind,
    name: Cow<'static, str>,
    begun: u64,
    took: Duration,
    attributes: Vec<(&'static str, Value)>,
    failed: bool,
}

impl Tracer {
    /// One whose spans come out of the receiver. `ratio`: which share of the traces that begin here is sampled, from 0 to 1; of
    /// others their callers have decided.
    pub(crate) fn new(draw: Draw, ratio: f64, waiting_max: usize) -> (Self, mpsc::Receiver<Recorded>, Arc<Counts>) {
        let (queue, spans) = mpsc::channel(waiting_max.max(1));
        let counts = Arc::new(Counts::default());
        let wall = Mutex::new(Wall { at: draw().now, instant: Instant::now() });
        let inner = Inner { draw, sampled: share(ratio), queue, counts: counts.clone(), wall };
        (Self(Some(Arc::new(inner))), spans, counts)
    }

    /// What became of spans.
    pub fn figures(&self) -> Figures {
        self.0.as_ref().map(|inner| inner.counts.figures()).unwrap_or_default()
    }

    /// Work that follows from `parent`, or that a trace begins with. It is recorded if its parent is, and without a parent by
    /// the tracer's ratio.
    pub fn begin(&self, kind: Kind, name: impl Into<Cow<'static, str>>, parent: Option<&TraceContext>) -> Span {
        let Some(inner) = &self.0 else { return Span { context: parent.cloned(), tracer: Self(None), record: None } };
        if let Some(parent) = parent.filter(|parent| !parent.is_sampled()) {
            return Span { context: Some(parent.clone()), tracer: self.clone(), record: None };
        }
        let mut ctx = (inner.draw)();
        let context = if let Some(parent) = parent {
            parent.with_span(SpanId::new(ctx.bytes()))
        } else {
            let trace = TraceId::new(ctx.bytes());
            TraceContext::root(trace, SpanId::new(ctx.bytes()), trace.share() < inner.sampled)
        };
        let record = context.is_sampled().then(|| {
            let started = Instant::now();
            Box::new(Record {
                started,
                span: Recorded {
                    context: context.clone(),
                    parent: parent.map(|parent| parent.span),
                    link: None,
                    kind,
                    name: name.into(),
                    begun: inner.wall_ns(started, ctx.now),
                    took: Duration::ZERO,
                    attributes: Vec::new(),
                    failed: false,
                },
            })
        });
        Span { context: Some(context), tracer: self.clone(), record }
    }
}

impl fmt::Debug for Tracer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Tracer").field(&self.0.is_some()).finish()
    }
}

impl Inner {
    /// Nanoseconds since 1970.
    fn wall_ns(&self, instant: Instant, now: Micros) -> u64 {
        let mut wall = self.wall.lock().unwrap_or_else(PoisonError::into_inner);
        let ns = |at: Micros| u64::try_from(at.0).unwrap_or(0).saturating_mul(1000);
        let since = instant.saturating_duration_since(wall.instant);
        let reckoned = ns(wall.at).saturating_add(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX));
        if u128::from(reckoned.abs_diff(ns(now))) <= DRIFT_MAX.as_nanos() {
            return reckoned;
        }
        *wall = Wall { at: now, instant };
        ns(now)
    }

    fn end(&self, span: Recorded) {
        if self.queue.try_send(span).is_err() {
            Counts::add(&self.counts.dropped, 1);
        }
    }
}

/// The part of 2^56 that `ratio` is.
#[expect(
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clamped to what fits"
)]
fn share(ratio: f64) -> u64 {
    (ratio.clamp(0.0, 1.0) * 2_f64.powi(56)) as u64
}

/// A piece of work. It ends when it is dropped.
pub struct Span {
    /// In which trace it is.
    context: Option<TraceContext>,
    tracer: Tracer,
    /// `None`: nobody records it.
    record: Option<Box<Record>>,
}

struct Record {
    started: Instant,
    span: Recorded,
}

impl Span {
    /// One that nobody records and that follows from nothing.
    pub fn none() -> Self {
        Self { context: None, tracer: Tracer(None), record: None }
    }

    /// What follows from it names this as its parent.
    pub fn context(&self) -> Option<&TraceContext> {
        self.context.as_ref()
    }

    /// Whether what is said of it is kept.
    pub fn is_recorded(&self) -> bool {
        self.record.is_some()
    }

    /// Says something of it. Nothing personal, nothing secret, and no text that anybody else has written.
    pub fn say(&mut self, key: &'static str, value: impl Into<Say>) {
        if let Some(record) = &mut self.record {
            let Say(value) = value.into();
            record.span.attributes.push((key, value));
        }
    }

    /// Says that it failed, by a code.
    pub fn fail(&mut self, code: impl Into<Cow<'static, str>>) {
        if let Some(record) = &mut self.record {
            record.span.failed = true;
            record.span.attributes.push(("error.type", Value::Text(code.into())));
        }
    }

    /// Its name as it turned out.
    pub fn rename(&mut self, name: impl FnOnce() -> String) {
        if let Some(record) = &mut self.record {
            record.span.name = name().into();
        }
    }

    /// Names what it follows from once more, as a link: traces are cut off after some time, and this may be days later.
    #[must_use]
    pub fn linked(mut self, to: Option<&TraceContext>) -> Self {
        if let Some(record) = &mut self.record {
            record.span.link = to.cloned();
        }
        self
    }

    /// Where what follows from it works.
    pub fn here(&self) -> Here {
        Here { tracer: self.tracer.clone(), context: self.context.clone() }
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        if let (Some(record), Tracer(Some(inner))) = (self.record.take(), &self.tracer) {
            let Record { started, mut span } = *record;
            span.took = started.elapsed();
            inner.end(span);
        }
    }
}

/// What can be said of a span.
pub struct Say(Value);

impl From<&'static str> for Say {
    fn from(word: &'static str) -> Self {
        Self(Value::Text(word.into()))
    }
}

impl From<bool> for Say {
    fn from(flag: bool) -> Self {
        Self(Value::Flag(flag))
    }
}

impl From<u16> for Say {
    fn from(number: u16) -> Self {
        Self(Value::Number(number.into()))
    }
}

impl From<u32> for Say {
    fn from(number: u32) -> Self {
        Self(Value::Number(number.into()))
    }
}

impl Say {
    /// An id of ours, or the name of something that an operator has named.
    pub fn id(id: &impl ToString) -> Self {
        Self(Value::Text(id.to_string().into()))
    }

    /// How many.
    pub fn count(count: usize) -> Self {
        Self(Value::Number(i64::try_from(count).unwrap_or(i64::MAX)))
    }
}

/// In which trace something works, to take it to where it goes on.
#[derive(Clone, Debug, Default)]
pub struct Here {
    tracer: Tracer,
    context: Option<TraceContext>,
}

impl Here {
    /// Works in it.
    pub async fn within<F: Future>(self, work: F) -> F::Output {
        HERE.scope(self, work).await
    }
}

/// In which trace this task works.
pub fn here() -> Here {
    HERE.try_with(Here::clone).unwrap_or_default()
}

/// The context of it.
pub fn context() -> Option<TraceContext> {
    HERE.try_with(|here| here.context.clone()).ok().flatten()
}

/// A part of what this task does. Recorded only as a part of something that is: nothing begins with it.
pub fn part(kind: Kind, name: &'static str) -> Span {
    HERE.try_with(|here| match &here.context {
        Some(context) if context.is_sampled() => here.tracer.begin(kind, name, Some(context)),
        context => Span { context: context.clone(), tracer: here.tracer.clone(), record: None },
    })
    .unwrap_or_else(|_| Span::none())
}
