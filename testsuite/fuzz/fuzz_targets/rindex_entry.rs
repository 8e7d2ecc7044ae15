//! A resource index's entry, alone and in the index.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ondisk::{Geometry, Name, Rindex, RindexEntry, RindexHeader};

fuzz_target!(|bytes: &[u8]| {
    let Ok(entry) = RindexEntry::decode(bytes) else {
        assert!(bytes.len() < RindexEntry::LEN);
        return;
    };
    let mut again = bytes.to_vec();
    entry.encode(&mut again);
    assert_eq!(again, bytes);

    // The whole input as the entries of an index.
    let geometry = Geometry::ALL[0];
    let entries = (bytes.len() / RindexEntry::LEN).min(8);
    let mut area = vec![0; geometry.align.bytes()];
    area[512..][..entries * RindexEntry::LEN].copy_from_slice(&bytes[..entries * RindexEntry::LEN]);
    let header = RindexHeader::new(geometry, &Name::EMPTY, entries as u32, 0);
    let index = Rindex::new(&area, &header).unwrap();
    assert_eq!(index.entries().count(), entries);
    for (slot, entry) in index.entries() {
        assert_eq!(index.get(slot.index), Some((slot, entry)));
        match index.find(&entry.name) {
            Some(found) => assert!(found.index <= slot.index),
            None => assert!(entry.name.is_empty()),
        }
    }
    if let Some(free) = index.first_free() {
        assert!(index.get(free.index).unwrap().1.is_free());
    }
});
