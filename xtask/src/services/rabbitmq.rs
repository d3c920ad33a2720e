//! A private RabbitMQ, in the open and with TLS, with the plugin by which tests look into it.

use std::path::{Path, PathBuf};

use super::Running;
use super::listening::{self, PASSWORD, USER, certificate};
use crate::Result;
use crate::process::{Keep, Stop};

/// It finds other nodes by a daemon that outlives it, unless it finds one already: so there is one of its own, in its process
/// group, on a port of its own.
const LAUNCHER: &str = "epmd -address 127.0.0.1 & exec ./rabbitmq-server";

/// Beside PATH: where its start script is that needs no user of its own.
pub(super) fn folders() -> Vec<PathBuf> {
    vec!["/usr/lib/rabbitmq/bin".into()]
}

/// Starts one. Its address is `127.0.0.1:PORT TLS_PORT http://127.0.0.1:PORT USER PASSWORD`; the URL is the plugin's.
pub(super) fn start(programs: &Path) -> Result<Running> {
    let prepare = |place: &Path, [plain, secure, management, _, _]: [u16; 5]| {
        let text = format!(
            "listeners.tcp.1 = 127.0.0.1:{plain}\n\
             listeners.ssl.1 = 127.0.0.1:{secure}\n\
             ssl_options.certfile = {}\n\
             ssl_options.keyfile = {}\n\
             ssl_options.verify = verify_none\n\
             management.tcp.ip = 127.0.0.1\n\
             management.tcp.port = {management}\n\
             default_user = {USER}\n\
             default_pass = {PASSWORD}\n\
             loopback_users = none\n\
             max_message_size = 1048576\n",
            certificate("server.pem"),
            certificate("server.key"),
        );
        std::fs::write(place.join("rabbitmq.conf"), text)?;
        std::fs::write(place.join("enabled"), "[rabbitmq_management].\n")?;
        Ok(Keep::new("sh").args(["-c", LAUNCHER]).stop(Stop::Term, 20))
    };
    let programs = programs.canonicalize()?;
    let set_up = |command: &mut std::process::Command, place: &Path, [_, _, _, names, nodes]: [u16; 5]| {
        command.current_dir(&programs).env("HOME", place); // its cookie is there
        command.env("ERL_EPMD_PORT", names.to_string()).env("RABBITMQ_DIST_PORT", nodes.to_string());
        command.env("RABBITMQ_NODENAME", format!("tests-{names}@localhost"));
        command.env("RABBITMQ_CONFIG_FILE", place.join("rabbitmq"));
        command.env("RABBITMQ_ENABLED_PLUGINS_FILE", place.join("enabled"));
        command.env("RABBITMQ_MNESIA_BASE", place.join("mnesia")).env("RABBITMQ_LOG_BASE", place.join("logs"));
    };
    let server = listening::start("rabbitmq", prepare, set_up)?;
    let [plain, secure, management, ..] = server.ports;
    let address = format!("127.0.0.1:{plain} {secure} http://127.0.0.1:{management} {USER} {PASSWORD}");
    Ok(Running { address, version: "RabbitMQ".to_owned(), _process: server.process, _folder: server.folder })
}
