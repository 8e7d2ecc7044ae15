//! Shared holds and conversions.

use std::time::Duration;

use ondisk::{Dblock, Generation, HostId, Leader, Lver};

use super::super::{
    AcquireOptions, Mode, SharedOptions, acquire_exclusive, acquire_shared, complete_sharing,
    convert_to_exclusive, convert_to_shared, release, undo,
};
use super::{held, proposal};
use crate::testing::{Fault, RESOURCE, SMALL, World, context, member};
use crate::{AcquireError, Cancel, Context, Error, Held};

async fn shared(world: &World, ctx: &Context, host: u64) -> Result<Held, AcquireError> {
    let options = SharedOptions::default();
    let us = member(host, 1);
    acquire_shared(ctx, &world.lease(), us, world, &options, &Cancel::new()).await
}

async fn exclusive(world: &World, ctx: &Context) -> Result<Held, AcquireError> {
    let options = AcquireOptions::default();
    let us = member(1, 1);
    acquire_exclusive(ctx, &world.lease(), us, world, &options, &Cancel::new()).await
}

/// The host renewed its id a moment ago, as our scans have seen.
fn live(world: &World, host: u64) {
    world.renew(host, 1, 500, 10);
    world.scanned(host, 990, 990);
}

#[tokio::test(start_paused = true)]
async fn a_shared_hold_is_a_mark_and_a_free_leader() {
    let (world, ctx) = (World::new(SMALL), context(10));
    let mut held = shared(&world, &ctx, 1).await.unwrap();
    assert_eq!(
        world.requests(),
        "R 0+128, W 2, R A, W 2, R A, W 0, W 2, R 0, W 0, W 2"
    );
    assert_eq!(held.mode, Mode::Shared);
    assert!(!world.leader().is_owned());
    assert_eq!(world.leader().flags & Leader::SHORT_HOLD, 0);
    assert!(world.dblock(1).is_released());
    assert_eq!(world.mode(1).generation, Generation(1));
    assert!(world.mode(1).is_shared());
    // Another one.
    let other = shared(&world, &ctx, 2).await.unwrap();
    assert_eq!(other.leader.lver, Lver(2));
    assert!(world.mode(1).is_shared() && world.mode(2).is_shared());
    world.requests();

    assert!(release(&ctx, &mut held, None).await.unwrap().is_none());
    assert_eq!(world.requests(), "W 2");
    assert!(!world.mode(1).is_shared() && world.mode(2).is_shared());
}

#[tokio::test(start_paused = true)]
async fn a_lease_is_not_given_away_before_the_leader_is_free() {
    // A host that has written us down as the owner looks just before our leader is freed: were our dblock released by
    // then, it could take the lease, and our leader would replace its own.
    let look_before = |world: &World, write| {
        world.disk.before(write, |disk| {
            let dblock = Dblock::decode(&disk.peek(RESOURCE + 2 * 512, 512)).unwrap();
            assert!(disk.leader(RESOURCE).is_owned() && !dblock.record.is_released());
        });
    };
    let (world, ctx) = (World::new(SMALL), context(10));
    look_before(&world, 8);
    shared(&world, &ctx, 1).await.unwrap();
    let (world, ctx) = (World::new(SMALL), context(10));
    let mut held = held(&world, &ctx).await;
    look_before(&world, 2);
    convert_to_shared(&ctx, &mut held).await.unwrap();
    assert!(world.dblock(1).is_released() && world.mode(1).is_shared());
}

#[tokio::test(start_paused = true)]
async fn whoever_wants_to_share_says_that_it_takes_only_a_moment() {
    let (world, ctx) = (World::new(SMALL), context(10));
    world.disk.before(6, |disk| {
        assert_ne!(disk.leader(RESOURCE).flags & Leader::SHORT_HOLD, 0);
    });
    shared(&world, &ctx, 1).await.unwrap();
    // An owner that says so is tried for again and again, another is not.
    world.set_owner(2, 1, 5);
    live(&world, 2);
    assert_eq!(shared(&world, &ctx, 1).await.unwrap_err().code(), -243);
    world.set_leader(|leader| leader.flags |= Leader::SHORT_HOLD);
    let error = shared(&world, &ctx, 1).await.unwrap_err();
    assert_eq!(error.code(), -246);
    assert!(error.to_string().contains("9 tries"), "{error}");
    let freed = Leader {
        timestamp: ondisk::Timestamp::FREE,
        ..world.leader()
    };
    world.disk.before(5, move |disk| {
        let _ = disk.poke_leader(RESOURCE, &freed);
    });
    shared(&world, &ctx, 1).await.unwrap();
    // Exclusive owners never say it.
    assert_eq!(
        exclusive_after_release(&world, &ctx).await.flags & Leader::SHORT_HOLD,
        0
    );
}

/// Another host has proposed itself, and more than half have accepted it.
fn proposed_by(world: &World, host: u64) {
    world.set_dblock(host, proposal(host, host, host, 1));
    live(world, host);
}

#[tokio::test(start_paused = true)]
async fn an_owner_that_our_own_ballot_made_may_want_to_share_as_well() {
    let (world, ctx) = (World::new(SMALL), context(10));
    proposed_by(&world, 7);
    // It shares the lease and gives it up before we look again.
    world.disk.before(6, |disk| {
        let made = disk.leader(RESOURCE);
        assert_eq!((made.owner_id, made.write_id), (HostId(7), HostId(1)));
        let freed = Leader {
            timestamp: ondisk::Timestamp::FREE,
            write_id: HostId(7),
            ..made
        };
        disk.poke_leader(RESOURCE, &freed);
        let mut sector = disk.peek(RESOURCE + 8 * 512, 512);
        ondisk::ModeBlock::shared(Generation(1)).encode(&mut sector);
        disk.poke(RESOURCE + 8 * 512, &sector);
    });
    let held = shared(&world, &ctx, 1).await.unwrap();
    assert_eq!((held.mode, held.leader.lver), (Mode::Shared, Lver(2)));
    assert!(world.mode(1).is_shared() && world.mode(7).is_shared());
    assert!(!world.leader().is_owned());
}

#[tokio::test(start_paused = true)]
async fn an_owner_that_our_own_ballot_made_and_that_stays_is_left_in_peace() {
    let (world, ctx) = (World::new(SMALL), context(10));
    proposed_by(&world, 7);
    let error = shared(&world, &ctx, 1).await.unwrap_err();
    assert_eq!((error.code(), error.undo.is_none()), (-243, true));
    assert_eq!(world.leader().owner_id, HostId(7));
    assert!(world.requests().ends_with("W 0, R 0+128, R A, R -, R 8"));
    // Whoever wants it alone has been answered at once.
    let (world, ctx) = (World::new(SMALL), context(10));
    proposed_by(&world, 7);
    assert_eq!(exclusive(&world, &ctx).await.unwrap_err().code(), -245);
}

async fn exclusive_after_release(world: &World, ctx: &Context) -> Leader {
    world.set_dblock(1, Dblock::default());
    world.set_leader(|leader| leader.flags |= Leader::SHORT_HOLD);
    exclusive(world, ctx).await.unwrap().leader
}

#[tokio::test(start_paused = true)]
async fn a_shared_hold_that_fails_halfway_is_taken_back() {
    for (number, requests) in [
        (6, "R 0, W 0, R 2, W 2"),
        (7, "R 0, W 0, R 2, W 2"),
        (8, "R 0, W 0, R 2, W 2"),
    ] {
        let (world, ctx) = (World::new(SMALL), context(10));
        world.disk.fail(number, Fault::Error);
        let error = shared(&world, &ctx, 1).await.unwrap_err();
        assert_eq!(error.code(), -5);
        world.requests();
        undo(&ctx, &mut error.undo.unwrap()).await.unwrap();
        assert_eq!(world.requests(), requests);
        assert!(!world.leader().is_owned() && !world.mode(1).is_shared());
    }
}

#[tokio::test(start_paused = true)]
async fn live_hosts_that_share_hinder_an_exclusive_owner() {
    let (world, ctx) = (World::new(SMALL), context(10));
    world.set_shared(2, 1);
    world.set_shared(3, 1);
    live(&world, 2);
    // Host 3 has never been scanned: who knows.
    let error = exclusive(&world, &ctx).await.unwrap_err();
    assert_eq!((error.code(), error.undo.is_none()), (-11, true));
    assert!(
        error.to_string().contains("{HostId(2), HostId(3)}"),
        "{error}"
    );
    assert!(!world.leader().is_owned() && world.dblock(1).is_released());
    assert!(world.mode(2).is_shared() && world.mode(3).is_shared());
}

#[tokio::test(start_paused = true)]
async fn the_marks_of_dead_hosts_are_cleared() {
    // Gone, in a later generation, silent for long enough.
    for (generation, timestamp, seen) in [(1, 0, 990), (2, 500, 990), (1, 500, 859)] {
        let (world, ctx) = (World::new(SMALL), context(10));
        world.set_dblock(2, proposal(2, 2, 2, 0));
        world.set_shared(2, 1);
        world.renew(2, generation, timestamp, 10);
        world.scanned(2, seen, 990);
        let held = exclusive(&world, &ctx).await.unwrap();
        assert_eq!(held.mode, Mode::Exclusive);
        assert!(!world.mode(2).is_shared() && world.dblock(2).is_untouched());
        // Mode block, delta lease, mode block, write.
        assert_eq!(
            world.requests(),
            "R 0+128, W 2, R A, W 2, R A, W 0, R 3, R -, R 3, W 3"
        );
    }
    // One second less is not enough, nor is it with a larger timeout in the lease itself.
    for (seen, io_timeout) in [(860, 10), (859, 20)] {
        let (world, ctx) = (World::new(SMALL), context(10));
        world.set_shared(2, 1);
        world.renew(2, 1, 500, 10);
        world.scanned(2, seen, 990);
        world.renew(2, 1, 500, io_timeout);
        assert_eq!(exclusive(&world, &ctx).await.unwrap_err().code(), -11);
        assert!(world.mode(2).is_shared());
    }
}

#[tokio::test(start_paused = true)]
async fn a_mark_is_looked_at_again_before_it_is_cleared() {
    // The host has renewed its id since our last scan.
    let (world, ctx) = (World::new(SMALL), context(10));
    world.set_shared(2, 1);
    world.renew(2, 1, 500, 10);
    world.scanned(2, 800, 990);
    world.renew(2, 1, 700, 10);
    assert_eq!(exclusive(&world, &ctx).await.unwrap_err().code(), -11);

    // It has come back and holds the lease anew when we look for the second time.
    let (world, ctx) = (World::new(SMALL), context(10));
    world.set_shared(2, 1);
    world.renew(2, 2, 500, 10);
    world.scanned(2, 990, 990);
    world.disk.before(8, |disk| {
        let mut sector = disk.peek(RESOURCE + 3 * 512, 512);
        ondisk::ModeBlock::shared(Generation(2)).encode(&mut sector);
        disk.poke(RESOURCE + 3 * 512, &sector);
    });
    assert_eq!(exclusive(&world, &ctx).await.unwrap_err().code(), -11);
    assert_eq!(world.mode(2).generation, Generation(2));

    // It has released it.
    let (world, ctx) = (World::new(SMALL), context(10));
    world.set_shared(2, 1);
    world.renew(2, 2, 500, 10);
    world.scanned(2, 990, 990);
    world
        .disk
        .before(8, |disk| disk.poke(RESOURCE + 3 * 512, &[0; 512]));
    exclusive(&world, &ctx).await.unwrap();
    assert_eq!(
        world.requests(),
        "R 0+128, W 2, R A, W 2, R A, W 0, R 3, R -, R 3"
    );

    // Its delta lease cannot be read: then nothing is known.
    let (world, ctx) = (World::new(SMALL), context(10));
    world.set_shared(2, 1);
    world.renew(2, 1, 0, 10);
    world.scanned(2, 990, 990);
    world.disk.fail(7, Fault::Error);
    let error = exclusive(&world, &ctx).await.unwrap_err();
    assert_eq!((error.code(), error.undo.is_none()), (-5, true));
    assert!(world.mode(2).is_shared() && !world.leader().is_owned());
}

#[tokio::test(start_paused = true)]
async fn an_owner_whose_clearing_hangs_does_not_release_before_it_is_over() {
    let (world, ctx) = (World::new(SMALL), context(10));
    world.set_shared(2, 1);
    world.renew(2, 1, 0, 10);
    world.scanned(2, 990, 990);
    world.disk.fail(9, Fault::Hang);
    let error = exclusive(&world, &ctx).await.unwrap_err();
    assert_eq!(error.code(), -202);
    assert!(world.leader().is_owned(), "the others wait as well");
    let mut begun = error.undo.unwrap();
    let disk = world.disk.clone();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(1)).await;
        disk.release_hung();
    });
    undo(&ctx, &mut begun).await.unwrap();
    assert!(!world.leader().is_owned() && !world.mode(2).is_shared());
}

#[tokio::test(start_paused = true)]
async fn a_conversion_to_exclusive_keeps_the_mark_until_it_has_won() {
    let (world, ctx) = (World::new(SMALL), context(10));
    let mut held = shared(&world, &ctx, 1).await.unwrap();
    world.requests();
    for number in [2, 4, 5] {
        world.disk.before(number, |disk| {
            let mode = ondisk::ModeBlock::decode(&disk.peek(RESOURCE + 1024, 512)).unwrap();
            assert!(mode.is_shared());
        });
    }
    convert_to_exclusive(&ctx, &mut held, &world, false, &Cancel::new())
        .await
        .unwrap();
    assert_eq!(world.requests(), "R A, W 2, R A, W 2, R A, W 0, W 2");
    assert_eq!((held.mode, held.leader.lver), (Mode::Exclusive, Lver(2)));
    assert!(world.leader().is_owned() && !world.mode(1).is_shared());
    assert_eq!(world.dblock(1).inp, HostId(1));
    let again = convert_to_exclusive(&ctx, &mut held, &world, false, &Cancel::new()).await;
    assert_eq!(again.unwrap_err().code(), -114);
    release(&ctx, &mut held, None).await.unwrap();
    assert!(!world.leader().is_owned());
}

#[tokio::test(start_paused = true)]
async fn a_conversion_that_others_hinder_leaves_the_lease_shared() {
    let (world, ctx) = (World::new(SMALL), context(10));
    let mut held = shared(&world, &ctx, 1).await.unwrap();
    world.set_shared(2, 1);
    live(&world, 2);
    world.requests();
    let error = convert_to_exclusive(&ctx, &mut held, &world, false, &Cancel::new()).await;
    assert_eq!(error.unwrap_err().code(), -11);
    assert_eq!(
        world.requests(),
        "R A, W 2, R A, W 2, R A, W 0, R 3, R 0, W 0"
    );
    assert_eq!(held.mode, Mode::Shared);
    assert!(!world.leader().is_owned() && world.mode(1).is_shared());
    // The release leaves the dblock of the last ballot, not of the first.
    release(&ctx, &mut held, None).await.unwrap();
    assert_eq!(
        (world.dblock(1).mbal, world.dblock(1).lver),
        (2001, Lver(2))
    );
}

#[tokio::test(start_paused = true)]
async fn a_conversion_that_fails_is_taken_back_at_once() {
    for number in [3, 4, 5] {
        let (world, ctx) = (World::new(SMALL), context(10));
        let mut held = shared(&world, &ctx, 1).await.unwrap();
        world.requests();
        world.disk.fail(number, Fault::DoneButError);
        let error = convert_to_exclusive(&ctx, &mut held, &world, false, &Cancel::new()).await;
        let error = error.unwrap_err();
        assert!(error.undo.is_none(), "done already");
        assert_eq!(held.mode, Mode::Shared);
        assert!(!world.leader().is_owned() && world.mode(1).is_shared());
        assert!(world.dblock(1).is_released());
        assert_eq!(held.dblock.mbal, 2001);
        convert_to_exclusive(&ctx, &mut held, &world, false, &Cancel::new())
            .await
            .unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_conversion_to_shared_is_a_mark_and_a_free_leader() {
    let (world, ctx) = (World::new(SMALL), context(10));
    let mut held = held(&world, &ctx).await;
    convert_to_shared(&ctx, &mut held).await.unwrap();
    assert_eq!(world.requests(), "W 2, R 0, W 0, W 2");
    assert!(world.dblock(1).is_released());
    assert_eq!(held.mode, Mode::Shared);
    assert!(!world.leader().is_owned() && world.mode(1).is_shared());
    let again = convert_to_shared(&ctx, &mut held).await.unwrap_err();
    assert!(matches!(again, Error::AlreadyHeldSo { .. }));
    release(&ctx, &mut held, None).await.unwrap();
    assert_eq!(world.requests(), "W 2");
}

#[tokio::test(start_paused = true)]
async fn a_conversion_to_shared_whose_mark_fails_is_one_all_the_same() {
    for fault in [Fault::DoneButError, Fault::Error] {
        let (world, ctx) = (World::new(SMALL), context(10));
        let mut held = held(&world, &ctx).await;
        world.disk.fail(0, fault);
        let error = convert_to_shared(&ctx, &mut held).await.unwrap_err();
        assert_eq!(error.code(), -5);
        assert_eq!(held.mode, Mode::Shared);
        assert_eq!(world.requests(), "W 2", "nothing is written over it");
        let marked = fault == Fault::DoneButError;
        assert_eq!(world.mode(1).is_shared(), marked);
        assert!(!world.dblock(1).is_released());
        // Others still take it for owned; the release ends that.
        assert!(world.leader().is_owned());
        release(&ctx, &mut held, None).await.unwrap();
        assert_eq!(world.requests(), "R 0, W 0, W 2");
        assert!(!world.leader().is_owned() && !world.mode(1).is_shared());
        assert!(world.dblock(1).is_released());
    }
}

#[tokio::test(start_paused = true)]
async fn the_mark_of_a_conversion_to_shared_may_land_late() {
    let (world, ctx) = (World::new(SMALL), context(10));
    let mut held = held(&world, &ctx).await;
    world.disk.fail(0, Fault::Hang);
    let error = convert_to_shared(&ctx, &mut held).await.unwrap_err();
    assert_eq!((error.code(), held.mode), (-202, Mode::Shared));
    // While it is under way the release does nothing that it could undo.
    let error = release(&ctx, &mut held, None).await.unwrap_err();
    assert_eq!(error.code(), -202);
    assert_eq!(world.requests(), "W 2");
    world.disk.release_hung();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(world.mode(1).is_shared() && !world.dblock(1).is_released());
    // Ours is a shared hold, whoever has seen it. Made exclusive again, it is so by a ballot of its own.
    convert_to_exclusive(&ctx, &mut held, &world, false, &Cancel::new())
        .await
        .unwrap();
    assert_eq!((held.mode, held.leader.lver), (Mode::Exclusive, Lver(2)));
    assert!(world.leader().is_owned() && !world.mode(1).is_shared());
    release(&ctx, &mut held, None).await.unwrap();
    assert!(!world.leader().is_owned());
}

#[tokio::test(start_paused = true)]
async fn a_conversion_to_shared_that_sends_nothing_is_none() {
    let (world, ctx) = (World::new(SMALL), context(10));
    let mut held = held(&world, &ctx).await;
    // An earlier write to the lease has not come back.
    world.disk.fail(0, Fault::Hang);
    let stuck = crate::resource::write_lvb(&ctx, &held.lease, &[1; 512]).await;
    assert_eq!(stuck.unwrap_err().code(), -202);
    world.requests();
    let error = convert_to_shared(&ctx, &mut held).await.unwrap_err();
    assert_eq!((error.code(), held.mode), (-202, Mode::Exclusive));
    assert_eq!(world.requests(), "");
}

#[tokio::test(start_paused = true)]
async fn a_conversion_to_shared_that_cannot_free_the_leader_is_ended_by_the_release() {
    let (world, ctx) = (World::new(SMALL), context(10));
    let mut held = held(&world, &ctx).await;
    world.disk.fail(2, Fault::Error);
    assert_eq!(
        convert_to_shared(&ctx, &mut held).await.unwrap_err().code(),
        -5
    );
    assert_eq!(held.mode, Mode::Shared);
    assert!(world.leader().is_owned());
    world.requests();
    release(&ctx, &mut held, None).await.unwrap();
    assert_eq!(world.requests(), "R 0, W 0, W 2");
    assert!(!world.leader().is_owned() && !world.mode(1).is_shared());
}

#[tokio::test(start_paused = true)]
async fn a_conversion_to_shared_that_failed_halfway_can_be_ended() {
    // The mark, the look at the leader, the leader, our dblock; done or not.
    for (number, fault) in [
        (0, Fault::Error),
        (0, Fault::DoneButError),
        (1, Fault::Error),
        (2, Fault::Error),
        (2, Fault::DoneButError),
        (3, Fault::Error),
        (3, Fault::DoneButError),
    ] {
        let (world, ctx) = (World::new(SMALL), context(10));
        let mut held = held(&world, &ctx).await;
        assert!(!held.is_half_shared());
        world.disk.fail(number, fault);
        convert_to_shared(&ctx, &mut held).await.unwrap_err();
        assert!(held.is_half_shared());
        // Nor does the next attempt get through.
        world.disk.fail(0, Fault::Error);
        complete_sharing(&ctx, &mut held).await.unwrap_err();
        assert!(held.is_half_shared());
        world.requests();
        complete_sharing(&ctx, &mut held).await.unwrap();
        let requests = match (number, fault) {
            (3, _) => "W 2",
            (2, Fault::DoneButError) => "W 2, R 0, W 2",
            _ => "W 2, R 0, W 0, W 2",
        };
        assert_eq!(world.requests(), requests);
        assert!(world.dblock(1).is_released());
        assert!(!held.is_half_shared() && held.mode == Mode::Shared);
        assert!(!world.leader().is_owned() && world.mode(1).is_shared());
        // There is nothing more to do.
        complete_sharing(&ctx, &mut held).await.unwrap();
        assert_eq!(world.requests(), "");
        release(&ctx, &mut held, None).await.unwrap();
        assert_eq!(world.requests(), "W 2");
    }
}

/// Something on disk keeps others off all the time, whatever fails.
#[tokio::test(start_paused = true)]
async fn what_is_shared_by_halves_is_never_free_while_it_is_made_exclusive() {
    for fault in [Fault::Error, Fault::DoneButError] {
        for (first, second) in (0..8).flat_map(|first| (0..8).map(move |gap| (first, first + gap)))
        {
            let (world, ctx) = (World::new(SMALL), context(10));
            let mut held = held(&world, &ctx).await;
            world.disk.fail(0, Fault::Error);
            convert_to_shared(&ctx, &mut held).await.unwrap_err();
            assert!(world.leader().is_owned() && !world.mode(1).is_shared());
            world.disk.fail(first, fault);
            world.disk.fail(second, fault);
            let converted =
                convert_to_exclusive(&ctx, &mut held, &world, true, &Cancel::new()).await;
            let kept = world.leader().is_owned() || world.mode(1).is_shared();
            assert!(kept, "requests {first} and {second} failed");
            let mode = if converted.is_ok() {
                Mode::Exclusive
            } else {
                Mode::Shared
            };
            assert_eq!(held.mode, mode);
            // It gets through when nothing fails any more.
            while release(&ctx, &mut held, None).await.is_err() {}
            assert!(!world.leader().is_owned() && !world.mode(1).is_shared());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_conversion_to_shared_leaves_another_owner_alone() {
    let (world, ctx) = (World::new(SMALL), context(10));
    let mut held = held(&world, &ctx).await;
    world.disk.fail(1, Fault::Error);
    convert_to_shared(&ctx, &mut held).await.unwrap_err();
    // The mark has landed, and a host that shares the lease as well owns it for a moment.
    let theirs = world.set_owner(2, 1, 9);
    complete_sharing(&ctx, &mut held).await.unwrap();
    assert_eq!(world.leader(), theirs);
    assert!(world.mode(1).is_shared() && !held.is_half_shared());
}
