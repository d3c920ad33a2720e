//! The trace that a request says it belongs to (W3C Trace Context, standards.md 4.6).

use axum::http::HeaderMap;
use keyherald_core::trace::{TRACEPARENT, TRACESTATE, TraceContext};

/// What the headers name, strictly read. `None`: they name none, or nothing that is one; several `traceparent` are none.
/// `tracestate`, of which several lines are one list, is read only where it is kept.
pub(super) fn named(headers: &HeaderMap, keeps_state: bool) -> Option<TraceContext> {
    let mut lines = headers.get_all(TRACEPARENT).iter();
    let (Some(parent), None) = (lines.next(), lines.next()) else { return None };
    let parent = parent.to_str().ok()?;
    let states: Result<Vec<&str>, _> = headers.get_all(TRACESTATE).iter().map(|line| line.to_str()).collect();
    let state = states.ok().filter(|_| keeps_state).map(|lines| lines.join(","));
    TraceContext::read(parent, state.as_deref())
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn text(lines: &[(&'static str, &[u8])], keeps_state: bool) -> Option<String> {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, HeaderValue::from_bytes(value).unwrap());
        }
        named(&headers, keeps_state).map(|context| context.to_string())
    }

    #[test]
    fn one_traceparent_is_read_and_several_are_none() {
        let parent = (TRACEPARENT, PARENT.as_bytes());
        assert_eq!(text(&[parent], true).as_deref(), Some(PARENT));
        assert_eq!(text(&[parent, parent], true), None);
        assert_eq!(text(&[], true), None);
        assert_eq!(text(&[(TRACEPARENT, b"00-\xff")], true), None);
        assert_eq!(text(&[(TRACESTATE, b"a=1")], true), None);
    }

    #[test]
    fn tracestate_is_one_list_and_kept_only_where_it_is_wanted() {
        let lines: [(&'static str, &[u8]); 3] =
            [(TRACEPARENT, PARENT.as_bytes()), (TRACESTATE, b"a=1"), (TRACESTATE, b"b=2")];
        assert_eq!(text(&lines, true), Some(format!("{PARENT} a=1,b=2")));
        assert_eq!(text(&lines, false).as_deref(), Some(PARENT));
        let wrong: [(&'static str, &[u8]); 2] = [(TRACEPARENT, PARENT.as_bytes()), (TRACESTATE, b"a=\xfc")];
        assert_eq!(text(&wrong, true).as_deref(), Some(PARENT));
    }
}
