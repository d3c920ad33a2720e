//! The configured identity providers as connections.

use std::path::PathBuf;
use std::time::Duration;

use keyherald_core::delivery::BreakerSettings;

use super::provider_kinds;
use super::rates::Shared;
use crate::complaint::Complaint;
use crate::config::{self, Config, ProviderKind};
use crate::connector::{self, AccessSecret, Auth0Settings, HttpSettings, Kind, Limits, Net, Registry, Settings};
use crate::outbound::client::own_tls;

/// Makes the connection to every provider of the configuration. Calls none of them.
pub fn providers(config: &Config) -> Result<Registry, Complaint> {
    providers_sharing(config, None)
}

/// The same, with rates that are shared if anybody is there to share them.
pub(super) fn providers_sharing(config: &Config, shared: Option<&Shared>) -> Result<Registry, Complaint> {
    let mut providers = Vec::new();
    for (name, provider) in &config.providers {
        let what = format!("[providers.{name}]");
        let Some(kind) = provider.kind.as_ref().and_then(kind) else {
            return Err(Complaint::new(format!("{what} is incomplete")));
        };
        let settings = Settings { kind, net: net_of(provider, &what)?, limits: limits(&provider.limits) };
        let rate = shared.map(|shared| shared.rate(&name.to_string(), &provider.limits));
        let connector = connector::open_sharing(settings, rate)
            .map_err(|error| Complaint::because(&format!("{what} cannot be connected to"), &error))?;
        providers.push((name.clone(), connector));
    }
    Ok(Registry::of(providers))
}

/// A provider's kind as its connector takes it. `None`: a key is missing, which reading the configuration has reported.
pub fn kind(kind: &ProviderKind) -> Option<Kind> {
    match kind {
        ProviderKind::Auth0(auth0) => Some(Kind::Auth0(Auth0Settings {
            base_url: auth0.base_url.clone()?,
            client_id: auth0.client_id.clone(),
            client_secret: AccessSecret::new(auth0.client_secret.reveal().to_owned()),
            audience: auth0.audience.clone(),
            connection: auth0.connection.clone(),
            trial_sign_in: auth0.trial_sign_in,
        })),
        ProviderKind::Gigya(gigya) => Some(Kind::Gigya(provider_kinds::gigya(gigya)?)),
        ProviderKind::Http(http) => Some(Kind::Http(Box::new(HttpSettings {
            base_url: http.base_url.clone()?,
            recipe: http.recipe()?,
            secrets: http.auth.secrets().map(|secret| Some(AccessSecret::new(secret?.reveal().to_owned()))),
        }))),
        ProviderKind::Keycloak(keycloak) => Some(Kind::Keycloak(provider_kinds::keycloak(keycloak)?)),
        ProviderKind::Kratos(kratos) => Some(Kind::Kratos(provider_kinds::kratos(kratos)?)),
        ProviderKind::Ldap(ldap) => Some(Kind::Ldap(provider_kinds::ldap(ldap)?)),
    }
}

fn net_of(provider: &config::Provider, what: &str) -> Result<Net, Complaint> {
    net(&provider.net, (provider.allow_insecure_http, provider.limits.max_in_flight), what)
}

/// How something is reached that `what` describes; with so many connections, and perhaps without TLS.
pub(super) fn net(
    net: &config::ProviderNet,
    (allow_insecure_http, idle_max): (bool, usize),
    what: &str,
) -> Result<Net, Complaint> {
    let read = |path: &PathBuf| {
        std::fs::read(path)
            .map_err(|error| Complaint::because(&format!("{what}: {} cannot be read", path.display()), &error))
    };
    let roots = net.ca_file.as_ref().map(read).transpose()?;
    let identity = match (&net.client_cert, &net.client_key) {
        (Some(chain), Some(key)) => Some((read(chain)?, read(key)?)),
        _ => None,
    };
    let tls = match (&roots, &identity) {
        (None, None) => None,
        (roots, identity) => {
            let identity = identity.as_ref().map(|(chain, key)| (chain.as_slice(), key.as_slice()));
            let tls = own_tls(roots.as_deref(), identity);
            Some(tls.map_err(|error| Complaint::because(&format!("{what}: its certificates cannot be used"), &error))?)
        }
    };
    Ok(Net {
        connect_timeout: net.connect_timeout,
        total_timeout: net.total_timeout,
        response_bytes_max: net.max_response_bytes,
        allowed_hosts: net.allowed_hosts.clone(),
        allow_private: net.allow_private,
        allow_insecure_http,
        tls,
        idle_max,
    })
}

fn limits(limits: &config::ProviderLimits) -> Limits {
    let micros = |time: Duration| i64::try_from(time.as_micros()).unwrap_or(i64::MAX);
    Limits {
        per_second: limits.rps,
        burst: limits.burst,
        in_flight_max: limits.max_in_flight,
        breaker: BreakerSettings {
            failures: limits.breaker_failures,
            rest: micros(limits.breaker_open),
            rest_max: micros(limits.breaker_open_max),
        },
    }
}
