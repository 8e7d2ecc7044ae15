//! Random bytes, and requests in which some bytes were changed.

use std::path::Path;

use sanlock_proto::command::Command;
use sanlock_proto::flags::{
    AddFlags, ConfigCommand, ForceMode, InqFlags, KillpathFlags, ReleaseFlags, RequestFlags,
    RestrictFlags, RindexOpFlags, SetEventFlags, WriteFlags,
};
use sanlock_proto::request::Release;
use sanlock_proto::{
    Header, HelperText, HostEvent, Request, Resource, Rindex, RindexEntry, Target,
};

use super::common::daemon::{Daemon, Setup};
use super::common::harness::{Case, Outcome};
use super::common::leases::{disk, lockspace, name, resource};
use super::common::process::Size;
use super::common::scratch::Scratch;
use super::common::status::list_of;
use super::common::wait::{PATIENCE, until};
use super::common::{measured, unlike_the_original};
use super::raw::Raw;

pub const CASES: &[Case] = &[
    ("random_bytes_leave_nothing_behind", random_bytes),
    ("damaged_requests_leave_nothing_behind", damaged_requests),
];

const CONNECTIONS: usize = 12000;
/// How much more memory the second half of them may take than the first.
const GROWTH_KIB: u64 = 6 << 10;

/// Chance that is the same each time.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.next() as u8).collect()
    }
}

/// Sends a message on each of very many connections, and looks at the daemon's size meanwhile.
fn flood(daemon: &mut Daemon, mut message: impl FnMut(&mut Chance) -> Vec<u8>) {
    let mut chance = Chance(0x5eed_0f1e_a5e5);
    let mut first = None;
    for number in 0..CONNECTIONS {
        let mut raw = Raw::connect(&daemon.client);
        let bytes = message(&mut chance);
        raw.try_send(&bytes);
        if number % 5 == 0 {
            raw.glance();
        }
        drop(raw);
        if number + 1 == CONNECTIONS / 2 {
            first = Some(settled(daemon));
        }
    }
    let (first, last) = (first.unwrap(), settled(daemon));
    measured(&format!(
        "after {} connections {first}; after {CONNECTIONS} {last}",
        CONNECTIONS / 2
    ));
    assert!(daemon.runs());
    assert!(
        last.rss_kib <= first.rss_kib + GROWTH_KIB,
        "{first}; {last}"
    );
    assert!(last.threads <= first.threads + 8, "{first}; {last}");
}

/// The daemon's size once it has no connections.
fn settled(daemon: &Daemon) -> Size {
    until("the connections are gone", PATIENCE, || {
        let clients = daemon
            .client
            .status(Some(sanlock_proto::StateKind::Client))
            .unwrap();
        // The helper, the listener, the one that asks; and the daemon itself.
        clients.len() <= 4
    });
    daemon.size()
}

fn random_bytes() -> Outcome {
    if let Some(skipped) = unlike_the_original("it waits for whole headers") {
        return skipped;
    }
    let scratch = Scratch::new();
    let mut daemon = Setup::new(scratch.path(), "one").start();
    flood(&mut daemon, |chance| {
        let len = chance.below(4096);
        let mut bytes = chance.bytes(len);
        // Every other begins as a request does, with a command that is none or ends in nothing.
        if chance.below(2) == 0 && bytes.len() > Header::LEN {
            let mut header = Header::decode(&bytes).unwrap();
            header.magic = sanlock_proto::header::MAGIC;
            header.version = 1;
            header.command = chance.below(60) as u32;
            if ends_the_daemon(header.command) {
                header.command = 77;
            }
            let mut encoded = Vec::new();
            header.encode(&mut encoded);
            bytes.splice(..Header::LEN, encoded);
        }
        bytes
    });
    Outcome::Passed
}

fn damaged_requests() -> Outcome {
    if let Some(skipped) = unlike_the_original("it waits for whole requests") {
        return skipped;
    }
    let scratch = Scratch::in_memory();
    let mut daemon = Setup::new(scratch.path(), "one").start();
    let path = scratch.file("leases", 4);
    let (space, lease) = (lockspace("ls", 1, &path), resource("ls", "r", &path, 1));
    daemon.format(&space, 1, &[&lease]);
    daemon.join(&space, 1);
    let aside = scratch.file("aside", 4);
    let requests: Vec<_> = requests(&aside).iter().map(Request::encode).collect();
    flood(&mut daemon, |chance| {
        let mut message = requests[chance.below(requests.len())].clone();
        // Mostly where the fields are, not in the empty ends of names and paths.
        for _ in 0..=chance.below(4) {
            let at = match chance.below(3) {
                0 => chance.below(Header::LEN.min(message.len())),
                _ => chance.below(message.len()),
            };
            message[at] = match chance.below(3) {
                0 => 0xff,
                1 => 0x7f,
                _ => chance.next() as u8,
            };
        }
        if chance.below(4) == 0 {
            message.truncate(chance.below(message.len()) + 1);
        }
        let header = Header::decode(&message);
        if header.is_ok_and(|header| ends_the_daemon(header.command)) {
            message.truncate(3);
        }
        message
    });
    assert_eq!(list_of(&daemon.client, "ls").as_deref(), Some("spaces"));
    let mut connection = daemon.register();
    assert_eq!(super::common::leases::acquire(&mut connection, &lease), 0);
    Outcome::Passed
}

fn ends_the_daemon(command: u32) -> bool {
    [Command::Shutdown.number(), Command::ShutdownWait.number()].contains(&command)
}

/// One of every kind, about a file that nothing else uses.
fn requests(path: &Path) -> Vec<Request> {
    let lockspace = lockspace("aside", 1, path);
    let resource = resource("aside", "r", path, 1);
    let rindex = Rindex {
        lockspace: name("aside"),
        disk: disk(path, 2 << 20),
        ..Rindex::default()
    };
    let entry = RindexEntry {
        name: name("r"),
        ..RindexEntry::default()
    };
    let event = HostEvent {
        host_id: 1,
        event: 1,
        ..HostEvent::default()
    };
    let target = Target::ThisConnection;
    let head = resource.head();
    vec![
        Request::Register,
        Request::Restrict {
            flags: RestrictFlags::ALL,
        },
        Request::Version,
        Request::Status { up_to: None },
        Request::LogDump,
        Request::GetLockspaces,
        Request::HostStatus {
            lockspace: lockspace.clone(),
        },
        Request::Renewal {
            lockspace: lockspace.clone(),
        },
        Request::GetHosts {
            lockspace: lockspace.clone(),
            flags: sanlock_proto::flags::GetHostsFlags::NONE,
        },
        Request::RegEvent {
            lockspace: lockspace.clone(),
            event,
        },
        Request::EndEvent {
            lockspace: lockspace.clone(),
        },
        Request::SetEvent {
            lockspace: lockspace.clone(),
            event,
            flags: SetEventFlags::NONE,
        },
        Request::SetConfig {
            lockspace: lockspace.clone(),
            command: ConfigCommand::USED,
        },
        Request::AddLockspace {
            lockspace: lockspace.clone(),
            flags: AddFlags::ASYNC,
            io_timeout: 1,
        },
        Request::InqLockspace {
            lockspace: lockspace.clone(),
            flags: InqFlags::NONE,
        },
        Request::Align {
            disk: disk(path, 0),
        },
        Request::ExamineLockspace {
            lockspace: lockspace.clone(),
        },
        Request::ExamineResource { resource: head },
        Request::WriteResource {
            resource: resource.clone(),
            flags: WriteFlags::NONE,
            data: 0,
            data2: 0,
        },
        Request::ReadLockspace { lockspace },
        Request::ReadResource {
            resource: resource.clone(),
        },
        Request::ReadResourceOwners {
            resource: resource.clone(),
        },
        Request::SetLvb {
            resource: head,
            lvb: vec![1; 512],
        },
        Request::GetLvb {
            resource: head,
            length: 0,
        },
        take(&resource),
        Request::Release {
            target,
            flags: ReleaseFlags::NONE,
            what: Release::Resources(vec![head; 2]),
        },
        Request::Inquire {
            target,
            flags: sanlock_proto::flags::InquireFlags::NONE,
        },
        Request::Convert {
            target,
            flags: sanlock_proto::flags::ConvertFlags::NONE,
            resource: head,
        },
        Request::Killpath {
            target,
            flags: KillpathFlags::PID,
            path: HelperText::truncated(b"/bin/false"),
            args: HelperText::truncated(b"a b"),
        },
        Request::Request {
            resource,
            flags: RequestFlags::NONE,
            force_mode: ForceMode::FORCE,
        },
        Request::FormatRindex {
            rindex: rindex.clone(),
            flags: RindexOpFlags::NONE,
        },
        Request::RebuildRindex {
            rindex: rindex.clone(),
            flags: RindexOpFlags::NONE,
        },
        Request::UpdateRindex {
            rindex: rindex.clone(),
            entry,
            flags: RindexOpFlags::ADD,
        },
        Request::LookupRindex {
            rindex: rindex.clone(),
            entry,
            flags: RindexOpFlags::NONE,
        },
        Request::CreateResource {
            rindex: rindex.clone(),
            entry,
            flags: RindexOpFlags::NONE,
            data: 0,
            data2: 0,
        },
        Request::DeleteResource {
            rindex,
            entry,
            flags: RindexOpFlags::NONE,
        },
    ]
}

fn take(resource: &Resource) -> Request {
    Request::Acquire {
        target: Target::ThisConnection,
        flags: sanlock_proto::flags::AcquireFlags::NONE,
        resources: vec![resource.clone()],
        options: sanlock_proto::Options::default(),
    }
}
