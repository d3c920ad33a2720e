//! What the starts of servers share: free ports, a log, and waiting until there is an answer.

use std::fs::File;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::process::{Keep, Kept};
use crate::{Result, root};

/// Most take a moment; a loaded machine may take much longer.
const START_WAIT: Duration = Duration::from_mins(2);
/// Somebody else may take a free port between our look and its bind.
const PORT_TRIES: u32 = 3;
/// Of the user by which the tests sign in; of the tests, and of no use elsewhere.
pub(super) const USER: &str = "relay";
/// Its password.
pub(super) const PASSWORD: &str = "secret-of-tests";

/// A server that listens.
pub(super) struct Listening<const PORTS: usize> {
    pub(super) process: Kept,
    pub(super) folder: TempDir,
    pub(super) ports: [u16; PORTS],
}

/// Starts what `prepare` says, given a folder and free ports, and waits until it listens on all of them.
pub(super) fn start<const PORTS: usize>(
    name: &str,
    prepare: impl Fn(&Path, [u16; PORTS]) -> Result<Keep>,
    set_up: impl Fn(&mut Command, &Path, [u16; PORTS]),
) -> Result<Listening<PORTS>> {
    let folder = tempfile::Builder::new().prefix(&format!("keyherald-{name}-")).tempdir()?;
    let (place, log) = (folder.path().to_owned(), folder.path().join("log"));
    for _ in 0..PORT_TRIES {
        let ports = free_ports()?;
        let keep = prepare(&place, ports)?.remove(&place);
        let output = File::options().create(true).append(true).open(&log)?;
        let errors = output.try_clone()?;
        let process = Kept::start(&keep, |command| {
            set_up(command, &place, ports);
            command.stdout(output).stderr(errors);
        })?;
        let begin = Instant::now();
        while process.wait(Duration::from_millis(100))?.is_none() {
            if ports.iter().all(|port| TcpStream::connect((Ipv4Addr::LOCALHOST, *port)).is_ok()) {
                return Ok(Listening { process, folder, ports });
            }
            if begin.elapsed() > START_WAIT {
                return Err(format!("{name} did not answer in time").into());
            }
        }
    }
    let said = std::fs::read_to_string(log).unwrap_or_default();
    Err(format!("{name} ended before it answered:\n{said}").into())
}

/// The certificate of the tests, for `localhost`, and its key: `file` of that folder.
pub(super) fn certificate(file: &str) -> String {
    root().join("crates/server/tests/mail/certificates").join(file).to_string_lossy().into_owned()
}

/// All at once, so that they differ.
fn free_ports<const PORTS: usize>() -> Result<[u16; PORTS]> {
    let listeners =
        (0..PORTS).map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).collect::<std::io::Result<Vec<_>>>()?;
    let mut ports = [0; PORTS];
    for (port, listener) in ports.iter_mut().zip(&listeners) {
        *port = listener.local_addr()?.port();
    }
    Ok(ports)
}
