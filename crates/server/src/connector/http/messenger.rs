//! Any service that takes short messages by HTTP, by a description of the operator's: one request each.
//!
//! It says how the request ended in the words of providers. What that means for a message is its destination's.

use keyherald_core::Ctx;
use keyherald_core::id::MessageId;
use keyherald_core::provider::ProviderError;
use url::Url;

use super::exchange::Exchange;
use crate::connector::call::{CannotCall, Deadline, Net};
use crate::connector::secret::AccessSecret;
use crate::recipe::SmsRecipe;
use crate::recipe::op::Op;

/// What a described service is reached by.
#[derive(Clone)]
pub struct MessengerSettings {
    /// Below which all paths are.
    pub base_url: Url,
    /// How a message is handed over.
    pub recipe: SmsRecipe,
    /// The secrets that its access needs: the first, and the second of OAuth 1.
    pub secrets: [Option<AccessSecret>; 2],
}

/// A described service.
pub struct Messenger {
    exchange: Exchange,
    send: Op,
}

/// One short message. No `Debug`: it holds a number and a code.
#[derive(Clone, Copy)]
pub struct Sms<'a> {
    /// The same at every attempt: what the service may know a repeat by.
    pub id: MessageId,
    /// The number, as `+359897765463`.
    pub to: &'a str,
    /// Whom it is from: a number or a name, where the description asks for one.
    pub from: Option<&'a str>,
    /// The whole text.
    pub text: &'a str,
}

impl Messenger {
    /// Makes the connection. Calls nobody.
    pub fn new(settings: MessengerSettings, net: &Net) -> Result<Self, CannotCall> {
        let MessengerSettings { base_url, recipe: SmsRecipe { access, send }, secrets } = settings;
        let exchange = Exchange::new(&base_url, (access, secrets), Vec::new(), net)?;
        Ok(Self { exchange, send })
    }

    /// Hands one message over. After [`ProviderError::Ambiguous`] the service may have it.
    /// [`ProviderError::UserNotFound`]: it never takes one for this number.
    pub async fn send(&self, sms: Sms<'_>, ctx: Ctx) -> Result<(), ProviderError> {
        let mut call = self.exchange.call(ctx);
        call.values.set("op.id", Some(sms.id.to_string()));
        call.values.set("sms.to", Some(sms.to));
        call.values.set("sms.to_digits", Some(sms.to.trim_start_matches('+')));
        call.values.set("sms.from", sms.from);
        call.values.set("sms.text", Some(sms.text));
        self.exchange.done((&self.send, false), &mut call, Deadline::of_call()).await.map(drop)
    }
}
