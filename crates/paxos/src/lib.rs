//! The lease algorithms: delta leases, Disk Paxos resource leases, the resource index.
//!
//! A host joins a lockspace by taking a host id ([`DeltaLease::acquire`]) and stays in it by renewing
//! that ([`delta::Renewer`]). As its member it acquires resources ([`acquire_exclusive`],
//! [`acquire_shared`]) and gives them up again ([`release`]).
//!
//! Everything here is an async function over a [`storage::Disk`] and an [`Env`], which is the clock, chance
//! and sleep of the host. What they decide follows from nothing else, so that a whole cluster can be
//! simulated. What is on disk after each operation is what sanlock 3.8.5 leaves there, unless another host
//! interferes or a request fails. Two rules hold everywhere:
//!
//! * What timed out is neither done nor undone. A write that has not come back is kept in [`LateWrites`],
//!   and nothing of ours is written over it, nor decided about its lease, before it has.
//! * Whoever must wait for another host's death takes the time from that host's own lease, and counts from
//!   after it was read.

mod area;
mod cancel;
pub mod delta;
mod env;
mod error;
#[cfg(feature = "hazards")]
mod hazards;
mod late;
mod liveness;
pub mod resource;
pub mod rindex;
mod subject;
#[cfg(test)]
mod testing;
mod wait;

pub use area::Area;
pub use cancel::Cancel;
pub use delta::{DeltaArea, DeltaLease};
pub use env::{Context, Env, FIRST_LOOK, Timeouts};
pub use error::{AcquireError, Error};
#[cfg(feature = "hazards")]
pub use hazards::{Hazard, Hazards};
pub use late::LateWrites;
pub use liveness::{HostSeen, Liveness, NoDeltaArea, NoLiveness};
pub use resource::{
    AcquireOptions, Held, Member, Mode, ResourceLease, SharedOptions, Undo, acquire_exclusive,
    acquire_shared, convert_to_exclusive, convert_to_shared, release, undo,
};
pub use subject::{LeaseName, Owner, Place, Step};
