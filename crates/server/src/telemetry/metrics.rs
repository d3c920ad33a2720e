//! What is measured where it happens: requests and deliveries, by how they ended and how long they took.
//!
//! Told, not asked: whoever does the work says when it is done. What others keep anyway (queues, lanes, commits) is read by
//! `boot` when somebody asks. No label has a value that a caller chooses: routes are patterns, the rest are ids and words.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::{Family, MetricConstructor};
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

/// Upper bounds in seconds for what a caller waits for.
const WAITS: [f64; 12] = [0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
/// Upper bounds in seconds for how long a message is on its way: from milliseconds to the days of a broken receiver.
const WAYS: [f64; 14] = [0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 60.0, 600.0, 3600.0, 86_400.0];

/// Makes histograms with these bounds.
#[derive(Clone, Copy, Debug)]
struct Bounds(&'static [f64]);

impl MetricConstructor<Histogram> for Bounds {
    fn new_metric(&self) -> Histogram {
        Histogram::new(self.0.iter().copied())
    }
}

/// Requests that were answered.
#[derive(Clone, Debug)]
pub struct Requests {
    answered: Family<Answered, Counter>,
    seconds: Family<Route, Histogram, Bounds>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answered {
    method: &'static str,
    route: String,
    status: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Route {
    method: &'static str,
    route: String,
}

impl Default for Requests {
    fn default() -> Self {
        Self { answered: Family::default(), seconds: Family::new_with_constructor(Bounds(&WAITS)) }
    }
}

impl Requests {
    /// A request of this shape is over. Status 0: its client went away before the answer.
    pub fn answered(&self, method: &'static str, route: &str, status: u16, took: Duration) {
        let label = Answered { method, route: route.to_owned(), status };
        self.answered.get_or_create_owned(&label).inc();
        let label = Route { method, route: route.to_owned() };
        self.seconds.get_or_create_owned(&label).observe(took.as_secs_f64());
    }

    /// Shows it in `registry`.
    pub fn register(&self, registry: &mut Registry) {
        let help = "Requests by method, route and status; status 0: the client went away";
        registry.register("http_requests", help, self.answered.clone());
        let help = "Time from a request's head to the last byte of its answer";
        registry.register_with_unit("http_request_duration", help, Unit::Seconds, self.seconds.clone());
    }
}

/// Attempts to deliver.
#[derive(Clone, Debug)]
pub struct Deliveries {
    attempts: Family<Attempt, Counter>,
    seconds: Family<Kind, Histogram, Bounds>,
    latency: Family<Kind, Histogram, Bounds>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Attempt {
    project: String,
    subscription: String,
    destination: String,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Kind {
    destination: String,
}

impl Default for Deliveries {
    fn default() -> Self {
        Self {
            attempts: Family::default(),
            seconds: Family::new_with_constructor(Bounds(&WAITS)),
            latency: Family::new_with_constructor(Bounds(&WAYS)),
        }
    }
}

impl Deliveries {
    /// An attempt of `subscription` in `project` to reach a `destination` of this kind ended as `outcome` says, `took` after it
    /// began.
    pub fn attempted(
        &self,
        (project, subscription): (&str, &str),
        destination: &str,
        outcome: &'static str,
        took: Duration,
    ) {
        let (project, subscription, destination) =
            (project.to_owned(), subscription.to_owned(), destination.to_owned());
        self.seconds.get_or_create_owned(&Kind { destination: destination.clone() }).observe(took.as_secs_f64());
        self.attempts.get_or_create_owned(&Attempt { project, subscription, destination, outcome }).inc();
    }

    /// A message arrived for the first time, `after` it came about.
    pub fn arrived(&self, destination: &str, after: Duration) {
        self.latency.get_or_create_owned(&Kind { destination: destination.to_owned() }).observe(after.as_secs_f64());
    }

    /// Shows it in `registry`.
    pub fn register(&self, registry: &mut Registry) {
        let help = "Attempts to deliver, by how they ended";
        registry.register("delivery_attempts", help, self.attempts.clone());
        let help = "Time of an attempt to deliver";
        registry.register_with_unit("delivery_attempt_duration", help, Unit::Seconds, self.seconds.clone());
        let help =
            "Time from a message's commit to its acceptance by a receiver; messages that are sent again do not count";
        registry.register_with_unit("delivery_latency", help, Unit::Seconds, self.latency.clone());
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::text::encode;

    use super::*;

    fn shown(register: impl FnOnce(&mut Registry)) -> String {
        let mut registry = Registry::with_prefix("keyherald");
        register(&mut registry);
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        text
    }

    #[test]
    fn requests_are_counted_by_route_and_timed() {
        let requests = Requests::default();
        requests.answered("GET", "/{projectKey}/customers/{id}", 200, Duration::from_millis(3));
        requests.answered("GET", "/{projectKey}/customers/{id}", 404, Duration::from_millis(30));
        let text = shown(|registry| requests.register(registry));
        let route = r#"method="GET",route="/{projectKey}/customers/{id}""#;
        for line in [
            format!(r#"keyherald_http_requests_total{{{route},status="200"}} 1"#),
            format!(r#"keyherald_http_requests_total{{{route},status="404"}} 1"#),
            format!(r#"keyherald_http_request_duration_seconds_bucket{{le="0.002",{route}}} 0"#),
            format!(r#"keyherald_http_request_duration_seconds_bucket{{le="0.005",{route}}} 1"#),
            format!("keyherald_http_request_duration_seconds_count{{{route}}} 2"),
        ] {
            assert!(text.lines().any(|shown| shown == line), "{line} in\n{text}");
        }
    }

    #[test]
    fn attempts_are_counted_by_outcome() {
        let deliveries = Deliveries::default();
        deliveries.attempted(("demo", "s-1"), "Webhook", "temporary", Duration::from_secs(15));
        deliveries.attempted(("demo", "s-1"), "Webhook", "delivered", Duration::from_millis(1));
        deliveries.arrived("Webhook", Duration::from_secs(20));
        let text = shown(|registry| deliveries.register(registry));
        for line in [
            r#"keyherald_delivery_attempts_total{project="demo",subscription="s-1",destination="Webhook",outcome="temporary"} 1"#,
            r#"keyherald_delivery_attempt_duration_seconds_count{destination="Webhook"} 2"#,
            r#"keyherald_delivery_latency_seconds_bucket{le="5.0",destination="Webhook"} 0"#,
            r#"keyherald_delivery_latency_seconds_bucket{le="60.0",destination="Webhook"} 1"#,
        ] {
            assert!(text.lines().any(|shown| shown == line), "{line} in\n{text}");
        }
    }
}
