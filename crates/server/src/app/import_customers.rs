//! Import customers that another system made, many in one transaction.

use std::sync::Arc;

use keyherald_core::credential::PasswordHash;
use keyherald_core::id::{CustomerId, ProjectKey};
use keyherald_core::import::{self, Decision, Fields, Holder, Record, Rejected};
use keyherald_core::{Ctx, Refusal};
use keyherald_store::{Fault, Tx, claim, credential, customer, provider_link, shop};

use super::projects::check_locale;
use super::{Answer, App};

/// What became of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ImportOutcome {
    /// It is a customer now.
    Imported,
    /// It was one before, just as the record has it.
    AlreadyThere,
    /// It was not taken.
    Rejected(Rejected),
}

impl App {
    /// Looks at a record's form, its hash included. Changes nothing.
    pub fn check_import(&self, fields: Fields) -> Result<Record, Rejected> {
        let read_hash = |text: &str| self.hash.importable(text).map_err(|unusable| unusable.to_string());
        import::check(fields, self.moments.now(), read_hash)
    }

    /// Writes the records in one transaction and says what became of each, in their order. Each is seen by those after
    /// it. The caller chooses how many: some hundred.
    pub async fn import_customers(
        &self,
        project: ProjectKey,
        records: Vec<Record>,
        announce: bool,
    ) -> Answer<Vec<ImportOutcome>> {
        let (app, records) = (self.clone(), Arc::new(records));
        let work = move |tx: &mut dyn Tx, ctx: &mut Ctx| {
            records.iter().map(|record| app.import_one(tx, &project, record, announce, ctx)).collect()
        };
        Ok(self.store.write(&self.ctx(), work).await?)
    }

    fn import_one(
        &self,
        tx: &mut dyn Tx,
        project: &ProjectKey,
        record: &Record,
        announce: bool,
        ctx: &mut Ctx,
    ) -> Result<ImportOutcome, Fault> {
        if check_locale(tx, project, record.profile.locale.as_deref())?.is_err() {
            let reason = "locale: it is none of the project's languages";
            return Ok(ImportOutcome::Rejected(Rejected(reason.to_owned())));
        }
        let known = shop::known(tx, project, &record.stores)?;
        let taken = match record.claims(&known) {
            Ok(claims) => claim::take(tx, project, &claims, None)?,
            Err(_) => None, // the decision says what is wrong
        };
        let holder = match taken {
            Some(field) => customer::by_unique(tx, project, field, record)?,
            None => None,
        };
        let holder = match holder {
            Some(customer) => {
                let hash = credential::by_customer(tx, project, customer.id)?;
                let is_current = |hash: &Option<PasswordHash>| hash.as_ref().is_some_and(|h| self.hash.is_current(h));
                let could_be_upgraded = is_current(&hash) && !is_current(&record.password_hash);
                Some(Holder { customer, hash, could_be_upgraded })
            }
            None => None,
        };
        if let Some(reason) = in_the_way(tx, project, record, holder.as_ref())? {
            return Ok(ImportOutcome::Rejected(Rejected(reason)));
        }
        Ok(match import::decide(record, &known, taken, holder.as_ref(), announce, ctx) {
            Decision::Create(mut imported) => {
                customer::import(tx, &self.ring, project, &mut imported, ctx)?;
                link(tx, project, imported.customer.id, record, ctx)?;
                ImportOutcome::Imported
            }
            Decision::AlreadyThere => {
                if let Some(holder) = &holder {
                    link(tx, project, holder.customer.id, record, ctx)?;
                }
                ImportOutcome::AlreadyThere
            }
            Decision::Conflict(conflict) => ImportOutcome::Rejected(Rejected(conflict.to_string())),
            Decision::Refused(Refusal::ReferenceNotFound { .. }) => ImportOutcome::Rejected(Rejected(
                "stores: the project has no such store; it must be made first".to_owned(),
            )),
            Decision::Refused(refusal) => ImportOutcome::Rejected(Rejected(refusal.to_string())),
        })
    }
}

/// Why the record's users of providers cannot be this customer's: names of fields and providers only.
fn in_the_way(
    tx: &mut dyn Tx,
    project: &ProjectKey,
    record: &Record,
    holder: Option<&Holder>,
) -> Result<Option<String>, Fault> {
    let holder = holder.map(|holder| holder.customer.id);
    for link in &record.links {
        let provider = &link.provider;
        if provider_link::by_user(tx, project, provider, &link.user)?.is_some_and(|owner| Some(owner) != holder) {
            return Ok(Some(format!("providerUsers: another customer is that user of {provider}")));
        }
        let Some(holder) = holder else { continue };
        if provider_link::of_customer(tx, project, holder, provider)?.is_some_and(|there| there.user != link.user) {
            return Ok(Some(format!("providerUsers: the customer is another user of {provider}")));
        }
    }
    Ok(None)
}

/// Links the customer with the record's users. What is linked already stays as it is.
fn link(tx: &mut dyn Tx, project: &ProjectKey, customer: CustomerId, record: &Record, ctx: &Ctx) -> Result<(), Fault> {
    record.links.iter().try_for_each(|link| provider_link::put(tx, project, customer, link, ctx.now).map(drop))
}
