//! A connection that the dialogue is had on: writes what is to be published, and hands the confirmations out.

use std::collections::BTreeMap;
use std::io;

use keyherald_core::delivery::Outcome;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use super::dialogue::{Dialogue, Ended};
use crate::destination::Delivery;
use crate::destination::broker::line::{Client, WAITING_MAX};
use crate::destination::broker::{broke, temporary};
use crate::outbound::tether::Tethered;

/// Longest greeting, in bytes.
const GREETING_BYTES_MAX: usize = 64 * 1024;
/// Bytes that are read at once, at least.
const READ_BYTES: usize = 8 * 1024;

/// A message to publish.
struct Job {
    delivery: Delivery,
    answer: oneshot::Sender<Outcome>,
}

/// A connection. It ends when it is dropped.
pub(super) struct Connection {
    jobs: mpsc::Sender<Job>,
    _driver: JoinSet<()>,
}

impl Connection {
    /// Signs in. `heard` was heard already.
    pub(super) async fn open(
        mut stream: Tethered,
        mut dialogue: Dialogue,
        mut heard: Vec<u8>,
    ) -> Result<Self, Outcome> {
        sign_in(&mut stream, &mut dialogue, &mut heard).await?;
        let (jobs, queue) = mpsc::channel(WAITING_MAX);
        let driver = Driver { stream, dialogue, heard, waiting: BTreeMap::new() };
        let mut task = JoinSet::new();
        task.spawn(driver.run(queue));
        Ok(Self { jobs, _driver: task })
    }
}

impl Client for Connection {
    async fn publish(&self, delivery: Delivery) -> Outcome {
        let (answer, outcome) = oneshot::channel();
        if self.jobs.send(Job { delivery, answer }).await.is_err() {
            return broke();
        }
        outcome.await.unwrap_or_else(|_| broke())
    }

    fn is_open(&self) -> bool {
        !self.jobs.is_closed()
    }
}

/// What the server says before TLS begins: one line.
pub(super) async fn greeting(plain: &mut TcpStream) -> Result<Vec<u8>, Outcome> {
    let mut heard = Vec::new();
    while !heard.ends_with(b"\n") {
        if heard.len() > GREETING_BYTES_MAX || !matches!(plain.read_buf(&mut heard).await, Ok(1..)) {
            return Err(broke());
        }
    }
    Ok(heard)
}

/// Speaks until messages can be published.
async fn sign_in(stream: &mut Tethered, dialogue: &mut Dialogue, heard: &mut Vec<u8>) -> Result<(), Outcome> {
    let mut say = Vec::new();
    loop {
        dialogue.hear(heard, &mut say, &mut Vec::new())?;
        write(stream, &mut say).await?;
        if dialogue.is_open() {
            return Ok(());
        }
        heard.reserve(READ_BYTES);
        match stream.read_buf(heard).await {
            // It closes on whom it does not let in.
            Ok(0) => return Err(temporary("the broker closed the connection before we were signed in")),
            Ok(_) => {}
            Err(_) => return Err(broke()),
        }
    }
}

async fn write(stream: &mut Tethered, say: &mut Vec<u8>) -> Result<(), Outcome> {
    if !say.is_empty() {
        let written: io::Result<()> = async {
            stream.write_all(say).await?;
            stream.flush().await
        }
        .await;
        written.map_err(|_| broke())?;
        say.clear();
    }
    Ok(())
}

struct Driver {
    stream: Tethered,
    dialogue: Dialogue,
    heard: Vec<u8>,
    /// Who waits, by number.
    waiting: BTreeMap<u64, oneshot::Sender<Outcome>>,
}

impl Driver {
    async fn run(mut self, mut jobs: mpsc::Receiver<Job>) {
        let end = self.serve(&mut jobs).await;
        jobs.close();
        let outcome = end.err().unwrap_or_else(broke);
        for (_, answer) in self.waiting {
            drop(answer.send(outcome.clone()));
        }
        while let Ok(job) = jobs.try_recv() {
            drop(job.answer.send(outcome.clone()));
        }
    }

    /// Until the connection is not needed any more, or ends.
    async fn serve(&mut self, jobs: &mut mpsc::Receiver<Job>) -> Result<(), Outcome> {
        let (mut say, mut ended) = (Vec::new(), Vec::new());
        loop {
            self.heard.reserve(READ_BYTES);
            tokio::select! {
                job = jobs.recv() => match job {
                    Some(job) => {
                        self.publish(job, &mut say);
                        // What has gathered meanwhile goes in the same write.
                        while let Ok(job) = jobs.try_recv() {
                            self.publish(job, &mut say);
                        }
                    }
                    None => return Ok(()),
                },
                read = self.stream.read_buf(&mut self.heard) => {
                    if !matches!(read, Ok(1..)) {
                        return Err(broke());
                    }
                }
            }
            self.dialogue.hear(&mut self.heard, &mut say, &mut ended)?;
            for Ended { number, outcome } in ended.drain(..) {
                if let Some(answer) = self.waiting.remove(&number) {
                    drop(answer.send(outcome)); // nobody waits any longer: it will be sent again
                }
            }
            write(&mut self.stream, &mut say).await?;
        }
    }

    fn publish(&mut self, job: Job, say: &mut Vec<u8>) {
        if job.answer.is_closed() {
            return; // its time is over: it is tried again by who sends it
        }
        match self.dialogue.publish(&job.delivery, say) {
            Ok(number) => drop(self.waiting.insert(number, job.answer)),
            Err(outcome) => drop(job.answer.send(outcome)),
        }
    }
}
