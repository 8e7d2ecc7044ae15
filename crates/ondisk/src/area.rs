//! Whole areas as they are initialised.

use crate::fields::place;
use crate::{Geometry, IoTimeout, Leader, Name, RequestRecord, RindexHeader, Timestamp};

/// An area cannot be initialised.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum AreaError {
    /// The buffer is not as long as what is to be written.
    #[error("a buffer of {len} bytes was given to initialise {expected} bytes")]
    Length {
        /// The buffer's length in bytes.
        len: usize,
        /// The bytes to be written.
        expected: usize,
    },
}

impl AreaError {
    /// The number that C clients expect: -22 (`EINVAL`).
    pub fn code(&self) -> i32 {
        -22
    }
}

/// Fills `area` with a lockspace that no host has joined, except that the lease of host 1 is not valid yet.
///
/// Once this is on disk, [`lockspace_commit_sector`] is written over its first sector: until then nobody
/// takes a half-written area for a lockspace.
///
/// # Errors
/// If `area` is not exactly as long as the geometry's align size.
pub fn init_lockspace_area(
    geometry: Geometry,
    space: &Name,
    io_timeout: IoTimeout,
    area: &mut [u8],
) -> Result<(), AreaError> {
    clear_exactly(area, geometry.align.bytes())?;
    let mut leader = Leader::new_delta(geometry, space, io_timeout);
    let mut valid = [0; Leader::LEN];
    leader.encode(&mut valid);
    let mut hosts = (1..=geometry.max_hosts()).zip(area.chunks_exact_mut(geometry.sector.bytes()));
    if let Some((_, first)) = hosts.next() {
        leader.magic = 0;
        leader.encode(first);
    }
    hosts.for_each(|(_, sector)| place(&valid, sector, 0));
    Ok(())
}

/// Fills `sector` with the first sector of a lockspace that no host has joined, which makes the area of
/// [`init_lockspace_area`] valid.
///
/// # Errors
/// If `sector` is not exactly as long as the geometry's sector size.
pub fn lockspace_commit_sector(
    geometry: Geometry,
    space: &Name,
    io_timeout: IoTimeout,
    sector: &mut [u8],
) -> Result<(), AreaError> {
    clear_exactly(sector, geometry.sector.bytes())?;
    Leader::new_delta(geometry, space, io_timeout).encode(sector);
    Ok(())
}

/// Fills `area` with a resource that no host has owned, or, if `cleared` tells the time, with the mark of
/// one that was removed then.
///
/// `num_hosts` 0, and any above the geometry's, stands for all that the geometry has.
///
/// # Errors
/// If `area` is not exactly as long as the geometry's align size.
pub fn init_resource_area(
    geometry: Geometry,
    space: &Name,
    resource: &Name,
    num_hosts: u64,
    cleared: Option<Timestamp>,
    area: &mut [u8],
) -> Result<(), AreaError> {
    clear_exactly(area, geometry.align.bytes())?;
    let mut leader = Leader::new_paxos(geometry, space, resource, num_hosts);
    if let Some(now) = cleared {
        leader.magic = Leader::CLEAR_MAGIC;
        leader.write_timestamp = now;
    }
    let (first, rest) = area.split_at_mut(geometry.sector.bytes());
    leader.encode(first);
    RequestRecord::new().encode(rest);
    Ok(())
}

/// Fills `area` with a resource index without resources that stands at byte `rx_offset` of the disk.
///
/// The area behind it is the index's own lease: [`init_resource_area`] with the name
/// [`RINDEX_LEASE_NAME`](crate::RINDEX_LEASE_NAME). `max_resources` as for [`RindexHeader::new`].
///
/// # Errors
/// If `area` is not exactly as long as the geometry's align size.
pub fn init_rindex_area(
    geometry: Geometry,
    space: &Name,
    max_resources: u32,
    rx_offset: u64,
    area: &mut [u8],
) -> Result<(), AreaError> {
    clear_exactly(area, geometry.align.bytes())?;
    RindexHeader::new(geometry, space, max_resources, rx_offset).encode(area);
    Ok(())
}

fn clear_exactly(buffer: &mut [u8], expected: usize) -> Result<(), AreaError> {
    if buffer.len() != expected {
        return Err(AreaError::Length {
            len: buffer.len(),
            expected,
        });
    }
    buffer.fill(0);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_areas_are_initialised() {
        let geometry = Geometry::ALL[0];
        let name = Name::EMPTY;
        let io_timeout = IoTimeout(10);
        for len in [0, 512, (1 << 20) - 1, (1 << 20) + 1] {
            let fault = AreaError::Length {
                len,
                expected: 1 << 20,
            };
            let mut area = vec![7; len];
            assert_eq!(
                init_lockspace_area(geometry, &name, io_timeout, &mut area),
                Err(fault)
            );
            assert_eq!(
                init_resource_area(geometry, &name, &name, 0, None, &mut area),
                Err(fault)
            );
            assert_eq!(
                init_rindex_area(geometry, &name, 0, 0, &mut area),
                Err(fault)
            );
            assert!(area.iter().all(|byte| *byte == 7));
            assert_eq!(fault.code(), -22);
        }
        let fault = AreaError::Length {
            len: 511,
            expected: 512,
        };
        let mut sector = [7; 511];
        assert_eq!(
            lockspace_commit_sector(geometry, &name, io_timeout, &mut sector),
            Err(fault)
        );
    }

    #[test]
    fn a_lockspace_is_not_valid_before_it_is_committed() {
        for geometry in Geometry::ALL {
            let name: Name = "ls".parse().unwrap();
            let mut area = vec![0xff; geometry.align.bytes()];
            init_lockspace_area(geometry, &name, IoTimeout(10), &mut area).unwrap();
            let first = Leader::decode(&area).unwrap();
            assert_eq!(first.record.magic, 0);
            assert_eq!(first.verify_checksum(), Ok(()));

            let sector = geometry.sector.bytes();
            lockspace_commit_sector(geometry, &name, IoTimeout(10), &mut area[..sector]).unwrap();
            let used = geometry.max_hosts() as usize * sector;
            for sector in area[..used].chunks_exact(sector) {
                assert_eq!(Leader::decode(sector).unwrap().verify_delta(&name), Ok(()));
            }
            assert!(area[used..].iter().all(|byte| *byte == 0));
        }
    }
}
