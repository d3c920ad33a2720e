//! API clients, as operators manage them.

use keyherald_core::client::{ApiClient, Scopes};
use keyherald_core::id::ProjectKey;
use keyherald_core::secret::{TokenDigest, TokenValue};
use keyherald_store::client;

use super::{Answer, App};

impl App {
    /// Makes a client with a new id and a new secret, which is shown this once.
    pub async fn create_client(
        &self,
        project: ProjectKey,
        name: String,
        scopes: Scopes,
    ) -> Answer<(ApiClient, TokenValue)> {
        let mut ctx = self.ctx();
        let secret = TokenValue::access(&mut ctx);
        // Letters and digits only: an id stands on command lines, where a hyphen in front would be an option.
        let letters = |text: &str| text.chars().filter(char::is_ascii_alphanumeric).take(24).collect::<String>();
        let id = TokenValue::new(&mut ctx).reveal_with(letters);
        let client = self.put_client(project, id, name, secret.digest(), scopes).await?;
        Ok((client, secret))
    }

    /// Writes a client with a given id and secret: `keyherald dev` has one that never changes.
    pub async fn put_client(
        &self,
        project: ProjectKey,
        id: String,
        name: String,
        secret: TokenDigest,
        scopes: Scopes,
    ) -> Answer<ApiClient> {
        let ctx = self.ctx();
        let client = ApiClient {
            project,
            id,
            name,
            secret,
            scopes,
            access_token_s: ApiClient::ACCESS_TOKEN_S,
            refresh_token_s: ApiClient::REFRESH_TOKEN_S,
            created_at: ctx.now,
            revoked_at: None,
        };
        let written = client.clone();
        self.store.write(&ctx, move |tx, _| client::put(tx, &written)).await?;
        Ok(client)
    }

    /// A project's clients, oldest first, at most a thousand.
    pub async fn list_clients(&self, project: ProjectKey) -> Answer<Vec<ApiClient>> {
        Ok(self.store.read(move |tx| client::of_project(tx, &project)).await?)
    }

    /// Revokes a client and ends its tokens. False: no such client, or revoked already.
    pub async fn revoke_client(&self, project: ProjectKey, client_id: String) -> Answer<bool> {
        Ok(self.store.write(&self.ctx(), move |tx, ctx| client::revoke(tx, &project, &client_id, ctx.now)).await?)
    }
}
