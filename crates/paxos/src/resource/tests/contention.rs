//! Other hosts in the same ballots, and requests that fail in the middle of one.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use ondisk::{Dblock, Generation, HostId, Leader, Lver, Timestamp};

use super::super::{AcquireOptions, acquire_owner, undo};
use super::{acquire, committed, proposal};
use crate::testing::{Fault, MemDisk, RESOURCE, SMALL, World, context, member};
use crate::{Cancel, Error};

/// The number of each request of an acquire of a free lease.
const READ_1: usize = 0;
const WRITE_1: usize = 1;
const READ_2: usize = 2;
const WRITE_2: usize = 3;
const READ_3: usize = 4;
const WRITE_LEADER: usize = 5;

fn poke_dblock(disk: &MemDisk, host: u64, mut dblock: Dblock) {
    let mut sector = [0; 512];
    dblock.encode(&mut sector);
    disk.poke(RESOURCE + (1 + host) * 512, &sector);
}

#[tokio::test(start_paused = true)]
async fn a_proposal_that_may_have_been_chosen_is_committed() {
    let (world, ctx) = (World::new(SMALL), context(10));
    world.set_dblock(7, proposal(7, 7, 7, 1));
    world.set_dblock(9, proposal(2009, 2009, 8, 1));
    let error = acquire(&world, &ctx).await.unwrap_err();
    assert_eq!((error.code(), error.undo.is_none()), (-245, true));
    let leader = world.leader();
    assert_eq!(
        (leader.owner_id, leader.write_id),
        (HostId(8), HostId(1)),
        "of the larger ballot"
    );
    assert_eq!(
        (leader.owner_generation, leader.timestamp),
        (Generation(1), Timestamp(50))
    );
    assert_eq!(world.dblock(1).inp, HostId(8));
}

#[tokio::test(start_paused = true)]
async fn a_larger_ballot_is_given_way_to() {
    for (number, requests) in [
        (READ_2, "R 0+128, W 2, R A, R 0, W 2, R A, W 2, R A, W 0"),
        (
            READ_3,
            "R 0+128, W 2, R A, W 2, R A, R 0, W 2, R A, W 2, R A, W 0",
        ),
    ] {
        let (world, ctx) = (World::new(SMALL), context(10));
        let theirs = Dblock {
            mbal: 4002,
            lver: Lver(1),
            ..Dblock::default()
        };
        world
            .disk
            .before(number, move |disk| poke_dblock(disk, 2, theirs));
        let acquired = acquire(&world, &ctx).await.unwrap();
        assert_eq!(world.requests(), requests);
        assert_eq!(
            acquired.held.dblock.mbal, 6001,
            "larger than theirs at once"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn what_we_proposed_stays_ours_in_the_next_ballot() {
    let (world, ctx) = (World::new(SMALL), context(10));
    let theirs = Dblock {
        mbal: 4002,
        lver: Lver(1),
        ..Dblock::default()
    };
    world
        .disk
        .before(READ_3, move |disk| poke_dblock(disk, 2, theirs));
    // The write that opens the second ballot.
    world.disk.before(READ_3 + 3, |disk| {
        let ours = Dblock::decode(&disk.peek(RESOURCE + 1024, 512))
            .unwrap()
            .record;
        assert_eq!((ours.mbal, ours.bal, ours.inp), (6001, 1, HostId(1)));
    });
    acquire(&world, &ctx).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn another_host_that_won_meanwhile_is_the_owner() {
    let (world, ctx) = (World::new(SMALL), context(10));
    let theirs = proposal(4002, 4002, 2, 1);
    let leader = committed(&world.leader(), &theirs, 2);
    world.disk.before(READ_2, move |disk| {
        poke_dblock(disk, 2, theirs);
        disk.poke_leader(RESOURCE, &leader);
    });
    let error = acquire(&world, &ctx).await.unwrap_err();
    assert_eq!((error.code(), error.undo.is_none()), (-244, true));
    assert_eq!(
        world.requests(),
        "R 0+128, W 2, R A, R 0",
        "the leader that came along told it"
    );
}

#[tokio::test(start_paused = true)]
async fn our_proposal_committed_by_another_host_is_a_success() {
    let (world, ctx) = (World::new(SMALL), context(10));
    let before = world.leader();
    world.disk.before(READ_3, move |disk| {
        let ours = Dblock::decode(&disk.peek(RESOURCE + 1024, 512))
            .unwrap()
            .record;
        poke_dblock(
            disk,
            2,
            Dblock {
                mbal: 4002,
                bal: 4002,
                ..ours
            },
        );
        disk.poke_leader(RESOURCE, &committed(&before, &ours, 2));
    });
    let acquired = acquire(&world, &ctx).await.unwrap();
    assert_eq!(acquired.held.leader.write_id, HostId(2));
    assert_eq!(acquired.held.leader, world.leader());
    assert_eq!(world.requests(), "R 0+128, W 2, R A, W 2, R A, R 0");
}

/// Another host commits what an earlier attempt or generation of ours has proposed and given up.
#[tokio::test(start_paused = true)]
async fn an_old_proposal_of_ours_is_not_a_success() {
    for generation in [0, 1] {
        let (world, ctx) = (World::new(SMALL), context(10));
        let old = Dblock {
            inp2: Generation(generation),
            ..proposal(2, 2, 1, 1)
        };
        let leader = committed(&world.leader(), &old, 2);
        world.disk.before(READ_2, move |disk| {
            poke_dblock(disk, 2, old);
            disk.poke_leader(RESOURCE, &leader);
        });
        let acquired = acquire(&world, &ctx).await.unwrap();
        assert_eq!(
            acquired.held.leader.lver,
            Lver(2),
            "the next version is ours"
        );
        assert_eq!(acquired.held.leader.timestamp, Timestamp(1000));
    }
}

/// The same, but it is us who find and commit it.
#[tokio::test(start_paused = true)]
async fn an_old_proposal_of_ours_is_committed_and_succeeded() {
    for generation in [0, 1] {
        let (world, ctx) = (World::new(SMALL), context(10));
        let old = Dblock {
            inp2: Generation(generation),
            ..proposal(2, 2, 1, 1)
        };
        world.set_dblock(2, old);
        world.disk.before(6, move |disk| {
            let leader = disk.leader(RESOURCE);
            assert_eq!(
                (leader.lver, leader.owner_generation.0),
                (Lver(1), generation)
            );
        });
        let acquired = acquire(&world, &ctx).await.unwrap();
        assert_eq!(
            (acquired.held.leader.lver, acquired.held.leader.timestamp.0),
            (Lver(2), 1000)
        );
        assert_eq!(acquired.held.leader.owner_generation, Generation(1));
    }
}

#[tokio::test(start_paused = true)]
async fn a_later_version_ends_the_ballots() {
    let (world, ctx) = (World::new(SMALL), context(10));
    let theirs = proposal(9, 9, 2, 2);
    let released = Leader {
        timestamp: Timestamp::FREE,
        ..committed(&world.leader(), &theirs, 2)
    };
    world.disk.before(READ_2, move |disk| {
        poke_dblock(disk, 2, theirs);
        disk.poke_leader(RESOURCE, &released);
    });
    let acquired = acquire(&world, &ctx).await.unwrap();
    assert_eq!(acquired.held.leader.lver, Lver(3));
}

#[tokio::test(start_paused = true)]
async fn a_version_that_only_a_dblock_knows_is_decided_first() {
    // The leader has been put back by an old write.
    for before in [READ_1, READ_2] {
        let (world, ctx) = (World::new(SMALL), context(10));
        world
            .disk
            .before(before, |disk| poke_dblock(disk, 2, proposal(2, 2, 2, 3)));
        let error = acquire(&world, &ctx).await.unwrap_err();
        assert_eq!((error.code(), error.undo.is_none()), (-245, true));
        let leader = world.leader();
        assert_eq!(
            (leader.lver, leader.owner_id, leader.write_id),
            (Lver(3), HostId(2), HostId(1))
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_dblock_that_somebody_else_writes_is_no_ballot() {
    // Once is a reason to try again.
    let (world, ctx) = (World::new(SMALL), context(10));
    world
        .disk
        .before(READ_2, |disk| poke_dblock(disk, 1, Dblock::default()));
    acquire(&world, &ctx).await.unwrap();
    // A disk that loses writes, or a host that uses our host id.
    let (world, ctx) = (World::new(SMALL), context(10));
    for number in 0..100 {
        world
            .disk
            .before(number, |disk| poke_dblock(disk, 1, proposal(1, 0, 0, 1)));
    }
    let error = acquire(&world, &ctx).await.unwrap_err();
    assert!(
        matches!(error.error, Error::OwnDblockLost { .. }),
        "{error}"
    );
    assert_eq!(error.code(), -210);
}

#[tokio::test(start_paused = true)]
async fn a_damaged_dblock_ends_the_ballot() {
    let (world, ctx) = (World::new(SMALL), context(10));
    world
        .disk
        .before(READ_3, |disk| disk.poke(RESOURCE + 3 * 512, &[1; 512]));
    let error = acquire(&world, &ctx).await.unwrap_err();
    assert_eq!((error.code(), error.undo.is_some()), (-214, true));
}

#[tokio::test(start_paused = true)]
async fn before_our_proposal_a_failure_leaves_nothing_behind() {
    for (number, code) in [(READ_1, -5), (WRITE_1, -211), (READ_2, -210)] {
        for fault in [Fault::Error, Fault::DoneButError] {
            let (world, ctx) = (World::new(SMALL), context(10));
            world.disk.fail(number, fault);
            let error = acquire(&world, &ctx).await.unwrap_err();
            assert_eq!((error.code(), error.undo.is_none()), (code, true));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn after_our_proposal_a_failure_has_to_be_taken_back() {
    for (number, code) in [(WRITE_2, -211), (READ_3, -210), (WRITE_LEADER, -5)] {
        for fault in [Fault::Error, Fault::DoneButError] {
            let (world, ctx) = (World::new(SMALL), context(10));
            world.disk.fail(number, fault);
            let error = acquire(&world, &ctx).await.unwrap_err();
            assert_eq!(error.code(), code);
            let mut begun = error.undo.unwrap();
            world.requests();
            undo(&ctx, &mut begun).await.unwrap();
            let landed = number == WRITE_LEADER && fault == Fault::DoneButError;
            assert_eq!(
                world.requests(),
                if landed {
                    "R 0, W 0, R 2, W 2"
                } else {
                    "R 0, R 2, W 2"
                }
            );
            let (dblock, leader) = (world.dblock(1), world.leader());
            assert!(dblock.is_released() && !leader.is_owned());
            assert_eq!(
                (dblock.bal, dblock.inp),
                (1, HostId(1)),
                "others may have taken it over"
            );

            // Whoever has, makes us an owner that has released already.
            poke_dblock(
                &world.disk,
                2,
                Dblock {
                    mbal: 2002,
                    bal: 2002,
                    flags: 0,
                    ..dblock
                },
            );
            if !landed {
                world
                    .disk
                    .poke_leader(RESOURCE, &committed(&leader, &dblock, 2));
                world.renew(1, 1, 500, 10);
                world.scanned(1, 990, 990);
                let (lease, options) = (world.lease(), AcquireOptions::default());
                let us = member(3, 1);
                acquire_owner(&ctx, &lease, us, &world, &options, &Cancel::new())
                    .await
                    .unwrap();
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_decided_while_a_write_is_under_way() {
    for (number, code) in [(WRITE_1, -211), (WRITE_2, -211), (WRITE_LEADER, -202)] {
        let (world, ctx) = (World::new(SMALL), context(10));
        world.disk.fail(number, Fault::Hang);
        let mut error = acquire(&world, &ctx).await.unwrap_err();
        assert_eq!(error.code(), code);
        assert!(error.error.is_timeout());
        assert_eq!(error.undo.is_some(), number != WRITE_1);
        world.requests();
        // Neither another attempt nor the undoing goes on before it is known what the disk holds.
        assert_eq!(acquire(&world, &ctx).await.unwrap_err().code(), -202);
        if let Some(begun) = &mut error.undo {
            assert_eq!(undo(&ctx, begun).await.unwrap_err().code(), -202);
        }
        assert_eq!(world.requests(), "");
        let disk = world.disk.clone();
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_secs(1)).await;
            disk.release_hung();
        });
        if let Some(begun) = &mut error.undo {
            undo(&ctx, begun).await.unwrap();
            assert!(!world.leader().is_owned());
        }
        acquire(&world, &ctx).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_lost_host_id_stops_a_ballot_halfway() {
    let (world, ctx) = (World::new(SMALL), context(10));
    let world = Arc::new(world);
    for number in [READ_2, READ_3] {
        let lost = Arc::clone(&world);
        world.ours.store(true, Ordering::Relaxed);
        world.set_dblock(1, Dblock::default());
        world
            .disk
            .before(number, move |_| lost.ours.store(false, Ordering::Relaxed));
        let error = acquire(&world, &ctx).await.unwrap_err();
        assert_eq!(error.code(), -28);
        assert!(!world.leader().is_owned());
        world.requests();
    }
}

#[tokio::test(start_paused = true)]
async fn an_interrupted_attempt_restores_what_our_dblock_said() {
    let (world, ctx) = (World::new(SMALL), context(10));
    let mut held = super::held(&world, &ctx).await;
    super::super::release(&ctx, &mut held, None).await.unwrap();
    assert!(world.dblock(1).is_released());
    world.requests();
    world.disk.fail(READ_2, Fault::Error);
    let error = acquire(&world, &ctx).await.unwrap_err();
    assert!(!world.dblock(1).is_released());
    undo(&ctx, &mut error.undo.unwrap()).await.unwrap();
    assert!(world.dblock(1).is_released());
}
