//! What moto cannot do: throttling, failures of AWS's own, and answers of whoever is not AWS. Written from AWS's documents of
//! common errors, and of each service's.

use keyherald::destination::Policy;
use keyherald::destination::aws::{Aws, Keys};
use keyherald_core::delivery::{Cause, Outcome};
use serde_json::{Value, json};

use crate::http_double::{HttpDouble, Says};
use crate::scene::{IMPATIENT, PATIENT, attempt_by, open};

const TAKEN: [(&str, &str); 3] = [
    ("SQS", r#"{"MessageId":"m","MD5OfMessageBody":"x"}"#),
    ("SNS", "<PublishResponse><PublishResult><MessageId>m</MessageId></PublishResult></PublishResponse>"),
    ("EventBridge", r#"{"FailedEntryCount":0,"Entries":[{"EventId":"m"}]}"#),
];

async fn double() -> HttpDouble {
    HttpDouble::start(Says::Silence).await
}

fn answer(status: u16, body: &str) -> Says {
    Says::Answer(status, "", body.to_owned())
}

fn at(double: &HttpDouble) -> Policy {
    let own = Some(Keys::new("AKIDEXAMPLE".to_owned(), "hush", Some("session")));
    Policy { aws: Aws { endpoint: Some(double.url.clone()), own }, ..open() }
}

fn draft(kind: &str, double: &HttpDouble) -> Value {
    match kind {
        "SQS" => json!({"queueUrl": double.url.join("/123456789012/q.fifo").unwrap().as_str(), "region": "eu-west-1",
            "accessKey": "AKIDEXAMPLE", "accessSecret": "hush"}),
        "SNS" => json!({"topicArn": "arn:aws:sns:eu-west-1:123456789012:t", "authenticationMode": "IAM"}),
        _ => json!({"region": "eu-west-1", "accountId": "123456789012", "source": "keyherald/demo/crm"}),
    }
}

async fn attempt(kind: &str, double: &HttpDouble) -> Outcome {
    attempt_by(at(double), kind, &draft(kind, double), PATIENT).await
}

fn failed(reason: &str, retry_after_s: Option<u32>, cause: Cause) -> Outcome {
    Outcome::Failed { reason: reason.to_owned(), retry_after_s, cause }
}

#[tokio::test]
async fn throttling_rests_for_as_long_as_it_says_or_a_second() {
    let double = double().await;
    let json = r#"{"__type":"com.amazonaws.sqs#RequestThrottled","message":"Rate exceeded"}"#;
    double.next([answer(400, json), Says::Answer(400, "retry-after: 7\r\n", json.to_owned())]);
    let reason = "answered 400 RequestThrottled";
    assert_eq!(attempt("SQS", &double).await, failed(reason, Some(1), Cause::Throttled));
    assert_eq!(attempt("SQS", &double).await, failed(reason, Some(7), Cause::Throttled));
    double.next([answer(429, "<ErrorResponse><Error><Code>Throttled</Code></Error></ErrorResponse>")]);
    assert_eq!(attempt("SNS", &double).await, failed("answered 429 Throttled", Some(1), Cause::Throttled));
    let entry = r#"{"FailedEntryCount":1,"Entries":[{"ErrorCode":"ThrottlingException","ErrorMessage":"x"}]}"#;
    double.next([answer(200, entry)]);
    assert_eq!(
        attempt("EventBridge", &double).await,
        failed("answered ThrottlingException", Some(1), Cause::Throttled)
    );
}

#[tokio::test]
async fn failures_of_its_own_are_tried_again() {
    for (kind, taken) in TAKEN {
        let double = double().await;
        double.next([answer(500, ""), answer(503, "<html>busy</html>"), Says::Cut(taken.to_owned(), 5)]);
        assert_eq!(attempt(kind, &double).await, failed("answered 500", None, Cause::Temporary), "{kind}");
        assert_eq!(attempt(kind, &double).await, failed("answered 503", None, Cause::Temporary), "{kind}");
        let outcome = attempt(kind, &double).await;
        assert!(matches!(outcome, Outcome::Failed { cause: Cause::Temporary, .. }), "{kind} {outcome:?}");
        // It was applied, perhaps, and the answer does not come: the same message again, under the same id.
        let late = attempt_by(at(&double), kind, &draft(kind, &double), IMPATIENT).await;
        assert_eq!(late, failed("no answer in time", None, Cause::Temporary), "{kind}");
        double.next([answer(200, taken)]);
        assert_eq!(attempt(kind, &double).await, Outcome::Delivered, "{kind}");
        let bodies: Vec<String> = double.got().into_iter().map(|got| got.body).collect();
        assert!(bodies.windows(2).all(|pair| pair[0] == pair[1]), "{kind}");
    }
}

#[tokio::test]
async fn who_answers_otherwise_is_not_believed() {
    for (kind, _) in TAKEN {
        let double = double().await;
        for body in ["", "<html>Welcome to the airport</html>", "{}", r#"{"Entries":[]}"#] {
            double.next([answer(200, body)]);
            let expected = failed("what answered is not the service", None, Cause::Temporary);
            assert_eq!(attempt(kind, &double).await, expected, "{kind} {body:?}");
        }
    }
}

#[tokio::test]
async fn an_entry_that_is_refused_is_not_delivered() {
    let double = double().await;
    let entry = |code: &str| answer(200, &json!({"FailedEntryCount": 1, "Entries": [{"ErrorCode": code}]}).to_string());
    double.next(["AccessDeniedException", "InternalFailure", "MalformedDetail"].map(entry));
    assert_eq!(attempt("EventBridge", &double).await, failed("answered AccessDeniedException", None, Cause::Refused));
    assert_eq!(attempt("EventBridge", &double).await, failed("answered InternalFailure", None, Cause::Temporary));
    let rejected = Outcome::Rejected { reason: "answered MalformedDetail".to_owned() };
    assert_eq!(attempt("EventBridge", &double).await, rejected);
}

#[tokio::test]
async fn what_is_sent_is_what_aws_documents() {
    let double = double().await;
    for (kind, taken) in TAKEN {
        double.next([answer(200, taken)]);
        assert_eq!(attempt(kind, &double).await, Outcome::Delivered);
    }
    let got = double.got();
    let [queue, topic, bus] = got.as_slice() else { panic!("{got:?}") };
    let delivery = crate::scene::delivery(1, b"{}");
    let (id, customer) = (delivery.message_id.to_string(), delivery.customer.to_string());
    let text = |text: &str| json!({"DataType": "String", "StringValue": text});
    assert_eq!((queue.line.as_str(), queue.header("x-amz-target")), ("POST /", Some("AmazonSQS.SendMessage")));
    let expected = json!({
        "QueueUrl": draft("SQS", &double)["queueUrl"], "MessageBody": "{}",
        "MessageAttributes": {"id": text(&id), "project": text("demo"), "customer": text(&customer),
            "contentType": text("application/json; charset=utf-8")},
        "MessageGroupId": customer, "MessageDeduplicationId": id,
    });
    assert_eq!(serde_json::from_str::<Value>(&queue.body).unwrap(), expected);
    assert_eq!(queue.header("x-amz-security-token"), None);
    // A topic that is not FIFO has neither groups nor ids by which it drops copies.
    assert!(topic.body.starts_with("Action=Publish&Version=2010-03-31&TopicArn=arn%3Aaws%3Asns%3Aeu-west-1%3A"));
    assert!(!topic.body.contains("MessageGroupId") && topic.body.contains(&id));
    // The server's own access, with the token of temporary keys.
    assert_eq!(topic.header("x-amz-security-token"), Some("session"));
    let signed = topic.header("authorization").unwrap();
    assert!(signed.contains("Credential=AKIDEXAMPLE/20251009/eu-west-1/sns/aws4_request, SignedHeaders=content-type;host;x-amz-date;x-amz-security-token,"));
    assert_eq!(bus.header("x-amz-target"), Some("AWSEvents.PutEvents"));
    let expected = json!({"Entries": [{
        "Time": 1_760_000_000, "Source": "keyherald/demo/crm", "Resources": [id], "DetailType": "Message", "Detail": "{}",
        "EventBusName": "arn:aws:events:eu-west-1:123456789012:event-bus/default",
    }]});
    assert_eq!(serde_json::from_str::<Value>(&bus.body).unwrap(), expected);
}

#[tokio::test]
async fn a_partners_source_is_put_as_a_partner() {
    let double = double().await;
    let mut draft = draft("EventBridge", &double);
    draft["source"] = "aws.partner/example.com/keyherald".into();
    double.next([answer(200, TAKEN[2].1)]);
    assert_eq!(attempt_by(at(&double), "EventBridge", &draft, PATIENT).await, Outcome::Delivered);
    let got = double.got();
    assert_eq!(got[0].header("x-amz-target"), Some("AWSEvents.PutPartnerEvents"));
    assert!(!got[0].body.contains("EventBusName"));
}
