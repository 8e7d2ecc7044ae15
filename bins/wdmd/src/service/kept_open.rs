//! The device, which the keeper has open too.
//!
//! The kernel keeps a device alive once more when the last process that has it open closes it without having disarmed
//! it. A daemon that was stopped until its clients' time was up, and then dies, would put the reset off in this way,
//! beyond the time at which other hosts rely on it. As the keeper has the device open, the daemon's end does nothing to
//! it. Where closing is meant, the keeper lets go first, so that it is the daemon's closing that the kernel sees.

use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use daemon::LetGo;

use super::now;
use super::server::Server;
use crate::device::{Close, Device, arm};
use crate::watchdog::Level;

/// How long the keeper may take to let go while nobody depends on the device.
const AT_LEISURE: Duration = Duration::from_secs(2);

/// The same while a client's time is running out.
const IN_HASTE: Duration = Duration::from_millis(200);

impl Server {
    pub(super) fn open(&mut self, fire_timeout: u32, again: bool) -> bool {
        let otherwise = if again {
            // All is well, so that whatever still has it open, and could not be closed in time, may be.
            self.keeper_lets_go(IN_HASTE);
            let _ = self.device.close(Close::Armed);
            Close::Armed
        } else {
            Close::Disarmed
        };
        match arm(&mut self.device, fire_timeout, otherwise) {
            Ok(()) => {
                self.clerk.armed(fire_timeout);
                self.have_it_kept();
                true
            }
            Err(refusal) => {
                self.clerk.log(Level::Error, format_args!("{refusal}"));
                false
            }
        }
    }

    fn have_it_kept(&mut self) {
        let Some(device) = self.device.opened() else {
            return;
        };
        if let Err(error) = self.keeper.hold(device.as_fd()) {
            self.clerk.log(
                Level::Error,
                format_args!(
                    "wdmd-keeper does not hold the watchdog device: {error}. Should wdmd be killed, the reset comes up \
                     to {} seconds later",
                    self.watchdog.fire_timeout()
                ),
            );
        }
    }

    /// No client depends on it.
    pub(super) fn disarm(&mut self) -> io::Result<()> {
        self.keeper_lets_go(AT_LEISURE);
        self.device.close(Close::Disarmed)
    }

    /// Closed, the device is kept alive once more. If that would come too late, or come at any time because the
    /// keeper may let go whenever it likes, it stays open: then it fires earlier.
    pub(super) fn leave_armed(&mut self) {
        let let_go = self.keeper_lets_go(IN_HASTE);
        if let_go != LetGo::Unknown && self.watchdog.may_be_closed(now()) {
            // Nothing is written, so nothing can fail.
            let _ = self.device.close(Close::Armed);
        }
    }

    fn keeper_lets_go(&mut self, patience: Duration) -> LetGo {
        let let_go = self.keeper.let_go(patience);
        if let_go == LetGo::Unknown {
            self.clerk.log(
                Level::Error,
                format_args!(
                    "wdmd-keeper (process {}) did not let go of the watchdog device and does not end",
                    self.keeper.pid()
                ),
            );
        }
        let_go
    }

    /// It was killed, by us or by others.
    pub(super) fn lose_keeper(&mut self) {
        let _ = self.epoll.delete(&self.keeper);
        self.clerk.log(
            Level::Error,
            format_args!(
                "wdmd-keeper is gone. Should wdmd be stopped, and killed later, the reset may come too late for other \
                 hosts: restart wdmd when nothing needs it"
            ),
        );
    }
}
