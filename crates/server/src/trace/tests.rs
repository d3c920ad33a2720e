//! Which spans are made and what they say, and that no collector is ever waited for.

use keyherald_core::trace::TraceContext;

use super::*;

const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

fn context(flags: &str) -> TraceContext {
    PARENT.replace("-01", flags).parse().unwrap()
}

fn tracer(ratio: f64, waiting_max: usize) -> (Tracer, mpsc::Receiver<Recorded>) {
    let drawn = AtomicU64::new(0);
    let draw: Draw = Arc::new(move || {
        let mut seed = [0; 32];
        seed[..8].copy_from_slice(&drawn.fetch_add(1, Ordering::Relaxed).to_be_bytes());
        Ctx::new(Micros(1_763_784_000_123_000), seed)
    });
    let (tracer, spans, _) = Tracer::new(draw, ratio, waiting_max);
    (tracer, spans)
}

fn ended(spans: &mut mpsc::Receiver<Recorded>) -> Vec<Recorded> {
    std::iter::from_fn(|| spans.try_recv().ok()).collect()
}

#[tokio::test]
async fn without_a_collector_contexts_go_on_as_they_came_and_none_is_made_up() {
    let tracer = Tracer::default();
    assert_eq!(tracer.begin(Kind::Server, "request", None).context(), None);
    let span = tracer.begin(Kind::Server, "request", Some(&context("-01")));
    assert_eq!((span.context(), span.is_recorded()), (Some(&context("-01")), false));
    let seen = span.here().within(async { (super::context(), part(Kind::Internal, "hash").is_recorded()) }).await;
    assert_eq!(seen, (Some(context("-01")), false));
    assert_eq!(super::context(), None);
}

#[tokio::test]
async fn a_span_is_a_child_of_what_it_follows_from_and_its_parts_are_its_children() {
    let (tracer, mut spans) = tracer(0.0, 8);
    let mut request = tracer.begin(Kind::Server, "request", Some(&context("-01")));
    request.say("http.response.status_code", 200_u16);
    request.rename(|| "POST /x".to_owned());
    request
        .here()
        .within(async {
            let mut part = part(Kind::Internal, "hash");
            part.fail("overloaded");
        })
        .await;
    let delivery = tracer.begin(Kind::Producer, "send", request.context()).linked(request.context());
    drop((request, delivery));
    let [part, request, delivery] = &ended(&mut spans)[..] else { panic!("three spans") };
    assert_eq!(request.context.trace, context("-01").trace);
    assert_eq!(request.parent, Some(context("-01").span));
    assert_eq!((&*request.name, request.failed), ("POST /x", false));
    assert_eq!(request.attributes, [("http.response.status_code", Value::Number(200))]);
    assert_eq!((part.parent, part.failed), (Some(request.context.span), true));
    assert_eq!(part.attributes, [("error.type", Value::Text("overloaded".into()))]);
    assert_eq!((delivery.parent, &delivery.link), (Some(request.context.span), &Some(request.context.clone())));
    assert!(part.begun >= 1_763_784_000_123_000_000 && part.begun < 1_763_784_100_000_000_000);
}

#[tokio::test]
async fn what_a_parent_has_not_recorded_is_not_recorded_and_goes_on_unchanged() {
    let (tracer, mut spans) = tracer(1.0, 8);
    let span = tracer.begin(Kind::Server, "request", Some(&context("-00")));
    assert_eq!(span.context(), Some(&context("-00")));
    let is_recorded = span.here().within(async { part(Kind::Internal, "hash").is_recorded() }).await;
    drop(span);
    assert!(!is_recorded && ended(&mut spans).is_empty());
    assert!(!part(Kind::Internal, "hash").is_recorded(), "nothing begins with a part");
}

#[test]
fn the_ratio_decides_of_traces_that_begin_here() {
    let share_of = |ratio| {
        let (tracer, _spans) = tracer(ratio, 8);
        (0..1000).filter(|_| tracer.begin(Kind::Server, "request", None).is_recorded()).count()
    };
    assert_eq!((share_of(0.0), share_of(1.0)), (0, 1000));
    assert!((200..300).contains(&share_of(0.25)), "{}", share_of(0.25));
    let (tracer, _spans) = tracer(0.0, 8);
    let unsampled = tracer.begin(Kind::Server, "request", None);
    assert!(unsampled.context().is_some_and(|context| !context.is_sampled()), "others must decide the same");
}

#[test]
fn spans_without_room_are_dropped_and_counted_and_nobody_waits() {
    let (tracer, mut spans) = tracer(1.0, 2);
    for _ in 0..5 {
        drop(tracer.begin(Kind::Server, "request", None));
    }
    assert_eq!(tracer.figures(), Figures { dropped: 3, ..Figures::default() });
    assert_eq!(ended(&mut spans).len(), 2);
    drop(spans);
    drop(tracer.begin(Kind::Server, "request", None));
    assert_eq!(tracer.figures().dropped, 4);
}

#[test]
fn bytes_are_those_of_the_protocol() {
    use opentelemetry_proto::tonic::collector::trace::v1::{
        ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
    };
    use prost::Message;

    let (tracer, mut spans) = tracer(1.0, 8);
    let parent = TraceContext::read(PARENT, Some("a=1")).unwrap();
    let mut span = tracer.begin(Kind::Producer, "send", Some(&parent)).linked(Some(&parent));
    span.say("keyherald.replay", true);
    span.fail("refused");
    drop(span);
    let bytes = otlp::request(ended(&mut spans), &[("service.name", "shop".to_owned())]);
    let read = ExportTraceServiceRequest::decode(&*bytes).unwrap();
    let resource = read.resource_spans[0].resource.as_ref().unwrap();
    assert_eq!(resource.attributes[0].key, "service.name");
    let span = &read.resource_spans[0].scope_spans[0].spans[0];
    assert_eq!(span.trace_id, parent.trace.bytes());
    assert_eq!(span.parent_span_id, parent.span.bytes());
    assert_eq!((span.kind, &*span.trace_state, span.flags), (4, "a=1", 1));
    assert_eq!(span.links[0].span_id, parent.span.bytes());
    assert_eq!(span.status.as_ref().map(|status| status.code), Some(2));
    assert!(span.end_time_unix_nano >= span.start_time_unix_nano);
    let partial = ExportTracePartialSuccess { rejected_spans: 3, error_message: String::new() };
    let answer = ExportTraceServiceResponse { partial_success: Some(partial) };
    assert_eq!((otlp::refused(&answer.encode_to_vec()), otlp::refused(b""), otlp::refused(b"{}")), (3, 0, 0));
}
