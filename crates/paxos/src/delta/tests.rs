use std::time::Duration;

use ondisk::{Generation, Geometry, HostBitmap, HostId, IoTimeout, Leader, SectorSize, Timestamp};
use tokio::time::Instant;

use super::{
    DeltaArea, HostEvent, Namesake, RenewalPolicy, Renewer, init, probe, read_lockspace, scan,
};
use crate::testing::{Fault, MemDisk, SMALL, World, context, name};
use crate::{Cancel, Context, Error};

const NEVER: fn() -> Cancel = Cancel::new;

fn renewer(world: &World, acquired: Leader) -> Renewer {
    let policy = RenewalPolicy {
        read_extend: Duration::from_secs(10),
    };
    Renewer::new(world.delta(1), acquired, policy)
}

async fn acquired(world: &World, ctx: &Context) -> Renewer {
    let leader = world
        .delta(1)
        .acquire(ctx, &name("us"), Namesake::Gone, &NEVER())
        .await
        .unwrap();
    world.disk.requests(0, SMALL);
    renewer(world, leader)
}

#[tokio::test(start_paused = true)]
async fn a_free_host_id_takes_twice_the_io_timeout() {
    for geometry in Geometry::ALL {
        let (world, ctx, start) = (World::new(geometry), context(10), Instant::now());
        let leader = world
            .delta(7)
            .acquire(&ctx, &name("us"), Namesake::Gone, &NEVER())
            .await
            .unwrap();
        assert_eq!(start.elapsed(), Duration::from_secs(20));
        assert_eq!(world.disk.requests(0, geometry), "R 6, W 6, R 6");
        assert_eq!(leader, world.disk.leader(world.delta_offset(7)));
        assert_eq!(
            (leader.owner_id, leader.owner_generation),
            (HostId(7), Generation(1))
        );
        assert_eq!(
            (leader.resource_name, leader.timestamp),
            (name("us"), Timestamp(1000))
        );
        assert_eq!(leader.io_timeout, 10);
    }
}

#[tokio::test(start_paused = true)]
async fn a_host_of_our_name_is_not_waited_for() {
    let (world, ctx, start) = (World::new(SMALL), context(20), Instant::now());
    world.renew(1, 4, 500, 10);
    let leader = world
        .delta(1)
        .acquire(&ctx, &name("host1"), Namesake::Gone, &NEVER())
        .await
        .unwrap();
    assert_eq!(
        start.elapsed(),
        Duration::from_secs(20),
        "twice the former owner's io timeout"
    );
    assert_eq!(
        (leader.owner_generation, leader.io_timeout),
        (Generation(5), 20)
    );
}

#[tokio::test(start_paused = true)]
async fn a_host_of_our_name_may_have_left_processes_behind() {
    for (namesake, wait) in [(Namesake::Gone, 20), (Namesake::MayLive, 140 + 20)] {
        let (world, ctx, start) = (World::new(SMALL), context(10), Instant::now());
        world.renew(1, 4, 500, 10);
        let leader = world
            .delta(1)
            .acquire(&ctx, &name("host1"), namesake, &NEVER())
            .await
            .unwrap();
        assert_eq!(leader.owner_generation, Generation(5));
        assert_eq!(start.elapsed(), Duration::from_secs(wait), "{namesake:?}");
    }
    let (world, ctx, start) = (World::new(SMALL), context(10), Instant::now());
    world
        .delta(1)
        .acquire(&ctx, &name("us"), Namesake::MayLive, &NEVER())
        .await
        .unwrap();
    assert_eq!(
        start.elapsed(),
        Duration::from_secs(20),
        "it was given back"
    );
}

#[tokio::test(start_paused = true)]
async fn another_host_must_be_dead_first_by_its_own_timeouts() {
    // 8 * 30 + 60, then 2 * 30.
    for (theirs, wait) in [(10, 140 + 20), (30, 300 + 60), (0, 8 * 255 + 60 + 20)] {
        let (world, ctx, start) = (World::new(SMALL), context(10), Instant::now());
        world.renew(1, 1, 500, theirs);
        world
            .delta(1)
            .acquire(&ctx, &name("us"), Namesake::Gone, &NEVER())
            .await
            .unwrap();
        assert_eq!(start.elapsed(), Duration::from_secs(wait));
        assert_eq!(world.disk.requests(0, SMALL), "R 0, R 0, W 0, R 0");
    }
}

#[tokio::test(start_paused = true)]
async fn a_renewed_host_id_is_busy() {
    let (world, ctx) = (World::new(SMALL), context(10));
    world.renew(1, 1, 500, 10);
    let disk = world.disk.clone();
    let renewed = Leader {
        timestamp: Timestamp(520),
        ..disk.leader(0)
    };
    world.disk.before(1, move |disk| {
        let _ = disk.poke_leader(0, &renewed);
    });
    let error = world
        .delta(1)
        .acquire(&ctx, &name("us"), Namesake::Gone, &NEVER())
        .await
        .unwrap_err();
    assert_eq!(error.code(), -262);
    assert!(error.to_string().contains("\"host1\""), "{error}");
    assert_eq!(
        world.disk.requests(0, SMALL),
        "R 0, R 0",
        "nothing was written"
    );
}

#[tokio::test(start_paused = true)]
async fn a_host_id_that_is_released_meanwhile_is_free() {
    let (world, ctx) = (World::new(SMALL), context(10));
    world.renew(1, 3, 500, 10);
    let freed = Leader {
        timestamp: Timestamp::FREE,
        ..world.disk.leader(0)
    };
    world.disk.before(1, move |disk| {
        let _ = disk.poke_leader(0, &freed);
    });
    let leader = world
        .delta(1)
        .acquire(&ctx, &name("us"), Namesake::Gone, &NEVER())
        .await
        .unwrap();
    assert_eq!(leader.owner_generation, Generation(4));
}

#[tokio::test(start_paused = true)]
async fn of_two_hosts_at_once_only_the_last_writer_has_the_id() {
    let (world, ctx) = (World::new(SMALL), context(10));
    let theirs = Leader {
        owner_id: HostId(1),
        owner_generation: Generation(1),
        timestamp: Timestamp(900),
        resource_name: name("them"),
        ..world.disk.leader(0)
    };
    world.disk.before(2, move |disk| {
        let _ = disk.poke_leader(0, &theirs);
    });
    let error = world
        .delta(1)
        .acquire(&ctx, &name("us"), Namesake::Gone, &NEVER())
        .await
        .unwrap_err();
    assert_eq!(error.code(), -262);
}

#[tokio::test(start_paused = true)]
async fn cancelling_wakes_at_once() {
    let (world, ctx, start, cancel) = (
        World::new(SMALL),
        context(10),
        Instant::now(),
        Cancel::new(),
    );
    world.renew(1, 3, 500, 10);
    let later = cancel.clone();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(2500)).await;
        later.cancel();
    });
    let error = world
        .delta(1)
        .acquire(&ctx, &name("us"), Namesake::Gone, &cancel)
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Cancelled { .. }));
    assert_eq!(error.code(), -201);
    assert_eq!(start.elapsed(), Duration::from_millis(2500));
}

#[tokio::test(start_paused = true)]
async fn an_earlier_write_that_hangs_is_waited_for() {
    let (world, ctx) = (World::new(SMALL), context(10));
    world.disk.fail(1, Fault::Hang);
    let error = world
        .delta(1)
        .acquire(&ctx, &name("us"), Namesake::Gone, &NEVER())
        .await
        .unwrap_err();
    assert_eq!((error.code(), ctx.late.count()), (-202, 1));
    assert!(!world.disk.leader(0).is_owned());
    world.disk.requests(0, SMALL);

    let error = world
        .delta(1)
        .acquire(&ctx, &name("us"), Namesake::Gone, &NEVER())
        .await
        .unwrap_err();
    assert_eq!(error.code(), -202);
    assert_eq!(
        world.disk.requests(0, SMALL),
        "",
        "nothing while it is under way"
    );

    let disk = world.disk.clone();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(5)).await;
        disk.release_hung();
    });
    let leader = world
        .delta(1)
        .acquire(&ctx, &name("us"), Namesake::Gone, &NEVER())
        .await
        .unwrap();
    assert_eq!(
        leader.owner_generation,
        Generation(2),
        "the late write was generation 1"
    );
    assert_eq!(ctx.late.count(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_renewal_reads_everything_and_writes_one_sector() {
    for geometry in Geometry::ALL {
        let (world, ctx) = (World::new(geometry), context(10));
        let mut renewer = acquired(&world, &ctx).await;
        let hosts: HostBitmap = [HostId(3)].into_iter().collect();
        let event = HostEvent {
            generation: Generation(4),
            event: 5,
            data: 6,
        };
        let renewal = renewer.renew(&ctx, &hosts, Some(event)).await;
        assert_eq!(world.disk.requests(0, geometry), "R A, W 0");
        let renewed = renewal.result.unwrap();
        assert_eq!(renewed.counts_from, Timestamp(1020));
        assert_eq!(renewed.leader, world.disk.leader(0));
        assert_eq!(renewer.last(), &renewed.leader);
        let sector = world.disk.peek(0, 512);
        assert_eq!(HostBitmap::decode(&sector).unwrap(), hosts);
        assert_eq!(HostEvent::of(&renewed.leader), event);

        // What host 3 sees of it.
        let area = world.disk.peek(0, geometry.align.bytes());
        let space = name("space");
        let seen: Vec<_> = scan(&area, geometry, &space, HostId(3)).collect();
        assert_eq!(seen.len() as u64, geometry.max_hosts());
        assert!(seen[0].is_valid && seen[0].notifies_us && seen[0].event == event);
        assert_eq!(
            (seen[0].owner_name, seen[0].timestamp),
            (name("us"), Timestamp(1020))
        );
        assert!(seen[1].is_valid && !seen[1].notifies_us && seen[1].timestamp.is_free());
        let other = name("other");
        assert!(scan(&area, geometry, &other, HostId(3)).all(|lease| !lease.is_valid));
    }
}

#[tokio::test(start_paused = true)]
async fn a_renewal_counts_from_before_its_write() {
    let (world, ctx) = (World::new(SMALL), context(10));
    let mut renewer = acquired(&world, &ctx).await;
    world.disk.fail(0, Fault::Slow(Duration::from_secs(3)));
    world.disk.fail(1, Fault::Slow(Duration::from_secs(130)));
    let renewal = renewer.renew(&ctx, &HostBitmap::EMPTY, None).await;
    assert_eq!(renewal.read_time, Some(Duration::from_secs(3)));
    assert_eq!(renewal.write_time, Some(Duration::from_secs(130)));
    assert_eq!(renewal.result.unwrap().counts_from, Timestamp(1023));
}

#[tokio::test(start_paused = true)]
async fn a_renewal_is_never_the_same_as_the_last() {
    let (world, ctx) = (World::new(SMALL), context(10));
    let mut renewer = acquired(&world, &ctx).await;
    let none = HostBitmap::default();
    let first = renewer.renew(&ctx, &none, None).await.result.unwrap();
    let second = renewer.renew(&ctx, &none, None).await.result.unwrap();
    assert_eq!(second.counts_from.0, first.counts_from.0 + 1);
    assert_eq!(world.disk.leader(0).timestamp, second.counts_from);
}

#[tokio::test(start_paused = true)]
async fn a_lost_host_id_is_not_renewed() {
    let (world, ctx) = (World::new(SMALL), context(10));
    let mut renewer = acquired(&world, &ctx).await;
    let ours = world.disk.leader(0);
    for (theirs, code) in [
        (
            Leader {
                owner_generation: Generation(2),
                ..ours.clone()
            },
            -260,
        ),
        (
            Leader {
                resource_name: name("them"),
                ..ours.clone()
            },
            -260,
        ),
        (
            Leader {
                space_name: name("them"),
                ..ours.clone()
            },
            -226,
        ),
        (
            Leader {
                magic: 0,
                ..ours.clone()
            },
            -223,
        ),
    ] {
        world.disk.poke_leader(0, &theirs);
        let renewal = renewer.renew(&ctx, &HostBitmap::EMPTY, None).await;
        assert_eq!(renewal.result.unwrap_err().code(), code);
        assert!(
            renewal.leases.is_some(),
            "what was read is of use all the same"
        );
        assert_eq!(world.disk.requests(0, SMALL), "R A");
    }
}

#[tokio::test(start_paused = true)]
async fn only_after_a_success_must_everything_be_as_we_left_it() {
    let (world, ctx) = (World::new(SMALL), context(10));
    let mut renewer = acquired(&world, &ctx).await;
    let ours = world.disk.leader(0);
    world.disk.poke_leader(
        0,
        &Leader {
            timestamp: Timestamp(999),
            ..ours
        },
    );
    let renewal = renewer.renew(&ctx, &HostBitmap::EMPTY, None).await;
    assert_eq!(renewal.result.unwrap_err().code(), -261);

    // The same after a write of which nobody knows whether it was done.
    let world = World::new(SMALL);
    let mut renewer = acquired(&world, &ctx).await;
    world.disk.fail(1, Fault::DoneButError);
    let renewal = renewer.renew(&ctx, &HostBitmap::EMPTY, None).await;
    assert_eq!(renewal.result.unwrap_err().code(), -5);
    tokio::time::sleep(Duration::from_secs(1)).await;
    renewer
        .renew(&ctx, &HostBitmap::EMPTY, None)
        .await
        .result
        .unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_read_that_hangs_serves_the_next_renewal() {
    let (world, ctx) = (World::new(SMALL), context(10));
    let mut renewer = acquired(&world, &ctx).await;
    world.disk.fail(0, Fault::Hang);
    let start = Instant::now();
    let renewal = renewer.renew(&ctx, &HostBitmap::EMPTY, None).await;
    assert_eq!(renewal.result.unwrap_err().code(), -202);
    assert!(renewal.leases.is_none());
    assert_eq!(start.elapsed(), Duration::from_secs(10));
    let disk = world.disk.clone();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(4)).await;
        disk.release_hung();
    });
    let renewal = renewer.renew(&ctx, &HostBitmap::EMPTY, None).await;
    assert_eq!(renewal.read_time, Some(Duration::from_secs(14)));
    renewal.result.unwrap();
    assert_eq!(
        world.disk.requests(0, SMALL),
        "R A, W 0",
        "it was not read twice"
    );

    // One that does not come back is replaced.
    world.disk.fail(0, Fault::Hang);
    renewer
        .renew(&ctx, &HostBitmap::EMPTY, None)
        .await
        .result
        .unwrap_err();
    renewer
        .renew(&ctx, &HostBitmap::EMPTY, None)
        .await
        .result
        .unwrap();
    assert_eq!(world.disk.requests(0, SMALL), "R A, R A, W 0");
}

#[tokio::test(start_paused = true)]
async fn a_renewal_that_hangs_is_not_overtaken_by_the_release() {
    let (world, ctx) = (World::new(SMALL), context(10));
    let mut renewer = acquired(&world, &ctx).await;
    world.disk.fail(1, Fault::Hang);
    let start = Instant::now();
    let renewal = renewer.renew(&ctx, &HostBitmap::EMPTY, None).await;
    assert_eq!(renewal.result.unwrap_err().code(), -202);
    assert_eq!(start.elapsed(), Duration::from_secs(140));
    let disk = world.disk.clone();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(1)).await;
        disk.release_hung();
    });
    world.delta(1).release(&ctx, renewer.last()).await.unwrap();
    assert!(!world.disk.leader(0).is_owned());
    assert_eq!(world.disk.leader(0).owner_generation, Generation(1));
}

#[tokio::test(start_paused = true)]
async fn sizes_are_learnt_from_the_first_sector() {
    let ctx = context(10);
    for geometry in Geometry::ALL {
        let world = World::new(geometry);
        let found = probe(&ctx, &world.disk.area(0), &name("space"), HostId(1))
            .await
            .unwrap();
        assert_eq!(found.geometry, geometry);
        let too_large = HostId(geometry.max_hosts() + 1);
        let error = probe(&ctx, &world.disk.area(0), &name("space"), too_large).await;
        assert_eq!(error.unwrap_err().code(), -231);

        let sector = SectorSize::from_bytes(geometry.sector.as_u32()).unwrap();
        let area = world.disk.area(0);
        let info = read_lockspace(&ctx, &area, sector, None, HostId(2))
            .await
            .unwrap();
        assert_eq!((info.space, info.geometry), (name("space"), geometry));
        assert_eq!(info.io_timeout, IoTimeout(10));
        let wrong = Some(name("other"));
        let error = read_lockspace(&ctx, &area, sector, wrong.as_ref(), HostId(2)).await;
        assert_eq!(error.unwrap_err().code(), -226);
    }
    let world = World::new(SMALL);
    let good = world.disk.leader(0);
    for (bad, code) in [
        (
            Leader {
                magic: 1,
                ..good.clone()
            },
            -223,
        ),
        (
            Leader {
                version: 0x0005_0000,
                ..good.clone()
            },
            -224,
        ),
        (
            Leader {
                sector_size: 1024,
                ..good.clone()
            },
            -225,
        ),
        (
            Leader {
                flags: 0x20,
                ..good.clone()
            },
            -230,
        ),
    ] {
        world.disk.poke_leader(0, &bad);
        let error = probe(&ctx, &world.disk.area(0), &name("space"), HostId(1)).await;
        assert_eq!(error.unwrap_err().code(), code);
    }
    // Before align sizes were recorded.
    world.disk.poke_leader(0, &Leader { flags: 0, ..good });
    let found = probe(&ctx, &world.disk.area(0), &name("space"), HostId(1))
        .await
        .unwrap();
    assert_eq!(found.geometry, SMALL);
}

#[tokio::test(start_paused = true)]
async fn a_lockspace_is_valid_only_when_it_is_complete() {
    let (disk, ctx) = (MemDisk::new(), context(10));
    let area = DeltaArea {
        area: disk.area(0),
        geometry: SMALL,
    };
    disk.before(1, |disk| assert_eq!(disk.leader(0).magic, 0));
    init(
        &ctx,
        &area,
        &name("new"),
        IoTimeout(10),
        Duration::from_secs(60),
    )
    .await
    .unwrap();
    assert_eq!(disk.requests(0, SMALL), "W A, W 0");
    probe(&ctx, &disk.area(0), &name("new"), HostId(2000))
        .await
        .unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_host_id_that_does_not_exist_is_refused() {
    let (world, ctx) = (World::new(SMALL), context(10));
    // As for a sector without a lease, and for an offset below zero.
    for (host, code) in [(0, -223), (2001, -223), (u64::MAX, -22)] {
        let error = world.delta(host).read(&ctx).await.unwrap_err();
        assert_eq!(error.code(), code);
    }
    world.renew(1, u64::MAX, 0, 10);
    let error = world
        .delta(1)
        .acquire(&ctx, &name("us"), Namesake::Gone, &NEVER())
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Exhausted { .. }));
}
