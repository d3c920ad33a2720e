//! Begin to replace a forgotten password: a token that is mailed (naviga.md 3.10). How it ends is in `reset_password`.

use keyherald_core::activity::{self, Made};
use keyherald_core::message::Flow;
use keyherald_core::recover::{self, Command};
use keyherald_core::refusal::Lookup;
use keyherald_core::secret::TokenDigest;
use keyherald_core::sought::Sought;
use keyherald_core::token::{Token, TokenKind};
use keyherald_core::{Ctx, Refusal};
use keyherald_store::{Tx, log, token as tokens};

use super::reset_password::by_token;
use super::{Answer, App, Call, note, trace};

impl App {
    /// Makes the command's token for the customer with this e-mail address, and has it mailed. Nobody is told whether
    /// there is one: for an unknown address the same rows are written, a token that is nobody's and a decoy of its message.
    pub async fn start_recovery(&self, call: Call, email: String, command: Command) -> Answer<()> {
        let ring = self.ring.clone();
        let work = move |tx: &mut dyn Tx, ctx: &mut Ctx| {
            let project = &call.project;
            let sought = call.lock_sought_by_email(tx, &email)?;
            let created = recover::decide(&sought, &command, ctx);
            tokens::insert(tx, project, &created.token, created.value.digest())?;
            match &sought {
                Sought::Found(_) => log::append(tx, &ring, project, &created.message, ctx)?,
                Sought::Nobody(Some(_)) => log::append_decoy(tx, &ring, project, &created.message, ctx)?,
                Sought::Nobody(None) => {}
            }
            if let Some(customer) = sought.customer() {
                let made = Made::done(activity::Call::StartRecoveryAtHome);
                note(tx, &call, Flow::Recover, Some(customer.id), made, ctx)
            } else {
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
