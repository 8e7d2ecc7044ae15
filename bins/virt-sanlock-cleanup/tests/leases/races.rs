//! Guests that start and end on two hosts while both remove leases.

use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt as _;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use sanlock_proto::flags::{AcquireFlags, ReleaseFlags};
use sanlock_proto::request::Release;

use super::harness::Outcome;
use super::hosts::Lab;

const GUESTS_OF_EACH_HOST: usize = 25;
const DISKS: usize = 10;
const TIME: Duration = Duration::from_secs(5);

pub fn nobody_loses_a_lease() -> Outcome {
    let lab = Lab::new(2);
    std::fs::create_dir(lab.dir.join("held")).unwrap();
    let (stop, held, removed) = (
        AtomicBool::new(false),
        AtomicUsize::new(0),
        AtomicUsize::new(0),
    );
    std::thread::scope(|scope| {
        for host in 1..=2 {
            for guest in 0..GUESTS_OF_EACH_HOST {
                let (lab, stop, held) = (&lab, &stop, &held);
                scope.spawn(move || {
                    // Stops all if it fails, so that the failure is seen.
                    let _guard = Guard(stop);
                    while !stop.load(Ordering::Relaxed) {
                        held.fetch_add(usize::from(start(lab, host, guest)), Ordering::Relaxed);
                    }
                });
            }
            let (lab, stop, removed) = (&lab, &stop, &removed);
            scope.spawn(move || {
                let _guard = Guard(stop);
                while !stop.load(Ordering::Relaxed) {
                    let output = lab.cleanup(host, &[]);
                    assert!(output.status.success(), "{output:?}");
                    let said = String::from_utf8(output.stdout).unwrap();
                    let gone = said.lines().filter(|line| line.ends_with(" PASS")).count();
                    removed.fetch_add(gone, Ordering::Relaxed);
                }
            });
        }
        let end = Instant::now() + TIME;
        while Instant::now() < end && !stop.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(50));
        }
        stop.store(true, Ordering::Relaxed);
    });
    let (held, removed) = (held.into_inner(), removed.into_inner());
    println!("measured: {held} times held, {removed} times removed");
    // Otherwise nothing was tried.
    assert!(held > 50 && removed > 20, "{held} held, {removed} removed");
    Outcome::Passed
}

struct Guard<'a>(&'a AtomicBool);

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// One guest's life. Whether it held its disk.
fn start(lab: &Lab, host: u64, guest: usize) -> bool {
    let name = format!("{:032x}", guest % DISKS);
    match lab.make(host, &name) {
        Ok(()) => {}
        // Another guest with this disk was quicker, or the lease is gone again.
        Err(_) => return false,
    }
    let mut connection = lab.client(host).register().unwrap();
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
    std::thread::sleep(Duration::from_millis(3));
    let later = std::fs::metadata(&path).map(|about| about.ino());
    assert_eq!(
        inode.unwrap(),
        later.unwrap(),
        "{name} was replaced while it was held"
    );
    std::fs::remove_file(&mark).unwrap();
    connection
        .release(
            ReleaseFlags::NONE,
            Release::Resources(vec![resource.head()]),
        )
        .unwrap();
    true
}
