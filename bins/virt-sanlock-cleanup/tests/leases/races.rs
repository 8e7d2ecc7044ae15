//! Guests that start and end on two hosts while both remove leases.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use ondisk::Leader;
use sanlock_proto::client::Registered;
use sanlock_proto::flags::{AcquireFlags, KillpathFlags, ReleaseFlags, RestrictFlags};
use sanlock_proto::request::Release;
use sanlock_proto::{ClientError, Resource};

use super::harness::{Outcome, skipped};
use super::hosts::{LOCKSPACE, Lab};

const GUESTS_OF_EACH_HOST: usize = 25;
const DISKS: usize = 10;
const TIME: Duration = Duration::from_secs(5);
/// How long a mistake may take to be found.
const LONGEST: Duration = Duration::from_secs(240);
/// How long a mistaken remover waits between its look and the removal, so that guests come in between.
const LATE: Duration = Duration::from_millis(20);

/// How many leases are there besides, so that the removal takes its time: 10000 for a long test by hand. One in fifty of
/// them is held all the time, the others nobody wants. The test then lasts until they are gone.
const MORE: &str = "CLEANUP_TEST_LEASES";
const ONE_HELD_IN: usize = 50;

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
    let more = More::make(lab);
    let (stop, tally) = (AtomicBool::new(false), Tally::default());
    let (through, begin) = (AtomicUsize::new(0), Instant::now());
    std::thread::scope(|scope| {
        for host in 1..=2 {
            for guest in 0..GUESTS_OF_EACH_HOST {
                let (stop, tally) = (&stop, &tally);
                scope.spawn(move || {
                    // Stops all if it fails, so that the failure is seen.
                    let _guard = Guard(stop);
                    while !stop.load(Ordering::Relaxed) {
                        match start(lab, host, guest, remover.guests_hold()) {
                            Some(number) => tally.told(number),
                            None => tally.no_lease(),
                        }
                    }
                });
            }
            let (stop, tally, through, more) = (&stop, &tally, &through, &more);
            scope.spawn(move || {
                let _guard = Guard(stop);
                while !stop.load(Ordering::Relaxed) {
                    let gone = match remover {
                        Remover::Program => by_program(lab, host),
                        mistaken => by_mistake(lab, host, mistaken),
                    };
                    tally.removed.fetch_add(gone, Ordering::Relaxed);
                    if through.fetch_add(1, Ordering::Relaxed) < 2 && !more.names.is_empty() {
                        let time = begin.elapsed();
                        println!("measured: host {host}: {gone} gone after {time:.1?}; {tally}");
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
    println!("measured: {tally}");
    more.check(lab);
    (tally.held(), tally.removed.into_inner())
}

/// What has happened.
#[derive(Default)]
pub struct Tally {
    /// What guests were told, and how often; 0 for a lease.
    told: Mutex<BTreeMap<i32, usize>>,
    /// Guests that had come to no lease.
    without: AtomicUsize,
    removed: AtomicUsize,
}

impl Tally {
    pub fn no_lease(&self) {
        self.without.fetch_add(1, Ordering::Relaxed);
    }

    pub fn told(&self, number: i32) {
        *self.told.lock().unwrap().entry(number).or_default() += 1;
    }

    pub fn removed(&self) {
        self.removed.fetch_add(1, Ordering::Relaxed);
    }

    pub fn held(&self) -> usize {
        self.told.lock().unwrap().get(&0).copied().unwrap_or(0)
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (without, removed) = (&self.without, &self.removed);
        write!(
            f,
            "{} times held, {} times removed, ",
            self.held(),
            removed.load(Ordering::Relaxed)
        )?;
        write!(
            f,
            "{} times no lease to take",
            without.load(Ordering::Relaxed)
        )?;
        let told = self.told.lock().unwrap();
        for (number, count) in told.iter().filter(|(number, _)| **number != 0) {
            write!(f, ", {count} times {number}")?;
        }
        Ok(())
    }
}

/// The leases that make the removal long.
struct More {
    names: Vec<String>,
    held: Vec<HeldLeases>,
}

/// Some that a connection to a host's daemon holds, and the files that have them.
struct HeldLeases {
    host: u64,
    connection: Registered,
    leases: Vec<(Resource, u64)>,
}

impl More {
    fn make(lab: &Lab) -> Self {
        let count: usize = std::env::var(MORE).map_or(0, |count| count.parse().unwrap());
        let names: Vec<_> = (0..count).map(|number| format!("f{number:031x}")).collect();
        for name in &names {
            lab.make(1, name).unwrap();
        }
        let wanted: Vec<_> = names.iter().step_by(ONE_HELD_IN).collect();
        let (of_one, of_two) = wanted.split_at(wanted.len() / 2);
        let mut held = Vec::new();
        for (host, of_host) in [(1, of_one), (2, of_two)] {
            // As many as one request may have.
            for names in of_host.chunks(8) {
                let leases: Vec<_> = names.iter().map(|name| lab.resource(name)).collect();
                let mut connection = lab.client(host).register().unwrap();
                connection
                    .acquire(AcquireFlags::NONE, &leases, None)
                    .unwrap();
                let files = names
                    .iter()
                    .map(|name| inode(lab, name).unwrap())
                    .collect::<Vec<_>>();
                held.push(HeldLeases {
                    host,
                    connection,
                    leases: leases.into_iter().zip(files).collect(),
                });
            }
        }
        Self { names, held }
    }

    /// Those that are held are there, and still worth something; the others are gone.
    fn check(mut self, lab: &Lab) {
        let mut count = 0;
        for held in &mut self.held {
            let HeldLeases {
                host,
                connection,
                leases,
            } = held;
            let has = usize::try_from(connection.inquire().unwrap().count).unwrap();
            assert_eq!(has, leases.len(), "what host {host} holds");
            for (lease, file) in leases {
                let name = lease.name.to_string();
                assert_eq!(
                    inode(lab, &name).unwrap(),
                    *file,
                    "{name} was replaced while it was held"
                );
                // The other host cannot have it.
                let mut other = lab.client(3 - *host).register().unwrap();
                let refused =
                    other.acquire(AcquireFlags::NONE, std::slice::from_ref(&*lease), None);
                assert_eq!(asked(&refused), Some(-243), "{name}");
                let what = Release::Resources(vec![lease.head()]);
                connection.release(ReleaseFlags::NONE, what).unwrap();
                other
                    .acquire(AcquireFlags::NONE, std::slice::from_ref(&*lease), None)
                    .unwrap();
                count += 1;
            }
        }
        let left = self
            .names
            .iter()
            .filter(|name| inode(lab, name).is_ok())
            .count();
        if !self.names.is_empty() {
            println!("measured: {count} were held all the time and {left} are left");
        }
        assert_eq!(count, left);
    }
}

fn inode(lab: &Lab, name: &str) -> std::io::Result<u64> {
    std::fs::metadata(lab.leases().join(name)).map(|about| about.ino())
}

/// The daemon's number, 0 for success; `None` where it did not answer.
pub fn asked<T>(answer: &Result<T, ClientError>) -> Option<i32> {
    match answer {
        Ok(_) => Some(0),
        Err(ClientError::Refused { result, .. }) => Some(*result),
        Err(_) => None,
    }
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

pub struct Guard<'a>(pub &'a AtomicBool);

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// One guest's life, as libvirt's driver lets it begin. What the lease daemon said when it was asked for the lease, 0 if
/// the guest held its disk; `None` if another guest with its disk was quicker, or the lease is gone again.
fn start(lab: &Lab, host: u64, guest: usize, hold: Duration) -> Option<i32> {
    let name = format!("{:032x}", guest % DISKS);
    if lab.make(host, &name).is_err() {
        return None;
    }
    let mut connection = lab.client(host).register().unwrap();
    connection
        .killpath(KillpathFlags::NONE, b"/bin/true", b"qemu:///system")
        .unwrap();
    let resource = lab.resource(&name);
    let resources = std::slice::from_ref(&resource);
    let acquired = connection.acquire(AcquireFlags::NONE, resources, None);
    let told = asked(&acquired);
    assert!(told.is_some(), "{acquired:?}");
    if told != Some(0) {
        std::thread::sleep(Duration::from_millis(2));
        return told;
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
    let file = inode(lab, &name);
    let ends_by_itself = guest % 2 == 0;
    if ends_by_itself {
        connection.restrict(RestrictFlags::ALL).unwrap();
    }
    std::thread::sleep(hold);
    assert_eq!(
        file.unwrap(),
        inode(lab, &name).unwrap(),
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
    told
}
