//! Rates: so many of something within a time, refilled evenly (a token bucket).
//!
//! A bucket is one number, the time at which it would be full again: so it needs no refilling, nothing is lost when time
//! stands still, and a bucket that is full need not be kept at all. What a bucket is about is the caller's; here it has no
//! name.

use crate::ctx::Micros;

/// How many, and within which time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// So many at once, and on average per `per`.
    pub count: u32,
    /// In microseconds.
    pub per: i64,
}

/// The bucket is empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exceeded {
    /// When there is one again.
    pub free_at: Micros,
}

impl Exceeded {
    /// Whole seconds until then, at least one: what `Retry-After` says.
    pub fn retry_after_s(self, now: Micros) -> u32 {
        seconds_until(self.free_at, now)
    }
}

/// Whole seconds from `now` until `then`, rounded up, at least one.
pub fn seconds_until(then: Micros, now: Micros) -> u32 {
    let micros = then.0.saturating_sub(now.0);
    u32::try_from(micros.saturating_add(Micros::SECOND - 1) / Micros::SECOND).unwrap_or(u32::MAX).max(1)
}

impl Rate {
    /// Takes one out of a bucket that will be full at `full_at` (`None`: is full), and says when it will be full now.
    pub fn take(self, full_at: Option<Micros>, now: Micros) -> Result<Micros, Exceeded> {
        let count = i64::from(self.count.max(1));
        let one = self.per / count;
        // Not `per`: what is left of the division would let one more through early.
        let all = one * count;
        // A time that lies further ahead than an empty bucket's was written under another rate, or by another clock.
        let full_at = full_at.map_or(now, |full_at| full_at.clamp(now, now.plus(all)));
        let then = full_at.plus(one);
        if then > now.plus(all) { Err(Exceeded { free_at: then.plus(-all) }) } else { Ok(then) }
    }

    /// Takes `number` out of a bucket, if need be before they are there: says when it will be full now, and how long to wait
    /// for the last of them, in microseconds. Whoever would wait for longer than `wait_max` takes none.
    pub fn book(
        self,
        full_at: Option<Micros>,
        now: Micros,
        (number, wait_max): (u32, i64),
    ) -> Result<(Micros, i64), Exceeded> {
        let count = i64::from(self.count.max(1));
        let one = self.per / count;
        let all = one.saturating_mul(count);
        // What is booked lies ahead of an empty bucket by the longest wait at most, or was written by another clock.
        let latest = now.plus(all.saturating_add(wait_max.max(0)));
        let full_at =
            full_at.map_or(now, |full_at| if full_at > latest.plus(Micros::MINUTE) { now } else { full_at.max(now) });
        let then = full_at.plus(one.saturating_mul(i64::from(number)));
        let wait = then.0.saturating_sub(now.plus(all).0).max(0);
        if wait > wait_max { Err(Exceeded { free_at: now.plus(wait) }) } else { Ok((then, wait)) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const RATE: Rate = Rate { count: 3, per: 30 };

    #[test]
    fn so_many_at_once_and_then_one_at_a_time() {
        let mut bucket = None;
        for _ in 0..3 {
            bucket = Some(RATE.take(bucket, Micros(100)).unwrap());
        }
        assert_eq!(RATE.take(bucket, Micros(100)), Err(Exceeded { free_at: Micros(110) }));
        assert_eq!(RATE.take(bucket, Micros(109)), Err(Exceeded { free_at: Micros(110) }));
        assert_eq!(RATE.take(bucket, Micros(110)), Ok(Micros(140)));
        assert_eq!(RATE.take(bucket, Micros(500)), Ok(Micros(510)), "full, and no fuller than full");
    }

    #[test]
    fn what_is_booked_ahead_is_waited_for() {
        let (now, mut bucket, mut waits) = (Micros(100), None, Vec::new());
        for number in [1, 1, 1, 1, 2] {
            let (full_at, wait) = RATE.book(bucket, now, (number, 40)).unwrap();
            bucket = Some(full_at);
            waits.push(wait);
        }
        assert_eq!(waits, [0, 0, 0, 10, 30]);
        assert_eq!(RATE.book(bucket, now, (2, 40)), Err(Exceeded { free_at: Micros(150) }));
        assert_eq!(RATE.book(bucket, now, (1, 40)), Ok((Micros(170), 40)), "who was refused has taken nothing");
        assert_eq!(RATE.book(Some(Micros(Micros::DAY)), now, (1, 40)), Ok((Micros(110), 0)), "another clock's");
    }

    #[test]
    fn a_bucket_from_another_time_is_empty_at_worst() {
        assert_eq!(RATE.take(Some(Micros(i64::MAX)), Micros(0)), Err(Exceeded { free_at: Micros(10) }));
        assert_eq!(RATE.take(Some(Micros(i64::MIN)), Micros(0)), Ok(Micros(10)));
    }

    #[test]
    fn seconds_are_rounded_up() {
        let after = |micros| Exceeded { free_at: Micros(micros) }.retry_after_s(Micros(0));
        assert_eq!([-5, 0, 1, 1_000_000, 1_000_001].map(after), [1, 1, 1, 1, 2]);
    }

    proptest! {
        /// Whatever the gaps between calls: never more than `count` plus what has come in since.
        #[test]
        fn never_more_than_the_rate(gaps in proptest::collection::vec(0_i64..40, 1..200), count in 1_u32..9) {
            let rate = Rate { count, per: 90 };
            let (mut bucket, mut now, mut taken) = (None, 0, Vec::new());
            for gap in gaps {
                now += gap;
                match rate.take(bucket, Micros(now)) {
                    Ok(full_at) => {
                        bucket = Some(full_at);
                        taken.push(now);
                    }
                    Err(Exceeded { free_at }) => {
                        prop_assert!(free_at > Micros(now));
                        prop_assert!(rate.take(bucket, free_at).is_ok());
                    }
                }
            }
            for (index, first) in taken.iter().enumerate() {
                for (more, last) in taken[index..].iter().enumerate() {
                    let came_in = (last - first) / (90 / i64::from(count));
                    prop_assert!(i64::try_from(more + 1).unwrap() <= i64::from(count) + came_in);
                }
            }
        }
    }
}
