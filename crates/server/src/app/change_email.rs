//! Give a customer another e-mail address, at the identity provider and here (naviga.md 3.1).
//!
//! The provider first, then here. No operation remembers it, for it needs none: an address is no secret, the same address
//! may be set again, and the old one is known. Whoever asks again after a lost answer or a death in between finds the
//! provider as it should be, and what is missing is done here. Of two at the same moment, the one that finds the address
//! here moved since it looked goes round again, so that the last one has set both.

use keyherald_core::activity::{self, CallResult, Made};
use keyherald_core::customer::{Customer, fold_email};
use keyherald_core::id::CustomerId;
use keyherald_core::message::Flow;
use keyherald_core::operation::look_up_ended;
use keyherald_core::provider::{Meaning, ProviderError, ProviderLink};
use keyherald_core::refusal::UniqueField;
use keyherald_core::update::{self, Action, Command, Found};
use keyherald_core::{Ctx, Refusal};
use keyherald_store::{Fault, Tx, claim, customer, log};
use tokio::time::Instant;

use super::replace_password::micros;
use super::{Answer, App, Call, CustomerRef};
use crate::operate::{By, UserChanges};

/// How often a change that met another one is tried.
const ROUNDS_MAX: usize = 3;

/// The customer as it was looked up.
#[derive(Clone)]
struct Before {
    customer: Customer,
    link: Option<ProviderLink>,
    /// Another customer has the address.
    taken: Option<UniqueField>,
    took_us: i64,
}

/// A call to the provider, and how it ended.
#[derive(Clone, Copy)]
struct Called {
    call: activity::Call,
    ended: (CallResult, &'static str),
    took_us: i64,
}

/// What came of the transaction.
enum Written {
    Done,
    Refused(Refusal),
    /// The address or the link is another than the one that was looked up: nothing was written.
    Moved,
}

impl App {
    /// Sets the e-mail address of the customer that is meant, at its identity provider too if it has one.
    pub async fn change_email(&self, call: Call, which: CustomerRef, email: String) -> Answer<()> {
        for _ in 0..ROUNDS_MAX {
            let (looking, named, wanted, app) = (call.clone(), which.clone(), email.clone(), self.clone());
            let now = self.ctx();
            let look = move |tx: &mut dyn Tx| app.look(tx, &looking, &named, &wanted, &now);
            let Some(before) = self.store.read(look).await? else {
                return self.not_found(call, Flow::Update, which.not_found()).await;
            };
            let (mut made, mut refusal) = (Vec::new(), before.taken.map(Refusal::Duplicate));
            if let (Some(link), None) = (&before.link, &refusal) {
                refusal = self.set_at_provider(link, &email, &mut made).await.err();
            }
            let (calling, known, wanted, calls, app) =
                (call.clone(), before.clone(), email.clone(), made.clone(), self.clone());
            let work = move |tx: &mut dyn Tx, ctx: &mut Ctx| {
                app.set_here(tx, (&calling, &known), (&wanted, refusal.as_ref()), &calls, ctx)
            };
            match self.store.write(&self.ctx(), work).await? {
                Written::Done => return Ok(()),
                Written::Refused(refusal) => {
                    // Somebody else took the address after it was set there.
                    if let (Refusal::Duplicate(_), Some(link)) = (&refusal, &before.link)
                        && made.iter().any(Called::has_set)
                    {
                        self.set_back(link, &before.customer).await;
                    }
                    return Err(refusal.into());
                }
                Written::Moved => {}
            }
        }
        Err(Refusal::ProviderRefused(ProviderError::Stale).into())
    }

    fn look(
        &self,
        tx: &mut dyn Tx,
        call: &Call,
        which: &CustomerRef,
        email: &str,
        ctx: &Ctx,
    ) -> Result<Option<Before>, Fault> {
        let began = Instant::now();
        let Some(customer) = which.find(tx, call)? else { return Ok(None) };
        let link = self.operations.link_of(tx, &call.project, customer.id)?;
        let taken = match update::admit(&customer, &command(call, &customer, email), &Found::default().known, ctx) {
            Ok(Some(claims)) => claim::taken(tx, &call.project, &claims, Some(customer.id))?,
            Ok(None) | Err(_) => None,
        };
        Ok(Some(Before { customer, link, taken, took_us: micros(began) }))
    }

    /// Looks the user up there and sets the address. What was done is added to `made`.
    async fn set_at_provider(&self, link: &ProviderLink, email: &str, made: &mut Vec<Called>) -> Result<(), Refusal> {
        let mut note = |call, began: Instant, ended: (CallResult, &'static str)| {
            made.push(Called { call, ended, took_us: micros(began) });
        };
        let done = (CallResult::Succeeded, "done");
        let began = Instant::now();
        let looked = self.operations.look_up_user(&link.provider, By::Id(&link.user)).await;
        // Where nobody can be looked up, the change itself tells who is not there.
        if let Some(error) = looked.err().filter(|error| *error != ProviderError::NotSupported) {
            note(activity::Call::LookUpAtProvider, began, look_up_ended(&error));
            return Err(Refusal::NotLookedUp(Box::new(self.of_provider(error))));
        }
        note(activity::Call::LookUpAtProvider, began, done);
        let began = Instant::now();
        let changes = UserChanges { email: Some(email), ..UserChanges::default() };
        let error = match self.operations.update_user(link, changes).await {
            Ok(()) => {
                note(activity::Call::SetEmailAtProvider, began, done);
                return Ok(());
            }
            Err(error) => error,
        };
        // Whether it was applied is there to be seen.
        if error == ProviderError::Ambiguous {
            let seen = self.operations.look_up_user(&link.provider, By::Id(&link.user)).await;
            let seen = seen.ok().and_then(|user| user.email);
            if seen.is_some_and(|seen| fold_email(&seen) == fold_email(email)) {
                note(activity::Call::SetEmailAtProvider, began, done);
                return Ok(());
            }
        }
        let result = match error.meaning() {
            Meaning::Refused => CallResult::Refused,
            Meaning::Later(_) => CallResult::Failed,
            Meaning::Unknown => CallResult::Unknown,
        };
        note(activity::Call::SetEmailAtProvider, began, (result, error.code()));
        Err(match error {
            ProviderError::Conflict => Refusal::Duplicate(UniqueField::Email),
            ProviderError::Ambiguous => Refusal::ProviderRefused(ProviderError::Ambiguous),
            error => self.of_provider(error),
        })
    }

    /// Gives the provider the address back that the customer keeps.
    async fn set_back(&self, link: &ProviderLink, customer: &Customer) {
        let changes = UserChanges { email: Some(&customer.email), ..UserChanges::default() };
        if let Err(error) = self.operations.update_user(link, changes).await {
            let (id, code) = (customer.id, error.code());
            tracing::error!(
                customer = %id, code, alert = "email_diverged",
                "the e-mail address of customer {id} is another at provider {}: {code}", link.provider
            );
        }
    }

    /// The transaction: the address here, unless it was refused before, and the entries of all calls.
    fn set_here(
        &self,
        tx: &mut dyn Tx,
        (call, before): (&Call, &Before),
        (email, refusal): (&str, Option<&Refusal>),
        made: &[Called],
        ctx: &mut Ctx,
    ) -> Result<Written, Fault> {
        let (project, id) = (&call.project, before.customer.id);
        let locked = call.lock(tx, id)?;
        let Some(locked) = locked else {
            let refusal = CustomerRef::Id(id).not_found();
            tell(tx, call, before, made, Some((false, &refusal)), ctx)?;
            return Ok(Written::Refused(refusal));
        };
        if let Some(refusal) = refusal {
            tell(tx, call, before, made, Some((true, refusal)), ctx)?;
            return Ok(Written::Refused(refusal.clone()));
        }
        let has_moved = locked.email != before.customer.email && locked.email != email;
        if has_moved || self.operations.link_of(tx, project, id)? != before.link {
            return Ok(Written::Moved);
        }
        let command = command(call, &locked, email);
        let known = Found::default().known;
        let taken = match update::admit(&locked, &command, &known, ctx) {
            Ok(Some(claims)) => claim::take(tx, project, &claims, Some(id))?,
            Ok(None) | Err(_) => None,
        };
        match update::decide(&locked, &command, &Found { known, taken }, None, ctx) {
            Ok(updated) => {
                let began = Instant::now();
                customer::update(tx, &self.ring, project, &updated, ctx)?;
                let set = Called {
                    call: activity::Call::SetEmailAtHome,
                    ended: (CallResult::Succeeded, "done"),
                    took_us: micros(began),
                };
                tell(tx, call, before, &[made, &[set]].concat(), None, ctx)?;
                Ok(Written::Done)
            }
            Err(refusal) => {
                tell(tx, call, before, made, Some((true, &refusal)), ctx)?;
                Ok(Written::Refused(refusal))
            }
        }
    }
}

impl Called {
    fn has_set(&self) -> bool {
        self.call == activity::Call::SetEmailAtProvider && self.ended.0 == CallResult::Succeeded
    }

    fn is_of_provider(&self) -> bool {
        matches!(self.call, activity::Call::LookUpAtProvider | activity::Call::SetEmailAtProvider)
    }
}

fn command(call: &Call, customer: &Customer, email: &str) -> Command {
    let actions = vec![Action::ChangeEmail(email.to_owned())];
    Command { version: customer.version, actions, by: call.by.clone() }
}

/// Writes the entries of one run: the look-ups, then the changes; and the refusal, of a customer who is here or not.
fn tell(
    tx: &mut dyn Tx,
    call: &Call,
    before: &Before,
    made: &[Called],
    refused: Option<(bool, &Refusal)>,
    ctx: &mut Ctx,
) -> Result<(), Fault> {
    let (mut run, id): (_, Option<CustomerId>) = (call.run(Flow::Update), Some(before.customer.id));
    let at_home = Called {
        call: activity::Call::LookUpAtHome,
        ended: match refused {
            Some((false, refusal)) => (CallResult::Failed, refusal.code()),
            _ => (CallResult::Succeeded, "done"),
        },
        took_us: before.took_us,
    };
    let is_first = |called: &&Called| called.call == activity::Call::LookUpAtProvider;
    let rest = made.iter().filter(|called| !is_first(called));
    for called in made.iter().filter(is_first).chain([&at_home]).chain(rest) {
        let mut entry = Made::done(called.call).took(called.took_us).ended(called.ended.0, called.ended.1);
        if let (true, Some(link)) = (called.is_of_provider(), &before.link) {
            entry = entry.at(&link.provider);
        }
        log::activity::append(tx, &call.project, &run.called(id, entry, ctx))?;
    }
    match refused {
        Some((true, refusal)) => log::activity::append(tx, &call.project, &run.ended(id, Some(refusal), ctx)),
        _ => Ok(()),
    }
}
