//! Whether a new password is taken: asked wherever one is set, before it is hashed and before anything is used up for it.
//!
//! First what the password itself and its owner tell (`core::policy`), all of it at once; then, of one that is good so far,
//! whether it is one of the customer's last, which costs a hash for each; then whether it is known from a leak, which may
//! cost a call to another system. Nothing is written but the trace of a refused call.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use keyherald_core::Refusal;
use keyherald_core::customer::Customer;
use keyherald_core::id::{CustomerId, ProjectKey};
use keyherald_core::message::Flow;
use keyherald_core::policy::{About, Blocklist, Broken, Form, Policy, Surface};
use keyherald_core::secret::Password;
use keyherald_core::throttle::Throttle;
use keyherald_store::{Tx, credential, customer};

use super::{Answer, App, Call, Failure};
use crate::breach;
use crate::hash::Lane;
use crate::words::Reasons;

/// What is asked of new passwords, project by project.
#[derive(Default)]
pub struct Passwords {
    /// Those whose configuration says something about it.
    pub projects: BTreeMap<ProjectKey, Expected>,
    /// The words for customers.
    pub reasons: Reasons,
    /// For all other projects.
    pub otherwise: Expected,
    /// How often one may be tried, of the projects that count that.
    pub throttles: BTreeMap<ProjectKey, Throttle>,
}

/// What one project asks.
pub struct Expected {
    /// Of passwords that are set on pages and by calls of ours.
    pub policy: Policy,
    /// The contracts whose passwords must keep to it too, though they say nothing of it.
    pub applies_to: BTreeSet<Contract>,
    /// How many of the last passwords Naviga's contract refuses, whatever else holds there.
    pub naviga_history: u8,
    /// What is tried first.
    pub list: Arc<Blocklist>,
    /// The project's name.
    pub name: Option<String>,
    /// Whether leaked passwords are looked for.
    pub breach: Option<breach::Check>,
}

/// A contract that has no policy of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Contract {
    /// The commercetools contract.
    Commercetools,
    /// Naviga's.
    Naviga,
}

impl Default for Expected {
    fn default() -> Self {
        let form = Form::Text { min: Policy::SOLE_FACTOR_MIN, max: Policy::CHARACTERS_MAX };
        Self {
            policy: Policy { form, bytes_max: None, history: 0 },
            applies_to: BTreeSet::new(),
            naviga_history: 0,
            list: Arc::new(Blocklist::shipped()),
            name: None,
            breach: None,
        }
    }
}

impl Expected {
    /// What is asked where a password comes in. `None`: nothing.
    fn at(&self, surface: Surface) -> Option<Policy> {
        match surface {
            Surface::Own => Some(self.policy),
            Surface::Paysafe(rule) => Some(Policy { form: rule.form, history: rule.history, ..self.policy }),
            Surface::Commercetools => self.applies_to.contains(&Contract::Commercetools).then_some(self.policy),
            Surface::Naviga => self.applies_to.contains(&Contract::Naviga).then_some(self.policy),
        }
    }

    /// How many of the last passwords are refused there.
    fn history_at(&self, surface: Surface) -> u8 {
        let of_policy = self.at(surface).map_or(0, |policy| policy.history);
        if surface == Surface::Naviga { of_policy.max(self.naviga_history) } else { of_policy }
    }

    fn asks_at(&self, surface: Surface) -> bool {
        self.at(surface).is_some() || self.history_at(surface) > 0
    }
}

impl Passwords {
    fn of(&self, project: &ProjectKey) -> &Expected {
        self.projects.get(project).unwrap_or(&self.otherwise)
    }
}

/// Whose password it is to be.
#[derive(Clone, Copy)]
pub(super) enum Whose<'a> {
    /// This customer's.
    Customer(&'a Customer),
    /// The same, not read yet.
    Id(CustomerId),
    /// Somebody's who has this address and is no customer yet.
    New(&'a str),
}

impl App {
    /// The password as it is to be hashed, in Unicode's normal form C: what was typed, if it is taken. Uses nothing up, and
    /// is to be asked before anything is.
    ///
    /// Whether it was used before is told to whoever asks: where the current password must be proved, prove it first.
    ///
    /// # Errors
    /// [`Refusal::PasswordBroken`] with the rules that it breaks; the pool's or the store's, when they cannot be asked.
    pub async fn check_new_password(
        &self,
        project: &ProjectKey,
        surface: Surface,
        customer: Option<&Customer>,
        password: Password,
    ) -> Answer<Password> {
        let expected = self.passwords.of(project);
        let about = About::new(project, expected.name.as_deref(), customer);
        self.judge_password(project, surface, (about, customer.map(|customer| customer.id)), password).await
    }

    /// The same for a call of a contract, where the project asks for it. A refused call leaves its trace.
    pub(super) async fn checked(&self, call: &Call, flow: Flow, whose: Whose<'_>, typed: Password) -> Answer<Password> {
        let expected = self.passwords.of(&call.project);
        let Some(surface) = call.surface.filter(|surface| expected.asks_at(*surface)) else { return Ok(typed) };
        let read = match whose {
            Whose::Id(id) => {
                let project = call.project.clone();
                self.store.read(move |tx| customer::by_id(tx, &project, id)).await?
            }
            Whose::Customer(_) | Whose::New(_) => None,
        };
        let known = if let Whose::Customer(customer) = whose { Some(customer) } else { read.as_ref() };
        let mut about = About::new(&call.project, expected.name.as_deref(), known);
        if let Whose::New(email) = whose {
            about = about.with(email);
        }
        let id = known.map(|customer| customer.id);
        match self.judge_password(&call.project, surface, (about, id), typed).await {
            Err(Failure::Refused(refusal)) => self.refuse(call.clone(), flow, id, refusal, self.ctx()).await,
            judged => judged,
        }
    }

    async fn judge_password(
        &self,
        project: &ProjectKey,
        surface: Surface,
        (about, customer): (About, Option<CustomerId>),
        typed: Password,
    ) -> Answer<Password> {
        let expected = self.passwords.of(project);
        if !expected.asks_at(surface) {
            return Ok(typed);
        }
        let (policy, history) = (expected.at(surface), expected.history_at(surface));
        let hashed = if policy.is_some() { typed.nfc() } else { typed.duplicate() };
        let mut broken = policy.map(|policy| policy.check(&hashed, &expected.list, &about)).unwrap_or_default();
        if broken.is_empty()
            && let Some(customer) = customer
            && self.was_used(project, customer, history, &hashed).await?
        {
            broken.push(Broken::Reused);
        }
        // All PINs are in the lists of leaked passwords.
        if broken.is_empty()
            && policy.is_some_and(|policy| matches!(policy.form, Form::Text { .. }))
            && let Some(breach) = &expected.breach
        {
            broken.extend(breach.broken_by(&hashed, &typed).await);
        }
        if broken.is_empty() { Ok(hashed) } else { Err(Refusal::PasswordBroken(broken).into()) }
    }

    /// Whether it is one of the customer's last passwords, the current one among them.
    async fn was_used(&self, project: &ProjectKey, id: CustomerId, history: u8, password: &Password) -> Answer<bool> {
        if history == 0 {
            return Ok(false);
        }
        let project = project.clone();
        let look = move |tx: &mut dyn Tx| credential::latest(tx, &project, id, history);
        let hashes = self.store.read(look).await?;
        for hash in hashes {
            if self.hash.verify(Lane::Change, password.duplicate(), Some(hash)).await?.matches {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// From now on so many of each customer's passwords are kept, to be known again.
    pub async fn keep_passwords(&self, project: ProjectKey, most: u8) -> Answer<()> {
        Ok(self.store.write(&self.ctx(), move |tx, _| credential::keep_history(tx, &project, most)).await?)
    }

    /// What is asked of a password there, for a page that says so while it is typed. `None`: nothing.
    pub fn password_rule(&self, project: &ProjectKey, surface: Surface) -> Option<Policy> {
        self.passwords.of(project).at(surface)
    }

    /// Why a password is not taken, as a sentence for the customer.
    pub fn reason(&self, broken: Broken, locale: Option<&str>) -> String {
        self.passwords.reasons.reason(broken, locale)
    }

    /// How a good one is found, as a few sentences for the customer.
    pub fn guidance(&self, project: &ProjectKey, surface: Surface, locale: Option<&str>) -> Vec<String> {
        let rule = self.password_rule(project, surface);
        rule.map(|policy| self.passwords.reasons.guidance(policy.form, locale)).unwrap_or_default()
    }
}
