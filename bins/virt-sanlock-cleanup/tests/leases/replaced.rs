//! Hosts that contend for leases whose files are removed and made anew all the time, by who holds them and gives them
//! back afterwards, as libvirt's script does it: what is given back then belongs to a file that is gone.
//!
//! By hand with daemons of both kinds, for a longer time:
//! `SANLOCK_PROGRAM=:/usr/sbin/sanlock:/usr/sbin/sanlock CLEANUP_TEST_SECONDS=300`.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use ondisk::{Dblock, Generation, HostId, Leader, Lver, Timestamp};
use sanlock_proto::flags::{AcquireFlags, ReleaseFlags};
use sanlock_proto::request::Release;

use super::harness::Outcome;
use super::hosts::Lab;
use super::races::{Guard, Tally, asked};

const HOSTS: u64 = 3;
const GUESTS_OF_EACH_HOST: u64 = 4;
const DISKS: u64 = 3;
const TIME: Duration = Duration::from_secs(4);
const SECONDS: &str = "CLEANUP_TEST_SECONDS";
/// One in so many guests removes the lease when it ends.
const ONE_REMOVES_IN: u64 = 4;

pub fn files_that_are_replaced_have_one_owner() -> Outcome {
    let time = std::env::var(SECONDS).map_or(TIME, |seconds| {
        Duration::from_secs(seconds.parse().unwrap())
    });
    let lab = Lab::new(HOSTS);
    std::fs::create_dir(lab.dir.join("held")).unwrap();
    let (stop, begin) = (AtomicBool::new(false), Instant::now());
    let by_host: Vec<_> = (0..HOSTS).map(|_| Tally::default()).collect();
    let told_otherwise = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for (host, tally) in (1..).zip(&by_host) {
            for guest in 0..GUESTS_OF_EACH_HOST {
                let (lab, stop, told_otherwise) = (&lab, &stop, &told_otherwise);
                scope.spawn(move || {
                    let _guard = Guard(stop);
                    let mut random = Random(host * 1000 + guest);
                    while !stop.load(Ordering::Relaxed) {
                        play(lab, host, &mut random, tally, told_otherwise, stop);
                    }
                });
            }
            let (lab, stop) = (&lab, &stop);
            scope.spawn(move || {
                let _guard = Guard(stop);
                let mut random = Random(host);
                while !stop.load(Ordering::Relaxed) {
                    std::thread::sleep(Duration::from_millis(random.below(120)));
                    lab.pause(host, Duration::from_millis(random.below(40)));
                }
            });
        }
        while !stop.load(Ordering::Relaxed) && begin.elapsed() < time {
            std::thread::sleep(Duration::from_millis(50));
        }
        stop.store(true, Ordering::Relaxed);
        // A C daemon tries for ever to take a lease whose file has a dblock of a later version.
        lab.kill_daemons();
    });
    for (host, tally) in (1..).zip(&by_host) {
        println!("measured: host {host}: {tally}");
    }
    println!(
        "measured: {} times the leader named another than the owner",
        told_otherwise.into_inner()
    );
    let counted: u64 = (0..DISKS).map(|disk| count(&lab, disk)).sum();
    let held: usize = by_host.iter().map(Tally::held).sum();
    assert_eq!(counted, u64::try_from(held).unwrap(), "two owners counted");
    assert!(held > 10, "nothing was tried");
    Outcome::Passed
}

/// One guest's life; sometimes it takes its lease's file along.
fn play(
    lab: &Lab,
    host: u64,
    random: &mut Random,
    tally: &Tally,
    told_otherwise: &AtomicUsize,
    stop: &AtomicBool,
) {
    let disk = random.below(DISKS);
    let name = format!("{disk:032x}");
    if lab.make(host, &name).is_err() {
        return tally.no_lease();
    }
    let ended = || stop.load(Ordering::Relaxed);
    let mut connection = match lab.client(host).register() {
        Ok(connection) => connection,
        Err(_) if ended() => return,
        Err(error) => panic!("{error}"),
    };
    let resource = lab.resource(&name);
    let resources = std::slice::from_ref(&resource);
    let acquired = connection.acquire(AcquireFlags::NONE, resources, None);
    let Some(told) = asked(&acquired) else {
        assert!(ended(), "{acquired:?}");
        return;
    };
    if told != 0 {
        tally.told(told);
        return std::thread::sleep(Duration::from_millis(random.below(8)));
    }
    let mark = lab.dir.join("held").join(&name);
    if let Err(error) = File::options().write(true).create_new(true).open(&mark) {
        let owner = std::fs::read_to_string(&mark);
        panic!("host {host} and another hold {name}: {error}, {owner:?}");
    }
    std::fs::write(&mark, format!("host {host}")).unwrap();
    let before = count(lab, disk);
    std::thread::sleep(Duration::from_millis(random.below(6)));
    let path = lab.leases().join(&name);
    let mut sector = [0; 512];
    let leader = File::open(&path)
        .and_then(|file| file.read_exact_at(&mut sector, 0))
        .map(|()| Leader::decode(&sector).unwrap().record);
    if !leader.is_ok_and(|leader| leader.owner_id.0 == host) {
        told_otherwise.fetch_add(1, Ordering::Relaxed);
    }
    std::fs::write(counter(lab, disk), (before + 1).to_string()).unwrap();
    tally.told(0);
    std::fs::remove_file(&mark).unwrap();
    if random.below(ONE_REMOVES_IN) == 0 {
        std::fs::remove_file(&path).unwrap();
        tally.removed();
        // Others make it anew meanwhile, and take it.
        std::thread::sleep(Duration::from_millis(random.below(12)));
    }
    let what = Release::Resources(vec![resource.head()]);
    let _ = connection.release(ReleaseFlags::NONE, what);
}

fn counter(lab: &Lab, disk: u64) -> std::path::PathBuf {
    lab.dir.join(format!("counter-{disk}"))
}

/// How often a disk was had, as its owners count it.
fn count(lab: &Lab, disk: u64) -> u64 {
    std::fs::read_to_string(counter(lab, disk)).map_or(0, |text| text.parse().unwrap())
}

/// The owner won by another's hand: while it began its next ballot, which says nothing yet, a second host wrote it down.
/// A third has given back here what it held in the file that was here before.
pub fn an_owner_in_a_replaced_file_is_waited_for() -> Outcome {
    let lab = Lab::new(3);
    let name = format!("{:032x}", 1);
    lab.make(1, &name).unwrap();
    let generation = Generation(1);
    let file = File::options()
        .read(true)
        .write(true)
        .open(lab.leases().join(&name))
        .unwrap();
    let mut sector = [0; 512];
    file.read_exact_at(&mut sector, 0).unwrap();
    let mut leader = Leader::decode(&sector).unwrap().record;
    (leader.lver, leader.timestamp) = (Lver(1), Timestamp(1));
    (leader.owner_id, leader.owner_generation) = (HostId(2), generation);
    (leader.write_id, leader.write_generation) = (HostId(3), generation);
    leader.encode(&mut sector);
    file.write_all_at(&sector, 0).unwrap();
    let of_owner = Dblock {
        mbal: 2002,
        lver: Lver(1),
        ..Dblock::default()
    };
    let of_an_old_owner = Dblock {
        mbal: 2003,
        bal: 2003,
        inp: HostId(3),
        inp2: generation,
        inp3: Timestamp(1),
        lver: Lver(50),
        flags: Dblock::RELEASED,
        ..Dblock::default()
    };
    for (host, mut dblock) in [(2, of_owner), (3, of_an_old_owner)] {
        let mut sector = [0; 512];
        dblock.encode(&mut sector);
        file.write_all_at(&sector, (host + 1) * 512).unwrap();
    }
    file.sync_all().unwrap();
    let mut connection = lab.client(1).register().unwrap();
    let resource = lab.resource(&name);
    let resources = std::slice::from_ref(&resource);
    let told =
        [(); 3].map(|()| asked(&connection.acquire(AcquireFlags::NONE, resources, None)).unwrap());
    assert_eq!(told, [-243; 3], "host 2 holds it");
    Outcome::Passed
}

/// Numbers by SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }
}
