//! Who we are at AWS, and where that is.
//!
//! A draft has keys of its own (`authenticationMode` `Credentials`), or has us use the server's (`IAM`), which the operator sets
//! in `[aws]`. The server's are shown to hosts of AWS's alone, and to the operator's `endpoint`: a queue's URL is the word of
//! whoever made the subscription.

use std::fmt;
use std::sync::Arc;

use serde_json::{Map, Value};
use url::Url;
use zeroize::Zeroizing;

use crate::destination::webhook::check_url;
use crate::destination::{CannotOpen, Context, Invalid, Policy, Validated, cloud};

/// Domains of AWS's, by the beginning of their regions.
const DOMAINS: [(&str, &str); 3] = [("cn-", "amazonaws.com.cn"), ("eusc-", "amazonaws.eu"), ("", "amazonaws.com")];

/// What the operator says of AWS.
#[derive(Clone, Default)]
pub struct Aws {
    /// Where the services are, instead of at AWS's public endpoints.
    pub endpoint: Option<Url>,
    /// The server's own access.
    pub own: Option<Keys>,
}

impl fmt::Debug for Aws {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Aws").field("endpoint", &self.endpoint.as_ref().map(Url::as_str)).finish_non_exhaustive()
    }
}

/// What signs. Wiped when its last copy is dropped.
#[derive(Clone)]
pub struct Keys {
    pub(in crate::destination) access_key_id: String,
    pub(in crate::destination) secret_access_key: Arc<Zeroizing<String>>,
    pub(in crate::destination) session_token: Option<Arc<Zeroizing<String>>>,
}

impl Keys {
    /// Keys, with the token of temporary ones.
    pub fn new(access_key_id: String, secret_access_key: &str, session_token: Option<&str>) -> Self {
        let kept = |text: &str| Arc::new(Zeroizing::new(text.to_owned()));
        Self { access_key_id, secret_access_key: kept(secret_access_key), session_token: session_token.map(kept) }
    }
}

/// Checks a draft of this kind: its own fields, and how it signs in. `at`: where requests go.
pub(in crate::destination) fn validate(
    kind: &'static str,
    own_fields: &[&str],
    draft: &Map<String, Value>,
    (policy, at): (&Policy, &Result<Url, Invalid>),
) -> Result<Validated, Invalid> {
    if let Some(kind) = cloud::kind(kind) {
        kind.check(draft)?;
    }
    let at = at.as_ref().map_err(Clone::clone)?;
    let mut settings = Map::new();
    for name in own_fields {
        if let Some(value) = draft.get(*name).filter(|value| !value.is_null()) {
            settings.insert((*name).to_owned(), value.clone());
        }
    }
    let text = |name: &str| draft.get(name).and_then(Value::as_str);
    // The contract's EventBridge has no keys of its own.
    let is_iam = kind == "EventBridge" || text("authenticationMode") == Some("IAM");
    if kind != "EventBridge" {
        settings.insert("authenticationMode".to_owned(), if is_iam { "IAM" } else { "Credentials" }.into());
    }
    if is_iam {
        own(policy, at)
            .map_err(|why| invalid(if kind == "EventBridge" { "type" } else { "authenticationMode" }, why))?;
        return Ok(Validated { settings, secret: None, shown_once: Map::new() });
    }
    settings.insert("accessKey".to_owned(), text("accessKey").into());
    let secret = text("accessSecret").map(|secret| Zeroizing::new(secret.as_bytes().to_vec()));
    Ok(Validated { settings, secret, shown_once: Map::new() })
}

/// The keys of checked settings.
pub(in crate::destination) fn keys(
    settings: &Map<String, Value>,
    secret: Option<&[u8]>,
    (context, at): (&Context, &Url),
) -> Result<Keys, CannotOpen> {
    let access_key = settings.get("accessKey").and_then(Value::as_str);
    match (access_key, secret.map(std::str::from_utf8)) {
        (Some(id), Some(Ok(secret))) => Ok(Keys::new(id.to_owned(), secret, None)),
        (None, None) => {
            own(&context.policy, at).map_err(|_| CannotOpen("the server has no access of its own to AWS there"))
        }
        _ => Err(CannotOpen("its keys do not read")),
    }
}

/// Whom a destination is for, in the contract's words.
pub(in crate::destination) fn named(settings: &Map<String, Value>) -> &str {
    settings.get("accessKey").and_then(Value::as_str).unwrap_or("IAM")
}

/// The server's own keys, for requests to `at`.
fn own(policy: &Policy, at: &Url) -> Result<Keys, &'static str> {
    let host = at.host_str().unwrap_or_default();
    let is_of_aws = DOMAINS.iter().any(|(_, domain)| host.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.')));
    let is_of_operator = policy.aws.endpoint.as_ref().is_some_and(|endpoint| endpoint.origin() == at.origin());
    let Some(own) = &policy.aws.own else {
        return Err("needs the server's own access to AWS, which its operator sets in [aws]");
    };
    if is_of_operator || is_of_aws && at.scheme() == "https" {
        Ok(own.clone())
    } else {
        Err("IAM shows the server's own access, and that to hosts of AWS's alone")
    }
}

/// Where this service is in a region, checked as every place is that we send to. `field`: what of the draft names the region.
pub(in crate::destination) fn endpoint(
    service: &str,
    (field, region): (&'static str, &str),
    policy: &Policy,
) -> Result<Url, Invalid> {
    let domain = DOMAINS.iter().find(|(prefix, _)| region.starts_with(prefix)).map_or("", |(_, domain)| domain);
    let of_aws = || format!("https://{service}.{region}.{domain}/");
    let text = policy.aws.endpoint.as_ref().map_or_else(of_aws, ToString::to_string);
    check_url(&text, policy).map_err(|wrong| invalid(field, &format!("leads to an endpoint that {}", wrong.text)))
}

pub(in crate::destination) fn invalid(field: &'static str, text: &str) -> Invalid {
    Invalid { field, text: text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(endpoint: Option<&str>, has_own: bool) -> Policy {
        let own = has_own.then(|| Keys::new("AKIDEXAMPLE".to_owned(), "hush", None));
        let aws = Aws { endpoint: endpoint.map(|url| url.parse().unwrap()), own };
        Policy { aws, ..Policy::default() }
    }

    #[test]
    fn our_own_access_is_shown_to_aws_alone() {
        let own = |policy: &Policy, at: &str| own(policy, &at.parse().unwrap()).is_ok();
        for (at, expected) in [
            ("https://sqs.eu-west-1.amazonaws.com/1/q", true),
            ("https://queue.amazonaws.com/1/q", true),
            ("https://sqs.cn-north-1.amazonaws.com.cn/1/q", true),
            ("https://sqs.eusc-de-east-1.amazonaws.eu/1/q", true),
            ("https://amazonaws.com/1/q", false),
            ("https://evil-amazonaws.com/1/q", false),
            ("https://sqs.amazonaws.com.example.com/1/q", false),
            ("https://example.com/amazonaws.com", false),
            ("http://sqs.eu-west-1.amazonaws.com/1/q", false),
        ] {
            assert_eq!(own(&policy(None, true), at), expected, "{at}");
            assert!(!own(&policy(None, false), at), "{at}");
        }
        let operators = policy(Some("https://sqs.internal.example:8443"), true);
        assert!(own(&operators, "https://sqs.internal.example:8443/1/q"));
        assert!(!own(&operators, "https://sqs.internal.example/1/q"));
    }

    #[test]
    fn a_region_says_where_its_services_are() {
        let at = |region, policy: &Policy| endpoint("sns", ("topicArn", region), policy).map(|url| url.to_string());
        for (region, expected) in [
            ("eu-west-1", "https://sns.eu-west-1.amazonaws.com/"),
            ("us-gov-west-1", "https://sns.us-gov-west-1.amazonaws.com/"),
            ("cn-north-1", "https://sns.cn-north-1.amazonaws.com.cn/"),
            ("eusc-de-east-1", "https://sns.eusc-de-east-1.amazonaws.eu/"),
        ] {
            assert_eq!(at(region, &policy(None, false)).as_deref(), Ok(expected));
        }
        assert_eq!(
            at("eu", &policy(Some("https://aws.example:8443"), false)).as_deref(),
            Ok("https://aws.example:8443/")
        );
        let wrong = at("eu", &policy(Some("https://10.0.0.1:8443"), false)).unwrap_err();
        assert_eq!(wrong.to_string(), "topicArn: leads to an endpoint that must name a host with a public address");
    }

    #[test]
    fn keys_are_not_printed() {
        assert_eq!(format!("{:?}", policy(None, true).aws), "Aws { endpoint: None, .. }");
    }
}
