//! Access and refresh tokens (commercetools.md chapter 1).

use crate::client::{ApiClient, Scopes};
use crate::ctx::{Ctx, Micros};
use crate::id::{CustomerId, ProjectKey};
use crate::initiator::Initiator;
use crate::secret::{TokenDigest, TokenValue};

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
    /// The visitor that it stands for, for a token of the anonymous flow.
    pub anonymous_id: Option<String>,
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
            anonymous_id: self.anonymous_id.clone(),
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
    /// The refresh token that the access token came with or from. Who revokes the one ends the other (RFC 7009, 2.1).
    pub granted_by: Option<TokenDigest>,
    /// Life of the access token in seconds.
    pub expires_in_s: i64,
}

/// Whom a token stands for, besides the client that asks for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owner {
    /// Nobody else.
    Client,
    /// A customer who signed in.
    Customer(CustomerId),
    /// A visitor, by the id that the client gave it or that was made up for it.
    Visitor(String),
}

impl Owner {
    /// Longest id of a visitor, in characters.
    pub const ANONYMOUS_ID_CHARS_MAX: usize = 256;

    /// Whether a client may give this id to a visitor. It stands in the token's scope, between spaces.
    pub fn is_anonymous_id(text: &str) -> bool {
        let fits = !text.is_empty() && text.chars().nth(Self::ANONYMOUS_ID_CHARS_MAX).is_none();
        fits && !text.chars().any(|c| c.is_whitespace() || c.is_control())
    }

    /// What is added to the scopes that were asked for (commercetools.md 1.2).
    fn scope(&self) -> Option<String> {
        match self {
            Self::Client => None,
            Self::Customer(id) => Some(format!("customer_id:{id}")),
            Self::Visitor(id) => Some(format!("anonymous_id:{id}")),
        }
    }
}

/// Issues tokens of `client` for `scopes`, on behalf of `owner`.
pub fn issue(client: &ApiClient, scopes: Scopes, owner: Owner, refresh: bool, ctx: &mut Ctx) -> Issued {
    let scopes = match owner.scope() {
        Some(scope) => scopes.with(scope),
        None => scopes,
    };
    let (customer, anonymous_id) = match owner {
        Owner::Client => (None, None),
        Owner::Customer(id) => (Some(id), None),
        Owner::Visitor(id) => (None, Some(id)),
    };
    let session = Session {
        client_id: client.id.clone(),
        project: client.project.clone(),
        scopes,
        customer,
        anonymous_id,
        expires_at: access_ends(client, ctx),
    };
    let access = TokenValue::access(ctx);
    let refresh =
        refresh.then(|| (TokenValue::prefixed(ctx, &format!("{}:", client.project)), client.refresh_ends(ctx.now)));
    let granted_by = refresh.as_ref().map(|(value, _)| value.digest());
    Issued { session, access, refresh, granted_by, expires_in_s: client.access_token_s }
}

/// Issues another access token for a refresh token of `client`, which stays valid: for what it stood for.
pub fn renew(client: &ApiClient, old: Session, refresh_token: TokenDigest, ctx: &mut Ctx) -> Issued {
    let session = Session { expires_at: access_ends(client, ctx), ..old };
    let access = TokenValue::access(ctx);
    Issued { session, access, refresh: None, granted_by: Some(refresh_token), expires_in_s: client.access_token_s }
}

fn access_ends(client: &ApiClient, ctx: &Ctx) -> Micros {
    ctx.now.plus(client.access_token_s.saturating_mul(Micros::SECOND))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client() -> ApiClient {
        ApiClient {
            project: "demo".parse().unwrap(),
            id: "shop".into(),
            name: "Shop".into(),
            secret: TokenDigest::of("secret"),
            scopes: Scopes::default(),
            access_token_s: 3600,
            refresh_token_s: 60,
            created_at: Micros(0),
            revoked_at: None,
        }
    }

    #[test]
    fn the_scope_tells_for_whom_a_token_stands() {
        let ctx = &mut Ctx::new(Micros(0), [1; 32]);
        let mut scope = |owner| issue(&client(), Scopes::parse("a:demo b:demo"), owner, true, ctx).session;
        assert_eq!(scope(Owner::Client).scopes.to_string(), "a:demo b:demo");
        let id = CustomerId::from(uuid::Uuid::nil());
        let customer = scope(Owner::Customer(id));
        assert_eq!(customer.scopes.to_string(), format!("a:demo b:demo customer_id:{id}"));
        assert_eq!((customer.customer, customer.anonymous_id), (Some(id), None));
        let visitor = scope(Owner::Visitor("v-1".into()));
        assert_eq!(visitor.scopes.to_string(), "a:demo b:demo anonymous_id:v-1");
        assert_eq!(visitor.initiator(None).anonymous_id.as_deref(), Some("v-1"));
    }

    #[test]
    fn a_renewed_token_stands_for_the_same_and_ends_with_its_refresh_token() {
        let ctx = &mut Ctx::new(Micros(0), [1; 32]);
        let first = issue(&client(), Scopes::parse("a:demo"), Owner::Visitor("v-1".into()), true, ctx);
        let (refresh, ends) = first.refresh.unwrap();
        assert!(first.granted_by == Some(refresh.digest()));
        assert_eq!(ends, Micros(60 * Micros::SECOND));
        let later = &mut Ctx::new(Micros(5 * Micros::SECOND), [2; 32]);
        let old = Session { expires_at: ends, ..first.session.clone() };
        let renewed = renew(&client(), old, refresh.digest(), later);
        let expires_at = Micros(3605 * Micros::SECOND);
        assert_eq!(renewed.session, Session { expires_at, ..first.session });
        assert!(renewed.granted_by == Some(refresh.digest()) && renewed.refresh.is_none());
    }

    #[test]
    fn an_anonymous_id_can_stand_in_a_scope() {
        assert!(Owner::is_anonymous_id("7f0c-x:y") && Owner::is_anonymous_id(&"x".repeat(256)));
        for not in ["", "two words", "tab\t", "\u{a0}", &"x".repeat(257)] {
            assert!(!Owner::is_anonymous_id(not), "{not:?}");
        }
    }
}
