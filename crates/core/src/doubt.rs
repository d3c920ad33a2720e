//! Records in doubt: what was about to be written to a user's record at a provider, and is not known to be the same here.
//!
//! An address, a name, a new user: none of it is a secret, and the provider tells at any time how it stands. So nothing has
//! to be remembered but whom to look up, and by when no answer of the attempt can come any more ([`Limits`] has the life of
//! one). A look then is the truth; what it sees is written here as any read does it.

use crate::activity::{Call, Run};
use crate::ctx::Micros;
use crate::id::{CustomerId, DoubtId, ProjectKey};
use crate::operation::Limits;
use crate::provider::ProviderName;

/// One attempt to write a record. No `Debug`: it may hold an address.
#[derive(Clone)]
pub struct Doubt {
    /// Its id.
    pub id: DoubtId,
    /// Whose customers they are.
    pub project: ProjectKey,
    /// Whose record it is.
    pub about: About,
    /// Where it was about to be written.
    pub provider: ProviderName,
    /// What was about to be done there.
    pub call: Call,
    /// When it was noted, just before it was sent.
    pub began_at: Micros,
    /// How often somebody has set out to look.
    pub looks: i64,
    /// On whose behalf: the entries of looks belong to the request's own.
    pub run: Run,
}

/// Whose record it is.
#[derive(Clone, PartialEq, Eq)]
pub enum About {
    /// A customer's, who is a user there.
    Customer(CustomerId),
    /// A new user's with this e-mail address.
    Address(String),
}

impl Doubt {
    /// Looks after which an operator is told: about an hour.
    const LOOKS_UNTOLD: i64 = 7;
    /// First wait after a look that told nothing, in microseconds; doubled each time.
    const WAIT_FIRST: i64 = Micros::MINUTE;
    /// Longest such wait.
    const WAIT_MAX: i64 = Micros::HOUR;
    /// How long a doubt is kept that nobody can settle.
    const LIFE: i64 = 30 * Micros::DAY;

    /// When the first look is due: when the attempt can have no effect any more.
    pub fn first_due(now: Micros, limits: Limits) -> Micros {
        now.plus(limits.attempt_life_us())
    }

    /// When the next one is due after one that begins now and tells nothing, be it that whoever looks dies. Never before it
    /// must have ended.
    pub fn next_due(looks: i64, now: Micros, limits: Limits) -> Micros {
        let doublings = u32::try_from(looks.clamp(0, 10)).unwrap_or(0);
        let wait = Self::WAIT_FIRST.saturating_mul(1 << doublings).min(Self::WAIT_MAX);
        now.plus(wait.max(limits.attempt_life_us()))
    }

    /// What was about to be done there, in the words of the activity.
    pub fn event(&self) -> &'static str {
        self.call.event_code(self.run.flow()).code
    }

    /// Whether an operator is to be told now that nobody has found out yet: once.
    pub fn is_to_be_told(&self) -> bool {
        self.looks == Self::LOOKS_UNTOLD
    }

    /// Whether it is given up.
    pub fn is_over(&self, now: Micros) -> bool {
        self.began_at.plus(Self::LIFE) <= now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_get_rarer_and_never_overlap() {
        let limits = Limits::default();
        let wait = |looks| Doubt::next_due(looks, Micros(0), limits).0 / Micros::MINUTE;
        assert_eq!([0, 1, 2, 3, 4, 5, 6, 7, 99].map(wait), [1, 2, 4, 8, 16, 32, 60, 60, 60]);
        let slow = Limits::new(10 * Micros::MINUTE, 30 * Micros::MINUTE).unwrap();
        assert_eq!(Doubt::next_due(0, Micros(0), slow), Micros(10 * Micros::MINUTE));
        assert_eq!(Doubt::first_due(Micros(0), slow), Micros(10 * Micros::MINUTE));
    }
}
