//! Access and refresh tokens (commercetools.md chapter 1).

use keyherald_core::Micros;
use keyherald_core::client::{ApiClient, Scopes};
use keyherald_core::id::CustomerId;
use keyherald_core::secret::TokenDigest;
use keyherald_core::session::{Issued, SessionKind, issue};
use keyherald_store::{client, customer, session};

use super::{Answer, App};

impl App {
    /// Issues tokens of `client`; the dialect has checked that it may have `scopes`.
    ///
    /// `None`: the customer who signed in was deleted meanwhile, or changed the password meanwhile: the password that
    /// was checked is not the one that counts any more. `version` is the customer's at the sign-in.
    pub async fn issue_tokens(
        &self,
        client: ApiClient,
        scopes: Scopes,
        customer: Option<(CustomerId, i64)>,
        refresh: bool,
    ) -> Answer<Option<Issued>> {
        let work = move |tx: &mut dyn keyherald_store::Tx, ctx: &mut keyherald_core::Ctx| {
            if let Some((id, version)) = customer {
                let locked = customer::lock(tx, &client.project, id)?;
                if locked.is_none_or(|customer| customer.version != version) {
                    return Ok(None);
                }
            }
            let issued = issue(&client, scopes.clone(), customer.map(|(id, _)| id), refresh, ctx);
            session::insert(tx, &issued)?;
            Ok(Some(issued))
        };
        Ok(self.store.write(&self.ctx(), work).await?)
    }

    /// A new access token for a refresh token of `client`, which stays valid (commercetools.md 1.2). `None`: unknown,
    /// expired, ended, or another client's.
    pub async fn refresh_tokens(&self, client: ApiClient, refresh_token: &str) -> Answer<Option<Issued>> {
        let digest = TokenDigest::of(refresh_token);
        let work = move |tx: &mut dyn keyherald_store::Tx, ctx: &mut keyherald_core::Ctx| {
            let Some(old) = session::by_digest(tx, SessionKind::Refresh, digest, ctx.now)? else { return Ok(None) };
            if old.client_id != client.id {
                return Ok(None);
            }
            // Under the customer's lock: a password change that runs at the same moment ends this token too.
            if let Some(id) = old.customer
                && customer::lock(tx, &client.project, id)?.is_none()
            {
                return Ok(None);
            }
            let until = ctx.now.plus(client.refresh_token_s.saturating_mul(Micros::SECOND));
            if !session::extend_refresh(tx, digest, until, ctx.now)? {
                return Ok(None);
            }
            let issued = issue(&client, old.scopes, old.customer, false, ctx);
            session::insert(tx, &issued)?;
            Ok(Some(issued))
        };
        Ok(self.store.write(&self.ctx(), work).await?)
    }

    /// The client with this id, revoked or not: for operators.
    pub async fn client(&self, client_id: &str) -> Answer<Option<ApiClient>> {
        let id = client_id.to_owned();
        Ok(self.store.read(move |tx| client::by_id(tx, &id)).await?)
    }
}
