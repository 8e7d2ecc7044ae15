//! The values of `-s`, `-r`, `-x` and `-e`: where leases are.
//!
//! On top of the library's string forms the command line takes offsets in mebibytes: `1M`.

use sanlock_proto::name::{DiskPath, Name};
use sanlock_proto::{Disk, Lockspace, MAX_RESOURCES, Resource, Rindex, RindexEntry, text};

use super::command_line::Remarks;
use super::number::atoll;

const MEBIBYTE: i64 = 1 << 20;

/// `-s LOCKSPACE:HOST_ID:PATH:OFFSET`; what is missing stays empty or zero.
pub(super) fn lockspace(value: &[u8]) -> Lockspace {
    text::parse_lockspace(&offsets_in_bytes(value))
}

/// `-r LOCKSPACE:RESOURCE:PATH:OFFSET[:LVER|:SH]`, added to `resources`; one that cannot be read is
/// reported and left out, as the original does.
pub(super) fn resource(value: &[u8], resources: &mut Vec<Resource>, remarks: &mut Remarks) {
    if resources.len() >= MAX_RESOURCES {
        remarks.line(format!("resource args over max {MAX_RESOURCES}"));
        return;
    }
    match text::parse_resource(&offsets_in_bytes(value)) {
        Ok(resource) => resources.push(resource),
        Err(error) => {
            remarks.line(format!("resource arg parse error {}\n", error.code()));
            let value = String::from_utf8_lossy(value);
            remarks.hint(format!("-r \"{value}\" was left out: {error}"));
        }
    }
}

/// `-x LOCKSPACE:PATH:OFFSET`; what is missing stays empty or zero.
pub(super) fn rindex(value: &[u8]) -> Rindex {
    let mut fields = fields(value).into_iter();
    let lockspace = Name::truncated(fields.next().unwrap_or_default());
    let path = fields.next().map(path_of).unwrap_or_default();
    let offset = fields.next().map_or(0, bytes_of);
    Rindex {
        lockspace,
        disk: Disk { path, offset },
        ..Rindex::default()
    }
}

/// `-e NAME[:OFFSET]` or `-e :OFFSET`; backslashes mean nothing here.
pub(super) fn rindex_entry(value: &[u8], entry: &mut RindexEntry) {
    let mut parts = value.splitn(2, |byte| *byte == b':');
    let name = parts.next().unwrap_or_default();
    if !name.is_empty() || !value.starts_with(b":") {
        entry.name = Name::truncated(name);
    }
    if let Some(offset) = parts.next() {
        entry.offset = bytes_of(offset);
    }
}

/// An offset or size in bytes: a number, times 2^20 if an `M` is anywhere behind it.
#[expect(
    clippy::cast_sign_loss,
    reason = "the original assigns a signed number to an unsigned one"
)]
pub(super) fn bytes_of(text: &[u8]) -> u64 {
    let number = atoll(text);
    if text.contains(&b'M') {
        number.wrapping_mul(MEBIBYTE) as u64
    } else {
        number as u64
    }
}

/// A path with its backslashes taken out; one too long to open is kept too long.
fn path_of(text: &[u8]) -> DiskPath {
    let mut raw = [0; DiskPath::LEN];
    for (to, from) in raw.iter_mut().zip(text::import_path(text)) {
        *to = from;
    }
    DiskPath::from_raw(&raw)
}

/// The parts between colons that no backslash stands before; backslashes stay.
fn fields(text: &[u8]) -> Vec<&[u8]> {
    let mut escaped = false;
    text.split(|byte| {
        let separates = *byte == b':' && !escaped;
        escaped = *byte == b'\\' && !escaped;
        separates
    })
    .collect()
}

/// The same string with every offset in bytes.
fn offsets_in_bytes(text: &[u8]) -> Vec<u8> {
    let in_bytes = fields(text).into_iter().enumerate().map(|(at, field)| {
        let is_offset = at >= 3 && at % 2 == 1;
        if is_offset && field.contains(&b'M') {
            bytes_of(field).to_string().into_bytes()
        } else {
            field.to_vec()
        }
    });
    in_bytes.collect::<Vec<_>>().join(&b':')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_may_be_in_mebibytes() {
        let lockspace = lockspace(b"ls:1:/dev/x:3M");
        assert_eq!(lockspace.disk.offset, 3 << 20);
        let mut resources = Vec::new();
        let mut remarks = Remarks::default();
        resource(b"ls:r:/dev/M:2M:SH", &mut resources, &mut remarks);
        resource(b"ls:r:/a\\:1:1M:/b:4M:7", &mut resources, &mut remarks);
        let offsets = |r: &Resource| {
            r.disks
                .iter()
                .map(|disk| disk.offset >> 20)
                .collect::<Vec<_>>()
        };
        assert_eq!(
            resources.iter().map(offsets).collect::<Vec<_>>(),
            [vec![2], vec![1, 4]]
        );
        assert_eq!(resources[1].lver, 7);
        assert_eq!(resources[1].disks[0].path.as_bytes(), b"/a:1");
        assert_eq!(remarks, Remarks::default());
    }

    #[test]
    fn an_unreadable_resource_is_reported_and_left_out() {
        let mut resources = Vec::new();
        let mut remarks = Remarks::default();
        resource(b"x", &mut resources, &mut remarks);
        assert!(resources.is_empty());
        assert_eq!(remarks.lines, [b"resource arg parse error -6\n"]);
    }

    #[test]
    fn the_ninth_resource_is_refused() {
        let mut resources = vec![Resource::default(); 8];
        let mut remarks = Remarks::default();
        resource(b"a:b:c:0", &mut resources, &mut remarks);
        assert_eq!(
            (resources.len(), remarks.lines),
            (8, vec![b"resource args over max 8".to_vec()])
        );
    }

    #[test]
    fn an_index_may_lack_its_end() {
        assert_eq!(rindex(b"ls").lockspace, "ls".parse().unwrap());
        let whole = rindex(b"ls:/a\\:b:2M");
        assert_eq!(whole.disk.path.as_bytes(), b"/a:b");
        assert_eq!(whole.disk.offset, 2 << 20);
        assert_eq!(rindex(&[b'n'; 60]).lockspace.as_bytes().len(), 48);
    }

    #[test]
    fn an_entry_has_a_name_or_an_offset_or_both() {
        for (value, name, offset) in [
            ("res", "res", 0),
            ("res:4M", "res", 4 << 20),
            (":5", "", 5),
            ("a:b:5M", "a", 0),
            ("a\\:5", "a\\", 5),
        ] {
            let mut entry = RindexEntry::default();
            rindex_entry(value.as_bytes(), &mut entry);
            assert_eq!(
                (entry.name, entry.offset),
                (name.parse().unwrap(), offset),
                "{value}"
            );
        }
    }
}
