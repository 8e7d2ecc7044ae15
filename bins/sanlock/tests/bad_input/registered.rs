//! Connections that stand for processes, used as they should not be.

use sanlock_proto::flags::{AcquireFlags, RestrictFlags};
use sanlock_proto::{Header, Options, Request, Resource, Target};

use super::common::daemon::{Daemon, Setup, is_original};
use super::common::harness::{Case, Outcome};
use super::common::leases::{acquire, code, code_of, lockspace, resource};
use super::common::scratch::Scratch;
use super::common::status::resource_lists;
use super::common::wait::{PATIENCE, until};
use super::raw::{Came, Raw};

pub const CASES: &[Case] = &[
    (
        "commands_for_processes_that_did_not_register",
        not_registered,
    ),
    ("registering_again_keeps_the_leases", registering_again),
    (
        "a_restricted_connection_does_nothing_more",
        a_restricted_connection,
    ),
    (
        "a_connection_that_ends_in_mid_command_frees_its_leases",
        ends_in_mid_command,
    ),
];

const NO_SUCH_PROCESS: i64 = -3;
const NOT_REGISTERED: i32 = -16;
const NOT_PERMITTED: i32 = -1;

struct Lab {
    daemon: Daemon,
    lease: Resource,
    _scratch: Scratch,
}

fn lab() -> Lab {
    let scratch = Scratch::in_memory();
    let daemon = Setup::new(scratch.path(), "one").start();
    let path = scratch.file("leases", 2);
    let (space, lease) = (lockspace("ls", 1, &path), resource("ls", "r", &path, 1));
    daemon.format(&space, 1, &[&lease]);
    daemon.join(&space, 1);
    Lab {
        daemon,
        lease,
        _scratch: scratch,
    }
}

fn take(lease: &Resource) -> Request {
    Request::Acquire {
        target: Target::ThisConnection,
        flags: AcquireFlags::NONE,
        resources: vec![lease.clone()],
        options: Options::default(),
    }
}

fn not_registered() -> Outcome {
    let Lab {
        daemon,
        lease,
        _scratch,
    } = lab();
    let client = &daemon.client;
    for pid in [0, 1, 4_000_000, i32::MAX, -2, i32::MIN] {
        let got = code(client.acquire(pid, AcquireFlags::NONE, std::slice::from_ref(&lease), None));
        assert_eq!(got, NO_SUCH_PROCESS, "pid {pid}");
        assert_eq!(code_of(client.inquire(pid)), NO_SUCH_PROCESS, "pid {pid}");
    }
    let mut raw = Raw::connect(client);
    raw.send(&take(&lease).encode());
    assert_eq!(raw.result(), NOT_REGISTERED);
    // Who is not there is said before what is wrong with the rest.
    let mut nonsense = take(&lease).encode();
    nonsense[Header::LEN + 124..Header::LEN + 128].copy_from_slice(&9u32.to_le_bytes());
    let mut raw = Raw::connect(client);
    raw.send(&nonsense);
    assert_eq!(raw.result(), NOT_REGISTERED);
    if !is_original() {
        assert!(raw.is_usable());
    }
    // Everybody may act for a process that did register: the socket's mode says who may connect.
    let _registered = daemon.register();
    let pid = i32::try_from(std::process::id()).unwrap();
    until("it is registered", PATIENCE, || client.inquire(pid).is_ok());
    assert_eq!(
        code(client.acquire(pid, AcquireFlags::NONE, std::slice::from_ref(&lease), None)),
        0
    );
    Outcome::Passed
}

fn registering_again() -> Outcome {
    let Lab {
        daemon,
        lease,
        _scratch,
    } = lab();
    let mut raw = Raw::connect(&daemon.client);
    let inquire = Request::Inquire {
        target: Target::ThisConnection,
        flags: sanlock_proto::flags::InquireFlags::NONE,
    };
    raw.send(&Request::Register.encode())
        .send(&take(&lease).encode());
    assert_eq!(raw.result(), 0);
    raw.send(&Request::Register.encode())
        .send(&inquire.encode());
    let Came::Reply(reply) = raw.next() else {
        panic!()
    };
    // The original forgets what it holds, and the lease stays taken for ever.
    assert_eq!(reply.data2, u32::from(!is_original()));
    drop(raw);
    if !is_original() {
        until("the lease is free", PATIENCE, || {
            resource_lists(&daemon.client, "r").is_empty()
        });
        assert_eq!(acquire(&mut daemon.register(), &lease), 0);
    }
    Outcome::Passed
}

fn a_restricted_connection() -> Outcome {
    let Lab {
        daemon,
        lease,
        _scratch,
    } = lab();
    let mut raw = Raw::connect(&daemon.client);
    raw.send(&Request::Register.encode());
    raw.send(
        &Request::Restrict {
            flags: RestrictFlags::ALL,
        }
        .encode(),
    );
    assert_eq!(raw.result(), 0);
    if is_original() {
        // It is silent, which leaves a client waiting, and takes the rest of a message for headers.
        raw.send(&Request::Version.encode());
        assert_eq!(raw.next_soon(), Came::Silence);
    } else {
        let flags = RestrictFlags::NONE;
        for request in [take(&lease), Request::Version, Request::Restrict { flags }] {
            raw.send(&request.encode());
            assert_eq!(raw.result(), NOT_PERMITTED, "{}", request.command());
        }
    }
    assert!(resource_lists(&daemon.client, "r").is_empty());
    // Others still act for its process, as libvirt does for its guests.
    let pid = i32::try_from(std::process::id()).unwrap();
    let got = code(daemon.client.acquire(
        pid,
        AcquireFlags::NONE,
        std::slice::from_ref(&lease),
        None,
    ));
    assert_eq!(got, 0);
    drop(raw);
    until("the lease is free", PATIENCE, || {
        resource_lists(&daemon.client, "r").is_empty()
    });
    Outcome::Passed
}

fn ends_in_mid_command() -> Outcome {
    let Lab {
        daemon,
        lease,
        _scratch,
    } = lab();
    let message = take(&lease).encode();
    for round in 0..30 {
        let mut raw = Raw::connect(&daemon.client);
        raw.send(&Request::Register.encode()).send(&message);
        // Sometimes before, sometimes while, sometimes after the lease is taken.
        std::thread::sleep(std::time::Duration::from_micros(round * 400));
        drop(raw);
        let mut next = daemon.register();
        until("the lease is free", PATIENCE, || {
            acquire(&mut next, &lease) == 0
        });
        drop(next);
        until("it is free again", PATIENCE, || {
            resource_lists(&daemon.client, "r").is_empty()
        });
    }
    Outcome::Passed
}
