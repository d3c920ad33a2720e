//! Set a password at the customer's identity provider and here: what the verbs that do so have in common.

use std::sync::Arc;

use keyherald_core::credential::{AuthenticationMode, PasswordHash};
use keyherald_core::customer::Customer;
use keyherald_core::id::{CustomerId, TokenId};
use keyherald_core::message::Flow;
use keyherald_core::operation::{Kind, Why};
use keyherald_core::provider::{Meaning, ProviderError, ProviderLink, TrialAnswer};
use keyherald_core::refusal::Lookup;
use keyherald_core::secret::Password;
use keyherald_core::verification::Proof;
use keyherald_core::{Ctx, Refusal};
use keyherald_store::{Fault, Tx};

use super::{Answer, App, Call, CustomerRef};
use crate::operate::{Admit, Told, Wish};

/// A password for a customer who has a provider.
pub(super) struct Setting {
    pub call: Call,
    pub customer: CustomerId,
    pub link: ProviderLink,
    pub kind: Kind,
    pub version: Option<i64>,
    pub token: Option<TokenId>,
    pub proofs: Vec<Proof>,
    pub password: Password,
    /// `None`: none is kept here.
    pub hash: Option<PasswordHash>,
}

impl App {
    /// Sets it, if `admit` says so of the customer when the intent is committed, and answers the customer.
    pub(super) async fn set_password<A>(&self, setting: Setting, admit: A) -> Answer<Customer>
    where
        A: Fn(&mut dyn Tx, &Customer, &mut Ctx) -> Result<Result<(), Refusal>, Fault> + Send + Sync + 'static,
    {
        let Setting { call, customer: id, link, kind, version, token, proofs, password, hash } = setting;
        let flow = kind.flow();
        let calling = call.clone();
        let admit: Admit = Arc::new(move |tx: &mut dyn Tx, locked: Option<&Customer>, ctx: &mut Ctx| {
            match locked.filter(|locked| calling.sees(locked)) {
                Some(locked) => admit(tx, locked, ctx),
                None => Ok(Err(Refusal::CustomerNotFound(Lookup::Id))),
            }
        });
        let Call { project, by, source, repeatable, .. } = call.clone();
        let customer = id;
        let wish =
            Wish { project, customer, link, kind, by, source, version, token, proofs, password, hash, repeatable };
        let told = self.operations.set_password(wish, admit).await?;
        self.answer(call, flow, id, told).await
    }

    /// What the caller is told of an operation.
    pub(super) async fn answer(&self, call: Call, flow: Flow, id: CustomerId, told: Told) -> Answer<Customer> {
        let refusal = match told {
            Told::Done => {
                let found = self.store.read(move |tx| CustomerRef::Id(id).find(tx, &call)).await?;
                return Ok(found.ok_or(Refusal::CustomerNotFound(Lookup::Id))?);
            }
            // These have left their traces.
            Told::Refused(refusal) => return Err(refusal.into()),
            Told::Released(why) => return Err(self.of_release(why).into()),
            Told::Gone => return Err(Refusal::CustomerNotFound(Lookup::Id).into()),
            Told::NotKnown => {
                let retry_after_s = Refusal::UNDERWAY_RETRY_AFTER_S;
                return Err(Refusal::PasswordChangeUnderway { retry_after_s }.into());
            }
            Told::NotLookedUp(error) => return Err(Refusal::NotLookedUp(Box::new(self.of_provider(error))).into()),
            Told::Underway { retry_after_s } => Refusal::PasswordChangeUnderway { retry_after_s },
        };
        self.refuse(call, flow, Some(id), refusal, self.ctx()).await
    }

    /// Refuses a password that the provider would cut or refuse for its length, before it is hashed.
    pub(super) fn check_length(&self, link: &ProviderLink, password: &Password) -> Result<(), Refusal> {
        if self.operations.takes(link, password) {
            return Ok(());
        }
        Err(Refusal::ProviderRefused(ProviderError::PolicyViolation { rule: Some("length".into()), message: None }))
    }

    /// Whether the password is the customer's at the provider: for one that is kept there alone, or that nobody knows.
    pub(super) async fn is_current_at_provider(
        &self,
        link: &ProviderLink,
        password: &Password,
    ) -> Result<bool, Refusal> {
        if !self.operations.can_sign_in(link) {
            return Ok(false);
        }
        match self.operations.sign_in(link, password).await {
            TrialAnswer::SignedIn => Ok(true),
            TrialAnswer::Wrong => Ok(false),
            TrialAnswer::CannotTell => Err(Refusal::ProviderRefused(ProviderError::NeedsInteraction)),
            TrialAnswer::Failed(error) => Err(self.of_provider(error)),
        }
    }

    fn of_release(&self, why: Why) -> Refusal {
        match why {
            Why::Refused(error) => self.of_provider(error),
            Why::Unreachable { not_before } => self.of_provider(ProviderError::RateLimited { not_before }),
            Why::Interrupted => self.of_provider(ProviderError::Transient),
        }
    }

    /// The refusal for a call to the provider that changed nothing.
    pub(super) fn of_provider(&self, error: ProviderError) -> Refusal {
        match error.meaning() {
            Meaning::Refused => Refusal::ProviderRefused(error),
            Meaning::Later(Some(not_before)) => {
                let retry_after_s = self.operations.seconds_until(not_before);
                Refusal::ProviderUnreachable { retry_after_s }
            }
            Meaning::Later(None) | Meaning::Unknown => {
                Refusal::ProviderUnreachable { retry_after_s: Refusal::UNDERWAY_RETRY_AFTER_S }
            }
        }
    }
}

/// Refuses a customer who signs in elsewhere, as if the current password were wrong: there is none.
pub(super) fn check_mode(customer: &Customer) -> Result<(), Refusal> {
    match customer.authentication_mode {
        AuthenticationMode::Password => Ok(()),
        AuthenticationMode::ExternalAuth => Err(Refusal::CurrentPasswordWrong),
    }
}
