//! Random numbers that a seed repeats exactly.

use std::ops::Range;
use std::time::Duration;

/// splitmix64, with the draws that a simulation needs.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// A stream of its own for each purpose, so that one more draw here changes nothing there.
    #[must_use]
    pub fn new(seed: u64, stream: u64) -> Self {
        let mut mixed = Self(seed ^ 0x5eed_0f1e_a5e5_0000);
        let offset = mixed.number();
        Self(offset ^ Self(stream).number())
    }

    /// A stream that depends on this one, and moves it on.
    pub fn fork(&mut self) -> Self {
        Self(self.number())
    }

    /// Any number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    /// Below `bound`; 0 for a bound of 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        let product = u128::from(self.number()) * u128::from(bound);
        u64::try_from(product >> 64).unwrap_or(0)
    }

    /// An index into `len` things; 0 for none.
    pub fn index(&mut self, len: usize) -> usize {
        usize::try_from(self.below(len as u64)).unwrap_or(0)
    }

    /// Whether something that happens so many times in a thousand happens now.
    pub fn permille(&mut self, permille: u64) -> bool {
        self.below(1000) < permille
    }

    /// In the range; its start if it is empty.
    pub fn within(&mut self, range: Range<u64>) -> u64 {
        range.start + self.below(range.end.saturating_sub(range.start))
    }

    /// In the range, to the microsecond.
    pub fn time(&mut self, range: Range<Duration>) -> Duration {
        let width = range.end.saturating_sub(range.start).as_micros();
        range.start + Duration::from_micros(self.below(u64::try_from(width).unwrap_or(u64::MAX)))
    }

    /// Between so many and so many milliseconds.
    pub fn millis(&mut self, range: Range<u64>) -> Duration {
        self.time(Duration::from_millis(range.start)..Duration::from_millis(range.end))
    }

    /// One of these, which are not empty.
    pub fn one_of<T: Copy>(&mut self, things: &[T]) -> T {
        things[self.index(things.len())]
    }

    /// Puts them into any order.
    pub fn shuffle<T>(&mut self, things: &mut [T]) {
        for end in (1..things.len()).rev() {
            things.swap(end, self.index(end + 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_stay_in_bounds_and_streams_differ() {
        let mut random = Random::new(7, 1);
        for _ in 0..1000 {
            assert!((3..9).contains(&random.within(3..9)));
            assert!(random.index(4) < 4);
            assert!(!random.permille(0) && random.permille(1000));
        }
        assert_eq!((random.below(0), random.within(5..5)), (0, 5));
        assert_ne!(Random::new(7, 1).number(), Random::new(7, 2).number());
        assert_ne!(Random::new(7, 1).number(), Random::new(8, 1).number());
        let mut things: Vec<_> = (0..50).collect();
        random.shuffle(&mut things);
        assert!(!things.is_sorted());
        things.sort_unstable();
        assert_eq!(things, (0..50).collect::<Vec<_>>());
    }
}
