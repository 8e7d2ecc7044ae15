use super::*;
use proptest::prelude::*;

const SMALL: Geometry = Geometry::ALL[0];

fn name(name: &str) -> Name {
    name.parse().unwrap()
}

fn delta() -> Leader {
    Leader::new_delta(SMALL, &name("ls"), IoTimeout(10))
}

fn paxos() -> Leader {
    Leader::new_paxos(SMALL, &name("ls"), &name("res"), 0)
}

/// What a reader finds after the leader was written.
fn reread(mut leader: Leader) -> Decoded<Leader> {
    let mut sector = [0; 512];
    leader.encode(&mut sector);
    let decoded = Leader::decode(&sector).unwrap();
    assert_eq!(
        decoded.record, leader,
        "encode fills in the checksum of the record itself too"
    );
    decoded
}

#[test]
fn fields_stand_where_the_c_struct_has_them() {
    let leader = Leader {
        magic: 0x0101_0101,
        version: 0x0202_0202,
        flags: 0x0303_0303,
        sector_size: 0x0404_0404,
        num_hosts: 5,
        max_hosts: 6,
        owner_id: HostId(7),
        owner_generation: Generation(8),
        lver: Lver(9),
        space_name: name("space"),
        resource_name: name("resource"),
        timestamp: Timestamp(10),
        unused1: 11,
        checksum: 0x0c0c_0c0c,
        unused2: 0x0d0d,
        io_timeout: 0x0e0e,
        write_id: HostId(15),
        write_generation: Generation(16),
        write_timestamp: Timestamp(17),
    };
    let mut bytes = [0xff; 208];
    leader.encode_verbatim(&mut bytes);
    assert_eq!(
        bytes[..16],
        [1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4]
    );
    for (offset, number) in [
        (16, 5),
        (24, 6),
        (32, 7),
        (40, 8),
        (48, 9),
        (152, 10),
        (160, 11),
    ] {
        assert_eq!(bytes[offset..offset + 8], [number, 0, 0, 0, 0, 0, 0, 0]);
    }
    assert_eq!(bytes[56..62], *b"space\0");
    assert_eq!(bytes[104..113], *b"resource\0");
    assert_eq!(bytes[168..176], [12, 12, 12, 12, 13, 13, 14, 14]);
    for (offset, number) in [(176, 15), (184, 16), (192, 17)] {
        assert_eq!(bytes[offset..offset + 8], [number, 0, 0, 0, 0, 0, 0, 0]);
    }
    assert_eq!(
        bytes[200..],
        [0xff; 8],
        "what stands behind the record is left alone"
    );
}

#[test]
fn initial_leaders_are_valid() {
    assert_eq!(reread(delta()).verify_delta(&name("ls")), Ok(()));
    let paxos = reread(paxos());
    assert_eq!(
        paxos.verify_paxos(&name("ls"), &name("res"), HostId(2000)),
        Ok(())
    );
    assert!(!paxos.record.is_owned());
}

#[test]
fn the_number_of_hosts_is_at_most_the_geometrys() {
    let num_hosts = |wanted| {
        let leader = Leader::new_paxos(Geometry::ALL[1], &name("ls"), &name("res"), wanted);
        assert_eq!(leader.max_hosts, 250);
        leader.num_hosts
    };
    assert_eq!(
        [0, 1, 250, 251, u64::MAX].map(num_hosts),
        [250, 1, 250, 250, 250]
    );
}

#[test]
fn a_delta_lease_is_verified_field_by_field() {
    // Everything is wrong; each step repairs the field that was reported.
    let mut bad = Decoded {
        record: Leader {
            magic: 0,
            version: 0x0005_0000,
            ..paxos()
        },
        computed_checksum: 1,
    };
    let here = name("here");
    let kind = LeaseKind::Delta;
    let mut faults = Vec::new();

    faults.push(bad.verify_delta(&here).unwrap_err());
    bad.record.magic = 0x1221_2010;
    faults.push(bad.verify_delta(&here).unwrap_err());
    bad.record.version = 0x0003_ffff;
    faults.push(bad.verify_delta(&here).unwrap_err());
    bad.record.space_name = here;
    faults.push(bad.verify_delta(&here).unwrap_err());
    bad.record.checksum = 1;
    assert_eq!(bad.verify_delta(&here), Ok(()));

    let flags = 0x10;
    assert_eq!(
        faults,
        [
            LeaderFault::Magic { kind, found: 0 },
            LeaderFault::Version {
                kind,
                found: 0x0005_0000,
                flags
            },
            LeaderFault::Lockspace {
                found: name("ls"),
                expected: here
            },
            LeaderFault::Checksum {
                found: 0,
                expected: 1
            },
        ]
    );
    let codes: Vec<i32> = faults.iter().map(LeaderFault::code).collect();
    assert_eq!(codes, [-223, -224, -226, -229]);
}

#[test]
fn a_paxos_lease_is_verified_field_by_field() {
    let mut bad = Decoded {
        record: Leader {
            magic: 0x1128_2016,
            version: 0x0007_0000,
            num_hosts: 4,
            write_timestamp: Timestamp(99),
            ..paxos()
        },
        computed_checksum: 1,
    };
    let (space, resource, host) = (name("space"), name("resource"), HostId(5));
    let kind = LeaseKind::Paxos;
    let mut faults = Vec::new();

    faults.push(bad.verify_paxos(&space, &resource, host).unwrap_err());
    bad.record.magic = 0x1221_2010;
    faults.push(bad.verify_paxos(&space, &resource, host).unwrap_err());
    bad.record.magic = 0x0615_2010;
    faults.push(bad.verify_paxos(&space, &resource, host).unwrap_err());
    bad.record.version = 0x0006_0000;
    faults.push(bad.verify_paxos(&space, &resource, host).unwrap_err());
    bad.record.space_name = space;
    faults.push(bad.verify_paxos(&space, &resource, host).unwrap_err());
    bad.record.resource_name = resource;
    faults.push(bad.verify_paxos(&space, &resource, host).unwrap_err());
    bad.record.num_hosts = 5;
    faults.push(bad.verify_paxos(&space, &resource, host).unwrap_err());
    bad.record.checksum = 1;
    assert_eq!(bad.verify_paxos(&space, &resource, host), Ok(()));

    let flags = 0x10;
    assert_eq!(
        faults,
        [
            LeaderFault::Cleared { at: Timestamp(99) },
            LeaderFault::Magic {
                kind,
                found: 0x1221_2010
            },
            LeaderFault::Version {
                kind,
                found: 0x0007_0000,
                flags
            },
            LeaderFault::Lockspace {
                found: name("ls"),
                expected: space
            },
            LeaderFault::Resource {
                found: name("res"),
                expected: resource
            },
            LeaderFault::NumHosts { found: 4, host },
            LeaderFault::Checksum {
                found: 0,
                expected: 1
            },
        ]
    );
    let codes: Vec<i32> = faults.iter().map(LeaderFault::code).collect();
    assert_eq!(codes, [-223, -223, -224, -226, -227, -228, -229]);
}

#[test]
fn a_cleared_resource_is_no_delta_lease_either() {
    let cleared = reread(Leader {
        magic: Leader::CLEAR_MAGIC,
        ..delta()
    });
    let fault = cleared.verify_delta(&name("ls")).unwrap_err();
    assert_eq!(
        fault,
        LeaderFault::Magic {
            kind: LeaseKind::Delta,
            found: 0x1128_2016
        }
    );
}

#[test]
fn names_are_verified_up_to_their_end_and_all_48_bytes() {
    let mut leader = delta();
    let mut field = [0; 48];
    field[..5].copy_from_slice(b"ls\0xy");
    leader.space_name = Name::from_raw(field);
    assert_eq!(reread(leader).verify_delta(&name("ls")), Ok(()));

    let long = "x".repeat(47);
    let mut leader = delta();
    leader.space_name = name(&format!("{long}a"));
    assert_eq!(
        reread(leader.clone()).verify_delta(&name(&format!("{long}a"))),
        Ok(())
    );
    assert!(
        reread(leader)
            .verify_delta(&name(&format!("{long}b")))
            .is_err()
    );
}

#[test]
fn a_leader_that_is_cut_short_is_an_error() {
    let mut sector = [0; 512];
    paxos().encode(&mut sector);
    assert!(Leader::decode(&sector[..200]).is_ok());
    for len in [0, 1, 199] {
        assert_eq!(
            Leader::decode(&sector[..len]),
            Err(LeaderFault::Short { len })
        );
    }
    let mut short = [7; 199];
    paxos().encode(&mut short);
    assert_eq!(
        short, [7; 199],
        "a record is written as a whole or not at all"
    );
}

#[test]
fn leaders_of_two_disks_are_compared_up_to_the_timestamp() {
    let one = paxos();
    let newer = Leader {
        timestamp: Timestamp(8),
        checksum: 3,
        write_id: HostId(4),
        ..paxos()
    };
    assert!(one.same_but_times(&newer));
    assert!(!one.same_but_times(&Leader {
        lver: Lver(1),
        ..paxos()
    }));
    let mut field = *one.resource_name.raw();
    field[47] = 1;
    assert!(
        !one.same_but_times(&Leader {
            resource_name: Name::from_raw(field),
            ..paxos()
        }),
        "all bytes count, even behind the end of a name"
    );
}

#[test]
fn the_geometry_follows_from_flags_or_history() {
    for geometry in Geometry::ALL {
        let leader = Leader::new_delta(geometry, &name("ls"), IoTimeout(10));
        assert_eq!(leader.geometry(), Some(geometry));
    }
    let old = |sector_size| {
        Leader {
            flags: 0,
            sector_size,
            ..paxos()
        }
        .geometry()
    };
    assert_eq!(old(512), Some(Geometry::ALL[0]));
    assert_eq!(old(4096), Some(Geometry::ALL[4]));
    assert_eq!(old(0), None);
    assert_eq!(
        Leader {
            flags: 0x80,
            ..paxos()
        }
        .geometry(),
        None,
        "512-byte sectors with 8M"
    );
}

proptest! {
    #[test]
    fn any_200_bytes_survive_decoding_and_encoding(bytes in prop::array::uniform32(any::<u8>()), shift in 0_usize..32) {
        let bytes: Vec<u8> = bytes.into_iter().cycle().skip(shift).take(200).collect();
        let mut again = [0; 200];
        Leader::decode(&bytes).unwrap().record.encode_verbatim(&mut again);
        prop_assert_eq!(&again[..], &bytes[..]);
    }

    #[test]
    fn one_changed_bit_of_the_covered_bytes_is_noticed(at in 0_usize..168, bit in 0_u32..8) {
        let mut sector = [0; 512];
        paxos().encode(&mut sector);
        sector[at] ^= 1 << bit;
        let decoded = Leader::decode(&sector).unwrap();
        prop_assert!(decoded.verify_checksum().is_err());
        prop_assert!(decoded.verify_paxos(&name("ls"), &name("res"), HostId(1)).is_err());
    }

    #[test]
    fn any_bytes_are_judged_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        if let Ok(decoded) = Leader::decode(&bytes) {
            let _ = decoded.record.geometry();
            let _ = format!("{decoded:?}");
            for fault in [
                decoded.verify_delta(&name("ls")).err(),
                decoded.verify_paxos(&name("ls"), &name("res"), HostId(1)).err(),
            ] {
                prop_assert!(fault.is_none_or(|fault| !fault.to_string().is_empty()));
            }
        }
    }
}
