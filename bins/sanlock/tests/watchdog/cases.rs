//! A lockspace's life as wdmd sees it.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use sanlock_proto::flags::{AcquireFlags, AddFlags, RemFlags};
use sanlock_proto::{Lockspace, Resource};

use super::common::daemon::{Daemon, Setup, is_original};
use super::common::harness::{Case, Outcome};
use super::common::holder::Holder;
use super::common::leases::{acquire, code, lockspace, resource};
use super::common::process::End;
use super::common::scratch::Scratch;
use super::common::status::{AT_ONCE, Prober, list_of, monotime, renewed_at};
use super::common::wait::{PATIENCE, until, until_some};
use super::common::{measured, unlike_the_original};
use super::namespace;
use super::wdmd::{Kind, Wdmd};

pub const CASES: &[Case] = &[
    ("a_lockspace_is_tied_to_a_wdmd_of_3_8_5", with_an_old_wdmd),
    ("a_lockspace_is_tied_to_a_newer_wdmd", with_a_newer_wdmd),
    ("without_wdmd_nothing_is_joined", without_wdmd),
    ("another_fire_timeout_is_refused", another_fire_timeout),
    ("a_silent_wdmd_holds_up_only_who_joins", a_silent_wdmd),
    (
        "wdmd_is_let_go_when_the_last_process_is_dead",
        let_go_when_dead,
    ),
    ("a_lost_wdmd_does_not_stop_the_renewals", a_lost_wdmd),
    ("a_forced_shutdown_lets_wdmd_go", a_forced_shutdown),
    (
        "what_a_dead_daemon_left_behind_is_not_taken_for_dead",
        a_dead_daemon,
    ),
];

/// `SANLK_WD_ERROR`.
const NO_WATCHDOG: i64 = -203;

/// Seconds for which a lease is good with an I/O timeout of one.
const VALID: u64 = 8;

struct Lab {
    daemon: Daemon,
    space: Lockspace,
    lease: Resource,
    path: PathBuf,
    _scratch: Scratch,
}

impl Lab {
    fn new(conf: &str) -> Self {
        let scratch = Scratch::in_memory();
        // Of two options of a kind the last one counts.
        let daemon = Setup::new(scratch.path(), "one")
            .with(&["-w", "1", "-g", "6"])
            .configured(conf)
            .start();
        let path = scratch.file("leases", 2);
        let (space, lease) = (lockspace("ls", 1, &path), resource("ls", "r", &path, 1));
        daemon.format(&space, 1, &[&lease]);
        Self {
            daemon,
            space,
            lease,
            path,
            _scratch: scratch,
        }
    }

    fn add(&self) -> i64 {
        code(
            self.daemon
                .client
                .add_lockspace(&self.space, AddFlags::NONE, 1),
        )
    }
}

fn with_an_old_wdmd() -> Outcome {
    a_whole_life(Kind::OpenFromStart(60), "", 60)
}

fn with_a_newer_wdmd() -> Outcome {
    a_whole_life(Kind::Opens(30), "watchdog_fire_timeout = 30\n", 30)
}

fn a_whole_life(kind: Kind, conf: &str, fire_timeout: u32) -> Outcome {
    if let Err(outcome) = namespace::enter() {
        return outcome;
    }
    if is_original() && fire_timeout != 60 {
        return super::common::harness::skipped("3.8.5 knows one fire timeout");
    }
    let wdmd = Wdmd::start(kind);
    let lab = Lab::new(conf);
    let client = &lab.daemon.client;
    assert_eq!(lab.add(), 0);
    // Nobody can take a lease before wdmd watches.
    let first = until_some("it said that it lives", Duration::from_secs(1), || {
        wdmd.heard()[0].lives().first().copied()
    });
    assert_eq!(first.1, first.0 + VALID);
    let now = u64::try_from(monotime(client)).unwrap();
    assert!(first.0 <= now && now <= first.0 + 5, "{first:?} at {now}");

    let lives = wdmd.lives_more_than(0, 2);
    for pair in lives.windows(2) {
        assert!(pair[1].0 > pair[0].0, "{lives:?}");
    }
    assert!(
        lives
            .iter()
            .all(|(renewed, expires)| *expires == renewed + VALID)
    );
    let renewed = u64::try_from(renewed_at(client, "ls")).unwrap();
    assert!(wdmd.heard()[0].lives().iter().any(|(at, _)| *at == renewed));

    assert_eq!(code(client.rem_lockspace(&lab.space, RemFlags::NONE)), 0);
    let heard = wdmd.closed(0);
    let lives = heard.lives();
    assert_eq!(lives.last(), Some(&(0, 0)));
    assert!(lives[..lives.len() - 1].iter().all(|live| *live != (0, 0)));
    let order = heard.order();
    if is_original() {
        let expected = [
            "register",
            "refcount_set",
            "status",
            "test_live",
            "refcount_clear",
        ];
        assert_eq!(order, expected);
    } else {
        let first = order.iter().position(|name| *name == "test_live").unwrap();
        for before in ["register", "open_watchdog", "status", "refcount_set"] {
            let at = order.iter().position(|name| *name == before);
            assert!(at.is_some_and(|at| at < first), "{before}: {order:?}");
        }
        assert_eq!(order[first..], ["test_live", "refcount_clear"]);
        let open = heard
            .requests
            .iter()
            .find(|request| request.name() == "open_watchdog");
        let wanted = wdmd_proto::Request::OpenWatchdog { fire_timeout };
        assert_eq!(open, Some(&wanted));
    }
    let name = heard.requests.iter().find_map(|request| match request {
        wdmd_proto::Request::Register(name) => Some(name.as_bytes().to_vec()),
        _ => None,
    });
    assert_eq!(name.as_deref(), Some(&b"sanlock_ls:1"[..]));
    assert_eq!(wdmd.heard().len(), 1, "one connection");
    Outcome::Passed
}

fn without_wdmd() -> Outcome {
    if let Err(outcome) = namespace::enter() {
        return outcome;
    }
    let lab = Lab::new("");
    let began = Instant::now();
    assert_eq!(lab.add(), NO_WATCHDOG);
    assert!(
        began.elapsed() < Duration::from_secs(2),
        "before the host id is waited for"
    );
    assert_eq!(list_of(&lab.daemon.client, "ls"), None);
    // As soon as it runs it can be joined.
    let _wdmd = Wdmd::start(Kind::OpenFromStart(60));
    assert_eq!(lab.add(), 0);
    Outcome::Passed
}

fn another_fire_timeout() -> Outcome {
    if let Err(outcome) = namespace::enter() {
        return outcome;
    }
    let wdmd = Wdmd::start(Kind::OpenFromStart(30));
    let lab = Lab::new("");
    let kinds: &[Kind] = if is_original() {
        &[Kind::OpenFromStart(30)]
    } else {
        &[
            Kind::OpenFromStart(30),
            Kind::Opens(30),
            Kind::Opens(0),
            Kind::OpenFromStart(0),
        ]
    };
    for (number, kind) in kinds.iter().enumerate() {
        wdmd.become_a(*kind);
        assert_eq!(lab.add(), NO_WATCHDOG, "{kind:?}");
        let heard = wdmd.closed(number);
        assert!(heard.lives().is_empty(), "{kind:?}: {heard:?}");
        let held = heard.order();
        let set = held.iter().rposition(|name| *name == "refcount_set");
        let cleared = held.iter().rposition(|name| *name == "refcount_clear");
        assert!(set <= cleared, "{held:?}");
    }
    wdmd.become_a(Kind::OpenFromStart(60));
    assert_eq!(lab.add(), 0);
    Outcome::Passed
}

fn a_silent_wdmd() -> Outcome {
    if let Err(outcome) = namespace::enter() {
        return outcome;
    }
    if let Some(skipped) = unlike_the_original("it waits for ever") {
        return skipped;
    }
    let wdmd = Wdmd::start(Kind::Opens(60));
    let lab = Lab::new("");
    let client = &lab.daemon.client;
    assert_eq!(lab.add(), 0);
    wdmd.become_a(Kind::Silent);
    let other_path = lab._scratch.file("other", 1);
    let other = lockspace("other", 1, &other_path);
    lab.daemon.format(&other, 1, &[]);
    let before = renewed_at(client, "ls");
    let prober = Prober::start(client);
    let began = Instant::now();
    assert_eq!(
        code(client.add_lockspace(&other, AddFlags::NONE, 1)),
        NO_WATCHDOG
    );
    let took = began.elapsed();
    until("the other is renewed meanwhile", PATIENCE, || {
        renewed_at(client, "ls") > before
    });
    let probed = prober.stop();
    measured(&format!(
        "given up after {took:?}; slowest status {:?}",
        probed.slowest
    ));
    assert!(took < Duration::from_secs(20));
    assert!(probed.slowest < AT_ONCE, "{probed:?}");
    // What needs no answer goes on.
    let count = wdmd.heard()[0].lives().len();
    wdmd.lives_more_than(0, count + 1);
    Outcome::Passed
}

fn let_go_when_dead() -> Outcome {
    if let Err(outcome) = namespace::enter() {
        return outcome;
    }
    let wdmd = Wdmd::start(Kind::OpenFromStart(60));
    let lab = Lab::new("");
    assert_eq!(lab.add(), 0);
    let mut deaf = Holder::start_deaf(&lab.daemon);
    assert_eq!(deaf.acquire(AcquireFlags::NONE, &[&lab.lease]), 0);
    // The host id is somebody else's from here on.
    File::options()
        .write(true)
        .open(&lab.path)
        .unwrap()
        .write_all_at(&[0; 512], 0)
        .unwrap();
    until("it is noticed", PATIENCE, || {
        acquire(&mut lab.daemon.register(), &lab.lease) == -28
    });
    let before = wdmd.heard()[0].lives();
    // As long as the process lives, nothing is said that would keep the watchdog quiet.
    while deaf.lives() {
        let lives = wdmd.heard()[0].lives();
        if lives.len() != before.len() {
            // A dying process closes its connection before it can be waited for.
            until("it was dying", Duration::from_millis(200), || !deaf.lives());
            break;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(deaf.end(), Some(End::Signal(9)));
    let heard = wdmd.closed(0);
    assert_eq!(heard.lives()[before.len()..], [(0, 0)]);
    assert_eq!(heard.order().last(), Some(&"refcount_clear"));
    Outcome::Passed
}

fn a_lost_wdmd() -> Outcome {
    if let Some(skipped) = unlike_the_original("SIGPIPE ends it") {
        return skipped;
    }
    if let Err(outcome) = namespace::enter() {
        return outcome;
    }
    let wdmd = Wdmd::start(Kind::OpenFromStart(60));
    let lab = Lab::new("");
    let client = &lab.daemon.client;
    assert_eq!(lab.add(), 0);
    wdmd.drop_all();
    let lost = renewed_at(client, "ls");
    until("it is still renewed", PATIENCE, || {
        renewed_at(client, "ls") > lost + 3
    });
    let mut connection = lab.daemon.register();
    assert_eq!(acquire(&mut connection, &lab.lease), 0);
    assert_eq!(
        super::common::leases::release(&mut connection, &lab.lease),
        0
    );
    assert_eq!(code(client.rem_lockspace(&lab.space, RemFlags::NONE)), 0);
    assert_eq!(lab.add(), 0, "by a new connection");
    assert_eq!(wdmd.heard().len(), 2);
    Outcome::Passed
}

fn a_forced_shutdown() -> Outcome {
    if let Err(outcome) = namespace::enter() {
        return outcome;
    }
    let wdmd = Wdmd::start(Kind::OpenFromStart(60));
    let mut lab = Lab::new("");
    assert_eq!(lab.add(), 0);
    let mut holder = Holder::start(&lab.daemon);
    assert_eq!(holder.acquire(AcquireFlags::NONE, &[&lab.lease]), 0);
    lab.daemon.client.shutdown(true).unwrap();
    let heard = wdmd.closed(0);
    // The daemon sees its connection close, which a dying process does before it can be waited for.
    assert_eq!(
        until_some("it is killed", PATIENCE, || holder.end()),
        End::Signal(9)
    );
    assert_eq!(heard.lives().last(), Some(&(0, 0)));
    assert_eq!(heard.order().last(), Some(&"refcount_clear"));
    assert_eq!(lab.daemon.ended(PATIENCE).code(), Some(0));
    Outcome::Passed
}

fn a_dead_daemon() -> Outcome {
    if let Some(skipped) = unlike_the_original("it rejoins after 2 x io_timeout") {
        return skipped;
    }
    if let Err(outcome) = namespace::enter() {
        return outcome;
    }
    let _wdmd = Wdmd::start(Kind::Opens(10));
    let scratch = Scratch::in_memory();
    let setup = Setup::new(scratch.path(), "one")
        .with(&["-w", "1", "-g", "6"])
        .configured("watchdog_fire_timeout = 10\n");
    let path = scratch.file("leases", 2);
    let (space, lease) = (lockspace("ls", 1, &path), resource("ls", "r", &path, 1));
    let daemon = setup.start();
    daemon.format(&space, 1, &[&lease]);
    daemon.join(&space, 1);
    let mut holder = Holder::start(&daemon);
    assert_eq!(holder.acquire(AcquireFlags::NONE, &[&lease]), 0);
    daemon.crash();

    // The holder lives on until the watchdog resets the host, which a stand-in does not do.
    let daemon = setup.start();
    let began = Instant::now();
    daemon.join(&space, 1);
    let took = began.elapsed();
    assert!(took >= Duration::from_secs(VALID + 10), "{took:?}");
    measured(&format!("joined again {took:?} after a crash"));
    let said = daemon.said();
    assert!(
        said.contains("an earlier daemon ended without leaving lockspace ls"),
        "{said}"
    );
    // Left in order, nothing is left behind.
    assert_eq!(code(daemon.client.rem_lockspace(&space, RemFlags::NONE)), 0);
    daemon.crash();
    let daemon = setup.start();
    daemon.join(&space, 1);
    let sentences = daemon.said().matches("an earlier daemon ended").count();
    assert_eq!(sentences, 1);
    Outcome::Passed
}
