//! One storage hangs, and comes back in time: nothing is lost there, and nobody else notices.

use std::time::Duration;

use sanlock_proto::flags::AcquireFlags;

use super::common::daemon::Setup;
use super::common::harness::{Case, Outcome};
use super::common::holder::Holder;
use super::common::leases::{acquire, lockspace, release, resource};
use super::common::scratch::Scratch;
use super::common::status::{AT_ONCE, Prober, list_of, renewed_at};
use super::common::wait::{PATIENCE, for_a_while, until};
use super::common::{measured, unlike_the_original};
use super::faulty::{Fault, Faulty, Kind, missing};

pub const CASES: &[Case] = &[
    (
        "a_hung_file_holds_up_nothing_else_and_loses_nothing",
        a_hung_file,
    ),
    ("a_late_renewal_read_is_taken_in", a_late_renewal_read),
];

/// Seconds; a lease runs out after eight times that.
const IO_TIMEOUT: u32 = 2;

fn a_hung_file() -> Outcome {
    if let Some(skipped) = missing() {
        return skipped;
    }
    if let Some(skipped) = unlike_the_original("an open that hangs stops everything") {
        return skipped;
    }
    let scratch = Scratch::new();
    let daemon = Setup::new(scratch.path(), "one").with(&["-o", "2"]).start();
    let faulty = Faulty::mount(&scratch, "mnt");
    let files = [
        ("stuck", faulty.file("stuck", 3)),
        ("beside", faulty.file("beside", 3)),
        ("well", scratch.file("well", 3)),
    ];
    for (space, path) in &files {
        let space_of = lockspace(space, 1, path);
        let resources = [
            resource(space, "held", path, 1),
            resource(space, "free", path, 2),
        ];
        daemon.format(&space_of, IO_TIMEOUT, &[&resources[0], &resources[1]]);
        daemon.join_later(&space_of, IO_TIMEOUT);
    }
    let mut holders = Vec::new();
    for (space, path) in &files {
        daemon.joined(&lockspace(space, 1, path));
        let mut holder = Holder::start(&daemon);
        assert_eq!(
            holder.acquire(AcquireFlags::NONE, &[&resource(space, "held", path, 1)]),
            0
        );
        holders.push(holder);
    }
    let [stuck, beside, well] = files.map(|(space, path)| resource(space, "free", &path, 2));
    let client = &daemon.client;

    let before = ["stuck", "beside", "well"].map(|space| renewed_at(client, space));
    let prober = Prober::start(client);
    faulty.hang_all("stuck");
    let waits = daemon.register();
    let asked = std::thread::spawn(move || {
        let mut waits = waits;
        acquire(&mut waits, &stuck)
    });
    let mut connection = daemon.register();
    let rounds = for_a_while(Duration::from_secs(9), || {
        for free in [&beside, &well] {
            assert_eq!(acquire(&mut connection, free), 0);
            assert_eq!(release(&mut connection, free), 0);
        }
    });
    assert_eq!(
        asked.join().unwrap(),
        -202,
        "its caller is told within the time limits"
    );
    assert!(rounds > 1, "{rounds} rounds");
    for (space, before) in [("beside", before[1]), ("well", before[2])] {
        assert!(
            renewed_at(client, space) > before,
            "{space} is renewed meanwhile"
        );
    }
    let last = renewed_at(client, "stuck");
    assert!(faulty.held() > 0);

    faulty.recover();
    until("it is renewed again", PATIENCE, || {
        renewed_at(client, "stuck") > last
    });
    let probed = prober.stop();
    for space in ["stuck", "beside", "well"] {
        assert_eq!(list_of(client, space).as_deref(), Some("spaces"), "{space}");
    }
    assert!(holders.iter_mut().all(Holder::lives));
    for (holder, space) in holders.iter_mut().zip(["stuck", "beside", "well"]) {
        assert!(holder.inquire().starts_with(&format!("{space}:held:")));
    }
    measured(&format!(
        "slowest of {} status answers beside a hung file {:?}; {rounds} rounds of leases meanwhile",
        probed.count, probed.slowest
    ));
    assert!(probed.count > 20 && probed.slowest < AT_ONCE, "{probed:?}");
    Outcome::Passed
}

fn a_late_renewal_read() -> Outcome {
    if let Some(skipped) = missing() {
        return skipped;
    }
    let scratch = Scratch::new();
    // It goes on waiting for a late read for longer than this test takes to let it come.
    let daemon = Setup::new(scratch.path(), "one")
        .with(&["-o", "2"])
        .configured("renewal_read_extend_sec = 10\n")
        .start();
    let faulty = Faulty::mount(&scratch, "mnt");
    let path = faulty.file("leases", 2);
    let space = lockspace("ls", 1, &path);
    daemon.format(&space, IO_TIMEOUT, &[]);
    daemon.join(&space, IO_TIMEOUT);
    let client = &daemon.client;
    let before = daemon.size();

    faulty.only(Fault::Hang, Kind::Read, "leases");
    until("a renewal times out", PATIENCE, || {
        super::common::status::lockspace_number(client, "ls", "renewal_last_result") == -202
    });
    let last = renewed_at(client, "ls");
    assert_eq!(faulty.held(), 1, "the read is waited for, not sent again");
    faulty.recover();
    until("it is renewed", PATIENCE, || {
        renewed_at(client, "ls") > last
    });
    let renewals = client.renewal(super::common::leases::name("ls")).unwrap();
    let timeouts: i32 = renewals
        .iter()
        .map(|renewal| {
            renewal
                .value("next_timeouts")
                .unwrap()
                .parse::<i32>()
                .unwrap()
        })
        .sum();
    assert_eq!(timeouts, 1);
    assert_eq!(list_of(client, "ls").as_deref(), Some("spaces"));
    until("its threads end", PATIENCE, || {
        daemon.size().threads <= before.threads + 1
    });
    Outcome::Passed
}
