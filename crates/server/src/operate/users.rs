//! Users' records at a provider: looked up, created and changed for a request that waits for it. What an answer means for
//! the customer here is the use case's to know.

use keyherald_core::provider::{ProviderError, ProviderLink, ProviderName};

use super::Operations;
pub use crate::connector::{By, LookedUp, NewUser, UserChanges};

impl Operations {
    /// Looks a user up.
    pub async fn look_up_user(&self, provider: &ProviderName, by: By<'_>) -> Result<LookedUp, ProviderError> {
        let connector = self.0.providers.registry.provider(provider).ok_or(ProviderError::Misconfigured)?;
        let call = connector.look_up(by, self.0.moments.ctx());
        self.0.called(call).await.unwrap_or(Err(ProviderError::Transient))
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
