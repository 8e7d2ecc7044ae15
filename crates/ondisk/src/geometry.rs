//! Sizes of sectors and leases, and where the records of a lease stand.

use crate::HostId;
use std::fmt;

/// The unit in which a lease's records are laid out and written.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum SectorSize {
    /// 512 bytes.
    B512,
    /// 4096 bytes.
    B4096,
}

impl SectorSize {
    /// The size in bytes.
    pub fn bytes(self) -> usize {
        match self {
            Self::B512 => 512,
            Self::B4096 => 4096,
        }
    }

    /// The size in bytes, as records hold it.
    pub fn as_u32(self) -> u32 {
        match self {
            Self::B512 => 512,
            Self::B4096 => 4096,
        }
    }

    /// The sector size of so many bytes, if there is one.
    pub fn from_bytes(bytes: u32) -> Option<Self> {
        match bytes {
            512 => Some(Self::B512),
            4096 => Some(Self::B4096),
            _ => None,
        }
    }
}

impl fmt::Display for SectorSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.bytes(), f)
    }
}

/// The size of a lockspace's or resource's area; areas start at multiples of it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum AlignSize {
    /// 1 MiB.
    M1,
    /// 2 MiB.
    M2,
    /// 4 MiB.
    M4,
    /// 8 MiB.
    M8,
}

impl AlignSize {
    const ALL: [Self; 4] = [Self::M1, Self::M2, Self::M4, Self::M8];

    /// The size in bytes.
    pub fn bytes(self) -> usize {
        self.mebibytes() << 20
    }

    /// The size in MiB.
    fn mebibytes(self) -> usize {
        match self {
            Self::M1 => 1,
            Self::M2 => 2,
            Self::M4 => 4,
            Self::M8 => 8,
        }
    }

    /// The align size of so many bytes, if there is one.
    pub fn from_bytes(bytes: u32) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|align| u32::try_from(align.bytes()) == Ok(bytes))
    }

    /// The bit for this size in a leader's flags: 0x10, 0x20, 0x40 or 0x80.
    pub fn leader_flag(self) -> u32 {
        self.rindex_flag() << 4
    }

    /// The size that a leader's flags tell, the smallest if several bits are set.
    ///
    /// `None` if none is: such a lease was made before the flags were, see
    /// [`Geometry::for_sector_size_alone`].
    pub fn from_leader_flags(flags: u32) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|align| flags & align.leader_flag() != 0)
    }

    /// The bit for this size in the flags of a resource index: 1, 2, 4 or 8.
    pub fn rindex_flag(self) -> u32 {
        match self {
            Self::M1 => 0x1,
            Self::M2 => 0x2,
            Self::M4 => 0x4,
            Self::M8 => 0x8,
        }
    }

    /// The size that the flags of a resource index tell, the smallest if several bits are set.
    pub fn from_rindex_flags(flags: u32) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|align| flags & align.rindex_flag() != 0)
    }
}

impl fmt::Display for AlignSize {
    /// As in `1M`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}M", self.mebibytes())
    }
}

/// One of the five valid pairs of sector size and align size: 512 with 1M, or 4096 with 1M, 2M, 4M or 8M.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Geometry {
    /// The sector size.
    pub sector: SectorSize,
    /// The align size.
    pub align: AlignSize,
}

impl Geometry {
    /// The five valid geometries.
    pub const ALL: [Self; 5] = [
        Self {
            sector: SectorSize::B512,
            align: AlignSize::M1,
        },
        Self {
            sector: SectorSize::B4096,
            align: AlignSize::M1,
        },
        Self {
            sector: SectorSize::B4096,
            align: AlignSize::M2,
        },
        Self {
            sector: SectorSize::B4096,
            align: AlignSize::M4,
        },
        Self {
            sector: SectorSize::B4096,
            align: AlignSize::M8,
        },
    ];

    /// The geometry of these sizes; `None` for 512-byte sectors with more than 1M.
    pub fn new(sector: SectorSize, align: AlignSize) -> Option<Self> {
        let geometry = Self { sector, align };
        Self::ALL.contains(&geometry).then_some(geometry)
    }

    /// What a sector size meant before align sizes were recorded: 512 had 1M, and 4096 had 8M.
    pub fn for_sector_size_alone(sector: SectorSize) -> Self {
        let align = match sector {
            SectorSize::B512 => AlignSize::M1,
            SectorSize::B4096 => AlignSize::M8,
        };
        Self { sector, align }
    }

    /// How many hosts a lockspace or resource of this geometry has room for.
    pub fn max_hosts(self) -> u64 {
        match (self.sector, self.align) {
            (SectorSize::B512, _) => 2000,
            (SectorSize::B4096, AlignSize::M1) => 250,
            (SectorSize::B4096, AlignSize::M2) => 500,
            (SectorSize::B4096, AlignSize::M4) => 1000,
            (SectorSize::B4096, AlignSize::M8) => 2000,
        }
    }

    /// How many entries a resource index of this geometry has room for.
    pub fn max_resources(self) -> u32 {
        match (self.sector, self.align) {
            (SectorSize::B512, _) | (SectorSize::B4096, AlignSize::M1) => 16_000,
            (SectorSize::B4096, AlignSize::M2) => 32_000,
            (SectorSize::B4096, AlignSize::M4) => 64_000,
            (SectorSize::B4096, AlignSize::M8) => 128_000,
        }
    }

    /// How many sectors an area has.
    pub fn sectors(self) -> usize {
        self.align.bytes() / self.sector.bytes()
    }

    /// Whether a lockspace of this geometry has the host id.
    pub fn has_host(self, host: HostId) -> bool {
        host.0 >= 1 && host.0 <= self.max_hosts()
    }

    /// Where in a lockspace's area the host's delta lease stands, in bytes.
    ///
    /// `None` for a host id that the geometry does not have.
    pub fn delta_offset(self, host: HostId) -> Option<u64> {
        self.slot_offset(host, 0)
    }

    /// Where in a resource's area the request record stands, in bytes.
    pub fn request_offset(self) -> u64 {
        self.sector.bytes() as u64
    }

    /// Where in a resource's area the host's dblock stands, in bytes: behind leader and request record.
    ///
    /// `None` for a host id that the geometry does not have.
    pub fn dblock_offset(self, host: HostId) -> Option<u64> {
        self.slot_offset(host, 2)
    }

    fn slot_offset(self, host: HostId, sectors_before: u64) -> Option<u64> {
        let slot = host.slot().filter(|_| self.has_host(host))?;
        slot.checked_add(sectors_before)?
            .checked_mul(self.sector.bytes() as u64)
    }

    /// Where the lease value block stands, in bytes from the start of the resource's area: in sector 2002,
    /// behind the dblock of host 2000, even if the geometry has fewer hosts.
    ///
    /// See [`Geometry::lvb_fits`].
    pub fn lvb_offset(self) -> u64 {
        2002 * self.sector.bytes() as u64
    }

    /// Whether the lease value block is inside the resource's own area.
    ///
    /// It is not for 4096-byte sectors with less than 8M: there a write would damage another lease.
    pub fn lvb_fits(self) -> bool {
        self.lvb_offset() + self.sector.bytes() as u64 <= self.align.bytes() as u64
    }

    /// How many bytes a ballot reads from the start of a resource's area: the sectors of leader, request
    /// record and `num_hosts` dblocks, up to the next power of two, at most the whole area.
    pub fn ballot_read_len(self, num_hosts: u64) -> usize {
        num_hosts
            .checked_add(2)
            .and_then(u64::checked_next_power_of_two)
            .and_then(|sectors| usize::try_from(sectors).ok())
            .and_then(|sectors| sectors.checked_mul(self.sector.bytes()))
            .map_or(self.align.bytes(), |len| len.min(self.align.bytes()))
    }
}

impl fmt::Display for Geometry {
    /// As in `4096/8M`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.sector, self.align)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exactly_five_pairs_are_valid() {
        let pairs = [SectorSize::B512, SectorSize::B4096]
            .into_iter()
            .flat_map(|sector| AlignSize::ALL.map(|align| Geometry::new(sector, align)));
        assert!(pairs.flatten().eq(Geometry::ALL));
    }

    #[test]
    fn hosts_and_resources_fit_into_the_area() {
        for geometry in Geometry::ALL {
            let last = HostId(geometry.max_hosts());
            let area = geometry.align.bytes() as u64;
            assert!(geometry.dblock_offset(last).unwrap() < area);
            assert_eq!(geometry.dblock_offset(HostId(last.0 + 1)), None);
            assert_eq!(geometry.delta_offset(HostId(0)), None);
            let entries = geometry.max_resources() as usize * 64;
            assert!(geometry.sector.bytes() + entries <= geometry.align.bytes());
        }
    }

    #[test]
    fn offsets_of_host_records() {
        let small = Geometry::ALL[0];
        assert_eq!(small.delta_offset(HostId(1)), Some(0));
        assert_eq!(small.delta_offset(HostId(2000)), Some(1999 * 512));
        assert_eq!(small.dblock_offset(HostId(1)), Some(1024));
        assert_eq!(small.request_offset(), 512);
        let large = Geometry::ALL[4];
        assert_eq!(large.dblock_offset(HostId(2000)), Some(2001 * 4096));
        assert_eq!(large.dblock_offset(HostId(u64::MAX)), None);
    }

    #[test]
    fn the_lvb_lies_outside_of_three_geometries() {
        let fits = Geometry::ALL.map(Geometry::lvb_fits);
        assert_eq!(fits, [true, false, false, false, true]);
        assert_eq!(Geometry::ALL[1].lvb_offset(), 8_200_192);
        assert_eq!(Geometry::ALL[0].lvb_offset(), 1_025_024);
    }

    #[test]
    fn a_ballot_reads_a_power_of_two_of_sectors() {
        let small = Geometry::ALL[0];
        assert_eq!(small.ballot_read_len(2000), 1 << 20);
        assert_eq!(small.ballot_read_len(16), 32 * 512);
        assert_eq!(small.ballot_read_len(14), 16 * 512);
        assert_eq!(small.ballot_read_len(0), 2 * 512);
        assert_eq!(Geometry::ALL[1].ballot_read_len(250), 1 << 20);
        for geometry in Geometry::ALL {
            assert_eq!(geometry.ballot_read_len(u64::MAX), geometry.align.bytes());
            assert_eq!(
                geometry.ballot_read_len(u64::MAX - 2),
                geometry.align.bytes()
            );
            assert_eq!(
                geometry.ballot_read_len(geometry.max_hosts()),
                geometry.align.bytes()
            );
        }
    }

    #[test]
    fn flags_of_align_sizes() {
        for align in AlignSize::ALL {
            assert_eq!(
                AlignSize::from_leader_flags(align.leader_flag() | 1),
                Some(align)
            );
            assert_eq!(
                AlignSize::from_rindex_flags(align.rindex_flag()),
                Some(align)
            );
            assert_eq!(AlignSize::from_bytes(align.bytes() as u32), Some(align));
        }
        assert_eq!(AlignSize::from_leader_flags(0x0f), None);
        assert_eq!(AlignSize::from_leader_flags(0xf0), Some(AlignSize::M1));
        assert_eq!(AlignSize::from_bytes(3 << 20), None);
        assert_eq!(AlignSize::M8.leader_flag(), 0x80);
        assert_eq!(SectorSize::from_bytes(1024), None);
        assert_eq!(SectorSize::from_bytes(4096), Some(SectorSize::B4096));
    }

    #[test]
    fn historical_sizes() {
        for sector in [SectorSize::B512, SectorSize::B4096] {
            let geometry = Geometry::for_sector_size_alone(sector);
            assert_eq!(geometry.max_hosts(), 2000);
            assert!(Geometry::ALL.contains(&geometry));
        }
        assert_eq!(Geometry::ALL[4].to_string(), "4096/8M");
    }
}
