//! Sequential little-endian fields of a record.

/// Reads fields one after the other; the caller has checked the length of the record.
///
/// Past the end everything reads as zero.
pub(crate) struct Take<'a>(pub(crate) &'a [u8]);

impl Take<'_> {
    pub(crate) fn bytes<const N: usize>(&mut self) -> [u8; N] {
        match self.0.split_first_chunk::<N>() {
            Some((head, rest)) => {
                self.0 = rest;
                *head
            }
            None => [0; N],
        }
    }

    pub(crate) fn u16(&mut self) -> u16 {
        u16::from_le_bytes(self.bytes())
    }

    pub(crate) fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.bytes())
    }

    pub(crate) fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.bytes())
    }
}

/// Builds a record of `N` bytes from fields one after the other.
pub(crate) struct Put<const N: usize> {
    record: [u8; N],
    filled: usize,
}

impl<const N: usize> Put<N> {
    pub(crate) fn new() -> Self {
        Self {
            record: [0; N],
            filled: 0,
        }
    }

    pub(crate) fn bytes(mut self, field: &[u8]) -> Self {
        let end = self.filled.saturating_add(field.len());
        if let Some(place) = self.record.get_mut(self.filled..end) {
            place.copy_from_slice(field);
        }
        self.filled = end;
        self
    }

    pub(crate) fn u16(self, field: u16) -> Self {
        self.bytes(&field.to_le_bytes())
    }

    pub(crate) fn u32(self, field: u32) -> Self {
        self.bytes(&field.to_le_bytes())
    }

    pub(crate) fn u64(self, field: u64) -> Self {
        self.bytes(&field.to_le_bytes())
    }

    /// The record; every byte must have been given.
    pub(crate) fn finish(self) -> [u8; N] {
        debug_assert_eq!(self.filled, N, "the fields do not add up to the record");
        self.record
    }
}

/// Puts a record at `offset` of a sector, or nowhere if the sector ends before.
pub(crate) fn place(record: &[u8], sector: &mut [u8], offset: usize) {
    let end = offset.saturating_add(record.len());
    if let Some(room) = sector.get_mut(offset..end) {
        room.copy_from_slice(record);
    }
}
