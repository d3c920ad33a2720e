//! The `Signature` header of Paysafe's contract (paysafe.md 2.2): HMAC-SHA256 over the bytes of the body alone, in base64.
//!
//! The key is what the exchanged text decodes to, not the text. Nothing but the body is signed, no time and no id: what
//! tells a copy from a new event is inside of it. Requests that come in are signed in the same way; one without a body is
//! signed over its path.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::Ctx;

/// The key that is shared with one partner. It has no `Debug` and no `Serialize`.
#[derive(Clone)]
pub struct SigningSecret(Zeroizing<Vec<u8>>);

/// Text that cannot be a signing secret. The text itself is not repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a signing secret is the base64 form of {} to {} bytes",
    SigningSecret::BYTES.start(),
    SigningSecret::BYTES.end()
)]
pub struct NotASigningSecret;

impl SigningSecret {
    /// How long a secret may be, in bytes.
    pub const BYTES: std::ops::RangeInclusive<usize> = 32..=4096;

    /// A new secret of 256 random bytes.
    pub fn new(ctx: &mut Ctx) -> Self {
        Self(Zeroizing::new(ctx.bytes::<256>().to_vec()))
    }

    /// Reads the exchanged text: base64 with padding (RFC 4648, 4), where white space does not count, since tools wrap
    /// such texts into lines.
    pub fn parse(text: &str) -> Result<Self, NotASigningSecret> {
        let stripped: Zeroizing<Vec<u8>> =
            Zeroizing::new(text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect());
        let bytes = Zeroizing::new(STANDARD.decode(&*stripped).map_err(|_| NotASigningSecret)?);
        if Self::BYTES.contains(&bytes.len()) { Ok(Self(bytes)) } else { Err(NotASigningSecret) }
    }

    /// The text that is exchanged, in one line: for its seal, and for whoever must tell the partner.
    pub fn reveal_with<T>(&self, show: impl FnOnce(&str) -> T) -> T {
        show(&Zeroizing::new(STANDARD.encode(&*self.0)))
    }

    /// The value of the header: 44 characters.
    pub fn sign(&self, body: &[u8]) -> String {
        self.mac_of(&[body])
    }

    /// One signature by the rules of Standard Webhooks (standards.md 4.1), which a copy at another time does not fit: for
    /// partners who ask for it. `timestamp` is this attempt's, in Unix seconds.
    pub fn sign_with_time(&self, id: &str, timestamp: i64, body: &[u8]) -> String {
        format!("v1,{}", self.mac_of(&[format!("{id}.{timestamp}.").as_bytes(), body]))
    }

    fn mac_of(&self, parts: &[&[u8]]) -> String {
        // A key of any length is fine for HMAC: the error cannot happen, and an empty signature verifies nowhere.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.0) else { return String::new() };
        for part in parts {
            mac.update(part);
        }
        STANDARD.encode(mac.finalize().into_bytes())
    }

    /// Whether `header` is the signature of `body`. Takes the same time wherever they differ.
    pub fn verify(&self, body: &[u8], header: &str) -> bool {
        let expected = self.sign(body);
        !expected.is_empty() && expected.as_bytes().ct_eq(header.as_bytes()).into()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use sha2::Digest;

    use super::*;
    use crate::Micros;

    /// The public sample of the documentation: for tests alone.
    pub(crate) const SAMPLE: &str = "Y+83Kt6imrf2eQBVojCfVAx9iDNwtgN7UzZydbpqUgNq3WzgJOhiNpdAF5b9UJ4Ymf++HMgdrgClOmwfq8qItCNcVaCT/MPhMGYgiMb+oLtc2K3nmJxvPxTR6caFalI8qKr6BgX0K1tqKDka2xJZhUZXCVjBsBmKJLT/XQ0+cTSGUfLOwOF+jo0Mgm8oHYnIdOTYlA1XIDJH867WhK8iWe54SONltkRZgNxejUoygtvwdUVxKKa+Mm57RXpH6pI7qh3gkKxcwlrUJ1LhkMLxSNwr78WH4zAd/ILHfEFWORJHgNilzyqyBMZutCtPHhDIBnzkgqfgv1eE6EcDozRT+Q==";

    /// An event in the newer form.
    pub(crate) const EVENT_A: &str = r#"{"id":"07c3bcf5-1b6c-494e-9a29-776cfc54b4db","timestamp":"2021-07-15T17:54:12Z","customer":{"id":"500000334204","externalId":"a2322550-af91-417f-867e-681efad44b9d","title":"Mr.","firstName":"John","lastName":"Doe"},"credentialsDetails":{"customerIdentifiers":{"email":{"value":"john.doe@paysafe.com","verificationId":"06bdcd2c-0cce-4b36-97ec-281c8f5d743c"}},"type":"PASSWORD_RECOVERY"}}"#;

    /// An event in the older form.
    pub(crate) const EVENT_B: &str = r#"{"id":"07c3bcf5-1b6c-494e-9a29-776cfc54b4db","timestamp":"2021-07-15T17:54:12Z","credentialsDetails":{"customer":{"id":"500000334204","externalId":"a2322550-af91-417f-867e-681efad44b9d"},"customerIdentifiers":{"mobile":{"value":"+359897765463","verificationId":"06bdcd2c-0cce-4b36-97ec-281c8f5d743c"}},"type":"PASSWORD_RECOVERY"}}"#;

    fn sample() -> SigningSecret {
        SigningSecret::parse(SAMPLE).unwrap()
    }

    #[test]
    fn the_published_and_computed_vectors() {
        for (body, length, signature) in [
            (r#"{"id":1,"name":"John Smith"}"#, 28, "cQPmKNg51k2mAcp8y6eh2oOl0OSbDwbK+chWLuifUxU="),
            ("{\n  \"id\": 1,\n  \"name\": \"John Smith\"\n}", 37, "lwjnjjixwi/ZX/IBvuH1P6ng6GLycHaUuF648jny4O0="),
            (EVENT_A, 386, "3C0gotiHbDgYdFmohZlCokBYvJ9tHx+q3Q44J8Z1yqU="),
            (EVENT_B, 330, "zBqyGEP1Jyprc5g8x2/1mcOhOsdFePNPSg5GjmNCAbE="),
            (r#"{"id":"x","name":"Zoë Müller"}"#, 32, "qKy408WgUD78pSYbFMJ1SQGWu3hcouUDaYdi798Qlqo="),
            ("/customers/1234567890", 21, "qiuspBFiZk+ZFvrWq4bDg0WD9MFDCUe0/ErcRlMnALk="),
            ("", 0, "etXCs3V1G16PvOHy8hoD3Q0DFJCkdJT8rbtN/qamuuw="),
        ] {
            assert_eq!(body.len(), length, "{body}");
            assert_eq!(sample().sign(body.as_bytes()), signature, "{body}");
            assert_eq!(signature.len(), 44);
            assert!(sample().verify(body.as_bytes(), signature));
            assert!(!sample().verify(format!("{body} ").as_bytes(), signature));
        }
    }

    #[test]
    fn the_key_is_what_the_text_decodes_to() {
        let digest = Sha256::digest(&*sample().0);
        let hex = digest.iter().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"));
        assert_eq!(hex, "13fbe57d8ad1045297b77b113b345739b7b50ee71ef66ed01770c9157d7404bb");
        assert_eq!(sample().0.len(), 256);
    }

    #[test]
    fn line_breaks_in_a_key_do_not_count() {
        let lines: Vec<&str> = (0..SAMPLE.len()).step_by(64).map(|at| &SAMPLE[at..SAMPLE.len().min(at + 64)]).collect();
        for wrapped in [lines.join("\n"), lines.join("\r\n"), format!(" \t{SAMPLE}\n")] {
            let secret = SigningSecret::parse(&wrapped).unwrap();
            assert_eq!(secret.sign(b"x"), sample().sign(b"x"));
        }
        assert_eq!(sample().reveal_with(str::to_owned), SAMPLE);
    }

    #[test]
    fn what_is_no_key_is_refused_without_repeating_it() {
        let short = STANDARD.encode([7; 31]);
        let long = STANDARD.encode([7; 4097]);
        let unpadded = SAMPLE.trim_end_matches('=');
        let url_safe = SAMPLE.replace('+', "-").replace('/', "_");
        for wrong in
            ["", "hunter2!", "not base64 at all, but long enough to be one", &short, &long, unpadded, &url_safe]
        {
            let error = SigningSecret::parse(wrong).err().unwrap();
            assert!(wrong.is_empty() || !error.to_string().contains(wrong), "{wrong}");
        }
        assert!(SigningSecret::parse(&STANDARD.encode([7; 32])).is_ok());
    }

    #[test]
    fn with_a_time_it_is_what_standard_webhooks_signs() {
        let bytes = [7; 32];
        let standard = crate::signature::WebhookSecret::parse(&format!("whsec_{}", STANDARD.encode(bytes))).unwrap();
        let ours = SigningSecret::parse(&STANDARD.encode(bytes)).unwrap();
        assert_eq!(ours.sign_with_time("e-1", 17, b"{}"), standard.sign("e-1", 17, b"{}"));
    }

    #[test]
    fn a_made_secret_has_256_bytes_and_reads_back() {
        let made = SigningSecret::new(&mut Ctx::new(Micros(0), [5; 32]));
        let again = made.reveal_with(SigningSecret::parse).unwrap();
        assert_eq!((again.0.len(), again.sign(b"b")), (256, made.sign(b"b")));
        for wrong in ["", "v1,x", &made.sign(b"c"), &made.sign(b"b")[..43]] {
            assert!(!made.verify(b"b", wrong), "{wrong}");
        }
    }
}
