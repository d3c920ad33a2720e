//! Runs a sequence against a server and the model, and holds them against each other after every round.
//!
//! The calls of a round are made at once. The model accepts their answers if *some* order of the calls explains all of them,
//! and goes on from every state that such an order leads to: which one it was may only show later.

use std::collections::BTreeMap;
use std::rc::Rc;

use futures_util::future::join_all;

use crate::call::{By, Call, Caller, Grant, Verb, told};
use crate::chance::Chance;
use crate::contract::Admitted;
use crate::contract::state::{Client, Mistake, PROJECTS, Project, Session, World};
use crate::expect::{Answer, Difference};
use crate::plan::{CLIENTS, STORES, client, draw};
use crate::query::{Filter, Page, Predicate};
use crate::support::TestServer;

/// Seeds of calls that are made at once.
pub type Round = Vec<u64>;

/// Rounds of a sequence.
const ROUNDS: usize = 24;

/// A sequence by its seed.
pub fn rounds(seed: u64) -> Vec<Round> {
    let mut chance = Chance::new(seed);
    let round = |chance: &mut Chance| {
        let calls = if chance.percent(60) { 1 } else { 2 + chance.below(3) };
        (0..calls).map(|_| chance.number()).collect()
    };
    (0..ROUNDS).map(|_| round(&mut chance)).collect()
}

/// What was seen when model and server differed.
pub struct Failure {
    /// The calls up to there, readable.
    pub calls: Vec<String>,
    pub difference: Difference,
    /// Whether calls were made at once, so that it may end otherwise the next time.
    pub is_racy: bool,
}

/// A run of one sequence.
pub struct Run<'s> {
    server: &'s TestServer,
    keys: [String; PROJECTS],
    /// All that the world can be.
    worlds: Vec<World>,
    calls: Vec<String>,
    /// Calls so far.
    pub count: usize,
    is_racy: bool,
}

impl<'s> Run<'s> {
    /// In projects of its own. `number`: of the run, on this server.
    pub async fn new(server: &'s TestServer, number: usize, mistake: Option<Mistake>) -> Self {
        let keys = [format!("main-{number}"), format!("other-{number}")];
        let (mut clients, mut projects) = (Vec::new(), Vec::new());
        for (index, key) in keys.iter().enumerate() {
            server.project(key, true).await;
            for (name, scopes) in &CLIENTS[..if index == 0 { CLIENTS.len() } else { 1 }] {
                let (id, scopes) = (format!("{key}-{name}-client"), scopes.replace("{}", key));
                server.client(key, &id, &scopes).await;
                clients.push(Client { id, project: index, scopes });
            }
            projects.push(Project {
                key: key.clone(),
                version: 1,
                at: server.app.moments.now(),
                messages_enabled: true,
                messages_days: 15,
                stores: BTreeMap::new(),
                customers: BTreeMap::new(),
                tokens: BTreeMap::new(),
                messages: BTreeMap::new(),
                subscriptions: BTreeMap::new(),
            });
        }
        let world = World {
            now: server.app.moments.now(),
            bindings: BTreeMap::new(),
            projects: projects.try_into().ok().unwrap(),
            sessions: BTreeMap::new(),
            clients: Rc::new(clients),
            mistake,
            call: 0,
            named: 0,
        };
        Self { server, keys, worlds: vec![world], calls: Vec::new(), count: 0, is_racy: false }
    }

    /// Runs all rounds, and then looks at everything.
    pub async fn all(&mut self, rounds: &[Round]) -> Result<(), Failure> {
        let outcome = self.sequence(rounds).await;
        let (calls, is_racy) = (&mut self.calls, self.is_racy);
        outcome.map_err(|difference| Failure { calls: std::mem::take(calls), difference, is_racy })
    }

    async fn sequence(&mut self, rounds: &[Round]) -> Result<(), Difference> {
        self.renew_clients().await?;
        self.make_stores().await?;
        for round in rounds {
            let focus = Chance::new(round.first().copied().unwrap_or_default() ^ 1).number();
            let world = &self.worlds[0];
            let calls: Vec<Call> = round.iter().map(|seed| draw(world, *seed, focus, round.len() == 1)).collect();
            self.round(&calls).await?;
        }
        self.look_at_everything().await
    }

    async fn renew_clients(&mut self) -> Result<(), Difference> {
        let clients = Rc::clone(&self.worlds[0].clients);
        let ask = |client: &Client| Call {
            caller: Caller::Client(client.id.clone()),
            project: client.project,
            store: None,
            external_user: None,
            verb: Verb::Token(Grant::Client { scope: None }),
        };
        self.together(&clients.iter().map(ask).collect::<Vec<_>>()).await?;
        self.calls.retain(|call| !call.contains("grant_type=client_credentials\n"));
        Ok(())
    }

    async fn round(&mut self, calls: &[Call]) -> Result<(), Difference> {
        if let [Call { verb, .. }] = calls
            && calls[0].request(&self.keys).is_none()
        {
            self.happen(verb).await;
            self.calls.push(format!("    {}", told(&calls[0], "", &self.keys)));
            return Ok(());
        }
        self.is_racy |= calls.len() > 1;
        let played = self.answers(calls).await;
        let worlds = std::mem::take(&mut self.worlds);
        self.worlds = match &played[..] {
            [played] => explain_one(worlds, played)?,
            played => explain(&worlds, played)?,
        };
        Ok(())
    }

    /// Calls that have nothing to do with each other: at once, because that is faster, and explained one by one.
    async fn together(&mut self, calls: &[Call]) -> Result<(), Difference> {
        for played in self.answers(calls).await {
            self.worlds = explain_one(std::mem::take(&mut self.worlds), &played)?;
        }
        Ok(())
    }

    /// Makes calls at once.
    async fn answers(&mut self, calls: &[Call]) -> Vec<Played> {
        let answers = join_all(calls.iter().map(|call| self.send(call))).await;
        let played: Vec<Played> = calls
            .iter()
            .zip(answers)
            .map(|(call, answer)| {
                self.count += 1;
                Played { number: self.count, call: call.clone(), answer }
            })
            .collect();
        for Played { number, call, answer } in &played {
            let at_once = if played.len() > 1 { " |" } else { "" };
            let (sent, Answer { status, body }) = (told(call, &self.who(call), &self.keys), answer);
            self.calls.push(format!("{number:3}{at_once} {sent}\n    {status} {body}"));
        }
        played
    }

    /// Who calls, for people.
    fn who(&self, call: &Call) -> String {
        match &call.caller {
            Caller::Nobody => "nobody".to_owned(),
            Caller::Client(id) => format!("client {id}"),
            Caller::Bearer(token) => match self.worlds[0].session(token) {
                Some((_, session)) => {
                    let of = session.customer.as_ref().or(session.visitor.as_ref());
                    let of = of
                        .map(|name| format!(" of {}", self.worlds[0].value(name).unwrap_or_else(|| name.to_string())));
                    format!("token of {}{}", session.client, of.unwrap_or_default())
                }
                None => format!("unknown token {token}"),
            },
        }
    }

    async fn send(&self, call: &Call) -> Answer {
        let request = call.request(&self.keys).unwrap();
        let sent = self.server.send(request.method, &request.path, &request.headers, request.body).await;
        Answer { status: sent.status.as_u16(), body: sent.json() }
    }

    async fn happen(&mut self, verb: &Verb) {
        match verb {
            Verb::Wait { micros } => {
                self.server.clock.advance(*micros);
                self.worlds.iter_mut().for_each(|world| world.wait(*micros));
            }
            _ => while self.server.app.sweep_once().await.unwrap() {},
        }
    }

    async fn make_stores(&mut self) -> Result<(), Difference> {
        let world = &self.worlds[0];
        let make = |(project, key): (usize, &str)| Call {
            caller: newest_token(world, &client(world, project, "full")),
            project,
            store: None,
            external_user: None,
            verb: Verb::CreateStore { key: key.to_owned() },
        };
        let all = (0..PROJECTS).flat_map(|project| STORES.map(|key| (project, key)));
        let calls: Vec<Call> = all.map(make).collect();
        self.together(&calls).await?;
        self.calls.clear();
        Ok(())
    }

    /// Asks for everything that there is.
    async fn look_at_everything(&mut self) -> Result<(), Difference> {
        self.renew_clients().await?;
        for project in 0..PROJECTS {
            let questions = questions(&self.worlds[0], project);
            self.together(&questions).await?;
        }
        Ok(())
    }
}

/// What to ask to see all of a project. No answer depends on another.
fn questions(world: &World, project: usize) -> Vec<Call> {
    let here = &world.projects[project];
    let full = newest_token(world, &client(world, project, "full"));
    let ask = |caller: &Caller, store: Option<String>, verb: Verb| Call {
        caller: caller.clone(),
        project,
        store,
        external_user: None,
        verb,
    };
    let page = Page { limit: Some(500), ..Page::default() };
    let mut asked = vec![
        ask(&full, None, Verb::Query { predicate: Predicate::All, page: page.clone(), head: false }),
        ask(&full, None, Verb::Messages { filter: Filter::All, page: page.clone(), expand: true, head: false }),
        ask(&full, None, Verb::Subscriptions { key: None, page: page.clone(), head: false }),
        ask(&full, None, Verb::Stores { key: None, page, head: false }),
    ];
    for customer in here.customers.values() {
        let password = customer.password.as_ref().map_or("none", |(password, _)| password).to_owned();
        let login = Verb::Login { own: false, email: customer.email.clone(), password };
        asked.push(ask(&full, customer.stores.first().cloned(), login));
    }
    for token in here.tokens.values() {
        let Some(value) = world.value(&token.value) else { continue };
        let by = if token.is_email { By::EmailToken(value) } else { By::PasswordToken(value) };
        asked.push(ask(&full, None, Verb::Read { by, head: false }));
    }
    for (name, session) in world.sessions.iter().filter(|(_, session)| session.project == project) {
        let Some(token) = world.value(name) else { continue };
        let own = Caller::Client(session.client.clone());
        match (session.is_refresh, session.customer.is_some() || session.visitor.is_some()) {
            (true, _) => asked.push(ask(&own, None, Verb::Token(Grant::Refresh { token }))),
            (false, true) => asked.push(ask(&own, None, Verb::Introspect { token })),
            (false, false) => {}
        }
    }
    asked
}

/// The newest access token of a client itself.
fn newest_token(world: &World, client: &str) -> Caller {
    let is_own =
        |session: &Session| session.client == client && session.customer.is_none() && session.visitor.is_none();
    let tokens = world.sessions.iter().filter(|(_, session)| is_own(session));
    let newest = tokens.max_by_key(|(_, session)| session.ends).and_then(|(name, _)| world.value(name));
    newest.map_or(Caller::Nobody, Caller::Bearer)
}

/// A call and its answer.
struct Played {
    number: usize,
    call: Call,
    answer: Answer,
}

/// A world in which some of a round's calls were played.
struct Node {
    /// Which ones.
    done: Vec<bool>,
    world: World,
    /// Who called, at the beginning of the round.
    admitted: Rc<Vec<Admitted>>,
}

/// The worlds in which a call has this answer, after it. A call alone has one order, and no copy of a world is needed.
fn explain_one(worlds: Vec<World>, played: &Played) -> Result<Vec<World>, Difference> {
    let (mut found, mut differences): (Vec<World>, Vec<Difference>) = (Vec::new(), Vec::new());
    for mut world in worlds {
        match world.play(played.number, &played.call, None, &played.answer) {
            Ok(()) if found.contains(&world) => {}
            Ok(()) => found.push(world),
            Err(difference) => differences.push(format!("{}: {difference}", played.number)),
        }
    }
    differences.dedup();
    if found.is_empty() { Err(differences.join("\n")) } else { Ok(found) }
}

/// All worlds that some order of the calls leads to, with just these answers.
fn explain(worlds: &[World], played: &[Played]) -> Result<Vec<World>, Difference> {
    let start = |world: &World| Node {
        done: vec![false; played.len()],
        world: world.clone(),
        admitted: Rc::new(played.iter().map(|played| world.who(&played.call)).collect()),
    };
    let mut nodes: Vec<Node> = worlds.iter().map(start).collect();
    let mut differences = Vec::new();
    for _ in played {
        let mut next: Vec<Node> = Vec::new();
        for node in &nodes {
            for (at, played) in played.iter().enumerate() {
                let is_in_order =
                    !node.world.errs(Mistake::AtOnceIsInOrder) || node.done.iter().take(at).all(|done| *done);
                if node.done[at] || !is_in_order {
                    continue;
                }
                match node.with(at, played) {
                    Ok(found) => {
                        for node in found {
                            if !next.iter().any(|other| other.done == node.done && other.world == node.world) {
                                next.push(node);
                            }
                        }
                    }
                    Err(difference) => differences.push((played.number, difference)),
                }
            }
        }
        nodes = next;
    }
    let mut found: Vec<World> = Vec::new();
    for node in nodes {
        if !found.contains(&node.world) {
            found.push(node.world);
        }
    }
    if !found.is_empty() {
        return Ok(found);
    }
    differences.sort();
    differences.dedup();
    let differences: Vec<String> = differences.iter().map(|(number, what)| format!("{number}: {what}")).collect();
    Err(format!("no order of the last calls explains their answers\n{}", differences.join("\n")))
}

impl Node {
    /// After one call more. A caller whose token was ended by another call of the round may still count.
    fn with(&self, at: usize, played: &Played) -> Result<Vec<Self>, Difference> {
        let mut admissions = vec![None];
        if self.admitted[at].is_ok() && self.world.who(&played.call).is_err() {
            admissions.push(Some(&self.admitted[at]));
        }
        let mut done = self.done.clone();
        done[at] = true;
        let (mut found, mut first_difference) = (Vec::new(), None);
        for admitted in admissions {
            let mut world = self.world.clone();
            match world.play(played.number, &played.call, admitted, &played.answer) {
                Ok(()) => found.push(Self { done: done.clone(), world, admitted: Rc::clone(&self.admitted) }),
                Err(difference) => {
                    let _ = first_difference.get_or_insert(difference);
                }
            }
        }
        first_difference.filter(|_| found.is_empty()).map_or(Ok(found), Err)
    }
}
