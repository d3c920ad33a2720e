//! Identity providers: one folder per kind, and what `operate` may ask of any of them. A service that takes short messages is
//! described in the language of HTTP providers, and so it is called from here too ([`Messenger`]), as is a [`Wallet`]. A [`ServiceAccount`] gets tokens for calls that are made elsewhere.
//!
//! A connector speaks one provider's API and answers in the words of [`keyherald_core::provider`]: its own codes, its
//! retry hints and the faults of its transport are read here and nowhere else. Whether, when and how often a provider is
//! called is decided by `core::operation` and done by `operate`; nothing here repeats a call that may have been applied.
//!
//! Every call ends within the provider's time-outs. A caller may drop a call at any time: what was sent stays sent, and
//! counts as unknown.

mod auth0;
mod call;
mod gigya;
mod http;
mod keycloak;
mod kratos;
mod ldap;
mod limited;
mod percent;
mod retry_hint;
mod secret;
pub mod sigv4;
mod token_cache;
mod userinfo;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use keyherald_core::Ctx;
use keyherald_core::provider::{Capabilities, ProbeValue, ProviderError, ProviderName, ProviderUser, TrialAnswer};
use keyherald_core::secret::Password;

pub use self::auth0::Settings as Auth0Settings;
pub use self::call::{CannotCall, Net};
pub use self::gigya::{Access as GigyaAccess, Settings as GigyaSettings};
pub use self::http::{
    Messenger, MessengerSettings, NoAccess, ServiceAccount, ServiceAccountSettings, Settings as HttpSettings, Sms,
    Wallet, WalletSettings,
};
pub use self::keycloak::Settings as KeycloakSettings;
pub use self::kratos::Settings as KratosSettings;
pub use self::ldap::Settings as LdapSettings;
pub use self::limited::{Limits, SharedRate};
pub use self::secret::AccessSecret;

/// A call hands its request to the network within this time, or not at all: whoever counts the life of an attempt may
/// rely on it. Getting an access token and waiting for a turn are part of it, the request itself is not.
pub const HAND_OVER: Duration = Duration::from_secs(5);

/// The part of it that a call may wait for its turn.
const ADMISSION: Duration = Duration::from_secs(1);

/// One provider, as it is configured.
pub struct Settings {
    /// Which API it has, and who we are there.
    pub kind: Kind,
    /// How it is reached.
    pub net: Net,
    /// How much is asked of it.
    pub limits: Limits,
}

/// Every kind of provider.
pub enum Kind {
    /// Auth0.
    Auth0(Auth0Settings),
    /// Gigya, SAP Customer Data Cloud.
    Gigya(GigyaSettings),
    /// Any HTTP API, described.
    Http(Box<HttpSettings>),
    /// Keycloak.
    Keycloak(KeycloakSettings),
    /// Ory Kratos.
    Kratos(KratosSettings),
    /// A directory.
    Ldap(LdapSettings),
}

/// Makes the connection to a provider, within its limits. Calls nobody.
pub fn open(settings: Settings) -> Result<Arc<dyn Connector>, CannotCall> {
    open_sharing(settings, None)
}

/// The same, with a rate that other nodes share.
pub fn open_sharing(settings: Settings, shared: Option<Arc<dyn SharedRate>>) -> Result<Arc<dyn Connector>, CannotCall> {
    let Settings { kind, net, limits } = settings;
    let inner: Arc<dyn Connector> = match kind {
        Kind::Auth0(settings) => Arc::new(auth0::Auth0::new(settings, &net)?),
        Kind::Gigya(settings) => Arc::new(gigya::Gigya::new(settings, &net)?),
        Kind::Http(settings) => Arc::new(http::Http::new(*settings, &net)?),
        Kind::Keycloak(settings) => Arc::new(keycloak::Keycloak::new(settings, &net)?),
        Kind::Kratos(settings) => Arc::new(kratos::Kratos::new(settings, &net)?),
        Kind::Ldap(settings) => Arc::new(ldap::Ldap::new(settings, &net)?),
    };
    Ok(Arc::new(limited::Limited::new(inner, (&limits, shared), net.total_timeout)))
}

/// By what a user is looked up. Which of them a provider knows is in its [`Capabilities`]; the others are answered with
/// [`ProviderError::NotSupported`].
#[derive(Clone, Copy)]
pub enum By<'a> {
    /// The user's id there.
    Id(&'a ProviderUser),
    /// An e-mail address.
    Email(&'a str),
    /// The id that the user has elsewhere.
    ExternalId(&'a str),
}

/// A user as the provider has it. No `Debug`: it holds personal data.
#[derive(Clone)]
pub struct LookedUp {
    /// The user's id there.
    pub user: ProviderUser,
    /// The e-mail address, where the provider tells.
    pub email: Option<String>,
    /// The first name, where the provider tells.
    pub first_name: Option<String>,
    /// The last name, where the provider tells.
    pub last_name: Option<String>,
    /// Whether the address is known to be the user's, where the provider tells.
    pub email_verified: Option<bool>,
    /// What tells later whether the password was changed. `None`: the provider has no such value.
    pub probe: Option<ProbeValue>,
}

impl LookedUp {
    /// A user of whom the provider tells no more than the id.
    pub fn of(user: ProviderUser) -> Self {
        Self { user, email: None, first_name: None, last_name: None, email_verified: None, probe: None }
    }
}

/// Whom an access token of the provider's own stands for. No `Debug`: it holds personal data.
pub struct TokenOwner {
    /// What the provider tells of the user.
    pub user: LookedUp,
    /// The user signs in with a Google account.
    pub is_google: bool,
}

/// Whether a provider means Google by this name of who has signed a user in.
fn names_google(name: &str) -> bool {
    ["google", "google-apps", "google-oauth2", "googleplus"].iter().any(|known| name.eq_ignore_ascii_case(known))
}

/// A user to be created. No `Debug`: it holds personal data.
#[derive(Clone, Copy)]
pub struct NewUser<'a> {
    /// The e-mail address.
    pub email: &'a str,
    /// The password.
    pub password: &'a Password,
    /// The first name.
    pub first_name: Option<&'a str>,
    /// The last name.
    pub last_name: Option<&'a str>,
    /// The id that the user has elsewhere. Where ids may be chosen it becomes part of the one there.
    pub external_id: Option<&'a str>,
    /// Whether the address is known to be the user's. The provider asks the user to prove others, if it is set up so.
    pub email_verified: bool,
}

/// What is to be changed in a user's record. `None`: stays as it is. No `Debug`: it holds personal data.
#[derive(Clone, Copy, Default)]
pub struct UserChanges<'a> {
    /// The e-mail address.
    pub email: Option<&'a str>,
    /// The first name.
    pub first_name: Option<&'a str>,
    /// The last name.
    pub last_name: Option<&'a str>,
    /// Whether the address, the new one if there is one, is known to be the user's.
    pub verified: Option<bool>,
}

/// A connection to one identity provider.
///
/// Each call is given the time at which it is made and chance of its own. Errors, logs and `Debug` output hold neither
/// passwords nor secrets nor users' names.
pub trait Connector: Send + Sync {
    /// What the provider is able to do. The same for as long as the process lives.
    fn capabilities(&self) -> Capabilities;

    /// Looks a user up. Changes nothing there, so it never answers [`ProviderError::Ambiguous`].
    fn look_up<'a>(&'a self, by: By<'a>, ctx: Ctx) -> BoxFuture<'a, Result<LookedUp, ProviderError>>;

    /// Sets a user's password without knowing the current one: one attempt, on which the caller has made up its mind.
    fn set_password<'a>(
        &'a self,
        user: &'a ProviderUser,
        password: &'a Password,
        ctx: Ctx,
    ) -> BoxFuture<'a, Result<(), ProviderError>>;

    /// The same as a step that has a name: one and the same on every repeat, so that a provider that knows repeats by such
    /// a name does the work once. For all others the name says nothing.
    fn set_password_as<'a>(
        &'a self,
        _step: &'a str,
        user: &'a ProviderUser,
        password: &'a Password,
        ctx: Ctx,
    ) -> BoxFuture<'a, Result<(), ProviderError>> {
        self.set_password(user, password, ctx)
    }

    /// Whether a sign-in with this password succeeds. Nothing is kept of what the sign-in returns.
    fn try_sign_in<'a>(
        &'a self,
        user: &'a ProviderUser,
        password: &'a Password,
        ctx: Ctx,
    ) -> BoxFuture<'a, TrialAnswer>;

    /// Ends all sessions of a user. May be repeated.
    fn end_sessions<'a>(&'a self, user: &'a ProviderUser, ctx: Ctx) -> BoxFuture<'a, Result<(), ProviderError>>;

    /// Whom an access token that the provider has issued stands for. `None`: nobody, any more or at all. Changes nothing
    /// there, so it never answers [`ProviderError::Ambiguous`].
    fn token_owner<'a>(&'a self, _: &'a str, _: Ctx) -> BoxFuture<'a, Result<Option<TokenOwner>, ProviderError>> {
        Box::pin(async { Err(ProviderError::NotSupported) })
    }

    /// Whether the provider is there and knows us, where one of its calls says so and nothing else.
    fn health(&self, _: Ctx) -> BoxFuture<'_, Result<(), ProviderError>> {
        Box::pin(async { Err(ProviderError::NotSupported) })
    }

    /// Creates a user, and says what a look-up would say of it. After [`ProviderError::Ambiguous`] a look-up tells
    /// whether the user is there.
    fn create_user<'a>(&'a self, _: NewUser<'a>, _: Ctx) -> BoxFuture<'a, Result<LookedUp, ProviderError>> {
        Box::pin(async { Err(ProviderError::NotSupported) })
    }

    /// Changes a user's record. Where this takes several requests, those before a failed one stay applied; the whole
    /// may be repeated.
    fn update_user<'a>(
        &'a self,
        _: &'a ProviderUser,
        _: UserChanges<'a>,
        _: Ctx,
    ) -> BoxFuture<'a, Result<(), ProviderError>> {
        Box::pin(async { Err(ProviderError::NotSupported) })
    }
}

/// The providers of this installation, by their names in the configuration. Cheap to clone.
#[derive(Clone, Default)]
pub struct Registry(Arc<BTreeMap<ProviderName, Arc<dyn Connector>>>);

impl Registry {
    /// Of these providers. Of two with one name, the later one.
    pub fn of(providers: impl IntoIterator<Item = (ProviderName, Arc<dyn Connector>)>) -> Self {
        Self(Arc::new(providers.into_iter().collect()))
    }

    /// The provider of this name. `None`: the configuration does not have it, or not any more.
    pub fn provider(&self, name: &ProviderName) -> Option<&Arc<dyn Connector>> {
        self.0.get(name)
    }

    /// All names, in order.
    pub fn names(&self) -> impl Iterator<Item = &ProviderName> {
        self.0.keys()
    }
}

/// Whether an answer leaves open what became of the request: an error of the provider's own does.
enum Doubt {
    /// It was not applied, for this reason.
    No(ProviderError),
    /// It may have been.
    Yes,
}

impl Doubt {
    fn of_write(self) -> ProviderError {
        match self {
            Self::No(error) => error,
            Self::Yes => ProviderError::Ambiguous,
        }
    }

    fn of_read(self) -> ProviderError {
        match self {
            Self::No(error) => error,
            Self::Yes => ProviderError::Transient,
        }
    }
}
