//! A private mail server: aiosmtpd, with STARTTLS under a certificate of the tests, keeping what it gets in a Maildir.

use std::fs::File;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::Running;
use crate::process::{Keep, Kept};
use crate::{Result, root};

/// Python needs a moment; a loaded machine may take much longer.
const START_WAIT: Duration = Duration::from_mins(1);
/// Somebody else may take the free port between our look and its bind.
const PORT_TRIES: u32 = 3;
/// The certificate, for `localhost`, and its key: of the tests, and of no use elsewhere.
const CERTIFICATES: &str = "crates/server/tests/mail/certificates";

/// It is on PATH.
pub(super) fn folders() -> Vec<PathBuf> {
    Vec::new()
}

/// Starts one. Its address is `127.0.0.1:PORT FOLDER`: where it listens, and the Maildir of what it got.
pub(super) fn start(programs: &Path) -> Result<Running> {
    let place = tempfile::Builder::new().prefix("keyherald-aiosmtpd-").tempdir()?;
    let (log, maildir) = (place.path().join("log"), place.path().join("maildir"));
    for _ in 0..PORT_TRIES {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let certificates = root().join(CERTIFICATES);
        let keep = Keep::new(programs.join("aiosmtpd"))
            .args(["--nosetuid", "--smtputf8", "--listen", &format!("127.0.0.1:{port}")])
            .args(["--tlscert".into(), certificates.join("server.pem")])
            .args(["--tlskey".into(), certificates.join("server.key")])
            .args(["--class", "aiosmtpd.handlers.Mailbox"])
            .args([&maildir]);
        let output = File::options().create(true).append(true).open(&log)?;
        let errors = output.try_clone()?;
        let process = Kept::start(&keep.remove(place.path()), |command| {
            command.stdout(output).stderr(errors);
        })?;
        let begin = Instant::now();
        while process.wait(Duration::from_millis(100))?.is_none() {
            if TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok() {
                let address = format!("127.0.0.1:{port} {}", maildir.display());
                return Ok(Running { address, version: "aiosmtpd".to_owned(), _process: process, _folder: place });
            }
            if begin.elapsed() > START_WAIT {
                return Err("aiosmtpd did not answer in time".into());
            }
        }
    }
    let said = std::fs::read_to_string(log).unwrap_or_default();
    Err(format!("aiosmtpd ended before it answered:\n{said}").into())
}
