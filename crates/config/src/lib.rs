//! The configuration files of libvirt's lock managers.
//!
//! * [`sanlock_conf`]: `/etc/sanlock/sanlock.conf`, read by the lease daemon and its command line.
//! * The watchdog daemon has no file of its own: all its settings are options.
//! * [`virtlockd_conf`]: `/etc/libvirt/virtlockd.conf`, in libvirt's `key = value` grammar.
//!
//! Reading sanlock.conf never stops at a bad line. What was understood is returned, and each line that was not is
//! a [`Diagnostic`] that names file, line and column, so that a daemon can start on a file that
//! upstream's daemon would have started on, and say what it did not take.

mod diagnostic;
pub mod sanlock_conf;
pub mod virtlockd_conf;

pub use diagnostic::{Diagnostic, Severity};
