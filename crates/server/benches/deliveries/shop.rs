//! A shop with customers, on a server of its own.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use postgres::{Client, NoTls};
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::sleep_until;

use crate::black_box::api::{Api, http_client};
use crate::black_box::server::{Launch, Server};
use crate::sink::Sink;
use crate::{Result, program};

/// The key that deliveries are signed with.
pub const SECRET: &str = "whsec_a2V5aGVyYWxkIGJlbmNobWFyaywgbm90IGEgc2VjcmV0";
/// Requests at once while a backlog is made.
const CLIENTS: usize = 32;
/// Between one customer whose token is made and the next: coprime to all numbers of customers here, so that they are spread.
const STRIDE: usize = 7_919;

/// A shop, and its servers.
pub struct Shop {
    // Before the folder and the database that they use.
    servers: Vec<Server>,
    api: Arc<Api>,
    http: reqwest::Client,
    customers: usize,
    next: AtomicUsize,
    subscriptions: Mutex<Vec<String>>,
    _folder: tempfile::TempDir,
    _database: Option<Database>,
}

impl Shop {
    /// With so many customers, on SQLite.
    pub async fn open(customers: usize) -> Result<Self> {
        Self::launch(None, customers, 1).await
    }

    /// The same with several nodes, on a database of its own at this PostgreSQL server.
    pub async fn open_on(server: &str, customers: usize, nodes: usize) -> Result<Self> {
        Self::launch(Some(Database::create(server)?), customers, nodes).await
    }

    async fn launch(database: Option<Database>, customers: usize, nodes: usize) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let launch = |node: usize| Launch {
            program: program(),
            data: folder.path().join("data"),
            store: database.as_ref().map(Database::url),
            log: folder.path().join(format!("node-{node}.log")),
            settings: vec![
                ("KEYHERALD_DEV_NO_MAIL", "true".into()),
                ("KEYHERALD_DEV_NO_PROVIDER", "true".into()),
                ("KEYHERALD__NODE__NAME", format!("node-{node}")),
                ("KEYHERALD__DELIVERY__SUBSCRIPTIONS_MAX", "100".into()),
                // Every request and every attempt would be a line.
                ("KEYHERALD__LOG__LEVEL", "warn".into()),
            ],
        };
        launch(0).start()?; // makes the key and the tables, and is killed
        import(folder.path(), database.as_ref(), customers)?;
        let servers: Vec<Server> =
            (0..nodes).map(|node| launch(node).start()).collect::<std::result::Result<_, _>>()?;
        let http = http_client(Duration::from_secs(30))?;
        let first = servers.first().ok_or("a shop has a server")?;
        let api = Arc::new(Api::sign_in(&http, first).await?);
        let (next, subscriptions) = (AtomicUsize::new(0), Mutex::default());
        Ok(Self { servers, api, http, customers, next, subscriptions, _folder: folder, _database: database })
    }

    /// The first node's process.
    pub fn pid(&self) -> u32 {
        self.servers.first().map_or(0, Server::pid)
    }

    /// How many there are.
    pub fn subscriptions(&self) -> usize {
        self.ids().len()
    }

    /// Subscribes to the messages of reset tokens.
    pub async fn subscribe(&self, sink: &Sink, path: &str) -> Result<()> {
        let draft = json!({
            "destination": {"type": "Webhook", "url": sink.url(path), "secret": SECRET},
            "messages": [{"resourceTypeId": "customer-password-token"}],
        });
        let answer = self.api.post("/subscriptions", &draft).await?;
        if answer.status != 201 {
            return Err(format!("no subscription: {} {}", answer.status, answer.body).into());
        }
        self.ids().push(answer.text("/id"));
        Ok(())
    }

    /// Nothing is sent.
    pub async fn pause(&self) -> Result<()> {
        self.tell_all("pause").await
    }

    /// What waits is sent.
    pub async fn resume(&self) -> Result<()> {
        self.tell_all("resume").await
    }

    async fn tell_all(&self, word: &str) -> Result<()> {
        let (ids, url) =
            (self.ids().clone(), self.servers.first().map(|server| server.url.as_str()).unwrap_or_default());
        for id in ids {
            let request = self.http.post(format!("{url}/admin/demo/deliveries/{id}/{word}"));
            request.bearer_auth(self.api.token()).send().await?.error_for_status()?;
        }
        Ok(())
    }

    /// Statements that all nodes have sent to their database.
    pub async fn statements(&self) -> Result<f64> {
        let mut sum = 0.0;
        for server in &self.servers {
            let text = self.http.get(&server.metrics_url).send().await?.error_for_status()?.text().await?;
            let shown = text.lines().filter_map(|line| line.strip_prefix("keyherald_store_statements_total"));
            sum += shown.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum::<f64>();
        }
        Ok(sum)
    }

    /// Makes tokens for customers here and there, as fast as they are answered.
    pub async fn make_tokens(&self, tokens: usize) -> Result<()> {
        let mut clients: JoinSet<Result<()>> = JoinSet::new();
        for client in 0..CLIENTS {
            let share = (client..tokens).step_by(CLIENTS).count();
            let emails: Vec<String> = (0..share).map(|_| self.next_email()).collect();
            let api = self.api.clone();
            clients.spawn(async move {
                for email in emails {
                    token(&api, &email).await?;
                }
                Ok(())
            });
        }
        while let Some(ended) = clients.join_next().await {
            ended??;
        }
        Ok(())
    }

    /// Makes tokens at this rate: their ids, and when each was asked for.
    pub async fn tokens_by_the_clock(&self, rate: f64, window: Duration) -> Result<Vec<(String, Instant)>> {
        let (begun, mut requests) = (tokio::time::Instant::now(), JoinSet::<Result<_>>::new());
        for tick in 0_u32.. {
            let at = begun + Duration::from_secs_f64(f64::from(tick) / rate);
            if at >= begun + window {
                break;
            }
            sleep_until(at).await;
            let (api, email) = (self.api.clone(), self.next_email());
            requests.spawn(async move {
                let at = Instant::now();
                Ok((token(&api, &email).await?, at))
            });
        }
        let mut sent = Vec::new();
        while let Some(done) = requests.join_next().await {
            sent.push(done??);
        }
        Ok(sent)
    }

    fn next_email(&self) -> String {
        email(self.next.fetch_add(STRIDE, Ordering::Relaxed) % self.customers)
    }

    fn ids(&self) -> MutexGuard<'_, Vec<String>> {
        self.subscriptions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn email(number: usize) -> String {
    format!("customer-{number}@example.com")
}

/// A new reset token's id.
async fn token(api: &Api, email: &str) -> Result<String> {
    let answer = api.post("/customers/password-token", &json!({"email": email})).await?;
    if answer.status != 200 {
        return Err(format!("no token: {} {}", answer.status, answer.body).into());
    }
    Ok(answer.text("/id"))
}

/// Customers without a password, by `keyherald customers import`.
fn import(folder: &Path, database: Option<&Database>, customers: usize) -> Result<()> {
    let (records, config) = (folder.join("customers.jsonl"), folder.join("import.toml"));
    let mut file = std::io::BufWriter::new(std::fs::File::create(&records)?);
    for number in 0..customers {
        writeln!(file, r#"{{"email":"{}","authenticationMode":"Password"}}"#, email(number))?;
    }
    file.flush()?;
    let data = folder.join("data");
    let store = database.map_or_else(|| format!("sqlite:{}", data.join("keyherald.db").display()), Database::url);
    let text = format!(
        "[store]\nurl = {store:?}\n[secrets]\nsealing_keys = [{{ id = \"development\", key_file = {:?} }}]\n[[projects]]\nkey = \"demo\"\n",
        data.join("sealing.key").display().to_string()
    );
    std::fs::write(&config, text)?;
    let mut command = Command::new(program());
    command.args(["customers", "import", "--project", "demo", "--config"]).arg(&config).arg(&records);
    let done = command.env_clear().stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).output()?;
    if !done.status.success() {
        return Err(format!("customers cannot be imported: {}", String::from_utf8_lossy(&done.stderr)).into());
    }
    Ok(std::fs::remove_file(&records)?)
}

/// A database that is gone when the shop is.
struct Database {
    server: String,
    name: String,
}

impl Database {
    fn create(server: &str) -> Result<Self> {
        let name = format!("bench_{}_{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        on_server(server, format!("CREATE DATABASE {name}"))?;
        Ok(Self { server: server.to_owned(), name })
    }

    fn url(&self) -> String {
        let at = self.server.rfind('/').unwrap_or(self.server.len());
        format!("{}/{}", self.server.get(..at).unwrap_or_default(), self.name)
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // What is left in a throw-away server goes with it.
        let _ = on_server(&self.server, format!("DROP DATABASE {} WITH (FORCE)", self.name));
    }
}

static NUMBER: AtomicUsize = AtomicUsize::new(0);

/// The client has a runtime of its own, which must not be in another one.
fn on_server(server: &str, statement: String) -> Result<()> {
    let server = server.to_owned();
    let done = std::thread::spawn(move || Client::connect(&server, NoTls)?.batch_execute(&statement));
    Ok(done.join().map_err(|_| "PostgreSQL's client panicked")??)
}
