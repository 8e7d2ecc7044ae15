//! What is wrong in the sectors of a lease: everything that makes a daemon refuse it, and more.

use ondisk::{
    Dblock, Decoded, Geometry, HostId, Leader, LeaseKind, ModeBlock, Name, RequestRecord,
};

use super::{Finding, Wanted};

/// The sectors of an area, or why one could not be read.
pub(super) type Sectors = [Result<Vec<u8>, String>];

pub(super) fn finding(
    offset: u64,
    sector: u64,
    host: Option<HostId>,
    record: &'static str,
    what: String,
) -> Finding {
    Finding {
        offset,
        sector,
        host,
        record,
        what,
    }
}

/// The sectors with their number and offset.
fn numbered(
    sectors: &Sectors,
    geometry: Geometry,
    offset: u64,
) -> impl Iterator<Item = (u64, u64, &Result<Vec<u8>, String>)> {
    let offsets = (offset..).step_by(geometry.sector.bytes());
    (0..)
        .zip(offsets)
        .zip(sectors)
        .map(|((number, offset), sector)| (number, offset, sector))
}

pub(super) fn lockspace_findings(
    sectors: &Sectors,
    geometry: Geometry,
    offset: u64,
    wanted: &Wanted,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut space = wanted.space;
    let hosts = usize::try_from(geometry.max_hosts()).unwrap_or(usize::MAX);
    for (number, at, sector) in numbered(sectors, geometry, offset).take(hosts) {
        let host = HostId(number.saturating_add(1));
        let mut add = |what| findings.push(finding(at, number, Some(host), "leader", what));
        match sector.as_ref().map(|sector| Leader::decode(sector)) {
            Err(error) => add(error.clone()),
            Ok(Err(fault)) => add(fault.to_string()),
            Ok(Ok(decoded)) => {
                if space.is_empty() {
                    space = decoded.record.space_name;
                }
                delta_faults(&decoded, geometry, &space, host)
                    .into_iter()
                    .for_each(add);
            }
        }
    }
    findings
}

fn delta_faults(
    decoded: &Decoded<Leader>,
    geometry: Geometry,
    space: &Name,
    host: HostId,
) -> Vec<String> {
    let leader = &decoded.record;
    let mut faults = Vec::new();
    if let Err(fault) = decoded.verify_kind(LeaseKind::Delta) {
        // Nothing else in it means anything.
        return vec![fault.to_string()];
    }
    if let Err(fault) = decoded.verify_checksum() {
        faults.push(fault.to_string());
    }
    if let Err(fault) = decoded.verify_delta(space) {
        let text = fault.to_string();
        if !faults.contains(&text) {
            faults.push(text);
        }
    }
    if leader.geometry() != Some(geometry) {
        faults.push(sizes_fault(leader));
    }
    if leader.owner_id != HostId(0) && leader.owner_id != host {
        faults.push(format!(
            "owner_id is {}, in the sector of host {host}",
            leader.owner_id
        ));
    }
    faults
}

pub(super) fn sizes_fault(leader: &Leader) -> String {
    format!(
        "sector_size {} and flags {:#x} are not the sizes of this lease",
        leader.sector_size, leader.flags
    )
}

pub(super) fn resource_findings(
    sectors: &Sectors,
    geometry: Geometry,
    offset: u64,
    wanted: &Wanted,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut hosts = geometry.max_hosts();
    for (number, at, sector) in numbered(sectors, geometry, offset) {
        let host = number.checked_sub(1).filter(|host| *host > 0).map(HostId);
        if host.is_some_and(|host| host.0 > hosts) {
            break;
        }
        let bytes = match sector {
            Ok(bytes) => bytes,
            Err(error) => {
                let record = if number == 0 { "leader" } else { "sector" };
                findings.push(finding(at, number, host, record, error.clone()));
                continue;
            }
        };
        match number {
            0 => {
                let (faults, num_hosts) = leader_faults(bytes, geometry, wanted);
                hosts = num_hosts.min(hosts);
                findings.extend(
                    faults
                        .into_iter()
                        .map(|what| finding(at, 0, None, "leader", what)),
                );
            }
            1 => {
                let request = RequestRecord::decode(bytes).and_then(|request| request.verify());
                if let Err(fault) = request {
                    findings.push(finding(at, 1, None, "request record", fault.to_string()));
                }
            }
            _ => findings.extend(
                host_faults(bytes)
                    .into_iter()
                    .map(|(record, what)| finding(at, number, host, record, what)),
            ),
        }
    }
    findings
}

/// What is wrong with a resource's leader, and how many hosts it has, as far as that can be believed.
fn leader_faults(bytes: &[u8], geometry: Geometry, wanted: &Wanted) -> (Vec<String>, u64) {
    let decoded = match Leader::decode(bytes) {
        Ok(decoded) => decoded,
        Err(fault) => return (vec![fault.to_string()], geometry.max_hosts()),
    };
    let leader = &decoded.record;
    if let Err(fault) = decoded.verify_kind(LeaseKind::Paxos) {
        return (vec![fault.to_string()], geometry.max_hosts());
    }
    let mut faults = Vec::new();
    let mut push = |fault: String| {
        if !faults.contains(&fault) {
            faults.push(fault);
        }
    };
    let checksum = decoded.verify_checksum();
    if let Err(fault) = &checksum {
        push(fault.to_string());
    }
    let or = |wanted: Name, found: Name| if wanted.is_empty() { found } else { wanted };
    let space = or(wanted.space, leader.space_name);
    let resource = or(wanted.resource, leader.resource_name);
    if let Err(fault) = decoded.verify_paxos(&space, &resource, HostId(0)) {
        push(fault.to_string());
    }
    if leader.geometry() != Some(geometry) {
        push(sizes_fault(leader));
    }
    if leader.max_hosts != geometry.max_hosts() {
        push(format!(
            "max_hosts is {}, these sizes have {}",
            leader.max_hosts,
            geometry.max_hosts()
        ));
    }
    let plausible = 1..=geometry.max_hosts();
    if !plausible.contains(&leader.num_hosts) {
        push(format!(
            "num_hosts is {}, at most {} fit",
            leader.num_hosts,
            geometry.max_hosts()
        ));
    }
    let believed = checksum.is_ok() && plausible.contains(&leader.num_hosts);
    (
        faults,
        if believed {
            leader.num_hosts
        } else {
            geometry.max_hosts()
        },
    )
}

fn host_faults(bytes: &[u8]) -> Vec<(&'static str, String)> {
    let mut faults = Vec::new();
    let dblock = Dblock::decode(bytes).and_then(|decoded| decoded.verify());
    if let Err(fault) = dblock {
        faults.push(("dblock", fault.to_string()));
    }
    match ModeBlock::decode(bytes) {
        Err(fault) => faults.push(("mode block", fault.to_string())),
        Ok(mode) if mode.flags & !ModeBlock::SHARED != 0 => {
            faults.push((
                "mode block",
                format!("flags {:#x} are not known", mode.flags),
            ));
        }
        Ok(_) => {}
    }
    faults
}

#[cfg(test)]
mod tests {
    use ondisk::{AlignSize, IoTimeout, SectorSize};

    use super::*;

    fn geometry() -> Geometry {
        Geometry::new(SectorSize::B512, AlignSize::M1).unwrap()
    }

    fn wanted(kind: LeaseKind) -> Wanted {
        Wanted {
            kind,
            space: "ls".parse().unwrap(),
            resource: "r".parse().unwrap(),
        }
    }

    fn sectors(area: &[u8]) -> Vec<Result<Vec<u8>, String>> {
        area.chunks_exact(512)
            .map(|sector| Ok(sector.to_vec()))
            .collect()
    }

    fn lockspace() -> Vec<u8> {
        let mut area = vec![0; geometry().align.bytes()];
        let name = "ls".parse().unwrap();
        ondisk::init_lockspace_area(geometry(), &name, IoTimeout(10), &mut area).unwrap();
        ondisk::lockspace_commit_sector(geometry(), &name, IoTimeout(10), &mut area[..512])
            .unwrap();
        area
    }

    fn resource() -> Vec<u8> {
        let mut area = vec![0; geometry().align.bytes()];
        let (space, name) = ("ls".parse().unwrap(), "r".parse().unwrap());
        ondisk::init_resource_area(geometry(), &space, &name, 0, None, &mut area).unwrap();
        area
    }

    fn found(kind: LeaseKind, area: &[u8]) -> Vec<Finding> {
        let sectors = sectors(area);
        match kind {
            LeaseKind::Delta => lockspace_findings(&sectors, geometry(), 0, &wanted(kind)),
            LeaseKind::Paxos => resource_findings(&sectors, geometry(), 0, &wanted(kind)),
        }
    }

    #[test]
    fn fresh_leases_have_no_faults() {
        assert_eq!(found(LeaseKind::Delta, &lockspace()), []);
        assert_eq!(found(LeaseKind::Paxos, &resource()), []);
    }

    #[test]
    fn a_damaged_delta_lease_is_named_with_its_host() {
        let mut area = lockspace();
        area[512 * 4 + 40] ^= 1;
        let findings = found(LeaseKind::Delta, &area);
        assert_eq!(findings.len(), 1, "{findings:?}");
        assert_eq!((findings[0].sector, findings[0].host), (4, Some(HostId(5))));
        assert!(findings[0].what.contains("checksum"));
        let mut area = lockspace();
        area[512..1024].fill(0);
        assert!(found(LeaseKind::Delta, &area)[0].what.contains("magic"));
    }

    #[test]
    fn what_stands_behind_the_last_host_does_not_matter() {
        let mut area = lockspace();
        area[512 * 2000..].fill(0xee);
        assert_eq!(found(LeaseKind::Delta, &area), []);
        let mut area = resource();
        area[512 * 2002..].fill(0xee);
        assert_eq!(found(LeaseKind::Paxos, &area), []);
    }

    #[test]
    fn a_damaged_dblock_and_mode_block_are_named_with_their_host() {
        let mut area = resource();
        area[512 * 2000] = 1;
        area[512 * 7 + 128] = 2;
        area[512] = 0;
        let findings = found(LeaseKind::Paxos, &area);
        let seen: Vec<_> = findings
            .iter()
            .map(|f| (f.sector, f.host, f.record))
            .collect();
        assert_eq!(
            seen,
            [
                (1, None, "request record"),
                (7, Some(HostId(6)), "mode block"),
                (2000, Some(HostId(1999)), "dblock"),
            ]
        );
    }

    #[test]
    fn a_sector_that_cannot_be_read_does_not_hide_the_others() {
        let mut sectors = sectors(&resource());
        sectors[9] = Err("input/output error".to_owned());
        sectors[0].as_mut().unwrap()[48] ^= 1;
        let findings = resource_findings(&sectors, geometry(), 0, &wanted(LeaseKind::Paxos));
        assert_eq!(findings.last().unwrap().what, "input/output error");
        assert_eq!(findings.last().unwrap().host, Some(HostId(8)));
        assert!(
            findings
                .iter()
                .any(|f| f.record == "leader" && f.what.contains("checksum"))
        );
    }
}
