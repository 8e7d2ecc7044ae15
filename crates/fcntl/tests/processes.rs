//! Against other processes: our own locks in another process, and the C daemon (Debian's virtlockd, or what
//! `$VIRTLOCKD_UPSTREAM` names).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    unreachable_pub,
    dead_code
)]

#[path = "../../daemon/tests/common/harness.rs"]
mod harness;
#[path = "../../libvirt-rpc/tests/common/virtlockd.rs"]
mod virtlockd;

use std::io::{BufRead as _, BufReader};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use fcntl::{AcquireFlags, Kind, LockTable, OwnerPid, record_lock};
use harness::{Outcome, skipped};
use libvirt_rpc::client::{CallError, Client};
use libvirt_rpc::{ErrorCode, Text, lock};
use virtlockd::Daemon;

const HOLD: &str = "FCNTL_TEST_HOLD";
const OWNER: OwnerPid = OwnerPid(4711);
const PLAIN: AcquireFlags = AcquireFlags {
    shared: false,
    autocreate: false,
};
const SHARED: AcquireFlags = AcquireFlags {
    shared: true,
    autocreate: false,
};
const AUTO: AcquireFlags = AcquireFlags {
    shared: false,
    autocreate: true,
};
const SHARED_AUTO: AcquireFlags = AcquireFlags {
    shared: true,
    autocreate: true,
};

fn main() -> ExitCode {
    if let Some(path) = std::env::var_os(HOLD) {
        hold(&PathBuf::from(path));
    }
    harness::run(&[
        ("another_process_excludes_and_is_excluded", another_process),
        ("the_c_daemon_excludes_and_is_excluded", c_daemon),
        ("never_both_with_files_made_and_removed", race),
    ])
}

/// Holds a file until its input ends.
fn hold(path: &Path) -> ! {
    let shared = std::env::args().any(|argument| argument == "shared");
    let flags = if shared { SHARED } else { PLAIN };
    let mut table = LockTable::new();
    let held = table.acquire(b"", path.as_os_str().as_bytes(), OWNER, flags);
    println!("{}", if held.is_ok() { "held" } else { "refused" });
    let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
    std::process::exit(0)
}

fn holder(path: &Path, kind: &str) -> (Child, String) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .arg(kind)
        .env(HOLD, path)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let output = child.stdout.as_mut().unwrap();
    BufReader::new(output).read_line(&mut line).unwrap();
    (child, line.trim().to_owned())
}

fn end(mut child: Child) {
    drop(child.stdin.take());
    child.wait().unwrap();
}

struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        let path = std::env::temp_dir().join(format!("fcntl-processes-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn another_process() -> Outcome {
    let scratch = Scratch::new();
    let path = scratch.0.join("a");
    std::fs::write(&path, "").unwrap();
    let name = path.as_os_str().as_bytes();
    let mut table = LockTable::new();
    for (theirs, ours, both) in [
        ("exclusive", PLAIN, false),
        ("exclusive", SHARED, false),
        ("shared", PLAIN, false),
        ("shared", SHARED, true),
    ] {
        let (child, said) = holder(&path, theirs);
        assert_eq!(said, "held");
        let got = table.acquire(b"", name, OWNER, ours);
        assert_eq!(got.is_ok(), both, "{theirs} there, {ours:?} here: {got:?}");
        let file = std::fs::File::open(&path).unwrap();
        let seen = record_lock::holder(&file, Kind::Exclusive);
        assert_eq!(seen, Some(i32::try_from(child.id()).unwrap()));
        end(child);
        drop(file);
        let mut table = LockTable::new();
        table.acquire(b"", name, OWNER, ours).unwrap();
        let (child, said) = holder(&path, theirs);
        assert_eq!(said, if both { "held" } else { "refused" });
        end(child);
        drop(table);
    }
    Outcome::Passed
}

/// A client of the C daemon.
struct Other {
    runtime: tokio::runtime::Runtime,
    client: Client<tokio::net::UnixStream>,
}

impl Other {
    fn new(daemon: &Daemon) -> Self {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        let runtime = builder.enable_all().build().unwrap();
        let stream = runtime.block_on(tokio::net::UnixStream::connect(daemon.socket()));
        let mut client = Client::new(stream.unwrap(), lock::PROGRAM, lock::VERSION);
        // A process that cannot be.
        let pid = u32::MAX >> 1;
        let owner = lock::Owner {
            uuid: [1; 16],
            name: Text::cut("guest"),
            id: 1,
            pid,
        };
        let args = lock::RegisterArgs { owner, flags: 0 };
        runtime
            .block_on(client.call::<()>(lock::REGISTER, &args))
            .unwrap();
        Self { runtime, client }
    }

    fn space(&mut self, path: &Path) {
        let path = Text::cut(path.as_os_str().as_bytes());
        let args = lock::CreateLockSpaceArgs { path };
        let call = self.client.call::<()>(lock::CREATE_LOCKSPACE, &args);
        self.runtime.block_on(call).unwrap();
    }

    /// Whether it got the resource.
    fn acquire(&mut self, space: &Path, name: &str, flags: AcquireFlags) -> bool {
        let path = Text::cut(space.as_os_str().as_bytes());
        let args = lock::ResourceArgs {
            path,
            name: Text::cut(name),
            flags: flags.bits(),
        };
        let call = self.client.call::<()>(lock::ACQUIRE_RESOURCE, &args);
        match self.runtime.block_on(call) {
            Ok(()) => true,
            Err(CallError::Refused(error)) if error.code == ErrorCode::RESOURCE_BUSY => false,
            Err(error) => panic!("{error}"),
        }
    }

    fn release(&mut self, space: &Path, name: &str) {
        let path = Text::cut(space.as_os_str().as_bytes());
        let args = lock::ResourceArgs {
            path,
            name: Text::cut(name),
            flags: 0,
        };
        let call = self.client.call::<()>(lock::RELEASE_RESOURCE, &args);
        self.runtime.block_on(call).unwrap();
    }
}

fn start() -> Result<Daemon, Outcome> {
    let program = virtlockd::original().map_err(skipped)?;
    match virtlockd::cannot_be_isolated() {
        Some(why) => Err(skipped(format!("no mount namespace: {why}"))),
        None => Ok(Daemon::start(&program, &["-f", "/dev/null"])),
    }
}

fn c_daemon() -> Outcome {
    let daemon = match start() {
        Ok(daemon) => daemon,
        Err(outcome) => return outcome,
    };
    let mut other = Other::new(&daemon);
    let scratch = Scratch::new();
    let space = scratch.0.join("space");
    let directory = space.as_os_str().as_bytes();
    other.space(&space);
    let mut table = LockTable::new();
    table.create_space(directory).unwrap();
    for (theirs, ours, both) in [
        (AUTO, AUTO, false),
        (AUTO, SHARED_AUTO, false),
        (SHARED_AUTO, AUTO, false),
        (SHARED_AUTO, SHARED_AUTO, true),
    ] {
        assert!(other.acquire(&space, "x", theirs));
        let got = table.acquire(directory, b"x", OWNER, ours).is_ok();
        assert_eq!(got, both, "{theirs:?} there, {ours:?} here");
        other.release(&space, "x");
        // Whoever is last removes the file.
        assert_eq!(space.join("x").exists(), both);
        table.release_all(OWNER);
        assert!(!space.join("x").exists());

        table.acquire(directory, b"x", OWNER, ours).unwrap();
        let got = other.acquire(&space, "x", theirs);
        assert_eq!(got, both, "{ours:?} here, {theirs:?} there");
        table.release(directory, b"x", OWNER).unwrap();
        assert_eq!(space.join("x").exists(), both);
        if both {
            other.release(&space, "x");
        }
        assert!(!space.join("x").exists());
    }
    Outcome::Passed
}

/// Both try all the time to get the same resource, whose file is made and removed each time.
fn race() -> Outcome {
    const ROUNDS: u32 = 2000;
    let daemon = match start() {
        Ok(daemon) => daemon,
        Err(outcome) => return outcome,
    };
    let scratch = Scratch::new();
    let space = scratch.0.join("space");
    let inside = AtomicU32::new(0);
    let got = [AtomicU32::new(0), AtomicU32::new(0)];
    let enter = |who: usize| {
        assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0, "two owners");
        std::thread::sleep(Duration::from_micros(20));
        inside.fetch_sub(1, Ordering::SeqCst);
        got[who].fetch_add(1, Ordering::SeqCst);
    };
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut other = Other::new(&daemon);
            other.space(&space);
            for _ in 0..ROUNDS {
                if other.acquire(&space, "x", AUTO) {
                    enter(0);
                    other.release(&space, "x");
                }
            }
        });
        scope.spawn(|| {
            let mut table = LockTable::new();
            let directory = space.as_os_str().as_bytes();
            table.create_space(directory).unwrap();
            for _ in 0..ROUNDS {
                if table.acquire(directory, b"x", OWNER, AUTO).is_ok() {
                    enter(1);
                    table.release(directory, b"x", OWNER).unwrap();
                }
            }
        });
    });
    let [theirs, ours] = got.map(AtomicU32::into_inner);
    println!("measured: of {ROUNDS} tries each, the C daemon got {theirs}, ours {ours}");
    assert!(theirs > 0 && ours > 0);
    Outcome::Passed
}
