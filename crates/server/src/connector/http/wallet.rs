//! A wallet of Paysafe's that is kept elsewhere: it is told of each password that was changed here (paysafe.md 5.3).
//!
//! The request is described in the same words as an operator's, only that they are ours.

use keyherald_core::Micros;
use keyherald_core::provider::ProviderError;
use keyherald_core::{Ctx, wallet_notice::WalletNotice};
use url::Url;

use super::exchange::Exchange;
use crate::connector::call::{CannotCall, Deadline, Net};
use crate::connector::secret::AccessSecret;
use crate::recipe::Access;
use crate::recipe::access::{ClientStyle, Token, TokenSource};
use crate::recipe::body::{Body, Content, Shape};
use crate::recipe::op::{Class, Method, Op, Rule};
use crate::recipe::predicate::{Predicate, Statuses};
use crate::recipe::template::Template;

/// How long before its end an access token is replaced.
const EARLY: i64 = Micros::MINUTE;

/// What a wallet is reached by.
pub struct WalletSettings {
    /// Where its paths begin, without a version.
    pub base_url: Url,
    /// Its brand, in the path of tokens.
    pub brand: String,
    /// Who we are there: a client whose tokens are a back end's.
    pub client_id: String,
    /// The client's secret.
    pub secret: AccessSecret,
}

/// A wallet.
pub struct Wallet {
    exchange: Exchange,
    tell: Op,
}

impl Wallet {
    /// Makes the connection. Calls nobody.
    pub fn new(settings: WalletSettings, net: &Net) -> Result<Self, CannotCall> {
        let WalletSettings { base_url, brand, client_id, secret } = settings;
        let mut url = base_url.clone();
        url.path_segments_mut()
            .map_err(|()| CannotCall::NoHost)?
            .pop_if_empty()
            .extend(["v1", "auth", "brands", &brand, "token"]);
        let source =
            TokenSource::ClientCredentials { url, client_id, style: ClientStyle::Basic, scope: None, audience: None };
        let access = Access::Token(Box::new(Token {
            source,
            header: "authorization".to_owned(),
            value: template("Bearer {{ auth.token }}")?,
            early_us: EARLY,
            renew_on: Statuses::of(vec![401..=401]),
        }));
        let exchange = Exchange::new(&base_url, (access, [Some(secret), None]), Vec::new(), net)?;
        Ok(Self { exchange, tell: tell()? })
    }

    /// Tells of one change. A repeat is the same notice there. [`ProviderError::UserNotFound`]: the wallet does not know the
    /// customer, or not under such an id.
    pub async fn tell(&self, customer: &str, notice: &WalletNotice, ctx: Ctx) -> Result<(), ProviderError> {
        let mut call = self.exchange.call(ctx);
        call.values.set("user.id", Some(customer));
        call.values.set("op.changed_at", Some(notice.at.iso()));
        self.exchange.done((&self.tell, false), &mut call, Deadline::of_call()).await.map(drop)
    }
}

fn template(text: &str) -> Result<Template, CannotCall> {
    text.parse().map_err(|_| CannotCall::Key("a template of ours is none"))
}

fn tell() -> Result<Op, CannotCall> {
    let members = vec![
        ("changeType".to_owned(), Shape::Fixed("PASSWORD_CHANGED".into())),
        ("changeTime".to_owned(), Shape::Filled(template("{{ op.changed_at }}")?)),
    ];
    let unknown = Predicate { status: Some(Statuses::of(vec![400..=400, 404..=404])), ..Predicate::default() };
    Ok(Op {
        method: Method::Post,
        path: template("/v2/customer-persons/{{ user.id }}/change-notifications")?,
        query: Vec::new(),
        headers: Vec::new(),
        body: Some(Body { content: Content::Json(Shape::Object(members)), media_type: None }),
        auth: true,
        require: None,
        if_match: None,
        idempotency_header: None,
        expect: Statuses::of(vec![200..=299]),
        success_when: Vec::new(),
        items: None,
        extract: <_>::default(),
        errors: vec![Rule {
            when: unknown,
            class: Class::UserNotFound,
            message: None,
            rule: None,
            retry_after: Vec::new(),
        }],
    })
}
