//! `/metrics`: what is measured, and how everything stands when somebody asks. On an address of its own, since it is for
//! operators and not for callers.

use std::fmt;
use std::sync::Arc;

use axum::Router;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;
use keyherald_core::id::SubscriptionId;
use keyherald_store::COMMIT_SIZES;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeCounterValue, EncodeGaugeValue, EncodeLabelSet, NoLabelSet,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use crate::app::App;
use crate::complaint::Complaint;
use crate::config::Config;
use crate::deliver;
use crate::http::{Limits, Server};
use crate::life::{Life, Task};
use crate::telemetry::metrics::Requests;
use crate::trace::Tracer;

/// What is shown.
pub(super) struct Shown {
    pub(super) app: App,
    pub(super) relay: Arc<deliver::Counters>,
    pub(super) requests: Requests,
    pub(super) tracer: Tracer,
}

/// Serves `/metrics` where the configuration wants it, and answers where that is.
pub(super) async fn spawn(life: &Life, config: &Config, shown: Shown) -> Result<Option<String>, Complaint> {
    let Some(listen) = config.metrics.listen else { return Ok(None) };
    let server = Server::bind(listen, router(registry(shown)), Limits::from(&config.server)).await;
    let server = server.map_err(|error| Complaint::because(&format!("cannot serve metrics on {listen}"), &error))?;
    let address =
        server.address().map_err(|error| Complaint::because("the address of metrics is not known", &error))?;
    life.spawn_once(Task::Metrics, move |stop| server.serve(stop));
    let url = format!("http://{address}/metrics");
    tracing::info!(url, "metrics at {url}");
    Ok(Some(url))
}

fn router(registry: Registry) -> Router {
    let registry = Arc::new(registry);
    Router::new().route("/metrics", get(move || async move { scrape(&registry) }))
}

fn scrape(registry: &Registry) -> impl IntoResponse + use<> {
    let mut text = String::new();
    match encode(&mut text, registry) {
        Ok(()) => {
            let media_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            (StatusCode::OK, [(CONTENT_TYPE, media_type)], text)
        }
        Err(_) => (StatusCode::INTERNAL_SERVER_ERROR, [(CONTENT_TYPE, "text/plain")], String::new()),
    }
}

fn registry(shown: Shown) -> Registry {
    let mut registry = Registry::with_prefix("keyherald");
    let version = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
    registry.register("build", "The program", version);
    shown.requests.register(&mut registry);
    shown.relay.deliveries().register(&mut registry);
    registry.register_collector(Box::new(Standing { app: shown.app, relay: shown.relay, tracer: shown.tracer }));
    registry
}

/// How everything stands.
struct Standing {
    app: App,
    relay: Arc<deliver::Counters>,
    tracer: Tracer,
}

impl fmt::Debug for Standing {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Standing")
    }
}

impl Collector for Standing {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut to = Writer(&mut encoder);
        self.hashing(&mut to)?;
        self.store(&mut to)?;
        self.operations(&mut to)?;
        self.traces(&mut to)?;
        self.relay(&mut to)
    }
}

impl Standing {
    fn hashing(&self, to: &mut Writer<'_, '_>) -> fmt::Result {
        let hash = self.app.hash.counters();
        let jobs = [
            ("verified", hash.verified),
            ("dummy", hash.dummy),
            ("hashed", hash.hashed),
            ("refused", hash.refused),
            ("expired", hash.expired),
            ("cancelled", hash.cancelled),
            ("failed", hash.failed),
        ];
        to.counters("hash_jobs", "Jobs of the hashing pool, by how they ended", "end", &jobs)?;
        to.gauge("hash_queue_length", "Jobs that wait for a hashing worker", &hash.queued)?;
        to.gauge("hash_workers", "Hashing workers that live", &hash.workers)?;
        to.gauge("hash_workers_busy", "Hashing workers that hash now", &hash.busy_workers)?;
        let seconds = std::time::Duration::from_micros(hash.mean_cost_us).as_secs_f64();
        to.gauge("hash_cost_seconds", "Time of one hash on one worker, smoothed", &seconds)
    }

    fn store(&self, to: &mut Writer<'_, '_>) -> fmt::Result {
        let store = self.app.store.counters();
        let help = "Statements sent to the database";
        to.counters(
            "store_statements",
            help,
            "kind",
            &[("read", store.read_statements), ("write", store.write_statements)],
        )?;
        let help = "Queries of messages that the replica has answered";
        to.counter("store_replica_queries", help, &store.replica_queries)?;
        if let Some(staleness) = self.app.store.staleness() {
            to.gauge(
                "store_replica_staleness_seconds",
                "How far the replica is behind, at most",
                &staleness.as_secs_f64(),
            )?;
        }
        let mut metric = to.0.encode_descriptor(
            "store_commit_writes",
            "Commits, by how many writes shared one",
            None,
            MetricType::Histogram,
        )?;
        let bound = |max: u32| if max == u32::MAX { f64::MAX } else { f64::from(max) };
        let bounds = COMMIT_SIZES.iter().copied().map(bound);
        let buckets: Vec<(f64, u64)> = bounds.zip(store.commit_sizes).collect();
        let writes = u32::try_from(store.writes).map_or(f64::from(u32::MAX), f64::from);
        metric.encode_histogram::<NoLabelSet>(writes, store.commits, &buckets, None)
    }

    fn operations(&self, to: &mut Writer<'_, '_>) -> fmt::Result {
        let operations = self.app.operations.figures();
        let ends = [
            ("begun", operations.begun),
            ("resumed", operations.resumed),
            ("committed", operations.committed),
            ("released", operations.released),
            ("diverged", operations.diverged),
        ];
        to.counters("operations", "Changes at an identity provider, by what became of them", "event", &ends)
    }

    fn traces(&self, to: &mut Writer<'_, '_>) -> fmt::Result {
        let spans = self.tracer.figures();
        let ends = [("exported", spans.exported), ("dropped", spans.dropped), ("refused", spans.refused)];
        to.counters("trace_spans", "Spans, by what became of them", "end", &ends)
    }

    fn relay(&self, to: &mut Writer<'_, '_>) -> fmt::Result {
        let (relay, now) = (self.relay.figures(), self.app.moments.now());
        to.counter("dead_letters", "Messages that were put aside", &relay.dead)?;
        to.gauge("partitions", "Partitions of 64 that this process delivers", &relay.partitions)?;
        let help = "How long the log's end has waited for an older transaction";
        to.gauge("horizon_age_seconds", help, &relay.horizon_age.as_secs_f64())?;
        let label = |id: &SubscriptionId| Subscription { subscription: id.to_string() };
        let of = |value: fn(&deliver::Gauge) -> i64| -> Vec<_> {
            relay.subscriptions.iter().map(|(id, gauge)| (label(id), value(gauge))).collect()
        };
        to.gauges(
            "subscription_lag_positions",
            "Entries of the log that were not looked at yet",
            &of(|gauge| gauge.lag),
        )?;
        let help = "Messages in memory, with those on their way";
        to.gauges("subscription_waiting_messages", help, &of(|gauge| whole(gauge.buffered)))?;
        to.gauges("subscription_sending_messages", "Messages on their way", &of(|gauge| whole(gauge.sending)))?;
        let help = "Customers whose messages wait for a retry or for an operator";
        to.gauges("subscription_parked_customers", help, &of(|gauge| whole(gauge.parked)))?;
        let help = "1: nothing is sent, because the destination fails";
        to.gauges("subscription_resting", help, &of(|gauge| i64::from(gauge.resting)))?;
        let age = |gauge: &deliver::Gauge| gauge.oldest.map_or(0.0, |at| seconds(now.0.saturating_sub(at.0)));
        let ages: Vec<_> = relay.subscriptions.iter().map(|(id, gauge)| (label(id), age(gauge))).collect();
        to.gauges("subscription_lag_seconds", "Age of the oldest message that has not arrived", &ages)
    }
}

fn whole(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn seconds(micros: i64) -> f64 {
    std::time::Duration::from_micros(u64::try_from(micros).unwrap_or(0)).as_secs_f64()
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Subscription {
    subscription: String,
}

/// Writes families whose values are at hand.
struct Writer<'w, 'e>(&'w mut DescriptorEncoder<'e>);

impl Writer<'_, '_> {
    fn gauge<V: EncodeGaugeValue>(&mut self, name: &str, help: &str, value: &V) -> fmt::Result {
        self.0.encode_descriptor(name, help, None, MetricType::Gauge)?.encode_gauge(value)
    }

    fn gauges<V: EncodeGaugeValue>(&mut self, name: &str, help: &str, values: &[(Subscription, V)]) -> fmt::Result {
        let mut metric = self.0.encode_descriptor(name, help, None, MetricType::Gauge)?;
        values.iter().try_for_each(|(label, value)| metric.encode_family(label)?.encode_gauge(value))
    }

    fn counter<V: EncodeCounterValue>(&mut self, name: &str, help: &str, value: &V) -> fmt::Result {
        let mut metric = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        metric.encode_counter::<NoLabelSet, _, u64>(value, None)
    }

    fn counters(&mut self, name: &str, help: &str, label: &str, values: &[(&str, u64)]) -> fmt::Result {
        let mut metric = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        values.iter().try_for_each(|(word, value)| {
            metric.encode_family(&[(label, *word)])?.encode_counter::<NoLabelSet, _, u64>(value, None)
        })
    }
}
