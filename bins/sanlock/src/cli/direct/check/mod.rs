//! `direct check`: reads a lockspace or a resource lease and names everything that is wrong with it.
//!
//! Nothing is written. What this finds is what makes a daemon refuse the lease, and what only a look at
//! the bytes shows: which host's sector it is, and which field.

mod findings;

use std::sync::Arc;

use ondisk::{AlignSize, Geometry, HostId, Leader, LeaseKind, Name, RequestRecord, SectorSize};
use storage::{Buffer, Disk};

use super::fault::Fault;
use super::{INVALID, Run, path_of};
use crate::cli::failure;
use crate::cli::json::{self, document};
use crate::cli::text::Line;
use findings::{finding, lockspace_findings, resource_findings, sizes_fault};

/// Something wrong in one sector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Bytes from the start of the disk to the sector.
    pub offset: u64,
    /// Which sector of the lease it is.
    pub sector: u64,
    /// The host whose sector it is, if it is one's.
    pub host: Option<HostId>,
    /// The record: `leader`, `request record`, `dblock`, `mode block`.
    pub record: &'static str,
    /// What is wrong with which field.
    pub what: String,
}

/// What was checked on one disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// `lockspace` or `resource`.
    pub kind: LeaseKind,
    /// Path of the disk.
    pub path: String,
    /// Bytes from the start of the disk.
    pub offset: u64,
    /// The sizes it was read with, if they are known.
    pub geometry: Option<Geometry>,
    /// What is wrong.
    pub findings: Vec<Finding>,
}

/// The lease as it was asked for; empty names match all.
struct Wanted {
    kind: LeaseKind,
    space: Name,
    resource: Name,
}

impl Run<'_, '_> {
    pub(super) fn check(&mut self) -> i32 {
        let outcome = if self.options.is_about_lockspace() {
            self.check_lockspace().map(|checked| vec![checked])
        } else {
            self.check_resource()
        };
        match outcome {
            Err(fault) => {
                if self.options.json {
                    self.console
                        .json(&document(failure::json_failure(fault.code, &fault.message)));
                }
                self.explain(&fault);
                fault.code
            }
            Ok(checked) => {
                if self.options.json {
                    self.console.json(&document(json::Check::of(&checked)));
                } else {
                    checked
                        .iter()
                        .for_each(|checked| self.console.lines(&report(checked)));
                }
                i32::from(checked.iter().any(|checked| !checked.findings.is_empty()))
            }
        }
    }

    fn check_lockspace(&self) -> Result<Checked, Fault> {
        let lockspace = &self.options.lockspace;
        let space = Name::from_raw(*lockspace.name.raw());
        let wanted = Wanted {
            kind: LeaseKind::Delta,
            space,
            resource: Name::EMPTY,
        };
        let disk = self.open(path_of(&lockspace.disk.path)?)?;
        self.check_area(&disk, lockspace.disk.offset, &wanted)
            .map(|(checked, _)| checked)
    }

    fn check_resource(&self) -> Result<Vec<Checked>, Fault> {
        let Some(resource) = self.options.resources.first() else {
            return Err(Fault::new(
                INVALID,
                "-s LOCKSPACE with a path, or -r RESOURCE, is needed",
            ));
        };
        if resource.disks.is_empty() {
            return Err(Fault::new(INVALID, "the resource has no disk"));
        }
        let space = Name::from_raw(*resource.lockspace.raw());
        let wanted = Wanted {
            kind: LeaseKind::Paxos,
            space,
            resource: Name::from_raw(*resource.name.raw()),
        };
        let mut all = Vec::new();
        let mut first: Option<Leader> = None;
        for disk in &resource.disks {
            let opened = self.open(path_of(&disk.path)?)?;
            let (mut checked, leader) = self.check_area(&opened, disk.offset, &wanted)?;
            if let (Some(first), Some(leader)) = (&first, &leader) {
                if !first.same_but_times(leader) {
                    let what = "differs from the leader on the first disk".to_owned();
                    checked
                        .findings
                        .push(finding(disk.offset, 0, None, "leader", what));
                }
            }
            first = first.or(leader);
            all.push(checked);
        }
        Ok(all)
    }

    fn check_area(
        &self,
        disk: &Arc<dyn Disk>,
        offset: u64,
        wanted: &Wanted,
    ) -> Result<(Checked, Option<Leader>), Fault> {
        let mut findings = Vec::new();
        let geometry = self
            .given_sizes()
            .or_else(|| self.guess_sizes(disk, offset, wanted.kind));
        let mut leader = None;
        match geometry {
            None => {
                // The first sector says best what there is instead.
                let sector = self.read(disk, offset, SectorSize::B4096.bytes())?;
                let decoded = Leader::decode(&sector)?;
                let what = match decoded.verify_kind(wanted.kind) {
                    Err(fault) => fault.to_string(),
                    Ok(()) => sizes_fault(&decoded.record),
                };
                findings.push(finding(offset, 0, None, "leader", what));
            }
            Some(geometry) => {
                let sectors = self.read_sectors(disk, offset, geometry)?;
                leader = sectors
                    .first()
                    .and_then(|sector| sector.as_ref().ok())
                    .and_then(|sector| Leader::decode(sector).ok())
                    .map(|decoded| decoded.record);
                findings = match wanted.kind {
                    LeaseKind::Delta => lockspace_findings(&sectors, geometry, offset, wanted),
                    LeaseKind::Paxos => resource_findings(&sectors, geometry, offset, wanted),
                };
            }
        }
        let path = disk.path().display().to_string();
        Ok((
            Checked {
                kind: wanted.kind,
                path,
                offset,
                geometry,
                findings,
            },
            leader,
        ))
    }

    /// All sectors of an area; one that cannot be read does not hide the others.
    fn read_sectors(
        &self,
        disk: &Arc<dyn Disk>,
        offset: u64,
        geometry: Geometry,
    ) -> Result<Vec<Result<Vec<u8>, String>>, Fault> {
        let len = geometry.sector.bytes();
        if let Ok(area) = self.read(disk, offset, geometry.align.bytes()) {
            return Ok(area
                .chunks_exact(len)
                .map(|sector| Ok(sector.to_vec()))
                .collect());
        }
        let mut timeouts = 0u32;
        let mut last = None;
        let mut sectors = Vec::with_capacity(geometry.sectors());
        let steps = (0u64..).step_by(len).take(geometry.sectors());
        for at in steps.map_while(|step| offset.checked_add(step)) {
            let sector = self.read(disk, at, len);
            if let Err(error) = &sector {
                timeouts += u32::from(error.code() == TIMED_OUT);
                if timeouts > MOST_TIMEOUTS {
                    return Err(Fault::from(error.clone()));
                }
                last = Some(error.clone());
            }
            sectors.push(
                sector
                    .map(|sector: Buffer| sector.to_vec())
                    .map_err(|e| e.to_string()),
            );
        }
        match last {
            Some(error) if sectors.iter().all(Result::is_err) => Err(error.into()),
            _ => Ok(sectors),
        }
    }

    /// The sizes that the lease tells: in its first sector, or, if that is damaged and this is a lockspace,
    /// in a later one.
    fn guess_sizes(&self, disk: &Arc<dyn Disk>, offset: u64, kind: LeaseKind) -> Option<Geometry> {
        let start = self.read(disk, offset, LOOKED_THROUGH).ok()?;
        let told = |sector: &[u8]| {
            let leader = Leader::decode(sector).ok()?.record;
            (leader.magic == kind.magic())
                .then(|| leader.geometry())
                .flatten()
        };
        match kind {
            LeaseKind::Delta => start.chunks_exact(SectorSize::B512.bytes()).find_map(told),
            LeaseKind::Paxos => told(&start).or_else(|| self.sizes_beside_request(&start)),
        }
    }

    /// A resource's request record tells the sector size by where it stands; the area's must be given.
    fn sizes_beside_request(&self, start: &[u8]) -> Option<Geometry> {
        let sector = [SectorSize::B512, SectorSize::B4096]
            .into_iter()
            .find(|sector| {
                start
                    .get(sector.bytes()..)
                    .and_then(|rest| RequestRecord::decode(rest).ok())
                    .is_some_and(|request| request.magic == RequestRecord::MAGIC)
            })?;
        match AlignSize::from_bytes(self.options.align_size) {
            Some(align) => Geometry::new(sector, align),
            None => (sector == SectorSize::B512).then(|| Geometry::for_sector_size_alone(sector)),
        }
    }
}

/// -202, SANLK_AIO_TIMEOUT.
const TIMED_OUT: i32 = -202;

/// Storage that does not answer so often is not looked at sector by sector.
const MOST_TIMEOUTS: u32 = 3;

/// Bytes looked through for a lease that tells the sizes.
const LOOKED_THROUGH: usize = 64 * 1024;

/// The lines about one disk.
fn report(checked: &Checked) -> Vec<Line> {
    let kind = match checked.kind {
        LeaseKind::Delta => "lockspace",
        LeaseKind::Paxos => "resource",
    };
    let place = Line::new(format_args!(
        "{kind} at {}:{}",
        checked.path, checked.offset
    ));
    let place = match checked.geometry {
        Some(geometry) => place.show(format_args!(" ({geometry})")),
        None => place,
    };
    if checked.findings.is_empty() {
        return vec![place.show(": nothing is wrong")];
    }
    let faults = match checked.findings.len() {
        1 => "1 fault".to_owned(),
        count => format!("{count} faults"),
    };
    let mut lines = vec![place.show(format_args!(": {faults}"))];
    lines.extend(checked.findings.iter().map(|finding| {
        let Finding {
            offset,
            sector,
            record,
            what,
            ..
        } = finding;
        let line = Line::new(format_args!("  sector {sector} (byte {offset}"));
        let line = match finding.host {
            Some(host) => line.show(format_args!(", host id {host}")),
            None => line,
        };
        line.show(format_args!(") {record}: {what}"))
    }));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_report_names_sector_byte_and_host() {
        let geometry = Geometry::for_sector_size_alone(SectorSize::B512);
        let checked = Checked {
            kind: LeaseKind::Delta,
            path: "/d".to_owned(),
            offset: 0,
            geometry: Some(geometry),
            findings: vec![finding(
                2048,
                4,
                Some(HostId(5)),
                "leader",
                "bad".to_owned(),
            )],
        };
        let lines = crate::cli::text::joined(&report(&checked));
        assert!(
            lines.ends_with(": 1 fault\n  sector 4 (byte 2048, host id 5) leader: bad\n"),
            "{lines}"
        );
        assert!(lines.starts_with("lockspace at /d:0 ("));
        let clean = Checked {
            findings: Vec::new(),
            ..checked
        };
        assert!(crate::cli::text::joined(&report(&clean)).ends_with(": nothing is wrong\n"));
    }
}
