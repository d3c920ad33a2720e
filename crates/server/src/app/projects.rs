//! Projects.

use keyherald_core::id::ProjectKey;
use keyherald_core::project::{self, Command, Configured, Project};
use keyherald_core::{Ctx, Refusal};
use keyherald_store::{Fault, Tx, project as projects};

use super::{Answer, App, Call};

impl App {
    /// Makes sure that a configured project is there, as the configuration and its callers want it.
    pub async fn ensure_project(&self, key: ProjectKey, configured: Configured) -> Answer<()> {
        Ok(self.store.write(&self.ctx(), move |tx, ctx| projects::ensure(tx, &key, &configured, ctx)).await?)
    }

    /// The call's project.
    pub async fn project(&self, call: Call) -> Answer<Project> {
        let found = self.store.read(move |tx| projects::by_key(tx, &call.project)).await?;
        Ok(found.ok_or(Refusal::ProjectNotFound)?)
    }

    /// Changes the settings of the call's project.
    pub async fn update_project(&self, call: Call, command: Command) -> Answer<Project> {
        let work = move |tx: &mut dyn Tx, ctx: &mut Ctx| {
            let Some(before) = projects::lock(tx, &call.project)? else { return Ok(Err(Refusal::ProjectNotFound)) };
            match project::decide(&before, &command, ctx) {
                Ok(after) => projects::update(tx, &before, &after).map(|()| Ok(after)),
                Err(refusal) => Ok(Err(refusal)),
            }
        };
        Ok(self.store.write(&self.ctx(), work).await??)
    }

    /// Whether the database answers a read: for readiness.
    pub async fn store_answers(&self) -> Answer<()> {
        Ok(self.store.read(|tx| keyherald_store::log::last_position(tx).map(drop)).await?)
    }
}

/// The refusal if a customer of the project may not have this locale.
pub(super) fn check_locale(
    tx: &mut dyn Tx,
    key: &ProjectKey,
    locale: Option<&str>,
) -> Result<Result<(), Refusal>, Fault> {
    let Some(locale) = locale else { return Ok(Ok(())) };
    let project = projects::by_key(tx, key)?;
    let accepted = project.is_none_or(|project| project.accepts_locale(locale));
    Ok(if accepted { Ok(()) } else { Err(Refusal::LanguageUnknown { locale: locale.to_owned() }) })
}
