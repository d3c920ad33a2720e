//! A life from start to end, with signals from a channel.

use std::sync::atomic::{AtomicU32, Ordering};

use tokio::sync::{Notify, mpsc};

use super::*;

const GRACE: Grace = Grace { delay: Duration::ZERO, work: Duration::from_secs(20), close: Duration::from_secs(20) };

fn life() -> (Life, mpsc::Sender<Signal>, Signals) {
    let (send, receive) = mpsc::channel(4);
    (Life::new(Readiness::starting()), send, Signals::Channel(receive))
}

type Told = Arc<Mutex<Vec<&'static str>>>;

fn tell(told: &Told, what: &'static str) {
    told.lock().unwrap().push(what);
}

#[tokio::test]
async fn a_signal_stops_requests_then_lanes_then_closes_the_store() {
    let (life, signal, signals) = life();
    let told = Told::default();
    for (task, what) in [(Task::Relay, "lanes"), (Task::Http, "requests")] {
        let told = Arc::clone(&told);
        life.spawn(task, move |stop| {
            let told = Arc::clone(&told);
            async move {
                stop.requested().await;
                assert!(stop.is_requested());
                tell(&told, what);
                Ok(())
            }
        });
    }
    life.spawn(Task::StoreProbe, |_stop| std::future::pending()); // dropped, not waited for
    life.readiness().started();
    assert!(life.readiness().reasons().is_empty());
    signal.send(Signal::Terminate).await.unwrap();
    let ending = life.run(signals, GRACE, async { tell(&told, "store") }).await;
    assert_eq!((ending, ending.exit_code()), (Ending::Orderly, 0));
    assert_eq!(*told.lock().unwrap(), ["requests", "lanes", "store"]);
    assert!(life.readiness().reasons().contains_key("shutting_down"));
}

#[tokio::test]
async fn a_second_signal_ends_at_once() {
    let (life, signal, signals) = life();
    let stuck = Arc::new(Notify::new());
    let told = Arc::clone(&stuck);
    life.spawn(Task::Http, move |stop| {
        let told = Arc::clone(&told);
        async move {
            stop.requested().await;
            told.notify_one();
            std::future::pending().await
        }
    });
    signal.send(Signal::Terminate).await.unwrap();
    let second = async {
        stuck.notified().await;
        signal.send(Signal::Interrupt).await.unwrap();
        std::future::pending::<()>().await;
    };
    let ending = tokio::select! {
        ending = life.run(signals, GRACE, async { unreachable!("the store is not closed") }) => ending,
        () = second => unreachable!(),
    };
    assert_eq!((ending, ending.exit_code()), (Ending::Hard(Signal::Interrupt), 130));
}

#[tokio::test]
async fn late_tasks_are_dropped_and_the_store_is_closed_all_the_same() {
    let (life, signal, signals) = life();
    life.spawn(Task::Http, |_stop| std::future::pending());
    let told = Told::default();
    signal.send(Signal::Interrupt).await.unwrap();
    let grace = Grace { work: Duration::from_millis(1), ..GRACE };
    let ending = life.run(signals, grace, async { tell(&told, "store") }).await;
    assert_eq!((ending, ending.exit_code()), (Ending::Cut, 1));
    assert_eq!(*told.lock().unwrap(), ["store"]);
}

#[tokio::test]
async fn a_task_that_fails_or_panics_is_started_again() {
    let (life, _signal, signals) = life();
    let runs = Arc::new(AtomicU32::new(0));
    let (counted, ender) = (Arc::clone(&runs), life.clone());
    life.spawn(Task::Relay, move |_stop| {
        let run = counted.fetch_add(1, Ordering::SeqCst);
        let ender = ender.clone();
        async move {
            match run {
                0 => Err("broken".into()),
                1 => panic!("worse"),
                _ => {
                    ender.end();
                    Ok(())
                }
            }
        }
    });
    assert_eq!(life.run(signals, GRACE, async {}).await, Ending::Orderly);
    assert_eq!(runs.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn a_task_that_the_process_needs_takes_it_down() {
    let (life, _signal, signals) = life();
    life.spawn(Task::Http, |_stop| async { Err("address in use".into()) });
    let ending = life.run(signals, GRACE, async {}).await;
    assert_eq!((ending, ending.exit_code()), (Ending::Failed(Task::Http), 1));
}

#[tokio::test]
async fn real_signals_are_caught() {
    let mut signals = Signals::of_system().unwrap();
    let process = rustix::process::getpid();
    rustix::process::kill_process(process, rustix::process::Signal::TERM).unwrap();
    assert_eq!(signals.next().await, Signal::Terminate);
    rustix::process::kill_process(process, rustix::process::Signal::INT).unwrap();
    assert_eq!(signals.next().await, Signal::Interrupt);
}
