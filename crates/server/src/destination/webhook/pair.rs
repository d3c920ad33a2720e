//! An Ed25519 key pair of one endpoint: its receiver needs only the public half, and can forge nothing with it.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use keyherald_core::Ctx;
use ring::signature::{Ed25519KeyPair, KeyPair};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

const SEED_BYTES: usize = 32;

/// The pair. No `Debug`.
pub(super) struct Pair {
    seed: Zeroizing<[u8; SEED_BYTES]>,
    key: Ed25519KeyPair,
}

impl Pair {
    /// A new one. `None` cannot be: every seed makes a pair.
    pub(super) fn new(ctx: &mut Ctx) -> Option<Self> {
        Self::of_seed(ctx.bytes())
    }

    fn of_seed(seed: [u8; SEED_BYTES]) -> Option<Self> {
        let seed = Zeroizing::new(seed);
        let key = Ed25519KeyPair::from_seed_unchecked(&*seed).ok()?;
        Some(Self { seed, key })
    }

    /// Reads `whsk_` and the base64 form of the seed and the public key, which must belong together.
    pub(super) fn read(text: &str) -> Option<Self> {
        let bytes = Zeroizing::new(STANDARD.decode(text.strip_prefix("whsk_")?).ok()?);
        let (seed, public) = bytes.split_at_checked(SEED_BYTES)?;
        let pair = Self::of_seed(seed.try_into().ok()?)?;
        (pair.key.public_key().as_ref() == public).then_some(pair)
    }

    /// `whsk_..`, for its seal.
    pub(super) fn reveal_with<T>(&self, show: impl FnOnce(&str) -> T) -> T {
        let both = Zeroizing::new([&self.seed[..], self.key.public_key().as_ref()].concat());
        show(&Zeroizing::new(format!("whsk_{}", STANDARD.encode(&*both))))
    }

    /// `whpk_..`, for everybody.
    pub(super) fn public(&self) -> String {
        format!("whpk_{}", STANDARD.encode(self.key.public_key()))
    }

    /// What names the public key in HTTP Message Signatures: its JWK thumbprint (RFC 7638, RFC 8037 appendix A.3).
    pub(super) fn id(&self) -> String {
        let public = URL_SAFE_NO_PAD.encode(self.key.public_key());
        URL_SAFE_NO_PAD.encode(Sha256::digest(format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{public}"}}"#)))
    }

    pub(super) fn is(&self, other: &Self) -> bool {
        self.key.public_key().as_ref() == other.key.public_key().as_ref()
    }

    /// The signature in base64.
    pub(super) fn sign(&self, bytes: &[u8]) -> String {
        STANDARD.encode(self.key.sign(bytes))
    }
}

#[cfg(test)]
impl Pair {
    /// Of a seed in base64url, as JWK has it.
    pub(super) fn of_jwk(d: &str) -> Self {
        Self::of_seed(URL_SAFE_NO_PAD.decode(d).unwrap().try_into().unwrap()).unwrap()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_key_reads_back_and_has_its_public_half() {
        let text = "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg==";
        let pair = Pair::read(text).unwrap();
        assert_eq!(pair.public(), "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4=");
        assert!(pair.reveal_with(|again| again == text));
        for bad in ["", "whsk_", &text[5..], &text[..40], &text.replace("MicMFs6", "MicMFs7")] {
            assert!(Pair::read(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn its_id_is_the_thumbprint_of_rfc_8037() {
        let pair = Pair::of_jwk("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A");
        assert_eq!(pair.id(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    }
}
