//! SQS, SNS and EventBridge at moto, which checks signatures and rights: each receiver is a queue of its own, behind a topic or
//! a rule where it is not the destination itself.
//!
//! `KEYHERALD_TEST_MOTO` is `ADDRESS KEY_ID IDLE_KEY_ID SECRET`; the second key is known and may do nothing.

use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use keyherald::connector::sigv4::{Signer, Unsigned};
use keyherald::destination::Policy;
use keyherald::destination::aws::{Aws, Keys};
use keyherald_core::Micros;
use keyherald_core::delivery::{Cause, Outcome};
use serde_json::{Value, json};
use url::form_urlencoded;

use crate::receiver::{Got, Receiver, place, service};
use crate::scene::{self, PATIENT, attempt_by};

const REGION: &str = "eu-west-1";
/// As many as there are questions to a bus, and more.
const REGIONS: [&str; 16] = [
    "us-east-1",
    "us-east-2",
    "us-west-1",
    "us-west-2",
    "eu-west-2",
    "eu-west-3",
    "eu-central-1",
    "eu-north-1",
    "ap-south-1",
    "ap-northeast-1",
    "ap-northeast-2",
    "ap-northeast-3",
    "ap-southeast-1",
    "ap-southeast-2",
    "sa-east-1",
    "ca-central-1",
];
const ACCOUNT: &str = "123456789012";

/// moto, as somebody who may do everything.
struct Moto {
    address: SocketAddr,
    key_id: String,
    idle_key_id: String,
    secret: String,
    region: &'static str,
    http: reqwest::Client,
}

impl Moto {
    fn here() -> Self {
        let [address, key_id, idle_key_id, secret] = service("KEYHERALD_TEST_MOTO");
        let http = scene::context(scene::open(), PATIENT).http;
        Self { address: address.parse().unwrap(), key_id, idle_key_id, secret, region: REGION, http }
    }

    /// In a region where nobody else makes rules: moto fails, and has done what it was asked for, when one is made meanwhile.
    fn alone() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let region = REGIONS.iter().cycle().nth(NEXT.fetch_add(1, Ordering::Relaxed));
        Self { region: region.unwrap(), ..Self::here() }
    }

    async fn post(&self, name: &str, headers: &[(String, String)], body: String) -> String {
        let host = self.address.to_string();
        let signer = Signer {
            access_key_id: &self.key_id,
            secret_access_key: &self.secret,
            session_token: None,
            region: self.region,
            service: name,
            now: Micros(1_760_000_000_000_000),
        };
        let body_bytes = body.as_bytes();
        let unsigned = Unsigned { method: "POST", host: &host, path: "/", query: "", headers, body: body_bytes };
        let signing = signer.sign(&unsigned);
        let mut request = self.http.post(format!("http://{host}/"));
        for (name, value) in headers {
            request = request.header(name, value);
        }
        for (name, value) in signing {
            request = request.header(name, value);
        }
        let answer = request.body(body).send().await.unwrap();
        let (status, text) = (answer.status(), answer.text().await.unwrap());
        assert!(status.is_success(), "{status} {text}");
        text
    }

    /// A call of a service that speaks JSON.
    async fn json(&self, name: &str, target: &str, body: &Value) -> Value {
        let kind = if name == "sqs" { "application/x-amz-json-1.0" } else { "application/x-amz-json-1.1" };
        let headers = [("content-type".into(), kind.into()), ("x-amz-target".into(), target.into())];
        let said = self.post(name, &headers, body.to_string()).await;
        serde_json::from_str(&said).unwrap_or_default()
    }

    /// A call of SNS.
    async fn topics(&self, fields: &[(&str, &str)]) -> String {
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.append_pair("Version", "2010-03-31").extend_pairs(fields);
        let headers = [("content-type".into(), "application/x-www-form-urlencoded; charset=utf-8".into())];
        self.post("sns", &headers, form.finish()).await
    }

    async fn make_queue(&self, name: &str) {
        let attributes = if name.contains(".fifo") { json!({"FifoQueue": "true"}) } else { json!({}) };
        let body = json!({"QueueName": name, "Attributes": attributes});
        self.json("sqs", "AmazonSQS.CreateQueue", &body).await;
    }

    /// What has come into the queue since the last time, which takes it out.
    async fn drain(&self, name: &str) -> Vec<Value> {
        let mut messages = Vec::new();
        let url = queue_url(&self.address.to_string(), name);
        loop {
            let body = json!({"QueueUrl": url, "MaxNumberOfMessages": 10, "MessageAttributeNames": ["All"],
                "MessageSystemAttributeNames": ["All"], "WaitTimeSeconds": 0});
            let said = self.json("sqs", "AmazonSQS.ReceiveMessage", &body).await;
            let Some(some) = said["Messages"].as_array().filter(|some| !some.is_empty()) else { return messages };
            for message in some {
                let receipt = json!({"QueueUrl": url, "ReceiptHandle": message["ReceiptHandle"]});
                self.json("sqs", "AmazonSQS.DeleteMessage", &receipt).await;
                messages.push(message.clone());
            }
        }
    }

    fn endpoint(&self, base: Policy, host: &str, port: u16) -> Policy {
        let own = Some(Keys::new(self.key_id.clone(), &self.secret, None));
        Policy { aws: Aws { endpoint: Some(format!("http://{host}:{port}").parse().unwrap()), own }, ..base }
    }
}

fn queue_url(host: &str, name: &str) -> String {
    format!("http://{host}/{ACCOUNT}/{name}")
}

/// Text of every character that a consumer might stumble over, most of them escaped in JSON; as an object, for events are.
fn big() -> Vec<u8> {
    let text: String = "é\u{1f511}\n\"\\<&>\u{7f}\u{fffe}+*~% =".chars().cycle().take(90_000).collect();
    json!({ "text": text }).to_string().into_bytes()
}

/// A message as it came out of a queue that is the destination itself, or one that a topic hands on raw.
fn got(message: &Value) -> Got {
    let attribute = |name: &str| message["MessageAttributes"][name]["StringValue"].as_str().unwrap();
    assert_eq!((attribute("project"), attribute("contentType")), ("demo", "application/json; charset=utf-8"));
    // Written otherwise on the way, and the same to whoever reads it.
    let body = message["Body"].as_str().unwrap().replace("\\ufffe", "\u{fffe}");
    let of_queue = &message["Attributes"];
    if let Some(group) = of_queue["MessageGroupId"].as_str() {
        assert_eq!((group, &of_queue["MessageDeduplicationId"]), (attribute("customer"), &attribute("id").into()));
    }
    Got { id: attribute("id").to_owned(), body: body.into_bytes() }
}

/// A queue of SQS.
pub struct Queue<const FIFO: bool> {
    moto: Moto,
    name: String,
    got: Mutex<Vec<Got>>,
}

impl<const FIFO: bool> Receiver for Queue<FIFO> {
    const KIND: &'static str = "SQS";
    const DROPS_COPIES: bool = FIFO;
    const ENDLESS: &'static [u8] = b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n";

    async fn start() -> Self {
        let (moto, name) = (Moto::here(), if FIFO { format!("{}.fifo", place()) } else { place() });
        moto.make_queue(&name).await;
        Self { moto, name, got: Mutex::default() }
    }

    fn address(&self) -> SocketAddr {
        self.moto.address
    }

    fn draft(&self, host: &str, port: u16) -> Value {
        let Moto { key_id, secret, .. } = &self.moto;
        json!({"type": "SQS", "queueUrl": queue_url(&format!("{host}:{port}"), &self.name), "region": REGION,
            "accessKey": key_id, "accessSecret": secret})
    }

    fn secrets(&self) -> Vec<String> {
        vec![self.moto.secret.clone()]
    }

    async fn got(&self) -> Vec<Got> {
        let new = self.moto.drain(&self.name).await;
        let mut all = self.got.lock().unwrap();
        all.extend(new.iter().map(got));
        all.clone()
    }

    fn big(&self) -> Vec<u8> {
        big()
    }

    fn poison(&self) -> Result<Vec<u8>, &'static str> {
        Ok(vec![b'x'; 2 * 1024 * 1024]) // twice what a queue takes
    }

    fn ask_for_rest(&self, _: u32) -> Result<(), &'static str> {
        Err("moto throttles nobody: `aws_faults` does")
    }
}

/// A FIFO topic of SNS, with a FIFO queue that subscribes to it.
pub struct Topic {
    moto: Moto,
    name: String,
    got: Mutex<Vec<Got>>,
}

impl Receiver for Topic {
    const KIND: &'static str = "SNS";
    const DROPS_COPIES: bool = true;
    const ENDLESS: &'static [u8] = b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n";

    async fn start() -> Self {
        let (moto, name) = (Moto::here(), format!("{}.fifo", place()));
        moto.make_queue(&name).await;
        let fifo = [("Attributes.entry.1.key", "FifoTopic"), ("Attributes.entry.1.value", "true")];
        moto.topics(&[&[("Action", "CreateTopic"), ("Name", &name)], fifo.as_slice()].concat()).await;
        let [topic, queue] = ["sns", "sqs"].map(|service| format!("arn:aws:{service}:{REGION}:{ACCOUNT}:{name}"));
        let raw = [("Attributes.entry.1.key", "RawMessageDelivery"), ("Attributes.entry.1.value", "true")];
        let subscribe =
            [("Action", "Subscribe"), ("TopicArn", topic.as_str()), ("Protocol", "sqs"), ("Endpoint", queue.as_str())];
        moto.topics(&[subscribe.as_slice(), raw.as_slice()].concat()).await;
        Self { moto, name, got: Mutex::default() }
    }

    fn address(&self) -> SocketAddr {
        self.moto.address
    }

    fn draft(&self, _: &str, _: u16) -> Value {
        let Moto { key_id, secret, .. } = &self.moto;
        let arn = format!("arn:aws:sns:{REGION}:{ACCOUNT}:{}", self.name);
        json!({"type": "SNS", "topicArn": arn, "accessKey": key_id, "accessSecret": secret})
    }

    fn policy(&self, base: Policy, host: &str, port: u16) -> Policy {
        self.moto.endpoint(base, host, port)
    }

    fn secrets(&self) -> Vec<String> {
        vec![self.moto.secret.clone()]
    }

    async fn got(&self) -> Vec<Got> {
        let new = self.moto.drain(&self.name).await;
        let mut all = self.got.lock().unwrap();
        all.extend(new.iter().map(got));
        all.clone()
    }

    fn big(&self) -> Vec<u8> {
        big()
    }

    fn poison(&self) -> Result<Vec<u8>, &'static str> {
        Ok(vec![b'x'; 300 * 1024])
    }

    fn ask_for_rest(&self, _: u32) -> Result<(), &'static str> {
        Err("moto throttles nobody: `aws_faults` does")
    }
}

/// A source on EventBridge's default bus, with a rule that leads to a queue.
pub struct Bus {
    moto: Moto,
    name: String,
    got: Mutex<Vec<Got>>,
}

impl Receiver for Bus {
    const KIND: &'static str = "EventBridge";
    const DROPS_COPIES: bool = false;
    const HAS_TRACE: bool = false;
    const ENDLESS: &'static [u8] = b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n";

    async fn start() -> Self {
        let (moto, name) = (Moto::alone(), place());
        moto.make_queue(&name).await;
        let pattern = json!({"source": [name]}).to_string();
        moto.json("events", "AWSEvents.PutRule", &json!({"Name": name, "EventPattern": pattern})).await;
        let queue = format!("arn:aws:sqs:{}:{ACCOUNT}:{name}", moto.region);
        let targets = json!({"Rule": name, "Targets": [{"Id": "queue", "Arn": queue}]});
        moto.json("events", "AWSEvents.PutTargets", &targets).await;
        Self { moto, name, got: Mutex::default() }
    }

    fn address(&self) -> SocketAddr {
        self.moto.address
    }

    fn draft(&self, _: &str, _: u16) -> Value {
        json!({"type": "EventBridge", "region": self.moto.region, "accountId": ACCOUNT, "source": self.name})
    }

    fn policy(&self, base: Policy, host: &str, port: u16) -> Policy {
        self.moto.endpoint(base, host, port)
    }

    fn secrets(&self) -> Vec<String> {
        Vec::new() // it has the server's own access
    }

    async fn got(&self) -> Vec<Got> {
        let new = self.moto.drain(&self.name).await;
        let mut all = self.got.lock().unwrap();
        all.extend(new.iter().map(|message| {
            let event: Value = serde_json::from_str(message["Body"].as_str().unwrap()).unwrap();
            let id = event["resources"][0].as_str().unwrap().to_owned();
            Got { id, body: event["detail"].to_string().into_bytes() }
        }));
        all.clone()
    }

    fn big(&self) -> Vec<u8> {
        big()
    }

    fn poison(&self) -> Result<Vec<u8>, &'static str> {
        Ok(b"{".to_vec())
    }

    fn ask_for_rest(&self, _: u32) -> Result<(), &'static str> {
        Err("moto throttles nobody: `aws_faults` does")
    }
}

fn refused(reason: &str) -> Outcome {
    Outcome::Failed { reason: reason.to_owned(), retry_after_s: None, cause: Cause::Refused }
}

#[tokio::test]
#[ignore = "needs moto: cargo xtask test starts one"]
async fn moto_refuses_strangers_wrong_signatures_and_missing_queues() {
    let queue = Queue::<true>::start().await;
    let port = queue.address().port();
    let attempt = async |name: &str, value: &str| {
        let mut draft = queue.draft("127.0.0.1", port);
        draft[name] = value.into();
        scene::attempt("SQS", &draft, PATIENT).await
    };
    assert_eq!(attempt("accessSecret", "wrong").await, refused("answered 403 SignatureDoesNotMatch"));
    assert_eq!(attempt("accessKey", "AKIANOBODY").await, refused("answered 403 InvalidClientTokenId"));
    assert_eq!(attempt("accessKey", &queue.moto.idle_key_id).await, refused("answered 403 AccessDenied"));
    let missing = queue_url(&format!("127.0.0.1:{port}"), "nobody.fifo");
    assert_eq!(attempt("queueUrl", &missing).await, refused("answered 400 QueueDoesNotExist"));
    assert!(queue.got().await.is_empty());
}

#[tokio::test]
#[ignore = "needs moto: cargo xtask test starts one"]
async fn moto_takes_the_servers_own_access_where_a_draft_asks_for_it() {
    let queue = Queue::<false>::start().await;
    let port = queue.address().port();
    let draft = json!({"queueUrl": queue_url(&format!("127.0.0.1:{port}"), &queue.name), "region": REGION,
        "authenticationMode": "IAM"});
    let policy = queue.moto.endpoint(scene::open(), "127.0.0.1", port);
    assert_eq!(attempt_by(policy, "SQS", &draft, PATIENT).await, Outcome::Delivered);
    assert_eq!(queue.got().await.len(), 1);
}

#[tokio::test]
#[ignore = "needs moto: cargo xtask test starts one"]
async fn moto_refuses_topics_that_are_not_there() {
    let topic = Topic::start().await;
    let policy = topic.policy(scene::open(), "127.0.0.1", topic.address().port());
    let mut draft = topic.draft("", 0);
    draft["topicArn"] = format!("arn:aws:sns:{REGION}:{ACCOUNT}:nobody.fifo").into();
    assert_eq!(attempt_by(policy, "SNS", &draft, PATIENT).await, refused("answered 404 NotFound"));
}
