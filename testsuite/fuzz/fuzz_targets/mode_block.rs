//! A mode block: what is decoded is encoded to the same bytes, but for the padding.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ondisk::ModeBlock;

fuzz_target!(|sector: &[u8]| {
    let end = ModeBlock::OFFSET + ModeBlock::LEN;
    let Ok(record) = ModeBlock::decode(sector) else {
        assert!(sector.len() < end);
        return;
    };
    let mut again = sector.to_vec();
    record.encode(&mut again);
    again[ModeBlock::OFFSET + 4..][..4].copy_from_slice(&sector[ModeBlock::OFFSET + 4..][..4]);
    assert_eq!(again, sector);
    assert_eq!(record.is_shared(), sector[ModeBlock::OFFSET] & 1 != 0);
});
