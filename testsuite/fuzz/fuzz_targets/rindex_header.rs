//! A resource index's header: any sector is judged, and the offsets that follow from it agree.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ondisk::{Rindex, RindexHeader};

/// As large as the largest index.
static AREA: [u8; 8 << 20] = [0; 8 << 20];

fuzz_target!(|sector: &[u8]| {
    let Ok(header) = RindexHeader::decode(sector) else {
        assert!(sector.len() < RindexHeader::LEN);
        return;
    };
    let mut again = sector.to_vec();
    header.encode(&mut again);
    assert_eq!(again, sector);
    if let Err(fault) = header.verify(&header.lockspace_name, header.rx_offset) {
        assert!([-274, -275].contains(&fault.code()) && !fault.to_string().is_empty());
    }

    let index = match Rindex::new(&AREA, &header) {
        Ok(index) => index,
        Err(fault) => return assert_eq!(fault.code(), -22),
    };
    for number in [
        0,
        1,
        header.max_resources.wrapping_sub(1),
        header.max_resources,
        127_999,
    ] {
        assert_eq!(index.get(number).map(|(slot, _)| slot), index.slot(number));
        if let Some(slot) = index.slot(number) {
            assert_eq!(index.slot_of_resource(slot.res_offset), Some(slot));
        }
    }
});
