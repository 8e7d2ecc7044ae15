//! What must not end in a lost lock. Only with ours: the C daemon ends in most of these cases.

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use libvirt_rpc::lock::{self, ResourceArgs};
use libvirt_rpc::{Header, MessageType, Packet, Serial, Status, Text};
use nix::sys::signal::Signal;

use super::client::{Client, NOBODY};
use super::host::{Host, Lab, runs};
use super::owners::Owner;
use super::virtlockd::wait_until;
use super::watchers::{Deed, Watcher};

/// Asks for a hand-over that cannot be, and waits until it is said so.
fn in_vain(host: &Host) {
    let count = |text: &str| text.matches("goes on, with all its locks").count();
    let before = count(&host.messages());
    host.daemon().signal(Signal::SIGUSR1);
    wait_until("it is said why not", || count(&host.messages()) > before);
}

/// Which of the daemon's descriptors another program would inherit.
fn inheritable(host: &Host) -> Vec<i32> {
    let directory = format!("/proc/{}/fdinfo", host.daemon().pid());
    let entries = std::fs::read_dir(directory).unwrap();
    let mut numbers: Vec<i32> = entries
        .filter_map(|entry| {
            let entry = entry.unwrap();
            let info = std::fs::read_to_string(entry.path()).ok()?;
            let flags = info.lines().find_map(|line| line.strip_prefix("flags:"))?;
            let flags = i32::from_str_radix(flags.trim(), 8).unwrap();
            let number = entry.file_name().to_str().unwrap().parse().unwrap();
            (flags & 0o2_000_000 == 0).then_some(number)
        })
        .collect();
    numbers.sort_unstable();
    numbers
}

pub fn a_program_that_cannot_run(lab: &Lab) {
    let host = lab.host("");
    let mut client = Client::registered(&host.socket(), NOBODY);
    let image = lab.file("image");
    assert_eq!(client.acquire(("", &image), 0), "ok");
    let watcher = Watcher::start(Deed::Try, std::slice::from_ref(&image), host.daemon().pid());
    let (before, inherited) = (runs(host.daemon().pid()), inheritable(&host));
    let whole = std::fs::read(&lab.programs[0].file).unwrap();
    for (name, contents, mode) in [
        ("not executable", &whole[..], 0o600),
        ("cut short", &whole[..1 << 16], 0o755),
        ("only its head", &whole[..100], 0o755),
        ("empty", b"", 0o755),
        ("text", b"exit 0\n", 0o755),
        ("another program", b"#!/bin/sh\necho 1.0\n", 0o755),
        (
            "one that fails",
            b"#!/bin/sh\necho '(libvirt)'; exit 1\n",
            0o755,
        ),
        (
            "one that is killed",
            b"#!/bin/sh\necho '(libvirt)'; kill -9 $$\n",
            0o755,
        ),
    ] {
        let path = lab.path(name);
        std::fs::write(&path, contents).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        host.point_at(Path::new(&path));
        in_vain(&host);
        assert_eq!(runs(host.daemon().pid()), before, "{name}");
        assert!(client.acquire(("", &image), 0).contains("is locked"));
        assert!(
            !host
                .daemon()
                .inside("/run/virtlockd-restart-exec.json")
                .exists()
        );
    }
    host.point_at(Path::new("/nonexistent"));
    in_vain(&host);
    // It was found to run, and is gone when it is executed.
    let fickle = lab.path("fickle");
    let script = format!("#!/bin/sh\necho '(libvirt)'\nrm {fickle}\n");
    std::fs::write(&fickle, script).unwrap();
    std::fs::set_permissions(&fickle, std::fs::Permissions::from_mode(0o755)).unwrap();
    host.point_at(Path::new(&fickle));
    in_vain(&host);
    assert!(
        host.messages().contains("cannot execute"),
        "{}",
        host.messages()
    );
    assert!(
        !host
            .daemon()
            .inside("/run/virtlockd-restart-exec.json")
            .exists()
    );
    assert!(client.acquire(("", &image), 0).contains("is locked"));
    // What it starts afterwards inherits nothing.
    assert_eq!(inheritable(&host), inherited);
    host.reload(&lab.programs[1]);
    assert!(client.acquire(("", &image), 0).contains("is locked"));
    let (_, found) = watcher.stop();
    assert_eq!(found.trim(), "");
}

pub fn a_mistake_in_the_configuration(lab: &Lab) {
    let host = lab.host("");
    let mut client = Client::registered(&host.socket(), NOBODY);
    let image = lab.file("image");
    assert_eq!(client.acquire(("", &image), 0), "ok");
    for wrong in ["max_clients = ", "log_outputs = \"1:tape\""] {
        std::fs::write(lab.path("conf"), wrong).unwrap();
        in_vain(&host);
    }
    std::fs::remove_file(lab.path("conf")).unwrap();
    in_vain(&host);
    std::fs::write(lab.path("conf"), "log_level = 4").unwrap();
    host.reload(&lab.programs[1]);
    assert_eq!(client.release(("", &image)), "ok");
}

/// The daemon goes on, and leaves nothing half-written.
pub fn a_state_that_cannot_be_written(lab: &Lab) {
    let host = lab.host("");
    let mut client = Client::registered(&host.socket(), NOBODY);
    let (space, image) = (lab.path("space"), lab.file("image"));
    assert_eq!(client.acquire(("", &image), 0), "ok");
    assert_eq!(client.create_space(&space), "ok");
    // So many that what is written of them takes more than one page.
    for number in 0..100 {
        assert_eq!(client.acquire((&space, &format!("lock-{number}")), 2), "ok");
    }
    let inherited = inheritable(&host);
    let watcher = Watcher::start(Deed::Try, std::slice::from_ref(&image), host.daemon().pid());
    let within = |script: &str| {
        let status = std::process::Command::new("nsenter")
            .args(["--mount", "--target", &host.daemon().pid().to_string()])
            .args(["sh", "-ec", script])
            .status();
        assert!(status.unwrap().success(), "{script}");
    };
    let state = host.daemon().inside("/run/virtlockd-restart-exec.json");
    within("mount -o remount,size=1M /run");
    let full = "! head -c 2M /dev/zero > /run/fill";
    for (spoil, why, mend) in [
        (full, "No space left on device", "rm /run/fill"),
        (
            // A page is free.
            "! head -c 2M /dev/zero > /run/fill; truncate -s -4096 /run/fill",
            "No space left on device",
            "rm /run/fill",
        ),
        (
            "mount --bind /run /run && mount -o remount,bind,ro /run",
            "Read-only file system",
            "umount /run",
        ),
        (
            "mkdir -p /run/virtlockd-restart-exec.json",
            "File exists",
            "rmdir /run/virtlockd-restart-exec.json",
        ),
    ] {
        within(spoil);
        let before = host.messages().len();
        in_vain(&host);
        let said = host.messages().split_off(before);
        assert!(
            said.contains("Unable to save state file") && said.contains(why),
            "{spoil}: {said}"
        );
        assert!(!state.is_file(), "{spoil}");
        assert!(client.acquire(("", &image), 0).contains("is locked"));
        assert_eq!(inheritable(&host), inherited, "{spoil}");
        within(mend);
    }
    host.reload(&lab.programs[1]);
    assert!(client.acquire(("", &image), 0).contains("is locked"));
    assert_eq!(client.release((&space, "lock-99")), "ok");
    let (_, found) = watcher.stop();
    assert_eq!(found.trim(), "");
}

fn request(serial: u32) -> Vec<u8> {
    let header = Header {
        program: lock::PROGRAM,
        version: lock::VERSION,
        procedure: lock::RELEASE_RESOURCE,
        kind: MessageType::CALL,
        serial: Serial(serial),
        status: Status::OK,
    };
    let (path, name) = (Text::cut(""), Text::cut("/nothing"));
    let args = ResourceArgs {
        path,
        name,
        flags: 0,
    };
    Packet::new(header, &args).encode().unwrap()
}

pub fn messages_that_are_halfway(lab: &Lab) {
    let host = lab.host("");
    // Cut anywhere: within the length, the header, the arguments.
    let mut halves: Vec<(Client, usize)> = [2, 20, 40]
        .map(|cut| {
            let mut half = Client::registered(&host.socket(), NOBODY);
            half.stream.write_all(&request(7)[..cut]).unwrap();
            (half, cut)
        })
        .into();
    // One that asks and asks, and does not read.
    let mut greedy = Client::registered(&host.socket(), NOBODY);
    greedy.stream.set_nonblocking(true).unwrap();
    let (mut written, mut pending) = (0, Vec::new());
    let mut serial = 100;
    loop {
        if pending.is_empty() {
            pending = request(serial);
            serial += 1;
        }
        match greedy.stream.write(&pending) {
            Ok(count) => {
                pending.drain(..count);
                written = 0;
            }
            Err(_) if written < 20 => {
                // Until the daemon takes no more.
                std::thread::sleep(Duration::from_millis(10));
                written += 1;
            }
            Err(_) => break,
        }
    }
    greedy.stream.set_nonblocking(false).unwrap();
    for program in &lab.programs[1..] {
        host.reload(program);
        // Until it is ready it takes no notice of another request.
        let mut client = Client::registered(&host.socket(), NOBODY);
        assert!(client.release(("", "/nothing")).contains("is not locked"));
    }
    for (half, cut) in &mut halves {
        half.stream.write_all(&request(7)[*cut..]).unwrap();
        let answer = half.answer().unwrap();
        assert_eq!(answer.header.serial, Serial(7), "cut at {cut}");
    }
    let mut writer = greedy.stream.try_clone().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(move || writer.write_all(&pending).unwrap());
        for expected in 100..serial {
            let answer = greedy.answer().unwrap();
            assert_eq!(answer.header.serial, Serial(expected));
        }
    });
}

pub fn an_owner_that_is_being_ended(lab: &Lab) {
    let host = lab.host("");
    let file = lab.file("disk");
    let mut owner = Owner::start(&host, &file, true);
    let watcher = Watcher::start(Deed::Try, std::slice::from_ref(&file), host.daemon().pid());
    assert_eq!(owner.says("close"), "closed");
    wait_until("it is asked to end", || {
        host.messages().contains("ending it")
    });
    // It takes 1.6 s until it is killed; then the program is replaced.
    host.reload(&lab.programs[1]);
    assert_eq!(owner.end(), Some(Signal::SIGKILL as i32));
    let (_, found) = watcher.stop();
    // Once the process has gone the lock may be had.
    if !found.trim().is_empty() {
        assert!(found.contains("given away"));
    }
    let mut client = Client::registered(&host.socket(), NOBODY);
    wait_until("the lock is free", || {
        client.acquire(("", &file), 0) == "ok"
    });
}

pub fn again_and_again(lab: &Lab) {
    let host = lab.host("");
    let image = lab.file("image");
    let mut client = Client::registered(&host.socket(), NOBODY);
    assert_eq!(client.acquire(("", &image), 0), "ok");
    let pid = host.daemon().pid();
    let watchers =
        [Deed::Look, Deed::Try].map(|deed| Watcher::start(deed, std::slice::from_ref(&image), pid));
    // Whenever they come: while it waits, writes, starts.
    for round in 0..100 {
        let signal = match round % 10 {
            9 => Signal::SIGHUP,
            _ => Signal::SIGUSR1,
        };
        host.daemon().signal(signal);
        std::thread::sleep(Duration::from_micros(700 * (round % 13)));
    }
    // One that comes while a program starts is of no effect.
    let next = host.install(&lab.programs[1].file);
    wait_until("the next program runs", || {
        host.daemon().signal(Signal::SIGUSR1);
        std::thread::sleep(Duration::from_millis(300));
        runs(pid).is_some_and(|now| now == next)
    });
    assert!(client.acquire(("", &image), 0).contains("is locked"));
    for watcher in watchers {
        assert_eq!(watcher.stop().1.trim(), "");
    }
    assert_eq!(client.release(("", &image)), "ok");
}

/// The C daemon ends, and loses all locks, when it is to hand over a client that has not registered; it takes one over.
pub fn clients_without_an_owner(lab: &Lab) {
    let host = lab.host("");
    let mut unregistered = Client::new(&host.socket());
    let mut holder = Client::registered(&host.socket(), NOBODY);
    let image = lab.file("image");
    assert_eq!(holder.acquire(("", &image), 0), "ok");
    for program in &lab.programs[1..] {
        host.reload(program);
        let refused = unregistered.acquire(("", &image), 0);
        assert!(refused.contains("have not been registered"), "{refused}");
        assert!(holder.acquire(("", &image), 0).contains("is locked"));
    }
    assert_eq!(unregistered.register(1, NOBODY, 0), "ok");
    assert_eq!(holder.release(("", &image)), "ok");
    assert_eq!(unregistered.acquire(("", &image), 0), "ok");
}
