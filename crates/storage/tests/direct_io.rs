//! Direct I/O on real files and devices.

#![allow(clippy::unwrap_used, clippy::panic)]

#[allow(unreachable_pub)]
#[path = "../../daemon/tests/common/harness.rs"]
mod harness;
mod loop_device;

use std::fs::{self, File};
use std::os::unix::fs::{FileTypeExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::time::Duration;

use harness::{Outcome, skipped};
use loop_device::LoopDevice;
use storage::block_queue::{BlockQueue, max_sectors_kb, set_max_sectors_kb};
use storage::{Buffer, DirectIo, Disk, IoError, MAX_TRANSFER, PoolOptions, Storage};
use tokio::runtime::{Builder, Runtime};

const MIB: usize = 1 << 20;

fn main() -> ExitCode {
    harness::run(&[
        (
            "what_is_written_is_on_the_disk_and_read_back",
            what_is_written_is_on_the_disk_and_read_back,
        ),
        (
            "a_file_is_opened_as_leases_need_it",
            a_file_is_opened_as_leases_need_it,
        ),
        (
            "a_dropped_disk_is_closed_once_its_requests_are_done",
            a_dropped_disk_is_closed,
        ),
        (
            "only_files_and_block_devices_are_opened",
            only_files_and_block_devices_are_opened,
        ),
        (
            "a_refused_open_says_who_asked",
            a_refused_open_says_who_asked,
        ),
        (
            "a_read_beyond_the_end_is_short",
            a_read_beyond_the_end_is_short,
        ),
        (
            "requests_of_broken_sectors_are_refused",
            requests_of_broken_sectors_are_refused,
        ),
        (
            "many_requests_at_once_do_not_mix",
            many_requests_at_once_do_not_mix,
        ),
        (
            "a_device_has_its_own_sector_size",
            a_device_has_its_own_sector_size,
        ),
        (
            "the_end_of_a_device_is_an_error",
            the_end_of_a_device_is_an_error,
        ),
        (
            "a_device_that_is_gone_is_an_error",
            a_device_that_is_gone_is_an_error,
        ),
        (
            "the_largest_request_of_a_device_is_read_and_set",
            the_largest_request_is_read_and_set,
        ),
        (
            "a_file_system_with_large_sectors_is_named",
            a_file_system_with_large_sectors_is_named,
        ),
    ])
}

fn runtime() -> Runtime {
    Builder::new_multi_thread()
        .worker_threads(2)
        .enable_time()
        .build()
        .unwrap()
}

/// A directory of this case's own on a real file system.
fn directory(case: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(case);
    let _ = fs::remove_dir_all(&path);
    fs::create_dir_all(&path).unwrap();
    path
}

fn file(case: &str, len: u64) -> PathBuf {
    let path = directory(case).join("leases");
    File::create(&path).unwrap().set_len(len).unwrap();
    path
}

fn open(runtime: &Runtime, path: &Path) -> Result<Arc<dyn Disk>, IoError> {
    runtime.block_on(DirectIo::new().open(path))
}

fn pattern(seed: u8, len: usize) -> Vec<u8> {
    (0..len)
        .map(|at| seed.wrapping_add(u8::try_from(at / 512 % 251).unwrap()))
        .collect()
}

/// Takes the place of `unwrap_err` for results whose value says nothing.
fn error<T>(result: Result<T, IoError>) -> IoError {
    match result {
        Ok(_) => panic!("it should have failed"),
        Err(error) => error,
    }
}

fn what_is_written_is_on_the_disk_and_read_back() -> Outcome {
    let (runtime, path) = (runtime(), file("read_back", 4 << 20));
    let disk = open(&runtime, &path).unwrap();
    assert_eq!(disk.path(), path);
    assert_eq!(disk.device_sector_size(), 512);
    for (seed, offset, len) in [
        (1, 0, MIB),
        (2, 1 << 20, 512),
        (3, 4096, 4096),
        (4, 1536, 1024),
    ] {
        let data = pattern(seed, len);
        runtime
            .block_on(disk.write(offset, Buffer::copy_of(&data)))
            .unwrap();
        assert_eq!(runtime.block_on(disk.read(offset, len)).unwrap()[..], data);
        let at = usize::try_from(offset).unwrap();
        assert_eq!(fs::read(&path).unwrap()[at..at + len], data);
    }
    Outcome::Passed
}

fn descriptors_of(path: &Path) -> Vec<PathBuf> {
    let all = fs::read_dir("/proc/self/fd")
        .unwrap()
        .map(|entry| entry.unwrap().path());
    all.filter(|fd| fs::read_link(fd).is_ok_and(|target| target == path))
        .collect()
}

fn a_file_is_opened_as_leases_need_it() -> Outcome {
    let (runtime, path) = (runtime(), file("flags", 4096));
    let link = path.with_file_name("link");
    symlink(&path, &link).unwrap();
    let disk = open(&runtime, &link).unwrap();
    assert_eq!(disk.path(), link);
    let descriptors = descriptors_of(&path);
    assert_eq!(descriptors.len(), 1);
    let number = descriptors[0].file_name().unwrap();
    let info = fs::read_to_string(Path::new("/proc/self/fdinfo").join(number)).unwrap();
    let flags = info
        .lines()
        .find_map(|line| line.strip_prefix("flags:"))
        .unwrap()
        .trim();
    let flags = i32::from_str_radix(flags, 8).unwrap();
    for wanted in [libc::O_RDWR, libc::O_DIRECT, libc::O_CLOEXEC] {
        assert_eq!(flags & wanted, wanted, "{flags:o}");
    }
    // O_SYNC has its bit as well, and writes the file's times each time.
    assert_eq!(flags & libc::O_SYNC, libc::O_DSYNC, "{flags:o}");
    Outcome::Passed
}

fn a_dropped_disk_is_closed() -> Outcome {
    let (runtime, path) = (runtime(), file("close", MIB as u64));
    let storage = DirectIo::new();
    let disk = runtime.block_on(storage.open(&path)).unwrap();
    let read = disk.read(0, 512);
    drop(disk);
    assert_eq!(runtime.block_on(read).unwrap().len(), 512);
    // An answer that nobody waits for is a disk to close as well.
    drop(storage.open(&path));
    for _ in 0..1000 {
        if descriptors_of(&path).is_empty() && storage.status().disks == 0 {
            return Outcome::Passed;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!(
        "still open: {:?}, {:?}",
        descriptors_of(&path),
        storage.status()
    );
}

fn only_files_and_block_devices_are_opened() -> Outcome {
    let runtime = runtime();
    let directory = directory("kinds");
    let fifo = directory.join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let socket = directory.join("socket");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    for (path, what) in [
        (fifo.as_path(), "FIFO"),
        (Path::new("/dev/null"), "character"),
        (&socket, "socket"),
    ] {
        let error = error(open(&runtime, path));
        assert!(matches!(error, IoError::Invalid(_)), "{error:?}");
        assert!(error.to_string().contains(what), "{error}");
        assert!(
            error.to_string().contains(path.to_str().unwrap()),
            "{error}"
        );
    }
    assert_eq!(error(open(&runtime, &directory)).code(), -libc::EISDIR);
    assert_eq!(
        error(open(&runtime, &directory.join("none"))).code(),
        -libc::ENOENT
    );
    assert_eq!(
        error(open(&runtime, &fifo.join("none"))).code(),
        -libc::ENOTDIR
    );
    let dangling = directory.join("dangling");
    symlink("nowhere", &dangling).unwrap();
    assert_eq!(error(open(&runtime, &dangling)).code(), -libc::ENOENT);
    Outcome::Passed
}

fn a_refused_open_says_who_asked() -> Outcome {
    if !nix::unistd::geteuid().is_root() {
        return skipped("needs root, to become somebody else");
    }
    let path = file("access", 4096);
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    fs::set_permissions(&path, mode).unwrap();
    // This case has a process of its own.
    nix::unistd::setgroups(&[]).unwrap();
    nix::unistd::setegid(65534.into()).unwrap();
    nix::unistd::seteuid(65534.into()).unwrap();
    if fs::metadata(&path).is_err() {
        return skipped("the directory is not open to others");
    }
    let error = error(open(&runtime(), &path));
    assert_eq!(error.code(), -libc::EACCES);
    assert!(error.to_string().contains("user nobody (65534)"), "{error}");
    assert!(
        error.to_string().contains("(65534): Permission denied"),
        "{error}"
    );
    Outcome::Passed
}

fn a_read_beyond_the_end_is_short() -> Outcome {
    let (runtime, path) = (runtime(), file("short", 4096 + 512));
    let disk = open(&runtime, &path).unwrap();
    let short = error(runtime.block_on(disk.read(4096, 4096)));
    assert!(
        matches!(
            short,
            IoError::Short {
                got: 512,
                wanted: 4096,
                ..
            }
        ),
        "{short:?}"
    );
    assert_eq!(short.code(), -libc::EMSGSIZE);
    assert!(
        short.to_string().contains(path.to_str().unwrap()),
        "{short}"
    );
    let none = error(runtime.block_on(disk.read(1 << 30, 512)));
    assert!(
        matches!(
            none,
            IoError::Short {
                got: 0,
                wanted: 512,
                ..
            }
        ),
        "{none:?}"
    );
    Outcome::Passed
}

fn requests_of_broken_sectors_are_refused() -> Outcome {
    let (runtime, path) = (runtime(), file("broken", 8192));
    let disk = open(&runtime, &path).unwrap();
    for (offset, len) in [
        (1, 512),
        (0, 511),
        (0, 0),
        (0, MAX_TRANSFER + 512),
        (u64::MAX - 511, 512),
    ] {
        let read = error(runtime.block_on(disk.read(offset, len)));
        assert!(matches!(read, IoError::Invalid(_)), "{read:?}");
        let write = error(runtime.block_on(disk.write(offset, Buffer::zeroed(len))));
        assert!(matches!(write, IoError::Invalid(_)), "{write:?}");
    }
    Outcome::Passed
}

fn many_requests_at_once_do_not_mix() -> Outcome {
    const TASKS: usize = 48;
    let (runtime, path) = (runtime(), file("many", (TASKS * 64 * 1024) as u64));
    let storage = DirectIo::with_options(PoolOptions {
        max_threads: 8,
        threads_per_disk: 16,
        ..PoolOptions::default()
    });
    runtime.block_on(async {
        let mut tasks = Vec::new();
        for task in 0..TASKS {
            let (storage, path) = (storage.clone(), path.clone());
            tasks.push(tokio::spawn(async move {
                let offset = (task * 64 * 1024) as u64;
                for round in 0..20u8 {
                    let disk = storage.open(&path).await.unwrap();
                    let len = if round % 2 == 0 { 64 * 1024 } else { 512 };
                    let data = pattern(round.wrapping_mul(31) ^ task as u8, len);
                    disk.write(offset, Buffer::copy_of(&data)).await.unwrap();
                    assert_eq!(disk.read(offset, len).await.unwrap()[..], data);
                }
            }));
        }
        for task in tasks {
            task.await.unwrap();
        }
    });
    assert!(storage.status().threads <= 16, "{:?}", storage.status());
    Outcome::Passed
}

fn a_device_has_its_own_sector_size() -> Outcome {
    let directory = directory("sector_size");
    for sector in [512, 4096] {
        let device = match LoopDevice::new(&directory, 4 << 20, sector) {
            Ok(device) => device,
            Err(why) => return skipped(why),
        };
        assert!(
            fs::metadata(device.path())
                .unwrap()
                .file_type()
                .is_block_device()
        );
        let runtime = runtime();
        let disk = open(&runtime, device.path()).unwrap();
        assert_eq!(disk.device_sector_size(), sector);
        let data = pattern(9, MIB);
        runtime
            .block_on(disk.write(MIB as u64, Buffer::copy_of(&data)))
            .unwrap();
        assert_eq!(
            runtime.block_on(disk.read(MIB as u64, MIB)).unwrap()[..],
            data
        );
        let small = runtime.block_on(disk.read(512, 512));
        assert_eq!(small.is_ok(), sector == 512, "{small:?}");
    }
    Outcome::Passed
}

fn the_end_of_a_device_is_an_error() -> Outcome {
    let device = match LoopDevice::new(&directory("end"), 1 << 20, 512) {
        Ok(device) => device,
        Err(why) => return skipped(why),
    };
    let runtime = runtime();
    let disk = open(&runtime, device.path()).unwrap();
    let half_beyond = runtime.block_on(disk.write(MIB as u64 - 512, Buffer::zeroed(1024)));
    assert!(matches!(
        error(half_beyond),
        IoError::Short {
            got: 512,
            wanted: 1024,
            ..
        }
    ));
    let beyond = error(runtime.block_on(disk.write(MIB as u64, Buffer::zeroed(512))));
    assert_eq!(beyond.code(), -libc::ENOSPC);
    let short = error(runtime.block_on(disk.read(MIB as u64, 512)));
    assert!(matches!(short, IoError::Short { got: 0, .. }), "{short:?}");
    Outcome::Passed
}

fn a_device_that_is_gone_is_an_error() -> Outcome {
    let mut device = match LoopDevice::new(&directory("gone"), 1 << 20, 512) {
        Ok(device) => device,
        Err(why) => return skipped(why),
    };
    // A loop device without a file behind it answers as an empty one.
    device.detach();
    let opened = open(&runtime(), device.path());
    match opened {
        Ok(disk) => {
            let read = error(runtime().block_on(disk.read(0, 512)));
            assert!(
                matches!(read, IoError::Os { .. } | IoError::Short { .. }),
                "{read:?}"
            );
        }
        Err(error) => assert!(error.wants_reopen(), "{error:?}"),
    }
    Outcome::Passed
}

fn the_largest_request_is_read_and_set() -> Outcome {
    let directory = directory("max_sectors");
    let device = match LoopDevice::new(&directory, 1 << 20, 512) {
        Ok(device) => device,
        Err(why) => return skipped(why),
    };
    let queue = BlockQueue::of(device.path()).unwrap().unwrap();
    let hardware = queue.hardware_max_sectors_kib().unwrap();
    let wanted = 64;
    assert!(hardware >= wanted);
    set_max_sectors_kb(device.path(), wanted).unwrap();
    assert_eq!(max_sectors_kb(device.path()), Ok(wanted));
    assert_eq!(queue.set_max_sectors_kib(wanted), Ok(false));
    assert_eq!(queue.set_max_sectors_kib(wanted * 2), Ok(true));
    assert_eq!(queue.max_sectors_kib(), Ok(wanted * 2));
    assert_eq!(
        fs::read_to_string(queue.max_sectors_file()).unwrap(),
        "128\n"
    );
    Outcome::Passed
}

fn a_file_system_with_large_sectors_is_named() -> Outcome {
    let directory = directory("large_sectors");
    let device = match LoopDevice::new(&directory, 32 << 20, 4096) {
        Ok(device) => device,
        Err(why) => return skipped(why),
    };
    let made = Command::new("mkfs.ext4")
        .args(["-q", "-b", "4096"])
        .arg(device.path())
        .status();
    if !made.is_ok_and(|status| status.success()) {
        return skipped("mkfs.ext4 is missing");
    }
    let mounted = match loop_device::Mount::new(device.path(), &directory.join("mnt"), "ext4") {
        Ok(mounted) => mounted,
        Err(why) => return skipped(why),
    };
    let path = mounted.path().join("leases");
    File::create(&path).unwrap().set_len(1 << 20).unwrap();
    let runtime = runtime();
    let disk = open(&runtime, &path).unwrap();
    assert_eq!(disk.device_sector_size(), 512);
    // In a hole nobody would notice: nothing is asked of the device.
    runtime
        .block_on(disk.write(0, Buffer::zeroed(16384)))
        .unwrap();
    runtime.block_on(disk.read(4096, 8192)).unwrap();
    for refused in [
        error(runtime.block_on(disk.read(0, 512))),
        error(runtime.block_on(disk.write(512, Buffer::zeroed(4096)))),
    ] {
        assert!(
            matches!(refused, IoError::SectorTooSmall { .. }),
            "{refused:?}"
        );
        assert!(refused.to_string().contains("-Z 4096 -A 8M"), "{refused}");
        assert_eq!(refused.code(), -libc::EINVAL);
    }
    drop(disk);
    Outcome::Passed
}
