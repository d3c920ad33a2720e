//! The test message that the contract sends before a subscription is stored: what it says, to whom, and how often.

use axum::http::{Method, StatusCode};
use keyherald::destination::Policy;
use keyherald::destination::aws::{Aws, Keys};
use keyherald::outbound::guard::Guard;
use keyherald_store::testing::block_on;
use serde_json::{Value, json};

use crate::http_double::{HttpDouble, Says};
use crate::support::TestServer;

/// AWS, as the transcript of test messages needs it.
pub struct Scripted {
    double: HttpDouble,
}

/// A good answer of each of the services.
const TAKEN: &str = r#"{"MessageId":"m","Entries":[{"EventId":"m"}],"xml":"<MessageId>m</MessageId>"}"#;
const REFUSED: &str = r#"{"__type":"com.amazonaws.sqs#QueueDoesNotExist","message":"hush"}"#;

impl Scripted {
    /// It takes and refuses what comes, in the transcript's order.
    pub async fn start() -> Self {
        let double = HttpDouble::start(Says::Silence).await;
        let [taken, refused] =
            [(200, TAKEN), (400, REFUSED)].map(|(status, body)| Says::Answer(status, "", body.into()));
        double.next([&taken, &refused, &refused, &taken, &refused, &taken, &taken].map(Says::clone));
        Self { double }
    }

    /// Where it is, without a slash at the end.
    pub fn url(&self) -> String {
        self.double.url.as_str().trim_end_matches('/').to_owned()
    }

    /// It may be called, also by the server's own access.
    pub fn policy(&self) -> Policy {
        let own = Some(Keys::new("AKIDSERVER".to_owned(), "hush", None));
        let aws = Aws { endpoint: Some(self.double.url.clone()), own };
        Policy { allow_http: true, guard: Guard::open(), aws, ..Policy::default() }
    }

    /// If it was asked at all, nothing was sent that the transcript does not tell of.
    pub fn check(&self) {
        let got = self.double.got();
        assert!([0, 7].contains(&got.len()), "{got:?}");
    }
}

/// A draft to a queue there.
fn draft(aws: &Scripted) -> Value {
    let queue = format!("{}/123456789012/customers.fifo", aws.url());
    json!({
        "destination": {"type": "SQS", "queueUrl": queue, "region": "eu-west-1", "accessKey": "A", "accessSecret": "hush"},
        "changes": [{"resourceTypeId": "customer"}],
    })
}

#[test]
fn it_tells_that_the_very_subscription_was_created() {
    block_on(async {
        let aws = Scripted::start().await;
        let server = TestServer::sqlite().await.sending(aws.policy());
        let token = server.token("demo-client").await;
        let made = server.json(&token, Method::POST, "/demo/subscriptions", &draft(&aws)).await.json();
        let got = aws.double.got();
        let sent: Value = serde_json::from_str(&got[0].body).unwrap();
        let message: Value = serde_json::from_str(sent["MessageBody"].as_str().unwrap()).unwrap();
        let expected = json!({
            "notificationType": "ResourceCreated", "projectKey": "demo",
            "resource": {"typeId": "subscription", "id": made["id"]}, "resourceUserProvidedIdentifiers": {},
            "version": 1, "modifiedAt": made["createdAt"],
        });
        assert_eq!((got.len(), message), (1, expected));
        assert_eq!(sent["MessageGroupId"], made["id"], "a lane of its own");
    });
}

#[test]
fn who_does_not_answer_in_time_is_not_reached() {
    block_on(async {
        let aws = Scripted { double: HttpDouble::start(Says::Silence).await };
        let mut server = TestServer::sqlite().await;
        server.app.test_timeout = std::time::Duration::from_millis(50);
        let server = server.sending(aws.policy());
        let token = server.token("demo-client").await;
        let answered = server.json(&token, Method::POST, "/demo/subscriptions", &draft(&aws)).await;
        assert_eq!(answered.status, StatusCode::BAD_REQUEST);
        let text = answered.json()["message"].as_str().unwrap().to_owned();
        assert!(text.starts_with("A test message could not be delivered to this destination: SQS http"), "{text}");
        let listed = server.json(&token, Method::GET, "/demo/subscriptions", &Value::Null).await.json();
        assert_eq!((listed["total"].as_i64(), aws.double.got().len()), (Some(0), 1));
    });
}

#[test]
fn nothing_waits_for_it_in_the_store() {
    block_on(async {
        let aws = Scripted { double: HttpDouble::start(Says::Silence).await };
        let server = TestServer::sqlite().await.sending(aws.policy());
        let token = server.token("demo-client").await;
        let body = draft(&aws);
        let trying = server.json(&token, Method::POST, "/demo/subscriptions", &body);
        // On SQLite one writer serves all: it would wait if the test were in a transaction.
        let others = async {
            while aws.double.got().is_empty() {
                tokio::task::yield_now().await;
            }
            server.customer("jo@example.com", "secret").await
        };
        tokio::select! {
            answered = trying => panic!("{answered:?}"),
            customer = others => assert_eq!(customer.version, 1),
        }
    });
}
