//! One request of a description and its answer, for whatever is described: filled in, shown to be ours, sent, judged.
//!
//! Nothing is repeated but for access that was refused: such an answer changed nothing.

use std::collections::BTreeMap;

use keyherald_core::provider::ProviderError;
use keyherald_core::secret::Password;
use keyherald_core::{Ctx, Micros};
use serde_json::Value;
use url::Url;

use super::access::{Access, Sending, Shown};
use super::draft::Draft;
use super::judge::{Judge, Success};
use super::values::{Values, hex};
use crate::connector::call::{Answer, Caller, CannotCall, Deadline, Fault, Net};
use crate::connector::secret::AccessSecret;
use crate::recipe;
use crate::recipe::op::{Op, Rule};

/// What requests of a description are sent with.
pub(super) struct Exchange {
    base: String,
    access: Access,
    /// Rules of all operations, after their own.
    shared: Vec<Rule>,
    caller: Caller,
}

/// One call: what it is about, and what it may use.
pub(super) struct Call<'a> {
    pub values: Values,
    /// What the required operation has extracted.
    pub required: BTreeMap<String, Value>,
    /// Taken out of every text.
    pub password: Option<&'a Password>,
    pub ctx: Ctx,
}

impl<'a> Call<'a> {
    pub fn with(mut self, name: &str, password: &'a Password) -> Self {
        self.values.set_secret(name, password);
        self.password = Some(password);
        self
    }
}

impl Exchange {
    pub fn new(
        base_url: &Url,
        (access, secrets): (recipe::Access, [Option<AccessSecret>; 2]),
        shared: Vec<Rule>,
        net: &Net,
    ) -> Result<Self, CannotCall> {
        let urls: Vec<&Url> = [base_url].into_iter().chain(access.url()).collect();
        let caller = Caller::new(&urls, net)?;
        let access = Access::new(access, secrets)?;
        let base = base_url.as_str().trim_end_matches('/').to_owned();
        Ok(Self { base, access, shared, caller })
    }

    /// A call that is about nobody yet.
    pub fn call(&self, mut ctx: Ctx) -> Call<'static> {
        let mut values = Values::default();
        values.set("op.id", Some(hex(&ctx.bytes::<16>())));
        self.access.tell(&mut values);
        Call { values, required: BTreeMap::new(), password: None, ctx }
    }

    /// Does an operation. `is_read`: it changes nothing.
    pub async fn done(
        &self,
        (op, is_read): (&Op, bool),
        call: &mut Call<'_>,
        deadline: Deadline,
    ) -> Result<Success, ProviderError> {
        let now = call.ctx.now;
        let judge = Judge { shared: &self.shared, is_read, password: call.password, now };
        let mut sending = Sending { caller: &self.caller, base: &self.base, shared: &self.shared, deadline, now };
        let mut repeated = false;
        loop {
            let (ended, shown) = self.sent(op, call, &sending).await?;
            let (status, date) = match &ended {
                Ok(answer) => (answer.status, server_time(answer)),
                Err(_) => (0, None),
            };
            if !repeated && self.access.renews(status, &shown).await {
                repeated = true;
                continue;
            }
            let judged =
                judge.judge(op, ended).map_err(|doubt| if is_read { doubt.of_read() } else { doubt.of_write() });
            match (judged, shown, date) {
                // By the clock of whoever refused ours.
                (Err(ProviderError::ClockSkew), Shown::Timed, Some(date)) if !repeated => sending.now = date,
                (judged, ..) => return judged,
            }
            repeated = true;
        }
    }

    async fn sent(
        &self,
        op: &Op,
        call: &mut Call<'_>,
        sending: &Sending<'_>,
    ) -> Result<(Result<Answer, Fault>, Shown), ProviderError> {
        let mut draft = Draft::of(op, &call.values, &mut call.ctx)?;
        let shown = if op.auth {
            self.access.show(&mut draft, sending, &call.values, &mut call.ctx).await?
        } else {
            Shown::Lasting
        };
        let request = draft.request(&self.base)?;
        Ok((self.caller.send(request, sending.deadline).await, shown))
    }
}

/// What the provider's clock says.
fn server_time(answer: &Answer) -> Option<Micros> {
    crate::connector::retry_hint::date(answer.header("date")?)
}
