//! Areas that two hosts of the C program, 1 and 2000, were using.

use crate::fixture::{Recorded, parse};
use ondisk::{
    Dblock, Dblocks, Generation, Geometry, HostBitmap, HostId, IoTimeout, Leader, Lver, ModeBlock,
    Name, RequestRecord, Rindex, RindexHeader, SectorSize, Timestamp,
};

const ONE: HostId = HostId(1);
const TWO: HostId = HostId(2000);

fn name(name: &str) -> Name {
    name.parse().unwrap()
}

fn area(name: &str) -> Vec<u8> {
    let mut areas = parse(include_str!("in_use.txt")).into_iter();
    let Recorded {
        geometry, bytes, ..
    } = areas.find(|area| area.name == name).unwrap();
    assert_eq!(geometry, Geometry::ALL[0]);
    bytes
}

/// The leader of a valid resource, and the dblocks of the hosts that were ever in a ballot for it.
fn resource(area: &[u8], resource: &str) -> (Leader, Vec<(HostId, Dblock, ModeBlock)>) {
    let leader = Leader::decode(area).unwrap();
    leader
        .verify_paxos(&name("golden"), &name(resource), TWO)
        .unwrap();
    let dblocks = Dblocks::new(area, SectorSize::B512, leader.record.num_hosts).unwrap();
    let touched = dblocks.iter().filter_map(|(host, sector)| {
        let dblock = sector.verified().unwrap()?;
        Some((host, dblock, sector.mode_block()))
    });
    (leader.record, touched.collect())
}

#[test]
fn delta_leases_of_two_hosts() {
    let area = area("lockspace");
    let leases: Vec<Leader> = area[..2000 * 512]
        .chunks_exact(512)
        .map(|sector| {
            let leader = Leader::decode(sector).unwrap();
            leader.verify_delta(&name("golden")).unwrap();
            leader.record
        })
        .collect();
    let owned: Vec<HostId> = leases
        .iter()
        .filter(|lease| lease.is_owned())
        .map(|lease| lease.owner_id)
        .collect();
    assert_eq!(owned, [ONE, TWO]);

    let lease = &leases[0];
    assert_eq!(lease.resource_name, name("host-one"));
    assert_eq!(lease.owner_generation, Generation(1));
    assert_eq!(IoTimeout::from_disk(lease.io_timeout), IoTimeout(1));
    assert_eq!((lease.max_hosts, lease.num_hosts), (1, 0));

    // Host 1 has sent event 5 with data 7 to generation 1 of host 2000.
    assert_eq!(
        (lease.write_id, lease.write_generation),
        (HostId(1), Generation(5))
    );
    assert_eq!(lease.write_timestamp, Timestamp(7));
    assert!(HostBitmap::decode(&area).unwrap().iter().eq([TWO]));
    assert!(HostBitmap::decode(&area[1999 * 512..]).unwrap().is_empty());
}

#[test]
fn a_resource_that_is_held_and_requested() {
    let area = area("exclusive");
    let (leader, dblocks) = resource(&area, "exclusive");
    assert!(leader.is_owned());
    assert_eq!((leader.owner_id, leader.lver), (ONE, Lver(1)));
    assert_eq!(leader.write_timestamp, leader.timestamp);

    let [(host, dblock, mode_block)] = dblocks[..] else {
        panic!("{dblocks:?}")
    };
    assert_eq!((host, mode_block), (ONE, ModeBlock::default()));
    assert_eq!(
        (dblock.mbal, dblock.bal, dblock.inp, dblock.lver),
        (1, 1, ONE, Lver(1))
    );
    assert_eq!(
        (dblock.inp2, dblock.inp3),
        (leader.owner_generation, leader.timestamp)
    );
    assert!(!dblock.is_released());

    let request = RequestRecord::decode(&area[512..]).unwrap();
    assert_eq!(request.verify(), Ok(()));
    assert_eq!((request.lver, request.force_mode), (Lver(2), 2));
}

#[test]
fn a_resource_that_two_hosts_share() {
    let (leader, dblocks) = resource(&area("shared"), "shared");
    assert!(
        !leader.is_owned(),
        "the last ballot's owner has gone over to sharing"
    );
    assert_eq!((leader.owner_id, leader.lver), (TWO, Lver(2)));
    let shared = ModeBlock::shared(Generation(1));
    let [(one, first, held_by_one), (two, second, held_by_two)] = dblocks[..] else {
        panic!("{dblocks:?}")
    };
    assert_eq!((one, two), (ONE, TWO));
    assert_eq!((held_by_one, held_by_two), (shared, shared));
    assert!(first.is_released() && second.is_released());
    assert_eq!((first.mbal, second.mbal), (1, 4000));
}

#[test]
fn a_resource_that_was_released() {
    let (leader, dblocks) = resource(&area("released"), "released");
    assert!(!leader.is_owned());
    assert_eq!((leader.owner_id, leader.lver), (TWO, Lver(1)));
    let [(host, dblock, mode_block)] = dblocks[..] else {
        panic!("{dblocks:?}")
    };
    assert_eq!((host, mode_block), (TWO, ModeBlock::default()));
    assert!(dblock.is_released());
}

#[test]
fn an_index_with_a_gap() {
    let area = area("rindex");
    let header = RindexHeader::decode(&area).unwrap();
    header.verify(&name("golden"), 4 << 20).unwrap();
    let index = Rindex::new(&area, &header).unwrap();
    let used: Vec<_> = index
        .entries()
        .filter(|(_, entry)| !entry.is_free())
        .map(|(slot, entry)| (slot.index, entry.res_offset, entry.name))
        .collect();
    assert_eq!(
        used,
        [(0, 6 << 20, name("first")), (2, 8 << 20, name("third"))]
    );
    for (index_of, res_offset, entry_name) in used {
        let slot = index.find(&entry_name).unwrap();
        assert_eq!((slot.index, slot.res_offset), (index_of, res_offset));
    }
    assert_eq!(index.first_free().unwrap().res_offset, 7 << 20);

    resource(&self::area("first"), "first");
    let cleared = Leader::decode(&self::area("second")).unwrap();
    let fault = cleared
        .verify_paxos(&name("golden"), &name("second"), HostId(0))
        .unwrap_err();
    assert_eq!(fault.code(), -223);

    let (leader, dblocks) = resource(&self::area("rindex_lease"), "rindex_lease");
    assert_eq!((leader.is_owned(), leader.lver), (false, Lver(4)));
    let [(_, dblock, _)] = dblocks[..] else {
        panic!("{dblocks:?}")
    };
    assert!(
        !dblock.is_released(),
        "the index's lease is released in its leader only"
    );
}

#[test]
fn records_written_again_are_the_same() {
    for Recorded { name, bytes, .. } in parse(include_str!("in_use.txt")) {
        if name == "rindex" {
            continue;
        }
        for sector in bytes.chunks_exact(512) {
            let mut leader = Leader::decode(sector).unwrap();
            if leader.verify_checksum().is_ok() && leader.record.magic != 0 {
                let mut again = [0; 512];
                leader.record.encode(&mut again);
                HostBitmap::decode(sector).unwrap().encode(&mut again);
                assert_eq!(again, sector, "{name}");
            }
        }
        if name != "lockspace" {
            for sector in bytes.chunks_exact(512).skip(2) {
                let mut dblock = Dblock::decode(sector).unwrap().record;
                if !dblock.is_untouched() {
                    let mut again = [0; 512];
                    ModeBlock::decode(sector).unwrap().encode(&mut again);
                    dblock.encode(&mut again);
                    assert_eq!(again, sector, "{name}");
                }
            }
        }
    }
}
