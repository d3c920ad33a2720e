//! `Webhook`: a signed POST by the rules of Standard Webhooks (standards.md 4.1).
//!
//! Draft: `{"type": "Webhook", "url": "https://...", "secret": "whsec_..."?, ..}`, whose other fields are [`Settings`].
//! Without a secret one is made and shown once, in the answer to the creation or the change. A new one takes the place of a
//! former one with an overlap, in which both sign.

mod batch;
mod cloudevents;
mod consent;
mod draft;
mod http_signature;
mod keys;
mod pair;
mod send;
mod settings;

use std::sync::Arc;

use keyherald_core::signature::WebhookSecret;
use keyherald_core::subscription::FormatKind;
use keyherald_core::{Ctx, Micros};
use serde_json::{Map, Value};
use url::Url;
use zeroize::Zeroizing;

use self::cloudevents::Mode;
use self::draft::Draft;
use self::keys::Keys;
use self::pair::Pair;
use self::settings::Settings;
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

    fn rules(&self, _: &Map<String, Value>) -> Rules {
        Rules { gone_disables: true, persistence: None }
    }

    fn validate(&self, draft: &Map<String, Value>, policy: &Policy, ctx: &mut Ctx) -> Result<Validated, Invalid> {
        let mut draft = Draft::new(draft);
        let settings = Settings::of_draft(&mut draft, policy)?;
        let given = draft.text("secret")?.map(WebhookSecret::parse).transpose();
        let given = given.map_err(|error| invalid("secret", &error.to_string()))?;
        draft.finish()?;
        let mut shown_once = Map::new();
        let secret = given.unwrap_or_else(|| {
            let made = WebhookSecret::new(ctx);
            made.reveal_with(|text| shown_once.insert("secret".to_owned(), text.into()));
            made
        });
        let pair = if settings.asymmetric { Pair::new(ctx) } else { None };
        let keys = Keys::new(secret, pair);
        Ok(Validated { settings: settings.showing(&keys).stored(), secret: Some(keys.lines()), shown_once })
    }

    fn suits(&self, settings: &Map<String, Value>, format: FormatKind) -> Result<(), Invalid> {
        match Settings::read(settings) {
            Some(settings) if settings.mode != Mode::Structured && format != FormatKind::CloudEvents => {
                Err(invalid("cloudEventsMode", "needs the format CloudEvents"))
            }
            _ => Ok(()),
        }
    }

    fn succeed(
        &self,
        settings: &mut Map<String, Value>,
        (secret, former): (Zeroizing<Vec<u8>>, &[u8]),
        now: Micros,
    ) -> Zeroizing<Vec<u8>> {
        match (Settings::read(settings), Keys::read(&secret), Keys::read(former)) {
            (Some(new), Some(keys), Some(former)) => {
                let keys = keys.after(former, new.overlap(), now);
                *settings = new.showing(&keys).stored();
                keys.lines()
            }
            _ => secret,
        }
    }

    fn open(
        &self,
        settings: &Map<String, Value>,
        secret: Option<&[u8]>,
        context: &Context,
    ) -> Result<Arc<dyn Destination>, CannotOpen> {
        let settings = Settings::read(settings).ok_or(CannotOpen("its settings do not read"))?;
        // What was allowed when the subscription was made may not be allowed any more.
        let url = check_url(&settings.url, &context.policy).map_err(|_| CannotOpen("its URL is not allowed"))?;
        let keys = Keys::read(secret.ok_or(CannotOpen("it has no secret"))?);
        let keys = keys.ok_or(CannotOpen("its secret does not read"))?;
        let endpoint = send::Endpoint::new(url, keys, &settings, context);
        Ok(Arc::new(endpoint.ok_or(CannotOpen("it asks for consent, and the server does not know its own name"))?))
    }
}

fn invalid(field: &'static str, text: &str) -> Invalid {
    Invalid { field, text: text.to_owned() }
}

/// Reads a URL that may be called: scheme, port, and the host if it is an address.
pub(super) fn check_url(text: &str, policy: &Policy) -> Result<Url, Invalid> {
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
    fn an_asymmetric_endpoint_shows_its_public_key_and_nothing_else_of_it() {
        let mut draft = draft("https://example.com");
        draft["asymmetric"] = true.into();
        let made = validate(draft.clone(), &Policy::default()).ok().unwrap();
        let sealed = String::from_utf8(made.secret.unwrap().to_vec()).unwrap();
        assert!(
            sealed.lines().next().unwrap().starts_with("whsec_") && sealed.lines().nth(1).unwrap().starts_with("whsk_")
        );
        let public = made.settings.get("publicKey").and_then(Value::as_str).unwrap().to_owned();
        assert!(public.starts_with("whpk_"));
        assert_eq!(made.shown_once.keys().collect::<Vec<_>>(), ["secret"]);
        // What is read can be sent back, with the secret: nothing is made anew.
        draft["publicKey"] = "whpk_anything".into();
        draft["secret"] = made.shown_once["secret"].clone();
        let again = Webhook.validate(draft.as_object().unwrap(), &Policy::default(), &mut Ctx::new(Micros(0), [9; 32]));
        let mut again = again.ok().unwrap();
        assert_ne!(again.settings["publicKey"], public.as_str());
        let secret = Webhook.succeed(&mut again.settings, (again.secret.unwrap(), sealed.as_bytes()), Micros(0));
        assert_eq!((again.settings["publicKey"].as_str(), secret.as_slice()), (Some(&*public), sealed.as_bytes()));
    }

    #[test]
    fn modes_are_for_events() {
        for (mode, format, suits) in [
            (None, FormatKind::Platform, true),
            (Some("structured"), FormatKind::Platform, true),
            (Some("binary"), FormatKind::Platform, false),
            (Some("batched"), FormatKind::Platform, false),
            (Some("batched"), FormatKind::CloudEvents, true),
        ] {
            let mut draft = draft("https://example.com");
            draft["cloudEventsMode"] = mode.into();
            let settings = validate(draft, &Policy::default()).ok().unwrap().settings;
            assert_eq!(Webhook.suits(&settings, format).is_ok(), suits, "{mode:?} {format:?}");
        }
    }

    #[test]
    fn what_was_left_out_is_not_shown_and_all_settings_read_back() {
        let full = serde_json::json!({
            "url": "https://example.com", "cloudEventsMode": "batched", "batchMax": 5, "handshake": "required", "rateMax": 7,
            "concurrencyMax": 2, "autoDisableAfterDays": "none", "secretOverlapHours": 0,
        });
        let policy = Policy { origin: Some("id.example.com".to_owned()), ..Policy::default() };
        let kept = validate(full.clone(), &policy).ok().unwrap().settings;
        let read = Settings::read(&kept).unwrap();
        assert_eq!(
            (Value::Object(read.stored()), read.disabled_after(), read.overlap()),
            (Value::Object(kept.clone()), None, 0)
        );
        assert!(full.as_object().unwrap().iter().all(|(name, value)| kept.get(name) == Some(value)));
        let least = Settings::read(&validate(draft("https://example.com"), &policy).ok().unwrap().settings).unwrap();
        assert_eq!((least.disabled_after(), least.overlap()), (Some(5 * Micros::DAY), Micros::DAY));
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
            (serde_json::json!({"url": "https://example.com", "secretOverlapHours": "1"}), "secretOverlapHours"),
            (serde_json::json!({"url": "https://example.com", "secretOverlapHours": 721}), "secretOverlapHours"),
            (serde_json::json!({"url": "https://example.com", "secretOverlapHours": -1}), "secretOverlapHours"),
            (serde_json::json!({"url": "https://example.com", "asymmetric": "yes"}), "asymmetric"),
            (serde_json::json!({"url": "https://example.com", "httpSignature": true}), "httpSignature"),
            (serde_json::json!({"url": "https://example.com", "cloudEventsMode": "batch"}), "cloudEventsMode"),
            (serde_json::json!({"url": "https://example.com", "batchMax": 5}), "batchMax"),
            (
                serde_json::json!({"url": "https://example.com", "cloudEventsMode": "batched", "batchMax": 1}),
                "batchMax",
            ),
            (serde_json::json!({"url": "https://example.com", "handshake": true}), "handshake"),
            (serde_json::json!({"url": "https://example.com", "handshake": "required"}), "handshake"),
            (serde_json::json!({"url": "https://example.com", "rateMax": 0}), "rateMax"),
            (serde_json::json!({"url": "https://example.com", "rateMax": 1.5}), "rateMax"),
            (serde_json::json!({"url": "https://example.com", "concurrencyMax": 10_001}), "concurrencyMax"),
            (serde_json::json!({"url": "https://example.com", "autoDisableAfterDays": 0}), "autoDisableAfterDays"),
            (
                serde_json::json!({"url": "https://example.com", "autoDisableAfterDays": "never"}),
                "autoDisableAfterDays",
            ),
            (serde_json::json!({"url": "https://example.com", "ratemax": 7}), "type"),
        ] {
            let refused = validate(draft, &Policy::default()).err().unwrap();
            assert_eq!(refused.field, field);
            assert!(!refused.text.contains("hunter2"));
        }
    }
}
