//! Customers whom a partner sends: a first password or PIN, and one in place of a forgotten one.

use axum::http::header::{LOCATION, SET_COOKIE};
use axum::http::{Method, StatusCode};
use keyherald::app::Call;
use keyherald::app::hosted_credentials::{SignIn, Task, Ticketed};

use keyherald::pages::{Site, Takes};
use keyherald_core::Micros;
use keyherald_core::create::{AddressUse, Command};
use keyherald_core::credential::AuthenticationMode;
use keyherald_core::customer::{Customer, Profile};
use keyherald_core::id::ProjectKey;
use keyherald_core::mail::MailKind;
use keyherald_core::policy::{Form, Rule, Surface};
use keyherald_core::subscription::DestinationSettings;

use crate::support::TestServer;
use crate::{Browser, NEW, coded, codes, sends_codes, served, signs_in, site};

const BACK: &str = "https://shop.example/login?a=b";

fn demo() -> ProjectKey {
    "demo".parse().unwrap()
}

/// The path of the page to which a customer is sent.
async fn sent(server: &TestServer, customer: &Customer, task: Task, return_url: &str) -> String {
    let wanted = (task, return_url.to_owned());
    match server.app.issue_ticket(Call::on(demo()), customer.number.clone(), wanted).await.unwrap() {
        Ticketed::Ticket(ticket) => format!("/recover/demo/credentials?lang=en&ticket={ticket}"),
        Ticketed::HasPassword => panic!("has a password"),
    }
}

fn set_up() -> Task {
    let scopes = "wallet_customer:demo".to_owned();
    Task::SetUp(SignIn { client_id: "demo-client".into(), scopes, life_s: 900 })
}

/// A customer who has no password yet.
async fn newcomer(server: &TestServer, email: &str) -> Customer {
    let command = Command {
        email: email.to_owned(),
        key: None,
        external_id: None,
        customer_number: None,
        mobile: None,
        stores: Vec::new(),
        authentication_mode: AuthenticationMode::Password,
        is_email_verified: true,
        profile: Profile::default(),
        addresses: AddressUse::default(),
        by: <_>::default(),
    };
    server.app.create_customer(Call::on(demo()), command, None).await.unwrap()
}

async fn mails_codes(server: &TestServer) {
    let mail = DestinationSettings { kind: "Mail".into(), settings: <_>::default() };
    server.app.ensure_letters(demo(), vec![MailKind::VerificationCode], mail).await.unwrap();
}

/// The page of a PIN brand.
fn of_pins() -> Site {
    let rule = Rule { form: Form::Pin { digits: 6 }, history: 1 };
    Site { surface: Surface::Paysafe(rule), ..site() }
}

#[tokio::test]
async fn a_forgotten_password_takes_a_proof_as_well_as_the_ticket() {
    let server = served().await;
    let jo = server.customer("jo@example.com", "forgotten").await;
    mails_codes(&server).await;
    let page = sent(&server, &jo, Task::Reset, BACK).await;
    let mut browser = Browser::of(&server, true);
    // However often it is looked at.
    for method in [Method::GET, Method::HEAD, Method::GET] {
        assert_eq!(browser.ask(method, &page, &[]).await.status, StatusCode::OK);
    }
    assert!(codes(&server).await.is_empty());
    let shown = browser.get(&page).await;
    assert!(shown.html.contains("we send a code to j***@example.com"), "{}", shown.html);
    assert!(!shown.html.contains("name=\"password\""));
    assert!(shown.html.contains("href=\"https://shop.example/login?a=b&amp;status=fail\""), "{}", shown.html);
    let policy = shown.header("content-security-policy");
    assert!(policy.contains("form-action 'self' https://shop.example;"), "{policy}");
    // Another language keeps the ticket.
    let ticket = page.split_once("ticket=").unwrap().1;
    assert!(shown.html.contains(&format!("credentials?lang=de&amp;ticket={ticket}")), "{}", shown.html);
    // The form alone sends the code, and asks for no password.
    let csrf = shown.csrf();
    let form = [("csrf", csrf.as_str()), ("password", NEW)];
    let asked = browser.post(&page, &form).await;
    assert_eq!((asked.status, asked.header(LOCATION)), (StatusCode::SEE_OTHER, "/auth/recover/demo/code?lang=en"));
    assert!(signs_in(&server, "jo@example.com", "forgotten").await);
    let (code, _) = codes(&server).await.pop().unwrap();
    let shown = browser.get("/recover/demo/code?lang=en").await;
    assert!(!shown.html.contains("Use another address"), "the customer was sent, and is this one");
    let proved = browser.post("/recover/demo/code?lang=en", &[("csrf", &csrf), ("code", &code)]).await;
    assert_eq!(proved.header(LOCATION), "/auth/recover/demo/password?lang=en");
    let form = [("csrf", csrf.as_str()), ("password", NEW)];
    let done = browser.post("/recover/demo/password?lang=en", &form).await;
    assert_eq!(
        (done.status, done.header(LOCATION)),
        (StatusCode::SEE_OTHER, "https://shop.example/login?a=b&status=success")
    );
    assert!(signs_in(&server, "jo@example.com", NEW).await);
    // Once.
    for method in [Method::GET, Method::POST] {
        let again = browser.ask(method, &page, &[("csrf", &csrf)]).await;
        assert_eq!(again.status, StatusCode::GONE);
        assert!(again.html.contains("status=fail"), "{}", again.html);
    }
}

/// Where a number alone proves it, the code goes there, whatever address the customer has.
#[tokio::test]
async fn who_has_to_prove_a_number_is_sent_the_code_there() {
    let server = served().await;
    let jo = server.customer_with("demo", "jo@example.com", "forgotten", Some("+359897765463")).await;
    let numberless = server.customer("eve@example.com", "forgotten").await;
    mails_codes(&server).await;
    sends_codes(&server).await;
    let mut browser = Browser::taking(&server, Takes::Numbers);
    let page = sent(&server, &jo, Task::Reset, BACK).await;
    let shown = browser.get(&page).await;
    assert!(shown.html.contains("we send a code to ***63"), "{}", shown.html);
    let csrf = shown.csrf();
    assert_eq!(browser.post(&page, &[("csrf", &csrf)]).await.status, StatusCode::SEE_OTHER);
    let told = coded(&server).await.pop().unwrap();
    let code = told.secret.unwrap().reveal_with(str::to_owned);
    assert_eq!(
        browser.post("/recover/demo/code", &[("csrf", &csrf), ("code", &code)]).await.status,
        StatusCode::SEE_OTHER
    );
    let done = browser.post("/recover/demo/password", &[("csrf", &csrf), ("password", NEW)]).await;
    assert_eq!(done.header(LOCATION), "https://shop.example/login?a=b&status=success");
    assert!(signs_in(&server, "jo@example.com", NEW).await);
    // Of whom there is no number, nothing can be proved.
    let page = sent(&server, &numberless, Task::Reset, BACK).await;
    assert_eq!(browser.get(&page).await.status, StatusCode::GONE);
    // A first password proves nothing: there the customer's own address is what password managers keep.
    let page = sent(&server, &newcomer(&server, "new@example.com").await, set_up(), BACK).await;
    assert!(browser.get(&page).await.html.contains("readonly value=\"new@example.com\""));
}

/// Each ticket has a rate, and so has each source, whatever is tried with it.
#[tokio::test]
async fn who_tries_first_passwords_too_often_is_told_when_to_come_back() {
    let server = served().await;
    let page = sent(&server, &newcomer(&server, "jo@example.com").await, set_up(), BACK).await;
    let mut browser = Browser::of(&server, false);
    let csrf = browser.get(&page).await.csrf();
    for _ in 0..10 {
        let shown = browser.post(&page, &[("csrf", &csrf), ("password", "too short")]).await;
        assert_eq!(shown.status, StatusCode::UNPROCESSABLE_ENTITY);
    }
    let shown = browser.post(&page, &[("csrf", &csrf), ("password", NEW)]).await;
    assert_eq!((shown.status, shown.header("retry-after")), (StatusCode::TOO_MANY_REQUESTS, "60"));
    assert!(!signs_in(&server, "jo@example.com", NEW).await);
    server.clock.advance(Micros::MINUTE);
    assert_eq!(browser.post(&page, &[("csrf", &csrf), ("password", NEW)]).await.status, StatusCode::SEE_OTHER);
    assert!(signs_in(&server, "jo@example.com", NEW).await);
}

#[tokio::test]
async fn a_first_password_is_set_once_and_signs_the_customer_in() {
    let server = served().await;
    let ada = newcomer(&server, "ada@example.com").await;
    let (page, second) = (sent(&server, &ada, set_up(), BACK).await, sent(&server, &ada, set_up(), BACK).await);
    let mut browser = Browser::of(&server, false);
    let shown = browser.get(&page).await;
    assert!(
        shown.html.contains("<h1>Choose a password</h1>") && shown.html.contains("Save password"),
        "{}",
        shown.html
    );
    assert!(shown.html.contains("autocomplete=\"username\" readonly value=\"ada@example.com\""));
    let csrf = shown.csrf();
    for (password, says) in [("", "Enter a new password."), ("short", "at least 15 characters")] {
        let wrong = browser.post(&page, &[("csrf", &csrf), ("password", password)]).await;
        assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY);
        assert!(wrong.html.contains(says) && wrong.html.contains("Save password"), "{}", wrong.html);
    }
    let foreign = browser.post(&page, &[("csrf", "AAAA"), ("password", NEW)]).await;
    assert_eq!(foreign.status, StatusCode::FORBIDDEN);
    assert!(!signs_in(&server, "ada@example.com", NEW).await);
    let done = browser.post(&page, &[("csrf", &csrf), ("password", NEW)]).await;
    let (url, token) = done.header(LOCATION).split_once("&token=").unwrap();
    assert_eq!((done.status, url), (StatusCode::SEE_OTHER, "https://shop.example/login?a=b&status=success"));
    assert!(signs_in(&server, "ada@example.com", NEW).await);
    let session = server.app.authenticate(token).await.unwrap().unwrap();
    assert_eq!((session.customer, session.client_id.as_str()), (Some(ada.id), "demo-client"));
    assert_eq!(session.expires_at, server.app.moments.now().plus(900 * Micros::SECOND));
    // Neither this ticket nor any other takes its place.
    for page in [page, second] {
        let again = browser.post(&page, &[("csrf", &csrf), ("password", "another long password")]).await;
        assert_eq!(again.status, StatusCode::GONE);
    }
    assert!(signs_in(&server, "ada@example.com", NEW).await);
}

#[tokio::test]
async fn of_two_at_once_one_sets_the_first_password() {
    let server = served().await;
    let ada = newcomer(&server, "ada@example.com").await;
    let page = sent(&server, &ada, set_up(), BACK).await;
    let (mut one, mut other) = (Browser::of(&server, false), Browser::of(&server, false));
    let (csrf, others) = (one.get(&page).await.csrf(), other.get(&page).await.csrf());
    let forms = ([("csrf", csrf.as_str()), ("password", NEW)], [("csrf", others.as_str()), ("password", NEW)]);
    let (first, second) = tokio::join!(one.post(&page, &forms.0), other.post(&page, &forms.1));
    let mut statuses = [first.status.as_u16(), second.status.as_u16()];
    statuses.sort_unstable();
    assert_eq!(statuses, [303, 410]);
}

#[tokio::test]
async fn a_ticket_lives_ten_minutes_and_is_read_by_nobody_else() {
    let server = served().await;
    let jo = server.customer("jo@example.com", "forgotten").await;
    let page = sent(&server, &jo, Task::Reset, BACK).await;
    let mut browser = Browser::of(&server, false);
    let csrf = browser.get(&page).await.csrf();
    for wrong in [page.replace("ticket=", "ticket=A"), "/recover/demo/credentials".to_owned(), page.clone() + "x"] {
        let shown = browser.get(&wrong).await;
        assert_eq!(shown.status, StatusCode::GONE, "{wrong}");
        assert!(!shown.html.contains("shop.example/login?a=b&amp;status"), "{}", shown.html);
    }
    let plain = base64::Engine::decode(
        &base64::engine::general_purpose::URL_SAFE_NO_PAD,
        page.split_once("ticket=").unwrap().1,
    );
    assert!(!String::from_utf8_lossy(&plain.unwrap()).contains("shop.example"));
    server.clock.advance(10 * Micros::MINUTE);
    for method in [Method::GET, Method::POST] {
        assert_eq!(browser.ask(method, &page, &[("csrf", &csrf)]).await.status, StatusCode::GONE);
    }
}

/// Whatever a ticket says, customers are sent to configured addresses alone: also to one that was configured when it was made.
#[tokio::test]
async fn nobody_is_sent_to_an_address_that_is_not_configured() {
    let server = served().await;
    let ada = newcomer(&server, "ada@example.com").await;
    let page = sent(&server, &ada, set_up(), "https://evil.example/").await;
    let mut browser = Browser::of(&server, false);
    let shown = browser.get(&page).await;
    assert!(!shown.html.contains("evil.example") && !shown.header("content-security-policy").contains("evil"));
    let csrf = shown.csrf();
    let done = browser.post(&page, &[("csrf", &csrf), ("password", NEW)]).await;
    assert_eq!(done.header(LOCATION), "/auth/recover/demo/done?lang=en");
}

/// Who starts anew with another address is not the customer any more whom the partner has sent.
#[tokio::test]
async fn who_does_something_else_is_not_sent_back_as_if_it_was_done() {
    let server = served().await;
    mails_codes(&server).await;
    let jo = server.customer("jo@example.com", "forgotten").await;
    server.customer("eve@example.com", "forgotten").await;
    let page = sent(&server, &jo, Task::Reset, BACK).await;
    let mut browser = Browser::of(&server, false);
    let csrf = browser.get(&page).await.csrf();
    browser.post(&page, &[("csrf", &csrf)]).await;
    assert!(browser.get("/recover/demo/code").await.html.contains("status=fail"));
    browser.post("/recover/demo", &[("csrf", &csrf), ("address", "eve@example.com")]).await;
    let (code, _) = codes(&server).await.pop().unwrap();
    browser.post("/recover/demo/code", &[("csrf", &csrf), ("code", &code)]).await;
    let done = browser.post("/recover/demo/password", &[("csrf", &csrf), ("password", NEW)]).await;
    assert_eq!(done.header(LOCATION), "/auth/recover/demo/done");
    assert!(signs_in(&server, "eve@example.com", NEW).await && signs_in(&server, "jo@example.com", "forgotten").await);
}

#[tokio::test]
async fn where_a_pin_is_chosen_it_is_called_one() {
    let server = served().await;
    let ada = newcomer(&server, "ada@example.com").await;
    let page = sent(&server, &ada, set_up(), BACK).await;
    let mut browser = Browser::on(&server, of_pins(), false);
    let shown = browser.get(&page).await;
    assert!(shown.html.contains("<h1>Choose a PIN</h1>") && shown.html.contains("exactly 6 digits"), "{}", shown.html);
    assert!(!shown.html.contains("password</") && shown.html.contains("inputmode=\"numeric\""), "{}", shown.html);
    let wrong = browser.post(&page, &[("csrf", &shown.csrf()), ("password", "123456")]).await;
    assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY);
    let done = browser.post(&page, &[("csrf", &shown.csrf()), ("password", "480571")]).await;
    assert_eq!(done.status, StatusCode::SEE_OTHER);
    assert!(signs_in(&server, "ada@example.com", "480571").await);
    assert!(browser.get("/recover/demo?lang=de").await.html.contains("PIN vergessen?"));
    assert!(shown.header(SET_COOKIE).contains("HttpOnly"));
}
