//! What a batch begins with, written by the server's own use cases before it is started: for each cell a project with an
//! API client, a provider with one user, and the customer who is that user.

use keyherald::app::{App, Call};
use keyherald::boot;
use keyherald::clock::Moments;
use keyherald::config::{Config, Environment, Purpose};
use keyherald_core::client::Scopes;
use keyherald_core::create::{self, AddressUse};
use keyherald_core::credential::AuthenticationMode;
use keyherald_core::customer::Profile;
use keyherald_core::id::ProjectKey;
use keyherald_core::initiator::Initiator;
use keyherald_core::project::Configured;
use keyherald_core::provider::ProviderLink;
use keyherald_core::secret::Password;
use keyherald_store::Store;

use crate::act::{Actor, Whom};
use crate::cell::{Cell, Mishap, Trouble, Verb};
use crate::leaks::MARK;
use crate::provider::{Provider, User};
use crate::script::Script;
use crate::server::Site;

/// Leaves the site configured. The store stays open, to look into.
pub async fn set_up(site: &Site, cells: &[Cell]) -> (Store, Vec<Actor>, Vec<Box<dyn Provider>>) {
    let config = Config::read(&site.config(cells.len(), &[]), None, Environment::of_process(), Purpose::Serve);
    let config = config.unwrap_or_else(|problems| panic!("{problems}"));
    let store = boot::open_store(&config).unwrap_or_else(|complaint| panic!("{complaint}"));
    store.migrate(Moments::of_system().now()).await.unwrap();
    let app = boot::assemble(&config, store.clone(), Moments::of_system());
    let app = app.unwrap_or_else(|complaint| panic!("{complaint}"));
    let (mut actors, mut providers) = (Vec::new(), Vec::new());
    for (number, cell) in cells.iter().enumerate() {
        let (actor, provider) = cast(&app, number, *cell).await;
        actors.push(actor);
        providers.push(provider);
    }
    app.hash.stop().await;
    site.configure(&site.config(cells.len(), &providers));
    (store, actors, providers)
}

async fn cast(app: &App, number: usize, cell: Cell) -> (Actor, Box<dyn Provider>) {
    let project: ProjectKey = format!("c{number}").parse().unwrap();
    let email = format!("customer-{number}@example.com");
    let old = format!("Old-{MARK}-{number}!");
    let (new, before) = match cell.mishap {
        // Fewer characters than any policy asks for.
        Mishap::Trouble(_, Trouble::Weak) => (format!("{MARK}!"), None),
        Mishap::Trouble(_, Trouble::Used) => (format!("Used-{MARK}-{number}!"), Some(format!("Used-{MARK}-{number}!"))),
        _ => (format!("New-{MARK}-{number}!"), None),
    };
    let script = Script::new(cell);
    let user = User { email: email.clone(), password: old.clone(), new: new.clone(), before };
    let provider = (cell.connector.start)(user, script.clone()).await;

    let scopes = Scopes::parse(&format!("manage_project:{project}"));
    app.ensure_project(project.clone(), Configured { name: project.to_string(), ..Configured::default() })
        .await
        .unwrap();
    let (client, secret) = app.create_client(project.clone(), "caller".into(), scopes).await.unwrap();
    let credentials = (client.id, secret.reveal_with(str::to_owned));
    let mode = match cell.verb {
        Verb::Set => AuthenticationMode::ExternalAuth,
        Verb::Change | Verb::Reset | Verb::Naviga | Verb::Old => AuthenticationMode::Password,
    };
    let command = create::Command {
        email: email.clone(),
        key: None,
        external_id: None,
        customer_number: None,
        mobile: None,
        stores: Vec::new(),
        authentication_mode: mode,
        is_email_verified: false,
        profile: Profile::default(),
        addresses: AddressUse::default(),
        by: Initiator::default(),
    };
    let call = || Call::on(project.clone());
    let password = (mode == AuthenticationMode::Password).then(|| Password::new(old.clone()).unwrap());
    let customer = app.create_customer(call(), command, password).await.unwrap();
    let user = provider.user().parse().ok().unwrap();
    let link = ProviderLink { provider: format!("p{number}").parse().unwrap(), user };
    assert!(app.link_customer(call(), customer.id, link).await.unwrap());
    let whom = Whom { customer: customer.id, user: provider.user(), email, old, new };
    let actor = Actor::new(cell, script, (project, credentials), whom);
    (actor, provider)
}
