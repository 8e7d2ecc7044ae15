//! `direct read_leader` and `direct write_leader`.

use std::sync::Arc;

use ondisk::{HostId, Leader, LeaseKind, Name, SectorSize};
use sanlock_proto::{Resource, text};
use storage::{Buffer, Disk};

use super::fault::Fault;
use super::leader_file::{self, Edit};
use super::{INVALID, Run, path_of, syslog};
use crate::cli::text::{self as output, Line};

/// -1: nothing says where to read.
const NOWHERE: i32 = -1;

/// What was read, with what is wrong with it; an empty leader where nothing was.
pub(super) struct Found {
    pub(super) leader: Leader,
    pub(super) outcome: Result<(), Fault>,
}

impl Found {
    fn nothing(fault: Fault) -> Found {
        Found {
            leader: leader_file::empty(),
            outcome: Err(fault),
        }
    }
}

impl Run<'_, '_> {
    pub(super) fn read_leader(&mut self) -> i32 {
        let Found { leader, outcome } = self.find_leader();
        let number = self.done("read_leader", outcome);
        self.console
            .lines(&output::leader::leader(&leader, self.kind()));
        number
    }

    /// What the original takes the record for: a resource's as soon as `-r` is given.
    fn kind(&self) -> LeaseKind {
        if self.options.resources.is_empty() {
            LeaseKind::Delta
        } else {
            LeaseKind::Paxos
        }
    }

    fn find_leader(&self) -> Found {
        if self.options.is_about_lockspace() {
            return self.delta_leader().unwrap_or_else(Found::nothing);
        }
        match self.options.resources.first() {
            Some(resource) => self.resource_leader(resource),
            None => {
                let message = "-s LOCKSPACE with a path, or -r RESOURCE, is needed";
                Found::nothing(Fault::new(NOWHERE, message))
            }
        }
    }

    fn delta_leader(&self) -> Result<Found, Fault> {
        let lockspace = &self.options.lockspace;
        let host = self.host_id()?;
        let disk = self.open_lockspace()?;
        let geometry = self.sizes(&disk, lockspace.disk.offset)?;
        let offset = sector_of(lockspace.disk.offset, host, geometry.sector)?;
        let sector = self.read(&disk, offset, geometry.sector.bytes())?;
        let decoded = Leader::decode(&sector)?;
        let outcome = decoded.verify_delta(&Name::from_raw(*lockspace.name.raw()));
        Ok(Found {
            leader: decoded.record,
            outcome: outcome.map_err(Fault::from),
        })
    }

    /// The host id of `-s`, which the original wants to be other than 0.
    pub(super) fn host_id(&self) -> Result<HostId, Fault> {
        match self.options.lockspace.host_id {
            0 => Err(Fault::new(
                INVALID,
                "the lockspace needs a host id: NAME:HOST_ID:PATH:OFFSET",
            )),
            host => Ok(HostId(host)),
        }
    }

    /// A resource's leader as most disks have it.
    pub(super) fn resource_leader(&self, resource: &Resource) -> Found {
        let mut disks: Vec<Found> = Vec::new();
        let mut opened = 0usize;
        let mut last = None;
        for disk in &resource.disks {
            match path_of(&disk.path).and_then(|path| Ok(self.open(path)?)) {
                Ok(opened_disk) => {
                    opened = opened.saturating_add(1);
                    let found = self.resource_leader_on(&opened_disk, disk.offset, resource);
                    disks.push(found.unwrap_or_else(Found::nothing));
                }
                Err(fault) => last = Some(fault),
            }
        }
        if !is_majority(opened, resource.disks.len()) {
            let none = || Fault::new(NOWHERE, "the resource has no disk");
            return Found::nothing(last.unwrap_or_else(none));
        }
        if resource.disks.len() == 1 {
            return disks
                .pop()
                .unwrap_or_else(|| Found::nothing(Fault::new(NOWHERE, "no disk")));
        }
        agreed(disks, resource.disks.len())
    }

    fn resource_leader_on(
        &self,
        disk: &Arc<dyn Disk>,
        offset: u64,
        resource: &Resource,
    ) -> Result<Found, Fault> {
        let given = u32::try_from(self.options.sector_size)
            .ok()
            .and_then(SectorSize::from_bytes);
        let sector = self.read(disk, offset, given.unwrap_or(SectorSize::B4096).bytes())?;
        let decoded = Leader::decode(&sector)?;
        let (space, name) = (resource.lockspace.raw(), resource.name.raw());
        let outcome =
            decoded.verify_paxos(&Name::from_raw(*space), &Name::from_raw(*name), HostId(0));
        Ok(Found {
            leader: decoded.record,
            outcome: outcome.map_err(Fault::from),
        })
    }

    /// Reads the record, takes fields from the file of `-F`, writes it back.
    pub(super) fn write_leader(&mut self) -> i32 {
        let kind = self.kind();
        // What is wrong with the record may be what is to be repaired.
        let mut leader = self.find_leader().leader;
        let Some(file) = self.options.file.clone() else {
            self.console.say("open error 14 (null)");
            self.console
                .hint("sanlock: write_leader: -F FILE is needed");
            return NOWHERE;
        };
        let text = match std::fs::read(&file) {
            Ok(text) => text,
            Err(error) => {
                let errno = error.raw_os_error().unwrap_or(0);
                let path = file.to_string_lossy();
                self.console.say(format_args!("open error {errno} {path}"));
                self.console
                    .hint(format_args!("sanlock: write_leader: {path}: {error}"));
                return NOWHERE;
            }
        };
        let Edit { checksum, ignored } = leader_file::apply(&text, kind, &mut leader);
        self.console.lines(&ignored);
        let generated = leader_file::seal(&mut leader);
        if self.options.force_mode == 0 {
            self.console
                .say(format_args!("use new generated checksum {generated:x}"));
        } else {
            leader.checksum = checksum;
            self.console.say(format_args!(
                "warning: using specified checksum {checksum:x} (generated is {generated:x})"
            ));
        }
        let outcome = self.put_leader(&mut leader);
        let written = outcome.is_ok();
        let number = self.done("write_leader", outcome);
        if written {
            self.console.lines(&output::leader::leader(&leader, kind));
        }
        number
    }

    fn put_leader(&mut self, leader: &mut Leader) -> Result<(), Fault> {
        let sector = SectorSize::from_bytes(leader.sector_size)
            .ok_or_else(|| Fault::new(INVALID, "a leader needs a sector_size of 512 or 4096"));
        if self.kind() == LeaseKind::Delta {
            let lockspace = &self.options.lockspace;
            syslog::record(&lockspace_line("write_leader lockspace ", lockspace));
            if !self.options.is_about_lockspace() {
                return Err(Fault::new(NOWHERE, "-s LOCKSPACE with a path is needed"));
            }
            let host = self.host_id()?;
            let disk = self.open_lockspace()?;
            let sector = sector?;
            let offset = sector_of(lockspace.disk.offset, host, sector)?;
            return self.put(&disk, offset, leader, sector);
        }
        let Some(resource) = self.options.resources.first() else {
            return Ok(());
        };
        let line = text::format_resource(resource).map_err(|e| Fault::new(e.code(), e))?;
        syslog::record(&Line::new("write_leader resource ").raw(&line));
        let Some(disk) = resource.disks.first() else {
            return Err(Fault::new(NOWHERE, "the resource has no disk"));
        };
        let opened = self.open(path_of(&disk.path)?)?;
        // A resource's leader always gets the right checksum, whatever -f says.
        leader_file::seal(leader);
        self.put(&opened, disk.offset, leader, sector?)
    }

    fn put(
        &self,
        disk: &Arc<dyn Disk>,
        offset: u64,
        leader: &Leader,
        sector: SectorSize,
    ) -> Result<(), Fault> {
        let mut bytes = Buffer::zeroed(sector.bytes());
        leader.encode_verbatim(&mut bytes);
        Ok(self.write(disk, offset, bytes)?)
    }
}

/// The leader that most disks agree on.
fn agreed(found: Vec<Found>, of: usize) -> Found {
    let mut good = Vec::new();
    let mut why = None;
    for found in found {
        match found.outcome {
            Ok(()) => good.push(found.leader),
            Err(fault) => why = Some(fault.message),
        }
    }
    if !is_majority(good.len(), of) {
        let why = why.map_or(String::new(), |why| format!(": {why}"));
        let message = format!("{} of {of} disks have a leader{why}", good.len());
        return Found::nothing(Fault::new(LEADER_READ, message));
    }
    let votes = |leader: &Leader| {
        good.iter()
            .filter(|other| leader.same_but_times(other))
            .count()
    };
    match good.iter().find(|leader| is_majority(votes(leader), of)) {
        Some(leader) => Found {
            leader: leader.clone(),
            outcome: Ok(()),
        },
        None => Found::nothing(Fault::new(
            LEADER_DIFF,
            "the disks do not agree on a leader",
        )),
    }
}

/// -220, SANLK_LEADER_READ.
const LEADER_READ: i32 = -220;

/// -222, SANLK_LEADER_DIFF.
const LEADER_DIFF: i32 = -222;

fn is_majority(count: usize, of: usize) -> bool {
    count > of / 2
}

/// Where the delta lease of a host stands; no bound but that of numbers, so that any sector can be seen.
fn sector_of(start: u64, host: HostId, sector: SectorSize) -> Result<u64, Fault> {
    host.0
        .checked_sub(1)
        .and_then(|slot| slot.checked_mul(sector.as_u32().into()))
        .and_then(|offset| offset.checked_add(start))
        .ok_or_else(|| {
            Fault::new(
                INVALID,
                format!("host id {host} is beyond the largest offset"),
            )
        })
}

/// A lockspace as the system log names it.
pub(super) fn lockspace_line(what: &str, lockspace: &sanlock_proto::Lockspace) -> Line {
    Line::new(what)
        .raw(lockspace.name.as_bytes())
        .show(format_args!(":{}:", lockspace.host_id))
        .raw(lockspace.disk.path.as_bytes())
        .show(format_args!(":{}", lockspace.disk.offset))
}
