//! The hash that Kratos is given in place of a password: Argon2id, made here, a few at a time.

use argon2::{Algorithm, Argon2, Params, Version};
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use keyherald_core::provider::ProviderError;
use keyherald_core::secret::Password;
use std::sync::Arc;
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

/// OWASP's second choice: 19 MiB, two passes.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;

/// So many at the same time: each takes a core for some milliseconds, and 19 MiB.
const AT_ONCE: usize = 2;

/// Makes hashes on threads that may be blocked.
pub(super) struct Hasher(Arc<Semaphore>);

impl Hasher {
    pub fn new() -> Self {
        Self(Arc::new(Semaphore::new(AT_ONCE)))
    }

    /// The password's hash as a PHC string.
    pub async fn hash(&self, password: &Password, salt: [u8; 16]) -> Result<Zeroizing<String>, ProviderError> {
        let place = self.0.clone().acquire_owned().await.map_err(|_| ProviderError::Transient)?;
        let password = password.duplicate();
        let work = tokio::task::spawn_blocking(move || {
            // Kept to the end, also when nobody waits for it any more.
            let _place = place;
            phc(&password, salt)
        });
        work.await.ok().flatten().ok_or(ProviderError::Transient)
    }
}

fn phc(password: &Password, salt: [u8; 16]) -> Option<Zeroizing<String>> {
    let params = Params::new(MEMORY_KIB, PASSES, 1, None).ok()?;
    let mut hash = Zeroizing::new([0_u8; 32]);
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    password.hash_with(|bytes| argon2.hash_password_into(bytes, &salt, &mut *hash)).ok()?;
    let (salt, hash) = (STANDARD_NO_PAD.encode(salt), Zeroizing::new(STANDARD_NO_PAD.encode(*hash)));
    Some(Zeroizing::new(format!("$argon2id$v=19$m={MEMORY_KIB},t={PASSES},p=1${salt}${}", &*hash)))
}
