//! Take notice of a password that was changed by a partner who keeps it (paysafe.md 5.3).

use keyherald_core::customer::CustomerNumber;
use keyherald_core::message::Flow;
use keyherald_core::refusal::Lookup;
use keyherald_core::{Ctx, Micros, Refusal};
use keyherald_store::operation::{self, Repeatable, Replay};
use keyherald_store::{Tx, log};

use super::{Answer, App, Call, CustomerRef};

/// Whose keys name the notices that are known.
const CALLER: &str = "change-notifications";

impl App {
    /// Notes that the password of the customer with this number was changed at `changed_at`, once however often it is told.
    pub async fn note_change(&self, call: Call, number: CustomerNumber, changed_at: Micros) -> Answer<()> {
        let app = self.clone();
        let work = move |tx: &mut dyn Tx, ctx: &mut Ctx| {
            let named = CustomerRef::Number(number.clone());
            let Some(locked) = named.lock(tx, &call)? else {
                return Ok(Err(Refusal::CustomerNotFound(Lookup::Id)));
            };
            let key = format!("{number} {}", changed_at.0);
            let told = Repeatable { caller: CALLER, key: &key, request: key.as_bytes() };
            if let Replay::New = operation::replay(tx, &app.ring, &call.project, &told, ctx.now)? {
                let entry = call.run(Flow::ChangeElsewhere).ended(Some(locked.id), None, ctx);
                log::activity::append(tx, &call.project, &entry)?;
                operation::remember(tx, &app.ring, &call.project, &told, ctx.now)?;
            }
            Ok(Ok(()))
        };
        Ok(self.store.write(&self.ctx(), work).await??)
    }
}
