//! What `sanlock direct` leaves on disk.

use std::time::Duration;

use ondisk::{Generation, HostBitmap, HostId, Timestamp};
use paxos::delta::{Namesake, RenewalPolicy, Renewer};
use paxos::resource::{AcquireOptions, InitKind, acquire_owner, release_leader};
use paxos::rindex::{Index, IndexUpdate};
use paxos::{Cancel, Member, NoLiveness, delta, resource, rindex};

use crate::pair::{IO_TIMEOUT, Pair, at_all_geometries, at_times, name, run};

#[test]
fn initialised_areas() {
    at_all_geometries("initialised_areas", |pair| {
        let resource = pair.align();
        let removed = 2 * pair.align();
        pair.c(&["init", "-s", &pair.c_lockspace(0)]);
        pair.c(&["init", "-r", &pair.c_resource("RES", resource), "-n", "20"]);
        pair.c(&["init", "-r", &pair.c_resource("OLD", removed), "-z", "1"]);
        let now = pair.their_leader(removed).write_timestamp;
        let ctx = at_times(&[now]);
        let second = Duration::from_secs(1);
        run(async {
            delta::init(&ctx, &pair.delta_area(), &name("LS"), IO_TIMEOUT, second)
                .await
                .unwrap();
            let lease = pair.resource("RES", resource);
            resource::init(&ctx, &lease, InitKind::Free, 20, second)
                .await
                .unwrap();
            let lease = pair.resource("OLD", removed);
            resource::init(&ctx, &lease, InitKind::Cleared, 0, second)
                .await
                .unwrap();
        });
        let padding = [resource, removed].map(|resource| pair.padding_of_request(resource));
        pair.must_be_alike("init", &padding);
    });
}

#[test]
fn host_ids() {
    at_all_geometries("host_ids", |pair| {
        let last = pair.geometry.max_hosts();
        let second = Duration::from_secs(1);
        pair.c(&["init", "-s", &pair.c_lockspace(0)]);
        for (host, host_name) in [(last, "a-long-host-name"), (last, "short"), (1, "other")] {
            pair.same_again();
            let lease = pair.delta_lease(host);
            let offset = pair.geometry.delta_offset(HostId(host)).unwrap();
            // Acquired, renewed and released, and then with another name that does not fill the field.
            pair.c(&["acquire_id", "-s", &pair.c_lockspace(host), "-e", host_name]);
            let ctx = at_times(&[pair.their_leader(offset).timestamp]);
            let acquired =
                run(lease.acquire(&ctx, &name(host_name), Namesake::Gone, &Cancel::new())).unwrap();
            pair.must_be_alike("acquire_id", &[]);

            pair.c(&["renew_id", "-s", &pair.c_lockspace(host)]);
            let ctx = at_times(&[pair.their_leader(offset).timestamp]);
            let policy = RenewalPolicy {
                read_extend: second,
            };
            let mut renewer = Renewer::of_owner(lease.clone(), acquired, policy);
            let renewal = run(renewer.renew(&ctx, &HostBitmap::EMPTY, None));
            let renewed = renewal.result.unwrap();
            assert_eq!(renewed.counts_from, renewed.leader.timestamp);
            pair.must_be_alike("renew_id", &[]);

            pair.c(&["release_id", "-s", &pair.c_lockspace(host)]);
            run(lease.release(&ctx, renewer.last())).unwrap();
            pair.must_be_alike("release_id", &[]);
        }
        // A host that comes back under its own name without having released.
        pair.c(&["acquire_id", "-s", &pair.c_lockspace(1), "-e", "other"]);
        pair.same_again();
        pair.c(&["acquire_id", "-s", &pair.c_lockspace(1), "-e", "other"]);
        let ctx = at_times(&[pair.their_leader(0).timestamp]);
        let acquired =
            run(pair
                .delta_lease(1)
                .acquire(&ctx, &name("other"), Namesake::Gone, &Cancel::new()));
        assert_eq!(acquired.unwrap().owner_generation, Generation(3));
        pair.must_be_alike("acquire_id of the same host", &[]);
    });
}

/// Acquires with both programs and compares.
fn acquire_with_both(pair: &Pair, offset: u64, host: u64, generation: u64) {
    let resource = pair.c_resource("RES", offset);
    let (host_text, generation_text) = (host.to_string(), generation.to_string());
    pair.c(&[
        "acquire",
        "-r",
        &resource,
        "-i",
        &host_text,
        "-g",
        &generation_text,
    ]);
    let leader = pair.their_leader(offset);
    assert_eq!(leader.owner_id, HostId(host));
    let ctx = at_times(&[leader.timestamp, leader.write_timestamp]);
    let us = Member {
        host: HostId(host),
        generation: Generation(generation),
    };
    let (lease, options) = (pair.resource("RES", offset), AcquireOptions::default());
    let acquired = run(acquire_owner(
        &ctx,
        &lease,
        us,
        &NoLiveness,
        &options,
        &Cancel::new(),
    ));
    assert_eq!(acquired.unwrap().held.leader, leader);
    pair.must_be_alike("acquire", &[]);
}

#[test]
fn resources() {
    at_all_geometries("resources", |pair| {
        let offset = pair.align();
        let last = pair.geometry.max_hosts();
        pair.c(&["init", "-r", &pair.c_resource("RES", offset)]);
        pair.same_again();
        acquire_with_both(pair, offset, last, 1);
        // Held by us already, and then left by an earlier generation of ours.
        acquire_with_both(pair, offset, last, 1);
        acquire_with_both(pair, offset, last, 5);

        // `sanlock direct release` works as host 0, which never wrote the leader: it does nothing.
        pair.c(&["release", "-r", &pair.c_resource("RES", offset)]);
        let nobody = Member {
            host: HostId(0),
            generation: Generation(0),
        };
        let last_leader = pair.their_leader(offset);
        assert!(last_leader.is_owned());
        let ctx = at_times(&[Timestamp(1)]);
        let lease = pair.resource("RES", offset);
        let released = run(release_leader(
            &ctx,
            &lease,
            nobody,
            Some(&last_leader),
            None,
        ));
        assert_eq!(released.unwrap(), None);
        pair.must_be_alike("release", &[]);
    });
}

#[test]
fn ballots_of_few_hosts() {
    at_all_geometries("ballots_of_few_hosts", |pair| {
        let offset = 3 * pair.align();
        pair.c(&["init", "-r", &pair.c_resource("RES", offset), "-n", "3"]);
        pair.same_again();
        acquire_with_both(pair, offset, 3, 7);
    });
}

#[test]
fn resource_indexes() {
    at_all_geometries("resource_indexes", |pair| {
        let align = pair.align();
        let theirs = format!("LS:{}:{align}", pair.theirs.display());
        let index = Index::new(pair.area(align), name("LS"));
        let padding = pair.padding_of_request(2 * align);
        let ctx = at_times(&[Timestamp(1)]);
        let second = Duration::from_secs(1);

        pair.c(&["format", "-x", &theirs]);
        run(rindex::format(&ctx, &index, pair.geometry, 0, second)).unwrap();
        pair.must_be_alike("format", &[padding]);

        let (first, fourth) = (3 * align, 6 * align);
        pair.c(&["update", "-x", &theirs, "-e", &format!("one:{first}")]);
        pair.c(&["update", "-x", &theirs, "-e", &format!("four:{fourth}")]);
        run(rindex::update(
            &ctx,
            &index,
            IndexUpdate::Add(name("one"), first),
        ))
        .unwrap();
        run(rindex::update(
            &ctx,
            &index,
            IndexUpdate::Add(name("four"), fourth),
        ))
        .unwrap();
        pair.must_be_alike("update", &[padding]);
        pair.c(&[
            "update",
            "-x",
            &theirs,
            "-e",
            &format!("one:{first}"),
            "-z",
            "1",
        ]);
        run(rindex::update(&ctx, &index, IndexUpdate::Remove(first))).unwrap();
        pair.must_be_alike("update", &[padding]);

        let (second_place, third_place) = (4 * align, 5 * align);
        pair.c(&["init", "-r", &pair.c_resource("two", second_place)]);
        pair.c(&["init", "-r", &pair.c_resource("three", third_place)]);
        pair.same_again();
        pair.c(&["rebuild", "-x", &theirs]);
        let rebuilt = run(rindex::rebuild(&ctx, &index, None));
        assert_eq!(rebuilt.result.unwrap(), 2);
        pair.must_be_alike("rebuild", &[]);
    });
}
