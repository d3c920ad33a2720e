//! An access token of ours: made when it is needed, kept until shortly before it ends.

use keyherald_core::Micros;
use keyherald_core::provider::ProviderError;
use tokio::sync::Mutex;

use super::secret::AccessSecret;

/// Holds one token. Whoever finds none makes one, and the others wait for it.
pub(super) struct TokenCache {
    /// How long before its end a token is replaced, in microseconds.
    early_us: i64,
    held: Mutex<Option<Held>>,
}

struct Held {
    token: AccessSecret,
    replace_at: Micros,
}

impl TokenCache {
    pub fn new(early_us: i64) -> Self {
        Self { early_us, held: Mutex::new(None) }
    }

    /// The token, made by `make` if there is none that is good at `now`. `make` says until when it will be.
    pub async fn token(
        &self,
        now: Micros,
        make: impl AsyncFnOnce() -> Result<(AccessSecret, Micros), ProviderError>,
    ) -> Result<AccessSecret, ProviderError> {
        let mut held = self.held.lock().await;
        if let Some(held) = held.as_ref().filter(|held| now < held.replace_at) {
            return Ok(held.token.clone());
        }
        *held = None;
        let (token, ends_at) = make().await?;
        // A token that lives no longer than the early time is used for half its life.
        let life = ends_at.0.saturating_sub(now.0).max(0);
        *held = Some(Held { token: token.clone(), replace_at: now.plus((life - self.early_us).max(life / 2)) });
        Ok(token)
    }

    /// The provider refused this token: it is not used again. Another one that was made meanwhile stays.
    pub async fn drop_token(&self, refused: &AccessSecret) {
        let mut held = self.held.lock().await;
        if held.as_ref().is_some_and(|held| held.token.is(refused)) {
            *held = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, Ordering};

    use super::*;

    #[tokio::test]
    async fn a_token_is_made_once_and_replaced_before_it_ends_or_when_it_is_refused() {
        let cache = TokenCache::new(60 * Micros::SECOND);
        let made = AtomicI64::new(0);
        let make = async |now: Micros| {
            let make = async || {
                made.fetch_add(1, Ordering::SeqCst);
                tokio::task::yield_now().await;
                Ok((AccessSecret::new("t".into()), now.plus(100 * Micros::SECOND)))
            };
            cache.token(now, make).await.ok().unwrap()
        };
        let (one, other) = tokio::join!(make(Micros(0)), make(Micros(0)));
        assert!(one.is(&other));
        assert_eq!(made.load(Ordering::SeqCst), 1);
        make(Micros(49 * Micros::SECOND)).await;
        assert_eq!(made.load(Ordering::SeqCst), 1);
        let next = make(Micros(50 * Micros::SECOND)).await;
        assert_eq!(made.load(Ordering::SeqCst), 2);
        cache.drop_token(&one).await;
        make(Micros(50 * Micros::SECOND)).await;
        assert_eq!(made.load(Ordering::SeqCst), 2);
        cache.drop_token(&next).await;
        make(Micros(50 * Micros::SECOND)).await;
        assert_eq!(made.load(Ordering::SeqCst), 3);
    }
}
