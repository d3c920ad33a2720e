//! Begin to replace a forgotten password: a token that is mailed (naviga.md 3.10). How it ends is in `reset_password`.

use keyherald_core::activity::{self, Made};
use keyherald_core::message::Flow;
use keyherald_core::recover::{self, Command};
use keyherald_core::refusal::Lookup;
use keyherald_core::secret::TokenDigest;
use keyherald_core::token::{Token, TokenKind};
use keyherald_core::{Ctx, Refusal};
use keyherald_store::{Tx, customer, log, token as tokens};

use super::reset_password::by_token;
use super::{Answer, App, Call, note, trace};

impl App {
    /// Makes the command's token for the customer with this e-mail address, and has it mailed. Nobody is told whether
    /// there is one: for an unknown address the same statements run, and a token is written that is nobody's.
    pub async fn start_recovery(&self, call: Call, email: String, command: Command) -> Answer<()> {
        let ring = self.ring.clone();
        let work = move |tx: &mut dyn Tx, ctx: &mut Ctx| {
            let project = &call.project;
            let locked = call.lock_by_email(tx, &email)?;
            if locked.is_none() {
                // As `lock` does for somebody.
                customer::lock(tx, project, recover::nobody())?;
                customer::by_id(tx, project, recover::nobody())?;
            }
            let created = recover::decide(locked.as_ref(), &command, ctx);
            tokens::insert(tx, project, &created.token, created.value.digest())?;
            if let Some(id) = locked.map(|locked| locked.id) {
                log::append(tx, &ring, project, &created.message, ctx)?;
                note(tx, &call, Flow::Recover, Some(id), Made::done(activity::Call::StartRecoveryAtHome), ctx)
            } else {
                log::rehearse(tx, &ring, project, &created.message, ctx)?;
                let refusal = Refusal::CustomerNotFound(Lookup::Email);
                trace(tx, &call, Flow::Recover, None, &refusal, ctx)
            }
        };
        Ok(self.store.write(&self.ctx(), work).await?)
    }

    /// The token of a recovery that can be finished with this value. Consumes nothing.
    pub async fn find_recovery(&self, call: Call, value: &str) -> Answer<Token> {
        let (digest, now) = (TokenDigest::of(value), self.ctx().now);
        let found = self.store.read(move |tx| by_token(tx, &call, TokenKind::Password, digest)).await?;
        let (token, _) = found.ok_or(Refusal::TokenUnknown)?;
        token.check(now)?;
        Ok(token)
    }
}
