//! The daemon's bytes.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use sanlock_proto::command::Command;
use sanlock_proto::flags::*;
use sanlock_proto::header::Header;
use sanlock_proto::reply::{ReplyBody, reply_body};
use sanlock_proto::*;

use crate::daemon::Daemon;
use crate::harness::{Outcome, skipped};

/// Sends a request, reads header and body of the reply.
fn exchange(stream: &mut UnixStream, request: &[u8]) -> (Header, Vec<u8>) {
    stream.write_all(request).unwrap();
    let mut header = [0; Header::LEN];
    stream.read_exact(&mut header).unwrap();
    let header = Header::decode(&header).unwrap();
    let command = Command::from_number(Header::decode(request).unwrap().command).unwrap();
    let mut body = Vec::new();
    match reply_body(command, &header).unwrap() {
        ReplyBody::Bytes(len) => {
            body.resize(len, 0);
            stream.read_exact(&mut body).unwrap();
        }
        ReplyBody::UntilEnd => {
            stream.read_to_end(&mut body).unwrap();
        }
    }
    (header, body)
}

/// Zeroes what the C daemon leaves to chance: padding, and the pad words of disks.
fn without_padding(command: Command, body: &mut [u8]) {
    let lockspace = |bytes: &mut [u8]| {
        bytes[60..64].fill(0);
        bytes[64 + 1032..64 + 1040].fill(0);
        let end = bytes[64..64 + 1024].iter().position(|b| *b == 0).unwrap();
        bytes[64 + end..64 + 1024].fill(0);
    };
    match command {
        Command::GetLockspaces => body.chunks_mut(Lockspace::LEN).for_each(lockspace),
        Command::ReadLockspace => lockspace(body),
        Command::Status | Command::HostStatus | Command::Renewal => {
            let mut at = 0;
            while at + StateRecord::LEN <= body.len() {
                let word =
                    |at: usize| u32::from_le_bytes(body[at..at + 4].try_into().unwrap()) as usize;
                let (kind, text) = (word(at), word(at + 72));
                at += StateRecord::LEN + text;
                match kind {
                    3 => {
                        lockspace(&mut body[at..at + Lockspace::LEN]);
                        at += Lockspace::LEN;
                    }
                    4 => {
                        body[at + 116..at + 120].fill(0);
                        let disks =
                            u32::from_le_bytes(body[at + 124..at + 128].try_into().unwrap());
                        at += ResourceHead::LEN;
                        for _ in 0..disks {
                            body[at + 1032..at + 1040].fill(0);
                            at += Disk::LEN;
                        }
                    }
                    _ => {}
                }
            }
        }
        _ => {}
    }
}

pub(crate) fn replies() -> Outcome {
    let daemon = match Daemon::start("replies") {
        Ok(daemon) => daemon,
        Err(why) => return skipped(why),
    };
    daemon.prepare();
    let lockspace = daemon.lockspace();
    let named = Lockspace::named(lockspace.name);
    let (first, missing) = (daemon.resource(0), daemon.resource(5));
    let own = Target::ThisConnection;
    let acquire = Request::Acquire {
        target: own,
        flags: AcquireFlags::LVB,
        resources: vec![first.clone(), daemon.resource(1)],
        options: Options {
            owner_name: "owner".parse().unwrap(),
            ..Options::default()
        },
    };
    let mut registered = daemon.connect();
    registered.write_all(&Request::Register.encode()).unwrap();
    daemon.wait_until_hosts_are_known();

    let on_registered = [
        acquire,
        Request::Inquire {
            target: own,
            flags: InquireFlags::NONE,
        },
        Request::Restrict {
            flags: RestrictFlags::SIGTERM,
        },
        Request::Convert {
            target: own,
            flags: ConvertFlags::NONE,
            resource: missing.head(),
        },
    ];
    let on_new = [
        Request::Version,
        Request::GetLockspaces,
        Request::GetHosts {
            lockspace: named.clone(),
            flags: GetHostsFlags::NONE,
        },
        Request::GetHosts {
            lockspace: Lockspace::default(),
            flags: GetHostsFlags::NONE,
        },
        Request::ReadLockspace {
            lockspace: lockspace.clone(),
        },
        Request::ReadLockspace {
            lockspace: Lockspace {
                host_id: 1,
                ..named.clone()
            },
        },
        Request::ReadResource {
            resource: first.clone(),
        },
        Request::ReadResource {
            resource: missing.clone(),
        },
        Request::ReadResourceOwners {
            resource: first.clone(),
        },
        Request::ReadResourceOwners {
            resource: daemon.resource(3),
        },
        Request::ReadResourceOwners {
            resource: missing.clone(),
        },
        Request::Inquire {
            target: Target::Pid(std::process::id() as i32),
            flags: InquireFlags::NONE,
        },
        Request::Inquire {
            target: Target::Pid(999_999_999),
            flags: InquireFlags::NONE,
        },
        Request::GetLvb {
            resource: first.head(),
            length: 0,
        },
        Request::GetLvb {
            resource: first.head(),
            length: 100,
        },
        Request::GetLvb {
            resource: missing.head(),
            length: 0,
        },
        Request::SetLvb {
            resource: first.head(),
            lvb: vec![1; 40],
        },
        Request::LookupRindex {
            rindex: Rindex {
                lockspace: lockspace.name,
                disk: daemon.disk("index", 16),
                ..Rindex::default()
            },
            entry: RindexEntry {
                name: "none".parse().unwrap(),
                ..RindexEntry::default()
            },
            flags: RindexOpFlags::NONE,
        },
        Request::Align {
            disk: lockspace.disk.clone(),
        },
        Request::Status { up_to: None },
        Request::Status {
            up_to: Some(StateKind::Lockspace),
        },
        Request::HostStatus {
            lockspace: named.clone(),
        },
        Request::HostStatus {
            lockspace: Lockspace::default(),
        },
        Request::Renewal {
            lockspace: named.clone(),
        },
        Request::LogDump,
        Request::ExamineLockspace {
            lockspace: named.clone(),
        },
        Request::SetConfig {
            lockspace: named.clone(),
            command: ConfigCommand::UNUSED,
        },
        Request::ShutdownWait { force: false },
        Request::RegEvent {
            lockspace: named.clone(),
            event: HostEvent::default(),
        },
        Request::EndEvent { lockspace: named },
    ];
    for (request, is_own) in on_registered
        .iter()
        .map(|r| (r, true))
        .chain(on_new.iter().map(|r| (r, false)))
    {
        let mut bytes = request.encode();
        // Fields that replies copy.
        bytes[20..24].copy_from_slice(&0x5eed_5eedu32.to_le_bytes());
        let (header, mut body) = if is_own {
            exchange(&mut registered, &bytes)
        } else {
            exchange(&mut daemon.connect(), &bytes)
        };
        let command = request.command();
        let reply = Reply::decode(command, &header, &body).unwrap();
        without_padding(command, &mut body);
        let mut theirs = Vec::new();
        header.encode(&mut theirs);
        theirs.extend_from_slice(&body);
        let ours = reply.encode(&Header::decode(&bytes).unwrap());
        assert_eq!(
            ours[..Header::LEN],
            theirs[..Header::LEN],
            "{command} {reply:?}"
        );
        assert!(ours == theirs, "{command} {reply:?}");
    }
    Outcome::Passed
}

/// A request with parts of its header changed.
fn changed(request: &Request, change: impl Fn(&mut Header), cut: usize) -> Vec<u8> {
    let message = request.encode();
    let mut header = Header::decode(&message).unwrap();
    change(&mut header);
    let mut bytes = Vec::new();
    header.encode(&mut bytes);
    bytes.extend_from_slice(&message[Header::LEN..]);
    bytes.truncate(bytes.len() - cut);
    bytes
}

pub(crate) fn malformed() -> Outcome {
    let daemon = match Daemon::start("malformed") {
        Ok(daemon) => daemon,
        Err(why) => return skipped(why),
    };
    daemon.prepare();
    let first = daemon.resource(0);
    let with_disks = |num_disks: u32, request: &dyn Fn(Resource) -> Request, at: usize| {
        let mut bytes = request(first.clone()).encode();
        bytes[at + 124..at + 128].copy_from_slice(&num_disks.to_le_bytes());
        bytes.truncate(at + ResourceHead::LEN);
        let length = bytes.len() as u32;
        bytes[16..20].copy_from_slice(&length.to_le_bytes());
        bytes
    };
    let acquire = |count: usize| Request::Acquire {
        target: Target::ThisConnection,
        flags: AcquireFlags::NONE,
        resources: vec![first.clone(); count],
        options: Options::default(),
    };
    let set_lvb = Request::SetLvb {
        resource: first.head(),
        lvb: vec![],
    };
    let mut cases: Vec<(&str, bool, Vec<u8>)> = vec![
        ("nine resources", true, acquire(9).encode()),
        (
            "2^31 - 1 resources",
            true,
            changed(&acquire(0), |h| h.data = i32::MAX as u32, Options::LEN),
        ),
        (
            "lvb length 0",
            false,
            changed(&set_lvb, |h| h.length = 0, 0),
        ),
        (
            "lvb length 40",
            false,
            changed(&set_lvb, |h| h.length = 40, 0),
        ),
        (
            "lvb length -1",
            false,
            changed(&set_lvb, |h| h.length = u32::MAX, 0),
        ),
        (
            "lvb length 2^30",
            false,
            changed(&set_lvb, |h| h.length = 0x4000_0000, 0),
        ),
        (
            "lvb of 4097",
            false,
            changed(&set_lvb, |h| h.length = 160 + 4097, 0),
        ),
    ];
    for disks in [0, 5, i32::MAX as u32, u32::MAX] {
        let h = Header::LEN;
        cases.push((
            "acquire, disks",
            true,
            with_disks(
                disks,
                &|r| Request::Acquire {
                    target: Target::ThisConnection,
                    flags: AcquireFlags::NONE,
                    resources: vec![r],
                    options: Options::default(),
                },
                h,
            ),
        ));
        cases.push((
            "read_resource, disks",
            false,
            with_disks(disks, &|resource| Request::ReadResource { resource }, h),
        ));
        cases.push((
            "owners, disks",
            false,
            with_disks(
                disks,
                &|resource| Request::ReadResourceOwners { resource },
                h,
            ),
        ));
        cases.push((
            "write_resource, disks",
            false,
            with_disks(
                disks,
                &|resource| Request::WriteResource {
                    resource,
                    flags: WriteFlags::NONE,
                    data: 0,
                    data2: 0,
                },
                h,
            ),
        ));
        cases.push((
            "request, disks",
            false,
            with_disks(
                disks,
                &|resource| Request::Request {
                    resource,
                    flags: RequestFlags::NONE,
                    force_mode: ForceMode::NONE,
                },
                h,
            ),
        ));
    }
    for (what, is_registered, bytes) in cases {
        let mut decoder = Decoder::new();
        decoder.push(&bytes);
        let Some(Incoming::Rejected(rejection)) = decoder.next_incoming() else {
            panic!("{what}")
        };
        let ours = rejection.reply().encode(&rejection.header);
        let mut stream = daemon.connect();
        if is_registered {
            stream.write_all(&Request::Register.encode()).unwrap();
        }
        let (header, body) = exchange(&mut stream, &bytes);
        let mut theirs = Vec::new();
        header.encode(&mut theirs);
        theirs.extend_from_slice(&body);
        assert!(ours == theirs, "{what}: {ours:?} instead of {theirs:?}");
    }

    // No answer, and the connection goes on; then a request that is answered.
    for change in [
        (|h: &mut Header| h.magic = 1) as fn(&mut Header),
        |h| h.command = 0,
        |h| h.command = 41,
        |h| h.command = 77,
        |h| h.version = 0x0002_0000,
    ] {
        let bad = changed(&Request::Register, change, 0);
        let mut stream = daemon.connect();
        stream.write_all(&bad).unwrap();
        let (header, _) = exchange(&mut stream, &Request::Version.encode());
        assert_eq!(header.command, Command::Version.number());
        let mut decoder = Decoder::new();
        decoder.push(&bad);
        decoder.push(&Request::Version.encode());
        assert!(!matches!(
            decoder.next_incoming(),
            Some(Incoming::Request { .. })
        ));
        assert!(matches!(
            decoder.next_incoming(),
            Some(Incoming::Request {
                request: Request::Version,
                ..
            })
        ));
    }

    // Half a body, then no more.
    let bytes = Request::ReadResource { resource: first }.encode();
    for len in [40, 200] {
        let mut stream = daemon.connect();
        stream.write_all(&bytes[..len]).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut header = [0; Header::LEN];
        stream.read_exact(&mut header).unwrap();
        assert_eq!(Header::decode(&header).unwrap().result(), -107);
        let mut decoder = Decoder::new();
        decoder.push(&bytes[..len]);
        assert_eq!(decoder.next_incoming(), None);
        let request = Header::decode(&bytes).unwrap();
        assert_eq!(decoder.cut(), Some(decoder::Cut::InBody(request)));
    }
    Outcome::Passed
}
