//! The Naviga tenants of a configuration, with what checks their callers' tokens.

use keyherald_core::Micros;

use crate::complaint::Complaint;
use crate::config::{self, Config, JwtAlgorithm, ProviderKind};
use crate::dialect::naviga::{AuthSystem, PasswordRules, Tenant, Tenants, UserProvider};
use crate::jwt::{Algorithm, KeySet, Keys, Published, PublishedSettings, Verifier};

/// Auth0's ids begin with their connection's kind, which callers may leave out (naviga.md 7.1).
const AUTH0_PREFIX: &str = "auth0|";

/// All tenants. Reads the files of keys, and fetches none.
pub fn tenants(config: &Config) -> Result<Tenants, Complaint> {
    let with_naviga = config.projects.iter().filter_map(|project| Some((project, project.naviga.as_ref()?)));
    let tenants: Result<Vec<Tenant>, Complaint> =
        with_naviga.map(|(project, naviga)| tenant(config, project, naviga)).collect();
    Ok(Tenants::of(tenants?))
}

fn tenant(config: &Config, project: &config::Project, naviga: &config::Naviga) -> Result<Tenant, Complaint> {
    let provider = naviga.user_provider.as_ref().map(|name| {
        let kind = config.providers.get(name).and_then(|it| it.kind.as_ref());
        let prefix = matches!(kind, Some(ProviderKind::Auth0(_))).then_some(AUTH0_PREFIX);
        UserProvider { name: name.clone(), prefix, system: system(naviga, kind) }
    });
    let callers = verifier(&naviga.jwt)
        .map_err(|complaint| complaint.hint(format!("it is in the [projects.naviga] of project {}", project.key)))?;
    Ok(Tenant {
        project: project.key.clone(),
        client_group: naviga.client_group.clone(),
        client: naviga.client.clone(),
        paper: naviga.paper.clone(),
        provider,
        callers,
        source_systems: naviga.source_systems.clone(),
        unknown_user_is_404: naviga.unknown_user_is_404,
        keep_local_hash: naviga.keep_local_hash,
        change_password_url: naviga.change_password_url.clone(),
        return_url: naviga.return_url.clone(),
        return_hosts: naviga.return_hosts.clone(),
        event_ids: naviga.event_ids.by_code(),
        password_rules: password_rules(naviga.password),
    })
}

/// What a provider is in the contract's words: what is configured, or what its kind says. SSOR and Firefly have no kind.
fn system(naviga: &config::Naviga, kind: Option<&ProviderKind>) -> AuthSystem {
    let known = match (naviga.auth_system, kind) {
        (Some(config::AuthSystem::Auth0), _) | (None, Some(ProviderKind::Auth0(_))) => AuthSystem::AUTH0,
        (Some(config::AuthSystem::Gigya), _) | (None, Some(ProviderKind::Gigya(_))) => AuthSystem::GIGYA,
        (Some(config::AuthSystem::Firefly), _) => AuthSystem::FIREFLY,
        (Some(config::AuthSystem::Ssor), _) => AuthSystem::SSOR,
        (None, _) => AuthSystem::OTHER,
    };
    AuthSystem { id: naviga.auth_system_id.unwrap_or(known.id), ..known }
}

fn password_rules(rules: config::PasswordRules) -> PasswordRules {
    let life = rules.days_max.map(|days| i64::from(days) * Micros::DAY);
    PasswordRules { chars_min: rules.chars_min, complex: rules.complex, life }
}

/// The algorithm of a tenant's tokens. `None`: it is missing, which reading the configuration has reported.
pub fn algorithm(jwt: &config::Jwt) -> Option<Algorithm> {
    jwt.algorithm.map(|algorithm| match algorithm {
        JwtAlgorithm::Hs256 => Algorithm::Hs256,
        JwtAlgorithm::Rs256 => Algorithm::Rs256,
        JwtAlgorithm::Es256 => Algorithm::Es256,
    })
}

fn verifier(jwt: &config::Jwt) -> Result<Verifier, Complaint> {
    let incomplete = || Complaint::new("jwt is incomplete");
    let algorithm = algorithm(jwt).ok_or_else(incomplete)?;
    let read = |path: &std::path::Path| {
        std::fs::read(path).map_err(|error| Complaint::because(&format!("{} cannot be read", path.display()), &error))
    };
    let unusable = |path: &std::path::Path| {
        let name = path.display().to_string();
        move |error| Complaint::because(&format!("{name} cannot be used for {}", algorithm.as_str()), &error)
    };
    let keys = match (&jwt.secret, &jwt.jwks_url, &jwt.jwks_file, &jwt.public_key_file) {
        (Some(secret), ..) => Keys::secret(secret.reveal()),
        (_, Some(url), ..) => {
            let settings = PublishedSettings {
                allow_private: jwt.allow_private,
                ..PublishedSettings::new(url.clone(), algorithm)
            };
            let published = Published::new(settings);
            Keys::Published(published.map_err(|error| Complaint::because("keys cannot be fetched", &error))?)
        }
        (_, _, Some(file), _) => Keys::Known(KeySet::of_jwks(&read(file)?, algorithm).map_err(unusable(file))?),
        (.., Some(file)) => Keys::Known(KeySet::of_pem(&read(file)?, algorithm).map_err(unusable(file))?),
        (None, None, None, None) => return Err(incomplete()),
    };
    Ok(Verifier { algorithm, keys, issuer: jwt.issuer.clone(), audience: jwt.audience.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_provider_is_follows_from_the_configuration_and_not_from_its_name() {
        let system = |naviga: config::Naviga, kind: Option<ProviderKind>| system(&naviga, kind.as_ref());
        let named = |auth_system| config::Naviga { auth_system, ..config::Naviga::default() };
        let auth0 = || Some(ProviderKind::Auth0(Box::default()));
        assert_eq!(system(named(None), auth0()), AuthSystem::AUTH0);
        assert_eq!(system(named(None), None), AuthSystem::OTHER);
        assert_eq!(system(named(Some(config::AuthSystem::Ssor)), None), AuthSystem::SSOR);
        let own = config::Naviga { auth_system_id: Some(9), ..named(None) };
        assert_eq!(system(own, auth0()), AuthSystem { id: 9, ..AuthSystem::AUTH0 });
        assert_eq!(AuthSystem::FIREFLY.id, 2);
    }
}
