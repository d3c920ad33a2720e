//! Who of the development server's customers is a user of its provider: whoever the Naviga API has made, or named.
//!
//! A customer of the other API stays the server's alone, as in a shop without a provider, until the Naviga API is called
//! for it by our own id or number: then it is a user there as well. In production an import says who is who.

use axum::Router;
use axum::extract::{Request, State};
use axum::http::Uri;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use keyherald_core::customer::Customer;
use keyherald_core::id::ProjectKey;
use keyherald_core::provider::ProviderLink;

use super::Development;
use super::provider::{Provider, User};
use crate::app::{App, Call, CustomerRef};

/// Puts around all routes that our own id or number names a user too.
pub(super) fn named_by_us(router: Router, app: &App) -> Router {
    router.layer(from_fn_with_state(app.clone(), rename))
}

async fn rename(State(app): State<App>, mut request: Request, next: Next) -> Response {
    if let Some(uri) = renamed(&app, request.uri()).await {
        *request.uri_mut() = uri;
    }
    next.run(request).await
}

/// The same address with the provider's id in place of ours. `None`: it names nobody by an id of ours.
async fn renamed(app: &App, uri: &Uri) -> Option<Uri> {
    let words: Vec<&str> = uri.path().split('/').collect();
    let is_users = |word: &&str| word.eq_ignore_ascii_case("users") || word.eq_ignore_ascii_case("user");
    let place = words.iter().position(is_users)?.checked_add(1)?;
    let name = words.get(place)?;
    let number = name.parse().map(CustomerRef::Number).ok();
    let ours = number.or_else(|| name.parse().map(CustomerRef::Id).ok())?;
    if customer(app, CustomerRef::User(link_to(&format!("{}{name}", Provider::PREFIX))?)).await.is_some() {
        return None;
    }
    let user = user_of(app, customer(app, ours).await?).await?.replace('|', "%7C");
    let word = |(at, word): (usize, &&str)| if at == place { user.clone() } else { (*word).to_owned() };
    let path = words.iter().enumerate().map(word).collect::<Vec<_>>().join("/");
    let path = uri.query().map(|query| format!("{path}?{query}")).unwrap_or(path);
    path.parse().ok()
}

/// Who the customer is there; from now on, if it was nobody.
async fn user_of(app: &App, customer: Customer) -> Option<String> {
    if let Some(link) = app.link_of_customer(call()?, customer.id).await.ok()? {
        return Some(link.user.as_str().to_owned());
    }
    let link = link_to(&format!("{}{}", Provider::PREFIX, customer.id))?;
    let user = link.user.as_str().to_owned();
    app.link_customer(call()?, customer.id, link).await.ok()?.then_some(user)
}

/// The user as whom a customer is linked, made of what is known of it here.
pub(super) async fn linked(app: &App, id: &str) -> Option<User> {
    let customer = customer(app, CustomerRef::User(link_to(id)?)).await?;
    Some(User {
        email: customer.email.clone(),
        email_verified: customer.is_email_verified,
        given_name: customer.profile.first_name.clone(),
        family_name: customer.profile.last_name.clone(),
        password: None,
        resets: 0,
    })
}

async fn customer(app: &App, which: CustomerRef) -> Option<Customer> {
    app.customer(call()?, which).await.ok()
}

fn link_to(user: &str) -> Option<ProviderLink> {
    Some(ProviderLink { provider: Development::PROVIDER.parse().ok()?, user: user.parse().ok()? })
}

fn call() -> Option<Call> {
    let project: ProjectKey = Development::PROJECT.parse().ok()?;
    Some(Call::on(project))
}
