//! Argon2id, twice: the fast crate, and RustCrypto's, which it is checked against and which replaces it if need be.
//!
//! The fast crate hashes 1.9 times as many passwords, but it is young and has much `unsafe`. So it must prove itself
//! at every start: on the RFC 9106 vector, on a stored hash of a known password, and against RustCrypto at the very
//! cost that the server is about to use. If any of them differs, RustCrypto does all the work.
//!
//! Both keep one arena between hashes: the page faults of fresh memory cost as much as the hashing itself. Both wipe
//! it after each hash.

use std::panic::{AssertUnwindSafe, catch_unwind};

use argon2_rust::params::{Memory, TagLen};
use zeroize::Zeroize;

use super::phc::Encoded;

/// What one hash costs: the parameters of Argon2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cost {
    pub(super) memory_kib: u32,
    pub(super) passes: u32,
    pub(super) lanes: u32,
}

impl Cost {
    /// The costliest stored hash that a server of this cost will verify: its own cost or 64 MiB, 10 passes and 16
    /// lanes, whichever is more. Stored hashes are imported, so that their cost is somebody else's choice.
    pub(super) fn ceiling(self) -> Self {
        Self { memory_kib: self.memory_kib.max(64 * 1024), passes: self.passes.max(10), lanes: self.lanes.max(16) }
    }

    /// Whether every parameter is at most the other's.
    pub(super) fn is_within(self, ceiling: Self) -> bool {
        self.memory_kib <= ceiling.memory_kib && self.passes <= ceiling.passes && self.lanes <= ceiling.lanes
    }

    /// Whether Argon2 is defined for it (RFC 9106, 3.1).
    pub(super) fn is_possible(self) -> bool {
        self.passes >= 1 && self.lanes >= 1 && self.memory_kib >= self.lanes.saturating_mul(8)
    }
}

/// Length of the tags that we make, in bytes.
pub(super) const TAG_BYTES: usize = 32;

/// A hash could not be computed: no memory for it, or parameters that the implementation refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the hash could not be computed: {0}")]
pub(super) struct HashFault(&'static str);

impl HashFault {
    /// The string that came out cannot be stored.
    pub(super) const UNSTORABLE: Self = Self("not a PHC string");
    /// No memory for a hash of another system.
    pub(super) const NO_MEMORY: Self = Self("no memory for it");
    /// Parameters that the implementation of another system's scheme does not take.
    pub(super) const REFUSED: Self = Self("its parameters are refused");
    /// The thread that computed it panicked.
    pub(super) const PANICKED: Self = Self("it panicked");
}

/// Whose Argon2id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Implementation {
    /// `argon2-rust`, with runtime-detected SIMD.
    Fast,
    /// RustCrypto's `argon2`.
    Reference,
}

/// One worker's Argon2id with its arena.
pub(super) struct Argon2id {
    usual: Cost,
    arena: Arena,
}

enum Arena {
    Fast(argon2_rust::Hasher),
    Reference(Vec<argon2::Block>),
}

impl Argon2id {
    /// Allocates the arena for hashes of the usual cost.
    pub(super) fn new(implementation: Implementation, usual: Cost) -> Result<Self, HashFault> {
        let arena = match implementation {
            Implementation::Fast => Arena::Fast(fast(usual, TAG_BYTES)?.hasher()),
            Implementation::Reference => Arena::Reference(Vec::new()),
        };
        let mut made = Self { usual, arena };
        made.resize_to_usual()?;
        Ok(made)
    }

    /// Computes a tag of `tag.len()` bytes. A cost above the usual one borrows the memory for this one hash.
    pub(super) fn tag(&mut self, cost: Cost, password: &[u8], salt: &[u8], tag: &mut [u8]) -> Result<(), HashFault> {
        let outcome = self.compute(cost, password, salt, tag);
        // Workers x usual memory is what the server promises to hold, so that the larger arena goes back at once.
        // Such hashes are rare: each is replaced by one of the usual cost when its owner signs in.
        if cost.memory_kib > self.usual.memory_kib {
            self.resize_to_usual()?;
        }
        outcome
    }

    /// Memory of the arena in KiB.
    #[cfg(test)]
    pub(super) fn arena_kib(&self) -> usize {
        match &self.arena {
            Arena::Fast(hasher) => hasher.reserved_blocks(),
            Arena::Reference(blocks) => blocks.capacity(),
        }
    }

    fn compute(&mut self, cost: Cost, password: &[u8], salt: &[u8], tag: &mut [u8]) -> Result<(), HashFault> {
        match &mut self.arena {
            Arena::Fast(hasher) => {
                hasher.set_argon2(fast(cost, tag.len())?);
                hasher.hash_into(password, salt, tag).map_err(|error| HashFault(error.message()))
            }
            Arena::Reference(blocks) => {
                let argon2 = reference(cost, tag.len())?;
                grow(blocks, argon2.params().block_count())?;
                let outcome = argon2.hash_password_into_with_memory(password, salt, tag, &mut blocks[..]);
                blocks.iter_mut().for_each(Zeroize::zeroize);
                outcome.map_err(|_| HashFault("refused by RustCrypto's argon2"))
            }
        }
    }

    /// Gives the arena back and takes one of the usual size.
    fn resize_to_usual(&mut self) -> Result<(), HashFault> {
        match &mut self.arena {
            Arena::Fast(hasher) => {
                hasher.clear();
                hasher.set_argon2(fast(self.usual, TAG_BYTES)?);
                hasher.reserve().map_err(|error| HashFault(error.message()))
            }
            Arena::Reference(blocks) => {
                *blocks = Vec::new();
                grow(blocks, reference(self.usual, TAG_BYTES)?.params().block_count())
            }
        }
    }
}

/// Makes room for `count` blocks, never holding two arenas; a failed allocation is an error, not the end of the
/// process.
fn grow(blocks: &mut Vec<argon2::Block>, count: usize) -> Result<(), HashFault> {
    if blocks.len() >= count {
        return Ok(());
    }
    *blocks = Vec::new();
    blocks.try_reserve_exact(count).map_err(|_| HashFault("no memory for the arena"))?;
    blocks.resize(count, argon2::Block::new());
    Ok(())
}

fn fast(cost: Cost, tag_bytes: usize) -> Result<argon2_rust::Argon2, HashFault> {
    let tag_bytes = u64::try_from(tag_bytes).map_err(|_| HashFault("tag too long"))?;
    let params = argon2_rust::Params::builder()
        .memory(Memory::kib(cost.memory_kib.into()))
        .passes(cost.passes)
        .lanes(cost.lanes)
        .tag_len(TagLen::bytes(tag_bytes))
        .build()
        .map_err(|error| HashFault(error.message()))?;
    Ok(argon2_rust::Argon2::new(argon2_rust::Algorithm::Argon2id, argon2_rust::Version::V0x13, params))
}

fn reference(cost: Cost, tag_bytes: usize) -> Result<argon2::Argon2<'static>, HashFault> {
    let params = argon2::Params::new(cost.memory_kib, cost.passes, cost.lanes, Some(tag_bytes))
        .map_err(|_| HashFault("parameters refused by RustCrypto's argon2"))?;
    Ok(argon2::Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, params))
}

/// Neither implementation computes Argon2id as RFC 9106 defines it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("Argon2id does not reproduce its published test vectors on this machine: {0}")]
pub(super) struct SelfCheckFailed(&'static str);

/// The implementation to use: the fast one if it passes every check at this cost, otherwise RustCrypto's.
pub(super) fn choose(force_reference: bool, cost: Cost) -> Result<Implementation, SelfCheckFailed> {
    if force_reference {
        return check(Implementation::Reference, cost).map(|()| Implementation::Reference);
    }
    choose_by(|implementation| check(implementation, cost))
}

fn choose_by(check: impl Fn(Implementation) -> Result<(), SelfCheckFailed>) -> Result<Implementation, SelfCheckFailed> {
    // A panic is one more way to fail the check.
    let outcome = catch_unwind(AssertUnwindSafe(|| check(Implementation::Fast)));
    let Err(failed) = outcome.unwrap_or(Err(SelfCheckFailed("it panicked"))) else {
        return Ok(Implementation::Fast);
    };
    tracing::warn!(reason = failed.0, "the fast Argon2id failed its self-check: using RustCrypto's, at half the speed");
    check(Implementation::Reference)?;
    Ok(Implementation::Reference)
}

/// `correct horse battery staple` with 16 bytes of 1 as salt, at OWASP's first choice with t=2.
const KNOWN_PASSWORD: &[u8] = b"correct horse battery staple";
const KNOWN_HASH: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$AQEBAQEBAQEBAQEBAQEBAQ$62QdG5Ru3xTGLX3KBXjk3JI2y0qvK/4QPpdRvIrGYkI";

fn check(implementation: Implementation, cost: Cost) -> Result<(), SelfCheckFailed> {
    if rfc_9106_tag(implementation) != Some(RFC_9106_TAG) {
        return Err(SelfCheckFailed("the vector of RFC 9106, 5.3"));
    }
    let known = Encoded::read(KNOWN_HASH).ok_or(SelfCheckFailed("the known hash is unreadable"))?;
    if tag_once(implementation, known.cost, KNOWN_PASSWORD, &known.salt).is_none_or(|tag| tag[..] != known.tag[..]) {
        return Err(SelfCheckFailed("the known hash"));
    }
    if implementation == Implementation::Fast {
        let ours = tag_once(Implementation::Fast, cost, KNOWN_PASSWORD, &known.salt);
        let theirs = tag_once(Implementation::Reference, cost, KNOWN_PASSWORD, &known.salt);
        if ours.is_none() || ours != theirs {
            return Err(SelfCheckFailed("the comparison with RustCrypto at the configured cost"));
        }
    }
    Ok(())
}

fn tag_once(implementation: Implementation, cost: Cost, password: &[u8], salt: &[u8]) -> Option<[u8; TAG_BYTES]> {
    let mut tag = [0; TAG_BYTES];
    Argon2id::new(implementation, cost).ok()?.tag(cost, password, salt, &mut tag).ok()?;
    Some(tag)
}

const RFC_9106_TAG: [u8; TAG_BYTES] = [
    0x0d, 0x64, 0x0d, 0xf5, 0x8d, 0x78, 0x76, 0x6c, 0x08, 0xc0, 0x37, 0xa3, 0x4a, 0x8b, 0x53, 0xc9, 0xd0, 0x1e, 0xf0,
    0x45, 0x2d, 0x75, 0xb6, 0x5e, 0xb5, 0x25, 0x20, 0xe9, 0x6b, 0x01, 0xe6, 0x59,
];

/// RFC 9106, 5.3: the one published vector. It has a secret and associated data, which stored hashes never have.
fn rfc_9106_tag(implementation: Implementation) -> Option<[u8; TAG_BYTES]> {
    let cost = Cost { memory_kib: 32, passes: 3, lanes: 4 };
    let (password, salt, secret, data) = ([1; 32], [2; 16], [3; 8], [4; 12]);
    let mut tag = [0; TAG_BYTES];
    match implementation {
        Implementation::Fast => {
            let mut hasher = fast(cost, TAG_BYTES).ok()?.hasher();
            hasher.hash_into_with_ad(&password, &salt, &secret, &data, &mut tag).ok()?;
        }
        Implementation::Reference => {
            let params = argon2::ParamsBuilder::new()
                .m_cost(cost.memory_kib)
                .t_cost(cost.passes)
                .p_cost(cost.lanes)
                .output_len(TAG_BYTES)
                .data(argon2::AssociatedData::new(&data).ok()?)
                .build()
                .ok()?;
            let (algorithm, version) = (argon2::Algorithm::Argon2id, argon2::Version::V0x13);
            let argon2 = argon2::Argon2::new_with_secret(&secret, algorithm, version, params).ok()?;
            argon2.hash_password_into(&password, &salt, &mut tag).ok()?;
        }
    }
    Some(tag)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TINY: Cost = Cost { memory_kib: 64, passes: 1, lanes: 1 };
    const BOTH: [Implementation; 2] = [Implementation::Fast, Implementation::Reference];

    #[test]
    fn both_pass_the_self_check() {
        for implementation in BOTH {
            assert_eq!(check(implementation, TINY), Ok(()));
        }
        assert_eq!(choose(false, TINY), Ok(Implementation::Fast));
        assert_eq!(choose(true, TINY), Ok(Implementation::Reference));
    }

    #[test]
    fn a_fast_one_that_fails_or_panics_is_replaced() {
        let fails = |implementation| match implementation {
            Implementation::Fast => Err(SelfCheckFailed("a test")),
            Implementation::Reference => Ok(()),
        };
        assert_eq!(choose_by(fails), Ok(Implementation::Reference));
        let panics = |implementation| match implementation {
            Implementation::Fast => panic!("a test"),
            Implementation::Reference => Ok(()),
        };
        assert_eq!(choose_by(panics), Ok(Implementation::Reference));
        assert!(choose_by(|_| Err(SelfCheckFailed("a test"))).is_err());
    }

    #[test]
    fn a_costlier_hash_borrows_its_memory() {
        for implementation in BOTH {
            let mut argon2id = Argon2id::new(implementation, TINY).unwrap();
            let mut tag = [0; TAG_BYTES];
            assert_eq!(argon2id.arena_kib(), 64);
            argon2id.tag(TINY, b"a", &[0; 16], &mut tag).unwrap();
            argon2id.tag(Cost { memory_kib: 8, ..TINY }, b"a", &[0; 16], &mut tag).unwrap();
            argon2id.tag(Cost { memory_kib: 1024, ..TINY }, b"a", &[0; 16], &mut tag).unwrap();
            assert_eq!(argon2id.arena_kib(), 64);
        }
    }

    #[test]
    fn an_impossible_cost_is_an_error_and_the_next_hash_works() {
        for implementation in BOTH {
            let mut argon2id = Argon2id::new(implementation, TINY).unwrap();
            let mut tag = [0; TAG_BYTES];
            assert!(argon2id.tag(Cost { passes: 0, ..TINY }, b"a", &[0; 16], &mut tag).is_err());
            assert!(argon2id.tag(TINY, b"a", &[0; 7], &mut tag).is_err(), "the salt is too short");
            assert!(argon2id.tag(TINY, b"a", &[0; 16], &mut tag).is_ok());
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

        /// One arena each for all inputs: a hash that read what an earlier one left behind would differ.
        #[test]
        fn both_agree_on_everything(
            hashes in prop::collection::vec(
                (1u32..5, 0u32..120, 1u32..4, prop::collection::vec(any::<u8>(), 0..1024),
                 prop::collection::vec(any::<u8>(), 8..64), 16usize..64),
                1..4,
            ),
        ) {
            let mut fast = Argon2id::new(Implementation::Fast, TINY).unwrap();
            let mut reference = Argon2id::new(Implementation::Reference, TINY).unwrap();
            for (lanes, memory_more, passes, password, salt, tag_bytes) in hashes {
                let cost = Cost { memory_kib: 8 * lanes + memory_more, passes, lanes };
                let (mut ours, mut theirs) = (vec![0; tag_bytes], vec![0; tag_bytes]);
                fast.tag(cost, &password, &salt, &mut ours).unwrap();
                reference.tag(cost, &password, &salt, &mut theirs).unwrap();
                prop_assert_eq!(ours, theirs);
            }
        }
    }
}
