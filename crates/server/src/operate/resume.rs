//! The background work: performs what requests begin, and what is due: put off, or left by a process that died.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use keyherald_core::{Ctx, Micros};
use keyherald_store::{Fault, Tx, operation};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::perform::Held;
use super::{Inner, Operations, micros};

impl Operations {
    /// Takes over what any other process holds. Only for whoever knows that there is no other, before [`Operations::run`].
    pub async fn take_over(&self) -> Result<(), Fault> {
        let free = |tx: &mut dyn Tx, ctx: &mut Ctx| operation::free(tx, ctx.now);
        let freed = self.0.store.write(&self.0.moments.ctx(), free).await?;
        if freed > 0 {
            tracing::info!(
                operations = freed,
                "{freed} operations were underway when the last process ended: going on"
            );
        }
        Ok(())
    }

    /// Works until `stop`, and then until each operation has come to a place from which another process goes on at once.
    /// May be run again; of two at the same time, the second waits for the first.
    pub async fn run(&self, stop: impl Future<Output = ()>) -> Result<(), Fault> {
        let inner = &self.0;
        let mut jobs = inner.jobs.lock().await;
        inner.stopping.send_replace(false);
        if inner.left_over.get().is_none() {
            let projects = inner.store.read(|tx| operation::projects_at_work(tx)).await?;
            let _of_two_the_first = inner.left_over.set(projects.into_iter().collect());
        }
        let mut stop = pin!(stop);
        let mut workers: JoinSet<Option<Micros>> = JoinSet::new();
        let mut look_at = Instant::now();
        loop {
            let room = inner.settings.in_flight_max.saturating_sub(workers.len());
            tokio::select! {
                () = &mut stop => break,
                // A worker that panicked has said so; its lease ends, and it is taken up again.
                Some(done) = workers.join_next() => {
                    if let Ok(Some(due)) = done {
                        look_at = look_at.min(inner.instant_of(due));
                    }
                }
                Some(job) = jobs.recv(), if room > 0 => {
                    workers.spawn(job);
                }
                () = sleep_until(look_at), if room > 0 => {
                    look_at = Instant::now() + inner.take_up(&mut workers, room).await;
                }
            }
        }
        inner.stopping.send_replace(true);
        while workers.join_next().await.is_some() {}
        Ok(())
    }
}

impl Inner {
    /// Takes up what is due, and answers after which time to look again. A database that does not answer is asked later.
    async fn take_up(self: &Arc<Self>, workers: &mut JoinSet<Option<Micros>>, room: usize) -> Duration {
        match self.claim(room).await {
            Ok(claimed) => {
                let is_all = claimed.len() < room;
                for held in claimed {
                    let inner = self.clone();
                    workers.spawn(async move { inner.perform(held, None).await.due() });
                }
                if is_all { self.until_due().await } else { Duration::ZERO }
            }
            Err(fault) => {
                tracing::warn!(?fault, "operations that are due could not be looked for");
                self.settings.poll
            }
        }
    }

    async fn claim(&self, room: usize) -> Result<Vec<Held>, Fault> {
        let (since, ctx) = (Instant::now(), self.moments.ctx());
        // A look costs a read: an idle server writes nothing.
        if self.store.read(|tx| operation::next_due(tx)).await?.is_none_or(|due| due > ctx.now) {
            return Ok(Vec::new());
        }
        let limit = i64::try_from(room).unwrap_or(i64::MAX);
        let (node, until) = (self.node.clone(), ctx.now.plus(micros(self.settings.lease)));
        let claimed =
            self.store.write(&ctx, move |tx, ctx| operation::claim(tx, (&node, until), ctx.now, limit)).await?;
        let held = claimed.into_iter().map(|operation| {
            self.counters.count_resumed();
            Held::since(since, self, operation, None)
        });
        Ok(held.collect())
    }

    /// How long until the next one is due, at most as long as others may go unseen.
    async fn until_due(&self) -> Duration {
        let due = self.store.read(|tx| operation::next_due(tx)).await.ok().flatten();
        due.map_or(self.settings.poll, |due| self.until(due)).min(self.settings.poll)
    }

    fn instant_of(&self, at: Micros) -> Instant {
        Instant::now() + self.until(at).min(self.settings.poll)
    }

    fn until(&self, at: Micros) -> Duration {
        let micros = at.0.saturating_sub(self.moments.now().0);
        Duration::from_micros(u64::try_from(micros).unwrap_or(0))
    }
}
