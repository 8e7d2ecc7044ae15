//! Options, help, version, probing: what is printed, exit statuses, and what is done to the device.

use std::fs;

use super::daemon::{Daemon, connect, line_of};
use super::harness::{Case, Outcome};
use super::host::{Host, is_original, version};

pub const CASES: &[Case] = &[
    ("help_and_version", help_and_version),
    ("wrong_options_are_said_and_passed_over", wrong_options),
    ("probing_finds_the_first_device_that_works", probing),
    ("probing_says_what_is_wrong", probing_bad_devices),
    ("trying_a_timeout", trying),
    ("a_device_that_fires_the_second_time", itco),
    ("no_probing_while_the_daemon_runs", probing_beside_a_daemon),
    ("dumping", dumping),
];

/// Standard output, standard error and exit status.
fn run(host: &Host, arguments: &[&str]) -> (String, String, Option<i32>) {
    let output = host.command(arguments).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (
        text(&output.stdout),
        text(&output.stderr),
        output.status.code(),
    )
}

/// The lines of a trial without their times and descriptors.
fn plain(text: &str) -> Vec<String> {
    let without_time = |line: &str| match line.split_once("  ") {
        Some((_, rest)) => rest.to_owned(),
        None => line.to_owned(),
    };
    let without_fd = |line: String| {
        let words: Vec<&str> = line.split(' ').collect();
        let mut kept = Vec::new();
        for (index, word) in words.iter().enumerate() {
            let is_fd = index > 0 && words[index - 1] == "fd";
            kept.push(if is_fd { "N" } else { word });
        }
        kept.join(" ")
    };
    text.lines().map(without_time).map(without_fd).collect()
}

const USAGE: &str = "\
Usage:
wdmd [options]

--version, -V          print version
--help, -h             print usage
--dump, -d             print debug from daemon
--probe, -p            print path of functional watchdog device
--trytimeout, -t <sec> set the timeout value for watchdog device
--forcefire, -F        force watchdog to fire and reset machine, use with -t
-D                     debug: no fork and print all logging to stderr
-H 0|1                 use high priority features (1 yes, 0 no, default 0)
-G <name>              group ownership for the socket
-S 0|1                 allow script tests (default SCRIPTS)
-s <path>              path to scripts dir (default PATH)
-k <num>               kill unfinished scripts after num seconds (default KILL)
-w <path>              path to the watchdog device to try first
";

fn newer() -> Result<(), Outcome> {
    if version().starts_with("3.8.") {
        return Err(super::harness::skipped("not so in 3.8.5"));
    }
    Ok(())
}

fn help_and_version() -> Outcome {
    let host = match Host::new().and_then(|host| newer().map(|()| host)) {
        Ok(host) => host,
        Err(outcome) => return outcome,
    };
    for (arguments, scripts, path, kill) in [
        (&["-h"][..], "0", "/etc/wdmd.d", "0"),
        (&["--help", "-V"], "0", "/etc/wdmd.d", "0"),
        (
            &["-S", "1", "-k5", "-s", "/x", "word", "-h"],
            "1",
            "/x",
            "5",
        ),
    ] {
        let (out, err, status) = run(&host, arguments);
        let expected = USAGE
            .replace("SCRIPTS", scripts)
            .replace("PATH", path)
            .replace("KILL", kill);
        assert!(out.starts_with(&expected), "{out}");
        assert!(out == expected || !is_original(), "{out}");
        assert_eq!((err.as_str(), status), ("", Some(0)));
    }
    let (out, err, status) = run(&host, &["-V"]);
    let line = out.strip_prefix("wdmd version ").unwrap();
    assert!(line.starts_with(|c: char| c.is_ascii_digit()), "{out}");
    assert_eq!((err.as_str(), status), ("", Some(0)));
    assert_eq!(run(&host, &["--vers"]).0, out);
    assert_eq!(host.order(), Vec::<String>::new());
    Outcome::Passed
}

fn wrong_options() -> Outcome {
    let host = match Host::new() {
        Ok(host) => host,
        Err(outcome) => return outcome,
    };
    let program = host
        .command(&[])
        .get_program()
        .to_string_lossy()
        .into_owned();
    for (arguments, complaint) in [
        (&["-Z", "-V"][..], "invalid option -- 'Z'"),
        (&["--bogus", "-V"], "unrecognized option '--bogus'"),
        (
            &["--help=1", "-V"],
            "option '--help' doesn't allow an argument",
        ),
        (&["-V", "-w"], ""),
    ] {
        let (out, err, status) = run(&host, arguments);
        assert!(out.starts_with("wdmd version"), "{out}");
        assert_eq!(status, Some(0));
        // A wrapper has another name for it.
        let said = err
            .trim_end()
            .rsplit_once(": ")
            .map_or("", |(_, said)| said);
        assert_eq!(said, complaint, "{err}");
        assert!(
            err.is_empty() || is_original() || err.starts_with(&program),
            "{err}"
        );
    }
    Outcome::Passed
}

fn probing() -> Outcome {
    let host = match Host::new() {
        Ok(host) => host,
        Err(outcome) => return outcome,
    };
    let found = |path: &str| (format!("{path}\n"), String::new(), Some(0));
    for arguments in [
        &["-p"][..],
        &["--prob"],
        &["word", "--probe"],
        &["-F", "-p"],
    ] {
        if arguments[0] == "-F" && newer().is_err() {
            continue;
        }
        host.renew();
        assert_eq!(run(&host, arguments), found("/dev/watchdog0"));
        assert_eq!(host.order(), ["open", "magic", "close"]);
    }
    fs::write("/dev/watchdog7", "").unwrap();
    assert_eq!(
        run(&host, &["-p", "-w", "/dev/watchdog7"]),
        found("/dev/watchdog7")
    );
    let (out, err, status) = run(&host, &["-p", "-w", "/dev/nonexistent"]);
    assert_eq!((out.as_str(), status), ("/dev/watchdog0\n", Some(0)));
    assert_eq!(err, "error 2 stat /dev/nonexistent\n");
    // One that has another timeout is given the usual one.
    host.renew();
    host.rules("timeout 30\n");
    assert_eq!(run(&host, &["-p"]), found("/dev/watchdog0"));
    assert_eq!(host.order(), ["open", "settimeout 60", "magic", "close"]);
    assert_eq!(host.fires(60), None);
    Outcome::Passed
}

fn probing_bad_devices() -> Outcome {
    let host = match Host::new() {
        Ok(host) => host,
        Err(outcome) => return outcome,
    };
    for (rules, what) in [
        ("ioctl 25\n", "error 25 ioctl gettimeout"),
        ("timeout 30\nmax 40\n", "error 22 ioctl settimeout"),
        ("open 16\n", "error 16 open"),
    ] {
        host.renew();
        host.rules(rules);
        let (out, err, status) = run(&host, &["-p"]);
        assert_eq!((out.as_str(), status), ("", Some(1)));
        let expected = format!(
            "{what} /dev/watchdog0\nerror 2 stat /dev/watchdog1\n{what} /dev/watchdog\n\
             no watchdog device, load a watchdog driver\n"
        );
        assert_eq!(err, expected);
        assert_eq!(host.fires(60), None, "{rules}");
    }
    // The next one may be good.
    assert!(!fs::exists("/dev/shm/wdmd").unwrap());
    Outcome::Passed
}

fn trying() -> Outcome {
    let host = match Host::new().and_then(|host| newer().map(|()| host)) {
        Ok(host) => host,
        Err(outcome) => return outcome,
    };
    let (out, err, status) = run(&host, &["-t", "30"]);
    let path = "/dev/watchdog0";
    let expected = [
        format!("{path} open fd N"),
        format!("{path} gettimeout 60"),
        format!("{path} settimeout 30 result 30"),
        format!("{path} gettimeout 30"),
        format!("{path} keepalive fd N result 0"),
        format!("{path} disarm write V fd N result 0"),
        format!("{path} close fd N result 0"),
    ];
    assert_eq!(plain(&out), expected);
    assert_eq!((err.as_str(), status), ("", Some(0)));
    assert_eq!(
        host.order(),
        ["open", "settimeout 30", "keepalive", "magic", "close"]
    );

    let (_, err, status) = run(&host, &["-t", "99999"]);
    assert_eq!(
        err,
        "/dev/watchdog0 settimeout 99999 error 22\n/dev/watchdog1 stat error 2\n\
         /dev/watchdog settimeout 99999 error 22\nno watchdog device, load a watchdog driver\n"
    );
    assert_eq!((status, host.fires(60)), (Some(1), None));
    host.rules("keepalive 5\n");
    assert!(
        run(&host, &["-t", "30"])
            .1
            .starts_with("/dev/watchdog0 keepalive error 5\n")
    );
    host.rules("ioctl 25\n");
    assert!(
        run(&host, &["-t", "30"])
            .1
            .starts_with("/dev/watchdog0 gettimeout error 25\n")
    );
    host.rules("");
    // Nothing, or no number, is no timeout to try.
    for number in ["0", "abc"] {
        assert_eq!(run(&host, &["-t", number]).0, "/dev/watchdog0\n");
    }
    let (_, err, status) = run(&host, &["-F"]);
    assert_eq!(
        (err.as_str(), status),
        ("Use force fire (-F) with a timeout (-t).\n", Some(1))
    );

    // A stand-in does not fire.
    host.renew();
    let (out, _, status) = run(&host, &["-t", "1", "-F"]);
    let lines = plain(&out);
    assert!(lines.contains(&"waiting for watchdog to reset machine:".to_owned()) || !is_original());
    let failed = "2 /dev/watchdog0 failed to fire after timeout 1 seconds";
    assert!(lines.contains(&failed.to_owned()), "{lines:?}");
    assert_eq!((status, host.fires(1)), (Some(0), None));
    Outcome::Passed
}

fn itco() -> Outcome {
    let host = match Host::new().and_then(|host| newer().map(|()| host)) {
        Ok(host) => host,
        Err(outcome) => return outcome,
    };
    host.identity("iTCO_wdt");
    host.rules("timeout 30\n");
    assert_eq!(run(&host, &["-p"]).0, "/dev/watchdog0\n");
    assert_eq!(host.order(), ["open", "magic", "close"]);
    host.renew();
    let lines = plain(&run(&host, &["-t", "20"]).0);
    for line in [
        "/dev/watchdog0 gettimeout real 60 itco 30",
        "/dev/watchdog0 settimeout real 20 itco 10 result real 20 itco 10",
        "/dev/watchdog0 gettimeout real 20 itco 10",
    ] {
        assert!(lines.contains(&line.to_owned()), "{lines:?}");
    }
    host.renew();
    let _daemon = Daemon::start(&host, &[]);
    host.forget();
    let mut client = connect();
    assert!(client.open_watchdog(20).is_ok());
    assert_eq!(host.order(), ["open", "settimeout 10", "keepalive"]);
    Outcome::Passed
}

fn probing_beside_a_daemon() -> Outcome {
    let host = match Host::new() {
        Ok(host) => host,
        Err(outcome) => return outcome,
    };
    let mut daemon = Daemon::start(&host, &[]);
    host.forget();
    let (out, err, status) = run(&host, &["-p"]);
    assert_eq!((out.as_str(), status), ("", Some(1)));
    assert!(
        err.starts_with("cannot probe watchdog devices while wdmd is in use.\n"),
        "{err}"
    );
    assert!(!host.order().contains(&"open".to_owned()));
    // Nor after it was killed: that would put a reset off.
    daemon.signal(nix::sys::signal::Signal::SIGKILL);
    daemon.ended();
    assert_eq!(run(&host, &["-p"]).2, Some(1));
    Outcome::Passed
}

fn dumping() -> Outcome {
    let host = match Host::new() {
        Ok(host) => host,
        Err(outcome) => return outcome,
    };
    assert_eq!(run(&host, &["-d"]).2, Some(1));
    let daemon = Daemon::start(&host, &["-G", "root"]);
    let mut client = super::daemon::watched("sanlock_space:1", 60);
    let expire = super::daemon::well_for(&mut client, 80);
    let (out, err, status) = run(&host, &["-d"]);
    assert_eq!((err.as_str(), status), ("", Some(0)));
    let lines: Vec<&str> = out
        .lines()
        .filter(|line| !line.contains(" name  pid 0 "))
        .collect();
    assert!(
        lines[0].starts_with(&format!(
            "wdmd {} socket_gid 0 high_priority 0 now ",
            daemon.pid()
        )),
        "{out}"
    );
    assert!(
        lines[0].contains(" allow_scripts 0 kill_script_sec 0"),
        "{out}"
    );
    assert!(
        newer().is_err() || lines[0].contains(" fire_timeout 60 identity "),
        "{out}"
    );
    assert!(
        lines[1].starts_with("client 0 name signal pid 0 fd "),
        "{out}"
    );
    assert!(
        lines[2].starts_with("client 1 name listen pid 0 fd "),
        "{out}"
    );
    let pid = std::process::id();
    let line = line_of("sanlock_space:1");
    assert!(
        line.contains(&format!(" name sanlock_space:1 pid {pid} fd ")),
        "{line}"
    );
    assert!(line.contains(" dead 0 ref 1 now "), "{line}");
    assert!(
        line.ends_with(&format!(" renewal {} expire {expire}", expire - 80)),
        "{line}"
    );
    assert!(out.contains(" name dump pid 0 fd "), "{out}");
    // What ours adds comes after it, for ours alone.
    let raw = super::daemon::dump();
    let known = ["wdmd ", "client "];
    assert!(
        raw.lines()
            .all(|line| known.iter().any(|word| line.starts_with(word))),
        "{raw}"
    );
    if !is_original() {
        assert!(
            out.contains("device /dev/watchdog0 state kept_alive fires_in "),
            "{out}"
        );
        assert!(out.contains(" name sanlock_space:1 seconds "), "{out}");
        let (json, _, status) = run(&host, &["-d", "--json"]);
        assert_eq!(status, Some(0));
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(json["format"], 1);
        let clients = json["clients"].as_array().unwrap();
        let client = clients
            .iter()
            .find(|client| client["name"] == "sanlock_space:1")
            .unwrap();
        assert!(client["margin"].as_i64().unwrap() <= 70);
    }
    Outcome::Passed
}
