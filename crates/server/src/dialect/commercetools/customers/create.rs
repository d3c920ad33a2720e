//! `POST /{projectKey}/customers`.

use axum::http::Method;
use keyherald_core::client::Permission;
use keyherald_core::id::Key;

use super::super::reply::{Answer, Named, Reply, failed};
use super::super::request::Request;
use super::super::route::{Access, Route};
use super::{draft, sign_in_result};
use crate::app::Call;

pub const ROUTE: Route = Route {
    method: Method::POST,
    path: "/{project}/customers",
    access: Access::Token(Permission::ManageCustomers, |request, call| Box::pin(handle(request, call))),
};

async fn handle(request: Request, call: Call) -> Answer {
    let app = request.app.clone();
    let (command, password) = draft::read(request.json().await?, &call.by)?;
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
