//! Initial areas at all geometries.

use crate::fixture::{Recorded, assert_same, clear_request_padding, parse};
use ondisk::{
    Geometry, HostId, IoTimeout, Leader, Name, RINDEX_LEASE_NAME, RequestRecord, RindexHeader,
    Timestamp, init_lockspace_area, init_resource_area, init_rindex_area, lockspace_commit_sector,
};

const RECORDED: &str = include_str!("initial.txt");

fn name(name: &str) -> Name {
    name.parse().unwrap()
}

/// A lockspace as it is once it has been committed.
pub(crate) fn lockspace(geometry: Geometry, space: &Name, io_timeout: IoTimeout) -> Vec<u8> {
    let mut area = vec![0xff; geometry.align.bytes()];
    init_lockspace_area(geometry, space, io_timeout, &mut area).unwrap();
    let first = &mut area[..geometry.sector.bytes()];
    lockspace_commit_sector(geometry, space, io_timeout, first).unwrap();
    area
}

pub(crate) fn resource(
    geometry: Geometry,
    space: &Name,
    resource: &Name,
    num_hosts: u64,
    cleared: Option<Timestamp>,
) -> Vec<u8> {
    let mut area = vec![0xff; geometry.align.bytes()];
    init_resource_area(geometry, space, resource, num_hosts, cleared, &mut area).unwrap();
    area
}

pub(crate) fn rindex(geometry: Geometry, space: &Name, rx_offset: u64) -> Vec<u8> {
    let mut area = vec![0xff; geometry.align.bytes()];
    init_rindex_area(geometry, space, 0, rx_offset, &mut area).unwrap();
    area
}

fn ours(recorded: &Recorded) -> Vec<u8> {
    let geometry = recorded.geometry;
    let space = name("golden");
    let long = name(&"n".repeat(48));
    match recorded.name.as_str() {
        "lockspace" => lockspace(geometry, &space, IoTimeout(17)),
        "resource" => resource(geometry, &space, &name("resource"), 9, None),
        "cleared" => {
            let at = Leader::decode(&recorded.bytes)
                .unwrap()
                .record
                .write_timestamp;
            resource(geometry, &space, &long, 0, Some(at))
        }
        "rindex" => rindex(geometry, &space, 2 * geometry.align.bytes() as u64),
        "rindex_lease" => resource(geometry, &space, &name(RINDEX_LEASE_NAME), 0, None),
        other => unreachable!("{other}"),
    }
}

#[test]
fn we_write_what_the_c_program_writes() {
    let areas = parse(RECORDED);
    assert_eq!(areas.len(), 5 * Geometry::ALL.len());
    for mut recorded in areas {
        let what = format!("{} {}", recorded.name, recorded.geometry);
        let ours = ours(&recorded);
        if !matches!(recorded.name.as_str(), "lockspace" | "rindex") {
            clear_request_padding(&mut recorded.bytes, recorded.geometry.sector);
        }
        assert_same(&what, &ours, &recorded.bytes);
    }
}

#[test]
fn we_accept_what_the_c_program_writes() {
    let space = name("golden");
    for Recorded {
        name: area,
        geometry,
        bytes,
    } in parse(RECORDED)
    {
        if area == "rindex" {
            let header = RindexHeader::decode(&bytes).unwrap();
            header
                .verify(&space, 2 * geometry.align.bytes() as u64)
                .unwrap();
            assert_eq!(header.geometry(), Ok(geometry));
            continue;
        }
        let leader = Leader::decode(&bytes).unwrap();
        assert_eq!(leader.record.geometry(), Some(geometry));
        assert_eq!(leader.verify_checksum(), Ok(()));
        let request = RequestRecord::decode(&bytes[geometry.request_offset() as usize..]).unwrap();
        match area.as_str() {
            "lockspace" => leader.verify_delta(&space).unwrap(),
            "resource" => {
                leader
                    .verify_paxos(&space, &name("resource"), HostId(9))
                    .unwrap();
                let fault = leader
                    .verify_paxos(&space, &name("resource"), HostId(10))
                    .unwrap_err();
                assert_eq!(fault.code(), -228);
                assert_eq!(request.verify(), Ok(()));
            }
            "cleared" => {
                let fault = leader
                    .verify_paxos(&space, &name("x"), HostId(0))
                    .unwrap_err();
                assert_eq!(fault.code(), -223);
                assert_eq!(request.verify(), Ok(()));
            }
            _ => leader
                .verify_paxos(&space, &name(RINDEX_LEASE_NAME), HostId(1))
                .unwrap(),
        }
    }
}

#[test]
fn the_checksum_of_a_recorded_sector() {
    // The first leader of a lockspace "golden" with io_timeout 17, byte for byte from the C program.
    let sector = &parse(RECORDED)[0].bytes[..512];
    assert_eq!(
        sector[168..172],
        ondisk::checksum(&sector[..168]).to_le_bytes()
    );
    assert_eq!(
        sector[..16],
        [
            0x10, 0x20, 0x21, 0x12, 4, 0, 3, 0, 0x10, 0, 0, 0, 0, 2, 0, 0
        ]
    );
}
