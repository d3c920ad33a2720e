//! A private Redis, in the open and with TLS, for one user.

use std::path::{Path, PathBuf};

use super::Running;
use super::listening::{self, PASSWORD, USER, certificate};
use crate::Result;
use crate::process::Keep;

/// It is on PATH.
pub(super) fn folders() -> Vec<PathBuf> {
    Vec::new()
}

/// Starts one. Its address is `127.0.0.1:PORT TLS_PORT USER PASSWORD`.
pub(super) fn start(programs: &Path) -> Result<Running> {
    let prepare = |place: &Path, [plain, secure]: [u16; 2]| {
        let configuration = place.join("redis.conf");
        let text = format!(
            "bind 127.0.0.1\n\
             port {plain}\n\
             tls-port {secure}\n\
             tls-cert-file {}\n\
             tls-key-file {}\n\
             tls-auth-clients no\n\
             dir {}\n\
             save \"\"\n\
             user default off\n\
             user {USER} on >{PASSWORD} ~* &* +@all\n",
            certificate("server.pem"),
            certificate("server.key"),
            place.display(),
        );
        std::fs::write(&configuration, text)?;
        Ok(Keep::new(programs.join("redis-server")).arg(configuration))
    };
    let server = listening::start("redis", prepare, |_, _, _| {})?;
    let [plain, secure] = server.ports;
    let address = format!("127.0.0.1:{plain} {secure} {USER} {PASSWORD}");
    Ok(Running { address, version: "Redis".to_owned(), _process: server.process, _folder: server.folder })
}
