//! Giving leases up.

use std::time::Duration;

use ondisk::{Dblock, Generation, HostId, Leader, Lver, Timestamp};

use super::super::{Undo, release, release_leader};
use super::{acquire, committed, held, proposal};
use crate::testing::{Fault, RESOURCE, SMALL, World, context, member, name};

#[tokio::test(start_paused = true)]
async fn a_release_says_so_in_the_dblock_and_frees_the_leader() {
    let (world, ctx) = (World::new(SMALL), context(10));
    let mut held = held(&world, &ctx).await;
    let freed = release(&ctx, &mut held, None).await.unwrap().unwrap();
    assert_eq!(world.requests(), "R 0, W 0, W 2");
    assert_eq!(freed, world.leader());
    assert_eq!((freed.timestamp, freed.lver), (Timestamp::FREE, Lver(1)));
    assert_eq!(
        (freed.owner_id, freed.owner_generation),
        (HostId(1), Generation(1))
    );
    let dblock = world.dblock(1);
    assert!(dblock.is_released());
    assert_eq!((dblock.mbal, dblock.bal, dblock.inp), (1, 1, HostId(1)));
    // The next one.
    assert_eq!(
        acquire(&world, &ctx).await.unwrap().held.leader.lver,
        Lver(2)
    );
    assert_eq!(world.dblock(1).mbal, 2001);
}

#[tokio::test(start_paused = true)]
async fn a_resource_is_renamed_when_it_is_released() {
    let (world, ctx) = (World::new(SMALL), context(10));
    let mut held = held(&world, &ctx).await;
    release(&ctx, &mut held, Some(&name("new"))).await.unwrap();
    assert_eq!(world.leader().resource_name, name("new"));
    assert_eq!(acquire(&world, &ctx).await.unwrap_err().code(), -227);
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_another_host_wrote_is_left_to_it() {
    let (world, ctx) = (World::new(SMALL), context(10));
    let mut held = held(&world, &ctx).await;
    let theirs = committed(&held.leader, &held.dblock, 2);
    let theirs = world.disk.poke_leader(RESOURCE, &theirs);
    assert!(release(&ctx, &mut held, None).await.unwrap().is_none());
    assert_eq!(world.requests(), "R 0, R 2, W 2");
    assert_eq!(world.leader(), theirs);
    assert!(world.dblock(1).is_released());
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_is_not_as_we_left_it_is_not_freed() {
    type Change = (fn(&mut Leader), i32);
    let changes: [Change; 5] = [
        (|leader| leader.lver = Lver(2), -250),
        (|leader| leader.timestamp = Timestamp::FREE, -251),
        (|leader| leader.owner_id = HostId(2), -251),
        (|leader| leader.owner_generation = Generation(2), -251),
        (|leader| leader.num_hosts = 7, -251),
    ];
    for (change, code) in changes {
        let (world, ctx) = (World::new(SMALL), context(10));
        let mut held = held(&world, &ctx).await;
        let changed = world.set_leader(change);
        assert_eq!(
            release(&ctx, &mut held, None).await.unwrap_err().code(),
            code
        );
        assert_eq!(world.leader(), changed);
        assert_eq!(world.requests(), "R 0, R 2, W 2");
    }
}

/// The file was removed while we had its lease, and another made under its name. A dblock of ours in that, of a later
/// version than any that it had, would let others believe that its owner has lost it.
#[tokio::test(start_paused = true)]
async fn nothing_is_given_back_in_a_file_that_took_the_place_of_ours() {
    for owner in [None, Some(2), Some(1)] {
        let (world, ctx) = (World::new(SMALL), context(10));
        world.set_leader(|leader| leader.lver = Lver(7));
        let mut ours = held(&world, &ctx).await;
        assert_eq!(ours.leader.lver, Lver(8));
        let mut undo = Undo::of(&ours);
        let other = World::new(SMALL);
        if let Some(owner) = owner {
            other.set_owner(owner, 5, 1);
        }
        let before = other.disk.peek(RESOURCE, 1 << 20);
        ours.lease = other.lease();
        let _ = release(&ctx, &mut ours, None).await;
        assert!(other.disk.peek(RESOURCE, 1 << 20) == before, "{owner:?}");
        undo.reopen(other.lease().areas);
        super::super::undo(&ctx, &mut undo).await.unwrap();
        assert!(other.disk.peek(RESOURCE, 1 << 20) == before, "{owner:?}");
    }
}

/// The C program gives its lease back in whatever file has the name now.
#[tokio::test(start_paused = true)]
async fn an_owner_keeps_its_lease_although_another_host_gave_back_a_later_version() {
    let (world, ctx) = (World::new(SMALL), context(10));
    world.set_owner(2, 1, 1);
    world.renew(2, 1, 500, 10);
    world.scanned(2, 990, 990);
    let stale = Dblock {
        flags: Dblock::RELEASED,
        ..proposal(4003, 4003, 3, 9)
    };
    world.set_dblock(3, stale);
    world.set_dblock(2, proposal(2, 2, 2, 1));
    assert_eq!(acquire(&world, &ctx).await.unwrap_err().code(), -243);
    assert_eq!(world.leader().owner_id, HostId(2));
    // A leader that was put back names an owner that has given the lease back since, or has died. Then what the later
    // version came to is found out first.
    let given_back = Dblock {
        flags: Dblock::RELEASED,
        ..proposal(2, 2, 2, 1)
    };
    world.set_dblock(2, given_back);
    assert_eq!(acquire(&world, &ctx).await.unwrap_err().code(), -245);
    assert_eq!(world.leader().lver, Lver(9));
}

/// The same while another host has won the next version and has not written it down yet.
#[tokio::test(start_paused = true)]
async fn a_version_that_another_host_may_have_won_is_not_left_out() {
    let stale = Dblock {
        flags: Dblock::RELEASED,
        ..proposal(4003, 4003, 3, 9)
    };
    let alive = || {
        let world = World::new(SMALL);
        world.renew(2, 1, 500, 10);
        world.scanned(2, 990, 990);
        world
    };
    let refused = async |world: &World, first_look| {
        let mut ctx = context(10);
        ctx.first_look = first_look;
        let before = world.leader();
        let error = acquire(world, &ctx).await.unwrap_err();
        let owner = error.error.owner().map(|owner| owner.host);
        assert_eq!((error.code(), owner), (-243, Some(HostId(2))));
        assert_eq!(world.leader(), before);
    };
    for first_look in [crate::FIRST_LOOK, 1, 0] {
        // It has proposed itself, or another host has proposed it.
        for by in [2, 4] {
            let world = alive();
            world.set_dblock(3, stale);
            world.set_dblock(by, proposal(2, 2, 2, 1));
            refused(&world, first_look).await;
        }
    }
    // It did so while we read.
    let world = alive();
    world.set_dblock(3, stale);
    let at = world.host_offset(2);
    world
        .disk
        .before(1, move |disk| disk.poke_dblock(at, proposal(2, 2, 2, 1)));
    refused(&world, 0).await;
    // The later version came while we were in a ballot ourselves.
    for read in [2, 4] {
        let world = alive();
        let [by, old] = [4, 3].map(|host| world.host_offset(host));
        world.disk.before(read, move |disk| {
            disk.poke_dblock(by, proposal(2, 2, 2, 1));
            disk.poke_dblock(old, stale);
        });
        refused(&world, crate::FIRST_LOOK).await;
    }
    // It has released that version, is in a later one, or is gone.
    let released = Dblock {
        flags: Dblock::RELEASED,
        ..proposal(2, 2, 2, 1)
    };
    for (own, generation) in [
        (released, 1),
        (proposal(2002, 0, 0, 2), 1),
        (proposal(2, 2, 2, 1), 2),
    ] {
        let (world, ctx) = (alive(), context(10));
        world.set_dblock(3, stale);
        world.set_dblock(4, proposal(2, 2, 2, 1));
        world.set_dblock(2, own);
        world.renew(2, generation, 500, 10);
        assert_eq!(acquire(&world, &ctx).await.unwrap_err().code(), -245);
        assert_eq!(world.leader().lver, Lver(9));
    }
}

#[tokio::test(start_paused = true)]
async fn a_release_that_failed_can_be_repeated() {
    for fault in [Fault::Error, Fault::DoneButError] {
        for number in 0..3 {
            let (world, ctx) = (World::new(SMALL), context(10));
            let mut held = held(&world, &ctx).await;
            world.disk.fail(number, fault);
            assert_eq!(release(&ctx, &mut held, None).await.unwrap_err().code(), -5);
            release(&ctx, &mut held, None).await.unwrap();
            assert!(world.dblock(1).is_released() && !world.leader().is_owned());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_release_waits_for_its_own_late_writes() {
    let (world, ctx) = (World::new(SMALL), context(10));
    let mut held = held(&world, &ctx).await;
    world.disk.fail(2, Fault::Hang);
    assert_eq!(
        release(&ctx, &mut held, None).await.unwrap_err().code(),
        -202
    );
    world.requests();
    assert_eq!(
        release(&ctx, &mut held, None).await.unwrap_err().code(),
        -202
    );
    assert_eq!(world.requests(), "");
    let disk = world.disk.clone();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(1)).await;
        disk.release_hung();
    });
    let freed = release(&ctx, &mut held, None).await.unwrap();
    assert_eq!(
        freed,
        Some(world.leader()),
        "the first attempt has freed it"
    );
    assert_eq!(world.requests(), "R 2, W 2");
    assert!(!world.leader().is_owned());
}

#[tokio::test(start_paused = true)]
async fn the_leader_alone_can_be_freed() {
    let (world, ctx) = (World::new(SMALL), context(10));
    let held = held(&world, &ctx).await;
    let lease = &held.lease;
    // Somebody else, who did not write it.
    let nobody = member(0, 0);
    assert!(
        release_leader(&ctx, lease, nobody, None, None)
            .await
            .unwrap()
            .is_none()
    );
    let freed = release_leader(&ctx, lease, held.us, Some(&held.leader), None)
        .await
        .unwrap();
    assert_eq!(world.requests(), "R 0, R 0, W 0");
    assert_eq!(freed, Some(world.leader()));
    let again = release_leader(&ctx, lease, held.us, None, None).await;
    assert_eq!(again.unwrap_err().code(), -251);
}
