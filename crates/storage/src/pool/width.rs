//! How many requests of one disk run at the same time while others wait.
//!
//! Few threads that always find the next request are cheaper than many that are woken for one each: on a
//! disk that answers as fast as the processors can ask, the processors are what counts. A disk that takes
//! its time does more of it at once the more it is asked. What a disk is like is found out by trying:
//! while requests wait, now and then both numbers have their turn, and the larger one stays if it gets
//! more done.

use std::time::{Duration, Instant};

/// How long each number is tried for.
const TRIAL: Duration = Duration::from_millis(150);

/// How long the outcome holds.
const HOLDS: Duration = Duration::from_secs(5);

/// The number of requests of one disk at the same time, narrow or wide.
#[derive(Debug)]
pub(super) struct Width {
    phase: Phase,
    since: Instant,
    /// Requests done since then.
    done: u32,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Phase {
    /// Few at a time; tried when requests wait from then on.
    Narrow { until: Instant },
    /// Few at a time, and counted.
    TryNarrow,
    /// Many at a time, and counted; so many a second were done before.
    TryWide { narrow: f64 },
    /// Many at a time, which was better.
    Wide { until: Instant },
}

impl Width {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            phase: Phase::Narrow { until: now },
            since: now,
            done: 0,
        }
    }

    /// Whether many may run.
    pub(super) fn is_wide(&self) -> bool {
        matches!(self.phase, Phase::TryWide { .. } | Phase::Wide { .. })
    }

    /// A request has to wait for those that run.
    pub(super) fn queued(&mut self, now: Instant) {
        if matches!(self.phase, Phase::Narrow { until } if now >= until) {
            self.enter(Phase::TryNarrow, now);
        }
    }

    /// A request came back; `waiting` tells whether others wait.
    pub(super) fn done(&mut self, now: Instant, waiting: bool) {
        self.done = self.done.saturating_add(1);
        let ends = now.saturating_duration_since(self.since) >= TRIAL;
        match self.phase {
            // What it can do is not known unless it is kept busy.
            Phase::TryNarrow if !waiting => self.enter(Phase::Narrow { until: now }, now),
            Phase::TryNarrow if ends => {
                let narrow = self.rate(now);
                self.enter(Phase::TryWide { narrow }, now);
            }
            Phase::TryWide { narrow } if ends => {
                let until = now + HOLDS;
                // As much is not enough, as more threads cost more.
                let better = self.rate(now) >= narrow * 1.1;
                let phase = if better {
                    Phase::Wide { until }
                } else {
                    Phase::Narrow { until }
                };
                self.enter(phase, now);
            }
            Phase::Wide { until } if now >= until => self.enter(Phase::Narrow { until: now }, now),
            _ => {}
        }
    }

    fn enter(&mut self, phase: Phase, now: Instant) {
        (self.phase, self.since, self.done) = (phase, now, 0);
    }

    fn rate(&self, now: Instant) -> f64 {
        let seconds = now.saturating_duration_since(self.since).as_secs_f64();
        f64::from(self.done) / seconds.max(1e-6)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A disk that does so many requests a second when few run, and when many do; how often in a hundred
    /// it was asked to do many, over half a minute.
    fn share_of_wide(narrow: f64, wide: f64, waiting: bool) -> usize {
        let mut now = Instant::now();
        let end = now + Duration::from_secs(30);
        let mut width = Width::new(now);
        let (mut wide_for, mut all) = (Duration::ZERO, Duration::ZERO);
        while now < end {
            if waiting {
                width.queued(now);
            }
            let rate = if width.is_wide() { wide } else { narrow };
            let takes = Duration::from_secs_f64(1.0 / rate);
            if width.is_wide() {
                wide_for += takes;
            }
            all += takes;
            now += takes;
            width.done(now, waiting);
        }
        (wide_for.as_secs_f64() / all.as_secs_f64() * 100.0) as usize
    }

    #[test]
    fn a_disk_that_does_more_when_asked_for_more_is_asked_for_more() {
        assert!(share_of_wide(3000.0, 11000.0, true) > 90);
        assert!(share_of_wide(100.0, 390.0, true) > 90);
        assert!(share_of_wide(8.0, 30.0, true) > 80);
    }

    #[test]
    fn a_disk_that_does_not_is_asked_now_and_then() {
        assert!((1..5).contains(&share_of_wide(3000.0, 2500.0, true)));
        assert!((1..5).contains(&share_of_wide(3000.0, 3000.0, true)));
    }

    #[test]
    fn nothing_is_tried_where_nothing_waits() {
        assert_eq!(share_of_wide(3000.0, 11000.0, false), 0);
    }
}
