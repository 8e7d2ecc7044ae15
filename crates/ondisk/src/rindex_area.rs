//! A whole resource index: which entry stands for which resource.

use crate::{Geometry, Name, RindexEntry, RindexFault, RindexHeader};

/// A resource index that was read as a whole.
#[derive(Clone, Copy, Debug)]
pub struct Rindex<'a> {
    area: &'a [u8],
    geometry: Geometry,
    slots: u32,
    rx_offset: u64,
}

/// One entry's place in an index, and the place of the resource that it stands for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RindexSlot {
    /// The entry's number, from 0.
    pub index: u32,
    /// Where the entry stands, in bytes from the start of the index.
    pub entry_offset: usize,
    /// Where on the disk the resource stands that the entry is for, in bytes.
    pub res_offset: u64,
}

impl<'a> Rindex<'a> {
    /// The index in `area`, whose header has been verified.
    ///
    /// Entries beyond those that the geometry has room for do not exist, whatever the header says.
    ///
    /// # Errors
    /// [`RindexFault::Geometry`] if the header has none, [`RindexFault::Short`] if `area` is shorter than
    /// the geometry's.
    pub fn new(area: &'a [u8], header: &RindexHeader) -> Result<Self, RindexFault> {
        let geometry = header.geometry()?;
        let needed = geometry.align.bytes();
        let area = area.get(..needed).ok_or(RindexFault::Short {
            len: area.len(),
            needed,
        })?;
        let room = geometry.max_resources();
        let slots = if header.max_resources == 0 {
            room
        } else {
            header.max_resources.min(room)
        };
        Ok(Self {
            area,
            geometry,
            slots,
            rx_offset: header.rx_offset,
        })
    }

    /// The entries with their places, free ones too.
    pub fn entries(&self) -> impl Iterator<Item = (RindexSlot, RindexEntry)> + '_ {
        let header_len = self.geometry.sector.bytes();
        let entries = self
            .area
            .get(header_len..)
            .unwrap_or_default()
            .chunks_exact(RindexEntry::LEN);
        (0..self.slots).zip(entries).filter_map(|(index, bytes)| {
            Some((self.slot(index)?, RindexEntry::decode(bytes).ok()?))
        })
    }

    /// The first free entry's place.
    pub fn first_free(&self) -> Option<RindexSlot> {
        self.entries()
            .find(|(_, entry)| entry.is_free())
            .map(|(slot, _)| slot)
    }

    /// The place of the first entry with this name; the empty name is nobody's.
    ///
    /// Where the resource is follows from the entry's place, not from what the entry says.
    pub fn find(&self, resource: &Name) -> Option<RindexSlot> {
        self.entries()
            .find(|(_, entry)| !entry.name.is_empty() && entry.name == *resource)
            .map(|(slot, _)| slot)
    }

    /// The entry with this number and its place.
    pub fn get(&self, index: u32) -> Option<(RindexSlot, RindexEntry)> {
        let slot = self.slot(index)?;
        let bytes = self.area.get(slot.entry_offset..)?;
        Some((slot, RindexEntry::decode(bytes).ok()?))
    }

    /// The place of the entry for the resource at byte `res_offset` of the disk.
    ///
    /// `None` if no resource of the index can be there.
    pub fn slot_of_resource(&self, res_offset: u64) -> Option<RindexSlot> {
        let align = self.geometry.align.bytes() as u64;
        let behind = res_offset.checked_sub(self.first_resource()?)?;
        if behind % align != 0 {
            return None;
        }
        self.slot(u32::try_from(behind / align).ok()?)
    }

    /// The place of the entry with this number, if the index has so many.
    pub fn slot(&self, index: u32) -> Option<RindexSlot> {
        if index >= self.slots {
            return None;
        }
        let number = usize::try_from(index).ok()?;
        let entry_offset = number
            .checked_mul(RindexEntry::LEN)?
            .checked_add(self.geometry.sector.bytes())?;
        let areas = u64::from(index).checked_mul(self.geometry.align.bytes() as u64)?;
        let res_offset = self.first_resource()?.checked_add(areas)?;
        Some(RindexSlot {
            index,
            entry_offset,
            res_offset,
        })
    }

    /// Where the first resource stands: behind the index and its lease.
    fn first_resource(&self) -> Option<u64> {
        self.rx_offset
            .checked_add(2 * self.geometry.align.bytes() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::init_rindex_area;
    use proptest::prelude::*;

    const MIB: u64 = 1 << 20;

    fn name(name: &str) -> Name {
        name.parse().unwrap()
    }

    /// An index at byte 1M for 512/1M, with entry 0 free and `one` and `two` behind it.
    fn area(max_resources: u32) -> Vec<u8> {
        let mut area = vec![0; 1 << 20];
        init_rindex_area(Geometry::ALL[0], &name("ls"), max_resources, MIB, &mut area).unwrap();
        let entry = |res_offset, text| RindexEntry {
            res_offset,
            name: name(text),
            ..Default::default()
        };
        entry(4 * MIB, "one").encode(&mut area[512 + 64..]);
        // An entry may say something else than its place does.
        entry(99 * MIB, "two").encode(&mut area[512 + 128..]);
        area
    }

    fn index(area: &[u8]) -> Rindex<'_> {
        Rindex::new(area, &RindexHeader::decode(area).unwrap()).unwrap()
    }

    #[test]
    fn a_resource_is_where_its_entrys_place_says() {
        let area = area(0);
        let index = index(&area);
        let slot = |index, entry_offset, res_offset| {
            Some(RindexSlot {
                index,
                entry_offset,
                res_offset,
            })
        };
        assert_eq!(index.first_free(), slot(0, 512, 3 * MIB));
        assert_eq!(index.find(&name("one")), slot(1, 576, 4 * MIB));
        assert_eq!(index.find(&name("two")), slot(2, 640, 5 * MIB));
        assert_eq!(index.find(&name("three")), None);
        assert_eq!(index.find(&Name::EMPTY), None);
        assert_eq!(index.slot_of_resource(4 * MIB), slot(1, 576, 4 * MIB));
        let (found, entry) = index.get(2).unwrap();
        assert_eq!(
            (Some(found), entry.res_offset),
            (slot(2, 640, 5 * MIB), 99 * MIB)
        );
        assert_eq!(index.entries().count(), 4096);
    }

    #[test]
    fn offsets_without_a_resource_have_no_slot() {
        let area = area(2);
        let index = index(&area);
        for offset in [0, MIB, 2 * MIB, 3 * MIB + 1, 5 * MIB, u64::MAX] {
            assert_eq!(index.slot_of_resource(offset), None, "{offset}");
        }
        assert!(index.slot_of_resource(3 * MIB).is_some());
        assert_eq!(
            index.find(&name("two")),
            None,
            "the index has two entries only"
        );
        assert!(index.get(2).is_none());
    }

    #[test]
    fn the_header_cannot_make_the_index_larger_than_its_area() {
        let area = area(0);
        let header = RindexHeader::decode(&area).unwrap();
        for max_resources in [0, u32::MAX] {
            let header = RindexHeader {
                max_resources,
                ..header
            };
            assert_eq!(
                Rindex::new(&area, &header).unwrap().entries().count(),
                16_000
            );
        }
        assert_eq!(
            Rindex::new(&area[1..], &header).unwrap_err(),
            RindexFault::Short {
                len: (1 << 20) - 1,
                needed: 1 << 20
            }
        );
        assert!(Rindex::new(&area, &RindexHeader { flags: 0, ..header }).is_err());
    }

    proptest! {
        #[test]
        fn any_offset_is_searched_without_panic(rx_offset: u64, res_offset: u64, number: u32) {
            let area = area(0);
            let header = RindexHeader { rx_offset, ..RindexHeader::decode(&area).unwrap() };
            let index = Rindex::new(&area, &header).unwrap();
            if let Some(slot) = index.slot_of_resource(res_offset) {
                prop_assert_eq!(slot.res_offset, res_offset);
                prop_assert_eq!(index.slot(slot.index), Some(slot));
            }
            prop_assert_eq!(index.get(number).is_some(), index.slot(number).is_some());
        }
    }
}
