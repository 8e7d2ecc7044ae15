use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::*;
use crate::STUCK_PER_DISK;

const A: HostLabel = HostLabel(1);
const B: HostLabel = HostLabel(2);
const SECOND: Duration = Duration::from_secs(1);

fn path() -> &'static Path {
    Path::new("/shared/leases")
}

fn storage(seed: u64) -> SimStorage {
    let storage = SimStorage::new(seed);
    storage.create_device(path(), 1 << 20, 512);
    storage
}

async fn open(storage: &SimStorage, host: HostLabel) -> Arc<dyn Disk> {
    storage.host(host).open(path()).await.unwrap()
}

fn sector(byte: u8) -> Buffer {
    sectors(byte, 1)
}

fn sectors(byte: u8, count: usize) -> Buffer {
    Buffer::copy_of(&vec![byte; 512 * count])
}

fn writes(faults: RequestFaults) -> Faults {
    Faults {
        write: faults,
        ..Faults::none()
    }
}

#[tokio::test(start_paused = true)]
async fn one_host_reads_what_another_wrote() {
    let storage = storage(1);
    let (a, b) = (open(&storage, A).await, open(&storage, B).await);
    a.write(512, sector(7)).await.unwrap();
    assert!(
        b.read(512, 512)
            .await
            .unwrap()
            .iter()
            .all(|byte| *byte == 7)
    );
    assert!(b.read(0, 512).await.unwrap().iter().all(|byte| *byte == 0));
    assert_eq!(storage.snapshot(path())[512..1024], [7; 512]);
    storage.write_raw(path(), 520, &[1, 2, 3]);
    assert_eq!(storage.read_raw(path(), 519, 5), [7, 1, 2, 3, 7]);
    assert_eq!(storage.read_raw(path(), (1 << 20) - 1, 5), [0]);
    let counts = storage.counts(B);
    assert_eq!(
        (counts.opens, counts.reads, counts.bytes_read, counts.writes),
        (1, 2, 1024, 0)
    );
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_done_is_refused() {
    let storage = storage(1);
    let link = storage.host(A);
    let missing = link.open(Path::new("/none")).await.unwrap_err();
    assert_eq!(missing.code(), -libc::ENOENT);
    let disk = link.open(path()).await.unwrap();
    assert!(matches!(disk.read(1, 512).await, Err(IoError::Invalid(_))));
    assert!(matches!(
        disk.write(0, sectors(1, 0)).await,
        Err(IoError::Invalid(_))
    ));
    assert!(matches!(
        disk.read(1 << 20, 512).await,
        Err(IoError::Short { .. })
    ));
    assert_eq!(
        disk.write(1 << 20, sector(1)).await.unwrap_err().code(),
        -libc::ENOSPC
    );
    storage.create_file(Path::new("/file"), 512);
    let file = link.open(Path::new("/file")).await.unwrap();
    file.write(1024, sector(3)).await.unwrap();
    assert_eq!(storage.snapshot(Path::new("/file")).len(), 1536);
    storage.remove(path());
    assert_eq!(disk.read(0, 512).await.unwrap_err().code(), -libc::ESTALE);
}

#[tokio::test(start_paused = true)]
async fn a_timed_out_write_lands_late_and_can_be_waited_for_again() {
    let storage = storage(2);
    let (a, b) = (open(&storage, A).await, open(&storage, B).await);
    let late = RequestFaults {
        late: 1.0,
        late_by: SECOND * 20..SECOND * 21,
        ..RequestFaults::none()
    };
    storage.set_faults(A, writes(late));
    let mut first = a.write(0, sector(1));
    let second = a.write(512, sector(2));
    assert!(matches!(
        first.poll_within(SECOND).await,
        Err(IoError::TimedOut { .. })
    ));
    assert!(matches!(
        second.within(SECOND).await,
        Err(IoError::TimedOut { .. })
    ));
    first.within(SECOND * 30).await.unwrap();
    tokio::time::sleep(SECOND * 30).await;
    assert_eq!(
        b.read(0, 1024).await.unwrap()[..],
        [[1; 512], [2; 512]].concat()
    );
    let counts = storage.counts(A);
    assert_eq!(
        (counts.late, counts.abandoned, counts.landed_after_abandon),
        (2, 1, 1)
    );
    assert_eq!(storage.under_way(A), 0);
}

#[tokio::test(start_paused = true)]
async fn hung_requests_wait_for_their_release_and_hold_up_nobody_else() {
    let storage = storage(3);
    let (a, b) = (open(&storage, A).await, open(&storage, B).await);
    storage.set_faults(A, Faults::hang());
    let mut hung = a.write(0, sector(1));
    assert!(hung.poll_within(SECOND * 1000).await.is_err());
    b.write(512, sector(2)).await.unwrap();
    assert_eq!(storage.snapshot(path())[..512], [0; 512]);
    storage.set_faults(A, Faults::none());
    storage.release_hung(A);
    hung.within(SECOND).await.unwrap();
    assert_eq!(storage.snapshot(path())[..512], [1; 512]);
}

#[tokio::test(start_paused = true)]
async fn too_many_abandoned_requests_refuse_the_next() {
    let storage = storage(4);
    let a = open(&storage, A).await;
    storage.set_faults(A, Faults::hang());
    for _ in 0..STUCK_PER_DISK {
        assert!(a.read(0, 512).within(SECOND).await.is_err());
    }
    let refused = a.read(0, 512).await.unwrap_err();
    assert_eq!(
        refused,
        IoError::TooManyStuck {
            stuck: STUCK_PER_DISK
        }
    );
    open(&storage, B).await.read(0, 512).await.unwrap();
    storage.set_faults(A, Faults::none());
    storage.release_hung(A);
    tokio::time::sleep(SECOND).await;
    a.read(0, 512).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_lost_reply_is_an_error_for_what_was_done_and_an_error_does_nothing() {
    let storage = storage(5);
    let a = open(&storage, A).await;
    storage.set_faults(
        A,
        writes(RequestFaults {
            lost_reply: 1.0,
            ..RequestFaults::none()
        }),
    );
    assert_eq!(a.write(0, sector(1)).await.unwrap_err().code(), -libc::EIO);
    storage.set_faults(A, Faults::error());
    assert_eq!(
        a.write(512, sector(2)).await.unwrap_err().code(),
        -libc::EIO
    );
    assert_eq!(a.read(0, 512).await.unwrap_err().code(), -libc::EIO);
    assert_eq!(
        storage.snapshot(path())[..1024],
        [[1; 512], [0; 512]].concat()
    );
}

#[tokio::test(start_paused = true)]
async fn faults_of_a_path_come_before_those_of_the_host() {
    let storage = storage(6);
    let a = open(&storage, A).await;
    storage.set_path_faults(A, path(), Some(Faults::error()));
    assert!(a.read(0, 512).await.is_err());
    storage.set_path_faults(A, path(), None);
    a.read(0, 512).await.unwrap();
}

/// Whether some reader, looking all the time, sees a large write half done.
async fn seen_half_done(torn: f64, seed: u64) -> bool {
    let storage = storage(seed);
    let (a, b) = (open(&storage, A).await, open(&storage, B).await);
    let slow = SECOND..SECOND * 2;
    storage.set_faults(
        A,
        writes(RequestFaults {
            torn,
            latency: slow,
            ..RequestFaults::none()
        }),
    );
    let mut write = a.write(0, sectors(1, 64));
    let mut mixed = false;
    while write.poll_within(Duration::from_millis(5)).await.is_err() {
        let seen = b.read(0, 64 * 512).await.unwrap();
        for sector in seen.chunks(512) {
            assert!(
                sector.iter().all(|byte| *byte == sector[0]),
                "a sector was torn"
            );
        }
        mixed |= seen[..512] != seen[63 * 512..];
        mixed |= seen.iter().any(|byte| *byte != seen[0]);
    }
    assert!(
        storage.snapshot(path())[..64 * 512]
            .iter()
            .all(|byte| *byte == 1)
    );
    mixed
}

#[tokio::test(start_paused = true)]
async fn only_torn_writes_are_seen_half_done() {
    for seed in 0..20 {
        assert!(!seen_half_done(0.0, seed).await);
    }
    let mut torn = 0;
    for seed in 0..20 {
        torn += u32::from(seen_half_done(1.0, seed).await);
    }
    assert!(torn > 10, "only {torn} of 20");
}

#[tokio::test(start_paused = true)]
async fn a_torn_read_sees_moments_that_never_were() {
    let mut mixed = 0;
    for seed in 0..20 {
        let storage = storage(seed);
        let (a, b) = (open(&storage, A).await, open(&storage, B).await);
        let slow = RequestFaults {
            torn: 1.0,
            latency: SECOND..SECOND * 2,
            ..RequestFaults::none()
        };
        storage.set_faults(
            B,
            Faults {
                read: slow,
                ..Faults::none()
            },
        );
        let read = b.read(0, 64 * 512);
        tokio::time::sleep(SECOND / 2).await;
        a.write(0, sectors(1, 64)).await.unwrap();
        let seen = read.await.unwrap();
        mixed += u32::from(seen.iter().any(|byte| *byte != seen[0]));
    }
    assert!(mixed > 5, "only {mixed} of 20");
}

#[tokio::test(start_paused = true)]
async fn a_partial_write_fails_and_leaves_a_part() {
    let (mut none, mut some) = (0, 0);
    for seed in 0..50 {
        let storage = storage(seed);
        let a = open(&storage, A).await;
        storage.set_faults(
            A,
            writes(RequestFaults {
                partial: 1.0,
                ..RequestFaults::none()
            }),
        );
        assert_eq!(
            a.write(0, sectors(1, 64)).await.unwrap_err().code(),
            -libc::EIO
        );
        let disk = storage.snapshot(path());
        match disk[..64 * 512].iter().filter(|byte| **byte == 1).count() {
            0 => none += 1,
            written => {
                assert!(written < 64 * 512, "all of it was written");
                some += 1;
            }
        }
    }
    assert!(none > 0 && some > 0, "{none} {some}");
}

#[tokio::test(start_paused = true)]
async fn writes_of_a_crashed_host_land_soon_or_never_and_are_not_answered() {
    let (mut landed, mut lost) = (0, 0);
    for seed in 0..50 {
        let storage = storage(seed);
        let a = open(&storage, A).await;
        let slow = RequestFaults {
            latency: SECOND * 5..SECOND * 9,
            ..RequestFaults::none()
        };
        let faults = Faults {
            lands_after_crash: SECOND * 3,
            ..writes(slow)
        };
        storage.set_faults(A, faults);
        let mut write = a.write(0, sector(1));
        storage.crash(A);
        assert!(write.poll_within(SECOND * 3).await.is_err());
        let now = storage.snapshot(path());
        assert!(write.poll_within(SECOND * 100).await.is_err());
        assert_eq!(storage.snapshot(path()), now, "it landed too late");
        landed += u32::from(now[0] == 1);
        lost += u32::from(now[0] == 0);

        // The old handle is dead, a restarted host gets on.
        assert!(a.read(0, 512).within(SECOND * 100).await.is_err());
        open(&storage, A).await.read(0, 512).await.unwrap();
    }
    assert!(landed > 5 && lost > 5, "{landed} {lost}");
}

#[tokio::test(start_paused = true)]
async fn what_landed_before_a_crash_does_not_land_again() {
    for seed in 0..20 {
        let storage = storage(seed);
        let (a, b) = (open(&storage, A).await, open(&storage, B).await);
        let slow = RequestFaults {
            latency: SECOND * 9..SECOND * 10,
            ..RequestFaults::none()
        };
        storage.set_faults(A, writes(slow));
        let mut write = a.write(0, sectors(1, 64));
        while storage.snapshot(path())[0] == 0 {
            let _ = write.poll_within(Duration::from_millis(1)).await;
        }
        b.write(0, sectors(2, 64)).await.unwrap();
        storage.crash(A);
        tokio::time::sleep(SECOND * 20).await;
        assert!(
            storage.snapshot(path())[..64 * 512]
                .iter()
                .all(|byte| *byte == 2)
        );
    }
}

#[tokio::test(start_paused = true)]
async fn large_writes_and_hung_ones_can_land_in_part_after_a_crash() {
    let mut parts = 0;
    for seed in 0..50 {
        let storage = storage(seed);
        let a = open(&storage, A).await;
        storage.set_faults(A, Faults::hang());
        let _write = a.write(0, sectors(1, 64));
        storage.crash(A);
        tokio::time::sleep(SECOND * 2).await;
        let written = storage
            .snapshot(path())
            .iter()
            .filter(|byte| **byte == 1)
            .count();
        assert_eq!(written % 512, 0);
        parts += u32::from(written > 0 && written < 64 * 512);
    }
    assert!(parts > 5, "only {parts} of 50");
}

#[tokio::test(start_paused = true)]
async fn concurrent_requests_overtake_each_other() {
    let mut orders = [0; 2];
    for seed in 0..50 {
        let storage = storage(seed);
        let a = open(&storage, A).await;
        let (first, second) = (a.write(0, sector(1)), a.write(0, sector(2)));
        first.await.unwrap();
        second.await.unwrap();
        orders[usize::from(storage.snapshot(path())[0] == 2)] += 1;
    }
    assert!(orders.iter().all(|times| *times > 10), "{orders:?}");
}

/// Everything that landed in a busy run with all faults, and when.
async fn history(seed: u64) -> Vec<(Duration, HostLabel, u64, u8)> {
    let start = Instant::now();
    let storage = storage(seed);
    let log = Arc::new(Mutex::new(Vec::new()));
    let writer = Arc::clone(&log);
    storage.observe(move |landed| {
        let entry = (
            landed.at - start,
            landed.host,
            landed.offset,
            landed.data[0],
        );
        writer.lock().unwrap().push(entry);
    });
    let faults = RequestFaults {
        latency: Duration::ZERO..SECOND,
        hang: 0.05,
        late: 0.2,
        late_by: Duration::ZERO..SECOND * 5,
        error: 0.05,
        lost_reply: 0.05,
        torn: 0.5,
        partial: 0.1,
    };
    let mut disks = Vec::new();
    for host in [A, B] {
        disks.push(open(&storage, host).await);
        storage.set_faults(host, writes(faults.clone()));
    }
    for round in 0..40 {
        for disk in &disks {
            let pending = disk.write(u64::from(round % 8) * 512, sectors(round, 8));
            let _ = pending.within(SECOND).await;
        }
        if round == 20 {
            storage.crash(B);
            disks[1] = open(&storage, B).await;
        }
    }
    storage.release_hung(A);
    tokio::time::sleep(SECOND * 20).await;
    storage.settle();
    let log = log.lock().unwrap();
    log.clone()
}

#[test]
fn the_same_seed_gives_the_same_history() {
    let run = |seed| {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        let runtime = builder.enable_time().start_paused(true).build().unwrap();
        runtime.block_on(history(seed))
    };
    let first = run(11);
    assert!(first.len() > 50);
    assert_eq!(first, run(11));
    assert_ne!(first, run(12));
}
