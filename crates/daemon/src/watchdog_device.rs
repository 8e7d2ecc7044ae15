//! A watchdog device of the kernel (`/dev/watchdog0`): it resets the host when nobody keeps it alive.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::path::Path;

/// What the driver says of itself (`struct watchdog_info`).
#[repr(C)]
struct Info {
    options: u32,
    firmware: u32,
    identity: [u8; 32],
}

mod calls {
    use super::Info;

    nix::ioctl_read!(get_support, b'W', 0, Info);
    nix::ioctl_read!(keep_alive, b'W', 5, libc::c_int);
    nix::ioctl_readwrite!(set_timeout, b'W', 6, libc::c_int);
    nix::ioctl_read!(get_timeout, b'W', 7, libc::c_int);
}

/// How a device is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Close {
    /// With the magic character: it does not fire.
    Disarmed,
    /// Without: the kernel keeps it alive once more, and it fires after its timeout unless it is opened again.
    Armed,
}

/// An open watchdog device. From opening it on it fires unless it is kept alive.
///
/// Dropping it leaves it armed.
#[derive(Debug)]
pub struct WatchdogDevice {
    file: File,
}

impl WatchdogDevice {
    /// Opens it, which arms it.
    ///
    /// # Errors
    /// What the kernel says: `EBUSY` if another program has it open.
    pub fn open(path: &Path) -> io::Result<Self> {
        // Not created where there is none, and not inherited by what is run.
        let file = OpenOptions::new().write(true).open(path)?;
        Ok(Self { file })
    }

    /// Its descriptor, for logs.
    #[must_use]
    pub fn descriptor(&self) -> RawFd {
        self.file.as_raw_fd()
    }

    /// Seconds after the last keepalive until it fires, as the driver says.
    ///
    /// # Errors
    /// What the driver says.
    pub fn timeout(&self) -> io::Result<i32> {
        let mut seconds = 0;
        // SAFETY: the driver writes one int, which is ours.
        unsafe { calls::get_timeout(self.file.as_raw_fd(), &raw mut seconds) }?;
        Ok(seconds)
    }

    /// Asks for another timeout, and returns what the driver says that it took.
    ///
    /// # Errors
    /// What the driver says: `EINVAL` if it cannot.
    pub fn set_timeout(&self, seconds: i32) -> io::Result<i32> {
        let mut taken = seconds;
        // SAFETY: the driver reads and writes one int, which is ours.
        unsafe { calls::set_timeout(self.file.as_raw_fd(), &raw mut taken) }?;
        Ok(taken)
    }

    /// Puts the reset off by the timeout.
    ///
    /// # Errors
    /// What the driver says.
    pub fn keep_alive(&self) -> io::Result<()> {
        let mut unused = 0;
        // SAFETY: a driver that follows the interface's number writes one int, which is ours.
        unsafe { calls::keep_alive(self.file.as_raw_fd(), &raw mut unused) }?;
        Ok(())
    }

    /// What the driver calls itself: `Software Watchdog` for softdog.
    ///
    /// # Errors
    /// What the driver says.
    pub fn identity(&self) -> io::Result<String> {
        let mut info = Info {
            options: 0,
            firmware: 0,
            identity: [0; 32],
        };
        // SAFETY: the driver writes one structure of this layout, which is ours.
        unsafe { calls::get_support(self.file.as_raw_fd(), &raw mut info) }?;
        let name = info
            .identity
            .split(|byte| *byte == 0)
            .next()
            .unwrap_or_default();
        Ok(String::from_utf8_lossy(name)
            .chars()
            .map(|c| if c.is_control() { '?' } else { c })
            .collect())
    }

    /// Closes it.
    ///
    /// # Errors
    /// If the magic character cannot be written; the device is closed, and fires, then.
    pub fn close(mut self, how: Close) -> io::Result<()> {
        match how {
            Close::Disarmed => self.file.write_all(b"V"),
            Close::Armed => Ok(()),
        }
    }
}

impl AsFd for WatchdogDevice {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_watchdog_says_so() {
        let null = WatchdogDevice::open(Path::new("/dev/null")).unwrap();
        let not_a_device = Some(libc::ENOTTY);
        assert_eq!(null.timeout().unwrap_err().raw_os_error(), not_a_device);
        assert_eq!(
            null.set_timeout(60).unwrap_err().raw_os_error(),
            not_a_device
        );
        assert_eq!(null.keep_alive().unwrap_err().raw_os_error(), not_a_device);
        assert_eq!(null.identity().unwrap_err().raw_os_error(), not_a_device);
        null.close(Close::Disarmed).unwrap();
        assert!(WatchdogDevice::open(Path::new("/nonexistent/watchdog")).is_err());
    }
}
