//! Headers that are none, lengths that lie, messages that stop half-way.

use sanlock_proto::{Disk, Header, Lockspace, Request, ResourceHead};

use super::common::daemon::{Daemon, Setup, is_original};
use super::common::harness::{Case, Outcome};
use super::common::leases::name;
use super::common::scratch::Scratch;
use super::common::unlike_the_original;
use super::common::wait::{PATIENCE, until};
use super::raw::{Came, Raw, changed, header};

pub const CASES: &[Case] = &[
    ("what_is_no_request_is_dropped", what_is_no_request),
    ("newer_commands_are_refused", newer_commands),
    (
        "any_protocol_version_up_to_ours_will_do",
        any_protocol_version,
    ),
    ("announced_lengths_are_not_believed", announced_lengths),
    ("half_a_message_holds_up_nobody", half_a_message),
    (
        "a_half_closed_connection_is_told_so",
        a_half_closed_connection,
    ),
    ("connections_may_end_anywhere", connections_may_end_anywhere),
    ("a_byte_at_a_time_will_do", a_byte_at_a_time),
    ("requests_may_come_all_at_once", requests_all_at_once),
];

const NO_LOCKSPACE: i32 = -2;
const NOT_SUPPORTED: i32 = -95;
const NOT_CONNECTED: i32 = -107;

fn start(scratch: &Scratch) -> Daemon {
    Setup::new(scratch.path(), "one").start()
}

/// A request for something that is not there.
fn inquiry() -> Request {
    let lockspace = Lockspace::named(name("none"));
    Request::InqLockspace {
        lockspace,
        flags: sanlock_proto::flags::InqFlags::NONE,
    }
}

fn what_is_no_request() -> Outcome {
    let scratch = Scratch::new();
    let daemon = start(&scratch);
    let mut raw = Raw::connect(&daemon.client);
    for magic in [0, 0x0428_2011, 0x1020_2804, u32::MAX] {
        raw.send(&header(28, |header| header.magic = magic));
        assert_eq!(raw.next_soon(), Came::Silence, "magic {magic:#x}");
    }
    for (command, version) in [(0, 1), (45, 1), (999, 1), (u32::MAX, 1), (22, 0x0002_0000)] {
        raw.send(&header(command, |header| header.version = version));
        // The original is silent, which leaves a client waiting.
        if is_original() {
            assert_eq!(raw.next_soon(), Came::Silence, "command {command}");
        } else {
            assert_eq!(raw.result(), NOT_SUPPORTED, "command {command}");
        }
    }
    assert!(raw.is_usable());
    if is_original() {
        // It would wait for the rest of a header, and answer nobody.
        return Outcome::Passed;
    }
    // Bytes that are no header shift everything after them, but only on this connection.
    raw.send(b"GET / HTTP/1.1\r\n")
        .send(&Request::Version.encode());
    assert_eq!(raw.next_soon(), Came::Silence);
    assert!(Raw::connect(&daemon.client).is_usable());
    Outcome::Passed
}

fn newer_commands() -> Outcome {
    if let Some(skipped) = unlike_the_original("it leaves the client waiting") {
        return skipped;
    }
    let scratch = Scratch::new();
    let daemon = start(&scratch);
    let mut raw = Raw::connect(&daemon.client);
    for command in 41..=44 {
        raw.send(&header(command, |_| {}));
        assert_eq!(raw.result(), NOT_SUPPORTED, "{command} alone");
        let mut message = header(command, |header| header.length = 32 + 5000);
        message.extend([7; 5000]);
        raw.send(&message);
        assert_eq!(raw.result(), NOT_SUPPORTED, "{command} with a body");
        raw.send(&header(command, |header| header.length = u32::MAX));
        assert_eq!(
            raw.result(),
            NOT_SUPPORTED,
            "{command} with a body that never comes"
        );
        assert!(raw.becomes_usable(), "after {command}");
    }
    Outcome::Passed
}

fn any_protocol_version() -> Outcome {
    let scratch = Scratch::new();
    let daemon = start(&scratch);
    let mut raw = Raw::connect(&daemon.client);
    for version in [0, 1, 9, 0xffff] {
        raw.send(&changed(&inquiry(), |header| header.version = version));
        assert_eq!(raw.result(), NO_LOCKSPACE, "{version:#x}");
    }
    for version in [0, 0x0002_0000, u32::MAX] {
        raw.send(&changed(&Request::Version, |header| {
            (header.version, header.seq, header.flags) = (version, 5, 6);
        }));
        let Came::Reply(reply) = raw.next() else {
            panic!("{version:#x}")
        };
        assert_eq!(
            (reply.version, reply.seq, reply.flags),
            (1, 0, 0),
            "{version:#x}"
        );
    }
    Outcome::Passed
}

fn announced_lengths() -> Outcome {
    let scratch = Scratch::new();
    let daemon = start(&scratch);
    let mut raw = Raw::connect(&daemon.client);
    let align = Request::Align {
        disk: Disk::default(),
    };
    for length in [0, 1, 31, 32, 33, 1 << 31, u32::MAX] {
        raw.send(&changed(&inquiry(), |header| header.length = length));
        assert_eq!(raw.result(), NO_LOCKSPACE, "length {length:#x}");
        raw.send(&changed(&align, |header| header.length = length));
        assert_eq!(raw.result(), -19, "length {length:#x}");
    }
    // The one command whose body is as long as is said.
    let resource = ResourceHead {
        lockspace: name("ls"),
        name: name("r"),
        ..Default::default()
    };
    let lvb = Request::SetLvb {
        resource,
        lvb: Vec::new(),
    };
    for (length, expected) in [(0, -12), (40, -12), (u32::MAX, -12), (0x4000_0000, -7)] {
        let mut raw = Raw::connect(&daemon.client);
        raw.send(&changed(&lvb, |header| header.length = length));
        assert_eq!(raw.result(), expected, "lvb of length {length:#x}");
        if !is_original() {
            assert!(raw.becomes_usable());
        }
    }
    if !is_original() {
        raw.send(&lvb.encode());
        assert_eq!(
            raw.result(),
            -22,
            "an empty lvb, which the original never answers"
        );
        assert!(raw.is_usable());
    }
    Outcome::Passed
}

fn half_a_message() -> Outcome {
    if let Some(skipped) =
        unlike_the_original("it waits for the rest, and nobody is answered meanwhile")
    {
        return skipped;
    }
    let scratch = Scratch::new();
    let daemon = start(&scratch);
    let lockspace = Lockspace::named(name("none"));
    let get_hosts = Request::GetHosts {
        lockspace: lockspace.clone(),
        flags: sanlock_proto::flags::GetHostsFlags::NONE,
    };
    let mut waiting = Vec::new();
    for (message, expected) in [
        (get_hosts.encode(), -2),
        (inquiry().encode(), -2),
        (
            Request::Align {
                disk: Disk::default(),
            }
            .encode(),
            -19,
        ),
        (
            Request::SetConfig {
                lockspace,
                command: sanlock_proto::flags::ConfigCommand::USED,
            }
            .encode(),
            -2,
        ),
    ] {
        for cut in [1, 31, 32, 33, message.len() - 1] {
            let mut raw = Raw::connect(&daemon.client);
            raw.send(&message[..cut]);
            waiting.push((raw, message[cut..].to_vec(), expected));
        }
    }
    for _ in 0..10 {
        assert!(Raw::connect(&daemon.client).is_usable());
        daemon.client.status(None).unwrap();
    }
    for (raw, rest, expected) in &mut waiting {
        assert_eq!(raw.next_soon(), Came::Silence);
        raw.send(rest);
        assert_eq!(raw.result(), *expected);
    }
    Outcome::Passed
}

fn a_half_closed_connection() -> Outcome {
    let scratch = Scratch::new();
    let daemon = start(&scratch);
    let message = inquiry().encode();
    for cut in [Header::LEN, Header::LEN + 1, message.len() - 1] {
        let mut raw = Raw::connect(&daemon.client);
        raw.send(&message[..cut]).half_close();
        assert_eq!(raw.result(), NOT_CONNECTED, "cut at {cut}");
        assert_eq!(raw.next(), Came::End);
    }
    // A whole request is answered, although nothing more can come.
    let mut raw = Raw::connect(&daemon.client);
    raw.send(&message).half_close();
    assert_eq!(raw.result(), NO_LOCKSPACE);
    assert_eq!(raw.next(), Came::End);
    for cut in [0, 1, 31] {
        let mut raw = Raw::connect(&daemon.client);
        raw.send(&message[..cut]).half_close();
        assert_eq!(raw.next(), Came::End, "cut at {cut}");
    }
    assert!(Raw::connect(&daemon.client).is_usable());
    Outcome::Passed
}

fn connections_may_end_anywhere() -> Outcome {
    let scratch = Scratch::new();
    let daemon = start(&scratch);
    assert!(Raw::connect(&daemon.client).is_usable());
    let before = daemon.size();
    for request in [
        inquiry(),
        Request::LogDump,
        Request::Status { up_to: None },
        Request::Register,
    ] {
        let message = request.encode();
        for cut in 0..=message.len() {
            Raw::connect(&daemon.client).send(&message[..cut]);
        }
    }
    assert!(Raw::connect(&daemon.client).is_usable());
    until("the connections are gone", PATIENCE, || {
        daemon.size().descriptors <= before.descriptors
    });
    Outcome::Passed
}

fn a_byte_at_a_time() -> Outcome {
    let scratch = Scratch::new();
    let daemon = start(&scratch);
    let mut raw = Raw::connect(&daemon.client);
    for _ in 0..2 {
        for byte in inquiry().encode() {
            raw.send(&[byte]);
        }
        assert_eq!(raw.result(), NO_LOCKSPACE);
    }
    Outcome::Passed
}

fn requests_all_at_once() -> Outcome {
    let scratch = Scratch::new();
    let daemon = start(&scratch);
    let mut raw = Raw::connect(&daemon.client);
    let all: Vec<u8> = (0..200u32)
        .flat_map(|seq| changed(&inquiry(), |header| header.seq = seq))
        .collect();
    raw.send(&all);
    for seq in 0..200 {
        let Came::Reply(reply) = raw.next() else {
            panic!("no reply {seq}")
        };
        assert_eq!((reply.seq, reply.result()), (seq, NO_LOCKSPACE));
    }
    // What follows a request that ends the connection is lost.
    let mut last = Request::GetLockspaces.encode();
    last.extend(inquiry().encode());
    raw.send(&last);
    assert_eq!(raw.result(), 0);
    assert_eq!(raw.next(), Came::End);
    Outcome::Passed
}
