//! The example files for operators: each is a configuration as it stands, and asks the service for the very thing that its
//! documentation has.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;

use keyherald::boot;
use keyherald::config::{Config, Environment, Purpose};
use keyherald::destination::sms::Switchboard;
use keyherald_core::delivery::{Cause, Outcome};
use url::Url;

use crate::attempt::{TEXT, attempt, failed};
use crate::http_double::{Got, HttpDouble, Says};

/// What the files name as secrets.
const SECRETS: [&str; 3] = ["TWILIO_AUTH_TOKEN", "VONAGE_API_SECRET", "AWS_SECRET_ACCESS_KEY"];
/// What stands in each of them.
pub const SECRET: &str = "s3cret-of-ours";

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../examples/sms")
}

/// A project that sends all there is.
const PROJECT: &str = r#"
[[projects]]
key = "demo"
name = "Böll & Söhne"
sms = { send = ["verification_code", "password_changed"] }
"#;

fn read(text: &str) -> Config {
    let variables = SECRETS.map(|name| (OsString::from(name), OsString::from(SECRET)));
    let config = Config::read(text, None, Environment::of(variables), Purpose::Maintain);
    config.unwrap_or_else(|problems| panic!("{problems}"))
}

/// What an example means whose service is at `url`.
pub fn switchboard(name: &str, url: &Url) -> Arc<Switchboard> {
    let text = std::fs::read_to_string(folder().join(format!("{name}.example.toml"))).unwrap();
    let base = text.lines().find(|line| line.starts_with("base_url")).unwrap().split('"').nth(1).unwrap();
    let here = text.replacen(base, url.as_str().trim_end_matches('/'), 1);
    let here = here.replacen(
        "[sms]",
        "[sms]\nallow_insecure_http = true\nnet = { connect_timeout = \"2s\", total_timeout = \"2s\" }",
        1,
    );
    of_text(&here)
}

/// What a description means.
pub fn of_text(text: &str) -> Arc<Switchboard> {
    Arc::new(boot::switchboard(&read(&format!("{text}{PROJECT}")), None).unwrap().unwrap())
}

/// The one request of an example for one message, which the service takes with this status and body.
async fn asked(name: &str, status: u16, body: &str) -> Got {
    let double = HttpDouble::start(Says::Answer(status, "", body.to_owned())).await;
    assert_eq!(attempt(switchboard(name, &double.url), 1).await, Outcome::Delivered, "{name}");
    let got = double.got();
    let [got] = got.as_slice() else { panic!("{name}: {} requests", got.len()) };
    got.clone()
}

/// How a message ends that is answered like this.
async fn ends(name: &str, status: u16, headers: &'static str, body: &str) -> Outcome {
    let double = HttpDouble::start(Says::Answer(status, headers, body.to_owned())).await;
    attempt(switchboard(name, &double.url), 1).await
}

fn form(got: &Got) -> Vec<(String, String)> {
    assert_eq!(got.header("content-type"), Some("application/x-www-form-urlencoded"));
    let mut fields: Vec<(String, String)> = url::form_urlencoded::parse(got.body.as_bytes()).into_owned().collect();
    fields.sort();
    fields
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn every_example_can_be_used_as_it_stands() {
    let mut seen = 0;
    for entry in std::fs::read_dir(folder()).unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        let config = read(&format!("{text}{PROJECT}"));
        assert!(boot::switchboard(&config, None).unwrap().is_some());
        let listing = config.listing();
        assert!(!listing.contains(SECRET) && listing.contains("{{ sms.text }}"), "{listing}");
        seen += 1;
    }
    assert_eq!(seen, 3);
}

#[tokio::test]
async fn twilio_is_asked_as_its_documentation_says() {
    let got = asked("twilio", 201, r#"{"sid": "SM1", "status": "queued"}"#).await;
    assert_eq!(got.line, "POST /2010-04-01/Accounts/AC00000000000000000000000000000000/Messages.json");
    // AC00000000000000000000000000000000:s3cret-of-ours
    let basic = "Basic QUMwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDpzM2NyZXQtb2Ytb3Vycw==";
    assert_eq!(got.header("authorization"), Some(basic));
    assert_eq!(form(&got), pairs(&[("Body", TEXT), ("From", "+15005550006"), ("To", "+359897765463")]));
}

#[tokio::test]
async fn vonage_is_asked_as_its_documentation_says() {
    let got = asked("vonage", 202, r#"{"message_uuid": "aaaaaaaa-bbbb-4ccc-8ddd-0123456789ab"}"#).await;
    assert_eq!(got.line, "POST /v1/messages");
    assert_eq!(got.header("authorization"), Some("Basic YWJjZDEyMzQ6czNjcmV0LW9mLW91cnM="));
    assert_eq!(got.header("content-type"), Some("application/json"));
    let body: serde_json::Value = serde_json::from_str(&got.body).unwrap();
    let expected = serde_json::json!({
        "message_type": "text", "channel": "sms", "to": "359897765463", "from": "Shop", "text": TEXT,
        "client_ref": "019aa4b2-0000-7000-8000-00000000000a",
    });
    assert_eq!(body, expected);
}

#[tokio::test]
async fn sns_is_asked_as_its_documentation_says() {
    let got = asked("aws-sns", 200, "<PublishResponse><PublishResult><MessageId>1</MessageId></PublishResult>").await;
    assert_eq!((got.line.as_str(), got.header("x-amz-date")), ("POST /", Some("20251122T040001Z")));
    let expected = [
        ("Action", "Publish"),
        ("Message", TEXT),
        ("MessageAttributes.entry.1.Name", "AWS.SNS.SMS.SMSType"),
        ("MessageAttributes.entry.1.Value.DataType", "String"),
        ("MessageAttributes.entry.1.Value.StringValue", "Transactional"),
        ("MessageAttributes.entry.2.Name", "AWS.SNS.SMS.SenderID"),
        ("MessageAttributes.entry.2.Value.DataType", "String"),
        ("MessageAttributes.entry.2.Value.StringValue", "Shop"),
        ("PhoneNumber", "+359897765463"),
        ("Version", "2010-03-31"),
    ];
    assert_eq!(form(&got), pairs(&expected));
    assert_eq!(got.header("authorization"), Some(signed(&got).as_str()));
}

/// What AWS would compute of the request, written out a second time: <https://docs.aws.amazon.com/general/latest/gr/sigv4.html>.
fn signed(got: &Got) -> String {
    use ring::{digest, hmac};
    let digit = |value: u8| char::from_digit(u32::from(value), 16).unwrap();
    let hex = |bytes: &[u8]| -> String { bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect() };
    let hashed = |text: &str| hex(digest::digest(&digest::SHA256, text.as_bytes()).as_ref());
    let mac =
        |key: &[u8], text: &str| hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes()).as_ref().to_vec();
    let (host, date) = (got.header("host").unwrap(), got.header("x-amz-date").unwrap());
    let canonical = format!("POST\n/\n\nhost:{host}\nx-amz-date:{date}\n\nhost;x-amz-date\n{}", hashed(&got.body));
    let scope = "20251122/eu-central-1/sns/aws4_request";
    let text = format!("AWS4-HMAC-SHA256\n{date}\n{scope}\n{}", hashed(&canonical));
    let first = mac(format!("AWS4{SECRET}").as_bytes(), "20251122");
    let key = ["eu-central-1", "sns", "aws4_request"].iter().fold(first, |key, part| mac(&key, part));
    let signature = hex(&mac(&key, &text));
    format!("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/{scope}, SignedHeaders=host;x-amz-date, Signature={signature}")
}

#[tokio::test]
async fn what_each_says_of_a_number_puts_that_message_aside_and_nothing_else() {
    let refused = Outcome::Rejected { reason: "the service refuses the number".to_owned() };
    let twilio =
        |code: u32| format!(r#"{{"code": {code}, "message": "The 'To' number +359897765463 ..", "status": 400}}"#);
    let vonage = |code: u32| format!(r#"{{"type": "https://developer.vonage.com/api-errors/messages#{code}"}}"#);
    let sns = |code: &str, what: &str| {
        format!(
            "<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>{what}</Message></Error></ErrorResponse>"
        )
    };
    for (name, status, body) in [
        ("twilio", 400, twilio(21211)),
        ("twilio", 400, twilio(21610)),
        ("vonage", 422, vonage(1050)),
        (
            "aws-sns",
            400,
            sns("InvalidParameter", "Invalid parameter: PhoneNumber Reason: +359 is not valid to publish to"),
        ),
        ("aws-sns", 400, sns("InvalidParameter", "Phone number is opted out")),
    ] {
        assert_eq!(ends(name, status, "", &body).await, refused, "{name}: {body}");
    }
    let ours = failed(Cause::Refused, "the service refuses the request", None);
    let access = failed(Cause::Refused, "the service refuses our access", None);
    for (name, status, body, expected) in [
        ("twilio", 400, twilio(21606), &ours), // From is not one of ours
        ("twilio", 401, twilio(20003), &access),
        ("vonage", 422, vonage(1120), &ours), // the sender is not allowed there
        ("vonage", 401, vonage(1000), &failed(Cause::Throttled, "too many at once", None)),
        ("aws-sns", 400, sns("InvalidParameter", "Invalid parameter: Message too long"), &ours),
        ("aws-sns", 403, sns("InvalidClientTokenId", "The security token is invalid."), &access),
        ("aws-sns", 400, sns("Throttling", "Rate exceeded"), &failed(Cause::Throttled, "too many at once", None)),
    ] {
        assert_eq!(&ends(name, status, "", &body).await, expected, "{name}: {body}");
    }
}
