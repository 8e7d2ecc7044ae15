//! Lockspaces and resources as `gets` and `read` print them.

use sanlock_proto::flags::{LockspaceFlags, Sizes};
use sanlock_proto::text::{self, TextError};
use sanlock_proto::{Lockspace, Resource};

use super::Line;

/// A lockspace in `gets`: a blank and perhaps what is happening to it follow.
#[must_use]
pub fn listed_lockspace(lockspace: &Lockspace) -> Line {
    let mut line = lockspace_line(lockspace).show(" ");
    for (flag, word) in [(LockspaceFlags::ADD, "ADD "), (LockspaceFlags::REM, "REM ")] {
        if lockspace.flags.contains(flag) {
            line = line.show(word);
        }
    }
    line
}

/// `read -s`.
#[must_use]
pub fn read_lockspace(lockspace: &Lockspace, io_timeout: u32, debug: bool) -> Vec<Line> {
    let mut lines = vec![lockspace_line(lockspace)];
    if debug {
        lines.push(Line::new(format_args!("io_timeout {io_timeout}")));
        lines.extend(sizes(lockspace.flags.sizes()));
    }
    lines
}

/// `read -r`.
///
/// # Errors
/// [`TextError::TooLong`], which no resource of one to four disks is.
pub fn read_resource(resource: &Resource, debug: bool) -> Result<Vec<Line>, TextError> {
    let mut lines = vec![Line::new("r ").raw(&text::format_resource(resource)?)];
    if debug {
        lines.extend(sizes(resource.flags.sizes()));
    }
    Ok(lines)
}

/// What `lookup` found: an entry, or a dash and where there is room.
#[must_use]
pub fn found_entry(name: &[u8], offset: u64) -> Line {
    let name = if name.is_empty() {
        b"-".as_slice()
    } else {
        name
    };
    Line::new("name ")
        .raw(name)
        .show(format_args!(" offset {offset}"))
}

/// The path goes out as it is, without backslashes; `status` puts them in.
fn lockspace_line(lockspace: &Lockspace) -> Line {
    Line::new("s ")
        .raw(lockspace.name.as_bytes())
        .show(format_args!(":{}:", lockspace.host_id))
        .raw(lockspace.disk.path.as_bytes())
        .show(format_args!(":{}", lockspace.disk.offset))
}

fn sizes(sizes: Sizes) -> [Line; 2] {
    [
        Line::new(format_args!("sector_size {}", sizes.sector.unwrap_or(0))),
        Line::new(format_args!("align_size {}", sizes.align.unwrap_or(0))),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::text::joined;

    #[test]
    fn a_listed_lockspace_ends_in_a_blank() {
        let mut lockspace = text::parse_lockspace(b"ls:3:/a\\:b:1048576");
        assert_eq!(
            listed_lockspace(&lockspace).as_bytes(),
            b"s ls:3:/a:b:1048576 "
        );
        lockspace.flags = LockspaceFlags::ADD;
        assert_eq!(
            listed_lockspace(&lockspace).as_bytes(),
            b"s ls:3:/a:b:1048576 ADD "
        );
    }

    #[test]
    fn sizes_show_on_request() {
        let mut lockspace = text::parse_lockspace(b"ls:3:/d:0");
        lockspace.flags = LockspaceFlags::ALIGN1M | LockspaceFlags::SECTOR512;
        assert_eq!(
            joined(&read_lockspace(&lockspace, 10, true)),
            "s ls:3:/d:0\nio_timeout 10\nsector_size 512\nalign_size 1048576\n"
        );
        let resource = text::parse_resource(b"ls:r:/d:1048576:3").unwrap();
        assert_eq!(
            joined(&read_resource(&resource, true).unwrap()),
            "r ls:r:/d:1048576:3\nsector_size 0\nalign_size 0\n"
        );
        assert_eq!(
            joined(&read_resource(&resource, false).unwrap()),
            "r ls:r:/d:1048576:3\n"
        );
    }
}
