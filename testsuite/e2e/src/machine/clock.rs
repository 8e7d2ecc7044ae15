//! A machine's clock, seen from outside.

use std::fmt;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::agent::Agent;

/// How far the clock may be off its own earlier readings.
const DRIFT_LIMIT: Duration = Duration::from_millis(400);

/// Readings are taken until one came back as quickly as this, or a few have been taken.
const QUICK: Duration = Duration::from_millis(20);
const READINGS: u32 = 10;

/// The machine's clock did not keep time with the computer's, so that nothing was measured: the computer had no time for
/// the machine.
#[derive(Debug)]
pub(crate) struct OutOfTime(String);

impl fmt::Display for OutOfTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for OutOfTime {}

/// When a machine's clock, which its daemons' times are in, was at zero.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    zero: Instant,
    /// At most so much later.
    uncertain: Duration,
}

impl Clock {
    /// Reads it, waiting until the machine answers. An error if it runs faster than time goes.
    pub(super) fn of(agent: &Agent, started: Instant, end: Instant) -> Result<Clock> {
        let mut best: Option<Clock> = None;
        for _ in 0..READINGS {
            let asked = Instant::now();
            let limit = end
                .saturating_duration_since(asked)
                .max(Duration::from_secs(1));
            let said = agent.ask("clock", limit)?;
            let uncertain = asked.elapsed();
            let uptime = uptime(&said.text)?;
            // The machine has read it between our asking and its answer.
            let zero = asked
                .checked_sub(uptime)
                .context("the machine is older than this computer")?;
            if zero + uncertain < started {
                bail!(OutOfTime(format!(
                    "runs too fast: {:.1} s after the machine's start it shows {:.1} s",
                    started.elapsed().as_secs_f64(),
                    uptime.as_secs_f64()
                )));
            }
            let clock = Clock { zero, uncertain };
            best = Some(
                best.filter(|best| best.uncertain < uncertain)
                    .unwrap_or(clock),
            );
            if uncertain < QUICK {
                break;
            }
        }
        best.context("it was not read")
    }

    /// This one, if it has run evenly since the earlier reading.
    pub(super) fn agreeing_with(self, earlier: &Clock) -> Result<Clock> {
        let apart = |one: Instant, other: Instant, uncertain: Duration| {
            one.saturating_duration_since(other)
                .saturating_sub(uncertain)
        };
        let fast = apart(earlier.zero, self.zero, self.uncertain);
        let slow = apart(self.zero, earlier.zero, earlier.uncertain);
        if fast.max(slow) > DRIFT_LIMIT {
            let word = if fast > slow { "fast" } else { "slow" };
            let seconds = fast.max(slow).as_secs_f64();
            bail!(OutOfTime(format!("ran {seconds:.2} s too {word}")));
        }
        // The more certain of the two.
        Ok(if self.uncertain < earlier.uncertain {
            self
        } else {
            *earlier
        })
    }

    /// When the clock showed this.
    pub(crate) fn at(&self, seconds: u64) -> Instant {
        self.zero + Duration::from_secs(seconds)
    }

    /// By how much [`Clock::at`] may be too early.
    pub(crate) fn uncertain(&self) -> Duration {
        self.uncertain
    }
}

fn uptime(text: &str) -> Result<Duration> {
    let seconds = text.split_whitespace().next().unwrap_or_default();
    let seconds: f64 = seconds
        .parse()
        .with_context(|| format!("no time: {text:?}"))?;
    Duration::try_from_secs_f64(seconds).with_context(|| format!("no time: {text:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clock(zero: Instant, uncertain: u64) -> Clock {
        Clock {
            zero,
            uncertain: Duration::from_millis(uncertain),
        }
    }

    #[test]
    fn a_clock_that_drifts_is_refused_and_uncertainty_is_not_drift() {
        let zero = Instant::now();
        let early = clock(zero, 10);
        let later = |ms| zero + Duration::from_millis(ms);
        assert!(clock(later(300), 10).agreeing_with(&early).is_ok());
        let drifted = clock(later(600), 10).agreeing_with(&early);
        // It is still known for what it is when it was said of which machine.
        let said = drifted.context("the clock of a machine").unwrap_err();
        assert!(said.is::<OutOfTime>());
        assert!(early.agreeing_with(&clock(later(600), 10)).is_err());
        // Read late, not run slowly: the reading may have been taken at any time until the answer came.
        assert!(
            clock(zero, 900)
                .agreeing_with(&clock(later(600), 10))
                .is_ok()
        );
    }

    #[test]
    fn uptimes_are_read() {
        assert_eq!(
            uptime("12.50 3.0\n").unwrap(),
            Duration::from_millis(12_500)
        );
        assert!(uptime("").is_err());
        assert!(uptime("-1").is_err());
    }
}
