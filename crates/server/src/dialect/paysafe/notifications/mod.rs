//! Events that a partner was sent, or should have been: what there is, and sending it again (paysafe.md 2.3, 8.5).

pub mod list;
pub mod resend;

use keyherald_core::Micros;
use keyherald_core::event::EventType;
use keyherald_core::id::{CustomerId, ProjectKey};

use super::fields::Fields;
use super::reply::{Problem, failed};
use crate::app::App;
use crate::app::events::{Asked, Resend};

/// The span between two times; notes what is wrong with it.
fn span(fields: &mut Fields, from: Micros, to: Micros) -> Asked {
    if to < from {
        fields.refuse("to", "must not be before from");
    } else if to.0.saturating_sub(from.0) > Resend::SPAN_MAX {
        fields.refuse("to", "must be at most 31 days after from");
    }
    Asked { event_type: EventType::CustomerCredentials, from, to, customer: None }
}

/// Whom the events are to be about.
enum Whose {
    Anybodys,
    Customers(CustomerId),
    /// There is no such customer, and so no such event.
    Nobodys,
}

impl Whose {
    async fn of(app: &App, project: &ProjectKey, number: Option<String>) -> Result<Self, Problem> {
        let Some(number) = number else { return Ok(Self::Anybodys) };
        let found = app.customer_by_number(project.clone(), &number).await.map_err(failed)?;
        Ok(found.map_or(Self::Nobodys, Self::Customers))
    }

    /// What is asked for. `None`: nothing there can be.
    fn narrow(self, asked: Asked) -> Option<Asked> {
        match self {
            Self::Anybodys => Some(asked),
            Self::Customers(customer) => Some(Asked { customer: Some(customer), ..asked }),
            Self::Nobodys => None,
        }
    }
}

/// `customerId`: 1 to 20 digits.
fn customer_id(fields: &mut Fields) -> Option<String> {
    let number = fields.optional_text("customerId")?;
    if number.is_empty() || number.len() > 20 || !number.bytes().all(|byte| byte.is_ascii_digit()) {
        fields.refuse("customerId", "must be 1 to 20 digits");
    }
    Some(number)
}
