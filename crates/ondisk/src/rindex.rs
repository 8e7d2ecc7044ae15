//! Header and entries of a resource index.

use crate::fault::MagicOf;
use crate::fields::{Put, Take, place};
use crate::{AlignSize, Geometry, Name, SectorSize};

/// The name of the internal resource that protects an index; its lease is the area behind the index.
pub const RINDEX_LEASE_NAME: &str = "rindex_lease";

/// The header of a resource index, 80 bytes at the start of its first sector.
///
/// It has no checksum. The index takes one area, its lease the next, and the resources those behind.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RindexHeader {
    /// [`RindexHeader::MAGIC`].
    pub magic: u32,
    /// Major version in the upper, minor version in the lower 16 bits.
    pub version: u32,
    /// The align size ([`AlignSize::rindex_flag`]).
    pub flags: u32,
    /// Bytes per sector.
    pub sector_size: u32,
    /// How many entries are used; 0 for as many as the geometry has room for.
    pub max_resources: u32,
    /// Written as 0.
    pub unused: u32,
    /// Where on the disk the index itself starts, in bytes.
    pub rx_offset: u64,
    /// The lockspace.
    pub lockspace_name: Name,
}

/// An entry of a resource index, 64 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct RindexEntry {
    /// Where on the disk the resource starts, in bytes; 0 for a free entry.
    pub res_offset: u64,
    /// Written as 0.
    pub flags: u32,
    /// Written as 0.
    pub unused: u32,
    /// The resource; empty for a free entry.
    pub name: Name,
}

/// A resource index that cannot be used, and the first field that is wrong.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RindexFault {
    /// Fewer bytes were given than a record of the index has, or than the index has.
    #[error("{len} bytes are too few for the resource index: {needed} are needed")]
    Short {
        /// The bytes there were.
        len: usize,
        /// The bytes needed.
        needed: usize,
    },

    /// This is no resource index.
    #[error(
        "no resource index here: magic number {found:#010x}{}, expected {:#010x}",
        MagicOf(*found),
        RindexHeader::MAGIC
    )]
    Magic {
        /// The magic number found.
        found: u32,
    },

    /// An index of a version that cannot be read.
    #[error("resource index of version {found:#010x}, expected {:#06x}xxxx", RindexHeader::VERSION >> 16)]
    Version {
        /// The version found.
        found: u32,
    },

    /// The index belongs to another lockspace.
    #[error("the resource index belongs to lockspace {found:?}, expected {expected:?}")]
    Lockspace {
        /// The lockspace found.
        found: Name,
        /// The lockspace that was looked for.
        expected: Name,
    },

    /// The index was made for another place on the disk.
    #[error(
        "the resource index says that it starts at byte {found}, it was read from byte {expected}"
    )]
    Offset {
        /// The offset found.
        found: u64,
        /// The offset it was read from.
        expected: u64,
    },

    /// Sector size and flags are no valid geometry.
    #[error(
        "the resource index has sector size {sector_size} and flags {flags:#x}: no valid geometry"
    )]
    Geometry {
        /// The sector size found.
        sector_size: u32,
        /// The flags found.
        flags: u32,
    },
}

impl RindexFault {
    /// The number that C clients expect (`sanlock_rv.h`): -274 to -277.
    ///
    /// The C program has none for too few bytes (here -274) and for a bad geometry (here -22, `EINVAL`).
    pub fn code(&self) -> i32 {
        match self {
            Self::Short { .. } | Self::Magic { .. } => -274,
            Self::Version { .. } => -275,
            Self::Lockspace { .. } => -276,
            Self::Offset { .. } => -277,
            Self::Geometry { .. } => -22,
        }
    }
}

impl RindexHeader {
    /// The record's length in bytes.
    pub const LEN: usize = 80;

    /// The first number of a resource index.
    pub const MAGIC: u32 = 0x0104_2018;

    /// The version that is written; readers accept every one with the same upper 16 bits.
    pub const VERSION: u32 = 0x0001_0002;

    /// How many entries an index has if its maker does not say.
    pub const DEFAULT_MAX_RESOURCES: u32 = 4096;

    /// The header of an index that starts at byte `rx_offset` of the disk.
    ///
    /// `max_resources` 0 stands for [`RindexHeader::DEFAULT_MAX_RESOURCES`]; more than the geometry has
    /// room for become as many as it has.
    pub fn new(geometry: Geometry, space: &Name, max_resources: u32, rx_offset: u64) -> Self {
        let wanted = if max_resources == 0 {
            Self::DEFAULT_MAX_RESOURCES
        } else {
            max_resources
        };
        Self {
            magic: Self::MAGIC,
            version: Self::VERSION,
            flags: geometry.align.rindex_flag(),
            sector_size: geometry.sector.as_u32(),
            max_resources: wanted.min(geometry.max_resources()),
            unused: 0,
            rx_offset,
            lockspace_name: *space,
        }
    }

    /// Reads the header at the start of a sector, without judging it.
    ///
    /// # Errors
    /// [`RindexFault::Short`] if the slice is shorter than [`RindexHeader::LEN`].
    pub fn decode(sector: &[u8]) -> Result<Self, RindexFault> {
        let bytes: &[u8; Self::LEN] = sector.first_chunk().ok_or(RindexFault::Short {
            len: sector.len(),
            needed: Self::LEN,
        })?;
        let mut take = Take(bytes);
        Ok(Self {
            magic: take.u32(),
            version: take.u32(),
            flags: take.u32(),
            sector_size: take.u32(),
            max_resources: take.u32(),
            unused: take.u32(),
            rx_offset: take.u64(),
            lockspace_name: Name::from_raw(take.bytes()),
        })
    }

    /// Puts the header at the start of a sector of at least [`RindexHeader::LEN`] bytes.
    pub fn encode(&self, sector: &mut [u8]) {
        let bytes: [u8; Self::LEN] = Put::new()
            .u32(self.magic)
            .u32(self.version)
            .u32(self.flags)
            .u32(self.sector_size)
            .u32(self.max_resources)
            .u32(self.unused)
            .u64(self.rx_offset)
            .bytes(self.lockspace_name.raw())
            .finish();
        place(&bytes, sector, 0);
    }

    /// Whether this is the index of the lockspace, read from byte `offset` of the disk: magic, version,
    /// lockspace, offset, in this order.
    ///
    /// # Errors
    /// The first field that is wrong.
    pub fn verify(&self, space: &Name, offset: u64) -> Result<(), RindexFault> {
        if self.magic != Self::MAGIC {
            return Err(RindexFault::Magic { found: self.magic });
        }
        if self.version >> 16 != Self::VERSION >> 16 {
            return Err(RindexFault::Version {
                found: self.version,
            });
        }
        if self.lockspace_name != *space {
            let (found, expected) = (self.lockspace_name, *space);
            return Err(RindexFault::Lockspace { found, expected });
        }
        if self.rx_offset != offset {
            return Err(RindexFault::Offset {
                found: self.rx_offset,
                expected: offset,
            });
        }
        Ok(())
    }

    /// The geometry of the index, its lease and its resources.
    ///
    /// # Errors
    /// [`RindexFault::Geometry`] if sector size and flags are no valid one.
    pub fn geometry(&self) -> Result<Geometry, RindexFault> {
        SectorSize::from_bytes(self.sector_size)
            .zip(AlignSize::from_rindex_flags(self.flags))
            .and_then(|(sector, align)| Geometry::new(sector, align))
            .ok_or(RindexFault::Geometry {
                sector_size: self.sector_size,
                flags: self.flags,
            })
    }
}

impl RindexEntry {
    /// The record's length in bytes.
    pub const LEN: usize = 64;

    /// Reads the entry at the start of a slice.
    ///
    /// # Errors
    /// [`RindexFault::Short`] if the slice is shorter than [`RindexEntry::LEN`].
    pub fn decode(bytes: &[u8]) -> Result<Self, RindexFault> {
        let bytes: &[u8; Self::LEN] = bytes.first_chunk().ok_or(RindexFault::Short {
            len: bytes.len(),
            needed: Self::LEN,
        })?;
        let mut take = Take(bytes);
        Ok(Self {
            res_offset: take.u64(),
            flags: take.u32(),
            unused: take.u32(),
            name: Name::from_raw(take.bytes()),
        })
    }

    /// Puts the entry at the start of a slice of at least [`RindexEntry::LEN`] bytes.
    pub fn encode(&self, out: &mut [u8]) {
        let bytes: [u8; Self::LEN] = Put::new()
            .u64(self.res_offset)
            .u32(self.flags)
            .u32(self.unused)
            .bytes(self.name.raw())
            .finish();
        place(&bytes, out, 0);
    }

    /// Whether the entry is free: it has neither an offset nor a name.
    pub fn is_free(&self) -> bool {
        self.res_offset == 0 && self.name.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn name(name: &str) -> Name {
        name.parse().unwrap()
    }

    fn header() -> RindexHeader {
        RindexHeader::new(Geometry::ALL[0], &name("ls"), 0, 1 << 20)
    }

    #[test]
    fn fields_stand_where_the_c_structs_have_them() {
        let mut bytes = [0xff; 88];
        let header = RindexHeader {
            unused: 0x0404_0404,
            ..header()
        };
        header.encode(&mut bytes);
        assert_eq!(
            bytes[..16],
            [0x18, 0x20, 4, 1, 2, 0, 1, 0, 1, 0, 0, 0, 0, 2, 0, 0]
        );
        assert_eq!(
            bytes[16..32],
            [0, 0x10, 0, 0, 4, 4, 4, 4, 0, 0, 0x10, 0, 0, 0, 0, 0]
        );
        assert_eq!(bytes[32..35], *b"ls\0");
        assert_eq!(bytes[80..], [0xff; 8]);

        let mut bytes = [0xff; 72];
        let entry = RindexEntry {
            res_offset: 7,
            flags: 8,
            unused: 9,
            name: name("res"),
        };
        entry.encode(&mut bytes);
        assert_eq!(
            bytes[..16],
            [7, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 9, 0, 0, 0]
        );
        assert_eq!(bytes[16..20], *b"res\0");
        assert_eq!(bytes[64..], [0xff; 8]);
    }

    #[test]
    fn an_index_is_verified_field_by_field() {
        let mut bad = header();
        (bad.magic, bad.version) = (0, 0x0002_0000);
        let mut faults = Vec::new();
        faults.push(bad.verify(&name("here"), 5).unwrap_err());
        bad.magic = RindexHeader::MAGIC;
        faults.push(bad.verify(&name("here"), 5).unwrap_err());
        bad.version = 0x0001_0000;
        faults.push(bad.verify(&name("here"), 5).unwrap_err());
        bad.lockspace_name = name("here");
        faults.push(bad.verify(&name("here"), 5).unwrap_err());
        bad.rx_offset = 5;
        assert_eq!(bad.verify(&name("here"), 5), Ok(()));
        assert_eq!(
            faults,
            [
                RindexFault::Magic { found: 0 },
                RindexFault::Version { found: 0x0002_0000 },
                RindexFault::Lockspace {
                    found: name("ls"),
                    expected: name("here")
                },
                RindexFault::Offset {
                    found: 1 << 20,
                    expected: 5
                },
            ]
        );
        let codes: Vec<i32> = faults.iter().map(RindexFault::code).collect();
        assert_eq!(codes, [-274, -275, -276, -277]);
        assert_eq!(
            faults[3].to_string(),
            "the resource index says that it starts at byte 1048576, it was read from byte 5"
        );
    }

    #[test]
    fn the_number_of_entries_is_at_most_the_geometrys() {
        let entries = |wanted| {
            Geometry::ALL
                .map(|geometry| RindexHeader::new(geometry, &name("ls"), wanted, 0).max_resources)
        };
        assert_eq!(entries(0), [4096; 5]);
        assert_eq!(entries(1), [1; 5]);
        assert_eq!(entries(u32::MAX), [16_000, 16_000, 32_000, 64_000, 128_000]);
    }

    #[test]
    fn the_geometry_follows_from_sector_size_and_flags() {
        for geometry in Geometry::ALL {
            assert_eq!(
                RindexHeader::new(geometry, &name("ls"), 0, 0).geometry(),
                Ok(geometry)
            );
        }
        for bad in [
            RindexHeader {
                flags: 0,
                ..header()
            },
            RindexHeader {
                flags: 8,
                ..header()
            },
            RindexHeader {
                sector_size: 513,
                ..header()
            },
        ] {
            assert_eq!(bad.geometry().unwrap_err().code(), -22);
        }
    }

    #[test]
    fn records_that_are_cut_short_are_errors() {
        let short = |len, needed| Some(RindexFault::Short { len, needed });
        assert_eq!(RindexHeader::decode(&[0; 79]).err(), short(79, 80));
        assert_eq!(RindexEntry::decode(&[0; 63]).err(), short(63, 64));
    }

    #[test]
    fn an_entry_is_free_if_both_offset_and_name_are_missing() {
        let free = RindexEntry::default();
        assert!(free.is_free());
        assert!(
            !RindexEntry {
                res_offset: 1,
                ..free
            }
            .is_free()
        );
        assert!(
            !RindexEntry {
                name: name("x"),
                ..free
            }
            .is_free()
        );
    }

    proptest! {
        #[test]
        fn any_bytes_survive_decoding_and_encoding(
            bytes in prop::collection::vec(any::<u8>(), 80),
        ) {
            let mut again = [0; 80];
            RindexHeader::decode(&bytes).unwrap().encode(&mut again);
            prop_assert_eq!(&again[..], &bytes[..]);
            let mut again = [0; 64];
            RindexEntry::decode(&bytes).unwrap().encode(&mut again);
            prop_assert_eq!(&again[..], &bytes[..64]);
        }
    }
}
