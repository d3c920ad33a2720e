//! `POST /{projectKey}/customers`, and `/{projectKey}/me/signup` for customers themselves (commercetools.md 2.2).

use axum::http::Method;
use keyherald_core::client::Permission;
use keyherald_core::create::Command;
use keyherald_core::id::Key;
use keyherald_core::initiator::Initiator;
use keyherald_core::secret::Password;

use super::super::fields::Fields;
use super::super::reply::{Answer, Named, Problem, Reply, failed};
use super::super::request::Request;
use super::super::route::{Access, Route};
use super::{draft, sign_in_result};
use crate::app::Call;

pub const ROUTE: Route = Route {
    method: Method::POST,
    path: "/{project}/customers",
    access: Access::Token(Permission::ManageCustomers, |request, call| Box::pin(handle(request, call, draft::read))),
};

pub const SIGN_UP: Route = Route {
    method: Method::POST,
    path: "/{project}/me/signup",
    access: Access::Token(Permission::ManageMyProfile, |request, call| {
        Box::pin(handle(request, call, draft::read_own))
    }),
};

type Read = fn(Fields, &Initiator) -> Result<(Command, Option<Password>), Problem>;

async fn handle(request: Request, call: Call, read: Read) -> Answer {
    let app = request.app.clone();
    let (command, password) = read(request.json().await?, &call.by)?;
    let named = Named {
        email: command.email.clone(),
        key: command.key.as_ref().map(Key::to_string).unwrap_or_default(),
        customer_number: command.customer_number.clone().unwrap_or_default(),
        ..Named::default()
    };
    let created = app.create_customer(call, command, password).await;
    let customer = created.map_err(|failure| failed(failure, &named))?;
    Ok(Reply::created(sign_in_result(&customer)))
}
