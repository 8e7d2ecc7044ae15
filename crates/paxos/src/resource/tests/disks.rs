//! Leases on several disks.

use std::path::Path;

use ondisk::{Dblock, HostId, Leader, Lver, Timestamp, init_resource_area};
use storage::IoError;

use super::super::{
    AcquireOptions, InitKind, ResourceLease, Undo, acquire_exclusive, init, release, undo,
};
use super::proposal;
use crate::testing::{EIO, Fault, MemDisk, SMALL, context, member, name};
use crate::{AcquireError, Area, Cancel, Context, Error, Held, NoLiveness};

const ENOENT: i32 = 2;

fn disks(count: usize) -> (Vec<MemDisk>, ResourceLease) {
    let disks: Vec<_> = (0..count)
        .map(|number| MemDisk::at(&format!("/mem{number}")))
        .collect();
    let mut area = vec![0; SMALL.align.bytes()];
    init_resource_area(SMALL, &name("space"), &name("res"), 0, None, &mut area).unwrap();
    for disk in &disks {
        disk.poke(0, &area);
    }
    let areas = disks.iter().map(|disk| disk.area(0)).collect();
    let (space, name) = (name("space"), name("res"));
    (
        disks,
        ResourceLease {
            space,
            name,
            areas,
            geometry: SMALL,
        },
    )
}

async fn acquire(ctx: &Context, lease: &ResourceLease) -> Result<Held, AcquireError> {
    let options = AcquireOptions::default();
    acquire_exclusive(
        ctx,
        lease,
        member(1, 1),
        &NoLiveness,
        &options,
        &Cancel::new(),
    )
    .await
}

#[tokio::test(start_paused = true)]
async fn every_disk_gets_everything() {
    for count in [2, 3, 4] {
        let ((disks, lease), ctx) = (disks(count), context(10));
        let mut held = acquire(&ctx, &lease).await.unwrap();
        for disk in &disks {
            assert_eq!(disk.requests(0, SMALL), "R 0+128, W 2, R A, W 2, R A, W 0");
            assert_eq!(disk.leader(0), held.leader);
        }
        release(&ctx, &mut held, None).await.unwrap();
        for disk in &disks {
            assert!(!disk.leader(0).is_owned());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn some_disks_can_be_done_without() {
    for (count, failing, enough) in [
        (2, 1, false),
        (3, 1, true),
        (3, 2, false),
        (4, 1, true),
        (4, 2, false),
    ] {
        // The whole lease, the first dblock, the first ballot's read, ...
        for number in 0..6 {
            let ((disks, lease), ctx) = (disks(count), context(10));
            for disk in &disks[..failing] {
                disk.fail(number, Fault::Error);
            }
            let result = acquire(&ctx, &lease).await;
            assert_eq!(result.is_ok(), enough, "{count} {failing} {number}");
            if let Err(error) = result {
                let code = [-210, -211, -210, -211, -210, -5][number];
                assert_eq!(error.code(), code, "{error}");
                assert_eq!(error.undo.is_some(), number > 2);
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_disk_that_could_not_be_opened_is_one_that_fails() {
    for (errno, released) in [(EIO, Err(-5)), (ENOENT, Ok(()))] {
        let ((disks, mut lease), ctx) = (disks(3), context(10));
        let error = IoError::Os {
            action: "open /gone".to_owned(),
            errno,
        };
        lease.areas[0] = Area::unopened(Path::new("/gone"), 0, error);
        let mut held = acquire(&ctx, &lease).await.unwrap();
        assert_eq!(disks[1].leader(0), held.leader);
        // A release has to be said on every disk that may come back: it would say otherwise.
        let done = release(&ctx, &mut held, None).await;
        assert_eq!(done.map(drop).map_err(|error| error.code()), released);
        let dblock = Dblock::decode(&disks[1].peek(1024, 512)).unwrap().record;
        assert!(!disks[1].leader(0).is_owned() && dblock.is_released());
    }
}

#[tokio::test(start_paused = true)]
async fn a_release_is_said_on_most_disks() {
    let ((_disks, mut lease), ctx) = (disks(3), context(10));
    let mut held = acquire(&ctx, &lease).await.unwrap();
    let gone = |path: &str| {
        let action = format!("open {path}");
        let errno = ENOENT;
        Area::unopened(Path::new(path), 0, IoError::Os { action, errno })
    };
    (lease.areas[0], lease.areas[1]) = (gone("/mem0"), gone("/mem1"));
    held.lease = lease;
    assert!(release(&ctx, &mut held, None).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_phase_counts_disks_that_were_written_and_read() {
    let ((disks, lease), ctx) = (disks(3), context(10));
    disks[0].fail(1, Fault::Error);
    disks[1].fail(2, Fault::Error);
    let error = acquire(&ctx, &lease).await.unwrap_err();
    assert_eq!(
        error.code(),
        -210,
        "one disk alone was written and read: {error}"
    );
    assert!(matches!(
        error.error,
        Error::TooFewDisks { done: 1, of: 3, .. }
    ));
}

#[tokio::test(start_paused = true)]
async fn the_leader_of_most_disks_counts_or_else_the_latest() {
    let leaders = |lvers: [u64; 3]| {
        let (disks, lease) = disks(3);
        for (lver, disk) in lvers.into_iter().zip(&disks) {
            disk.poke_leader(
                0,
                &Leader {
                    lver: Lver(lver),
                    ..disk.leader(0)
                },
            );
        }
        lease
    };
    for (lvers, acquired) in [
        ([0, 1, 2], 3),
        ([2, 0, 2], 3),
        ([0, 0, 2], 1),
        ([1, 0, 0], 1),
    ] {
        let ctx = context(10);
        let held = acquire(&ctx, &leaders(lvers)).await.unwrap();
        assert_eq!(held.leader.lver, Lver(acquired), "{lvers:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_proposal_on_any_disk_is_found() {
    let ((disks, lease), ctx) = (disks(3), context(10));
    let mut sector = [0; 512];
    Dblock {
        inp3: Timestamp(5),
        ..proposal(7, 7, 7, 1)
    }
    .encode(&mut sector);
    disks[2].poke(8 * 512, &sector);
    assert_eq!(acquire(&ctx, &lease).await.unwrap_err().code(), -245);
    assert!(
        disks
            .iter()
            .all(|disk| disk.leader(0).owner_id == HostId(7))
    );
}

#[tokio::test(start_paused = true)]
async fn all_disks_are_initialised() {
    let ((disks, lease), ctx) = (disks(2), context(10));
    let minute = std::time::Duration::from_secs(60);
    init(&ctx, &lease, InitKind::Cleared, 0, minute)
        .await
        .unwrap();
    for disk in &disks {
        assert_eq!(disk.requests(0, SMALL), "W A, W 0");
        assert_eq!(disk.leader(0).magic, Leader::CLEAR_MAGIC);
    }
    assert_eq!(acquire(&ctx, &lease).await.unwrap_err().code(), -210);
}

#[tokio::test(start_paused = true)]
async fn the_leader_is_left_alone_once_most_disks_have_it_free() {
    for repeated in ["release", "undo"] {
        let ((disks, lease), ctx) = (disks(3), context(10));
        let mut held = acquire(&ctx, &lease).await.unwrap();
        let mut begun = Undo::of(&held);
        let leader = held.leader.clone();
        let mut give_back = async || match repeated {
            "release" => release(&ctx, &mut held, None).await.map(drop),
            _ => undo(&ctx, &mut begun).await,
        };
        // The leader is freed on two of three, and our dblock released on two of three.
        disks[0].fail(1, Fault::Error);
        disks[1].fail(if repeated == "undo" { 3 } else { 2 }, Fault::Error);
        assert_eq!(give_back().await.unwrap_err().code(), -5);
        let owned = |disk: &MemDisk| disk.leader(0).is_owned();
        let owned_on: Vec<_> = disks.iter().map(owned).collect();
        assert_eq!(owned_on, [true, false, false]);
        // Another host becomes the owner, but not yet on the disk that still names us. One of its disks fails later, so
        // that what we would write there could put our version back on most.
        let theirs = Leader {
            lver: Lver(2),
            owner_id: HostId(2),
            write_id: HostId(2),
            ..leader
        };
        for disk in &disks[1..] {
            disk.poke_leader(0, &theirs);
        }
        disks[2].fail(0, Fault::Error);
        disks[0].requests(0, SMALL);
        give_back().await.unwrap();
        assert_eq!(disks[0].requests(0, SMALL), "R 2, W 2");
        assert!(owned(&disks[0]));
        for disk in &disks[1..] {
            assert_eq!(disk.leader(0).owner_id, HostId(2));
            assert!(disk.leader(0).same_but_times(&theirs));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_release_that_hangs_never_puts_its_version_back_on_most_disks() {
    let ((disks, lease), ctx) = (disks(3), context(10));
    let mut held = acquire(&ctx, &lease).await.unwrap();
    let owned = || {
        disks
            .iter()
            .map(|disk| disk.leader(0).is_owned())
            .collect::<Vec<_>>()
    };
    // The first attempt frees one disk, which the second cannot read: it does not know that it did.
    disks[0].fail(1, Fault::Error);
    disks[1].fail(1, Fault::Error);
    release(&ctx, &mut held, None).await.unwrap_err();
    assert_eq!(owned(), [true, true, false]);
    disks[2].requests(0, SMALL);
    disks[2].fail(0, Fault::Error);
    disks[1].fail(1, Fault::Hang);
    let error = release(&ctx, &mut held, None).await.unwrap_err();
    assert_eq!(error.code(), -202, "{error}");
    assert_eq!(
        owned(),
        [false, true, false],
        "most are free, another host may take it"
    );
    assert_eq!(
        disks[2].requests(0, SMALL),
        "R 0",
        "what was not read is not written"
    );
    let theirs = Leader {
        lver: Lver(2),
        owner_id: HostId(2),
        write_id: HostId(2),
        ..held.leader.clone()
    };
    for disk in &disks {
        disk.poke_leader(0, &theirs);
    }
    disks[1].release_hung();
    // It is another's by now, and left to it.
    assert_eq!(release(&ctx, &mut held, None).await, Ok(None));
    let lvers = disks.iter().map(|disk| disk.leader(0).lver.0);
    assert_eq!(lvers.collect::<Vec<_>>(), [2, 1, 2]);
}
