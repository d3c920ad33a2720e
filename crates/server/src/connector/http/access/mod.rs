//! How we show a provider who we are, done: the value, token or signature is added to a request that is ready otherwise.

mod oauth1;
mod signing;
mod sigv4;
mod token;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use keyherald_core::provider::ProviderError;
use keyherald_core::{Ctx, Micros};

use self::token::Tokens;
use super::draft::Draft;
use super::values::Values;
use crate::connector::call::{Caller, Deadline};
use crate::connector::secret::AccessSecret;
use crate::connector::sigv4::Signer;
use crate::recipe::access::Place;
use crate::recipe::{self, Rule};

/// Our access to one provider.
pub(super) struct Access {
    how: recipe::Access,
    secrets: [Option<AccessSecret>; 2],
    /// For access by token.
    tokens: Option<Tokens>,
    /// For signatures.
    key: Option<ring::hmac::Key>,
}

/// Why a provider's access cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum NoAccess {
    /// There is no secret where one is needed.
    #[error("its secret is missing")]
    NoSecret,
    /// It is not written as it should be.
    #[error("its secret is not written in the key_encoding")]
    Encoding,
    /// It is no key.
    #[error("its key cannot be used")]
    Key(#[from] crate::jwt::CannotSign),
}

/// What was added to a request.
pub(super) enum Shown {
    /// Nothing that ends.
    Lasting,
    /// This token.
    Token(AccessSecret),
    /// A signature with the time in it.
    Timed,
}

/// With what a request is sent.
pub(super) struct Sending<'a> {
    pub caller: &'a Caller,
    pub base: &'a str,
    pub shared: &'a [Rule],
    pub deadline: Deadline,
    /// The time that signatures tell; the provider's own when ours was refused.
    pub now: Micros,
}

impl Access {
    pub fn new(how: recipe::Access, secrets: [Option<AccessSecret>; 2]) -> Result<Self, NoAccess> {
        let secret = secrets.first().and_then(Option::as_ref);
        let needs_secret = match &how {
            recipe::Access::None => false,
            recipe::Access::Token(token) => !matches!(token.source, recipe::access::TokenSource::Call { .. }),
            _ => true,
        };
        if needs_secret && secret.is_none() {
            return Err(NoAccess::NoSecret);
        }
        let tokens = match &how {
            recipe::Access::Token(token) => Some(Tokens::new(token, secret)?),
            _ => None,
        };
        let key = match (&how, secret) {
            (recipe::Access::Signed(signing), Some(secret)) => Some(signing::key(signing, secret)?),
            _ => None,
        };
        Ok(Self { how, secrets, tokens, key })
    }

    fn secret(&self) -> &str {
        self.secrets.first().and_then(Option::as_ref).map_or("", AccessSecret::reveal)
    }

    /// What templates of operations may use of it.
    pub fn tell(&self, values: &mut Values) {
        values.set("auth.user", self.how.user());
        if self.how.has_plain_secret() {
            values.set("auth.secret", Some(self.secret()));
        }
        values.key.clone_from(&self.key);
    }

    /// Adds to a request what shows who we are. Fetches a token if there is none.
    pub async fn show(
        &self,
        draft: &mut Draft,
        sending: &Sending<'_>,
        values: &Values,
        ctx: &mut Ctx,
    ) -> Result<Shown, ProviderError> {
        match &self.how {
            recipe::Access::None => Ok(Shown::Lasting),
            recipe::Access::Value { place, value } => {
                draft.put(place, self.own(|_| {}).text(value, None)?.unwrap_or_default());
                Ok(Shown::Lasting)
            }
            recipe::Access::Basic { user } => {
                let value = format!("Basic {}", STANDARD.encode(format!("{user}:{}", self.secret())));
                draft.put(&Place::Header("authorization".to_owned()), value);
                Ok(Shown::Lasting)
            }
            recipe::Access::Token(token) => {
                let held = self.token(sending, ctx).await?;
                let own = self.own(|own| own.set("auth.token", Some(held.reveal())));
                let value = own.text(&token.value, None)?.unwrap_or_default();
                draft.put(&Place::Header(token.header.clone()), value);
                Ok(Shown::Token(held))
            }
            recipe::Access::Signed(signing) => {
                let own = self.own(|own| {
                    own.set("op.id", values.op_id());
                    own.set("auth.timestamp", Some(seconds(sending.now).to_string()));
                    own.set("auth.timestamp_ms", Some(sending.now.0.div_euclid(1000).to_string()));
                    own.set("auth.nonce", Some(nonce(ctx, sending.now)));
                });
                signing::sign(signing, draft, own, sending.base)?;
                Ok(Shown::Timed)
            }
            recipe::Access::AwsSigV4 { access_key_id, region, service } => {
                let signer = Signer {
                    access_key_id,
                    secret_access_key: self.secret(),
                    session_token: self.secrets.get(1).and_then(Option::as_ref).map(AccessSecret::reveal),
                    region,
                    service,
                    now: sending.now,
                };
                sigv4::sign(&signer, draft, sending.base);
                Ok(Shown::Timed)
            }
            recipe::Access::OAuth1 { consumer_key, token, realm } => {
                let about = oauth1::About {
                    consumer_key,
                    consumer_secret: self.secret(),
                    token: token.as_deref(),
                    token_secret: self.secrets.get(1).and_then(Option::as_ref).map_or("", AccessSecret::reveal),
                    realm: realm.as_deref(),
                    timestamp: seconds(sending.now),
                    nonce: &nonce(ctx, sending.now),
                };
                draft.put(&Place::Header("authorization".to_owned()), oauth1::header(&about, draft, sending.base));
                Ok(Shown::Timed)
            }
        }
    }

    /// The token that is good now: fetched, if there is none.
    pub async fn token(&self, sending: &Sending<'_>, ctx: &mut Ctx) -> Result<AccessSecret, ProviderError> {
        match (&self.how, &self.tokens) {
            (recipe::Access::Token(token), Some(tokens)) => tokens.token(token, self, sending, ctx).await,
            _ => Err(ProviderError::Misconfigured),
        }
    }

    /// The token was refused with this status: whether another one may be accepted. It is not used again.
    pub async fn renews(&self, status: u16, shown: &Shown) -> bool {
        let (recipe::Access::Token(token), Some(tokens), Shown::Token(refused)) = (&self.how, &self.tokens, shown)
        else {
            return false;
        };
        if !token.renew_on.has(status) {
            return false;
        }
        tokens.cache.drop_token(refused).await;
        true
    }

    /// Values that only templates of access have.
    fn own(&self, add: impl FnOnce(&mut Values)) -> Values {
        let mut own = Values::default();
        own.set("auth.user", self.how.user());
        own.set("auth.secret", Some(self.secret()));
        own.key.clone_from(&self.key);
        add(&mut own);
        own
    }
}

fn seconds(at: Micros) -> i64 {
    at.0.div_euclid(Micros::SECOND)
}

/// Never the same for two requests: chance may repeat from one attempt of an operation to the next, time does not.
fn nonce(ctx: &mut Ctx, now: Micros) -> String {
    let (chance, time) = (ctx.bytes::<12>(), now.0.to_be_bytes());
    super::values::hex(&[chance.as_slice(), time.as_slice()].concat())
}
