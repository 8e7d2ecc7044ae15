//! The running daemon.

pub(crate) mod buffer;
mod clerk;
mod connection;
mod dump;
mod hearing;
mod kept_open;
mod marker;
mod runner;
mod server;
mod start;

use daemon::Clock;

pub use marker::{MARKER, Marker, MarkerError};
pub use start::run;

use crate::watchdog::{Millis, Now, Suspended};

/// Where its socket, its pid file and the path of its device are.
pub const RUN_DIR: &str = "/run/wdmd";

/// How the daemon is started.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    /// `-D`: stay in the foreground and log everything to the standard error.
    pub debug: bool,
    /// `-H`: real-time priority.
    pub high_priority: i32,
    /// `-G`: the group of the socket.
    pub group: Option<String>,
    /// `-S`: run test scripts.
    pub allow_scripts: i32,
    /// `-s`: where they are.
    pub scripts_dir: Option<String>,
    /// `-k`: kill those that run for so many seconds.
    pub kill_script_sec: i32,
    /// `-w`: the device to try first.
    pub device: Option<String>,
    /// `--hold`: have the device open from the start to the end.
    pub hold: bool,
}

/// The group of the socket if no other is asked for.
pub const GROUP: &str = "sanlock";

/// Where test scripts are if no other place is asked for.
pub const SCRIPTS_DIR: &str = "/etc/wdmd.d";

/// What the clocks say.
fn now() -> Now {
    let millis = |time: std::time::Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    Now {
        at: Millis(millis(Clock::monotonic())),
        suspended: Suspended(millis(Clock::suspended())),
    }
}
