//! `Console`: prints deliveries on the server's own terminal. Only `keyherald dev` has it: what is printed is what a
//! receiver would get, personal data included.
//!
//! Draft: `{"type": "Console"}`. A delivery is a readable line, and its body in the next one.

use std::io::Write;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use keyherald_core::Ctx;
use keyherald_core::delivery::{Cause, Outcome};
use serde_json::{Map, Value};

use super::{CannotOpen, Context, Delivery, Destination, Invalid, Kind, Policy, Rules, Validated};

/// The kind.
#[derive(Clone, Copy, Debug)]
pub struct Console;

impl Kind for Console {
    fn name(&self) -> &'static str {
        "Console"
    }

    fn is_available(&self, policy: &Policy) -> bool {
        policy.allow_console
    }

    fn rules(&self, _: &Map<String, Value>) -> Rules {
        Rules { gone_disables: false, persistence: None }
    }

    fn validate(&self, _: &Map<String, Value>, policy: &Policy, _: &mut Ctx) -> Result<Validated, Invalid> {
        if !policy.allow_console {
            let text = "Console prints on the server's own terminal, which only `keyherald dev` does".to_owned();
            return Err(Invalid { field: "type", text });
        }
        Ok(Validated { settings: Map::new(), secret: None, shown_once: Map::new() })
    }

    fn open(
        &self,
        _: &Map<String, Value>,
        _: Option<&[u8]>,
        context: &Context,
    ) -> Result<Arc<dyn Destination>, CannotOpen> {
        if context.policy.allow_console {
            Ok(Arc::new(Terminal))
        } else {
            Err(CannotOpen("only `keyherald dev` has it"))
        }
    }
}

struct Terminal;

impl Destination for Terminal {
    fn send(&self, delivery: Delivery) -> BoxFuture<'_, Outcome> {
        Box::pin(async move {
            let text = printed(&delivery);
            // A terminal may take its time: the line must not keep a thread of the requests waiting.
            let print = move || {
                let mut stdout = std::io::stdout().lock();
                stdout.write_all(&text).and_then(|()| stdout.flush())
            };
            match tokio::task::spawn_blocking(print).await {
                Ok(Ok(())) => Outcome::Delivered,
                Ok(Err(_)) | Err(_) => Outcome::Failed {
                    reason: "standard output cannot be written to".to_owned(),
                    retry_after_s: None,
                    cause: Cause::Temporary,
                },
            }
        })
    }
}

/// Two lines: what is delivered, and its body.
fn printed(delivery: &Delivery) -> Vec<u8> {
    let Delivery { project, customer, message_id, attempt, .. } = delivery;
    let (at, sequence) = (delivery.created_at.iso(), delivery.sequence);
    let sequence = sequence.map_or_else(|| "change".to_owned(), |sequence| format!("message #{sequence}"));
    let again = if *attempt > 1 { format!("  attempt {attempt}") } else { String::new() };
    let mut text = format!("{at}  {project}  {sequence}  {message_id}  lane {customer}{again}\n").into_bytes();
    text.extend_from_slice(&delivery.body);
    text.push(b'\n');
    text
}

#[cfg(test)]
mod tests {
    use keyherald_core::Micros;

    use super::*;

    fn validate(policy: &Policy) -> Result<Validated, Invalid> {
        Console.validate(&Map::new(), policy, &mut Ctx::new(Micros(0), [0; 32]))
    }

    #[test]
    fn it_is_for_development_only() {
        assert_eq!(validate(&Policy::default()).err().map(|invalid| invalid.field), Some("type"));
        let development = Policy { allow_console: true, ..Policy::default() };
        assert!(validate(&development).is_ok_and(|accepted| accepted.settings.is_empty() && accepted.secret.is_none()));
        assert!(Console.is_available(&development) && !Console.is_available(&Policy::default()));
    }

    #[test]
    fn a_delivery_is_a_line_and_its_body() {
        let mut delivery = Delivery {
            message_id: "019aa4b2-0000-7000-8000-00000000000a".parse().unwrap(),
            sequence: Some(2),
            customer: "019aa4b2-5b7c-7d3e-9f10-0123456789ab".parse().unwrap(),
            project: "demo".parse().unwrap(),
            created_at: Micros(1_763_784_000_123_000),
            attempt: 1,
            now: Micros(0),
            content_type: "application/json; charset=utf-8",
            body: b"{\"a\":1}".to_vec(),
            event: None,
            is_replay: false,
            trace: None,
        };
        let text = |delivery: &Delivery| String::from_utf8(printed(delivery)).unwrap();
        assert_eq!(
            text(&delivery),
            "2025-11-22T04:00:00.123Z  demo  message #2  019aa4b2-0000-7000-8000-00000000000a  \
             lane 019aa4b2-5b7c-7d3e-9f10-0123456789ab\n{\"a\":1}\n"
        );
        (delivery.sequence, delivery.attempt) = (None, 3);
        assert!(text(&delivery).contains("  change  ") && text(&delivery).contains("ab  attempt 3\n"));
    }
}
