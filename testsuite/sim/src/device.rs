//! The watchdog device of a simulated host: wdmd's simulated one, on a clock that stands still with the machine.

use std::time::Duration;

use tokio::time::Instant;
use wdmd::device::Device as _;
use wdmd::device::simulated::{Faults, SimulatedDevice};
use wdmd::device::{Close, arm, errno};
use wdmd::watchdog::{Action, Event, Millis};

/// The device, which needs nobody to fire.
#[derive(Debug)]
pub struct Device {
    device: SimulatedDevice,
    started: Instant,
    /// For how long it has stood still.
    stood_still: Duration,
    /// It stands still since then, with the whole machine.
    frozen_at: Option<Instant>,
}

impl Device {
    /// One that nobody has opened.
    #[must_use]
    pub fn new(closing_pets: bool) -> Self {
        let mut device = SimulatedDevice::new(60);
        device.faults = Faults {
            closes_silently: !closing_pets,
            ..Faults::default()
        };
        Self {
            device,
            started: Instant::now(),
            stood_still: Duration::ZERO,
            frozen_at: None,
        }
    }

    /// Does what wdmd wants of it, and answers; `None` if there is nothing to answer.
    pub fn perform(&mut self, action: &Action) -> Option<Event> {
        self.turn_clock();
        match action {
            Action::Open {
                fire_timeout,
                again,
            } => {
                let otherwise = if *again {
                    Close::Armed
                } else {
                    Close::Disarmed
                };
                let opened = arm(&mut self.device, *fire_timeout, otherwise);
                Some(Event::Opened(opened.is_ok()))
            }
            Action::KeepAlive => {
                let kept = self.device.keep_alive();
                Some(Event::KeptAlive(kept.map_err(|error| errno(&error))))
            }
            Action::Disarm => {
                let closed = self.device.close(Close::Disarmed);
                Some(Event::Disarmed(closed.map_err(|error| errno(&error))))
            }
            Action::LeaveArmed => {
                // It is armed even if that fails.
                let _ = self.device.close(Close::Armed);
                None
            }
            _ => None,
        }
    }

    /// The process that had it open is gone.
    pub fn process_died(&mut self) {
        self.turn_clock();
        self.device.process_died();
    }

    fn turn_clock(&mut self) {
        let until = self.frozen_at.unwrap_or_else(Instant::now);
        let ran = until
            .saturating_duration_since(self.started)
            .saturating_sub(self.stood_still);
        let ran = u64::try_from(ran.as_millis()).unwrap_or(u64::MAX);
        self.device.advance(Millis(ran));
    }

    /// When it fires, if nothing happens until then.
    #[must_use]
    pub fn fires_at(&self) -> Option<Instant> {
        let fires = self.device.fires().filter(|_| self.frozen_at.is_none())?;
        Some(self.started + self.stood_still + Duration::from_millis(fires.0))
    }

    /// It stands still with the whole machine, or goes on.
    pub fn freeze(&mut self, frozen: bool) {
        match (frozen, self.frozen_at) {
            (true, None) => self.frozen_at = Some(Instant::now()),
            (false, Some(since)) => {
                self.stood_still += since.elapsed();
                self.frozen_at = None;
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPEN: Action = Action::Open {
        fire_timeout: 20,
        again: false,
    };

    async fn after(seconds: u64) {
        tokio::time::advance(Duration::from_secs(seconds)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn it_fires_after_its_timeout_and_stands_still_with_the_machine() {
        let start = Instant::now();
        let mut device = Device::new(true);
        assert_eq!(device.fires_at(), None);
        after(3).await;
        assert_eq!(device.perform(&OPEN), Some(Event::Opened(true)));
        assert_eq!(device.fires_at(), Some(start + Duration::from_secs(23)));
        after(2).await;
        device.freeze(true);
        assert_eq!(device.fires_at(), None);
        after(50).await;
        device.freeze(false);
        assert_eq!(device.fires_at(), Some(start + Duration::from_secs(73)));
        let kept = device.perform(&Action::KeepAlive);
        assert_eq!(kept, Some(Event::KeptAlive(Ok(()))));
        assert_eq!(device.fires_at(), Some(start + Duration::from_secs(75)));
        assert_eq!(
            device.perform(&Action::Disarm),
            Some(Event::Disarmed(Ok(())))
        );
        assert_eq!(device.fires_at(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn closing_pets_it_or_does_not() {
        for (closing_pets, fires) in [(true, 25), (false, 20)] {
            let start = Instant::now();
            let mut device = Device::new(closing_pets);
            device.perform(&OPEN);
            after(5).await;
            device.perform(&Action::LeaveArmed);
            let fires = start + Duration::from_secs(fires);
            assert_eq!(device.fires_at(), Some(fires), "{closing_pets}");
        }
    }
}
