//! Looking at leases, requests, value blocks.

use std::time::Duration;

use ondisk::{Dblock, Generation, Geometry, HostId, Leader, Lver, RequestRecord, Timestamp};

use super::super::{
    InitKind, OwnersEntry, Request, Requested, init, overwrite_leader, read_leader, read_lvb,
    read_owners, read_request, read_resource, request, write_lvb,
};
use super::{held, proposal};
use crate::testing::{Fault, MemDisk, RESOURCE, SMALL, World, context, name};
use crate::{Error, ResourceLease};

#[tokio::test(start_paused = true)]
async fn owners_are_told_with_any_guess_of_the_sizes() {
    for geometry in Geometry::ALL {
        let (world, ctx) = (World::new(geometry), context(10));
        let lease = world.lease();
        let owners = read_owners(&ctx, &lease, None).await.unwrap();
        assert!(owners.hosts.is_empty() && !owners.shared);
        assert_eq!(owners.geometry, geometry);
        world.set_owner(2, 3, 4);
        world.set_shared(2, 3);
        world.set_shared(5, 6);
        let owners = read_owners(&ctx, &lease, Some(geometry)).await.unwrap();
        let entry = |host, generation, timestamp| OwnersEntry {
            host: HostId(host),
            generation: Generation(generation),
            timestamp: Timestamp(timestamp),
        };
        assert_eq!(owners.hosts, [entry(2, 3, 77), entry(5, 6, 0)]);
        assert!(owners.shared);
        assert_eq!(owners.lver, Lver(4));
        for wrong in Geometry::ALL.into_iter().filter(|wrong| *wrong != geometry) {
            let error = read_owners(&ctx, &lease, Some(wrong)).await.unwrap_err();
            assert_eq!(error.code(), -22);
        }
    }
    let (disk, ctx) = (MemDisk::new(), context(10));
    let lease = ResourceLease {
        areas: vec![disk.area(0)],
        ..World::new(SMALL).lease()
    };
    let error = read_owners(&ctx, &lease, None).await.unwrap_err();
    assert_eq!(error.code(), -22, "nothing is there, not even sizes");
}

#[tokio::test(start_paused = true)]
async fn a_resource_tells_its_name() {
    for geometry in Geometry::ALL {
        let (world, ctx) = (World::new(geometry), context(10));
        let area = world.disk.area(RESOURCE);
        let found = read_resource(&ctx, &area, None, None, None).await.unwrap();
        assert_eq!((found.space, found.name), (name("space"), name("res")));
        assert_eq!(found.geometry, Some(geometry));
        let (space, resource) = (name("space"), name("other"));
        let error = read_resource(&ctx, &area, Some(geometry), Some(&space), Some(&resource)).await;
        assert_eq!(error.unwrap_err().code(), -227);
        world.set_leader(|leader| leader.magic = Leader::CLEAR_MAGIC);
        let error = read_resource(&ctx, &area, None, None, None)
            .await
            .unwrap_err();
        assert_eq!(error.code(), -223);
    }
}

#[tokio::test(start_paused = true)]
async fn leaders_can_be_read_and_overwritten() {
    let (world, ctx) = (World::new(SMALL), context(10));
    let lease = world.lease();
    let leader = read_leader(&ctx, &lease).await.unwrap();
    let changed = Leader {
        lver: Lver(9),
        checksum: 0,
        ..leader
    };
    overwrite_leader(&ctx, &lease, &changed).await.unwrap();
    assert_eq!(read_leader(&ctx, &lease).await.unwrap().lver, Lver(9));
}

#[tokio::test(start_paused = true)]
async fn a_lease_value_block_is_kept_where_it_fits() {
    for geometry in Geometry::ALL {
        let (world, ctx) = (World::new(geometry), context(10));
        let lease = held(&world, &ctx).await.lease;
        let value = vec![7; geometry.sector.bytes()];
        if geometry.lvb_fits() {
            write_lvb(&ctx, &lease, &value).await.unwrap();
            assert_eq!(read_lvb(&ctx, &lease).await.unwrap()[..], value[..]);
            assert_eq!(world.requests(), "W 2002, R 2002");
            assert_eq!(world.leader().lver, Lver(1));
            let error = write_lvb(&ctx, &lease, &value[1..]).await.unwrap_err();
            assert_eq!(error.code(), -22);
        } else {
            for error in [
                write_lvb(&ctx, &lease, &value).await.unwrap_err(),
                read_lvb(&ctx, &lease).await.unwrap_err(),
            ] {
                assert_eq!(error.code(), -22);
                assert!(error.to_string().contains("outside"), "{error}");
            }
            assert_eq!(world.requests(), "", "another lease stands there");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn requests_are_written_for_an_owner() {
    let (world, ctx) = (World::new(SMALL), context(10));
    let lease = world.lease();
    let kill = Request {
        force_mode: 1,
        ..Request::default()
    };
    let next = Request {
        next_lver: true,
        ..kill
    };
    let nobody = Requested {
        owner: None,
        record: None,
    };
    assert_eq!(request(&ctx, &lease, next).await.unwrap(), nobody);
    assert_eq!(world.requests(), "R 0");

    world.set_owner(2, 3, 4);
    let asked = request(&ctx, &lease, next).await.unwrap();
    assert_eq!(world.requests(), "R 0, R 1, W 1");
    let record = read_request(&ctx, &lease).await.unwrap();
    assert_eq!((record.lver, record.force_mode), (Lver(5), 1));
    assert_eq!(
        asked,
        Requested {
            owner: Some(HostId(2)),
            record: Some(record)
        }
    );
    assert!(Requested::concerns_owner(&record, Lver(4)));
    assert!(!Requested::concerns_owner(&record, Lver(5)));

    // Several hosts may ask for the same version, but not for an older one.
    let wants = |lver| Request {
        lver: Some(Lver(lver)),
        ..kill
    };
    request(&ctx, &lease, wants(5)).await.unwrap();
    request(&ctx, &lease, wants(7)).await.unwrap();
    for (wish, code) in [
        (wants(4), -272),
        (kill, -272),
        (wants(6), -273),
        (next, -273),
    ] {
        assert_eq!(
            request(&ctx, &lease, wish).await.unwrap_err().code(),
            code,
            "{wish:?}"
        );
    }
    // Taken back.
    world.requests();
    let taken_back = request(&ctx, &lease, Request::default()).await.unwrap();
    assert_eq!(taken_back.owner, None);
    assert_eq!(world.requests(), "R 1, W 1");
    assert_eq!(
        read_request(&ctx, &lease).await.unwrap(),
        RequestRecord::new()
    );
}

#[tokio::test(start_paused = true)]
async fn what_is_no_request_record_is_refused() {
    let (world, ctx) = (World::new(SMALL), context(10));
    world.set_owner(2, 3, 4);
    let wish = Request {
        next_lver: true,
        ..Request::default()
    };
    for (record, code) in [
        (
            RequestRecord {
                magic: 0,
                ..RequestRecord::new()
            },
            -270,
        ),
        (
            RequestRecord {
                version: 0x0002_0000,
                ..RequestRecord::new()
            },
            -271,
        ),
    ] {
        let mut sector = [0; 512];
        record.encode(&mut sector);
        world.disk.poke(RESOURCE + 512, &sector);
        assert_eq!(
            request(&ctx, &world.lease(), wish)
                .await
                .unwrap_err()
                .code(),
            code
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_lease_is_valid_only_when_it_is_complete() {
    for geometry in Geometry::ALL {
        let (world, ctx) = (World::new(geometry), context(10));
        world.set_dblock(2, proposal(9, 9, 2, 9));
        let lease = world.lease();
        world
            .disk
            .before(1, |disk| assert_eq!(disk.leader(RESOURCE).magic, 0));
        let minute = Duration::from_secs(60);
        init(&ctx, &lease, InitKind::Free, 3, minute).await.unwrap();
        assert_eq!(world.requests(), "W A, W 0");
        assert_eq!(world.dblock(2), Dblock::default());
        assert_eq!(world.leader().num_hosts, 3);
        // What was to be made valid is not if the first of the two writes fails.
        world.disk.fail(0, Fault::DoneButError);
        init(&ctx, &lease, InitKind::Free, 3, minute)
            .await
            .unwrap_err();
        assert!(matches!(
            read_leader(&ctx, &lease).await,
            Err(Error::Leader { .. })
        ));
    }
}
