//! A request as the pages see it: who visits, in which language, how far along, and what a form has brought.

use std::sync::Arc;

use axum::extract::Request;
use axum::http::header::ACCEPT_LANGUAGE;
use axum::http::request::Parts;
use axum::http::{HeaderMap, Uri};
use keyherald_core::activity::Source;
use keyherald_core::secret::TokenValue;
use keyherald_core::{Ctx, Micros};
use zeroize::Zeroizing;

use super::flow::{Caller, Errand};
use super::progress::{Jar, Progress, Stage};
use super::reply::{Answer, Frame, Page, Reply, Trouble};
use super::{Served, Site, credentials, language};
use crate::app::Call;
use crate::config::ReturnUrl;
use crate::http::{Peer, RequestIds, read_body};

/// Longest form: a password and what belongs to it.
const FORM_BYTES_MAX: usize = 16 * 1024;
/// Most fields of a form.
const FIELDS_MAX: usize = 16;

/// One request.
pub struct Visit {
    served: Arc<Served>,
    /// Whose pages they are.
    pub site: Arc<Site>,
    /// The language that it is answered in.
    pub language: &'static str,
    asked_language: Option<&'static str>,
    /// How far the browser has come. `None`: it has sent nothing that counts.
    pub progress: Option<Progress>,
    /// What a partner has sent the customer for: as the ticket says, or the browser's cookie.
    pub errand: Option<Errand>,
    /// The ticket, as long as the page is about it.
    ticket: Option<String>,
    head: Parts,
    /// Read before anything is decided; `None`: it did not arrive, or is too long.
    body: Option<Zeroizing<Vec<u8>>>,
}

impl Visit {
    /// Reads what every request has.
    pub(super) async fn begin(served: Arc<Served>, site: Arc<Site>, page: &str, request: Request) -> Self {
        let (head, body) = request.into_parts();
        let body = read_body(Request::from_parts(head.clone(), body), FORM_BYTES_MAX).await.ok();
        let asked_language = of_query(&head.uri, "lang").and_then(|tag| language::of_tag(&tag));
        let language = asked_language.or_else(|| of_browser(&head.headers)).unwrap_or_else(|| site.language());
        let body = body.map(|body| Zeroizing::new(body.to_vec()));
        let ticket = of_query(&head.uri, "ticket").filter(|_| page == credentials::PATH);
        let (progress, errand) = (None, None);
        let mut visit = Self { served, site, language, asked_language, progress, errand, ticket, head, body };
        visit.progress = Progress::of(&visit.head.headers, &visit.jar(), visit.now());
        visit.errand = match &visit.ticket {
            Some(ticket) => visit.caller().errand(ticket),
            None => visit.progress.as_ref().and_then(|progress| progress.errand.clone()),
        };
        visit
    }

    /// What a page is shown in.
    pub(super) fn frame(&self) -> Frame {
        let is_https = self.served.settings.is_secure;
        Frame {
            served: self.served.clone(),
            site: self.site.clone(),
            language: self.language,
            asked_language: self.asked_language,
            path: self.head.uri.path().to_owned(),
            form: self.caller().form(),
            return_url: self.return_url().cloned(),
            ticket: self.ticket.clone().filter(|_| self.errand.is_some()),
            is_https,
        }
    }

    /// Where the customer wants to go in the end, if a partner has said so and the project allows it.
    fn return_url(&self) -> Option<&ReturnUrl> {
        ReturnUrl::among(&self.site.return_urls, &self.errand.as_ref()?.return_url)
    }

    /// The password is set: back to where the customer came from, with a token if one was made, or to our last page.
    pub fn leave(&self, token: Option<&TokenValue>) -> Answer {
        let progress = self.progress.clone().ok_or(Trouble::Broken)?.at(Stage::Done, self.now()).alone();
        let cookie = self.cookie(&progress)?;
        Ok(match (self.return_url(), token) {
            (Some(url), Some(token)) => Reply::Leave { to: token.reveal_with(|token| url.signed_in(token)), cookie },
            (Some(url), None) => Reply::Leave { to: url.with_status("success"), cookie },
            (None, _) => Reply::Go { to: "done", cookie: Some(cookie) },
        })
    }

    /// Who calls the use cases.
    pub fn caller(&self) -> Caller<'_> {
        let ids = self.head.extensions.get::<RequestIds>();
        let correlation_id = ids.and_then(|ids| ids.for_log().parse().ok());
        let source = Source { correlation_id, ..Source::default() };
        let call = Call { source, ..Call::on(self.site.project.clone()) };
        let peer = self.head.extensions.get::<Peer>().map(|peer| peer.0);
        Caller { app: &self.served.app, site: &self.site, call, source: peer }
    }

    /// When it is.
    pub fn now(&self) -> Micros {
        self.served.app.moments.now()
    }

    fn ctx(&self) -> Ctx {
        self.served.app.moments.ctx()
    }

    fn jar(&self) -> Jar<'_> {
        let is_secure = self.served.settings.is_secure;
        Jar { ring: &self.served.app.ring, project: &self.site.project, is_secure }
    }

    /// Whether the query has this name.
    pub fn has(&self, name: &str) -> bool {
        of_query(&self.head.uri, name).is_some()
    }

    /// What the browser's forms must bring along, and a cookie if it has none yet.
    pub fn with_form(&self, page: Page) -> Result<Page, Trouble> {
        let jar = self.jar();
        if let Some(progress) = &self.progress {
            return Ok(page.with("csrf", progress.form_token(&jar).ok_or(Trouble::Broken)?));
        }
        let mut ctx = self.ctx();
        let progress = Progress::new(&mut ctx);
        let page = page.with("csrf", progress.form_token(&jar).ok_or(Trouble::Broken)?);
        Ok(page.keeping(progress.cookie(&jar, &mut ctx).ok_or(Trouble::Broken)?))
    }

    /// The cookie of a step further.
    pub fn cookie(&self, progress: &Progress) -> Result<String, Trouble> {
        progress.cookie(&self.jar(), &mut self.ctx()).ok_or(Trouble::Broken)
    }

    /// Reads a form that one of our pages has shown to this browser. Others change nothing.
    pub fn form(&self) -> Result<(Progress, Form), Trouble> {
        let body = self.body.as_ref().ok_or(Trouble::FormLost)?;
        let fields = url::form_urlencoded::parse(body).take(FIELDS_MAX);
        let form = Form(fields.map(|(name, value)| (name.into_owned(), Zeroizing::new(value.into_owned()))).collect());
        let progress = self.progress.clone().ok_or(Trouble::FormLost)?;
        if !progress.is_form_token(&self.jar(), form.field("csrf")) {
            return Err(Trouble::FormLost);
        }
        Ok((progress, form))
    }
}

/// What a form has brought. Wiped when dropped.
pub struct Form(Vec<(String, Zeroizing<String>)>);

impl Form {
    /// A field; empty if it is not there.
    pub fn field(&self, name: &str) -> &str {
        self.maybe(name).unwrap_or_default()
    }

    /// A field, if it is there.
    pub fn maybe(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }
}

fn of_query(uri: &Uri, name: &str) -> Option<String> {
    let mut pairs = url::form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes());
    pairs.find(|(own, _)| own == name).map(|(_, value)| value.into_owned())
}

fn of_browser(headers: &HeaderMap) -> Option<&'static str> {
    language::of_header(headers.get(ACCEPT_LANGUAGE)?.to_str().ok()?)
}
