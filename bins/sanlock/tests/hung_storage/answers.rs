//! Storage that fails at once: the numbers that clients get, and that nothing half done counts.

use nix::errno::Errno;

use sanlock_proto::flags::{AddFlags, WriteFlags};

use super::common::daemon::Setup;
use super::common::harness::{Case, Outcome};
use super::common::leases::{
    MIB, acquire, code, code_of, disk, held, lockspace, release, resource,
};
use super::common::scratch::Scratch;
use super::common::status::list_of;
use super::common::unlike_the_original;
use super::common::wait::{PATIENCE, until};
use super::faulty::{Fault, Faulty, Kind, missing};

pub const CASES: &[Case] = &[
    (
        "failing_reads_and_writes_have_their_numbers",
        failing_reads_and_writes,
    ),
    ("a_torn_init_makes_nothing_that_can_be_used", a_torn_init),
];

const IO_TIMEOUT: u32 = 1;

const EIO: i64 = -5;
/// A read or write of fewer bytes than asked for.
const SHORT: i64 = -90;
/// Too few of a lease's disks could be written.
const NOT_WRITTEN: i64 = -211;
const NO_DEVICE: i64 = -19;
/// No lease there.
const NO_MAGIC: i64 = -223;

fn failing_reads_and_writes() -> Outcome {
    if let Some(skipped) = missing() {
        return skipped;
    }
    let scratch = Scratch::new();
    let daemon = Setup::new(scratch.path(), "one").with(&["-o", "2"]).start();
    let faulty = Faulty::mount(&scratch, "mnt");
    let (ids, leases) = (faulty.file("ids", 1), faulty.file("leases", 1));
    let (space, lease) = (lockspace("ls", 1, &ids), resource("ls", "r", &leases, 0));
    daemon.format(&space, IO_TIMEOUT, &[&lease]);
    let client = &daemon.client;
    let join = || code(client.add_lockspace(&space, AddFlags::NONE, IO_TIMEOUT));

    for (fault, expected) in [(Fault::Error(Errno::EIO), EIO), (Fault::Short, SHORT)] {
        faulty.only(fault, Kind::Read, "*");
        assert_eq!(code_of(client.read_lockspace(&space)), expected, "{fault}");
        assert_eq!(code_of(client.read_resource(&lease)), expected, "{fault}");
        assert_eq!(
            code_of(client.read_resource_owners(&lease)),
            expected,
            "{fault}"
        );
        assert_eq!(join(), expected, "{fault}");
        faulty.recover();
    }
    faulty.only(Fault::Error(Errno::EIO), Kind::Open, "*");
    assert_eq!(code(client.align(&disk(&ids, 0))), NO_DEVICE);
    assert_eq!(code_of(client.read_lockspace(&space)), NO_DEVICE);
    assert_eq!(code_of(client.read_resource(&lease)), EIO);
    assert_eq!(join(), NO_DEVICE);
    faulty.recover();
    faulty.only(Fault::Error(Errno::EIO), Kind::Write, "*");
    assert_eq!(join(), EIO);
    assert_eq!(list_of(client, "ls"), None);
    faulty.recover();

    assert_eq!(join(), 0);
    let mut connection = daemon.register();
    for (fault, kind, expected) in [
        (Fault::Error(Errno::EIO), Kind::Open, EIO),
        (Fault::Error(Errno::EIO), Kind::Read, EIO),
        (Fault::Short, Kind::Read, SHORT),
        (Fault::Error(Errno::EIO), Kind::Write, NOT_WRITTEN),
        (Fault::Tear, Kind::Write, NOT_WRITTEN),
        (Fault::Short, Kind::Write, NOT_WRITTEN),
    ] {
        faulty.only(fault, kind, "leases");
        assert_eq!(
            acquire(&mut connection, &lease),
            expected,
            "{fault} {kind:?}"
        );
        assert_eq!(held(&mut connection), [""; 0], "{fault} {kind:?}");
        faulty.recover();
        until("it can be taken", PATIENCE, || {
            acquire(&mut connection, &lease) == 0
        });
        assert_eq!(
            release(&mut connection, &lease),
            0,
            "after {fault} {kind:?}"
        );
    }
    assert_eq!(list_of(client, "ls").as_deref(), Some("spaces"));
    Outcome::Passed
}

fn a_torn_init() -> Outcome {
    if let Some(skipped) = missing() {
        return skipped;
    }
    if let Some(skipped) = unlike_the_original("it can join half of a lockspace") {
        return skipped;
    }
    let scratch = Scratch::new();
    let daemon = Setup::new(scratch.path(), "one").with(&["-o", "2"]).start();
    let faulty = Faulty::mount(&scratch, "mnt");
    let (ids, leases) = (faulty.file("ids", 1), faulty.file("leases", 2));
    let (space, lease) = (lockspace("ls", 1, &ids), resource("ls", "r", &leases, 1));
    let client = &daemon.client;
    let write_space = || code(client.write_lockspace(&space, 0, WriteFlags::NONE, IO_TIMEOUT));
    let write_lease = || code(client.write_resource(&lease, 0, 0, WriteFlags::NONE));
    let join = || code(client.add_lockspace(&space, AddFlags::NONE, IO_TIMEOUT));

    for (fault, expected) in [(Fault::Tear, EIO), (Fault::Short, SHORT)] {
        faulty.only(fault, Kind::Write, "*");
        assert_eq!(write_space(), expected, "{fault}");
        assert_eq!(write_lease(), expected, "{fault}");
        faulty.recover();
        assert_eq!(join(), NO_MAGIC, "{fault}");
        assert_eq!(code_of(client.read_lockspace(&space)), NO_MAGIC, "{fault}");
        assert_eq!(code_of(client.read_resource(&lease)), NO_MAGIC, "{fault}");
        assert_eq!(list_of(client, "ls"), None);
    }
    assert_eq!((write_space(), write_lease()), (0, 0));
    assert_eq!(join(), 0);
    let mut connection = daemon.register();
    assert_eq!(acquire(&mut connection, &lease), 0);

    // A lease in use that is made anew, but not to its end: whoever reads it next is told.
    let other = resource("ls", "other", &leases, 0);
    assert_eq!(
        code(client.write_resource(&other, 0, 0, WriteFlags::NONE)),
        0
    );
    faulty.only(Fault::Tear, Kind::Write, "leases");
    assert_eq!(
        code(client.write_resource(&other, 0, 0, WriteFlags::NONE)),
        EIO
    );
    faulty.recover();
    assert_eq!(acquire(&mut connection, &other), NO_MAGIC);
    assert_eq!(lease.disks[0].offset, MIB);
    Outcome::Passed
}
