//! Passwords that are tried at an account (`keyherald_core::throttle`), where the project counts them.
//!
//! Wherever a password is compared with a hash of ours, whichever contract it comes by, it is counted before, by a write of
//! its own, under the address that was named: so whoever is unknown is counted like a customer. One that is not looked at is
//! answered as a wrong one. Another password begins the count anew, and so recovery opens what was closed. Where an identity
//! provider says whether it is the password, the provider counts.

use keyherald_core::Micros;
use keyherald_core::customer::fold_email;
use keyherald_core::id::{CustomerId, ProjectKey};
use keyherald_core::throttle::Throttle;
use keyherald_store::{Tx, credential, throttle};

use super::{Answer, App};

impl App {
    /// Whether a password may be compared with that of the customer who has this address, or with nobody's as if it were
    /// that of whoever stands in; counted if so. Always, where the project does not count.
    pub(super) async fn may_try(
        &self,
        project: &ProjectKey,
        (email, looked_at): (&str, CustomerId),
        now: Micros,
    ) -> Answer<bool> {
        let Some(throttle) = self.throttle_of(project) else { return Ok(true) };
        let (ring, project, account) = (self.ring.clone(), project.clone(), account(project, email));
        let work = move |tx: &mut dyn Tx, _: &mut _| {
            let set_at = credential::changed_at(tx, &project, looked_at)?;
            throttle::count(tx, &ring, (&throttle, &account), set_at, now)
        };
        Ok(self.store.write(&self.ctx(), work).await?)
    }

    /// The last password that was tried there was right.
    pub(super) async fn was_right(&self, project: &ProjectKey, email: &str) -> Answer<()> {
        if self.throttle_of(project).is_none() {
            return Ok(());
        }
        let (ring, account) = (self.ring.clone(), account(project, email));
        Ok(self.store.write(&self.ctx(), move |tx, _| throttle::forget(tx, &ring, &account)).await?)
    }

    fn throttle_of(&self, project: &ProjectKey) -> Option<Throttle> {
        self.passwords.throttles.get(project).copied()
    }
}

fn account(project: &ProjectKey, email: &str) -> String {
    format!("{project} {}", fold_email(email))
}
