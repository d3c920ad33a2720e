//! Recovery pages as HTTP: what each answer carries, that a GET uses nothing up, that no form is taken which was not shown.
//! How they look and are used is the browser's walk (`browser-tests`).
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test's own steps have no other way to fail")]

mod credentials;
#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "other targets use what this one does not")]
mod support;

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, COOKIE, LOCATION, SET_COOKIE};
use axum::http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::BodyExt;
use keyherald::app::verify_identifier::{CodePage, Verifying};
use keyherald::app::{Call, Passwords};
use keyherald::config::Recovery;
use keyherald::pages::{self, Settings, Site, Sites, Takes};
use keyherald::words::Reasons;
use keyherald_core::Micros;
use keyherald_core::id::ProjectKey;
use keyherald_core::limit::Rate;
use keyherald_core::mail::MailKind;
use keyherald_core::message::{Content, Message};
use keyherald_core::policy::{Broken, Surface};
use keyherald_core::secret::Password;
use keyherald_core::sms::SmsKind;
use keyherald_core::subscription::DestinationSettings;
use keyherald_core::token;
use keyherald_store::{Tx, log};
use support::TestServer;
use tower::ServiceExt;

const NEW: &str = "lantern otter velvet crane";

/// The pages of a server, and what a browser remembers of them.
struct Browser {
    router: Router,
    cookie: Option<String>,
}

struct Shown {
    status: StatusCode,
    headers: HeaderMap,
    html: String,
}

impl Shown {
    /// What stands behind `name="csrf" value="`.
    fn csrf(&self) -> String {
        let (_, rest) = self.html.split_once("name=\"csrf\" value=\"").unwrap();
        rest.split('"').next().unwrap().to_owned()
    }

    fn header(&self, name: impl axum::http::header::AsHeaderName) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

impl Browser {
    fn of(server: &TestServer, is_secure: bool) -> Self {
        Self::on(server, site(), is_secure)
    }

    fn taking(server: &TestServer, takes: Takes) -> Self {
        Self::on(server, Site { takes, ..site() }, false)
    }

    fn on(server: &TestServer, site: Site, is_secure: bool) -> Self {
        let settings = Settings { prefix: "recover".to_owned(), folder: "/auth".to_owned(), is_secure };
        let router = pages::router(server.app.clone(), settings, Sites::new([site])).unwrap();
        Self { router, cookie: None }
    }

    async fn ask(&mut self, method: Method, path: &str, form: &[(&str, &str)]) -> Shown {
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        let mut request = Request::builder().method(method).uri(path);
        request = request.header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        if let Some(cookie) = &self.cookie {
            request = request.header(COOKIE, cookie);
        }
        let response = self.router.clone().oneshot(request.body(Body::from(body)).unwrap()).await.unwrap();
        let (head, body) = response.into_parts();
        if let Some(kept) = head.headers.get(SET_COOKIE) {
            self.cookie = kept.to_str().unwrap().split(';').next().map(str::to_owned);
        }
        let html = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
        // A slash is escaped where a value is put in.
        Shown { status: head.status, headers: head.headers, html: html.replace("&#x2f;", "/") }
    }

    async fn get(&mut self, path: &str) -> Shown {
        self.ask(Method::GET, path, &[]).await
    }

    async fn post(&mut self, path: &str, form: &[(&str, &str)]) -> Shown {
        self.ask(Method::POST, path, form).await
    }
}

fn site() -> Site {
    Site {
        takes: Takes::Addresses,
        project: "demo".parse().unwrap(),
        name: "Tea & <Biscuits>".to_owned(),
        contact: Some("help@shop.example".to_owned()),
        language: Some("de".to_owned()),
        colour: Recovery::default().colour,
        logo: None,
        logo_dark: None,
        verifying: verifying(),
        surface: Surface::Own,
        return_urls: vec!["https://shop.example/login?a=b".parse().unwrap()],
    }
}

/// With the sentences of all languages.
async fn served() -> TestServer {
    let mut server = TestServer::sqlite().await;
    let reasons = Reasons::built_in().unwrap();
    server.app.passwords = Arc::new(Passwords { reasons, ..Passwords::default() });
    server
}

async fn token_of(server: &TestServer, email: &str) -> String {
    let command = token::Command { ttl_minutes: 20, invalidate_older_tokens: false, by: <_>::default() };
    let call = Call::on("demo".parse().unwrap());
    let made = server.app.create_password_token(call, email.to_owned(), command).await.unwrap();
    made.value.reveal_with(str::to_owned)
}

async fn signs_in(server: &TestServer, email: &str, password: &str) -> bool {
    let password = Password::new(password.to_owned()).unwrap();
    server.app.sign_in(Call::on("demo".parse().unwrap()), email.to_owned(), password).await.is_ok()
}

#[tokio::test]
async fn every_answer_keeps_itself_to_itself() {
    let server = TestServer::sqlite().await;
    let mut browser = Browser::of(&server, true);
    for (path, status) in [
        ("/recover/demo", 200),
        ("/recover/demo/code", 200),
        ("/recover/demo/code?here=1", 200),
        ("/recover/demo/token?here=1", 200),
        ("/recover/demo/password", 303),
        ("/recover/demo/done", 303),
        ("/recover/demo/nothing", 404),
        ("/recover/demo/again", 405),
        ("/recover/nobody", 404),
    ] {
        browser.cookie = None;
        let shown = browser.get(path).await;
        assert_eq!(shown.status, status, "{path}");
        assert_eq!(shown.header("cache-control"), "no-store", "{path}");
        assert_eq!(shown.header("referrer-policy"), "no-referrer", "{path}");
        assert_eq!(shown.header("x-frame-options"), "DENY", "{path}");
        let policy = shown.header("content-security-policy");
        assert!(policy.starts_with("default-src 'none'; ") && !policy.contains("unsafe"), "{path}: {policy}");
        // Nothing in line, nothing from elsewhere.
        assert!(!shown.html.contains("style=") && !shown.html.contains("onclick"), "{path}");
        for place in shown.html.split(" src=\"").skip(1).chain(shown.html.split("stylesheet\" href=\"").skip(1)) {
            assert!(place.starts_with("/auth/recover/"), "{path}: {place:.60}");
        }
    }
}

#[tokio::test]
async fn under_https_the_cookie_is_the_hosts_own() {
    let server = TestServer::sqlite().await;
    let shown = Browser::of(&server, true).get("/recover/demo").await;
    let cookie = shown.header(SET_COOKIE);
    assert!(cookie.starts_with("__Host-recovery-demo="), "{cookie}");
    assert!(cookie.ends_with("; Path=/; Max-Age=1800; HttpOnly; SameSite=Strict; Secure"), "{cookie}");
    assert!(shown.header("strict-transport-security").starts_with("max-age="));
    let shown = Browser::of(&server, false).get("/recover/demo").await;
    assert!(!shown.header(SET_COOKIE).contains("Secure"));
}

#[tokio::test]
async fn who_comes_from_elsewhere_keeps_the_cookie_that_was_not_sent() {
    let server = TestServer::sqlite().await;
    let mut browser = Browser::of(&server, false);
    for path in ["/recover/demo/code", "/recover/demo/token"] {
        let shown = browser.get(path).await;
        assert_eq!(shown.header(SET_COOKIE), "");
        assert!(shown.html.contains(&format!("0; url=/auth{path}?here=1")), "{}", shown.html);
    }
}

#[tokio::test]
async fn a_name_is_text_and_not_markup() {
    let server = TestServer::sqlite().await;
    let shown = Browser::of(&server, false).get("/recover/demo").await;
    assert!(shown.html.contains("Tea &amp; &lt;Biscuits&gt;"));
    assert!(!shown.html.contains("<Biscuits>"));
}

#[tokio::test]
async fn the_language_is_chosen_or_asked_for_or_the_projects() {
    let server = TestServer::sqlite().await;
    let mut browser = Browser::of(&server, false);
    assert!(browser.get("/recover/demo").await.html.contains("<html lang=\"de\">"));
    let french = browser.get("/recover/demo?lang=fr").await;
    assert!(french.html.contains("<html lang=\"fr\">"));
    assert!(french.html.contains("action=\"/auth/recover/demo?lang=fr\""));
    assert!(browser.get("/recover/demo?lang=tlh").await.html.contains("<html lang=\"de\">"));
}

#[tokio::test]
async fn a_form_that_was_not_shown_to_this_browser_is_not_taken() {
    let server = TestServer::sqlite().await;
    server.customer("ada@example.com", "forgotten").await;
    let token = token_of(&server, "ada@example.com").await;
    let (mut own, mut others) = (Browser::of(&server, false), Browser::of(&server, false));
    own.get("/recover/demo/token?here=1").await;
    let foreign = others.get("/recover/demo/token?here=1").await.csrf();
    for csrf in ["", "AAAA", &foreign] {
        let shown = own.post("/recover/demo/token", &[("csrf", csrf), ("token", &token), ("password", NEW)]).await;
        assert_eq!(shown.status, StatusCode::FORBIDDEN);
    }
    assert!(signs_in(&server, "ada@example.com", "forgotten").await);
}

#[tokio::test]
async fn a_token_is_used_by_the_form_alone_and_once() {
    let server = served().await;
    server.customer("ada@example.com", "forgotten").await;
    let token = token_of(&server, "ada@example.com").await;
    let mut browser = Browser::of(&server, false);
    let mut csrf = String::new();
    for _ in 0..3 {
        csrf = browser.get("/recover/demo/token?here=1").await.csrf();
    }
    let path = "/recover/demo/token?lang=en";
    // What can be mended uses nothing up.
    for (password, confirm, says) in [
        ("", None, "Enter a new password."),
        ("too short", None, "at least 15 characters"),
        ("ada@example.com", None, "made of your name, address or number"),
        (NEW, Some("another"), "The two entries differ"),
    ] {
        let mut form = vec![("csrf", csrf.as_str()), ("token", &token), ("password", password)];
        form.extend(confirm.map(|confirm| ("confirm", confirm)));
        let shown = browser.post(path, &form).await;
        assert_eq!(shown.status, StatusCode::UNPROCESSABLE_ENTITY, "{says}");
        assert!(shown.html.contains(says), "{says}");
        assert!(password.is_empty() || !shown.html.contains(&format!("value=\"{password}")));
    }
    // Each rule that is broken is named, in the page's language, above the form and at the field.
    let form = [("csrf", csrf.as_str()), ("token", &token), ("password", "password")];
    let shown = browser.post("/recover/demo/token?lang=de", &form).await;
    for broken in [Broken::TooShort { min: 15 }, Broken::Common] {
        let says = server.app.reason(broken, Some("de"));
        assert_eq!(shown.html.matches(&says).count(), 2, "{says}: {}", shown.html);
    }
    // The whole link may be pasted.
    let link = format!("https://keyherald.example/recover/demo/token#token={token}");
    let done = browser.post(path, &[("csrf", &csrf), ("token", &link), ("password", NEW)]).await;
    assert_eq!((done.status, done.header(LOCATION)), (StatusCode::SEE_OTHER, "/auth/recover/demo/done?lang=en"));
    assert!(signs_in(&server, "ada@example.com", NEW).await);
    let shown = browser.get("/recover/demo/done?lang=en").await;
    assert!(shown.html.contains("href=\"https://shop.example/login?a=b\""), "{}", shown.html);
    let again = browser.post(path, &[("csrf", &csrf), ("token", &token), ("password", "another long password")]).await;
    assert_eq!(again.status, StatusCode::GONE);
    assert!(signs_in(&server, "ada@example.com", NEW).await);
}

/// The messages with codes, in order.
async fn coded(server: &TestServer) -> Vec<Message> {
    let (ring, now) = (server.app.ring.clone(), server.app.moments.now());
    let look = move |tx: &mut dyn Tx| log::after(tx, &ring, (0, i64::MAX), 1000, now);
    let entries = server.store().read(look).await.unwrap();
    let messages = entries.iter().filter_map(|entry| entry.message());
    messages.filter(|it| matches!(it.facts.content, Content::VerificationCodeCreated { .. })).cloned().collect()
}

/// The codes that are to be mailed, in order, and where their links lead.
async fn codes(server: &TestServer) -> Vec<(String, String)> {
    let code = |message: &Message| {
        let code = message.secret.as_ref()?.reveal_with(str::to_owned);
        let link = message.personal.as_ref()?.page.as_ref()?.with_token(&code);
        Some((code, link))
    };
    coded(server).await.iter().filter_map(code).collect()
}

#[tokio::test]
async fn a_code_is_tried_by_the_form_alone_and_its_proof_used_once() {
    let server = served().await;
    server.customer("ada@example.com", "forgotten").await;
    let mail = DestinationSettings { kind: "Mail".into(), settings: <_>::default() };
    let project: ProjectKey = "demo".parse().unwrap();
    server.app.ensure_letters(project, vec![MailKind::VerificationCode], mail).await.unwrap();
    let mut browser = Browser::of(&server, false);
    let csrf = browser.get("/recover/demo").await.csrf();
    let asked = browser.post("/recover/demo", &[("csrf", &csrf), ("address", "Ada@Example.com ")]).await;
    assert_eq!((asked.status, asked.header(LOCATION)), (StatusCode::SEE_OTHER, "/auth/recover/demo/code"));
    let (code, link) = codes(&server).await.pop().unwrap();
    let (page, fragment) = link.split_once('#').unwrap();
    assert_eq!(page, "https://kh.example/auth/recover/demo/code");
    let fields: Vec<(String, String)> = url::form_urlencoded::parse(fragment.as_bytes()).into_owned().collect();
    let [(_, linked), (name, process)] = fields.as_slice() else { panic!("{fragment}") };
    assert_eq!((linked, name.as_str()), (&code, "process"));
    // Looked at more often than it can be tried, in whichever way.
    for path in ["/recover/demo/code", "/recover/demo/code?here=1", "/recover/demo/code?code=000000&process=1"] {
        for method in [Method::GET, Method::HEAD, Method::GET] {
            assert_eq!(browser.ask(method, path, &[]).await.status, StatusCode::OK, "{path}");
        }
    }
    // On another device the address is asked for, and it must be the right one.
    let mut other = Browser::of(&server, false);
    let csrf = other.get("/recover/demo/code?here=1").await.csrf();
    let mut form = [("csrf", csrf.as_str()), ("process", process), ("code", &code), ("address", "eve@example.com")];
    assert_eq!(other.post("/recover/demo/code", &form).await.status, StatusCode::GONE);
    form[3].1 = "ada@example.com";
    let proved = other.post("/recover/demo/code", &form).await;
    assert_eq!((proved.status, proved.header(LOCATION)), (StatusCode::SEE_OTHER, "/auth/recover/demo/password"));
    // What can be mended uses nothing up, and what was used is over.
    for (password, status) in [("short", 422), (NEW, 303)] {
        let shown = other.post("/recover/demo/password", &[("csrf", &csrf), ("password", password)]).await;
        assert_eq!(shown.status, status, "{password}");
    }
    assert!(signs_in(&server, "ada@example.com", NEW).await);
    let csrf = browser.get("/recover/demo/code").await.csrf();
    let again = browser.post("/recover/demo/code", &[("csrf", &csrf), ("code", &code)]).await;
    assert_eq!(again.status, StatusCode::GONE);
}

async fn sends_codes(server: &TestServer) {
    let sms = DestinationSettings { kind: "Sms".into(), settings: <_>::default() };
    let kinds = vec![SmsKind::VerificationCode];
    server.app.ensure_short_messages("demo".parse().unwrap(), kinds, sms).await.unwrap();
}

#[tokio::test]
async fn a_number_is_as_good_as_an_address_where_there_is_sms() {
    let server = served().await;
    server.customer_with("demo", "ada@example.com", "forgotten", Some("+359897765463")).await;
    sends_codes(&server).await;
    let typed = "+359 89 776 5463";
    let mut without = Browser::of(&server, false);
    let csrf = without.get("/recover/demo?lang=en").await.csrf();
    let shown = without.post("/recover/demo?lang=en", &[("csrf", &csrf), ("address", typed)]).await;
    assert_eq!(shown.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(!shown.html.contains("mobile number") && shown.html.contains("inputmode=\"email\""), "{}", shown.html);
    let mut browser = Browser::taking(&server, Takes::Either);
    let shown = browser.get("/recover/demo?lang=en").await;
    assert!(shown.html.contains("<label for=\"address\">E-mail address or mobile number</label>"), "{}", shown.html);
    let csrf = shown.csrf();
    let shown = browser.post("/recover/demo?lang=en", &[("csrf", &csrf), ("address", "0897765463")]).await;
    assert_eq!(shown.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(shown.html.contains("or a mobile number in the form +44"), "{}", shown.html);
    let asked = browser.post("/recover/demo?lang=en", &[("csrf", &csrf), ("address", typed)]).await;
    assert_eq!(asked.status, StatusCode::SEE_OTHER);
    let shown = browser.get("/recover/demo/code?lang=en").await;
    assert!(shown.html.contains("If ***63 belongs") && shown.html.contains("Check the number"), "{}", shown.html);
    let message = coded(&server).await.pop().unwrap();
    assert!(message.personal.unwrap().page.is_none(), "no link goes by SMS");
    let code = message.secret.unwrap().reveal_with(str::to_owned);
    let csrf = shown.csrf();
    let proved = browser.post("/recover/demo/code", &[("csrf", &csrf), ("code", &code)]).await;
    assert_eq!(proved.status, StatusCode::SEE_OTHER);
    assert!(browser.get("/recover/demo/password").await.html.contains("readonly value=\"+359897765463\""));
    let done = browser.post("/recover/demo/password", &[("csrf", &csrf), ("password", NEW)]).await;
    assert_eq!(done.status, StatusCode::SEE_OTHER);
    assert!(signs_in(&server, "ada@example.com", NEW).await);
}

/// No page speaks of addresses, and none is taken.
#[tokio::test]
async fn where_a_number_alone_proves_it_nothing_else_is_asked_for() {
    let server = served().await;
    server.customer_with("demo", "ada@example.com", "forgotten", Some("+359897765463")).await;
    sends_codes(&server).await;
    let mut browser = Browser::taking(&server, Takes::Numbers);
    let shown = browser.get("/recover/demo?lang=en").await;
    for said in [
        "<label for=\"address\">Mobile number</label>",
        "inputmode=\"tel\" autocomplete=\"tel\"",
        "Enter the mobile number of",
    ] {
        assert!(shown.html.contains(said), "{said}: {}", shown.html);
    }
    let csrf = shown.csrf();
    for (typed, said) in
        [("", "Enter your mobile number."), ("ada@example.com", "Enter a mobile number in the form +44")]
    {
        let shown = browser.post("/recover/demo?lang=en", &[("csrf", &csrf), ("address", typed)]).await;
        assert_eq!(shown.status, StatusCode::UNPROCESSABLE_ENTITY, "{typed}");
        assert!(shown.html.contains(said) && !shown.html.contains("mail address"), "{}", shown.html);
    }
    assert!(coded(&server).await.is_empty());
    let asked = browser.post("/recover/demo?lang=en", &[("csrf", &csrf), ("address", "+359 897 765463")]).await;
    assert_eq!(asked.status, StatusCode::SEE_OTHER);
    let shown = browser.get("/recover/demo/code?lang=en").await;
    assert!(shown.html.contains("Use another number") && !shown.html.contains("spam"), "{}", shown.html);
    let code = coded(&server).await.pop().unwrap().secret.unwrap().reveal_with(str::to_owned);
    let csrf = shown.csrf();
    assert_eq!(
        browser.post("/recover/demo/code", &[("csrf", &csrf), ("code", &code)]).await.status,
        StatusCode::SEE_OTHER
    );
    let shown = browser.get("/recover/demo/password?lang=en").await;
    assert!(shown.html.contains("<label for=\"username\">Mobile number</label>"), "{}", shown.html);
    assert!(shown.html.contains("Not your number or"), "{}", shown.html);
    let done = browser.post("/recover/demo/password", &[("csrf", &csrf), ("password", NEW)]).await;
    assert_eq!(done.status, StatusCode::SEE_OTHER);
    assert!(signs_in(&server, "ada@example.com", NEW).await);
}

#[tokio::test]
async fn who_asks_too_often_is_told_when_to_come_back() {
    let server = served().await;
    let mut browser = Browser::of(&server, false);
    let csrf = browser.get("/recover/demo").await.csrf();
    browser.post("/recover/demo", &[("csrf", &csrf), ("address", "nobody@example.com")]).await;
    for _ in 0..4 {
        let again = browser.post("/recover/demo/again?lang=fr", &[("csrf", &csrf)]).await;
        assert_eq!(again.header(LOCATION), "/auth/recover/demo/code?again=1&lang=fr");
    }
    let shown = browser.post("/recover/demo/again?lang=en", &[("csrf", &csrf)]).await;
    assert_eq!((shown.status, shown.header("retry-after")), (StatusCode::TOO_MANY_REQUESTS, "1800"));
    assert!(shown.html.contains("Try again in 30 min."), "{}", shown.html);
}

/// The page where anybody may try a token, whoever's it is: each token has a rate, and so has each source.
#[tokio::test]
async fn who_tries_tokens_too_often_is_told_when_to_come_back() {
    let server = served().await;
    server.customer("ada@example.com", "forgotten").await;
    let token = token_of(&server, "ada@example.com").await;
    let mut browser = Browser::of(&server, false);
    let csrf = browser.get("/recover/demo/token?here=1").await.csrf();
    let mut answers = async |token: &str, password: &str| {
        browser.post("/recover/demo/token?lang=en", &[("csrf", &csrf), ("token", token), ("password", password)]).await
    };
    for _ in 0..10 {
        assert_eq!(answers(&token, "too short").await.status, StatusCode::UNPROCESSABLE_ENTITY);
    }
    let shown = answers(&token, NEW).await;
    assert_eq!((shown.status, shown.header("retry-after")), (StatusCode::TOO_MANY_REQUESTS, "60"));
    // Other tokens of this source, until that is too much as well.
    for number in 0..19 {
        assert_eq!(answers(&format!("no-token-{number}"), NEW).await.status, StatusCode::GONE);
    }
    let shown = answers("no-token", NEW).await;
    assert_eq!((shown.status, shown.header("retry-after")), (StatusCode::TOO_MANY_REQUESTS, "20"));
    // Nothing was used up.
    server.clock.advance(Micros::MINUTE);
    assert_eq!(answers(&token, NEW).await.status, StatusCode::SEE_OTHER);
    assert!(signs_in(&server, "ada@example.com", NEW).await);
}

fn verifying() -> Verifying {
    let rate = Rate { count: 100, per: Micros::MINUTE };
    let page = CodePage::new("https://kh.example/auth/recover/demo/code".to_owned());
    Verifying { begun_by_source: rate, tried_by_source: rate, begun: rate, page: Some(page), ..Verifying::default() }
}
