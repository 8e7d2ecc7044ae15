//! What the library sends for each call, and what it makes of our replies.

use std::process::Command as Process;

use sanlock_proto::command::Command;
use sanlock_proto::flags::*;
use sanlock_proto::request::Release;
use sanlock_proto::*;

use crate::common::TempDir;
use crate::fake_daemon::{all_seen, fake_daemon};
use crate::harness::{Outcome, skipped};
use crate::probe::{probe, run};

fn host(host_id: u64) -> HostEntry {
    HostEntry {
        host_id,
        generation: 21,
        timestamp: 22,
        io_timeout: 23,
        flags: 3,
    }
}

/// Replies whose every field can be seen in what the C program prints.
fn canned(at: usize, request: &Request) -> Option<Reply> {
    let lockspace = || Lockspace {
        name: "listed".parse().unwrap(),
        host_id: 5,
        flags: LockspaceFlags::REM,
        disk: Disk {
            path: DiskPath::from_bytes(b"/listed").unwrap(),
            offset: 512,
        },
    };
    let head = |name: &str| ResourceHead {
        lockspace: "read".parse().unwrap(),
        name: name.parse().unwrap(),
        lver: 41,
        data64: 42,
        data32: 43,
        flags: ResourceFlags::SHARED,
        num_disks: 2,
    };
    let entry = RindexEntry {
        name: "found".parse().unwrap(),
        offset: 4096,
        flags: 9,
    };
    Some(match request {
        Request::Register | Request::Shutdown { .. } => return None,
        Request::Version => Reply::Version {
            version: 0x0308_0500,
        },
        Request::GetLockspaces => Reply::Lockspaces {
            result: 0,
            count: 2,
            lockspaces: vec![lockspace(), lockspace()],
        },
        Request::GetHosts { .. } => Reply::Hosts {
            result: 0,
            count: 2,
            hosts: vec![host(1), host(2)],
        },
        Request::ReadLockspace { .. } => Reply::ReadLockspace {
            result: 0,
            io_timeout: 10,
            lockspace: lockspace(),
        },
        // the second one fails, which is sent with the resource all the same
        Request::ReadResource { resource } if resource.name.to_string() == "first" => {
            Reply::ReadResource {
                result: -223,
                resource: head("second"),
            }
        }
        Request::ReadResource { .. } => Reply::ReadResource {
            result: 0,
            resource: head("first"),
        },
        Request::ReadResourceOwners { .. } => Reply::Owners {
            result: 0,
            count: 2,
            resource: head("owned"),
            hosts: vec![host(8), host(9)],
        },
        Request::Inquire {
            target: Target::ThisConnection,
            ..
        } => Reply::Inquire {
            result: 0,
            count: 2,
            state: Some(b"a:b:/c:0:1 a:c:/c:512:SH".to_vec()),
        },
        Request::Inquire { .. } => Reply::Inquire {
            result: -3,
            count: 0,
            state: None,
        },
        Request::GetLvb { .. } if at % 2 == 0 => Reply::Lvb {
            result: -22,
            lvb: None,
        },
        Request::GetLvb { .. } => Reply::Lvb {
            result: 0,
            lvb: Some((0..=255).collect()),
        },
        Request::UpdateRindex { .. }
        | Request::LookupRindex { .. }
        | Request::CreateResource { .. }
        | Request::DeleteResource { .. } => Reply::RindexEntry { result: 0, entry },
        Request::Align { .. } => Reply::Result(1048576),
        Request::RemLockspace { .. } => Reply::Result(-16),
        Request::Acquire {
            target: Target::Pid(_),
            ..
        } => Reply::Result(-243),
        _ => Reply::Result(0),
    })
}

pub(crate) fn calls() -> Outcome {
    let dir = TempDir::new("calls");
    let program = match probe(dir.path(), "") {
        Ok(program) => program,
        Err(why) => return skipped(why),
    };
    let seen = fake_daemon(dir.path(), canned);
    let printed = run(&program, "calls", "", Some(dir.path()));
    let expected = "\
add_lockspace 0
inq_lockspace 0
rem_lockspace -16
get_lockspaces 0 2 listed 5 2 /listed 512 listed 5 2 /listed 512
get_hosts 0 hosts 2 1:21:22:23:3 2:21:22:23:3
set_config 0
align 1048576
read_lockspace 0 10 listed 5 2 /listed 512
read_resource 0 read first 41 42 43 4 2
read_resource -223 read second 41 42 43 4 2
read_resource_owners 0 read owned 41 42 43 4 2 hosts 2 8:21:22:23:3 9:21:22:23:3
write_lockspace 0
write_resource 0
set_event 0
reg_event fd
get_event 0 2 3 4 5 6 7
end_event 0
version 0 3080500 1
register fd
restrict 0
killpath 0
acquire 0
inquire 0 2 a:b:/c:0:1 a:c:/c:512:SH
convert 0
release 0
release 0
acquire -243
inquire -3 0 -
convert 0
release 0
release 0
request 0
examine 0
examine 0
set_lvb 0
get_lvb 0 1 127
get_lvb -22
format_rindex 0
rebuild_rindex 0
update_rindex 0
lookup_rindex 0 found 4096 9
create_resource 0 found 4096
delete_resource 0
";
    assert_eq!(printed, expected);
    // Every request, encoded again, gives the library's own bytes.
    let mut commands = Vec::new();
    for connection in all_seen(&seen) {
        let mut again = Vec::new();
        for (_, request) in &connection.requests {
            again.extend_from_slice(&as_the_library(request));
            commands.push(request.clone());
        }
        assert_eq!(again, connection.bytes, "{:?}", connection.requests);
    }
    check_meaning(&commands);
    Outcome::Passed
}

/// The library sends resources that the flag makes superfluous, which a decoded request does not keep.
fn as_the_library(request: &Request) -> Vec<u8> {
    let mut bytes = request.encode();
    if let Request::Release {
        what: Release::All, ..
    } = request
    {
        let mut list = Vec::new();
        for (name, disks) in [("one", 1), ("second", 2)] {
            let mut head = sample(name, disks).head();
            if name == "second" {
                // what the failed read_resource left in it
                head = ResourceHead {
                    lockspace: "read".parse().unwrap(),
                    name: "owned".parse().unwrap(),
                    lver: 41,
                    data64: 42,
                    data32: 43,
                    flags: ResourceFlags::SHARED,
                    num_disks: 2,
                };
            }
            head.encode(&mut list);
        }
        bytes[16..20].copy_from_slice(&(32u32 + list.len() as u32).to_le_bytes());
        bytes[24..28].copy_from_slice(&2u32.to_le_bytes());
        bytes.extend_from_slice(&list);
    }
    bytes
}

pub(crate) fn sample(name: &str, disks: usize) -> Resource {
    let paths: [&[u8]; 2] = [b"/dev/first", b"/dev/second"];
    Resource {
        lockspace: "space".parse().unwrap(),
        name: name.parse().unwrap(),
        lver: 7,
        data64: 64,
        data32: 32,
        flags: ResourceFlags::LVER | ResourceFlags::SHARED,
        disks: (0..disks)
            .map(|at| Disk {
                path: DiskPath::from_bytes(paths[at]).unwrap(),
                offset: (at as u64 + 1) * 1048576,
            })
            .collect(),
    }
}

/// The requests mean what the C program asked for.
fn check_meaning(requests: &[Request]) {
    let find = |command: Command| {
        requests
            .iter()
            .filter(move |request| request.command() == command)
            .collect::<Vec<_>>()
    };
    let missing: Vec<_> = Command::ALL
        .iter()
        .filter(|command| find(**command).is_empty())
        .filter(|command| {
            // these have no function in the library, only in the command line
            !matches!(
                command,
                Command::Shutdown
                    | Command::ShutdownWait
                    | Command::Status
                    | Command::HostStatus
                    | Command::Renewal
                    | Command::LogDump
            )
        })
        .collect();
    assert!(missing.is_empty(), "{missing:?}");

    let unterminated = Name::from_bytes(&[b'n'; 48]).unwrap();
    let added = find(Command::AddLockspace);
    let Request::AddLockspace {
        lockspace,
        flags,
        io_timeout,
    } = added[0]
    else {
        panic!()
    };
    assert_eq!(lockspace.name, unterminated);
    assert_eq!(lockspace.host_id, 11);
    assert_eq!(
        lockspace.flags,
        LockspaceFlags::ALIGN1M | LockspaceFlags::SECTOR512
    );
    assert_eq!(lockspace.disk.path.as_bytes(), b"/dev/ls");
    assert_eq!((*flags, *io_timeout), (AddFlags::ASYNC, 10));

    let acquired = find(Command::Acquire);
    assert_eq!(
        *acquired[1],
        Request::Acquire {
            target: Target::Pid(1234),
            flags: AcquireFlags::NONE,
            resources: vec![sample("one", 1)],
            options: Options::default(),
        }
    );
    let Request::Acquire {
        target,
        flags,
        resources,
        options,
    } = acquired[0]
    else {
        panic!()
    };
    assert_eq!(
        (*target, *flags, resources.len()),
        (Target::ThisConnection, AcquireFlags::LVB, 2)
    );
    assert_eq!(options.owner_name.to_string(), "owner");
    assert_eq!(resources[1].disks, sample("", 2).disks);

    let killpaths = find(Command::Killpath);
    let Request::Killpath {
        path, args, flags, ..
    } = killpaths[0]
    else {
        panic!()
    };
    assert_eq!(
        (path.as_bytes(), args.as_bytes()),
        (&b"/bin/kill"[..], &b"-9 it"[..])
    );
    assert_eq!(*flags, KillpathFlags::PID);

    let whats: Vec<_> = find(Command::Release)
        .into_iter()
        .map(|request| match request {
            Request::Release { what, .. } => what.clone(),
            _ => panic!(),
        })
        .collect();
    assert!(
        matches!(&whats[0], Release::Rename { new_name, .. } if new_name.name.to_string() == "owned")
    );
    assert_eq!(whats[1], Release::All);
    assert_eq!(whats[2], Release::Orphan(sample("one", 1).head()));
    assert!(matches!(&whats[3], Release::Resources(list) if list.len() == 2));

    let events = find(Command::SetEvent);
    let Request::SetEvent {
        lockspace,
        event,
        flags,
    } = events[0]
    else {
        panic!()
    };
    assert_eq!(lockspace.name.to_string(), "space");
    assert_eq!(
        *event,
        HostEvent {
            host_id: 2,
            generation: 3,
            event: 4,
            data: 5
        }
    );
    assert_eq!(*flags, SetEventFlags::ALL_HOSTS);

    let lvbs = find(Command::SetLvb);
    let Request::SetLvb { lvb, .. } = lvbs[0] else {
        panic!()
    };
    assert_eq!(*lvb, (0..512).map(|at| at as u8).collect::<Vec<_>>());

    let configs = find(Command::SetConfig);
    assert!(matches!(
        configs[0],
        Request::SetConfig {
            command: ConfigCommand::USED,
            ..
        }
    ));
    let asked = find(Command::Request);
    let Request::Request {
        flags,
        force_mode,
        resource,
    } = asked[0]
    else {
        panic!()
    };
    assert_eq!(
        (*flags, *force_mode),
        (RequestFlags::NEXT_LVER, ForceMode::GRACEFUL)
    );
    assert_eq!(resource.disks.len(), 2);
}

pub(crate) fn python() -> Outcome {
    let dir = TempDir::new("python");
    let python = "/usr/bin/python3";
    let has_module = Process::new(python).args(["-c", "import sanlock"]).output();
    if !has_module.is_ok_and(|output| output.status.success()) {
        return skipped("no python3-sanlock for /usr/bin/python3");
    }
    let seen = fake_daemon(dir.path(), canned);
    let script = "\
import sanlock
sanlock.add_lockspace(b'space', 1, '/dev/ls', 0, iotimeout=3)
print(sanlock.get_hosts(b'space', 1)[0]['host_id'])
print(sanlock.read_resource('/dev/res', 1048576)['version'])
fd = sanlock.register()
sanlock.acquire(b'space', b'res', [('/dev/res', 1048576)], slkfd=fd)
print(len(sanlock.inquire(slkfd=fd)))
sanlock.release(b'space', b'res', [('/dev/res', 1048576)], slkfd=fd)
try:
    sanlock.rem_lockspace(b'space', 1, '/dev/ls', 0, unused=True)
except sanlock.SanlockException as e:
    print(e.errno)
";
    let output = Process::new(python)
        .args(["-c", script])
        .env(RUN_DIR_VARIABLE, dir.path())
        .output()
        .unwrap();
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(printed, "1\n41\n2\n16\n");
    let mut count = 0;
    for connection in all_seen(&seen) {
        let again: Vec<u8> = connection
            .requests
            .iter()
            .flat_map(|(_, r)| r.encode())
            .collect();
        assert_eq!(again, connection.bytes);
        count += connection.requests.len();
    }
    assert!(count >= 7, "{count}");
    Outcome::Passed
}
