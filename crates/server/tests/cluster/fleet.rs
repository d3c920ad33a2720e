//! The nodes, and what may happen to them; and the fronts of the clients, which lead to nodes that live.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::sync::watch;

use crate::black_box::api::{Api, Wallet};
use crate::black_box::server::{Launch, Server};
use crate::engine::Engine;
use crate::load::{Front, Generation};
use crate::stage::{Stage, start};

/// How long a node may be silent: hardly more than twice an attempt's longest time, which is the least.
pub const LEASE: Duration = Duration::from_secs(5);

/// The nodes.
pub struct Fleet<'a> {
    engine: &'a Engine,
    http: &'a reqwest::Client,
    nodes: Vec<Node>,
    fronts: Vec<(watch::Sender<Generation>, Arc<Front>, usize)>,
}

struct Node {
    number: usize,
    launch: Launch,
    starts: u32,
    /// Absent: dead.
    life: Option<Life>,
}

struct Life {
    server: Server,
    api: Arc<Api>,
    wallet: Arc<Wallet>,
    /// What its sessions are called.
    sessions: String,
}

impl<'a> Fleet<'a> {
    /// Starts `size` nodes. The first of them makes the folder and the tables.
    pub async fn start(engine: &'a Engine, stage: &Stage, http: &'a reqwest::Client, size: usize) -> Self {
        let mut fleet = Self { engine, http, nodes: Vec::new(), fronts: Vec::new() };
        for number in 0..size {
            let mut launch = stage.launch(None, &format!("node-{number}.log"));
            launch.settings.push(("KEYHERALD__NODE__LEASE", format!("{}s", LEASE.as_secs())));
            // Three nodes on a small machine.
            launch.settings.push(("KEYHERALD__STORE__CONNECTIONS", "6".into()));
            fleet.nodes.push(Node { number, launch, starts: 0, life: None });
            fleet.revive(number, true).await;
        }
        fleet
    }

    /// Where a new client finds its server.
    pub fn front(&mut self) -> Arc<Front> {
        let node = self.least_busy();
        let (sender, server) = watch::channel(self.generation(1, node));
        let front = Arc::new(Front { server, condemned: AtomicU32::new(0) });
        self.fronts.push((sender, front.clone(), node));
        front
    }

    /// Of any node that lives.
    pub fn api(&self) -> Arc<Api> {
        self.nodes.iter().find_map(|node| Some(node.life.as_ref()?.api.clone())).expect("somebody lives")
    }

    /// Kills these at the same moment; then their clients go on at the others, as soon as it is certain what became of
    /// their requests.
    pub fn kill(&mut self, victims: &[usize]) {
        for (sender, front, node) in &self.fronts {
            if victims.contains(node) {
                front.condemned.store(sender.borrow().number, Ordering::SeqCst);
            }
        }
        let dead: Vec<Life> = victims.iter().filter_map(|victim| self.nodes[*victim].life.take()).collect();
        let (servers, sessions): (Vec<Server>, Vec<String>) =
            dead.into_iter().map(|life| (life.server, life.sessions)).unzip();
        servers.into_iter().for_each(Server::kill);
        let moment = self.engine.moment();
        for sessions in sessions {
            self.engine.wait_for_sessions(moment.as_ref(), Some(&sessions));
        }
        for index in 0..self.fronts.len() {
            if victims.contains(&self.fronts[index].2) {
                let node = self.least_busy();
                let number = self.fronts[index].0.borrow().number + 1;
                let next = self.generation(number, node);
                self.fronts[index].2 = node;
                self.fronts[index].0.send_replace(next);
            }
        }
    }

    /// Starts a dead one again, under the name that it had or under another one.
    pub async fn revive(&mut self, number: usize, renamed: bool) {
        let Node { launch, starts, life, .. } = &mut self.nodes[number];
        *starts += u32::from(renamed);
        let name = format!("node-{number}-{starts}");
        launch.settings.retain(|(key, _)| *key != "KEYHERALD__NODE__NAME");
        launch.settings.push(("KEYHERALD__NODE__NAME", name.clone()));
        launch.store = self.engine.store().map(|url| format!("{url}?application_name={name}"));
        let (server, api, wallet) = start(launch, self.http).await;
        *life = Some(Life { server, api: Arc::new(api), wallet: Arc::new(wallet), sessions: name });
    }

    /// Stops a node where it stands; it goes on when this is called again with `false`.
    pub fn freeze(&self, number: usize, frozen: bool) {
        let life = self.nodes[number].life.as_ref().expect("only who lives can be frozen");
        let pid = Pid::from_raw(i32::try_from(life.server.pid()).unwrap()).unwrap();
        kill_process(pid, if frozen { Signal::STOP } else { Signal::CONT }).unwrap();
    }

    /// How the logs end.
    pub fn log_tails(&self) -> String {
        let tails = self.nodes.iter().map(|node| format!("node {}:\n{}", node.number, node.launch.log_tail()));
        tails.collect::<Vec<_>>().join("\n")
    }

    fn least_busy(&self) -> usize {
        let clients = |number: usize| self.fronts.iter().filter(|(_, _, node)| *node == number).count();
        let living = self.nodes.iter().filter(|node| node.life.is_some()).map(|node| node.number);
        living.min_by_key(|number| clients(*number)).expect("somebody lives")
    }

    fn generation(&self, number: u32, node: usize) -> Generation {
        let life = self.nodes[node].life.as_ref().expect("who is named lives");
        Generation { number, api: life.api.clone(), wallet: life.wallet.clone() }
    }
}
