//! `POST /{projectKey}`: changes the messages setting.

use axum::http::Method;
use keyherald_core::client::Permission;
use keyherald_core::project::{Action, Command, MessagesSetting};

use super::super::fields::{Fields, TEXT_CHARS_MAX};
use super::super::reply::{Answer, Named, Problem, Reply, failed};
use super::super::request::Request;
use super::super::route::{Access, Route};
use super::shown;
use crate::app::Call;

pub const ROUTE: Route = Route {
    method: Method::POST,
    path: "/{project}",
    access: Access::Token(Permission::ManageProjectSettings, |request, call| Box::pin(handle(request, call))),
};

/// The update actions that there are here.
const ACTIONS: [&str; 2] = ["changeMessagesConfiguration", "changeMessagesEnabled"];

async fn handle(request: Request, call: Call) -> Answer {
    let app = request.app.clone();
    let command = read(request.json().await?)?;
    let name = call.project.as_str();
    let named = Named { id: name.to_owned(), ..Named::key(name) };
    let project = app.update_project(call, command).await.map_err(|failure| failed(failure, &named))?;
    Ok(Reply::ok(shown(&project)))
}

fn read(mut body: Fields) -> Result<Command, Problem> {
    let version = body.required_integer("version")?;
    body.require("actions")?;
    let actions = body.objects("actions", Command::ACTIONS_MAX)?;
    let actions = actions.into_iter().map(action).collect::<Result<_, _>>()?;
    Ok(Command { version, actions })
}

fn action(mut action: Fields) -> Result<Action, Problem> {
    let name = action.required_text("action", TEXT_CHARS_MAX)?;
    match name.as_str() {
        "changeMessagesConfiguration" => {
            let field = "messagesConfiguration";
            let mut setting = action.object(field)?.ok_or_else(|| action.missing(field))?;
            let enabled = setting.boolean("enabled")?.ok_or_else(|| setting.missing("enabled"))?;
            let days = setting.integer_within("deleteDaysAfterCreation", &MessagesSetting::DAYS)?;
            let days = days.unwrap_or(MessagesSetting::DAYS_DEFAULT);
            Ok(Action::ChangeMessagesConfiguration(MessagesSetting { enabled, days }))
        }
        "changeMessagesEnabled" => {
            let field = "messagesEnabled";
            let enabled = action.boolean(field)?.ok_or_else(|| action.missing(field))?;
            Ok(Action::ChangeMessagesEnabled(enabled))
        }
        // Tokens of other authorization servers are not accepted here.
        "setExternalOAuth" => Err(Problem::invalid_operation("External OAuth is not available on this server.")),
        other => Err(action.unknown("action", other, ACTIONS.into_iter())),
    }
}
