//! A lockspace that is lost or removed: who is told what, as it asked for.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::Path;

use sanlock_proto::flags::{
    AcquireFlags, AddFlags, KillpathFlags, RemFlags, ResourceFlags, RestrictFlags,
};
use sanlock_proto::{Lockspace, Resource};

use super::common::daemon::{Daemon, Setup};
use super::common::harness::{Case, Outcome};
use super::common::holder::Holder;
use super::common::leases::{acquire, code, lockspace, resource, with};
use super::common::process::End;
use super::common::scratch::Scratch;
use super::common::status::list_of;
use super::common::wait::{PATIENCE, until, until_some};

pub const CASES: &[Case] = &[
    (
        "an_overwritten_host_id_stops_its_processes",
        an_overwritten_host_id,
    ),
    ("a_removal_kills_and_heeds_restrictions", a_removal),
    ("kill_paths_get_their_arguments", kill_paths),
];

struct Lab {
    daemon: Daemon,
    space: Lockspace,
    leases: Vec<Resource>,
    scratch: Scratch,
}

fn lab(grace: &str) -> Lab {
    let scratch = Scratch::in_memory();
    let daemon = Setup::new(scratch.path(), "one")
        .with(&["-g", grace])
        .start();
    let path = scratch.file("leases", 6);
    let space = lockspace("ls", 1, &path);
    let leases: Vec<_> = (1u64..6)
        .map(|at| resource("ls", &format!("r{at}"), &path, at))
        .collect();
    daemon.format(&space, 1, &leases.iter().collect::<Vec<_>>());
    daemon.join(&space, 1);
    Lab {
        daemon,
        space,
        leases,
        scratch,
    }
}

/// What another host would do that was told to use our host id: the lease no longer says that it is ours.
fn overwrite_host_id(scratch: &Scratch) {
    let file = File::options()
        .write(true)
        .open(scratch.path().join("leases"))
        .unwrap();
    file.write_all_at(&[0; 512], 0).unwrap();
}

fn holding(daemon: &Daemon, deaf: bool, lease: &Resource, restrict: RestrictFlags) -> Holder {
    let mut holder = if deaf {
        Holder::start_deaf(daemon)
    } else {
        Holder::start(daemon)
    };
    if !restrict.is_empty() {
        assert_eq!(holder.restrict(restrict), 0);
    }
    assert_eq!(holder.acquire(AcquireFlags::NONE, &[lease]), 0);
    holder
}

fn end_of(holder: &mut Holder) -> End {
    until_some("it ends", PATIENCE, || holder.end())
}

fn an_overwritten_host_id() -> Outcome {
    // Long enough to tell what happens before its end from what happens at its end.
    let Lab {
        daemon,
        space,
        leases,
        scratch,
    } = lab("15");
    let client = &daemon.client;
    let mut polite = holding(&daemon, false, &leases[0], RestrictFlags::NONE);
    let mut deaf = holding(&daemon, true, &leases[1], RestrictFlags::NONE);
    let mut kill_only = holding(&daemon, false, &leases[2], RestrictFlags::SIGTERM);
    let mut idle = Holder::start(&daemon);
    overwrite_host_id(&scratch);
    assert_eq!(end_of(&mut polite), End::Signal(15));
    assert_eq!(
        end_of(&mut kill_only),
        End::Signal(9),
        "it asked for no SIGTERM"
    );
    assert!(deaf.lives(), "it has its time of grace");
    assert_eq!(acquire(&mut daemon.register(), &leases[3]), -28);
    assert_eq!(list_of(client, "ls").as_deref(), Some("spaces"));
    assert_eq!(end_of(&mut deaf), End::Signal(9));
    until("the lockspace is gone", PATIENCE, || {
        list_of(client, "ls").is_none()
    });
    assert!(idle.lives(), "who holds nothing there is left alone");
    let again = code(client.add_lockspace(&space, AddFlags::NONE, 1));
    assert_eq!(again, -223, "what is there now is no lease");
    Outcome::Passed
}

fn a_removal() -> Outcome {
    let Lab {
        daemon,
        space,
        leases,
        scratch: _scratch,
    } = lab("15");
    let client = &daemon.client;
    let mut plain = holding(&daemon, false, &leases[0], RestrictFlags::NONE);
    let mut term_only = holding(&daemon, false, &leases[1], RestrictFlags::SIGKILL);
    // A kill path is for a lockspace that fails.
    let mut with_path = holding(&daemon, false, &leases[2], RestrictFlags::NONE);
    assert_eq!(
        with_path.killpath(KillpathFlags::NONE, Path::new("/bin/false"), "x"),
        0
    );
    let kept = with(&leases[3], ResourceFlags::PERSISTENT);
    let mut persistent = holding(&daemon, false, &kept, RestrictFlags::NONE);
    assert_eq!(code(client.rem_lockspace(&space, RemFlags::NONE)), 0);
    for (holder, expected) in [
        (&mut plain, 9),
        (&mut term_only, 15),
        (&mut with_path, 9),
        (&mut persistent, 9),
    ] {
        assert_eq!(end_of(holder), End::Signal(expected));
    }
    assert!(client.get_lockspaces().unwrap().items.is_empty());
    // Nothing of it is left to stand in the way.
    daemon.join(&space, 1);
    let mut connection = daemon.register();
    for lease in &leases {
        assert_eq!(acquire(&mut connection, lease), 0);
    }
    Outcome::Passed
}

fn kill_paths() -> Outcome {
    let Lab {
        daemon,
        space: _,
        leases,
        scratch,
    } = lab("8");
    let script = scratch.path().join("stop");
    let told = |who: &str| scratch.path().join(who);
    // Writes its arguments, one a line; stops the process if it got its number.
    let text = format!(
        "#!/bin/sh\nwho=$1; shift\n(printf '%s\\n' \"$@\"; echo end) >>'{}'/$who\n\
         test $who = with && kill $3\n",
        scratch.path().display()
    );
    fs::write(&script, text).unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let arguments = r"one\ word back\\slash";
    let mut with_pid = holding(&daemon, false, &leases[0], RestrictFlags::NONE);
    assert_eq!(
        with_pid.killpath(KillpathFlags::PID, &script, &format!("with {arguments}")),
        0
    );
    let mut without = holding(&daemon, false, &leases[1], RestrictFlags::NONE);
    assert_eq!(
        without.killpath(
            KillpathFlags::NONE,
            &script,
            &format!("without {arguments}")
        ),
        0
    );
    let mut broken = holding(&daemon, false, &leases[2], RestrictFlags::NONE);
    assert_eq!(
        broken.killpath(KillpathFlags::NONE, &told("missing"), "x"),
        0
    );
    overwrite_host_id(&scratch);
    let words = |who: &str| {
        until_some("the kill path runs", PATIENCE, || {
            let text = fs::read_to_string(told(who)).ok()?;
            text.ends_with("end\n").then_some(text)
        })
    };
    let pid = with_pid.pid();
    assert_eq!(
        words("with"),
        format!("one word\nback\\slash\n{pid}\nend\n")
    );
    assert_eq!(words("without"), "one word\nback\\slash\nend\n");
    let end = |holder: &mut Holder| end_of(holder);
    assert_eq!(
        end(&mut with_pid),
        End::Signal(15),
        "stopped by its kill path"
    );
    // Whom no kill path stopped is killed in the end.
    assert_eq!(end(&mut without), End::Signal(9));
    assert_eq!(end(&mut broken), End::Signal(9));
    assert_eq!(
        words("without"),
        "one word\nback\\slash\nend\n",
        "it was run once"
    );
    until("the lockspace is gone", PATIENCE, || {
        list_of(&daemon.client, "ls").is_none()
    });
    Outcome::Passed
}
