//! The tracer and the way to its collector, as the configuration has them.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use keyherald_store::Store;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

use crate::clock::Moments;
use crate::complaint::Complaint;
use crate::config::Config;
use crate::life::{Life, Task};
use crate::outbound::client::{ClientSettings, http_client};
use crate::outbound::guard::Guard;
use crate::trace::{self, Collector, CollectorSettings, Kind, Tracer};

/// Time to connect to the collector.
const CONNECT: Duration = Duration::from_secs(2);
/// Time for one batch: two of them fit into the end of the process.
const EXPORT: Duration = Duration::from_secs(4);

/// What makes spans, and what sends them away if a collector is configured.
pub(super) fn tracer(config: &Config, moments: &Moments) -> Result<(Tracer, Option<Collector>), Complaint> {
    let traces = &config.traces;
    let Some(url) = traces.url() else { return Ok((Tracer::default(), None)) };
    let mut headers = HeaderMap::new();
    for (name, value) in traces.headers().unwrap_or_default() {
        let (Ok(name), Ok(mut value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) else {
            return Err(Complaint::new("[traces] otlp_headers cannot be sent"));
        };
        value.set_sensitive(true);
        headers.insert(name, value);
    }
    let client = ClientSettings {
        guard: Guard::open(), // it is the operator's own, and in the operator's own network
        connect_timeout: CONNECT,
        attempt_timeout: EXPORT,
        idle_max: 1,
        tls: None,
    };
    let http = http_client(&client).map_err(|error| Complaint::because("traces cannot be sent", &error))?;
    let instance = config.node.name.clone();
    let resource = vec![
        ("service.name", traces.service_name.clone()),
        ("service.version", env!("CARGO_PKG_VERSION").to_owned()),
        ("service.instance.id", instance.unwrap_or_else(|| uuid::Uuid::from_bytes(moments.ctx().bytes()).to_string())),
    ];
    let settings = CollectorSettings { url, headers, resource, ratio: traces.sample_ratio };
    let draw = moments.clone();
    let (tracer, collector) = Collector::new(settings, http, Arc::new(move || draw.ctx()));
    Ok((tracer, Some(collector)))
}

/// Sends spans for as long as there may be any, and has the writes of requests among them.
pub(super) fn spawn(life: &Life, store: &Store, collector: Option<Collector>) {
    let Some(collector) = collector.map(Arc::new) else { return };
    let engine = if store.engine_name() == "sqlite" { "sqlite" } else { "postgresql" };
    store.watch_writes(Box::new(move || {
        let mut span = trace::part(Kind::Client, "COMMIT");
        span.say("db.system.name", engine);
        span.say("db.operation.name", "COMMIT");
        span.is_recorded().then(|| -> Box<dyn Any + Send> { Box::new(span) })
    }));
    life.spawn(Task::Traces, move |stop| {
        let collector = collector.clone();
        async move {
            collector.run(async move { stop.requested().await }).await;
            Ok(())
        }
    });
}
