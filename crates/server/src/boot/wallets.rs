//! The wallets elsewhere of a configuration, which are told of passwords.

use keyherald_core::subscription::DestinationSettings;
use serde_json::{Map, Value};

use super::providers::net;
use crate::complaint::Complaint;
use crate::config::{self, Config};
use crate::connector::{self, AccessSecret, WalletSettings};
use crate::destination::wallet::{Account, Wallet, Wallets};

/// Idle connections kept to one wallet.
const IDLE_MAX: usize = 8;

/// Those of all projects. `None`: there are none. Calls nobody.
pub fn wallets(config: &Config) -> Result<Option<Wallets>, Complaint> {
    let of_project = |project: &config::Project| {
        let wallet = project.wallet.as_ref()?;
        Some(account(wallet, project.key.as_str()).map(|account| (project.key.clone(), account)))
    };
    let wallets = config.projects.iter().filter_map(of_project).collect::<Result<Wallets, Complaint>>()?;
    Ok((!wallets.is_empty()).then_some(wallets))
}

/// How a project's subscription of notices names its destination: when that changes, what failed before is tried at once.
pub(super) fn destination(project: &config::Project) -> DestinationSettings {
    let base_url = project.wallet.as_ref().and_then(|wallet| wallet.base_url.as_ref());
    let settings = base_url.map(|url| ("baseUrl".to_owned(), Value::from(url.as_str())));
    DestinationSettings { kind: Wallet::NAME.to_owned(), settings: settings.into_iter().collect::<Map<_, _>>() }
}

fn account(wallet: &config::Wallet, project: &str) -> Result<Account, Complaint> {
    let what = format!("[projects.wallet] of {project}");
    let incomplete = || Complaint::new(format!("{what} is incomplete"));
    let settings = WalletSettings {
        base_url: wallet.base_url.clone().ok_or_else(incomplete)?,
        brand: wallet.brand.clone(),
        client_id: wallet.client_id.clone(),
        secret: AccessSecret::new(wallet.client_secret.as_ref().ok_or_else(incomplete)?.reveal().to_owned()),
    };
    let net = net(&wallet.net, (wallet.allow_insecure_http, IDLE_MAX), &what)?;
    let cannot = |error| Complaint::because(&format!("{what} cannot be used"), &error);
    Ok(Account { wallet: connector::Wallet::new(settings, &net).map_err(cannot)?, name: wallet.customer_id })
}
