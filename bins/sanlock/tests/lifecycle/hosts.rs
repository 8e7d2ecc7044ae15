//! Two daemons as two hosts on one file of leases.

use sanlock_proto::flags::{
    AcquireFlags, ConvertFlags, ForceMode, HostState, KillpathFlags, ReleaseFlags, RequestFlags,
    ResourceFlags, SetEventFlags,
};
use sanlock_proto::{HostEvent, Resource};

use super::common::daemon::{Daemon, Setup};
use super::common::harness::{Case, Outcome};
use super::common::holder::Holder;
use super::common::leases::{acquire, code, lockspace, name, release, resource, with};
use super::common::measured;
use super::common::process::End;
use super::common::scratch::Scratch;
use super::common::wait::{PATIENCE, until, until_some};

pub const CASES: &[Case] = &[
    ("leases_are_shared_converted_and_told", shared_and_converted),
    ("a_value_travels_with_its_lease", a_value_travels),
    ("a_host_can_ask_another_for_its_lease", requests),
    ("events_reach_the_other_host", events),
];

/// Held by another host.
const OWNED: i64 = -243;

struct Pair {
    daemons: [Daemon; 2],
    leases: Vec<Resource>,
    _scratch: Scratch,
}

fn pair() -> Pair {
    let scratch = Scratch::in_memory();
    let daemons = ["one", "two"].map(|host| Setup::new(scratch.path(), host).start());
    let path = scratch.file("leases", 4);
    let leases: Vec<_> = (1u64..4)
        .map(|at| resource("ls", &format!("r{at}"), &path, at))
        .collect();
    daemons[0].format(
        &lockspace("ls", 1, &path),
        1,
        &leases.iter().collect::<Vec<_>>(),
    );
    for (daemon, host_id) in daemons.iter().zip(1..) {
        daemon.join_later(&lockspace("ls", host_id, &path), 1);
    }
    for (daemon, host_id) in daemons.iter().zip(1..) {
        daemon.joined(&lockspace("ls", host_id, &path));
    }
    Pair {
        daemons,
        leases,
        _scratch: scratch,
    }
}

fn shared_and_converted() -> Outcome {
    let Pair {
        daemons,
        leases,
        _scratch,
    } = pair();
    let [mut one, mut two] = daemons.each_ref().map(Daemon::register);
    let lease = &leases[0];
    let shared = with(lease, ResourceFlags::SHARED);
    assert_eq!(acquire(&mut one, lease), 0);
    assert_eq!(acquire(&mut two, lease), OWNED);
    let owners = |of: &Resource| daemons[1].client.read_resource_owners(of).unwrap();
    let (head, hosts) = owners(lease);
    assert_eq!((head.lver, hosts.len(), hosts[0].host_id), (1, 1, 1));
    let state = one.inquire().unwrap();
    let text = String::from_utf8(state.state.unwrap()).unwrap();
    assert_eq!(state.count, 1);
    assert!(
        text.starts_with("ls:r1:/") && text.ends_with(":1048576:1"),
        "{text}"
    );

    let convert = |connection: &mut sanlock_proto::client::Registered, to: &Resource| {
        code(connection.convert(ConvertFlags::NONE, &to.head()))
    };
    assert_eq!(convert(&mut one, lease), -114, "it is exclusive");
    assert_eq!(convert(&mut two, &shared), -2, "it is not held");
    assert_eq!(convert(&mut one, &shared), 0);
    assert_eq!(acquire(&mut two, &shared), 0, "now others may share it");
    let (head, mut hosts) = owners(lease);
    hosts.sort_by_key(|host| host.host_id);
    assert!(head.flags.contains(ResourceFlags::SHARED));
    let ids: Vec<_> = hosts.iter().map(|host| host.host_id).collect();
    assert_eq!(ids, [1, 2]);
    let refused = convert(&mut one, lease);
    assert!(refused < 0, "the other host shares it");
    assert_eq!(release(&mut two, lease), 0);
    until("it is exclusive again", PATIENCE, || {
        convert(&mut one, lease) == 0
    });
    assert!(acquire(&mut two, &shared) < 0);
    assert_eq!(release(&mut one, lease), 0);
    assert_eq!(acquire(&mut two, lease), 0);
    measured(&format!(
        "converting while another host shares is refused with {refused}"
    ));
    Outcome::Passed
}

fn a_value_travels() -> Outcome {
    let Pair {
        daemons,
        leases,
        _scratch,
    } = pair();
    let [mut one, mut two] = daemons.each_ref().map(Daemon::register);
    let lease = &leases[0];
    let take = |connection: &mut sanlock_proto::client::Registered| {
        code(connection.acquire(AcquireFlags::LVB, std::slice::from_ref(lease), None))
    };
    let clients = daemons.each_ref().map(|daemon| &daemon.client);
    assert_eq!(take(&mut one), 0);
    assert_eq!(clients[0].get_lvb(&lease.head()).unwrap(), [0; 512]);
    let value: Vec<u8> = (0..512u32).map(|at| at as u8).collect();
    assert_eq!(code(clients[0].set_lvb(&lease.head(), &value)), 0);
    assert_eq!(clients[0].get_lvb(&lease.head()).unwrap(), value);
    assert_eq!(code(clients[0].set_lvb(&lease.head(), &[0; 513])), -7);
    assert_eq!(release(&mut one, lease), 0);
    assert_eq!(
        code(clients[0].set_lvb(&lease.head(), &value)),
        -2,
        "not held"
    );
    assert_eq!(take(&mut two), 0);
    assert_eq!(clients[1].get_lvb(&lease.head()).unwrap(), value);
    assert_eq!(code(clients[1].set_lvb(&lease.head(), b"short")), 0);
    drop(two);
    until("the value of a process that ended", PATIENCE, || {
        take(&mut one) == 0
    });
    let found = clients[0].get_lvb(&lease.head()).unwrap();
    assert_eq!((&found[..5], &found[5..]), (&b"short"[..], &value[5..]));
    assert_eq!(release(&mut one, lease), 0);
    assert_eq!(acquire(&mut one, lease), 0);
    let without = code(clients[0].get_lvb(&lease.head()).map(|_| 0));
    assert_eq!(without, -22, "it was taken without a value");
    Outcome::Passed
}

fn requests() -> Outcome {
    let Pair {
        daemons,
        leases,
        _scratch,
    } = pair();
    let mut two = daemons[1].register();
    let asks = |lease: &Resource, flags, force_mode| {
        code(daemons[1].client.request(flags, force_mode, lease))
    };
    let mut graceful = Holder::start(&daemons[0]);
    let mut forced = Holder::start_deaf(&daemons[0]);
    let mut asked_by_name = Holder::start(&daemons[0]);
    for (holder, lease) in [&mut graceful, &mut forced, &mut asked_by_name]
        .into_iter()
        .zip(&leases)
    {
        assert_eq!(holder.acquire(AcquireFlags::NONE, &[lease]), 0);
        assert_eq!(acquire(&mut two, lease), OWNED);
    }
    let told = _scratch.path().join("told");
    let script = _scratch.path().join("stop");
    std::fs::write(
        &script,
        format!("#!/bin/sh\necho \"$@\" >>'{}'\n", told.display()),
    )
    .unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&script, mode).unwrap();
    // The kill path was set after the lease was taken: the original looks at that of then.
    assert_eq!(
        asked_by_name.killpath(KillpathFlags::NONE, &script, "please"),
        0
    );
    assert_eq!(asked_by_name.release(ReleaseFlags::NONE, &[&leases[2]]), 0);
    assert_eq!(asked_by_name.acquire(AcquireFlags::NONE, &[&leases[2]]), 0);

    let old = Resource {
        lver: 1,
        ..with(&leases[0], ResourceFlags::LVER)
    };
    assert_eq!(
        asks(&old, RequestFlags::NONE, ForceMode::GRACEFUL),
        -272,
        "it has that version"
    );
    assert_eq!(
        asks(&leases[0], RequestFlags::NEXT_LVER, ForceMode::GRACEFUL),
        0
    );
    assert_eq!(
        asks(&leases[1], RequestFlags::NEXT_LVER, ForceMode::FORCE),
        0
    );
    assert_eq!(
        asks(&leases[2], RequestFlags::NEXT_LVER, ForceMode::GRACEFUL),
        0
    );
    for (holder, expected) in [(&mut graceful, 15), (&mut forced, 9)] {
        let end = until_some("the holder ends", PATIENCE, || holder.end());
        assert_eq!(end, End::Signal(expected));
    }
    for lease in &leases[..2] {
        until("the other host gets it", PATIENCE, || {
            acquire(&mut two, lease) == 0
        });
    }
    let words = until_some("the kill path runs", PATIENCE, || {
        std::fs::read_to_string(&told)
            .ok()
            .filter(|text| !text.is_empty())
    });
    assert!(words.starts_with("please\n"), "{words}");
    assert!(asked_by_name.lives(), "what it does is its own business");
    Outcome::Passed
}

fn events() -> Outcome {
    let Pair {
        daemons, _scratch, ..
    } = pair();
    let [one, two] = daemons.each_ref().map(|daemon| &daemon.client);
    let mut stream = one.reg_event(name("ls")).unwrap();
    let own = two.reg_event(name("ls")).unwrap();
    let live = |of: &sanlock_proto::Client, host_id| {
        until("the other host is seen alive", PATIENCE, || {
            let hosts = of.get_hosts(name("ls"), host_id);
            hosts.is_ok_and(|hosts| hosts.items[0].state() == Some(HostState::Live))
        });
    };
    live(two, 1);
    live(one, 2);
    let event = HostEvent {
        host_id: 1,
        generation: 0,
        event: 7,
        data: 11,
    };
    assert_eq!(
        code(two.set_event(name("ls"), event, SetEventFlags::CUR_GENERATION)),
        0
    );
    let came = until_some("the event comes", PATIENCE, || stream.next_event().unwrap());
    assert_eq!((came.from_host_id, came.from_generation), (2, 1));
    assert_eq!(
        (came.event.event, came.event.data, came.event.host_id),
        (7, 11, 1)
    );
    let mut own = own;
    assert!(
        own.next_event().unwrap().is_none(),
        "nobody hears of their own"
    );
    one.end_event(stream).unwrap();
    assert_eq!(
        code(two.set_event(
            name("ls"),
            HostEvent {
                host_id: 0,
                ..event
            },
            SetEventFlags::NONE
        )),
        -22
    );
    assert_eq!(
        code(two.set_event(name("no"), event, SetEventFlags::NONE)),
        -2
    );
    Outcome::Passed
}
