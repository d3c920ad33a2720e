//! Sends spans to the collector that the configuration names, in batches: OTLP over HTTP.
//!
//! Nobody waits for it. Spans wait in a bounded queue; while the collector is away a batch is tried some times, what does not
//! fit meanwhile is dropped, and both are counted. At a clean stop what waits is sent once more, within the time that there is.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::Shared;
use reqwest::header::{CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use reqwest::{Client, StatusCode};
use tokio::sync::{Mutex, mpsc};
use tokio::time::{Instant, sleep, sleep_until};
use url::Url;

use super::{Counts, Draw, Recorded, Tracer, WAITING_MAX, otlp};

/// Most spans of one request.
const BATCH_MAX: usize = 512;
/// How long a batch is gathered after its first span.
const GATHER: Duration = Duration::from_secs(1);
/// How often a batch is sent before it is given up.
const TRIES_MAX: u32 = 5;
/// First wait before another try; doubled each time.
const AGAIN_FIRST: Duration = Duration::from_secs(1);
/// Longest wait, also where the collector asks for more.
const AGAIN_MAX: Duration = Duration::from_secs(30);
/// Longest answer that is read, in bytes.
const ANSWER_BYTES_MAX: u64 = 64 * 1024;

/// Where spans go, and what is said of this process there.
pub struct CollectorSettings {
    /// The very URL that is posted to.
    pub url: Url,
    /// Sent with each request; may be secret.
    pub headers: HeaderMap,
    /// Attributes of the resource: `service.name` and the like.
    pub resource: Vec<(&'static str, String)>,
    /// Which share of the traces that begin here is sampled, from 0 to 1.
    pub ratio: f64,
}

/// The way to the collector.
pub struct Collector {
    http: Client,
    settings: CollectorSettings,
    spans: Mutex<mpsc::Receiver<Recorded>>,
    counts: Arc<Counts>,
}

/// What became of one try.
enum Tried {
    Taken {
        refused: usize,
    },
    Refused(StatusCode),
    /// Worth another try, after this time if the collector says so.
    Later(&'static str, Option<Duration>),
}

impl Collector {
    /// A tracer, and what sends its spans while [`Collector::run`] is at work. The client must not follow redirects: headers
    /// are for the collector alone.
    pub fn new(settings: CollectorSettings, http: Client, draw: Draw) -> (Tracer, Self) {
        let (tracer, spans, counts) = Tracer::new(draw, settings.ratio, WAITING_MAX);
        (tracer, Self { http, settings, spans: Mutex::new(spans), counts })
    }

    /// Sends until `stop`, and then what still waits, each batch once and only as long as that succeeds.
    pub async fn run(&self, stop: impl Future<Output = ()>) {
        let stop = stop.shared();
        let mut spans = self.spans.lock().await;
        let mut is_away = false;
        while !is_ready(&stop) {
            let mut batch = Vec::new();
            tokio::select! {
                taken = spans.recv_many(&mut batch, BATCH_MAX) => if taken == 0 { break },
                () = stop.clone() => break,
            }
            gather(&mut spans, &mut batch, &stop).await;
            self.send(batch, &stop, &mut is_away).await;
        }
        spans.close();
        let mut batch = Vec::new();
        while spans.recv_many(&mut batch, BATCH_MAX).await > 0 {
            let batch = std::mem::take(&mut batch);
            if is_away {
                Counts::add(&self.counts.dropped, batch.len());
            } else {
                self.send(batch, &stop, &mut is_away).await;
            }
        }
    }

    /// Sends a batch, several times if need be; once while the process stops.
    async fn send<F>(&self, batch: Vec<Recorded>, stop: &Shared<F>, is_away: &mut bool)
    where
        F: Future<Output = ()>,
    {
        let count = batch.len();
        let body = otlp::request(batch, &self.settings.resource);
        let mut wait = AGAIN_FIRST;
        for tried in 1..=TRIES_MAX {
            match self.post(body.clone()).await {
                Tried::Taken { refused } => {
                    let refused = refused.min(count);
                    Counts::add(&self.counts.refused, refused);
                    Counts::add(&self.counts.exported, count - refused);
                    if std::mem::take(is_away) {
                        tracing::info!("the collector takes traces again");
                    }
                    return;
                }
                Tried::Refused(status) => {
                    tracing::warn!(
                        status = status.as_u16(),
                        spans = count,
                        "the collector refuses traces: answered {status}"
                    );
                    return Counts::add(&self.counts.refused, count);
                }
                Tried::Later(why, asked) => {
                    if !std::mem::replace(is_away, true) {
                        tracing::warn!("the collector does not take traces now: {why}");
                    }
                    if tried == TRIES_MAX || is_ready(stop) {
                        break;
                    }
                    tokio::select! {
                        () = sleep(asked.unwrap_or(wait).clamp(AGAIN_FIRST, AGAIN_MAX)) => {}
                        () = stop.clone() => {}
                    }
                    wait = (wait * 2).min(AGAIN_MAX);
                }
            }
        }
        Counts::add(&self.counts.dropped, count);
    }

    async fn post(&self, body: Vec<u8>) -> Tried {
        let request = self.http.post(self.settings.url.clone()).headers(self.settings.headers.clone());
        let Ok(answer) = request.header(CONTENT_TYPE, otlp::MEDIA_TYPE).body(body).send().await else {
            return Tried::Later("it does not answer", None);
        };
        match answer.status() {
            status if status.is_success() => {
                let is_short = answer.content_length().is_some_and(|bytes| (1..=ANSWER_BYTES_MAX).contains(&bytes));
                let said = if is_short { answer.bytes().await.unwrap_or_default() } else { Vec::new().into() };
                Tried::Taken { refused: otlp::refused(&said) }
            }
            StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT => {
                let asked = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
                Tried::Later("it has no room", asked.map(Duration::from_secs))
            }
            status => Tried::Refused(status),
        }
    }
}

/// Waits a moment for what goes in the same request.
async fn gather<F: Future<Output = ()>>(
    spans: &mut mpsc::Receiver<Recorded>,
    batch: &mut Vec<Recorded>,
    stop: &Shared<F>,
) {
    let until = Instant::now() + GATHER;
    while batch.len() < BATCH_MAX {
        let room = BATCH_MAX - batch.len();
        tokio::select! {
            taken = spans.recv_many(batch, room) => if taken == 0 { return },
            () = sleep_until(until) => return,
            () = stop.clone() => return,
        }
    }
}

/// Whether it is time to stop.
fn is_ready<F: Future<Output = ()>>(stop: &Shared<F>) -> bool {
    stop.clone().now_or_never().is_some()
}
