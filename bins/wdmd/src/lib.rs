//! The watchdog multiplexer `wdmd`: it keeps the host's watchdog device from firing as long as all that the host
//! depends on is well.
//!
//! [`watchdog`] decides: a state, an event and a time make actions, without any I/O. [`device`] is the seam to the
//! device that resets the host, with one that is simulated. [`service`] is the running daemon: one thread that
//! waits in epoll_wait(2) and carries out what was decided. [`cli`] is the command line.
//!
//! **Nothing in the daemon's loop waits** but epoll_wait(2) itself. Sockets are never waited for, memory is locked and
//! set aside at the start, and what may block on a disk, a log or a console happens in processes of their own:
//! the clerk writes logs and last words, the runner runs the test scripts. There is no runtime and there are no
//! threads: a handful of descriptors and one timer need neither, and what is not there cannot stall.

// Who reads no further must not make it panic.
#![warn(clippy::print_stdout, clippy::print_stderr)]

pub mod cli;
pub mod device;
pub mod fuzz;
pub mod service;
pub mod watchdog;

/// The version of sanlock whose wdmd this program stands in for.
pub const VERSION: &str = "3.9.5";
