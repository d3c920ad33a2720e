//! A private moto: SQS, SNS and EventBridge as a program, which checks every signature with AWS's own library.
//!
//! Debian has none: it comes from PyPI, into an environment of its own below `target/`.

use std::path::{Path, PathBuf};

use super::Running;
use super::listening::{self, PASSWORD, USER};
use crate::process::Keep;
use crate::{Result, root};

/// The environment, below the repository.
pub(super) const ENVIRONMENT: &str = "target/python/moto";
/// Who may do everything with queues, topics and buses.
const KEY_ID: &str = "AKIAOFTESTS000000001";
/// Who is known, and may do nothing.
const IDLE_KEY_ID: &str = "AKIAOFTESTS000000002";

/// There is nobody whom it would let in otherwise. Who is known to it must have been made before the first request.
const LAUNCHER: &str = r#"
import json, sys
from moto.iam.models import iam_backends
from moto.server import main
user, secret, key_id, idle_key_id, port = sys.argv[1:]
iam = iam_backends["123456789012"]["aws"]
for name, known_by in ((user, key_id), ("idle", idle_key_id)):
    iam.create_user("aws", name)
    key = iam.create_access_key(name)
    key.access_key_id, key.secret_access_key = known_by, secret
everything = {"Effect": "Allow", "Action": ["sqs:*", "sns:*", "events:*"], "Resource": "*"}
iam.put_user_policy(user, "everything", json.dumps({"Version": "2012-10-17", "Statement": [everything]}))
main(["-H", "127.0.0.1", "-p", port])
"#;

/// Where it is installed.
pub(super) fn folders() -> Vec<PathBuf> {
    vec![root().join(ENVIRONMENT).join("bin")]
}

/// Starts one. Its address is `127.0.0.1:PORT KEY_ID IDLE_KEY_ID SECRET`: both keys have one secret.
pub(super) fn start(programs: &Path) -> Result<Running> {
    let prepare = |_: &Path, [port]: [u16; 1]| {
        let args = ["-c", LAUNCHER, USER, PASSWORD, KEY_ID, IDLE_KEY_ID];
        Ok(Keep::new(programs.join("python")).args(args).arg(port.to_string()))
    };
    let server = listening::start("moto", prepare, |command, _, _| {
        command.env("INITIAL_NO_AUTH_ACTION_COUNT", "0");
    })?;
    let [port] = server.ports;
    let address = format!("127.0.0.1:{port} {KEY_ID} {IDLE_KEY_ID} {PASSWORD}");
    Ok(Running { address, version: "moto".to_owned(), _process: server.process, _folder: server.folder })
}
