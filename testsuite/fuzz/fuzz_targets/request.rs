//! A request record: any sector is judged, and what is decoded is encoded to the same bytes, but for the
//! padding.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ondisk::RequestRecord;

fuzz_target!(|sector: &[u8]| {
    let Ok(record) = RequestRecord::decode(sector) else {
        assert!(sector.len() < RequestRecord::LEN);
        return;
    };
    let mut again = sector.to_vec();
    record.encode(&mut again);
    again[20..24].copy_from_slice(&sector[20..24]);
    assert_eq!(again, sector);
    match record.verify() {
        Ok(()) => assert_eq!(record.magic, RequestRecord::MAGIC),
        Err(fault) => {
            assert!([-270, -271].contains(&fault.code()) && !fault.to_string().is_empty());
        }
    }
});
