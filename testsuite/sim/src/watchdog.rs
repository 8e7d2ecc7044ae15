//! wdmd and the watchdog device of a simulated host.
//!
//! Like wdmd, it looks at its clients every so many seconds and pets the device if none of them expires
//! before the next look; if one does, it closes the device, which most drivers take for a last keepalive,
//! and the device fires a fire timeout later unless the expiry is put off meanwhile.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

/// How often wdmd looks at its clients, in seconds, for a device that fires after so many.
#[must_use]
pub fn test_interval(fire_timeout: u32) -> Duration {
    Duration::from_secs(match fire_timeout {
        60.. => 10,
        30..60 => 5,
        10..30 => 2,
        _ => 1,
    })
}

/// How often it looks while a client has expired.
pub const RECOVERY_INTERVAL: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
struct Client {
    /// Second of the host's clock; 0 for none.
    expires: u64,
    held: bool,
    /// Its connection is closed, but it left an expiry behind.
    dead: bool,
}

/// The device, which needs nobody to fire.
#[derive(Debug, Default)]
struct Device {
    /// It fires then, unless it is petted.
    fires_at: Option<Instant>,
    /// It stands still since then, with the whole machine.
    frozen_at: Option<Instant>,
}

/// wdmd with its device.
#[derive(Debug)]
pub struct Watchdog {
    fire_timeout: Duration,
    interval: Duration,
    closing_pets: bool,
    clients: BTreeMap<u64, Client>,
    last_client: u64,
    open: bool,
    device: Device,
}

/// What a look at the clients led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Looked {
    /// There is nothing to protect.
    Idle,
    /// The device was petted.
    Petted,
    /// The device was petted again after it had been closed.
    Reopened,
    /// A client expires: the device was closed.
    Closed,
    /// A client expires, and the device is closed already.
    StaysClosed,
}

impl Watchdog {
    /// A device that fires after so many seconds.
    #[must_use]
    pub fn new(fire_timeout: u32, closing_pets: bool) -> Self {
        Self {
            fire_timeout: Duration::from_secs(u64::from(fire_timeout)),
            interval: test_interval(fire_timeout),
            closing_pets,
            clients: BTreeMap::new(),
            last_client: 0,
            open: false,
            device: Device::default(),
        }
    }

    fn pet(&mut self) {
        self.device.fires_at = Some(Instant::now() + self.fire_timeout);
    }

    /// A client connects; the first one has the device opened.
    pub fn connect(&mut self) -> u64 {
        if !self.open && self.device.fires_at.is_none() {
            self.open = true;
            self.pet();
        }
        self.last_client += 1;
        self.clients.insert(self.last_client, Client::default());
        self.last_client
    }

    /// A client's connection is closed.
    pub fn disconnect(&mut self, client: u64) {
        if let Some(one) = self.clients.get_mut(&client) {
            one.dead = true;
            if one.expires == 0 {
                self.clients.remove(&client);
            }
        }
    }

    /// A client puts off its expiry, to a second of the host's clock; 0 ends it.
    pub fn set_expiry(&mut self, client: u64, expires: u64) {
        if let Some(one) = self.clients.get_mut(&client) {
            one.expires = expires;
        }
    }

    /// Whether any client, dead or alive, has an expiry.
    #[must_use]
    pub fn has_expiry(&self) -> bool {
        self.clients.values().any(|one| one.expires != 0)
    }

    /// A client keeps wdmd from ending, or does no longer.
    pub fn hold(&mut self, client: u64, held: bool) {
        if let Some(one) = self.clients.get_mut(&client) {
            one.held = held;
        }
    }

    /// Looks at the clients; `now` is the host's clock.
    pub fn look(&mut self, now: u64) -> Looked {
        let resetting = !self.open && self.device.fires_at.is_some();
        if self.device.fires_at.is_none() {
            return Looked::Idle;
        }
        if self.clients.is_empty() && !resetting {
            self.open = false;
            self.device.fires_at = None;
            return Looked::Idle;
        }
        let margin = self.interval.as_secs();
        let expires = self
            .clients
            .values()
            .any(|one| one.expires != 0 && now + margin >= one.expires);
        match (expires, resetting) {
            (false, false) => {
                self.pet();
                Looked::Petted
            }
            (false, true) => {
                self.open = true;
                self.pet();
                Looked::Reopened
            }
            (true, false) => {
                self.open = false;
                if self.closing_pets {
                    self.pet();
                }
                Looked::Closed
            }
            (true, true) => Looked::StaysClosed,
        }
    }

    /// How long until the next look.
    #[must_use]
    pub fn next_look(&self, looked: Looked) -> Duration {
        match looked {
            Looked::Closed | Looked::StaysClosed => RECOVERY_INTERVAL,
            _ => self.interval,
        }
    }

    /// When the device fires, if nothing happens until then.
    #[must_use]
    pub fn fires_at(&self) -> Option<Instant> {
        self.device
            .fires_at
            .filter(|_| self.device.frozen_at.is_none())
    }

    /// The device stands still with the whole machine, or goes on.
    pub fn freeze(&mut self, frozen: bool) {
        let device = &mut self.device;
        match (frozen, device.frozen_at) {
            (true, None) => device.frozen_at = Some(Instant::now()),
            (false, Some(since)) => {
                device.fires_at = device.fires_at.map(|at| at + since.elapsed());
                device.frozen_at = None;
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_fires_a_fire_timeout_after_the_last_look_before_the_expiry() {
        let start = Instant::now();
        let mut wdmd = Watchdog::new(60, true);
        assert_eq!(wdmd.look(0), Looked::Idle);
        let client = wdmd.connect();
        wdmd.set_expiry(client, 80);
        wdmd.hold(client, true);
        tokio::time::advance(Duration::from_secs(69)).await;
        assert_eq!(wdmd.look(69), Looked::Petted);
        tokio::time::advance(Duration::from_secs(10)).await;
        assert_eq!(wdmd.look(79), Looked::Closed);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(wdmd.look(80), Looked::StaysClosed);
        assert_eq!(wdmd.fires_at(), Some(start + Duration::from_secs(139)));
        wdmd.disconnect(client);
        assert_eq!(
            wdmd.look(81),
            Looked::StaysClosed,
            "what it left behind is not forgotten"
        );
        wdmd.freeze(true);
        assert_eq!(wdmd.fires_at(), None);
        tokio::time::advance(Duration::from_secs(5)).await;
        wdmd.freeze(false);
        assert_eq!(wdmd.fires_at(), Some(start + Duration::from_secs(144)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_late_renewal_saves_the_host() {
        let mut wdmd = Watchdog::new(60, false);
        let client = wdmd.connect();
        wdmd.set_expiry(client, 80);
        assert_eq!(wdmd.look(75), Looked::Closed);
        wdmd.set_expiry(client, 160);
        assert_eq!(wdmd.look(76), Looked::Reopened);
        wdmd.set_expiry(client, 0);
        wdmd.disconnect(client);
        assert_eq!(wdmd.look(86), Looked::Idle);
        assert_eq!(wdmd.fires_at(), None);
    }
}
