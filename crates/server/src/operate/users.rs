//! Users' records at a provider: looked up, created and changed for a request that waits for it. What an answer means for
//! the customer here is the use case's to know.

use keyherald_core::provider::{Capabilities, ProviderError, ProviderLink, ProviderName};

use super::Operations;
pub use crate::connector::{By, LookedUp, NewUser, TokenOwner, UserChanges};

impl Operations {
    /// Looks a user up.
    pub async fn look_up_user(&self, provider: &ProviderName, by: By<'_>) -> Result<LookedUp, ProviderError> {
        let connector = self.0.providers.registry.provider(provider).ok_or(ProviderError::Misconfigured)?;
        let call = connector.look_up(by, self.0.moments.ctx());
        self.0.called(call).await.unwrap_or(Err(ProviderError::Transient))
    }

    /// Whom an access token of the provider's own stands for. `None`: nobody.
    pub async fn token_owner(&self, provider: &ProviderName, token: &str) -> Result<Option<TokenOwner>, ProviderError> {
        let connector = self.0.providers.registry.provider(provider).ok_or(ProviderError::Misconfigured)?;
        let call = connector.token_owner(token, self.0.moments.ctx());
        self.0.called(call).await.unwrap_or(Err(ProviderError::Transient))
    }

    /// What a provider is able to do. `None`: the configuration does not have it.
    pub fn capabilities_of(&self, provider: &ProviderName) -> Option<Capabilities> {
        self.0.providers.registry.provider(provider).map(|connector| connector.capabilities())
    }

    /// Creates a user: one attempt.
    pub async fn create_user(&self, provider: &ProviderName, user: NewUser<'_>) -> Result<LookedUp, ProviderError> {
        let connector = self.0.providers.registry.provider(provider).ok_or(ProviderError::Misconfigured)?;
        let call = connector.create_user(user, self.0.moments.ctx());
        self.0.called(call).await.unwrap_or(Err(ProviderError::Ambiguous))
    }

    /// Changes a user's record. May be repeated.
    pub async fn update_user(&self, link: &ProviderLink, changes: UserChanges<'_>) -> Result<(), ProviderError> {
        let connector = self.0.provider(link).ok_or(ProviderError::Misconfigured)?;
        let call = connector.update_user(&link.user, changes, self.0.moments.ctx());
        self.0.called(call).await.unwrap_or(Err(ProviderError::Ambiguous))
    }
}
