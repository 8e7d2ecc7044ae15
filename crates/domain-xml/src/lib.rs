//! Which leases and locks a libvirt domain needs, decided as libvirt's two lock drivers decide it.
//!
//! [`Domain`] is what matters for that of a domain's XML: of a file, of `virsh dumpxml`, of one of libvirt's status
//! files (`/run/libvirt/qemu/NAME.xml`). From it and from the drivers' configuration follow
//!
//! * [`sanlock::leases`]: the leases that the sanlock driver takes,
//! * [`lockd::locks`]: the locks that the lockd driver takes.
//!
//! What only libvirt or the host knows (the path of a storage pool's volume, the UUID of a logical volume) is asked of
//! a [`Host`].
//!
//! Documents come from anywhere: they are read in one pass with bounded memory, no document type is accepted, and so no
//! entity but XML's own five. They are not validated: libvirt may refuse to start a domain that is read here.

mod builder;
mod document;
mod domain;
mod host;
pub mod lockd;
mod pool;
mod refusal;
pub mod sanlock;

#[cfg(test)]
mod tests;

pub use document::MAX_DOCUMENT;
pub use domain::{Disk, Domain, DomainLease, OnLockFailure, ReadError, Source};
pub use host::{Host, System, Volume};
pub use refusal::Refusal;
