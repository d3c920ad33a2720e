//! Access and refresh tokens (commercetools.md chapter 1).

use crate::client::{ApiClient, Scopes};
use crate::ctx::{Ctx, Micros};
use crate::id::{CustomerId, ProjectKey};
use crate::initiator::Initiator;
use crate::secret::TokenValue;

/// What a presented token stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// The client that it was issued to.
    pub client_id: String,
    /// The client's project.
    pub project: ProjectKey,
    /// What it allows.
    pub scopes: Scopes,
    /// The customer that signed in.
    pub customer: Option<CustomerId>,
    /// When it ends, unless it is used (refresh tokens).
    pub expires_at: Micros,
}

impl Session {
    /// Who a change made with this token is attributed to.
    pub fn initiator(&self, external_user_id: Option<String>) -> Initiator {
        Initiator {
            client_id: Some(self.client_id.clone()),
            external_user_id,
            customer: self.customer,
            anonymous_id: None,
        }
    }
}

/// Which of the two a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionKind {
    /// Used on every call.
    Access,
    /// Gets new access tokens.
    Refresh,
}

impl SessionKind {
    /// Stored form.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Access => "access",
            Self::Refresh => "refresh",
        }
    }
}

/// Tokens to store (by digest) and to show once.
pub struct Issued {
    /// What both stand for.
    pub session: Session,
    /// The access token.
    pub access: TokenValue,
    /// The refresh token and when inactivity ends it.
    pub refresh: Option<(TokenValue, Micros)>,
    /// Life of the access token in seconds.
    pub expires_in_s: i64,
}

/// Issues tokens of `client` for `scopes`, on behalf of `customer` if one signed in.
pub fn issue(client: &ApiClient, scopes: Scopes, customer: Option<CustomerId>, refresh: bool, ctx: &mut Ctx) -> Issued {
    let session = Session {
        client_id: client.id.clone(),
        project: client.project.clone(),
        scopes,
        customer,
        expires_at: ctx.now.plus(client.access_token_s.saturating_mul(Micros::SECOND)),
    };
    let access = TokenValue::access(ctx);
    let refresh = refresh.then(|| {
        let end = ctx.now.plus(client.refresh_token_s.saturating_mul(Micros::SECOND));
        (TokenValue::prefixed(ctx, &format!("{}:", client.project)), end)
    });
    Issued { session, access, refresh, expires_in_s: client.access_token_s }
}
