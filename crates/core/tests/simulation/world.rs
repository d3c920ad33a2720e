//! The made-up world: its time, what happens in it, and how a run goes. Things go wrong for a while; then all is well but for
//! those receivers that fail for some customers, and everybody else must get what is theirs; then these are well, too.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use keyherald_core::delivery::Outcome;
use keyherald_core::lease::Fence;

use crate::chance::{Chance, MILLI, SECOND};
use crate::database::{Database, Entry, People};
use crate::node::{Address, Node, Told};
use crate::receiver::{Arrival, Mood, Receiver, is_poisoned};
use crate::scenario::{Broken, PROBES, Scenario};
use crate::wire::Ask;

/// Until the next message comes once all is well it may take this long, or longer if others fail.
const SETTLE_WAIT: i64 = 30 * 60 * SECOND;
/// More than this cannot happen within a second, unless somebody wakes for nothing again and again.
const EVENTS_PER_SECOND_MAX: u64 = 500_000;
/// So much of what happened last is told of a run that went wrong.
const TRACE_LINES: usize = 60;

/// What happens.
pub enum Event {
    /// A request begins to write of a customer.
    Begin(usize),
    /// A writer's transaction ends.
    End(i64),
    Trouble,
    Mood(usize),
    Thaw(usize, u32),
    Start(usize),
    DatabaseUp,
    DatabaseHasRoom,
    /// A question has reached the database.
    Ask(usize, u32, Ask),
    /// A COMMIT has reached it.
    Commit(i64, Address, u64),
    /// It ends a session that has been silent in a transaction.
    SessionEnds(i64),
    /// Whoever still waits to claim waits no longer.
    ClaimTimesOut(Address),
    /// A node is told something.
    Told(usize, u32, Told),
    /// A message reaches its receiver.
    Arrive(Address, u64, Entry, Option<Fence>),
    /// How far is it?
    Check,
}

struct Scheduled {
    at: i64,
    order: u64,
    event: Event,
}

impl PartialEq for Scheduled {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Scheduled {}

impl PartialOrd for Scheduled {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Scheduled {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.order).cmp(&(other.at, other.order))
    }
}

/// What a run came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub events: u64,
    pub messages: u64,
    pub delivered: u64,
    pub repeats: u64,
    pub put_aside: u64,
    pub kills: u64,
    pub freezes: u64,
    pub outages: u64,
}

impl Tally {
    pub fn add(&mut self, other: &Self) {
        self.events += other.events;
        self.messages += other.messages;
        self.delivered += other.delivered;
        self.repeats += other.repeats;
        self.put_aside += other.put_aside;
        self.kills += other.kills;
        self.freezes += other.freezes;
        self.outages += other.outages;
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Chaos,
    /// All is well but for the poisoned, since then.
    Calm(i64),
    /// The same, and there are messages that came after everything else.
    Probing(i64),
    Healed(i64),
    Over,
}

pub struct World {
    pub now: i64,
    queue: BinaryHeap<Reverse<Scheduled>>,
    order: u64,
    /// Events of this second.
    within_second: u64,
    pub last_number: u64,
    phase: Phase,
    pub chance: Chance,
    pub scenario: Scenario,
    pub people: People,
    pub db: Database,
    pub nodes: Vec<Node>,
    pub receivers: Vec<Receiver>,
    pub tally: Tally,
    /// The first rule that was broken.
    pub violation: Option<String>,
    probes: Vec<Entry>,
    trace: VecDeque<String>,
    tells: bool,
}

impl World {
    /// Everything of it follows from the seed. `tells`: what happens is printed.
    pub fn new(seed: u64, broken: Broken, tells: bool) -> Self {
        let mut chance = Chance::new(seed);
        let scenario = Scenario::draw(seed, broken, &mut chance);
        let (customers, subscriptions) = (scenario.customers, scenario.subscriptions.len());
        let people = People::new(customers, broken == Broken::OneLane, &mut chance);
        let nodes = (0..scenario.nodes).map(|_| Node::new(subscriptions, &scenario, &mut chance)).collect();
        let mut world = Self {
            now: 0,
            queue: BinaryHeap::new(),
            order: 0,
            within_second: 0,
            last_number: 0,
            phase: Phase::Chaos,
            chance,
            people,
            db: Database::new(customers, subscriptions),
            nodes,
            receivers: (0..subscriptions).map(|_| Receiver::new(customers)).collect(),
            tally: Tally::default(),
            violation: None,
            probes: Vec::new(),
            trace: VecDeque::new(),
            tells,
            scenario,
        };
        world.set_up();
        world
    }

    fn set_up(&mut self) {
        for _ in 0..self.scenario.transactions {
            let (at, hot) = (self.chance.between(0, self.scenario.chaos), self.chance.one_in(2));
            let among = if hot { self.scenario.customers.div_ceil(10) } else { self.scenario.customers };
            let customer = self.chance.below(among);
            self.at(at, Event::Begin(customer));
        }
        for node in 0..self.nodes.len() {
            let at = self.chance.between(0, 3 * SECOND);
            self.at(at, Event::Start(node));
        }
        for subscription in 0..self.receivers.len() {
            let at = self.chance.between(0, 20 * SECOND);
            self.at(at, Event::Mood(subscription));
        }
        self.at(self.scenario.trouble_every, Event::Trouble);
        self.at(self.scenario.chaos, Event::Check);
    }

    /// Plays it to its end.
    pub fn play(mut self) -> Result<Tally, String> {
        while self.phase != Phase::Over && self.violation.is_none() {
            let Some(Reverse(Scheduled { at, event, .. })) = self.queue.pop() else { break };
            if at / SECOND != self.now / SECOND {
                self.within_second = 0;
            }
            self.within_second += 1;
            if self.within_second > EVENTS_PER_SECOND_MAX {
                self.violated(|| "somebody goes round in circles".into());
            }
            self.now = at;
            self.db.leases.now = self.database_clock();
            self.tally.events += 1;
            self.happen(event);
        }
        match self.violation {
            None => Ok(self.tally),
            Some(violation) => {
                let trace: Vec<String> = self.trace.into();
                Err(format!("{violation}\n  what happened last:\n    {}", trace.join("\n    ")))
            }
        }
    }

    /// At this time.
    pub fn at(&mut self, at: i64, event: Event) {
        self.order += 1;
        self.queue.push(Reverse(Scheduled { at, order: self.order, event }));
    }

    /// After a time that is drawn.
    pub fn after(&mut self, (least, most): (i64, i64), event: Event) {
        let at = self.now + self.chance.between(least, most);
        self.at(at, event);
    }

    pub fn is_chaos(&self) -> bool {
        self.phase == Phase::Chaos
    }

    /// A rule is broken.
    pub fn violated(&mut self, what: impl FnOnce() -> String) {
        if self.violation.is_none() {
            self.violation = Some(format!("after {} ms: {}", self.now / MILLI, what()));
        }
    }

    /// Something that helps to understand what went wrong.
    pub fn note(&mut self, what: impl FnOnce() -> String) {
        if self.tells {
            println!("{:>9.3} {}", precise(self.now), what());
        } else if self.scenario.broken == Broken::Nothing {
            if self.trace.len() == TRACE_LINES {
                self.trace.pop_front();
            }
            self.trace.push_back(format!("{:>9.3} {}", precise(self.now), what()));
        }
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Begin(customer) => self.begin(customer),
            Event::End(transaction) => self.end(transaction),
            Event::Trouble => self.trouble(),
            Event::Mood(subscription) => {
                if self.is_chaos() {
                    let rest = self.receivers[subscription].change(&mut self.chance);
                    self.at(self.now + rest, Event::Mood(subscription));
                }
            }
            Event::Thaw(node, life) => self.thaw(node, life),
            Event::Start(node) => self.start(node),
            Event::DatabaseUp => self.db.is_down = false,
            Event::DatabaseHasRoom => self.db.is_full = false,
            Event::Ask(node, life, ask) => self.asked((node, life), ask),
            Event::Commit(transaction, from, number) => self.commit(transaction, from, number),
            Event::SessionEnds(transaction) => self.session_ends(transaction),
            Event::ClaimTimesOut(from) => self.claim_times_out(from),
            Event::Told(node, life, told) => self.tell(node, life, told),
            Event::Arrive(from, attempt, entry, fence) => self.arrive(from, attempt, entry, fence),
            Event::Check => self.check(),
        }
    }

    fn begin(&mut self, customer: usize) {
        if self.db.is_down || self.db.is_full {
            return;
        }
        let (transaction, holds) = self.db.begin(customer);
        if holds {
            self.go_on(transaction);
        }
    }

    /// It holds the customer: it takes positions, and ends soon; or not so soon.
    fn go_on(&mut self, transaction: i64) {
        let kinds: Vec<u8> = (0..=self.chance.below(3)).map(|_| u8::try_from(self.chance.below(4)).unwrap()).collect();
        self.db.append(transaction, &kinds, self.database_clock());
        let most = match self.chance.below(50) {
            0 if self.is_chaos() => 10 * SECOND,
            1..5 => 500 * MILLI,
            _ => 10 * MILLI,
        };
        self.after((MILLI, most), Event::End(transaction));
    }

    fn end(&mut self, transaction: i64) {
        let commits = !self.chance.one_in(15) || !self.is_chaos();
        let (entries, next) = self.db.end(transaction, commits);
        for entry in &entries {
            self.tally.messages += 1;
            for subscription in 0..self.receivers.len() {
                if self.wants(subscription, entry) && !self.is_safe(subscription, entry) {
                    self.violated(|| {
                        format!("lost: {subscription}'s cursor had passed {} before it was visible", entry.position)
                    });
                }
            }
        }
        if !entries.is_empty() {
            self.notify();
        }
        if let Some(next) = next {
            self.go_on(next);
        }
    }

    /// Most nodes hear of a commit at once.
    fn notify(&mut self) {
        for node in 0..self.nodes.len() {
            if !self.chance.one_in(20) {
                let life = self.nodes[node].life;
                self.after((0, 5 * MILLI), Event::Told(node, life, Told::Notified));
            }
        }
    }

    pub fn wants(&self, subscription: usize, entry: &Entry) -> bool {
        self.scenario.subscriptions[subscription].wants(entry.kind)
    }

    /// Whether it came, or was put aside.
    pub fn is_done(&self, subscription: usize, position: i64) -> bool {
        self.receivers[subscription].has(position) || self.db.kept[subscription].letters.contains(&position)
    }

    /// Whether whoever read the database now would still send it.
    pub fn is_safe(&self, subscription: usize, entry: &Entry) -> bool {
        let kept = &self.db.kept[subscription];
        entry.position > kept.cursors[usize::from(self.people.partition(entry.customer))]
            || kept.rows.get(&self.people.lanes[entry.customer]).is_some_and(|row| row.from_position <= entry.position)
    }

    fn arrive(&mut self, from: Address, attempt: u64, entry: Entry, fence: Option<Fence>) {
        if self.db.at(entry.position) != Some(entry) {
            self.violated(|| format!("a message was sent that is not in the log: {entry:?}"));
        }
        if fence.is_some_and(|fence| !self.db.leases.is_intact(&fence)) {
            self.violated(|| format!("node {} sent {} without a right to", from.node, entry.position));
        }
        let subscription = from.subscription;
        let wish = (&self.scenario.subscriptions[subscription], subscription);
        let reaction = self.receivers[subscription].react(&entry, wish, self.scenario.attempt_max, &mut self.chance);
        if reaction.accepts {
            match self.receivers[subscription].arrive(&entry) {
                Arrival::First => {
                    self.tally.delivered += 1;
                    self.receivers[subscription].last_first = self.now;
                }
                Arrival::Repeat => self.tally.repeats += 1,
                Arrival::Inverted(before) => self.violated(|| {
                    format!(
                        "inversion: {subscription} got {} of customer {} after {before}",
                        entry.position, entry.customer
                    )
                }),
            }
        }
        self.note(|| {
            format!("{subscription} gets {} from node {}, accepts: {}", entry.position, from.node, reaction.accepts)
        });
        let late = self.now + self.scenario.attempt_max;
        for (after, outcome) in reaction.answers {
            let at = (self.now + after).min(late);
            self.at(at, Event::Told(from.node, from.life, Told::Answered(from, attempt, outcome)));
        }
        let too_late = Told::Answered(from, attempt, Outcome::Delivered); // whatever it says, its time is over
        self.at(late, Event::Told(from.node, from.life, too_late));
    }

    /// Looks how far it is, every second from when things stop going wrong.
    fn check(&mut self) {
        match self.phase {
            Phase::Chaos => self.calm(),
            Phase::Calm(since) => {
                if self.is_settled() {
                    self.probe();
                    self.phase = Phase::Probing(self.now);
                } else {
                    self.complain_after(since);
                }
            }
            Phase::Probing(since) => {
                if self.probes_have_come(since) {
                    for receiver in &mut self.receivers {
                        (receiver.is_healed, receiver.settled) = (true, 0);
                    }
                    self.phase = Phase::Healed(self.now);
                }
            }
            Phase::Healed(since) => {
                if !self.is_settled() {
                    self.complain_after(since);
                    return self.at(self.now + SECOND, Event::Check);
                }
                self.tally.put_aside = self.db.kept.iter().map(|kept| u64::try_from(kept.letters.len()).unwrap()).sum();
                self.note(|| "all has come".into());
                self.phase = Phase::Over;
            }
            Phase::Over => {}
        }
        self.at(self.now + SECOND, Event::Check);
    }

    fn calm(&mut self) {
        self.phase = Phase::Calm(self.now);
        self.note(|| "all is well from now on".into());
        (self.db.is_down, self.db.is_full) = (false, false);
        for receiver in &mut self.receivers {
            receiver.mood = Mood::Well;
        }
        for node in 0..self.nodes.len() {
            let life = self.nodes[node].life;
            self.thaw(node, life);
            self.at(self.now + SECOND, Event::Start(node));
        }
    }

    /// Whether everything that is to come has come: of the poisoned, only when they are well.
    fn is_settled(&mut self) -> bool {
        let last = self.db.last_position();
        for subscription in 0..self.receivers.len() {
            while self.receivers[subscription].settled <= last {
                let position = self.receivers[subscription].settled;
                if let Some(entry) = self.db.at(position)
                    && self.owes(subscription, &entry)
                {
                    return false;
                }
                self.receivers[subscription].settled += 1;
            }
        }
        true
    }

    fn owes(&self, subscription: usize, entry: &Entry) -> bool {
        let wish = &self.scenario.subscriptions[subscription];
        let excused = !self.receivers[subscription].is_healed && is_poisoned(wish, subscription, entry.customer);
        self.wants(subscription, entry) && !excused && !self.is_done(subscription, entry.position)
    }

    fn complain_after(&mut self, since: i64) {
        for subscription in 0..self.receivers.len() {
            let wait = self.scenario.subscriptions[subscription].settles_after(self.scenario.attempt_max);
            if self.now < since.max(self.receivers[subscription].last_first) + wait.max(SETTLE_WAIT) {
                continue;
            }
            let position = self.receivers[subscription].settled;
            if let Some(entry) = self.db.at(position).filter(|entry| self.owes(subscription, entry)) {
                self.violated(|| format!("lost: {subscription} never got {entry:?}"));
            }
        }
    }

    /// Some customers change their password while all is well but for the poisoned.
    fn probe(&mut self) {
        for _ in 0..5 {
            let customer = self.chance.below(self.scenario.customers);
            let (transaction, holds) = self.db.begin(customer);
            if holds {
                let kinds: Vec<u8> = (0..PROBES).map(|_| u8::try_from(self.chance.below(4)).unwrap()).collect();
                self.db.append(transaction, &kinds, self.database_clock());
                let (entries, _) = self.db.end(transaction, true);
                self.tally.messages += u64::try_from(entries.len()).unwrap();
                self.probes.extend(entries);
            }
        }
        self.notify();
    }

    fn probes_have_come(&mut self, since: i64) -> bool {
        let mut all = true;
        for subscription in 0..self.receivers.len() {
            let patience = self.scenario.subscriptions[subscription].patience(self.scenario.attempt_max);
            let missing = self.probes.iter().find(|entry| self.owes(subscription, entry)).copied();
            all &= missing.is_none();
            if let Some(entry) = missing
                && self.now > since + patience
            {
                let waited = (self.now - since) / SECOND;
                self.violated(|| {
                    format!(
                        "{subscription} has been waiting for {} of customer {} for {waited} s, for others' sake",
                        entry.position, entry.customer
                    )
                });
            }
        }
        all
    }
}

#[expect(clippy::cast_precision_loss, clippy::as_conversions, reason = "for the eye")]
fn precise(at: i64) -> f64 {
    at as f64 / 1_000_000.0
}
