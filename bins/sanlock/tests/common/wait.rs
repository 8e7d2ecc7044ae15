//! Waiting for what comes about by itself.

use std::thread::sleep;
use std::time::{Duration, Instant};

/// Longer than anything takes on a computer that is busy with other things.
pub const PATIENCE: Duration = Duration::from_secs(60);

const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Looks until there is something, and panics if that takes too long.
pub fn until_some<T>(what: &str, within: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(began.elapsed() < within, "not within {within:?}: {what}");
        sleep(LOOK_EVERY);
    }
}

/// As [`until_some`], for what is true or not. Returns how long it took.
pub fn until(what: &str, within: Duration, mut look: impl FnMut() -> bool) -> Duration {
    let began = Instant::now();
    until_some(what, within, || look().then_some(()));
    began.elapsed()
}

/// Does something again and again for so long, and returns how often.
pub fn for_a_while(duration: Duration, mut work: impl FnMut()) -> u32 {
    let began = Instant::now();
    let mut count = 0;
    while began.elapsed() < duration {
        work();
        count += 1;
    }
    count
}
