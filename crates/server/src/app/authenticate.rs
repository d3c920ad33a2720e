//! Who is calling: an API client by its secret, or a request by its access token.

use keyherald_core::client::ApiClient;
use keyherald_core::secret::TokenDigest;
use keyherald_core::session::{Session, SessionKind};
use keyherald_store::{client, session};

use super::{Answer, App};

impl App {
    /// The client with this id and secret. `None`: unknown, revoked, or another secret: one answer for all.
    pub async fn authenticate_client(&self, client_id: &str, secret: &str) -> Answer<Option<ApiClient>> {
        let presented = TokenDigest::of(secret);
        let id = client_id.to_owned();
        let client = self.store.read(move |tx| client::by_id(tx, &id)).await?;
        Ok(client.filter(|client| presented.matches(client.secret.as_bytes()) && client.revoked_at.is_none()))
    }

    /// What a presented access token stands for. `None`: unknown, expired or revoked.
    pub async fn authenticate(&self, token: &str) -> Answer<Option<Session>> {
        let digest = TokenDigest::of(token);
        let now = self.ctx().now;
        Ok(self.store.read(move |tx| session::by_digest(tx, SessionKind::Access, digest, now)).await?)
    }
}
