//! A customer whom a partner sends to our pages, to choose a password or a PIN there (paysafe.md 5.2).
//!
//! What the partner gets is a ticket: what the pages must know, sealed, so that nobody reads or alters it on its way. In it
//! is a password token that nobody else was ever told of; its row makes the ticket good for some minutes and for one
//! password, for whatever sets the customer's password ends it. Looking at a ticket uses nothing up.
//!
//! A first password is set with the token itself. In place of a forgotten one it takes a proof as well, and the ticket only
//! says whose address is to be proved.

use std::net::IpAddr;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use keyherald_core::activity::{self, Made};
use keyherald_core::client::Scopes;
use keyherald_core::customer::{Customer, CustomerNumber};
use keyherald_core::id::ProjectKey;
use keyherald_core::message::Flow;
use keyherald_core::secret::{Password, TokenValue};
use keyherald_core::session::{Owner, issue};
use keyherald_core::token::{self, Command, TokenKind};
use keyherald_core::{Ctx, set};
use keyherald_store::{Fault, Tx, client, credential, customer, session, token as tokens};
use serde::{Deserialize, Serialize};

use super::limits::Limited;
use super::verify_identifier::Verifying;
use super::{Answer, App, Call, CustomerRef, note, trace};

/// How long a ticket is good for, in minutes.
const LIFE_MINUTES: i64 = 10;

/// What a customer is sent for. No `Debug`: it has a secret.
#[derive(Clone, Serialize, Deserialize)]
pub struct Errand {
    /// What is to be done.
    pub task: Task,
    /// Where the customer wants to go after that, as the partner has written it.
    pub return_url: String,
    token: String,
}

/// What is to be done.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Task {
    /// A first password is chosen, and the customer signed in with it.
    SetUp(SignIn),
    /// Another one takes the place of a forgotten one.
    Reset,
}

/// As whose customer somebody is signed in.
#[derive(Clone, Serialize, Deserialize)]
pub struct SignIn {
    /// The client that asks for it.
    pub client_id: String,
    /// What the token is to allow.
    pub scopes: String,
    /// Its life in seconds.
    pub life_s: i64,
}

/// What became of the wish for a ticket.
pub enum Ticketed {
    /// It is here.
    Ticket(String),
    /// There is a password already: it takes its place only for who proves to be the customer.
    HasPassword,
}

impl App {
    /// A ticket with which the customer of this number can be sent to our pages.
    ///
    /// # Errors
    /// [`keyherald_core::Refusal::CustomerNotFound`], or `NotPasswordMode` of a customer who signs in elsewhere.
    pub async fn issue_ticket(
        &self,
        call: Call,
        number: CustomerNumber,
        (task, return_url): (Task, String),
    ) -> Answer<Ticketed> {
        const FLOW: Flow = Flow::CreateToken;
        let app = self.clone();
        let work = move |tx: &mut dyn Tx, ctx: &mut Ctx| {
            let named = CustomerRef::Number(number.clone());
            let Some(locked) = named.lock(tx, &call)? else { return Ok(Err(named.not_found())) };
            let (project, id) = (&call.project, locked.id);
            let link = app.operations.link_of(tx, project, id)?;
            if let (None, Err(refusal)) = (&link, set::admit(&locked)) {
                trace(tx, &call, FLOW, Some(id), &refusal, ctx)?;
                return Ok(Err(refusal));
            }
            let is_first = matches!(task, Task::SetUp(_));
            if is_first && (link.is_some() || credential::by_customer(tx, project, id)?.is_some()) {
                return Ok(Ok(Ticketed::HasPassword));
            }
            let command = Command { ttl_minutes: LIFE_MINUTES, invalidate_older_tokens: false, by: call.by.clone() };
            // Its message is not written: nobody else is to have this token.
            let made = token::decide(&locked, &command, ctx);
            tokens::insert(tx, project, &made.token, made.value.digest())?;
            note(tx, &call, FLOW, Some(id), Made::done(activity::Call::StartRecoveryAtHome), ctx)?;
            let token = made.value.reveal_with(str::to_owned);
            let errand = Errand { task: task.clone(), return_url: return_url.clone(), token };
            let sealed = app.ring.seal(ctx, &binding(project), &serde_json::to_vec(&errand)?)?;
            Ok::<_, Fault>(Ok(Ticketed::Ticket(URL_SAFE_NO_PAD.encode(sealed))))
        };
        Ok(self.store.write(&self.ctx(), work).await??)
    }

    /// What a ticket says. Whether it is still good is [`App::sent_customer`]'s to look at. `None`: it is none of ours.
    pub fn read_ticket(&self, project: &ProjectKey, ticket: &str) -> Option<Errand> {
        let sealed = URL_SAFE_NO_PAD.decode(ticket).ok()?;
        serde_json::from_slice(&self.ring.open(&binding(project), &sealed).ok()?).ok()
    }

    /// The customer who was sent, as long as the ticket is good. Uses nothing up.
    pub async fn sent_customer(&self, call: Call, errand: &Errand) -> Answer<Customer> {
        self.customer_by_token(call, TokenKind::Password, &errand.token).await
    }

    /// Sets the customer's first password, uses the ticket up, and signs the customer in. `None`: the client that has sent
    /// the customer is there no more, and cannot have anybody signed in. The source and the ticket have rates.
    pub async fn set_up_password(
        &self,
        call: Call,
        verifying: &Verifying,
        source: Option<IpAddr>,
        (errand, sign_in): (&Errand, SignIn),
        new: Password,
    ) -> Answer<Limited<Option<TokenValue>>> {
        if let Some(retry_after_s) = self.over_rate_of_token(&call, verifying, source, &errand.token).await? {
            return Ok(Limited::TooMany { retry_after_s });
        }
        let customer = self.redeem_ticket(call, &errand.token, new).await?;
        let work = move |tx: &mut dyn Tx, ctx: &mut Ctx| {
            let client = client::by_id(tx, &sign_in.client_id)?.filter(|client| client.revoked_at.is_none());
            let Some(mut client) = client else { return Ok(None) };
            if customer::lock(tx, &client.project, customer.id)?.is_none() {
                return Ok(None);
            }
            client.access_token_s = sign_in.life_s;
            let issued = issue(&client, Scopes::parse(&sign_in.scopes), Owner::Customer(customer.id), false, ctx);
            session::insert(tx, &issued)?;
            Ok::<_, Fault>(Some(issued.access))
        };
        Ok(Limited::Done(self.store.write(&self.ctx(), work).await?))
    }
}

fn binding(project: &ProjectKey) -> String {
    format!("ticket of {project}")
}
