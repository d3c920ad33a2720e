//! The registry of ids: 16-byte newtypes, UUID version 7 or, where others may see ids but not their order, version 4; made
//! from [`Ctx`].

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::Ctx;

/// Text that is not an id of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a lower-case UUID")]
pub struct NotAnId;

fn uuid_v7(ctx: &mut Ctx) -> Uuid {
    let millis = u64::try_from(ctx.now.0.div_euclid(1000)).unwrap_or(0);
    uuid::Builder::from_unix_timestamp_millis(millis, &ctx.bytes()).into_uuid()
}

fn uuid_v4(ctx: &mut Ctx) -> Uuid {
    uuid::Builder::from_random_bytes(ctx.bytes()).into_uuid()
}

macro_rules! ids {
    ($make:ident: $($(#[$doc:meta])* $name:ident),* $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// A new id.
            pub fn new(ctx: &mut Ctx) -> Self {
                Self($make(ctx))
            }

            /// The id's bytes.
            pub fn uuid(self) -> Uuid {
                self.0
            }
        }

        impl From<Uuid> for $name {
            fn from(uuid: Uuid) -> Self {
                Self(uuid)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}", self.0.hyphenated())
            }
        }

        impl FromStr for $name {
            type Err = NotAnId;

            /// Only the form that we print is read: lower case, with hyphens.
            fn from_str(text: &str) -> Result<Self, NotAnId> {
                let uuid = Uuid::try_parse(text).map_err(|_| NotAnId)?;
                if uuid.hyphenated().to_string() == text { Ok(Self(uuid)) } else { Err(NotAnId) }
            }
        }
    )*};
}

ids! { uuid_v7: // time-ordered: ids made later sort later
    /// A customer. The commercetools `id`.
    CustomerId,
    /// A reset or e-mail token's id (not its value).
    TokenId,
    /// A log entry. A message's id at every receiver.
    MessageId,
    /// A subscription.
    SubscriptionId,
    /// A dead letter.
    DeadLetterId,
    /// A store within a project.
    ShopId,
    /// An operation.
    OperationId,
    /// A record in doubt.
    DoubtId,
    /// A node's membership among those that deliver: a new one each time that it joins.
    NodeId,
}

ids! { uuid_v4: // all but six of their bits are chance
    /// A verification process. The Paysafe `verificationId`.
    VerificationId,
    /// An attempt at one.
    AttemptId,
}

/// How a caller names another resource, in its own spelling: what it names may not be there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reference {
    /// By id.
    Id(String),
    /// By key.
    Key(String),
}

impl Reference {
    /// Whether it names something by this key.
    pub fn is_key(&self, key: &Key) -> bool {
        matches!(self, Self::Key(named) if named == key.as_str())
    }
}

/// A project (tenant): `projectKey`, 2 to 36 of `[a-z0-9_-]`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ProjectKey(String);

impl ProjectKey {
    /// The key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ProjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for ProjectKey {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let fits = (2..=36).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_');
        if fits {
            Ok(Self(text.to_owned()))
        } else {
            Err(format!("{text:?} is no project key: use 2 to 36 of a-z, 0-9, _ and -"))
        }
    }
}

/// A key that users give to a resource: 2 to 256 of `[A-Za-z0-9_-]` (commercetools.md 2.2).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Key(String);

impl Key {
    /// The key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Key {
    type Err = NotAnId;

    fn from_str(text: &str) -> Result<Self, NotAnId> {
        let fits = (2..=256).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        if fits { Ok(Self(text.to_owned())) } else { Err(NotAnId) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Micros;

    #[test]
    fn ids_sort_by_time_and_read_back() {
        let early = CustomerId::new(&mut Ctx::new(Micros(1_000_000), [1; 32]));
        let late = CustomerId::new(&mut Ctx::new(Micros(2_000_000), [0; 32]));
        assert!(early < late);
        assert!(early.to_string() < late.to_string());
        assert_eq!(early.to_string().parse(), Ok(early));
        assert_eq!(early.to_string().to_uppercase().parse::<CustomerId>(), Err(NotAnId));
        assert_eq!("00000000".parse::<CustomerId>(), Err(NotAnId));
    }

    #[test]
    fn keys_have_their_alphabet() {
        assert!("c-1".parse::<Key>().is_ok());
        assert!("c".parse::<Key>().is_err());
        assert!("a b".parse::<Key>().is_err());
        assert!("demo".parse::<ProjectKey>().is_ok());
        assert!("Demo".parse::<ProjectKey>().is_err());
    }
}
