//! Make a token that can reset a password.

use keyherald_core::message::Flow;
use keyherald_core::refusal::Lookup;
use keyherald_core::token::{self, Command, TokenCreated, TokenKind};
use keyherald_core::{Ctx, Refusal};
use keyherald_store::{Tx, log, token as tokens};

use super::{Answer, App, Call, trace};

impl App {
    /// Makes a password token for the customer with this e-mail address.
    pub async fn create_password_token(&self, call: Call, email: String, command: Command) -> Answer<TokenCreated> {
        let ring = self.ring.clone();
        let work = move |tx: &mut dyn Tx, ctx: &mut Ctx| {
            let Some(locked) = call.lock_by_email(tx, &email)? else {
                let refusal = Refusal::CustomerNotFound(Lookup::Email);
                trace(tx, &call, Flow::CreateToken, None, &refusal, ctx)?;
                return Ok(Err(refusal));
            };
            let created = token::decide(&locked, &command, ctx);
            if command.invalidate_older_tokens {
                tokens::end_of_customer(tx, &call.project, locked.id, TokenKind::Password)?;
            }
            tokens::insert(tx, &call.project, &created.token, created.value.digest())?;
            log::append(tx, &ring, &call.project, &created.message, ctx)?;
            Ok(Ok(created))
        };
        Ok(self.store.write(&self.ctx(), work).await??)
    }
}
