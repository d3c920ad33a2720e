//! Notes that a user's record is about to be written at a provider. If the process dies before it is the same here, the
//! note is what leads back to it ([`settle_doubts`](super::settle_doubts)).

use keyherald_core::Micros;
use keyherald_core::activity::{self, Run};
use keyherald_core::doubt::{About, Doubt};
use keyherald_core::id::{CustomerId, DoubtId, ProjectKey};
use keyherald_core::provider::{Meaning, ProviderError, ProviderName};
use keyherald_store::{Tx, doubt};
use tokio::time::Instant;

use super::replace_password::micros;
use super::{Answer, App, Call};

/// A note that is committed. It is removed in the transaction that writes here what was written there.
#[derive(Clone, Copy)]
pub(super) struct Noted {
    pub id: DoubtId,
    at: Instant,
    send_within_us: i64,
}

impl Noted {
    /// Whether what was noted may still be sent. Later, somebody may have looked already.
    pub fn is_in_time(&self) -> bool {
        micros(self.at) < self.send_within_us
    }
}

/// Whether an attempt that ended so surely had no effect.
pub(super) fn is_surely_undone(error: &ProviderError) -> bool {
    error.meaning() != Meaning::Unknown
}

impl App {
    /// A project's notes in the order in which they began, at most `limit`, each with when somebody looks next.
    pub async fn list_doubts(
        &self,
        project: ProjectKey,
        customer: Option<CustomerId>,
        after: Option<DoubtId>,
        limit: i64,
    ) -> Answer<Vec<(Doubt, Micros)>> {
        Ok(self.store.read(move |tx| doubt::listed(tx, &project, customer, after, limit)).await?)
    }

    /// A note to be put before a call to a provider.
    pub(super) fn doubt(
        &self,
        call: &Call,
        run: &Run,
        about: About,
        (provider, what): (&ProviderName, activity::Call),
    ) -> Doubt {
        let mut ctx = self.ctx();
        Doubt {
            id: DoubtId::new(&mut ctx),
            project: call.project.clone(),
            about,
            provider: provider.clone(),
            call: what,
            began_at: ctx.now,
            looks: 0,
            run: run.clone(),
        }
    }

    /// What is committed with a note.
    pub(super) fn noted(&self, doubt: &Doubt, at: Instant) -> Noted {
        Noted { id: doubt.id, at, send_within_us: self.operations.limits().send_within_us() }
    }

    /// Commits a note.
    pub(super) async fn note(&self, doubt: Doubt) -> Answer<Noted> {
        let noted = self.noted(&doubt, Instant::now());
        let due = Doubt::first_due(doubt.began_at, self.operations.limits());
        self.store.write(&self.ctx(), move |tx: &mut dyn Tx, _| doubt::put(tx, &doubt, due)).await?;
        Ok(noted)
    }

    /// Removes a note of which nothing came.
    pub(super) async fn forget_note(&self, call: &Call, noted: Noted) -> Answer<()> {
        let project = call.project.clone();
        Ok(self.store.write(&self.ctx(), move |tx: &mut dyn Tx, _| doubt::remove(tx, &project, noted.id)).await?)
    }
}
