//! Described providers: the conformance suite over one of them, and what only descriptions have.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use keyherald::connector::{self, By, Connector, Kind, Limits, NewUser, Settings, UserChanges};
use keyherald_core::Micros;
use keyherald_core::provider::{Probe, ProviderError, ProviderUser, SessionEnding, TrialAnswer};
use serde_json::{Value, json};
use url::Url;

use crate::conformance::{Case, NOW, ctx, loopback, password};
use crate::double::{Double, Fault, Got, Said, Vendor};
use crate::examples;
use crate::people::People;
use crate::{auth0, keycloak};

const SECRET: &str = "our-s3cret";

fn auth0_kind(url: &Url) -> Kind {
    examples::kind(&examples::text("auth0"), auth0::vendor::SECRET, url)
}

/// Auth0 by its example file, against the double of the native connector.
pub(crate) fn auth0() -> Case {
    Case {
        name: "auth0, described",
        kind: auth0_kind,
        weak_text: Some("PasswordStrengthError: Password is too weak"),
        ..auth0::case()
    }
}

fn keycloak_kind(url: &Url) -> Kind {
    // The double has no users made or changed.
    let text = ["create_user", "update_user"].iter().fold(examples::text("keycloak"), |text, op| {
        let (before, rest) = text.split_once(&format!("[providers.keycloak.ops.{op}]")).unwrap();
        format!("{before}{}", &rest[rest.find("\n[").unwrap()..])
    });
    examples::kind(&text, keycloak::vendor::SECRET, url)
}

/// Keycloak by its example file: the probe takes a look-up that requires another.
pub(crate) fn keycloak() -> Case {
    Case { name: "keycloak, described", kind: keycloak_kind, ..keycloak::case() }
}

/// Answers as it is told.
struct Told(fn(&Got) -> Said);

impl Vendor for Told {
    fn is_about_access(&self, got: &Got) -> bool {
        got.path().ends_with("/token")
    }

    fn answer(&self, got: &Got, _: &mut People) -> Said {
        (self.0)(got)
    }
}

fn ok(_: &Got) -> Said {
    Said::json(200, &json!({"id": "u1"})).header("etag", "\"v1\"")
}

/// A provider `x` with these tables; `@` stands for its URL.
async fn described(tables: &str, answer: fn(&Got) -> Said) -> (Double, Arc<dyn Connector>) {
    let double = Double::start(Told(answer), People::of_one("u1")).await;
    let connector = connect(tables, &double);
    (double, connector)
}

fn connect(tables: &str, double: &Double) -> Arc<dyn Connector> {
    const LOOK_UP: &str = "[providers.x.ops.lookup_by_id]\nmethod = \"GET\"\npath = \"/users/{{ user.id }}\"\n\
        extract = { id = \"/id\", etag = \"header:ETag\", traits = \"/traits\", email = \"/email\" }\n";
    let look_up = if tables.contains("ops.lookup_by_id]") { "" } else { LOOK_UP };
    let access = if tables.contains("x.auth]") { "" } else { "[providers.x.auth]\nkind = \"none\"\n" };
    let text = format!("[providers.x]\nkind = \"http\"\nbase_url = \"https://@/v1\"\n{look_up}{access}{tables}");
    let kind = examples::kind(&text.replace('@', "idp.example.com"), SECRET, &double.url);
    connector::open(Settings { kind, net: loopback(), limits: Limits::default() }).unwrap()
}

fn user() -> ProviderUser {
    "u 1".parse().unwrap()
}

async fn set(connector: &Arc<dyn Connector>, text: &str) -> Result<(), ProviderError> {
    connector.set_password(&user(), &password(text), ctx()).await
}

const JSON: &str = "[providers.x.ops.set_password]\nmethod = \"PUT\"\npath = \"/users/{{ user.id }}/password\"\n\
    body = { type = \"json\", template = { password = \"{{ secret.new_password }}\", temporary = false } }\n";

/// The last request.
fn last(double: &Double) -> Got {
    double.got().pop().unwrap()
}

#[tokio::test]
async fn each_form_of_body_carries_any_password_as_data() {
    const ODD: &str = "a\"b'c&d=e<f>\r\n--x{{ user.id }}+ %é";
    let body = |content: &str| JSON.lines().take(3).chain([content]).collect::<Vec<_>>().join("\n");
    for (content, media_type, expected) in [
        (JSON.lines().nth(3).unwrap(), "application/json", json!({"password": ODD, "temporary": false}).to_string()),
        (
            "body = { type = \"form\", template = { p = \"{{ secret.new_password }}\", n = 3 } }",
            "application/x-www-form-urlencoded",
            "n=3&p=a%22b%27c%26d%3De%3Cf%3E%0D%0A--x%7B%7B+user.id+%7D%7D%2B+%25%C3%A9".to_owned(),
        ),
        (
            "body = { type = \"xml\", template = \"<u id='{{ user.id }}'>{{ secret.new_password }}</u>\" }",
            "application/xml",
            "<u id='u 1'>a&quot;b&#39;c&amp;d=e&lt;f&gt;&#13;&#10;--x{{ user.id }}+ %é</u>".to_owned(),
        ),
        (
            "body = { type = \"text\", content_type = \"application/x-ini\", template = \"p = {{ secret.new_password | json }}\" }",
            "application/x-ini",
            format!("p = {}", Value::from(ODD)),
        ),
    ] {
        let (double, connector) = described(&body(content), ok).await;
        assert_eq!(set(&connector, ODD).await, Ok(()), "{content}");
        let got = last(&double);
        assert_eq!((got.header("content-type"), got.body.as_str()), (Some(media_type), expected.as_str()));
        assert_eq!((got.method.as_str(), got.target.as_str()), ("PUT", "/v1/users/u%201/password"));
    }
    let multipart = body("body = { type = \"multipart\", template = { p = \"{{ secret.new_password }}\", n = 3 } }");
    let (double, connector) = described(&multipart, ok).await;
    assert_eq!(set(&connector, ODD).await, Ok(()));
    let got = last(&double);
    let boundary = got.header("content-type").unwrap().strip_prefix("multipart/form-data; boundary=").unwrap();
    let part = |name: &str, value: &str| {
        format!("--{boundary}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
    };
    assert_eq!(got.body, format!("{}{}--{boundary}--\r\n", part("n", "3"), part("p", ODD)));
}

#[tokio::test]
async fn a_required_look_up_gives_version_and_values_and_one_id_marks_all_attempts() {
    let tables = "[providers.x.ops.set_password]\nmethod = \"PUT\"\npath = \"/users/{{ user.id }}\"\n\
        require = \"lookup_by_id\"\nif_match = \"{{ user.etag }}\"\nidempotency_header = \"Idempotency-Key\"\n\
        headers = { X-Request-Id = \"{{ op.id }}\" }\n\
        body = { type = \"json\", template = { traits = \"{{ user.traits }}\", gone = \"{{ user.email }}\", password = \"{{ secret.new_password }}\" } }\n";
    let answer = |got: &Got| match got.method.as_str() {
        "GET" => Said::json(200, &json!({"id": "u1", "traits": {"n": [1, null]}})).header("etag", "\"v1\""),
        _ if got.header("if-match") == Some("\"v1\"") => Said::json(200, &json!({})),
        _ => Said::json(412, &json!({})),
    };
    let (double, connector) = described(tables, answer).await;
    let attempt = || async { connector.set_password_as("step-7", &user(), &password("p"), ctx()).await };
    assert_eq!((attempt().await, attempt().await), (Ok(()), Ok(())));
    let got = double.got();
    let ids: Vec<&str> = got.iter().filter_map(|got| got.header("idempotency-key")).collect();
    assert_eq!(ids, ["step-7", "step-7"]);
    assert_eq!(got[1].header("x-request-id"), Some("step-7"));
    assert_eq!(got[1].json(), json!({"traits": {"n": [1, null]}, "password": "p"}));
    assert_eq!(connector.set_password(&user(), &password("p"), ctx()).await, Ok(()));
    assert_eq!(last(&double).header("idempotency-key").unwrap().len(), 32, "without a step each call is one");
    // Nothing was sent when the look-up fails.
    double.next(Fault::Cut);
    assert_eq!(attempt().await, Err(ProviderError::Transient));
    double.next(Fault::Instead(Said::json(404, &json!({}))));
    assert_eq!(attempt().await, Err(ProviderError::UserNotFound));
}

#[tokio::test]
async fn without_rules_the_table_of_defaults_holds() {
    let (double, connector) = described(JSON, ok).await;
    let at = |seconds: i64| Some(NOW.plus(seconds * Micros::SECOND));
    for (said, expected) in [
        (Said::json(401, &json!({})), ProviderError::AdminAuth),
        (Said::json(403, &json!({})), ProviderError::InsufficientScope),
        (Said::json(404, &json!({})), ProviderError::UserNotFound),
        (Said::json(409, &json!({})), ProviderError::Conflict),
        (Said::json(412, &json!({})), ProviderError::Stale),
        (Said::json(418, &json!({})), ProviderError::InvalidRequest),
        (Said::json(302, &json!({})), ProviderError::Misconfigured),
        (Said::json(408, &json!({})), ProviderError::Transient),
        (Said::json(425, &json!({})), ProviderError::Transient),
        (Said::json(503, &json!({})), ProviderError::Ambiguous),
        (Said::json(500, &json!({})), ProviderError::Ambiguous),
    ] {
        let status = said.status;
        double.next(Fault::Instead(said));
        assert_eq!(set(&connector, "p").await, Err(expected), "{status}");
    }
    for (status, retry_after, not_before) in
        [(429, None, None), (429, Some("7"), at(7)), (408, Some("7"), at(7)), (503, Some("7"), at(7))]
    {
        let (double, connector) = described(JSON, ok).await;
        let mut said = Said::json(status, &json!({}));
        said.headers.extend(retry_after.map(|value| ("retry-after".to_owned(), value.to_owned())));
        double.next(Fault::Instead(said));
        assert_eq!(set(&connector, "p").await, Err(ProviderError::RateLimited { not_before }), "{status}");
    }
    // The path names no user: what is not there is the endpoint.
    let elsewhere = JSON.replace("/users/{{ user.id }}/password", "/password");
    let (_double, connector) = described(&elsewhere, |_| Said::json(404, &json!({}))).await;
    assert_eq!(set(&connector, "p").await, Err(ProviderError::Misconfigured));
}

const RULES: &str = "success_when = [{ pointer = \"/errorCode\", equals = 0 }]\n\
    errors = [{ when = { pointer = \"/errorCode\", equals = 1 }, class = \"too_young\" }]\n\
    [[providers.x.errors]]\nwhen = { pointer = \"/errorCode\", in = [1, 2, \"2\"] }\nclass = \"stale\"\n\
    [[providers.x.errors]]\nwhen = { all = [{ pointer = \"/errorCode\", gt = 2 }, { pointer = \"/errorCode\", lt = 5 }], not = { header = \"X-Soft\", present = true } }\n\
    class = \"policy_violation\"\nmessage_pointer = \"/text\"\nrule_pointer = \"/rule\"\n\
    [[providers.x.errors]]\nwhen = { any = [{ body_regex = \"(?i)already EXISTS\" }, { header = \"X-Why\", matches = \"^dup\" }] }\nclass = \"conflict\"\n\
    [[providers.x.errors]]\nwhen = { status = [\"5xx\", 430], pointer = \"/retryMs\", exists = true }\nclass = \"rate_limited\"\n\
    retry_after = [{ header = \"X-Reset\", as = \"epoch_s\" }, { pointer = \"/retryMs\", as = \"millis\" }]\n\
    [[providers.x.errors]]\nwhen = { transport = [\"connect\", \"reset\"] }\nclass = \"misconfigured\"\n";

#[tokio::test]
async fn rules_are_asked_in_order_the_operations_own_first() {
    let tables = format!("{JSON}{RULES}");
    let (double, connector) = described(&tables, |_| Said::json(200, &json!({"errorCode": 0.0}))).await;
    assert_eq!(set(&connector, "p").await, Ok(()));
    let at = |millis: i64| Some(NOW.plus(millis * 1000));
    let coded = |code: Value| Said::json(200, &json!({"errorCode": code, "text": "too p3ss", "rule": "p3ss-1"}));
    for (said, code) in [
        (coded(json!(1)), "too_young"),
        (coded(json!(2)), "stale"),
        (coded(json!("2")), "stale"),
        (coded(json!(3)), "policy_violation"),
        (coded(json!(3)).header("x-soft", "1"), "ambiguous"),
        (coded(json!(7)), "ambiguous"),
        (Said { status: 400, headers: Vec::new(), body: "It Already exists!".into() }, "conflict"),
        (Said::json(400, &json!({})).header("X-Why", "duplicate"), "conflict"),
        (Said { status: 200, headers: Vec::new(), body: "<html>".into() }, "ambiguous"),
    ] {
        let shown = format!("{} {:?} {}", said.status, said.headers, said.body);
        double.next(Fault::Instead(said));
        let error = set(&connector, "p3ss").await.unwrap_err();
        assert_eq!(error.code(), code, "{shown}");
        if let ProviderError::PolicyViolation { rule, message } = error {
            assert_eq!(
                (rule.as_deref(), message.map(|text| text.as_str().to_owned()).as_deref()),
                (Some("***-1"), Some("too ***"))
            );
        }
    }
    for (said, not_before) in [
        (Said::json(500, &json!({"retryMs": 1500})), at(1500)),
        (Said::json(430, &json!({"retryMs": 1500})).header("x-reset", "1795341602"), at(2000)),
    ] {
        let (double, connector) = described(&tables, ok).await;
        double.next(Fault::Instead(said));
        assert_eq!(set(&connector, "p").await, Err(ProviderError::RateLimited { not_before }));
    }
    // Whatever a rule says of a broken connection: a password that was sent may have been set.
    double.next(Fault::Cut);
    assert_eq!(set(&connector, "p").await, Err(ProviderError::Ambiguous));
    double.next(Fault::Cut);
    let found = connector.look_up(By::Id(&user()), ctx()).await;
    assert_eq!(found.err(), Some(ProviderError::Misconfigured));
}

fn auth(keys: &str) -> String {
    format!("[providers.x.auth]\n{}\n{JSON}", keys.replace("SECRET", "{ env = \"OKTA_API_TOKEN\" }"))
}

#[tokio::test]
async fn simple_access_is_put_where_it_belongs() {
    for (keys, header, query, body) in [
        ("kind = \"header\"\nname = \"X-Api-Key\"\nsecret = SECRET", Some(("x-api-key", SECRET)), "", ""),
        (
            "kind = \"header\"\nname = \"Authorization\"\nvalue = \"SSWS {{ auth.secret }}\"\nsecret = SECRET",
            Some(("authorization", "SSWS our-s3cret")),
            "",
            "",
        ),
        (
            "kind = \"basic\"\nusername = \"me\"\npassword = SECRET",
            Some(("authorization", "Basic bWU6b3VyLXMzY3JldA==")),
            "",
            "",
        ),
        ("kind = \"query\"\nname = \"key\"\nsecret = SECRET", None, "?key=our-s3cret", ""),
    ] {
        let (double, connector) = described(&auth(keys), ok).await;
        assert_eq!(set(&connector, "p").await, Ok(()), "{keys}");
        let got = last(&double);
        if let Some((name, value)) = header {
            assert_eq!(got.header(name), Some(value));
        }
        assert!(got.target.ends_with(&format!("/password{query}")) && got.body.contains(body), "{keys}");
    }
    let field = format!(
        "[providers.x.ops.lookup_by_id]\nmethod = \"GET\"\npath = \"/u/{{{{ user.id }}}}\"\nauth = false\nextract = {{ id = \"/id\" }}\n{}",
        auth("kind = \"body_field\"\nname = \"secret\"\nsecret = SECRET")
    );
    let (double, connector) = described(&field, ok).await;
    assert_eq!(set(&connector, "p").await, Ok(()));
    assert_eq!(last(&double).json(), json!({"password": "p", "temporary": false, "secret": SECRET}));
}

/// Tokens `t1`, `t2`, ..
fn tokens(got: &Got) -> Said {
    static MADE: AtomicU32 = AtomicU32::new(0);
    if got.path().ends_with("/token") {
        let number = MADE.fetch_add(1, Ordering::SeqCst) + 1;
        return Said::json(200, &json!({"access_token": format!("t{number}"), "expires_in": "3600", "data": {"t": format!("t{number}"), "ms": 60_000}}))
            .header("x-token", &format!("t{number}"));
    }
    Said::json(200, &json!({"id": "u1"}))
}

#[tokio::test]
async fn tokens_are_fetched_each_way_and_again_when_refused() {
    for (keys, body, header) in [
        (
            "kind = \"oauth2_client_credentials\"\ntoken_url = \"https://@/token\"\nclient_id = \"a b\"\nclient_secret = SECRET\nscope = \"s\"\naudience = \"aud\"",
            "grant_type=client_credentials&scope=s&audience=aud",
            Some("Basic YSUyMGI6b3VyLXMzY3JldA=="),
        ),
        (
            "kind = \"oauth2_client_credentials\"\ntoken_url = \"https://@/token\"\nclient_id = \"me\"\nclient_secret = SECRET\nauth_style = \"body\"",
            "grant_type=client_credentials&client_id=me&client_secret=our-s3cret",
            None,
        ),
        (
            "kind = \"token_call\"\nuser = \"me\"\nsecret = SECRET\ntoken = \"header:X-Token\"\n[providers.x.auth.call]\nmethod = \"POST\"\npath = \"/token\"\nbody = { type = \"json\", template = { u = \"{{ auth.user }}\", p = \"{{ auth.secret }}\" } }",
            "{\"p\":\"our-s3cret\",\"u\":\"me\"}",
            None,
        ),
        (
            "kind = \"token_call\"\nsecret = SECRET\ntoken = \"/data/t\"\nexpires = { pointer = \"/data/ms\", as = \"millis\" }\n[providers.x.auth.call]\nmethod = \"POST\"\npath = \"/token\"\nbody = { type = \"form\", template = { p = \"{{ auth.secret }}\" } }",
            "p=our-s3cret",
            None,
        ),
        (
            "kind = \"jwt_bearer\"\ntoken_url = \"https://@/token\"\nissuer = \"me\"\nkey = SECRET\nalgorithm = \"HS256\"\nscope = \"s\"",
            "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=eyJ",
            None,
        ),
    ] {
        let (double, connector) = described(&auth(keys), tokens).await;
        assert_eq!((set(&connector, "p").await, set(&connector, "p").await), (Ok(()), Ok(())), "{keys}");
        let got = double.got();
        assert_eq!(got.iter().filter(|got| got.path().ends_with("/token")).count(), 1, "{keys}");
        assert!(got[0].body.starts_with(body), "{keys}: {}", got[0].body);
        assert_eq!(got[0].header("authorization"), header, "{keys}");
        let first = got[1].header("authorization").unwrap().to_owned();
        assert!(first.starts_with("Bearer t"), "{keys}: {first}");
        double.next(Fault::Instead(Said::json(401, &json!({}))));
        assert_eq!(set(&connector, "p").await, Ok(()), "{keys}");
        assert_ne!(last(&double).header("authorization"), Some(first.as_str()), "{keys}");
    }
    let signed =
        auth("kind = \"jwt_bearer\"\nissuer = \"me\"\naudience = \"you\"\nkey = SECRET\nalgorithm = \"HS256\"");
    let (double, connector) = described(&signed, ok).await;
    assert_eq!(set(&connector, "p").await, Ok(()));
    assert!(last(&double).header("authorization").unwrap().starts_with("Bearer eyJ"));
}

#[tokio::test]
async fn a_canonical_string_is_signed_with_all_that_goes_out() {
    let keys = "kind = \"hmac\"\nuser = \"me\"\nsecret = SECRET\nalgorithm = \"sha1\"\noutput = \"base64\"\nbody_field = \"sig\"\n\
        fields = { apiKey = \"{{ auth.user }}\", timestamp = \"{{ auth.timestamp }}\" }\n\
        canonical = \"{{ request.method }}&{{ request.url | query }}&{{ request.sorted_fields | query }}\"\n";
    let tables = format!(
        "[providers.x.ops.lookup_by_id]\nmethod = \"GET\"\npath = \"/u/{{{{ user.id }}}}\"\nauth = false\nextract = {{ id = \"/id\" }}\n{}",
        auth(keys).replace("type = \"json\"", "type = \"form\"")
    );
    let (double, connector) = described(&tables, ok).await;
    assert_eq!(set(&connector, "p w").await, Ok(()));
    let got = last(&double);
    let fields = got.fields();
    let url = format!("{}v1/users/u%201/password", double.url);
    let sorted = format!("apiKey=me&password=p%20w&temporary=false&timestamp={}", NOW.0 / Micros::SECOND);
    let encoded =
        |text: &str| url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>().replace('+', "%20");
    let canonical = format!("PUT&{}&{}", encoded(&url), encoded(&sorted));
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, SECRET.as_bytes());
    let expected = STANDARD.encode(ring::hmac::sign(&key, canonical.as_bytes()));
    assert_eq!(fields["sig"], expected.as_str(), "{canonical}");
    assert_eq!(fields["apiKey"], "me");
}

#[tokio::test]
async fn a_signature_is_made_again_once_by_the_providers_clock() {
    let keys = "kind = \"hmac\"\nsecret = SECRET\nheader = \"X-Sig\"\nvalue = \"{{ auth.timestamp }}:{{ auth.signature }}\"\n\
        canonical = \"{{ auth.timestamp }}{{ request.body }}\"\n";
    let tables =
        format!("{}[[providers.x.errors]]\nwhen = {{ body_regex = \"skew\" }}\nclass = \"clock_skew\"\n", auth(keys));
    let (double, connector) = described(&tables, ok).await;
    let skewed = Said { status: 401, headers: Vec::new(), body: "skew".into() };
    double.next(Fault::Instead(skewed.clone().header("date", "Sun, 22 Nov 2026 11:00:00 GMT")));
    assert_eq!(set(&connector, "p").await, Ok(()));
    assert!(last(&double).header("x-sig").unwrap().starts_with("1795345200:"));
    for _ in 0..2 {
        double.next(Fault::Instead(skewed.clone().header("date", "Sun, 22 Nov 2026 11:00:00 GMT")));
    }
    assert_eq!(set(&connector, "p").await, Err(ProviderError::ClockSkew));
}

#[tokio::test]
async fn what_is_written_says_what_it_can_do() {
    let more = "[providers.x.capabilities]\nrevokes_sessions = \"all_but_current\"\nmax_password_bytes = 20\n\
        [providers.x.probe]\nvia = \"lookup_by_id\"\nchanged_if = \"etag != before\"\nmoved_by_edits = true\n\
        [providers.x.ops.verify_password]\nmethod = \"POST\"\npath = \"/login\"\nauth = false\nrequire = \"lookup_by_id\"\n\
        body = { type = \"form\", template = { login = \"{{ user.email }}\", password = \"{{ secret.password }}\" } }\n\
        errors = [{ when = { status = 401 }, class = \"old_password_wrong\" }, { when = { status = 423 }, class = \"user_blocked\" }]\n\
        [providers.x.ops.create_user]\nmethod = \"POST\"\npath = \"/users\"\n\
        body = { type = \"json\", template = { email = \"{{ new.email }}\", password = \"{{ secret.new_password }}\" } }\n\
        [providers.x.ops.lookup_by_email]\nmethod = \"GET\"\npath = \"/users\"\nquery = { q = \"{{ user.email }}\" }\nitems = \"/found\"\nextract = { id = \"/id\" }\n\
        [providers.x.ops.update_user]\nmethod = \"PATCH\"\npath = \"/users/{{ user.id }}\"\n\
        body = { type = \"json\", template = [{ path = \"/email\", value = \"{{ new.email }}\" }, { path = \"/first\", value = \"{{ new.first_name }}\" }] }\n";
    let answer = |got: &Got| match (got.method.as_str(), got.path()) {
        ("POST", "/v1/login") => {
            assert_eq!(got.fields()["login"], "a@example.com");
            Said::json(if got.fields()["password"] == "right" { 200 } else { 401 }, &json!({}))
        }
        ("GET", "/v1/users") => Said::json(200, &json!({"found": [{"id": 7}]})),
        _ => Said::json(200, &json!({"id": "u1", "email": "a@example.com"})).header("etag", "1"),
    };
    let (double, connector) = described(&format!("{JSON}{more}"), answer).await;
    let can = connector.capabilities();
    assert_eq!((can.probe, can.trial_sign_in, can.sessions), (Probe::Record, true, SessionEnding::BySet));
    assert_eq!((can.lookups.id, can.lookups.email, can.lookups.external_id), (true, true, false));
    assert_eq!((can.password_bytes_max, can.records.create, can.records.update), (Some(20), true, true));
    let sign_in = async |text| connector.try_sign_in(&user(), &password(text), ctx()).await;
    assert_eq!((sign_in("right").await, sign_in("other").await), (TrialAnswer::SignedIn, TrialAnswer::Wrong));
    let secret = password("p");
    let (email, none) = ("new@example.com", None);
    let new = NewUser {
        email,
        password: &secret,
        first_name: none,
        last_name: none,
        external_id: none,
        email_verified: false,
    };
    let made = connector.create_user(new, ctx()).await.unwrap_or_else(|error| panic!("{error:?}"));
    assert_eq!(made.user.as_str(), "7", "looked up by its address, for the answer does not say");
    let first = UserChanges { first_name: Some("Ada"), ..UserChanges::default() };
    assert_eq!(connector.update_user(&user(), first, ctx()).await, Ok(()));
    assert_eq!(last(&double).json(), json!([{"path": "/first", "value": "Ada"}]));
    assert_eq!(connector.end_sessions(&user(), ctx()).await, Err(ProviderError::NotSupported));
    assert_eq!(connector.health(ctx()).await, Err(ProviderError::NotSupported));
    for (found, error) in [
        (json!({"found": []}), ProviderError::UserNotFound),
        (json!({}), ProviderError::UserNotFound),
        (json!({"found": [{"id": "a"}, {"id": "b"}]}), ProviderError::UserAmbiguous),
        (json!({"found": 7}), ProviderError::Transient),
        (json!({"found": [{"name": "x"}]}), ProviderError::Transient),
    ] {
        double.next(Fault::Instead(Said::json(200, &found)));
        assert_eq!(connector.look_up(By::Email("a@example.com"), ctx()).await.err(), Some(error), "{found}");
    }
}
