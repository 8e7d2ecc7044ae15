//! What every daemon needs from its host, and nothing about leases.
//!
//! In the order in which a daemon uses it:
//!
//! 1. [`Environment`]: where it runs, and whether with the rights of root.
//! 2. [`Daemonize`]: into the background, with a parent that waits until the daemon is [`Ready`].
//! 3. [`limits`]: what the kernel grants; an [`Outcome`] says what it does not.
//! 4. [`helper`]: the process that keeps its rights and kills, while the daemon gives its own up; or a
//!    [`Subprocess`] for whatever may block, or a [`Keeper`] of an open file.
//! 5. [`Identity`]: as whom it runs. From here on there may be threads; everything above needs a
//!    process with a single one.
//! 6. [`log`].
//! 7. [`make_run_dir`] and [`PidFile`]: one daemon per run directory.
//! 8. [`Identity::switch`], then [`memory`] and [`realtime`].
//!
//! `unsafe` stands here for what neither the standard library nor `nix` wraps.

mod clock;
pub mod console;
mod daemonize;
mod environment;
mod error;
pub mod helper;
mod host_name;
mod identity;
mod inherited;
mod keeper;
pub mod limits;
pub mod log;
pub mod memory;
mod notify;
mod peer;
mod pid_file;
mod process;
mod process_state;
pub mod realtime;
pub mod signals;
mod subprocess;
mod watchdog_device;

pub use clock::Clock;
pub use daemonize::{Daemonize, Ready};
pub use environment::Environment;
pub use error::Error;
pub use host_name::{HostName, HostNameSource};
pub use identity::Identity;
pub use inherited::{Inherited, keep_open};
pub use keeper::{Keeper, LetGo};
pub use limits::{Need, Outcome};
pub use notify::Notifier;
pub use peer::peer_context;
pub use pid_file::{PidFile, make_run_dir};
pub use process::Process;
pub use process_state::ProcessState;
pub use subprocess::Subprocess;
pub use watchdog_device::{Close, WatchdogDevice};
