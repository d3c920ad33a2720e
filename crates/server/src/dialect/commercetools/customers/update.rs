//! `POST /{projectKey}/customers/{id}`, `/key={key}` and `/{projectKey}/me`: update actions (commercetools.md 2.5).

use axum::http::Method;
use keyherald_core::Refusal;
use keyherald_core::client::Permission;
use keyherald_core::customer::Customer;
use keyherald_core::refusal::{UniqueField, Versioned};
use keyherald_core::update::{Action, Command};

use super::super::reply::{Answer, Problem, Reply, failed};
use super::super::request::Request;
use super::super::route::{Access, Route};
use super::{Target, actions};
use crate::app::{Call, Failure};
use crate::format::commercetools;

pub const BY_ID: Route = Route {
    method: Method::POST,
    path: "/{project}/customers/{id}",
    access: Access::Token(Permission::ManageCustomers, |request, call| {
        let target = Target::by_id(&request.captured);
        Box::pin(handle(request, call, target, false))
    }),
};

pub const BY_KEY: Route = Route {
    method: Method::POST,
    path: "/{project}/customers/key={key}",
    access: Access::Token(Permission::ManageCustomers, |request, call| {
        let target = Target::by_key(&request.captured);
        Box::pin(handle(request, call, target, false))
    }),
};

pub const ME: Route = Route {
    method: Method::POST,
    path: "/{project}/me",
    access: Access::Me(|request, call, me| Box::pin(handle(request, call, Ok(Target::me(me)), true))),
};

async fn handle(request: Request, call: Call, target: Result<Target, Problem>, is_own: bool) -> Answer {
    let app = request.app.clone();
    let mut body = request.json().await?;
    let version = body.required_integer("version")?;
    let (actions, mut passwords): (Vec<Action>, Vec<_>) = actions::read(&mut body, is_own)?.into_iter().unzip();
    let Target { which, mut named } = target?;
    for action in &actions {
        match action {
            Action::ChangeEmail(email) => named.email.clone_from(email),
            Action::SetKey(Some(key)) => named.new_key = key.to_string(),
            Action::SetCustomerNumber(Some(number)) => named.customer_number.clone_from(number),
            _ => {}
        }
    }
    let command = Command { version, actions, by: call.by.clone() };
    let password = command.password_action().and_then(|at| passwords.get_mut(at)?.take());
    match app.update_customer(call.clone(), which.clone(), command, password).await {
        Ok(customer) => Ok(Reply::ok(commercetools::customer(&customer))),
        Err(Failure::Refused(Refusal::Duplicate(UniqueField::Email))) if named.email.is_empty() => {
            // Other stores can bring two customers with one address together: then the address is the customer's own.
            let failure = match app.customer(call, which).await {
                Ok(customer) if customer.version == version => {
                    named.email = customer.email;
                    Refusal::Duplicate(UniqueField::Email).into()
                }
                // Changed or deleted since: the address that was in the way is not known any more. Nothing was done, so
                // the answer may as well be that of a call that came after.
                Ok(Customer { id, version: actual, .. }) => {
                    Refusal::VersionMismatch { of: Versioned::Customer(id), expected: version, actual }.into()
                }
                Err(failure) => failure,
            };
            Err(failed(failure, &named))
        }
        Err(failure) => Err(failed(failure, &named)),
    }
}
