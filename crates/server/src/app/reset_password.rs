//! Reset a password by redeeming a token.

use keyherald_core::customer::Customer;
use keyherald_core::message::Flow;
use keyherald_core::refusal::Lookup;
use keyherald_core::reset::{self, Command};
use keyherald_core::secret::{Password, TokenDigest};
use keyherald_core::token::{Token, TokenKind};
use keyherald_core::{Ctx, Refusal};
use keyherald_store::{Fault, Tx, customer, token};

use super::{Answer, App, Call, CustomerRef, trace};
use crate::hash::Lane;

impl App {
    /// Sets `new` as the password of the customer to whom the token belongs.
    pub async fn reset_password(
        &self,
        call: Call,
        token_value: &str,
        version: Option<i64>,
        new: Password,
    ) -> Answer<Customer> {
        self.hash.admit(Lane::Change)?;
        let mut ctx = self.ctx();
        let digest = TokenDigest::of(token_value);
        let command = Command { version, by: call.by.clone() };
        let look = call.clone();
        let found = self.store.read(move |tx| by_token(tx, &look, TokenKind::Password, digest)).await?;
        let Some((found, owner)) = found else {
            return self.refuse(call, Flow::Reset, None, Refusal::TokenUnknown, ctx).await;
        };
        if let Err(refusal) = reset::admit(&found, &owner, &command, ctx.now) {
            return self.refuse(call, Flow::Reset, Some(owner.id), refusal, ctx).await;
        }
        let hash = self.hash.hash(Lane::Change, new, ctx.bytes()).await?;
        let ring = self.ring.clone();
        let work = move |tx: &mut dyn Tx, ctx: &mut Ctx| {
            // The customer first, then the token under its lock: of two calls with one token, the second sees it ended.
            let locked = call.lock(tx, owner.id)?;
            let token = token::by_digest(tx, &call.project, TokenKind::Password, digest)?;
            let outcome = match (locked, token) {
                (Some(locked), Some(token)) => reset::decide(&token, &locked, &command, hash.clone(), ctx),
                _ => Err(Refusal::TokenUnknown),
            };
            match outcome {
                Ok(set) => {
                    customer::set_password(tx, &ring, &call.project, &set, ctx)?;
                    Ok(Ok(set.customer))
                }
                Err(refusal) => {
                    trace(tx, &call, Flow::Reset, Some(owner.id), &refusal, ctx)?;
                    Ok(Err(refusal))
                }
            }
        };
        Ok(self.store.write(&ctx, work).await??)
    }

    /// The customer to whom a usable token of this kind belongs. Consumes nothing (commercetools.md 3.4).
    pub async fn customer_by_token(&self, call: Call, kind: TokenKind, token_value: &str) -> Answer<Customer> {
        let digest = TokenDigest::of(token_value);
        let now = self.ctx().now;
        let found = self.store.read(move |tx| by_token(tx, &call, kind, digest)).await?;
        let (token, owner) = found.ok_or(Refusal::CustomerNotFound(Lookup::Token))?;
        token.check(now).map_err(|refusal| match refusal {
            Refusal::TokenUnknown => Refusal::CustomerNotFound(Lookup::Token),
            other => other,
        })?;
        Ok(owner)
    }
}

/// A token and the customer to whom it belongs, if the call sees that customer.
pub(super) fn by_token(
    tx: &mut dyn Tx,
    call: &Call,
    kind: TokenKind,
    digest: TokenDigest,
) -> Result<Option<(Token, Customer)>, Fault> {
    let Some(token) = token::by_digest(tx, &call.project, kind, digest)? else { return Ok(None) };
    Ok(CustomerRef::Id(token.customer).find(tx, call)?.map(|owner| (token, owner)))
}
