//! What an endpoint's deliveries are signed with: its secret (`v1`), its key pair if it has one (`v1a`), and former ones until
//! their receiver has surely changed over.
//!
//! Sealed as lines: `whsec_..` or `whsk_..`; a former one is followed by the time in microseconds at which it ends.

use std::fmt::Write;
use std::sync::Arc;

use keyherald_core::Micros;
use keyherald_core::signature::WebhookSecret;
use zeroize::Zeroizing;

use super::pair::Pair;

/// Former keys that are kept at most, of three changes: whoever changes them more often within one overlap loses the oldest.
const FORMER_MAX: usize = 6;

/// The keys of one endpoint: the current ones, its secret first, then former ones.
#[derive(Clone)]
pub(super) struct Keys(Vec<Held>);

#[derive(Clone)]
struct Held {
    key: Key,
    /// When it signs no more. `None`: it is current.
    until: Option<Micros>,
}

#[derive(Clone)]
enum Key {
    Shared(WebhookSecret),
    Pair(Arc<Pair>),
}

impl Keys {
    /// An endpoint with these.
    pub(super) fn new(secret: WebhookSecret, pair: Option<Pair>) -> Self {
        let keys = [Some(Key::Shared(secret)), pair.map(|pair| Key::Pair(Arc::new(pair)))];
        Self(keys.into_iter().flatten().map(|key| Held { key, until: None }).collect())
    }

    /// What [`Keys::lines`] wrote.
    pub(super) fn read(lines: &[u8]) -> Option<Self> {
        let held = std::str::from_utf8(lines).ok()?.lines().map(Held::read).collect::<Option<Vec<_>>>()?;
        let has_secret = matches!(held.first(), Some(Held { key: Key::Shared(_), until: None }));
        has_secret.then_some(Self(held))
    }

    /// As they are sealed.
    pub(super) fn lines(&self) -> Zeroizing<Vec<u8>> {
        let mut lines = Zeroizing::new(Vec::new());
        for held in &self.0 {
            if !lines.is_empty() {
                lines.push(b'\n');
            }
            match &held.key {
                Key::Shared(secret) => secret.reveal_with(|text| lines.extend_from_slice(text.as_bytes())),
                Key::Pair(pair) => pair.reveal_with(|text| lines.extend_from_slice(text.as_bytes())),
            }
            if let Some(until) = held.until {
                lines.extend_from_slice(format!(" {}", until.0).as_bytes());
            }
        }
        lines
    }

    /// These, in the place of `former`, whose keys sign besides them for `overlap` microseconds. With the same secret again
    /// the pair stays as well: only settings have changed.
    pub(super) fn after(mut self, former: Self, overlap: i64, now: Micros) -> Self {
        let same_secret = former.0.first().is_some_and(|first| self.has(first));
        if let Some(pair) = former.pair().filter(|_| same_secret) {
            for held in &mut self.0 {
                if let Key::Pair(made) = &mut held.key {
                    *made = pair.clone();
                }
            }
        }
        let ends = now.plus(overlap);
        let left = former
            .0
            .into_iter()
            .filter(|held| !self.has(held))
            .map(|held| Held { until: Some(held.until.unwrap_or(ends).min(ends)), ..held });
        let left: Vec<Held> = left.filter(|held| held.signs(now)).take(FORMER_MAX).collect();
        self.0.extend(left);
        self
    }

    /// Whether it is one of the current keys.
    fn has(&self, held: &Held) -> bool {
        self.0.iter().filter(|mine| mine.until.is_none()).any(|mine| match (&mine.key, &held.key) {
            (Key::Shared(one), Key::Shared(other)) => one.is(other),
            (Key::Pair(one), Key::Pair(other)) => one.is(other),
            _ => false,
        })
    }

    /// The current pair.
    pub(super) fn pair(&self) -> Option<&Arc<Pair>> {
        self.0.iter().filter(|held| held.until.is_none()).find_map(|held| match &held.key {
            Key::Pair(pair) => Some(pair),
            Key::Shared(_) => None,
        })
    }

    /// The pairs that sign at `now`, the current one first.
    pub(super) fn pairs(&self, now: Micros) -> impl Iterator<Item = &Pair> {
        self.0.iter().filter(move |held| held.signs(now)).filter_map(|held| match &held.key {
            Key::Pair(pair) => Some(&**pair),
            Key::Shared(_) => None,
        })
    }

    /// The header `webhook-signature` of an attempt at `now`: a signature of each key.
    pub(super) fn signatures(&self, id: &str, now: Micros, body: &[u8]) -> String {
        let timestamp = now.0.div_euclid(Micros::SECOND);
        let mut header = String::new();
        for held in self.0.iter().filter(|held| held.signs(now)) {
            if !header.is_empty() {
                header.push(' ');
            }
            match &held.key {
                Key::Shared(secret) => header.push_str(&secret.sign(id, timestamp, body)),
                Key::Pair(pair) => {
                    let signed = [format!("{id}.{timestamp}.").as_bytes(), body].concat();
                    let _infallible = write!(header, "v1a,{}", pair.sign(&signed));
                }
            }
        }
        header
    }
}

impl Held {
    fn read(line: &str) -> Option<Self> {
        let (text, until) = match line.split_once(' ') {
            None => (line, None),
            Some((text, until)) => (text, Some(Micros(until.parse().ok()?))),
        };
        let shared = WebhookSecret::parse(text).ok().map(Key::Shared);
        let key = shared.or_else(|| Some(Key::Pair(Arc::new(Pair::read(text)?))))?;
        Some(Self { key, until })
    }

    fn signs(&self, now: Micros) -> bool {
        self.until.is_none_or(|until| now < until)
    }
}

#[cfg(test)]
mod tests {
    use keyherald_core::Ctx;

    use super::*;

    const HOUR: i64 = Micros::HOUR;

    fn secret(seed: u8) -> WebhookSecret {
        WebhookSecret::new(&mut Ctx::new(Micros(0), [seed; 32]))
    }

    fn pair(seed: u8) -> Pair {
        Pair::new(&mut Ctx::new(Micros(0), [seed; 32])).unwrap()
    }

    fn keys(seed: u8) -> Keys {
        Keys::new(secret(seed), None)
    }

    fn both(seed: u8) -> Keys {
        Keys::new(secret(seed), Some(pair(seed)))
    }

    /// Which of the secrets 0..10 have signed.
    fn signed(keys: &Keys, now: i64) -> Vec<u8> {
        let header = keys.signatures("msg_1", Micros(now), b"{}");
        (0..10).filter(|seed| secret(*seed).verify("msg_1", now / Micros::SECOND, b"{}", &header)).collect()
    }

    /// Which of the pairs 0..10 have.
    fn signed_by_pairs(keys: &Keys, now: i64) -> Vec<u8> {
        let header = keys.signatures("msg_1", Micros(now), b"{}");
        let mark = |seed| format!("v1a,{}", pair(seed).sign(format!("msg_1.{}.{{}}", now / Micros::SECOND).as_bytes()));
        (0..10).filter(|seed| header.split(' ').any(|given| given == mark(*seed))).collect()
    }

    #[test]
    fn former_secrets_sign_until_their_overlap_ends() {
        let rotated = keys(2).after(keys(1), 24 * HOUR, Micros(0));
        let again = Keys::read(&rotated.lines()).unwrap();
        for keys in [rotated, again] {
            assert_eq!(keys.signatures("msg_1", Micros(0), b"{}").split(' ').count(), 2);
            assert_eq!([0, 24 * HOUR - 1, 24 * HOUR].map(|now| signed(&keys, now)), [vec![1, 2], vec![1, 2], vec![2]]);
        }
    }

    #[test]
    fn an_overlap_is_never_lengthened_and_may_be_none() {
        let rotated = keys(2).after(keys(1), 2 * HOUR, Micros(0));
        let later = keys(3).after(rotated.clone(), 24 * HOUR, Micros(HOUR));
        assert_eq!([HOUR, 2 * HOUR, 25 * HOUR].map(|now| signed(&later, now)), [vec![1, 2, 3], vec![2, 3], vec![3]]);
        let at_once = keys(3).after(rotated, 0, Micros(HOUR));
        assert_eq!(signed(&at_once, HOUR), [3]);
    }

    #[test]
    fn the_same_secret_again_is_no_rotation() {
        let rotated = keys(2).after(keys(1), HOUR, Micros(0));
        assert_eq!(keys(2).after(rotated.clone(), 24 * HOUR, Micros(1)).lines(), rotated.lines());
    }

    #[test]
    fn former_secrets_have_a_limit() {
        let all = (1..10).fold(keys(0), |former, seed| keys(seed).after(former, HOUR, Micros(0)));
        assert_eq!(signed(&all, 0), [3, 4, 5, 6, 7, 8, 9]);
    }

    #[test]
    fn what_was_sealed_before_there_were_several_reads_and_garbage_does_not() {
        let secret = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
        assert!(Keys::read(secret.as_bytes()).is_some());
        let no_secret = pair(1).reveal_with(str::to_owned);
        for bad in ["", "hunter2", &format!("{secret} x"), &format!("{secret} 5"), &no_secret] {
            assert!(Keys::read(bad.as_bytes()).is_none(), "{bad}");
        }
    }

    #[test]
    fn the_published_vectors_of_v1a() {
        let private = "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg==";
        for (secret, id, seconds, body, v1, v1a) in [
            (
                "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD",
                "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk",
                1_649_367_553,
                r#"{"email":"test@example.com","username":"test_user"}"#,
                "tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=",
                "LFHB363YvoTm7xdMyZd/981dRSdVxW0u27ld7pRBYKa+E1Is4O8e+VFZlwtUB7muxeGaguMrB+8TDoJMHA5lCQ==",
            ),
            (
                "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
                "msg_p5jXN8AQM9LWM0D4loKWxJek",
                1_614_265_330,
                r#"{"test": 2432232314}"#,
                "g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
                "hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg==",
            ),
        ] {
            let keys = Keys::new(WebhookSecret::parse(secret).unwrap(), Pair::read(private));
            let header = keys.signatures(id, Micros(seconds * Micros::SECOND), body.as_bytes());
            assert_eq!(header, format!("v1,{v1} v1a,{v1a}"));
        }
    }

    #[test]
    fn a_pair_stays_with_its_secret_and_goes_with_it() {
        let first = both(1);
        let same = Keys::new(secret(1), Some(pair(5))).after(first.clone(), HOUR, Micros(0));
        assert_eq!((signed(&same, 0), signed_by_pairs(&same, 0)), (vec![1], vec![1]));
        assert!(same.pair().unwrap().is(&pair(1)));
        let other = Keys::read(&both(2).after(first.clone(), HOUR, Micros(0)).lines()).unwrap();
        assert_eq!((signed(&other, 0), signed_by_pairs(&other, 0)), (vec![1, 2], vec![1, 2]));
        assert!(other.pair().unwrap().is(&pair(2)) && other.pairs(Micros(0)).count() == 2);
        assert_eq!((signed(&other, HOUR), signed_by_pairs(&other, HOUR)), (vec![2], vec![2]));
        let dropped = keys(1).after(first, HOUR, Micros(0));
        assert!(dropped.pair().is_none());
        assert_eq!([0, HOUR].map(|now| signed_by_pairs(&dropped, now)), [vec![1], vec![]]);
        let added = both(1).after(keys(1), HOUR, Micros(0));
        assert_eq!((signed(&added, 0), signed_by_pairs(&added, 0)), (vec![1], vec![1]));
    }
}
