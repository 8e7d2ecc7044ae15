//! The file of `direct write_leader -F`: lines of a field and its value, as `read_leader` prints them.

use ondisk::{Generation, HostId, Leader, LeaseKind, Lver, Name, Timestamp};

use crate::cli::text::Line;

/// Most bytes of a line that the original takes at once; the rest counts as another line.
const LONGEST: usize = 127;

/// What a file says beyond the leader's fields.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Edit {
    /// The checksum to write if it is to be wrong.
    pub(super) checksum: u32,
    /// What was not understood, as the original reports it.
    pub(super) ignored: Vec<Line>,
}

/// A leader of zeros.
pub(super) fn empty() -> Leader {
    Leader {
        magic: 0,
        version: 0,
        flags: 0,
        sector_size: 0,
        num_hosts: 0,
        max_hosts: 0,
        owner_id: HostId(0),
        owner_generation: Generation(0),
        lver: Lver(0),
        space_name: Name::EMPTY,
        resource_name: Name::EMPTY,
        timestamp: Timestamp::FREE,
        unused1: 0,
        checksum: 0,
        unused2: 0,
        io_timeout: 0,
        write_id: HostId(0),
        write_generation: Generation(0),
        write_timestamp: Timestamp(0),
    }
}

/// Gives the leader the checksum that its bytes have, and returns it.
pub(super) fn seal(leader: &mut Leader) -> u32 {
    leader.encode(&mut [0; Leader::LEN]);
    leader.checksum
}

/// Takes fields from the file; one whose value is no number of its kind stays as it is.
pub(super) fn apply(file: &[u8], kind: LeaseKind, leader: &mut Leader) -> Edit {
    let mut edit = Edit::default();
    for line in file
        .split_inclusive(|byte| *byte == b'\n')
        .flat_map(|line| line.chunks(LONGEST))
    {
        let mut words = line
            .split(|byte| byte.is_ascii_whitespace())
            .filter(|w| !w.is_empty());
        let (Some(field), Some(value)) = (words.next(), words.next()) else {
            edit.ignored
                .push(Line::new("ignore line: \"").raw(line).show("\""));
            continue;
        };
        if field == b"checksum" {
            edit.checksum = hexadecimal(value).unwrap_or(edit.checksum);
        } else if !set(leader, field, value, kind) {
            edit.ignored
                .push(Line::new("ignore field: \"").raw(field).show("\""));
        }
    }
    edit
}

/// Sets a field; false if there is none of this name.
fn set(leader: &mut Leader, field: &[u8], value: &[u8], kind: LeaseKind) -> bool {
    let is_delta = kind == LeaseKind::Delta;
    let hex = |old: u32| hexadecimal(value).unwrap_or(old);
    let number = |old: u64| decimal(value).unwrap_or(old);
    match field {
        b"magic" => leader.magic = hex(leader.magic),
        b"version" => leader.version = hex(leader.version),
        b"flags" => leader.flags = hex(leader.flags),
        b"sector_size" => leader.sector_size = lower(number(leader.sector_size.into())),
        b"num_hosts" => leader.num_hosts = number(leader.num_hosts),
        b"max_hosts" => leader.max_hosts = number(leader.max_hosts),
        b"owner_id" => leader.owner_id.0 = number(leader.owner_id.0),
        b"owner_generation" => leader.owner_generation.0 = number(leader.owner_generation.0),
        b"lver" => leader.lver.0 = number(leader.lver.0),
        b"space_name" => leader.space_name = name(value),
        b"resource_name" => leader.resource_name = name(value),
        b"timestamp" => leader.timestamp.0 = number(leader.timestamp.0),
        b"io_timeout" => {
            let [low, high, ..] = number(leader.io_timeout.into()).to_le_bytes();
            leader.io_timeout = u16::from_le_bytes([low, high]);
        }
        b"extra1" if is_delta => leader.write_id.0 = number(leader.write_id.0),
        b"extra2" if is_delta => leader.write_generation.0 = number(leader.write_generation.0),
        b"extra3" if is_delta => leader.write_timestamp.0 = number(leader.write_timestamp.0),
        b"write_id" if !is_delta => leader.write_id.0 = number(leader.write_id.0),
        b"write_generation" if !is_delta => {
            leader.write_generation.0 = number(leader.write_generation.0);
        }
        b"write_timestamp" if !is_delta => {
            leader.write_timestamp.0 = number(leader.write_timestamp.0);
        }
        _ => return false,
    }
    true
}

fn name(value: &[u8]) -> Name {
    let cut = value.get(..Name::LEN).unwrap_or(value);
    Name::from_bytes(cut).unwrap_or_default()
}

/// A number behind `0x`.
fn hexadecimal(value: &[u8]) -> Option<u32> {
    digits(value.strip_prefix(b"0x")?, 16).map(lower)
}

fn decimal(value: &[u8]) -> Option<u64> {
    digits(value, 10)
}

/// The number at the front; too large a one is the largest.
fn digits(value: &[u8], base: u32) -> Option<u64> {
    let mut digits = value
        .iter()
        .map_while(|b| char::from(*b).to_digit(base))
        .peekable();
    digits.peek()?;
    Some(digits.fold(0, |n: u64, digit| {
        n.checked_mul(base.into())
            .and_then(|n| n.checked_add(digit.into()))
            .unwrap_or(u64::MAX)
    }))
}

fn lower(number: u64) -> u32 {
    let [a, b, c, d, ..] = number.to_le_bytes();
    u32::from_le_bytes([a, b, c, d])
}

#[cfg(test)]
mod tests {
    use ondisk::{AlignSize, Geometry, SectorSize};

    use super::*;
    use crate::cli::text::{joined, leader::leader as print};

    #[test]
    fn what_read_leader_prints_is_understood() {
        let geometry = Geometry::new(SectorSize::B4096, AlignSize::M2).unwrap();
        let (space, resource) = ("ls".parse().unwrap(), "r".parse().unwrap());
        let mut expected = Leader::new_paxos(geometry, &space, &resource, 7);
        expected.lver = Lver(9);
        expected.write_id = HostId(3);
        expected.io_timeout = 5;
        seal(&mut expected);
        for kind in [LeaseKind::Paxos, LeaseKind::Delta] {
            let mut found = empty();
            let edit = apply(joined(&print(&expected, kind)).as_bytes(), kind, &mut found);
            assert_eq!(
                edit,
                Edit {
                    checksum: expected.checksum,
                    ignored: Vec::new()
                }
            );
            seal(&mut found);
            assert_eq!(found, expected);
        }
    }

    #[test]
    fn what_is_not_understood_is_reported_and_changes_nothing() {
        let mut leader = empty();
        let file = b"magic 12\nlver x\n\nbogus 1\nextra1 4\nresource_name\nmax_hosts 12x\n";
        let edit = apply(file, LeaseKind::Paxos, &mut leader);
        assert_eq!(
            leader,
            Leader {
                max_hosts: 12,
                ..empty()
            }
        );
        assert_eq!(
            joined(&edit.ignored),
            "ignore line: \"\n\"\nignore field: \"bogus\"\nignore field: \"extra1\"\n\
             ignore line: \"resource_name\n\"\n"
        );
    }
}
