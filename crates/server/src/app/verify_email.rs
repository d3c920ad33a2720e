//! Prove that an e-mail address is the customer's: make a token, redeem it.

use keyherald_core::confirm_email;
use keyherald_core::customer::Customer;
use keyherald_core::email_token::{self, Command};
use keyherald_core::id::CustomerId;
use keyherald_core::message::Flow;
use keyherald_core::refusal::Lookup;
use keyherald_core::secret::TokenDigest;
use keyherald_core::token::{TokenCreated, TokenKind};
use keyherald_core::{Ctx, Refusal};
use keyherald_store::{Fault, Tx, customer, log, token as tokens};

use super::reset_password::by_token;
use super::update_there::{Shared, There};
use super::{Answer, App, Call, Failure, trace};

impl App {
    /// Makes a token that verifies the e-mail address of customer `id`.
    pub async fn create_email_token(&self, call: Call, id: CustomerId, command: Command) -> Answer<TokenCreated> {
        let ring = self.ring.clone();
        let work = move |tx: &mut dyn Tx, ctx: &mut Ctx| {
            let outcome = match call.lock(tx, id)? {
                Some(locked) => email_token::decide(&locked, &command, ctx),
                None => Err(Refusal::CustomerNotFound(Lookup::Id)),
            };
            match outcome {
                Ok(created) => {
                    if command.token.invalidate_older_tokens {
                        tokens::end_of_customer(tx, &call.project, id, TokenKind::Email)?;
                    }
                    tokens::insert(tx, &call.project, &created.token, created.value.digest())?;
                    log::append(tx, &ring, &call.project, &created.message, ctx)?;
                    Ok(Ok(created))
                }
                Err(refusal) => {
                    trace(tx, &call, Flow::CreateToken, Some(id), &refusal, ctx)?;
                    Ok(Err(refusal))
                }
            }
        };
        Ok(self.store.write(&self.ctx(), work).await??)
    }

    /// Verifies the e-mail address of the customer to whom the token belongs, and ends all its e-mail tokens. A provider
    /// that can be told is told first: otherwise the next read of the user would say that nothing is proved.
    pub async fn confirm_email(&self, call: Call, token_value: &str, version: Option<i64>) -> Answer<Customer> {
        let digest = TokenDigest::of(token_value);
        let command = confirm_email::Command { version, by: call.by.clone() };
        let there = self.tell_of_proof(&call, digest, &command).await?;
        let confirmed = self.confirm_here(call.clone(), digest, command, there.clone()).await;
        if let (Err(Failure::Refused(_)), Some(there)) = (&confirmed, &there) {
            self.give_back(&call, there).await?;
        }
        confirmed
    }

    async fn tell_of_proof(
        &self,
        call: &Call,
        digest: TokenDigest,
        command: &confirm_email::Command,
    ) -> Answer<Option<There>> {
        if !self.operations.has_provider(&call.project) {
            return Ok(None);
        }
        let (app, looking, wanted, ctx) = (self.clone(), call.clone(), command.clone(), self.ctx());
        let look = move |tx: &mut dyn Tx| {
            let Some((token, owner)) = by_token(tx, &looking, TokenKind::Email, digest)? else { return Ok(None) };
            let is_refused = confirm_email::decide(&token, &owner, &wanted, &mut ctx.clone()).is_err();
            if is_refused || owner.is_email_verified {
                return Ok(None);
            }
            let link = app.operations.link_of(tx, &looking.project, owner.id)?;
            Ok::<_, Fault>(link.filter(|link| app.can_tell(link)).map(|link| (owner, link)))
        };
        match self.store.read(look).await? {
            Some(user) => self.tell(call, Flow::ConfirmEmail, user, Shared::PROVED).await.map(Some),
            None => Ok(None),
        }
    }

    async fn confirm_here(
        &self,
        call: Call,
        digest: TokenDigest,
        command: confirm_email::Command,
        there: Option<There>,
    ) -> Answer<Customer> {
        let app = self.clone();
        let work = move |tx: &mut dyn Tx, ctx: &mut Ctx| {
            let owner = by_token(tx, &call, TokenKind::Email, digest)?.map(|(_, owner)| owner.id);
            // The customer first, then the token under its lock: of two calls with one token, the second sees it ended.
            let locked = match owner {
                Some(id) => call.lock(tx, id)?,
                None => None,
            };
            let token = tokens::by_digest(tx, &call.project, TokenKind::Email, digest)?;
            let outcome = match (locked, token) {
                (Some(locked), Some(token)) => confirm_email::decide(&token, &locked, &command, ctx),
                _ => Err(Refusal::TokenUnknown),
            };
            match outcome {
                Ok(confirmed) => {
                    customer::confirm_email(tx, &app.ring, &call.project, &confirmed, ctx)?;
                    if let Some(there) = &there {
                        app.told(tx, &call, there, ctx)?;
                    }
                    Ok(Ok(confirmed.customer))
                }
                Err(refusal) => {
                    trace(tx, &call, Flow::ConfirmEmail, owner, &refusal, ctx)?;
                    Ok(Err(refusal))
                }
            }
        };
        Ok(self.store.write(&self.ctx(), work).await??)
    }
}
