//! What the pages need of the use cases, and what can come of it: the only file here that calls `app`.

use std::net::IpAddr;

use keyherald_core::Refusal;
use keyherald_core::credentials_event::Circumstances;
use keyherald_core::customer::Customer;
use keyherald_core::id::VerificationId;
use keyherald_core::policy::{Broken, Form, Policy};
use keyherald_core::secret::{Password, TokenValue};
use keyherald_core::verification::{Attempted, Attribute, Claim, Kind, Purpose};
use serde::{Deserialize, Serialize};

use super::{Site, Takes};
pub use crate::app::hosted_credentials::{Errand, SignIn, Task};
use crate::app::limits::Limited;
use crate::app::recover_credentials::Recovery;
use crate::app::verify_identifier::{Attempt, Initiation};
use crate::app::{App, Call, Failure};

/// An e-mail address, or a mobile number, in the form in which it is compared, as the browser keeps it. No `Debug`: it is
/// personal.
#[derive(Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Address(Attribute);

impl Address {
    /// What somebody typed. `None`: it is no address, nor a number where the site takes one.
    pub fn parse(typed: &str, site: &Site) -> Option<Self> {
        Self::read(typed).filter(|address| match site.takes {
            Takes::Addresses => !address.is_number(),
            Takes::Numbers => address.is_number(),
            Takes::Either => true,
        })
    }

    /// Of a customer, what the site's visitors prove. `None`: there is none.
    fn of(customer: &Customer, site: &Site) -> Option<Self> {
        match site.takes {
            Takes::Addresses | Takes::Either => Self::read(&customer.email),
            Takes::Numbers => Self::read(customer.mobile.as_ref()?.as_str()),
        }
    }

    fn read(text: &str) -> Option<Self> {
        let kind = if text.contains('@') { Kind::Email } else { Kind::Mobile };
        Attribute::parse(kind, text).map(Self)
    }

    /// Whether it is a mobile number.
    pub fn is_number(&self) -> bool {
        self.0.kind == Kind::Mobile
    }

    /// As it is compared.
    pub fn as_str(&self) -> &str {
        self.0.value()
    }

    /// What the names of sentences about it end with.
    pub fn ending(&self) -> &'static str {
        if self.is_number() { Takes::Numbers } else { Takes::Addresses }.ending()
    }

    /// What may be shown of it: `jo***@example.com`, `***63`.
    pub fn masked(&self) -> String {
        self.0.masked()
    }
}

impl TryFrom<String> for Address {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::read(&text).ok_or("no address")
    }
}

impl From<Address> for String {
    fn from(address: Address) -> Self {
        address.0.value().to_owned()
    }
}

/// The sentence about an entry that is no address.
pub fn no_address(typed: &str) -> &'static str {
    if typed.trim().is_empty() { "address_missing" } else { "address_malformed" }
}

/// The process in which an address is proved.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process(VerificationId);

impl Process {
    /// What a link or a form names. `None`: it is no process.
    pub fn parse(text: &str) -> Option<Self> {
        text.parse().ok().map(Self)
    }
}

/// Why something did not come about.
pub enum Trouble {
    /// The code is wrong, and may be tried again.
    CodeWrong,
    /// The process or token has ended, was never there, or was used: it takes a new one. Nobody is told which.
    Over,
    /// The password breaks these rules. Nothing was used up.
    PasswordBroken(Vec<Broken>),
    /// The password's provider does not take it.
    PasswordRefused,
    /// Too much was asked for.
    TooMany {
        /// Seconds after which it is worth another try.
        retry_after_s: u32,
    },
    /// We have too much to do.
    Busy {
        /// Seconds after which it is worth another try.
        retry_after_s: u32,
    },
    /// Something is broken.
    Broken,
}

impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Refused(refusal) => Self::of(&refusal),
            Failure::Fault(fault) => {
                tracing::error!(error = %fault, "a recovery page failed: {fault}");
                Self::Broken
            }
        }
    }
}

impl Trouble {
    fn of(refusal: &Refusal) -> Self {
        match refusal {
            Refusal::Overloaded { retry_after_s }
            | Refusal::PasswordChangeUnderway { retry_after_s }
            | Refusal::ProviderUnreachable { retry_after_s } => Self::Busy { retry_after_s: *retry_after_s },
            Refusal::NotLookedUp(inner) => Self::of(inner),
            Refusal::ProviderRefused(_) => Self::PasswordRefused,
            Refusal::PasswordBroken(broken) => Self::PasswordBroken(broken.clone()),
            // Whether there is such a customer, and how it signs in, is nobody's business here.
            _ => Self::Over,
        }
    }
}

fn within<T>(limited: Limited<T>) -> Result<T, Trouble> {
    match limited {
        Limited::Done(done) => Ok(done),
        Limited::TooMany { retry_after_s } => Err(Trouble::TooMany { retry_after_s }),
    }
}

/// Who visits: the use cases, the call, and from which address it comes.
pub struct Caller<'a> {
    /// The use cases.
    pub app: &'a App,
    /// Whose pages they are.
    pub site: &'a Site,
    /// The call.
    pub call: Call,
    /// Where it comes from.
    pub source: Option<IpAddr>,
}

impl Caller<'_> {
    /// Asks for a code for an address. The same for everybody's.
    pub async fn ask(self, address: &Address) -> Result<Process, Trouble> {
        let about = (address.0.clone(), Purpose::PasswordReset);
        let verifying = self.site.verifying.clone();
        match self.app.begin_verification(self.call, verifying, self.source, about).await? {
            Initiation::Begun { process, .. } => Ok(Process(process.id)),
            Initiation::Resting { retry_after_s } | Initiation::TooMany { retry_after_s } => {
                Err(Trouble::TooMany { retry_after_s })
            }
        }
    }

    /// Tries a code.
    pub async fn attempt(self, (address, process): (&Address, Process), code: &str) -> Result<(), Trouble> {
        let about = (process.0, address.0.clone());
        let verifying = self.site.verifying.clone();
        match self.app.try_code(self.call, verifying, self.source, about, code).await? {
            Attempt::Made { outcome: Attempted::Verified, .. } => Ok(()),
            Attempt::Made { outcome: Attempted::Wrong, .. } => Err(Trouble::CodeWrong),
            Attempt::Made { outcome: Attempted::WrongAtLast, .. }
            | Attempt::Unknown
            | Attempt::Mismatch
            | Attempt::NotActive(_) => Err(Trouble::Over),
            Attempt::TooMany { retry_after_s } => Err(Trouble::TooMany { retry_after_s }),
        }
    }

    /// Sets the password of the customer who has proved an address.
    pub async fn set_by_proof(self, (address, process): (&Address, Process), new: Password) -> Result<(), Trouble> {
        let recovery = Recovery {
            claims: vec![Claim { attribute: address.0.clone(), id: process.0 }],
            new,
            surface: self.site.surface,
            circumstances: Circumstances::default(),
        };
        within(self.app.recover_credentials(self.call, &self.site.verifying, self.source, recovery).await?)
    }

    /// Sets the password of the customer to whom a token was mailed.
    pub async fn set_by_token(self, token: &str, new: Password) -> Result<(), Trouble> {
        let call = Call { surface: Some(self.site.surface), ..self.call };
        within(self.app.reset_on_page(call, &self.site.verifying, self.source, token, new).await?)
    }

    /// What a ticket says, if it is one.
    pub fn errand(&self, ticket: &str) -> Option<Errand> {
        self.app.read_ticket(&self.call.project, ticket)
    }

    /// The address of the customer who was sent, as long as the ticket is good: what is to be proved, or, where nothing is,
    /// what the customer signs in with.
    pub async fn sent(self, errand: &Errand) -> Result<Address, Trouble> {
        let customer = self.app.sent_customer(self.call, errand).await?;
        let address = match errand.task {
            Task::SetUp(_) => Address::read(&customer.email),
            Task::Reset => Address::of(&customer, self.site),
        };
        address.ok_or(Trouble::Over)
    }

    /// Sets a first password, and signs the customer in.
    pub async fn set_up(self, errand: &Errand, to: SignIn, new: Password) -> Result<Option<TokenValue>, Trouble> {
        let call = Call { surface: Some(self.site.surface), ..self.call };
        within(self.app.set_up_password(call, &self.site.verifying, self.source, (errand, to), new).await?)
    }

    /// What is asked of a new password.
    pub fn form(&self) -> Form {
        let policy = self.app.password_rule(&self.call.project, self.site.surface);
        policy.map_or(Form::Text { min: 1, max: Policy::CHARACTERS_MAX }, |policy| policy.form)
    }

    /// How a good one is found, in a few sentences.
    pub fn guidance(&self, language: &str) -> Vec<String> {
        self.app.guidance(&self.call.project, self.site.surface, Some(language))
    }

    /// Why a password is not taken: a sentence for each rule.
    pub fn reasons(&self, broken: &[Broken], language: &str) -> Vec<String> {
        broken.iter().map(|broken| self.app.reason(*broken, Some(language))).collect()
    }
}
