//! `Webhook`: a signed POST by the rules of Standard Webhooks (standards.md 4.1).
//!
//! Draft: `{"type": "Webhook", "url": "https://...", "secret": "whsec_..."?}`. Without a secret one is made and shown
//! once, in the answer to the creation.

mod send;

use std::sync::Arc;

use keyherald_core::Ctx;
use keyherald_core::signature::WebhookSecret;
use serde_json::{Map, Value};
use url::Url;
use zeroize::Zeroizing;

use super::{CannotOpen, Context, Destination, Invalid, Kind, Policy, Rules, Validated};

/// Longest URL in bytes.
const URL_BYTES_MAX: usize = 2048;

/// The kind.
#[derive(Clone, Copy, Debug)]
pub struct Webhook;

impl Kind for Webhook {
    fn name(&self) -> &'static str {
        "Webhook"
    }

    fn rules(&self) -> Rules {
        Rules { gone_disables: true, gives_up: true }
    }

    fn validate(&self, draft: &Map<String, Value>, policy: &Policy, ctx: &mut Ctx) -> Result<Validated, Invalid> {
        let text = match draft.get("url") {
            Some(Value::String(text)) => text,
            Some(_) => return Err(invalid("url", "must be a string")),
            None => return Err(invalid("url", "is required")),
        };
        check_url(text, policy)?;
        let (secret, made) = match draft.get("secret") {
            None | Some(Value::Null) => (WebhookSecret::new(ctx), true),
            Some(Value::String(text)) => {
                let secret = WebhookSecret::parse(text).map_err(|error| invalid("secret", &error.to_string()))?;
                (secret, false)
            }
            Some(_) => return Err(invalid("secret", "must be a string")),
        };
        let mut shown_once = Map::new();
        if made {
            secret.reveal_with(|text| shown_once.insert("secret".to_owned(), text.into()));
        }
        Ok(Validated {
            settings: Map::from_iter([("url".to_owned(), text.as_str().into())]),
            secret: Some(secret.reveal_with(|text| Zeroizing::new(text.as_bytes().to_vec()))),
            shown_once,
        })
    }

    fn open(
        &self,
        settings: &Map<String, Value>,
        secret: Option<&[u8]>,
        context: &Context,
    ) -> Result<Arc<dyn Destination>, CannotOpen> {
        let url = settings.get("url").and_then(Value::as_str).ok_or(CannotOpen("it has no URL"))?;
        // What was allowed when the subscription was made may not be allowed any more.
        let url = check_url(url, &context.policy).map_err(|_| CannotOpen("its URL is not allowed"))?;
        let secret = secret.and_then(|bytes| std::str::from_utf8(bytes).ok()).ok_or(CannotOpen("it has no secret"))?;
        let secret = WebhookSecret::parse(secret).map_err(|_| CannotOpen("its secret does not read"))?;
        Ok(Arc::new(send::Endpoint::new(url, secret, context)))
    }
}

fn invalid(field: &'static str, text: &str) -> Invalid {
    Invalid { field, text: text.to_owned() }
}

/// Reads a URL that may be called: scheme, port, and the host if it is an address.
fn check_url(text: &str, policy: &Policy) -> Result<Url, Invalid> {
    let refuse = |why: &str| Err(invalid("url", why));
    if text.len() > URL_BYTES_MAX {
        return refuse(&format!("must not be longer than {URL_BYTES_MAX} bytes"));
    }
    // The parser would drop them, and what is stored would not be what is called.
    if text.chars().any(|char| char.is_control() || char.is_whitespace()) {
        return refuse("must not contain white space or control characters");
    }
    let Ok(url) = Url::parse(text) else { return refuse("must be an absolute URL") };
    match url.scheme() {
        "https" => {}
        "http" if policy.allow_http => {}
        "http" => return refuse("must begin with https://; plain HTTP is not allowed here"),
        _ => return refuse("must begin with https://"),
    }
    if !url.username().is_empty() || url.password().is_some() {
        return refuse("must not contain a user name or password");
    }
    if url.host_str().is_none_or(str::is_empty) {
        return refuse("must name a host");
    }
    match url.port_or_known_default() {
        Some(443 | 1024..) => {}
        Some(80) if policy.allow_http => {}
        _ => return refuse("must have port 443 or one from 1024 to 65535"),
    }
    if policy.guard.check_host(&url).is_err() {
        return refuse("must name a host with a public address");
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use keyherald_core::Micros;

    use super::*;
    use crate::outbound::guard::Guard;

    fn validate(draft: Value, policy: &Policy) -> Result<Validated, Invalid> {
        let Value::Object(draft) = draft else { panic!("an object") };
        Webhook.validate(&draft, policy, &mut Ctx::new(Micros(0), [8; 32]))
    }

    fn draft(url: &str) -> Value {
        serde_json::json!({"type": "Webhook", "url": url})
    }

    #[test]
    fn a_secret_is_made_when_there_is_none_and_shown_once() {
        let made = validate(draft("https://example.com/hook?x=1"), &Policy::default()).ok().unwrap();
        let settings = serde_json::json!({"url": "https://example.com/hook?x=1"});
        assert_eq!(Value::Object(made.settings), settings);
        let shown = made.shown_once.get("secret").and_then(Value::as_str).unwrap();
        assert!(shown.starts_with("whsec_"));
        assert_eq!(made.secret.unwrap().as_slice(), shown.as_bytes());
    }

    #[test]
    fn a_given_secret_is_kept_and_never_shown() {
        let secret = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
        let mut draft = draft("https://example.com");
        draft["secret"] = secret.into();
        let kept = validate(draft, &Policy::default()).ok().unwrap();
        assert!(kept.shown_once.is_empty() && !kept.settings.contains_key("secret"));
        assert_eq!(kept.secret.unwrap().as_slice(), secret.as_bytes());
    }

    #[test]
    fn urls_have_rules() {
        let strict = Policy::default();
        for url in ["https://example.com", "https://example.com:8443/a", "https://EXAMPLE.com:1024", "https://8.8.8.8/"]
        {
            assert!(validate(draft(url), &strict).is_ok(), "{url}");
        }
        let long = format!("https://example.com/{}", "x".repeat(URL_BYTES_MAX));
        for url in [
            "",
            "example.com",
            "/hook",
            "ftp://example.com",
            "http://example.com",
            "https://",
            "https://user@example.com",
            "https://:pw@example.com",
            "https://example.com:22",
            "https://example.com:80",
            "https://127.0.0.1/x",
            "https://2130706433/",
            "https://[::1]:8080",
            "https://exa mple.com",
            "https://example.com/\n",
            &long,
        ] {
            assert_eq!(validate(draft(url), &strict).err().map(|invalid| invalid.field), Some("url"), "{url}");
        }
        let open = Policy { allow_http: true, guard: Guard::open(), ..Policy::default() };
        for url in ["http://localhost:8080/hook", "http://127.0.0.1", "http://[::1]:9000"] {
            assert!(validate(draft(url), &open).is_ok(), "{url}");
        }
    }

    #[test]
    fn wrong_types_and_secrets_are_refused_by_field() {
        for (draft, field) in [
            (serde_json::json!({}), "url"),
            (serde_json::json!({"url": 7}), "url"),
            (serde_json::json!({"url": "https://example.com", "secret": 7}), "secret"),
            (serde_json::json!({"url": "https://example.com", "secret": "hunter2"}), "secret"),
        ] {
            let refused = validate(draft, &Policy::default()).err().unwrap();
            assert_eq!(refused.field, field);
            assert!(!refused.text.contains("hunter2"));
        }
    }
}
