//! Access and refresh tokens (commercetools.md chapter 1).

use keyherald_core::client::{ApiClient, Permission, Scopes};
use keyherald_core::secret::{Password, TokenDigest};
use keyherald_core::session::{Issued, Owner, Session, SessionKind, issue, renew};
use keyherald_core::{Ctx, Refusal};
use keyherald_store::{Tx, client, credential, customer, session};

use super::{Answer, App, Call};

/// How often a password is checked for one token request: twice, and once more for whoever meets two changes.
const SIGN_INS_MAX: usize = 3;

impl App {
    /// Issues tokens of `client` for itself; the dialect has checked that it may have `scopes`.
    pub async fn issue_tokens(&self, client: ApiClient, scopes: Scopes, refresh: bool) -> Answer<Issued> {
        let work = move |tx: &mut dyn Tx, ctx: &mut Ctx| {
            let issued = issue(&client, scopes.clone(), Owner::Client, refresh, ctx);
            session::insert(tx, &issued)?;
            Ok(issued)
        };
        Ok(self.store.write(&self.ctx(), work).await?)
    }

    /// Issues tokens of `client` for the customer with these credentials, under that customer's lock. A password that was
    /// changed since it was checked is checked again, against the one that counts now.
    pub async fn issue_customer_tokens(
        &self,
        call: Call,
        (client, scopes): (ApiClient, Scopes),
        (email, password): (String, Password),
        refresh: bool,
    ) -> Answer<Issued> {
        for _ in 0..SIGN_INS_MAX {
            let (customer, checked) = self.signed_in(call.clone(), email.clone(), password.duplicate()).await?;
            let (client, scopes, id) = (client.clone(), scopes.clone(), customer.id);
            let work = move |tx: &mut dyn Tx, ctx: &mut Ctx| {
                customer::lock(tx, &client.project, id)?;
                if checked.is_none() || credential::by_customer(tx, &client.project, id)? != checked {
                    return Ok(None);
                }
                let issued = issue(&client, scopes.clone(), Owner::Customer(id), refresh, ctx);
                session::insert(tx, &issued)?;
                Ok(Some(issued))
            };
            if let Some(issued) = self.store.write(&self.ctx(), work).await? {
                return Ok(issued);
            }
        }
        Err(Refusal::CredentialsWrong.into())
    }

    /// Issues tokens of `client` for a visitor whom it calls `anonymous_id`, or for a new one. `None`: a live token has
    /// this id.
    pub async fn issue_visitor_tokens(
        &self,
        client: ApiClient,
        scopes: Scopes,
        anonymous_id: Option<String>,
        refresh: bool,
    ) -> Answer<Option<Issued>> {
        let work = move |tx: &mut dyn Tx, ctx: &mut Ctx| {
            let id = match &anonymous_id {
                Some(named) if !session::claim_visitor(tx, &client.project, named, ctx.now)? => return Ok(None),
                Some(named) => named.clone(),
                None => uuid::Builder::from_random_bytes(ctx.bytes()).into_uuid().to_string(),
            };
            let issued = issue(&client, scopes.clone(), Owner::Visitor(id), refresh, ctx);
            session::insert(tx, &issued)?;
            Ok(Some(issued))
        };
        Ok(self.store.write(&self.ctx(), work).await?)
    }

    /// A new access token for a refresh token of `client`, which stays valid (commercetools.md 1.2). `None`: unknown,
    /// expired, ended, or another client's.
    pub async fn refresh_tokens(&self, client: ApiClient, refresh_token: &str) -> Answer<Option<Issued>> {
        let digest = TokenDigest::of(refresh_token);
        let work = move |tx: &mut dyn Tx, ctx: &mut Ctx| {
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
            if !session::extend_refresh(tx, digest, client.refresh_ends(ctx.now), ctx.now)? {
                return Ok(None);
            }
            let issued = renew(&client, old, digest, ctx);
            session::insert(tx, &issued)?;
            Ok(Some(issued))
        };
        Ok(self.store.write(&self.ctx(), work).await?)
    }

    /// What an access token stands for, if it is alive and `client` may know: it is its own, or the client may
    /// introspect all tokens of the project.
    ///
    /// A refresh token is answered like an unknown one: who asks wants to know whether a call with it may be served.
    pub async fn introspect_token(&self, client: &ApiClient, token: &str) -> Answer<Option<Session>> {
        let session = self.authenticate(token).await?;
        Ok(session.filter(|session| {
            session.client_id == client.id || client.scopes.permit(&session.project, Permission::IntrospectOauthTokens)
        }))
    }

    /// Ends a token of `client`, access or refresh, and with a refresh token the access tokens that it has brought.
    /// Another client's token stays, and nobody is told.
    pub async fn revoke_token(&self, client: ApiClient, token: &str) -> Answer<()> {
        let digest = TokenDigest::of(token);
        Ok(self.store.write(&self.ctx(), move |tx, _| session::revoke(tx, digest, &client.id)).await?)
    }

    /// The client with this id, revoked or not: for operators.
    pub async fn client(&self, client_id: &str) -> Answer<Option<ApiClient>> {
        let id = client_id.to_owned();
        Ok(self.store.read(move |tx| client::by_id(tx, &id)).await?)
    }
}
