//! Bodies with counts, names and paths at and beyond their limits.

use sanlock_proto::flags::{AcquireFlags, AddFlags, WriteFlags};
use sanlock_proto::{Disk, DiskPath, Header, Lockspace, Name, Options, Request, Resource, Target};

use super::common::daemon::{Daemon, Setup, is_original};
use super::common::harness::{Case, Outcome};
use super::common::leases::{code, code_of, lockspace, name, resource};
use super::common::scratch::Scratch;
use super::common::unlike_the_original;
use super::raw::{Raw, changed, header};

pub const CASES: &[Case] = &[
    ("counts_of_resources_have_a_limit", counts_of_resources),
    ("counts_of_disks_have_a_limit", counts_of_disks),
    ("names_need_no_end", names_need_no_end),
    ("paths_need_an_end", paths_need_an_end),
    (
        "arguments_out_of_range_have_their_numbers",
        arguments_out_of_range,
    ),
];

const TOO_MANY: i32 = -7;
const OUT_OF_RANGE: i32 = -34;

fn start(scratch: &Scratch) -> Daemon {
    Setup::new(scratch.path(), "one").start()
}

fn acquire(resources: Vec<Resource>) -> Request {
    Request::Acquire {
        target: Target::ThisConnection,
        flags: AcquireFlags::NONE,
        resources,
        options: Options::default(),
    }
}

fn counts_of_resources() -> Outcome {
    let scratch = Scratch::new();
    let daemon = start(&scratch);
    let one = resource("ls", "r", &scratch.file("leases", 1), 0);
    let mut raw = Raw::connect(&daemon.client);
    raw.send(&Request::Register.encode());
    raw.send(&acquire(vec![one.clone(); 9]).encode());
    assert_eq!(raw.result(), TOO_MANY);
    assert!(raw.is_usable());
    raw.send(&acquire(Vec::new()).encode());
    assert_eq!(raw.result(), 0, "nothing was asked for");
    for count in [9, 1 << 20, i32::MAX as u32] {
        let mut raw = Raw::connect(&daemon.client);
        raw.send(&Request::Register.encode());
        raw.send(&changed(&acquire(vec![one.clone()]), |header| {
            header.data = count
        }));
        assert_eq!(raw.result(), TOO_MANY, "{count}");
    }
    if !is_original() {
        // It would take that many heads for its word.
        for count in [8193, 1 << 20, u32::MAX] {
            let mut raw = Raw::connect(&daemon.client);
            raw.send(&Request::Register.encode());
            raw.send(&header(8, |header| header.data = count));
            assert_eq!(raw.result(), TOO_MANY, "release of {count}");
            assert!(raw.is_usable());
        }
    }
    Outcome::Passed
}

fn counts_of_disks() -> Outcome {
    let scratch = Scratch::new();
    let daemon = start(&scratch);
    let one = resource("ls", "r", &scratch.file("leases", 1), 0);
    for count in [0, 5, i32::MAX as u32, u32::MAX] {
        for request in [
            Request::ReadResource {
                resource: one.clone(),
            },
            Request::ReadResourceOwners {
                resource: one.clone(),
            },
            Request::WriteResource {
                resource: one.clone(),
                flags: WriteFlags::NONE,
                data: 0,
                data2: 0,
            },
            acquire(vec![one.clone()]),
        ] {
            let mut message = request.encode();
            message[Header::LEN + 124..Header::LEN + 128].copy_from_slice(&count.to_le_bytes());
            let mut raw = Raw::connect(&daemon.client);
            raw.send(&Request::Register.encode()).send(&message);
            assert_eq!(
                raw.result(),
                OUT_OF_RANGE,
                "{} disks: {}",
                count,
                request.command()
            );
            if !is_original() {
                assert!(raw.is_usable(), "{} disks: {}", count, request.command());
            }
        }
    }
    Outcome::Passed
}

fn names_need_no_end() -> Outcome {
    let scratch = Scratch::in_memory();
    let daemon = start(&scratch);
    let (space, other) = ("s".repeat(48), "r".repeat(48));
    let path = scratch.file("leases", 2);
    let space = lockspace(&space, 1, &path);
    let lease = Resource {
        lockspace: space.name,
        name: name(&other),
        ..resource("x", "x", &path, 1)
    };
    daemon.format(&space, 1, &[&lease]);
    daemon.join(&space, 1);
    let joined = daemon.client.get_lockspaces().unwrap().items;
    assert_eq!(joined[0].name, space.name);
    assert_eq!(
        daemon.client.read_resource(&lease).unwrap().name,
        lease.name
    );
    let mut connection = daemon.register();
    assert_eq!(super::common::leases::acquire(&mut connection, &lease), 0);
    let state = connection.inquire().unwrap().state.unwrap();
    // The original runs past the end of the names.
    if !is_original() {
        assert!(state.starts_with(format!("{}:{}:", space.name, lease.name).as_bytes()));
    }
    assert_eq!(super::common::leases::release(&mut connection, &lease), 0);
    Outcome::Passed
}

fn paths_need_an_end() -> Outcome {
    let scratch = Scratch::new();
    let daemon = start(&scratch);
    let disk = Disk {
        path: DiskPath::from_raw(&[b'x'; DiskPath::LEN]),
        offset: 0,
    };
    let mut long = [b'x'; DiskPath::LEN];
    long[DiskPath::LEN - 1] = 0;
    let longest = Disk {
        path: DiskPath::from_raw(&long),
        offset: 0,
    };
    let client = &daemon.client;
    for disk in [disk, longest] {
        let space = Lockspace {
            disk: disk.clone(),
            host_id: 1,
            ..Lockspace::named(name("ls"))
        };
        let lease = Resource {
            lockspace: name("ls"),
            name: name("r"),
            disks: vec![disk.clone()],
            ..Resource::default()
        };
        assert_eq!(code_of(client.read_resource(&lease)), -36);
        assert_eq!(
            code(client.write_resource(&lease, 0, 0, WriteFlags::NONE)),
            -36
        );
        // Every failure to open is "no such device" to these.
        assert_eq!(code_of(client.read_lockspace(&space)), -19);
        assert_eq!(
            code(client.write_lockspace(&space, 0, WriteFlags::NONE, 1)),
            -19
        );
        assert_eq!(code(client.add_lockspace(&space, AddFlags::NONE, 1)), -19);
        assert_eq!(code(client.align(&disk)), -19);
    }
    Outcome::Passed
}

fn arguments_out_of_range() -> Outcome {
    if let Some(skipped) = unlike_the_original("some of these it takes for something else") {
        return skipped;
    }
    let scratch = Scratch::new();
    let daemon = start(&scratch);
    let path = scratch.file("leases", 1);
    let client = &daemon.client;
    let space = lockspace("ls", 1, &path);
    daemon.format(&space, 1, &[]);
    let add = |space: &Lockspace, io_timeout| {
        code(client.add_lockspace(space, AddFlags::NONE, io_timeout))
    };
    assert_eq!(
        add(
            &Lockspace {
                host_id: 0,
                ..space.clone()
            },
            1
        ),
        -22
    );
    assert_eq!(
        add(
            &Lockspace {
                host_id: 2001,
                ..space.clone()
            },
            1
        ),
        -231
    );
    assert_eq!(
        add(
            &Lockspace {
                host_id: u64::MAX,
                ..space.clone()
            },
            1
        ),
        -231
    );
    assert_eq!(
        add(
            &Lockspace {
                name: Name::EMPTY,
                ..space.clone()
            },
            1
        ),
        -22
    );
    assert_eq!(
        add(
            &Lockspace {
                disk: Disk::default(),
                ..space.clone()
            },
            1
        ),
        -22
    );
    assert_eq!(
        add(
            &Lockspace {
                name: name("other"),
                ..space.clone()
            },
            1
        ),
        -226
    );
    let far = Disk {
        offset: u64::MAX - 511,
        ..space.disk.clone()
    };
    let misplaced = Disk {
        offset: 1,
        ..space.disk.clone()
    };
    for disk in [far, misplaced] {
        let offset = disk.offset;
        let lease = Resource {
            lockspace: name("ls"),
            name: name("r"),
            disks: vec![disk.clone()],
            ..Resource::default()
        };
        assert!(
            add(
                &Lockspace {
                    disk,
                    ..space.clone()
                },
                1
            ) < 0,
            "offset {offset}"
        );
        assert!(code_of(client.read_resource(&lease)) < 0, "offset {offset}");
        assert!(
            code(client.write_resource(&lease, 0, 0, WriteFlags::NONE)) < 0,
            "offset {offset}"
        );
    }
    assert!(client.get_lockspaces().unwrap().items.is_empty());
    Outcome::Passed
}
