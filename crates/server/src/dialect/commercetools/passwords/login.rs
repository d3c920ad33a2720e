//! `POST /{projectKey}/login` and `/{projectKey}/me/login`: whose e-mail address and password these are (commercetools.md 3.6).
//!
//! Carts and anonymous ids are accepted and ignored: there are no carts here.

use axum::http::Method;
use keyherald_core::client::Permission;

use super::super::customers::sign_in_result;
use super::super::fields::EMAIL_CHARS_MAX;
use super::super::reply::{Answer, Named, Reply, failed};
use super::super::request::Request;
use super::super::route::{Access, Route};
use crate::app::Call;

pub const ROUTE: Route = Route {
    method: Method::POST,
    path: "/{project}/login",
    access: Access::Token(Permission::ManageCustomers, |request, call| {
        Box::pin(handle(request, call, "anonymousCartSignInMode"))
    }),
};

pub const ME: Route = Route {
    method: Method::POST,
    path: "/{project}/me/login",
    access: Access::Token(Permission::ManageMyProfile, |request, call| {
        Box::pin(handle(request, call, "activeCartSignInMode"))
    }),
};

const CART_MODES: [(&str, ()); 2] = [("MergeWithExistingCustomerCart", ()), ("UseAsNewActiveCustomerCart", ())];

async fn handle(request: Request, call: Call, cart_mode: &'static str) -> Answer {
    let app = request.app.clone();
    let mut body = request.json().await?;
    let email = body.required_text("email", EMAIL_CHARS_MAX)?;
    let password = body.password("password")?;
    body.one_of(cart_mode, &CART_MODES)?;
    body.boolean("updateProductData")?;

    let customer = app.sign_in(call, email, password).await;
    let customer = customer.map_err(|failure| failed(failure, &Named::default()))?;
    Ok(Reply::ok(sign_in_result(&customer)))
}
