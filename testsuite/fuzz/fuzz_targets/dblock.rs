//! A dblock, alone and among those of a ballot.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ondisk::{Dblock, DblockSector, Dblocks, HostId, SectorSize};

fuzz_target!(|sector: &[u8]| {
    let Ok(decoded) = Dblock::decode(sector) else {
        assert!(sector.len() < Dblock::LEN);
        return;
    };
    let mut record = decoded.record;
    let verdict = decoded.verify();
    let mut again = vec![0; sector.len()];
    record.encode(&mut again);
    if verdict.is_ok() && !record.is_untouched() && decoded.record.checksum != 0 {
        assert_eq!(again[..Dblock::LEN], sector[..Dblock::LEN]);
    }
    let mended = Dblock::decode(&again).unwrap();
    assert_eq!((mended.verify(), mended.record), (Ok(()), record));

    let Ok(records) = DblockSector::new(sector) else {
        return;
    };
    assert_eq!(records.is_untouched(), decoded.record.is_untouched());
    assert_eq!(records.verified().map(|_| ()), verdict);

    // The input as a lease, with as many hosts as its first bytes tell.
    let num_hosts = decoded.record.mbal;
    match Dblocks::new(sector, SectorSize::B512, num_hosts) {
        Ok(dblocks) => {
            assert!(dblocks.iter().map(|(host, _)| host.0).eq(1..=num_hosts));
            for (host, sector) in dblocks.iter() {
                assert_eq!(dblocks.get(host).unwrap().decode(), sector.decode());
            }
            assert!(dblocks.get(HostId(num_hosts + 1)).is_none());
        }
        Err(fault) => assert_eq!(fault.code(), -210),
    }
});
