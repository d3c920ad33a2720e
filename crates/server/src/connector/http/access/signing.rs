//! An HMAC over a request, by a canonical string of the operator's.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use keyherald_core::provider::ProviderError;
use ring::hmac;

use super::NoAccess;
use crate::connector::http::draft::Draft;
use crate::connector::http::values::{Values, hex};
use crate::connector::percent;
use crate::connector::secret::AccessSecret;
use crate::recipe::access::{Digest, KeyForm, OutputForm, Signing};
use crate::recipe::op::Method;

/// The key that a secret writes.
pub(super) fn key(signing: &Signing, secret: &AccessSecret) -> Result<hmac::Key, NoAccess> {
    let digest = match signing.digest {
        Digest::Sha1 => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
        Digest::Sha256 => hmac::HMAC_SHA256,
        Digest::Sha512 => hmac::HMAC_SHA512,
    };
    let bytes = match signing.key {
        KeyForm::Utf8 => secret.reveal().as_bytes().to_vec(),
        KeyForm::Base64 => STANDARD.decode(secret.reveal()).map_err(|_| NoAccess::Encoding)?,
        KeyForm::Hex => unhex(secret.reveal()).ok_or(NoAccess::Encoding)?,
    };
    Ok(hmac::Key::new(digest, &bytes))
}

/// Adds the fields and the signature to a request. `own`: the values of access, with the key.
pub(super) fn sign(signing: &Signing, draft: &mut Draft, mut own: Values, base: &str) -> Result<(), ProviderError> {
    for (name, value) in own.list(&signing.fields, None)? {
        draft.put(&signing.place.named(name.clone()), value);
    }
    describe(draft, &mut own, base);
    let canonical = own.text(&signing.canonical, None)?.unwrap_or_default();
    let Some(key) = &own.key else { return Err(ProviderError::Misconfigured) };
    let mac = hmac::sign(key, canonical.as_bytes());
    let signature = match signing.output {
        OutputForm::Base64 => STANDARD.encode(mac),
        OutputForm::Hex => hex(mac.as_ref()),
    };
    own.set("auth.signature", Some(signature));
    draft.put(&signing.place, own.text(&signing.value, None)?.unwrap_or_default());
    Ok(())
}

/// The request, for canonical strings.
fn describe(draft: &Draft, own: &mut Values, base: &str) {
    let (url, path) = places(draft, base);
    let joined = |pairs: &[(String, String)], write: fn(&str) -> String| {
        pairs.iter().map(|(name, value)| format!("{}={}", write(name), write(value))).collect::<Vec<_>>().join("&")
    };
    let fields = draft.fields();
    own.set("request.method", Some(method(draft.method)));
    own.set("request.host", url.split("://").nth(1).and_then(|rest| rest.split('/').next()));
    own.set("request.url", Some(url.as_str()));
    own.set("request.path", Some(path));
    own.set("request.query", Some(draft.query_text()));
    own.set("request.body", Some(draft.body_text()));
    own.set("request.sorted_fields", Some(joined(&fields, percent::encode)));
    own.set("request.sorted_fields_raw", Some(joined(&fields, str::to_owned)));
}

/// The request's URL without its query, and the path in it.
pub(super) fn places(draft: &Draft, base: &str) -> (String, String) {
    let below_host = base.split("://").nth(1).and_then(|rest| rest.split_once('/')).map_or("", |(_, path)| path);
    let prefix = if below_host.is_empty() { String::new() } else { format!("/{below_host}") };
    (format!("{base}{}", draft.path), format!("{prefix}{}", draft.path))
}

/// A method's name.
pub(super) fn method(method: Method) -> &'static str {
    Method::NAMES.iter().find(|(_, known)| *known == method).map_or("", |(name, _)| name)
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> =
        text.chars().map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok())).collect::<Option<_>>()?;
    let pair = |pair: &[u8]| match pair {
        [high, low] => Some(high * 16 + low),
        _ => None,
    };
    digits.chunks(2).map(pair).collect()
}
