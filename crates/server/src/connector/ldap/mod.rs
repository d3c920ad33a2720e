//! LDAP directories (providers.md 4.9): OpenLDAP and others with the password modify operation of RFC 3062.
//!
//! A password is set by an identity of ours. It must have the right to write passwords and no more: to one that may
//! *manage* them OpenLDAP applies neither policy nor history. A sign-in is tried by binding as the user, on a connection of
//! its own. A directory has no sessions.
//!
//! The probe is `pwdChangedTime`, whose unit is the second. Answers have no limit in bytes, for `ldap3` reads them whole;
//! at most two entries with the few attributes named here are asked for. Active Directory knows no RFC 3062, and is no
//! directory for this connector.

mod answer;
mod session;

use futures_util::future::BoxFuture;
use keyherald_core::Ctx;
use keyherald_core::provider::{
    Capabilities, LookupWays, Probe, ProbeValue, ProviderError, ProviderUser, RecordWrites, SessionEnding, TrialAnswer,
};
use keyherald_core::secret::Password;
use ldap3::controls::RawControl;
use ldap3::exop::{Exop, PasswordModify};
use ldap3::{Scope, SearchEntry, SearchOptions, SearchResult, ldap_escape, parse_filter};
use std::time::Duration;
use tokio::time::timeout;
use url::Url;
use zeroize::Zeroizing;

use self::session::{Directory, Lost, Session};
use super::call::{CannotCall, Deadline, Fault, Net};
use super::secret::AccessSecret;
use super::{By, Connector, LookedUp};

/// How a directory is reached, and where its users are.
#[derive(Clone)]
pub struct Settings {
    /// `ldaps://host`, `ldap://host`, or `ldapi://%2Fpath%2Fof%2Fsocket`.
    pub url: Url,
    /// Whether `ldap://` is secured with StartTLS before anything else is said.
    pub starttls: bool,
    /// As whom we sign in: the distinguished name of an identity that may write passwords.
    pub bind_dn: String,
    /// Its password.
    pub bind_password: AccessSecret,
    /// Under which entry the users are, at any depth.
    pub base_dn: String,
    /// Which entries there are users.
    pub filter: String,
    /// The attribute with the user's id. `dn`: the entry's name.
    pub id_attribute: String,
    /// The attribute with e-mail addresses.
    pub email_attribute: String,
    /// The attribute with the id that a user has elsewhere.
    pub external_id_attribute: Option<String>,
    /// The attribute that moves when the password is changed. `None`: there is none that we may read.
    pub probe_attribute: Option<String>,
    /// The attribute that only locked accounts have: many directories answer these as they do a wrong password.
    pub locked_attribute: String,
}

/// A directory.
pub(super) struct Ldap {
    settings: Settings,
    directory: Directory,
    total_timeout: Duration,
}

/// A user's entry.
struct Found {
    dn: String,
    locked: bool,
    looked_up: LookedUp,
}

impl Ldap {
    pub fn new(settings: Settings, net: &Net) -> Result<Self, CannotCall> {
        let directory = Directory::new(&settings.url, settings.starttls, net)?;
        parse_filter(&settings.filter).map_err(|()| CannotCall::Filter)?;
        Ok(Self { settings, directory, total_timeout: net.total_timeout })
    }

    /// Waits for what changes nothing, as long as one request may take.
    async fn in_time<T>(&self, work: impl Future<Output = Result<T, ProviderError>>) -> Result<T, ProviderError> {
        timeout(self.total_timeout, work).await.unwrap_or(Err(ProviderError::Transient))
    }

    /// A new connection on which we are signed in.
    async fn signed_in(&self) -> Result<Session, ProviderError> {
        let mut session = self.directory.connect().await.map_err(Fault::of_read)?;
        let (dn, password) = (&self.settings.bind_dn, self.settings.bind_password.reveal());
        let bound = session.run(async |ldap| ldap.simple_bind(dn, password).await).await;
        answer::of_own_sign_in(bound.map_err(|Lost| ProviderError::Transient)?.rc)?;
        Ok(session)
    }

    /// Finds a user, and the connection on which that worked. One that broke while it was kept is replaced, once.
    async fn find(&self, by: By<'_>) -> Result<(Session, Found), ProviderError> {
        if let Some(mut session) = self.directory.kept()
            && let Ok(result) = self.search(&mut session, by).await?
        {
            return Ok((session, self.only(by, result)?));
        }
        let mut session = self.signed_in().await?;
        let result = self.search(&mut session, by).await?.map_err(|Lost| ProviderError::Transient)?;
        Ok((session, self.only(by, result)?))
    }

    /// The entries that fit. An outer error is one of the question.
    async fn search(&self, session: &mut Session, by: By<'_>) -> Result<Result<SearchResult, Lost>, ProviderError> {
        let settings = &self.settings;
        let (attribute, value) = match by {
            By::Id(user) => (settings.id_attribute.as_str(), user.as_str()),
            By::Email(email) => (settings.email_attribute.as_str(), email),
            By::ExternalId(id) => (settings.external_id_attribute.as_deref().ok_or(ProviderError::NotSupported)?, id),
        };
        let (base, scope, filter) = if attribute == "dn" {
            (value, Scope::Base, settings.filter.clone())
        } else {
            let filter = format!("(&{}({attribute}={}))", settings.filter, ldap_escape(value));
            (settings.base_dn.as_str(), Scope::Subtree, filter)
        };
        let mut attributes = vec![settings.email_attribute.as_str(), settings.locked_attribute.as_str()];
        attributes.extend(settings.probe_attribute.as_deref());
        if settings.id_attribute != "dn" {
            attributes.push(&settings.id_attribute);
        }
        let limit = SearchOptions::new().sizelimit(2);
        let search = async |ldap: &mut ldap3::Ldap| {
            ldap.with_search_options(limit).search(base, scope, &filter, attributes).await
        };
        Ok(session.run(search).await)
    }

    /// The one user of an answer.
    fn only(&self, by: By<'_>, SearchResult(entries, result): SearchResult) -> Result<Found, ProviderError> {
        // Size limit exceeded: there are more.
        if result.rc == 4 || entries.len() > 1 {
            return Err(ProviderError::UserAmbiguous);
        }
        let is_named = matches!(by, By::Id(_)) && self.settings.id_attribute == "dn";
        match result.rc {
            0 => {}
            // The place where all users should be is not there.
            32 | 34 if !is_named => return Err(ProviderError::Misconfigured),
            code => return Err(answer::error(code).of_read()),
        }
        let entry = entries.into_iter().next().ok_or(ProviderError::UserNotFound)?;
        // What is wrong with an entry is found by a panic there.
        let entry = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| SearchEntry::construct(entry)));
        self.found(entry.map_err(|_| ProviderError::Transient)?)
    }

    fn found(&self, entry: SearchEntry) -> Result<Found, ProviderError> {
        let first = |name: &str| {
            let values = entry.attrs.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
            values.and_then(|(_, values)| values.first()).map(String::as_str)
        };
        let id = match self.settings.id_attribute.as_str() {
            "dn" if is_under(&entry.dn, &self.settings.base_dn) => Some(entry.dn.as_str()),
            "dn" => return Err(ProviderError::UserNotFound),
            name => first(name),
        };
        let user = id.and_then(|id| id.parse().ok()).ok_or(ProviderError::Misconfigured)?;
        let probe = self.settings.probe_attribute.as_deref().map(|name| ProbeValue::of(first(name)));
        let email = first(&self.settings.email_attribute).map(str::to_owned);
        let locked = first(&self.settings.locked_attribute).is_some();
        let looked_up = LookedUp { email, probe, ..LookedUp::of(user) };
        Ok(Found { looked_up, locked, dn: entry.dn })
    }

    async fn look(&self, by: By<'_>) -> Result<LookedUp, ProviderError> {
        let (session, found) = self.in_time(self.find(by)).await?;
        self.directory.keep(session);
        Ok(found.looked_up)
    }

    async fn set(&self, user: &ProviderUser, password: &Password) -> Result<(), ProviderError> {
        // The connection has just carried an answer, so it is as good as a new one.
        let (mut session, found) = Deadline::of_call().before(self.in_time(self.find(By::Id(user)))).await?;
        let modify: Exop = password.reveal_with(|text| {
            PasswordModify { user_id: Some(&found.dn), old_pass: None, new_pass: Some(text) }.into()
        });
        let operation = session.run(async |ldap| ldap.with_controls(policy_control()).extended(modify).await);
        match timeout(self.total_timeout, operation).await {
            Ok(Ok(done)) => {
                self.directory.keep(session);
                answer::of_set(&done.1, password)
            }
            Ok(Err(Lost)) | Err(_) => Err(ProviderError::Ambiguous),
        }
    }

    async fn sign_in(&self, user: &ProviderUser, password: &Password) -> Result<TrialAnswer, ProviderError> {
        let text = Zeroizing::new(password.reveal_with(str::to_owned));
        // A bind without a password is one of nobody, and always succeeds.
        if text.is_empty() {
            return Ok(TrialAnswer::Wrong);
        }
        let (ours, found) = self.in_time(self.find(By::Id(user))).await?;
        self.directory.keep(ours);
        if found.locked {
            return Ok(TrialAnswer::CannotTell);
        }
        let bind = async {
            let mut session = self.directory.connect().await.map_err(Fault::of_read)?;
            let bind =
                async |ldap: &mut ldap3::Ldap| ldap.with_controls(policy_control()).simple_bind(&found.dn, &text).await;
            session.run(bind).await.map_err(|Lost| ProviderError::Transient)
        };
        Ok(answer::of_trial(&self.in_time(bind).await?))
    }
}

fn policy_control() -> RawControl {
    RawControl { ctype: answer::POLICY_CONTROL.to_owned(), crit: false, val: None }
}

/// Whether an entry lies under the base, by their names as text. Names that are equal but written otherwise (with other
/// escapes) count as elsewhere.
fn is_under(dn: &str, base: &str) -> bool {
    let plain = |name: &str| name.split(',').map(|part| part.trim().to_lowercase()).collect::<Vec<_>>().join(",");
    plain(dn).strip_suffix(&plain(base)).is_some_and(|rest| rest.ends_with(',') && !rest.ends_with("\\,"))
}

impl Connector for Ldap {
    fn capabilities(&self) -> Capabilities {
        let external_id = self.settings.external_id_attribute.is_some();
        Capabilities {
            probe: if self.settings.probe_attribute.is_some() { Probe::Password } else { Probe::None },
            trial_sign_in: true,
            sessions: SessionEnding::BySet,
            lookups: LookupWays { id: true, email: true, external_id },
            password_bytes_max: None,
            records: RecordWrites::default(),
            tokens: false,
        }
    }

    fn look_up<'a>(&'a self, by: By<'a>, _: Ctx) -> BoxFuture<'a, Result<LookedUp, ProviderError>> {
        Box::pin(self.look(by))
    }

    fn set_password<'a>(
        &'a self,
        user: &'a ProviderUser,
        password: &'a Password,
        _: Ctx,
    ) -> BoxFuture<'a, Result<(), ProviderError>> {
        Box::pin(self.set(user, password))
    }

    fn try_sign_in<'a>(&'a self, user: &'a ProviderUser, password: &'a Password, _: Ctx) -> BoxFuture<'a, TrialAnswer> {
        Box::pin(async move { self.sign_in(user, password).await.unwrap_or_else(TrialAnswer::Failed) })
    }

    fn end_sessions<'a>(&'a self, _: &'a ProviderUser, _: Ctx) -> BoxFuture<'a, Result<(), ProviderError>> {
        Box::pin(async { Err(ProviderError::NotSupported) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_under_a_base_only_at_the_border_of_a_name() {
        assert!(is_under("uid=u1,ou=People, dc=example,dc=org", "ou=people,dc=example,dc=org"));
        assert!(!is_under("uid=u1,xou=people,dc=example,dc=org", "ou=people,dc=example,dc=org"));
        assert!(!is_under("uid=u1\\,ou=people,dc=example,dc=org", "ou=people,dc=example,dc=org"));
        assert!(!is_under("cn=admin,dc=example,dc=org", "ou=people,dc=example,dc=org"));
        assert!(!is_under("ou=people,dc=example,dc=org", "ou=people,dc=example,dc=org"));
    }
}
