//! A device of the kernel.

use std::io;
use std::path::Path;

use daemon::WatchdogDevice;

use super::{Close, Device};

/// The identity of a driver whose device fires only when its timer has run out twice.
const FIRES_AT_SECOND: &str = "iTCO_wdt";

/// What softdog calls itself.
const SOFTDOG: &str = "Software Watchdog";

/// A watchdog device under its path.
#[derive(Debug)]
pub struct RealDevice {
    path: String,
    identity: String,
    open: Option<WatchdogDevice>,
}

impl RealDevice {
    /// Not open yet.
    #[must_use]
    pub fn new(path: &str) -> Self {
        Self {
            path: path.to_owned(),
            identity: identity_in_sysfs(path).unwrap_or_else(|| "unknown".to_owned()),
            open: None,
        }
    }

    /// What its driver calls itself; `unknown` if it does not say.
    #[must_use]
    pub fn identity(&self) -> &str {
        &self.identity
    }

    /// Whether the kernel itself plays it: a host that hangs in the kernel may not be reset.
    #[must_use]
    pub fn is_softdog(&self) -> bool {
        self.identity == SOFTDOG
    }

    /// How often the timer runs out before the device fires.
    #[must_use]
    pub fn rounds(&self) -> u32 {
        if self.identity == FIRES_AT_SECOND {
            2
        } else {
            1
        }
    }

    /// The open device, for who needs more than [`Device`] has.
    #[must_use]
    pub fn opened(&self) -> Option<&WatchdogDevice> {
        self.open.as_ref()
    }

    fn device(&self) -> io::Result<&WatchdogDevice> {
        const EBADF: i32 = 9;
        self.open
            .as_ref()
            .ok_or_else(|| io::Error::from_raw_os_error(EBADF))
    }
}

impl Device for RealDevice {
    fn path(&self) -> &str {
        &self.path
    }

    fn open(&mut self) -> io::Result<()> {
        let device = WatchdogDevice::open(Path::new(&self.path))?;
        // The device's own word counts; sysfs may be missing, or know it under another name.
        if let Some(identity) = device.identity().ok().filter(|name| !name.is_empty()) {
            self.identity = identity;
        }
        self.open = Some(device);
        Ok(())
    }

    fn timeout(&mut self) -> io::Result<u32> {
        let seconds = u32::try_from(self.device()?.timeout()?).unwrap_or(0);
        Ok(seconds.saturating_mul(self.rounds()))
    }

    fn set_timeout(&mut self, seconds: u32) -> io::Result<()> {
        let each = seconds / self.rounds();
        let each = i32::try_from(each).map_err(|_| io::ErrorKind::InvalidInput)?;
        self.device()?.set_timeout(each).map(|_| ())
    }

    fn keep_alive(&mut self) -> io::Result<()> {
        self.device()?.keep_alive()
    }

    fn close(&mut self, how: Close) -> io::Result<()> {
        self.open.take().map_or(Ok(()), |device| device.close(how))
    }
}

fn identity_in_sysfs(path: &str) -> Option<String> {
    let name = Path::new(path).file_name()?.to_str()?;
    let identity = std::fs::read_to_string(format!("/sys/class/watchdog/{name}/identity")).ok()?;
    let identity = identity.trim_end_matches('\n');
    (!identity.is_empty()).then(|| identity.to_owned())
}
