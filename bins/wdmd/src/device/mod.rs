//! The seam to the watchdog device.

mod arming;
mod choice;
mod real;
pub mod simulated;

use std::io;

pub use arming::{Refusal, arm};
pub use choice::{candidates, choose};
pub use daemon::Close;
pub use real::RealDevice;

/// A device that resets the host unless it is kept alive.
pub trait Device {
    /// What it is called in logs.
    fn path(&self) -> &str;

    /// Opens it, which arms it.
    ///
    /// # Errors
    /// What the kernel says.
    fn open(&mut self) -> io::Result<()>;

    /// Seconds after the last keepalive until it fires.
    ///
    /// # Errors
    /// What the driver says.
    fn timeout(&mut self) -> io::Result<u32>;

    /// Asks for another timeout; only [`Device::timeout`] tells whether it was taken.
    ///
    /// # Errors
    /// What the driver says.
    fn set_timeout(&mut self, seconds: u32) -> io::Result<()>;

    /// Puts the reset off by the timeout.
    ///
    /// # Errors
    /// What the driver says.
    fn keep_alive(&mut self) -> io::Result<()>;

    /// Closes it, if it is open. It is closed even if that fails, and armed then.
    ///
    /// # Errors
    /// What the kernel says.
    fn close(&mut self, how: Close) -> io::Result<()>;
}

/// The number of an error, for logs and events.
#[must_use]
pub fn errno(error: &io::Error) -> i32 {
    const EIO: i32 = 5;
    error.raw_os_error().unwrap_or(EIO)
}
