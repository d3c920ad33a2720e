//! `POST /{projectKey}/stores`.

use std::collections::BTreeMap;

use axum::http::Method;
use keyherald_core::client::Permission;
use keyherald_core::initiator::Initiator;
use keyherald_core::project::{LanguageTag, Project};
use keyherald_core::shop::{Command, Shop};
use serde_json::Value;

use super::super::fields::{Fields, INDEXED_CHARS_MAX, TEXT_CHARS_MAX};
use super::super::reply::{Answer, Named, Problem, Reply, failed};
use super::super::request::Request;
use super::super::route::{Access, Route};
use super::shown;
use crate::app::Call;

pub const ROUTE: Route = Route {
    method: Method::POST,
    path: "/{project}/stores",
    access: Access::Token(Permission::ManageStores, |request, call| Box::pin(handle(request, call))),
};

/// Fields of a draft that name what is not here, and what to say of them.
const ABSENT: [(&str, &str); 4] = [
    ("distributionChannels", "Channels are"),
    ("supplyChannels", "Channels are"),
    ("productSelections", "Product selections are"),
    ("custom", "Custom fields are"),
];

async fn handle(request: Request, call: Call) -> Answer {
    let app = request.app.clone();
    let command = read(request.json().await?, &call.by)?;
    let named = Named::key(command.key.as_str());
    let shop = app.create_store(call, command).await.map_err(|failure| failed(failure, &named))?;
    Ok(Reply::created(shown(&shop)))
}

fn read(mut body: Fields, by: &Initiator) -> Result<Command, Problem> {
    let key = body.key("key")?.ok_or_else(|| body.missing("key"))?;
    let name = body.object("name")?.map(localized).transpose()?.unwrap_or_default();
    let languages = body.texts("languages", Project::LANGUAGES_MAX, INDEXED_CHARS_MAX)?;
    let languages = languages.iter().map(|text| language(text)).collect::<Result<_, _>>()?;
    let countries = body.objects("countries", Shop::COUNTRIES_MAX)?;
    let countries = countries.into_iter().map(country).collect::<Result<_, _>>()?;
    let rest = body.into_rest();
    let is_given = |value: &Value| !value.is_null() && value.as_array().is_none_or(|list| !list.is_empty());
    match ABSENT.iter().find(|(field, _)| rest.get(*field).is_some_and(is_given)) {
        Some((_, what)) => Err(Problem::not_available(what)),
        None => Ok(Command { key, name, languages, countries, by: by.clone() }),
    }
}

fn language(text: &str) -> Result<LanguageTag, Problem> {
    text.parse().map_err(|_| Problem::invalid_field("languages", &Value::from(text)))
}

fn country(mut country: Fields) -> Result<String, Problem> {
    let code = country.required_text("code", INDEXED_CHARS_MAX)?;
    let fits = code.len() == 2 && code.bytes().all(|byte| byte.is_ascii_uppercase());
    if fits { Ok(code) } else { Err(Problem::invalid_field("countries", &Value::from(code))) }
}

/// A text by language tag.
fn localized(texts: Fields) -> Result<BTreeMap<String, String>, Problem> {
    let texts = texts.into_rest();
    if texts.len() > Project::LANGUAGES_MAX {
        return Err(Problem::invalid_json(format!("name: Expected at most {} languages", Project::LANGUAGES_MAX)));
    }
    let read = |(tag, text): (String, Value)| match text {
        _ if !LanguageTag::is_one(&tag) => Err(Problem::invalid_field("name", &Value::from(tag))),
        Value::String(text) if text.chars().nth(TEXT_CHARS_MAX).is_none() => Ok((tag, text)),
        text @ Value::String(_) => Err(Problem::invalid_field("name", &text)),
        _ => Err(Problem::invalid_json(format!("name -> {tag}: Expected a text"))),
    };
    texts.into_iter().filter(|(_, text)| !text.is_null()).map(read).collect()
}
