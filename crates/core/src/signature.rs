//! Standard Webhooks signatures, version `v1` (standards.md 4.1): HMAC-SHA256 over `{id}.{timestamp}.{body}`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::Ctx;

/// The key shared with one webhook endpoint: 24 to 64 bytes, shown as `whsec_` and base64.
#[derive(Clone)]
pub struct WebhookSecret(Zeroizing<Vec<u8>>);

/// Text that is no secret in the form of Standard Webhooks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a webhook secret is `whsec_` and the base64 form of 24 to 64 bytes")]
pub struct NotAWebhookSecret;

impl WebhookSecret {
    /// A new secret of 32 random bytes.
    pub fn new(ctx: &mut Ctx) -> Self {
        Self(Zeroizing::new(ctx.bytes::<32>().to_vec()))
    }

    /// Reads `whsec_...`.
    pub fn parse(text: &str) -> Result<Self, NotAWebhookSecret> {
        let encoded = text.strip_prefix("whsec_").ok_or(NotAWebhookSecret)?;
        let bytes = Zeroizing::new(STANDARD.decode(encoded).map_err(|_| NotAWebhookSecret)?);
        if (24..=64).contains(&bytes.len()) { Ok(Self(bytes)) } else { Err(NotAWebhookSecret) }
    }

    /// `whsec_...`, for the one answer that shows it and for its seal.
    pub fn reveal_with<T>(&self, show: impl FnOnce(&str) -> T) -> T {
        show(&Zeroizing::new(format!("whsec_{}", STANDARD.encode(&*self.0))))
    }

    /// Whether it is the same secret, in a time that does not tell how much of it.
    pub fn is(&self, other: &Self) -> bool {
        use subtle::ConstantTimeEq;
        self.0.ct_eq(&other.0).into()
    }

    /// The value of the header `webhook-signature`. `timestamp` is this attempt's, in Unix seconds.
    pub fn sign(&self, message_id: &str, timestamp: i64, body: &[u8]) -> String {
        // A key of any length is fine for HMAC: the error cannot happen, and an empty signature verifies nowhere.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.0) else { return String::new() };
        mac.update(message_id.as_bytes());
        mac.update(b".");
        mac.update(timestamp.to_string().as_bytes());
        mac.update(b".");
        mac.update(body);
        format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
    }

    /// Whether `header` holds a signature that fits, as a receiver checks it.
    pub fn verify(&self, message_id: &str, timestamp: i64, body: &[u8], header: &str) -> bool {
        use subtle::ConstantTimeEq;
        let expected = self.sign(message_id, timestamp, body);
        header.split(' ').any(|given| given.as_bytes().ct_eq(expected.as_bytes()).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Micros;

    #[test]
    fn the_published_vectors() {
        let vectors = [
            (
                "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD",
                "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk",
                1_649_367_553,
                r#"{"email":"test@example.com","username":"test_user"}"#,
                "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=",
            ),
            (
                "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
                "msg_p5jXN8AQM9LWM0D4loKWxJek",
                1_614_265_330,
                r#"{"test": 2432232314}"#,
                "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
            ),
        ];
        for (secret, id, timestamp, body, signature) in vectors {
            let secret = WebhookSecret::parse(secret).unwrap();
            assert_eq!(secret.sign(id, timestamp, body.as_bytes()), signature);
            assert!(secret.verify(id, timestamp, body.as_bytes(), &format!("v1a,xx {signature}")));
            assert!(!secret.verify(id, timestamp + 1, body.as_bytes(), signature));
        }
    }

    #[test]
    fn secrets_read_back_and_have_limits() {
        let secret = WebhookSecret::new(&mut Ctx::new(Micros(0), [6; 32]));
        let again = secret.reveal_with(WebhookSecret::parse).unwrap();
        assert_eq!(secret.sign("a", 1, b"b"), again.sign("a", 1, b"b"));
        for bad in ["C2FVsBQIhrscChlQIMV+b5sSYspob7oD", "whsec_AAAA", "whsec_!", ""] {
            assert!(WebhookSecret::parse(bad).is_err(), "{bad}");
        }
    }
}
