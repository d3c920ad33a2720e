//! A request before it goes out: taken apart, so that access can be added and all of it be signed.

use keyherald_core::Ctx;
use keyherald_core::provider::ProviderError;
use reqwest::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use serde_json::Value;
use url::{Url, form_urlencoded};

use super::values::{Unfit, Values, hex, plain};
use crate::connector::call::Request;
use crate::connector::percent;
use crate::recipe::access::Place;
use crate::recipe::body::{Body, Content};
use crate::recipe::op::{Method, Op};
use crate::recipe::template::Filter;

/// A request, filled in. No `Debug`: it holds passwords.
pub(super) struct Draft {
    pub method: Method,
    /// Below the base URL, encoded.
    pub path: String,
    pub query: Vec<(String, String)>,
    headers: Vec<(String, String)>,
    body: Option<Carried>,
}

/// What it carries.
enum Carried {
    Json(Value, String),
    Form(Vec<(String, String)>, String),
    Multipart(Vec<(String, String)>, String),
    Text(String, String),
}

impl Draft {
    /// Fills in what an operation asks for.
    pub fn of(op: &Op, values: &Values, ctx: &mut Ctx) -> Result<Self, ProviderError> {
        let mut headers = values.list(&op.headers, None)?;
        if let Some(template) = &op.if_match {
            headers.extend(values.text(template, None)?.map(|version| ("if-match".to_owned(), version)));
        }
        if let Some(name) = &op.idempotency_header {
            headers.extend(values.op_id().map(|id| (name.clone(), id.to_owned())));
        }
        let body = op.body.as_ref().map(|body| Carried::of(body, values, ctx)).transpose()?;
        let query = values.list(&op.query, Some(Filter::Query))?;
        Ok(Self { method: op.method, path: values.path(&op.path)?, query, headers, body })
    }

    /// The headers so far.
    pub fn headers(&self) -> &[(String, String)] {
        &self.headers
    }

    /// Puts a value somewhere. A body without fields takes none; reading the configuration has refused those.
    pub fn put(&mut self, place: &Place, value: String) {
        match place {
            Place::Header(name) => self.headers.push((name.clone(), value)),
            Place::Query(name) => self.query.push((name.clone(), value)),
            Place::Body(name) => match &mut self.body {
                Some(Carried::Json(Value::Object(members), _)) => drop(members.insert(name.clone(), value.into())),
                Some(Carried::Form(fields, _) | Carried::Multipart(fields, _)) => fields.push((name.clone(), value)),
                Some(Carried::Json(..) | Carried::Text(..)) | None => {}
            },
        }
    }

    /// Query, form fields and the single values of a JSON body, by name and then by value.
    pub fn fields(&self) -> Vec<(String, String)> {
        let mut fields = self.query.clone();
        match &self.body {
            Some(Carried::Form(own, _) | Carried::Multipart(own, _)) => fields.extend(own.iter().cloned()),
            Some(Carried::Json(Value::Object(members), _)) => {
                let single = members.iter().filter(|(_, value)| !value.is_object() && !value.is_array());
                fields.extend(single.map(|(name, value)| (name.clone(), plain(value))));
            }
            Some(Carried::Json(..) | Carried::Text(..)) | None => {}
        }
        fields.sort();
        fields
    }

    /// The fields that OAuth 1 signs: those of a query and of a form.
    pub fn form_fields(&self) -> Vec<(String, String)> {
        match &self.body {
            Some(Carried::Form(own, _)) => self.query.iter().chain(own).cloned().collect(),
            _ => self.query.clone(),
        }
    }

    /// The query as it goes out.
    pub fn query_text(&self) -> String {
        let pair = |(name, value): &(String, String)| format!("{}={}", percent::encode(name), percent::encode(value));
        self.query.iter().map(pair).collect::<Vec<_>>().join("&")
    }

    /// The body as it goes out.
    pub fn body_text(&self) -> String {
        match &self.body {
            None => String::new(),
            Some(Carried::Json(value, _)) => value.to_string(),
            Some(Carried::Form(fields, _)) => {
                form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish()
            }
            Some(Carried::Multipart(fields, boundary)) => multipart(fields, boundary),
            Some(Carried::Text(text, _)) => text.clone(),
        }
    }

    /// The request to send, below `base`.
    pub fn request(&self, base: &str) -> Result<Request, ProviderError> {
        let query = self.query_text();
        let mark = if query.is_empty() { "" } else { "?" };
        let url = Url::parse(&format!("{base}{}{mark}{query}", self.path)).map_err(|_| ProviderError::Misconfigured)?;
        let mut request = Request::new(method(self.method), url);
        let media_type = match &self.body {
            None => None,
            Some(Carried::Json(_, media_type) | Carried::Form(_, media_type) | Carried::Text(_, media_type)) => {
                Some(media_type.clone())
            }
            Some(Carried::Multipart(_, boundary)) => Some(format!("multipart/form-data; boundary={boundary}")),
        };
        if let Some(media_type) = media_type {
            let value = HeaderValue::from_str(&media_type).map_err(|_| ProviderError::Misconfigured)?;
            request.headers.insert(CONTENT_TYPE, value);
            request.body = zeroize::Zeroizing::new(self.body_text().into_bytes());
        }
        for (name, value) in &self.headers {
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| ProviderError::Misconfigured)?;
            // Left out it would be another request: one without its If-Match, say.
            let mut value = HeaderValue::from_str(value).map_err(|_| ProviderError::InvalidRequest)?;
            value.set_sensitive(true);
            request.headers.insert(name, value);
        }
        Ok(request)
    }
}

impl Carried {
    fn of(body: &Body, values: &Values, ctx: &mut Ctx) -> Result<Self, Unfit> {
        let typed = |usual: &str| body.media_type.clone().unwrap_or_else(|| usual.to_owned());
        Ok(match &body.content {
            Content::Json(shape) => Self::Json(values.json(shape)?.unwrap_or_default(), typed("application/json")),
            Content::Form(list) => {
                Self::Form(values.list(list, Some(Filter::Form))?, typed("application/x-www-form-urlencoded"))
            }
            // So much chance is in no value.
            Content::Multipart(list) => Self::Multipart(values.list(list, None)?, hex(&ctx.bytes::<20>())),
            Content::Xml(template) => Self::Text(values.xml(template)?, typed("application/xml")),
            Content::Text(template) => {
                let text = values.text(template, None)?.unwrap_or_default();
                Self::Text(text, typed("text/plain; charset=utf-8"))
            }
        })
    }
}

fn multipart(fields: &[(String, String)], boundary: &str) -> String {
    let mut text = String::new();
    for (name, value) in fields {
        // As browsers do.
        let name = name.replace('"', "%22").replace('\r', "%0D").replace('\n', "%0A");
        let head = format!("--{boundary}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n");
        text.extend([head.as_str(), value, "\r\n"]);
    }
    text.extend(["--", boundary, "--\r\n"]);
    text
}

/// The method in the HTTP client's words.
pub(super) fn method(method: Method) -> reqwest::Method {
    match method {
        Method::Get => reqwest::Method::GET,
        Method::Post => reqwest::Method::POST,
        Method::Put => reqwest::Method::PUT,
        Method::Patch => reqwest::Method::PATCH,
        Method::Delete => reqwest::Method::DELETE,
    }
}
