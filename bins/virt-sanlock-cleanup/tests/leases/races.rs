//! Guests that start and end on two hosts while both remove leases.

use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use ondisk::Leader;
use sanlock_proto::flags::{AcquireFlags, KillpathFlags, ReleaseFlags, RestrictFlags};
use sanlock_proto::request::Release;

use super::harness::{Outcome, skipped};
use super::hosts::{LOCKSPACE, Lab};

const GUESTS_OF_EACH_HOST: usize = 25;
const DISKS: usize = 10;
const TIME: Duration = Duration::from_secs(5);
/// How long a mistake may take to be found.
const LONGEST: Duration = Duration::from_secs(240);
/// How long a mistaken remover waits between its look and the removal, so that guests come in between.
const LATE: Duration = Duration::from_millis(20);

/// How many leases that nobody wants are there besides, so that the removal takes its time: 10000 for a long test by
/// hand. The test then lasts until they are gone.
const MORE: &str = "CLEANUP_TEST_LEASES";

/// What removes leases while guests start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Remover {
    Program,
    /// Removes what it has seen free.
    WithoutTheLease,
    /// Removes what it held a moment ago.
    AfterTheLease,
}

impl Remover {
    /// How long guests hold their leases: short ones are many, long ones are what a mistaken remover meets.
    fn guests_hold(self) -> Duration {
        Duration::from_millis(if self == Remover::Program { 3 } else { 50 })
    }
}

pub fn nobody_loses_a_lease() -> Outcome {
    let lab = Lab::new(2);
    let (held, removed) = race(&lab, Remover::Program, TIME);
    // Otherwise nothing was tried. On a busy machine both are few.
    assert!(held > 10 && removed > 2, "{held} held, {removed} removed");
    Outcome::Passed
}

pub fn nobody_loses_a_lease_on_slow_storage() -> Outcome {
    if let Some(missing) = faultfs::missing() {
        return skipped(missing);
    }
    let lab = Lab::on_slow_storage(2, Duration::from_millis(2));
    let (held, removed) = race(&lab, Remover::Program, TIME);
    assert!(held > 10 && removed > 2, "{held} held, {removed} removed");
    Outcome::Passed
}

pub fn who_removes_without_the_lease() -> Outcome {
    is_found(Remover::WithoutTheLease)
}

pub fn who_gives_the_lease_back_first() -> Outcome {
    is_found(Remover::AfterTheLease)
}

/// What the test is worth: these make two owners, and it sees them.
fn is_found(remover: Remover) -> Outcome {
    let lab = Lab::new(2);
    let begin = Instant::now();
    let raced = catch_unwind(AssertUnwindSafe(|| race(&lab, remover, LONGEST)));
    assert!(raced.is_err(), "{remover:?} was not found");
    println!("measured: found after {:?}", begin.elapsed());
    Outcome::Passed
}

/// Lets guests start and leases be removed for so long at least. How often a lease was held, and one removed.
fn race(lab: &Lab, remover: Remover, time: Duration) -> (usize, usize) {
    std::fs::create_dir(lab.dir.join("held")).unwrap();
    let more = std::env::var(MORE).map_or(0, |count| count.parse().unwrap());
    for number in 0..more {
        lab.make(1, &format!("f{number:031x}")).unwrap();
    }
    let (stop, held, removed) = (
        AtomicBool::new(false),
        AtomicUsize::new(0),
        AtomicUsize::new(0),
    );
    let (through, begin) = (AtomicUsize::new(0), Instant::now());
    std::thread::scope(|scope| {
        for host in 1..=2 {
            for guest in 0..GUESTS_OF_EACH_HOST {
                let (stop, held) = (&stop, &held);
                scope.spawn(move || {
                    // Stops all if it fails, so that the failure is seen.
                    let _guard = Guard(stop);
                    while !stop.load(Ordering::Relaxed) {
                        held.fetch_add(
                            usize::from(start(lab, host, guest, remover.guests_hold())),
                            Ordering::Relaxed,
                        );
                    }
                });
            }
            let (stop, removed, through) = (&stop, &removed, &through);
            scope.spawn(move || {
                let _guard = Guard(stop);
                while !stop.load(Ordering::Relaxed) {
                    let gone = match remover {
                        Remover::Program => by_program(lab, host),
                        mistaken => by_mistake(lab, host, mistaken),
                    };
                    removed.fetch_add(gone, Ordering::Relaxed);
                    if through.fetch_add(1, Ordering::Relaxed) < 2 && more > 0 {
                        println!("measured: {gone} gone after {:?}", begin.elapsed());
                    }
                }
            });
            scope.spawn(move || {
                let _guard = Guard(stop);
                // Wherever they are then: also between a ballot and its last write.
                for round in 0_u64.. {
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                    std::thread::sleep(Duration::from_millis(97 + 40 * host));
                    lab.pause(host, Duration::from_millis(10 + 23 * (round % 7)));
                }
            });
        }
        while !stop.load(Ordering::Relaxed)
            && (begin.elapsed() < time || through.load(Ordering::Relaxed) < 2)
        {
            std::thread::sleep(Duration::from_millis(50));
        }
        stop.store(true, Ordering::Relaxed);
    });
    let (held, removed) = (held.into_inner(), removed.into_inner());
    println!("measured: {held} times held, {removed} times removed");
    (held, removed)
}

fn by_program(lab: &Lab, host: u64) -> usize {
    let output = lab.cleanup(host, &[]);
    assert!(output.status.success(), "{output:?}");
    let said = String::from_utf8(output.stdout).unwrap();
    said.lines().filter(|line| line.ends_with(" PASS")).count()
}

/// As a program would that makes a mistake.
fn by_mistake(lab: &Lab, host: u64, remover: Remover) -> usize {
    let mut connection = lab.client(host).register().unwrap();
    let mut gone = 0;
    for entry in std::fs::read_dir(lab.leases()).unwrap().flatten() {
        let name = entry.file_name();
        if name.as_bytes() == LOCKSPACE.as_bytes() {
            continue;
        }
        let may_go = if remover == Remover::AfterTheLease {
            let resource = lab.resource(name.to_str().unwrap());
            let resources = std::slice::from_ref(&resource);
            let acquired = connection.acquire(AcquireFlags::NONE, resources, None);
            let what = Release::Resources(vec![resource.head()]);
            acquired.is_ok() && connection.release(ReleaseFlags::NONE, what).is_ok()
        } else {
            is_free(&entry.path())
        };
        if !may_go {
            continue;
        }
        std::thread::sleep(LATE);
        gone += usize::from(std::fs::remove_file(entry.path()).is_ok());
    }
    gone
}

fn is_free(path: &Path) -> bool {
    let bytes = std::fs::read(path).unwrap_or_default();
    let Some(sector) = bytes.get(..512) else {
        return false;
    };
    Leader::decode(sector).is_ok_and(|leader| !leader.record.is_owned())
}

struct Guard<'a>(&'a AtomicBool);

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// One guest's life, as libvirt's driver lets it begin. Whether it held its disk.
fn start(lab: &Lab, host: u64, guest: usize, hold: Duration) -> bool {
    let name = format!("{:032x}", guest % DISKS);
    match lab.make(host, &name) {
        Ok(()) => {}
        // Another guest with this disk was quicker, or the lease is gone again.
        Err(_) => return false,
    }
    let mut connection = lab.client(host).register().unwrap();
    connection
        .killpath(KillpathFlags::NONE, b"/bin/true", b"qemu:///system")
        .unwrap();
    let resource = lab.resource(&name);
    let resources = std::slice::from_ref(&resource);
    if connection
        .acquire(AcquireFlags::NONE, resources, None)
        .is_err()
    {
        std::thread::sleep(Duration::from_millis(2));
        return false;
    }
    let mark = lab.dir.join("held").join(&name);
    match File::options().write(true).create_new(true).open(&mark) {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            panic!("two guests hold {name}")
        }
        Err(error) => panic!("{error}"),
    }
    // The file that has the lease stays while it is held.
    let path = lab.leases().join(&name);
    let inode = std::fs::metadata(&path).map(|about| about.ino());
    let ends_by_itself = guest % 2 == 0;
    if ends_by_itself {
        connection.restrict(RestrictFlags::ALL).unwrap();
    }
    std::thread::sleep(hold);
    let later = std::fs::metadata(&path).map(|about| about.ino());
    assert_eq!(
        inode.unwrap(),
        later.unwrap(),
        "{name} was replaced while it was held"
    );
    std::fs::remove_file(&mark).unwrap();
    // A guest's lease is given back by its end, another's by itself.
    if !ends_by_itself {
        connection
            .release(
                ReleaseFlags::NONE,
                Release::Resources(vec![resource.head()]),
            )
            .unwrap();
    }
    true
}
