//! `direct dump`.

use ondisk::{Leader, Name};

use super::Line;
use crate::cli::direct::area::{Area, DeltaLease, Index, ResourceLease};
use crate::cli::number::signed;

/// How much `-f` asks for beyond the leaders.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Detail {
    /// Leaders only.
    Leaders,
    /// Requests, host bitmaps and index entries too.
    Requests,
    /// Ballots too.
    Ballots,
}

impl Detail {
    /// The detail that the value of `-f` stands for.
    #[must_use]
    pub fn from_number(number: u32) -> Detail {
        match number {
            0 => Detail::Leaders,
            1 => Detail::Requests,
            _ => Detail::Ballots,
        }
    }
}

/// The line above all areas.
#[must_use]
pub fn heading(detail: Detail) -> Line {
    let line = Line::new(format_args!(
        "{:>8} {:>36} {:>48} {:>10} {:>4} {:>4} lver",
        "offset", "lockspace", "resource", "timestamp", "own", "gen"
    ));
    if detail >= Detail::Requests {
        line.show("/req/mode")
    } else {
        line
    }
}

/// The lines of an area.
#[must_use]
pub fn area(area: &Area, detail: Detail) -> Vec<Line> {
    match area {
        Area::Lockspace(leases) => leases
            .iter()
            .map(|lease| delta_lease(lease, detail))
            .collect(),
        Area::Resource(lease) => resource_lease(lease, detail),
        Area::Index(found) => index(found, detail),
    }
}

fn delta_lease(lease: &DeltaLease, detail: Detail) -> Line {
    let mut line = owned(lease.offset, &lease.leader);
    if detail >= Detail::Requests {
        for host in &lease.notified {
            line = line.show(format_args!(" {host}"));
        }
    }
    line
}

fn resource_lease(lease: &ResourceLease, detail: Detail) -> Vec<Line> {
    let mut line = owned(lease.offset, &lease.leader).show(format_args!(" {}", lease.leader.lver));
    if detail >= Detail::Requests {
        line = line.show(format_args!(
            "/{}/{}",
            lease.request.lver, lease.request.force_mode
        ));
    }
    let mut lines = vec![line];
    for records in &lease.hosts {
        let block = &records.dblock;
        let voted = block.mbal != 0 || block.inp.0 != 0 || block.lver.0 != 0;
        if detail >= Detail::Ballots && voted {
            lines.push(Line::new(format_args!(
                "dblock[{:04}] mbal {} bal {} inp {} inp2 {} inp3 {} lver {} sum {:x}",
                records.host.0.saturating_sub(1),
                block.mbal,
                block.bal,
                block.inp,
                block.inp2,
                block.inp3,
                block.lver,
                block.checksum
            )));
        }
        if records.mode.is_shared() {
            let (host, generation) = (records.host.0, records.mode.generation.0);
            lines.push(Line::new(format_args!(
                "{:106}{host:04} {generation:04} SH",
                ""
            )));
        }
    }
    lines
}

fn index(index: &Index, detail: Detail) -> Vec<Line> {
    let header = &index.header;
    let space = header.lockspace_name;
    let start = |offset: u64| padded(Line::new(format_args!("{offset:08} ")), &space, 36);
    let mut lines = vec![start(index.offset).show(format_args!(
        " rindex_header {:#x} {} {} {}",
        header.flags,
        signed(header.sector_size),
        header.max_resources,
        header.rx_offset
    ))];
    if detail >= Detail::Requests {
        lines.extend(index.entries.iter().map(|entry| {
            start(entry.offset)
                .show(" rentry ")
                .raw(entry.entry.name.as_bytes())
                .show(format_args!(" {}", entry.entry.res_offset))
        }));
    }
    lines
}

/// Where a lease is, what it is called, and who owns it since when.
fn owned(offset: u64, leader: &Leader) -> Line {
    let line = padded(
        Line::new(format_args!("{offset:08} ")),
        &leader.space_name,
        36,
    )
    .show(" ");
    padded(line, &leader.resource_name, 48).show(format_args!(
        " {:010} {:04} {:04}",
        leader.timestamp.0, leader.owner_id.0, leader.owner_generation.0
    ))
}

/// A name with so many blanks before it that it has `width` bytes; a longer one as it is.
fn padded(line: Line, name: &Name, width: usize) -> Line {
    let name = name.as_bytes();
    let blanks = width.saturating_sub(name.len());
    line.show(format_args!("{:blanks$}", "")).raw(name)
}

#[cfg(test)]
mod tests {
    use ondisk::{
        AlignSize, Dblock, Generation, Geometry, HostId, IoTimeout, Lver, ModeBlock, RequestRecord,
        SectorSize, Timestamp,
    };

    use super::*;
    use crate::cli::direct::area::HostRecords;
    use crate::cli::text::joined;

    fn geometry() -> Geometry {
        Geometry::new(SectorSize::B512, AlignSize::M1).unwrap()
    }

    #[test]
    fn the_heading_stands_above_its_columns() {
        assert_eq!(
            String::from_utf8_lossy(heading(Detail::Requests).as_bytes()),
            format!(
                "  offset {:>36} {:>48}  timestamp  own  gen lver/req/mode",
                "lockspace", "resource"
            )
        );
    }

    #[test]
    fn a_delta_lease_shows_whom_it_notifies() {
        let mut leader = Leader::new_delta(geometry(), &"ls".parse().unwrap(), IoTimeout(10));
        leader.owner_id = HostId(2);
        leader.owner_generation = Generation(3);
        leader.timestamp = Timestamp(77);
        leader.resource_name = "host".parse().unwrap();
        let found = DeltaLease {
            offset: 512,
            leader,
            notified: vec![HostId(1), HostId(2000)],
        };
        let area = Area::Lockspace(vec![found]);
        let line = format!("00000512 {:>36} {:>48} 0000000077 0002 0003", "ls", "host");
        assert_eq!(
            joined(&super::area(&area, Detail::Leaders)),
            format!("{line}\n")
        );
        assert_eq!(
            joined(&super::area(&area, Detail::Ballots)),
            format!("{line} 1 2000\n")
        );
    }

    #[test]
    fn a_resource_lease_shows_ballots_and_who_shares_it() {
        let (space, name) = ("ls".parse().unwrap(), "r".parse().unwrap());
        let mut leader = Leader::new_paxos(geometry(), &space, &name, 0);
        leader.lver = Lver(5);
        let dblock = Dblock {
            mbal: 2001,
            bal: 2001,
            lver: Lver(5),
            ..Dblock::default()
        };
        let mode = ModeBlock::shared(Generation(4));
        let request = RequestRecord {
            lver: Lver(6),
            force_mode: 1,
            ..RequestRecord::new()
        };
        let hosts = vec![
            HostRecords {
                host: HostId(1),
                dblock: Dblock::default(),
                mode: ModeBlock::default(),
            },
            HostRecords {
                host: HostId(2),
                dblock,
                mode,
            },
        ];
        let lease = ResourceLease {
            offset: 1 << 20,
            leader,
            request,
            hosts,
        };
        let area = Area::Resource(Box::new(lease));
        let line = format!("01048576 {:>36} {:>48} 0000000000 0000 0000 5", "ls", "r");
        let shared = format!("{}0002 0004 SH", " ".repeat(106));
        assert_eq!(
            joined(&super::area(&area, Detail::Leaders)),
            format!("{line}\n{shared}\n")
        );
        assert_eq!(
            joined(&super::area(&area, Detail::Ballots)),
            format!(
                "{line}/6/1\n\
                 dblock[0001] mbal 2001 bal 2001 inp 0 inp2 0 inp3 0 lver 5 sum 0\n{shared}\n"
            )
        );
    }
}
