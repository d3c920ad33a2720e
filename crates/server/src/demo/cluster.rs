//! `keyherald demo --cluster`: three nodes over one PostgreSQL change many passwords; one of them is killed in the middle,
//! and whoever listens misses nothing.
//!
//! The nodes are real processes, for nothing less can be killed; PostgreSQL is a throw-away one. What is shown at the end
//! is what the receiver has in its book.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use keyherald_core::signature::WebhookSecret;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::database::Database;
use super::listen;
use super::node::Node;
use super::receiver::{self, Receiver};
use super::screen::{Colors, Screen};
use crate::complaint::Complaint;
use crate::dev::Development;

/// The nodes.
const NAMES: [&str; 3] = ["a", "b", "c"];
/// Who is killed.
const VICTIM: &str = "b";
const CUSTOMERS: usize = 20;
/// Changes of each customer's password: one half before the node dies, the other half after.
const CHANGES: usize = 10;
/// Longest wait until the nodes have shared the work.
const SHARE_WAIT: Duration = Duration::from_secs(20);
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Time limit of one call.
const CALL_WAIT: Duration = Duration::from_secs(10);

/// What the receiver has of one customer: the numbers of its messages in the order in which they first came.
type Book = BTreeMap<String, Vec<i64>>;

struct Cluster {
    nodes: Vec<Node>,
    http: reqwest::Client,
    access_token: String,
    screen: Screen,
    customers: Vec<String>,
    /// Calls so far: each goes to the next node.
    calls: usize,
}

/// Plays it. True: nobody missed a message.
pub async fn run(colors: Colors) -> Result<bool, Complaint> {
    // The HTTP client wants one, though it speaks no TLS. Fails only if there is one already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    tokio::select! {
        told = play(Screen::new(colors)) => told,
        // What was started ends with this.
        _ = tokio::signal::ctrl_c() => Err(Complaint::new("ended by Ctrl-C")),
    }
}

async fn play(screen: Screen) -> Result<bool, Complaint> {
    let database = Database::start().await?;
    let folder = tempfile::Builder::new()
        .prefix("keyherald-demo-")
        .tempdir()
        .map_err(|error| Complaint::because("no temporary folder can be made", &error))?;
    let (arrived, receipts) = mpsc::channel(1000);
    let (receiver_url, listener) = listen("/messages").await?;
    let mut receiving = JoinSet::new();
    receiving.spawn(receiver::serve(listener, arrived));
    screen.head(
        "Keyherald: three nodes on one PostgreSQL, one dies, and nobody misses a message",
        &[("database", database.url()), ("receiver", format!("{receiver_url}  (checks every signature)"))],
    );

    let http = reqwest::Client::builder().no_proxy().timeout(CALL_WAIT).build();
    let http = http.map_err(|error| Complaint::because("no HTTP client can be made", &error))?;
    let mut cluster = Cluster { nodes: vec![], http, access_token: String::new(), screen, customers: vec![], calls: 0 };
    cluster.start(&NAMES, (folder.path(), &database.url())).await?;
    let secret = cluster.subscribe(&receiver_url).await?;
    let mut receiver = Receiver::new(receiver_url, receipts);
    let mut reading = JoinSet::new();
    reading.spawn(async move { read(&mut receiver, &secret, CUSTOMERS * (CHANGES + 1)).await });

    cluster.sign_up().await?;
    cluster.change(0..CHANGES / 2).await?;
    cluster.kill(VICTIM);
    cluster.change(CHANGES / 2..CHANGES).await?;
    cluster.screen.aside(
        "what the dead node had is the others' as soon as its lease has run out: 5 s after its last sign of life",
    );
    let heard = reading.join_next().await.and_then(Result::ok).unwrap_or_default();
    cluster.shares(2).await?;
    cluster.screen.chapter("It is started again, and takes its share");
    cluster.start(&[VICTIM], (folder.path(), &database.url())).await?;
    let told = heard.tell(&cluster.screen, &cluster.customers);
    drop(cluster);
    Ok(told)
}

impl Cluster {
    /// Starts these, one after the other: the first one makes the tables.
    async fn start(&mut self, names: &[&'static str], (folder, store): (&Path, &str)) -> Result<(), Complaint> {
        if self.nodes.is_empty() {
            self.screen.chapter("Three nodes start");
        }
        for name in names {
            let node = Node::start(name, folder, store).await?;
            self.screen.seen(&format!("node {name}: {}, process {}", node.url, node.pid()));
            self.nodes.push(node);
        }
        self.shares(NAMES.len()).await
    }

    /// Waits until the partitions are shared by so many, and shows it.
    async fn shares(&self, among: usize) -> Result<(), Complaint> {
        let begun = Instant::now();
        loop {
            let mut shares = Vec::new();
            for node in &self.nodes {
                let answer = self.http.get(format!("{}/health/ready", node.url)).send().await;
                let Ok(answer) = answer else { continue };
                let body: Value = answer.json().await.unwrap_or_default();
                shares.push((node.name, body.get("partitions").and_then(Value::as_u64).unwrap_or_default()));
            }
            let (all, least) =
                (shares.iter().map(|share| share.1).sum::<u64>(), shares.iter().map(|share| share.1).min());
            if shares.len() == among && all == 64 && least > Some(20) {
                let shares: Vec<String> = shares.iter().map(|(name, share)| format!("{name} {share}")).collect();
                self.screen.seen(&format!("of 64 partitions of the customers they deliver: {}", shares.join(", ")));
                return Ok(());
            }
            if begun.elapsed() > SHARE_WAIT {
                return Err(Complaint::new("the nodes did not share the partitions in time"));
            }
            sleep(LOOK_EVERY).await;
        }
    }

    async fn subscribe(&mut self, url: &str) -> Result<WebhookSecret, Complaint> {
        self.screen.chapter("Somebody wants to hear");
        let first = self.nodes.first().map(|node| node.url.clone()).unwrap_or_default();
        let form = self.http.post(format!("{first}/oauth/token"));
        let form = form.basic_auth(Development::CLIENT_ID, Some(Development::CLIENT_SECRET));
        let form = form.header("content-type", "application/x-www-form-urlencoded");
        let (_, token) = sent(form.body("grant_type=client_credentials")).await?;
        self.access_token = text(&token, "/access_token")?;
        let draft = json!({
            "key": "demo-receiver",
            "destination": {"type": "Webhook", "url": url},
            "messages": [{"resourceTypeId": "customer"}],
        });
        let (status, made) = self.post("/subscriptions", &draft).await?;
        self.screen.call("POST", "/demo/subscriptions", status, "key demo-receiver");
        WebhookSecret::parse(&text(&made, "/destination/secret")?)
            .map_err(|_| Complaint::new("the subscription's secret cannot be read"))
    }

    async fn sign_up(&mut self) -> Result<(), Complaint> {
        self.screen.chapter(&format!("{CUSTOMERS} customers sign up, each at the next node"));
        for number in 0..CUSTOMERS {
            let draft = json!({"email": format!("customer-{number}@example.com"), "password": password(0)});
            let (status, made) = self.post("/customers", &draft).await?;
            if number == 0 {
                self.screen.call("POST", "/demo/customers", status, &format!("and {} more", CUSTOMERS - 1));
            }
            self.customers.push(text(&made, "/customer/id")?);
        }
        Ok(())
    }

    /// Each customer's password is changed once for each of these numbers, at whatever node has its turn.
    async fn change(&mut self, numbers: std::ops::Range<usize>) -> Result<(), Complaint> {
        let (times, nodes) = (numbers.len(), self.nodes.len());
        self.screen.chapter(&format!("All of them change their passwords, {times} times each, at {nodes} nodes"));
        for number in numbers {
            for id in self.customers.clone() {
                let change = json!({
                    "id": id, "version": number + 1,
                    "currentPassword": password(number), "newPassword": password(number + 1),
                });
                let (status, answer) = self.post("/customers/password", &change).await?;
                if status != 200 {
                    return Err(Complaint::new(format!("a password was not changed: {status} {answer}")));
                }
            }
        }
        self.screen.call("POST", "/demo/customers/password", 200, &format!("{} times", times * self.customers.len()));
        Ok(())
    }

    fn kill(&mut self, name: &str) {
        self.screen.chapter(&format!("Node {name} dies: SIGKILL"));
        if let Some(at) = self.nodes.iter().position(|node| node.name == name) {
            let node = self.nodes.swap_remove(at);
            self.screen.seen(&format!("process {} is gone, with all that it had under way", node.pid()));
        }
    }

    /// Calls the node whose turn it is, as a load balancer would.
    async fn post(&mut self, path: &str, body: &Value) -> Result<(u16, Value), Complaint> {
        self.calls += 1;
        let at = self.calls % self.nodes.len().max(1);
        let url = self.nodes.get(at).map(|node| node.url.clone()).unwrap_or_default();
        let request = self.http.post(format!("{url}/{}{path}", Development::PROJECT));
        sent(request.bearer_auth(&self.access_token).json(body)).await
    }
}

async fn sent(request: reqwest::RequestBuilder) -> Result<(u16, Value), Complaint> {
    let lost = |error: reqwest::Error| Complaint::because("a node did not answer", &error);
    let response = request.send().await.map_err(lost)?;
    Ok((response.status().as_u16(), response.json().await.map_err(lost)?))
}

fn text(body: &Value, pointer: &str) -> Result<String, Complaint> {
    let found = body.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
    found.ok_or_else(|| Complaint::new(format!("a node's answer has no {pointer}: {body}")))
}

fn password(number: usize) -> String {
    format!("password number {number}")
}

/// What arrived.
#[derive(Default)]
struct Heard {
    book: Book,
    copies: usize,
    unsigned: usize,
}

/// Reads until `expected` messages have come, or none comes any more.
async fn read(receiver: &mut Receiver, secret: &WebhookSecret, expected: usize) -> Heard {
    let mut heard = Heard::default();
    while heard.book.values().map(Vec::len).sum::<usize>() < expected {
        // A dead node's share waits for its lease; nothing takes longer than that and our patience.
        let Some(receipt) = receiver.next().await else { break };
        heard.unsigned += usize::from(!receipt.is_signed_with(secret));
        heard.enter(&receipt.json());
    }
    heard
}

impl Heard {
    fn enter(&mut self, message: &Value) {
        let customer = message.pointer("/resource/id").and_then(Value::as_str).unwrap_or_default();
        let number = message.get("sequenceNumber").and_then(Value::as_i64).unwrap_or_default();
        let numbers = self.book.entry(customer.to_owned()).or_default();
        if numbers.contains(&number) {
            self.copies += 1;
        } else {
            numbers.push(number);
        }
    }

    /// Says what became of it. True: every customer's messages arrived, in order.
    fn tell(&self, screen: &Screen, customers: &[String]) -> bool {
        let last = i64::try_from(CHANGES + 1).unwrap_or(i64::MAX);
        let numbers = |customer: &String| self.book.get(customer).cloned().unwrap_or_default();
        let arrived: usize = self.book.values().map(Vec::len).sum();
        let missing = customers.iter().flat_map(|customer| {
            let numbers = numbers(customer);
            (1..=last).filter(move |number| !numbers.contains(number))
        });
        let missing = missing.count();
        let disordered = customers.iter().filter(|customer| !numbers(customer).is_sorted()).count();
        screen.figures(&[
            ("messages", customers.len() * (CHANGES + 1)),
            ("arrived", arrived),
            ("missing", missing),
            ("customers out of order", disordered),
            ("wrong signatures", self.unsigned),
            ("copies, under the same id", self.copies),
        ]);
        let is_well = missing + disordered + self.unsigned == 0 && arrived == customers.len() * (CHANGES + 1);
        screen.verdict(
            is_well,
            if is_well { "one node died, and nobody missed a message" } else { "messages went wrong" },
        );
        is_well
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(numbers: &[i64]) -> Heard {
        let mut heard = Heard::default();
        for number in numbers {
            heard.enter(&json!({"resource": {"id": "x"}, "sequenceNumber": number}));
        }
        heard
    }

    #[test]
    fn what_is_missing_or_out_of_order_is_noticed_and_copies_are_none_of_it() {
        let all: Vec<i64> = (1..=11).collect();
        let tell = |numbers: &[i64]| heard(numbers).tell(&Screen::new(Colors::Never), &["x".into()]);
        assert!(tell(&all) && tell(&[&all[..3], &all[1..]].concat()));
        assert!(!tell(&all[1..]) && !tell(&all[..10]));
        assert!(!tell(&[&[2, 1], &all[2..]].concat()));
    }
}
