//! `keyherald client create | list | revoke`.

use std::process::ExitCode;

use keyherald_core::client::Scopes;

use super::{load, print};
use crate::app::{App, Failure};
use crate::boot;
use crate::cli::{Client, ClientCreate, ClientList, ClientRevoke};
use crate::clock::Moments;
use crate::complaint::Complaint;
use crate::config::{Config, Purpose};

/// Runs one of the client commands on the database that the configuration names.
pub async fn run(command: Client) -> Result<ExitCode, Complaint> {
    let file = match &command {
        Client::Create(ClientCreate { file, .. })
        | Client::List(ClientList { file, .. })
        | Client::Revoke(ClientRevoke { file, .. }) => file,
    };
    let config = load(file, Purpose::Serve)?;
    let app = boot::assemble(&config, boot::open_store(&config)?, Moments::of_system())?;
    let outcome = match command {
        Client::Create(create) => make(&app, &config, create).await,
        Client::List(list) => show(&app, &config, list).await,
        Client::Revoke(revoke) => end(&app, revoke).await,
    };
    app.store.close().await;
    outcome.map(|()| ExitCode::SUCCESS)
}

fn failed(failure: &Failure) -> Complaint {
    Complaint::because("the database refused", failure)
        .hint("`keyherald migrate --status` says whether it is at this version")
}

async fn make(app: &App, config: &Config, create: ClientCreate) -> Result<(), Complaint> {
    if !config.projects.iter().any(|project| project.key == create.project) {
        let known: Vec<_> = config.projects.iter().map(|project| project.key.to_string()).collect();
        return Err(Complaint::new(format!("there is no project {}", create.project))
            .hint(format!("the configuration has: {}", known.join(", "))));
    }
    for scope in &create.scopes {
        let of_project = scope.split_once(':').is_some_and(|(_, project)| project == create.project.as_str());
        if !Scopes::is_known(scope) || !of_project {
            return Err(Complaint::new(format!("{scope:?} is no scope of project {}", create.project)).hint(format!(
                "for example manage_project:{0}, manage_customers:{0}, view_messages:{0}, manage_subscriptions:{0}",
                create.project
            )));
        }
    }
    let scopes = Scopes::parse(&create.scopes.join(" "));
    let (client, secret) =
        app.create_client(create.project, create.name, scopes).await.map_err(|failure| failed(&failure))?;
    print(&format!("client id      {}", client.id));
    secret.reveal_with(|text| print(&format!("client secret  {text}")));
    print(&format!("scopes         {}", client.scopes));
    print("The secret is not shown again.");
    Ok(())
}

async fn show(app: &App, config: &Config, list: ClientList) -> Result<(), Complaint> {
    let projects = match list.project {
        Some(project) => vec![project],
        None => config.projects.iter().map(|project| project.key.clone()).collect(),
    };
    for project in projects {
        for client in app.list_clients(project).await.map_err(|failure| failed(&failure))? {
            let state = client.revoked_at.map_or_else(|| "active".to_owned(), |at| format!("revoked {}", at.iso()));
            let made = client.created_at.iso();
            print(&format!(
                "{}  {}  {}  made {made}  {state}  {}",
                client.project, client.id, client.name, client.scopes
            ));
        }
    }
    Ok(())
}

async fn end(app: &App, revoke: ClientRevoke) -> Result<(), Complaint> {
    if app.revoke_client(revoke.project.clone(), revoke.id.clone()).await.map_err(|failure| failed(&failure))? {
        print(&format!("revoked {}; its tokens have ended", revoke.id));
        Ok(())
    } else {
        Err(Complaint::new(format!("project {} has no active client {}", revoke.project, revoke.id))
            .hint("`keyherald client list` shows them"))
    }
}
