//! Storage hangs for longer than a lease lasts: its holders are stopped, first politely, and the
//! lockspace is given up until the storage is back.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use sanlock_proto::flags::{AcquireFlags, KillpathFlags};

use super::common::daemon::Setup;
use super::common::harness::{Case, Outcome};
use super::common::holder::Holder;
use super::common::leases::{acquire, lockspace, resource};
use super::common::measured;
use super::common::process::End;
use super::common::scratch::Scratch;
use super::common::status::{AT_ONCE, Prober, list_of, monotime, renewed_at};
use super::common::wait::{PATIENCE, until, until_some};
use super::faulty::{Faulty, missing};

pub const CASES: &[Case] = &[(
    "an_expired_lockspace_stops_its_processes_and_can_be_joined_again",
    an_expired_lockspace,
)];

const IO_TIMEOUT: u32 = 2;
/// Seconds until a lease that is not renewed runs out.
const EXPIRES: i64 = 16;
/// Seconds from the expiry until SIGKILL.
const GRACE: i64 = 4;
/// Seconds by which this computer may be late.
const LATE: i64 = 15;

fn an_expired_lockspace() -> Outcome {
    if let Some(skipped) = missing() {
        return skipped;
    }
    let scratch = Scratch::new();
    let daemon = Setup::new(scratch.path(), "one")
        .with(&["-o", "2", "-g", "4"])
        .start();
    let faulty = Faulty::mount(&scratch, "mnt");
    let path = faulty.file("stuck", 5);
    let space = lockspace("stuck", 1, &path);
    let resources: Vec<_> = (1u64..5)
        .map(|at| resource("stuck", &format!("r{at}"), &path, at))
        .collect();
    daemon.format(&space, IO_TIMEOUT, &resources.iter().collect::<Vec<_>>());
    daemon.join(&space, IO_TIMEOUT);
    let client = &daemon.client;

    let mut polite = Holder::start(&daemon);
    assert_eq!(polite.acquire(AcquireFlags::NONE, &[&resources[0]]), 0);
    let mut deaf = Holder::start_deaf(&daemon);
    assert_eq!(deaf.acquire(AcquireFlags::NONE, &[&resources[1]]), 0);
    let mut scripted = Holder::start(&daemon);
    assert_eq!(scripted.acquire(AcquireFlags::NONE, &[&resources[2]]), 0);
    let (script, told) = (scratch.path().join("stop"), scratch.path().join("told"));
    write_script(&script, &told);
    let arguments = r"two\ words back\\slash plain";
    assert_eq!(scripted.killpath(KillpathFlags::PID, &script, arguments), 0);

    let prober = Prober::start(client);
    faulty.hang_all("stuck");
    let ended = until_some("the polite one ends", PATIENCE, || polite.end());
    let (now, last) = (monotime(client), renewed_at(client, "stuck"));
    assert_eq!(ended, End::Signal(15));
    assert!(
        (EXPIRES..EXPIRES + LATE).contains(&(now - last)),
        "SIGTERM after {} s",
        now - last
    );
    let refused = acquire(&mut daemon.register(), &resources[3]);
    assert_eq!(refused, -28, "nothing is taken in it any more");

    let arguments = until_some("the kill path runs", PATIENCE, || {
        fs::read_to_string(&told)
            .ok()
            .filter(|text| text.ends_with("end\n"))
    });
    let expected = format!("two words\nback\\slash\nplain\n{}\nend\n", scripted.pid());
    assert_eq!(arguments, expected);
    assert!(
        deaf.lives() && scripted.lives(),
        "nobody is killed before the time of grace is over"
    );

    for (holder, who) in [(&mut deaf, "deaf"), (&mut scripted, "scripted")] {
        let ended = until_some("the others end", PATIENCE, || holder.end());
        assert_eq!(ended, End::Signal(9), "{who}");
    }
    let now = monotime(client);
    let killed = EXPIRES + GRACE;
    assert!(
        (killed..killed + LATE).contains(&(now - last)),
        "SIGKILL after {} s",
        now - last
    );

    until("the lockspace is given up", PATIENCE, || {
        list_of(client, "stuck").is_none_or(|list| list == "rem")
    });
    faulty.recover();
    let gone_after = until("the lockspace is gone", Duration::from_secs(120), || {
        list_of(client, "stuck").is_none()
    });
    let probed = prober.stop();
    daemon.join(&space, IO_TIMEOUT);
    let mut again = Holder::start(&daemon);
    for resource in &resources {
        assert_eq!(again.acquire(AcquireFlags::NONE, &[resource]), 0);
    }
    measured(&format!(
        "gone {gone_after:?} after the storage was back; slowest of {} status answers while a lockspace \
         expires {:?}",
        probed.count, probed.slowest
    ));
    assert!(probed.slowest < AT_ONCE, "{probed:?}");
    Outcome::Passed
}

/// A program that writes its arguments, one a line, and leaves the process alone.
fn write_script(path: &Path, told: &Path) {
    let text = format!(
        "#!/bin/sh\n(printf '%s\\n' \"$@\"; echo end) >>'{}'\n",
        told.display()
    );
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}
