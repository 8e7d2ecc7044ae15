//! Random numbers that a seed repeats exactly, on every machine and in every version.

use std::ops::Range;
use std::time::Duration;

/// splitmix64: one word of state, good enough to choose faults.
#[derive(Debug, Clone)]
pub(super) struct Random(u64);

impl Random {
    /// A stream that depends on both numbers: each host has its own, so that one more host or one more
    /// request of another host does not change what happens to this one.
    pub(super) fn new(seed: u64, stream: u64) -> Self {
        let mut mixed = Self(seed);
        let offset = mixed.next();
        Self(offset ^ Self(stream).next())
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    /// Below `bound`; 0 for a bound of 0.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        // The high half of the product: no modulo, and a bias nobody can see at these bounds.
        let product = u128::from(self.next()) * u128::from(bound);
        u64::try_from(product >> 64).unwrap_or(0)
    }

    /// Whether something of this probability (0 never, 1 always) happens now.
    pub(super) fn chance(&mut self, probability: f64) -> bool {
        // 53 bits are what an f64 holds exactly.
        #[allow(clippy::cast_precision_loss)]
        let drawn = (self.next() >> 11) as f64 / (1u64 << 53) as f64;
        drawn < probability
    }

    /// In the range; its start if it is empty.
    pub(super) fn within(&mut self, range: &Range<Duration>) -> Duration {
        let width = range.end.saturating_sub(range.start).as_nanos();
        let width = u64::try_from(width).unwrap_or(u64::MAX);
        range
            .start
            .saturating_add(Duration::from_nanos(self.below(width)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_answers_of_splitmix64() {
        let mut random = Random(1_234_567);
        let first: Vec<u64> = (0..3).map(|_| random.next()).collect();
        assert_eq!(
            first,
            [
                6_457_827_717_110_365_317,
                3_203_168_211_198_807_973,
                9_817_491_932_198_370_423
            ]
        );
    }

    #[test]
    fn draws_stay_in_bounds_and_streams_differ() {
        let mut random = Random::new(7, 1);
        let range = Duration::from_millis(3)..Duration::from_millis(5);
        for _ in 0..1000 {
            assert!(random.below(10) < 10);
            assert!(range.contains(&random.within(&range)));
            assert!(!random.chance(0.0));
            assert!(random.chance(1.0));
        }
        assert_eq!(random.below(0), 0);
        assert_eq!(
            random.within(&(Duration::from_secs(1)..Duration::ZERO)),
            Duration::from_secs(1)
        );
        assert_ne!(Random::new(7, 1).next(), Random::new(7, 2).next());
        assert_ne!(Random::new(7, 1).next(), Random::new(8, 1).next());
    }
}
