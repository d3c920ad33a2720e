//! What is written down to be sent as it is: events, rendered once, in the transaction of what they tell.
//!
//! The verbs that set a password call in here after they have written it, whichever contract they serve, and operations do
//! when they commit one. What a project's partner is to be told is in its [`Brand`]; a project without one has no events.

use std::collections::BTreeMap;

use keyherald_core::credentials_event::{
    Actor, ChangeType, Circumstances, CredentialsEvent, Identifier, Identifiers, What,
};
use keyherald_core::customer::Customer;
use keyherald_core::data_verification_event::DataVerificationEvent;
use keyherald_core::event::{EventType, NewEvent};
use keyherald_core::id::{ProjectKey, TokenId, VerificationId};
use keyherald_core::message::Flow;
use keyherald_core::seal::KeyRing;
use keyherald_core::verification::Attribute;
use keyherald_core::{Ctx, Micros};
use keyherald_store::event::{self, Kept};
use keyherald_store::{Fault, Tx};
use zeroize::Zeroizing;

use crate::format::paysafe_credentials_event::{self, Profile};
use crate::format::paysafe_data_verification_event;

/// What the partner of a project is told, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Brand {
    /// Its name in the contract.
    pub name: String,
    /// Which form bodies have.
    pub profile: Profile,
    /// Whether they have more members than the contract's.
    pub extensions: bool,
    /// Which changes are told.
    pub changes: Vec<ChangeType>,
    /// Whether a reset by a mailed token is told as a recovery.
    pub token_resets: bool,
    /// How long an event can be sent again, in microseconds.
    pub kept: i64,
}

/// The brands of all projects.
#[derive(Clone, Debug, Default)]
pub struct Outbox(pub BTreeMap<ProjectKey, Brand>);

/// A password that was set without a verification process. `customer` is as it is after that.
#[derive(Clone, Copy)]
pub struct PasswordWasSet<'a> {
    /// Whose.
    pub customer: &'a Customer,
    /// By which way.
    pub flow: Flow,
    /// The mailed token that was redeemed for it.
    pub token: Option<TokenId>,
}

impl Outbox {
    /// Writes the Customer Credentials Event about `what`, if the project's partner is told of such changes. To be called
    /// once for a change, in its transaction, after the customer was locked and written.
    pub fn append(
        &self,
        tx: &mut dyn Tx,
        ring: &KeyRing,
        project: &ProjectKey,
        what: &What<'_>,
        ctx: &mut Ctx,
    ) -> Result<(), Fault> {
        let Some(brand) = self.0.get(project).filter(|brand| brand.changes.contains(&what.change)) else {
            return Ok(());
        };
        let told = CredentialsEvent::of(what, ctx);
        tell_what_was_cut(&told.cut, project, told.id);
        let extensions_of = brand.extensions.then_some(brand.name.as_str());
        let body = paysafe_credentials_event::render(&told, brand.profile, extensions_of)?;
        let new = NewEvent {
            id: told.id,
            event_type: EventType::CustomerCredentials,
            customer: Some(what.customer.id),
            lane: what.customer.id,
            at: told.at,
            body: Zeroizing::new(body),
        };
        let kept = Kept { until: ctx.now.plus(brand.kept), body_until: None, subject: None };
        event::append(tx, ring, project, &new, &kept, ctx)
    }

    /// The same for a password that was set in another way than by a verification process: as the partner asked for.
    ///
    /// A mailed token proves the address that it was mailed to, and its own id stands for the process that it was. Whatever
    /// proves nothing is a mere change.
    pub fn append_of(
        &self,
        tx: &mut dyn Tx,
        ring: &KeyRing,
        project: &ProjectKey,
        set: PasswordWasSet<'_>,
        ctx: &mut Ctx,
    ) -> Result<(), Fault> {
        let Some(brand) = self.0.get(project) else { return Ok(()) };
        let (change, verification) = match (set.flow, set.token) {
            (Flow::Reset | Flow::Recover, Some(token)) if brand.token_resets => {
                (ChangeType::PasswordRecovery, Some(VerificationId::from(token.uuid())))
            }
            (Flow::Change | Flow::Set, _) => (ChangeType::PasswordChange, None),
            _ => return Ok(()),
        };
        let stored = |value| Identifier { value, verification, verified_at: None };
        let email = stored(Attribute::canonical_email(set.customer));
        // The mail has proved no number; who proves nothing is told with all that is stored.
        let mobile = set.customer.mobile.as_ref().filter(|_| verification.is_none());
        let mobile = mobile.map(|mobile| stored(mobile.as_str().to_owned()));
        let initiator = if set.flow == Flow::Set { Actor::Admin } else { Actor::Customer };
        let circumstances =
            Circumstances { initiator, authenticated: set.flow == Flow::Change, ..Circumstances::default() };
        let identifiers = Identifiers { email: Some(email), mobile };
        self.append(tx, ring, project, &What { customer: set.customer, change, identifiers, circumstances }, ctx)
    }

    /// Writes the Customer Data Verification Event. Its body lives no longer than its process; whoever ends that calls
    /// [`event::end_of`].
    pub fn append_data_verification(
        &self,
        tx: &mut dyn Tx,
        ring: &KeyRing,
        project: &ProjectKey,
        told: &DataVerificationEvent,
        ctx: &mut Ctx,
    ) -> Result<(), Fault> {
        tell_what_was_cut(&told.cut, project, told.id);
        event::append(tx, ring, project, &rendered(told)?, &kept(told), ctx)
    }

    /// The same as a decoy: where nobody must be told by the time it takes that there is no such customer.
    pub fn append_decoy_of_data_verification(
        &self,
        tx: &mut dyn Tx,
        ring: &KeyRing,
        project: &ProjectKey,
        told: &DataVerificationEvent,
        ctx: &mut Ctx,
    ) -> Result<(), Fault> {
        event::append_decoy(tx, ring, project, &rendered(told)?, &kept(told), ctx)
    }
}

fn kept(told: &DataVerificationEvent) -> Kept {
    // What tells of the end outlives it for as long as its delivery is worth trying.
    let (ends_at, subject) = match told.error {
        None => (told.process.expires_at, Some(told.process.id.to_string())),
        Some(_) => (told.at.plus(Micros::DAY), None),
    };
    Kept { until: ends_at.plus(Micros::DAY), body_until: Some(ends_at), subject }
}

fn rendered(told: &DataVerificationEvent) -> Result<NewEvent, Fault> {
    Ok(NewEvent {
        id: told.id,
        event_type: EventType::CustomerDataVerification,
        customer: told.customer.as_ref().map(|(id, _)| *id),
        lane: told.lane(),
        at: told.at,
        body: paysafe_data_verification_event::render(told)?,
    })
}

fn tell_what_was_cut(cut: &[&'static str], project: &ProjectKey, event: keyherald_core::id::MessageId) {
    if !cut.is_empty() {
        tracing::warn!(%project, %event, members = ?cut, "a customer's record is longer than the contract allows; cut in its event");
    }
}
