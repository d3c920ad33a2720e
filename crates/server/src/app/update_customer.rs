//! Change a customer's own fields.

use keyherald_core::credential::PasswordHash;
use keyherald_core::customer::Customer;
use keyherald_core::id::CustomerId;
use keyherald_core::message::Flow;
use keyherald_core::operation::Kind;
use keyherald_core::provider::{ProviderError, ProviderLink};
use keyherald_core::secret::Password;
use keyherald_core::update::{self, Action, Command, Found, TextField};
use keyherald_core::{Ctx, Refusal};
use keyherald_store::{Fault, Tx, claim, customer};

use super::check_password::Whose;
use super::in_turn::Turn;
use super::projects::check_locale;
use super::set_password::Setting;
use super::update_there::There;
use super::{Answer, App, Call, CustomerRef, Failure, trace};
use crate::hash::Lane;

impl App {
    /// Applies the command's actions, all or none. `password` is that of [`Command::password_action`], if it has one.
    ///
    /// For a customer with a provider the password is set first, there and here, as a change of its own: it is told in a
    /// message, and the actions follow at the version after it. So nothing of the actions is done without the password.
    /// What else of them the provider has too is told it next, and then all is written here.
    pub async fn update_customer(
        &self,
        call: Call,
        which: CustomerRef,
        command: Command,
        password: Option<Password>,
    ) -> Answer<Customer> {
        let mut ctx = self.ctx();
        let mut command = command;
        let mut is_set_there = false;
        let hash = match password {
            Some(password) => {
                // What can be refused costs no hash; the transaction below has the last word.
                let (call_, which_, command_, now) = (call.clone(), which.clone(), command.clone(), ctx.clone());
                let app = self.clone();
                let look = move |tx: &mut dyn Tx| app.look_before_update(tx, &call_, &which_, &command_, &now);
                let (id, link) = match self.store.read(look).await? {
                    Ok(found) => found,
                    Err((id, refusal)) => return self.refuse(call, Flow::Update, id, refusal, ctx).await,
                };
                let password = self.checked(&call, Flow::Update, Whose::Id(id), password).await?;
                if let Some(link) = &link
                    && let Err(refusal) = self.check_length(link, &password)
                {
                    return self.refuse(call, Flow::Update, Some(id), refusal, ctx).await;
                }
                let hash = self.hash.hash(Lane::Change, password.duplicate(), ctx.bytes()).await?;
                if let Some(link) = link {
                    is_set_there = true;
                    let (call, hash) = (call.clone(), hash.clone());
                    let version = Some(command.version);
                    let kind = Kind::Set;
                    let (token, hash) = (None, Some(hash));
                    let setting =
                        Setting { call, customer: id, link, kind, version, token, proofs: Vec::new(), password, hash };
                    command.version = self.set_before_update(setting, command.clone()).await?;
                }
                Some(hash)
            }
            None => None,
        };
        let there = self.update_shared(&call, &which, (&command, is_set_there)).await?;
        let applied = self.apply(call.clone(), which, (command, hash), (is_set_there, there.clone()), ctx).await;
        if let (Err(Failure::Refused(_)), Some(there)) = (&applied, &there) {
            self.give_back(&call, there).await?;
        }
        applied
    }

    /// Who it is, and at which provider; or what is refused already.
    fn look_before_update(
        &self,
        tx: &mut dyn Tx,
        call: &Call,
        which: &CustomerRef,
        command: &Command,
        ctx: &Ctx,
    ) -> Result<Result<(CustomerId, Option<ProviderLink>), Refused>, Fault> {
        let Some(found) = which.find(tx, call)? else { return Ok(Err((None, which.not_found()))) };
        if let Some(refusal) = first_refusal(tx, call, &found, command, ctx)? {
            return Ok(Err((Some(found.id), refusal)));
        }
        let link = self.operations.link_of(tx, &call.project, found.id)?;
        // Nothing of it is done at a provider that would refuse the rest.
        if link.as_ref().is_some_and(|link| !self.can_tell(link))
            && self.look_at_shared(tx, call, which, (command, false), ctx)?.is_some()
        {
            return Ok(Err((Some(found.id), Refusal::ProviderRefused(ProviderError::NotSupported))));
        }
        Ok(Ok((found.id, link)))
    }

    /// Sets the password of an update at the provider and here, and answers the customer's version after it.
    async fn set_before_update(&self, setting: Setting, command: Command) -> Answer<i64> {
        let call = setting.call.clone();
        let set = self.set_password(setting, move |tx, locked, ctx| {
            Ok(first_refusal(tx, &call, locked, &command, ctx)?.map_or(Ok(()), Err))
        });
        Ok(set.await?.version)
    }

    async fn apply(
        &self,
        call: Call,
        which: CustomerRef,
        (command, hash): (Command, Option<PasswordHash>),
        (is_set_there, there): (bool, Option<There>),
        ctx: Ctx,
    ) -> Answer<Customer> {
        let (app, calling) = (self.clone(), call.clone());
        let work = move |tx: &mut dyn Tx, ctx: &mut Ctx| {
            let Some(locked) = which.lock(tx, &calling)? else {
                let refusal = which.not_found();
                trace(tx, &calling, Flow::Update, None, &refusal, ctx)?;
                return Ok(Turn::Decided(Err(refusal)));
            };
            if command.concerns_credential() && app.operations.is_underway(tx, &calling.project, locked.id)? {
                return Ok(Turn::Underway(locked.id));
            }
            // Linked just now: another try will set the password there as well.
            if hash.is_some() && !is_set_there && app.operations.link_of(tx, &calling.project, locked.id)?.is_some() {
                return Ok(Turn::Underway(locked.id));
            }
            if let Err(refusal) = check_locale(tx, &calling.project, locale(&command))? {
                trace(tx, &calling, Flow::Update, Some(locked.id), &refusal, ctx)?;
                return Ok(Turn::Decided(Err(refusal)));
            }
            let command = at_its_version(&command, is_set_there, &locked);
            let known = calling.known(tx, &command.stores())?;
            let taken = match update::admit(&locked, &command, &known, ctx) {
                Ok(Some(claims)) => claim::take(tx, &calling.project, &claims, Some(locked.id))?,
                Ok(None) | Err(_) => None, // the decision says what is wrong
            };
            match update::decide(&locked, &command, &Found { known, taken }, hash.clone(), ctx) {
                Ok(updated) => {
                    customer::update(tx, &app.ring, &calling.project, &updated, ctx)?;
                    if let Some(there) = &there {
                        app.told(tx, &calling, there, ctx)?;
                    }
                    Ok(Turn::Decided(Ok(updated.customer)))
                }
                Err(refusal) => {
                    trace(tx, &calling, Flow::Update, Some(locked.id), &refusal, ctx)?;
                    Ok(Turn::Decided(Err(refusal)))
                }
            }
        };
        self.in_turn(call, Flow::Update, ctx, work).await
    }
}

/// The command, at the version that is to hold. Of one whose password is set already that is the customer's own: the version
/// was looked at then, and a refusal now, because somebody has moved it since, would be told of a password that is set.
pub(super) fn at_its_version(command: &Command, is_set_there: bool, customer: &Customer) -> Command {
    let version = if is_set_there { customer.version } else { command.version };
    Command { version, ..command.clone() }
}

/// The locale that the command sets: of several, the one that the customer has afterwards.
pub(super) fn locale(command: &Command) -> Option<&str> {
    command.actions.iter().rev().find_map(|action| match action {
        Action::SetText(TextField::Locale, value) => Some(value.as_deref()),
        _ => None,
    })?
}

type Refused = (Option<CustomerId>, Refusal);

fn first_refusal(
    tx: &mut dyn Tx,
    call: &Call,
    found: &Customer,
    command: &Command,
    ctx: &Ctx,
) -> Result<Option<Refusal>, Fault> {
    let known = call.known(tx, &command.stores())?;
    match update::admit(found, command, &known, ctx) {
        Ok(Some(claims)) => Ok(claim::taken(tx, &call.project, &claims, Some(found.id))?.map(Refusal::Duplicate)),
        Ok(None) => Ok(None),
        Err(refusal) => Ok(Some(refusal)),
    }
}
