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
use keyherald_store::{Tx, customer, log, token as tokens};

use super::reset_password::by_token;
use super::{Answer, App, Call, trace};

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

    /// Verifies the e-mail address of the customer to whom the token belongs, and ends all its e-mail tokens.
    pub async fn confirm_email(&self, call: Call, token_value: &str, version: Option<i64>) -> Answer<Customer> {
        let digest = TokenDigest::of(token_value);
        let ring = self.ring.clone();
        let command = confirm_email::Command { version, by: call.by.clone() };
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
                    customer::confirm_email(tx, &ring, &call.project, &confirmed, ctx)?;
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
