//! `Wallet`: tells a wallet of Paysafe's that is kept elsewhere, and whose customers sign in here, of each password that was
//! changed (paysafe.md 5.3).
//!
//! Its subscriptions are made by the configuration alone ([`Wallets`]); no draft can ask for it. The contract wants the notice
//! at once and without fail: it is never given up, but for a customer whom the wallet does not know. A repeat says the same, and
//! counts there as one.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use keyherald_core::delivery::{Cause, Outcome, Persistence};
use keyherald_core::id::ProjectKey;
use keyherald_core::wallet_notice::{WalletName, WalletNotice};
use keyherald_core::{Ctx, Micros};
use serde_json::{Map, Value};

use super::described::{chance, failed, outcome, rejected};
use super::{CannotOpen, Context, Delivery, Destination, Invalid, Kind, Policy, Rules, Validated};
use crate::connector;

/// As the contract has it for events, the other way round.
const PERSISTENCE: Persistence = Persistence {
    base: 5 * Micros::SECOND,
    cap: 60 * Micros::MINUTE,
    is_jittered: true,
    retry_after_max: Micros::DAY,
    refusals_max: 20,
    attempts_max: None,
    age_max: None,
};
/// Notices that one wallet is told at the same time.
const IN_FLIGHT_MAX: usize = 8;

/// The kind.
#[derive(Clone, Copy, Debug)]
pub struct Wallet;

impl Wallet {
    /// Its name in the store.
    pub const NAME: &'static str = "Wallet";
}

/// The wallets, by the project whose customers they have.
pub type Wallets = BTreeMap<ProjectKey, Account>;

/// A wallet, and under which name it knows a customer.
pub struct Account {
    /// The wallet.
    pub wallet: connector::Wallet,
    /// Which of the customer's names is its id there.
    pub name: WalletName,
}

impl Kind for Wallet {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn is_available(&self, _: &Policy) -> bool {
        false
    }

    fn rules(&self, _: &Map<String, Value>) -> Rules {
        Rules { gone_disables: false, persistence: Some(PERSISTENCE) }
    }

    fn validate(&self, _: &Map<String, Value>, _: &Policy, _: &mut Ctx) -> Result<Validated, Invalid> {
        Err(Invalid { field: "type", text: "wallets are set up in the server's configuration".to_owned() })
    }

    fn open(
        &self,
        _: &Map<String, Value>,
        _: Option<&[u8]>,
        context: &Context,
    ) -> Result<Arc<dyn Destination>, CannotOpen> {
        let wallets = context.wallets.clone().ok_or(CannotOpen("no wallet is configured"))?;
        Ok(Arc::new(Teller { wallets }))
    }
}

/// Where notices become calls.
struct Teller {
    wallets: Arc<Wallets>,
}

impl Teller {
    async fn attempt(&self, delivery: Delivery) -> Outcome {
        let notice = match serde_json::from_slice::<Option<WalletNotice>>(&delivery.body) {
            Ok(Some(notice)) => notice,
            Ok(None) => return Outcome::Moot,
            Err(_) => return rejected("the notice cannot be read"),
        };
        let Some(Account { wallet, name }) = self.wallets.get(&delivery.project) else {
            return failed(Cause::Refused, "the project has no wallet");
        };
        // Who has no id there has nothing there.
        let Some(customer) = name.of(&notice.names) else { return Outcome::Moot };
        match wallet.tell(customer, &notice, chance(&delivery)).await {
            Ok(()) => Outcome::Delivered,
            Err(error) => outcome(&error, "the wallet does not know the customer", delivery.now),
        }
    }
}

impl Destination for Teller {
    fn send(&self, delivery: Delivery) -> BoxFuture<'_, Outcome> {
        Box::pin(self.attempt(delivery))
    }

    fn in_flight_max(&self) -> usize {
        IN_FLIGHT_MAX
    }
}
