//! Answers: the only place where pages and troubles become HTTP.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::body::Body;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, LOCATION, REFERRER_POLICY, RETRY_AFTER, SET_COOKIE,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use keyherald_core::policy::Form;
use minijinja::{Value, context};

use super::flow::{self, Address};
use super::language::LANGUAGES;
use super::{Served, Site, file};
use crate::config::ReturnUrl;

/// What a page answers.
pub type Answer = Result<Reply, Trouble>;

/// What is shown instead of what was asked for.
pub enum Trouble {
    /// What a step has run into.
    Flow(flow::Trouble),
    /// The form was shown long ago, or by somebody else.
    FormLost,
    /// There is no such page, or none for that method.
    NoPage(StatusCode),
    /// Something is broken.
    Broken,
}

impl From<flow::Trouble> for Trouble {
    fn from(trouble: flow::Trouble) -> Self {
        Self::Flow(trouble)
    }
}

/// An answer that is none of trouble.
pub enum Reply {
    /// A page.
    Page(Page),
    /// Another page is to be asked for.
    Go {
        /// Its path below the project's.
        to: &'static str,
        /// The browser's cookie from now on.
        cookie: Option<String>,
    },
    /// The visit is over: another site's page is to be asked for.
    Leave {
        /// Its address: one of the project's return URLs.
        to: String,
        /// The browser's cookie from now on.
        cookie: String,
    },
    /// A file.
    File(Response),
}

/// A page that is shown.
pub struct Page {
    status: StatusCode,
    template: &'static str,
    values: Vec<(&'static str, Value)>,
    cookie: Option<String>,
}

impl Page {
    /// A template's.
    pub fn of(template: &'static str) -> Self {
        Self { status: StatusCode::OK, template, values: vec![("error", Value::from(()))], cookie: None }
    }

    /// With a value.
    pub fn with(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        self.values.push((name, value.into()));
        self
    }

    /// In the words for this address, if there is one, and not for all that the project takes.
    pub fn about(self, address: Option<&Address>) -> Self {
        match address {
            Some(address) => self.with("takes", address.ending()),
            None => self,
        }
    }

    /// With what is wrong with a field: the field's id, and what says it.
    pub fn wrong(self, field: &'static str, why: impl Into<Why>) -> Self {
        let error = match why.into() {
            Why::Sentence(sentence) => context! { field, sentence, reasons => Value::from(()) },
            Why::Reasons(reasons) => context! { field, reasons },
        };
        Self { status: StatusCode::UNPROCESSABLE_ENTITY, ..self.with("error", error) }
    }

    /// With another cookie.
    pub fn keeping(self, cookie: String) -> Self {
        Self { cookie: Some(cookie), ..self }
    }
}

/// What is wrong with an entry.
pub enum Why {
    /// The name of a sentence of ours.
    Sentence(&'static str),
    /// Sentences in the visitor's language.
    Reasons(Vec<String>),
}

impl From<&'static str> for Why {
    fn from(sentence: &'static str) -> Self {
        Self::Sentence(sentence)
    }
}

impl From<Page> for Reply {
    fn from(page: Page) -> Self {
        Self::Page(page)
    }
}

/// What all answers to a request have in common.
pub struct Frame {
    pub(super) served: Arc<Served>,
    pub(super) site: Arc<Site>,
    pub(super) language: &'static str,
    /// The one that the visitor chose, which links keep.
    pub(super) asked_language: Option<&'static str>,
    pub(super) path: String,
    /// What a password is to be like.
    pub(super) form: Form,
    /// Where the customer goes back to, if a partner has sent them.
    pub(super) return_url: Option<ReturnUrl>,
    /// What they were sent with, which links to the same page keep.
    pub(super) ticket: Option<String>,
    pub(super) is_https: bool,
}

impl Frame {
    /// The HTTP answer.
    pub fn respond(&self, answer: Answer) -> Response {
        match answer {
            Ok(Reply::Page(page)) => self.show(page, None),
            Ok(Reply::Go { to, cookie }) => self.go(to, cookie),
            Ok(Reply::Leave { to, cookie }) => self.send(&to, Some(cookie)),
            Ok(Reply::File(response)) => response,
            Err(trouble) => self.tell(&trouble),
        }
    }

    fn tell(&self, trouble: &Trouble) -> Response {
        let (status, what, retry_after_s) = match trouble {
            Trouble::Flow(flow::Trouble::TooMany { retry_after_s }) => {
                (StatusCode::TOO_MANY_REQUESTS, "many", Some(*retry_after_s))
            }
            Trouble::Flow(flow::Trouble::Busy { retry_after_s }) => {
                (StatusCode::SERVICE_UNAVAILABLE, "busy", Some(*retry_after_s))
            }
            Trouble::Flow(flow::Trouble::Over | flow::Trouble::CodeWrong) => (StatusCode::GONE, "over", None),
            Trouble::FormLost => (StatusCode::FORBIDDEN, "lost", None),
            Trouble::NoPage(status) => (*status, "none", None),
            Trouble::Flow(
                flow::Trouble::PasswordBroken(_) | flow::Trouble::PasswordRefused | flow::Trouble::Broken,
            )
            | Trouble::Broken => (StatusCode::INTERNAL_SERVER_ERROR, "broken", None),
        };
        let minutes = retry_after_s.map_or(1, |seconds| seconds.div_ceil(60).max(1));
        let page = Page { status, ..Page::of("trouble.html") }.with("what", what).with("minutes", minutes);
        self.show(page, retry_after_s)
    }

    fn go(&self, to: &str, cookie: Option<String>) -> Response {
        let slash = if to.is_empty() { "" } else { "/" };
        let mut location = format!("{}{slash}{to}{}", self.base(), self.language_query());
        if to.contains('?') {
            location = location.replace("?lang=", "&lang=");
        }
        self.send(&location, cookie)
    }

    fn send(&self, location: &str, cookie: Option<String>) -> Response {
        let mut response = StatusCode::SEE_OTHER.into_response();
        put(&mut response, LOCATION, location);
        self.guard(&mut response, cookie);
        response
    }

    /// Where the project's pages are, as browsers see it.
    fn base(&self) -> String {
        let settings = &self.served.settings;
        format!("{}/{}/{}", settings.folder, settings.prefix, self.site.project)
    }

    fn language_query(&self) -> String {
        self.asked_language.map(|language| format!("?lang={language}")).unwrap_or_default()
    }

    fn show(&self, page: Page, retry_after_s: Option<u32>) -> Response {
        let values = self.values(&page);
        let mut response = match self.served.views.render(page.template, &values) {
            Ok(html) => (page.status, html).into_response(),
            Err(error) => {
                tracing::error!(error, "a recovery page cannot be written: {error}");
                return bare(StatusCode::INTERNAL_SERVER_ERROR);
            }
        };
        put(&mut response, CONTENT_TYPE, "text/html; charset=utf-8");
        if let Some(seconds) = retry_after_s {
            put(&mut response, RETRY_AFTER, &seconds.to_string());
        }
        self.guard(&mut response, page.cookie);
        response
    }

    fn values(&self, page: &Page) -> Value {
        let settings = &self.served.settings;
        let shared = format!("{}/{}/-", settings.folder, settings.prefix);
        let here = format!("{}{}", settings.folder, self.path);
        let pin = match self.form {
            Form::Text { .. } => None,
            Form::Pin { digits } => Some(digits),
        };
        let languages = LANGUAGES.map(|(tag, name, _)| context! { tag, name });
        // What was set last counts.
        let mut own: BTreeMap<&str, Value> = page.values.iter().cloned().collect();
        own.entry("takes").or_insert_with(|| self.site.takes.ending().into());
        let common = context! {
            language => self.language,
            languages => Value::from_iter(languages),
            query => self.language_query(),
            here,
            keep => self.ticket.as_ref().map(|ticket| format!("&ticket={ticket}")).unwrap_or_default(),
            back => self.return_url.as_ref().map(|url| url.with_status("fail")),
            pin,
            base => self.base(),
            style => format!("{shared}/{}", file::style_name()),
            script => format!("{shared}/{}", file::script_name()),
            site => context! {
                name => &self.site.name,
                contact => &self.site.contact,
                logo => self.site.logo.is_some(),
                logo_dark => self.site.logo_dark.is_some(),
                theme => file::theme_version(&self.site),
                next => self.site.return_urls.first().map(ReturnUrl::as_str),
            },
        };
        context! { ..common, ..Value::from(own) }
    }

    /// What keeps a page to itself: nothing is loaded from elsewhere, run in line, framed, cached, or told to where its
    /// links lead.
    fn guard(&self, response: &mut Response, cookie: Option<String>) {
        guard(response);
        if let Some(url) = &self.return_url {
            // A form's answer may lead there: browsers look at where it ends.
            put(response, CONTENT_SECURITY_POLICY, &policy(&format!(" {}", url.origin())));
        }
        if self.is_https {
            put(response, HeaderName::from_static("strict-transport-security"), "max-age=31536000");
        }
        if let Some(cookie) = cookie {
            put(response, SET_COOKIE, &cookie);
        }
    }
}

/// With where forms may lead besides ourselves.
fn policy(forms: &str) -> String {
    format!(
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; form-action 'self'{forms}; \
         base-uri 'none'; frame-ancestors 'none'"
    )
}

fn guard(response: &mut Response) {
    for (name, value) in [
        (CACHE_CONTROL, "no-store"),
        (CONTENT_SECURITY_POLICY, policy("").as_str()),
        (REFERRER_POLICY, "no-referrer"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (HeaderName::from_static("permissions-policy"), "camera=(), geolocation=(), microphone=()"),
        (HeaderName::from_static("x-robots-tag"), "noindex"),
    ] {
        put(response, name, value);
    }
}

fn put(response: &mut Response, name: HeaderName, value: &str) {
    // Ours are made of what headers can carry.
    if let Ok(value) = HeaderValue::try_from(value) {
        response.headers_mut().insert(name, value);
    }
}

/// An answer where no project is known whose page it could be.
pub fn bare(status: StatusCode) -> Response {
    let reason = status.canonical_reason().unwrap_or_default();
    let page = format!("<!DOCTYPE html>\n<html lang=\"en\">\n<title>{reason}</title>\n<h1>{reason}</h1>\n</html>\n");
    let mut response = (status, Body::from(page)).into_response();
    put(&mut response, CONTENT_TYPE, "text/html; charset=utf-8");
    guard(&mut response);
    response
}
