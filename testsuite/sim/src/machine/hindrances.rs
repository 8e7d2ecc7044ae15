//! What keeps a host's daemon from doing its work, and since when nothing does.

use std::time::Duration;

use tokio::time::Instant;

/// The faults that hinder a host's daemon.
#[derive(Debug, Default)]
pub struct Hindrances {
    last: u32,
    ended: Option<Instant>,
}

impl Hindrances {
    /// Something hinders the daemon from now on.
    pub fn begins(&mut self) {
        self.last += 1;
    }

    /// It does so no longer.
    pub fn ends(&mut self) {
        self.last = self.last.saturating_sub(1);
        self.ended = Some(Instant::now());
    }

    /// Whether anything hindered it at any moment of so much time until now.
    #[must_use]
    pub fn within(&self, time: Duration) -> bool {
        self.last != 0 || self.ended.is_some_and(|at| at.elapsed() <= time)
    }
}

/// How far back to look for what kept a daemon from preventing a reset, for a lease of this age and a device that
/// fires so long after its last keepalive.
///
/// wdmd let the device fire when it was kept alive last, and anything that took time from the daemon after that may be
/// the reason, whatever was renewed since: who goes on a moment before the reset renews once more, and is too late.
/// A lease that is older ran out before that, and processes were to be stopped since.
#[must_use]
pub(super) fn time_to_prevent_a_reset(lease_age: Duration, fire: Duration) -> Duration {
    lease_age.max(fire)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRE: Duration = Duration::from_secs(30);

    async fn after(seconds: u64) {
        tokio::time::advance(Duration::from_secs(seconds)).await;
    }

    /// Seed 4375, as it once was: the daemon goes on 0.4 s before the reset, and renews 0.2 s before it.
    #[tokio::test(start_paused = true)]
    async fn a_daemon_that_goes_on_just_before_the_reset_cannot_prevent_it() {
        let mut hindrances = Hindrances::default();
        hindrances.begins();
        after(44).await;
        hindrances.ends();
        let time = time_to_prevent_a_reset(Duration::from_millis(200), FIRE);
        tokio::time::advance(Duration::from_millis(400)).await;
        assert!(hindrances.within(time));
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_had_all_the_time_has_no_excuse() {
        let mut hindrances = Hindrances::default();
        let within = |hindrances: &Hindrances, age| {
            hindrances.within(time_to_prevent_a_reset(Duration::from_secs(age), FIRE))
        };
        assert!(!within(&hindrances, 70), "nothing ever hindered it");
        hindrances.begins();
        hindrances.begins();
        hindrances.ends();
        after(100).await;
        assert!(within(&hindrances, 0), "one of two lasts");
        hindrances.ends();
        after(31).await;
        assert!(!within(&hindrances, 0) && !within(&hindrances, 30));
        assert!(
            within(&hindrances, 70),
            "the lease could not be renewed, then"
        );
        after(40).await;
        assert!(!within(&hindrances, 70));
    }
}
