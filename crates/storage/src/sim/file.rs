//! What is on the simulated disk, and how a request on it falls into parts.

use std::ops::Range;

use super::random::Random;

/// A torn request falls into at most this many parts.
const MOST_PARTS: u64 = 8;

/// A regular file or block device.
pub(super) struct File {
    pub(super) bytes: Vec<u8>,
    pub(super) sector_size: u32,
    /// A file becomes longer when written beyond its end; a device answers `ENOSPC`.
    pub(super) grows: bool,
}

impl File {
    /// The bytes that a part of a request at `offset` covers, if the file has all of them.
    pub(super) fn at(&self, offset: u64, range: &Range<usize>) -> Option<&[u8]> {
        let start = usize::try_from(offset).ok()?;
        self.bytes
            .get(start.checked_add(range.start)?..start.checked_add(range.end)?)
    }

    /// Whether there was room for it.
    pub(super) fn put(&mut self, offset: u64, range: &Range<usize>, data: &[u8]) -> bool {
        let Ok(start) = usize::try_from(offset) else {
            return false;
        };
        let (Some(from), Some(to)) = (start.checked_add(range.start), start.checked_add(range.end))
        else {
            return false;
        };
        if self.grows && to > self.bytes.len() {
            self.bytes.resize(to, 0);
        }
        match self.bytes.get_mut(from..to) {
            Some(bytes) => bytes.copy_from_slice(data),
            None => return false,
        }
        true
    }
}

/// Cuts a range of whole sectors into parts, each of whole sectors.
pub(super) fn split(random: &mut Random, range: Range<usize>, sector: u32) -> Vec<Range<usize>> {
    let sector = usize::try_from(sector).unwrap_or(512).max(1);
    let sectors = range.len() / sector;
    let mut cuts: Vec<usize> = (0..random.below(MOST_PARTS).max(1))
        .filter_map(|_| usize::try_from(random.below(length(sectors))).ok())
        .map(|cut| range.start + cut * sector)
        .filter(|cut| *cut > range.start)
        .collect();
    cuts.push(range.end);
    cuts.sort_unstable();
    cuts.dedup();
    let mut start = range.start;
    cuts.into_iter()
        .map(|end| std::mem::replace(&mut start, end)..end)
        .collect()
}

pub(super) fn length(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}
