//! sanlock's records in disk sectors: layout, checksums, validity, geometry.
//!
//! All numbers on disk are little-endian. This crate does no I/O and knows no clock: it turns
//! sectors into records ([`Leader`], [`Dblock`], [`ModeBlock`], [`RequestRecord`], [`HostBitmap`],
//! [`RindexHeader`], [`RindexEntry`]) and back, says what is wrong with a sector, computes where in
//! a lease a record stands ([`Geometry`]), and builds whole initial areas ([`init_lockspace_area`],
//! [`init_resource_area`], [`init_rindex_area`]).
//!
//! Decoding takes the sector from its first byte, whatever stands behind the record. A slice too
//! short for the record is an error, never a record of zeros: an absent dblock or mode block must
//! not look like an idle one. Encoding writes the record's own bytes and leaves the rest of the
//! sector as it was, so that records sharing a sector can be put there one after the other. The
//! caller's buffer is at least one sector; one too short for the record is left untouched.
//!
//! ```
//! use ondisk::{Geometry, HostId, Leader, Name, init_resource_area};
//!
//! let geometry = Geometry::ALL[0];
//! let (space, resource): (Name, Name) = ("pool".parse()?, "disk-1".parse()?);
//! let mut area = vec![0; geometry.align.bytes()];
//! init_resource_area(geometry, &space, &resource, 0, None, &mut area)?;
//!
//! let leader = Leader::decode(&area)?;
//! leader.verify_paxos(&space, &resource, HostId(1))?;
//! let fault = leader.verify_paxos(&space, &"disk-2".parse()?, HostId(1)).unwrap_err();
//! assert_eq!(fault.to_string(), r#"the lease is that of resource "disk-1", expected "disk-2""#);
//! assert_eq!(fault.code(), -227);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The formats were learnt from sanlock 3.8.5's headers and from sectors written by its binary.

mod area;
mod bitmap;
mod checksum;
mod dblock;
mod dblocks;
mod fault;
mod fields;
mod geometry;
mod leader;
mod mode_block;
mod name;
mod numbers;
mod request;
mod rindex;
mod rindex_area;

pub use area::{
    AreaError, init_lockspace_area, init_resource_area, init_rindex_area, lockspace_commit_sector,
};
pub use bitmap::HostBitmap;
pub use checksum::{DBLOCK_CHECKSUM_LEN, LEADER_CHECKSUM_LEN, checksum};
pub use dblock::{Dblock, DblockFault};
pub use dblocks::{DblockSector, Dblocks};
pub use fault::LeaderFault;
pub use geometry::{AlignSize, Geometry, SectorSize};
pub use leader::{Decoded, Leader, LeaseKind};
pub use mode_block::ModeBlock;
pub use name::{Name, NameTooLong};
pub use numbers::{Generation, HostId, IoTimeout, Lver, Timestamp};
pub use request::{RequestFault, RequestRecord};
pub use rindex::{RINDEX_LEASE_NAME, RindexEntry, RindexFault, RindexHeader};
pub use rindex_area::{Rindex, RindexSlot};
