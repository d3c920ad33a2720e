//! Users' records at Gigya: found by address, created, changed.
//!
//! **By address** a user is found with `accounts.identifiers.find`, to which SAP's documents send those whom the index is
//! too slow for. They do not say how it says that nobody has an address: where its answer may mean that as well as
//! something else, `accounts.isAvailableLoginID` decides.
//!
//! **A user is created** with `accounts.register`, which applies the site's policies, and that the address is proved is
//! said by a second request, for the first has no word for it. Who dies between the two leaves an account that looks like
//! a stranger's who signed up with somebody else's address. So each account gets a mark for its source (`regSource`, which
//! nobody can change later): one that only our key can make, for that address alone. An account with the mark of its
//! address was made here for a caller who vouched for it, and its address counts as proved.
//!
//! Addresses are sent in lower case. That Gigya compares them so is an inference: its documents are silent about it.

use keyherald_core::Ctx;
use keyherald_core::provider::{ProbeValue, ProviderError, ProviderUser};
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use super::answer::{of_change, of_registration};
use super::{Called, Gigya, UNAUTHORIZED_USER};
use crate::connector::call::Deadline;
use crate::connector::{LookedUp, NewUser, UserChanges};

/// Under which name `accounts.identifiers.find` knows addresses.
const EMAIL: &str = "gigya.com/identifiers/email";

/// Under which names it tells the account: the documents have the one, programs that use it the other.
const UIDS: [&str; 2] = ["gigya.com/identifiers/UID", "gigya.com/identifiers/uid"];

impl Gigya {
    /// Whose address this is.
    pub(super) async fn user_with(
        &self,
        email: &str,
        ctx: &mut Ctx,
        deadline: Deadline,
    ) -> Result<ProviderUser, ProviderError> {
        let email = email.to_lowercase();
        let fields = [("identifierSchema", EMAIL), ("id", &*email)];
        let found = match self.read("accounts.identifiers.find", &fields, ctx, deadline).await {
            Ok(Ok(found)) => found,
            Ok(Err(_)) | Err(ProviderError::InvalidRequest) => Value::Null,
            Err(error) => return Err(error),
        };
        let ids = UIDS.iter().find_map(|name| found.get("identifiers")?.get(name)?.as_array());
        match ids.map(Vec::as_slice) {
            None | Some([]) => Err(self.nobody_shown(&email, ctx, deadline).await),
            Some([id]) => id.as_str().and_then(|id| id.parse().ok()).ok_or(ProviderError::Transient),
            Some(_) => Err(ProviderError::UserAmbiguous),
        }
    }

    /// What it means that nobody is shown for an address: that nobody has it, or that we may not see who.
    async fn nobody_shown(&self, email: &str, ctx: &mut Ctx, deadline: Deadline) -> ProviderError {
        match self.read("accounts.isAvailableLoginID", &[("loginID", email)], ctx, deadline).await {
            Ok(Ok(said)) if said.get("isAvailable") == Some(&true.into()) => ProviderError::UserNotFound,
            Ok(_) => ProviderError::InsufficientScope,
            Err(error) => error,
        }
    }

    /// A user as an account shows it.
    pub(super) fn looked_up(&self, account: &Value) -> Result<LookedUp, ProviderError> {
        let text = |path: &str| account.pointer(path).and_then(Value::as_str).map(str::to_owned);
        let user = text("/UID").and_then(|id| id.parse().ok()).ok_or(ProviderError::Transient)?;
        // A text, and in old accounts a number.
        let created = account.pointer("/password/created").map(ToString::to_string);
        let email = ["/profile/email", "/loginIDs/emails/0", "/loginIDs/unverifiedEmails/0"].into_iter().find_map(text);
        let is_marked =
            |email: &str| text("/regSource").is_some_and(|source| source == self.mark(&email.to_lowercase()));
        let email_verified = email.as_deref().and_then(|email| match is_verified(account, email) {
            Some(false) if is_marked(email) => Some(true),
            told => told,
        });
        Ok(LookedUp {
            first_name: text("/profile/firstName"),
            last_name: text("/profile/lastName"),
            email,
            email_verified,
            probe: Some(ProbeValue::of(created.as_deref())),
            user,
        })
    }

    /// What the source of an account is called that was made here with this address.
    fn mark(&self, email: &str) -> String {
        format!("keyherald {}", self.signer.mark(&format!("{} {email}", self.api_key)))
    }

    pub(super) async fn create(&self, user: NewUser<'_>, ctx: &mut Ctx) -> Result<LookedUp, ProviderError> {
        let email = user.email.to_lowercase();
        let (profile, source) = (profile(Some(&email), user.first_name, user.last_name), self.mark(&email));
        let password = Zeroizing::new(user.password.reveal_with(str::to_owned));
        let mut fields = vec![
            ("email", &*email),
            ("password", &*password),
            ("profile", &*profile),
            ("finalizeRegistration", "true"),
            // A server needs no token for this (`regToken`), and no cookies.
            ("targetEnv", "mobile"),
        ];
        fields.extend(user.email_verified.then_some(("regSource", &*source)));
        fields.extend(user.external_id.map(|id| ("siteUID", id)));
        let body = match self.call("accounts.register", &fields, ctx, Deadline::of_call()).await? {
            Called::Fault(fault) => return Err(fault.of_write()),
            Called::Doubt(doubt) => return Err(doubt.of_write()),
            Called::Code(code, body) => {
                of_registration(code, &body, user.password)?;
                body
            }
        };
        // The user is there. Whatever comes now leaves that as it is, and a look-up tells it.
        let id = match body.get("UID").and_then(Value::as_str).and_then(|id| id.parse().ok()) {
            Some(id) => id,
            None => self.user_with(&email, ctx, Deadline::of_call()).await.map_err(|_| ProviderError::Ambiguous)?,
        };
        if user.email_verified {
            self.change(&id, &[("isVerified", "true")], ctx, Deadline::of_call())
                .await
                .map_err(|_| ProviderError::Ambiguous)?;
        }
        Ok(LookedUp {
            email: Some(email),
            first_name: user.first_name.map(str::to_owned),
            last_name: user.last_name.map(str::to_owned),
            email_verified: Some(user.email_verified),
            ..LookedUp::of(id)
        })
    }

    /// Changes a record with one request. An address is both the profile's and one that the user signs in with: the new one
    /// is added to those and the old one taken away. That one request may do all of this is how programs use it; the
    /// documents describe each field by itself.
    pub(super) async fn update(
        &self,
        user: &ProviderUser,
        changes: UserChanges<'_>,
        ctx: &mut Ctx,
    ) -> Result<(), ProviderError> {
        let deadline = Deadline::of_call();
        let new = changes.email.map(str::to_lowercase);
        // What was proved stays proved: Gigya takes no other word for it. A new address is not proved by itself.
        let unproves = changes.verified == Some(false) && new.is_none();
        let account = if new.is_some() || unproves { self.account(user, ctx, deadline).await? } else { Value::Null };
        if unproves && self.looked_up(&account)?.email_verified == Some(true) {
            return Err(ProviderError::NotSupported);
        }
        let old = if new.is_some() { self.looked_up(&account)?.email } else { None };
        let old = old.filter(|old| new.as_ref().is_some_and(|new| *new != old.to_lowercase()));
        // Both are lists, with nothing to quote by.
        if new.iter().chain(&old).any(|email| email.contains(',')) {
            return Err(ProviderError::InvalidRequest);
        }
        let profile = profile(new.as_deref(), changes.first_name, changes.last_name);
        let mut fields = Vec::new();
        fields.extend((profile != "{}").then_some(("profile", &*profile)));
        fields.extend(new.as_deref().filter(|new| !signs_in_with(&account, new)).map(|new| ("addLoginEmails", new)));
        fields.extend(old.as_deref().map(|old| ("removeLoginEmails", old)));
        fields.extend((changes.verified == Some(true)).then_some(("isVerified", "true")));
        if fields.is_empty() { Ok(()) } else { self.change(user, &fields, ctx, deadline).await }
    }

    async fn change(
        &self,
        user: &ProviderUser,
        fields: &[(&'static str, &str)],
        ctx: &mut Ctx,
        deadline: Deadline,
    ) -> Result<(), ProviderError> {
        let fields = [fields, &[("UID", user.as_str()), ("muteWebhooks", "true")]].concat();
        match self.call("accounts.setAccountInfo", &fields, ctx, deadline).await? {
            Called::Fault(fault) => Err(fault.of_write()),
            Called::Doubt(doubt) => Err(doubt.of_write()),
            Called::Code(UNAUTHORIZED_USER, _) => Err(self.unauthorized(user, ctx, Deadline::of_call()).await),
            Called::Code(code, body) => of_change(code, &body),
        }
    }
}

/// A profile with what is given of it, as the JSON text of a field.
fn profile(email: Option<&str>, first_name: Option<&str>, last_name: Option<&str>) -> String {
    let fields = [("email", email), ("firstName", first_name), ("lastName", last_name)];
    let given = fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?.into())));
    Value::Object(given.collect::<Map<_, _>>()).to_string()
}

/// Whether an account's address is proved. The account's own word is about all of its addresses and never taken back, so
/// what is said of this one comes first.
fn is_verified(account: &Value, email: &str) -> Option<bool> {
    let lists = [("/emails/verified", true), ("/emails/unverified", false)];
    let told = lists.into_iter().find_map(|(path, verified)| has(account, path, email).then_some(verified));
    told.or_else(|| account.get("isVerified")?.as_bool())
}

fn signs_in_with(account: &Value, email: &str) -> bool {
    ["/loginIDs/emails", "/loginIDs/unverifiedEmails"].iter().any(|path| has(account, path, email))
}

/// Whether a list of addresses has this one.
fn has(account: &Value, path: &str, email: &str) -> bool {
    let list = account.pointer(path).and_then(Value::as_array);
    let is_it = |known: &Value| known.as_str().is_some_and(|known| known.to_lowercase() == email.to_lowercase());
    list.is_some_and(|list| list.iter().any(is_it))
}
