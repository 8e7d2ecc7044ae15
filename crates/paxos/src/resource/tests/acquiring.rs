//! Acquiring a lease that is free, or whose owner is to be judged.

use std::sync::atomic::Ordering;
use std::time::Duration;

use ondisk::{Dblock, Generation, Geometry, HostId, Leader, Lver, Timestamp};
use tokio::time::Instant;

use super::super::{AcquireOptions, ResourceLease, acquire_owner};
use super::{acquire, acquire_with, proposal};
use crate::testing::{Fault, RESOURCE, SMALL, World, context, member, name};
use crate::{Cancel, Error, NoLiveness};

#[tokio::test(start_paused = true)]
async fn a_free_lease_takes_three_reads_and_three_writes() {
    for geometry in Geometry::ALL {
        let (world, ctx) = (World::new(geometry), context(10));
        let (start, acquired) = (Instant::now(), acquire(&world, &ctx).await.unwrap());
        assert_eq!(world.requests(), "R 0+128, W 2, R A, W 2, R A, W 0");
        assert_eq!(start.elapsed(), Duration::ZERO);
        let leader = acquired.held.leader;
        assert_eq!(leader, world.leader());
        assert_eq!(
            (leader.owner_id, leader.owner_generation),
            (HostId(1), Generation(1))
        );
        assert_eq!((leader.lver, leader.timestamp), (Lver(1), Timestamp(1000)));
        assert_eq!(
            (leader.write_id, leader.write_timestamp),
            (HostId(1), Timestamp(1000))
        );
        let dblock = world.dblock(1);
        assert_eq!((dblock.mbal, dblock.bal, dblock.inp), (1, 1, HostId(1)));
        assert_eq!(
            (dblock.inp3, dblock.lver, dblock.flags),
            (Timestamp(1000), Lver(1), 0)
        );
        assert!(acquired.shared_by.is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn ballots_of_few_hosts_read_little() {
    let (world, ctx) = (World::new(SMALL), context(10));
    world.set_leader(|leader| leader.num_hosts = 16);
    acquire(&world, &ctx).await.unwrap();
    assert_eq!(world.requests(), "R 0+128, W 2, R 0+32, W 2, R 0+32, W 0");
}

#[tokio::test(start_paused = true)]
async fn a_ballot_is_numbered_after_all_others() {
    let (world, ctx) = (World::new(SMALL), context(10));
    world.set_dblock(7, proposal(4007, 4007, 7, 0));
    let acquired = acquire(&world, &ctx).await.unwrap();
    assert_eq!(acquired.held.dblock.mbal, 6001);
    world.set_dblock(7, proposal(u64::MAX, 0, 0, 0));
    assert!(matches!(
        acquire(&world, &ctx).await.unwrap_err().error,
        Error::Exhausted { .. }
    ));
}

#[tokio::test(start_paused = true)]
async fn what_we_have_left_is_ours_to_take() {
    for generation in [1, 0] {
        let (world, ctx) = (World::new(SMALL), context(10));
        world.set_owner(1, generation, 4);
        let acquired = acquire(&world, &ctx).await.unwrap();
        assert_eq!(acquired.held.leader.lver, Lver(5));
        assert_eq!(world.requests(), "R 0+128, R A, W 2, R A, W 2, R A, W 0");
    }
}

#[tokio::test(start_paused = true)]
async fn only_the_wanted_version_is_acquired() {
    let (world, ctx) = (World::new(SMALL), context(10));
    world.set_leader(|leader| leader.lver = Lver(4));
    let options = |lver| AcquireOptions {
        lver: Some(Lver(lver)),
        ..AcquireOptions::default()
    };
    let error = acquire_with(&world, &ctx, &options(3)).await.unwrap_err();
    assert_eq!((error.code(), error.undo.is_none()), (-240, true));
    acquire_with(&world, &ctx, &options(4)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_live_owner_keeps_its_lease() {
    let (world, ctx) = (World::new(SMALL), context(10));
    world.set_owner(2, 3, 4);
    world.renew(2, 3, 500, 30);
    // Our last scan found it changed.
    world.scanned(2, 990, 990);
    let error = acquire(&world, &ctx).await.unwrap_err();
    assert_eq!((error.code(), error.undo.is_none()), (-243, true));
    let owner = error.error.owner().unwrap();
    assert_eq!(
        (owner.host, owner.generation, owner.lver),
        (HostId(2), Generation(3), Lver(4))
    );
    assert_eq!(
        owner.dead_in,
        Some(301),
        "8 * 30 + 60 seconds, and more than that"
    );
    assert!(
        error.to_string().contains("host 2 in generation 3"),
        "{error}"
    );
    assert_eq!(world.requests(), "R 0+128, R A, R -");

    // Our last scan did not, but its lease has changed since.
    world.scanned(2, 980, 990);
    world.renew(2, 3, 520, 30);
    assert_eq!(acquire(&world, &ctx).await.unwrap_err().code(), -243);
}

#[tokio::test(start_paused = true)]
async fn an_owner_that_has_left_or_come_back_has_lost_its_lease() {
    for (generation, timestamp) in [(3, 0), (4, 500)] {
        let (world, ctx) = (World::new(SMALL), context(10));
        world.set_owner(2, 3, 4);
        world.renew(2, generation, timestamp, 10);
        world.scanned(2, 990, 990);
        let acquired = acquire(&world, &ctx).await.unwrap();
        assert_eq!(acquired.held.leader.lver, Lver(5));
        assert_eq!(
            world.requests(),
            "R 0+128, R A, R -, R 0, W 2, R A, W 2, R A, W 0"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_silent_owner_is_waited_for_by_its_own_timeouts() {
    // Seen live 40 s ago: more than 8 * io + 60 seconds have to pass since.
    for (theirs, scanned, wait) in [(10, 10, 101), (30, 30, 261), (30, 10, 261), (10, 30, 261)] {
        let (world, ctx, start) = (World::new(SMALL), context(10), Instant::now());
        world.set_owner(2, 3, 4);
        world.renew(2, 3, 500, scanned);
        world.scanned(2, 960, 990);
        world.renew(2, 3, 500, theirs);
        acquire(&world, &ctx).await.unwrap();
        assert_eq!(
            start.elapsed(),
            Duration::from_secs(wait),
            "{theirs} {scanned}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn the_timeout_of_an_owner_that_was_never_scanned_is_not_taken_to_be_ours() {
    for (theirs, wait) in [(30, 301), (0, 8 * 255 + 61)] {
        let (world, ctx, start) = (World::new(SMALL), context(10), Instant::now());
        world.set_owner(2, 3, 4);
        world.renew(2, 3, 500, theirs);
        acquire(&world, &ctx).await.unwrap();
        assert_eq!(start.elapsed(), Duration::from_secs(wait));
    }
}

#[tokio::test(start_paused = true)]
async fn silence_counts_from_after_the_first_look() {
    // The lease is slow to be read, or the owner's host id.
    for slow in [1, 2] {
        let (world, ctx, start) = (World::new(SMALL), context(10), Instant::now());
        world.set_owner(2, 3, 4);
        world.renew(2, 3, 500, 10);
        world.disk.fail(slow, Fault::Slow(Duration::from_secs(9)));
        acquire(&world, &ctx).await.unwrap();
        assert_eq!(start.elapsed(), Duration::from_secs(9 + 141), "{slow}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_renewal_during_the_wait_ends_it() {
    let (world, ctx, start) = (World::new(SMALL), context(10), Instant::now());
    world.set_owner(2, 3, 4);
    world.renew(2, 3, 500, 10);
    let renewed = Leader {
        timestamp: Timestamp(520),
        ..world.disk.leader(512)
    };
    let disk = world.disk.clone();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(30_500)).await;
        disk.poke_leader(512, &renewed);
    });
    assert_eq!(acquire(&world, &ctx).await.unwrap_err().code(), -243);
    assert_eq!(start.elapsed(), Duration::from_secs(31));
}

#[tokio::test(start_paused = true)]
async fn a_change_of_owner_during_the_wait_starts_it_anew() {
    let (world, ctx) = (World::new(SMALL), context(10));
    world.set_owner(2, 3, 4);
    world.renew(2, 3, 500, 10);
    let freed = Leader {
        timestamp: Timestamp::FREE,
        ..world.leader()
    };
    let disk = world.disk.clone();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(500)).await;
        disk.poke_leader(RESOURCE, &freed);
    });
    let acquired = acquire(&world, &ctx).await.unwrap();
    assert_eq!(acquired.held.leader.lver, Lver(5));
    assert_eq!(
        world.requests(),
        "R 0+128, R A, R -, R 0, R A, W 2, R A, W 2, R A, W 0"
    );
}

#[tokio::test(start_paused = true)]
async fn who_does_not_wait_is_told_for_how_long_to_wait() {
    let (world, ctx) = (World::new(SMALL), context(10));
    world.set_owner(2, 3, 4);
    world.renew(2, 3, 500, 10);
    let options = AcquireOptions {
        no_wait: true,
        ..AcquireOptions::default()
    };
    world.scanned(2, 960, 990);
    let error = acquire_with(&world, &ctx, &options).await.unwrap_err();
    assert_eq!(error.code(), -247);
    assert_eq!(error.error.owner().unwrap().dead_in, Some(101));
    assert_eq!(world.requests(), "R 0+128, R A, R -");

    // Without a scan one more look is needed to tell that it is silent.
    world.seen.lock().unwrap().clear();
    let error = acquire_with(&world, &ctx, &options).await.unwrap_err();
    assert_eq!(error.code(), -247);
    assert_eq!(world.requests(), "R 0+128, R A, R -, R 0, R -");
}

#[tokio::test(start_paused = true)]
async fn a_live_owner_that_says_so_in_its_dblock_has_released() {
    let (world, ctx) = (World::new(SMALL), context(10));
    world.set_owner(2, 3, 4);
    world.renew(2, 3, 500, 10);
    world.scanned(2, 990, 990);
    let released = |lver| Dblock {
        flags: Dblock::RELEASED,
        ..proposal(2, 2, 2, lver)
    };
    // It wrote the leader itself: then its dblock is not asked.
    world.set_dblock(2, released(4));
    assert_eq!(acquire(&world, &ctx).await.unwrap_err().code(), -243);
    assert_eq!(world.requests(), "R 0+128, R A, R -");
    // Another host wrote it, but what was released was an older version, or nothing.
    world.set_leader(|leader| leader.write_id = HostId(9));
    for dblock in [released(3), proposal(2, 2, 2, 4)] {
        world.set_dblock(2, dblock);
        assert_eq!(acquire(&world, &ctx).await.unwrap_err().code(), -243);
        assert_eq!(world.requests(), "R 0+128, R A, R -, R 3");
    }
    // This version was, or the dblock was wiped as the C program does after an error.
    for dblock in [
        released(4),
        Dblock {
            flags: Dblock::RELEASED,
            ..Dblock::default()
        },
    ] {
        world.set_owner(2, 3, 4);
        world.set_leader(|leader| leader.write_id = HostId(9));
        world.set_dblock(1, Dblock::default());
        world.set_dblock(2, dblock);
        acquire(&world, &ctx).await.unwrap();
        assert_eq!(
            world.requests(),
            "R 0+128, R A, R -, R 3, R 0, W 2, R A, W 2, R A, W 0"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn force_asks_nobody() {
    let (world, ctx) = (World::new(SMALL), context(10));
    world.set_owner(2, 3, 4);
    world.renew(2, 3, 500, 10);
    let options = AcquireOptions {
        force: true,
        ..AcquireOptions::default()
    };
    acquire_with(&world, &ctx, &options).await.unwrap();
    assert_eq!(world.requests(), "R A, W 2, R A, W 2, R A, W 0");
}

#[tokio::test(start_paused = true)]
async fn without_the_lockspace_an_owner_cannot_be_judged() {
    let (world, ctx) = (World::new(SMALL), context(10));
    world.set_owner(2, 3, 4);
    world.joined.store(false, Ordering::Relaxed);
    assert_eq!(acquire(&world, &ctx).await.unwrap_err().code(), -241);
    let (lease, options) = (world.lease(), AcquireOptions::default());
    let cancel = Cancel::new();
    let nobody = acquire_owner(&ctx, &lease, member(1, 1), &NoLiveness, &options, &cancel);
    assert_eq!(nobody.await.unwrap_err().code(), -241);
    // A damaged delta lease of the owner tells nothing either.
    world.joined.store(true, Ordering::Relaxed);
    world.disk.poke_leader(
        512,
        &Leader {
            magic: 0,
            ..world.disk.leader(512)
        },
    );
    assert_eq!(acquire(&world, &ctx).await.unwrap_err().code(), -223);
}

#[tokio::test(start_paused = true)]
async fn the_wait_for_an_owner_can_be_cancelled() {
    let (world, ctx, start, cancel) = (
        World::new(SMALL),
        context(10),
        Instant::now(),
        Cancel::new(),
    );
    world.set_owner(2, 3, 4);
    world.renew(2, 3, 500, 10);
    let later = cancel.clone();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(2500)).await;
        later.cancel();
    });
    let (lease, options) = (world.lease(), AcquireOptions::default());
    let waiting = acquire_owner(&ctx, &lease, member(1, 1), &world, &options, &cancel);
    let error = waiting.await.unwrap_err();
    assert_eq!((error.code(), error.undo.is_none()), (-1, true));
    assert_eq!(start.elapsed(), Duration::from_millis(2500));
}

#[tokio::test(start_paused = true)]
async fn the_lease_tells_its_own_sizes() {
    for real in Geometry::ALL {
        for guess in Geometry::ALL {
            let (world, ctx) = (World::new(real), context(10));
            let lease = ResourceLease {
                geometry: guess,
                ..world.lease()
            };
            let options = AcquireOptions::default();
            let us = member(1, 1);
            let acquired = acquire_owner(&ctx, &lease, us, &world, &options, &Cancel::new())
                .await
                .unwrap();
            assert_eq!(acquired.held.lease.geometry, real);
            assert_eq!(world.dblock(1).inp, HostId(1));
        }
    }
    let (world, ctx) = (World::new(SMALL), context(10));
    world.set_leader(|leader| leader.sector_size = 1024);
    assert_eq!(acquire(&world, &ctx).await.unwrap_err().code(), -22);
}

#[tokio::test(start_paused = true)]
async fn what_is_no_lease_of_ours_is_refused() {
    type Change = (fn(&mut Leader), i32);
    let changes: [Change; 5] = [
        (|leader| leader.magic = 0, -223),
        (|leader| leader.version = 0x0007_0000, -224),
        (|leader| leader.space_name = name("other"), -226),
        (|leader| leader.resource_name = name("other"), -227),
        (|leader| leader.num_hosts = 0, -228),
    ];
    for (change, code) in changes {
        let (world, ctx) = (World::new(SMALL), context(10));
        world.set_leader(change);
        let error = acquire(&world, &ctx).await.unwrap_err();
        assert_eq!((error.code(), error.undo.is_none()), (code, true));
        assert!(error.to_string().contains("/mem"), "{error}");
        assert_eq!(world.requests(), "R 0+128");
    }
}

#[tokio::test(start_paused = true)]
async fn a_damaged_dblock_is_named() {
    let (world, ctx) = (World::new(SMALL), context(10));
    world.set_dblock(1234, proposal(1, 1, 3, 1));
    world.damage(1234);
    let error = acquire(&world, &ctx).await.unwrap_err();
    assert_eq!((error.code(), error.undo.is_none()), (-214, true));
    assert!(error.to_string().contains("host 1234"), "{error}");
    // Where the first look sees it nothing has been written.
    let (world, ctx) = (World::new(SMALL), context(10));
    world.set_dblock(126, proposal(1, 1, 3, 1));
    world.damage(126);
    assert_eq!(acquire(&world, &ctx).await.unwrap_err().code(), -214);
    assert_eq!(world.requests(), "R 0+128");
}

#[tokio::test(start_paused = true)]
async fn a_lease_whose_end_cannot_be_read_is_named_as_such() {
    let (world, ctx) = (World::new(SMALL), context(10));
    world.disk.fail(2, Fault::Error);
    world.disk.fail(3, Fault::Error);
    let error = acquire(&world, &ctx).await.unwrap_err();
    assert_eq!((error.code(), error.undo.is_none()), (-5, true));
    assert_eq!(world.requests(), "R 0+128, W 2, R A, R A");
    // A second failure of the same kind is one of the ballot.
    world.disk.fail(2, Fault::Error);
    assert_eq!(acquire(&world, &ctx).await.unwrap_err().code(), -210);
}

/// An acquire that looks at the beginning first, and one that looks at everything: both end alike.
#[tokio::test(start_paused = true)]
async fn a_first_look_that_leaves_hosts_out_changes_nothing() {
    let released = |dblock| Dblock {
        flags: Dblock::RELEASED,
        ..dblock
    };
    let (once, twice, anew) = (
        "R 0+128, W 2, R A, W 2, R A, W 0",
        "R 0+128, W 2, R A, W 2, R A, W 2, R A, W 0",
        "R 0+128, W 2, R A, R A, R A, W 2, R A, W 2, R A, W 0",
    );
    // The dblock of a host that is left out, and what that costs.
    let cases = [
        (127, proposal(127, 127, 127, 0), twice),
        (127, proposal(6127, 6127, 127, 3), twice),
        (127, released(proposal(4127, 4127, 127, 3)), twice),
        (127, proposal(3127, 3127, 127, 3), once),
        (2000, proposal(4000, 4000, 2000, 3), twice),
        // In the ballot for the next version: one that has not proposed, one that has, and one for another host.
        (300, proposal(4300, 0, 0, 4), twice),
        (300, proposal(2300, 2300, 300, 4), once),
        (300, proposal(8300, 8300, 9, 4), twice),
        // Far ahead of a leader that was put back, so that everything is looked at anew.
        (300, proposal(2300, 2300, 300, 7), anew),
        (1999, proposal(9999, 9999, 1999, 9), anew),
    ];
    for (host, theirs, requests) in cases {
        let mut disks = Vec::new();
        let before = proposal(2001, 2001, 1, 3);
        for first_look in [crate::FIRST_LOOK, 0] {
            let (world, mut ctx) = (World::new(SMALL), context(10));
            ctx.first_look = first_look;
            world.set_leader(|leader| leader.lver = Lver(3));
            if theirs.lver != Lver(0) {
                world.set_dblock(1, before);
            }
            world.set_dblock(host, theirs);
            let start = Instant::now();
            let result = acquire(&world, &ctx).await;
            let result = result.map_err(|error| (error.code(), error.undo.is_some()));
            assert_eq!(start.elapsed(), Duration::ZERO, "no back-off");
            let asked = world.requests();
            let requests = match first_look {
                0 if requests == anew => "R A, R A, W 2, R A, W 2, R A, W 0",
                0 => "R A, W 2, R A, W 2, R A, W 0",
                _ => requests,
            };
            assert_eq!(asked, requests, "{host} {theirs:?}");
            let leader = result.map(|acquired| acquired.held.leader);
            disks.push((leader, world.disk.peek(RESOURCE, 1 << 20)));
        }
        // Looked at anew, our own opening counts.
        let same = disks[0] == disks[1] || (requests == anew && disks[0].0 == disks[1].0);
        assert!(same, "{host} {theirs:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_host_beyond_the_first_look_reads_everything() {
    let (world, ctx) = (World::new(SMALL), context(10));
    let (lease, options) = (world.lease(), AcquireOptions::default());
    let us = member(127, 1);
    let acquired = acquire_owner(&ctx, &lease, us, &world, &options, &Cancel::new()).await;
    acquired.unwrap();
    assert_eq!(world.requests(), "R A, W 128, R A, W 128, R A, W 0");
}

/// What we have accepted for the next version, and that we had given it up, is in our own dblock only.
#[tokio::test(start_paused = true)]
async fn the_first_look_finds_what_we_have_left() {
    let (world, ctx) = (World::new(SMALL), context(10));
    let ours = Dblock {
        flags: Dblock::RELEASED,
        ..proposal(4001, 2001, 9, 1)
    };
    world.set_dblock(1, ours);
    world.disk.before(2, |disk| {
        let opening = Dblock::decode(&disk.peek(RESOURCE + 1024, 512));
        let opening = opening.unwrap().record;
        assert_eq!((opening.mbal, opening.bal), (6001, 2001));
        assert_eq!((opening.inp, opening.is_released()), (HostId(9), false));
    });
    world.disk.fail(4, Fault::Error);
    let error = acquire(&world, &ctx).await.unwrap_err();
    assert!(
        error.undo.is_some(),
        "that it is given up has to be said again"
    );
    assert_eq!(world.requests(), "R 0+128, W 2, R A, W 2, R A");
}

#[tokio::test(start_paused = true)]
async fn host_ids_without_a_dblock_are_refused() {
    let (world, ctx) = (World::new(SMALL), context(10));
    for host in [0, 2001] {
        let (lease, options) = (world.lease(), AcquireOptions::default());
        let us = member(host, 1);
        let error = acquire_owner(&ctx, &lease, us, &world, &options, &Cancel::new()).await;
        assert_eq!(error.unwrap_err().code(), -22);
    }
    // More hosts than there is room for, as `direct init -n -1` writes it.
    world.set_leader(|leader| leader.num_hosts = u64::MAX);
    acquire(&world, &ctx).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_number_of_hosts_can_be_changed() {
    for (wanted, written) in [
        (None, 2000),
        (Some(0), 2000),
        (Some(16), 16),
        (Some(9999), 2000),
    ] {
        let (world, ctx) = (World::new(SMALL), context(10));
        let options = AcquireOptions {
            num_hosts: wanted,
            ..AcquireOptions::default()
        };
        acquire_with(&world, &ctx, &options).await.unwrap();
        assert_eq!(world.leader().num_hosts, written);
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_written_once_our_host_id_may_be_lost() {
    let (world, ctx) = (World::new(SMALL), context(10));
    world.ours.store(false, Ordering::Relaxed);
    let error = acquire(&world, &ctx).await.unwrap_err();
    assert_eq!((error.code(), error.undo.is_none()), (-28, true));
    assert_eq!(world.requests(), "R 0+128");
}
