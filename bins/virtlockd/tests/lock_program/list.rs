//! `virtlockd --list`, which only ours has. It is asked of both daemons.

use std::process::{Command, Output};

use super::client::{Client, NOBODY};
use super::virtlockd::{Daemon, isolated};
use super::{Lab, Subject};

const OURS: &str = env!("CARGO_BIN_EXE_virtlockd");

/// Ours, where the daemon's sockets are.
fn list(daemon: &Daemon, more: &[&str]) -> Output {
    Command::new("nsenter")
        .args(["--mount", "--target", &daemon.pid().to_string()])
        .args([OURS, "--list"])
        .args(more)
        .output()
        .unwrap()
}

fn said(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn complained(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(output.stdout.is_empty());
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// A line's words; the last one is the file.
fn words(line: &str) -> Vec<&str> {
    line.split_whitespace().collect()
}

pub fn who_holds_what(lab: &Lab) {
    let daemon = lab.daemon("");
    let (space, file) = (lab.path("space"), lab.file("image"));
    let mut client = Client::registered(&daemon.socket(), NOBODY);
    let mut other = Client::registered(&daemon.socket(), NOBODY - 1);
    assert_eq!(client.create_space(&space), "ok");
    if lab.subject == Subject::C {
        let said = complained(&list(&daemon, &[]));
        let pid = daemon.pid();
        assert!(
            said.contains(&format!(
                "the virtlockd that runs (process {pid}) is another one"
            )),
            "{said}"
        );
        return;
    }
    assert_eq!(said(&list(&daemon, &[])).lines().count(), 1);
    assert_eq!(said(&list(&daemon, &["--json"])), "[]\n");
    let before = std::time::SystemTime::now();
    assert_eq!(client.acquire((&space, "b"), 3), "ok");
    assert_eq!(other.acquire((&space, "b"), 3), "ok");
    assert_eq!(client.acquire(("", &file), 0), "ok");
    assert_eq!(client.acquire((&space, "a"), 2), "ok");
    let text = said(&list(&daemon, &[]));
    let lines: Vec<Vec<&str>> = text.lines().map(words).collect();
    let uuid = "05050505-0505-0505-0505-050505050505";
    let [pid, other_pid] = [NOBODY, NOBODY - 1].map(|pid| pid.to_string());
    let line = |pid: &str, mode: &str, space: &str, file: &str| {
        [pid, "guest", uuid, "SINCE", mode, space, file]
            .map(str::to_owned)
            .to_vec()
    };
    let wanted = [
        line(&pid, "exclusive", "-", &file),
        line(&pid, "exclusive", &space, &format!("{space}/a")),
        line(&pid, "shared", &space, &format!("{space}/b")),
        line(&other_pid, "shared", &space, &format!("{space}/b")),
    ];
    let without_time: Vec<Vec<&str>> = lines
        .iter()
        .skip(1)
        .map(|line| {
            let mut line = line.clone();
            line[3] = "SINCE";
            line
        })
        .collect();
    assert_eq!(without_time, wanted, "{text}");
    // The moment of the first, in seconds.
    let date = Command::new("date")
        .args(["+%s", "-d", lines[1][3]])
        .output()
        .unwrap();
    let at: u64 = said(&date).trim().parse().unwrap();
    let begin = before
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_secs();
    assert!((begin..begin + 60).contains(&at), "{at} {begin}");
    // As JSON, read by others.
    let read = "import json, sys; l = json.load(sys.stdin); print(len(l), *[(x['lockspace'], x['resource'], x['mode'],\
                [(o['pid'], o['guest'], o['uuid']) for o in x['owners']]) for x in l[2:]])";
    let json = said(&list(&daemon, &["--json"]));
    let python = Command::new("python3")
        .args([
            "-c",
            &format!("import io, sys; sys.stdin = io.StringIO(sys.argv[1]); {read}"),
            &json,
        ])
        .output()
        .unwrap();
    let wanted = format!(
        "3 ('{space}', 'b', 'shared', [({pid}, 'guest', '{uuid}'), ({other_pid}, 'guest', '{uuid}')])\n"
    );
    assert_eq!(said(&python), wanted);
    // Who releases is gone from it.
    assert_eq!(client.release((&space, "b")), "ok");
    assert_eq!(client.release((&space, "a")), "ok");
    assert_eq!(client.release(("", &file)), "ok");
    let text = said(&list(&daemon, &[]));
    assert_eq!(text.lines().count(), 2);
    assert!(text.contains(&other_pid), "{text}");
}

/// More than one answer has, and no daemon.
pub fn many_locks(lab: &Lab) {
    if lab.subject == Subject::C {
        let said = isolated(OURS).arg("--list").output().unwrap();
        let said = complained(&said);
        assert!(said.contains("no virtlockd is running"), "{said}");
        return;
    }
    let daemon = lab.daemon("");
    let space = lab.path("space");
    let mut client = Client::registered(&daemon.socket(), NOBODY);
    assert_eq!(client.create_space(&space), "ok");
    for number in 0..2500 {
        assert_eq!(client.acquire((&space, &format!("r{number:04}")), 2), "ok");
    }
    let text = said(&list(&daemon, &[]));
    let files: Vec<&str> = text.lines().skip(1).map(|line| words(line)[6]).collect();
    let wanted: Vec<String> = (0..2500)
        .map(|number| format!("{space}/r{number:04}"))
        .collect();
    assert_eq!(files, wanted);
}
