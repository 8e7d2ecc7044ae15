//! The request record: a host's wish for a resource that another owns.

use crate::Lver;
use crate::fault::MagicOf;
use crate::fields::{Put, Take, place};

/// The request record, 24 bytes at the start of the second sector of a resource.
///
/// It has no checksum.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RequestRecord {
    /// [`RequestRecord::MAGIC`].
    pub magic: u32,
    /// Major version in the upper, minor version in the lower 16 bits.
    pub version: u32,
    /// The lease version that the requesting host wants to acquire; 0 if nobody has asked for any.
    pub lver: Lver,
    /// What shall happen to the owner: 1 its process is killed, 2 its kill program runs first. 0 without a request.
    pub force_mode: u32,
}

/// A request record that cannot be used, and the first field that is wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RequestFault {
    /// Fewer bytes were given than a request record has.
    #[error(
        "{len} bytes are too few for a request record: it has {}",
        RequestRecord::LEN
    )]
    Short {
        /// The bytes there were.
        len: usize,
    },

    /// This is no request record.
    #[error(
        "no request record here: magic number {found:#010x}{}, expected {:#010x}",
        MagicOf(*found),
        RequestRecord::MAGIC
    )]
    Magic {
        /// The magic number found.
        found: u32,
    },

    /// A request record of a version that cannot be read.
    #[error("request record of version {found:#010x}, expected {:#06x}xxxx", RequestRecord::VERSION >> 16)]
    Version {
        /// The version found.
        found: u32,
    },
}

impl RequestFault {
    /// The number that C clients expect (`sanlock_rv.h`): -270 or -271; -270 also for too few bytes.
    pub fn code(&self) -> i32 {
        match self {
            Self::Short { .. } | Self::Magic { .. } => -270,
            Self::Version { .. } => -271,
        }
    }
}

impl RequestRecord {
    /// The record's length in bytes; the last four are padding.
    pub const LEN: usize = 24;

    /// The first number of a request record.
    pub const MAGIC: u32 = 0x0829_2011;

    /// The version that is written; readers accept every one with the same upper 16 bits.
    pub const VERSION: u32 = 0x0001_0001;

    /// The record of a resource that nobody has asked for.
    pub fn new() -> Self {
        Self {
            magic: Self::MAGIC,
            version: Self::VERSION,
            lver: Lver(0),
            force_mode: 0,
        }
    }

    /// Reads the request record at the start of a sector, without judging it.
    ///
    /// # Errors
    /// [`RequestFault::Short`] if the slice is shorter than [`RequestRecord::LEN`].
    pub fn decode(sector: &[u8]) -> Result<Self, RequestFault> {
        let bytes: &[u8; Self::LEN] = sector
            .first_chunk()
            .ok_or(RequestFault::Short { len: sector.len() })?;
        let mut take = Take(bytes);
        Ok(Self {
            magic: take.u32(),
            version: take.u32(),
            lver: Lver(take.u64()),
            force_mode: take.u32(),
        })
    }

    /// Puts the record at the start of a sector of at least [`RequestRecord::LEN`] bytes.
    pub fn encode(&self, sector: &mut [u8]) {
        let bytes: [u8; Self::LEN] = Put::new()
            .u32(self.magic)
            .u32(self.version)
            .u64(self.lver.0)
            .u32(self.force_mode)
            .u32(0)
            .finish();
        place(&bytes, sector, 0);
    }

    /// Whether magic number and version are those of a request record.
    ///
    /// # Errors
    /// The first field that is wrong.
    pub fn verify(&self) -> Result<(), RequestFault> {
        if self.magic != Self::MAGIC {
            return Err(RequestFault::Magic { found: self.magic });
        }
        if self.version >> 16 != Self::VERSION >> 16 {
            return Err(RequestFault::Version {
                found: self.version,
            });
        }
        Ok(())
    }
}

impl Default for RequestRecord {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn fields_stand_where_the_c_struct_has_them() {
        let mut sector = [0xff; 32];
        RequestRecord {
            lver: Lver(7),
            force_mode: 2,
            ..RequestRecord::new()
        }
        .encode(&mut sector);
        assert_eq!(sector[..8], [0x11, 0x20, 0x29, 0x08, 1, 0, 1, 0]);
        assert_eq!(
            sector[8..24],
            [7, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0]
        );
        assert_eq!(sector[24..], [0xff; 8]);
    }

    #[test]
    fn what_the_padding_holds_does_not_matter() {
        let mut sector = [0; 512];
        RequestRecord::new().encode(&mut sector);
        sector[20..24].fill(0x55);
        assert_eq!(RequestRecord::decode(&sector), Ok(RequestRecord::new()));
    }

    #[test]
    fn magic_comes_before_version() {
        let good = RequestRecord::default();
        assert_eq!(good.verify(), Ok(()));
        assert_eq!(
            RequestRecord {
                version: 0x0001_0009,
                ..good
            }
            .verify(),
            Ok(())
        );

        let version = RequestRecord {
            version: 0x0002_0001,
            ..good
        };
        let fault = version.verify().unwrap_err();
        assert_eq!(fault, RequestFault::Version { found: 0x0002_0001 });
        assert_eq!(fault.code(), -271);
        assert_eq!(
            fault.to_string(),
            "request record of version 0x00020001, expected 0x0001xxxx"
        );

        let fault = RequestRecord {
            magic: 0x0615_2010,
            ..version
        }
        .verify()
        .unwrap_err();
        assert_eq!(fault.code(), -270);
        assert_eq!(
            fault.to_string(),
            "no request record here: magic number 0x06152010 (a paxos lease: a resource), \
             expected 0x08292011"
        );
        assert_eq!(
            RequestRecord::decode(&[0; 23]),
            Err(RequestFault::Short { len: 23 })
        );
        assert_eq!(RequestFault::Short { len: 23 }.code(), -270);
    }

    proptest! {
        #[test]
        fn any_record_survives_encoding_and_decoding(
            magic: u32,
            version: u32,
            lver: u64,
            force_mode: u32,
        ) {
            let record = RequestRecord { magic, version, lver: Lver(lver), force_mode };
            let mut sector = [0; 512];
            record.encode(&mut sector);
            prop_assert_eq!(RequestRecord::decode(&sector), Ok(record));
        }
    }
}
