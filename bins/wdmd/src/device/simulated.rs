//! A watchdog device under a clock that the test turns, and with the faults that real ones have.

use std::io;

use super::{Close, Device};
use crate::watchdog::Millis;

/// What is wrong with a device.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Faults {
    /// It refuses any timeout but its own.
    pub refuses_timeouts: bool,
    /// It takes any timeout and has this one then.
    pub lies: Option<u32>,
    /// It cannot be kept alive.
    pub keepalive_fails: bool,
    /// It is not there.
    pub gone: bool,
    /// It is taken by another program when it is opened.
    pub busy: bool,
    /// It goes on counting though it was disarmed (`nowayout`).
    pub no_way_out: bool,
    /// It is not kept alive once more when it is closed without being disarmed.
    pub closes_silently: bool,
}

/// Numbers of errors.
const EIO: i32 = 5;
const EBADF: i32 = 9;
const EBUSY: i32 = 16;
const ENODEV: i32 = 19;
const EINVAL: i32 = 22;

/// The device.
#[derive(Debug)]
pub struct SimulatedDevice {
    /// What is wrong with it.
    pub faults: Faults,
    now: Millis,
    timeout: u32,
    open: bool,
    last_ping: Option<Millis>,
    fired: Option<Millis>,
}

impl SimulatedDevice {
    /// One that fires after so many seconds unless it is told otherwise.
    #[must_use]
    pub fn new(timeout: u32) -> Self {
        Self {
            faults: Faults::default(),
            now: Millis(0),
            timeout,
            open: false,
            last_ping: None,
            fired: None,
        }
    }

    /// Time goes on. Returns whether it has fired.
    pub fn advance(&mut self, now: Millis) -> bool {
        self.now = self.now.max(now);
        if let (None, Some(fires)) = (self.fired, self.fires()) {
            if self.now >= fires {
                self.fired = Some(fires);
            }
        }
        self.fired.is_some()
    }

    /// When it fires unless something is done; `None` if it is not armed.
    #[must_use]
    pub fn fires(&self) -> Option<Millis> {
        self.last_ping.map(|at| at.plus_seconds(self.timeout))
    }

    /// When it has fired.
    #[must_use]
    pub fn fired(&self) -> Option<Millis> {
        self.fired
    }

    /// Whether it is open.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.open
    }

    /// The process that had it open is gone: the kernel closes it.
    pub fn process_died(&mut self) {
        let _ = self.close(Close::Armed);
    }

    fn ping(&mut self) {
        self.last_ping = Some(self.now);
    }

    fn check(&self) -> io::Result<()> {
        let error = match (self.faults.gone, self.open) {
            (true, _) => ENODEV,
            (false, false) => EBADF,
            (false, true) => return Ok(()),
        };
        Err(io::Error::from_raw_os_error(error))
    }
}

impl Device for SimulatedDevice {
    fn path(&self) -> &str {
        "/dev/watchdog-simulated"
    }

    fn open(&mut self) -> io::Result<()> {
        let error = match (self.faults.gone, self.faults.busy || self.open) {
            (true, _) => ENODEV,
            (false, true) => EBUSY,
            (false, false) => {
                self.open = true;
                self.ping();
                return Ok(());
            }
        };
        Err(io::Error::from_raw_os_error(error))
    }

    fn timeout(&mut self) -> io::Result<u32> {
        self.check()?;
        Ok(self.timeout)
    }

    fn set_timeout(&mut self, seconds: u32) -> io::Result<()> {
        self.check()?;
        if self.faults.refuses_timeouts {
            return Err(io::Error::from_raw_os_error(EINVAL));
        }
        self.timeout = self.faults.lies.unwrap_or(seconds);
        self.ping();
        Ok(())
    }

    fn keep_alive(&mut self) -> io::Result<()> {
        self.check()?;
        if self.faults.keepalive_fails {
            return Err(io::Error::from_raw_os_error(EIO));
        }
        self.ping();
        Ok(())
    }

    fn close(&mut self, how: Close) -> io::Result<()> {
        if !std::mem::replace(&mut self.open, false) || self.faults.gone {
            return Ok(());
        }
        match how {
            Close::Disarmed if !self.faults.no_way_out => self.last_ping = None,
            Close::Disarmed | Close::Armed if self.faults.closes_silently => {}
            // The kernel keeps a device alive that is closed without being disarmed.
            Close::Disarmed | Close::Armed => self.ping(),
        }
        Ok(())
    }
}
