//! What the connector of each kind is told, of a configuration. `None`: a key is missing, which reading has reported.

use crate::config::{self, Secret};
use crate::connector::{AccessSecret, GigyaAccess, GigyaSettings, KeycloakSettings, KratosSettings, LdapSettings};

/// `kind = "gigya"`
pub(super) fn gigya(gigya: &config::Gigya) -> Option<GigyaSettings> {
    let access = match (&gigya.private_key, &gigya.secret) {
        (Some(key), _) => GigyaAccess::PrivateKey(access(key)),
        (None, Some(secret)) if gigya.send_secret => GigyaAccess::Secret(access(secret)),
        (None, Some(secret)) => GigyaAccess::Signature(access(secret)),
        (None, None) => return None,
    };
    Some(GigyaSettings {
        base_url: gigya.url()?,
        api_key: gigya.api_key.clone(),
        user_key: gigya.user_key.clone(),
        access,
        trial_sign_in: gigya.trial_sign_in,
    })
}

/// `kind = "keycloak"`
pub(super) fn keycloak(keycloak: &config::Keycloak) -> Option<KeycloakSettings> {
    Some(KeycloakSettings {
        base_url: keycloak.base_url.clone()?,
        realm: keycloak.realm.clone(),
        client_id: keycloak.client_id.clone(),
        client_secret: access(&keycloak.client_secret),
        external_id_attribute: keycloak.external_id_attribute.clone(),
        trial_sign_in: keycloak.trial_sign_in,
    })
}

/// `kind = "kratos"`
pub(super) fn kratos(kratos: &config::Kratos) -> Option<KratosSettings> {
    Some(KratosSettings {
        base_url: kratos.base_url.clone()?,
        access_token: kratos.access_token.as_ref().map(access),
        email_trait: kratos.email_trait.clone(),
        public_url: kratos.public_url.clone(),
    })
}

/// `kind = "ldap"`
pub(super) fn ldap(ldap: &config::Ldap) -> Option<LdapSettings> {
    Some(LdapSettings {
        url: ldap.url.clone()?.0,
        starttls: ldap.starttls,
        bind_dn: ldap.bind_dn.clone(),
        bind_password: access(&ldap.bind_password),
        base_dn: ldap.base_dn.clone(),
        filter: ldap.filter.clone(),
        id_attribute: ldap.id_attribute.clone(),
        email_attribute: ldap.email_attribute.clone(),
        external_id_attribute: ldap.external_id_attribute.clone(),
        probe_attribute: Some(ldap.probe_attribute.clone()).filter(|name| name != "none"),
        locked_attribute: ldap.locked_attribute.clone(),
    })
}

fn access(secret: &Secret) -> AccessSecret {
    AccessSecret::new(secret.reveal().to_owned())
}
