//! The activity of calls that write nothing else: written soon, many at a time, at the end too, and never waited for.

use std::time::Duration;

use keyherald::app::activity::{Asked, Recorder};
use keyherald::app::{App, Call};
use keyherald_core::activity::{self, Made, Run};
use keyherald_core::message::Flow;
use keyherald_store::testing::block_on;
use tokio::sync::watch;

use crate::support::TestServer;

fn call() -> Call {
    Call::on("demo".parse().unwrap())
}

fn record(app: &App, count: usize) {
    for _ in 0..count {
        let mut run = Run::new(Flow::Find, &call().by, &call().source);
        let made = Made::done(activity::Call::LookUpAtHome);
        app.record(&call(), run.called(None, made, &mut app.moments.ctx()));
    }
}

async fn written(app: &App) -> usize {
    let asked = Asked { customer: None, after: None, limit: 500 };
    app.activity(call(), asked).await.unwrap().entries.len()
}

#[test]
fn entries_are_written_many_at_a_time() {
    block_on(async {
        let server = TestServer::sqlite().await;
        let app = server.app.clone();
        let before = app.store.counters().writes;
        record(&app, 300);
        let (stop, mut stopped) = watch::channel(false);
        let until = tokio::time::Instant::now() + Duration::from_mins(1);
        let (ended, ()) =
            tokio::join!(app.write_activity(async move { stopped.changed().await.unwrap_or_default() }), async {
                while written(&app).await < 300 {
                    assert!(tokio::time::Instant::now() < until, "never written");
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                stop.send_replace(true);
            });
        ended.unwrap();
        assert_eq!(app.store.counters().writes - before, 2, "256 at once, then the rest");
    });
}

#[test]
fn what_waits_at_the_end_is_written() {
    block_on(async {
        let server = TestServer::sqlite().await;
        record(&server.app, 300);
        server.app.write_activity(std::future::ready(())).await.unwrap();
        assert_eq!(written(&server.app).await, 300);
        // It may be started again.
        record(&server.app, 1);
        server.app.write_activity(std::future::ready(())).await.unwrap();
        assert_eq!(written(&server.app).await, 301);
    });
}

#[test]
fn nobody_waits_for_a_full_queue() {
    block_on(async {
        let server = TestServer::sqlite().await;
        let app = App { recorder: Recorder::holding(3), ..server.app.clone() };
        record(&app, 10);
        app.write_activity(std::future::ready(())).await.unwrap();
        assert_eq!(written(&app).await, 3);
    });
}

#[test]
fn a_database_that_does_not_answer_keeps_what_waits() {
    block_on(async {
        let server = TestServer::sqlite().await;
        let app = server.app.clone();
        record(&app, 2);
        let closed = App { store: server.store().again(&keyherald_store::testing::options()), ..app.clone() };
        closed.store.close().await;
        assert!(closed.write_activity(std::future::ready(())).await.is_err());
        app.write_activity(std::future::ready(())).await.unwrap();
        assert_eq!(written(&app).await, 2, "by whoever comes next");
    });
}
