//! What an operator is told of an endpoint that takes nothing for long.

use std::io;
use std::sync::{Arc, Mutex};

use keyherald::app::events::State;
use keyherald::clock::Clock;
use keyherald::telemetry::{Look, subscriber};
use keyherald_core::Micros;
use keyherald_store::testing::TestStore;
use serde_json::Value;

use crate::partner::Answer;
use crate::stage::Stage;

/// The log, kept for a look.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Lines {
    /// The alerts that a day without success is worth.
    fn alerts(&self) -> Vec<Value> {
        let bytes = self.0.lock().unwrap().clone();
        let lines = String::from_utf8(bytes).unwrap();
        let lines = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines.filter(|line| line["alert"] == "destination_silent").collect()
    }
}

#[tokio::test]
async fn a_day_without_success_is_told_once() {
    let lines = Lines::default();
    let writer = lines.clone();
    // The test's runtime has one thread, so this covers the relay.
    let _logging = tracing::dispatcher::set_default(&subscriber(Look::Json, "info", move || writer.clone()));
    let stage = Stage::on(TestStore::sqlite().await).await;
    let customer = stage.customer("jo@example.com").await;
    stage.partner.script(std::iter::repeat_n(Answer::Status(503), 10_000));
    let began = stage.clock.now();
    stage.recover(&customer).await;
    stage.partner.wait_for(1, || {}).await;

    // What fails for half a day is nobody's business yet. When the third try comes, the second has failed.
    stage.clock.advance(Micros::DAY / 2);
    stage.partner.wait_for(3, || stage.clock.advance(Micros::SECOND)).await;
    assert!(stage.clock.now() < began.plus(Micros::DAY));
    assert_eq!(lines.alerts(), Vec::<Value>::new());

    let told = async |times: usize| {
        stage.an_hour_later();
        lines.alerts().len() == times
    };
    stage.until("somebody is told", async || told(1).await).await;
    let tried = stage.partner.got().len();
    stage.partner.wait_for(tried + 3, || stage.an_hour_later()).await;
    let alerts = lines.alerts();
    assert_eq!(alerts.len(), 1, "{alerts:?}");
    assert_eq!((&alerts[0]["level"], &alerts[0]["project"]), (&"WARN".into(), &"demo".into()));
    assert!(!alerts[0].to_string().contains("example.com"), "{}", alerts[0]);

    // It was tried on, and arrives. The next day without success is another one.
    stage.partner.answer_all();
    stage.partner.wait_for(stage.partner.got().len() + 1, || stage.an_hour_later()).await;
    stage.until_all("demo", State::Delivered).await;
    stage.partner.script(std::iter::repeat_n(Answer::Status(503), 10_000));
    stage.recover(&customer).await;
    stage.until("somebody is told of the next one", async || told(2).await).await;
}
