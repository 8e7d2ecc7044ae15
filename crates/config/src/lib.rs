//! The configuration files of libvirt's lock managers.
//!
//! * [`sanlock_conf`]: `/etc/sanlock/sanlock.conf`, read by the lease daemon and its command line.
//! * [`libvirt_conf`]: the grammar of libvirt's own files, and these in it:
//!   [`virtlockd_conf`] of the lock daemon, [`qemu_sanlock_conf`] and [`qemu_lockd_conf`] of libvirt's two lock
//!   drivers, [`qemu_conf`] of the QEMU driver, which chooses between them.
//! * [`environment_file`]: `/etc/default/NAME`, the options that units start daemons with.
//!
//! Each finding is a [`Diagnostic`] that names file, line and column. Reading sanlock.conf never stops at a bad line:
//! what was understood is returned, so that a daemon can start on a file that upstream's daemon would have started on,
//! and say what it did not take. libvirt's files are refused for what libvirt refuses them for.

mod check;
mod diagnostic;
pub mod environment_file;
pub mod libvirt_conf;
mod nearest;
pub mod qemu_conf;
pub mod qemu_lockd_conf;
pub mod qemu_sanlock_conf;
pub mod sanlock_conf;
pub mod virtlockd_conf;

pub use check::Check;
pub use diagnostic::{Diagnostic, Severity};
