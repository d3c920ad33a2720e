//! Which new passwords are taken (NIST SP 800-63B-4, 3.1.1; standards.md 5.1).
//!
//! Length, counted in code points of normal form C, and whether anybody would guess it: it is compared as a whole with
//! passwords that are in use everywhere ([`Blocklist`]), with what is known of its owner ([`About`]), and with patterns
//! that need no list. There are deliberately no rules about digits, capitals and signs: they make passwords alike.
//!
//! Whether it was used before or has been leaked is asked elsewhere: that needs the store, the hash pool or the network.
//! The words for the customer are elsewhere too: [`Broken`] has stable codes, and a short English text for callers of
//! contracts that know no others.

mod about;
mod blocklist;
mod pattern;
#[cfg(test)]
mod tests;

pub use self::about::About;
pub use self::blocklist::{Blocklist, NotAList};

use unicode_normalization::UnicodeNormalization;
use zeroize::Zeroizing;

use crate::secret::Password;

/// Most code points that are looked at; a longer password is refused for its length alone.
pub const INPUT_CHARACTERS_MAX: usize = 1024;

/// What is asked of a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Its form.
    pub form: Form,
    /// Its greatest length in bytes of UTF-8, where what stores it would cut it.
    pub bytes_max: Option<u32>,
    /// How many of the customer's last passwords it must not be, the current one among them; 0 to
    /// [`Policy::HISTORY_MAX`]. Each costs a hash.
    pub history: u8,
}

/// The form of a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Any text.
    Text {
        /// Fewest code points.
        min: u16,
        /// Most code points.
        max: u16,
    },
    /// Digits, on a device that asks for nothing else.
    Pin {
        /// How many.
        digits: u8,
    },
}

impl Policy {
    /// Fewest code points where the password is all that is asked for at a sign-in.
    pub const SOLE_FACTOR_MIN: u16 = 15;
    /// Fewest code points where something else is asked for as well.
    pub const SECOND_FACTOR_MIN: u16 = 8;
    /// Most code points, where nobody says otherwise.
    pub const CHARACTERS_MAX: u16 = 128;
    /// Most passwords of the past that are kept.
    pub const HISTORY_MAX: u8 = 24;

    /// The rules that the password breaks, all of them at once. `password` must be in normal form C: see
    /// [`Password::nfc`].
    pub fn check(&self, password: &Password, list: &Blocklist, about: &About) -> Vec<Broken> {
        password.reveal_with(|text| match self.form {
            Form::Text { min, max } => self.check_text(text, (min, max), list, about),
            Form::Pin { digits } => check_pin(text, digits),
        })
    }

    fn check_text(&self, text: &str, (min, max): (u16, u16), list: &Blocklist, about: &About) -> Vec<Broken> {
        let length = text.chars().count();
        if length > INPUT_CHARACTERS_MAX {
            return vec![Broken::TooLong { max }];
        }
        let mut broken = Vec::new();
        if length < usize::from(min) {
            broken.push(Broken::TooShort { min });
        }
        if length > usize::from(max) {
            broken.push(Broken::TooLong { max });
        }
        if let Some(bytes_max) = self.bytes_max.filter(|bytes| u32::try_from(text.len()).is_ok_and(|len| len > *bytes))
        {
            broken.push(Broken::TooManyBytes { max: bytes_max });
        }
        let folded = fold(text);
        // One reason why it can be guessed is enough.
        let guessable = if pattern::is_run_or_repetition(&folded) {
            Some(Broken::Predictable)
        } else if list.has(&folded) || pattern::repeated(&folded).is_some_and(|unit| list.has(unit)) {
            Some(Broken::Common)
        } else {
            about.broken_by(&folded)
        };
        broken.extend(guessable.filter(|_| length > 0));
        broken
    }
}

fn check_pin(text: &str, digits: u8) -> Vec<Broken> {
    let is_pin = text.len() == usize::from(digits) && text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_pin {
        return vec![Broken::NotAPin { digits }];
    }
    let steps: Vec<i16> = text.bytes().zip(text.bytes().skip(1)).map(|(a, b)| i16::from(b) - i16::from(a)).collect();
    if steps.iter().all(|step| *step == 0) {
        vec![Broken::SameDigits]
    } else if steps.iter().all(|step| *step == 1) || steps.iter().all(|step| *step == -1) {
        vec![Broken::DigitRun]
    } else {
        Vec::new()
    }
}

/// The form in which passwords are compared with lists: letter case tells nobody anything.
fn fold(text: &str) -> Zeroizing<String> {
    let mut folded = Zeroizing::new(String::with_capacity(4 * text.len()));
    folded.extend(text.nfc().flat_map(char::to_lowercase));
    folded
}

/// Letters and digits alone: spaces and signs between words make no other password of it.
fn bare(folded: &str) -> Zeroizing<String> {
    let mut bare = Zeroizing::new(String::with_capacity(folded.len()));
    bare.extend(folded.chars().filter(|character| character.is_alphanumeric()));
    bare
}

/// Where a new password comes in: what is asked of it there is the project's, or the contract's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Surface {
    /// Pages and calls of our own: the project's policy.
    Own,
    /// Paysafe's contract, and the pages of a brand: the brand's rule.
    Paysafe(Rule),
    /// The commercetools contract, which has none: the project's policy where the project wants it.
    Commercetools,
    /// Naviga's contract: the same.
    Naviga,
}

/// What a contract itself asks of a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The form.
    pub form: Form,
    /// See [`Policy::history`].
    pub history: u8,
}

/// A rule that a new password breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Broken {
    /// Fewer code points than this.
    #[error("it must have at least {min} characters")]
    TooShort {
        /// The fewest.
        min: u16,
    },
    /// More code points than this.
    #[error("it must have at most {max} characters")]
    TooLong {
        /// The most.
        max: u16,
    },
    /// More bytes than this.
    #[error("it must have at most {max} bytes")]
    TooManyBytes {
        /// The most.
        max: u32,
    },
    /// A PIN has exactly so many digits, and nothing else.
    #[error("it must be exactly {digits} digits")]
    NotAPin {
        /// How many.
        digits: u8,
    },
    /// A PIN of one digit, repeated.
    #[error("its digits must not all be the same")]
    SameDigits,
    /// A PIN that counts up or down.
    #[error("its digits must not count up or down")]
    DigitRun,
    /// One short piece repeated, or characters in their order.
    #[error("it must not be a repetition or a sequence")]
    Predictable,
    /// Too many people have it.
    #[error("it is one of the passwords that are tried first")]
    Common,
    /// Made of what is known of the customer.
    #[error("it must not be made of the customer's own name, address or number")]
    Personal,
    /// Made of the project's name.
    #[error("it must not be made of the name of the service")]
    ServiceName,
    /// One of the customer's last ones.
    #[error("it was used before")]
    Reused,
    /// Known from a leak.
    #[error("it is known from a data leak")]
    Breached,
    /// Whether it is known from a leak could not be found out, and must be.
    #[error("it cannot be checked at the moment")]
    NotChecked,
}

impl Broken {
    /// One of each, for those who need words for all.
    pub const ALL: [Self; 13] = [
        Self::TooShort { min: Policy::SOLE_FACTOR_MIN },
        Self::TooLong { max: Policy::CHARACTERS_MAX },
        Self::TooManyBytes { max: 72 },
        Self::NotAPin { digits: 6 },
        Self::SameDigits,
        Self::DigitRun,
        Self::Predictable,
        Self::Common,
        Self::Personal,
        Self::ServiceName,
        Self::Reused,
        Self::Breached,
        Self::NotChecked,
    ];

    /// Stable code for callers, logs and translations.
    pub fn code(self) -> &'static str {
        match self {
            Self::TooShort { .. } => "too_short",
            Self::TooLong { .. } => "too_long",
            Self::TooManyBytes { .. } => "too_many_bytes",
            Self::NotAPin { .. } => "not_a_pin",
            Self::SameDigits => "same_digits",
            Self::DigitRun => "digit_run",
            Self::Predictable => "predictable",
            Self::Common => "common",
            Self::Personal => "personal",
            Self::ServiceName => "service_name",
            Self::Reused => "reused",
            Self::Breached => "breached",
            Self::NotChecked => "not_checked",
        }
    }

    /// The number that its text names, if it does.
    pub fn limit(self) -> Option<u32> {
        match self {
            Self::TooShort { min: limit } | Self::TooLong { max: limit } => Some(limit.into()),
            Self::TooManyBytes { max } => Some(max),
            Self::NotAPin { digits } => Some(digits.into()),
            _ => None,
        }
    }
}
