//! A private OpenStack Keystone: a real identity provider with an HTTP API, with a password policy and a history.
//!
//! It is Python, and Debian's is old: it comes from PyPI, into an environment of its own below `target/`.

use std::fs::File;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use super::Running;
use crate::process::{Keep, Kept};
use crate::{Result, root};

/// Each of the commands that prepare it, and its start, take some seconds; a loaded machine may take much longer.
const WAIT: Duration = Duration::from_mins(3);
/// Somebody else may take the free port between our look and its bind.
const PORT_TRIES: u32 = 3;
/// Of its administrator; of the tests, and of no use elsewhere.
const PASSWORD: &str = "Adm1n-of-tests";
/// The environment, below the repository.
pub(super) const ENVIRONMENT: &str = "target/python/keystone";

/// `{DIR}` is its folder. No lockout: a refused sign-in means a wrong password then.
const CONFIGURATION: &str = r"[DEFAULT]
log_dir={DIR}
[database]
connection=sqlite:///{DIR}/keystone.db
[token]
provider=fernet
[fernet_tokens]
key_repository={DIR}/fernet
[fernet_receipts]
key_repository={DIR}/fernet
[credential]
key_repository={DIR}/credential
[identity]
password_hash_algorithm=bcrypt
password_hash_rounds=4
[security_compliance]
unique_last_password_count=3
password_regex=^(?=.*[0-9])(?=.*[a-z]).{10,}$
password_regex_description=10+ chars with a letter and a digit
";

/// It reads the arguments of whoever imports it, so they are taken away first.
const LAUNCHER: &str = "\
import os, sys
folder, port = sys.argv[1:]
sys.argv = ['keystone']
os.environ['OS_KEYSTONE_CONFIG_DIR'] = folder
os.environ['OS_KEYSTONE_CONFIG_FILES'] = 'keystone.conf'
from keystone.wsgi.api import application
import waitress
waitress.serve(application, listen='127.0.0.1:' + port, threads=8)
";

/// Where it is installed.
pub(super) fn folders() -> Vec<PathBuf> {
    vec![root().join(ENVIRONMENT).join("bin")]
}

/// Starts one. Its address is `http://127.0.0.1:PORT PASSWORD`: where it is, and its administrator's password.
pub(super) fn start(programs: &Path) -> Result<Running> {
    let place = tempfile::Builder::new().prefix("keyherald-keystone-").tempdir()?;
    let folder = place.path().to_str().ok_or("the temporary folder's name is not UTF-8")?;
    std::fs::write(place.path().join("keystone.conf"), CONFIGURATION.replace("{DIR}", folder))?;
    prepare(programs, place.path())?;
    let log = place.path().join("log");
    for _ in 0..PORT_TRIES {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let keep = Keep::new(programs.join("python")).args(["-c", LAUNCHER, folder, &port.to_string()]);
        let output = File::options().create(true).append(true).open(&log)?;
        let errors = output.try_clone()?;
        let process = Kept::start(&keep.remove(place.path()), |command| {
            command.stdout(output).stderr(errors);
        })?;
        let begin = Instant::now();
        while process.wait(Duration::from_millis(100))?.is_none() {
            if TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok() {
                let address = format!("http://127.0.0.1:{port} {PASSWORD}");
                return Ok(Running { address, version: "Keystone".to_owned(), _process: process, _folder: place });
            }
            if begin.elapsed() > WAIT {
                return Err("Keystone did not answer in time".into());
            }
        }
    }
    let said = std::fs::read_to_string(log).unwrap_or_default();
    Err(format!("Keystone ended before it answered:\n{said}").into())
}

/// Makes its tables, its keys and its administrator.
fn prepare(programs: &Path, place: &Path) -> Result<()> {
    let (user, group) = (name_of("-un")?, name_of("-gn")?);
    let keys = ["--keystone-user", &user, "--keystone-group", &group];
    let url = ["--bootstrap-public-url", "http://127.0.0.1:5000/v3", "--bootstrap-region-id", "tests"];
    let steps: [(&str, &[&str]); 4] = [
        ("db_sync", &[]),
        ("fernet_setup", &keys),
        ("credential_setup", &keys),
        ("bootstrap", &[&["--bootstrap-password", PASSWORD], url.as_slice()].concat()),
    ];
    for (step, args) in steps {
        let output = File::options().create(true).append(true).open(place.join("log"))?;
        let errors = output.try_clone()?;
        let configuration = place.join("keystone.conf");
        let keep =
            Keep::new(programs.join("keystone-manage")).arg("--config-file").arg(configuration).arg(step).args(args);
        let process = Kept::start(&keep, |command| {
            command.stdout(output).stderr(errors);
        })?;
        match process.wait(WAIT)? {
            Some(status) if status.success() => {}
            Some(status) => {
                let said = std::fs::read_to_string(place.join("log")).unwrap_or_default();
                return Err(format!("keystone-manage {step} failed ({status}):\n{said}").into());
            }
            None => return Err(format!("keystone-manage {step} did not finish in time").into()),
        }
    }
    Ok(())
}

/// Who runs the tests, to whom its keys belong.
fn name_of(what: &str) -> Result<String> {
    let said = Command::new("id").arg(what).output()?.stdout;
    Ok(String::from_utf8(said)?.trim().to_owned())
}
