//! Clients: what they are answered, and what becomes of those that are late, hang or die.

use std::time::Duration;

use nix::sys::signal::Signal;
use wdmd_proto::Opened;

use super::daemon::{Daemon, connect, dump, let_go, line_of, monotime, until, watched, well_for};
use super::harness::{Case, Outcome, skipped};
use super::host::{Host, holds_its_device, is_original};

pub const CASES: &[Case] = &[
    ("the_first_client_decides_on_the_fire_timeout", fire_timeout),
    ("a_device_that_refuses_or_lies", bad_device),
    (
        "as_long_as_a_client_is_well_the_device_is_kept_alive",
        healthy,
    ),
    ("a_late_client_is_forgiven_in_time", late),
    ("a_client_that_hangs_has_the_host_reset_in_time", hanging),
    ("a_dead_client_has_the_host_reset_in_time", dead),
    ("a_client_that_dies_without_expiry_is_forgotten", forgotten),
    (
        "the_last_messages_of_a_client_that_leaves_count",
        last_messages,
    ),
    ("a_stopped_daemon_does_not_put_the_reset_off", stopped),
    ("the_last_that_a_client_said_counts", last_said),
    (
        "a_client_that_does_not_ask_for_a_fire_timeout_is_protected",
        unasked,
    ),
];

/// The shortest that has a test interval of one second.
const SHORT: u32 = 9;

fn newer() -> Result<Host, Outcome> {
    let host = Host::new()?;
    if holds_its_device() {
        return Err(skipped("3.8.5 has one fire timeout, of a minute"));
    }
    Ok(host)
}

fn fire_timeout() -> Outcome {
    let host = match newer() {
        Ok(host) => host,
        Err(outcome) => return outcome,
    };
    let _daemon = Daemon::start(&host, &[]);
    for (timeout, interval) in [
        (60, 10),
        (59, 5),
        (30, 5),
        (29, 2),
        (10, 2),
        (9, 1),
        (100, 10),
    ] {
        host.renew();
        let mut client = connect();
        assert_eq!(client.open_watchdog(timeout).unwrap(), Opened::Yes);
        let status = client.status().unwrap();
        assert_eq!(
            (status.test_interval, status.fire_timeout),
            (interval, timeout)
        );
        assert!(status.last_keepalive + 5 >= monotime());
        assert!(connect().open_watchdog(timeout + 1).is_err());
        assert!(connect().open_watchdog(timeout).is_ok());
        drop(client);
        until("nobody needs it", || host.fires(60).is_none());
        let expected = match timeout {
            60 => vec!["open", "keepalive", "magic", "close"],
            _ => vec!["open", "settimeout N", "keepalive", "magic", "close"],
        };
        let expected: Vec<String> = expected
            .iter()
            .map(|what| what.replace('N', &timeout.to_string()))
            .collect();
        assert_eq!(host.order(), expected);
    }
    Outcome::Passed
}

fn bad_device() -> Outcome {
    let host = match newer() {
        Ok(host) => host,
        Err(outcome) => return outcome,
    };
    let _daemon = Daemon::start(&host, &[]);
    for rules in ["max 20\n", "lie 77\n", "open 16\n", "ioctl 25\n"] {
        host.renew();
        host.rules(rules);
        assert!(connect().open_watchdog(30).is_err(), "{rules}");
        assert_eq!(host.fires(60), None, "{rules}");
    }
    host.rules("");
    host.renew();
    assert!(connect().open_watchdog(30).is_ok());
    assert!(connect().open_watchdog(0).is_err());
    Outcome::Passed
}

fn healthy() -> Outcome {
    let host = match newer() {
        Ok(host) => host,
        Err(outcome) => return outcome,
    };
    let daemon = Daemon::start(&host, &[]);
    let mut client = watched("one", SHORT);
    for _ in 0..6 {
        well_for(&mut client, 20);
        std::thread::sleep(Duration::from_secs(1));
    }
    let device = host.device();
    let keepalives = device
        .iter()
        .filter(|(_, what)| what == "keepalive")
        .count();
    assert!((4..=10).contains(&keepalives), "{device:?}");
    assert_eq!(daemon.times_said("closed unclean"), 0);
    let_go(&mut client);
    drop(client);
    until("nobody needs it", || host.fires(60).is_none());
    Outcome::Passed
}

fn late() -> Outcome {
    let host = match newer() {
        Ok(host) => host,
        Err(outcome) => return outcome,
    };
    let daemon = Daemon::start(&host, &[]);
    let mut client = watched("one", 60);
    // It could have been well for longer than a test interval by then.
    well_for(&mut client, 12);
    until("it is closed", || daemon.times_said("closed unclean") > 0);
    assert!(daemon.times_said("test warning now ") > 0);
    assert!(connect().status().unwrap().test_interval == 1);
    well_for(&mut client, 100);
    until("it is open again", || daemon.times_said("reopen") > 0);
    until("all is as before", || {
        connect().status().unwrap().test_interval == 10
    });
    let order = host.order();
    assert_eq!(
        order[order.len() - 4..],
        ["keepalive", "close", "open", "keepalive"]
    );
    if !is_original() {
        let has_last_words = |line: &String| line.contains("because of client 'one'");
        until("last words", || host.syslog().iter().any(has_last_words));
        let said = host.syslog().join("\n");
        let pid = std::process::id();
        assert!(said.contains("because of client 'one'"), "{said}");
        assert!(said.contains(&format!("process {pid} (")), "{said}");
        assert!(super::daemon::dump().contains("last_closeunclean"));
    }
    let_go(&mut client);
    Outcome::Passed
}

/// The device fires within a test interval before its time, and never after it.
fn fires_in_time(host: &Host, expires: u64) {
    let fires = host.fires(u64::from(SHORT)).expect("armed");
    let last = (expires + u64::from(SHORT)) * 1000;
    // The test interval, and what a busy computer may take.
    assert!(fires <= last, "{fires} after {last}: {:?}", host.device());
    assert!(
        fires + 4000 >= last,
        "{fires} long before {last}: {:?}",
        host.device()
    );
}

fn hanging() -> Outcome {
    let host = match newer() {
        Ok(host) => host,
        Err(outcome) => return outcome,
    };
    let daemon = Daemon::start(&host, &[]);
    let mut client = watched("one", SHORT);
    let mut other = watched("two", SHORT);
    let expires = well_for(&mut client, 5);
    well_for(&mut other, 1000);
    until("its time is up", || {
        daemon.times_said("test failed rem ") > 1
    });
    fires_in_time(&host, expires);
    assert!(dump().contains(" ref 1 "));
    // Nobody can make it end in order now.
    daemon.signal(Signal::SIGTERM);
    std::thread::sleep(Duration::from_millis(1500));
    assert_eq!(host.order().last().map(String::as_str), Some("close"));
    Outcome::Passed
}

fn dead() -> Outcome {
    let host = match newer() {
        Ok(host) => host,
        Err(outcome) => return outcome,
    };
    let mut daemon = Daemon::start(&host, &[]);
    let mut client = watched("one", SHORT);
    let expires = well_for(&mut client, 5);
    drop(client);
    daemon.until_said("client dead ci ");
    let line = line_of("one");
    assert!(line.contains(" fd -1 dead 1 ref 1 "), "{line}");
    until("its time is up", || {
        daemon.times_said("test failed rem ") > 1
    });
    fires_in_time(&host, expires);
    daemon.signal(Signal::SIGTERM);
    std::thread::sleep(Duration::from_millis(500));
    assert!(daemon.is_running());
    Outcome::Passed
}

fn forgotten() -> Outcome {
    let host = match newer() {
        Ok(host) => host,
        Err(outcome) => return outcome,
    };
    let mut daemon = Daemon::start(&host, &[]);
    let client = watched("one", SHORT);
    drop(client);
    until("nobody needs it", || host.fires(60).is_none());
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.ended().code(), Some(0));
    Outcome::Passed
}

fn last_messages() -> Outcome {
    use std::io::Write;
    use std::os::unix::net::UnixStream;
    use wdmd_proto::Request;

    use super::daemon::bytes;
    let host = match newer() {
        Ok(host) => host,
        Err(outcome) => return outcome,
    };
    if is_original() {
        return skipped("not so in the original: it reads one of them");
    }
    let daemon = Daemon::start(&host, &[]);
    for _ in 0..20 {
        let mut client = watched("one", SHORT);
        well_for(&mut client, 100);
        let mut stream = UnixStream::from(std::os::fd::OwnedFd::from(client));
        let none = Request::TestLive {
            renewal: 0,
            expire: 0,
        };
        let all = [
            bytes(&Request::Status),
            bytes(&Request::RefcountClear),
            bytes(&none),
        ]
        .concat();
        stream.write_all(&all).unwrap();
        drop(stream);
        until("nobody needs it", || host.fires(60).is_none());
    }
    assert_eq!(daemon.times_said("client dead"), 0);
    Outcome::Passed
}

fn stopped() -> Outcome {
    let host = match newer() {
        Ok(host) => host,
        Err(outcome) => return outcome,
    };
    if is_original() {
        return skipped("not so in the original: closing the device puts the reset off");
    }
    let daemon = Daemon::start(&host, &[]);
    let mut client = watched("one", 60);
    let expires = well_for(&mut client, 14);
    until("it is kept alive", || {
        connect().status().unwrap().last_keepalive > 0
    });
    daemon.signal(Signal::SIGSTOP);
    std::thread::sleep(Duration::from_secs(16));
    let before = host.fires(60).unwrap();
    daemon.signal(Signal::SIGCONT);
    daemon.until_said("not kept alive and left open");
    assert_eq!(host.fires(60), Some(before));
    assert!(before <= (expires + 60) * 1000);
    well_for(&mut client, 100);
    until("it is kept alive again", || {
        host.fires(60).unwrap() > before
    });
    let_go(&mut client);
    Outcome::Passed
}

fn last_said() -> Outcome {
    let host = match newer() {
        Ok(host) => host,
        Err(outcome) => return outcome,
    };
    if is_original() {
        return skipped("not so in the original: it may test between two messages");
    }
    let daemon = Daemon::start(&host, &[]);
    let mut client = watched("one", SHORT);
    well_for(&mut client, 1000);
    daemon.signal(Signal::SIGSTOP);
    let now = monotime();
    for expires in [now - 1, now + 1000] {
        client.test_live(now, expires).unwrap();
    }
    daemon.signal(Signal::SIGCONT);
    until("it is kept alive", || {
        connect().status().unwrap().last_keepalive > now + 1
    });
    assert_eq!(
        daemon.times_said("not kept alive"),
        0,
        "{:?}",
        daemon.said()
    );
    let_go(&mut client);
    Outcome::Passed
}

fn unasked() -> Outcome {
    let host = match Host::new() {
        Ok(host) => host,
        Err(outcome) => return outcome,
    };
    if is_original() && !holds_its_device() {
        return skipped("3.9 and later leave a client of before 3.9 without protection");
    }
    let _daemon = Daemon::start(&host, &[]);
    let mut client = connect();
    client.register("old").unwrap();
    client.refcount_set().unwrap();
    let status = client.status().unwrap();
    assert_eq!((status.test_interval, status.fire_timeout), (10, 60));
    well_for(&mut client, 80);
    assert!(host.fires(60).is_some());
    let_go(&mut client);
    Outcome::Passed
}
