//! The host bitmap: whom a host wants to be noticed by.

use crate::fields::place;
use crate::{HostId, LeaderFault};
use std::fmt;

/// The bitmap at byte 256 of a host's delta lease: a bit for each host of the lockspace that shall look
/// at the host's event or at the request records of the resources it owns.
///
/// Host N is bit (N - 1) % 8 of byte (N - 1) / 8. It has no checksum.
#[derive(Clone, PartialEq, Eq)]
pub struct HostBitmap([u8; HostBitmap::LEN]);

impl HostBitmap {
    /// The bitmap's length in bytes.
    pub const LEN: usize = 256;

    /// Where in the delta lease's sector the bitmap stands, in bytes.
    pub const OFFSET: usize = 256;

    /// The bitmap without any host.
    pub const EMPTY: Self = Self([0; Self::LEN]);

    /// Reads the bitmap from a delta lease's sector, which is given from its first byte.
    ///
    /// # Errors
    /// [`LeaderFault::Short`] if the slice is shorter than 512 bytes.
    pub fn decode(sector: &[u8]) -> Result<Self, LeaderFault> {
        sector
            .get(Self::OFFSET..)
            .and_then(|rest| rest.first_chunk())
            .map(|bits| Self(*bits))
            .ok_or(LeaderFault::Short { len: sector.len() })
    }

    /// Puts the bitmap into a delta lease's sector, which is given from its first byte and has at least
    /// 512 bytes.
    pub fn encode(&self, sector: &mut [u8]) {
        place(&self.0, sector, Self::OFFSET);
    }

    /// Adds a host. A host id that the bitmap has no bit for (0, above 2048) is passed over.
    pub fn set(&mut self, host: HostId) {
        if let Some((byte, bit)) = self.bit_mut(host) {
            *byte |= bit;
        }
    }

    /// Takes a host out.
    pub fn clear(&mut self, host: HostId) {
        if let Some((byte, bit)) = self.bit_mut(host) {
            *byte &= !bit;
        }
    }

    /// Whether the host is in.
    pub fn contains(&self, host: HostId) -> bool {
        Self::bit(host).is_some_and(|(at, bit)| self.0.get(at).is_some_and(|byte| byte & bit != 0))
    }

    /// Whether no host is in.
    pub fn is_empty(&self) -> bool {
        *self == Self::EMPTY
    }

    /// The hosts that are in, in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = HostId> + '_ {
        (1..=Self::LEN as u64 * 8)
            .map(HostId)
            .filter(|host| self.contains(*host))
    }

    fn bit(host: HostId) -> Option<(usize, u8)> {
        let slot = usize::try_from(host.slot()?).ok()?;
        Some((slot / 8, 1 << (slot % 8)))
    }

    fn bit_mut(&mut self, host: HostId) -> Option<(&mut u8, u8)> {
        let (at, bit) = Self::bit(host)?;
        Some((self.0.get_mut(at)?, bit))
    }
}

impl Default for HostBitmap {
    fn default() -> Self {
        Self::EMPTY
    }
}

impl FromIterator<HostId> for HostBitmap {
    fn from_iter<T: IntoIterator<Item = HostId>>(hosts: T) -> Self {
        let mut bitmap = Self::EMPTY;
        hosts.into_iter().for_each(|host| bitmap.set(host));
        bitmap
    }
}

impl fmt::Debug for HostBitmap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    #[test]
    fn host_n_is_bit_n_minus_1() {
        let bitmap: HostBitmap = [1, 8, 9, 2000, 2048].into_iter().map(HostId).collect();
        let mut sector = [0xff; 520];
        bitmap.encode(&mut sector);
        assert_eq!(sector[256..258], [0x81, 0x01]);
        assert_eq!(sector[256 + 249], 0x80);
        assert_eq!(sector[511], 0x80);
        assert_eq!(
            sector[256..512]
                .iter()
                .map(|byte| byte.count_ones())
                .sum::<u32>(),
            5
        );
        assert_eq!((sector[255], sector[512]), (0xff, 0xff));
        assert_eq!(HostBitmap::decode(&sector), Ok(bitmap.clone()));
        assert_eq!(
            format!("{bitmap:?}"),
            "{HostId(1), HostId(8), HostId(9), HostId(2000), HostId(2048)}"
        );
    }

    #[test]
    fn hosts_without_a_bit_are_passed_over() {
        let mut bitmap = HostBitmap::default();
        for host in [0, 2049, u64::MAX].map(HostId) {
            bitmap.set(host);
            bitmap.clear(host);
            assert!(!bitmap.contains(host));
        }
        assert!(bitmap.is_empty());
    }

    #[test]
    fn a_sector_that_is_cut_short_is_an_error() {
        assert_eq!(
            HostBitmap::decode(&[0; 511]),
            Err(LeaderFault::Short { len: 511 })
        );
        assert!(HostBitmap::decode(&[0; 512]).is_ok());
    }

    proptest! {
        #[test]
        fn behaves_like_a_set(
            changes in prop::collection::vec((any::<bool>(), 1_u64..=2048), 0..100),
        ) {
            let mut bitmap = HostBitmap::EMPTY;
            let mut set = BTreeSet::new();
            for (add, host) in changes {
                let host = HostId(host);
                if add {
                    bitmap.set(host);
                    set.insert(host);
                } else {
                    bitmap.clear(host);
                    set.remove(&host);
                }
            }
            prop_assert!(bitmap.iter().eq(set.iter().copied()));
            prop_assert_eq!(bitmap.is_empty(), set.is_empty());
            let mut sector = [0; 512];
            bitmap.encode(&mut sector);
            prop_assert_eq!(HostBitmap::decode(&sector), Ok(bitmap));
        }
    }
}
