//! The configuration files of libvirt's lock managers.
//!
//! * [`sanlock_conf`]: `/etc/sanlock/sanlock.conf`, read by the lease daemon and its command line.
//! * The watchdog daemon has no file of its own: all its settings are options.
//! * libvirt's `key = value` grammar (`virtlockd.conf`, `qemu-sanlock.conf`, ...) gets a module
//!   beside `sanlock_conf` and shares [`Diagnostic`] with it.
//!
//! Reading never stops at a bad line. What was understood is returned, and each line that was not is
//! a [`Diagnostic`] that names file, line and column, so that a daemon can start on a file that
//! upstream's daemon would have started on, and say what it did not take.

mod diagnostic;
pub mod sanlock_conf;

pub use diagnostic::{Diagnostic, Severity};
