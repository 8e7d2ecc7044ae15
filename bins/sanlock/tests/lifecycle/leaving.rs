//! Joining and leaving a lockspace, and what keeps one from being left.

use std::time::Duration;

use sanlock_proto::flags::{
    AcquireFlags, AddFlags, ConfigCommand, InqFlags, LockspaceFlags, RemFlags, ResourceFlags,
};
use sanlock_proto::{Lockspace, Resource};

use super::common::daemon::{Daemon, Setup, is_original};
use super::common::harness::{Case, Outcome};
use super::common::holder::Holder;
use super::common::leases::{acquire, code, lockspace, name, release, resource, with};
use super::common::scratch::Scratch;
use super::common::status::resource_lists;
use super::common::wait::{PATIENCE, until};

pub const CASES: &[Case] = &[
    ("a_lockspace_is_joined_once", joined_once),
    ("a_lockspace_in_use_is_kept", in_use),
    ("orphans_keep_a_lockspace_only_if_told_to", orphans),
];

struct Lab {
    daemon: Daemon,
    space: Lockspace,
    lease: Resource,
    scratch: Scratch,
}

fn lab() -> Lab {
    let scratch = Scratch::in_memory();
    let daemon = Setup::new(scratch.path(), "one").start();
    let path = scratch.file("leases", 2);
    let (space, lease) = (lockspace("ls", 1, &path), resource("ls", "r", &path, 1));
    daemon.format(&space, 1, &[&lease]);
    Lab {
        daemon,
        space,
        lease,
        scratch,
    }
}

fn joined_once() -> Outcome {
    let Lab {
        daemon,
        space,
        scratch,
        ..
    } = lab();
    let client = &daemon.client;
    let add = |space: &Lockspace| code(client.add_lockspace(space, AddFlags::ASYNC, 1));
    let inquire = |space: &Lockspace, flags| code(client.inq_lockspace(space, flags));
    assert_eq!(inquire(&space, InqFlags::NONE), -2);
    assert_eq!(add(&space), 0);
    assert_eq!(add(&space), -115, "under way");
    assert_eq!(inquire(&space, InqFlags::NONE), -115);
    let listed = client.get_lockspaces().unwrap().items;
    assert!(listed[0].flags.contains(LockspaceFlags::ADD));
    assert_eq!(inquire(&space, InqFlags::WAIT), 0);
    assert_eq!(add(&space), -17);
    assert_eq!(
        add(&Lockspace {
            host_id: 2,
            ..space.clone()
        }),
        -22
    );
    let elsewhere = scratch.file("elsewhere", 1);
    let other = Lockspace {
        disk: super::common::leases::disk(&elsewhere, 0),
        ..space.clone()
    };
    assert_eq!(add(&other), -22);
    assert_eq!(code(client.rem_lockspace(&space, RemFlags::NONE)), 0);
    assert_eq!(code(client.rem_lockspace(&space, RemFlags::NONE)), -2);
    // One that is removed while it is being joined is not joined.
    assert_eq!(add(&space), 0);
    assert_eq!(code(client.rem_lockspace(&space, RemFlags::NONE)), 0);
    assert_eq!(inquire(&space, InqFlags::WAIT), -2);
    assert_eq!(code(client.add_lockspace(&space, AddFlags::NONE, 1)), 0);
    Outcome::Passed
}

fn in_use() -> Outcome {
    let Lab {
        daemon,
        space,
        lease,
        scratch: _scratch,
    } = lab();
    daemon.join(&space, 1);
    let client = &daemon.client;
    let mut connection = daemon.register();
    assert_eq!(acquire(&mut connection, &lease), 0);
    assert_eq!(code(client.rem_lockspace(&space, RemFlags::UNUSED)), -16);
    assert_eq!(release(&mut connection, &lease), 0);
    assert_eq!(code(client.set_config(name("ls"), ConfigCommand::USED)), 0);
    let removing = std::thread::spawn({
        let (client, space) = (client.clone(), space.clone());
        move || code(client.rem_lockspace(&space, RemFlags::NONE))
    });
    std::thread::sleep(Duration::from_millis(1500));
    assert!(!removing.is_finished(), "somebody says that it is used");
    assert_eq!(client.get_lockspaces().unwrap().items.len(), 1);
    assert_eq!(
        code(client.set_config(name("ls"), ConfigCommand::UNUSED)),
        0
    );
    assert_eq!(removing.join().unwrap(), 0);
    assert_eq!(code(client.set_config(name("ls"), ConfigCommand::USED)), -2);
    Outcome::Passed
}

fn orphans() -> Outcome {
    let Lab {
        daemon,
        space,
        lease,
        scratch: _scratch,
    } = lab();
    daemon.join(&space, 1);
    let client = &daemon.client;
    let orphan = || {
        let mut holder = Holder::start(&daemon);
        let kept = with(&lease, ResourceFlags::PERSISTENT);
        assert_eq!(holder.acquire(AcquireFlags::NONE, &[&kept]), 0);
        holder.kill();
        until("it is an orphan", PATIENCE, || {
            resource_lists(client, "r") == ["orphan"]
        });
    };
    orphan();
    assert_eq!(code(client.rem_lockspace(&space, RemFlags::UNUSED)), -16);
    assert_eq!(
        code(client.set_config(name("ls"), ConfigCommand::USED_BY_ORPHANS)),
        0
    );
    let removing = std::thread::spawn({
        let (client, space) = (client.clone(), space.clone());
        move || code(client.rem_lockspace(&space, RemFlags::NONE))
    });
    std::thread::sleep(Duration::from_millis(2000));
    assert_eq!(
        code(client.inq_lockspace(&space, InqFlags::NONE)),
        0,
        "it has an orphan"
    );
    assert_eq!(
        code(client.set_config(name("ls"), ConfigCommand::UNUSED_BY_ORPHANS)),
        0
    );
    // Before 3.9 the removal waits until now; since then it is refused.
    match removing.join().unwrap() {
        0 => assert!(is_original()),
        refused => {
            assert_eq!(refused, -16);
            assert_eq!(code(client.rem_lockspace(&space, RemFlags::NONE)), 0);
        }
    }

    daemon.join(&space, 1);
    orphan();
    assert_eq!(
        code(client.rem_lockspace(&space, RemFlags::NONE)),
        0,
        "nobody said that it counts"
    );
    daemon.join(&space, 1);
    let mut connection = daemon.register();
    assert_eq!(acquire(&mut connection, &lease), 0);
    Outcome::Passed
}
