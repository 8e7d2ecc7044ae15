//! What the daemon needs of the host it runs on: time, randomness, storage, the watchdog, and the
//! power to stop processes. Real on a host, simulated in the test suite.

use std::fmt::Debug;
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use ondisk::{HostId, Name, Timestamp};
use storage::block_queue::MaxSectors;
use storage::{BoxFuture, Storage};

/// A process that holds leases, by its process id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pid(pub i32);

impl std::fmt::Display for Pid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// How a process is told to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopSignal {
    /// `SIGTERM`: it may still clean up.
    Term,
    /// `SIGKILL`: it cannot refuse.
    Kill,
}

impl StopSignal {
    /// The signal's number on Linux.
    #[must_use]
    pub fn number(self) -> i32 {
        match self {
            Self::Term => 15,
            Self::Kill => 9,
        }
    }
}

/// The program that a client wants run instead of being killed, with its arguments.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KillPath {
    /// The program; empty when the client set none.
    pub path: Vec<u8>,
    /// Its arguments, separated by blanks, with backslash as escape.
    pub args: Vec<u8>,
}

impl KillPath {
    /// Whether the client set a program.
    #[must_use]
    pub fn is_set(&self) -> bool {
        !self.path.is_empty()
    }
}

/// A request to the host's helper process was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HelperError {
    /// Its pipe is full; try again in a second.
    #[error("the helper process is behind: its pipe is full")]
    Full,
    /// It is gone.
    #[error("the helper process is gone")]
    Gone,
}

/// The watchdog daemon cannot protect a lockspace.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WatchdogError {
    /// No connection, or it broke.
    #[error("cannot reach wdmd: {0}")]
    Unreachable(String),
    /// wdmd could not open its device with this timeout.
    #[error("wdmd could not open the watchdog with a fire timeout of {wanted} s")]
    NotOpened {
        /// Seconds asked for.
        wanted: u32,
    },
    /// wdmd's device fires after another time than the lockspaces count on.
    #[error("wdmd's watchdog fires after {found} s, the leases count on {wanted} s")]
    FireTimeout {
        /// Seconds that wdmd reports.
        found: u32,
        /// Seconds that every host of the lockspace counts on.
        wanted: u32,
    },
}

/// One lockspace's connection to the watchdog daemon.
///
/// None of its calls waits: each writes one small message to a local socket, or fails.
pub trait Watchdog: Send + Debug {
    /// Keeps the watchdog from firing until `expires` (seconds of the monotonic clock); both zero
    /// ends the protection.
    ///
    /// # Errors
    /// When the message could not be handed to wdmd.
    fn test_live(&mut self, renewed: Timestamp, expires: u64) -> Result<(), WatchdogError>;

    /// Tells wdmd whether this connection keeps it from exiting cleanly.
    ///
    /// # Errors
    /// As [`Watchdog::test_live`].
    fn hold(&mut self, held: bool) -> Result<(), WatchdogError>;
}

/// The host under the daemon.
pub trait Host: Send + Sync + Debug + 'static {
    /// The local monotonic clock (`CLOCK_MONOTONIC`), which stands still while the host is suspended.
    fn monotonic(&self) -> Duration;

    /// How long the host has been suspended since boot.
    fn suspended(&self) -> Duration;

    /// Whole seconds of the monotonic clock: what is written into leases.
    fn monotime(&self) -> Timestamp {
        Timestamp(self.monotonic().as_secs())
    }

    /// Time since boot, suspension included: what a lease's validity is counted by.
    fn uptime(&self) -> Duration {
        self.monotonic().saturating_add(self.suspended())
    }

    /// Becomes ready once so much of the monotonic clock has passed.
    fn sleep(&self, duration: Duration) -> BoxFuture<()> {
        Box::pin(tokio::time::sleep(duration))
    }

    /// A random number below `bound`, zero for zero.
    fn random_below(&self, bound: u64) -> u64;

    /// Storage for everything but renewals.
    fn storage(&self) -> Arc<dyn Storage>;

    /// Storage for renewals alone, which no other work delays.
    fn renewal_storage(&self) -> Arc<dyn Storage>;

    /// Runs a task on the general runtime.
    fn spawn(&self, task: Pin<Box<dyn Future<Output = ()> + Send>>);

    /// Runs a task on the thread that renews leases and watches their expiry.
    fn spawn_renewal(&self, task: Pin<Box<dyn Future<Output = ()> + Send>>);

    /// Connects to the watchdog daemon under a name, has it open its device with this fire
    /// timeout in seconds, and checks that the device fires after just that.
    fn connect_watchdog(
        &self,
        name: String,
        fire_timeout: u32,
    ) -> BoxFuture<Result<Box<dyn Watchdog>, WatchdogError>>;

    /// Takes note whether this daemon is in a lockspace under a host id, for [`Host::died_joined`] of a later one.
    fn note_membership(&self, space: Name, host: HostId, joined: bool) -> BoxFuture<()>;

    /// Whether an earlier daemon on this host ended, since the host started, while it was in a lockspace under this
    /// host id.
    fn died_joined(&self, space: Name, host: HostId) -> BoxFuture<bool>;

    /// Sends a signal to a process, through the helper that has the rights.
    ///
    /// # Errors
    /// When the helper cannot take it now.
    fn kill(&self, pid: Pid, signal: StopSignal) -> Result<(), HelperError>;

    /// Starts a client's kill path program, with the process id as last argument when given.
    ///
    /// # Errors
    /// When the helper cannot take it now.
    fn run_kill_path(&self, program: &KillPath, pid: Option<Pid>) -> Result<(), HelperError>;

    /// What a process that will not die is doing, for the log: its state and where it sleeps.
    fn describe_process(&self, pid: Pid) -> String;

    /// Lets the device behind `path` take larger requests in one piece, for lease areas of `align_size`
    /// bytes; returns the limit in KiB if it was set, or zero.
    fn set_max_sectors(
        &self,
        path: PathBuf,
        wanted: MaxSectors,
        align_size: usize,
    ) -> BoxFuture<u32>;

    /// The helper's process id, the number of its pipe, how often the pipe was full, and when it last
    /// said that it is alive: for status.
    fn helper_status(&self) -> HelperStatus {
        HelperStatus::default()
    }
}

/// Figures about the helper process, for status.
#[derive(Debug, Clone, Copy, Default)]
pub struct HelperStatus {
    /// Process id, or -1.
    pub pid: i32,
    /// The pipe's descriptor, or -1.
    pub kill_fd: i32,
    /// How often the pipe was full.
    pub full_count: u32,
    /// Second of the monotonic clock of its last sign of life.
    pub last_status: u64,
}
