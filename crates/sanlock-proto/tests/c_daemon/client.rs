//! Our client with the C daemon.

use sanlock_proto::flags::*;
use sanlock_proto::request::Release;
use sanlock_proto::state::Attached;
use sanlock_proto::*;

use crate::daemon::Daemon;
use crate::harness::{Outcome, skipped};

fn code<T: std::fmt::Debug>(result: Result<T, ClientError>) -> i32 {
    result.unwrap_err().code()
}

pub(crate) fn client() -> Outcome {
    let mut daemon = match Daemon::start("client") {
        Ok(daemon) => daemon,
        Err(why) => return skipped(why),
    };
    let client = daemon.client();
    let lockspace = daemon.lockspace();
    let name = lockspace.name;
    let nowhere = Disk {
        path: DiskPath::from_bytes(b"/nowhere").unwrap(),
        offset: 0,
    };

    // Before there is anything.
    assert_eq!(client.version().unwrap().1, 1);
    assert_eq!(client.align(&lockspace.disk).unwrap(), 1 << 20);
    assert_eq!(code(client.align(&nowhere)), -19);
    assert_eq!(code(client.inq_lockspace(&lockspace, InqFlags::NONE)), -2);
    assert_eq!(code(client.rem_lockspace(&lockspace, RemFlags::NONE)), -2);
    assert_eq!(code(client.read_lockspace(&lockspace)), -223);
    assert_eq!(code(client.read_resource(&daemon.resource(0))), -223);
    assert_eq!(code(client.get_hosts(name, 0)), -2);
    assert_eq!(code(client.host_status(name)), -28);
    assert_eq!(code(client.renewal(name)), -28);
    assert_eq!(code(client.set_config(name, ConfigCommand::USED)), -2);
    assert_eq!(code(client.reg_event(name)), -2);
    assert!(client.get_lockspaces().unwrap().items.is_empty());
    assert_eq!(client.status(Some(StateKind::Daemon)).unwrap().len(), 1);
    let too_long = DiskPath::from_raw(&[b'x'; DiskPath::LEN]);
    let unended = Resource {
        disks: vec![Disk {
            path: too_long,
            offset: 0,
        }],
        ..daemon.resource(0)
    };
    assert_eq!(code(client.read_resource(&unended)), -36);

    daemon.prepare();
    assert_eq!(
        code(client.add_lockspace(&lockspace, AddFlags::NONE, 1)),
        -17
    );
    let other = Lockspace {
        host_id: 2,
        ..lockspace.clone()
    };
    assert_eq!(code(client.add_lockspace(&other, AddFlags::NONE, 1)), -22);
    assert_eq!(client.inq_lockspace(&lockspace, InqFlags::WAIT).unwrap(), 0);
    assert_eq!(
        client.get_lockspaces().unwrap().items,
        std::slice::from_ref(&lockspace)
    );
    let (read, io_timeout) = client
        .read_lockspace(&Lockspace {
            name: Name::EMPTY,
            ..lockspace.clone()
        })
        .unwrap();
    assert_eq!((read.name, io_timeout), (name, 1));
    assert_eq!(read.flags.sizes().sector, Some(512));

    // Leases of this process.
    let mut registered = client.register().unwrap();
    let (first, second) = (daemon.resource(0), daemon.resource(1));
    assert_eq!(registered.restrict(RestrictFlags::SIGTERM).unwrap(), 0);
    assert_eq!(
        registered
            .killpath(KillpathFlags::PID, b"/bin/true", b"x")
            .unwrap(),
        0
    );
    assert_eq!(registered.inquire().unwrap(), client::Inquiry::default());
    let both = [first.clone(), second.clone()];
    let owner = Some("owner".parse().unwrap());
    assert_eq!(
        registered.acquire(AcquireFlags::LVB, &both, owner).unwrap(),
        0
    );
    assert_eq!(
        code(registered.acquire(AcquireFlags::NONE, &both, owner)),
        -17
    );
    let held = registered.inquire().unwrap();
    assert_eq!(held.count, 2);
    let listed = text::state_to_resources(&held.state.unwrap()).unwrap();
    assert_eq!(
        listed.iter().map(|r| r.name).collect::<Vec<_>>(),
        [first.name, second.name]
    );
    let pid = std::process::id() as i32;
    assert_eq!(client.inquire(pid).unwrap().count, 2);
    assert_eq!(code(client.inquire(999_999_999)), -3);

    assert_eq!(client.set_lvb(&first.head(), b"value").unwrap(), 0);
    let lvb = client.get_lvb(&first.head()).unwrap();
    assert_eq!((&lvb[..6], lvb.len()), (&b"value\0"[..], 512));
    assert_eq!(code(client.set_lvb(&first.head(), &[1; 513])), -7);
    assert_eq!(code(client.get_lvb(&daemon.resource(3).head())), -2);

    let (head, hosts) = client.read_resource_owners(&first).unwrap();
    assert_eq!((head.name, hosts.len()), (first.name, 1));
    assert_eq!((hosts[0].host_id, hosts[0].generation), (1, 1));
    let (head, version) = (client.read_resource(&first).unwrap(), listed[0].lver);
    assert_eq!((head.lver, version), (1, 1));
    assert_eq!(
        code(client.read_resource(&Resource {
            name: "other".parse().unwrap(),
            ..first.clone()
        })),
        -227
    );
    let old = Resource {
        lver: 1,
        ..first.clone()
    };
    assert_eq!(
        code(client.request(RequestFlags::NONE, ForceMode::GRACEFUL, &old)),
        -272
    );
    let shared = ResourceHead {
        flags: ResourceFlags::SHARED,
        ..second.head()
    };
    assert_eq!(registered.convert(ConvertFlags::NONE, &shared).unwrap(), 0);
    assert_eq!(code(registered.convert(ConvertFlags::NONE, &shared)), -114);
    assert_eq!(
        code(client.convert(pid, ConvertFlags::NONE, &daemon.resource(3).head())),
        -2
    );
    assert_eq!(client.examine_lockspace(&lockspace).unwrap(), 0);
    assert_eq!(client.examine_resource(&first.head()).unwrap(), 0);

    // What the daemon says about all this.
    let records = client.status(None).unwrap();
    let of = |kind| records.iter().filter(move |record| record.kind() == kind);
    assert_eq!(of(StateKind::Daemon).count(), 1);
    assert!(of(StateKind::Daemon).next().unwrap().value("use_watchdog") == Some("0"));
    let us = of(StateKind::Client)
        .find(|record| record.data32 as i32 == pid)
        .unwrap();
    assert_eq!(us.name.to_string(), "owner");
    let Attached::Lockspace(shown) = &of(StateKind::Lockspace).next().unwrap().attached else {
        panic!()
    };
    assert_eq!(*shown, lockspace);
    assert_eq!(of(StateKind::Resource).count(), 2);
    daemon.wait_until_hosts_are_known();
    let hosts = client.get_hosts(name, 0).unwrap();
    assert_eq!(
        (hosts.total, hosts.items[0].state()),
        (1, Some(HostState::Live))
    );
    assert_eq!(client.host_status(name).unwrap()[0].data32, 1);
    assert_eq!(client.renewal(name).unwrap()[0].kind(), StateKind::Renewal);
    let log = client.log_dump().unwrap();
    assert_eq!(log.text.len(), log.announced);
    assert!(String::from_utf8_lossy(&log.text).contains("cmd_acquire"));

    // Events, and settings.
    let mut events = client.reg_event(name).unwrap();
    assert_eq!(events.next_event().unwrap(), None);
    let event = HostEvent {
        host_id: 2,
        event: 1,
        ..HostEvent::default()
    };
    assert_eq!(
        client
            .set_event(name, event, SetEventFlags::REPLACE_EVENT)
            .unwrap(),
        0
    );
    assert_eq!(
        code(client.set_event(name, HostEvent::default(), SetEventFlags::NONE)),
        -22
    );
    client.end_event(events).unwrap();
    assert_eq!(
        code(client.set_config(name, ConfigCommand::from_bits(99))),
        -22
    );
    assert_eq!(client.set_config(name, ConfigCommand::UNUSED).unwrap(), 0);

    // And out again.
    assert_eq!(
        code(client.rem_lockspace(&lockspace, RemFlags::UNUSED)),
        -16
    );
    let unknown = Release::Resources(vec![daemon.resource(3).head()]);
    assert_eq!(code(registered.release(ReleaseFlags::NONE, unknown)), -1);
    let known = Release::Resources(vec![first.head()]);
    assert_eq!(client.release(pid, ReleaseFlags::NONE, known).unwrap(), 0);
    assert_eq!(
        registered
            .release(ReleaseFlags::NONE, Release::All)
            .unwrap(),
        0
    );
    assert_eq!(registered.inquire().unwrap().count, 0);
    assert_eq!(
        client
            .acquire(pid, AcquireFlags::NONE, std::slice::from_ref(&first), None)
            .unwrap(),
        0
    );
    let renamed = ResourceHead {
        name: "renamed".parse().unwrap(),
        ..first.head()
    };
    let rename = Release::Rename {
        resource: first.head(),
        new_name: renamed,
    };
    assert_eq!(registered.release(ReleaseFlags::NONE, rename).unwrap(), 0);
    assert_eq!(code(client.read_resource(&first)), -227);
    drop(registered);
    assert_eq!(code(client.shutdown_wait(false)), -16);
    assert_eq!(client.rem_lockspace(&lockspace, RemFlags::NONE).unwrap(), 0);
    assert_eq!(client.shutdown_wait(false).unwrap(), 0);
    daemon.child.wait().unwrap();
    assert!(matches!(code(client.version()), -2 | -111));
    Outcome::Passed
}

pub(crate) fn rindexes() -> Outcome {
    let daemon = match Daemon::start("rindex") {
        Ok(daemon) => daemon,
        Err(why) => return skipped(why),
    };
    daemon.prepare();
    let client = daemon.client();
    let rindex = Rindex {
        lockspace: "space".parse().unwrap(),
        disk: daemon.disk("index", 16),
        ..Rindex::default()
    };
    let none = RindexOpFlags::NONE;
    let named = |name: &str| RindexEntry {
        name: name.parse().unwrap(),
        ..RindexEntry::default()
    };
    assert_eq!(client.format_rindex(&rindex, none).unwrap(), 0);
    let created = client
        .create_resource(&rindex, none, named("new"), 0, 0)
        .unwrap();
    // The daemon gives the place only.
    assert_eq!((created.name, created.offset), (Name::EMPTY, 2 << 20));
    let found = client.lookup_rindex(&rindex, none, named("new")).unwrap();
    assert_eq!(found.offset, created.offset);
    assert_eq!(
        code(client.lookup_rindex(&rindex, none, named("missing"))),
        -2
    );
    let free = client
        .lookup_rindex(&rindex, none, RindexEntry::default())
        .unwrap();
    assert!(free.offset > created.offset);
    let added = RindexEntry {
        offset: free.offset,
        ..named("added")
    };
    assert_eq!(
        client
            .update_rindex(&rindex, RindexOpFlags::ADD, added)
            .unwrap()
            .offset,
        free.offset
    );
    client
        .delete_resource(
            &rindex,
            none,
            RindexEntry {
                offset: created.offset,
                ..named("new")
            },
        )
        .unwrap();
    assert_eq!(code(client.lookup_rindex(&rindex, none, named("new"))), -2);
    assert_eq!(client.rebuild_rindex(&rindex, none).unwrap(), 0);
    Outcome::Passed
}
