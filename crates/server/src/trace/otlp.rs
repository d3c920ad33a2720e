//! Spans as the bytes of OTLP: `ExportTraceServiceRequest` in Protobuf (OpenTelemetry Protocol 1.x, HTTP binding).

use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status, span, status};
use prost::Message;

use super::{Kind, Recorded, Value};

/// The media type.
pub(super) const MEDIA_TYPE: &str = "application/x-protobuf";

/// A request with these spans of the process that `resource` describes.
pub(super) fn request(spans: Vec<Recorded>, resource: &[(&'static str, String)]) -> Vec<u8> {
    let described = |(key, value): &(&'static str, String)| attribute(key, &Value::Text(value.clone().into()));
    let scope = InstrumentationScope {
        name: "keyherald".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..InstrumentationScope::default()
    };
    let scope_spans =
        ScopeSpans { scope: Some(scope), spans: spans.into_iter().map(span_of).collect(), ..ScopeSpans::default() };
    let resource = Resource { attributes: resource.iter().map(described).collect(), ..Resource::default() };
    let resource_spans =
        ResourceSpans { resource: Some(resource), scope_spans: vec![scope_spans], ..ResourceSpans::default() };
    ExportTraceServiceRequest { resource_spans: vec![resource_spans] }.encode_to_vec()
}

/// How many spans a collector that took a request does not want.
pub(super) fn refused(answer: &[u8]) -> usize {
    let partial = ExportTraceServiceResponse::decode(answer).ok().and_then(|answer| answer.partial_success);
    partial.and_then(|partial| usize::try_from(partial.rejected_spans).ok()).unwrap_or(0)
}

fn span_of(recorded: Recorded) -> Span {
    let Recorded { context, parent, link, kind, name, begun, took, attributes, failed } = recorded;
    let kind = match kind {
        Kind::Internal => span::SpanKind::Internal,
        Kind::Server => span::SpanKind::Server,
        Kind::Client => span::SpanKind::Client,
        Kind::Producer => span::SpanKind::Producer,
    };
    let link = link.map(|to| span::Link {
        trace_id: to.trace.bytes().to_vec(),
        span_id: to.span.bytes().to_vec(),
        trace_state: to.tracestate().unwrap_or_default().to_owned(),
        flags: to.flags().into(),
        ..span::Link::default()
    });
    let failure = || Status { code: status::StatusCode::Error.into(), message: String::new() };
    Span {
        trace_id: context.trace.bytes().to_vec(),
        span_id: context.span.bytes().to_vec(),
        trace_state: context.tracestate().unwrap_or_default().to_owned(),
        parent_span_id: parent.map(|parent| parent.bytes().to_vec()).unwrap_or_default(),
        flags: context.flags().into(),
        name: name.into_owned(),
        kind: kind.into(),
        start_time_unix_nano: begun,
        end_time_unix_nano: begun.saturating_add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX)),
        attributes: attributes.iter().map(|(key, value)| attribute(key, value)).collect(),
        links: link.into_iter().collect(),
        status: failed.then(failure),
        ..Span::default()
    }
}

fn attribute(key: &str, value: &Value) -> KeyValue {
    let value = match value {
        Value::Text(text) => any_value::Value::StringValue(text.clone().into_owned()),
        Value::Number(number) => any_value::Value::IntValue(*number),
        Value::Flag(flag) => any_value::Value::BoolValue(*flag),
    };
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}
