//! Reset or recover a password by redeeming a token.

use std::net::IpAddr;

use keyherald_core::change::PasswordSet;
use keyherald_core::credential::AuthenticationMode;
use keyherald_core::customer::Customer;
use keyherald_core::id::CustomerId;
use keyherald_core::operation::Kind;
use keyherald_core::provider::ProviderLink;
use keyherald_core::refusal::Lookup;
use keyherald_core::reset::{self, Command};
use keyherald_core::secret::{Password, TokenDigest};
use keyherald_core::token::{Token, TokenKind};
use keyherald_core::{Ctx, Refusal, set};
use keyherald_store::operation::Replay;
use keyherald_store::{Fault, Tx, token};

use super::check_password::Whose;
use super::in_turn::Turn;
use super::limits::{Limited, of_source};
use super::set_password::Setting;
use super::verify_identifier::Verifying;
use super::{Answer, App, Call, CustomerRef};
use crate::hash::Lane;
use crate::outbox::PasswordWasSet;

/// How a token is redeemed.
#[derive(Clone, Copy)]
struct Redeeming {
    kind: Kind,
    version: Option<i64>,
    /// Whether a hash is kept here of a password that a provider has.
    keeps_hash: bool,
    /// Whether it is the customer's first password: of whom a provider has one it is not, and no partner is told of it.
    is_first: bool,
}

/// What the first look finds.
struct Looked {
    replay: Replay,
    found: Option<(Token, Customer, Option<ProviderLink>)>,
}

impl App {
    /// Sets `new` as the password of the customer to whom the token belongs.
    pub async fn reset_password(
        &self,
        call: Call,
        token_value: &str,
        version: Option<i64>,
        new: Password,
    ) -> Answer<Customer> {
        self.redeem(call, token_value, Redeeming { version, ..Redeeming::RESET }, new).await
    }

    /// The same for whoever comes to our pages with a token, and may be anybody: the source and the token have rates, which
    /// are taken before anybody looks whose the token is.
    pub async fn reset_on_page(
        &self,
        call: Call,
        verifying: &Verifying,
        source: Option<IpAddr>,
        token_value: &str,
        new: Password,
    ) -> Answer<Limited> {
        if let Some(retry_after_s) = self.over_rate_of_token(&call, verifying, source, token_value).await? {
            return Ok(Limited::TooMany { retry_after_s });
        }
        self.reset_password(call, token_value, None, new).await?;
        Ok(Limited::Done(()))
    }

    /// Takes from the rates of the source and of the token itself, whoever's it is.
    pub(super) async fn over_rate_of_token(
        &self,
        call: &Call,
        verifying: &Verifying,
        source: Option<IpAddr>,
        token_value: &str,
    ) -> Answer<Option<u32>> {
        let project = call.project.as_str();
        let token = format!("redeem {project} {:?}", TokenDigest::of(token_value).as_bytes());
        let buckets = vec![
            (of_source("recover", project, source), verifying.used_by_source),
            (token, verifying.used_by_customer),
        ];
        self.over_rate(buckets, &self.ctx()).await
    }

    /// The same for what a mail said about a forgotten password (naviga.md 3.12). The customer may be one whose password
    /// is the provider's alone; a hash is kept here only if `keeps_hash`.
    pub async fn recover_password(
        &self,
        call: Call,
        token_value: &str,
        new: Password,
        keeps_hash: bool,
    ) -> Answer<Customer> {
        self.redeem(call, token_value, Redeeming { kind: Kind::Recover, keeps_hash, ..Redeeming::RESET }, new).await
    }

    /// The same for a ticket's token, and a customer who has no password yet.
    pub(super) async fn redeem_ticket(&self, call: Call, token_value: &str, new: Password) -> Answer<Customer> {
        self.redeem(call, token_value, Redeeming { is_first: true, ..Redeeming::RESET }, new).await
    }

    async fn redeem(&self, call: Call, token_value: &str, how: Redeeming, new: Password) -> Answer<Customer> {
        self.hash.admit(Lane::Change)?;
        let ctx = self.ctx();
        let (digest, flow) = (TokenDigest::of(token_value), how.kind.flow());
        let command = Command { version: how.version, flow, by: call.by.clone() };
        let (looking, app, now) = (call.clone(), self.clone(), ctx.now);
        let look = move |tx: &mut dyn Tx| {
            let replay = app.replay(tx, &looking, now)?;
            let found = match by_token(tx, &looking, TokenKind::Password, digest)? {
                Some((token, owner)) => {
                    let link = app.operations.link_of(tx, &looking.project, owner.id)?;
                    Some((token, owner, link))
                }
                None => None,
            };
            Ok::<_, Fault>(Looked { replay, found })
        };
        let Looked { replay, found } = self.store.read(look).await?;
        // Whose token it was is known until it is swept, also after it was redeemed.
        let owner = found.as_ref().map(|(_, owner, _)| owner.id);
        if let Some(before) = self.answer_before(&call, flow, replay, owner).await {
            return before;
        }
        let Some((found, owner, link)) = found else {
            return self.refuse(call, flow, None, Refusal::TokenUnknown, ctx).await;
        };
        let admitted =
            reset::admit(&found, &owner, &command, ctx.now).and_then(|()| how.admit_mode(&owner, link.as_ref()));
        if let Err(refusal) = admitted {
            return self.refuse(call, flow, Some(owner.id), refusal, ctx).await;
        }
        let new = self.checked(&call, flow, Whose::Customer(&owner), new).await?;
        match link {
            Some(link) => self.redeem_with_provider(call, (found, owner, digest), command, link, (how, new)).await,
            None => self.redeem_here(call, (owner.id, digest), command, (how, new), ctx).await,
        }
    }

    async fn redeem_here(
        &self,
        call: Call,
        (id, digest): (CustomerId, TokenDigest),
        command: Command,
        (how, new): (Redeeming, Password),
        mut ctx: Ctx,
    ) -> Answer<Customer> {
        let flow = command.flow;
        let hash = self.hash.hash(Lane::Change, new, ctx.bytes()).await?;
        let (app, calling) = (self.clone(), call.clone());
        let work = move |tx: &mut dyn Tx, ctx: &mut Ctx| {
            // The customer first, then the token under its lock: of two calls with one token, the second sees it ended.
            let locked = calling.lock(tx, id)?;
            if app.operations.link_of(tx, &calling.project, id)?.is_some() {
                return Ok(Turn::Underway(id)); // linked just now: another try will find it
            }
            let before = app.done_before(tx, &calling, ctx.now)?;
            let token = token::by_digest(tx, &calling.project, TokenKind::Password, digest)?;
            let proof = token.as_ref().filter(|_| !how.is_first).map(|token| token.id);
            let decided = match (locked, before, token) {
                (Some(locked), Some(Ok(())), _) => return Ok(Turn::Decided(Ok(locked))),
                (_, Some(Err(refusal)), _) => Err(refusal),
                (Some(locked), None, Some(token)) => reset::decide(&token, &locked, &command, hash.clone(), ctx),
                _ => Err(Refusal::TokenUnknown),
            };
            let tell = |tx: &mut dyn Tx, set: &PasswordSet, ctx: &mut Ctx| {
                let was_set = PasswordWasSet { customer: &set.customer, flow, token: proof };
                app.outbox.append_of(tx, &app.ring, &calling.project, was_set, ctx)
            };
            app.end_turn(tx, (&calling, flow, id), decided, tell, ctx)
        };
        self.in_turn(call, flow, ctx, work).await
    }

    /// The same for a customer whose password is a provider's as well.
    async fn redeem_with_provider(
        &self,
        call: Call,
        (token, owner, digest): (Token, Customer, TokenDigest),
        command: Command,
        link: ProviderLink,
        (how, new): (Redeeming, Password),
    ) -> Answer<Customer> {
        let (id, flow, mut ctx) = (owner.id, command.flow, self.ctx());
        if let Err(refusal) = self.check_length(&link, &new) {
            return self.refuse(call, flow, Some(id), refusal, ctx).await;
        }
        let password = new.duplicate();
        // Of a customer who signs in elsewhere, no hash is kept.
        let keeps = how.keeps_hash && owner.authentication_mode == AuthenticationMode::Password;
        let hash = if keeps { Some(self.hash.hash(Lane::Change, new, ctx.bytes()).await?) } else { None };
        let (project, Redeeming { kind, version, .. }) = (call.project.clone(), how);
        let setting = Setting {
            call,
            customer: id,
            link,
            kind,
            version,
            token: Some(token.id),
            proofs: Vec::new(),
            password,
            hash,
        };
        let link = Some(setting.link.clone());
        self.set_password(setting, move |tx, locked, ctx| {
            let found = token::by_digest(tx, &project, TokenKind::Password, digest)?;
            let token = found.ok_or(Refusal::TokenUnknown);
            let admitted = token.and_then(|token| reset::admit(&token, locked, &command, ctx.now));
            Ok(admitted.and_then(|()| how.admit_mode(locked, link.as_ref())))
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

impl Redeeming {
    const RESET: Self = Self { kind: Kind::Reset, version: None, keeps_hash: true, is_first: false };

    /// Refuses a customer who signs in elsewhere, unless that is what the password is recovered for; and of whom a
    /// provider has a password, a first one.
    fn admit_mode(self, customer: &Customer, link: Option<&ProviderLink>) -> Result<(), Refusal> {
        match link {
            Some(_) if self.is_first => Err(Refusal::TokenUnknown),
            Some(_) if self.kind == Kind::Recover => Ok(()),
            _ => set::admit(customer),
        }
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
