//! All dblocks of a lease, as a ballot reads them.

use crate::{Dblock, DblockFault, Decoded, HostId, ModeBlock, SectorSize};

/// The sectors with the hosts' dblocks in a lease that was read from its leader on.
#[derive(Clone, Copy, Debug)]
pub struct Dblocks<'a> {
    sectors: &'a [u8],
    sector: SectorSize,
}

/// One host's sector: its dblock and its mode block.
#[derive(Clone, Copy, Debug)]
pub struct DblockSector<'a> {
    dblock: &'a [u8; Dblock::LEN],
    mode_block: &'a [u8; ModeBlock::LEN],
}

impl<'a> Dblocks<'a> {
    /// The dblocks of hosts 1 to `num_hosts` in `lease`, which starts with the leader.
    ///
    /// # Errors
    /// [`DblockFault::ShortBallot`] if the slice ends before the sector of the last host: a ballot must
    /// not pass over a host.
    pub fn new(lease: &'a [u8], sector: SectorSize, num_hosts: u64) -> Result<Self, DblockFault> {
        let size = sector.bytes();
        let start = size * 2;
        let sectors = usize::try_from(num_hosts)
            .ok()
            .and_then(|hosts| hosts.checked_mul(size))
            .and_then(|len| start.checked_add(len))
            .and_then(|end| lease.get(start..end))
            .ok_or(DblockFault::ShortBallot {
                len: lease.len(),
                num_hosts,
            })?;
        Ok(Self { sectors, sector })
    }

    /// The hosts' sectors, from host 1 on.
    pub fn iter(&self) -> impl Iterator<Item = (HostId, DblockSector<'a>)> + use<'a> {
        let sectors = self.sectors.chunks_exact(self.sector.bytes());
        // Whole sectors are long enough: none is passed over.
        (1..).zip(sectors).filter_map(|(host, sector)| {
            DblockSector::new(sector)
                .ok()
                .map(|records| (HostId(host), records))
        })
    }

    /// The sector of one host, if it is among those of the lease.
    pub fn get(&self, host: HostId) -> Option<DblockSector<'a>> {
        let slot = usize::try_from(host.slot()?).ok()?;
        let start = slot.checked_mul(self.sector.bytes())?;
        let end = start.checked_add(self.sector.bytes())?;
        DblockSector::new(self.sectors.get(start..end)?).ok()
    }
}

impl<'a> DblockSector<'a> {
    /// The records of a host's sector, which is given from its first byte.
    ///
    /// # Errors
    /// [`DblockFault::Short`] if the slice is shorter than 144 bytes.
    pub fn new(sector: &'a [u8]) -> Result<Self, DblockFault> {
        let dblock = sector.first_chunk();
        let mode_block = sector
            .get(ModeBlock::OFFSET..)
            .and_then(|rest| rest.first_chunk());
        let (dblock, mode_block) = dblock.zip(mode_block).ok_or(DblockFault::Short {
            len: sector.len(),
            needed: ModeBlock::OFFSET + ModeBlock::LEN,
        })?;
        Ok(Self { dblock, mode_block })
    }

    /// Whether the host was never in a ballot: all bytes of the dblock are zero.
    ///
    /// Most sectors of most leases are so, which is why this is cheap: nothing is decoded or summed.
    pub fn is_untouched(&self) -> bool {
        *self.dblock == [0; Dblock::LEN]
    }

    /// The dblock, without judging it.
    pub fn decode(&self) -> Decoded<Dblock> {
        Dblock::from_bytes(self.dblock)
    }

    /// The dblock if the host was ever in a ballot, or `None`.
    ///
    /// # Errors
    /// [`DblockFault::Checksum`].
    pub fn verified(&self) -> Result<Option<Dblock>, DblockFault> {
        if self.is_untouched() {
            return Ok(None);
        }
        let decoded = self.decode();
        decoded.verify()?;
        Ok(Some(decoded.record))
    }

    /// The mode block.
    pub fn mode_block(&self) -> ModeBlock {
        ModeBlock::from_bytes(self.mode_block)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Generation, Lver};
    use proptest::prelude::*;

    const SECTOR: SectorSize = SectorSize::B512;

    /// A lease for five hosts, of which 2 was in a ballot, 4 holds it shared, and 5 has a damaged dblock.
    fn lease() -> Vec<u8> {
        let mut lease = vec![0; 7 * 512];
        lease[..1024].fill(0xee);
        Dblock {
            mbal: 2,
            lver: Lver(1),
            ..Dblock::default()
        }
        .encode(&mut lease[3 * 512..]);
        ModeBlock::shared(Generation(9)).encode(&mut lease[5 * 512..]);
        lease[6 * 512] = 1;
        lease
    }

    #[test]
    fn every_host_has_its_sector() {
        let lease = lease();
        let dblocks = Dblocks::new(&lease, SECTOR, 5).unwrap();
        let hosts: Vec<HostId> = dblocks.iter().map(|(host, _)| host).collect();
        assert_eq!(hosts, [1, 2, 3, 4, 5].map(HostId));

        let found: Vec<_> = dblocks
            .iter()
            .map(|(_, sector)| sector.verified())
            .collect();
        assert_eq!(found[0], Ok(None));
        assert_eq!(found[1].unwrap().map(|dblock| dblock.mbal), Some(2));
        assert_eq!((found[2], found[3]), (Ok(None), Ok(None)));
        assert!(matches!(
            found[4],
            Err(DblockFault::Checksum { found: 0, .. })
        ));

        let shared: Vec<u64> = dblocks
            .iter()
            .filter(|(_, sector)| sector.mode_block().is_shared())
            .map(|(host, _)| host.0)
            .collect();
        assert_eq!(shared, [4], "a host may share the lease without a dblock");
        assert_eq!(
            dblocks.get(HostId(4)).unwrap().mode_block(),
            ModeBlock::shared(Generation(9))
        );
        assert!(dblocks.get(HostId(0)).is_none());
        assert!(dblocks.get(HostId(6)).is_none());
        assert!(dblocks.get(HostId(u64::MAX)).is_none());
    }

    #[test]
    fn no_host_is_passed_over() {
        let lease = lease();
        for num_hosts in [6, 1 << 55, u64::MAX] {
            let fault = Dblocks::new(&lease, SECTOR, num_hosts).unwrap_err();
            assert_eq!(
                fault,
                DblockFault::ShortBallot {
                    len: 3584,
                    num_hosts
                }
            );
            assert_eq!(fault.code(), -210);
        }
        assert!(Dblocks::new(&lease[..3583], SECTOR, 5).is_err());
        assert_eq!(Dblocks::new(&lease, SECTOR, 0).unwrap().iter().count(), 0);
        assert!(Dblocks::new(&[], SECTOR, 0).is_err());
        assert!(Dblocks::new(&lease, SectorSize::B4096, 1).is_err());
    }

    #[test]
    fn every_byte_of_a_dblock_counts_as_touched() {
        for at in 0..Dblock::LEN {
            let mut sector = [0; 512];
            sector[at] = 1;
            let records = DblockSector::new(&sector).unwrap();
            assert!(!records.is_untouched(), "byte {at}");
            assert_eq!(records.decode(), Dblock::decode(&sector).unwrap());
        }
        let mut sector = [1; 512];
        sector[..Dblock::LEN].fill(0);
        assert!(DblockSector::new(&sector).unwrap().is_untouched());
        assert!(DblockSector::new(&sector[..143]).is_err());
    }

    proptest! {
        #[test]
        fn the_short_cut_judges_as_the_long_way_does(
            bytes in prop::collection::vec(prop_oneof![9 => Just(0_u8), 1 => any::<u8>()], 144),
        ) {
            let records = DblockSector::new(&bytes).unwrap();
            let decoded = Dblock::decode(&bytes).unwrap();
            prop_assert_eq!(records.is_untouched(), decoded.record.is_untouched());
            prop_assert_eq!(records.verified().err(), decoded.verify().err());
        }
    }
}
