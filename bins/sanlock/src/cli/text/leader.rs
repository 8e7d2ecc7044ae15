//! `direct read_leader` and `write_leader`.

use ondisk::{Leader, LeaseKind};

use super::Line;

/// Every field of a leader; the last three have other names in a delta lease.
#[must_use]
pub fn leader(leader: &Leader, kind: LeaseKind) -> Vec<Line> {
    let [id, generation, timestamp] = match kind {
        LeaseKind::Delta => ["extra1", "extra2", "extra3"],
        LeaseKind::Paxos => ["write_id", "write_generation", "write_timestamp"],
    };
    let number = |name, value: u64| Line::new(format_args!("{name} {value}"));
    let hex = |name, value: u32| Line::new(format_args!("{name} {value:#x}"));
    vec![
        hex("magic", leader.magic),
        hex("version", leader.version),
        hex("flags", leader.flags),
        number("sector_size", leader.sector_size.into()),
        number("num_hosts", leader.num_hosts),
        number("max_hosts", leader.max_hosts),
        number("owner_id", leader.owner_id.0),
        number("owner_generation", leader.owner_generation.0),
        number("lver", leader.lver.0),
        Line::new("space_name ").raw(leader.space_name.as_bytes()),
        Line::new("resource_name ").raw(leader.resource_name.as_bytes()),
        number("timestamp", leader.timestamp.0),
        hex("checksum", leader.checksum),
        number("io_timeout", leader.io_timeout.into()),
        number(id, leader.write_id.0),
        number(generation, leader.write_generation.0),
        number(timestamp, leader.write_timestamp.0),
    ]
}

#[cfg(test)]
mod tests {
    use ondisk::{AlignSize, Geometry, IoTimeout, SectorSize};

    use super::*;
    use crate::cli::text::joined;

    #[test]
    fn seventeen_lines() {
        let geometry = Geometry::new(SectorSize::B512, AlignSize::M1).unwrap();
        let delta = Leader::new_delta(geometry, &"ls".parse().unwrap(), IoTimeout(10));
        assert_eq!(
            joined(&leader(&delta, LeaseKind::Delta)),
            "magic 0x12212010\nversion 0x30004\nflags 0x10\nsector_size 512\nnum_hosts 0\n\
             max_hosts 1\nowner_id 0\nowner_generation 0\nlver 0\nspace_name ls\n\
             resource_name \ntimestamp 0\nchecksum 0x0\nio_timeout 10\n\
             extra1 0\nextra2 0\nextra3 0\n"
        );
        let lines = joined(&leader(&delta, LeaseKind::Paxos));
        assert!(lines.ends_with("write_id 0\nwrite_generation 0\nwrite_timestamp 0\n"));
    }
}
