//! Become a customer by what was proved in verification processes (paysafe.md 6.1).

use std::net::IpAddr;

use keyherald_core::create::{self, Command};
use keyherald_core::customer::Customer;
use keyherald_core::message::Flow;
use keyherald_core::policy::Surface;
use keyherald_core::secret::Password;
use keyherald_core::shop::Known;
use keyherald_core::verification::{Claim, Purpose};
use keyherald_core::{Ctx, Refusal};
use keyherald_store::{Fault, Tx, claim, customer};

use super::check_password::Whose;
use super::limits::{Limited, of_source};
use super::proofs::{Look, Proofs, consume};
use super::verify_identifier::Verifying;
use super::{Answer, App, Call, trace};
use crate::hash::Lane;

const FLOW: Flow = Flow::Create;

/// Somebody who is to become a customer. No `Debug`: it is secret.
pub struct Onboarding {
    /// What was proved. The command has the same address and number.
    pub claims: Vec<Claim>,
    /// The customer.
    pub command: Command,
    /// The password, as it was typed.
    pub password: Password,
    /// What is asked of it.
    pub surface: Surface,
}

impl App {
    /// Makes a customer of somebody who has proved an address, or a number, or both.
    ///
    /// # Errors
    /// [`Refusal::NotProved`], [`Refusal::Duplicate`], [`Refusal::PasswordBroken`]. A refusal uses nothing up.
    pub async fn onboard_customer(
        &self,
        call: Call,
        verifying: &Verifying,
        source: Option<IpAddr>,
        onboarding: Onboarding,
    ) -> Answer<Limited<Box<Customer>>> {
        let mut ctx = self.ctx();
        let bucket = of_source("onboard", call.project.as_str(), source);
        if let Some(retry_after_s) = self.over_rate(vec![(bucket, verifying.used_by_source)], &ctx).await? {
            return Ok(Limited::TooMany { retry_after_s });
        }
        self.hash.admit(Lane::Change)?;
        let Onboarding { claims, command, password, surface } = onboarding;
        let call = Call { surface: Some(surface), ..call };
        let proofs = Proofs::new(claims, Purpose::WalletSetup, verifying.limits);
        let (app, looking, wanted, looked) = (self.clone(), call.clone(), command.clone(), proofs.clone());
        let now = ctx.now;
        let first_look = move |tx: &mut dyn Tx| {
            if let Err(refusal) = looked.look(tx, &app.ring, &looking, Look::First, now)? {
                return Ok(Some(refusal));
            }
            let known = nobodys_stores(&looking, tx)?;
            Ok::<_, Fault>(match wanted.claims(&known) {
                Ok(claims) => claim::taken(tx, &looking.project, &claims, None)?.map(Refusal::Duplicate),
                Err(refusal) => Some(refusal),
            })
        };
        if let Some(refusal) = self.store.read(first_look).await? {
            return self.refuse(call, FLOW, None, refusal, ctx).await;
        }
        let password = self.checked(&call, FLOW, Whose::New(&command.email), password).await?;
        let hash = self.hash.hash(Lane::Change, password, ctx.bytes()).await?;
        let app = self.clone();
        let work = move |tx: &mut dyn Tx, ctx: &mut Ctx| {
            let known = nobodys_stores(&call, tx)?;
            // The addresses first, as everybody does who takes one.
            let taken = match command.claims(&known) {
                Ok(claims) => claim::take(tx, &call.project, &claims, None)?,
                Err(_) => None, // the decision says what is wrong
            };
            let held = proofs.look(tx, &app.ring, &call, Look::Last, ctx.now)?;
            let created =
                held.and_then(|held| Ok((create::decide(&command, &known, taken, Some(hash.clone()), ctx)?, held)));
            match created {
                Ok((mut created, held)) => {
                    customer::create(tx, &app.ring, &call.project, &mut created, ctx)?;
                    consume(tx, &call, &held, ctx.now)?;
                    Ok(Ok(created.customer))
                }
                Err(refusal) => {
                    trace(tx, &call, FLOW, None, &refusal, ctx)?;
                    Ok(Err(refusal))
                }
            }
        };
        Ok(Limited::Done(Box::new(self.store.write(&ctx, work).await??)))
    }
}

/// Whoever comes in by proofs belongs to no store.
fn nobodys_stores(call: &Call, tx: &mut dyn Tx) -> Result<Known, Fault> {
    call.known(tx, &[])
}
