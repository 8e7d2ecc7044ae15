use std::time::Duration;

use ondisk::{Geometry, HostId, Leader, Lver, Name, SectorSize};

use super::{Index, IndexMember, IndexQuery, IndexUpdate, create, delete, format, lookup};
use super::{rebuild, update};
use crate::Context;
use crate::testing::{EIO, Fault, SMALL, World, context, member, name};

const MINUTE: Duration = Duration::from_secs(60);
/// Where the index stands: far behind everything else of a [`World`].
const INDEX: u64 = 32 << 20;

fn index(world: &World) -> Index {
    Index::new(world.disk.area(INDEX), name("space"))
}

/// An index with room for `max_resources`.
async fn formatted(world: &World, ctx: &Context, max_resources: u32) -> Index {
    let index = index(world);
    format(ctx, &index, world.geometry, max_resources, MINUTE)
        .await
        .unwrap();
    world.disk.requests(INDEX, world.geometry);
    index
}

fn us(world: &World) -> IndexMember<'_> {
    IndexMember {
        us: member(1, 1),
        liveness: world,
    }
}

async fn find(ctx: &Context, index: &Index, resource: &str) -> Result<u64, i32> {
    let query = IndexQuery::Name(name(resource));
    lookup(ctx, index, query)
        .await
        .map(|found| found.offset)
        .map_err(|error| error.code())
}

#[tokio::test(start_paused = true)]
async fn resources_come_and_go() {
    for geometry in Geometry::ALL {
        let (world, ctx) = (World::new(geometry), context(10));
        let align = geometry.align.bytes() as u64;
        let place = |number: u64| INDEX + (2 + number) * align;
        let index = formatted(&world, &ctx, 0).await;
        for (number, resource) in ["one", "two", "three"].into_iter().enumerate() {
            let made = create(&ctx, &index, us(&world), &name(resource), 5, MINUTE).await;
            assert_eq!(made.result.unwrap(), place(number as u64));
            assert!(made.undo.is_none());
            let leader = world.disk.leader(place(number as u64));
            assert_eq!(
                (leader.resource_name, leader.num_hosts),
                (name(resource), 5)
            );
        }
        assert_eq!(find(&ctx, &index, "two").await, Ok(place(1)));
        assert_eq!(find(&ctx, &index, "four").await, Err(-2));

        let deleted = delete(&ctx, &index, us(&world), &name("two"), MINUTE).await;
        assert!(deleted.result.is_ok() && deleted.undo.is_none());
        assert_eq!(find(&ctx, &index, "two").await, Err(-2));
        assert_eq!(world.disk.leader(place(1)).magic, Leader::CLEAR_MAGIC);
        let again = delete(&ctx, &index, us(&world), &name("two"), MINUTE).await;
        assert_eq!(again.result.unwrap_err().code(), -2);

        // The place is used again.
        let free = lookup(&ctx, &index, IndexQuery::FreePlace).await.unwrap();
        assert_eq!((free.name, free.offset), (Name::EMPTY, place(1)));
        let made = create(&ctx, &index, us(&world), &name("four"), 0, MINUTE).await;
        assert_eq!(made.result.unwrap(), place(1));

        // The internal lease was taken for each change, and is free.
        let internal = world.disk.leader(INDEX + align);
        assert!(!internal.is_owned());
        assert_eq!(
            (internal.lver, internal.resource_name),
            (Lver(6), name("rindex_lease"))
        );
    }
}

#[tokio::test(start_paused = true)]
async fn an_offset_tells_a_name() {
    let (world, ctx) = (World::new(SMALL), context(10));
    let index = formatted(&world, &ctx, 3).await;
    let align = SMALL.align.bytes() as u64;
    let first = INDEX + 2 * align;
    create(&ctx, &index, us(&world), &name("one"), 0, MINUTE)
        .await
        .result
        .unwrap();
    let at = async |query| {
        lookup(&ctx, &index, query)
            .await
            .map_err(|error| error.code())
    };
    assert_eq!(
        at(IndexQuery::Offset(first)).await.unwrap().name,
        name("one")
    );
    assert_eq!(
        at(IndexQuery::Offset(first + align)).await.unwrap().name,
        Name::EMPTY
    );
    assert_eq!(
        at(IndexQuery::Both(name("one"), first))
            .await
            .unwrap()
            .offset,
        first
    );
    assert_eq!(at(IndexQuery::Both(name("two"), first)).await, Err(-278));
    // Not on a boundary, in front of the resources, behind the last of three.
    for offset in [first + 512, INDEX, 0, first + 3 * align, u64::MAX] {
        assert_eq!(at(IndexQuery::Offset(offset)).await, Err(-277), "{offset}");
        assert_eq!(at(IndexQuery::Both(name("one"), offset)).await, Err(-277));
    }
}

#[tokio::test(start_paused = true)]
async fn a_full_index_has_no_free_place() {
    let (world, ctx) = (World::new(SMALL), context(10));
    let index = formatted(&world, &ctx, 1).await;
    create(&ctx, &index, us(&world), &name("one"), 0, MINUTE)
        .await
        .result
        .unwrap();
    let full = create(&ctx, &index, us(&world), &name("two"), 0, MINUTE).await;
    assert_eq!(full.result.unwrap_err().code(), -2);
    assert!(
        !world.disk.leader(INDEX + (1 << 20)).is_owned(),
        "given back all the same"
    );
}

#[tokio::test(start_paused = true)]
async fn the_internal_lease_is_kept_while_a_write_to_the_index_is_under_way() {
    let align = SMALL.align.bytes() as u64;
    // The new resource's area, its leader, the index's entry.
    for (number, offset) in [
        (8, INDEX + 2 * align),
        (9, INDEX + 2 * align),
        (10, INDEX + 512),
    ] {
        let (world, ctx) = (World::new(SMALL), context(10));
        let mut index = formatted(&world, &ctx, 0).await;
        index.sector_hint = Some(SectorSize::B512);
        world.disk.fail(1 + number, Fault::Hang);
        let made = create(&ctx, &index, us(&world), &name("one"), 0, MINUTE).await;
        assert_eq!(made.result.unwrap_err().code(), -202, "{number}");
        let mut undo = made.undo.unwrap();
        assert!(crate::undo(&ctx, &mut undo).await.unwrap_err().is_timeout());
        assert!(world.disk.leader(INDEX + align).is_owned());
        let before = world.disk.peek(offset, 512);
        world.disk.release_hung();
        crate::undo(&ctx, &mut undo).await.unwrap();
        assert!(!world.disk.leader(INDEX + align).is_owned());
        let landed = world.disk.peek(offset, 512) != before;
        assert_eq!(landed, number != 8, "its first sector is empty");
    }
}

#[tokio::test(start_paused = true)]
async fn only_what_must_be_is_read_and_written() {
    let (world, ctx) = (World::new(SMALL), context(10));
    let mut index = formatted(&world, &ctx, 0).await;
    index.sector_hint = Some(SectorSize::B512);
    find(&ctx, &index, "one").await.unwrap_err();
    assert_eq!(world.disk.requests(INDEX, SMALL), "R 0, R A");
    create(&ctx, &index, us(&world), &name("one"), 0, MINUTE)
        .await
        .result
        .unwrap();
    let requests = world.disk.requests(INDEX, SMALL);
    let changes = requests
        .split(", ")
        .filter(|request| request.starts_with('W'));
    // Our dblock twice and the leader; the new lease; the entry; the leader.
    assert_eq!(
        changes.collect::<Vec<_>>(),
        [
            "W 2050", "W 2050", "W 2048", "W A", "W 4096", "W 1", "W 2048"
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn entries_are_corrected_and_found_again() {
    let (world, ctx) = (World::new(SMALL), context(10));
    let index = formatted(&world, &ctx, 8).await;
    let place = |number: u64| INDEX + (2 + number) * (1 << 20);
    for resource in ["one", "two", "three"] {
        create(&ctx, &index, us(&world), &name(resource), 0, MINUTE)
            .await
            .result
            .unwrap();
    }
    let removed = update(&ctx, &index, IndexUpdate::Remove(place(0)))
        .await
        .unwrap();
    assert_eq!((removed.name, removed.offset), (Name::EMPTY, 0));
    let added = update(&ctx, &index, IndexUpdate::Add(name("odd"), place(5)))
        .await
        .unwrap();
    assert_eq!((added.name, added.offset), (name("odd"), place(5)));
    assert_eq!(find(&ctx, &index, "one").await, Err(-2));
    assert_eq!(find(&ctx, &index, "odd").await, Ok(place(5)));
    let nowhere = update(&ctx, &index, IndexUpdate::Remove(place(8)))
        .await
        .unwrap_err();
    assert_eq!(nowhere.code(), -277);

    for member in [None, Some(us(&world))] {
        let rebuilt = rebuild(&ctx, &index, member).await;
        assert_eq!(rebuilt.result.unwrap(), 3);
        assert_eq!(find(&ctx, &index, "one").await, Ok(place(0)));
        assert_eq!(find(&ctx, &index, "odd").await, Err(-2));
    }
}

#[tokio::test(start_paused = true)]
async fn the_internal_lease_of_a_live_host_is_not_waited_for() {
    let (world, ctx) = (World::new(SMALL), context(10));
    let index = formatted(&world, &ctx, 8).await;
    let internal = INDEX + (1 << 20);
    let owned = Leader {
        owner_id: HostId(2),
        owner_generation: ondisk::Generation(1),
        timestamp: ondisk::Timestamp(5),
        write_id: HostId(2),
        ..world.disk.leader(internal)
    };
    world.disk.poke_leader(internal, &owned);
    world.renew(2, 1, 500, 10);
    for (live, code) in [(990, -243), (980, -247)] {
        world.scanned(2, live, 990);
        let busy = create(&ctx, &index, us(&world), &name("one"), 0, MINUTE).await;
        assert_eq!(busy.result.unwrap_err().code(), code);
    }
}

#[tokio::test(start_paused = true)]
async fn a_change_that_fails_gives_the_internal_lease_back() {
    let (world, ctx) = (World::new(SMALL), context(10));
    let index = formatted(&world, &ctx, 8).await;
    let internal = INDEX + (1 << 20);
    // Header, six requests of the acquire, header, index, new lease.
    world.disk.fail(9, Fault::Error);
    let failed = create(&ctx, &index, us(&world), &name("one"), 0, MINUTE).await;
    assert_eq!(failed.result.unwrap_err().code(), -EIO);
    assert!(failed.undo.is_none() && !world.disk.leader(internal).is_owned());
    // If even that fails, somebody has to.
    world.disk.fail(9, Fault::Error);
    world.disk.fail(10, Fault::Error);
    let failed = create(&ctx, &index, us(&world), &name("one"), 0, MINUTE).await;
    crate::undo(&ctx, &mut failed.undo.unwrap()).await.unwrap();
    assert!(!world.disk.leader(internal).is_owned());
    // An acquire that fails halfway is taken back at once.
    world.disk.fail(6, Fault::DoneButError);
    let failed = create(&ctx, &index, us(&world), &name("one"), 0, MINUTE).await;
    assert_eq!(failed.result.unwrap_err().code(), -EIO);
    assert!(failed.undo.is_none() && !world.disk.leader(internal).is_owned());
}

#[tokio::test(start_paused = true)]
async fn what_is_no_index_of_ours_is_refused() {
    let (world, ctx) = (World::new(SMALL), context(10));
    let index = formatted(&world, &ctx, 8).await;
    let other = Index {
        space: name("other"),
        ..index.clone()
    };
    assert_eq!(find(&ctx, &other, "one").await, Err(-276));
    let header = world.disk.peek(INDEX, 512);
    world.disk.poke(INDEX + (8 << 20), &header);
    let moved = Index::new(world.disk.area(INDEX + (8 << 20)), name("space"));
    assert_eq!(find(&ctx, &moved, "one").await, Err(-277));
    for (byte, code) in [(0, -274), (6, -275), (13, -22)] {
        let mut damaged = header.clone();
        damaged[byte] ^= 0x40;
        world.disk.poke(INDEX, &damaged);
        assert_eq!(find(&ctx, &index, "one").await, Err(code));
        let failed = create(&ctx, &index, us(&world), &name("one"), 0, MINUTE).await;
        assert_eq!(failed.result.unwrap_err().code(), code);
    }
}
