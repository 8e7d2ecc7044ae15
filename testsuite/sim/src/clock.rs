//! A host's clock: an offset and a rate of its own, standing still while the host is suspended.

use std::time::Duration;

use tokio::time::Instant;

/// How much faster or slower than true time a clock may run, in millionths.
pub const MAX_DRIFT_PPM: i64 = 1000;

/// The monotonic clock of one boot of one host.
#[derive(Debug, Clone)]
pub struct HostClock {
    started: Instant,
    /// What it showed when it started.
    offset: Duration,
    /// Millionths by which it runs fast.
    drift_ppm: i64,
    suspended: Duration,
    suspended_at: Option<Instant>,
}

impl HostClock {
    /// A clock that shows `offset` now.
    #[must_use]
    pub fn new(offset: Duration, drift_ppm: i64) -> Self {
        Self {
            started: Instant::now(),
            offset,
            drift_ppm,
            suspended: Duration::ZERO,
            suspended_at: None,
        }
    }

    fn scaled(&self, true_time: Duration, ppm: i64) -> Duration {
        let nanos = i128::try_from(true_time.as_nanos()).unwrap_or(i128::MAX);
        let scaled = nanos + nanos * i128::from(ppm) / 1_000_000;
        Duration::from_nanos(u64::try_from(scaled).unwrap_or(0))
    }

    fn suspended_true(&self) -> Duration {
        self.suspended
            + self
                .suspended_at
                .map_or(Duration::ZERO, |since| since.elapsed())
    }

    /// What the clock shows.
    #[must_use]
    pub fn monotonic(&self) -> Duration {
        let awake = self.started.elapsed().saturating_sub(self.suspended_true());
        self.offset + self.scaled(awake, self.drift_ppm)
    }

    /// How long it has stood still since boot, as the host reckons it.
    #[must_use]
    pub fn suspended(&self) -> Duration {
        self.scaled(self.suspended_true(), self.drift_ppm)
    }

    /// How much true time must pass for the clock to move on by `local`, if it is not suspended meanwhile.
    #[must_use]
    pub fn true_time(&self, local: Duration) -> Duration {
        // Rounded up: a timer never fires early.
        self.scaled(local, -self.drift_ppm) + Duration::from_micros(1)
    }

    /// The host is suspended, or wakes up.
    pub fn set_suspended(&mut self, suspended: bool) {
        match (suspended, self.suspended_at) {
            (true, None) => self.suspended_at = Some(Instant::now()),
            (false, Some(since)) => {
                self.suspended += since.elapsed();
                self.suspended_at = None;
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_drifts_and_stands_still_while_suspended() {
        let mut clock = HostClock::new(Duration::from_secs(100), 1000);
        tokio::time::sleep(Duration::from_secs(1000)).await;
        assert_eq!(clock.monotonic(), Duration::from_secs(1101));
        clock.set_suspended(true);
        tokio::time::sleep(Duration::from_secs(50)).await;
        assert_eq!(clock.monotonic(), Duration::from_secs(1101));
        clock.set_suspended(false);
        assert_eq!(clock.suspended(), Duration::from_millis(50_050));
        let wait = clock.true_time(Duration::from_secs(10));
        assert!(wait < Duration::from_millis(9_991) && wait > Duration::from_millis(9_989));
    }
}
