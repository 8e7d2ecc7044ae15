//! The mode block: a host's shared hold of a resource.

use crate::fields::{Put, Take, place};
use crate::{DblockFault, Generation};

/// A host's mode block, 16 bytes at byte 128 of the sector with its dblock.
///
/// It has no checksum of its own. A dblock written alone, with the rest of its sector zero, ends a shared
/// hold.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct ModeBlock {
    /// [`ModeBlock::SHARED`] or nothing.
    pub flags: u32,
    /// The generation of the host that holds the lease.
    pub generation: Generation,
}

impl ModeBlock {
    /// The record's length in bytes; four of them are padding behind the flags.
    pub const LEN: usize = 16;

    /// Where in the dblock's sector the record stands, in bytes.
    pub const OFFSET: usize = 128;

    /// Flag: the host holds the lease shared.
    pub const SHARED: u32 = 0x1;

    /// The mode block of a host that holds the lease shared.
    pub fn shared(generation: Generation) -> Self {
        Self {
            flags: Self::SHARED,
            generation,
        }
    }

    /// Reads the mode block from the dblock's sector, which is given from its first byte.
    ///
    /// # Errors
    /// [`DblockFault::Short`] if the slice is shorter than 144 bytes.
    pub fn decode(sector: &[u8]) -> Result<Self, DblockFault> {
        sector
            .get(Self::OFFSET..)
            .and_then(|rest| rest.first_chunk())
            .map(Self::from_bytes)
            .ok_or(DblockFault::Short {
                len: sector.len(),
                needed: Self::OFFSET + Self::LEN,
            })
    }

    pub(crate) fn from_bytes(bytes: &[u8; Self::LEN]) -> Self {
        let mut take = Take(bytes);
        let flags = take.u32();
        let _padding = take.u32();
        Self {
            flags,
            generation: Generation(take.u64()),
        }
    }

    /// Puts the record into the dblock's sector, which is given from its first byte and has at least
    /// 144 bytes.
    pub fn encode(&self, sector: &mut [u8]) {
        let bytes: [u8; Self::LEN] = Put::new()
            .u32(self.flags)
            .u32(0)
            .u64(self.generation.0)
            .finish();
        place(&bytes, sector, Self::OFFSET);
    }

    /// Whether the host holds the lease shared.
    pub fn is_shared(&self) -> bool {
        self.flags & Self::SHARED != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_generation_stands_behind_padding() {
        let mut sector = [0xff; 512];
        ModeBlock::shared(Generation(0x0908_0706_0504_0302)).encode(&mut sector);
        assert_eq!(sector[128..136], [1, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(sector[136..144], [2, 3, 4, 5, 6, 7, 8, 9]);
        assert_eq!((sector[127], sector[144]), (0xff, 0xff));
    }

    #[test]
    fn what_the_padding_holds_does_not_matter() {
        let mut sector = [0; 512];
        sector[128] = 1;
        sector[132..136].fill(0xaa);
        assert_eq!(
            ModeBlock::decode(&sector),
            Ok(ModeBlock::shared(Generation(0)))
        );
    }

    #[test]
    fn a_sector_that_is_cut_short_is_an_error() {
        assert!(ModeBlock::decode(&[0; 144]).is_ok());
        for len in [0, 16, 127, 128, 143] {
            let fault = ModeBlock::decode(&vec![0; len]).unwrap_err();
            assert_eq!(fault, DblockFault::Short { len, needed: 144 });
        }
        let mut short = [7; 143];
        ModeBlock::default().encode(&mut short);
        assert_eq!(short, [7; 143]);
    }

    proptest! {
        #[test]
        fn any_mode_block_survives_encoding_and_decoding(flags: u32, generation: u64) {
            let mode_block = ModeBlock { flags, generation: Generation(generation) };
            let mut sector = [0; 512];
            mode_block.encode(&mut sector);
            prop_assert_eq!(ModeBlock::decode(&sector), Ok(mode_block));
            prop_assert_eq!(mode_block.is_shared(), flags % 2 == 1);
        }
    }
}
