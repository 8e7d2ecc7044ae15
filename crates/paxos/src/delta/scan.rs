//! Looking at all delta leases of a lockspace, as a renewal has read them.

use ondisk::{
    Generation, Geometry, HostBitmap, HostId, IoTimeout, Leader, LeaseKind, Name, Timestamp,
};

use super::HostEvent;

/// One host's delta lease as a scan sees it. Its checksum has not been looked at.
#[derive(Debug, Clone)]
pub struct SeenLease {
    /// The host id whose lease this is.
    pub host: HostId,
    /// Whether it has a delta lease's magic number and the lockspace's name. What an invalid one says is
    /// not to be believed, except that a changing timestamp means that somebody lives.
    pub is_valid: bool,
    /// The owner that it tells: the host id, or 0 if it was never taken.
    pub owner_id: HostId,
    /// The owner's generation.
    pub generation: Generation,
    /// When it was last renewed, on the owner's clock.
    pub timestamp: Timestamp,
    /// The owner's io timeout, if the lease tells one.
    pub io_timeout: Option<IoTimeout>,
    /// The owner's name.
    pub owner_name: Name,
    /// Whether the owner wants us to look at its event and at the requests for our resources.
    pub notifies_us: bool,
    /// The owner's event.
    pub event: HostEvent,
}

/// The delta leases in `area`, which was read as a whole, from host 1 on; `us` is our host id.
pub fn scan<'a>(
    area: &'a [u8],
    geometry: Geometry,
    space: &'a Name,
    us: HostId,
) -> impl Iterator<Item = SeenLease> + 'a {
    let hosts = (1..=geometry.max_hosts()).map(HostId);
    hosts
        .zip(area.chunks_exact(geometry.sector.bytes()))
        .filter_map(move |(host, sector)| {
            let leader = Leader::decode(sector).ok()?.record;
            let is_valid = leader.magic == LeaseKind::Delta.magic() && leader.space_name == *space;
            let notifies_us =
                host != us && HostBitmap::decode(sector).is_ok_and(|bitmap| bitmap.contains(us));
            Some(SeenLease {
                host,
                is_valid,
                owner_id: leader.owner_id,
                generation: leader.owner_generation,
                timestamp: leader.timestamp,
                io_timeout: crate::liveness::io_timeout_of(&leader),
                owner_name: leader.resource_name,
                notifies_us,
                event: HostEvent::of(&leader),
            })
        })
}
