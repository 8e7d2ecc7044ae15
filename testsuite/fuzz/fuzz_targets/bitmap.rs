//! A host bitmap behaves like a set of hosts.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ondisk::{HostBitmap, HostId};

fuzz_target!(|sector: &[u8]| {
    let Ok(bitmap) = HostBitmap::decode(sector) else {
        assert!(sector.len() < HostBitmap::OFFSET + HostBitmap::LEN);
        return;
    };
    let mut again = sector.to_vec();
    bitmap.encode(&mut again);
    assert_eq!(again, sector);
    assert_eq!(bitmap.iter().collect::<HostBitmap>(), bitmap);

    // The first bytes name a host to put in and take out.
    let host = HostId(u64::from(u16::from_le_bytes([sector[0], sector[1]])));
    let mut changed = bitmap.clone();
    changed.set(host);
    assert_eq!(changed.contains(host), (1..=2048).contains(&host.0));
    changed.clear(host);
    assert!(!changed.contains(host));
    let others = bitmap.iter().filter(|other| *other != host);
    assert!(changed.iter().eq(others));
});
