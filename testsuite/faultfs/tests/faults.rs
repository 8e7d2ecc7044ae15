//! The file system under `dd`, under our direct I/O and under the C program.

#![allow(clippy::unwrap_used, clippy::panic)]

#[allow(unreachable_pub)]
#[path = "../../../crates/daemon/tests/common/harness.rs"]
mod harness;

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Output, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use faultfs::{Fault, FaultFs, Kind, Kinds, Rule};
use harness::{Outcome, skipped};
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use storage::{Buffer, DirectIo, Disk, IoError, Pending, PoolOptions, STUCK_PER_DISK, Storage};
use tokio::runtime::{Builder, Runtime};

const MIB: usize = 1 << 20;
const SOON: Duration = Duration::from_millis(50);
const LATE: Duration = Duration::from_secs(60);

fn main() -> ExitCode {
    harness::run(&[
        ("dd_reads_what_dd_wrote", dd_reads_what_dd_wrote),
        ("commands_come_by_the_socket", commands_come_by_the_socket),
        ("a_killed_server_is_unmounted", a_killed_server_is_unmounted),
        (
            "a_process_that_uses_what_it_serves_can_be_killed",
            a_process_that_uses_what_it_serves,
        ),
        (
            "a_signal_ends_it_and_lets_go_who_waits",
            a_signal_ends_it_and_lets_go_who_waits,
        ),
        (
            "files_are_made_moved_and_removed",
            files_are_made_moved_and_removed,
        ),
        (
            "direct_io_survives_a_hung_write",
            direct_io_survives_a_hung_write,
        ),
        (
            "a_hung_request_blocks_no_other",
            a_hung_request_blocks_no_other,
        ),
        (
            "a_hung_disk_holds_few_threads_and_no_other_disk",
            a_hung_disk_holds_few_threads,
        ),
        (
            "opens_and_closes_can_hang_too",
            opens_and_closes_can_hang_too,
        ),
        (
            "errors_and_lost_answers_are_errors",
            errors_and_lost_answers_are_errors,
        ),
        (
            "torn_and_short_requests_are_errors",
            torn_and_short_requests_are_errors,
        ),
        (
            "a_write_whose_answer_is_held_is_done",
            a_write_whose_answer_is_held_is_done,
        ),
        ("the_c_program_works_on_it", the_c_program_works_on_it),
    ])
}

/// A file system of this case's own, with a file of 4 MiB named `leases`.
struct Case {
    backing: PathBuf,
    mount_point: PathBuf,
    control: PathBuf,
}

impl Case {
    fn new(name: &str) -> Result<Self, Outcome> {
        if let Some(why) = faultfs::missing() {
            return Err(skipped(why));
        }
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        let _ = fs::remove_dir_all(&directory);
        let case = Self {
            backing: directory.join("backing"),
            mount_point: directory.join("mnt"),
            control: directory.join("control"),
        };
        fs::create_dir_all(&case.backing).unwrap();
        fs::create_dir_all(&case.mount_point).unwrap();
        for name in ["leases", "other"] {
            File::create(case.backing.join(name))
                .unwrap()
                .set_len(4 << 20)
                .unwrap();
        }
        Ok(case)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.mount_point.join(name)
    }

    fn contents(&self) -> Vec<u8> {
        fs::read(self.backing.join("leases")).unwrap()
    }

    fn mount(&self) -> FaultFs {
        FaultFs::mount(&self.mount_point, &self.backing).unwrap()
    }

    /// Mounts by the program, as tests in other languages do.
    fn serve(&self) -> Child {
        let mut server = Command::new(env!("CARGO_BIN_EXE_faultfs"))
            .args([&self.mount_point, &self.backing])
            .arg("--control")
            .arg(&self.control)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(server.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        assert_eq!(line, "mounted\n");
        server
    }

    fn send(&self, command: &str) -> Output {
        Command::new(env!("CARGO_BIN_EXE_faultfs"))
            .arg("--control")
            .arg(&self.control)
            .args(["--send", command])
            .output()
            .unwrap()
    }

    fn is_mounted(&self) -> bool {
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
        mounts.contains(self.mount_point.to_str().unwrap())
    }
}

macro_rules! case {
    ($name:literal) => {
        match Case::new($name) {
            Ok(case) => case,
            Err(skipped) => return skipped,
        }
    };
}

fn runtime() -> Runtime {
    Builder::new_multi_thread()
        .worker_threads(2)
        .enable_time()
        .build()
        .unwrap()
}

fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..6000 {
        if holds() {
            return;
        }
        thread::sleep(Duration::from_millis(10));
    }
    panic!("never: {what}");
}

fn end(mut server: Child, signal: Signal) -> Option<i32> {
    kill(Pid::from_raw(i32::try_from(server.id()).unwrap()), signal).unwrap();
    server.wait().unwrap().code()
}

fn dd(arguments: &[String]) -> Output {
    Command::new("dd").args(arguments).output().unwrap()
}

fn dd_reads_what_dd_wrote() -> Outcome {
    let case = case!("dd");
    let server = case.serve();
    let pattern: Vec<u8> = (0..MIB)
        .map(|at| u8::try_from(at / 512 % 251).unwrap())
        .collect();
    let source = case.backing.with_file_name("source");
    fs::write(&source, &pattern).unwrap();
    for (size, count) in [("512", 2048), ("4096", 256), ("1M", 1)] {
        let to = format!("of={}", case.file("leases").display());
        let from = format!("if={}", source.display());
        let shape = [
            format!("bs={size}"),
            format!("count={count}"),
            "status=none".to_owned(),
        ];
        let flags = ["oflag=direct,sync".to_owned(), "conv=notrunc".to_owned()];
        let written = dd(&[&[from, to][..], &shape, &flags].concat());
        assert!(written.status.success(), "{written:?}");
        assert_eq!(case.contents()[..MIB], pattern);
        let from = format!("if={}", case.file("leases").display());
        let read = dd(&[&[from, "iflag=direct".to_owned()][..], &shape].concat());
        assert!(read.status.success(), "{read:?}");
        assert_eq!(read.stdout, pattern);
    }
    assert_eq!(end(server, Signal::SIGTERM), Some(0));
    assert!(!case.is_mounted());
    Outcome::Passed
}

fn commands_come_by_the_socket() -> Outcome {
    let case = case!("socket");
    let server = case.serve();
    let said = |command: &str| String::from_utf8(case.send(command).stdout).unwrap();
    assert_eq!(said("error ENOSPC write leases"), "ok\n");
    assert_eq!(
        fs::write(case.file("leases"), "x")
            .unwrap_err()
            .raw_os_error(),
        Some(libc::ENOSPC)
    );
    fs::write(case.file("other"), "x").unwrap();
    let status = said("status");
    assert!(status.starts_with("held 0 served "), "{status}");
    assert!(
        status.ends_with("; error ENOSPC write leases\n"),
        "{status}"
    );
    assert_eq!(said("recover"), "ok\n");
    fs::write(case.file("leases"), "x").unwrap();
    let refused = case.send("explode");
    assert_eq!(refused.stdout, b"error: \"explode\" is no command\n");
    assert_eq!(refused.status.code(), Some(1));
    assert_eq!(end(server, Signal::SIGINT), Some(0));
    assert!(!case.control.exists());
    Outcome::Passed
}

fn a_killed_server_is_unmounted() -> Outcome {
    let case = case!("killed");
    let server = case.serve();
    let open = File::open(case.file("leases")).unwrap();
    assert_eq!(end(server, Signal::SIGKILL), None);
    wait_until("it is unmounted", || !case.is_mounted());
    drop(open);
    Outcome::Passed
}

fn a_process_that_uses_what_it_serves() -> Outcome {
    const INNER: &str = "FAULTFS_TEST_SERVE_ITSELF";
    let case = case!("serves_itself");
    if std::env::var_os(INNER).is_some() {
        let mounted = case.mount();
        mounted.faults().add(Rule::new(Fault::Hang, Kinds::Io));
        let (path, open) = (case.file("leases"), File::open(case.file("other")).unwrap());
        thread::spawn(move || fs::read(path));
        wait_until("it hangs", || mounted.faults().held() == 1);
        println!("hangs");
        thread::sleep(LATE);
        drop(open);
        return Outcome::Passed;
    }
    let mut inner = Command::new(std::env::current_exe().unwrap())
        .env(INNER, "1")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(inner.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    assert_eq!(line, "hangs\n");
    inner.kill().unwrap();
    inner.wait().unwrap();
    wait_until("it is unmounted", || !case.is_mounted());
    Outcome::Passed
}

fn a_signal_ends_it_and_lets_go_who_waits() -> Outcome {
    let case = case!("signal");
    let server = case.serve();
    assert!(case.send("hang read").status.success());
    let path = case.file("leases");
    let waiting = thread::spawn(move || fs::read(path));
    wait_until("the read hangs", || {
        case.send("status").stdout.starts_with(b"held 1 ")
    });
    assert!(!waiting.is_finished());
    assert_eq!(end(server, Signal::SIGTERM), Some(0));
    assert!(!case.is_mounted());
    // With what was read, or with an error: the server was about to end.
    let _ = waiting.join().unwrap();
    Outcome::Passed
}

fn files_are_made_moved_and_removed() -> Outcome {
    let case = case!("files");
    let mounted = case.mount();
    fs::create_dir(case.file("a")).unwrap();
    fs::write(case.file("a/f"), "text").unwrap();
    fs::rename(case.file("a"), case.file("b")).unwrap();
    assert_eq!(fs::read(case.file("b/f")).unwrap(), b"text");
    assert_eq!(fs::read(case.backing.join("b/f")).unwrap(), b"text");
    let file = File::options().write(true).open(case.file("b/f")).unwrap();
    file.set_len(1 << 20).unwrap();
    assert_eq!(fs::metadata(case.file("b/f")).unwrap().len(), 1 << 20);
    let permissions = std::os::unix::fs::PermissionsExt::from_mode(0o640);
    fs::set_permissions(case.file("b/f"), permissions).unwrap();
    std::os::unix::fs::symlink("f", case.file("b/l")).unwrap();
    assert_eq!(fs::read_link(case.file("b/l")).unwrap(), Path::new("f"));
    let mut names: Vec<_> = fs::read_dir(case.file("b"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["f", "l"]);
    fs::remove_file(case.file("b/l")).unwrap();
    fs::remove_file(case.file("b/f")).unwrap();
    fs::remove_dir(case.file("b")).unwrap();
    assert!(!case.file("b").exists());
    drop(mounted);
    assert!(!case.is_mounted());
    Outcome::Passed
}

fn only(fault: Fault, kind: Kind) -> Rule {
    Rule::new(fault, Kinds::Only(kind)).on("leases")
}

fn open(runtime: &Runtime, storage: &DirectIo, path: &Path) -> Arc<dyn Disk> {
    runtime.block_on(storage.open(path)).unwrap()
}

fn times_out<T>(runtime: &Runtime, pending: &mut Pending<T>) -> bool {
    let result = runtime.block_on(pending.poll_within(SOON));
    matches!(result, Err(IoError::TimedOut { .. }))
}

fn filled(byte: u8, len: usize) -> Buffer {
    Buffer::copy_of(&vec![byte; len])
}

fn direct_io_survives_a_hung_write() -> Outcome {
    let case = case!("hung_write");
    let (mounted, runtime, storage) = (case.mount(), runtime(), DirectIo::new());
    let disk = open(&runtime, &storage, &case.file("leases"));
    runtime.block_on(disk.write(0, filled(1, MIB))).unwrap();
    mounted.faults().add(only(Fault::Hang, Kind::Write));
    let mut write = disk.write(0, filled(2, 512));
    assert!(times_out(&runtime, &mut write));
    let given_up = disk.write(512, filled(3, 512));
    assert!(matches!(
        runtime.block_on(given_up.within(SOON)),
        Err(IoError::TimedOut { .. })
    ));
    wait_until("both hang", || mounted.faults().held() == 2);
    assert_eq!(runtime.block_on(disk.read(0, 1024)).unwrap()[..], [1; 1024]);
    mounted.faults().recover();
    runtime.block_on(write.within(LATE)).unwrap();
    // The write that nobody waited for landed as well.
    wait_until("it lands", || {
        case.contents()[..1024] == [[2; 512], [3; 512]].concat()
    });
    Outcome::Passed
}

fn a_hung_request_blocks_no_other() -> Outcome {
    let case = case!("others");
    let (mounted, runtime, storage) = (case.mount(), runtime(), DirectIo::new());
    let (disk, other) = (
        open(&runtime, &storage, &case.file("leases")),
        open(&runtime, &storage, &case.file("other")),
    );
    mounted.faults().add(only(Fault::Hang, Kind::Write));
    let mut hung: Vec<_> = (0..4)
        .map(|n| disk.write(n * 512, filled(1, 512)))
        .collect();
    assert!(hung.iter_mut().all(|write| times_out(&runtime, write)));
    for _ in 0..20 {
        runtime.block_on(disk.read(0, MIB)).unwrap();
        runtime.block_on(other.write(0, filled(1, 512))).unwrap();
    }
    // Nor do they block a later write to the same file.
    mounted
        .faults()
        .add(only(Fault::Delay(Duration::ZERO), Kind::Write));
    runtime.block_on(disk.write(4096, filled(1, 512))).unwrap();
    mounted.faults().recover();
    Outcome::Passed
}

fn resident_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn a_hung_disk_holds_few_threads() -> Outcome {
    let case = case!("threads");
    let (mounted, runtime) = (case.mount(), runtime());
    let options = PoolOptions {
        stuck_after: Duration::ZERO,
        ..PoolOptions::default()
    };
    let most = options.threads_per_disk;
    let storage = DirectIo::with_options(options);
    let disk = open(&runtime, &storage, &case.file("leases"));
    let other = open(&runtime, &storage, &case.file("other"));
    mounted.faults().add(only(Fault::Hang, Kind::Read));
    let before = resident_kib();
    let mut refused = 0;
    for _ in 0..10 {
        let reads: Vec<_> = (0..100).map(|_| disk.read(0, MIB).within(SOON)).collect();
        runtime.block_on(async {
            for read in reads.into_iter().map(tokio::spawn).collect::<Vec<_>>() {
                match read.await.unwrap() {
                    Err(IoError::TimedOut { .. }) => {}
                    Err(IoError::TooManyStuck { stuck }) => {
                        assert!(stuck >= STUCK_PER_DISK);
                        refused += 1;
                    }
                    unexpected => panic!("{unexpected:?}"),
                }
            }
            other.read(0, MIB).await.unwrap();
        });
    }
    let status = storage.status();
    assert!(refused >= 800, "{refused}, {status:?}");
    assert!(status.threads <= most + 2, "{status:?}");
    assert_eq!((status.running, status.queued), (0, 0), "{status:?}");
    // A thousand requests of 1 MiB each were made.
    let grown = resident_kib().saturating_sub(before);
    assert!(grown < 100 << 10, "{grown} KiB more");
    mounted.faults().recover();
    wait_until("they come back", || storage.status().abandoned == 0);
    runtime.block_on(disk.read(0, MIB)).unwrap();
    Outcome::Passed
}

fn opens_and_closes_can_hang_too() -> Outcome {
    let case = case!("opens");
    let (mounted, runtime, storage) = (case.mount(), runtime(), DirectIo::new());
    for kind in [Kind::Stat, Kind::Open] {
        mounted.faults().add(only(Fault::Hang, kind));
        let mut opening = storage.open(&case.file("leases"));
        assert!(times_out(&runtime, &mut opening), "{kind:?}");
        mounted.faults().recover();
        runtime.block_on(opening.within(LATE)).unwrap();
    }
    let disk = open(&runtime, &storage, &case.file("leases"));
    mounted.faults().add(only(Fault::Hang, Kind::Close));
    drop(disk);
    wait_until("the close hangs", || mounted.faults().held() >= 1);
    runtime
        .block_on(storage.open(&case.file("leases")))
        .unwrap();
    mounted.faults().recover();
    Outcome::Passed
}

fn errors_and_lost_answers_are_errors() -> Outcome {
    let case = case!("errors");
    let (mounted, runtime, storage) = (case.mount(), runtime(), DirectIo::new());
    let disk = open(&runtime, &storage, &case.file("leases"));
    mounted
        .faults()
        .add(only(Fault::Error(Errno::EIO), Kind::Write));
    let failed = runtime.block_on(disk.write(0, filled(1, 512))).unwrap_err();
    assert_eq!(failed.code(), -libc::EIO);
    assert_eq!(case.contents()[..512], [0; 512]);
    mounted
        .faults()
        .add(only(Fault::Lose(Errno::EIO), Kind::Write));
    let failed = runtime.block_on(disk.write(0, filled(1, 512))).unwrap_err();
    assert_eq!(failed.code(), -libc::EIO);
    assert_eq!(case.contents()[..512], [1; 512]);
    mounted
        .faults()
        .add(only(Fault::Error(Errno::ESTALE), Kind::Read));
    let failed = runtime.block_on(disk.read(0, 512)).unwrap_err();
    assert!(failed.wants_reopen(), "{failed:?}");
    mounted
        .faults()
        .add(only(Fault::Error(Errno::EACCES), Kind::Open));
    let failed = runtime
        .block_on(storage.open(&case.file("leases")))
        .unwrap_err();
    assert_eq!(failed.code(), -libc::EACCES);
    Outcome::Passed
}

fn torn_and_short_requests_are_errors() -> Outcome {
    let case = case!("torn");
    let (mounted, runtime, storage) = (case.mount(), runtime(), DirectIo::new());
    let disk = open(&runtime, &storage, &case.file("leases"));
    mounted.faults().add(only(Fault::Tear, Kind::Write));
    let failed = runtime
        .block_on(disk.write(0, filled(1, 8192)))
        .unwrap_err();
    assert_eq!(failed.code(), -libc::EIO);
    assert_eq!(case.contents()[..8192], [[1; 4096], [0; 4096]].concat());
    assert!(runtime.block_on(disk.write(0, filled(2, 512))).is_err());
    assert_eq!(case.contents()[..512], [1; 512], "a single sector was torn");
    mounted.faults().recover();
    mounted.faults().add(Rule::new(Fault::Short, Kinds::Io));
    let short = runtime
        .block_on(disk.write(0, filled(3, 8192)))
        .unwrap_err();
    assert!(
        matches!(
            short,
            IoError::Short {
                got: 4096,
                wanted: 8192,
                ..
            }
        ),
        "{short:?}"
    );
    let short = runtime.block_on(disk.read(0, 8192)).unwrap_err();
    assert!(
        matches!(
            short,
            IoError::Short {
                got: 4096,
                wanted: 8192,
                ..
            }
        ),
        "{short:?}"
    );
    Outcome::Passed
}

fn a_write_whose_answer_is_held_is_done() -> Outcome {
    let case = case!("held");
    let (mounted, runtime, storage) = (case.mount(), runtime(), DirectIo::new());
    let disk = open(&runtime, &storage, &case.file("leases"));
    mounted.faults().add(only(Fault::Hold, Kind::Write));
    let mut write = disk.write(0, filled(1, 512));
    assert!(times_out(&runtime, &mut write));
    wait_until("it is done", || case.contents()[..512] == [1; 512]);
    mounted.faults().recover();
    runtime.block_on(write.within(LATE)).unwrap();
    Outcome::Passed
}

fn the_c_program_works_on_it() -> Outcome {
    if !Path::new("/usr/sbin/sanlock").exists() {
        return skipped("sanlock is not installed");
    }
    let case = case!("c_program");
    let mounted = case.mount();
    let lockspace = format!("space:1:{}:0", case.file("leases").display());
    let sanlock = |action: &str| {
        let mut command = Command::new("/usr/sbin/sanlock");
        command
            .args(["direct", action, "-s", &lockspace])
            .env("SANLOCK_PRIVILEGED", "0");
        command.output().unwrap()
    };
    let made = sanlock("init");
    assert!(made.status.success(), "{made:?}");
    assert_eq!(
        case.contents()[..4],
        [0x10, 0x20, 0x21, 0x12],
        "no delta lease leader"
    );
    mounted
        .faults()
        .add(Rule::new(Fault::Error(Errno::EIO), Kinds::Io));
    assert!(!sanlock("read_leader").status.success());
    mounted.faults().recover();
    let read = sanlock("read_leader");
    assert!(read.status.success(), "{read:?}");
    Outcome::Passed
}
