//! Tell partners of verification processes that came to nothing (paysafe.md 2.6), if they want to hear of it.
//!
//! When a process begins, what its event would say is written into its row, with the time at which it will have failed at the
//! latest; wrong codes and newer processes bring that forward. Whoever comes by then looks at how the process stands and
//! writes the event. So a death in between delays it, and nothing is told twice.

use keyherald_core::Ctx;
use keyherald_core::customer::Customer;
use keyherald_core::data_verification_event::{DataVerificationEvent, ProcessError};
use keyherald_core::verification::{Attribute, Kind, Purpose, State};
use keyherald_store::{Fault, Tx, customer, verification};

use super::{Answer, App, Call};

/// Processes of one round.
const DUE_MAX: i64 = 100;

impl App {
    /// Writes the events of those that have failed. Answers whether there may be more.
    pub async fn tell_failures(&self) -> Answer<bool> {
        let now = self.ctx().now;
        let due = self.store.read(move |tx| verification::noticed(tx, now, DUE_MAX)).await?;
        let more = i64::try_from(due.len()).is_ok_and(|count| count >= DUE_MAX);
        for (project, id) in due {
            let (ring, outbox, call) = (self.ring.clone(), self.outbox.clone(), Call::on(project));
            let work = move |tx: &mut dyn Tx, ctx: &mut Ctx| {
                let project = &call.project;
                let Some(notice) = verification::notice(tx, &ring, project, id)? else { return Ok(()) };
                // The customer first, then the process, as whoever uses one does.
                let owner = owner(tx, &call, &notice.attribute, notice.purpose)?;
                let Some(found) = verification::take_notice(tx, project, id)? else { return Ok(()) };
                let error = match found.process.state(found.newest, ctx.now) {
                    _ if found.process.verified_at.is_some() || !notice.is_told => return Ok(()),
                    State::Superseded => ProcessError::Superseded,
                    State::Exhausted => ProcessError::AttemptsExhausted,
                    State::Expired => ProcessError::Expired,
                    State::Active | State::Verified | State::Consumed => return Ok(()),
                };
                let begun =
                    DataVerificationEvent::begun((&found.process, &notice.attribute), owner.as_ref(), None, ctx);
                let told = DataVerificationEvent { error: Some(error), ..begun };
                outbox.append_data_verification(tx, &ring, project, &told, ctx)
            };
            self.store.write(&self.ctx(), work).await?;
        }
        Ok(more)
    }
}

/// The customer whose it is, locked. Of whoever becomes one only now, nobody is named.
fn owner(tx: &mut dyn Tx, call: &Call, attribute: &Attribute, purpose: Purpose) -> Result<Option<Customer>, Fault> {
    if purpose != Purpose::PasswordReset {
        return Ok(None);
    }
    if attribute.kind == Kind::Email {
        return call.lock_by_email(tx, attribute.value());
    }
    let Ok(mobile) = attribute.value().parse() else { return Ok(None) };
    match customer::by_mobile(tx, &call.project, &mobile)? {
        Some(found) => call.lock(tx, found.id),
        None => Ok(None),
    }
}
