//! A private Mosquitto: in the open, with TLS, and with TLS for those alone who have the tests' client certificate.

use std::path::{Path, PathBuf};

use super::Running;
use super::listening::{self, PASSWORD, USER, certificate};
use crate::process::Keep;
use crate::{Result, root};

/// What `mosquitto_passwd` makes of [`PASSWORD`].
const PASSWORD_HASH: &str =
    "$7$101$RH2pnjL2GKh0ueOK$roVjmT/9gwtHOtZJ6kpil7+83UEetWabYbrJ0gpJf36i+T163HtPrYxBmQbLgfZYj3ka7hTkf1kvf62OioU3/Q==";

/// Beside PATH: where programs for administrators are.
pub(super) fn folders() -> Vec<PathBuf> {
    vec!["/usr/sbin".into(), "/usr/local/sbin".into()]
}

/// Starts one. Its address is `127.0.0.1:PORT TLS_PORT MUTUAL_TLS_PORT USER PASSWORD`.
pub(super) fn start(programs: &Path) -> Result<Running> {
    let prepare = |place: &Path, [plain, secure, mutual]: [u16; 3]| {
        let (configuration, passwords) = (place.join("mosquitto.conf"), place.join("passwords"));
        std::fs::write(&passwords, format!("{USER}:{PASSWORD_HASH}\n"))?;
        let tls = format!("certfile {}\nkeyfile {}\n", certificate("server.pem"), certificate("server.key"));
        let client = root().join("crates/server/tests/destinations/certificates/client.pem");
        let text = format!(
            "listener {plain} 127.0.0.1\n             listener {secure} 127.0.0.1\n{tls}             listener {mutual} 127.0.0.1\n{tls}             cafile {}\n             require_certificate true\n             allow_anonymous false\n             password_file {}\n             max_packet_size 1048576\n             persistence false\n             user root\n", // as root it would become somebody who cannot read these; others it does not concern
            client.display(),
            passwords.display(),
        );
        std::fs::write(&configuration, text)?;
        Ok(Keep::new(programs.join("mosquitto")).arg("-c").arg(configuration))
    };
    let server = listening::start("mosquitto", prepare, |_, _, _| {})?;
    let [plain, secure, mutual] = server.ports;
    let address = format!("127.0.0.1:{plain} {secure} {mutual} {USER} {PASSWORD}");
    Ok(Running { address, version: "Mosquitto".to_owned(), _process: server.process, _folder: server.folder })
}
