//! The limit to compare with: a process that does nothing but sign and post, with the client and as many requests at once as
//! the relay has.

use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use keyherald::outbound::client::{ClientSettings, http_client};
use keyherald::outbound::guard::Guard;
use keyherald_core::signature::WebhookSecret;
use tokio::task::JoinSet;

use crate::Result;
use crate::shop::SECRET;

/// What tells the process that it is the bare loop: then the URL and the number of deliveries.
pub const FLAG: &str = "--bare";
/// Requests at once: the relay's `[delivery] in_flight_max`.
const AT_ONCE: usize = 64;
/// About as long as a message of a reset token.
const BODY: [u8; 560] = [b'x'; 560];

/// Starts it in a process of its own.
pub fn start(url: &str, deliveries: usize) -> Result<Child> {
    let program = std::env::current_exe()?;
    Ok(Command::new(program).args([FLAG, url, &deliveries.to_string()]).stdin(Stdio::null()).spawn()?)
}

/// Waits for its end.
pub fn finish(mut child: Child) -> Result<()> {
    if child.wait()?.success() { Ok(()) } else { Err("the bare loop failed".into()) }
}

/// The process itself.
pub fn run(arguments: &[String]) -> Result<()> {
    let [url, deliveries] = arguments else { return Err("the bare loop wants a URL and a number".into()) };
    let (url, deliveries): (url::Url, usize) = (url.parse()?, deliveries.parse()?);
    let secret = WebhookSecret::parse(SECRET)?;
    let seconds = Duration::from_secs(15);
    let settings = ClientSettings {
        guard: Guard::open(),
        connect_timeout: seconds,
        attempt_timeout: seconds,
        idle_max: AT_ONCE,
        tls: None,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let http = http_client(&settings)?;
        let next = Arc::new(AtomicUsize::new(0));
        let mut posting: JoinSet<Result<()>> = JoinSet::new();
        for _ in 0..AT_ONCE {
            let (http, url, secret, next) = (http.clone(), url.clone(), secret.clone(), next.clone());
            posting.spawn(async move {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= deliveries {
                        return Ok(());
                    }
                    let id = format!("msg_{number}");
                    let signature = secret.sign(&id, 1_763_784_000, &BODY);
                    let request = http.post(url.clone()).timeout(seconds).header("content-type", "application/json");
                    let request = request.header("webhook-id", id).header("webhook-timestamp", 1_763_784_000);
                    let request = request.header("webhook-signature", signature).body(BODY.to_vec());
                    let answer = request.send().await?.error_for_status()?;
                    answer.bytes().await?;
                }
            });
        }
        while let Some(ended) = posting.join_next().await {
            ended??;
        }
        Ok(())
    })
}
