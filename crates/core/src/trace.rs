//! W3C Trace Context: by which ids a request, and all that it causes, are found again in the tracing of whoever made it
//! (standards.md 4.6).
//!
//! Read strictly: what is not a `traceparent` is none, and the trace begins anew. Nothing in it is personal; the ids are
//! drawn by chance. What a caller says in `tracestate` is opaque to us and passed on as far as its limits go.

use std::fmt;
use std::str::FromStr;

/// The header, field, property or attribute that has a context's ids.
pub const TRACEPARENT: &str = "traceparent";
/// The one beside it that has what tracing systems add.
pub const TRACESTATE: &str = "tracestate";

/// Longest `tracestate` that is passed on, in bytes: what everybody must be able to pass on.
pub const STATE_BYTES_MAX: usize = 512;
/// Longest `tracestate` that is looked at, in bytes.
const READ_BYTES_MAX: usize = 8 * 1024;
/// Most entries of a `tracestate`.
const ENTRIES_MAX: usize = 32;
/// Entries longer than this are the first to be left out when there is no room for all.
const ENTRY_BYTES_MAX: usize = 128;

/// Bit 0 of the flags: whoever made the span has recorded it.
const SAMPLED: u8 = 1;
/// Bit 1 (Level 2): the trace's id was drawn by chance.
const RANDOM: u8 = 2;

/// A trace: all that one cause has led to.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceId([u8; 16]);

/// A span: one piece of work in a trace.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SpanId([u8; 8]);

impl TraceId {
    /// Of these bytes. All zeros are no id: the last one becomes 1.
    pub fn new(bytes: [u8; 16]) -> Self {
        Self(u128::from_be_bytes(bytes).max(1).to_be_bytes())
    }

    /// Its bytes.
    pub fn bytes(&self) -> [u8; 16] {
        self.0
    }

    /// The share of all traces that lie below this one, of 2^56: by it a trace is sampled or not, and whoever else goes by
    /// its last seven bytes decides the same.
    pub fn share(&self) -> u64 {
        u64::try_from(u128::from_be_bytes(self.0) & ((1 << 56) - 1)).unwrap_or(0)
    }
}

impl SpanId {
    /// Of these bytes. All zeros are no id: the last one becomes 1.
    pub fn new(bytes: [u8; 8]) -> Self {
        Self(u64::from_be_bytes(bytes).max(1).to_be_bytes())
    }

    /// Its bytes.
    pub fn bytes(&self) -> [u8; 8] {
        self.0
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", u64::from_be_bytes(self.0))
    }
}

impl fmt::Debug for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A place in a trace: whatever follows from it names it as its parent.
///
/// Its text is the `traceparent`, followed by a space and the `tracestate` if there is one: so it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceContext {
    /// The trace.
    pub trace: TraceId,
    /// The span in it.
    pub span: SpanId,
    flags: u8,
    state: Option<Box<str>>,
}

/// Text that is no context.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no trace context")]
pub struct NotAContext;

impl TraceContext {
    /// The first span of a trace whose id was drawn by chance.
    pub fn root(trace: TraceId, span: SpanId, is_sampled: bool) -> Self {
        Self { trace, span, flags: RANDOM | u8::from(is_sampled), state: None }
    }

    /// What a caller has sent. `None`: its `traceparent` is none. A `tracestate` that breaks its rules is left out.
    pub fn read(traceparent: &str, tracestate: Option<&str>) -> Option<Self> {
        let (trace, span, flags) = parent(traceparent.as_bytes())?;
        Some(Self { trace, span, flags, state: tracestate.and_then(state) })
    }

    /// Another span of the same trace.
    #[must_use]
    pub fn with_span(&self, span: SpanId) -> Self {
        Self { span, ..self.clone() }
    }

    /// The same without what tracing systems have added.
    #[must_use]
    pub fn without_state(self) -> Self {
        Self { state: None, ..self }
    }

    /// Whether the span is recorded: what follows from it is, too.
    pub fn is_sampled(&self) -> bool {
        self.flags & SAMPLED != 0
    }

    /// The flags, of which only those that are defined are passed on.
    pub fn flags(&self) -> u8 {
        self.flags
    }

    /// `00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01`.
    pub fn traceparent(&self) -> String {
        format!("00-{}-{}-{:02x}", self.trace, self.span, self.flags)
    }

    /// What tracing systems have added, at most [`STATE_BYTES_MAX`].
    pub fn tracestate(&self) -> Option<&str> {
        self.state.as_deref()
    }

    /// Name and value of each header, field, property or attribute that takes it to others.
    pub fn fields(&self) -> impl Iterator<Item = (&'static str, String)> {
        let state = self.tracestate().map(|state| (TRACESTATE, state.to_owned()));
        [(TRACEPARENT, self.traceparent())].into_iter().chain(state)
    }
}

impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.traceparent())?;
        self.state.iter().try_for_each(|state| write!(f, " {state}"))
    }
}

impl FromStr for TraceContext {
    type Err = NotAContext;

    fn from_str(text: &str) -> Result<Self, NotAContext> {
        let (parent, state) = text.split_once(' ').map_or((text, None), |(parent, state)| (parent, Some(state)));
        Self::read(parent, state).ok_or(NotAContext)
    }
}

impl serde::Serialize for TraceContext {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for TraceContext {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'_, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Ids and flags of a `traceparent`. Of a version that we do not know its beginning is read, as it must allow.
fn parent(text: &[u8]) -> Option<(TraceId, SpanId, u8)> {
    let (version, text) = field::<1>(text)?;
    let (trace, text) = field::<16>(text.strip_prefix(b"-")?)?;
    let (span, text) = field::<8>(text.strip_prefix(b"-")?)?;
    let ([flags], rest) = field::<1>(text.strip_prefix(b"-")?)?;
    let is_complete = match version {
        [0] => rest.is_empty(),
        [0xff] => false,
        _ => matches!(rest, [] | [b'-', ..]),
    };
    // Of another version only what `sampled` says is known; we pass the context on in ours.
    let known = if version == [0] { SAMPLED | RANDOM } else { SAMPLED };
    let is_valid = is_complete && trace != [0; 16] && span != [0; 8];
    is_valid.then_some((TraceId(trace), SpanId(span), flags & known))
}

/// `N` bytes in lower-case hex, and what follows.
fn field<const N: usize>(text: &[u8]) -> Option<([u8; N], &[u8])> {
    let (hex, rest) = text.split_at_checked(2 * N)?;
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(hex.chunks_exact(2)) {
        let [high, low] = pair else { return None };
        *byte = digit(*high)? << 4 | digit(*low)?;
    }
    Some((bytes, rest))
}

fn digit(char: u8) -> Option<u8> {
    match char {
        b'0'..=b'9' => Some(char - b'0'),
        b'a'..=b'f' => Some(char - b'a' + 10),
        _ => None,
    }
}

/// A `tracestate` within its limits. `None`: it is empty, or breaks a rule, and is left out as a whole.
fn state(text: &str) -> Option<Box<str>> {
    if text.len() > READ_BYTES_MAX {
        return None;
    }
    // Empty members are allowed, and mean nothing.
    let blank = [' ', '\t'];
    let mut entries: Vec<&str> =
        text.split(',').map(|member| member.trim_matches(blank)).filter(|member| !member.is_empty()).collect();
    let mut keys: Vec<&str> = entries.iter().map(|entry| key_of(entry)).collect::<Option<_>>()?;
    let count = keys.len();
    keys.sort_unstable();
    keys.dedup();
    if keys.len() < count || count > ENTRIES_MAX {
        return None;
    }
    // The long ones go first, then those at the end: the newest stand at the beginning.
    if bytes_of(&entries) > STATE_BYTES_MAX {
        entries.retain(|entry| entry.len() <= ENTRY_BYTES_MAX);
    }
    while bytes_of(&entries) > STATE_BYTES_MAX {
        entries.pop();
    }
    (!entries.is_empty()).then(|| entries.join(",").into_boxed_str())
}

fn bytes_of(entries: &[&str]) -> usize {
    entries.iter().map(|entry| entry.len() + 1).sum::<usize>().saturating_sub(1)
}

/// The key of an entry that keeps to the rules.
fn key_of(entry: &str) -> Option<&str> {
    let (key, value) = entry.split_once('=')?;
    (is_key(key) && is_value(value)).then_some(key)
}

fn is_key(key: &str) -> bool {
    let is_char = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-*/".contains(&byte);
    let is_name = |name: &str, bytes_max: usize| name.len() <= bytes_max && name.bytes().all(is_char);
    let begins_with = |name: &str, is_first: fn(&u8) -> bool| name.as_bytes().first().is_some_and(is_first);
    match key.split_once('@') {
        None => begins_with(key, u8::is_ascii_lowercase) && is_name(key, 256),
        Some((tenant, system)) => {
            let is_tenant = begins_with(tenant, |byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
            let is_system = begins_with(system, u8::is_ascii_lowercase);
            is_tenant && is_name(tenant, 241) && is_system && is_name(system, 14)
        }
    }
}

/// Printable ASCII without comma and equals sign, 1 to 256 bytes, not ending with a space.
fn is_value(value: &str) -> bool {
    let is_char = |byte: u8| (b' '..=b'~').contains(&byte) && byte != b',' && byte != b'=';
    (1..=256).contains(&value.len()) && value.bytes().all(is_char) && !value.ends_with(' ')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The example of the recommendation.
    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn read(traceparent: &str) -> Option<String> {
        TraceContext::read(traceparent, None).map(|context| context.traceparent())
    }

    fn state_of(tracestate: &str) -> Option<String> {
        TraceContext::read(PARENT, Some(tracestate)).unwrap().tracestate().map(str::to_owned)
    }

    #[test]
    fn a_traceparent_is_read_and_written_as_it_is() {
        let context = TraceContext::read(PARENT, None).unwrap();
        assert_eq!(context.trace.to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(context.span.to_string(), "00f067aa0ba902b7");
        assert!(context.is_sampled());
        assert_eq!(read(PARENT).as_deref(), Some(PARENT));
        assert!(!TraceContext::read(&PARENT.replace("-01", "-02"), None).unwrap().is_sampled());
    }

    #[test]
    fn what_is_not_quite_one_is_none() {
        for wrong in [
            "",
            "00",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-1",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-011",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0x",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473g-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e47-36-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00_4bf92f3577b34da6a3ce929d0e0e4736_00f067aa0ba902b7_01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "0-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01.more",
            " 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "ü0-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_later_version_is_read_at_its_beginning_and_passed_on_in_ours() {
        for later in [
            "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-ff-what-the-future-holds",
        ] {
            assert_eq!(read(later).as_deref(), Some(PARENT), "{later}");
        }
        assert_eq!(read(&PARENT.replace("-01", "-ff")), Some(PARENT.replace("-01", "-03")), "unknown flags are zero");
    }

    #[test]
    fn a_tracestate_keeps_its_order_and_loses_its_blanks() {
        assert_eq!(
            state_of("rojo=00f067aa0ba902b7,congo=t61rcWkgMzE").as_deref(),
            Some("rojo=00f067aa0ba902b7,congo=t61rcWkgMzE")
        );
        assert_eq!(state_of(" a=1 ,\t, b = x ,c@d=~").as_deref(), None, "a blank within a key");
        assert_eq!(state_of(" a=1 ,\t,b= x ,c@d=~,0t@s=2").as_deref(), Some("a=1,b= x,c@d=~,0t@s=2"));
        assert_eq!(state_of(""), None);
        assert_eq!(state_of(" , ,"), None);
    }

    #[test]
    fn a_tracestate_that_breaks_a_rule_is_left_out_and_the_trace_goes_on() {
        let many = |count: usize| (0..count).map(|number| format!("k{number}=1")).collect::<Vec<_>>().join(",");
        let wrong =
            ["a", "=1", "a=", "A=1", "1a=1", "a=1=2", "a@=1", "@a=1", "a@b@c=1", "a@1=1", "a=ü", "a=1,a=2", "a=\u{1}"];
        for wrong in wrong.into_iter().map(str::to_owned).chain([
            many(33),
            format!("{}=1", "k".repeat(257)),
            format!("a@{}=1", "k".repeat(15)),
            format!("a={}", "x".repeat(257)),
            format!("a=1{}", ",".repeat(READ_BYTES_MAX)),
        ]) {
            assert_eq!(state_of(&wrong), None, "{wrong}");
        }
        assert_eq!(state_of(&many(32)), Some(many(32)));
    }

    #[test]
    fn without_room_the_long_entries_go_first_and_then_the_last() {
        let long = format!("long={}", "x".repeat(200));
        let short = |key: char| format!("{key}={}", "x".repeat(100));
        let all = format!("{},{long},{},{},{}", short('a'), short('b'), short('c'), short('d'));
        assert_eq!(state_of(&all), Some([short('a'), short('b'), short('c'), short('d')].join(",")));
        let more = ('a'..='f').map(short).collect::<Vec<_>>();
        assert_eq!(state_of(&more.join(",")), Some(more[..4].join(",")));
    }

    #[test]
    fn its_text_is_stored_and_read_back() {
        let context = TraceContext::read(PARENT, Some("a=1 2,b=3")).unwrap();
        assert_eq!(context.to_string(), format!("{PARENT} a=1 2,b=3"));
        assert_eq!(context.to_string().parse(), Ok(context.clone()));
        let json = serde_json::to_string(&context).unwrap();
        assert_eq!(serde_json::from_str::<TraceContext>(&json).unwrap(), context);
        let fields: Vec<_> = context.fields().collect();
        assert_eq!(fields, [(TRACEPARENT, PARENT.to_owned()), (TRACESTATE, "a=1 2,b=3".to_owned())]);
        assert_eq!(context.without_state().fields().count(), 1);
        assert_eq!("".parse::<TraceContext>(), Err(NotAContext));
    }

    #[test]
    fn zeros_are_no_id() {
        let context = TraceContext::root(TraceId::new([0; 16]), SpanId::new([0; 8]), false);
        assert_eq!(read(&context.traceparent()), Some(context.traceparent()));
        assert_eq!((context.flags(), TraceId::new([0xff; 16]).share()), (RANDOM, (1 << 56) - 1));
    }

    proptest! {
        #[test]
        fn whatever_is_made_is_read_back(trace: [u8; 16], span: [u8; 8], sampled: bool) {
            let context = TraceContext::root(TraceId::new(trace), SpanId::new(span), sampled);
            prop_assert_eq!(context.traceparent().len(), 55);
            prop_assert_eq!(TraceContext::read(&context.traceparent(), None), Some(context));
        }

        /// Whatever comes, nothing panics, and what is passed on keeps to the rules and is read by others as it was here.
        #[test]
        fn whatever_comes_is_none_or_good(parent in "\\PC{0,70}|[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(-.*)?", state in "\\PC{0,900}|([a-z]{1,5}=[ -~]{0,200},?){0,40}") {
            if let Some(context) = TraceContext::read(&parent, Some(&state)) {
                prop_assert_eq!(context.traceparent().len(), 55);
                prop_assert_ne!(context.trace.bytes(), [0; 16]);
                prop_assert!(context.tracestate().is_none_or(|state| (1..=STATE_BYTES_MAX).contains(&state.len())));
                prop_assert_eq!(context.to_string().parse(), Ok(context));
            }
        }

        /// Of what is changed by one character only the flags may still be read.
        #[test]
        fn one_wrong_character_is_enough(at in 0..55_usize, char in "[^0-9a-f]") {
            let mut wrong: Vec<String> = PARENT.chars().map(String::from).collect();
            prop_assume!(wrong[at] != char);
            wrong[at] = char;
            prop_assert_eq!(read(&wrong.concat()), None);
        }
    }
}
