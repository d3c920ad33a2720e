//! The load: password changes, as fast as they are answered or by the clock. Every customer has one request in progress
//! at most, so that versions never get into each other's way.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use crate::Result;
use crate::black_box::api::{Answer, Api};

/// A customer, whose password follows from the version.
pub struct Customer {
    pub id: String,
    pub version: i64,
    pub email: String,
}

/// A request that was done: what its message is about, and the moment to measure from.
pub struct Sent {
    pub resource: String,
    pub sequence: i64,
    pub at: std::time::Instant,
}

/// What became of the requests of an overload.
#[derive(Default)]
pub struct Overload {
    /// Changes per second, once the queue was full.
    pub goodput: f64,
    pub answered: f64,
    /// 503 with `Retry-After`.
    pub refused: f64,
    pub timed_out: f64,
    pub other: f64,
    /// Requests whose turn came when every customer had one in progress.
    pub unsent: f64,
    /// Milliseconds to the answers of 200, sorted.
    pub waits: Vec<f64>,
}

fn password(version: i64) -> String {
    format!("the password of version {version}")
}

impl Customer {
    /// Asks for the next password. The version is the next one if the answer is 200.
    async fn change(&mut self, api: &Api) -> std::result::Result<Answer, reqwest::Error> {
        let (current, new) = (password(self.version), password(self.version + 1));
        let body = json!({"id": self.id, "version": self.version, "currentPassword": current, "newPassword": new});
        let answer = api.post("/customers/password", &body).await?;
        if answer.status == 200 {
            self.version += 1;
        }
        Ok(answer)
    }

    /// The same where nothing speaks against it.
    pub async fn must_change(&mut self, api: &Api) -> Result<()> {
        let answer = self.change(api).await?;
        if answer.status == 200 { Ok(()) } else { Err(unexpected("change a password", &answer)) }
    }
}

fn unexpected(what: &str, answer: &Answer) -> Box<dyn std::error::Error + Send + Sync> {
    format!("{what}: {} {}", answer.status, answer.body).into()
}

/// Creates customers, a few at a time.
pub async fn create(api: &Arc<Api>, count: usize, clients: usize) -> Result<Vec<Customer>> {
    create_as(api, "customer", count, clients).await
}

/// The same with another name.
pub async fn create_as(api: &Arc<Api>, name: &'static str, count: usize, clients: usize) -> Result<Vec<Customer>> {
    let mut tasks = JoinSet::new();
    for client in 0..clients {
        let api = api.clone();
        tasks.spawn(async move {
            let mut customers = Vec::new();
            for number in (client..count).step_by(clients) {
                let email = format!("{name}-{number}@example.com");
                let answer = api.post("/customers", &json!({"email": email, "password": password(1)})).await?;
                if answer.status != 201 {
                    return Err(unexpected("create a customer", &answer));
                }
                customers.push(Customer { id: answer.text("/customer/id"), version: 1, email });
            }
            Ok(customers)
        });
    }
    let mut all = Vec::new();
    while let Some(customers) = tasks.join_next().await {
        all.extend(customers??);
    }
    Ok(all)
}

/// Clients that each send the next request as soon as the one before is answered.
pub struct Saturation {
    stop: Arc<AtomicBool>,
    answers: Arc<AtomicUsize>,
    refusals: Arc<AtomicUsize>,
    clients: JoinSet<Result<Vec<Customer>>>,
}

impl Saturation {
    /// As many clients as there are customers.
    pub fn start(api: &Arc<Api>, customers: impl Iterator<Item = Customer>) -> Self {
        Self::in_turns(api, customers.map(|customer| vec![customer]))
    }

    /// Clients whose customers take turns.
    pub fn in_turns(api: &Arc<Api>, clients_customers: impl Iterator<Item = Vec<Customer>>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (answers, refusals) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let mut clients = JoinSet::new();
        for mut customers in clients_customers {
            let (api, stop) = (api.clone(), stop.clone());
            let (answers, refusals) = (answers.clone(), refusals.clone());
            clients.spawn(async move {
                let count = customers.len().max(1);
                for turn in 0_usize.. {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    let Some(customer) = customers.get_mut(turn % count) else { break };
                    let answer = customer.change(&api).await?;
                    match answer.status {
                        200 => drop(answers.fetch_add(1, Ordering::Relaxed)),
                        // Somebody else has taken the processor: that shows in the rate.
                        503 => drop(refusals.fetch_add(1, Ordering::Relaxed)),
                        _ => return Err(unexpected("change a password at saturation", &answer)),
                    }
                }
                Ok(customers)
            });
        }
        Self { stop, answers, refusals, clients }
    }

    /// Changes so far.
    pub fn answers(&self) -> usize {
        self.answers.load(Ordering::Relaxed)
    }

    /// Answers of 503 so far.
    pub fn refusals(&self) -> usize {
        self.refusals.load(Ordering::Relaxed)
    }

    /// Lets every client finish, and gives the customers back.
    pub async fn finish(mut self) -> Result<Vec<Customer>> {
        self.stop.store(true, Ordering::Relaxed);
        let mut customers = Vec::new();
        while let Some(customer) = self.clients.join_next().await {
            customers.extend(customer??);
        }
        Ok(customers)
    }
}

/// Changes at this rate, as even as the clock. From the moment of the answer. Those that were refused, because somebody
/// else has taken the processor, are left out.
pub async fn by_the_clock(
    api: &Arc<Api>,
    customers: &mut Vec<Customer>,
    rate: f64,
    window: Duration,
) -> Result<Vec<Sent>> {
    let mut clock = Clock::start(rate, window);
    let mut tasks = JoinSet::new();
    let mut sent = Vec::new();
    let mut free: VecDeque<Customer> = customers.drain(..).collect();
    while clock.tick().await.is_some() {
        let mut customer = free.pop_front().ok_or("more changes in progress than there are customers")?;
        let api = api.clone();
        tasks.spawn(async move {
            let answer = customer.change(&api).await?;
            let at = std::time::Instant::now();
            match answer.status {
                200 => Ok((Some(Sent { resource: customer.id.clone(), sequence: customer.version, at }), customer)),
                503 => Ok((None, customer)),
                _ => Err(unexpected("change a password at half load", &answer)),
            }
        });
        while let Some(done) = tasks.try_join_next() {
            let (done, customer) = done??;
            sent.extend(done);
            free.push_back(customer);
        }
    }
    while let Some(done) = tasks.join_next().await {
        let (done, customer) = done??;
        sent.extend(done);
        free.push_back(customer);
    }
    customers.extend(free);
    Ok(sent)
}

/// Reset tokens at this rate. From the moment before the request.
pub async fn tokens_by_the_clock(
    api: &Arc<Api>,
    customers: &[Customer],
    rate: f64,
    window: Duration,
) -> Result<Vec<Sent>> {
    let mut clock = Clock::start(rate, window);
    let mut tasks: JoinSet<Result<Sent>> = JoinSet::new();
    let mut customers = customers.iter().cycle();
    while let (Some(()), Some(customer)) = (clock.tick().await, customers.next()) {
        let (api, body) = (api.clone(), json!({"email": customer.email}));
        tasks.spawn(async move {
            let at = std::time::Instant::now();
            let answer = api.post("/customers/password-token", &body).await?;
            if answer.status != 200 {
                return Err(unexpected("make a token", &answer));
            }
            Ok(Sent { resource: answer.text("/id"), sequence: 1, at })
        });
    }
    let mut sent = Vec::new();
    while let Some(done) = tasks.join_next().await {
        sent.push(done??);
    }
    Ok(sent)
}

/// Changes at this rate, whatever the answers.
pub async fn overload(api: &Arc<Api>, customers: &mut Vec<Customer>, rate: f64, window: Duration) -> Result<Overload> {
    let mut clock = Clock::start(rate, window);
    let (begin, end) = (clock.begun + window / 4, clock.end);
    let mut counted = 0.0;
    let mut run = Overload::default();
    let mut tasks = JoinSet::new();
    let mut free: VecDeque<Customer> = customers.drain(..).collect();
    let mut note = |run: &mut Overload, done: Done| -> Option<Customer> {
        let Done { customer, asked, answered, answer } = done;
        match answer {
            Ok(answer) if answer.status == 200 => {
                run.answered += 1.0;
                run.waits.push(1e3 * (answered - asked).as_secs_f64());
                counted += if (begin..end).contains(&answered) { 1.0 } else { 0.0 };
            }
            Ok(answer) if answer.status == 503 && answer.has_retry_after => run.refused += 1.0,
            Ok(_) => run.other += 1.0,
            // Nobody knows the version of these two, so their customers are not asked for again.
            Err(error) if error.is_timeout() => {
                run.timed_out += 1.0;
                return None;
            }
            Err(_) => {
                run.other += 1.0;
                return None;
            }
        }
        Some(customer)
    };
    while clock.tick().await.is_some() {
        while let Some(done) = tasks.try_join_next() {
            free.extend(note(&mut run, done?));
        }
        let Some(mut customer) = free.pop_front() else {
            run.unsent += 1.0;
            continue;
        };
        let api = api.clone();
        tasks.spawn(async move {
            let asked = Instant::now();
            let answer = customer.change(&api).await;
            Done { customer, asked, answered: Instant::now(), answer }
        });
    }
    while let Some(done) = tasks.join_next().await {
        free.extend(note(&mut run, done?));
    }
    customers.extend(free);
    run.goodput = counted / (end - begin).as_secs_f64();
    run.waits.sort_by(f64::total_cmp);
    Ok(run)
}

/// A request of an overload that came to its end.
struct Done {
    customer: Customer,
    asked: Instant,
    answered: Instant,
    answer: std::result::Result<Answer, reqwest::Error>,
}

/// Ticks at a rate. A tick that is late is made up for: the schedule does not wait.
struct Clock {
    begun: Instant,
    end: Instant,
    period: Duration,
    ticks: u32,
}

impl Clock {
    fn start(rate: f64, window: Duration) -> Self {
        let begun = Instant::now();
        Self { begun, end: begun + window, period: Duration::from_secs_f64(1.0 / rate), ticks: 0 }
    }

    /// Waits for the next tick. `None`: the window is over.
    async fn tick(&mut self) -> Option<()> {
        let next = self.begun + self.period * self.ticks;
        self.ticks += 1;
        if next >= self.end {
            return None;
        }
        sleep_until(next).await;
        Some(())
    }
}
