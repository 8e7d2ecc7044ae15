//! The dblock: a host's state in the ballots for a resource.

use crate::fields::{Put, Take, place};
use crate::{DBLOCK_CHECKSUM_LEN, Decoded, Generation, HostId, Lver, Timestamp, checksum};

/// A host's dblock ("disk block" of Disk Paxos), 56 bytes at the start of the host's sector of a resource.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Dblock {
    /// The number of the largest ballot that the host has entered.
    pub mbal: u64,
    /// The number of the last ballot in which the host committed to a value.
    pub bal: u64,
    /// That value: the host that shall own the lease.
    pub inp: HostId,
    /// That value: the generation of the owner.
    pub inp2: Generation,
    /// That value: the time of acquisition on the owner's clock.
    pub inp3: Timestamp,
    /// The lease version that the ballot is for.
    pub lver: Lver,
    /// The checksum of the bytes before it.
    pub checksum: u32,
    /// [`Dblock::RELEASED`], outside of the checksum.
    pub flags: u32,
}

/// A dblock that cannot be used.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum DblockFault {
    /// Fewer bytes were given than a record of a dblock's sector needs.
    #[error("{len} bytes are too few for the dblock's sector: {needed} are needed")]
    Short {
        /// The bytes there were.
        len: usize,
        /// The bytes needed.
        needed: usize,
    },

    /// Fewer bytes were given than the dblocks of all hosts need.
    #[error("{len} bytes are too few for a lease with the dblocks of {num_hosts} hosts")]
    ShortBallot {
        /// The bytes there were.
        len: usize,
        /// The number of hosts.
        num_hosts: u64,
    },

    /// The dblock was damaged, or not written as a whole.
    #[error("dblock with checksum {found:#010x}, expected {expected:#010x} for its bytes")]
    Checksum {
        /// The checksum found.
        found: u32,
        /// The checksum that the dblock's bytes have.
        expected: u32,
    },
}

impl DblockFault {
    /// The number that C clients expect (`sanlock_rv.h`): -214 for a checksum, -210 for too few bytes.
    pub fn code(&self) -> i32 {
        match self {
            Self::Short { .. } | Self::ShortBallot { .. } => -210,
            Self::Checksum { .. } => -214,
        }
    }
}

impl Dblock {
    /// The record's length in bytes.
    pub const LEN: usize = 56;

    /// Flag: the host has released the lease that it acquired with this ballot, or holds it shared.
    pub const RELEASED: u32 = 0x1;

    /// Reads the dblock at the start of a sector, without judging it.
    ///
    /// # Errors
    /// [`DblockFault::Short`] if the slice is shorter than [`Dblock::LEN`].
    pub fn decode(sector: &[u8]) -> Result<Decoded<Self>, DblockFault> {
        match sector.first_chunk() {
            Some(bytes) => Ok(Self::from_bytes(bytes)),
            None => Err(DblockFault::Short {
                len: sector.len(),
                needed: Self::LEN,
            }),
        }
    }

    pub(crate) fn from_bytes(bytes: &[u8; Self::LEN]) -> Decoded<Self> {
        let (covered, _) = bytes.split_at(DBLOCK_CHECKSUM_LEN);
        let computed_checksum = checksum(covered);
        let mut take = Take(bytes);
        let record = Self {
            mbal: take.u64(),
            bal: take.u64(),
            inp: HostId(take.u64()),
            inp2: Generation(take.u64()),
            inp3: Timestamp(take.u64()),
            lver: Lver(take.u64()),
            checksum: take.u32(),
            flags: take.u32(),
        };
        Decoded {
            record,
            computed_checksum,
        }
    }

    /// Fills in the checksum and puts the record at the start of a sector of at least [`Dblock::LEN`] bytes.
    pub fn encode(&mut self, sector: &mut [u8]) {
        let bytes = self.to_bytes();
        let (covered, _) = bytes.split_at(DBLOCK_CHECKSUM_LEN);
        self.checksum = checksum(covered);
        place(&self.to_bytes(), sector, 0);
    }

    fn to_bytes(self) -> [u8; Self::LEN] {
        Put::new()
            .u64(self.mbal)
            .u64(self.bal)
            .u64(self.inp.0)
            .u64(self.inp2.0)
            .u64(self.inp3.0)
            .u64(self.lver.0)
            .u32(self.checksum)
            .u32(self.flags)
            .finish()
    }

    /// Whether the host has never been in a ballot for the resource: every field is zero.
    pub fn is_untouched(&self) -> bool {
        *self == Self::default()
    }

    /// Whether the host has released what it acquired with this ballot.
    pub fn is_released(&self) -> bool {
        self.flags & Self::RELEASED != 0
    }
}

impl Decoded<Dblock> {
    /// Whether the checksum is right, or there is none because the host was never in a ballot.
    ///
    /// # Errors
    /// [`DblockFault::Checksum`].
    pub fn verify(&self) -> Result<(), DblockFault> {
        let Dblock {
            mbal,
            bal,
            inp,
            lver,
            checksum: found,
            ..
        } = self.record;
        // The C program leaves inp2, inp3 and flags out of this test, and so do we.
        let blank = (found, mbal, bal, inp, lver) == (0, 0, 0, HostId(0), Lver(0));
        let expected = self.computed_checksum;
        if blank || found == expected {
            Ok(())
        } else {
            Err(DblockFault::Checksum { found, expected })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn dblock() -> Dblock {
        Dblock {
            mbal: 1,
            bal: 2,
            inp: HostId(3),
            inp2: Generation(4),
            inp3: Timestamp(5),
            lver: Lver(6),
            checksum: 0,
            flags: 0x0808_0808,
        }
    }

    #[test]
    fn fields_stand_where_the_c_struct_has_them() {
        let mut bytes = [0xff; 64];
        dblock().encode(&mut bytes);
        for (field, number) in bytes.chunks_exact(8).zip(1..=6) {
            assert_eq!(field, [number, 0, 0, 0, 0, 0, 0, 0]);
        }
        assert_eq!(bytes[48..52], checksum(&bytes[..48]).to_le_bytes());
        assert_eq!(bytes[52..56], [8; 4]);
        assert_eq!(bytes[56..], [0xff; 8]);
    }

    #[test]
    fn the_checksum_leaves_the_flags_out() {
        let mut sector = [0; 512];
        dblock().encode(&mut sector);
        sector[52] ^= 1;
        let decoded = Dblock::decode(&sector).unwrap();
        assert_eq!(decoded.verify(), Ok(()));
        assert!(decoded.record.is_released());
        sector[47] ^= 1;
        let decoded = Dblock::decode(&sector).unwrap();
        let (found, expected) = (decoded.record.checksum, decoded.computed_checksum);
        let fault = decoded.verify().unwrap_err();
        assert_eq!(fault, DblockFault::Checksum { found, expected });
        assert_eq!(fault.code(), -214);
    }

    #[test]
    fn blank_blocks_need_no_checksum() {
        let verify = |dblock: Dblock| {
            Decoded {
                record: dblock,
                computed_checksum: 7,
            }
            .verify()
        };
        let blank = Dblock::default();
        assert_eq!(verify(blank), Ok(()));
        assert!(blank.is_untouched());

        let odd = Dblock {
            inp2: Generation(1),
            inp3: Timestamp(1),
            flags: 1,
            ..blank
        };
        assert_eq!(verify(odd), Ok(()), "as in the C program");
        assert!(!odd.is_untouched());

        let with_one_field = [
            Dblock { mbal: 1, ..blank },
            Dblock { bal: 1, ..blank },
            Dblock {
                inp: HostId(1),
                ..blank
            },
            Dblock {
                lver: Lver(1),
                ..blank
            },
            Dblock {
                checksum: 1,
                ..blank
            },
        ];
        for dblock in with_one_field {
            assert!(verify(dblock).is_err(), "{dblock:?}");
        }
    }

    #[test]
    fn an_erased_block_has_a_checksum() {
        let mut sector = [0; 512];
        Dblock::default().encode(&mut sector);
        let decoded = Dblock::decode(&sector).unwrap();
        assert_eq!(decoded.verify(), Ok(()));
        assert!(!decoded.record.is_untouched());
    }

    #[test]
    fn a_block_that_is_cut_short_is_an_error() {
        let fault = Dblock::decode(&[0; 55]).unwrap_err();
        assert_eq!(
            fault,
            DblockFault::Short {
                len: 55,
                needed: 56
            }
        );
        assert_eq!(fault.code(), -210);
        assert!(Dblock::decode(&[0; 56]).is_ok());
    }

    proptest! {
        #[test]
        fn any_block_survives_encoding_and_decoding(
            bytes in prop::collection::vec(any::<u8>(), 56),
        ) {
            let decoded = Dblock::decode(&bytes).unwrap();
            prop_assert_eq!(&decoded.record.to_bytes()[..], &bytes[..]);
            let mut record = decoded.record;
            let mut sector = [0; 512];
            record.encode(&mut sector);
            let again = Dblock::decode(&sector).unwrap();
            prop_assert_eq!(again.verify(), Ok(()));
            prop_assert_eq!(again.record, record);
        }
    }
}
