//! Reset a password by redeeming a token.

use keyherald_core::activity::{self, Made};
use keyherald_core::customer::Customer;
use keyherald_core::id::CustomerId;
use keyherald_core::message::Flow;
use keyherald_core::operation::Kind;
use keyherald_core::provider::ProviderLink;
use keyherald_core::refusal::Lookup;
use keyherald_core::reset::{self, Command};
use keyherald_core::secret::{Password, TokenDigest};
use keyherald_core::token::{Token, TokenKind};
use keyherald_core::{Ctx, Refusal};
use keyherald_store::{Fault, Tx, customer, token};

use super::in_turn::Turn;
use super::set_password::Setting;
use super::{Answer, App, Call, CustomerRef, note, trace};
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
        let (looking, operations) = (call.clone(), self.operations.clone());
        let look = move |tx: &mut dyn Tx| {
            let Some((token, owner)) = by_token(tx, &looking, TokenKind::Password, digest)? else { return Ok(None) };
            let link = operations.link_of(tx, &looking.project, owner.id)?;
            Ok::<_, Fault>(Some((token, owner, link)))
        };
        let Some((found, owner, link)) = self.store.read(look).await? else {
            return self.refuse(call, Flow::Reset, None, Refusal::TokenUnknown, ctx).await;
        };
        if let Err(refusal) = reset::admit(&found, &owner, &command, ctx.now) {
            return self.refuse(call, Flow::Reset, Some(owner.id), refusal, ctx).await;
        }
        if let Some(link) = link {
            return self.reset_with_provider(call, (found, owner.id, digest), command, link, new).await;
        }
        let hash = self.hash.hash(Lane::Change, new, ctx.bytes()).await?;
        let (ring, operations, calling) = (self.ring.clone(), self.operations.clone(), call.clone());
        let work = move |tx: &mut dyn Tx, ctx: &mut Ctx| {
            // The customer first, then the token under its lock: of two calls with one token, the second sees it ended.
            let locked = calling.lock(tx, owner.id)?;
            if operations.link_of(tx, &calling.project, owner.id)?.is_some() {
                return Ok(Turn::Underway(owner.id)); // linked just now: another try will find it
            }
            let token = token::by_digest(tx, &calling.project, TokenKind::Password, digest)?;
            let outcome = match (locked, token) {
                (Some(locked), Some(token)) => reset::decide(&token, &locked, &command, hash.clone(), ctx),
                _ => Err(Refusal::TokenUnknown),
            };
            match outcome {
                Ok(set) => {
                    customer::set_password(tx, &ring, &calling.project, &set, ctx)?;
                    note(tx, &calling, Flow::Reset, Some(set.customer.id), Made::done(activity::Call::SetAtHome), ctx)?;
                    Ok(Turn::Decided(Ok(set.customer)))
                }
                Err(refusal) => {
                    trace(tx, &calling, Flow::Reset, Some(owner.id), &refusal, ctx)?;
                    Ok(Turn::Decided(Err(refusal)))
                }
            }
        };
        self.in_turn(call, Flow::Reset, ctx, work).await
    }

    /// The same for a customer whose password is a provider's as well.
    async fn reset_with_provider(
        &self,
        call: Call,
        (token, id, digest): (Token, CustomerId, TokenDigest),
        command: Command,
        link: ProviderLink,
        new: Password,
    ) -> Answer<Customer> {
        let mut ctx = self.ctx();
        if let Err(refusal) = self.check_length(&link, &new) {
            return self.refuse(call, Flow::Reset, Some(id), refusal, ctx).await;
        }
        let password = new.duplicate();
        let hash = self.hash.hash(Lane::Change, new, ctx.bytes()).await?;
        let (project, version) = (call.project.clone(), command.version);
        let (kind, token) = (Kind::Reset, Some(token.id));
        let setting =
            Setting { call, customer: id, link, kind, version, token, password, hash: Some(hash), repeatable: None };
        self.set_password(setting, move |tx, locked, ctx| {
            let found = token::by_digest(tx, &project, TokenKind::Password, digest)?;
            let token = found.ok_or(Refusal::TokenUnknown);
            Ok(token.and_then(|token| reset::admit(&token, locked, &command, ctx.now)))
        })
        .await
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
