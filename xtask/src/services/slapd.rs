//! A private OpenLDAP: one database with a password policy, two identities to set passwords as, and no users.
//!
//! It speaks LDAP in the open, with StartTLS under a certificate of the tests, with TLS from the first byte, and over a
//! local socket.

use std::fs::File;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::Running;
use crate::process::{Keep, Kept};
use crate::{Result, root};

/// It takes a moment; a loaded machine may take much longer.
const START_WAIT: Duration = Duration::from_mins(1);
/// Somebody else may take a free port between our look and its bind.
const PORT_TRIES: u32 = 3;
/// The certificate, for `localhost`, and its key: of the tests, and of no use elsewhere.
const CERTIFICATES: &str = "crates/server/tests/mail/certificates";

/// `{DIR}` is its folder, `{CERTIFICATES}` the one above. Policy and history hold for whoever may `write` passwords, and
/// not for who may `manage` them.
const CONFIGURATION: &str = r#"include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
pidfile {DIR}/slapd.pid
modulepath /usr/lib/ldap
moduleload back_mdb
moduleload ppolicy
TLSCertificateFile {CERTIFICATES}/server.pem
TLSCertificateKeyFile {CERTIFICATES}/server.key
database mdb
suffix "dc=example,dc=org"
rootdn "cn=admin,dc=example,dc=org"
rootpw secret
directory {DIR}/db
overlay ppolicy
ppolicy_default "cn=default,ou=policies,dc=example,dc=org"
ppolicy_hash_cleartext
access to attrs=userPassword
    by self =xw
    by anonymous auth
    by dn.exact="uid=svc,dc=example,dc=org" write
    by dn.exact="uid=mgr,dc=example,dc=org" manage
    by * none
access to *
    by dn.exact="uid=svc,dc=example,dc=org" write
    by dn.exact="uid=mgr,dc=example,dc=org" manage
    by * read
"#;

const ENTRIES: &str = r"dn: dc=example,dc=org
objectClass: dcObject
objectClass: organization
o: Example
dc: example

dn: ou=policies,dc=example,dc=org
objectClass: organizationalUnit
ou: policies

dn: ou=people,dc=example,dc=org
objectClass: organizationalUnit
ou: people

dn: cn=default,ou=policies,dc=example,dc=org
objectClass: person
objectClass: pwdPolicy
cn: default
sn: default
pwdAttribute: userPassword
pwdMinLength: 10
pwdCheckQuality: 2
pwdInHistory: 3
pwdMaxFailure: 5
pwdLockout: TRUE
pwdSafeModify: FALSE
pwdAllowUserChange: TRUE

dn: cn=slow,ou=policies,dc=example,dc=org
objectClass: person
objectClass: pwdPolicy
cn: slow
sn: slow
pwdAttribute: userPassword
pwdMinAge: 3600
pwdAllowUserChange: TRUE

dn: uid=svc,dc=example,dc=org
objectClass: account
objectClass: simpleSecurityObject
uid: svc
userPassword: service-secret

dn: uid=mgr,dc=example,dc=org
objectClass: account
objectClass: simpleSecurityObject
uid: mgr
userPassword: manager-secret
";

/// Beside PATH: where programs for administrators are.
pub(super) fn folders() -> Vec<PathBuf> {
    vec!["/usr/sbin".into(), "/usr/local/sbin".into()]
}

/// Starts one. Its address is three: `ldap://127.0.0.1:PORT ldaps://localhost:PORT ldapi://%2FSOCKET`.
pub(super) fn start(programs: &Path) -> Result<Running> {
    let place = tempfile::Builder::new().prefix("keyherald-slapd-").tempdir()?;
    let (log, configuration) = (place.path().join("log"), place.path().join("slapd.conf"));
    let folder = place.path().to_str().ok_or("the temporary folder's name is not UTF-8")?;
    let certificates = root().join(CERTIFICATES);
    let text = CONFIGURATION.replace("{DIR}", folder);
    std::fs::write(&configuration, text.replace("{CERTIFICATES}", &certificates.to_string_lossy()))?;
    fill(programs, place.path(), &configuration)?;
    let socket = format!("ldapi://{}", format!("{folder}/ldapi").replace('/', "%2F"));
    for _ in 0..PORT_TRIES {
        let (plain, secure) = free_ports()?;
        let listening = format!("ldap://127.0.0.1:{plain} ldaps://127.0.0.1:{secure} {socket}");
        let keep = Keep::new(programs.join("slapd")).arg("-f").arg(&configuration).args(["-d", "0", "-h", &listening]);
        let output = File::options().create(true).append(true).open(&log)?;
        let errors = output.try_clone()?;
        let process = Kept::start(&keep.remove(place.path()), |command| {
            command.stdout(output).stderr(errors);
        })?;
        let begin = Instant::now();
        while process.wait(Duration::from_millis(100))?.is_none() {
            if TcpStream::connect((Ipv4Addr::LOCALHOST, plain)).is_ok() {
                let address = listening.replace("ldaps://127.0.0.1", "ldaps://localhost");
                return Ok(Running { address, version: version(programs)?, _process: process, _folder: place });
            }
            if begin.elapsed() > START_WAIT {
                return Err("slapd did not answer in time".into());
            }
        }
    }
    let said = std::fs::read_to_string(log).unwrap_or_default();
    Err(format!("slapd ended before it answered:\n{said}").into())
}

fn free_ports() -> Result<(u16, u16)> {
    // Both at once, so that they differ.
    let one = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let other = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    Ok((one.local_addr()?.port(), other.local_addr()?.port()))
}

/// Writes the first entries.
fn fill(programs: &Path, place: &Path, configuration: &Path) -> Result<()> {
    let entries = place.join("entries.ldif");
    std::fs::create_dir(place.join("db"))?;
    std::fs::write(&entries, ENTRIES)?;
    let mut slapadd = Command::new(programs.join("slapadd"));
    slapadd.arg("-f").arg(configuration).arg("-l").arg(entries).stdin(Stdio::null());
    let output = slapadd.output()?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("slapadd failed ({}): {}", output.status, String::from_utf8_lossy(&output.stderr)).into())
}

fn version(programs: &Path) -> Result<String> {
    let said = Command::new(programs.join("slapd")).arg("-VV").stdin(Stdio::null()).output()?.stderr;
    let said = String::from_utf8_lossy(&said);
    let first = said.lines().find(|line| !line.is_empty()).unwrap_or("slapd");
    Ok(first.trim_start_matches(['@', '(', '#', ')', ' ', '$']).split(" (").next().unwrap_or(first).to_owned())
}
