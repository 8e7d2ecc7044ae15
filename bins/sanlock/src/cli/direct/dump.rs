//! `direct dump` and `direct next_free`.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use ondisk::{Geometry, Leader, LeaseKind, RindexHeader};
use sanlock_proto::text::import_path;
use storage::{Disk, IoError};

use super::area::Area;
use super::fault::Fault;
use super::{NO_DEVICE, Run};
use crate::cli::failure;
use crate::cli::json::{self, document};
use crate::cli::lease_strings::bytes_of;
use crate::cli::number::{atoll, unsigned64};
use crate::cli::text::{Line, dump};

const MEBIBYTE: u64 = 1 << 20;

/// How many mebibytes are searched for a lease that tells the sizes.
const SEARCHED: u64 = 1024;

/// Where to dump.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Range {
    path: Vec<u8>,
    offset: u64,
    /// Bytes; 0 for as far as there are leases.
    size: u64,
}

impl Range {
    /// `PATH[:OFFSET[:SIZE]]`; a backslash takes a colon of the path its meaning.
    fn parse(text: &[u8]) -> Range {
        let mut escaped = false;
        let mut parts = text.splitn(3, |byte| {
            let separates = *byte == b':' && !escaped;
            escaped = *byte == b'\\' && !escaped;
            separates
        });
        Range {
            path: import_path(parts.next().unwrap_or_default()),
            offset: parts.next().map_or(0, bytes_of),
            size: parts.next().map_or(0, bytes_of),
        }
    }
}

impl Run<'_, '_> {
    pub(super) fn dump(&mut self) -> i32 {
        let range = Range::parse(self.options.path.as_bytes());
        if range.offset % MEBIBYTE != 0 {
            let warning = "WARNING: dump offset should be a multiple of 1048576 bytes.";
            if self.options.json {
                self.console.hint(warning)
            } else {
                self.console.say(warning)
            }
        }
        let path = Path::new(std::ffi::OsStr::from_bytes(&range.path));
        let disk = match self.open(path) {
            Ok(disk) => disk,
            Err(error) => {
                let not_found = Line::new("Device ").raw(&range.path).show(" not found.");
                return self.dump_failed(&not_found, &Fault::new(NO_DEVICE, error));
            }
        };
        let Some(geometry) = self.search_sizes(&disk, &range) else {
            let text = "Cannot find sector_size and align_size, set with -A and -Z.";
            let message = format!("no lease tells the sizes of {}", path.display());
            return self.dump_failed(&Line::new(text), &Fault::new(-1, message));
        };
        if self.options.json {
            self.dump_json(&disk, &range, geometry)
        } else {
            self.dump_text(&disk, &range, geometry)
        }
        0
    }

    fn dump_failed(&mut self, text: &Line, fault: &Fault) -> i32 {
        if self.options.json {
            self.console
                .json(&document(failure::json_failure(fault.code, &fault.message)));
        } else {
            self.console.line(text);
        }
        self.explain(fault);
        fault.code
    }

    fn dump_text(&mut self, disk: &Arc<dyn Disk>, range: &Range, geometry: Geometry) {
        let detail = dump::Detail::from_number(self.options.force_mode);
        self.console.line(&dump::heading(detail));
        self.each_area(disk, range, geometry, |run, area| {
            run.console.lines(&dump::area(area, detail));
        });
    }

    fn dump_json(&mut self, disk: &Arc<dyn Disk>, range: &Range, geometry: Geometry) {
        let mut areas = Vec::new();
        self.each_area(disk, range, geometry, |_, area| {
            areas.push(json::DumpedArea::of(area))
        });
        self.console
            .json(&document(json::Dump::of(&range.path, geometry, areas)));
    }

    /// Shows each area of the range, the first without lease ends a range without size.
    fn each_area(
        &mut self,
        disk: &Arc<dyn Disk>,
        range: &Range,
        geometry: Geometry,
        mut show: impl FnMut(&mut Self, &Area),
    ) {
        let len = geometry.align.bytes();
        // A size below one sector counts as none, as in the original.
        let sectors = range.size / u64::from(geometry.sector.as_u32());
        let end = range.offset.saturating_add(range.size);
        let mut offset = range.offset;
        while sectors == 0 || offset < end {
            let found = match self.read(disk, offset, len) {
                Ok(bytes) => Area::decode(&bytes, geometry, offset),
                // The end of the file or device: nothing can follow.
                Err(IoError::Short { .. }) => break,
                // The original passes over what it cannot read.
                Err(error) => {
                    self.console.hint(format_args!("sanlock: dump: {error}"));
                    None
                }
            };
            match found {
                Some(area) => show(self, &area),
                None if sectors == 0 => break,
                None => {}
            }
            let Some(next) = u64::try_from(len)
                .ok()
                .and_then(|len| offset.checked_add(len))
            else {
                break;
            };
            offset = next;
        }
    }

    /// The sizes given, or else those of the first lease found in the range.
    fn search_sizes(&self, disk: &Arc<dyn Disk>, range: &Range) -> Option<Geometry> {
        let end = match range.size {
            0 => u64::MAX,
            size => range.offset.saturating_add(size),
        };
        let places = (0..SEARCHED).map(|at| range.offset.saturating_add(at * MEBIBYTE));
        places
            .enumerate()
            .take_while(|(at, place)| *at == 0 || *place < end)
            .find_map(|(_, place)| self.sizes(disk, place).ok())
    }

    /// `next_free`: the first area without a lease, counted from the offset given.
    pub(super) fn next_free(&mut self) -> i32 {
        match self.first_free() {
            Ok(offset) => {
                self.console.say(offset);
                0
            }
            Err(fault) => {
                self.explain(&fault);
                fault.code
            }
        }
    }

    fn first_free(&self) -> Result<u64, Fault> {
        let text = self.options.path.as_bytes();
        let mut parts = text.splitn(2, |byte| *byte == b':');
        let path = Path::new(std::ffi::OsStr::from_bytes(
            parts.next().unwrap_or_default(),
        ));
        let start = parts.next().map_or(0, |text| unsigned64(atoll(text)));
        let disk = self
            .open(path)
            .map_err(|error| Fault::new(NO_DEVICE, error))?;
        let geometry = self.sizes(&disk, start)?;
        let areas = (0u64..).step_by(geometry.align.bytes());
        let is_free = |at: &u64| {
            let Some(offset) = start.checked_add(*at) else {
                return true;
            };
            // What cannot be read, the end of a file above all, counts as free, as in the original.
            let Ok(sector) = self.read(&disk, offset, geometry.sector.bytes()) else {
                return true;
            };
            let magic = Leader::decode(&sector).map_or(0, |leader| leader.record.magic);
            ![
                LeaseKind::Delta.magic(),
                LeaseKind::Paxos.magic(),
                RindexHeader::MAGIC,
            ]
            .contains(&magic)
        };
        areas
            .into_iter()
            .find(is_free)
            .ok_or_else(|| Fault::new(-28, "no area is free"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_has_a_path_and_perhaps_offset_and_size() {
        let range = |path: &str, offset, size| Range {
            path: path.into(),
            offset,
            size,
        };
        for (text, expected) in [
            ("/dev/x", range("/dev/x", 0, 0)),
            ("/dev/x:2M", range("/dev/x", 2 << 20, 0)),
            ("/dev/x:0:134217728", range("/dev/x", 0, 134_217_728)),
            ("/dev/x\\:32:0:1M", range("/dev/x:32", 0, 1 << 20)),
        ] {
            assert_eq!(Range::parse(text.as_bytes()), expected, "{text}");
        }
    }
}
